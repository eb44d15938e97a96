import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import advantages

T, E, N = 6, 3, 9


@pytest.fixture
def draw():
    random = np.random.default_rng(2)
    return lambda *shape: random.normal(size=shape)


def plain_std(numbers):
    """Of a sample: the divisor is one less than the count."""
    mean = sum(numbers) / len(numbers)
    return (sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)) ** 0.5


def plain_normalise(numbers):
    mean, std = sum(numbers) / len(numbers), plain_std(numbers)
    return [(x - mean) / (std + 1e-8) for x in numbers]


def test_gae(close, draw):
    reward, value, following = draw(T, E), draw(T, E), draw(T, E)
    mask, last = np.ones((T, E)), np.zeros((T, E))
    mask[2, 0], last[2, 0] = 0, 1  # terminated
    last[3, 1] = 1  # truncated
    mask[5, 2], last[5, 2] = 0, 1  # terminated with the last row
    expected = np.zeros((T, E))
    for env in range(E):
        for start in range(T):  # the definition: a sum forwards from every row, to the end of its episode
            factor = 1.0
            for t in range(start, T):
                delta = reward[t, env] + 0.97 * mask[t, env] * following[t, env] - value[t, env]
                expected[start, env] += factor * delta
                factor *= 0.97 * 0.8
                if last[t, env]:
                    break
    arrays = [jnp.asarray(x) for x in (reward, value, following, mask, last)]
    close(advantages.gae(*arrays, 0.97, 0.8), expected)
    close(jax.jit(advantages.gae)(*arrays, 0.97, 0.8), expected)


def test_a_truncated_row_bootstraps_and_a_terminated_one_does_not(close):
    """Two environments, three rows, an end at the middle one: truncated in the first, terminated in the second."""
    columns = lambda rows: jnp.array([[row, row] for row in rows])
    mask, last = jnp.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), columns([0.0, 1.0, 0.0])
    found = advantages.gae(
        columns([1.0, 2.0, 3.0]), columns([0.0] * 3), columns([0.0, 8.0, 100.0]), mask, last, 0.5, 0.5
    )
    # the middle row: 2 + 0.5 * 8 or 2; the first: 1 + 0.25 * it; the last row's 53 reaches neither
    close(found, [[2.5, 1.5], [6.0, 2.0], [53.0, 53.0]])


def test_gae_refuses_other_shapes():
    for place in range(5):
        for bad in (jnp.zeros((T, 1)), jnp.zeros(T)):
            arrays = [bad if place == k else jnp.zeros((T, E)) for k in range(5)]
            with pytest.raises(AssertionError, match=r"rank|shape"):
                advantages.gae(*arrays, 0.99, 0.95)
    with pytest.raises(AssertionError, match="rank"):
        advantages.gae(*[jnp.zeros(T)] * 5, 0.99, 0.95)


@pytest.mark.parametrize("shape", [(N,), (T, E)])
def test_auxiliary(close, draw, shape):
    log_prob, entropy = 10 * draw(*shape), draw(*shape)
    expected = np.zeros(shape)
    for place in np.ndindex(shape):
        x = log_prob[place] + entropy[place]
        expected[place] = 2.0 * (np.log(1 + np.exp(x + 4 * 3)) - 4 * 3) / 3
    close(advantages.auxiliary(jnp.asarray(log_prob), jnp.asarray(entropy), 3), expected)
    close(advantages.auxiliary(jnp.asarray(log_prob), jnp.asarray(entropy), 3, 0.5), expected / 4)


def test_the_auxiliary_advantage_is_the_log_ratio_above_its_floor(close):
    found = advantages.auxiliary(jnp.array([60.0, 30.0, -1e4]), jnp.array([2.0, 0.0, 5.0]), 6)
    close(found, [2 * 62 / 6, 2 * 30 / 6, -8.0])


def test_auxiliary_refuses_other_shapes():
    with pytest.raises(AssertionError, match="shape"):
        advantages.auxiliary(jnp.zeros(N), jnp.zeros(1), 3)


@pytest.mark.parametrize("shape", [(N,), (T, E)])
def test_normalise(close, draw, shape):
    numbers = 3 + 2 * draw(*shape)
    close(advantages.normalise(jnp.asarray(numbers)), np.reshape(plain_normalise(list(numbers.ravel())), shape))


def test_equal_advantages_are_normalised_to_zero(close):
    close(advantages.normalise(jnp.full(4, 2.0)), np.zeros(4))
    close(advantages.normalise(jnp.array([0.0, 2e-8])), np.array([-1e-8, 1e-8]) / (2**0.5 * 1e-8 + 1e-8))


def test_normalise_refuses_a_lone_number():
    with pytest.raises(AssertionError, match="rank"):
        advantages.normalise(jnp.zeros(()))


@pytest.mark.parametrize("w", [0.0, 0.5, 1.0])
def test_combined(close, draw, w):
    gae, aux = 3 * draw(N) + 1, draw(N) - 1
    std = plain_std(list(gae))
    rows = [(gae[i] + w * aux[i] * std) / (1 + w) for i in range(N)]
    pairs = [(gae[i] + w * aux[j] * std) / (1 + w) for i in range(N) for j in range(N)]
    close(advantages.combined(jnp.asarray(gae), jnp.asarray(aux), w, outer=False), plain_normalise(rows))
    found = advantages.combined(jnp.asarray(gae), jnp.asarray(aux), jnp.asarray(w), outer=True)
    close(found, np.reshape(plain_normalise(pairs), (N, N)))


def test_the_sum_is_divided_by_the_sum_of_its_weights():
    """Visible only where the standard deviation is as small as what is added to it."""
    with jax.enable_x64(True):
        gae = jnp.array([1e-8, -1e-8])
        found = advantages.combined(gae, jnp.zeros(2), 1.0, outer=False)
        np.testing.assert_allclose(found, np.array([0.5, -0.5]) / (0.5 * 2**0.5 + 1), rtol=1e-9)


def test_the_released_outer_variant_steers_no_row(close, draw):
    gae, aux = jnp.asarray(draw(N)), jnp.asarray(draw(N))
    outer = lambda aux: advantages.combined(gae, aux, 1.0, outer=True).mean(1)
    close(outer(aux[::-1]), outer(aux))  # which row likes the reference changes nothing
    standard = lambda x: plain_normalise([float(number) for number in x])
    np.testing.assert_allclose(standard(outer(aux)), standard(gae), rtol=1e-4, atol=1e-5)  # GAE only, shrunk
    assert outer(aux).std() < 0.9
    rows = lambda aux: advantages.combined(gae, aux, 1.0, outer=False)
    assert np.abs(np.array(standard(rows(aux))) - standard(rows(aux[::-1]))).max() > 0.1


def test_combined_refuses_other_shapes():
    for gae, aux in (
        (jnp.zeros((N, 1)), jnp.zeros(N)),
        (jnp.zeros(N), jnp.zeros(1)),
        (jnp.zeros(N), jnp.zeros((N, 1))),
    ):
        for outer in (False, True):
            with pytest.raises(AssertionError, match=r"rank|shape"):
                advantages.combined(gae, aux, 1.0, outer=outer)
    with pytest.raises(AssertionError, match="rank"):
        advantages.combined(jnp.zeros((N, 1)), jnp.zeros((N, 1)), 1.0, outer=False)


@pytest.mark.parametrize("columns", [None, 4])
def test_clipped_surrogate(close, draw, columns):
    log_ratio = 0.3 * draw(N)
    advantage = draw(N) if columns is None else draw(N, columns)
    terms = []
    for i in range(N):
        ratio = np.exp(log_ratio[i])
        clipped = min(max(ratio, 0.8), 1.2)
        terms += [min(ratio * a, clipped * a) for a in np.atleast_1d(advantage[i])]
    close(advantages.clipped_surrogate(jnp.asarray(log_ratio), jnp.asarray(advantage), 0.2), -sum(terms) / len(terms))


def test_the_surrogate_is_clipped_on_the_side_that_helps():
    advantage = jnp.array([1.0, -1.0, 1.0, -1.0])
    log_ratio = jnp.log(jnp.array([1.5, 1.5, 0.5, 0.5]))
    loss, grad = jax.value_and_grad(advantages.clipped_surrogate)(log_ratio, advantage, 0.2)
    np.testing.assert_allclose(loss, -(1.2 - 1.5 + 0.5 - 0.8) / 4, rtol=1e-5)
    np.testing.assert_allclose(grad, -np.array([0.0, -1.5, 0.5, 0.0]) / 4, rtol=1e-5)


def test_inside_the_clip_a_matrix_has_the_gradient_of_its_row_means(draw):
    log_ratio, matrix = 0.01 * jnp.asarray(draw(N)), jnp.asarray(draw(N, N))
    grad = jax.grad(advantages.clipped_surrogate)
    np.testing.assert_allclose(grad(log_ratio, matrix, 0.2), grad(log_ratio, matrix.mean(1), 0.2), rtol=1e-4, atol=1e-6)


def test_clipped_surrogate_refuses_other_shapes():
    cases = [((N,), (1,)), ((N,), (1, N)), ((N,), ()), ((N, 1), (N,)), ((N, 1), (N, 1)), ((), ())]
    for ratio, advantage in cases:
        with pytest.raises(AssertionError, match=r"rank|shape"):
            advantages.clipped_surrogate(jnp.zeros(ratio), jnp.zeros(advantage), 0.2)
