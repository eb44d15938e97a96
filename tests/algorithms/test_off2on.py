"""Off2On against NumPy in float64: the policy's moments, each loss and its gradient, the density ratio, priorities."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import cql, density, off2on
from fastrl.algorithms.cql import CQLState
from fastrl.methods import CQL, Off2On
from fastrl.networks import averaged
from fastrl.networks.distributions import TanhNormal
from fastrl.types import UserError

ROWS, MEMBERS = 6, 3
SMALL = Off2On(
    members=MEMBERS, actor_hidden=(8,), critic_hidden=(8, 8), density_hidden=(8,), cql_actions=2, stage="finetune"
)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def wide(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


@pytest.fixture
def state(filled, spec):
    state = wide(filled(off2on.off2on(SMALL, spec)))
    temperature = dataclasses.replace(state.temperature, params=jnp.float64(-0.7))
    return dataclasses.replace(state, temperature=temperature)


@pytest.fixture
def batch(make_batch):
    return wide(make_batch(0, 3 * ROWS))


@pytest.fixture
def took(ref, spec):
    """`(loss, state, batch, key) -> (gradients, metrics)`, compiled."""
    net = off2on.networks(SMALL, spec)
    return lambda loss, *args: ref.run(loss(SMALL, net), *args, ref.clock)


def member(tree, n):
    return jax.tree.map(lambda x: x[n], tree)


def policy(ref, actors, obs):
    """The moments of the mixture, from the formula."""
    each = [ref.actor(member(actors, n), obs) for n in range(MEMBERS)]
    mean = np.mean([m for m, _ in each], 0)
    variance = np.mean([s**2 + m**2 for m, s in each], 0) - mean**2
    return mean, np.sqrt(variance)


def least(ref, critics, obs, action):
    """min over each agent's critics, [N, B]."""
    return np.stack([ref.critic(member(critics, n), obs, action).min(0) for n in range(MEMBERS)])


def rows(batch, part):
    return jax.tree.map(lambda x: np.asarray(x[part * ROWS : (part + 1) * ROWS]), batch)


def noise(key):
    return np.asarray(jax.random.normal(key, (ROWS, 2)))


def test_the_policy_has_the_moments_of_its_members():
    random = np.random.default_rng(0)
    mean, std = random.normal(size=(5, 4, 2)), random.uniform(0.1, 2, (5, 4, 2))
    found = averaged.matched(TanhNormal(jnp.asarray(mean), jnp.asarray(std)))
    np.testing.assert_allclose(found.mean, mean.mean(0))
    np.testing.assert_allclose(found.std**2, (std**2 + mean**2).mean(0) - mean.mean(0) ** 2)
    samples = (
        (mean[..., None] + std[..., None] * random.normal(size=(5, 4, 2, 20_000))).swapaxes(0, 2).reshape(2, 4, -1)
    )
    np.testing.assert_allclose(found.std.T, samples.std(-1), rtol=0.03)
    narrow = averaged.matched(TanhNormal(jnp.full((3, 1, 1), 1e4), jnp.full((3, 1, 1), 1e-5)))
    np.testing.assert_allclose(narrow.std, 1e-5)  # where the formula as it is written would cancel


def test_critics_learn_on_their_own_agents_target(state, batch, took, ref):
    grads, metrics = took(off2on.critic_loss, state, batch, jax.random.key(5))
    own, (target, actors) = rows(batch, 0), ref.to64((state.critic.target, state.actor.params))
    mean, std = policy(ref, actors, own.next_obs)
    action, log_prob = ref.squashed(mean, std, mean + std * noise(jax.random.key(5)))
    y = own.reward + 0.99 * own.mask * (least(ref, target, own.next_obs, action) - np.exp(-0.7) * log_prob)

    def loss(critics):
        return sum(
            ((ref.critic(member(critics, n), own.obs, own.action) - y[n]) ** 2).mean(1).sum() for n in range(MEMBERS)
        )

    assert set(grads) == {"critic"}
    np.testing.assert_allclose(metrics["critic/loss"], loss(ref.to64(state.critic.params)), rtol=1e-9)
    np.testing.assert_allclose(metrics["critic/target"], y.mean(), rtol=1e-9)
    np.testing.assert_allclose(*ref.slope(loss, state.critic.params, grads["critic"]), rtol=1e-5)


def test_all_actors_climb_the_agents_mean_and_the_temperature_follows(state, batch, took, ref):
    grads, metrics = took(off2on.actor_loss, state, batch, jax.random.key(5))
    own, critics, temperature = rows(batch, 0), ref.to64(state.critic.params), np.exp(-0.7)

    def sample(actors):
        mean, std = policy(ref, actors, own.obs)
        return ref.squashed(mean, std, mean + std * noise(jax.random.key(5)))

    def loss(actors):
        action, log_prob = sample(actors)
        return (temperature * log_prob - least(ref, critics, own.obs, action).mean(0)).mean()

    assert set(grads) == {"actor", "temperature"}
    np.testing.assert_allclose(metrics["actor/loss"], loss(ref.to64(state.actor.params)), rtol=1e-9)
    np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=1e-5)
    for n in range(MEMBERS):
        assert abs(grads["actor"]["mean"]["kernel"][n]).max() > 1e-6
    entropy = -sample(ref.to64(state.actor.params))[1].mean()
    np.testing.assert_allclose(grads["temperature"], temperature * (entropy + 2), rtol=1e-9)


def ratio(ref, params, obs, action):
    """The network as one critic of an ensemble."""
    one = jax.tree.map(lambda x: x[None], params)
    return np.maximum(1 + ref.critic(one, obs, action)[0], 0)


def test_the_density_ratio_bounds_the_divergence(state, batch, took, ref):
    grads, metrics = took(lambda config, net: off2on.density_loss(net), state, batch, jax.random.key(5))
    offline, online = rows(batch, 1), rows(batch, 2)

    def loss(params):
        off, on = (ratio(ref, params, part.obs, part.action) for part in (offline, online))
        return -np.log(2 / (off + 1) + 1e-10).mean() - np.log(2 * on / (on + 1) + 1e-10).mean()

    assert set(grads) == {"density"}
    np.testing.assert_allclose(metrics["density/loss"], loss(ref.to64(state.density.params)), rtol=1e-9)
    np.testing.assert_allclose(*ref.slope(loss, state.density.params, grads["density"]), rtol=1e-5)


def test_a_ratio_of_zero_has_a_finite_loss_and_no_gradient():
    value, grad = jax.value_and_grad(lambda x: density.loss(jax.nn.relu(x), jax.nn.relu(x)))(jnp.array([-1.0, 0.0]))
    np.testing.assert_allclose(value, -np.log(2) - np.log(1e-10), rtol=1e-9)
    np.testing.assert_array_equal(grad, np.zeros(2))


def test_the_ratio_that_minimises_the_loss_is_that_of_the_densities():
    """Three kinds of row; online ones come 1, 2 and 5 times in 8, offline ones 4, 3 and 1."""
    on, off = jnp.array([0] + [1] * 2 + [2] * 5), jnp.array([0] * 4 + [1] * 3 + [2])
    grad = jax.grad(lambda w: density.loss(w[off], w[on]))
    best = jnp.array([1 / 4, 2 / 3, 5])
    np.testing.assert_allclose(grad(best), np.zeros(3), atol=1e-9)
    assert (np.sign(grad(1.1 * best)) == 1).all() and (np.sign(grad(0.9 * best)) == -1).all()


def test_priorities(state, batch, ref, spec):
    batches = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), batch)
    found = jax.jit(off2on.off2on(SMALL, spec).weigh)(state, batches)
    ratios = ratio(ref, ref.to64(state.density.params), np.asarray(batches.obs), np.asarray(batches.action)) ** 0.2
    expected = np.clip(ratios[:, :ROWS] / (ratios[:, ROWS : 2 * ROWS].mean() + 1e-10), 1e-3, 1e3)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.shape == (2, ROWS)
    np.testing.assert_allclose(density.priority(jnp.array([0.0, 1e30]), jnp.ones(3), 5.0), [1e-3, 1e3])


def test_an_update_takes_all_losses_at_the_old_parameters(state, batch, took, ref, spec):
    algorithm = off2on.off2on(SMALL, spec)
    batches = jax.tree.map(lambda x: x[None], batch)
    new, _ = ref.run(algorithm.update, state, batches, jax.random.key(7), ref.clock)
    keys = jax.random.split(jax.random.key(7), 3)
    critic, _ = took(off2on.critic_loss, state, batch, keys[0])
    rest, _ = took(off2on.actor_loss, state, batch, keys[1])
    ratios, _ = took(lambda config, net: off2on.density_loss(net), state, batch, keys[2])
    for name, grads in {**critic, **rest, **ratios}.items():
        old, after = getattr(state, name), getattr(new, name)
        for p, g, q in zip(*map(jax.tree.leaves, (old.params, grads, after.params)), strict=True):
            expected = ref.adam(np.asarray(p), np.asarray(g), 0, 0, 1, 3e-4)
            np.testing.assert_allclose(q, expected, atol=1e-7)  # the optimiser's own constants are of float32
        assert (np.asarray(after.opt.count) == 1).all()
        assert after.opt.count.shape == ((MEMBERS,) if name in ("actor", "critic") else ())
    moved = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), new.critic.target, moved)
    for name in ("temperatures", "alpha"):
        jax.tree.map(np.testing.assert_array_equal, getattr(new, name), getattr(state, name))
    alone = off2on.off2on(dataclasses.replace(SMALL, critics_alone=True), spec)
    new, _ = ref.run(alone.update, state, batches, jax.random.key(7), ref.clock)
    jax.tree.map(np.testing.assert_array_equal, new.actor, state.actor)


@pytest.mark.parametrize(("gap", "piece"), [(None, None), (0.5, 256)], ids=["side by side", "one after another"])
def test_pretraining_is_cql_of_each_agent_on_rows_of_its_own(gap, piece, state, make_batch, ref, spec):
    config = dataclasses.replace(SMALL, stage="pretrain", gap=gap, grad_clip=0.5)
    batches = wide(make_batch(3, 1, MEMBERS * ROWS))
    update = off2on.off2on(config, spec).update
    new, metrics = ref.run(update, state, batches, jax.random.key(7), ref.clock, piece=piece)
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(CQL)}
    agent, each = cql.cql(CQL(**fields), spec), []
    update = jax.jit(agent.update)
    for n, key in enumerate(jax.random.split(jax.random.key(7), MEMBERS)):
        before = CQLState(*(member(group, n) for group in (state.actor, state.critic, state.temperatures, state.alpha)))
        own = jax.tree.map(lambda x: x[:, n * ROWS : (n + 1) * ROWS], batches)
        after, found = update(before, own, key, ref.clock)
        each.append(found["critic/loss"])
        got = [member(getattr(new, name), n) for name in ("actor", "critic", "temperatures", "alpha")]
        for a, b in zip(
            jax.tree.leaves(got), jax.tree.leaves([getattr(after, f.name) for f in dataclasses.fields(after)])
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(metrics["critic/loss"], np.mean(each), rtol=1e-9)
    jax.tree.map(np.testing.assert_array_equal, (new.temperature, new.density), (state.temperature, state.density))


def test_agents_start_apart_and_the_ratio_at_about_one(spec, make_batch):
    state = jax.jit(off2on.off2on(SMALL, spec).init)(jax.random.key(0))
    for tree in (state.actor.params, state.critic.params):
        kernel = np.asarray(tree["trunk"]["dense_0"]["kernel"])
        assert kernel.shape[0] == MEMBERS and not np.allclose(kernel[0], kernel[1])
    jax.tree.map(np.testing.assert_array_equal, state.critic.target, state.critic.params)
    rows = make_batch(0, 50)
    net = density.network(3, 2, (8,))
    found = density.ratio(net, state.density.params, rows.obs, rows.action)
    assert (abs(found - 1) < 0.3).all()
    assert float(state.temperature.params) == 0.0  # alpha = 1


def test_rows_of_another_draw_are_refused(state, make_batch, ref, spec):
    with pytest.raises(UserError, match=r"rows by priority \(name the recipe off2on\); 16 rows are not 3"):
        off2on.off2on(SMALL, spec).update(state, make_batch(0, 1, 16), jax.random.key(0), ref.clock)
