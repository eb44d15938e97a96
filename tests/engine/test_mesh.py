"""Seeds on several devices and in several processes: the same bits as on one device."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.layout import Layout

from fastrl import agent as agents
from fastrl.engine import mesh
from fastrl.replay import ring as rings
from fastrl.runs import digests, log
from fastrl.runs.checkpoint import MANIFEST
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")

OPTIONS = {"actor_hidden": 8, "critic_hidden": 8, "batch_size": 8, "num_critics": 2, "utd": 2, "seeds": 3}
OPTIONS |= {"steps": 400, "warmup": 20, "eval_every": 100, "eval_episodes": 2, "chunk": 10}


def process(out, devices, *more, number=0, of=1, port=0):
    """`fastrl run`, as one process of a job."""
    job = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(of), "JAX_PROCESS_ID": str(number)}
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), **(job if of > 1 else {})}
    environment["XLA_FLAGS"] = ""  # with those of the tests the sums of the log round by their number of seeds
    command = [sys.executable, "-m", "fastrl.cli", "run", "sac", "--env", "probe-action", "--out", str(out)]
    options = [word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *options, *more], env=environment, **pipes)


def ended(process):
    """What a process said, which ends well."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def found(out):
    """The agent of a run, and its log."""
    return agents.load(out).state, log.read(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick):
    """The run on one device."""
    out = tmp_path_factory.mktemp("whole") / "run"
    ended(process(out, 1))
    return found(out)


def test_every_device_has_as_many_seeds_and_more_are_thrown_away():
    (device,) = jax.devices()
    assert mesh.Mesh(5, [device] * 4).rows == 8 and mesh.Mesh(5, [device]).rows == 5
    assert mesh.Mesh(5, [device] * 4, per_seed=2).rows == 6
    own = mesh.Mesh(3, [device])
    numbers = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(own.fetch(own.spread(numbers)), numbers)


def test_devices_that_are_not_there_are_refused():
    assert mesh.chosen(None, 3).devices == mesh.chosen("all", 3).devices == tuple(jax.devices())
    for asked, per_seed, line in (
        ("8", 1, "--devices 8: jax finds 1 .*JAX_NUM_CPU_DEVICES"),
        ("some", 1, "neither a number above 0 nor all"),
        ("0", 1, "neither a number above 0 nor all"),
        ("1", 2, "do not divide by --devices-per-seed 2"),
    ):
        with pytest.raises(UserError, match=line):
            mesh.chosen(asked, 3, per_seed)


def test_four_devices_and_two_for_each_seed(tmp_path, whole):
    """The first to the same bits; the second adds gradients up in another order."""
    four = process(tmp_path / "four", 4, "--devices", "all")
    shared = process(tmp_path / "shared", 4, "--devices", "4", "--devices-per-seed", "2")
    for each in (four, shared):
        said = ended(each)
        assert "3 seeds on" in said and "1 more are computed and thrown away" in said
    state, rows = found(tmp_path / "four")
    assert digests.total(state) == digests.total(whole[0]) and rows == whole[1]
    near, _ = found(tmp_path / "shared")
    assert digests.total(near) != digests.total(state)
    for ours, theirs in zip(jax.tree.leaves(near.critic), jax.tree.leaves(state.critic), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.02)


def test_a_job_ends_with_one_of_its_processes_and_resumes_as_one_process_to_the_same_bits(tmp_path, whole):
    out, port = tmp_path / "job", 20_000 + os.getpid() % 20_000
    job = [process(out, 2, "--checkpoint-minutes", "0.0001", number=n, of=2, port=port) for n in range(2)]
    until = time.monotonic() + 200
    while not list(out.glob(f"checkpoints/*/{MANIFEST}")):
        assert time.monotonic() < until and all(each.poll() is None for each in job), job[0].communicate()
        time.sleep(0.05)
    job[1].kill()
    _, said = job[0].communicate(timeout=100)
    assert job[0].returncode == 1 and "another process of this job is lost" in said.splitlines()[-1], said
    job[1].communicate()
    saved = max((path for path in out.glob(f"checkpoints/*/{MANIFEST}")), key=lambda path: int(path.parent.name))
    assert '"pieces"' in Path(saved).read_text()
    ended(process(out, 1, "--resume"))
    state, rows = found(out)
    assert digests.total(state) == digests.total(whole[0]) and rows == whole[1]


BITS = """
import json
from fastrl import startup
startup.prepare()
import jax, numpy as np
import fastrl
from fastrl.runs import digests
action = np.random.default_rng(0).uniform(-1, 1, (40, 1))
obs, ends = np.zeros((40, 1)), np.ones(40, bool)
data = fastrl.Dataset.from_arrays(obs, action, -((action[:, 0] - 0.5) ** 2), ~ends, obs, ends)
sizes = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "num_critics": 2, "utd": 2, "pretrain_steps": 20}
sizes |= {"steps": 40, "warmup": 20, "eval_every": 100, "eval_episodes": 1, "probe_every": 0}
found = []
for seeds, devices in ((1, "1"), (2, "1"), (2, "2")):
    run = fastrl.run("iql", env="probe-action", dataset=data, seeds=seeds, devices=devices, **sizes)
    found.append([digests.total(jax.tree.map(lambda x: x[n : n + 1], run.state)) for n in range(seeds)])
print(json.dumps(found))
"""


def test_with_all_optimisations_a_seed_alone_and_on_other_devices_has_the_same_bits():
    """What no step changes XLA could compute before the loop over seeds, and then rounds otherwise."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run([sys.executable, "-c", BITS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone, among, spread = json.loads(done.stdout.splitlines()[-1])
    assert alone == among[:1] and among == spread and among[0] != among[1]


@pytest.mark.parametrize(("width", "order"), [(28, (0, 2, 1)), (44, (0, 2, 1)), (70, (0, 1, 2)), (222, (0, 1, 2))])
def test_narrow_rows_lie_side_by_side_on_a_tpu(width, order):
    """As its compiler wants them: `fastrl bench compile --target v5e:2x4` counts no copy of the ring."""
    assert rings.tpu_layout(width) == order
    assert mesh.Mesh(1, jax.devices(), width=width).layout is None


def test_a_ring_that_lies_otherwise_holds_the_same_and_is_read_back_so(tmp_path, monkeypatch, plan_of, execute):
    plan = plan_of("sac", "probe-action")
    plain = execute(plan)
    monkeypatch.setattr(mesh.Mesh, "layout", Layout((0, 2, 1)))
    other = execute(plan, tmp_path / "run")
    read = execute(plan, tmp_path / "run")  # all of it is done: what is saved is read
    for found in (other, read):
        assert found.carry.ring.rows.format.layout.major_to_minor == (0, 2, 1)
        assert digests.total(found.carry) == digests.total(plain.carry)
    assert plain.carry.ring.rows.format.layout.major_to_minor == (0, 1, 2)


def test_what_is_stepped_on_the_host_has_one_device(monkeypatch, plan_of):
    two = mesh.Mesh(2, tuple(jax.devices()) * 2)
    monkeypatch.setattr(mesh, "chosen", lambda *asked: two)
    with pytest.raises(UserError, match="stepped on the host"):
        plan_of("sac", "gymnasium:Pendulum-v1", None)
