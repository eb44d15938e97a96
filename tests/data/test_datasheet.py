"""The datasheet's numbers, by hand, and its picture."""

import numpy as np
import pytest

from fastrl.data import datasets, datasheet, export
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.types import UserError


def written(folder, name, root=None):
    """Trajectories of 2, 3 and 4 rows with a return of 1 a row, and a tail of 1."""
    obs = np.arange(11.0)[:, None] * [1, 2]
    boundary = np.isin(np.arange(10), (1, 4, 8))
    mask = np.arange(10) != 4
    data = Dataset.from_arrays(obs[:-1], np.linspace(-1, 1, 10)[:, None], np.ones(10), mask, obs[1:], boundary)
    if root:
        return export.save_minari(data, name, folder)
    export.save_d4rl(data, folder / name)
    return folder / name


def test_a_page_says_what_the_rows_are(tmp_path):
    source = Source(written(tmp_path, "walk.hdf5"))
    data = datasets.open_source(source)
    page = datasheet.page(source, data)
    for line in (
        "# walk",
        f"`{tmp_path / 'walk.hdf5'}`, read as d4rl, sha256 `{data.sha256}`.",
        "| rows | 10 |",
        "| finished trajectories | 3 |",
        "| rows of an unfinished tail | 1 |",
        "| terminal rows | 1 |",
        "| reward | 1 (10 rows) |",
        "| actions at a bound | 20.0 % |",
        "| raw return | 2.0 | 3.0 | 3.0 | 4.0 |",
        "| length | 2.0 | 3.0 | 3.0 | 4.0 |",
        "- every reward is 1; nothing to improve on",
    ):
        assert line in page.splitlines(), line
    assert "no checksums" not in page and "score" not in page
    assert datasheet.row(source) == (str(source.ref), "d4rl", "10", "3", "3.0", "4.0", "raw return")


@pytest.mark.parametrize(
    ("timeouts", "terminals", "named", "said"),
    [
        ([2, 6], [4], False, "3 of 10, WHY: 2 timed out, 1 is the last of the file"),
        ([2, 9], [], False, "2 of 10, WHY: 2 timed out"),
        ([2], [2, 9], False, ""),  # terminal and timed out at once counts as terminal
        (
            [],
            [],
            True,
            "1 of 10, WHY: 1 is the last of the file; --next-observations file keeps them",
        ),
    ],
)
def test_rows_that_the_reader_dropped_are_counted(tmp_path, timeouts, terminals, named, said):
    said = said.replace("WHY", "as no row of their episode follows")
    flags = {"timeouts": np.isin(np.arange(10), timeouts), "terminals": np.isin(np.arange(10), terminals)}
    place = np.arange(11.0)[:, None]
    columns = {"observations": place[:-1], "actions": np.zeros((10, 1)), "rewards": np.ones(10), **flags}
    np.savez(tmp_path / "a.npz", **columns, **({"next_observations": place[1:]} if named else {}))
    source = Source(tmp_path / "a.npz")
    data = datasets.open_source(source)
    lines = datasheet.page(source, data).splitlines()
    assert f"| rows | {data.rows} |" in lines and data.dropped == said
    found = [line for line in lines if "left out" in line]
    assert found == ([f"| rows of the file left out | {said} |"] if said else [])
    assert data.rows == 10 - int(said.partition(" ")[0] or 0)
    if named:
        kept = Source(tmp_path / "a.npz", next_observations="file")
        assert "left out" not in datasheet.page(kept, datasets.open_source(kept))


def test_runs_of_terminals_are_said_and_short_episodes_are_none(tmp_path):
    obs, ends = np.arange(9.0)[:, None], np.isin(np.arange(8), (0, 2, 3, 5))

    def page(terminal):
        data = Dataset.from_arrays(obs[:-1], np.zeros((8, 1)), np.ones(8), ~terminal, obs[1:], ends | terminal)
        export.save_d4rl(data, tmp_path / f"{terminal.sum()}.hdf5")
        return "\n".join(datasheet._remarks(Source(tmp_path / f"{terminal.sum()}.hdf5"), data))

    assert "run of terminals" not in page(np.arange(8) == 5)  # two episodes of one row are cut
    assert "2 trajectories are one row of a run of terminals" in page(np.isin(np.arange(8), (5, 6, 7)))


def test_scores_and_missing_checksums_are_said(tmp_path):
    source = Source(written(tmp_path, "hopper-medium-v2.hdf5"))
    assert "D4RL score" not in datasheet.page(source, datasets.open_source(source))  # anybody can name a file so
    source = Source(written(tmp_path, "D4RL/door/human-v2", root=True))
    assert "| D4RL score | 2.0 | 2.0 | 2.0 | 2.1 |" in datasheet.page(source, datasets.open_source(source))
    assert datasheet.row(source)[-1] == "2.0"  # (3 + 56.51) / (2880.57 + 56.51)
    source = Source(written(tmp_path, "walks/slow-v0", root=True))
    page = datasheet.page(source, datasets.open_source(source))
    assert page.startswith("# walks/slow-v0\n") and "no checksums" in page
    np.savez(tmp_path / "walk.npz", **export.columns(datasets.open_source(source)))
    source = Source(tmp_path / "walk.npz")
    assert "no checksums" not in datasheet.page(source, datasets.open_source(source))


def test_data_without_an_end_has_a_picture(tmp_path):
    open_ended = datasets.open_source(Source(written(tmp_path, "walk.hdf5"))).only(slice(0, 1))
    assert datasheet.picture(open_ended, False)[:4] == b"\x89PNG"


@pytest.mark.parametrize(("name", "panels"), [("walk.hdf5", 2), ("pointmaze-walk.hdf5", 3)])
def test_the_picture_and_the_page_are_never_overwritten(tmp_path, name, panels):
    source = Source(written(tmp_path, name))
    data = datasets.open_source(source)
    datasheet.write(source, data, tmp_path / "out")
    image = (tmp_path / "out" / datasheet.PICTURE).read_bytes()
    assert image[:4] == b"\x89PNG" and int.from_bytes(image[16:20]) == panels * 600
    assert (tmp_path / "out" / datasheet.PAGE).read_text().startswith(datasheet.page(source, data))
    with pytest.raises(UserError, match=r"datasheet.md exists already: add --force"):
        datasheet.write(source, data, tmp_path / "out")
    (tmp_path / "out" / datasheet.PAGE).write_text("old")
    datasheet.write(source, data, tmp_path / "out", force=True)
    assert (tmp_path / "out" / datasheet.PAGE).read_text().startswith("# ")
    with pytest.raises(UserError, match=r"cannot be written .*; name another folder"):
        datasheet.write(source, data, source.find()[1])  # a file
