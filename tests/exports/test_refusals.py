"""What cannot be exported is one line; a file that does not agree with its agent gets no name."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import fastrl
from fastrl.cli import main as cli
from fastrl.exports import formats, numpy_policy
from fastrl.methods import BC, ODT, PEX, Off2On
from fastrl.networks.distributions import TanhNormal
from fastrl.types import Algorithm, Failure, Spec, UserError

pytestmark = pytest.mark.usefixtures("quick")

SMALL = {"actor_hidden": (8,), "critic_hidden": (4,), "num_critics": 2}
OBS = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)


class Swish(nn.Module):
    """A user's actor."""

    @nn.compact
    def __call__(self, obs):
        mean = nn.Dense(2)(nn.swish(nn.Dense(8)(obs)))
        return TanhNormal(mean, jnp.ones_like(mean))


@dataclasses.dataclass(frozen=True)
class Constant(fastrl.Options):
    """A user's algorithm without a network."""

    def build(self, spec):
        init = lambda key: jnp.zeros(spec.action_size)
        act = lambda state, obs, key, explore: jnp.tanh(obs[..., : spec.action_size] + state[None])
        return Algorithm(init, act, lambda state, batches, key, clock: (state, {}))


@dataclasses.dataclass(frozen=True)
class Halved(fastrl.methods.BC):
    """A user's algorithm that does not play what the actor's module says."""

    def build(self, spec):
        own = fastrl.methods.BC(**vars(self)).build(spec)
        return own._replace(act=lambda *args: own.act(*args) / 2)


def refused(agent, folder, suffix, match):
    with pytest.raises(UserError, match=match) as caught:
        fastrl.export(agent, folder / f"p{suffix}")
    assert "\n" not in str(caught.value) and list(folder.iterdir()) == []


def test_a_policy_of_no_single_observation_is_refused_in_every_format(agent_of, tmp_path):
    odt = ODT(token_width=8, layers=1, heads=2, context=3, eval_context=2, target_return=1.0)
    refused(agent_of(odt), tmp_path, ".stablehlo", "odt plays by what it has seen of its episode.*start o2sac from it")
    refused(agent_of(PEX(**SMALL)), tmp_path, ".stablehlo", "pex draws at random .* with greedy_epsilon 0")
    agent = agent_of(BC(actor_hidden=(8,)))
    lost = lambda leaf: leaf * jnp.nan if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
    broken = dataclasses.replace(agent, state=jax.tree.map(lost, agent.state))
    refused(broken, tmp_path, ".npz", "the policy of seed 0 gives actions that are not finite")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (PEX(**SMALL, greedy_epsilon=0.0), "pex acts by 3 networks, and .npz holds one actor; export it as .stablehlo"),
        (Off2On(**SMALL, stage="finetune", members=2, density_hidden=(4,)), "off2on acts by several actors"),
        (BC(actor=Swish()), "the actor is Swish, a network of your own, not layers for .npz; export it as .stablehlo"),
        (Constant(), "Constant acts by a function without a flax network.*export it as .stablehlo"),
    ],
    ids=["pex", "off2on", "own-network", "own-algorithm"],
)
def test_what_is_not_layers_goes_into_stablehlo(agent_of, tmp_path, config, match):
    agent = agent_of(config)
    refused(agent, tmp_path, ".npz", match)
    done = fastrl.export(agent, tmp_path / "p.stablehlo", seed=1)
    found = jax.export.deserialize(bytearray(done.path.read_bytes())).call(OBS)
    expected = (
        np.array([-3.0, -3.0]) + np.array([4.0, 8.0]) * (1 + np.clip(agent.act(OBS, seed=1), -0.99999, 0.99999)) / 2
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def saved(quick, agent_of, tmp_path_factory):
    """A saved agent of two seeds."""
    path = tmp_path_factory.mktemp("saved") / "agent"
    agent_of(BC(actor_hidden=(8,))).save(path)
    return path


def command(capsys, *words):
    code = cli.main(["export", *map(str, words)])
    out, error = capsys.readouterr()
    assert len(error.splitlines()) == (code != 0) and bool(out) == (code == 0)
    return code, out + error


def test_the_command_says_what_it_wrote_and_of_which_seed(capsys, monkeypatch, saved, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda: None)
    code, text = command(capsys, saved, tmp_path / "p.npz", "--seed", 1)
    lines = text.splitlines()
    assert code == 0 and lines[0] == f"{tmp_path}/p.npz: the policy of seed 1 of 2, trained on InvertedPendulum"
    assert lines[1] == "obs [batch, 4], raw -> action [batch, 2], from -3 to 1, 5" and "e-0" in lines[2]
    assert lines[3].split(": ")[1].split(" is ")[0] == numpy_policy.__file__
    assert command(capsys, f"{saved}:1", tmp_path / "q.npz")[0] == 0
    assert (tmp_path / "q.npz").read_bytes() == (tmp_path / "p.npz").read_bytes()


def test_bad_words_are_one_line(capsys, monkeypatch, saved, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda: None)
    cases = {
        (saved, tmp_path / "p.pt"): "p.pt: name a file that ends in .npz, .safetensors, .onnx or .stablehlo",
        (saved, tmp_path / "no/p.npz"): "no is no folder; name a file in a folder that is there",
        (saved, tmp_path / "p.npz", "--seed", 2): "the agent has seeds 0 to 1, not 2",
        (f"{saved}:2", tmp_path / "p.npz"): "the agent has seeds 0 to 1, not 2",
        (f"{saved}:1", tmp_path / "p.npz", "--seed", 1): "agent:1 names a seed already; leave seed 1 out",
        (tmp_path / "none", tmp_path / "p.npz"): "holds no agent",
        (saved,): "FILE",
    }
    for words, match in cases.items():
        code, text = command(capsys, *words)
        assert code == 2 and match in text, text
    for package, suffix in (("onnx", ".onnx"), ("safetensors.numpy", ".safetensors"), ("flatbuffers", ".stablehlo")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            code, text = command(capsys, saved, tmp_path / f"p{suffix}")
        assert (
            code == 2 and f"needs {package.split('.')[0]}, which is not installed: pip install 'fastrl[export]'" in text
        )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_disagrees_gets_no_name_and_the_old_one_stays(capsys, monkeypatch, saved, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda: None)
    path = tmp_path / "p.npz"
    path.write_bytes(b"the old one")
    own = formats.FORMATS[".npz"]

    def other(agent, seed):
        return own.write(agent, 1 - seed)

    monkeypatch.setitem(formats.FORMATS, ".npz", own._replace(write=other))
    code, text = command(capsys, saved, path)
    assert code == 1 and "p.npz is not written: its actions differ by" in text
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"the old one"]
    wrong_shape = own._replace(read=lambda path: lambda obs: np.zeros((1, 2), np.float32))
    monkeypatch.setitem(formats.FORMATS, ".npz", wrong_shape)
    with pytest.raises(Failure, match="differ by inf of their range"):
        fastrl.export(saved, path)


def test_layers_that_are_not_all_that_the_agent_does_are_refused(agent_of, tmp_path):
    agent = agent_of(Halved(actor_hidden=(8,)))
    with pytest.raises(Failure, match=r"its actions differ by .*; export it as \.stablehlo"):
        fastrl.export(agent, tmp_path / "p.onnx")
    assert list(tmp_path.iterdir()) == []
    assert fastrl.export(agent, tmp_path / "p.stablehlo").difference < 1e-6


def test_a_folder_that_takes_no_files_is_one_line(capsys, monkeypatch, saved, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda: None)

    def full(descriptor):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fsync", full)
    code, text = command(capsys, saved, tmp_path / "p.npz")
    assert code == 2 and f"nothing can be written in {tmp_path} (Read-only file system); choose another place" in text
    assert list(tmp_path.iterdir()) == []


LOOP = """
import json, sys
sys.modules["fastrl"] = sys.modules["jax"] = None  # an import of either fails
sys.path.insert(0, ".")
import gymnasium, numpy as np, onnxruntime
from numpy_policy import load
session = onnxruntime.InferenceSession("p.onnx")
policies = [
    load("p.npz"),
    load("p.safetensors"),
    lambda obs: session.run(["action"], {"obs": obs[None].astype(np.float32)})[0][0],
]
env, rows = gymnasium.make("InvertedPendulum-v5"), []
for policy in policies:
    obs, _ = env.reset(seed=0)
    for _ in range(30):
        action = policy(obs)
        assert env.action_space.contains(action), action
        rows.append([obs.tolist(), action.tolist()])
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset()
print(json.dumps(rows))
"""


def test_gymnasium_is_played_without_this_library_and_jax(agent_of, tmp_path):
    spec = Spec("gymnasium:InvertedPendulum-v5", 4, 1, horizon=1000, action_low=(-3.0,), action_high=(3.0,))
    agent = agent_of(BC(actor_hidden=(8, 8)), spec)
    shutil.copy(numpy_policy.__file__, tmp_path)
    for suffix in (".npz", ".safetensors", ".onnx"):
        fastrl.export(agent, tmp_path / f"p{suffix}")
    command = [sys.executable, "-c", LOOP]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    obs, actions = (np.array(column) for column in zip(*json.loads(result.stdout), strict=True))
    assert obs.shape == (90, 4) and np.ptp(actions) > 0.1
    np.testing.assert_allclose(actions, 3 * agent.act(obs), atol=6e-6)
