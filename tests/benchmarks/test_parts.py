"""Counts of the parts by hand, and what they compute in a small size; nothing here is timed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.benchmarks import ceilings, flops, replay, startup
from fastrl.replay import ring as rings


def test_bytes_of_an_insert_and_a_draw():
    numbers = 11 + 3 + 11 + 4  # obs, action, next obs, and reward, mask, return, last
    assert replay.megabytes(1) == pytest.approx(1025 * numbers * 4 * 2 / 1e6)
    assert replay.megabytes(8) == pytest.approx(8 * replay.megabytes(1))


def test_the_ring_is_written_and_read():
    ring = rings.advance(rings.create(2, 8, replay.OBS, replay.ACTION), 8)
    after, drawn = jax.jit(replay.program(3))(ring, jax.random.key(0))
    written = np.asarray(after.rows)
    assert int(after.pointer) == 3
    assert (written[:, 1] == 1).all() and (written[:, 2] == 2).all() and (written[:, 3:] == 0).all()
    last = np.asarray(drawn)  # of rows that are all 0, 1 or 2
    assert last.shape == (2, replay.DRAWN, written.shape[-1]) and (last == last[..., :1]).all()
    assert all(set(np.unique(seed)) == {0, 1, 2} for seed in last)


def test_published_bytes():
    locomotion = flops.Shape(17, 6)
    critics, actor = flops.parameters(locomotion)
    assert (critics, actor) == (732_170, 74_508)
    assert 32 * critics / 1e6 == pytest.approx(23.4, abs=0.05)
    antmaze = flops.Shape(29, 8, critic_layers=4, heads=1, backup_actions=10)
    assert flops.parameters(antmaze) == (2_094_090, 76_552)
    rows = 4 * 256 * 4 * (17 + 17 + 6 + 4)
    assert flops.learner_bytes(locomotion) == 4 * 32 * critics + 24 * actor + rows
    assert flops.loop_bytes(locomotion) == flops.learner_bytes(locomotion) + rows + 8 * (17 + 17 + 6 + 4)
    assert flops.loop_step(locomotion) == flops.learner_step(locomotion) + 145_920
    assert flops.learner_bytes(dataclasses.replace(locomotion, utd=1)) < flops.learner_bytes(locomotion)


def test_rates_are_shares_of_the_ceilings():
    most = {"sgemm_gflops": 100.0, "copy_gigabytes_per_second": 20.0}
    found = ceilings.rates(2.0, 40.0, 50.0, most)
    assert found == {"gflops": 40.0, "sgemm_fraction": 0.4, "copy_fraction": 0.04}


def test_ceilings_are_medians_over_rounds(monkeypatch):
    monkeypatch.setattr(ceilings, "SIZE", 8)
    monkeypatch.setattr(ceilings, "FLOATS", 16)
    found = ceilings.Ceilings()
    assert found.products == found.copies == []
    found.round()
    assert (len(found.products), len(found.copies)) == (2, 3)
    found.products, found.copies = [1e-6, 2e-6, 9e-6], [4e-9]
    assert found.found() == {
        "sgemm_gflops": round(2 * 8**3 / 2e-6 / 1e9, 1),
        "copy_gigabytes_per_second": round(8 * 16 / 4e-9 / 1e9, 2),
    }


def test_what_is_traced_inside_another_counts_once():
    assert startup.length([(0.0, 4.0), (1.0, 2.0), (3.0, 5.0), (7.0, 8.0)]) == 6.0
    assert startup.length([]) == 0.0


def test_the_start_is_split_without_a_rest_that_is_counted_twice():
    clock = startup.Clock(100.0)
    clock.imported, clock.update_began, clock.first = 103.0, 119.0, 120.0
    clock.spans = [
        ("trace", 104.0, 108.0, "pretrain: steps", "run"),
        ("trace", 105.0, 106.0, "pretrain: steps", "inner"),
        ("lower", 107.0, 109.0, "pretrain: steps", "run"),
        ("compile", 109.0, 114.0, "finetune: steps", "jit(run)"),
    ]
    found = clock.found()
    assert [found[f"{name}seconds"] for name in ("", "import_", "trace_", "lower_", "compile_")] == [20, 3, 4, 1, 5]
    assert found["rest_seconds"] == 7
    assert found["first_call_seconds"] == 1
    assert found["longest"][0] == ["compile", "finetune: steps", "jit(run)", 5.0]


def test_the_clock_stops_at_the_first_update():
    clock = startup.Clock(0.0)
    clock.heard("/jax/core/compile/backend_compile_duration", 1.0, fun_name="f")
    clock.heard(startup.KEPT, 1.0)
    clock.first = 1.0
    clock.heard("/jax/core/compile/backend_compile_duration", 1.0, fun_name="g")
    clock.heard(startup.KEPT, 1.0)
    assert [span[-1] for span in clock.spans] == ["f"] and clock.kept == 1


def test_the_dataset_of_the_start_has_hoppers_sizes(tmp_path):
    from fastrl.data import datasets

    startup.dataset(tmp_path / "random.hdf5")
    found = datasets.load(str(tmp_path / "random.hdf5"))
    assert found.obs.shape[1:] == (11,) and found.action.shape[1:] == (3,)
    assert jnp.asarray(found.boundary).sum() == startup.ROWS / 100
