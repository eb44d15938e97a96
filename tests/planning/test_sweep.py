"""A grid of options: numbers as rows of one run, shapes and words as runs one after another."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastrl
from fastrl import presets
from fastrl.cli import options
from fastrl.config import RunOptions
from fastrl.methods import ALGORITHMS
from fastrl.planning import sweep
from fastrl.reports import plot, results
from fastrl.runs.progress import Progress
from fastrl.types import UserError

KINDS = (RunOptions, *ALGORITHMS.values())
SMALL = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "num_critics": 2, "utd": 2, "seeds": 2}
RUN = {"env": "probe-action", "steps": 80, "eval_every": 20, "eval_episodes": 2, **SMALL}


def quiet():
    return Progress(io.StringIO())


@dataclasses.dataclass(frozen=True)
class Counting(fastrl.Options):
    """Adds a number to its state at every update."""

    step: float = 0.5
    width: int = 1

    def build(self, spec):
        act = lambda state, obs, key, explore: jnp.zeros((*obs.shape[:-1], spec.action_size))
        init = lambda key: jnp.zeros(self.width)
        return fastrl.Algorithm(init, act, lambda state, batches, key, clock: (state + self.step, {}))


def own(builder):
    return builder.online(Counting(batch_size=8), warmup=20)


def test_a_number_of_ones_own_algorithm_is_a_row_of_one_run():
    given = {"env": "probe-action", "steps": 30, "eval_every": 30, "eval_episodes": 2, "seeds": 2}
    given["domain"] = presets.find("locomotion")
    (run,) = fastrl.sweep(own, {"step": [0.25, 2.0], "warmup": [20, 25]}, progress=quiet(), **given)
    updates = np.repeat([10, 5, 10, 5], 2)
    np.testing.assert_array_equal(run.state[:, 0], updates * np.repeat([0.25, 2.0], 4))


@pytest.mark.parametrize(
    ("recipe", "grid", "match"),
    [
        ("sac", {"utd": [1, 0]}, "--utd must be above 0, not 0"),
        ("o2ppo", {"rollout": [16, 20]}, "--rollout 20 must be a multiple of --batch-size 8"),
        ("sac", {"utd": [1, 2], "actor_lr": [1e-3, 0.0]}, "--actor-lr must be above 0, not 0.0"),
        ("sac", {"warmup": [20, 9_000]}, "--steps 6000 leaves nothing after the 9000 steps"),
        (own, {"step": [0.1, 0.2], "width": [1, 2]}, "--sweep width: .* numbers alone"),
        (own, {"step": [0.1, 0.2], "widht": [1, 2]}, "unknown option 'widht'"),
    ],
)
def test_no_point_runs_where_another_is_refused(tmp_path, recipe, grid, match):
    options = {name: value for name, value in {**RUN, "steps": 6_000}.items() if name not in grid}
    with pytest.raises(UserError, match=match):
        fastrl.sweep(recipe, grid, out=tmp_path / "run", progress=quiet(), **options)
    assert not (tmp_path / "run").exists() and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "run"
    grid = {"actor_lr": [1e-3, 3e-3], "warmup": [20, 40]}
    return fastrl.sweep("sac", grid, out=out, progress=quiet(), **RUN)


def test_a_point_is_the_run_alone_bit_for_bit(swept):
    (run,) = swept
    points = [(rate, warmup) for rate in (1e-3, 3e-3) for warmup in (20, 40)]
    assert run.returns.shape[0] == 2 * len(points)
    for number, (rate, warmup) in enumerate(points[1:], 1):  # the first and the last differ in both
        if number == 2:
            continue
        alone = fastrl.run("sac", actor_lr=rate, warmup=warmup, progress=quiet(), **RUN)
        rows = slice(2 * number, 2 * number + 2)
        for a, b in zip(jax.tree.leaves(run.state), jax.tree.leaves(alone.state), strict=True):
            np.testing.assert_array_equal(np.asarray(a)[rows], b)
        np.testing.assert_array_equal(run.returns[rows, -1], alone.returns[:, -1])
    different = jax.tree.leaves(run.state)[0]
    assert not np.array_equal(different[0], different[4])


def test_the_report_has_a_row_and_the_picture_a_curve_for_each_point(swept):
    (run,) = swept
    points = results.by_point(run.path)
    assert [point.label for point in points][:2] == ["actor_lr=0.001, warmup=20", "actor_lr=0.001, warmup=40"]
    np.testing.assert_array_equal(points[3].values, run.returns[6:8])
    page = (run.path / "report.md").read_text()
    assert page.count("| actor_lr=") == 4 and "Points of the sweep" in page
    assert plot.curves([run.path], run.path / "again.png").stat().st_size > 10_000


def test_shapes_run_one_after_another_and_say_so(tmp_path, quick):
    text = io.StringIO()
    given = {**RUN, "warmup": 20, "steps": 40}
    del given["utd"]
    grid = {"utd": [1, 2], "critic_lr": [1e-3, 1e-4]}
    runs = fastrl.sweep("sac", grid, out=tmp_path / "o", progress=Progress(text), **given)
    assert [run.agent.config.utd for run in runs] == [1, 2]
    assert all(run.returns.shape[0] == 4 for run in runs)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["utd=1", "utd=2"]
    assert "sweep: utd=2 (shapes and words run one after another)" in text.getvalue()


def test_values_have_the_type_of_their_option():
    found = options.grid(["actor_lr=1e-4,3e-4", "--critic-hidden=8x8,16", "warmup=0,5"], KINDS)
    assert found == {"actor_lr": [1e-4, 3e-4], "critic_hidden": [(8, 8), (16,)], "warmup": [0, 5]}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("actor_lr", "is not NAME=V1,V2"),
        ("actor_lt=1,2", "actor_lr"),
        ("actor_lr=fast,slow", "'fast' is not a number"),
    ],
)
def test_a_wrong_word_is_one_line(word, message):
    with pytest.raises(UserError, match=message):
        options.grid([word], KINDS)


def test_a_grid_needs_different_values():
    with pytest.raises(UserError, match="two or more different values"):
        sweep.check({"actor_lr": [1e-3, 1e-3]})
    given = {name: value for name, value in RUN.items() if name != "utd"}
    with pytest.raises(UserError, match="rows of one run cannot differ in it"):
        fastrl.run("sac", sweep={"utd": [1, 2]}, warmup=20, **given)
