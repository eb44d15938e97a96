"""`fastrl datasets` from its words to its output, and the options that name a dataset of a run."""

import hashlib
from pathlib import Path

import minari
import numpy as np
import pytest

import fastrl
from fastrl.cli import datasets as datasets_cli
from fastrl.cli import main as cli
from fastrl.cli.options import Parser
from fastrl.data.datasets import Dataset


@pytest.fixture(autouse=True)
def in_process(monkeypatch, tmp_path):
    """Commands run here, in an empty folder with Minari's beside it; jax is set up by the tests already."""
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def dataset(rows=20):
    obs = np.arange(rows + 1.0)[:, None] * [1, 2]
    action = np.linspace(-1, 1, rows)[:, None]
    return Dataset.from_arrays(obs[:-1], action, np.arange(rows), np.ones(rows), obs[1:], np.arange(rows) % 5 == 4)


def refused(capsys, words, match):
    assert cli.main(words) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and match in error


def test_the_list_shows_files_folders_and_what_was_skipped(capsys):
    assert cli.main(["datasets"]) == 0
    assert capsys.readouterr().out == "no datasets found\n"
    Path("sub").mkdir()
    fastrl.save_d4rl(dataset(), "sub/hopper-expert-v2.hdf5")
    fastrl.save_minari(dataset(10), "mine/walk-v1")
    fastrl.save_minari(dataset(10), "other-v0", root="sub")
    np.savez("weights.npz", w=np.zeros(3))
    Path(".hidden").mkdir()
    fastrl.save_d4rl(dataset(), ".hidden/d.hdf5")
    assert cli.main(["datasets"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("dataset ") and head.endswith("D4RL score of the mean")
    cells = [line.split() for line in lines]
    assert cells[0] == ["sub/hopper-expert-v2.hdf5", "d4rl", "20", "4", "47.5", "85.0", "raw", "return"]
    assert cells[1] == ["sub/other-v0", "minari", "10", "2", "22.5", "35.0", "raw", "return"]
    assert cells[2][0].endswith("minari/mine/walk-v1") and cells[2][1:3] == ["minari", "10"]
    assert lines[3].startswith("skipped weights.npz: has no 'observations'") and len(lines) == 4
    assert cli.main(["datasets", "sub"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    refused(capsys, ["datasets", "nowhere"], "nowhere: no such folder, and none of describe, export, convert")


def test_describe_prints_and_writes(capsys):
    fastrl.save_d4rl(dataset(), "maze.hdf5")
    assert cli.main(["datasets", "describe", "maze.hdf5", "--out", "sheet"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# maze\n") and Path("sheet/datasheet.md").read_text().startswith(page)
    assert Path("sheet/datasheet.png").read_bytes()[:4] == b"\x89PNG"
    refused(
        capsys,
        ["datasets", "describe", "maze.hdf5", "--out", "sheet"],
        "sheet/datasheet.md exists already: add --force",
    )
    assert cli.main(["datasets", "describe", "maze.hdf5", "--out", "sheet", "--force"]) == 0
    capsys.readouterr()
    old = fastrl.load("maze.hdf5")
    np.savez("old.npz", observations=old.obs, actions=old.action, rewards=old.reward, terminals=0 * old.reward)
    refused(capsys, ["datasets", "describe", "old.npz"], "has no 'timeouts'; give the episode length (--horizon N")
    for words in (["describe", "old.npz"], ["export", "old.npz", "new.hdf5"]):
        assert cli.main(["datasets", *words, "--horizon", "5"]) == 0
    assert fastrl.load("new.hdf5").rows == 16
    capsys.readouterr()
    refused(capsys, ["datasets", "describe", "gone.hdf5"], "gone.hdf5: no such dataset")


def test_export_goes_both_ways(capsys):
    fastrl.save_d4rl(dataset(), "a.hdf5")
    assert cli.main(["datasets", "export", "a.hdf5", "mine/walk-v0"]) == 0
    assert "20 transitions, 4 finished trajectories, mean return 47.5" in capsys.readouterr().out
    assert minari.load_dataset("mine/walk-v0").total_steps == 20
    assert cli.main(["datasets", "export", "mine/walk-v0", "b.hdf5"]) == 0
    a, b = fastrl.load("a.hdf5"), fastrl.load("b.hdf5")
    for field in ("obs", "action", "reward", "mask", "next_obs", "boundary"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    assert cli.main(["datasets", "export", "a.hdf5", "new-v0", "--root", "elsewhere"]) == 0
    assert Path("elsewhere/new-v0/data/main_data.hdf5").is_file()
    capsys.readouterr()
    refused(capsys, ["datasets", "export", "a.hdf5", "b.hdf5"], "b.hdf5 exists already")
    refused(capsys, ["datasets", "export", "a.hdf5", "b"], "'b' is no Minari id")


def test_convert_asks_before_it_opens_a_pickle(capsys):
    items = np.empty(1, object)
    items[0] = {"observations": np.zeros((4, 2)), "actions": np.zeros((4, 1)), "rewards": np.array([-1, -1, 0, -1])}
    np.save("pen.npy", items)
    refused(capsys, ["datasets", "convert", "pen.npy", "pen.hdf5"], "add --allow-pickle")
    assert cli.main(["datasets", "convert", "pen.npy", "pen.hdf5", "--allow-pickle"]) == 0
    assert fastrl.load("pen.hdf5").mask.tolist() == [1, 1, 0]


def test_a_runs_options_name_its_dataset(capsys):
    fastrl.save_d4rl(dataset(), "a.hdf5")
    sha256 = hashlib.sha256(Path("a.hdf5").read_bytes()).hexdigest()
    parser = Parser(prog="fastrl run")
    datasets_cli.dataset_options(parser)
    words = [
        "--dataset",
        "a.hdf5",
        "--dataset-sha256",
        sha256,
        "--dataset-order",
        "b,a",
        "--download",
        "--next-observations",
        "file",
        "--actions",
        "environment",
    ]
    source = datasets_cli.source(parser.parse(words))
    assert (source.ref, source.sha256, source.order, source.download) == ("a.hdf5", sha256, ("b", "a"), True)
    assert (source.next_observations, source.actions) == ("file", "environment")
    assert source.cache == Path.home() / ".cache/fastrl/datasets"
    assert datasets_cli.source(parser.parse([])) is None
    words = ["pretrain", "bc", "--env", "probe-truncation", "--dataset", "a.hdf5", "--steps", "5"]
    refused(capsys, [*words, "--dataset-sha256", "00"], f"a.hdf5: has sha256 {sha256}, not 00")
    refused(capsys, [*words, "--dataset-order", "x"], "leave --dataset-order out")
