"""Measures the table of reference scores: fastrl/data/reference_scores.json.

`python benchmarks/reference_scores.py` measures every task, `python benchmarks/reference_scores.py hopper` one, and
leaves the others as they are. It prints a JSON line and the seconds of each.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

from fastrl.collect import references
from fastrl.runs import manifest

TABLE = Path("fastrl/data/reference_scores.json")


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="tasks (default: all)")
    parser.add_argument("--episodes", type=int, default=references.EPISODES, help="of each policy")
    parser.add_argument("--out", type=Path, default=TABLE)
    found = parser.parse_args()
    for name in found.names or references.names():
        began = time.perf_counter()
        row = dataclasses.asdict(references.measure(name, found.episodes))
        known = json.loads(found.out.read_text()) if found.out.exists() else {}
        order = [*dict.fromkeys([*references.names(), *known])]
        table = {env: {**known, name: row}[env] for env in order if env in {**known, name: row}}
        manifest.replace(found.out, (json.dumps(table, indent=1) + "\n").encode())
        print(json.dumps({"seconds": round(time.perf_counter() - began, 1), **row}), flush=True)


if __name__ == "__main__":
    main()
