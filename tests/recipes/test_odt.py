"""ODT as a recipe: what it changes, what it learns from and plays for, and how it becomes another method's actor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.agent import Agent
from fastrl.data.datasets import Dataset
from fastrl.engine.run import upload
from fastrl.methods import ODT
from fastrl.planning import sequences
from fastrl.replay import draws
from fastrl.replay.ring import MC_RETURN
from fastrl.reports import render
from fastrl.types import Spec

pytestmark = pytest.mark.usefixtures("quick")

AGENT = "seeds.agent."


def changed(before, after):
    paths = [path for path in before if path.startswith(AGENT)]
    return {path for path in paths if not np.array_equal(before[path], after[path])}


def groups(paths):
    return {".".join(path.removeprefix(AGENT).removeprefix("inner.").split(".")[:2]) for path in paths}


@pytest.fixture(scope="module")
def trained(plan_of, execute):
    plan = plan_of("odt", eval_every=10)
    return plan, execute(plan)


def test_it_learns_and_is_played_with_its_memory(plan_of, walk, trained):
    plan, outcome = trained
    assert [phase.name for phase in plan.phases] == ["pretrain"]
    (seen,) = walk(plan)
    parts = ("actor.params", "actor.opt", "temperature.params", "temperature.opt")
    assert groups(changed(*seen)) == set(parts)
    assert plan.phases[0].config.target_return == 5.0  # the best of the dataset, on the raw reward
    assert [row["return"] for row in outcome.rows if row["kind"] == "eval"] == [[5.0, 5.0]] * 3


def test_rewards_scale_and_discount_change_neither_returns_nor_target(plan_of, trained):
    other = plan_of("odt", reward_scale=10.0, reward_bias=-5.0)
    rows = []
    for plan in (trained[0], other):
        phase = plan.phases[0]
        assert phase.config.target_return == 5.0
        stock = draws.Stock(None, upload(plan), jnp.int32(0), jnp.int32(0))
        rows.append(phase.draw.take(stock, None, jax.random.split(jax.random.key(0), 1), 1, 9))
    np.testing.assert_array_equal(rows[0][..., MC_RETURN], rows[1][..., MC_RETURN])
    assert set(np.unique(rows[0][..., MC_RETURN])) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def told(draw, rows):
    """`mc_return` of each row of a dataset, in windows of one."""
    data = jnp.zeros((rows, 7)).at[:, 0].set(jnp.arange(rows))
    stock = draws.Stock(None, data, jnp.int32(0), jnp.int32(0))
    found = np.asarray(draw.take(stock, None, jax.random.split(jax.random.key(0), 1), 1, 100))[0, 0]
    return dict(zip(found[:, 0].astype(int).tolist(), found[:, MC_RETURN].tolist(), strict=True))


def test_returns_to_come_and_what_was_paid_before():
    """Trajectories of rewards 1 2 3 | 10 20 | 5, the last one unfinished."""
    obs, reward = np.arange(6.0)[:, None], np.array([1, 2, 3, 10, 20, 5], np.float32)
    boundary = np.array([0, 0, 1, 0, 1, 0], bool)
    data = Dataset.from_arrays(obs, np.zeros((6, 1)), reward, np.ones(6), obs + 1, boundary)
    config = ODT(context=1, eval_context=1)
    came = told(sequences.learning(config, data), 5)  # the plan leaves the tail out
    assert came == {0: 6.0, 1: 5.0, 2: 3.0, 3: 30.0, 4: 20.0}
    assert told(sequences.labelling(config, data), 6) == {0: 0.0, 1: 1.0, 2: 3.0, 3: 0.0, 4: 10.0, 5: 0.0}
    best = sequences.aimed(config, Spec("made-up", 1, 1, 9), data).target_return
    papers = [sequences.aimed(config, Spec(name, 1, 1, 9), data).target_return for name in sequences.TARGETS]
    assert (best, papers) == (30.0, [3600.0, 5000.0, 6000.0])
    assert sequences.aimed(config, Spec("antmaze-umaze", 1, 1, 9, "antmaze"), data).target_return == 1.0
    given = dataclasses.replace(config, target_return=4.0)
    assert sequences.aimed(given, Spec("hopper", 1, 1, 9), data) == given


@pytest.fixture(scope="module")
def agent(trained):
    plan, outcome = trained
    return Agent(plan.phases[0].config, plan.task.spec, outcome.carry.seeds.agent)


@pytest.mark.parametrize("recipe", ["o2sac", "o2td3", "o2ppo"])
def test_it_becomes_the_actor_of_other_recipes(recipe, plan_of, driver_of, leaves_of, agent):
    plan = plan_of(recipe, start=agent, distil_steps=20)
    phase, following = plan.phases[:2]
    assert (phase.name, following.name) == ("distil", "reevaluate")
    driver = driver_of(plan)
    carry = driver._enter(0, None)
    before = leaves_of(carry)
    after = leaves_of(driver._phase(0, carry))
    assert groups(changed(before, after)) == {"actor.params", "actor.opt"}  # and not its teacher
    for path, leaf in leaves_of(agent.state.inner).items():
        np.testing.assert_array_equal(after[f"{AGENT}inner.teacher.{path}"], leaf)
    np.testing.assert_array_equal(after[f"{AGENT}mean"], agent.state.mean)  # it sees what its teacher saw


def test_it_is_loaded_and_evaluated(agent, tmp_path):
    import fastrl

    agent.save(tmp_path / "agent")
    returns = fastrl.evaluate(fastrl.load_agent(tmp_path / "agent"), "probe-truncation", episodes=3)
    np.testing.assert_array_equal(returns, np.full((2, 3), 5.0))
    assert agent.act(np.zeros((4, 1))).shape == (4, 1)


def test_a_film_shows_what_it_plays_with_its_memory():
    """Replayed by hand, action by action."""
    import fastrl

    env = fastrl.make("pointmaze-umaze", horizon=4)
    config = ODT(token_width=8, layers=1, heads=2, eval_context=2, target_return=3.0, normalize_observations=False)
    algorithm = config.build(env.spec)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    (clip,) = render.play(Agent(config, env.spec, jax.tree.map(lambda x: x[None], state)), env, 1, key=3)
    now, obs = env.from_physics(clip.qpos[0], np.zeros(2))
    memory = jax.tree.map(lambda x: x[None], algorithm.player.start(state))
    for expected in clip.qpos[1:]:
        action, memory = algorithm.player.act(state, memory, obs[None], jax.random.key(0), False)
        now, step = env.step(jax.random.key(0), now, action[0])
        obs, memory = step.obs, algorithm.player.observe(memory, step.reward[None])
        np.testing.assert_allclose(env.physics(now)[0], expected, atol=1e-5)
