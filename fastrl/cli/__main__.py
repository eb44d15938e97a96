"""`python -m fastrl.cli` is the `fastrl` command."""

import sys

from fastrl.cli.main import main

sys.exit(main())
