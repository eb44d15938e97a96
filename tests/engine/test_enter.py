import dataclasses

import jax
import numpy as np
import pytest

from fastrl.engine.enter import template
from fastrl.runs import digests

pytestmark = pytest.mark.usefixtures("quick")


def shapes(tree):
    return {path: digests.describe(leaf) for path, leaf in digests.leaves(tree).items()}


@pytest.fixture(scope="module")
def crossed(plan_of, driver_of, quick):
    """Carries of every phase of WSRL and of Cal-QL with the data in the ring, as they are entered."""
    found = {}
    for name, options in {"wsrl": {}, "calql": {"retention": "append"}}.items():
        driver, carry = driver_of(plan_of(name, **options)), None
        carries = []
        for number in range(3):
            carry = driver._enter(number, carry)
            # Entering donates the ring of the carry before.
            carries.append(jax.tree.map(lambda x: x.copy(), carry))
        found[name] = (driver, carries)
    return found


def test_the_template_is_the_carry_of_every_phase(crossed):
    for driver, carries in crossed.values():
        for number, carry in enumerate(carries):
            abstract = template(driver.plan, number, driver.data)
            assert shapes(abstract) == shapes(carry)
            assert jax.tree.structure(abstract) == jax.tree.structure(carry)


def test_wsrl_keeps_every_field_that_both_agents_have(crossed):
    _, (offline, warmup, finetune) = crossed["wsrl"]
    names = {field.name for field in dataclasses.fields(warmup.seeds.agent)}
    kept = names & {field.name for field in dataclasses.fields(offline.seeds.agent)}
    assert kept == names == {"actor", "critic", "temperature"}
    for name in kept:
        before, after = (getattr(carry.seeds.agent, name) for carry in (offline, warmup))
        assert digests.total(before) == digests.total(after)
    assert digests.total(warmup.seeds.agent) == digests.total(finetune.seeds.agent)
    assert digests.total(warmup.seeds.env) == digests.total(finetune.seeds.env)


def test_seeds_start_apart_and_offline_phases_have_no_ring(crossed):
    _, (offline, warmup, _) = crossed["wsrl"]
    kernel = np.asarray(offline.seeds.agent.actor.params["trunk"]["dense_0"]["kernel"])
    assert not (kernel[0] == kernel[1]).any()
    assert offline.ring is None and offline.seeds.env is None
    assert int(warmup.ring.size) == 0 and int(warmup.step) == 0
    assert warmup.seeds.draw is None


def test_append_puts_the_whole_dataset_into_every_seeds_ring(crossed):
    driver, (_, warmup, finetune) = crossed["calql"]
    assert warmup.ring.rows.shape == (2, 40 + 40, 7)
    for seed in range(2):
        np.testing.assert_array_equal(warmup.ring.rows[seed, :40], driver.data)
    assert int(warmup.ring.size) == int(warmup.ring.pointer) == 40
    assert warmup.seeds.draw.reward.shape == (2, 1, 5)
    assert digests.total(finetune.ring) == digests.total(warmup.ring)


def test_totals_start_at_zero_with_every_name_of_the_phase(crossed):
    _, (offline, warmup, finetune) = crossed["wsrl"]
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(finetune.seeds.totals))
    assert set(warmup.seeds.totals) == {"steps", "rollout/episodes", "rollout/return", "rollout/length"}
    assert set(finetune.seeds.totals) > set(warmup.seeds.totals)
    assert "rollout/return" not in offline.seeds.totals
