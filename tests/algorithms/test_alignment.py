import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import alignment

N, B, A = 3, 7, 2


@pytest.fixture
def draw():
    random = np.random.default_rng(1)
    return lambda *shape: random.normal(size=shape)


def test_entropy_anchor(close, draw):
    mode, sample, log_mode, log_sample = draw(N, B), draw(N, B), draw(B), draw(B)
    targets, anchors = [], []
    for row in range(B):
        anchor = min(mode[i, row] for i in range(N))
        below = anchor - 0.2 * (log_mode[row] - log_sample[row])
        targets.append(min(below, min(sample[i, row] for i in range(N))))
        anchors.append(anchor)
    arrays = [jnp.asarray(x) for x in (mode, sample, log_mode, log_sample)]
    target, anchor = alignment.entropy_anchor(*arrays, 0.2)
    close(target, targets)
    close(anchor, anchors)
    close(alignment.entropy_anchor(*arrays, jnp.asarray(0.2))[0], targets)


def test_entropy_anchor_by_hand(close):
    mode = jnp.array([[5.0, 5.0, 5.0], [4.0, 4.0, 4.0]])
    sample = jnp.array([[9.0, 1.0, 9.0], [9.0, 2.0, 8.0]])
    target, anchor = alignment.entropy_anchor(mode, sample, jnp.array([2.0, 2.0, 0.0]), jnp.zeros(3), 0.5)
    close(anchor, [4.0, 4.0, 4.0])
    close(target, [3.0, 1.0, 4.0])  # less likely than the mode; worth less to the critics; as likely as the mode


def test_entropy_anchor_refuses_other_shapes():
    good = [jnp.zeros((N, B)), jnp.zeros((N, B)), jnp.zeros(B), jnp.zeros(B)]
    bad = [jnp.zeros(B), jnp.zeros((1, B)), jnp.zeros((B, 1)), jnp.zeros(1)]
    for place in range(4):
        with pytest.raises(AssertionError, match=r"rank|shape"):
            alignment.entropy_anchor(*good[:place], bad[place], *good[place + 1 :], 0.2)
    with pytest.raises(AssertionError, match="rank"):
        alignment.entropy_anchor(jnp.zeros(B), jnp.zeros(B), jnp.zeros(()), jnp.zeros(()), 0.2)


@pytest.mark.parametrize("k", [1.0, 4.0])
def test_distance_anchor(close, draw, k):
    mode, noisy, distance = draw(N, B), draw(N, B), np.abs(draw(B))
    mode[:, :3] = np.abs(mode[:, :3])  # q0 of both signs
    noisy[:, ::2] += 2.0  # each of the two is the least somewhere
    targets, anchors = np.zeros((N, B)), np.zeros(B)
    for row in range(B):
        q0 = min(mode[i, row] for i in range(N))
        factor = 1 + k * distance[row] ** 2
        for i in range(N):
            targets[i, row] = min(q0 / factor if q0 >= 0 else q0 * factor, noisy[i, row])
        anchors[row] = q0
    assert (anchors > 0).any() and (anchors < 0).any()
    assert (targets < noisy).any() and (targets == noisy).any()
    target, anchor = alignment.distance_anchor(jnp.asarray(mode), jnp.asarray(noisy), jnp.asarray(distance), k)
    close(target, targets)
    close(anchor, anchors)


def test_distance_anchor_by_hand(close):
    mode = jnp.array([[10.0, -10.0, 0.0], [12.0, -9.0, 1.0]])
    noisy = jnp.array([[99.0, 99.0, 99.0], [7.0, -13.0, -1.0]])
    target, anchor = alignment.distance_anchor(mode, noisy, jnp.array([0.5, 0.5, 0.5]), 1.0)
    close(anchor, [10.0, -10.0, 0.0])
    close(target, [[8.0, -12.5, 0.0], [7.0, -13.0, -1.0]])  # a negative Q goes further down, not up towards 0


def test_distance_anchor_refuses_other_shapes():
    good = [jnp.zeros((N, B)), jnp.zeros((N, B)), jnp.zeros(B)]
    for place, bad in enumerate([jnp.zeros(B), jnp.zeros((1, B)), jnp.zeros((N, B))]):
        with pytest.raises(AssertionError, match=r"rank|shape"):
            alignment.distance_anchor(*good[:place], bad, *good[place + 1 :], 1.0)
    with pytest.raises(AssertionError, match="rank"):
        alignment.distance_anchor(jnp.zeros(B), jnp.zeros(B), jnp.zeros(()), 1.0)


def test_action_distance(close, draw):
    noisy, mode = 0.3 * draw(B, A), 0.3 * draw(B, A)
    expected = []
    for row in range(B):
        norm = sum((noisy[row, a] - mode[row, a]) ** 2 for a in range(A)) ** 0.5
        expected.append(min(norm / A**0.5, 0.3))
    assert min(expected) < 0.3 == max(expected)
    close(alignment.action_distance(jnp.asarray(noisy), jnp.asarray(mode), 0.3), expected)


def test_action_distance_by_hand(close):
    noisy, mode = jnp.array([[0.1] * 4, [0.9] * 4, [0.0] * 4]), jnp.zeros((3, 4))
    close(alignment.action_distance(noisy, mode, 0.2), [0.1, 0.2, 0.0])


def test_action_distance_refuses_other_shapes():
    for noisy, mode in ((jnp.zeros(A), jnp.zeros(A)), (jnp.zeros((B, A)), jnp.zeros((1, A)))):
        with pytest.raises(AssertionError, match=r"rank|shape"):
            alignment.action_distance(noisy, mode, 0.2)


@pytest.mark.parametrize("per_critic", [False, True])
def test_alignment_loss(close, draw, per_critic):
    q_sample, q_mode, mode_target = draw(N, B), draw(N, B), draw(B)
    sample_target = draw(N, B) if per_critic else draw(B)
    expected = 0.0
    for i in range(N):
        rows = []
        for row in range(B):
            target = sample_target[i, row] if per_critic else sample_target[row]
            rows.append((q_sample[i, row] - target) ** 2 + (q_mode[i, row] - mode_target[row]) ** 2)
        expected += sum(rows) / B
    arrays = [jnp.asarray(x) for x in (q_sample, q_mode, sample_target, mode_target)]
    close(alignment.alignment_loss(*arrays), expected)


def test_alignment_loss_takes_one_target_a_row_where_critics_are_as_many_as_rows(close):
    found = alignment.alignment_loss(jnp.zeros((2, 2)), jnp.zeros((2, 2)), jnp.array([1.0, 3.0]), jnp.array([0.0, 2.0]))
    close(found, 2 * (1 + 9 + 0 + 4) / 2)


def test_alignment_loss_refuses_other_shapes():
    good = [jnp.zeros((N, B)), jnp.zeros((N, B)), jnp.zeros(B), jnp.zeros(B)]
    cases = [(0, jnp.zeros(B)), (1, jnp.zeros((1, B))), (2, jnp.zeros((1, B))), (2, jnp.zeros(1)), (2, jnp.zeros(()))]
    for place, bad in [*cases, (3, jnp.zeros((N, B))), (3, jnp.zeros(1))]:
        with pytest.raises(AssertionError, match=r"rank|shape"):
            alignment.alignment_loss(*good[:place], bad, *good[place + 1 :])
    with pytest.raises(AssertionError, match="rank"):
        alignment.alignment_loss(jnp.zeros(B), jnp.zeros(B), jnp.zeros(()), jnp.zeros(()))
