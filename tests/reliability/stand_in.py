"""Stands in for `fastrl run` in tests of the benchmarks that kill it: phases of 40 rows, checkpoints, resume, SIGTERM.

No jax, a process of 50 ms. FAULT plants what a benchmark must notice: `forgets` resumes before what was acknowledged,
`drifts` ends otherwise after a resume, `deaf` ends with another exit code at SIGTERM, `shares` takes a folder that
another process has, `seeds` takes any number of seeds, `devices` ends otherwise on several devices.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

FAULT, PHASES, ROWS, EVERY = os.environ.get("FAULT", ""), os.environ["PHASES"].split(), 40, 4


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def describe(folder: Path, **content: object) -> None:
    """A manifest as `fastrl.runs.manifest.write` makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": 2, **content}
    content["checksum"] = digest(json.dumps(content, sort_keys=True, separators=(",", ":")))
    temporary = folder / ".manifest"
    temporary.write_text(json.dumps(content))
    temporary.rename(folder / "fastrl_manifest.json")


def line(row: int) -> str:
    return json.dumps({"phase": PHASES[row // ROWS], "row": row}) + "\n"


def saved(out: Path) -> list[int]:
    return sorted(int(p.parent.name) for p in out.glob("checkpoints/[0-9]*/fastrl_manifest.json"))


def save(out: Path, row: int, bits: str) -> None:
    temporary = out / "checkpoints" / f"{row}.orbax-checkpoint-tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    time.sleep(0.005)
    if not (out / "checkpoints" / str(row)).is_dir():
        temporary.rename(out / "checkpoints" / str(row))
    describe(out / "checkpoints" / str(row), sha256=digest(bits))


def resumed(out: Path) -> int:
    """The row to go on from; the log is cut to what belongs to it."""
    known = saved(out)
    if FAULT == "forgets" and known:
        print(f"checkpoint {known[-1]}: file a is missing; using an older one", file=sys.stderr)
        known = known[:-1]
    row = known[-1] if known else 0
    (out / "metrics.jsonl").write_text("".join(map(line, range(row))))
    print(f"resumed at step {row}" if known else "first: 40 steps", file=sys.stderr, flush=True)
    return row


def claim(out: Path, seeds: str) -> None:
    """Refuses a folder that another process has, or another number of seeds."""
    out.mkdir(parents=True, exist_ok=True)
    lock = out / "lock"
    try:
        lock.open("x").write(str(os.getpid()))
    except FileExistsError:
        holder = lock.read_text() or "0"
        if FAULT != "shares" and Path(f"/proc/{holder}").exists():
            print(f"fastrl: {out} is in use by process {holder} on {socket.gethostname()}; wait", file=sys.stderr)
            sys.exit(2)
        lock.write_text(str(os.getpid()))
    there = out / "seeds"
    if there.is_file() and there.read_text() != seeds and FAULT != "seeds":
        print(f"fastrl: --resume {out}: other options; use the same", file=sys.stderr)
        lock.unlink()
        sys.exit(2)
    there.write_text(seeds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--from", dest="start")
    found, _ = parser.parse_known_args()
    if found.start and int(found.seeds) > 3:
        print("fastrl: the agent has 3 seeds; ask for at most 3", file=sys.stderr)
        sys.exit(2)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    out = found.out
    claim(out, found.seeds)
    row = resumed(out)
    bits = "other" if FAULT == "drifts" and row else "bits"
    bits += " of several" if FAULT == "devices" and os.environ.get("JAX_NUM_CPU_DEVICES", "1") != "1" else ""
    while row < len(PHASES) * ROWS:
        with (out / "metrics.jsonl").open("a") as log:
            log.write(line(row))
        row += 1
        time.sleep(0.001)
        if row % EVERY == 0 or asked:
            save(out, row, f"{bits} {row}")
        if asked:
            (out / "lock").unlink()
            sys.exit(1 if FAULT == "deaf" else 128 + asked[0])
    describe(out / "agent" / "checkpoints" / "1", sha256=digest(bits))
    time.sleep(0.3)  # the report
    (out / "lock").unlink()


main()
