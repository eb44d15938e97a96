import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from fastrl.runs import digests, manifest
from fastrl.runs.checkpoint import MANIFEST, Checkpoints
from fastrl.types import Failure, UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Agent:
    critic: Any
    moments: Any
    frozen: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Carry:
    agent: Agent
    key: jax.Array
    count: int
    rest: dict


def carry_of(seed: int) -> Carry:
    keys = jax.random.split(jax.random.key(seed), 4)
    params = {"w": jax.random.normal(keys[0], (64, 33)), "b": jnp.full((5,), 1.5, jnp.bfloat16)}
    agent = Agent(params, optax.adam(1e-3).init(params), None)
    rest = {
        "flags": jnp.array([True, False]),
        "bytes": jnp.arange(7, dtype=jnp.uint8),
        "scalar": jnp.int32(seed),
        "empty": jnp.zeros((0, 3)),
        "odd": jnp.array([jnp.nan, -0.0, jnp.inf]),
        "host": np.arange(3, dtype=np.int64) + 2**40,
        "number": np.int64(2**40),
        "real": 0.1,
        "rbg": jax.random.key(seed, impl="rbg"),
    }
    return Carry(agent, keys[1:], 2**40 + seed, rest)


def refuse(line: str) -> None:
    raise AssertionError(line)


def abstract(tree: Any) -> Any:
    to = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x
    return jax.tree.map(to, tree)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two good checkpoints, 10 and 20; tests damage copies of them."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder)
    sums = [checkpoints.save(step, carry_of(step), {"phase": step // 10}) for step in (10, 20)]
    return folder, sums


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "checkpoints")
    return Checkpoints(tmp_path / "checkpoints")


def damage_report(checkpoints: Checkpoints) -> tuple[Any, list[str]]:
    lines: list[str] = []
    return checkpoints.restore(lambda meta: abstract(carry_of(0)), lines.append), lines


@pytest.mark.parametrize("form", [carry_of, lambda seed: abstract(carry_of(seed))])
def test_round_trip_keeps_every_bit_type_and_structure(saved, form):
    folder, sums = saved
    metas = []
    found = Checkpoints(folder).restore(lambda meta: metas.append(meta) or form(0), refuse)
    expected = carry_of(20)
    assert metas == [{"phase": 2}] and found.meta == {"phase": 2} and found.step == 20
    assert jax.tree.structure(found.carry) == jax.tree.structure(expected)
    assert found.carry.agent.frozen is None and found.carry.count == 2**40 + 20
    for new, old in zip(jax.tree.leaves(found.carry), jax.tree.leaves(expected), strict=True):
        assert type(new) is type(old)
        assert getattr(new, "dtype", None) == getattr(old, "dtype", None)
    assert digests.total(found.carry) == digests.total(expected) == found.sha256 == sums[1]
    assert (jax.random.bits(found.carry.key[0]) == jax.random.bits(expected.key[0])).all()


def test_restored_arrays_can_be_donated(saved):
    step = lambda tree: jax.tree.map(lambda x: x * 2 + 1, tree)
    expected = digests.total(step(carry_of(20).agent.critic))
    for _ in range(3):
        found = Checkpoints(saved[0]).restore(lambda meta: abstract(carry_of(0)), refuse)
        critic = found.carry.agent.critic
        result = jax.jit(step, donate_argnums=0)(critic)
        assert critic["w"].is_deleted()
        assert digests.total(result) == expected
    assert Checkpoints(saved[0]).restore(lambda meta: carry_of(0), refuse).step == 20  # files too


def test_one_flipped_bit_in_any_file_is_refused_by_name(copy):
    step = copy.folder / "20"
    files = [path for path in step.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 5
    rng = np.random.default_rng(0)
    for path in files:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        found, lines = damage_report(copy)
        assert found.step == 10 and found.carry.count == 2**40 + 10
        (line,) = lines
        assert line.startswith("checkpoint 20: ") and line.endswith("; using checkpoint 10")
        assert path.relative_to(step).as_posix() in line
        path.write_bytes(good)
    assert damage_report(copy)[1] == []


@pytest.mark.parametrize("how", ["cut", "empty", "missing", "folder", "manifest", "other step"])
def test_other_damage_falls_back_too(copy, how):
    step = copy.folder / "20"
    largest = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if how == "cut":
        os.truncate(largest, largest.stat().st_size // 2)
    elif how == "empty":
        os.truncate(largest, 0)
    elif how == "missing":
        largest.unlink()
    elif how == "folder":
        shutil.rmtree(step / "default")
    elif how == "manifest":
        (step / MANIFEST).unlink()
        assert copy.latest_meta() == {"phase": 1}
    else:
        shutil.rmtree(step)
        shutil.copytree(copy.folder / "10", step)
    found, lines = damage_report(copy)
    assert found.step == 10 and len(lines) == 1
    assert lines[0].startswith("checkpoint 20: ") and "\n" not in lines[0]


def test_the_leaf_is_named_where_files_are_good_but_arrays_are_not(copy):
    """A manifest made for other values, as if a wrong array had been written and hashed."""
    path = copy.folder / "20" / MANIFEST
    content = manifest.read(path)
    content["leaves"]["agent.critic.w"]["sha256"] = "0" * 64
    manifest.write(path, content)
    lines = damage_report(copy)[1]
    assert lines == ["checkpoint 20: leaf agent.critic.w differs from its checksum; using checkpoint 10"]


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("files", OSError(errno.ESTALE, "Stale file handle")),
        ("orbax", OSError(errno.EIO, "Input/output error")),
        ("orbax", MemoryError()),
        ("orbax", RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")),
        ("template", RuntimeError("Unable to initialize backend 'cuda'")),
    ],
)
def test_what_cannot_be_read_now_is_no_damage(copy, monkeypatch, where, error):
    """Nothing older is used instead, and nothing on disk changes."""

    def fail(*args, **kwargs):
        raise error

    before = manifest.files(copy.folder)
    with monkeypatch.context() as patch:
        if where == "files":
            patch.setattr(manifest, "_blocks", fail)
        if where == "orbax":
            patch.setattr(ocp.StandardCheckpointer, "restore", fail)
        template = fail if where == "template" else lambda meta: abstract(carry_of(0))
        with pytest.raises(Failure, match=f"20 could not be read \\({type(error).__name__}: .*no damage") as caught:
            copy.restore(template, refuse)
    assert "\n" not in str(caught.value)
    assert manifest.files(copy.folder) == before
    assert damage_report(copy)[0].step == 20


def test_a_manifest_that_names_what_is_elsewhere_is_refused(copy, tmp_path):
    (tmp_path / "secret").write_text("x")
    for name in ("../../secret", str(tmp_path / "secret")):
        path = copy.folder / "20" / MANIFEST
        content = manifest.read(path)
        content["files"][name] = {"bytes": 1, "sha256": "0" * 64}
        manifest.write(path, content)
        with pytest.raises(UserError, match="which is outside of it"):
            damage_report(copy)


def test_a_save_after_a_fallback_sets_the_damaged_steps_aside(copy):
    (copy.folder / "20" / MANIFEST).unlink()
    with pytest.raises(ValueError, match="15 is not after checkpoint 20"):
        copy.save(15, carry_of(15), {})  # not yet found to be damaged
    assert damage_report(copy)[0].step == 10
    copy.save(15, carry_of(15), {"phase": 1})
    assert copy.steps() == [10, 15] and len(list((copy.folder / "20.damaged").iterdir())) > 1
    shutil.copytree(copy.folder / "15", copy.folder / "20")  # the same step, damaged once more
    assert damage_report(copy)[0].step == 15
    copy.save(17, carry_of(17), {"phase": 1})
    assert copy.steps() == [10, 15, 17] and (copy.folder / "20.damaged-1").is_dir()
    found, lines = damage_report(Checkpoints(copy.folder))
    assert found.step == 17 and lines == []


def test_nothing_saved_is_none_and_nothing_good_is_an_error(copy, tmp_path):
    nothing = Checkpoints(tmp_path / "no such folder")
    assert nothing.restore(lambda meta: None, refuse) is None
    assert nothing.latest_meta() is None
    for step in ("10", "20"):
        (copy.folder / step / MANIFEST).write_text("{}")
    lines: list[str] = []
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        copy.restore(lambda meta: carry_of(0), lines.append)
    assert [line.split(";")[1] for line in lines] == [" using checkpoint 10", " no older one is left"]


def test_another_structure_or_dtype_is_refused_and_not_cast(saved, monkeypatch):
    def half(meta):
        carry = carry_of(0)
        critic = {**carry.agent.critic, "w": carry.agent.critic["w"].astype(jnp.float16)}
        return dataclasses.replace(carry, agent=dataclasses.replace(carry.agent, critic=critic))

    with pytest.raises(UserError, match=r"agent.critic.w as float32\[64, 33\] but .* float16"):
        Checkpoints(saved[0]).restore(half, refuse)
    more = lambda meta: dataclasses.replace(carry_of(0), rest={**carry_of(0).rest, "new": jnp.ones(2)})
    with pytest.raises(UserError, match=r"rest.new as nothing .* with the options it was made with$"):
        Checkpoints(saved[0]).restore(more, refuse)
    monkeypatch.setattr("fastrl.runs.manifest.__version__", "9.9")
    with pytest.raises(UserError, match=r"the options and the version it was made with \(it was made by .* is 9.9\)$"):
        Checkpoints(saved[0]).restore(more, refuse)


def test_only_the_newest_stay_and_steps_increase(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    for step in (1, 2, 3, 5):
        checkpoints.save(step, {"x": jnp.full(3, step)}, {"step": step})
    assert checkpoints.steps() == [3, 5] and checkpoints.latest_meta() == {"step": 5}
    for step in (4, 5):
        with pytest.raises(ValueError, match="not after checkpoint 5"):
            checkpoints.save(step, {"x": jnp.ones(3)}, {})
    with pytest.raises(TypeError):
        checkpoints.save(6, {"x": jnp.ones(3)}, {"bad": object()})
    assert checkpoints.steps() == [3, 5]


def test_what_an_interrupted_save_left_goes_and_reading_touches_nothing(copy):
    left = copy.folder / "30.orbax-checkpoint-tmp"
    left.mkdir()
    (left / "part").write_bytes(b"x")
    assert damage_report(copy)[0].step == 20
    assert left.exists()  # another process may be writing it
    copy.save(40, carry_of(40), {})
    assert not left.exists() and copy.steps() == [10, 20, 40]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Checkpoints(tmp_path / "file" / "c").save(1, {"x": jnp.ones(1)}, {})


KILLED = """
import itertools, sys, jax, jax.numpy as jnp
jax.config.update("jax_num_cpu_devices", 4)
from fastrl.runs.checkpoint import Checkpoints
from fastrl.runs import digests, manifest
mesh = jax.make_mesh((4,), ("seed",), axis_types=(jax.sharding.AxisType.Auto,))
rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
checkpoints = Checkpoints(sys.argv[1])
start = (checkpoints.steps() or [0])[-1]
make = jax.jit(lambda step: {"ring": jnp.full((4, 300000), step), "step": step})
for step in itertools.count(start + 1):
    carry = make(jnp.int32(step))
    carry["ring"] = jax.device_put(carry["ring"], rows)
    print(step, checkpoints.save(step, carry, {"step": step}), flush=True)
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path):
    """kill -9 while saving without pause; the arrays are sharded over four devices, read on one."""
    folder = tmp_path / "c"
    template = lambda meta: {"ring": jnp.zeros((4, 300000), jnp.int32), "step": jnp.int32(0)}
    for wait in (0.3, 0.55):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
        acknowledged = [process.stdout.readline().split()]
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.split() for line in process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        found = Checkpoints(folder).restore(template, lambda line: None)
        step, sha256 = acknowledged[-1]
        assert found.step >= int(step)
        assert found.meta == {"step": found.step}
        assert digests.total(found.carry) == found.sha256
        assert int(found.carry["ring"].min()) == int(found.carry["ring"].max()) == found.step
        if found.step == int(step):
            assert found.sha256 == sha256


def test_the_manifest_is_readable_json_with_versions(saved):
    content = json.loads((saved[0] / "20" / MANIFEST).read_text())
    assert content["step"] == 20 and content["versions"]["orbax-checkpoint"]
    assert content["leaves"]["agent.critic.w"]["shape"] == [64, 33]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (ValueError("RESOURCE_EXHAUSTED: Failed writing\nmore [os_error_code='28']"), "No space left on device"),
        (ValueError("a bug"), None),
    ],
)
def test_what_refuses_a_save_is_one_line(copy, monkeypatch, error, line):
    """Also where Orbax's writer in C++ says it, which has no `OSError`."""

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
    expected = ValueError if line is None else UserError
    with pytest.raises(expected) as caught:
        copy.save(30, carry_of(30), {})
    if line is not None:
        end = f"checkpoints: checkpoint 30 cannot be saved ({line}); choose another place or make room"
        assert str(caught.value) == f"{copy.folder}{end[len('checkpoints') :]}"
    assert copy.steps() == [10, 20]
