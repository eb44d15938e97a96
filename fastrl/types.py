"""The words that every other part speaks: transitions, specs, algorithms.

Letters of the shapes, here and everywhere: S seeds, E environments of one seed, N critics, U updates (UTD),
B minibatch rows, T time, M dataset rows, O observation size, A action size. `...` is any leading axes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

from fastrl.errors import Failure as Failure
from fastrl.errors import UserError as UserError

ACTION_LIMIT = 1.0 - 1e-5
"""Actions stay inside the open interval, else a tanh-Gaussian's log density of them is infinite."""

Key = jax.Array
Params = Any
State = Any
Metrics = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Transition:
    """Rows of experience, float32 throughout.

    `mask` is 1 - terminated: it is 0 only at a true end, never at a truncation, so that truncated rows bootstrap
    from `next_obs`, the observation *before* any reset.
    """

    obs: jax.Array  # [..., O]
    action: jax.Array  # [..., A], in [-1, 1]
    reward: jax.Array  # [...], scaled and biased, exactly once
    mask: jax.Array  # [...]
    next_obs: jax.Array  # [..., O]
    mc_return: jax.Array  # [...], Monte-Carlo return-to-go of the scaled reward (Cal-QL); 0 where unknown
    last: jax.Array  # [...], 1 where the episode ended with this row, terminated or truncated; what follows is another


@dataclasses.dataclass(frozen=True)
class Spec:
    """What an environment is, without its functions. Agents always act in [-1, 1]; wrappers rescale."""

    name: str
    obs_size: int
    action_size: int
    horizon: int  # steps after which an episode is truncated
    domain: str = "default"  # which paper defaults apply (fastrl.presets)
    backend: str = "jax"
    action_low: float | tuple[float, ...] = -1.0
    action_high: float | tuple[float, ...] = 1.0
    sparse: bool = False  # success-or-not reward: an episode succeeds when a step of it was above `failure_reward`
    failure_reward: float = 0.0  # raw reward of a step without success, the least there is, where `sparse`
    subtasks: int = 0  # above 0, the reward counts how many of so many have been done so far in the episode


class Step(NamedTuple):
    """What one environment step returns. `obs` is the true final observation, before any reset."""

    obs: jax.Array  # [O]
    reward: jax.Array  # []
    terminated: jax.Array  # [] bool: the bootstrap is cut
    truncated: jax.Array  # [] bool: the episode is cut, the bootstrap is not


class Environment(Protocol):
    """Two pure functions and a spec."""

    @property
    def spec(self) -> Spec:
        """Sizes, horizon and domain."""

    def reset(self, key: Key) -> tuple[State, jax.Array]:
        """Starts an episode: (state, obs [O])."""

    def step(self, key: Key, state: State, action: jax.Array) -> tuple[State, Step]:
        """One step with action [A] in the spec's bounds; never resets by itself."""


class Clock(NamedTuple):
    """When an update happens. It is the same for every seed, so that a branch on it stays a branch under `vmap`."""

    step: jax.Array  # [] int32: environment steps of one seed since it went online; offline, gradient steps
    call: jax.Array  # [] int32: calls of the phase's `update` before this one


class Views(NamedTuple):
    """What an algorithm believes: its policy and its critics, for diagnostics (`fastrl.engine.probes`)."""

    policy: Callable[[State, jax.Array], Any]
    """`(state, obs [B, O]) -> distribution` over actions (`fastrl.networks.distributions`)."""
    q: Callable[[State, jax.Array, jax.Array], jax.Array] | None = None
    """`(state, obs [B, O], action [B, A]) -> Q [N, B]` of the online critics, where there are some."""
    target_q: Callable[[State, jax.Array, jax.Array], jax.Array] | None = None
    """The same, of the target critics."""


class Player(NamedTuple):
    """A policy that remembers its episode, as a sequence model does."""

    start: Callable[[State], Any]
    """`state -> memory` of one environment copy at the start of an episode."""
    act: Callable[[State, Any, jax.Array, Key, bool], tuple[jax.Array, Any]]
    """`(state, memory [E, ...], obs [E, O], key, explore) -> (actions [E, A], memory)`."""
    observe: Callable[[Any, jax.Array], Any]
    """`(memory [E, ...], raw reward [E]) -> memory`, after the step."""


class Algorithm(NamedTuple):
    """Four pure functions over a state pytree, returned by a factory that closes over its configuration.

    What follows after `update` is there where the algorithm has use for it.
    """

    init: Callable[[Key], State]
    act: Callable[[State, jax.Array, Key, bool], jax.Array]
    """`(state, obs [..., O], key, explore) -> action [..., A]`; `explore=False` is the mode."""
    update: Callable[[State, Transition, Key, Clock], tuple[State, Metrics]]
    """`(state, batches [U, B, ...], key, clock)`: one call, with U minibatches."""
    judge: Callable[[State, jax.Array], State] | None = None
    """`(state, score []) -> state` after each evaluation, whose mean return is the score (best policy so far)."""
    views: Views | None = None
    player: Player | None = None
    weigh: Callable[[State, Transition], jax.Array] | None = None
    """`(state, rows [..., R]) -> weights [..., B]`: how often a draw by priority should take its first B rows again."""
