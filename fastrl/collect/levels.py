"""Behaviour policies that come with the package: actors alone, from the least trained to the best, in one small file.

D4RL's levels are made of them: `medium` is the actor that earns about a third of the best one's return, `expert` the
best, `medium-replay` all up to the medium one in equal shares (D4RL has the replay buffer of that training instead),
and `random` needs none. `benchmarks/behaviours.py` trains them.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import methods
from fastrl.algorithms import parts
from fastrl.collect.players import Act
from fastrl.collect.walkers import Walk
from fastrl.networks.policy import Policy
from fastrl.runs import manifest
from fastrl.types import Key, Params, Spec, UserError

LEVELS = ("medium-replay", "medium", "expert")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One actor: how long it was trained, and what it earns."""

    steps: int  # environment steps of its training
    mean: float  # of the raw returns of episodes with sampled actions
    std: float


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """The actors of one training, every leaf [K, ...], and what is known of them."""

    env: str
    obs_size: int
    action_size: int
    config: Any  # options of an actor-critic
    actors: Params  # of the actor's module
    snapshots: tuple[Snapshot, ...]  # K, by steps

    @property
    def medium(self) -> int:
        """The snapshot, up to the best, whose return is nearest to a third of the best one's."""
        means = np.array([snapshot.mean for snapshot in self.snapshots[: self.expert + 1]])
        return int(np.abs(means - means[-1] / 3).argmin())

    @property
    def expert(self) -> int:
        """The snapshot with the best return."""
        return int(np.argmax([snapshot.mean for snapshot in self.snapshots]))

    def chosen(self, level: str) -> list[int]:
        """The snapshots that a level of `LEVELS` is made of."""
        if level == "medium-replay":
            return list(range(self.medium + 1))
        return [self.medium if level == "medium" else self.expert]

    def sampler(self, chosen: Sequence[int]) -> Act:
        """`(observations [E, O], key) -> actions [E, A]`, sampled; row e acts as snapshot `chosen[e % len(chosen)]`."""

        def act(obs: jax.Array, key: Key) -> jax.Array:
            mine = np.asarray(chosen)[np.arange(len(obs)) % len(chosen)]
            actors = jax.tree.map(lambda leaf: jnp.asarray(leaf)[mine], self.actors)
            return jax.vmap(self._sample)(actors, obs, jax.random.split(key, len(obs)))

        return act

    def _sample(self, actor: Params, obs: jax.Array, key: Key) -> jax.Array:
        return _policy(self.config, self.obs_size, self.action_size).act(actor, obs, key, True)

    def save(self, path: Path) -> None:
        """Writes one npz file: the leaves by their names and a `sheet` of JSON."""
        sheet = dataclasses.asdict(self) | {"config": methods.describe(self.config)}
        del sheet["actors"]
        leaves = {jax.tree_util.keystr(name): leaf for name, leaf in jax.tree_util.tree_leaves_with_path(self.actors)}
        file = io.BytesIO()
        np.savez_compressed(file, sheet=np.array(json.dumps(sheet)), **leaves)
        manifest.replace(path, file.getvalue())


def names() -> list[str]:
    """The tasks that have behaviour policies."""
    return sorted(file.name.removesuffix(".npz") for file in _folder().iterdir() if file.name.endswith(".npz"))


def find(env: str) -> Behaviour:
    """The behaviour policies of a task; raises `UserError` where there are none."""
    if env not in names():
        raise UserError(f"{env} has no behaviour policies, {', '.join(names())} have; name your own with --policy")
    with resources.as_file(_folder() / f"{env}.npz") as path:
        return load(path)


def walker() -> Walk:
    """The policy that walks in AntMaze's scripted data: the best actor of ant-walk."""
    from fastrl.envs.walk import observe  # and MuJoCo, which most commands do without

    behaviour = find("ant-walk")
    act = behaviour.sampler([behaviour.expert])
    return lambda qpos, qvel, direction, key: act(observe(qpos, qvel, direction)[None], key)[0]


def load(path: Path) -> Behaviour:
    """Reads what `Behaviour.save` wrote."""
    with np.load(path) as file:
        sheet: dict[str, Any] = json.loads(str(file["sheet"]))
        config = methods.restore(sheet.pop("config"))
        actor = _policy(config, sheet["obs_size"], sheet["action_size"])
        shapes = jax.eval_shape(lambda: actor.init(jax.random.key(0), sheet["obs_size"]))
        names, form = jax.tree_util.tree_flatten_with_path(shapes)
        leaves = [file[jax.tree_util.keystr(name)] for name, _ in names]
    snapshots = tuple(Snapshot(**snapshot) for snapshot in sheet.pop("snapshots"))
    return Behaviour(**sheet, config=config, actors=jax.tree.unflatten(form, leaves), snapshots=snapshots)


def _policy(config: methods.ActorCritic, obs_size: int, action_size: int) -> Policy:
    return parts.gaussian(config, Spec("behaviour", obs_size, action_size, horizon=1))


def _folder() -> Any:
    return resources.files("fastrl") / "behaviours"
