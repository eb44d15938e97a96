"""A cached copy is what the file holds, is verified each time, and is made again when either has changed."""

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from fastrl.data import cache as caching
from fastrl.data import datasets, export, findings, sources
from fastrl.data.datasets import Dataset
from fastrl.types import UserError

FIELDS = ("obs", "action", "reward", "mask", "next_obs", "boundary")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A file, the cache's folder, and a function that loads through it: (dataset, lines that were told)."""
    monkeypatch.setattr(sources, "WORTH", 1)
    rng = np.random.default_rng(0)
    path = rng.normal(size=(41, 3))
    rest = rng.uniform(-1, 1, (40, 2)), rng.normal(size=40), np.ones(40), path[1:], np.arange(40) % 8 == 7
    source = tmp_path / "d.hdf5"
    export.save_d4rl(Dataset.from_arrays(path[:-1], *rest), source)

    def load(**options):
        told = []
        return datasets.load(source, cache=tmp_path / "cache", report=told.append, **options), told

    return source, tmp_path / "cache", load


def check_equal(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
        assert getattr(a, field).dtype == getattr(b, field).dtype
    assert (a.name, a.sha256, a.order, a.notes, a.dropped) == (b.name, b.sha256, b.order, b.notes, b.dropped)


def test_the_second_time_the_copy_is_mapped(place, monkeypatch):
    _, cache, load = place
    first, told = load()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(sources.d4rl, "read", None)  # not called again
    second, more = load()
    assert told == more == [] and isinstance(second.obs, np.memmap)
    check_equal(first, second)
    check_equal(second, load(sha256=first.sha256)[0])


def test_what_a_reader_says_is_said_again_by_the_copy(place, monkeypatch):
    read = sources.d4rl.read
    monkeypatch.setattr(sources.d4rl, "read", lambda *a, **k: read(*a, **k)._replace(notes=("three rows are odd",)))
    _, _, load = place
    first, second = load()[0], load()[0]
    assert first.notes == second.notes == ("three rows are odd",) and isinstance(second.obs, np.memmap)
    assert f"{first.name}: three rows are odd" in findings.said(second)


def test_every_damage_of_a_copy_is_told_and_repaired(place):
    _, cache, load = place
    good, _ = load()
    (entry,) = cache.iterdir()
    rng = np.random.default_rng(1)
    for name in sorted(path.name for path in entry.iterdir()):
        for kind in ("flip", "cut", "zeros", "gone"):
            path = entry / name
            whole = bytearray(path.read_bytes())
            at = int(rng.integers(len(whole)))
            if kind == "flip":
                whole[at] ^= 1 << int(rng.integers(8))
            elif kind == "cut":
                del whole[at:]
            else:
                whole[:] = bytes(len(whole))
            path.write_bytes(whole) if kind != "gone" else path.unlink()
            again, told = load()
            check_equal(good, again)
            assert len(told) == 1 and "the cached copy is damaged" in told[0] and "\n" not in told[0]
            assert load()[1] == []


def test_another_source_or_other_options_are_read_anew(place):
    source, cache, load = place
    good, _ = load()
    columns = export.columns(good)
    columns["rewards"] = columns["rewards"] + 1
    source.unlink()
    export.save_d4rl(columns, source)
    changed, told = load()
    assert told == [] and changed.sha256 != good.sha256
    np.testing.assert_array_equal(changed.reward, good.reward + 1)
    assert len(list(cache.iterdir())) == 1
    load(horizon=3)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_source_with_a_sha256_is_refused_although_there_is_a_copy(place):
    source, _, load = place
    good, _ = load()
    whole = bytearray(source.read_bytes())
    whole[len(whole) // 2] ^= 1
    source.write_bytes(whole)
    with pytest.raises(UserError, match=f"not {good.sha256}; download it again"):
        load(sha256=good.sha256)


def test_a_cache_that_cannot_be_written_is_told_and_no_error(place):
    source, cache, load = place
    cache.write_text("a file")
    data, told = load()
    check_equal(data, datasets.load(source))
    assert len(told) == 1 and "no cached copy" in told[0]


def test_a_full_disk_and_a_closed_folder_are_told_and_no_error(place, monkeypatch):
    source, cache, load = place
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        _, told = load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(told) == 1 and "None" not in told[0] and list(cache.iterdir()) == []
    real = Path.is_dir

    def is_dir(path):
        if path.parent == cache:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    data, told = load()
    check_equal(data, datasets.load(source))
    assert len(told) == 1 and "no cached copy" in told[0]


def test_another_process_that_is_faster_is_no_news(place, monkeypatch):
    source, cache, load = place
    good, _ = load()
    (entry,) = cache.iterdir()
    real, ours = Path.rename, entry.parent.parent / "other"
    shutil.copytree(entry, ours)

    def rename(path, target):
        if target == entry:  # the other's copy comes first
            shutil.copytree(ours, entry)
        return real(path, target)

    os.utime(source)
    monkeypatch.setattr(Path, "rename", rename)
    again, told = load()
    check_equal(good, again)
    assert told == [] and list(cache.iterdir()) == [entry]
    monkeypatch.undo()
    read = caching._read

    def replaced(path):  # between two looks at it
        shutil.rmtree(entry)
        return read(path)

    monkeypatch.setattr(caching, "_read", replaced)
    again, told = load()
    check_equal(good, again)
    assert told == []


def test_a_source_that_changed_in_place_without_a_trace_in_size_and_time_is_read_anew(place, tmp_path):
    source, when = tmp_path / "d.npz", (10**18, 10**18)
    obs, flags = np.arange(16.0)[:, None], {"terminals": np.zeros(16), "timeouts": np.zeros(16)}
    for reward in (1.0, 2.0):
        np.savez(source, observations=obs, actions=obs / 16, rewards=np.full(16, reward), **flags)
        os.utime(source, ns=when)
        assert (datasets.load(source, cache=tmp_path / "cache").reward == reward).all()


def test_what_killed_processes_left_is_removed_after_a_day(place):
    _, cache, load = place
    for name in (".old", ".new"):
        (cache / name).mkdir(parents=True)
    os.utime(cache / ".old", (0, 0))
    load()
    assert not (cache / ".old").exists() and (cache / ".new").exists()


def test_small_files_are_not_worth_a_copy(place, monkeypatch):
    _, cache, load = place
    monkeypatch.setattr(sources, "WORTH", 1 << 20)
    load()
    assert not cache.exists()
