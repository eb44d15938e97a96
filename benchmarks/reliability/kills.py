"""python benchmarks/reliability/kills.py [--recipe wsrl] [--kills 50]: kill -9 at random moments of four recipes.

Of each recipe one run is left alone. The same command is then started again and again in another folder, killed once
in every process, and continued with `--resume auto`, `KILLS` times a run: in each of the recipe's phases at a random
row of the log or in the middle of a save (an unfinished Orbax folder, or a step without its manifest), and once while
the agent and the report are written. What a run logged until a kill must be how the other log begins, what was
acknowledged must be what the next process resumes from, and the run must end with the same SHA-256 of the whole carry
and of the agents, and with the same metrics.jsonl. Linux or macOS; no accelerator is used.
"""

import functools
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import common
from fastrl.runs.checkpoint import MANIFEST

FIGURE = "A run that is killed at any moment loses nothing that was acknowledged and, resumed, ends in the same bits."
KILLS = 10  # of one run
PAUSES = {"row": 0.1, "save": 0.02, "report": 1.0}  # at most so many seconds from a moment to its kill
Moment = tuple[str, str, int]
"""A phase, `row`, `save` or `report`, and the row of the phase's log from which on it is meant."""


def moments(phases: list[str], kills: int, rng: random.Random) -> list[Moment]:
    """When one run is killed, in order: in every phase in turn at a row and in a save, then after the last step."""
    every = [(phase, ("row", "save")[turn % 2]) for turn in range(kills) for phase in range(len(phases))]
    chosen = sorted(every[: kills - 1])
    rng.shuffle(chosen)
    chosen.sort(key=lambda each: each[0])  # the kinds of one phase in any order
    found: list[Moment] = []
    for number, phase in enumerate(phases):
        kinds = [kind for of, kind in chosen if of == number]
        width = (common.LOGGED - 4) // max(1, len(kinds))
        found += [(phase, kind, n * width + rng.randrange(width)) for n, kind in enumerate(kinds)]
    return [*found, (phases[-1], "report", common.LOGGED)]


def saving(out: Path) -> bool:
    """Whether a save is under way."""
    folder = out / "checkpoints"
    if not folder.is_dir():
        return False
    found = common.steps(out)
    unfinished = bool(found) and not (folder / str(found[-1]) / MANIFEST).is_file()
    return unfinished or any("orbax-checkpoint-tmp" in path.name for path in folder.iterdir())


def reached(moment: Moment, out: Path, last: int) -> bool:
    """Whether a run is at a moment; `last` is its last step."""
    phase, kind, row = moment
    if kind == "report":
        return common.acknowledged(out) == last
    return common.passed(phase, row, out) and (kind == "row" or saving(out))


def after(moment: Moment, out: Path, before: int, said: str, reference: list[bytes]) -> dict[str, Any]:
    """What a process that was killed left behind, and whether the one before it was resumed from what it had saved."""
    phase, kind, row = moment
    log = common.logged(out)
    lost = before >= 0 and ("resumed at" not in said or f"checkpoint {before}:" in said)
    return {
        "phase": phase,
        "moment": kind,
        "after_row": row,
        "found_in": json.loads(log[-1])["phase"] if log else "",
        "saving": saving(out),
        "rows": len(log),
        "acknowledged": common.acknowledged(out),
        "lost": lost or common.acknowledged(out) < before or log != reference[: len(log)],
    }


def chain(recipe: str, home: Path, number: int, planned: list[Moment], expected: dict[str, Any]) -> dict[str, Any]:
    """One run that is killed at each of the moments, then left to end: the kills, and how it ended."""
    rng = random.Random(f"{recipe} {number}")
    out, before, kills = home / f"{recipe}-{number}", -1, []
    words = [*common.command(recipe, home, out), "--resume", "auto"]
    for place, moment in enumerate(planned):
        said = home / f"{recipe}-{number}-{place}.txt"
        process = common.start(words, home, said)
        pause = rng.uniform(0.0, PAUSES[moment[1]])
        struck = common.wait(process, said, functools.partial(reached, moment, out, expected["last"]))
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        ended = {"struck": struck and code == -signal.SIGKILL, "failed": not struck and code != 0}
        kills.append(ended | after(moment, out, before, said.read_text(), expected["rows"]))
        before = kills[-1]["acknowledged"]
    said = home / f"{recipe}-{number}-end.txt"
    code = common.start(words, home, said).wait()
    last = said.read_text()
    lost = before >= 0 and ("resumed at" not in last or f"checkpoint {before}:" in last)
    found = common.end(out) if code == 0 else {}
    return {
        "recipe": recipe,
        "run": number,
        "kills": kills,
        "end": {
            "code": code,
            "lost": lost,
            "same": {name: found.get(name) == expected["end"][name] for name in common.SAME},
        },
    }


def counted(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """What the cases add up to: kills, acknowledged checkpoints that were lost, runs with another end."""
    kills = [kill for case in cases for kill in case["kills"] if kill["struck"]]
    phases: dict[str, int] = {}
    for kill in kills:
        name = kill["phase"] if kill["moment"] != "report" else "report"
        phases[name] = phases.get(name, 0) + 1
    ends = [case["end"] for case in cases]
    return {
        "kills": len(kills),
        "in_phase": phases,
        "in_a_save": sum(kill["saving"] for kill in kills),
        "runs": len(cases),
        "acknowledged_lost": sum(kill["lost"] for case in cases for kill in case["kills"])
        + sum(end["lost"] for end in ends),
        "failed_to_resume": sum(kill["failed"] for case in cases for kill in case["kills"])
        + sum(end["code"] != 0 for end in ends),
        "different_ends": sum(not all(end["same"].values()) for end in ends),
    }


def good(counts: dict[str, Any]) -> bool:
    """Whether nothing was lost and every end is the same."""
    return counts["kills"] > 0 and not any(
        counts[name] for name in ("acknowledged_lost", "failed_to_resume", "different_ends")
    )


def killed(recipe: str, home: Path, kills: int) -> Iterator[dict[str, Any]]:
    """The runs of one recipe, killed as often as asked all together."""
    common.done(common.command(recipe, home, home / recipe), home)
    expected = {
        "end": common.end(home / recipe),
        "rows": common.logged(home / recipe),
        "last": common.steps(home / recipe)[-1],
    }
    number, left = 0, kills
    while left > 0 and number < 2 * kills:
        planned = moments(common.phases(recipe), min(KILLS, left), random.Random(f"{recipe} {number} moments"))
        case = chain(recipe, home, number, planned, expected)
        left -= sum(kill["struck"] for kill in case["kills"])
        number += 1
        yield case


def main() -> int:
    """Each recipe's runs and kills, counted."""
    parser = common.parser("kills", __doc__)
    parser.add_argument("--recipe", choices=common.RECIPES, help="this one alone")
    parser.add_argument("--kills", type=int, default=50, help="of each recipe")
    found = parser.parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.collect(home)
        for recipe in [found.recipe] if found.recipe else common.RECIPES:
            for case in killed(recipe, home, found.kills):
                cases.append(case)
                print(json.dumps(case), flush=True)
    counts = counted(cases)
    counts["of_recipe"] = {
        name: counted([each for each in cases if each["recipe"] == name])["kills"] for name in common.RECIPES
    }
    return common.write(found.json, FIGURE, counts, good(counts), cases, started)


if __name__ == "__main__":
    sys.exit(main())
