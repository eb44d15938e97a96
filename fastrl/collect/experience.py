"""The replay ring of a run, read out of its newest good checkpoint as a dataset.

A ring has no flag for episodes that were cut: they are found where a row does not start at the `next_obs` of the one
before it. An episode that starts exactly where the one before was cut is joined with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import links
from fastrl.data.datasets import Dataset
from fastrl.replay import ring as rings
from fastrl.runs import folder
from fastrl.runs.checkpoint import Checkpoints
from fastrl.types import UserError

SIZE = "seeds.env.obs"  # the leaf [S, E, O] that says how long observations are
FROZEN = "seeds.health.bad"  # the leaf [S] that is not 0 where a seed is frozen: its replay holds zeros since


def load(run: Path, seed: int | None, report: Callable[[str], None]) -> Dataset:
    """Rows of one seed, or of all, one after the other, oldest first; raw rewards.

    Of each seed the dataset's own rows come first where the ring was filled with them, then environment after
    environment. `report` gets a line about each damaged checkpoint. Raises `UserError` where the run has no ring yet.
    """
    links.check(run)
    identity = folder.read_config(run)["identity"]
    restored = Checkpoints(run / "checkpoints").restore(None, report)
    if restored is None or "ring.rows" not in restored.carry:
        raise UserError(f"{run}: has no replay (no checkpoint of an online phase); name a run that went online")
    leaves = {name: np.asarray(restored.carry[name]) for name in ("ring.rows", "ring.pointer", "ring.size", SIZE)}
    seeds = len(leaves["ring.rows"])
    if seed is not None and seed >= seeds:
        raise UserError(f"{run} has seeds 0 to {seeds - 1}, not {seed}")
    online = _online(identity, restored.meta["phase"], int(restored.carry["step"]))
    frozen = np.flatnonzero(np.asarray(restored.carry.get(FROZEN, 0)))  # a run of an older version has no such leaf
    chosen = [number for number in (range(seeds) if seed is None else [seed]) if number not in frozen]
    if not chosen:
        raise UserError(f"{run}: seed {frozen[0]} is frozen, its replay holds zeros since; name another seed or run")
    if seed is None and frozen.size:
        report(f"{run}: left out are the frozen seeds: {', '.join(map(str, frozen))}")
    lanes = [lane for number in chosen for lane in _lanes(leaves, number, online)]
    return _dataset(f"{run} step {restored.step}", lanes, leaves[SIZE].shape[-1], identity)


def _online(identity: dict[str, Any], number: int, step: int) -> int:
    """Environment steps of each seed up to `step` of phase `number`."""
    before = sum(phase["steps"] for phase in identity["phases"][:number] if phase["online"])
    return before + step * identity["num_envs"]


def _lanes(leaves: dict[str, np.ndarray], seed: int, online: int) -> list[np.ndarray]:
    """Rows [T, W] of the dataset (perhaps none), then of each environment, in the order of time."""
    rows, size, pointer = leaves["ring.rows"][seed], int(leaves["ring.size"]), int(leaves["ring.pointer"])
    rows = np.roll(rows, -pointer, axis=0) if size == len(rows) else rows[:size]
    environments = leaves[SIZE].shape[1]
    count = min(online, size) // environments * environments  # a step half overwritten is left out
    own = rows[: size - online] if online < size else rows[:0]
    played = rows[size - count :].reshape(-1, environments, rows.shape[1]).swapaxes(0, 1)
    return [lane for lane in (own, *played) if len(lane)]


def _dataset(name: str, lanes: list[np.ndarray], obs_size: int, identity: dict[str, Any]) -> Dataset:
    rows = np.concatenate(lanes)
    found = rings.unpack(rows, obs_size, rows.shape[1] - rings.width(obs_size, 0))  # type: ignore[arg-type]
    ends = np.zeros(len(rows), bool)
    ends[np.cumsum([len(lane) for lane in lanes])[:-1] - 1] = True
    reward = (np.asarray(found.reward, np.float64) - identity["reward_bias"]) / identity["reward_scale"]
    action = np.clip(found.action, -1.0, 1.0)  # PPO's are as they were drawn; the environment clips them
    return Dataset.from_arrays(found.obs, action, reward, found.mask, found.next_obs, ends, name=name)
