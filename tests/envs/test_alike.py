import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs import alike, check
from fastrl.types import Spec, Step


def test_nearby_is_one_unit_of_rounding_in_every_float_and_in_nothing_else():
    tree = {"x": jnp.asarray([1.0, -3e5, 7e-9]), "n": jnp.arange(3), "key": jax.random.key(0)}
    near = alike.nearby(tree, np.random.default_rng(0))
    np.testing.assert_array_less(0, np.abs(near["x"] - tree["x"]))
    np.testing.assert_array_less(np.abs(near["x"] - tree["x"]), 1.01 * np.spacing(np.abs(tree["x"])))
    assert alike.same(alike.numbers((near["n"], near["key"])), alike.numbers((tree["n"], tree["key"])))


def test_rounded_shows_what_a_unit_on_the_way_makes_and_a_unit_in_the_arguments_does_not():
    """Adding and taking away a large number leaves the rounding of the large one."""

    def cancelled(x, n):
        return (x + 1e6) - 1e6, n

    x = jnp.float32(0.25)
    found = [alike.apart(result[0], np.asarray(x)) for result in alike.rounded(cancelled, x, jnp.int32(3))]
    unit = float(np.spacing(np.float32(1e6)))
    assert all(0.9 * unit < apart < 1.1 * unit for apart in found)
    assert cancelled(jnp.nextafter(x, jnp.float32(1)), 3)[0] == x
    assert [int(result[1]) for result in alike.rounded(cancelled, x, jnp.int32(3))] == [3, 3, 3]


def test_close_allows_what_was_measured_for_each_leaf():
    rows, expected = [np.zeros((2, 3)), np.ones((2, 1))], [np.full(3, 0.02), np.ones(1)]
    assert not alike.close(rows, expected, [0.0, 1.0])
    assert alike.close(rows, expected, [0.001, 0.0])
    assert alike.apart(np.array([1.0, np.inf, np.nan]), np.array([1.5, np.inf, 0.0])) == 0.5


WEIGHTS = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)


class Chaos:
    """Keeps the protocol, and makes whole numbers of one unit of rounding, as a body that touches the ground may."""

    spec = Spec("chaos", obs_size=1, action_size=1, horizon=6)

    def reset(self, key):
        x = self.moved(jax.random.uniform(key))
        return x, x[None]

    def step(self, key, state, action):
        x = self.moved(state)
        return x, Step(x[None], 1e3 * x, jnp.bool_(False), jnp.bool_(False))

    def moved(self, x):
        """A product of matrices, which batches sum in another order, then the logistic map."""
        x = 0.5 + 0.4 * jnp.sin(WEIGHTS @ jnp.sin(x * jnp.arange(300.0))).mean()
        for _ in range(35):
            x = 3.99 * x * (1 - x)
        return x


def test_check_does_not_accuse_rounding():
    env, keys = Chaos(), jax.random.split(jax.random.key(0), 4)
    with jax.debug_key_reuse(False):
        alone, together = env.reset(keys[-1])[1], jax.jit(jax.vmap(env.reset))(keys)[1][-1]
    assert jnp.abs(alone - together).max() > 0.01, "compiled, it would be accused without a measure"
    check(env)
