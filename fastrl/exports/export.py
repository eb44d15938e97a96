"""`fastrl.export`: a policy into a file, which is read back and compared with the agent before it gets its name."""

import dataclasses
import os
from pathlib import Path

import jax
import numpy as np

from fastrl import agent as agents
from fastrl.agent import Agent
from fastrl.exports import formats, network
from fastrl.types import Failure, UserError

OBSERVATIONS = 1_000
TOLERANCE = 1e-5
"""Largest difference that a file may show, as a share of the action's range."""
SPREAD, EXTREME = 3.0, 10.0
"""Stds of the observations that are drawn, and those of the extremes, a tenth of them."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """A policy in a file."""

    path: Path
    agent: Agent = dataclasses.field(repr=False)
    seed: int
    difference: float  # largest one from the agent's actions, as a share of the action's range
    use: str  # how the file is played


def export(agent: str | Path | Agent, path: str | Path, seed: int | None = None) -> Exported:
    """Writes the deterministic policy of one seed as .npz, .safetensors, .onnx or .stablehlo; the name's end decides.

    `agent` is one, or its folder; of several seeds `seed` takes one, as DIR:2 does, else it is seed 0.

    Raw observations go in, the environment's own actions come out: the normaliser and the bounds are inside
    (`fastrl.exports` says what a file holds). The file is read back and has to answer 1,000 observations as the agent
    does; raises `Failure`, and leaves no file, where one differs by more than 1e-5 of the range. Raises `UserError`
    where the policy is no function of one observation, or not of layers that the format holds.
    """
    target = Path(path)
    form = formats.FORMATS.get(target.suffix)
    if form is None:
        raise UserError(f"{target}: name a file that ends in .npz, .safetensors, .onnx or .stablehlo")
    if target.is_dir() or not target.parent.is_dir():
        what = f"{target} is a folder" if target.is_dir() else f"{target.parent} is no folder"
        raise UserError(f"{what}; name a file in a folder that is there")
    agent, seed = _one(agent, seed)
    obs = observations(agent, seed)
    network.check(agent, seed, obs)
    data = form.write(agent, seed)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        _put(temporary, data)
        difference = compared(agent, seed, obs, form.read(temporary))
        if not difference <= TOLERANCE:
            fix = "" if target.suffix == ".stablehlo" else f"; {network.HINT}"
            raise Failure(f"{target} is not written: its actions differ by {difference:.1e} of their range{fix}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(target, agent, seed, difference, form.use)


def _one(agent: str | Path | Agent, seed: int | None) -> tuple[Agent, int]:
    """The agent of all its seeds, and the number of the one that is meant."""
    if not isinstance(agent, Agent):
        where, _, index = str(agent).rpartition(":")
        if where and index.isdigit():
            if seed is not None:
                raise UserError(f"{agent} names a seed already; leave seed {seed} out")
            agent, seed = where, int(index)
        agent = agents.load(agent)
    seed = seed or 0
    if not 0 <= seed < agent.seeds:
        raise UserError(f"the agent has seeds 0 to {agent.seeds - 1}, not {seed}")
    return agent, seed


def observations(agent: Agent, seed: int) -> np.ndarray:
    """Observations [1000, O] about the normaliser's statistics, or about 0 with a std of 1; some are far out."""
    drawn = SPREAD * np.random.default_rng(0).standard_normal((OBSERVATIONS, agent.spec.obs_size))
    far = OBSERVATIONS // 10
    drawn[:far] = EXTREME * np.sign(drawn[:far])
    drawn[0] = 0.0
    mean, std = network.statistics(agent, seed) or (0.0, 1.0)
    return (mean + std * drawn).astype(np.float32)


def compared(agent: Agent, seed: int, obs: np.ndarray, play: formats.Player) -> float:
    """The largest difference between a file's actions and the agent's, as a share of the range of each."""
    with jax.default_matmul_precision("highest"):
        expected = network.scaled(agent, agent.act(obs, seed))
    found = play(obs)
    if found.shape != expected.shape:
        return float("inf")
    low, high = network.bounds(agent)
    return float((np.abs(found - expected) / (high - low)).max())


def _put(path: Path, data: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        folder = path.parent
        raise UserError(f"nothing can be written in {folder} ({error.strerror}); choose another place") from error
