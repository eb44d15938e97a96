import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastrl import statistics
from fastrl.cli import main as cli
from fastrl.reports import across, plot, scores
from fastrl.reports.results import load
from fastrl.types import UserError

TASKS = {"hopper": (-20.272305, 3234.3), "halfcheetah": (-280.178953, 12135.0)}  # D4RL's references


def make(folder: Path, env: str, finals, recipe: str = "", steps=(0, 50, 100), measure: str = "return") -> Path:
    folder.mkdir(parents=True)
    rows = [
        {"kind": "eval", "phase": "finetune", "step": n, "online": n, "offline": 10, "return": list(finals)}
        | {measure: (np.array(finals) * n / steps[-1]).tolist()}
        for n in steps
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text(json.dumps({"recipe": recipe or folder.name.split("-")[0], "env": env}))
    return folder


@pytest.fixture
def runs(tmp_path):
    draw = np.random.default_rng(0)
    return [
        load(make(tmp_path / f"{name}-{env}", env, draw.uniform(1000, 3000, size=5) + gain))
        for name, gain in (("wsrl", 500), ("rlpd", 0))
        for env in TASKS
    ]


def test_runs_become_arrays_of_scores(runs):
    found = scores.table(runs)
    assert found.tasks == list(TASKS) and list(found.finals) == ["wsrl", "rlpd"]
    for task, (env, (low, high)) in enumerate(TASKS.items()):
        run = next(run for run in runs if run.folder.name == f"rlpd-{env}")
        expected = (run.values - low) / (high - low)
        assert found.finals["rlpd"][:, task] == pytest.approx(expected[:, -1])
        assert found.curves["rlpd"][:, task] == pytest.approx(expected)
    assert found.steps.tolist() == [0, 50, 100] and found.comparable and found.unit == "1 is 100 of the D4RL score"


def test_only_shared_evaluations_and_as_many_seeds_as_each_task_has(tmp_path, runs):
    values = [1000.0, 2000, 3000]
    shorter = load(make(tmp_path / "more" / "wsrl-hopper", "hopper", values, steps=(0, 100, 300)))
    found = scores.table([shorter, *runs[1:]])
    assert found.steps.tolist() == [0, 100] and found.finals["wsrl"].shape == (3, 2)
    assert found.finals["rlpd"].shape == (5, 2)
    assert found.left_out == ["wsrl on halfcheetah: 3 of 5 seeds, as another task has no more"]
    assert found.finals["wsrl"][:, 0] == pytest.approx(shorter.scale.of(np.array(values)) / 100)  # its own end
    other = load(make(tmp_path / "else" / "wsrl-hopper", "hopper", values, steps=(7, 9)))
    assert scores.table([other, *runs[1:]]).curves == {}


def test_export_writes_what_the_statistics_read(tmp_path, runs):
    text = scores.export(runs, tmp_path / "s.npz")
    assert "tasks in order: hopper, halfcheetah" in text and "1 is 100 of the D4RL score" in text
    found = scores.table(runs)
    for name, expected in (("s.npz", found.finals), ("s-curves.npz", found.curves)):
        read = statistics.load(tmp_path / name)
        assert all(np.array_equal(read[each], expected[each]) for each in ("wsrl", "rlpd"))
    with pytest.raises(UserError, match=r"s\.npz exists"):
        scores.export(runs, tmp_path / "s.npz")


def test_variants_of_one_recipe_go_by_their_folders(tmp_path, runs):
    for home in "ab":
        make(tmp_path / home / "fast", "hopper" if home == "a" else "halfcheetah", [1.0, 2], recipe="wsrl")
    variants = [*runs, load(tmp_path / "a" / "fast"), load(tmp_path / "b" / "fast")]
    with pytest.raises(UserError, match="there is no run of wsrl-hopper on halfcheetah"):
        scores.table(variants)
    found = scores.table([variants[0], variants[4]])
    assert list(found.finals) == ["wsrl-hopper", "fast"] and found.finals["fast"].shape == (2, 1)
    with pytest.raises(UserError, match="are both wsrl-hopper on hopper; name one of them"):
        scores.table([runs[0], runs[0]])


def test_the_picture_has_a_profile_and_a_curve_of_each(tmp_path, runs):
    (path,) = across.written(runs, tmp_path / "tasks.png")
    with Image.open(path) as image:
        assert image.size == (1600, 900)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for half in (pixels[:, :800], pixels[:, 800:]):
        for colour in plot.PALETTE[:2]:
            rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (np.abs(half - rgb).sum(-1) < 30).sum() > 500
    assert across.written(runs[:1], tmp_path / "none.png") == []
    (words,) = across.written(runs[:3], tmp_path / "none.png")
    assert words.startswith("no picture over the tasks: there is no run of rlpd on halfcheetah; scores need every")
    assert not (tmp_path / "none.png").exists()


def test_values_of_a_task_without_a_score_are_not_averaged(tmp_path, runs):
    strange = load(make(tmp_path / "wsrl-own", "own", [1.0, 2, 3]))
    found = scores.table([runs[0], strange])
    assert found.unit == "values as they are" and found.finals["wsrl"][:, 1].tolist() == [1.0, 2, 3]
    assert found.finals["wsrl"][:, 0] == pytest.approx(runs[0].values[:3, -1])
    (words,) = across.written([runs[0], strange], tmp_path / "none.png")
    assert "not every task has a normalised score" in words


def test_rates_are_shares_wherever_they_are_from(tmp_path):
    rates = [
        load(make(tmp_path / f"wsrl-{env}", env, [0.5, 1.0], measure="success")) for env in ("own", "antmaze-umaze")
    ]
    found = scores.table(rates)
    assert found.unit == "shares" and found.comparable and found.finals["wsrl"].tolist() == [[0.5, 0.5], [1.0, 1.0]]


def test_the_command_prints_differences_and_names_every_file(tmp_path, runs, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for run in runs:
        config = json.loads((run.folder / "config.json").read_text())
        (run.folder / "config.json").write_text(json.dumps(config | {"identity": {"seed": 0, "start": "one"}}))
    words = ["report", *(run.folder.name for run in runs), "--out", "all.png"]
    assert cli.main([*words, "--export", "all.csv"]) == 2 and not list(tmp_path.glob("all*"))
    assert cli.main([*words, "--export", "scores.npz"]) == 0
    out = capsys.readouterr().out
    assert "| rlpd-hopper | wsrl-hopper | hopper | the end | paired by seed, 5 pairs |" in out
    for name in ("all.png", "all.html", "all-tasks.png", "scores.npz", "scores-curves.npz"):
        assert name in out and (tmp_path / name).stat().st_size > 0
    for taken in ("all.png", "all.html"):
        (tmp_path / taken).unlink()
    assert cli.main(words) == 2 and "all-tasks.png exists" in capsys.readouterr().err
