"""brax's SAC: its own `train`, whose training epochs alone are timed.

A unit is one environment step with its update. `train` runs in a thread of its own; in place of its evaluator stands
one that waits for the next call, so that a call is one epoch of brax's: its compiled scan of 50 steps and the metrics
that it reads. Compiling, the first steps without updates and evaluation are outside. brax trains one seed a call of
`train`, which can be neither jitted nor vmapped; several seeds are one after another, so that a call for 8 of them is
8 epochs.
"""

import threading
from collections.abc import Callable
from typing import Any

PART = "loop"
REQUIRES = ("brax==0.14.2", "mujoco==3.17.0", "mujoco-mjx==3.17.0", "jax==0.10.2")
EQUAL = (
    "brax's inverted pendulum on its generalized physics, one copy a seed, 1,000 steps an episode",
    "hidden layers, critics, batch, one update of critics, actor and temperature a step, no LayerNorm",
    "capacity, and 1,100 rows in the buffer at the start",
    "float32, Adam, entropy in the target, no evaluation, 50 steps a call",
    "all losses at the parameters before the update",
    "jax",
)
NOT_EQUAL = (
    "several seeds of brax's are one after another: its train takes one",
    "brax averages its losses over the call on the host; ours keeps sums in the program",
    "brax updates the observations' mean and deviation at every step, though nothing here reads them",
    "brax's episodes start again from the state of the first reset; ours are reset anew",
    "ours checks every step for numbers that are not finite",
    "XLA gets our flags on our side alone",
)
LENGTH = 50  # steps of one epoch
EPOCHS = 100_000  # more than are asked for
FILLED = 1_100


class Paced:
    """Stands in for brax's evaluator: each evaluation waits until `advance` asks for one more epoch."""

    def __init__(self) -> None:
        self.asked, self.reached = threading.Semaphore(0), threading.Semaphore(0)
        self.error: BaseException | None = None

    def run_evaluation(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Called by `train` before its first epoch and after each."""
        self.reached.release()
        self.asked.acquire()
        return {}

    def run(self, train: Callable[[], Any]) -> None:
        """What the thread does; an error of `train` is kept for `advance`."""
        try:
            train()
        except BaseException as error:
            self.error = error
        self.reached.release()

    def advance(self) -> None:
        """Waits for one epoch."""
        self.asked.release()
        self.reached.acquire()
        if self.error is not None:
            raise self.error


def prepare(case: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """The call and its units."""
    import functools

    import jax
    import jax.numpy as jnp
    from brax import envs
    from brax.training import acting
    from brax.training.agents.sac import networks
    from brax.training.agents.sac import train as sac

    hidden, paced = tuple(case["hidden"]), Paced()
    acting.Evaluator = lambda *args, **kwargs: paced
    if not hasattr(jax, "device_put_replicated"):  # jax 0.10 has it no more, and brax still calls it
        repeated = lambda leaf, devices: jnp.repeat(jnp.asarray(leaf)[None], len(devices), 0)
        jax.device_put_replicated = lambda x, devices: jax.tree.map(lambda leaf: repeated(leaf, devices), x)
    factory = functools.partial(networks.make_sac_networks, hidden_layer_sizes=hidden)
    train = functools.partial(
        sac.train,
        envs.get_environment(case["env"].removeprefix("brax:"), backend="generalized"),
        num_timesteps=FILLED + EPOCHS * LENGTH,
        num_evals=EPOCHS + 1,
        episode_length=1_000,
        num_envs=1,
        learning_rate=3e-4,
        discounting=0.99,
        batch_size=case["batch"],
        grad_updates_per_step=case["utd"],
        min_replay_size=FILLED,
        max_replay_size=case["capacity"],
        network_factory=factory,
    )
    if case["critics"] != 2:
        raise ValueError(f"brax's SAC has 2 critics, not {case['critics']}")
    threading.Thread(target=paced.run, args=(train,), daemon=True).start()
    paced.reached.acquire()  # the evaluation before the first epoch

    def call() -> None:
        for _ in range(case["seeds"]):
            paced.advance()

    return call, LENGTH * case["seeds"]
