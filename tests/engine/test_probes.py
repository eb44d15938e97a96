"""Diagnostics against NumPy on an agent that is a few numbers, and in whole runs: the learner does not notice them."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.engine import probes, streams
from fastrl.engine.run import upload
from fastrl.networks.distributions import Delta, Normal, TanhNormal, kl
from fastrl.replay import ring as rings
from fastrl.runs.progress import Progress
from fastrl.types import Transition, Views

pytestmark = pytest.mark.usefixtures("quick")

ROWS, OBS, ACT = 40, 3, 2


def views(kind):
    """A policy with mean `w * obs[:2]` and std s, two critics: `c_i * (sum(obs) + |a|^2)`; the targets half of them."""
    mean = lambda state, obs: state["w"] * obs[:, :ACT]
    std = lambda state, obs: state["s"] * jnp.ones((len(obs), ACT))
    worth = lambda obs, action: obs.sum(-1) + jnp.square(action).sum(-1)
    q = lambda state, obs, action: state["c"][:, None] * worth(obs, action)[None]
    policy = {
        "normal": lambda state, obs: Normal(mean(state, obs), std(state, obs)),
        "tanh": lambda state, obs: TanhNormal(mean(state, obs), std(state, obs)),
        "delta": lambda state, obs: Delta(jnp.tanh(mean(state, obs))),
    }[kind]
    return Views(policy, q, lambda state, obs, action: 0.5 * q(state, obs, action))


NOW = {"w": jnp.float32(0.5), "s": jnp.float32(0.8), "c": jnp.array([1.0, 2.0])}
THEN = {"w": jnp.float32(-0.3), "s": jnp.float32(0.4), "c": jnp.array([0.5, 0.2])}


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(0), 5)
    obs, following = (jax.random.normal(key, (ROWS, OBS)) for key in keys[:2])
    action = jnp.tanh(jax.random.normal(keys[2], (ROWS, ACT)))
    mask = jax.random.bernoulli(keys[3], 0.7, (ROWS,)).astype(jnp.float32)
    return Transition(obs, action, jax.random.normal(keys[4], (ROWS,)), mask, following, 0 * mask, 1 - mask)


def worth(obs, action):
    return obs.sum(-1) + (action**2).sum(-1)


def test_q_and_td_error(batch):
    found = probes.values(views("normal"), NOW, batch, 0.9, jax.random.key(3))
    rows = jax.tree.map(np.asarray, batch)
    noise = np.asarray(jax.random.normal(jax.random.key(3), (ROWS, ACT)))
    after = np.clip(0.5 * rows.next_obs[:, :ACT] + 0.8 * noise, -1, 1)
    least = 0.5 * np.minimum(worth(rows.next_obs, after), 2 * worth(rows.next_obs, after))
    target = rows.reward + 0.9 * rows.mask * least
    q = np.array([1.0, 2.0])[:, None] * worth(rows.obs, rows.action)
    np.testing.assert_allclose(found["q"], q.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["td"], ((q - target) ** 2).mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["normal", "tanh"])
def test_the_divergence_of_the_policies_is_that_of_the_gaussians(batch, kind):
    found = probes.moved(views(kind), NOW, THEN, batch.obs, jax.random.key(4))
    obs = np.asarray(batch.obs)[:, :ACT]
    apart = ((-0.3 - 0.5) * obs / 0.8) ** 2
    exact = 0.5 * (0.25 + apart - 1 - np.log(0.25)).sum(-1)
    np.testing.assert_allclose(found["policy_kl"], exact.mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", [Normal, TanhNormal])
def test_the_closed_form_is_the_mean_of_the_log_ratio(kind):
    one, other = (kind(jnp.array([[m, 0.1]]), jnp.array([[s, 0.7]])) for m, s in ((0.3, 0.5), (-0.2, 0.9)))
    noise = jax.random.normal(jax.random.key(0), (200_000, 1, 2))
    with jax.enable_x64(False):
        x, log_prob = jax.vmap(one.sample_log_prob)(noise)
        estimate = (log_prob - jax.vmap(other.log_prob)(x)).mean()
    np.testing.assert_allclose(kl(one, other)[0], estimate, atol=0.01)
    np.testing.assert_allclose(kl(one, one), 0.0, atol=1e-6)


def test_the_divergence_of_q_is_over_an_equal_mix_of_both_policies_samples(batch):
    found = probes.moved(views("normal"), NOW, THEN, batch.obs, jax.random.key(4))
    obs = np.asarray(batch.obs, np.float64)
    noise = np.asarray(jax.random.normal(jax.random.key(4), (10, ROWS, ACT)), np.float64)
    mine = [0.5 * obs[:, :ACT] + 0.8 * x for x in noise[5:]]
    theirs = [-0.3 * obs[:, :ACT] + 0.4 * x for x in noise[:5]]
    value = np.stack([worth(obs, np.clip(action, -1, 1)) for action in theirs + mine])
    soft = [np.exp(c * value) / np.exp(c * value).sum(0) for c in (0.35, 1.5)]  # means over the two critics
    np.testing.assert_allclose(found["q_kl"], (soft[0] * np.log(soft[0] / soft[1])).sum(0).mean(), rtol=1e-4)


def test_deterministic_policies_have_a_distance(batch):
    found = probes.moved(views("delta"), NOW, THEN, batch.obs, jax.random.key(4))
    obs = np.asarray(batch.obs)[:, :ACT]
    assert "policy_kl" not in found
    exact = ((np.tanh(0.5 * obs) - np.tanh(-0.3 * obs)) ** 2).mean()
    np.testing.assert_allclose(found["policy_distance"], exact, rtol=1e-5)


def test_without_critics_the_policy_alone_is_measured(batch):
    bare = views("normal")._replace(q=None, target_q=None)
    assert probes.values(bare, NOW, batch, 0.9, jax.random.key(3)) == {}
    assert set(probes.moved(bare, NOW, THEN, batch.obs, jax.random.key(4))) == {"policy_kl"}


def test_the_held_batch_stays_and_the_other_keys_move():
    keys = streams.seeds(0, 2)
    data = [[np.asarray(jax.random.key_data(k)) for k in streams.probes(keys, 2, jnp.int32(step))] for step in (0, 5)]
    np.testing.assert_array_equal(data[0][0], data[1][0])
    assert not np.array_equal(data[0][1], data[1][1]) and not np.array_equal(data[0][2], data[1][2])


@pytest.fixture(scope="module")
def both(plan_of, execute, quick):
    """WSRL with diagnostics and without, from the same seeds."""
    options = {"warmup_by": "policy", "normalize_observations": True}
    return {every: execute(plan_of("wsrl", probe_every=every, **options)) for every in (0, 5)}


def test_the_learner_does_not_notice(both, leaves_of):
    without, with_them = both[0], both[5]
    own = leaves_of(without.carry)
    seen = leaves_of(with_them.carry)
    assert all(np.array_equal(own[path], seen[path], equal_nan=True) for path in own)
    assert [row for row in with_them.rows if row["kind"] != "probe"] == without.rows
    assert not [row for row in without.rows if row["kind"] == "probe"]


def test_what_is_logged_and_when(both):
    rows = [row for row in both[5].rows if row["kind"] == "probe"]
    assert [(row["phase"], row["step"]) for row in rows] == [
        (phase, step) for phase in ("pretrain", "warmup", "finetune") for step in (5, 10, 15, 20)
    ]
    offline = {"offline/q", "offline/td"}
    moved = {f"{source}/{name}" for source in ("offline", "online") for name in ("policy_kl", "q_kl")}
    assert offline <= rows[0].keys() and not rows[0].keys() & (moved | {"online/q"})
    assert moved | offline | {"online/q", "online/td"} <= rows[-1].keys()
    for name in moved:
        assert all(abs(x) < 1e-6 for x in rows[7][name])  # the frozen policy has not moved
        assert all(x > 0 for x in rows[-1][name])
    assert (rows[5]["buffer/rows"], rows[5]["buffer/warmup"]) == (10, 1.0)
    assert (rows[-1]["buffer/rows"], rows[-1]["buffer/warmup"], rows[-1]["buffer/dataset"]) == (40, 0.5, 0.0)


def test_a_row_is_what_the_functions_give_of_the_agent(both, plan_of):
    plan = plan_of("wsrl", probe_every=5, warmup_by="policy", normalize_observations=True)
    carry, data = both[5].carry, upload(plan)
    held, _, key = streams.probes(plan.keys(), 1, jnp.int32(40))
    row = both[5].rows[-2]
    assert row["kind"] == "probe"
    algorithm = plan.phases[-1].algorithm()
    for seed in range(2):
        agent, before = (jax.tree.map(lambda x, s=seed: x[s], tree) for tree in (carry.seeds.agent, carry.before))
        own = lambda keys, s=seed: jax.random.clone(keys)[s]
        batch = rings.unpack(rings.take(data, own(held), probes.ROWS), 1, 1)
        found = probes.values(algorithm.views, agent, batch, 0.99, jax.random.fold_in(own(key), 0))
        found |= probes.moved(algorithm.views, agent, before, batch.obs, jax.random.fold_in(own(key), 1))
        for name, value in found.items():
            np.testing.assert_allclose(row[f"offline/{name}"][seed], value, rtol=1e-3, atol=1e-6)


def test_the_shares_of_a_full_ring_are_those_of_its_newest_rows(plan_of):
    plan = plan_of("cql", retention="append", warmup=10, steps=40, capacity=45, probe_every=5)
    assert probes.contents(plan, 0, 3) == {}
    assert probes.contents(plan, 1, 10) == {"buffer/rows": 45, "buffer/dataset": 35 / 45, "buffer/warmup": 10 / 45}
    last = probes.contents(plan, 2, 30)
    assert last == {"buffer/rows": 45, "buffer/dataset": 5 / 45, "buffer/warmup": 10 / 45}


def test_a_run_that_was_stopped_logs_the_same_diagnostics(plan_of, driver_of, both, tmp_path):
    from fastrl.engine.run import Driver, Interrupted
    from fastrl.runs.preempt import StopRequest

    plan = plan_of("wsrl", probe_every=5, warmup_by="policy", normalize_observations=True)
    stop = StopRequest()
    driver = Driver(dataclasses.replace(plan, checkpoint_minutes=0.0), tmp_path, Progress(io.StringIO()), stop)
    plain = driver._probe

    def interrupted(number, carry, measure):
        plain(number, carry, measure)
        if number == 2:
            stop.requested = 15

    driver._probe = interrupted
    with pytest.raises(Interrupted):
        driver.run()
    driver.record.log.close()
    again = Driver(plan, tmp_path, Progress(io.StringIO()), StopRequest())
    rows = again.run().rows
    again.record.log.close()
    assert rows == both[5].rows
