"""Does an environment keep the protocol of `fastrl.types.Environment`? The first breach is said in one line.

Traces, runs a few steps alone, then some copies side by side until their episodes end. Knows nothing of what a task
means, and cannot see a reset that dynamics of its own randomness hide.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import Environment, Spec, Step, UserError

COPIES = 4
STEPS = 1000
"""Longest rollout, steps."""
ROUNDING = 1e-3
"""Relative difference of one step that compiling may make."""


def check(env: Environment) -> None:
    """Raises `UserError` (what, where, the fix) at the first breach of the protocol.

    Checked, in this order: the spec's numbers; shapes, types and structure of what `reset` and `step` return, traced;
    that `step` leaves the state it was given alone; that compiled copies side by side do what one does alone, so that
    nothing is drawn or kept outside key and state; and over whole episodes of random actions, that numbers are
    finite, that an end is terminated or truncated and not both, that the time limit is no termination, that no reward
    of a sparse task is below failure's, and that `step` does not reset. A `restart` of its own (fastrl.envs.wrappers)
    must be a reset where it is told to, and nothing else.
    """
    breach = Breach(_spec(getattr(env, "spec", None)))
    with jax.debug_key_reuse(False):  # to use a key twice is the test
        _traced(env, breach)
        _episodes(env, breach, *_alone(env, breach))


class Breach:
    """Makes the one line that `check` raises."""

    def __init__(self, name: str) -> None:
        """`name` of the environment."""
        self.name = name

    def __call__(self, what: str, fix: str) -> UserError:
        """The error."""
        return UserError(f"{self.name}: {what}; {fix}")

    def during(self, where: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, whose exceptions become one line."""
        try:
            return function(*args)
        except UserError:
            raise
        except Exception as error:
            why = (str(error).strip().splitlines() or [""])[0]
            fix = (
                "use jnp, lax.cond and arrays' own methods in place of if, float() and NumPy, and keep nothing in self"
            )
            raise self(f"{where} fails with {type(error).__name__} ({why})", fix) from error


def _spec(spec: Any) -> str:
    if not isinstance(spec, Spec):
        raise UserError(
            f"the environment's spec is {spec!r}; give it a fastrl.Spec(name, obs_size, action_size, horizon)"
        )
    breach = Breach(spec.name)
    for field in ("obs_size", "action_size", "horizon"):
        value = getattr(spec, field)
        if not isinstance(value, int) or value < 1:
            raise breach(f"spec.{field} is {value!r}", "make it a whole number of at least 1")
    low, high = np.asarray(spec.action_low, float), np.asarray(spec.action_high, float)
    if any(bound.shape not in ((), (spec.action_size,)) for bound in (low, high)):
        shapes = f"spec.action_low and action_high have shapes {low.shape} and {high.shape}"
        raise breach(shapes, f"give one number, or {spec.action_size} (spec.action_size)")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise breach(f"the action bounds are {low.tolist()} to {high.tolist()}", "make them finite, low below high")
    return spec.name


def _traced(env: Environment, breach: Breach) -> None:
    """Shapes, types and structure, without running anything."""
    spec, key = env.spec, jax.random.key(0)
    first = breach.during("tracing reset", jax.eval_shape, env.reset, key)
    if not (isinstance(first, tuple) and len(first) == 2):
        raise breach(f"reset returns a {type(first).__name__}", "return (state, obs)")
    state, obs = first
    _like(breach, "reset's obs", obs, (spec.obs_size,), "spec.obs_size", float)
    action = jax.ShapeDtypeStruct((spec.action_size,), jnp.result_type(float))
    result = breach.during("tracing step", jax.eval_shape, env.step, key, state, action)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Step)):
        raise breach(
            "step does not return (state, Step)", "return state, fastrl.Step(obs, reward, terminated, truncated)"
        )
    after, step = result
    _like(breach, "step's obs", step.obs, (spec.obs_size,), "spec.obs_size", float)
    _like(breach, "step's reward", step.reward, (), "one number", float)
    _like(breach, "step's terminated", step.terminated, (), "one number", bool)
    _like(breach, "step's truncated", step.truncated, (), "one number", bool)
    before, now = str(jax.tree.structure(state)), str(jax.tree.structure(after))
    if before != now:
        raise breach(f"step turns a state of {before} into one of {now}", "return the structure that reset returns")
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(after), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            changes = f"step turns state{jax.tree_util.keystr(path)} from {_type(old)} into {_type(new)}"
            raise breach(changes, "a scan needs both alike: convert in reset or in step")


def _like(breach: Breach, what: str, value: Any, shape: tuple[int, ...], meaning: str, kind: type) -> None:
    if not hasattr(value, "shape"):
        raise breach(f"{what} is a {type(value).__name__}", f"return an array of shape {shape}")
    if value.shape != shape:
        raise breach(f"{what} has shape {value.shape}, not {shape} ({meaning})", "change the one or the other")
    wanted = jnp.dtype(jnp.result_type(kind))
    if value.dtype != wanted:
        raise breach(f"{what} is {value.dtype}, not {wanted}", f"convert it with .astype({kind.__name__})")


def _type(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _alone(env: Environment, breach: Breach) -> tuple[Any, Any]:
    """One copy, not compiled: its arguments left as they are, arrays all through.

    Returns what `reset` and a first step gave, with the key and action of the last copy of `_episodes`.
    """
    key, action = _keys(0)[-1], _actions(env.spec, 0)[-1]
    first = breach.during("reset", env.reset, key)
    _arrays(breach, "reset's state", first[0])
    given = _numbers(first[0])
    stepped = breach.during("step", env.step, key, first[0], action)
    _arrays(breach, "step's state", stepped[0])
    _arrays(breach, "step's ", stepped[1]._asdict())
    if not _same(given, _numbers(first[0])):
        raise breach("step changes the state that it was given", "return a new state and leave the old one as it is")
    return first, stepped


def _arrays(breach: Breach, what: str, tree: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not hasattr(leaf, "shape"):
            where = f"{what}{jax.tree_util.keystr(path)} is the Python {type(leaf).__name__} {leaf!r}"
            raise breach(where, "make it an array, such as jnp.int32(0) or jnp.bool_(False)")


def _restarts(env: Environment, breach: Breach, state: Any, start: jax.Array) -> None:
    """Its own `restart` from `state`, which `reset` gave with observation `start`."""
    if (restart := getattr(env, "restart", None)) is None:
        return
    key, old, what = jax.random.key(STEPS), start + 1, "restart(key, state, obs, done), which is called for reset,"
    again = breach.during(what, lambda: restart(key, state, old, jnp.bool_(True))[1])
    kept = breach.during(what, lambda: restart(key, state, old, jnp.bool_(False)))
    if not (_same(_numbers(kept), _numbers((state, old))) and _same(_numbers(again), _numbers(env.reset(key)[1]))):
        fix = "let restart(key, state, obs, done) be reset(key) where done, else (state, obs); or give it another name"
        raise breach("restart resets where it should not, or not where it should", fix)


def _episodes(env: Environment, breach: Breach, first: Any, stepped: Any) -> None:
    """Copies side by side, compiled: as one alone, then from reset until every first episode has ended."""
    step, horizon = jax.jit(jax.vmap(env.step)), env.spec.horizon
    state, start = breach.during("reset of several copies", jax.jit(jax.vmap(env.reset)), _keys(0))
    _as_alone(breach, "reset", (state, start), first)
    together = breach.during("step of several copies", step, _keys(0), state, _actions(env.spec, 0))
    _as_alone(breach, "step", together, stepped)
    if not np.isfinite(np.asarray(start)).all():
        raise breach("reset's obs is not finite", "start where every number is")
    _restarts(env, breach, *first)
    obs, alive, noisy = start, np.ones(COPIES, bool), False
    for time in range(1, min(horizon, STEPS) + 1):
        actions = _actions(env.spec, time)
        after, out = step(_keys(time), state, actions)
        _sound(env.spec, breach, out, alive, time)
        ended = alive & np.asarray(out.terminated)
        if time == horizon and alive.sum() > 1 and ended[alive].all():
            fix = "leave the time limit to spec.horizon, which truncates and keeps the bootstrap"
            raise breach(f"every episode that comes to step {time}, spec.horizon, terminates there", fix)
        done = alive & (ended | np.asarray(out.truncated) | (time == horizon))
        if done.any() or time == 1:  # with other keys: does chance decide what is observed?
            other = step(_keys(STEPS + time), state, actions)[1]
            drawn = (np.asarray(other.obs) != np.asarray(out.obs)).any(1)
            noisy |= bool((drawn & ~done).any())
            back = (np.asarray(out.obs) == np.asarray(start)).all(1) & (np.asarray(obs) != np.asarray(start)).any(1)
            if (done & (back | (drawn & (not noisy) & (time > 1)))).any():
                fix = "return the episode's own last observation and state: resets are made around it"
                raise breach(f"step {time} ends an episode with an observation of a new one", fix)
        alive, state, obs = alive & ~done, after, out.obs
        if not alive.any():
            return


def _sound(spec: Spec, breach: Breach, out: Step, alive: np.ndarray, time: int) -> None:
    for what, value in (("obs", out.obs), ("reward", out.reward)):
        if not np.isfinite(np.asarray(value)[alive]).all():
            raise breach(f"{what} is not finite at step {time}", "terminate before it is, or bound it")
    least = np.asarray(out.reward)[alive].min()
    if spec.sparse and least < spec.failure_reward:
        fix = "make that the reward of a step without success, or the spec not sparse"
        raise breach(f"reward is {least:g} at step {time}, below spec.failure_reward, {spec.failure_reward:g}", fix)
    if (alive & np.asarray(out.terminated) & np.asarray(out.truncated)).any():
        fix = "a step that terminates is not truncated: truncated & ~terminated"
        raise breach(f"terminated and truncated are both true at step {time}", fix)


def _as_alone(breach: Breach, what: str, together: Any, alone: Any) -> None:
    """The last copy of the compiled `together` is what it is `alone`, but for rounding."""
    for copies, expected in zip(_numbers(together), _numbers(alone), strict=True):
        if not np.allclose(copies[-1], expected, rtol=ROUNDING, atol=ROUNDING, equal_nan=True):
            fix = "draw from the key alone, keep all that changes in the state, and let copies share nothing"
            raise breach(f"{what} gives two results for the same arguments, alone and compiled among copies", fix)


def _keys(seed: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), COPIES)


def _actions(spec: Spec, seed: int) -> jax.Array:
    """Uniform actions [COPIES, A] in the bounds."""
    random = np.random.default_rng(seed)
    return jnp.asarray(random.uniform(spec.action_low, spec.action_high, (COPIES, spec.action_size)), float)


def _numbers(tree: Any) -> list[np.ndarray]:
    """The leaves as arrays of the host, keys as their data."""

    def number(leaf: Any) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return [number(leaf) for leaf in jax.tree.leaves(tree)]


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
