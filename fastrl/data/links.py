"""Links that lead out of a folder which somebody else made. Knows no format."""

import os
from pathlib import Path

from fastrl.types import UserError


def check(folder: Path) -> None:
    """Refuses a folder in which a link leads out of it: what it leads to would be read.

    The folder itself may be reached through a link.
    """
    root = folder.resolve()
    for place, folders, names in os.walk(root):
        for path in (Path(place, name) for name in (*folders, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise UserError(
                    f"{folder}: {path.relative_to(root)} is a link out of the folder; put a copy in its place"
                )
