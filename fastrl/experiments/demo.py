"""The demonstration: data from a script, Cal-QL on it, then fine-tuning three ways from the same agents, and a picture.

It puts two claims of WSRL's paper to the test. Sizes, data and steps are the same for every arm and were chosen so that
it ends in minutes on two cores; what the picture does not show stands in `CAPTION`, beside it.
"""

from pathlib import Path
from typing import Any

from fastrl import api, presets
from fastrl.collect import collect, walkers
from fastrl.data import d4rl
from fastrl.experiments import quantities, reproduce
from fastrl.experiments.claims import Claim, examine
from fastrl.methods import ALGORITHMS
from fastrl.reports import plot, report
from fastrl.runs import lock, manifest
from fastrl.runs.folder import Resume
from fastrl.types import UserError

ENV = "pointmaze-medium"
ENV_OPTIONS = {"frame_skip": 4, "horizon": 150}
PLAYER = walkers.pointmaze(noise=1.0, max_distance=8, goal_fraction=0.05)
DATA: dict[str, Any] = {"steps": 10_000}
PRETRAIN_STEPS = 1_500
STEPS = 2_400
ONLINE: dict[str, Any] = {"steps": STEPS, "eval_every": 150, "eval_episodes": 50}
ENSEMBLE = {"num_critics": 5, "layer_norm": True}  # the same networks in every arm
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wsrl": ("WSRL", "wsrl", {"warmup": 600}),
    "calql": ("Cal-QL continued without data", "calql", ENSEMBLE),
    "new-critics": ("WSRL with new critics", "wsrl", {"warmup": 600, "initialise": "actor"}),
}
CLAIMS = (
    Claim("keeping the pre-trained critics helps (WSRL's figure 12)", quantities.average, "wsrl", "new-critics"),
    Claim("WSRL does better than Cal-QL, neither with data (figure 7)", quantities.average, "wsrl", "calql"),
)

CAPTION = """\
All arms start from the same Cal-QL agents and use the same networks, data and number of environment steps; Cal-QL
makes one update a step, as its authors do, WSRL four. The maze's goal is not observed, and a third of the cells
where evaluation episodes start (7 of 21) lie further from it than any cell where the logged data starts.

An effect is the success rate over all online steps, the warm-up's included: WSRL's minus the other arm's, seed by seed.

What this picture shows: the data and the conservatism can go at the switch, what has to stay are the critics. A policy
that is handed to new ones forgets at once what it knew, and has to learn it again.
What it does not show: that warm-up helps, nor that Cal-QL collapses without its data. Both need harder tasks than one
that a laptop solves in minutes; `fastrl reproduce wsrl` puts them to the test.
"""


def demo(out: Path, seeds: int, resume: Resume) -> str:
    """Runs the demonstration into `out` and returns what to print."""
    if out.exists() and not resume:
        raise UserError(f"--out {out} exists; add --resume to continue it, or name another folder")
    if resume is True and not out.is_dir():
        raise UserError(f"--resume: there is no {out}; leave --resume out, or write --resume auto")
    if seeds <= 0:
        raise UserError(f"--seeds must be above 0, not {seeds}")
    manifest.make_folder(out)
    with lock.hold(out):
        return _run(out, seeds)


def _run(out: Path, seeds: int) -> str:
    data = out / "data.hdf5"
    if not data.exists():
        d4rl.write(data, collect.collect(ENV, PLAYER, options=ENV_OPTIONS, **DATA))
    domain = presets.find("pointmaze")
    config = presets.configure(ALGORITHMS["calql"], "calql", domain, ENSEMBLE, {})
    common: dict[str, Any] = {"env": ENV, "env_options": ENV_OPTIONS, "resume": "auto", "command": "fastrl demo"}
    evaluation = {"eval_every": PRETRAIN_STEPS // 5, "eval_episodes": ONLINE["eval_episodes"], "seeds": seeds}
    start = out / "pretrain"
    api.pretrain(config, data, steps=PRETRAIN_STEPS, out=start, **common, **evaluation)
    runs: list[Path | str] = []
    for name, (_, recipe, options) in ARMS.items():
        api.run(recipe, start=start, out=out / name, seeds=seeds, **common, **ONLINE, **options)
        runs.append(out / name)
    picture = out / "demo.png"
    plot.curves(runs, picture, labels=[label for label, _, _ in ARMS.values()])
    logs = {name: quantities.read(out / name) for name in ARMS}
    effects = [examine(claim, ENV, logs) for claim in CLAIMS]
    judged = "\n".join(reproduce.table(effects))
    text = f"{report.table(runs)}\n\n{judged}\n\n{CAPTION}"
    manifest.replace(out / "demo.md", f"# WSRL on {ENV}\n\n![curves](demo.png)\n\n{text}".encode())
    return f"{text}\n{picture}"
