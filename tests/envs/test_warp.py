"""Tasks stepped by Warp: refused in one line where that cannot be, and on Warp's CPU device the steps of C."""

import importlib.util
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.cli import main as cli
from fastrl.envs import warp
from fastrl.envs.models import compile_model, gymnasium_model

installed = pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="needs the extra warp")
BALLS = """<mujoco><option timestep="0.01" integrator="{}"/><worldbody><geom type="plane" size="5 5 1"/>
<body><joint type="slide" axis="0 0 1"/><geom type="sphere" size=".1"/></body>
<body><joint type="slide" axis="0 0 1"/><geom type="sphere" size=".1" pos="1 0 0"/></body>
</worldbody></mujoco>"""


def balls(integrator):
    return compile_model(ET.fromstring(BALLS.format(integrator)))


@pytest.mark.parametrize(
    ("env", "backend", "gpu", "said"),
    [
        ("hopper", "warp", False, "backend=warp needs an NVIDIA GPU and jax runs on cpu here; leave it out"),
        ("ant", "warp", False, "backend=warp needs an NVIDIA GPU and jax runs on cpu here; leave it out"),
        ("walker2d", "warp", True, "backend=warp needs warp-lang: pip install 'fastrl[warp]'"),
        ("halfcheetah", "wrap", False, "unknown backend 'wrap'; did you mean 'warp'?"),
        ("antmaze-umaze", "warp", True, "environment 'antmaze-umaze' has no option 'backend'"),
        ("pointmaze-umaze", "warp", True, "environment 'pointmaze-umaze' has no option 'backend'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(capsys, monkeypatch, tmp_path, env, backend, gpu, said):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "warp" else find(name, *a))
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.chdir(tmp_path)
    if gpu:
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cli.main(["run", "sac", "--env", env, "--env-option", f"backend={backend}", "--steps", "10"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and said in error, error


def test_a_card_of_another_maker_is_refused(monkeypatch):
    class Card:
        device_kind = "AMD Instinct"
        client = type("Client", (), {"platform_version": "rocm 70000"})

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Card])
    with pytest.raises(warp.UserError, match="needs an NVIDIA GPU and jax runs on AMD Instinct"):
        warp.on_gpu(balls("Euler"), 1)


@pytest.mark.parametrize("name", ["half_cheetah.xml", "hopper.xml", "walker2d_v5.xml", "ant.xml"])
def test_no_crumpled_robot_needs_more_room(name):
    model = gymnasium_model(name)
    data, random = mujoco.MjData(model), np.random.default_rng(0)
    contacts, rows, most = *warp.room(model), 0
    for _ in range(300):
        mujoco.mj_resetData(model, data)
        data.qpos[:] = random.uniform(-3, 3, model.nq)
        data.qpos[1 + (model.nq > 14)] = random.uniform(-0.5, 0.1)  # in the ground
        mujoco.mj_forward(model, data)
        assert data.ncon <= contacts and data.nefc <= rows
        most = max(most, data.ncon)
    assert most > contacts / 3, "not crumpled"


def test_copies_go_to_one_call_however_they_are_nested():
    shapes = []

    def many(x, y):
        shapes.append((x.shape, y.shape))
        return {"sum": x.sum(1) + y, "x": x}

    one = warp.folded(many)
    x, y = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(3.0)
    found = jax.jit(jax.vmap(jax.vmap(one), in_axes=(0, None)))(x, y)
    assert shapes[-1] == ((6, 4), (6,))
    np.testing.assert_array_equal(found["sum"], np.array(x).sum(2) + np.array(y)[None])
    np.testing.assert_array_equal(found["x"], x)
    assert one(x[1, 2], y[2])["sum"] == x[1, 2].sum() + y[2]


@installed
@pytest.mark.parametrize("integrator", ["Euler", "RK4"])
def test_a_contact_without_room_is_not_a_number(integrator):
    simulator = warp.Simulator(balls(integrator), 1)
    heights, force = jnp.array([[0.5, 0.5], [0.05, 0.05]]), jnp.zeros(0)
    after = lambda height: simulator.step(simulator.start(height, jnp.zeros(2)), force)[0].qpos
    assert np.isfinite(jax.vmap(after)(heights)).all()
    falling = simulator.start(heights[0], jnp.zeros(2))
    np.testing.assert_allclose(simulator.acceleration(falling, force), [-9.81, -9.81], rtol=1e-5)
    drop = 9.81 * 0.01**2 * {"Euler": 1.0, "RK4": 0.5}[integrator]
    np.testing.assert_allclose(0.5 - after(heights[0]), drop, rtol=1e-3)
    np.testing.assert_array_equal(simulator.euler(falling, force)[0].qpos, after(heights[0]))
    broken = jax.vmap(after)(heights.at[0].set(jnp.nan))
    assert np.isnan(broken[0]).all(), "a broken state was mended"
    np.testing.assert_array_equal(broken[1], after(heights[1]))
    simulator.contacts = 1
    assert np.isfinite(after(heights[0])).all() and np.isnan(after(heights[1])).all()
    simulator.contacts, simulator.rows = 6, 1
    assert np.isfinite(after(heights[0])).all() and np.isnan(after(heights[1])).all()


@installed
@pytest.mark.slow
@pytest.mark.parametrize(("name", "bound"), [("halfcheetah", 1e-3), ("ant", 2e-3)])
def test_every_step_is_cs(name, bound):
    from fastrl.benchmarks import parity_warp

    line = parity_warp.measure(name, 100)
    assert line["most_contacts"] > 1
    assert line["float32"]["observation_error"]["max"] < bound
    assert line["float32"]["termination_mismatches"] == 0
