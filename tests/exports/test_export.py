"""Every format against the policy computed by hand, in float64, from the agent's parameters."""

import ast
import itertools
import json
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from safetensors import safe_open

import fastrl
from fastrl.exports import export as exports
from fastrl.exports import formats, numpy_policy
from fastrl.methods import BC, IQL, PPO, SAC, TD3BC, CalQL
from fastrl.networks.normalise import Normalised

pytestmark = pytest.mark.usefixtures("quick")

SMALL = {"actor_hidden": (8, 5), "critic_hidden": (4,), "num_critics": 2}
VARIANTS = {
    "squashed, LayerNorm": (SAC(**SMALL), 1),
    "normalised, LayerNorm": (CalQL(**SMALL, normalize_observations=True), 1),
    "deterministic, normalised": (TD3BC(**SMALL), 1),
    "plain Gaussian": (IQL(**SMALL, std="fixed"), 0),
    "plain Gaussian, tanh on its mean": (PPO(actor_hidden=(8, 5), critic_hidden=(4,)), 1),
    "two tanhs": (IQL(**SMALL, squash=True, tanh_mean=True), 2),
    "one layer, softplus": (BC(actor_hidden=(8,), std="softplus"), 1),
}
"""Options, and how many tanhs follow the head of the mean."""
SEED, RANGE = 1, np.array([4.0, 8.0])
OBS = np.random.default_rng(3).normal(scale=2, size=(7, 4)).astype(np.float32)
FILES = tuple(formats.FORMATS)


def by_hand(agent, tanhs, obs):
    """[B, A] in the environment's units."""
    state = jax.tree.map(lambda leaf: np.asarray(leaf[SEED], np.float64), agent.state)
    x = np.asarray(obs, np.float64)
    if isinstance(state, Normalised):
        x, state = (x - state.mean) / state.std, state.inner
    params, config = state.actor.params, agent.config
    normed = config.layer_norm if config.actor_layer_norm is None else config.actor_layer_norm
    for i in range(len(config.actor_hidden)):
        dense = params["trunk"][f"dense_{i}"]
        x = np.einsum("bi,ij->bj", x, dense["kernel"]) + dense["bias"]
        if normed:
            norm = params["trunk"][f"norm_{i}"]
            centred = x - x.sum(1, keepdims=True) / x.shape[1]
            variance = (centred**2).sum(1, keepdims=True) / x.shape[1]
            x = centred / (variance + 1e-6) ** 0.5 * norm["scale"] + norm["bias"]
        x = np.where(x > 0, x, 0)
    head = params.get("mean", params.get("head"))
    x = np.einsum("bi,ij->bj", x, head["kernel"]) + head["bias"]
    for _ in range(tanhs):
        x = np.tanh(x)
    return np.array([-3.0, -3.0]) + RANGE * (1 + np.minimum(np.maximum(x, -0.99999), 0.99999)) / 2


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda name: name.replace(" ", "-"))
def written(request, quick, agent_of, tmp_path_factory):
    """One variant: its agent, what `export` says of each format, the actions at OBS by hand."""
    (config, tanhs), folder = VARIANTS[request.param], tmp_path_factory.mktemp("policies")
    agent = agent_of(config)
    found = {suffix: fastrl.export(agent, folder / f"policy{suffix}", seed=SEED) for suffix in FILES}
    return agent, found, by_hand(agent, tanhs, OBS)


def test_every_format_plays_as_by_hand(written):
    _, found, expected = written
    assert (np.ptp(expected, axis=0) > 0.02 * RANGE).all()
    for suffix, done in found.items():
        assert done.path.is_file() and done.seed == SEED and done.difference < 1e-6
        play = formats.FORMATS[suffix].read(done.path)
        actions = play(OBS)
        assert actions.dtype == np.float32
        np.testing.assert_allclose(actions / RANGE, expected / RANGE, atol=2e-6, rtol=0, err_msg=suffix)
        np.testing.assert_allclose(play(OBS[:1]) / RANGE, expected[:1] / RANGE, atol=2e-6, rtol=0, err_msg=suffix)
    assert {path.name for path in done.path.parent.iterdir()} == {f"policy{suffix}" for suffix in FILES}


def test_a_file_says_what_it_is(written):
    agent, found, _ = written
    header = numpy_policy.load(found[".npz"].path).header
    with safe_open(found[".safetensors"].path, framework="np") as file:
        assert json.loads(file.metadata()["fastrl"]) == header
        names = set(file.keys())
    model = onnx.load(found[".onnx"].path)
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert {entry.key: json.loads(entry.value) for entry in model.metadata_props} == {"fastrl": header}
    assert model.opset_import[0].version == 17 and (axes[0].dim_param, axes[1].dim_value) == ("batch", 4)
    assert (header["format"], header["env"], header["seed"]) == (1, "InvertedPendulum", SEED)
    assert (header["action_low"], header["action_high"]) == ([-3.0, -3.0], [1.0, 5.0])
    sizes = [4, *agent.config.actor_hidden, 2]
    assert [(layer["inputs"], layer["outputs"]) for layer in header["layers"]] == list(itertools.pairwise(sizes))
    parts = {"kernel", "bias"} | ({"scale", "shift"} if header["layers"][0]["layer_norm"] else set())
    assert {name for name in names if name.startswith("layer_0")} == {f"layer_0.{part}" for part in parts}
    known = None
    if isinstance(agent.state, Normalised):
        known = {name: getattr(agent.state, name)[SEED].tolist() for name in ("mean", "std")}
    assert header["normaliser"] == known


def test_stablehlo_is_for_every_platform(written):
    exported = jax.export.deserialize(bytearray(written[1][".stablehlo"].path.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert str(exported.in_avals[0].shape) == "(batch, 4)" and str(exported.out_avals[0].shape) == "(batch, 2)"
    assert "HIGHEST" in exported.mlir_module() and jnp.isfinite(exported.call(OBS[:3])).all()


def test_onnx_has_the_same_meaning_for_its_reference(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    _, found, expected = written
    actions = formats.FORMATS[".onnx"].read(found[".onnx"].path)(OBS)
    np.testing.assert_allclose(actions / RANGE, expected / RANGE, atol=2e-6, rtol=0)


def test_the_observations_lie_about_the_statistics(agent_of):
    agent = agent_of(TD3BC(**SMALL))
    obs = exports.observations(agent, SEED)
    z = (obs - np.asarray(agent.state.mean[SEED])) / np.asarray(agent.state.std[SEED])
    assert obs.shape == (1000, 4) and abs(z[100:].std() - 3) < 0.1 and abs(z[100:].mean()) < 0.2
    np.testing.assert_allclose(np.abs(z[1:100]), 10, rtol=1e-4)


def by_format(path, activation="none", squash="none", layer_norm=False):
    """A file of format 1, written by hand: observation 3 is normalised to 1, the hidden layer is (2, -1) before all."""
    layer = {"inputs": 1, "outputs": 2, "layer_norm": layer_norm, "activation": activation}
    header = {
        **{"format": 1, "normaliser": {"mean": [1.0], "std": [2.0]}, "layer_norm_epsilon": 1e-6, "squash": squash},
        **{"action_limit": 0.9, "action_low": [-3.0], "action_high": [5.0]},
        "layers": [{"name": "a", **layer}, {"name": "b", **layer, "layer_norm": False, "activation": "none"}],
    }
    arrays = {"a.kernel": [[1.0, -1.0]], "a.bias": [1.0, 0.0], "b.kernel": [[0.25], [-0.25]], "b.bias": [0.0]}
    arrays |= {"a.scale": [2.0, 3.0], "a.shift": [0.5, 0.25]} if layer_norm else {}
    arrays = {name: np.array(value, np.float32) for name, value in arrays.items()}
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    return numpy_policy.load(path)


@pytest.mark.parametrize(
    ("words", "x"),
    [
        ({"activation": "relu"}, 0.25 * 2),
        ({"activation": "none"}, 0.25 * 2 + 0.25),
        ({"activation": "tanh"}, 0.25 * (np.tanh(2) + np.tanh(1))),
        ({"squash": "tanh"}, np.tanh(0.75)),
        ({"layer_norm": True, "activation": "relu"}, 0.25 * 2.5),  # (1, -1) -> (2.5, -2.75)
        ({"layer_norm": True}, 0.9),  # 1.3125, clipped
        ({"layer_norm": True, "squash": "tanh"}, np.tanh(1.3125)),
    ],
)
def test_the_loader_computes_what_the_format_says(tmp_path, words, x):
    policy = by_format(tmp_path / "p.npz", **words)
    np.testing.assert_allclose(policy([3.0]), [-3 + 8 * (x + 1) / 2], rtol=1e-5)
    np.testing.assert_array_equal(policy([[3.0], [3.0]]), [policy([3.0])] * 2)


def test_the_loader_refuses_what_it_cannot_read(tmp_path):
    path = tmp_path / "p.npz"
    header = by_format(path).header
    np.savez(path, header=np.array(json.dumps(header | {"format": 2})))
    with pytest.raises(ValueError, match="the policy has format 2; this loader reads format 1"):
        numpy_policy.load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(zipfile.BadZipFile):
        numpy_policy.load(path)


def test_the_loader_is_short_and_needs_numpy_alone():
    text = Path(numpy_policy.__file__).read_text()
    assert len(text.splitlines()) <= 50
    nodes = [node for node in ast.parse(text).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}
    assert names == {"json", "collections.abc", "typing", "numpy"}
