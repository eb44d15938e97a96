import json
import os
import socket

import pytest

from fastrl.runs import folder, lock
from fastrl.types import UserError

IDENTITY = {"seeds": 4, "phases": [{"name": "warmup", "algorithm": {"utd": 4, "hidden": (8, 8)}}], "start": None}


def claim(path, identity, record, resume):
    with folder.claimed(path, identity, record, resume):
        pass


def test_a_new_folder_gets_its_record(tmp_path):
    path = tmp_path / "deep" / "run"
    claim(path, IDENTITY, {"recipe": "wsrl", "command": None}, resume=False)
    config = folder.read_config(path)
    assert config["recipe"] == "wsrl" and config["identity"]["phases"][0]["algorithm"]["hidden"] == [8, 8]
    assert config["versions"]["jax"] and config["backend"] == "cpu" and "git_revision" in config
    assert sorted(p.name for p in path.iterdir()) == [lock.LOCK, "config.json"]


def test_an_existing_run_needs_resume_and_the_same_options(tmp_path):
    claim(tmp_path, IDENTITY, {}, resume="auto")  # empty: a new run
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"exists.*--resume"):
        claim(tmp_path, IDENTITY, {}, resume=False)
    claim(tmp_path, IDENTITY, {}, resume=True)
    other = json.loads(json.dumps(IDENTITY))
    other["seeds"], other["phases"][0]["algorithm"]["utd"] = 8, 20
    with pytest.raises(UserError) as caught:
        claim(tmp_path, other, {}, resume=True)
    assert "seeds: 4 there, 8 now" in str(caught.value) and "phases.0.algorithm.utd: 4 there, 20 now" in str(
        caught.value
    )
    with pytest.raises(UserError, match="capacity: None there, 5 now"):
        claim(tmp_path, {**IDENTITY, "capacity": 5}, {}, resume=True)
    assert (tmp_path / "config.json").read_bytes() == before
    config = json.loads(before)
    config["versions"]["fastrl"] = "0.0.1"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError,
        match=r"it was made by fastrl 0\.0\.1 and this is .*: other options \(seeds.*same options and version,",
    ):
        claim(tmp_path, other, {}, resume=True)
    claim(tmp_path, IDENTITY, {}, resume=True)


def test_a_run_killed_while_its_record_was_written_starts_anew(tmp_path):
    (tmp_path / ".config.json.tmp").write_text('{"form')
    (tmp_path / lock.LOCK).write_text("process 1 on earth")
    with pytest.raises(UserError, match="there is no run in"):
        claim(tmp_path, IDENTITY, {}, resume=True)
    claim(tmp_path, IDENTITY, {}, resume=False)
    assert folder.read_config(tmp_path)["identity"]["seeds"] == 4


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "is no run folder: it has no config.json"),
        ("{", "config.json cannot be read"),
        ("[]", "was not written by fastrl"),
        ('{"seeds": 1}', "has no 'identity'"),
    ],
)
def test_what_is_no_run_folder_is_one_line(tmp_path, content, match):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    else:
        (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=match) as caught:
        claim(tmp_path, IDENTITY, {}, resume=True)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_out_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; name a folder"):
        claim(tmp_path / "file", IDENTITY, {}, resume=True)


@pytest.mark.parametrize("typed", ["wsrl-hopper2", "wslr-hopper", "wsrl_hopper"])
def test_a_typing_mistake_starts_no_run(tmp_path, typed):
    for name in ("wsrl-hopper", "sac-ant", "empty"):
        (tmp_path / name).mkdir()
    for name in ("wsrl-hopper", "sac-ant"):
        (tmp_path / name / "config.json").write_text("{}")
    with pytest.raises(UserError, match=f"there is no run in .*{typed}; did you mean .*/wsrl-hopper\\?") as caught:
        claim(tmp_path / typed, IDENTITY, {}, resume=True)
    assert "\n" not in str(caught.value) and not (tmp_path / typed).exists()
    with pytest.raises(UserError, match=r"there is no run in .*empty"):
        claim(tmp_path / "empty", IDENTITY, {}, resume=True)
    assert not list((tmp_path / "empty").iterdir())


def test_auto_starts_and_continues(tmp_path):
    claim(tmp_path / "run", IDENTITY, {}, resume="auto")
    first = (tmp_path / "run/config.json").read_bytes()
    claim(tmp_path / "run", IDENTITY, {}, resume="auto")
    assert (tmp_path / "run/config.json").read_bytes() == first


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    """Also within one process: the lock belongs to an opening of the file, not to the process."""
    path = tmp_path / "run"
    with folder.claimed(path, IDENTITY, {}, False):
        before = {p.name: p.read_bytes() for p in path.iterdir()}
        for resume in (True, "auto"):
            with pytest.raises(UserError, match=f"in use by process {os.getpid()} on {socket.gethostname()}; wait"):
                claim(path, {**IDENTITY, "seeds": 5}, {}, resume)
        assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    claim(path, IDENTITY, {}, True)
