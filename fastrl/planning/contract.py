"""What an algorithm or a recipe that is not ours must keep to: checked by shapes, before anything is compiled."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fastrl import config as configs
from fastrl.engine.phase import Phase
from fastrl.errors import told
from fastrl.types import Algorithm, Clock, Spec, Transition, UserError


def is_ours(config: Any) -> bool:
    """Whether the options are of a built-in algorithm."""
    return type(config).__module__.startswith("fastrl.")


def options(found: Any, name: str) -> type:
    """The class of options that was named; refuses what can be none."""
    if not isinstance(found, type) or "__dataclass_fields__" not in vars(found):
        raise UserError(f"algorithm: {name} is no dataclass of options; write one that extends fastrl.Options")
    if not issubclass(found, configs.Options):
        raise UserError(f"algorithm: {name} does not extend fastrl.Options, which has discount, batch_size and utd")
    return found


def recipe(function: Callable[[Any], Sequence[Phase]], builder: Any, name: str) -> list[Phase]:
    """The phases that a recipe makes; refuses anything else."""
    try:
        made = function(builder)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"recipe {name} fails: {told(error)}") from error
    parts: Any = made if isinstance(made, (list, tuple)) else [made]
    phases = [phase for part in parts for phase in (part if isinstance(part, (list, tuple)) else [part])]
    if other := [phase for phase in phases if not isinstance(phase, Phase)]:
        raise UserError(
            f"recipe {name} returns {type(other[0]).__name__} among its phases; return what builder.offline and "
            "builder.online give, in a list: [builder.offline(...), builder.online(...)]"
        )
    for phase in phases:
        if not is_ours(phase.config):
            algorithm(phase)
    return phases


def algorithm(phase: Phase) -> None:
    """Refuses an algorithm whose functions do not have the shapes of `fastrl.Algorithm`."""
    config, spec = phase.config, phase.spec
    name = type(config).__name__
    options(type(config), name)
    numbers = {key: jax.ShapeDtypeStruct((), jnp.float32) for key in configs.numbers(config)}

    def built(numbers: dict[str, Any]) -> Algorithm:
        made = phase.algorithm(numbers)
        if not isinstance(made, Algorithm):
            raise UserError(f"{name}.build returns {type(made).__name__}; it must return a fastrl.Algorithm")
        return made

    key = jax.eval_shape(lambda: jax.random.key(0))
    moment: Any = jax.ShapeDtypeStruct((), jnp.int32)
    clock = Clock(moment, moment)
    state = _shapes(name, "init(key)", lambda n, k: built(n).init(k), numbers, key)
    obs = jax.ShapeDtypeStruct((3, spec.obs_size), jnp.float32)
    for explore in (True, False):
        act = lambda n, s, o, k, explore=explore: built(n).act(s, o, k, explore)
        action = _shapes(name, "act(state, obs, key, explore)", act, numbers, state, obs, key)
        if getattr(action, "shape", None) != (3, spec.action_size):
            shape = getattr(action, "shape", type(action).__name__)
            raise UserError(f"{name}: act gives {shape} for 3 observations; actions must be (3, {spec.action_size})")
    batches = transitions(phase, spec)
    update = lambda n, s, b, k, c: built(n).update(s, b, k, c)
    found = _shapes(name, "update(state, batches, key, clock)", update, numbers, state, batches, key, clock)
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
        raise UserError(f"{name}: update returns {type(found).__name__}; it returns (state, dictionary of metrics)")
    _same(name, state, found[0])
    for metric, value in found[1].items():
        if value.shape != ():
            raise UserError(f"{name}: metric {metric!r} has shape {value.shape}; a metric is one number, take its mean")


def transitions(phase: Phase, spec: Spec) -> Transition:
    """Shapes of the rows of one call: [U, B, ...]."""
    rows = (max(1, phase.utd), phase.batch_size)
    shape: Any = lambda *sizes: jax.ShapeDtypeStruct((*rows, *sizes), jnp.float32)
    vector, scalar = shape(spec.obs_size), shape()
    return Transition(vector, shape(spec.action_size), scalar, scalar, vector, scalar, scalar)


def _shapes(name: str, call: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, by shapes; what it raises is one line."""
    try:
        return jax.eval_shape(function, *arguments)
    except UserError:
        raise
    except (jax.errors.TracerBoolConversionError, jax.errors.ConcretizationTypeError) as error:
        raise UserError(
            f"{name}: {call} decides in Python by a number that is traced; use jnp.where, or mark the option with "
            "fastrl.option(..., static=True)"
        ) from error
    except Exception as error:
        raise UserError(f"{name}: {call} fails: {told(error)}") from error


def _same(name: str, before: Any, after: Any) -> None:
    """Refuses an update that changes what the state is made of."""
    old, new = (
        {jax.tree_util.keystr(path): (x.shape, str(x.dtype)) for path, x in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (before, after)
    )
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            shown = [f"{x[1]}{list(x[0])}" if x else "nothing" for x in (old.get(path), new.get(path))]
            raise UserError(f"{name}: update turns the state's {path or 'leaf'} from {shown[0]} to {shown[1]}; keep it")
