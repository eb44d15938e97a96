"""Checks that an environment keeps the protocol of `fastrl.types.Environment`; the first breach becomes one line.

The check traces the environment, runs one copy for a step, then several copies side by side until their episodes end.
It cannot see a reset that is hidden by random dynamics.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs import alike, host, spaces
from fastrl.errors import told
from fastrl.types import Environment, Spec, Step, UserError

COPIES = 4
STEPS = 1000
"""Longest rollout, steps."""


def check(env: Environment) -> None:
    """Raises `UserError` (what, where, the fix) at the first breach of the protocol.

    Checked, in this order: the spec's numbers; shapes, types and structure of what `reset` and `step` return, traced;
    that `step` leaves the state it was given alone; that compiled copies side by side do what one does alone, and do
    it again whatever the others do, so that nothing is drawn or kept outside key and state; and over whole episodes of
    random actions, that numbers are finite, that an end is terminated or truncated and not both, that the time limit is
    no termination, that no reward of a sparse task is below failure's, and that `step` does not reset. A `restart` of
    its own (fastrl.envs.wrappers) must reset where `done` and change nothing else. A fault of a simulator on the
    host is reported before its consequences.

    A compiled program rounds differently, and a body that touches the ground makes much of that. What may differ is
    measured: a step from arguments that are one unit of rounding away, `fastrl.envs.alike.AMPLIFIED` times. One program
    asked twice gives the same bits, but for an accelerator's own sums.
    """
    spec = _spec(getattr(env, "spec", None))
    breach = Breach(spec.name, spec.backend == host.BACKEND)
    with jax.debug_key_reuse(False):  # to use a key twice is the test
        _traced(env, breach)
        _episodes(env, breach, *_alone(env, breach))


class Breach:
    """Makes the one line that `check` raises."""

    def __init__(self, name: str, hosted: bool) -> None:
        """`name` of the environment, and whether it is Python on the host."""
        self.name, self.hosted = name, hosted

    def __call__(self, what: str, fix: str) -> UserError:
        """The error."""
        return UserError(f"{self.name}: {what}; {fix}")

    def during(self, where: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, whose exceptions become one line."""
        try:
            result = jax.block_until_ready(function(*args))
            host.check()
            return result
        except UserError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]  # a callback's error ends with what was raised
            line = lines[-1 if "Traceback" in lines[0] else 0].strip()
            why = f"{type(error).__name__} ({line})" if line else told(error)
            fix = (
                "use jnp, lax.cond and arrays' own methods in place of if, float() and NumPy, and keep nothing in self"
            )
            raise self(f"{where} fails with {why}", fix) from error


def _spec(spec: Any) -> Spec:
    if not isinstance(spec, Spec):
        raise UserError(
            f"the environment's spec is {spec!r}; give it a fastrl.Spec(name, obs_size, action_size, horizon)"
        )
    for field in ("obs_size", "action_size", "horizon"):
        value = getattr(spec, field)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{spec.name}: spec.{field} is {value!r}; make it a whole number of at least 1")
    spaces.of_spec(spec)
    return spec


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
    structure: Any = jax.tree.structure  # two that are equal need not print alike
    before, now = structure(state), structure(after)
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
    given = alike.numbers(first[0])
    stepped = breach.during("step", env.step, key, first[0], action)
    _arrays(breach, "step's state", stepped[0])
    _arrays(breach, "step's ", stepped[1]._asdict())
    if not alike.same(given, alike.numbers(first[0])):
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
    again = breach.during(what, lambda: (restart(key, state, old, jnp.bool_(True))[1], env.reset(key)[1]))
    kept = breach.during(what, lambda: restart(key, state, old, jnp.bool_(False)))
    pairs = (kept, (state, old)), again
    if not all(alike.same(alike.numbers(got), alike.numbers(wanted)) for got, wanted in pairs):
        fix = "let restart(key, state, obs, done) be reset(key) where done, else (state, obs); or give it another name"
        raise breach("restart resets where it should not, or not where it should", fix)


def _together(env: Environment, breach: Breach, step: Any, first: Any, stepped: Any) -> tuple[Any, jax.Array]:
    """Compiled copies do what one does alone, whatever the others do. Their first state and observation.

    Asked again, the last copy stays as it is; the others are what it was alone, and two that are a rounding away.
    """
    reset, what = jax.jit(jax.vmap(env.reset)), ("reset of several copies", "step of several copies")
    keys, actions = _keys(0), _actions(env.spec, 0)
    key, action = keys[-1], actions[-1]
    state, start = breach.during(what[0], reset, keys)
    again = breach.during(what[0], reset, alike.stacked([key] * COPIES))
    rows, unknown = alike.numbers((state, start)), [0.0] * len(jax.tree.leaves(again))
    _as_before(breach, "reset", rows, alike.numbers(again), unknown)
    _as_alone(breach, "reset", rows, first, unknown, env.reset, key)
    last, random = jax.tree.map(lambda leaf: leaf[-1], state), np.random.default_rng(0)
    near = [(first[0], action), *(alike.nearby((last, action), random) for _ in range(COPIES - 2)), (last, action)]
    rows = alike.numbers(breach.during(what[1], step, keys, state, actions))
    again = alike.numbers(breach.during(what[1], step, alike.stacked([key] * COPIES), *alike.stacked(near)))
    rounding = [alike.apart(row[:-1], row[-1:]) for row in again]
    _as_before(breach, "step", rows, again, rounding)
    _as_alone(breach, "step", [row[:1] for row in again], stepped, rounding, env.step, key, first[0], action)
    return state, start


def _episodes(env: Environment, breach: Breach, first: Any, stepped: Any) -> None:
    """Copies side by side, compiled: as one alone, then from reset until every first episode has ended."""
    compiled, horizon = jax.jit(jax.vmap(env.step)), env.spec.horizon
    state, start = _together(env, breach, compiled, first, stepped)
    if not np.isfinite(np.asarray(start)).all():
        raise breach("reset's obs is not finite", "start where every number is")
    _restarts(env, breach, *first)
    obs, alive, noisy = start, np.ones(COPIES, bool), False
    for time in range(1, min(horizon, STEPS) + 1):
        actions = _actions(env.spec, time)
        after, out = breach.during(f"step {time}", compiled, _keys(time), state, actions)
        _sound(env.spec, breach, out, alive, time)
        ended = alive & np.asarray(out.terminated)
        if time == horizon and alive.sum() > 1 and ended[alive].all():
            fix = "leave the time limit to spec.horizon, which truncates and keeps the bootstrap"
            raise breach(f"every episode that comes to step {time}, spec.horizon, terminates there", fix)
        done = alive & (ended | np.asarray(out.truncated) | (time == horizon))
        if done.any() or time == 1:  # with other keys: does chance decide what is observed?
            other = breach.during(f"step {time}", compiled, _keys(STEPS + time), state, actions)[1]
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


def _as_before(breach: Breach, what: str, rows: alike.Numbers, again: alike.Numbers, rounding: list[float]) -> None:
    """The last copy of one program, asked twice among other copies: the same bits, where a machine gives such."""
    if breach.hosted or jax.default_backend() == "cpu":
        same = alike.same([row[-1] for row in rows], [row[-1] for row in again])
    else:
        same = alike.close([row[-1:] for row in rows], [row[-1:] for row in again], rounding)
    if not same:
        raise _two_results(breach, what, "asked twice among other copies")


def _as_alone(breach: Breach, what: str, rows: alike.Numbers, alone: Any, rounding: list[float], *ask: Any) -> None:
    """The last copy of the compiled `rows` is what it is `alone`, but for rounding.

    Beyond what is known of that, the function and arguments `ask` that gave `alone` are asked again, then roughly.
    """
    function, *args = ask
    expected = alike.numbers(alone)
    if alike.close(rows, expected, rounding):
        return
    again = alike.numbers(breach.during(what, function, *args))
    for rough in breach.during(what, alike.rounded, function, *args):
        rounding = [max(known, alike.apart(*pair)) for known, *pair in zip(rounding, rough, expected, strict=True)]
    if not (alike.same(again, expected) and alike.close(rows, expected, rounding)):
        raise _two_results(breach, what, "alone and compiled among copies")


def _two_results(breach: Breach, what: str, when: str) -> UserError:
    fix = "draw from the key alone, keep all that changes in the state, and let copies share nothing"
    if breach.hosted:
        fix = "draw from self.np_random, which super().reset(seed=seed) seeds, and let reset undo what steps changed"
    return breach(f"{what} gives two results for the same arguments, {when}", fix)


def _keys(seed: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), COPIES)


def _actions(spec: Spec, seed: int) -> jax.Array:
    """Uniform actions [COPIES, A] in the bounds."""
    random = np.random.default_rng(seed)
    return jnp.asarray(random.uniform(spec.action_low, spec.action_high, (COPIES, spec.action_size)), float)
