"""What an agent plays, taken apart into layers, or as one function: observations in, the environment's actions out.

The layers are those of the actor's module that runs when the agent acts, whatever the method: the module is watched at
work, so that a method needs no entry in a table. An agent whose actions come from more than that one module has none.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fastrl import __version__, methods
from fastrl.agent import Agent
from fastrl.envs.wrappers import ACTION_LIMIT
from fastrl.networks.normalise import Normalised
from fastrl.networks.policy import DeterministicActor, GaussianActor
from fastrl.networks.trunk import LAYER_NORM_EPS
from fastrl.types import UserError

FORMAT = 1
HINT = "export it as .stablehlo, which holds any jax function"


@dataclasses.dataclass(frozen=True)
class Network:
    """A policy as the header and the arrays of a file (`fastrl.exports`)."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def bounds(agent: Agent) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest action of the agent's environment, [A] each, float32."""
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float32), (agent.spec.action_size,))
        for bound in (agent.spec.action_low, agent.spec.action_high)
    )
    return low, high


def statistics(agent: Agent, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and std [O] of one seed's normaliser; None without one."""
    if not isinstance(agent.state, Normalised):
        return None
    return np.asarray(agent.state.mean[seed]), np.asarray(agent.state.std[seed])


def scaled(agent: Agent, action: Any) -> Any:
    """What the environment gets of an action [..., A] of the agent, as `fastrl.envs.wrappers.Rescale` does it."""
    low, high = (bound.reshape((1,) * (action.ndim - 1) + (-1,)) for bound in bounds(agent))
    numbers = np if isinstance(action, np.ndarray) else jnp
    return low + (numbers.clip(action, -ACTION_LIMIT, ACTION_LIMIT) + 1) / 2 * (high - low)


def function_of(agent: Agent, seed: int) -> Callable[[jax.Array], jax.Array]:
    """One seed's deterministic policy, its parameters inside: raw observations [B, O] -> actions [B, A]; traceable."""
    algorithm, state = agent.algorithm, jax.tree.map(lambda x: x[seed], agent.state)

    def play(obs: jax.Array) -> jax.Array:
        action: jax.Array = scaled(agent, algorithm.act(state, obs, jax.random.key(0), False))
        return action

    return play


def check(agent: Agent, seed: int, obs: np.ndarray) -> None:
    """Refuses a policy that is no function of one observation: it remembers its episode, draws, or is not finite."""
    algorithm, name = agent.algorithm, methods.name_of(agent.config)
    if algorithm.player is not None:
        raise UserError(
            f"{name} plays by what it has seen of its episode, and a file holds one observation in, one action out: "
            "play it in Python (fastrl.evaluate), or start o2sac from it, which clones it into an actor"
        )
    state = jax.tree.map(lambda x: x[seed], agent.state)
    keys = (jax.random.key(number) for number in (0, 1))
    first, second = (np.asarray(algorithm.act(state, jnp.asarray(obs), key, False)) for key in keys)
    if not np.isfinite(first).all():
        raise UserError(f"the policy of seed {seed} gives actions that are not finite; export another seed")
    if not np.array_equal(first, second):
        fix = "a function of the observation alone can be exported"
        if hasattr(agent.config, "greedy_epsilon"):
            fix = "with greedy_epsilon 0 in its options it takes the better candidate, and can go into .stablehlo"
        raise UserError(f"{name} draws at random even where it is evaluated; {fix}")


def network_of(agent: Agent, seed: int, kind: str) -> Network:
    """One seed's policy as layers; raises `UserError` where it is not one actor of ours."""
    algorithm, state = agent.algorithm, jax.tree.map(lambda x: x[seed], agent.state)
    seen = _watched(lambda: algorithm.act(state, jnp.zeros((2, agent.spec.obs_size)), jax.random.key(0), False))
    if len(seen) != 1:
        words = f"{len(seen)} networks" if seen else "a function without a flax network"
        raise UserError(f"{methods.name_of(agent.config)} acts by {words}, and .{kind} holds one actor; {HINT}")
    module, params = seen[0]
    if not isinstance(module, (GaussianActor, DeterministicActor)):
        raise UserError(f"the actor is {type(module).__name__}, a network of your own, not layers for .{kind}; {HINT}")
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params)):
        raise UserError(f"{methods.name_of(agent.config)} acts by several actors, and .{kind} holds one; {HINT}")
    layers, arrays = _layers(module, jax.tree.map(np.asarray, params))
    known = statistics(agent, seed)
    low, high = (bound.tolist() for bound in bounds(agent))
    header = {
        "format": FORMAT,
        "fastrl": __version__,
        "algorithm": methods.name_of(agent.config),
        "env": agent.spec.name,
        "seed": seed,
        "obs_size": agent.spec.obs_size,
        "action_size": agent.spec.action_size,
        "normaliser": None if known is None else dict(zip(("mean", "std"), (x.tolist() for x in known), strict=True)),
        "layers": layers,
        "layer_norm_epsilon": LAYER_NORM_EPS,
        "squash": "tanh" if isinstance(module, DeterministicActor) or module.squash else "none",
        "action_limit": ACTION_LIMIT,
        "action_low": low,
        "action_high": high,
    }
    return Network(header, arrays)


def _watched(act: Callable[[], Any]) -> list[tuple[nn.Module, Any]]:
    """The outermost modules that are called while it acts, with their parameters."""
    seen: list[tuple[nn.Module, Any]] = []
    inside = False

    def watch(call: Any, args: Any, options: Any, context: Any) -> Any:
        nonlocal inside
        if inside or context.method_name == "setup":
            return call(*args, **options)
        seen.append((context.module, context.module.variables["params"]))
        inside = True
        try:
            return call(*args, **options)
        finally:
            inside = False

    with nn.intercept_methods(watch):
        act()
    return seen


def _layers(
    module: GaussianActor | DeterministicActor, params: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The layers of an actor, hidden ones and the head of its mean, as the header lists them, and their arrays."""
    trunk, deterministic = params.get("trunk", {}), isinstance(module, DeterministicActor)
    hidden = [(trunk[f"dense_{i}"], trunk.get(f"norm_{i}"), "relu") for i in range(len(module.widths))]
    tanh_mean = not deterministic and module.tanh_mean
    head = (params["head" if deterministic else "mean"], None, "tanh" if tanh_mean else "none")
    layers: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for number, (dense, norm, activation) in enumerate([*hidden, head]):
        name = f"layer_{number}"
        arrays |= {f"{name}.kernel": dense["kernel"], f"{name}.bias": dense["bias"]}
        if norm is not None:
            arrays |= {f"{name}.scale": norm["scale"], f"{name}.shift": norm["bias"]}
        inputs, outputs = dense["kernel"].shape
        shape = {"name": name, "inputs": inputs, "outputs": outputs}
        layers.append({**shape, "layer_norm": norm is not None, "activation": activation})
    return layers, arrays
