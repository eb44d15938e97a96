"""A run's replay, as a dataset, against the ring itself and against what its environments did."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.collect import experience
from fastrl.replay import ring as replay
from fastrl.runs.checkpoint import Checkpoints
from fastrl.runs.folder import write_json
from fastrl.types import Transition, UserError

SCALE, BIAS = 10.0, -5.0


def saved(path, environments, capacity, prefilled, steps, phase=1):
    """A run folder whose ring saw `steps` steps of each environment; episodes of 4 steps, rows numbered in `obs`."""
    ring = replay.create(2, capacity, 2, 1)

    def rows(lane, step, seed):
        obs = np.array([1000 * lane + step + (step // 4) * 100, seed], np.float32)  # jumps between episodes
        return Transition(obs, np.zeros(1), (lane + step) * SCALE + BIAS, 1.0, obs + np.float32([1, 0]), 0.0, 0.0)

    def insert(ring, written):
        packed = [[np.asarray(replay.pack(_arrays(rows(*w, seed)))) for w in written] for seed in range(2)]
        return replay.advance(replay.insert(ring, jnp.asarray(packed)), len(written))

    if prefilled:
        ring = insert(ring, [(9, step) for step in range(prefilled)])
    for step in range(steps):
        ring = insert(ring, [(lane, step) for lane in range(environments)])
    carry = {"ring": ring, "seeds": {"env": {"obs": jnp.zeros((2, environments, 2))}}, "step": jnp.int32(steps)}
    Checkpoints(path / "checkpoints").save(steps, carry, {"phase": phase})
    phases = [{"steps": 7, "online": False}, {"steps": 10_000, "online": True}]
    identity = {"reward_scale": SCALE, "reward_bias": BIAS, "num_envs": environments, "phases": phases}
    write_json(path / "config.json", {"identity": identity})
    return path


def _arrays(transition):
    return Transition(
        **{f.name: jnp.asarray(getattr(transition, f.name), jnp.float32) for f in dataclasses.fields(transition)}
    )


def numbers(data):
    """(lane, step) of every row, out of its observation and its raw reward."""
    lane = data.obs[:, 0].astype(int) // 1000
    return list(zip(lane.tolist(), (data.reward - lane).round().astype(int).tolist(), strict=True))


def load(path, seed):
    return experience.load(path, seed, pytest.fail)


@pytest.mark.parametrize(
    ("environments", "capacity", "prefilled", "steps"), [(1, 50, 0, 9), (1, 10, 0, 23), (3, 60, 7, 9), (3, 20, 7, 11)]
)
def test_rows_come_back_raw_environment_after_environment(tmp_path, environments, capacity, prefilled, steps):
    path = saved(tmp_path, environments, capacity, prefilled, steps)
    written = [(9, step) for step in range(prefilled)]
    written += [(lane, step) for step in range(steps) for lane in range(environments)]
    held = written[-capacity:]
    played = [row for row in held if row[0] != 9]
    played = played[len(played) % environments :]
    want = [row for row in held if row[0] == 9]
    want += [row for lane in range(environments) for row in played if row[0] == lane]
    for seed in range(2):
        data = load(path, seed)
        assert numbers(data) == want and (data.obs[:, 1] == seed).all()
        ends = [a[0] != b[0] or a[1] % 4 == 3 for a, b in itertools.pairwise(want)]
        assert data.boundary[:-1].tolist() == ends
    both = load(path, None)
    assert numbers(both) == want * 2 and (both.obs[len(want) :, 1] == 1).all()


def test_what_has_no_ring_is_one_line(tmp_path):
    path = saved(tmp_path, 1, 10, 0, 5)
    with pytest.raises(UserError, match="has seeds 0 to 1, not 2"):
        load(path, 2)
    Checkpoints(path / "checkpoints").save(6, {"step": jnp.int32(1)}, {"phase": 0})
    with pytest.raises(UserError, match="has no replay"):
        load(path, 0)
