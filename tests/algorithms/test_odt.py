"""ODT against NumPy in float64: the transformer, its causality, losses and gradients, playing with memory, labels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import odt
from fastrl.algorithms.distil import Distil, DistilState, distil
from fastrl.methods import O2SAC, ODT
from fastrl.networks import sequence
from fastrl.networks.sequence import Window
from fastrl.types import Spec, Transition, UserError

T, B, O, A = 4, 3, 3, 2
SMALL = ODT(
    token_width=8,
    layers=2,
    heads=2,
    context=T,
    eval_context=T,
    dropout=0.0,
    target_return=7.0,
    return_scale=2.0,
    batch_size=B,
)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def drawn(tree, seed=0):
    """Random float64 numbers in the shapes of a tree, whole ones 0."""
    random = np.random.default_rng(seed)
    draw = lambda x: random.normal(size=x.shape) * 0.5 if x.dtype.kind == "f" else np.zeros(x.shape, x.dtype)
    return jax.tree.map(lambda x: jnp.asarray(draw(x)), tree)


@pytest.fixture(scope="module")
def shapes():
    return jax.eval_shape(odt.odt(SMALL, Spec("made-up", O, A, 10)).init, jax.random.key(0))


@pytest.fixture
def state(shapes):
    found = drawn(shapes)
    return dataclasses.replace(found, temperature=dataclasses.replace(found.temperature, params=jnp.float64(-1.5)))


def window(seed=1, valid=None):
    random = np.random.default_rng(seed)
    valid = np.ones((B, T), bool) if valid is None else valid
    return Window(
        random.normal(size=(B, T)), random.normal(size=(B, T, O)), np.tanh(random.normal(size=(B, T, A))), valid
    )


# -- the transformer in NumPy, one window and one head at a time -----------------------------------------------------


def norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def attention(p, x, sees):
    total = 0
    for head in range(p["query"]["kernel"].shape[1]):
        q, k, v = (x @ p[name]["kernel"][:, head] + p[name]["bias"][head] for name in ("query", "key", "value"))
        score = np.where(sees, q @ k.T / np.sqrt(q.shape[-1]), -np.inf)
        weight = np.exp(score - score.max(-1, keepdims=True))
        total = total + weight / weight.sum(-1, keepdims=True) @ v @ p["out"]["kernel"][head]
    return total + p["out"]["bias"]


def model(params, window):
    """Mean and std [B, T, A]."""
    means, stds = [], []
    for returns, obs, action, valid in zip(*window):
        parts = [dense(params["embed_return"], returns[:, None])]
        parts += [dense(params["embed_obs"], obs), dense(params["embed_action"], action)]
        x = norm(params["embed_norm"], np.stack(parts, 1).reshape(3 * len(obs), -1))
        token = np.arange(len(x))
        sees = (token[None] <= token[:, None]) & np.repeat(valid, 3)[None] | np.eye(len(x), dtype=bool)
        for n in range(sum(name.startswith("block") for name in params)):
            p = params[f"block_{n}"]
            x = x + attention(p["attention"], norm(p["norm_0"], x), sees)
            x = x + dense(p["dense_1"], np.maximum(dense(p["dense_0"], norm(p["norm_1"], x)), 0))
        x = norm(params["norm"], x)[1::3]
        means.append(dense(params["mean"], x))
        stds.append(np.exp(-5 + 3.5 * (np.tanh(dense(params["spread"], x)) + 1)))
    return np.stack(means), np.stack(stds)


@pytest.fixture
def policies(state, spec):
    module = odt.network(SMALL, spec)
    return jax.jit(lambda window: sequence.policies(module, state.actor.params, window))


def test_the_transformer_is_the_formula(policies, state, ref):
    for valid in (None, np.arange(T)[None] >= np.array([[0], [2], [3]])):
        found = policies(window(valid=valid))
        mean, std = model(ref.to64(state.actor.params), window(valid=valid))
        np.testing.assert_allclose(found.mean, mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.std, std, rtol=1e-9)


def moved(window, name, step):
    changed = np.array(getattr(window, name))
    changed[:, step] += 0.5
    return window._replace(**{name: changed})


@pytest.mark.parametrize("name", ["returns", "obs", "action"])
def test_what_comes_later_changes_nothing_before(policies, name):
    """A step's policy sees its own return and observation, and not its own action."""
    before = np.asarray(policies(window()).mean)
    for step in range(T):
        after = np.asarray(policies(moved(window(), name, step)).mean)
        first = step + (name == "action")
        np.testing.assert_array_equal(after[:, :first], before[:, :first])
        assert (abs(after[:, first:] - before[:, first:]).max((0, 2)) > 1e-6).all()


@pytest.mark.parametrize("name", ["returns", "obs", "action"])
def test_a_step_of_another_trajectory_changes_nothing_in_this_one(policies, name):
    valid = np.arange(T)[None] >= np.array([[1], [2], [3]])
    before = np.asarray(policies(window(valid=valid)).mean)
    after = np.asarray(policies(moved(window(valid=valid), name, 0)).mean)
    np.testing.assert_array_equal(after[valid], before[valid])
    short = Window(*(x[:1, 1:] for x in window()))  # and it is as if it were not there
    np.testing.assert_allclose(before[:1, 1:], policies(short).mean, rtol=1e-9)


def rows(seed=2, count=B):
    """Rows [B * T] of windows: the first is whole, of the second three steps, of the third the last alone."""
    random = np.random.default_rng(seed)
    last = np.zeros((count, T))
    last[0, -1], last[1, 0], last[2, 1:3] = 1, 1, 1
    flat = window(seed, None)
    shape = (count * T,)
    return Transition(
        obs=jnp.asarray(flat.obs.reshape(-1, O)),
        action=jnp.asarray(flat.action.reshape(-1, A)),
        reward=jnp.zeros(shape),
        mask=jnp.ones(shape),
        next_obs=jnp.zeros((*shape, O)),
        mc_return=jnp.asarray(random.normal(size=shape)),
        last=jnp.asarray(last.reshape(-1)),
    )


VALID = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], bool)


def test_windows_end_at_their_own_trajectory(ref):
    found = odt.windows(rows(), T, rows().mc_return)
    np.testing.assert_array_equal(found.valid, VALID)
    np.testing.assert_array_equal(found.obs[1, 2], rows().obs[T + 2])
    np.testing.assert_array_equal(found.returns[2, 1], rows().mc_return[2 * T + 1])


def test_the_loss_and_its_gradients(state, spec, ref):
    key, batch = jax.random.key(3), rows()
    loss = odt.likelihood_loss(SMALL, odt.network(SMALL, spec))
    grads, metrics = ref.run(loss, state, batch, key, ref.clock)
    noise = np.asarray(jax.random.normal(jax.random.split(jax.random.key(3))[0], (B, T, A)))
    seen = Window(
        *(np.asarray(x).reshape(B, T, *x.shape[1:]) for x in (batch.mc_return / 2, batch.obs, batch.action)), VALID
    )
    x = np.arctanh(np.clip(seen.action, -1 + 1e-5, 1 - 1e-5))

    def parts(params):
        mean, std = model(params, seen)
        likelihood = ref.squashed(mean, std, x)[1][VALID].mean()
        return likelihood, -ref.squashed(mean, std, mean + std * noise)[1][VALID].mean()

    def total(params):
        likelihood, entropy = parts(params)
        return -likelihood - np.exp(-1.5) * entropy

    params = ref.to64(state.actor.params)
    likelihood, entropy = parts(params)
    np.testing.assert_allclose(metrics["actor/log_prob"], likelihood, rtol=1e-8)
    np.testing.assert_allclose(metrics["actor/entropy"], entropy, rtol=1e-8)
    np.testing.assert_allclose(metrics["actor/loss"], total(params), rtol=1e-8)
    assert set(grads) == {"actor", "temperature"}
    np.testing.assert_allclose(*ref.slope(total, state.actor.params, grads["actor"], 1e-6), rtol=1e-5)
    np.testing.assert_allclose(grads["temperature"], np.exp(-1.5) * (entropy + A), rtol=1e-8)


def test_the_first_step_of_lamb(state, ref):
    """Clip, Adam, decay, and the ratio of norms, leaf by leaf; the learning rate rises from the first step on."""
    config = dataclasses.replace(SMALL, warmup_steps=4, actor_lr=0.1, weight_decay=0.3)
    params, grads = (
        {"w": jnp.array([3.0, 4.0]), "b": jnp.array([2.0])},
        {"w": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])},
    )
    optimiser = odt.lamb(config)
    opt = optimiser.init(params)
    updates, opt = optimiser.update(grads, opt, params)
    for name, clipped in (("w", np.array([0.15, 0])), ("b", np.array([0.2]))):
        p = np.asarray(params[name])
        step = clipped / (abs(clipped) + 1e-8) + 0.3 * p  # both moments of the first step, corrected
        expected = -0.1 / 4 * np.linalg.norm(p) / np.linalg.norm(step) * step
        np.testing.assert_allclose(updates[name], expected, rtol=1e-6)
    again, _ = optimiser.update(grads, opt, params)
    np.testing.assert_allclose(again["b"], 2 * updates["b"], rtol=1e-3)


def test_dropout_is_in_the_loss_alone(state, spec, ref):
    config = dataclasses.replace(SMALL, dropout=0.5)
    loss = lambda config: odt.likelihood_loss(config, odt.network(config, spec))
    values = [
        float(ref.run(loss(each), state, rows(), jax.random.key(seed), ref.clock)[1]["actor/log_prob"])
        for each, seed in ((config, 3), (config, 4), (SMALL, 3), (SMALL, 4))
    ]
    assert values[0] != values[1] and values[2] == values[3]
    obs = np.zeros((2, O))
    modes = [odt.odt(each, spec).act(state, obs, jax.random.key(0), False) for each in (config, SMALL)]
    np.testing.assert_array_equal(*modes)


# -- playing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 6])
def test_playing_with_memory_is_the_model_on_the_whole_window(length, state, spec, policies):
    """Two copies whose rewards differ, over more steps than it sees."""
    play = odt.odt(SMALL, spec).player
    act = jax.jit(play.act, static_argnums=4)
    memory = jax.tree.map(
        lambda x: jnp.broadcast_to(x.astype(float) if x.dtype.kind == "f" else x, (2, *x.shape)), play.start(state)
    )
    random = np.random.default_rng(0)
    left, seen = np.full(2, 7.0), []
    for _ in range(length):
        obs, reward = random.normal(size=(2, O)), random.normal(size=2)
        action, memory = act(state, memory, jnp.asarray(obs), jax.random.key(0), False)
        seen.append((left, obs, np.asarray(action)))
        memory = play.observe(memory, jnp.asarray(reward))
        left = left - reward
    returns, obs, actions = (np.stack(x, 1)[:, -T:] for x in zip(*seen))
    blind = np.array(actions)
    blind[:, -1] = 0
    found = policies(Window(returns / 2, obs, blind, np.ones(returns.shape, bool)))
    np.testing.assert_allclose(actions[:, -1], np.tanh(found.mean[:, -1]), rtol=1e-7)
    np.testing.assert_array_equal(memory.valid, np.arange(T)[None].repeat(2, 0) >= T - length)


def test_without_a_memory_it_is_the_first_step_of_an_episode(state, spec, policies):
    algorithm, obs = odt.odt(SMALL, spec), np.random.default_rng(0).normal(size=(2, 2, O))
    found = algorithm.act(state, jnp.asarray(obs), jax.random.key(0), False)
    play = algorithm.player
    memory = jax.tree.map(lambda x: jnp.broadcast_to(x, (4, *x.shape)), play.start(state))
    expected, _ = play.act(state, memory, jnp.asarray(obs.reshape(4, O)), jax.random.key(0), False)
    np.testing.assert_allclose(found.reshape(4, A), expected)
    sampled = algorithm.act(state, jnp.asarray(obs), jax.random.key(0), True)
    assert (sampled != found).all()


def test_labels_are_what_it_does_in_an_episode_that_began_with_the_target(state, spec, policies, ref):
    """Rows say what their episode was paid before them; the last row's action is drawn, and its own is not seen."""
    batch, key = rows(), jax.random.key(5)
    obs, action = ref.run(odt.label(SMALL, spec), state, batch, key)
    cut = lambda x: np.asarray(x).reshape(B, T, *x.shape[1:])
    blind = cut(batch.action).copy()
    blind[:, -1] = 9
    found = policies(Window((7 - cut(batch.mc_return)) / 2, cut(batch.obs), blind, VALID))
    noise = np.asarray(jax.random.normal(jax.random.key(5), (B, A)))
    np.testing.assert_allclose(action, np.tanh(found.mean[:, -1] + found.std[:, -1] * noise), atol=2e-5)
    np.testing.assert_array_equal(obs, cut(batch.obs)[:, -1])


def test_a_sequence_model_is_distilled_at_the_last_rows(state, spec, ref):
    student = O2SAC(actor_hidden=(8,), critic_hidden=(8,))
    algorithm = distil(Distil(student=student, teacher=SMALL, batch_size=B), spec)
    fresh = jax.jit(algorithm.init)(jax.random.key(0))
    before = DistilState(fresh.actor, state)
    batches = jax.tree.map(lambda x: x[None], rows())
    after, metrics = ref.run(algorithm.update, before, batches, jax.random.key(5), ref.clock)
    obs, action = ref.run(odt.label(SMALL, spec), state, rows(), jax.random.key(5))
    from fastrl.algorithms.distil import policy_of

    log_prob = policy_of(student, spec)(fresh.actor.params, obs).log_prob(action)
    np.testing.assert_allclose(metrics["actor/loss"], -log_prob.mean(), rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after.teacher, state)


def test_what_cannot_be_is_one_line(spec):
    with pytest.raises(UserError, match="--token-width 9 must be a multiple of --heads 2"):
        odt.odt(dataclasses.replace(SMALL, token_width=9), spec)
    with pytest.raises(UserError, match="--target-return is missing"):
        odt.odt(dataclasses.replace(SMALL, target_return=None), spec).player.start(None)
