from pathlib import Path

import numpy as np
import pytest

import fastrl
from fastrl.cli import advise
from fastrl.cli import main as cli
from fastrl.data import d4rl

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def in_process(monkeypatch, tmp_path):
    """Commands run here, in an empty folder; jax is set up by the tests already."""
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.chdir(tmp_path)


def write(path, data):
    columns = {"observations": data.obs, "actions": data.action, "rewards": data.reward}
    columns |= {"terminals": data.mask == 0, "timeouts": data.boundary & (data.mask == 1)}
    d4rl.write(Path(path), {**columns, "next_observations": data.next_obs})


def agent(env, config=None):
    data = fastrl.load("d.hdf5")
    config = config or fastrl.SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2, batch_size=8)
    return fastrl.pretrain(config, data, steps=5, env=env, eval_episodes=2)


def test_measurements_and_advice_are_printed(capsys, probe_data):
    write("d.hdf5", probe_data("probe-termination"))
    agent("probe-termination").save("a")
    capsys.readouterr()
    assert cli.main(["advise", "a", "--dataset", "d.hdf5", "--episodes", "3"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("sac of a (1 seed) on probe-termination; d.hdf5 has 40 rows in 8 trajectories")
    assert "playing probe-termination" in error and max(map(len, out.splitlines())) <= 120
    for words in (
        "mode: return",
        "coverage: ",
        "critic on own episodes: Q",
        "TD error",
        "retention: nothing here favours",
    ):
        assert words in out
    assert out.count("not tested here") == 3


def test_bad_input_is_one_line(capsys, probe_data):
    write("d.hdf5", probe_data("probe-termination"))
    wide = probe_data("probe-termination")
    agent("probe-termination").save("a")
    from_arrays = fastrl.Dataset.from_arrays
    wide = from_arrays(np.zeros((5, 3)), np.ones((5, 1)) / 2, np.ones(5), np.ones(5), np.zeros((5, 3)))
    write("wide.hdf5", wide)
    capsys.readouterr()
    cases = {
        ("a",): "--dataset is missing",
        ("nowhere", "--dataset", "d.hdf5"): "nowhere holds no agent",
        ("a", "--dataset", "missing.hdf5"): "missing.hdf5",
        ("a", "--dataset", "wide.hdf5"): "observations have size 3 but probe-termination has 1",
        ("a", "--dataset", "d.hdf5", "--env", "pointmaze-umaze"): "the agent is of probe-termination",
        ("a", "--dataset", "d.hdf5", "--episodes", "1"): "--episodes must be at least 2",
    }
    for words, match in cases.items():
        assert cli.main(["advise", *words]) == 2
        out, error = capsys.readouterr()
        assert out == "" and len(error.splitlines()) == 1 and match in error, error


def test_numbers_of_several_seeds_have_their_range():
    assert advise.spanned(np.array([1.0, 2.0]), ".1f", " %") == "1.5 % (seeds 1.0 to 2.0)"
    assert advise.spanned(np.array([1.0]), ".1f") == "1.0"
    assert advise.earned(np.array([[0.0, 1.0], [1.0, 1.0]]), True).endswith("%], seeds 50.0 % to 100.0 %")
    assert advise.earned(np.array([[10.0, 20.0, 15.0]]), False).startswith("return 15.0 [")
