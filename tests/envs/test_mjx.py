import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco.mjx._src import collision_driver
from mujoco.mjx._src.collision_types import GeomInfo

from fastrl.envs import contact
from fastrl.envs.mjx import Simulator
from fastrl.envs.models import compile_model

BALLS = """<mujoco><option timestep="0.01" integrator="{integrator}"/><worldbody>
<geom type="plane" size="5 5 1"/>
<body><joint type="slide" axis="0 0 1"/><geom type="sphere" size=".1"/></body>
<body><joint type="slide" axis="0 0 1"/><geom type="sphere" size=".1" pos="1 0 0"/></body>
</worldbody></mujoco>"""


@pytest.mark.parametrize(("integrator", "cap"), [("Euler", 1), ("RK4", 1), ("Euler", 2)])
def test_a_full_contact_cap_is_not_a_number(quick, integrator, cap):
    simulator = Simulator(compile_model(ET.fromstring(BALLS.format(integrator=integrator)), cap), 1, cap)
    step = jax.jit(simulator.step)

    def after(*heights):
        return np.array(step(simulator.start(jnp.array(heights), jnp.zeros(2)), jnp.zeros(0))[0].qpos)

    assert np.isfinite(after(0.5, 0.5)).all(), "no contact, yet an error"
    lost = np.isnan(after(0.05, 0.5)).all()
    assert lost == (cap == 1), "an error where the only slot is in use, and only there"


@pytest.mark.parametrize("degrees", [0.0, 5.0, 20.0, 70.0, 90.0])
def test_the_plane_capsule_contact_is_cs(degrees):
    tilt = np.radians(degrees)
    axis = np.array([np.sin(tilt) * 0.6, np.sin(tilt) * 0.8, np.cos(tilt)])
    xml = f"""<mujoco><worldbody><geom type="plane" size="5 5 1"/><body pos="0 0 .3"><freejoint/>
    <geom type="capsule" size=".1" fromto="{" ".join(map(str, [*-0.28 * axis, *0.28 * axis]))}"/></body></worldbody>
    </mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    model.geom_margin[:] = 1.0  # both ends touch
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    plane, capsule = (
        GeomInfo(
            jnp.array(data.geom_xpos[i][None]), jnp.array(data.geom_xmat[i].reshape(1, 3, 3)), model.geom_size[i][None]
        )
        for i in range(2)
    )
    distance, position, frame = (x[0] for x in jax.vmap(contact.plane_capsule)(plane, capsule))
    order = np.argsort(data.contact.dist)
    mine = np.argsort(np.array(distance))
    if degrees < 90:
        np.testing.assert_allclose(np.array(position)[mine], data.contact.pos[order], atol=1e-6)
    np.testing.assert_allclose(np.array(distance)[mine], data.contact.dist[order], atol=1e-6)
    np.testing.assert_allclose(np.array(frame).reshape(2, 9), data.contact.frame, atol=1e-6)


def test_others_keep_mjxs_own_contact():
    table, pair = collision_driver._COLLISION_FUNC, next(iter(contact._COLLIDERS))
    stock = table[pair]
    with contact.corrected_contacts():
        assert table[pair] is contact._COLLIDERS[pair]
    assert table[pair] is stock


def test_another_mjx_is_refused(monkeypatch):
    monkeypatch.setattr(mujoco, "__version__", "3.18.0")
    with pytest.raises(RuntimeError, match="written for"), contact.corrected_contacts():
        pass
