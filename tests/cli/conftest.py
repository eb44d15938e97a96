import pytest

MINE = """
import dataclasses
import jax.numpy as jnp
import fastrl

@dataclasses.dataclass(frozen=True)
class Mine(fastrl.Options):
    tau: float = fastrl.option(0.7, "a temperature")
    noise: float = fastrl.option(0.3, "std of the noise")

    def build(self, spec):
        act = lambda state, obs, key, explore: jnp.zeros((*obs.shape[:-1], spec.action_size))
        return fastrl.Algorithm(lambda key: jnp.zeros(1), act, lambda state, batches, key, clock: (state, {}))

def recipe(builder):
    return [builder.online(Mine(noise=0.5), warmup=100)]
"""


@pytest.fixture
def mine() -> str:
    """A file with an algorithm of one's own and a recipe that gives it its options."""
    return MINE
