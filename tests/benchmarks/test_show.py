import json
from pathlib import Path

import pytest

from fastrl.benchmarks import pictures, schema, suite, tables
from fastrl.cli import main as cli
from fastrl.errors import UserError

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def scaling(made, seeds, copies, value):
    fields = {"seeds": seeds, "environments": copies, "steps_per_second": value}
    return made(benchmark="scaling", workload=f"hopper, {seeds} of {copies}", **fields)


def test_medians_and_ranges(made):
    text = tables.page([made(milliseconds=value) for value in (9.0, 30.0, 2.0, 12345.0, 3.0)])
    assert "| small | `milliseconds` | 9 | 2 to 12,345 | ms | 5 |" in text
    assert "| small | `gflops` | 50 | 50 | GFLOP/s | 5 |" in text
    assert "updates_per_call" not in text
    assert f"What not to infer: {schema.NOT['learner']}" in text and schema.NOT["env"] not in text
    assert "Made-up 7, avx2, 2 cores" in text and "| 0.1 to 0.4 | 0.2 |" in text


def test_two_machines_are_told_apart(made):
    text = tables.page([made(), made({"card": "H200"}, milliseconds=1.0)])
    assert "| small | `milliseconds` | 8 | 8 | ms | 1 | Made-up 7, avx2, 2 cores |" in text
    assert "| small | `milliseconds` | 1 | 1 | ms | 1 | H200, Made-up 7, avx2, 2 cores |" in text


def test_the_command_prints_writes_and_draws(made, tmp_path, capsys):
    lines = [made(), scaling(made, 1, 1, 100.0), scaling(made, 8, 1, 400.0), scaling(made, 1, 64, 900.0)]
    file = write(tmp_path / "a.jsonl", lines)
    assert cli.main(["bench", "show", file]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Benchmarks") and "## learner" in out and "## scaling" in out
    page, folder = tmp_path / "page.md", tmp_path / "drawn"
    assert cli.main(["bench", "show", file, "--page", str(page), "--picture", str(folder)]) == 0
    assert capsys.readouterr().out == "" and page.read_text() == out
    assert {path.name for path in folder.iterdir()} == {"roofline.png", "scaling.png"}
    assert all(path.read_bytes().startswith(PNG) for path in folder.iterdir())


def test_the_command_compares(made, tmp_path, capsys):
    old = write(tmp_path / "old.jsonl", [made(milliseconds=10 + n / 100) for n in range(5)])
    new = write(tmp_path / "new.jsonl", [made(milliseconds=9 + n / 100) for n in range(5)])
    assert cli.main(["bench", "show", new, "--compare", old]) == 0
    assert "| faster |" in capsys.readouterr().out


def test_a_point_is_its_operations_over_its_bytes(made):
    found = pictures.points([made(gflops=value) for value in (40.0, 60.0, 70.0)] + [made(gflop=None)])
    assert found == {("learner", "small"): (200.0, 60.0)}  # 0.4 GFLOP over 2 MB


def test_a_picture_of_two_machines_or_of_nothing_is_one_line(made, tmp_path):
    with pytest.raises(UserError, match="there are 2"):
        pictures.draw([made(), made({"card": "H200"})], tmp_path)
    with pytest.raises(UserError, match="nothing to draw"):
        pictures.draw([made(benchmark="memory", gflop=None)], tmp_path)


def test_every_part_says_what_not_to_infer():
    assert set(schema.NOT) == {*suite.PARTS, "beside"}
    assert all(len(text.split()) > 30 for text in schema.NOT.values())


def test_the_page_is_what_the_command_makes(tmp_path):
    files = sorted((ROOT / "benchmarks" / "results" / "machines").glob("*.jsonl"))
    page = tmp_path / "page.md"
    assert cli.main(["bench", "show", *map(str, files), "--page", str(page)]) == 0
    assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text(), "make it again: benchmarks/README.md"


def test_a_machine_has_a_file_of_its_name():
    from fastrl.benchmarks import provenance

    for path in (ROOT / "benchmarks" / "results" / "machines").glob("*.jsonl"):
        names = {provenance.file_name(provenance.machine(line)) for line in schema.read([path])}
        assert names == {path.stem}
