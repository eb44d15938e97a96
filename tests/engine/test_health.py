import dataclasses
import io
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.collect import experience
from fastrl.engine import enter, health
from fastrl.engine.run import Diverged
from fastrl.envs import TimeLimit
from fastrl.reports import plot, report
from fastrl.reports.results import load
from fastrl.runs import digests
from fastrl.runs.checkpoint import Checkpoints
from fastrl.runs.progress import Progress
from fastrl.types import Spec, Step, UserError

pytestmark = pytest.mark.usefixtures("quick")


def test_a_leaf_that_is_not_finite_is_seen_in_its_seed_alone():
    tree = {"a": jnp.ones((3, 2, 2)).at[1, 0, 1].set(jnp.nan), "b": jnp.arange(3), "c": jnp.zeros(3).at[2].set(jnp.inf)}
    assert health.finite(tree).tolist() == [True, False, False]


def test_the_first_step_counts_and_every_number_of_it():
    found = health.start(3)
    for step, (a, b) in enumerate([((1, 1, 1), (1, 1, 1)), ((1, 0, 1), (1, 0, 1)), ((0, 0, 1), (1, 1, 1))]):
        checks = {"observation": jnp.array(a, bool), "critic/loss": jnp.array(b, bool)}
        found = health.examine(found, checks, jnp.int32(step))
    assert found.bad.tolist() == [1, 3, 0] and found.step.tolist() == [2, 1, 0]
    assert found.good.tolist() == [False, False, True]


def test_more_checks_than_bits_share_the_last_one():
    checks = {f"m{n}": jnp.array([n not in (31, 35), True]) for n in range(40)}
    assert health.examine(health.start(2), checks, jnp.int32(4)).bad.tolist() == [1 << 30, 0]


def test_what_was_played_comes_before_what_was_learnt():
    names = health.names({"steps": 0, "rollout/return": 0, "critic/loss": 0, "actor/loss": 0}, online=True)
    assert names == ["action", "observation", "reward", "actor/loss", "critic/loss", health.AGENT]
    what, remedy = health.cause(0b111110, names)
    assert what == "observation, reward" and "simulation broke" in remedy
    what, remedy = health.cause(0b110000, names)
    assert what == "critic/loss" and "lower a learning rate" in remedy
    assert health.cause(0b100000, names)[0] == health.AGENT
    assert "lower a learning rate" in health.cause(0b000001, names)[1]  # the policy chose it


SPEC = Spec("fragile", 1, 1, horizon=100)


@dataclasses.dataclass(frozen=True)
class Fragile:
    """Observes a number drawn at the start; above `limit` the observation breaks at the 13th step."""

    limit: float
    spec: Spec = SPEC

    def reset(self, key):
        draw = jax.random.uniform(key)
        return (draw, jnp.int32(0)), draw[None]

    def step(self, key, state, action):
        del key, action
        draw, time = state
        broken = (time >= 12) & (draw > self.limit)
        no = jnp.bool_(False)
        return (draw, time + 1), Step(jnp.where(broken, jnp.nan, draw)[None], draw, no, no)


def plan(plan_of, limit, **options):
    return plan_of("sac", TimeLimit(Fragile(limit), 100), None, seeds=3, steps=60, warmup=20, **options)


@pytest.fixture(scope="module")
def limit(plan_of, driver_of):
    """Between the highest first draw and the second: one seed breaks."""
    draws = np.asarray(driver_of(plan(plan_of, 2.0))._enter(0, None).seeds.env.obs).ravel()
    return float(np.sort(draws)[-2:].mean()), int(draws.argmax())


def leaves(outcome, leaves_of, seeds):
    return {k: v[seeds] for k, v in leaves_of(outcome.carry).items() if k.startswith(("seeds.agent", "ring.rows"))}


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_one_seed_is_frozen_and_the_others_keep_their_bits(plan_of, execute, leaves_of, limit, mode):
    bound, lost = limit
    others = [seed for seed in range(3) if seed != lost]
    with jax.debug_key_reuse(mode == "sequential"):
        whole = execute(plan(plan_of, 2.0, map_seeds=mode))
        text = io.StringIO()
        broken = execute(plan(plan_of, bound, map_seeds=mode), None, Progress(text))
    a, b = leaves(whole, leaves_of, others), leaves(broken, leaves_of, others)
    assert a.keys() == b.keys() and len(a) > 10
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    (row,) = [row for row in broken.rows if row["kind"] == "frozen"]
    assert (row["seed"], row["at"], row["phase"], row["what"]) == (lost, 13, "warmup", "observation")
    assert f"seed {lost}: not finite at step 13 of warmup: observation; the environment's" in text.getvalue()
    found = leaves_of(broken.carry)
    assert all(np.isfinite(v).all() for v in found.values() if v.dtype.kind == "f")
    rows = found["ring.rows"][lost]
    assert (rows[:12, 0] > bound).all() and not rows[12:].any()
    for kind, name in (("train", "rollout/return"), ("eval", "return"), ("train", "critic/loss")):
        last = [row for row in broken.rows if row["kind"] == kind][-1][name]
        if name != "rollout/return":  # no episode ends
            assert np.isnan(last[lost]) and np.isfinite(np.array(last)[others]).all()


def test_frozen_at_the_last_good_update_whatever_the_chunk_and_across_a_resume(plan_of, execute, limit, tmp_path):
    bound, lost = limit
    reference = execute(plan(plan_of, bound), tmp_path / "whole")
    once = execute(plan(plan_of, bound, chunk=2))
    assert digests.total(once.carry) == digests.total(reference.carry)

    class Stop(Progress):
        def update(self, done, note=""):
            if done == 15:  # after the freezing and before it is logged
                signal.raise_signal(signal.SIGTERM)

    stopped = plan(plan_of, bound, chunk=5)
    with pytest.raises(Exception, match="stopped by signal"):
        execute(stopped, tmp_path / "cut", Stop(io.StringIO()))
    again = execute(stopped, tmp_path / "cut")
    assert digests.total(again.carry) == digests.total(reference.carry)
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    identity = {"phases": [{"steps": 20, "online": True}, {"steps": 40, "online": True}], "num_envs": 1}
    config = {"format": 1, "identity": {**identity, "reward_bias": 0.0, "reward_scale": 1.0}}
    (tmp_path / "whole/config.json").write_text(json.dumps(config))
    told = []
    assert experience.load(tmp_path / "whole", None, told.append).rows == 2 * 60
    assert told == [f"{tmp_path / 'whole'}: left out are the frozen seeds: {lost}"]
    with pytest.raises(UserError, match=f"seed {lost} is frozen"):
        experience.load(tmp_path / "whole", lost, told.append)
    found = load(tmp_path / "whole")
    assert found.seeds == [seed for seed in range(3) if seed != lost]
    assert np.isfinite(found.values).all() and found.values.shape[0] == 2
    text = report.write_report(tmp_path / "whole").read_text()
    assert (
        f"| left out: seed {lost} | frozen at its last good update; not finite at step 13 of warmup: observation |"
        in text
    )
    assert f"| {lost} | frozen |" in text
    assert f"2 (seed {lost} frozen)" in report.table([tmp_path / "whole"])


def test_a_learning_rate_that_is_too_large_is_the_cause_named(plan_of, execute):
    """All seeds diverge: nothing is left to go on, and the environment is not blamed."""
    with pytest.raises(Diverged, match=r"every seed is frozen.* of finetune: .*; lower a learning rate") as caught:
        execute(plan_of("sac", "probe-action", critic_lr=1e30, actor_lr=1e30))
    assert "environment" not in str(caught.value) and "observation" not in str(caught.value)
    with pytest.raises(Diverged, match=r"^seed 0: not finite at step .* of finetune: .*; lower a learning rate"):
        execute(plan_of("sac", "probe-action", seeds=1, critic_lr=1e30, actor_lr=1e30))


def test_of_one_seed_nothing_bad_is_saved(plan_of, execute, leaves_of, tmp_path):
    """Its bad step is not undone, so what was saved before it has to stay the newest."""
    plan = plan_of("sac", "probe-action", seeds=1, critic_lr=1e30, actor_lr=1e30)
    with pytest.raises(Diverged, match=r"^seed 0: not finite"):
        execute(dataclasses.replace(plan, checkpoint_minutes=0.0, chunk=5), tmp_path)
    kept = Checkpoints(tmp_path / "checkpoints").restore(lambda meta: enter.template(plan, meta["phase"], None), print)
    assert kept is not None and kept.carry.seeds.health.good.all()
    assert all(np.isfinite(leaf).all() for leaf in leaves_of(kept.carry.seeds.agent).values())


def test_stop_ends_the_run_at_the_first_seed(plan_of, execute, limit):
    with pytest.raises(Diverged, match=f"^seed {limit[1]}: not finite at step 13 of warmup: observation"):
        execute(plan(plan_of, limit[0], on_nan="stop"))


def test_a_frozen_seed_is_what_it_was_before(plan_of, driver_of, leaves_of):
    """A critic that starts so large that its first loss is no number."""
    driver = driver_of(plan_of("sac", "probe-action", warmup=10, steps=40))
    carry = driver._phase(0, driver._enter(0, None))
    carry = driver._enter(1, carry)
    critic = carry.seeds.agent.critic
    huge = dataclasses.replace(critic, params=jax.tree.map(lambda x: x.at[1].set(3e38), critic.params))
    agent = dataclasses.replace(carry.seeds.agent, critic=huge)
    carry = dataclasses.replace(carry, seeds=dataclasses.replace(carry.seeds, agent=agent))
    before = leaves_of(carry.seeds.agent)
    after = leaves_of(driver._phase(1, carry).seeds.agent)
    for name in before:
        np.testing.assert_array_equal(after[name][1], before[name][1], err_msg=name)
    assert any((after[name][0] != before[name][0]).any() for name in before)


def test_the_picture_shows_where_a_seed_was_lost(tmp_path):
    rows = [
        {
            "kind": "eval",
            "phase": "finetune",
            "step": n,
            "online": n,
            "offline": 0,
            "return": [n, None if n > 20 else 5],
        }
        for n in range(0, 50, 10)
    ]
    lost = {"kind": "frozen", "phase": "finetune", "step": 30, "online": 30, "offline": 0, "seed": 1, "at": 23}
    rows.insert(3, {**lost, "what": "critic/loss"})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = load(tmp_path).frozen
    assert found.seed == 1 and found.why == "not finite at step 23 of finetune: critic/loss"
    np.testing.assert_array_equal(found.values, [5, 5, 5, np.nan, np.nan])
    first = plot.curves([tmp_path], tmp_path / "a.png").read_bytes()
    rows = [{**row, "return": row["return"][:1]} for row in rows if row["kind"] == "eval"]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert plot.curves([tmp_path], tmp_path / "b.png").read_bytes() != first
