import json
import pickle

import numpy as np
import pytest

from fastrl import statistics
from fastrl.types import UserError

SCORES = {
    "wsrl": np.arange(6.0).reshape(3, 2),
    "file": np.full((5, 2), 0.25),  # a name that np.savez would not take
    "Cal-QL (online)": np.ones((1, 2)),
}


@pytest.mark.parametrize("name", ["scores.npz", "scores.json", "scores.npy"])
def test_what_is_written_is_read_again(tmp_path, name):
    for scores in (SCORES, {"wsrl": np.zeros((2, 3, 4))}):
        path = statistics.save(tmp_path / name, scores)
        found = statistics.load(path)
        assert list(found) == list(scores)
        assert all(np.array_equal(found[each], scores[each]) for each in scores)
    assert [each.name for each in tmp_path.iterdir()] == [name]  # written whole, nothing beside it


def test_others_read_what_is_written_and_the_other_way_round(tmp_path):
    statistics.save(tmp_path / "a.npz", SCORES)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == list(SCORES) and np.array_equal(archive["file"], SCORES["file"])
    statistics.save(tmp_path / "a.npy", SCORES)
    found = np.load(tmp_path / "a.npy", allow_pickle=True).item()
    assert np.array_equal(found["wsrl"], SCORES["wsrl"])
    np.savez(tmp_path / "b.npz", wsrl=SCORES["wsrl"])
    mixed = {"wsrl": np.float32(SCORES["wsrl"]), "listed": [[1, 2], [3, np.float64(4)]]}
    np.save(tmp_path / "b.npy", mixed, allow_pickle=True)
    (tmp_path / "b.json").write_text(json.dumps({"wsrl": SCORES["wsrl"].tolist()}))
    for name in ("b.npz", "b.npy", "b.json"):
        assert np.array_equal(statistics.load(tmp_path / name)["wsrl"], SCORES["wsrl"])
    assert statistics.load(tmp_path / "b.npy")["listed"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_older_and_newer_pickles_of_a_dictionary_are_read(tmp_path, protocol):
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(np.array(SCORES, dtype=object), file, protocol=protocol)
    assert np.array_equal(statistics.load(tmp_path / "a.npy")["wsrl"], SCORES["wsrl"])


class Planted:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('planted').touch()",)


def test_a_pickle_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array({"wsrl": Planted()}, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"a\.npy holds no scores \(it names builtins\.exec, which is no array\)"):
        statistics.load("a.npy")
    assert not (tmp_path / "planted").exists()


def test_damaged_missing_and_wrong_files_are_one_line(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((2, 2)))
    (tmp_path / "short.npy").write_bytes((tmp_path / "one.npy").read_bytes()[:5])
    for name in ("bad.npz", "bad.json", "bad.npy"):
        (tmp_path / name).write_bytes(b"\x00 not scores")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "words.json").write_text('{"wsrl": [["a"]]}')
    (tmp_path / "ragged.json").write_text('{"wsrl": [[1, 2], [3]]}')
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match="holds no scores"):
            statistics.load(path)
    with pytest.raises(UserError, match=r"no\.npz cannot be read \(No such file"):
        statistics.load(tmp_path / "no.npz")
    with pytest.raises(UserError, match="one of these endings"):
        statistics.load(tmp_path / "scores.csv")


def test_scores_that_do_not_fit_together_are_refused(tmp_path):
    path = tmp_path / "scores.npz"
    for scores, words in (
        ({}, "at least one algorithm"),
        ({"wsrl": np.zeros(3)}, r"it must be \[runs, tasks\]"),
        ({"wsrl": np.zeros((3, 2)), "rlpd": np.zeros((3, 4))}, "they differ"),
    ):
        with pytest.raises(UserError, match=words):
            statistics.save(path, scores)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be written"):
        statistics.save(tmp_path / "no" / "scores.npz", SCORES)
