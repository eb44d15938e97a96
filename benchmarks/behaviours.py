"""Trains and packs the behaviour policies that come with the package: fastrl/behaviours/NAME.npz.

`python benchmarks/behaviours.py hopper` runs SAC once for every age of the list below (a shorter run is the beginning
of a longer one, bit for bit), plays 20 episodes of each with sampled actions, and prints the file's datasheet as a row
of fastrl/behaviours/README.md. Runs that are there already (`--runs`) are not trained again.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import agent as agents
from fastrl import api, envs
from fastrl.collect import players
from fastrl.collect.collect import collect
from fastrl.collect.levels import Behaviour, Snapshot

AGES = {
    "ant": (40_800, 98_400, 152_800, 293_600, 900_800),
    "ant-walk": (28_000, 188_000),
    "hopper": (11_200, 37_600, 74_400, 137_600, 151_200),
    "walker2d": (21_600, 69_200, 130_400, 148_800, 238_800),
    "halfcheetah": (6_400, 16_800, 27_200, 36_800, 185_600),
}
"""Environment steps of the runs, those of the warm-up included."""
OPTIONS: dict[str, Any] = {
    "seeds": 1,
    "num_envs": 16,
    "warmup": 4_800,
    "utd": 1,
    "num_critics": 2,
    "actor_hidden": (128, 128),
    "critic_hidden": (128, 128),
    "batch_size": 128,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "eval_every": 1_000,
    "eval_episodes": 10,
}
EPISODES = 20


def train(name: str, steps: int, out: Path) -> None:
    """One run from scratch, unless it is there."""
    if not (out / "agent" / "agent.json").is_file():
        api.run("sac", env=name, steps=steps, out=out, resume=out.exists(), **OPTIONS)


def packed(name: str, runs: list[Path], ages: tuple[int, ...]) -> Behaviour:
    """The actors of finished runs, played."""
    loaded = [agents.load(run) for run in runs]
    actors = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(agent.state.actor for agent in loaded))
    first = loaded[0]
    unknown = tuple(Snapshot(age, 0.0, 0.0) for age in ages)
    behaviour = Behaviour(name, first.spec.obs_size, first.spec.action_size, first.config, actors, unknown)
    returns = played(behaviour)
    known = (Snapshot(age, float(r.mean()), float(r.std())) for age, r in zip(ages, returns, strict=True))
    return dataclasses.replace(behaviour, snapshots=tuple(known))


def played(behaviour: Behaviour) -> np.ndarray:
    """Raw returns [K, EPISODES] of every snapshot, actions sampled; the first episode of each copy counts."""
    count, horizon = len(behaviour.snapshots), envs.make(behaviour.env).spec.horizon
    copies = count * EPISODES
    act = behaviour.sampler(range(count))
    rows = collect(behaviour.env, players.policy(act), steps=copies * horizon, copies=copies)
    ends = (rows["terminals"] | rows["timeouts"]).reshape(copies, horizon)
    counts: Any = np.cumsum(ends, 1) - ends == 0
    returns = (rows["rewards"].reshape(copies, horizon) * counts).sum(1)
    return returns.reshape(EPISODES, count).T


def sheet(behaviour: Behaviour, size: int) -> str:
    """A row of the README's table."""
    ages = "; ".join(f"{s.steps:,}: {s.mean:.0f} ± {s.std:.0f}" for s in behaviour.snapshots)
    picks = [behaviour.snapshots[i].steps for i in (behaviour.medium, behaviour.expert)]
    return f"| `{behaviour.env}` | {size // 1000} kB | {ages} | {picks[0]:,} | {picks[1]:,} |"


def main() -> None:
    """Trains and packs one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=AGES)
    parser.add_argument("--runs", type=Path, default=Path("runs/behaviours"), help="folder of the training runs")
    parser.add_argument("--out", type=Path, default=Path("fastrl/behaviours"), help="folder of the packed file")
    found = parser.parse_args()
    folders = [found.runs / f"{found.name}-{age}" for age in AGES[found.name]]
    for age, folder in zip(AGES[found.name], folders, strict=True):
        train(found.name, age, folder)
    behaviour = packed(found.name, folders, AGES[found.name])
    target = found.out / f"{found.name}.npz"
    behaviour.save(target)
    print(json.dumps({"behaviour": found.name, "snapshots": [dataclasses.asdict(s) for s in behaviour.snapshots]}))
    print(sheet(behaviour, target.stat().st_size))


if __name__ == "__main__":
    main()
