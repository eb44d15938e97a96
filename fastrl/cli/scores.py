"""`fastrl scores`: what 0 and 100 of a normalised score are in each task. Without --measure it needs no jax."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastrl.cli.options import Parser
from fastrl.errors import UserError, unknown

if TYPE_CHECKING:
    from fastrl.data.references import Measured, Reference

NOTES = """\
random and expert: the mean of so many episodes [95 % interval] of uniform actions and of our own expert, raw returns,
in mazes the share of successes; D4RL's: d4rl/infos.py. fastrl scores ENV says who the expert is.
A score is 100 (R - random) / (expert - random). Reports show D4RL's where it compares, else ours. Of D4RL's v2 tasks,
halfcheetah is the same in every version up to v5; hopper-v5 pays 1 less in the last step of a fall (0.03 points);
walker2d and ant compare as version=v4 alone; AntMaze's D4RL score is the success in percent, on D4RL's physics, in
the mazes that are not listed too.
D4RL's random returns of hopper and ant are not what uniform actions earn today, in C MuJoCo either: its 0 lies lower.
Not comparable with D4RL: PointMaze (not maze2d's task), brax's tasks, and the returns of Kitchen and Adroit here.
A policy's score compares with published ones where its data were D4RL's own, which a file's name does not prove."""


def main(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """The references of every task, or of one; with --measure they are measured again."""
    parser = Parser(
        prog="fastrl scores",
        description="Shows what a random and an expert policy earn in each task: 0 and 100 of a normalised score.",
    )
    parser.add_argument("env", nargs="?", metavar="ENV", help="one task in full (default: all)")
    meaning = "measure now and show it beside the package's numbers; minutes in AntMaze (default: only show those)"
    parser.add_argument("--measure", action="store_true", help=meaning)
    meaning = "of each policy that is measured (default: 100)"
    parser.add_argument("--episodes", type=int, metavar="N", help=meaning)
    parser.add_argument("--json", action="store_true", help="one JSON line a task (default: a table)")
    found = parser.parse(words)
    if found.episodes is not None and not found.measure:
        raise UserError("--episodes is how many --measure plays; add --measure or leave it out")
    if found.episodes is not None and found.episodes < 2:
        raise UserError(f"--episodes must be at least 2, not {found.episodes}: one episode has no interval")
    if found.measure:
        prepare()
    from fastrl.data import references

    known = references.table()
    task = None if found.env is None else references.measured_as(found.env)
    if task is not None and task not in known and d4rl(task) is None:
        raise unknown("task with reference scores", found.env, known, f"there are {', '.join(known)}")
    chosen = [task] if task else list(known)
    if found.measure:
        return _measured(chosen, found.episodes or 100, found.json)
    if found.json:
        print("\n".join(json.dumps(row(name, known.get(name))) for name in chosen))
    else:
        print(listing(known) if task is None else entry(task, known.get(task)))
    return 0


def listing(chosen: Mapping[str, "Reference"]) -> str:
    """Every task in a line, and what the columns are."""
    from fastrl.cli.catalogue import aligned

    head = ("env", "version", "episodes", "random", "expert", "D4RL's random", "D4RL's expert", "in reports")
    rows = []
    for one in chosen.values():
        ends = tuple(map(number, d4rl(one.env) or ())) or ("-", "-")
        version, episodes = one.version or "-", str(one.random.episodes)
        rows.append((one.env, version, episodes, shown(one.random), shown(one.expert), *ends, column(one.env)))
    return f"{aligned(head, rows)}\n\n{NOTES}"


def entry(name: str, one: "Reference | None") -> str:
    """One task in full."""
    from fastrl.data import scores

    if one is None:
        ends = " and ".join(map(number, d4rl(name) or ()))
        return f"{name}\n  D4RL's      {ends}\n  in reports  {column(name)}\n  measured    not here (--measure)"
    reason = scores.OTHERWISE.get((one.env, one.version))
    ends = " and ".join(map(number, d4rl(one.env) or ())) or "none"
    lines = {
        "random": f"{shown(one.random)}, {one.random.episodes} episodes, {one.random.who}",
        "expert": f"{shown(one.expert)}, {one.expert.episodes} episodes, {one.expert.who}",
        "D4RL's": ends,
        "in reports": column(one.env) + (f": {reason}; D4RL's with version=v4" if reason else ""),
        "measured": one.made,
    }
    title = f"{one.env} ({one.version})" if one.version else one.env
    return "\n".join([title, *(f"  {key:10}  {value}" for key, value in lines.items())])


def row(name: str, one: "Reference | None") -> dict[str, Any]:
    """A task for `--json`."""
    return {"env": name, **(dataclasses.asdict(one) if one else {}), "d4rl": d4rl(name), "reports": column(name)}


def d4rl(env: str) -> tuple[float, float] | None:
    """D4RL's random and expert of the task of that name, in whatever version it compares."""
    from fastrl.data import scores

    return scores.of_task(env, {"version": "v4"} if env in scores.TASKS else {})


def column(env: str) -> str:
    """The score that reports show of a run on the task as it is by default."""
    from fastrl.data import references

    found = references.scale(env, {})
    assert found is not None
    return found.name


def _measured(chosen: Sequence[str], episodes: int, as_json: bool) -> int:
    """Measures tasks, one after another: each is printed as soon as it is known."""
    from fastrl.cli.datasets import to_stderr
    from fastrl.collect import references
    from fastrl.data.references import table

    for name in chosen:
        to_stderr(f"measuring {name}: {episodes} episodes of a random and of an expert policy")
        now = references.measure(name, episodes)
        if as_json:
            print(json.dumps(row(name, now)), flush=True)
            continue
        for end in ("random", "expert"):
            before, after = getattr(table().get(name), end, None), getattr(now, end)
            there = f"{shown(before)} in the package ({before.episodes} episodes)" if before else "none in the package"
            print(f"{name} {end}: {shown(after)} now, {there}", flush=True)
    return 0


def shown(measured: "Measured") -> str:
    """A mean with its interval."""
    return f"{number(measured.mean)} [{number(measured.low)}, {number(measured.high)}]"


def number(x: float) -> str:
    """Returns with one digit behind the point; small numbers with three."""
    return f"{x:,.1f}" if abs(x) >= 10 else f"{x:.3f}"
