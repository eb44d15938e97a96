"""The bad inputs: each has one thing wrong, and what is told of it in another way, or not at all, is counted."""

import h5py
import pytest

from fastrl.benchmarks.reliability import brief, errors
from fastrl.data import datasets
from fastrl.types import UserError


@pytest.mark.parametrize("name", errors.DATASETS)
def test_each_bad_dataset_is_refused(name, tmp_path):
    change, named = errors.DATASETS[name]
    good, path = errors.columns(), tmp_path / "bad.hdf5"
    bad = change(good)
    same = good.keys() & bad.keys()
    different = [key for key in good if key not in same or str(good[key].tolist()) != str(bad[key].tolist())]
    assert len(different) == (5 if name == "no row" else 1)
    with h5py.File(path, "w") as file:
        for key, column in bad.items():
            file[key] = column
    if "of another size" in name:  # only beside an environment
        datasets.load(path)
        return
    with pytest.raises(UserError) as caught:
        datasets.load(path)
    assert all(word in str(caught.value) for word in (*named, "bad.hdf5"))


def test_the_good_dataset_is_good(tmp_path):
    with h5py.File(tmp_path / "good.hdf5", "w") as file:
        for key, column in errors.columns().items():
            file[key] = column
    assert datasets.load(tmp_path / "good.hdf5").rows > 40


@pytest.mark.parametrize(
    ("code", "said", "good"),
    [
        (2, "fastrl: x.hdf5: 'rewards' is wrong\n", True),
        (2, "fastrl: x.hdf5: something is wrong\n", False),
        (1, "fastrl: x.hdf5: 'rewards' is wrong\n", False),
        (2, "Traceback\nfastrl: x.hdf5: 'rewards' is wrong\n", False),
        (0, "x.hdf5: 'rewards' are constant\n", False),
    ],
)
def test_an_answer_is_judged(code, said, good, tmp_path, monkeypatch):
    monkeypatch.setattr(brief, "told", lambda *words: brief.Answer(code, said, 0.1))
    row = errors.case("a name", ["pretrain"], ("rewards",), tmp_path, "x.hdf5")
    assert row["good"] == good and errors.counted([row])[1] == good
    assert errors.case("a name", ["pretrain"], ("rewards",), tmp_path, "x.hdf5", doubt=True)["good"] == (
        good or code == 0
    )
