"""What an agent can observe and do: one rule for simulators of any library, for specs and for recorded data.

- **An observation** is a Box of any shape, or a Dict of such Boxes: their numbers in C order, a Dict's in the order of
  its space. A Box of uint8 with two axes or more is an image, and is refused.
- **An action** is a Box of floats of any shape, its numbers in C order. Whole numbers are refused: NumPy would cut the
  action down to them, and the one learnt from would not be the one taken.
- **Bounds** map the agent's [-1, 1] to the environment's numbers, one component at a time. Where low equals high the
  component is fixed: the environment is always given that number, and recorded data holds 0 there.
- **No bounds** has a component with one of 1e10 or more, MuJoCo's largest number, such as infinity or the largest
  float32. Nothing says what the agent's 1 is to be, so an environment with one is refused. Recorded actions are taken
  as they stand there, like those of files that state no bounds, and must lie in [-1, 1].
- **A reward or flag** is one number, in an array of one element if need be; a flag is 0 or 1.

The functions here take shapes, types and bounds, not the space objects of a library.
"""

from typing import Any

import numpy as np

from fastrl.types import Spec, UserError

UNBOUNDED = 1e10
"""A bound of this size or more counts as no bound."""


def words(space: Any) -> str:
    """A space in one short line."""
    line = " ".join(str(space).split())
    return line if len(line) <= 100 else f"{line[:97]}..."


def no_image(where: str, shape: tuple[int, ...], dtype: Any) -> None:
    """Refuses observations of `shape` (of one step) and `dtype` that are an image."""
    if np.dtype(dtype) == np.uint8 and len(shape) > 1:
        raise UserError(
            f"{where}: observes images, uint8 of shape {shape}; only vectors can be learnt from, encode them in a "
            "wrapper such as gymnasium.wrappers.TransformObservation"
        )


def not_observed(where: str, space: Any) -> UserError:
    """The error for observations that are no Box and no Dict of them."""
    return UserError(
        f"{where}: observes {words(space)}; only a Box, or a Dict of Boxes, can be learnt from: "
        "wrap it in gymnasium.wrappers.FlattenObservation"
    )


def not_a_box(where: str, space: Any) -> UserError:
    """The error for actions that are no Box."""
    fix = "choose a task with such actions; some have an option for them, as LunarLander-v3 has continuous=true"
    if str(space).startswith(("Dict", "Tuple")):
        fix = "join them in one Box, as gymnasium.wrappers.TransformAction can"
    return UserError(f"{where}: acts in {words(space)}; only continuous actions, a Box of floats, can be learnt: {fix}")


def bounds(where: str, dtype: Any, low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [A] of a Box of actions of any shape, infinite where it has none; refuses one that no agent can act in."""
    low, high = (np.ravel(np.asarray(bound, np.float64)) for bound in (low, high))
    if not np.issubdtype(np.dtype(dtype), np.floating):
        raise UserError(
            f"{where}: acts in whole numbers, a Box of {np.dtype(dtype)}; "
            "make it a Box of floats, and round inside of the simulator's step"
        )
    if low.size == 0:
        raise UserError(f"{where}: acts in a Box without numbers; give its actions at least one")
    if not (low <= high).all():
        at = int(np.argmin(low <= high))
        raise UserError(f"{where}: action {at} has bounds {low[at]:g} to {high[at]:g}; make low the lower one")
    if (low == high).all():
        raise UserError(f"{where}: every action is fixed, low equals high; leave the agent one to choose")
    free = (np.abs(low) >= UNBOUNDED) | (np.abs(high) >= UNBOUNDED)
    return np.where(free, -np.inf, low), np.where(free, np.inf, high)


def scales(where: str, low: np.ndarray, high: np.ndarray) -> None:
    """Refuses `bounds` that an environment's actions cannot be scaled to."""
    free = ~np.isfinite(low)
    if free.any():
        raise UserError(
            f"{where}: action {int(np.argmax(free))} of {free.size} has no bounds and cannot be scaled from [-1, 1]; "
            f"give it finite ones, below {UNBOUNDED:g}"
        )


def of_spec(spec: Spec) -> None:
    """Refuses a spec whose actions an agent cannot be scaled to."""
    low, high = np.asarray(spec.action_low, float), np.asarray(spec.action_high, float)
    if any(bound.shape not in ((), (spec.action_size,)) for bound in (low, high)):
        shapes = f"spec.action_low and action_high have shapes {low.shape} and {high.shape}"
        raise UserError(f"{spec.name}: {shapes}; give one number, or {spec.action_size} (spec.action_size)")
    low, high = (np.broadcast_to(bound, spec.action_size) for bound in (low, high))
    scales(spec.name, *bounds(spec.name, float, low, high))


def to_unit(action: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Recorded actions [T, A] as the agent's own: float32, in [-1, 1] where they are in `bounds` [A]."""
    as_they_are = ~np.isfinite(low) | ((low == -1) & (high == 1))
    span = np.where(as_they_are | (low == high), 1.0, high - low)
    unit = np.where(low == high, 0.0, 2 * (action - np.where(as_they_are, 0.0, low)) / span - 1)
    return np.where(as_they_are, action, unit).astype(np.float32)


def rows(where: str, array: np.ndarray) -> np.ndarray:
    """Recorded observations or actions [T, ...] as [T, size]."""
    if array.ndim in (0, 2):
        return array
    no_image(where, array.shape[1:], array.dtype)
    return array.reshape(len(array), int(np.prod(array.shape[1:])))
