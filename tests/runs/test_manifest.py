import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.runs import digests, manifest
from fastrl.types import UserError


def test_digest_is_the_sha256_of_the_bytes_by_path():
    tree = {"b": [jnp.arange(6.0).reshape(2, 3)], "a": 7, "none": None, "k": jax.random.key(3)}
    found = digests.digest(tree)
    assert list(found) == ["a", "b.0", "k"]
    expected = hashlib.sha256(np.arange(6, dtype="<f4").tobytes()).hexdigest()
    assert found["b.0"] == {"dtype": "float32", "shape": [2, 3], "sha256": expected}
    data = np.asarray(jax.random.key_data(jax.random.key(3)))
    assert found["k"]["sha256"] == hashlib.sha256(data.tobytes()).hexdigest()
    assert found["k"]["dtype"].startswith("key<")


def test_total_depends_on_bits_types_and_paths_and_not_on_order():
    base = {"x": jnp.zeros(3), "y": jnp.ones(2, jnp.int32)}
    total = digests.total(base)
    assert total == digests.total({"y": np.ones(2, np.int32), "x": np.zeros(3, np.float32)})
    others = [
        {**base, "x": jnp.array([0.0, 0.0, -0.0])},
        {**base, "x": jnp.zeros((3, 1))},
        {**base, "y": jnp.ones(2, jnp.uint32)},
        {"x": base["x"], "z": base["y"]},
        {**base, "empty": jnp.zeros((0, 2))},
    ]
    assert len({total, *(digests.total(tree) for tree in others)}) == 6


def test_a_manifest_reads_back_and_a_changed_one_does_not(tmp_path):
    path = tmp_path / "m.json"
    content = {"format": manifest.FORMAT, "meta": {"step": 12}}
    manifest.write(path, content)
    assert manifest.read(path) == content
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
    path.write_text(path.read_text().replace("12", "13"))
    with pytest.raises(manifest.Damaged, match=r"m.json differs from its checksum"):
        manifest.read(path)
    for text in ("", "[]", '{"format": 1}', "\x00\x01"):
        path.write_text(text)
        with pytest.raises(manifest.Damaged, match="is damaged"):
            manifest.read(path)
    path.unlink()
    with pytest.raises(manifest.Damaged, match="missing"):
        manifest.read(path)
    manifest.write(path, {"format": 99})
    with pytest.raises(manifest.Damaged, match="format 99"):
        manifest.read(path)


def test_files_are_verified_by_name(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "part").write_bytes(b"hello")
    (tmp_path / "top").write_bytes(b"")
    recorded = json.loads(json.dumps(manifest.files(tmp_path)))
    manifest.verify(tmp_path, recorded)
    (tmp_path / "d" / "part").write_bytes(b"hellp")
    with pytest.raises(manifest.Damaged, match=r"d/part differs"):
        manifest.verify(tmp_path, recorded)
    (tmp_path / "d" / "part").write_bytes(b"hell")
    with pytest.raises(manifest.Damaged, match="d/part has 4 bytes instead of 5"):
        manifest.verify(tmp_path, recorded)
    (tmp_path / "top").unlink()
    (tmp_path / "d" / "part").write_bytes(b"hello")
    with pytest.raises(manifest.Damaged, match="top is missing"):
        manifest.verify(tmp_path, recorded)


def test_a_changed_leaf_is_named():
    tree = {"agent": {"critic": jnp.ones((2, 2)), "actor": jnp.ones(3)}}
    found = digests.digest(tree)
    digests.verify(tree, found)
    with pytest.raises(manifest.Damaged, match=r"leaf agent.critic differs"):
        digests.verify({"agent": {**tree["agent"], "critic": jnp.ones((2, 2)) * 2}}, found)
    with pytest.raises(manifest.Damaged, match=r"leaf agent.actor is missing"):
        digests.verify({"agent": {"critic": jnp.ones((2, 2))}}, found)


def test_provenance_names_versions():
    found = manifest.provenance()
    assert found["versions"]["jax"] == jax.__version__
    assert found["device_count"] == jax.device_count()


def test_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "no" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(UserError, match=r"a.json cannot be written .*; choose another place"):
            manifest.replace(place, b"")
    with pytest.raises(UserError, match=r"file cannot be made .*; choose another place"):
        manifest.make_folder(tmp_path / "file")
