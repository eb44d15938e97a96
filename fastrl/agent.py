"""An agent apart from its run: options, sizes and state, in a folder of its own with checksums."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import config as configs
from fastrl import methods, plugins
from fastrl.data import links
from fastrl.networks import normalise
from fastrl.runs import folder, lock, manifest
from fastrl.runs.checkpoint import Checkpoints
from fastrl.types import Algorithm, Key, Spec, State, UserError

FORMAT = 2
"""Of agent.json and the arrays beside it; 1 was fastrl 0.1's, whose networks were named otherwise."""


ALLOW_CODE = "FASTRL_ALLOW_CODE"
"""The environment's variable that lets an agent import the code that it names; in Python, importing it first does."""


def own_code(fields: dict[str, Any]) -> list[str]:
    """The code that an agent's options (a dictionary of them) name beside fastrl's own: MODULE:NAME or FILE.py:NAME."""
    names = ("algorithm", "actor", "critic", "actor_optimizer", "critic_optimizer")
    return [given for name in names if isinstance(given := fields.get(name), str) and ":" in given]


def algorithm_of(config: configs.Options, spec: Spec) -> Algorithm:
    """The functions of an agent with these options, normaliser included: its statistics come with the agent's state."""
    algorithm = config.build(spec)
    if not getattr(config, "normalize_observations", False):
        return algorithm
    return normalise.normalised(algorithm, (np.zeros(spec.obs_size), np.ones(spec.obs_size)))


@dataclasses.dataclass(frozen=True)
class Agent:
    """A (pre-)trained actor-critic of one or several seeds."""

    config: configs.Options
    spec: Spec
    state: State  # every leaf [S, ...]
    reward: tuple[float, float] = (1.0, 0.0)  # scale and bias of the rewards that its values are of

    def __repr__(self) -> str:
        """What it is, without its numbers."""
        return f"Agent({type(self.config).__name__}, {self.spec.name}, seeds={self.seeds})"

    @property
    def seeds(self) -> int:
        """How many agents this is."""
        return int(jax.tree.leaves(self.state)[0].shape[0])

    @property
    def algorithm(self) -> Algorithm:
        """The three functions of this agent's algorithm."""
        return algorithm_of(self.config, self.spec)

    def act(self, obs: Any, seed: int = 0) -> np.ndarray:
        """Deterministic action `[..., A]` in [-1, 1] of one seed's policy for observations `[..., O]`."""
        if not 0 <= seed < self.seeds:
            raise UserError(f"the agent has seeds 0 to {self.seeds - 1}, not {seed}")
        return np.asarray(self._act(self.state, jnp.asarray(obs, jnp.float32), seed))

    @functools.cached_property
    def _act(self) -> Callable[[State, jax.Array, int], jax.Array]:
        """`act`, compiled once for each shape: robots and other people's loops call it step by step."""
        algorithm = self.algorithm

        def act(state: State, obs: jax.Array, seed: int) -> jax.Array:
            return algorithm.act(jax.tree.map(lambda x: x[seed], state), obs, jax.random.key(0), False)

        return jax.jit(act)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the fields, without the compiled program."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def sampler(self, seed: int = 0) -> Callable[[jax.Array, Key], jax.Array]:
        """`(observations [..., O], key) -> actions [..., A]` in [-1, 1], drawn from one seed's policy; traceable."""
        state = jax.tree.map(lambda x: x[seed], self.state)
        return lambda obs, key: self.algorithm.act(state, obs, key, True)

    def for_seeds(self, seeds: int, points: int = 1, first: int = 0) -> State:
        """States of `seeds` agents from number `first` on: this one agent for all, or seed by seed.

        They are the same for each point of a sweep.
        """
        if points > 1:
            one = self.for_seeds(seeds, first=first)
            return jax.tree.map(lambda x: jnp.concatenate([x] * points), one)
        if self.seeds == 1:
            return jax.tree.map(lambda x: jnp.repeat(x, seeds, axis=0), self.state)
        if self.seeds < first + seeds:
            after = f" from number {first} on" if first else ""
            raise UserError(
                f"the agent to start from has {self.seeds} seeds and --seeds asks for {seeds}{after}; "
                f"ask for at most {self.seeds}, or start all from one with DIR:SEED"
            )
        return jax.tree.map(lambda x: x[first : first + seeds], self.state)

    def save(self, path: str | Path) -> None:
        """Writes agent.json and an Orbax checkpoint with checksums under `path`."""
        path = Path(path)
        if (path / "config.json").exists():
            raise UserError(f"{path} is a run's folder; save the agent into one of its own")
        manifest.make_folder(path)
        content = {
            "format": FORMAT,
            "config": methods.describe(self.config),
            "spec": dataclasses.asdict(self.spec),
            "seeds": self.seeds,
            "reward": self.reward,
        }
        with lock.hold(path):
            folder.write_json(path / "agent.json", content)
            checkpoints = Checkpoints(path / "checkpoints")
            checkpoints.save(max(checkpoints.steps(), default=0) + 1, self.state, {})


def load(path: str | Path) -> Agent:
    """The agent that `Agent.save` or a finished run wrote; `DIR:2` is its seed 2 alone."""
    text = str(path)
    where, _, index = text.rpartition(":")
    chosen = int(index) if where and index.isdigit() else None
    root = Path(where if chosen is not None else text)
    home = next((p for p in (root, root / "agent") if (p / "agent.json").is_file()), None)
    if home is None:
        if (root / "config.json").is_file():
            raise UserError(f"{root} is a run that has not finished: it has no agent; --resume it first")
        raise UserError(f"{root} holds no agent (no agent.json); name a finished run or a saved agent")
    links.check(home)
    try:
        content = json.loads((home / "agent.json").read_text())
        if content.get("format", 1) != FORMAT:
            raise UserError(
                f"{home / 'agent.json'} was saved by fastrl 0.1, whose networks had other names; "
                "train the agent again, or use it with fastrl 0.1"
            )
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["spec"].items()}
        spec = Spec(**fields)
        config = _config(home, content["config"])
        seeds, (scale, bias) = int(content["seeds"]), content["reward"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{home / 'agent.json'} cannot be read ({error}); save the agent again") from error
    algorithm = algorithm_of(config, spec)
    template = jax.eval_shape(lambda: jax.lax.map(algorithm.init, jax.random.split(jax.random.key(0), seeds)))
    damage: list[str] = []
    restored = Checkpoints(home / "checkpoints").restore(lambda meta: template, damage.append)
    if damage:  # an older save is another agent
        raise UserError(f"{home}: the agent's {damage[0].partition(';')[0]}; save it again, or copy it from elsewhere")
    if restored is None:
        raise UserError(f"{home} holds no checkpoint of the agent; save it again")
    agent = Agent(config, spec, restored.carry, (float(scale), float(bias)))
    if chosen is None:
        return agent
    if chosen >= agent.seeds:
        raise UserError(f"{root} has seeds 0 to {agent.seeds - 1}, not {chosen}")
    return dataclasses.replace(agent, state=jax.tree.map(lambda x: x[chosen : chosen + 1], agent.state))


def _config(home: Path, fields: dict[str, Any]) -> Any:
    """An agent's options; a class that is not ours is imported, and a network that was handed over must be named.

    Raises `UserError` where that would run code that nobody has imported yet: the agent may be a stranger's.
    """
    for name in ("actor", "critic"):
        if (given := fields.get(name)) is not None and ":" not in given:
            raise UserError(f"{home} has a {name} of its own, {given!r}, which cannot be found again: use MODULE:NAME")
    name = fields["algorithm"]
    if name not in methods.ALGORITHMS and ":" not in name:
        raise ValueError(f"there is no algorithm {name!r}")
    for given in own_code(fields):
        if not (plugins.imports_nothing(given) or os.environ.get(ALLOW_CODE) == "1"):
            raise UserError(
                f"{home / 'agent.json'} names code, {given!r}, which using the agent would run; "
                f"where it is yours, or you have read it, set {ALLOW_CODE}=1"
            )
    kind = None if name in methods.ALGORITHMS else plugins.resolve("algorithm", name)
    return methods.restore(fields, kind)
