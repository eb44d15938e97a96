import json

import pytest

from fastrl.engine import folder
from fastrl.types import UserError

IDENTITY = {"seeds": 4, "phases": [{"name": "warmup", "algorithm": {"utd": 4, "hidden": (8, 8)}}], "start": None}


def test_a_new_folder_gets_its_record(tmp_path):
    path = tmp_path / "deep" / "run"
    folder.prepare(path, IDENTITY, {"recipe": "wsrl", "command": None}, resume=False)
    config = folder.read_config(path)
    assert config["recipe"] == "wsrl" and config["identity"]["phases"][0]["algorithm"]["hidden"] == [8, 8]
    assert config["versions"]["jax"] and config["backend"] == "cpu" and "git_revision" in config
    assert [p.name for p in path.iterdir()] == ["config.json"]


def test_an_existing_run_needs_resume_and_the_same_options(tmp_path):
    folder.prepare(tmp_path, IDENTITY, {}, resume=True)  # empty: a new run
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"exists.*--resume"):
        folder.prepare(tmp_path, IDENTITY, {}, resume=False)
    folder.prepare(tmp_path, IDENTITY, {}, resume=True)
    other = json.loads(json.dumps(IDENTITY))
    other["seeds"], other["phases"][0]["algorithm"]["utd"] = 8, 20
    with pytest.raises(UserError) as caught:
        folder.prepare(tmp_path, other, {}, resume=True)
    assert "seeds: 4 there, 8 now" in str(caught.value) and "phases.0.algorithm.utd: 4 there, 20 now" in str(
        caught.value
    )
    with pytest.raises(UserError, match="capacity: None there, 5 now"):
        folder.prepare(tmp_path, {**IDENTITY, "capacity": 5}, {}, resume=True)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_run_killed_while_its_record_was_written_starts_anew(tmp_path):
    (tmp_path / ".config.json.tmp").write_text('{"form')
    folder.prepare(tmp_path, IDENTITY, {}, resume=True)
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
        folder.prepare(tmp_path, IDENTITY, {}, resume=True)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_out_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; name a folder"):
        folder.prepare(tmp_path / "file", IDENTITY, {}, resume=True)
