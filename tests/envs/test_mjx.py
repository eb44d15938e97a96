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


@pytest.mark.parametrize("shape", ["capsule", "sphere"])
def test_contacts_with_boxes_are_cs_overlapping_or_near(shape):
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><worldbody><geom type="box" size="2 2 1" euler="0 0 20"/>
    <body><freejoint/><geom type="{shape}" size=".1 .28"/></body></worldbody></mujoco>""")
    model.geom_margin[:] = 0.01
    data, random = mujoco.MjData(model), np.random.default_rng(0)
    order, cases = [1, 0], []
    while len(cases) < 60:
        data.qpos[:3] = random.uniform(-2.6, 2.6, 3)
        data.qpos[3:] = random.normal(size=4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        if data.ncon and data.contact.dist[0] > -0.09:
            geoms = (data.geom_xpos[order].copy(), data.geom_xmat[order].reshape(2, 3, 3).copy())
            first = [x[:2].copy() for x in (data.contact.dist, data.contact.pos, data.contact.frame)]
            cases.append((geoms, first))
    assert sum(first[0][0] > 0 for _, first in cases) > 5, "no case is apart"
    collide = contact.capsule_box if shape == "capsule" else contact.sphere_box
    sizes = jnp.asarray(model.geom_size[order])
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(lambda p, r: collide(*(GeomInfo(p[i], r[i], sizes[i]) for i in range(2)))))
        places = [jnp.array(np.array(x)) for x in zip(*(geoms for geoms, _ in cases), strict=True)]
        distance, position, frame = (np.array(x) for x in found(*places))
    for i, (_, (dist, pos, axes)) in enumerate(cases):
        j = int(np.argmin(np.abs(dist - distance[i])))
        np.testing.assert_allclose(distance[i], dist[j], atol=1e-6)
        np.testing.assert_allclose(position[i], pos[j], atol=1e-6)
        np.testing.assert_allclose(frame[i].ravel(), axes[j], atol=1e-6)


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
