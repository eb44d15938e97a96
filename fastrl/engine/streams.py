"""Every key of a run. A key in the carry is never consumed: each use folds its own numbers into it.

```
key(seed) -- fold_in(i) --> the key of seed i                                `seeds`
  fold_in(part) -- fold_in(step) -- fold_in(0, 1, 2)                          `step`: rollout, draw, update
  fold_in(1 000 000) -- fold_in(part) -- fold_in(step)                        `evaluation`
  fold_in(2 000 000 + phase) -- split                                         `entry`: fresh networks, first episodes
  fold_in(3 000 000 + phase) -- split                                         `stock`: rows of a fill, what acts
  fold_in(4 000 000) -- fold_in(0), or fold_in(1 + part) -- fold_in(step)      `probes`: held rows, the rest
```

A part is an offline phase, or all phases of one stay online: warm-up and fine-tuning share their stream, so that where
the one ends and the other begins changes no later number.
"""

import jax
import jax.numpy as jnp

from fastrl.types import Key

EVALUATION = 1_000_000
ENTRY = 2_000_000
STOCK = 3_000_000
PROBES = 4_000_000


def seeds(seed: int, count: int, first: int = 0) -> Key:
    """`[S]` keys from number `first` on; key i does not depend on how many there are."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first + jnp.arange(count))


def step(key: Key, part: int, step: jax.Array) -> tuple[Key, Key, Key]:
    """The three streams of one step of one seed: rollout, draw, update."""
    k = jax.random.fold_in(jax.random.fold_in(key, part), step)
    rollout, draw, update = jax.vmap(jax.random.fold_in, (None, 0))(k, jnp.arange(3))
    return rollout, draw, update


def evaluation(key: Key, part: jax.Array, step: jax.Array) -> Key:
    """The stream of the evaluation at a step of a part, of one seed."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, EVALUATION), part), step)


def entry(keys: Key, phase: int) -> tuple[Key, Key]:
    """Keys [S] of a boundary: for fresh networks, and for first episodes."""
    fold = jax.vmap(jax.random.fold_in, (0, None))
    both = jax.vmap(jax.random.split)(fold(keys, ENTRY + phase))
    return both[:, 0], both[:, 1]


def stock(keys: Key, phase: int) -> tuple[Key, Key]:
    """Keys [S] of a boundary: for the rows that the ring starts with, and for the memory of what acts."""
    fold = jax.vmap(jax.random.fold_in, (0, None))
    both = jax.vmap(jax.random.split)(fold(keys, STOCK + phase))
    return both[:, 0], both[:, 1]


def probes(keys: Key, part: jax.Array, step: jax.Array) -> tuple[Key, Key, Key]:
    """Keys [S] of the diagnostics at a step of a part: for the held batch, always the same, and for the rest."""

    def one(key: Key) -> tuple[Key, Key, Key]:
        own = jax.random.fold_in(key, PROBES)
        now = jax.random.fold_in(jax.random.fold_in(own, 1 + part), step)
        return jax.random.fold_in(own, 0), jax.random.fold_in(now, 0), jax.random.fold_in(now, 1)

    return jax.vmap(one)(keys)
