"""Our compiled tasks as Gymnasium environments, for training loops of other libraries.

A step of all copies is one program on the device; what comes back is NumPy. Actions are in the environment's own
units, as they are: MuJoCo's actuators clip them and its rewards do not, here as in C.
"""

import functools
import re
from typing import Any, Literal, NamedTuple, overload

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jax import lax

from fastrl.envs import registry, spaces
from fastrl.envs.wrappers import limited, restart
from fastrl.types import Environment, Key, State, Step, UserError

MODES = {"next_step": AutoresetMode.NEXT_STEP, "same_step": AutoresetMode.SAME_STEP}


class Copies(NamedTuple):
    """E running episodes."""

    words: jax.Array  # [E, 2] uint32: what the random numbers of a copy follow from
    drawn: jax.Array  # [E] int32, keys made from them so far
    state: State  # [E, ...]
    obs: jax.Array  # [E, O]
    done: jax.Array  # [E] bool: the step before ended the episode


@overload
def to_gymnasium(env: str | Environment, num_envs: None = None, **options: Any) -> "Single": ...
@overload
def to_gymnasium(env: str | Environment, num_envs: int, **options: Any) -> "Many": ...
def to_gymnasium(
    env: str | Environment,
    num_envs: int | None = None,
    *,
    autoreset: Literal["next_step", "same_step"] = "next_step",
    **options: Any,
) -> "Single | Many":
    """A `gymnasium.Env`, or with a number of copies a `gymnasium.vector.VectorEnv`.

    Args:
        env: what `fastrl.make` takes or returns.
        num_envs: copies that are stepped together; None is one environment without the axis.
        autoreset: when a copy whose episode has ended starts the next one, as in `gymnasium.vector.AutoresetMode`.
            `next_step`, Gymnasium's default: its next step ignores the action, pays 0 and returns the first
            observation. `same_step`: at once; the episode's last observation is in `info["final_obs"]`.
        **options: the environment's, and `horizon`, as in `fastrl.make`.

    Raises:
        UserError: no such environment or option, or actions without bounds.
    """
    if autoreset not in MODES:
        raise UserError(f"autoreset is {autoreset!r}; it must be one of {', '.join(MODES)}")
    if isinstance(env, str):
        made = registry.make(env, **options)
    elif options:
        raise UserError(f"options ({', '.join(options)}) are for environments by name; this one is made already")
    else:
        made = limited(env)
    spaces.of_spec(made.spec)
    if num_envs is None:
        return Single(made, _spec(made.spec.name, {"env": env, **options}))
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise UserError(f"num_envs is {num_envs!r}; it must be a whole number of at least 1, or None")
    return Many(made, num_envs, MODES[autoreset], _spec(made.spec.name, {"env": env, **options}))


class Single(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment, which `reset` must restart. Its time limit is its own: wrap no other around it."""

    def __init__(self, env: Environment, spec: EnvSpec) -> None:
        self.env, self.spec = env, spec
        self.metadata = {"render_modes": []}
        self.observation_space, self.action_space = _boxes(env)
        self._words, self._drawn, self._state = np.zeros(2, np.uint32), 0, None
        self._start = jax.jit(lambda words: env.reset(_key(words, 0)[1]))
        self._step = jax.jit(lambda words, drawn, state, action: env.step(_key(words, drawn)[0], state, action))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode: (obs [O], {})."""
        _no_options(options)
        super().reset(seed=seed)
        self._words = _random_words(self.np_random, 1)[0] if seed is None else _words(seed)
        self._drawn = 0
        self._state, obs = self._start(self._words)
        return _host(obs), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step with action [A]: (obs [O], reward, terminated, truncated, {})."""
        if self._state is None:
            raise ResetNeeded("call reset before step")
        self._drawn += 1
        self._state, step = self._step(self._words, self._drawn, self._state, _actions(action, self.action_space))
        obs, reward, terminated, truncated = jax.device_get(step)
        return _host(obs), float(reward), bool(terminated), bool(truncated), {}


class Many(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """E copies in one program. Copy i with seed s is `Single` with seed s + i, in its first episode."""

    def __init__(self, env: Environment, num_envs: int, mode: AutoresetMode, spec: EnvSpec) -> None:
        self.env, self.num_envs, self.spec = env, num_envs, spec
        self.metadata = {"render_modes": [], "autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = _boxes(env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._copies: Copies | None = None
        self._start = jax.jit(functools.partial(_start, env))
        self._advance = jax.jit(functools.partial(_advance, env, mode == AutoresetMode.SAME_STEP))

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts E episodes: (obs [E, O], {}). A number s as the seed is [s, s + 1, ...]; a list has one a copy."""
        _no_options(options)
        super().reset(seed=seed if isinstance(seed, int) else None)
        words = _random_words(self.np_random, self.num_envs)
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
            if len(seeds) != self.num_envs:
                raise UserError(f"{len(seeds)} seeds for {self.num_envs} environments: give each one, or a number")
            words = np.stack([old if new is None else _words(new) for old, new in zip(words, seeds, strict=True)])
        self._copies = self._start(words)
        return _host(self._copies.obs), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every copy with actions [E, A]: (obs [E, O], reward [E], terminated [E], truncated [E], info)."""
        if self._copies is None:
            raise ResetNeeded("call reset before step")
        self._copies, step = self._advance(self._copies, _actions(actions, self.action_space))
        obs, (last, reward, terminated, truncated) = jax.device_get((self._copies.obs, step))
        done, info = terminated | truncated, {}
        if self.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP and done.any():
            final = np.full(self.num_envs, None, dtype=object)
            for copy in np.flatnonzero(done):
                final[copy] = _host(last[copy])
            info = {"final_obs": final, "_final_obs": done, "final_info": {}, "_final_info": done.copy()}
        return _host(obs), _host(reward), np.array(terminated), np.array(truncated), info


def _start(env: Environment, words: jax.Array) -> Copies:
    """E episodes from their words [E, 2]."""
    drawn, done = jnp.zeros(len(words), jnp.int32), jnp.zeros(len(words), bool)
    _, keys = jax.vmap(_key)(words, drawn)
    return Copies(words, drawn, *jax.vmap(env.reset)(keys), done)


def _advance(env: Environment, at_once: bool, copies: Copies, action: jax.Array) -> tuple[Copies, Step]:
    """A step of every copy, and a new episode where one ended, in this step (`at_once`) or in the one before.

    In the second case the copy's own step is not taken: it pays 0 and ends nothing.
    """
    drawn = copies.drawn + 1
    to_step, to_reset = jax.vmap(_key)(copies.words, drawn)
    state, step = jax.vmap(env.step)(to_step, copies.state, action)
    if not at_once:
        run = ~copies.done
        step = Step(step.obs, jnp.where(run, step.reward, 0), step.terminated & run, step.truncated & run)
    done = step.terminated | step.truncated
    fresh = done if at_once else copies.done

    def again(data: jax.Array) -> tuple[State, jax.Array]:
        return jax.vmap(functools.partial(restart, env))(jax.random.wrap_key_data(data), state, step.obs, fresh)

    # Raw key data: a branch that does not use a key must not have consumed it.
    state, obs = lax.cond(jnp.any(fresh), again, lambda data: (state, step.obs), jax.random.key_data(to_reset))
    return Copies(copies.words, drawn, state, obs, done), step


def _key(words: jax.Array, drawn: jax.Array | int) -> tuple[Key, Key]:
    """The keys of a copy's step number `drawn`: for the step, and for a reset."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(words[0]), words[1]), drawn)
    step, reset = jax.random.split(key)
    return step, reset


def _words(seed: int) -> np.ndarray:
    """64 bits [2] uint32 from a seed of any size."""
    return np.random.SeedSequence(int(seed)).generate_state(2)


def _random_words(generator: np.random.Generator, copies: int) -> np.ndarray:
    return generator.integers(2**32, size=(copies, 2), dtype=np.uint32)


def _boxes(env: Environment) -> tuple[Box, Box]:
    """Observation and action space of one copy."""
    spec = env.spec
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float32), spec.action_size).copy()
        for bound in (spec.action_low, spec.action_high)
    )
    return Box(-np.inf, np.inf, (spec.obs_size,), np.float32), Box(low, high, dtype=np.float32)


def _spec(name: str, arguments: dict[str, Any]) -> EnvSpec:
    """What Gymnasium makes such an environment from."""
    return EnvSpec("fastrl/" + re.sub(r"[^\w:.-]", "-", name), entry_point=f"{__name__}:to_gymnasium", kwargs=arguments)


def _actions(actions: np.ndarray, space: gymnasium.Space[Any]) -> np.ndarray:
    actions = np.asarray(actions, np.float32)
    if actions.shape != space.shape:
        raise UserError(f"actions have shape {actions.shape}; this environment's have {space.shape}")
    return actions


def _no_options(options: dict[str, Any] | None) -> None:
    if options:
        raise UserError(f"reset takes no options here, but it was given {', '.join(map(repr, options))}")


def _host(array: jax.Array | np.ndarray) -> np.ndarray:
    """A copy that the caller may write to, float32."""
    return np.array(array, np.float32)
