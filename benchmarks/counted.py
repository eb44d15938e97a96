"""What a program must do at least, counted before it is compiled: operations and bytes of its matrix products.

A loop's body counts as often as it runs, one whose length depends on the data (a solver's) `rounds` times, and of a
conditional's branches the larger one counts.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Work:
    """Of matrix products: multiplications and additions, and bytes of what they read and write."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, rounds: float) -> "Work":
        """So often."""
        return Work(rounds * self.flops, rounds * self.bytes)


def of(function: Callable[..., Any], *arguments: Any, rounds: int) -> Work:
    """The work of a function of arrays, or of their shapes."""
    return within(jax.make_jaxpr(function)(*arguments).jaxpr, rounds)


def within(jaxpr: Any, rounds: int) -> Work:
    """The work of a function that is traced."""
    total = Work()
    for each in jaxpr.eqns:
        name, inner = each.primitive.name, [within(sub, rounds) for sub in _inside(each)]
        if name == "dot_general":
            total += _product(each)
        elif name == "scan":
            total += sum(inner, Work()).times(each.params["length"])
        elif name == "while":
            total += sum(inner, Work()).times(rounds)
        elif name == "cond":
            total += max(inner, key=lambda work: work.flops, default=Work())
        else:
            total += sum(inner, Work())
    return total


def _inside(each: Any) -> list[Any]:
    """The programs that an operation holds; of a function with a rule for batches, the function."""
    found = []
    for value in each.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(item, "jaxpr", item)
            if hasattr(inner, "eqns"):
                found.append(inner)
    return found


def _product(each: Any) -> Work:
    left, right = (operand.aval for operand in each.invars)
    (contracted, _), _ = each.params["dimension_numbers"]
    out = each.outvars[0].aval
    depth = math.prod(left.shape[axis] for axis in contracted)
    size = lambda x: math.prod(x.shape) * x.dtype.itemsize
    return Work(2.0 * math.prod(out.shape) * depth, size(left) + size(right) + size(out))
