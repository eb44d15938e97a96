"""rejax's SAC: its training iteration of one environment step and one update, the agents under vmap.

A unit is one environment step with its update, of one seed. Several are in one loop on the device, as in rejax's own
`train`; its evaluation is left out, and its buffer starts with rows of zeros in place of 1,100 steps without updates.
"""

from collections.abc import Callable
from typing import Any

PART = "loop"
REQUIRES = ("rejax==0.1.3", "gymnax==0.0.9", "distrax==0.1.9", "jax==0.10.2")
CASE = {"env": "gymnax:Pendulum-v1", "capacity": 131_072}
EQUAL = (
    "gymnax's Pendulum-v1, one copy a seed",
    "hidden layers, critics, batch, one update of critics, actor and temperature a step, no LayerNorm",
    "capacity, and 1,100 rows in the buffer at the start",
    "float32, Adam, entropy in the target, no evaluation, 50 steps a call",
    "jax",
)
NOT_EQUAL = (
    "rejax draws rows without replacement, which costs the more the larger the capacity",
    "rejax's critics learn from the actor that was just updated",
    "rejax takes several seeds under vmap; ours, on a CPU, one after another inside the program",
    "ours checks every step for numbers that are not finite",
    "gymnax 0.0.9 beside our 1.0.1, as rejax reads the older one's steps",
    "XLA gets our flags on our side alone",
)
LENGTH = 50  # steps of one seed in one call
FILLED = 1_100


def prepare(case: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """The call and its units."""
    import jax
    import jax.numpy as jnp
    from rejax import SAC

    algorithm = SAC.create(
        env=case["env"].removeprefix("gymnax:"),
        hidden_layer_sizes=tuple(case["hidden"]),
        num_critics=case["critics"],
        batch_size=case["batch"],
        num_epochs=case["utd"],
        buffer_size=case["capacity"],
        fill_buffer=0,
        num_envs=1,
        polyak=0.995,
    )

    def start(key: jax.Array) -> Any:
        state = algorithm.init_state(key)
        state = state.replace(replay_buffer=state.replay_buffer.replace(index=jnp.int32(FILLED)))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)  # of the types of a step

    def train(state: Any) -> Any:
        return jax.lax.fori_loop(0, LENGTH, lambda _, state: algorithm.train_iteration(state), state)

    states = jax.jit(jax.vmap(start))(jax.random.split(jax.random.PRNGKey(0), case["seeds"]))
    program = jax.jit(jax.vmap(train), donate_argnums=0)

    def call() -> None:
        nonlocal states
        states = jax.block_until_ready(program(states))

    return call, LENGTH * case["seeds"]
