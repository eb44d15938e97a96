"""Our side of `--peer`, by the contract that the peers' adapters keep.

`loop`: environment steps of fine-tuning, each with its updates, in calls of the length that a run has. The ring starts
with `benchmarks.loop.WARMUP` random rows. `replay`: `insert` of one row and `sample` of a batch on a full ring, in a
scan.
"""

from collections.abc import Callable
from typing import Any

LENGTH = 50  # units of one seed in one call, as in the peers' adapters


def prepare(case: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """The call and its units; XLA gets our flags, as in every run of ours."""
    from fastrl import startup

    startup.prepare()
    return {"loop": _loop, "replay": _replay}[case["part"]](case), LENGTH * case["seeds"]


def _loop(case: dict[str, Any]) -> Callable[[], None]:
    import jax

    from fastrl.benchmarks import loop

    hidden = tuple(case["hidden"])
    options = {
        "actor_hidden": hidden,
        "critic_hidden": hidden,
        "num_critics": case["critics"],
        "subset_size": case["critics"],
        "batch_size": case["batch"],
        "utd": case["utd"],
        "layer_norm": False,
        "backup_entropy": True,
        "temperature_obs": "current",
        "temperature_form": "exp",
    }
    plan, carry = loop.fine_tuning(case["env"], options, seeds=case["seeds"], capacity=case["capacity"])
    chunk = min(plan.chunk, LENGTH)
    program = loop.lowered(plan, 1, carry, chunk).compile()

    def call() -> None:
        nonlocal carry
        for _ in range(LENGTH // chunk):
            carry = program(carry, None)
        jax.block_until_ready(carry)

    return call


def _replay(case: dict[str, Any]) -> Callable[[], None]:
    import jax

    from fastrl.replay import ring as rings

    seeds, obs, action = case["seeds"], case["obs"], case["action"]
    ring = rings.advance(rings.create(seeds, case["capacity"], obs, action), case["capacity"])
    rows = jax.random.normal(jax.random.key(0), (LENGTH, seeds, 1, rings.width(obs, action)))

    def scan(ring: rings.Ring, drawn: jax.Array, key: jax.Array) -> tuple[rings.Ring, jax.Array, jax.Array]:
        def step(both: tuple[rings.Ring, jax.Array], xs: tuple[jax.Array, jax.Array]) -> Any:
            row, keys = xs
            ring = rings.advance(rings.insert(both[0], row), 1)
            return (ring, rings.sample(ring, keys, case["batch"])), None

        key, draws = jax.random.split(key)
        keys = jax.random.split(draws, (LENGTH, seeds))
        return *jax.lax.scan(step, (ring, drawn), (rows, keys))[0], key

    program, key = jax.jit(scan, donate_argnums=(0, 1)), jax.random.key(1)
    drawn = jax.numpy.zeros((seeds, case["batch"], rows.shape[-1]))

    def call() -> None:
        nonlocal ring, drawn, key
        ring, drawn, key = jax.block_until_ready(program(ring, drawn, key))

    return call
