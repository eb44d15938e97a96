import json

import pytest

from fastrl.benchmarks import provenance, schema
from fastrl.errors import UserError


def test_a_complete_line_passes(made):
    schema.check(made(), "here")
    assert schema.figures(made(finite=True)) == {"milliseconds": 8.0, "gflops": 50.0}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schema": 2}, "schema 2 is not 1"),
        ({"benchmark": "loops"}, "unknown benchmark 'loops'"),
        ({"milliseconds": "8"}, "milliseconds is '8', which is no number"),
        ({"milliseconds": None}, "milliseconds is None"),
        ({"gflop": "much"}, "gflop is 'much'"),
        ({"ceilings": {"sgemm_gflops": 1.0}}, "ceilings has no copy_gigabytes_per_second"),
        ({"ceilings": None}, "ceilings has no fields"),
        ({"provenance": {}}, "provenance has no fastrl"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_of_the_schema_is_refused(made, change, match):
    with pytest.raises(UserError, match=f"^here: .*{match}"):
        schema.check(made(**change), "here")


@pytest.mark.parametrize("name", ["benchmark", "workload", "gflop", "gflop_source", "megabytes", "ceilings"])
def test_a_missing_field_is_named(made, name):
    line = made()
    del line[name]
    with pytest.raises(UserError, match=f"here: {name} is missing"):
        schema.check(line, "here")


def test_a_line_without_a_figure_is_refused(made):
    line = made()
    del line["milliseconds"], line["gflops"]
    with pytest.raises(UserError, match="no figure"):
        schema.check(line, "here")


def test_null_is_what_is_not_known(made):
    schema.check(made(gflop=None, megabytes=None), "here")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"benchmark": "learner", "milliseconds": 3}', r"file.jsonl, line 2: it has no schema"),
        ("[1]", "line 2: it is no JSON object"),
        ("nothing", "line 2: it is no JSON;"),
    ],
)
def test_a_file_is_refused_by_name_and_line(made, tmp_path, text, match):
    path = tmp_path / "file.jsonl"
    path.write_text(f"{json.dumps(made())}\n{text}\n")
    with pytest.raises(UserError, match=match) as caught:
        schema.read([path])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_empty_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        schema.read([tmp_path / "none"])
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="no line in it"):
        schema.read([tmp_path / "empty"])


def test_units_are_the_longest_ending():
    found = [schema.unit(key) for key in ("ours_64_steps_per_cpu_second", "cpu_seconds", "seconds", "cold_seconds")]
    assert found == [("env steps / CPU-second", 1), ("CPU-s", -1), ("s", -1), ("s", -1)]
    assert schema.unit("updates_per_call") is schema.unit("seeds") is schema.unit("megabytes") is None
    assert schema.unit("bestmilliseconds") is None


def test_a_line_of_this_process_is_complete(made):
    from fastrl import __version__

    given = {key: made()[key] for key in ("milliseconds", "gflop", "gflop_source", "megabytes", "ceilings")}
    line = schema.line("learner", "small", **given)
    assert line["schema"] == schema.SCHEMA and json.loads(json.dumps(line)) == line
    assert tuple(line["provenance"]) and set(schema.PROVENANCE) == set(line["provenance"])
    assert line["provenance"]["fastrl"] == __version__ and line["provenance"]["cores"] >= 1


def test_machines_have_names(made):
    assert provenance.machine(made()) == "Made-up 7, avx2, 2 cores"
    assert provenance.machine(made({"card": "H200", "cores": 1})) == "H200, Made-up 7, avx2, 1 core"
    assert provenance.file_name("AMD EPYC, avx512, 2 cores") == "amd-epyc-avx512-2-cores"


def test_a_commit_says_whether_something_changed(tmp_path):
    import subprocess

    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    assert provenance.commit(tmp_path) is None
    git("init")
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "page.md").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    revision = provenance.commit(tmp_path)
    assert revision is not None and len(revision) == 12
    (tmp_path / "page.md").write_text("2")
    assert provenance.commit(tmp_path) == revision
    (tmp_path / "code.py").write_text("2")
    assert provenance.commit(tmp_path) == f"{revision}+changed"
