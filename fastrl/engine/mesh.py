"""Devices side by side, each with seeds of its own: they share no number while they learn, so that none waits.

The program of a phase is that of one device's seeds (`jax.shard_map`), so that nothing in it is for many devices. Every
device has the same number of seeds: where they do not divide, some are computed twice and thrown away. With `per_seed`
devices a seed, each holds all of it and computes its part of every minibatch; the compiler adds their gradients up.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh as Grid
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from fastrl.engine.phase import Carry
from fastrl.errors import UserError
from fastrl.replay import ring as rings
from fastrl.replay.ring import Ring

SEED, SHARED = P("seed"), P()
RING: Any = Ring(*(SEED, SHARED, SHARED))  # type: ignore[arg-type]
ROWS = P(None, None, "row", None)
"""Rows of minibatches `[n, C, B, W]`, where several devices share a seed."""


def carry_of(ring: bool) -> Carry:
    """Which leaves of a carry have the seed axis."""
    parts: tuple[Any, ...] = (SHARED, SEED, RING if ring else None, SEED, SEED)
    return Carry(*parts)


@dataclasses.dataclass(frozen=True)
class Mesh:
    """S seeds on devices, `per_seed` of them for each; rows of the ring have `width` columns."""

    seeds: int
    devices: Sequence[Any]
    per_seed: int = 1
    width: int = 0
    block: int = 1  # seeds of a device come in blocks of so many

    @functools.cached_property
    def grid(self) -> Grid:
        """The devices by seed, and by row of a minibatch where several share a seed."""
        found = np.array(self.devices)
        return Grid(found, ("seed",)) if self.per_seed == 1 else Grid(found.reshape(-1, self.per_seed), ("seed", "row"))

    @property
    def rows(self) -> int:
        """Rows of the seed axis on the devices: the seeds, and those that are computed twice."""
        across = len(self.devices) // self.per_seed * self.block
        return -(-self.seeds // across) * across

    def jit(self, function: Callable[..., Any], inputs: Any, outputs: Any, donate: Sequence[int] = ()) -> Any:
        """`jax.jit` of a function of seeds, whose arguments and results have the seed axis where it is said."""
        shape = {"mesh": self.grid, "in_specs": inputs, "out_specs": outputs, "axis_names": {"seed"}}
        places = {"in_shardings": self._places(inputs), "out_shardings": self._places(outputs)}
        return jax.jit(jax.shard_map(function, **shape, check_vma=False), donate_argnums=donate, **places)

    @property
    def layout(self) -> Layout | None:
        """How the ring's rows lie in memory; None is as its device has it."""
        return Layout(rings.tpu_layout(self.width)) if self.devices[0].platform == "tpu" else None

    def laid(self, carry: Carry) -> Carry:
        """A carry that was read from a file, with its ring as programs expect it."""
        if self.layout is None or carry.ring is None:
            return carry
        place = Format(self.layout, NamedSharding(self.grid, SEED))
        rows = _mover(place, donate=(0,))(carry.ring.rows)
        return dataclasses.replace(carry, ring=dataclasses.replace(carry.ring, rows=rows))

    def _places(self, specs: Any) -> Any:
        """Where what `specs` says of is, and how it lies there."""
        place = lambda spec: NamedSharding(self.grid, spec)

        def one(spec: Any) -> Any:
            if not isinstance(spec, Ring):
                return place(spec)
            rows = place(spec.rows) if self.layout is None else Format(self.layout, place(spec.rows))
            parts: tuple[Any, ...] = (rows, place(spec.pointer), place(spec.size))
            return Ring(*parts)

        return jax.tree.map(one, specs, is_leaf=lambda x: isinstance(x, (P, Ring)))

    def spread(self, tree: Any) -> Any:
        """Leaves [S, ...] on their devices, some of them twice."""
        if self.rows > self.seeds:
            index = np.arange(self.rows) % self.seeds
            tree = jax.tree.map(lambda x: x[index], tree)
        return self._put(tree, SEED)

    def share(self, tree: Any) -> Any:
        """Leaves that every device has."""
        return self._put(tree, SHARED)

    def fetch(self, tree: Any) -> Any:
        """Leaves [S, ...] on the host, on that of every process."""
        if jax.process_count() > 1:
            tree = self.share(tree)
        return jax.tree.map(lambda x: np.asarray(x)[: self.seeds], tree)

    def shapes(self, tree: Any, spec: Any) -> Any:
        """Shapes with the devices that hold them, `spec` as in `jit`."""
        whole = jax.tree.broadcast(spec, tree, is_leaf=lambda x: isinstance(x, P))
        place = lambda x, own: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(self.grid, own))
        return jax.tree.map(place, tree, whole)

    def _put(self, tree: Any, spec: P) -> Any:
        place = NamedSharding(self.grid, spec)
        return jax.device_put(tree, place) if jax.process_count() == 1 else _mover(place)(tree)


@functools.cache
def _mover(place: Any, donate: tuple[int, ...] = ()) -> Callable[[Any], Any]:
    """A program that moves arrays to where they shall be, compiled once: `device_put` reaches no other process."""
    return jax.jit(lambda leaves: leaves, out_shardings=place, donate_argnums=donate)


def chosen(asked: str | None, seeds: int, per_seed: int = 1, width: int = 0, block: int = 1) -> Mesh:
    """The devices for so many seeds: a number, all, or by default one, and all where several processes have some."""
    there, several = jax.devices(), jax.process_count() > 1
    if asked is None:
        asked = "all" if several else str(per_seed)
    count = len(there) if asked == "all" else _counted(asked)
    if several and count != len(there):
        raise UserError(f"--devices {asked}: several processes use all of their {len(there)} devices; leave it out")
    if count > len(there):
        more = "; JAX_NUM_CPU_DEVICES=N makes N of a CPU" if there[0].platform == "cpu" else ""
        raise UserError(f"--devices {count}: jax finds {len(there)} ({there[0].device_kind}); ask for fewer{more}")
    if count % per_seed:
        raise UserError(f"--devices {count} do not divide by --devices-per-seed {per_seed}; give a multiple")
    return Mesh(seeds, tuple(there[:count]), per_seed, width, block)


def _counted(asked: str) -> int:
    if not asked.isdigit() or not int(asked):
        raise UserError(f"--devices {asked!r} is neither a number above 0 nor all")
    return int(asked)
