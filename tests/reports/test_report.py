import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastrl.reports import plot, report
from fastrl.reports.results import load
from fastrl.types import UserError


def make(folder: Path, gain: float, seeds: int = 8, recipe: str = "wsrl", rate: str = "") -> Path:
    """A run folder: 1,000 gradient steps, 50 of warm-up, 500 online; `gain` is gained while online."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(seeds), []

    def row(phase: str, step: int, online: int, offline: int, level: float) -> None:
        values = (level + np.arange(seeds) + rng.normal(size=seeds)).tolist()
        entry = {"kind": "eval", "phase": phase, "step": step, "online": online, "offline": offline}
        entry |= {"return": values, "length": [1000.0] * seeds}
        if rate:
            entry[rate] = np.clip(np.array(values) / 200, 0, 1).tolist()
        rows.append(entry)

    for step in range(0, 1001, 250):
        row("pretrain", step, 0, step, 100 * step / 1000)
        rows.append({"kind": "train", "phase": "pretrain", "step": step, "loss": [1.0] * seeds})
    row("warmup", 50, 50, 1000, 100)
    for step in range(50, 451, 50):
        row("finetune", step, 50 + step, 1000, 100 + gain * step / 450)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    config = {"recipe": recipe, "env": "hopper", "seeds": seeds, "command": f"fastrl run {recipe} --env hopper"}
    (folder / "config.json").write_text(json.dumps(config))
    phases = [("pretrain", 100.0, 1000), ("warmup", 1.0, 50), ("finetune", 3700.0, 450)]
    timing = [{"name": n, "seconds": s, "steps": k, "compile_seconds": 4.5} for n, s, k in phases]
    (folder / "timing.json").write_text(json.dumps({"phases": timing}))
    return folder


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG" and image.size == (1600, 900)
        return np.asarray(image.convert("RGB"))


def near(pixels: np.ndarray, colour: str) -> int:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels.astype(int) - rgb).sum(-1) < 30).sum())


@pytest.mark.parametrize("gain, words", [(40, "lies above"), (-40, "lies below"), (0, "is not clearly different from")])
def test_the_statement_follows_the_interval(tmp_path, gain, words):
    text = report.write_report(make(tmp_path / "run", gain)).read_text()
    assert f"The return at the end {words} the return at the switch." in text
    assert "at 450 online steps" in text or "at 500 online steps" in text or gain <= 0


def test_report_has_numbers_costs_picture_and_command(tmp_path):
    folder = make(tmp_path / "run", 40)
    assert report.write_report(folder) == folder / "report.md"
    text = (folder / "report.md").read_text()
    run = load(folder)
    assert run.switch == 4 and run.online[-1] == 500
    middle = np.sort(run.values[:, -1])[2:6].mean()
    assert f"| final | {middle:.1f} [" in text
    assert f"| 3 | {run.values[3, 4]:.1f} | {run.values[3, -1]:.1f} | {run.values[3].max():.1f} |" in text
    assert "| pretrain | 1,000 | 1 min 40 s | 10 | 0.0 s | 4.5 s |" in text
    assert "1 h 3 min in all, 8 seeds at once" in text
    assert "![evaluations](curves.png)" in text and "fastrl run wsrl --env hopper" in text
    pixels = picture(folder / "curves.png")
    assert near(pixels, plot.PALETTE[0]) > 2000 and near(pixels, plot.PALETTE[1]) == 0
    before = (folder / "curves.png").read_bytes(), text
    report.write_report(folder)
    assert before == ((folder / "curves.png").read_bytes(), (folder / "report.md").read_text())
    left = {p.name for p in folder.iterdir()}
    assert left == {"metrics.jsonl", "config.json", "timing.json", "report.md", "report.html", "curves.png"}


def test_one_seed_gets_no_interval_and_no_verdict(tmp_path):
    text = report.write_report(make(tmp_path / "run", 40, seeds=1)).read_text()
    assert "With 1 seed there is no interval" in text and "[" not in text.split("## Outcome")[1].split("##")[0]
    picture(tmp_path / "run" / "curves.png")


def test_few_seeds_are_counted_and_not_judged(tmp_path):
    text = report.write_report(make(tmp_path / "run", 60, seeds=3)).read_text()
    assert "**3 of 3 seeds end above their return at the switch, 0 below.**" in text
    assert "chance alone puts 3 on one side in 1 case of 4." in text and "lies above" not in text
    mixed = report.write_report(make(tmp_path / "mixed", 0, seeds=4)).read_text()
    assert "of 4 seeds end above" in mixed and " 4 below" not in mixed and "**4 of 4" not in mixed
    assert "So few support no verdict. Intervals" in mixed


@pytest.mark.parametrize(("rate", "words"), [("success", "success rate"), ("completed", "completion rate of subtasks")])
def test_success_and_subtasks_are_shown_as_rates(tmp_path, rate, words):
    folder = make(tmp_path / "run", 60, rate=rate)
    text = report.write_report(folder).read_text()
    assert load(folder).measure == rate
    assert f"The {words} at the end lies above" in text and " %" in text


def test_several_runs_in_one_picture_and_table(tmp_path):
    runs = [make(tmp_path / name, gain, recipe=name) for name, gain in (("wsrl", 40), ("rlpd", 5), ("jsrl", -20))]
    out = plot.curves(runs, tmp_path / "all.png")
    pixels = picture(out)
    assert all(near(pixels, colour) > 1000 for colour in plot.PALETTE[:3])
    lines = report.table(runs).splitlines()
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| wsrl | wsrl | hopper | 8 | 500 | return | ")


def test_folders_of_one_name_are_told_apart(tmp_path):
    twice = [make(tmp_path / name / "run", gain) for name, gain in (("a", 1), ("b", 2))]
    found = report.table([*twice]).splitlines()
    assert [line.split(" | ")[0] for line in found[2:]] == [f"| {folder}" for folder in twice]


def test_rates_and_returns_in_one_picture_share_a_scale(tmp_path):
    runs = [make(tmp_path / "rate", 40, seeds=2, rate="success"), make(tmp_path / "return", 9000, seeds=2)]
    pixels = picture(plot.curves(runs, tmp_path / "all.png"))
    assert near(pixels, plot.PALETTE[1]) > 1000, "the second, whose values are no shares"


def test_a_run_from_scratch_has_a_start_and_no_switch(tmp_path):
    folder = make(tmp_path / "run", 40, recipe="sac")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows = [row | {"offline": 0, "phase": "warmup"} if row["phase"] == "pretrain" else row for row in rows]
    rows = [row | {"offline": 0} for row in rows if row["kind"] == "eval"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = report.write_report(folder).read_text()
    assert "before learning (at the start)" in text and "the return at the start." in text and "switch" not in text
    assert "gradient steps" not in text
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"identity": {"start": "its checksum", "env_options": {"version": "v4"}}})
    )
    text = report.write_report(folder).read_text()
    assert "before fine-tuning (at the switch)" in text and "| environment | hopper version=v4 |" in text


@pytest.mark.parametrize("keep", ["pretrain", "finetune"])
def test_runs_of_one_side_only(tmp_path, keep):
    folder = make(tmp_path / "run", 40)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows if r["phase"] == keep))
    for name in ("config.json", "timing.json"):
        (folder / name).unlink()
    text = report.write_report(folder).read_text()
    picture(folder / "curves.png")
    assert text.startswith("# run\n") and "at the switch" not in text and "| final |" in text


def test_a_value_that_was_not_finite_is_said(tmp_path):
    folder = make(tmp_path / "run", 40)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    last["return"][2] = None
    (folder / "metrics.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    text = report.write_report(folder).read_text()
    assert "not finite" in text and "lies above" not in text and "lies below" not in text


def test_folders_without_evaluations_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"has no metrics.jsonl"):
        load(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "loss": [1.0]}\n')
    with pytest.raises(UserError, match="no evaluation yet"):
        report.write_report(tmp_path)


def configured(folder: Path, **changes) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize(
    ("env", "options", "low", "high", "name"),
    [
        ("hopper", {}, -20.272305, 3234.3, "D4RL score"),
        ("walker2d", {"version": "v4"}, 1.629008, 4592.3, "D4RL score"),
        ("walker2d", {}, None, None, "normalised score"),
        ("hopper", {"horizon": 100}, None, None, None),
        ("brax:hopper", {}, None, None, None),
    ],
)
def test_a_score_stands_beside_the_return_where_it_compares(tmp_path, env, options, low, high, name):
    folder = configured(make(tmp_path / "run", 40), env=env, identity={"env_options": options})
    text, run = report.write_report(folder).read_text(), load(folder)
    if name is None:
        assert run.scale is None and " score" not in text + report.table([folder])
        return
    low, high = (run.scale.low, run.scale.high) if low is None else (low, high)
    final = np.sort(run.values[:, -1])[2:6].mean()
    assert f"95 % interval | {name} |" in text and f", {name} |" in report.table([folder])
    (row,) = (line for line in text.splitlines() if line.startswith("| final |"))
    assert f"| {100 * (final - low) / (high - low):.1f} [" in row
    assert "score: 0 is a return of" in text and ("no score of D4RL" in text) == (name != "D4RL score")


def test_success_in_antmaze_is_d4rls_score(tmp_path):
    folder = configured(make(tmp_path / "run", 40, rate="success"), env="antmaze-umaze")
    (row,) = (line for line in report.write_report(folder).read_text().splitlines() if line.startswith("| final |"))
    shares = [cell.strip().replace(" %", "") for cell in row.split("|")[2:4]]
    assert shares[0] == shares[1]
