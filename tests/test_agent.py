import dataclasses
import json
import pickle
import shutil

import jax
import numpy as np
import pytest

from fastrl import agent as agents
from fastrl import envs
from fastrl.agent import Agent
from fastrl.methods import SAC
from fastrl.runs import digests
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")

CONFIG = SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2)


@pytest.fixture(scope="module")
def agent(quick):
    spec = envs.make("probe-truncation").spec
    algorithm = CONFIG.build(spec)
    return Agent(
        CONFIG, spec, jax.jit(lambda keys: jax.lax.map(algorithm.init, keys))(jax.random.split(jax.random.key(0), 3))
    )


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "a"
    agent.save(path)
    return path


def test_a_saved_agent_comes_back_bit_for_bit(agent, saved):
    loaded = agents.load(saved)
    assert digests.total(loaded.state) == digests.total(agent.state)
    assert loaded.config == agent.config and loaded.spec == agent.spec and loaded.seeds == 3
    obs = np.linspace(-1, 1, 4)[:, None]
    np.testing.assert_array_equal(loaded.act(obs, seed=1), agent.act(obs, seed=1))
    assert agent.act(obs, seed=1).shape == (4, 1)
    assert not np.array_equal(agent.act(obs, seed=1), agent.act(obs, seed=2))
    with pytest.raises(UserError, match="has seeds 0 to 2, not 3"):
        agent.act(obs, seed=3)


def test_an_agent_that_has_acted_can_be_pickled(agent):
    obs = np.zeros((2, 1))
    acted = agent.act(obs)
    again = pickle.loads(pickle.dumps(agent))
    assert digests.total(again.state) == digests.total(agent.state) and again.config == agent.config
    np.testing.assert_array_equal(again.act(obs), acted)


def test_the_folder_of_a_run_is_its_agent_and_a_colon_takes_one_seed(agent, saved, tmp_path):
    agent.save(tmp_path / "run" / "agent")
    one = agents.load(f"{tmp_path / 'run'}:2")
    assert one.seeds == 1
    assert digests.total(one.state) == digests.total(jax.tree.map(lambda x: x[2:], agent.state))
    with pytest.raises(UserError, match="has seeds 0 to 2, not 3"):
        agents.load(f"{saved}:3")


def test_one_agent_is_for_all_seeds_several_go_seed_by_seed(agent):
    one = dataclasses.replace(agent, state=jax.tree.map(lambda x: x[1:2], agent.state))
    for leaf, all_three in zip(jax.tree.leaves(one.for_seeds(3)), jax.tree.leaves(agent.state), strict=True):
        np.testing.assert_array_equal(leaf, np.stack([all_three[1]] * 3))
    two = agent.for_seeds(1, first=2)
    assert digests.total(two) == digests.total(jax.tree.map(lambda x: x[2:3], agent.state))
    two = agent.for_seeds(2)
    assert digests.total(two) == digests.total(jax.tree.map(lambda x: x[:2], agent.state))
    with pytest.raises(UserError, match=r"has 3 seeds and --seeds asks for 4; .* DIR:SEED"):
        agent.for_seeds(4)


def damaged(agent, path, change):
    agent.save(path)
    content = json.loads((path / "agent.json").read_text())
    change(content)
    (path / "agent.json").write_text(json.dumps(content))
    return path


def test_what_is_no_agent_is_one_line(agent, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.json").write_text("{}")
    wider = damaged(agent, tmp_path / "wider", lambda content: content["config"].update(actor_hidden=[16]))
    unknown = damaged(agent, tmp_path / "unknown", lambda content: content["config"].update(algorithm="magic"))
    cases = {
        tmp_path / "nowhere": "holds no agent",
        tmp_path / "empty": "holds no agent",
        tmp_path / "unfinished": "a run that has not finished",
        wider: "actor.* but these options need",
        unknown: "agent.json cannot be read",
    }
    for path, match in cases.items():
        with pytest.raises(UserError, match=match) as caught:
            agents.load(path)
        assert "\n" not in str(caught.value)


def test_an_older_save_does_not_stand_in_for_a_damaged_agent(agent, tmp_path):
    agent.save(tmp_path)
    agent.save(tmp_path)
    largest = max((tmp_path / "checkpoints/2").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(bytes(largest.stat().st_size))
    with pytest.raises(UserError, match=r"the agent's checkpoint 2: .* is damaged; save it again"):
        agents.load(tmp_path)


def test_an_agent_can_be_saved_again(agent, tmp_path):
    agent.save(tmp_path)
    other = dataclasses.replace(agent, state=jax.tree.map(lambda x: x + 1, agent.state))
    other.save(tmp_path)
    assert digests.total(agents.load(tmp_path).state) == digests.total(other.state)


NETWORK = """
from flax import linen as nn
open("ran", "a").write("x")


class Own(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return nn.Dense(2)(obs)
"""


@pytest.mark.parametrize("named", ["own_net:Own", "own_net.py:Own", "os:abort", "subprocess:run", "antigravity:x"])
@pytest.mark.parametrize("field", ["algorithm", "actor", "critic", "actor_optimizer"])
def test_an_agent_runs_no_code_that_nobody_allowed(saved, tmp_path, monkeypatch, named, field):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net.py").write_text(NETWORK)
    shutil.copytree(saved, tmp_path / "a")
    content = json.loads((tmp_path / "a" / "agent.json").read_text())
    content["config"][field] = named
    (tmp_path / "a" / "agent.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"names code, '{named}', which .* set FASTRL_ALLOW_CODE=1"):
        agents.load(tmp_path / "a")
    assert not (tmp_path / "ran").exists()


def test_code_that_is_imported_or_allowed_is_used(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net.py").write_text(NETWORK)
    shutil.copytree(saved, tmp_path / "a")
    content = json.loads((tmp_path / "a" / "agent.json").read_text())
    content["config"]["actor"] = "own_net.py:Own"
    (tmp_path / "a" / "agent.json").write_text(json.dumps(content))
    monkeypatch.setenv("FASTRL_ALLOW_CODE", "1")
    with pytest.raises(UserError, match="Own returns"):  # a network that is no policy
        agents.load(tmp_path / "a")
    assert (tmp_path / "ran").read_text() == "x"
    monkeypatch.delenv("FASTRL_ALLOW_CODE")
    with pytest.raises(UserError, match="Own returns"):  # imported by now
        agents.load(tmp_path / "a")
