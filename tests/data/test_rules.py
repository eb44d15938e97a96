"""Each domain's rules, and the returns that follow from them, in cases worked out by hand."""

import numpy as np
import pytest

from fastrl.data import rules
from fastrl.data.datasets import Dataset
from fastrl.replay.returns import monte_carlo
from fastrl.types import UserError


def data(reward, ends=(), mask=None):
    """Rows along a line; trajectories end at `ends`."""
    rows = len(reward)
    boundary = np.isin(np.arange(rows), ends)
    obs = np.arange(rows + 1.0)[:, None]
    mask = np.ones(rows) if mask is None else mask
    return Dataset.from_arrays(obs[:-1], np.zeros((rows, 1)), reward, mask, obs[1:], boundary, name="by hand")


def summary(found):
    return found.obs[:, 0].tolist(), np.flatnonzero(found.mask == 0).tolist(), np.flatnonzero(found.boundary).tolist()


def returns(found, scale, bias, failure=None):
    return monte_carlo(found.reward * scale + bias, found.mask, found.boundary, 0.5, failure).tolist()


def test_a_run_of_antmazes_goal_becomes_trajectories_of_one_step():
    raw = data([0, 0, 1, 1, 1, 0, 0, 0], ends=[7])
    found = rules.apply(raw, "antmaze")
    assert summary(found) == (list(range(8)), [2, 3, 4], [2, 3, 4, 7])
    # 10 r - 5: what leads to the goal, the run's +5 each, and after it a failure for ever, -5 / (1 - 0.5)
    assert returns(found, 10, -5, failure=-5) == [-6.25, -2.5, 5, 5, 5, -10, -10, -10]
    d4rl = data([0, 0, 1, 1, 1, 0, 0, 0], ends=[7], mask=[1, 1, 0, 0, 0, 1, 1, 1])  # says so itself
    assert summary(rules.apply(d4rl, "antmaze")) == summary(d4rl) == summary(found)


def test_kitchen_ends_with_four_solved_tasks():
    raw = data([0, 1, 3, 4, 2, 4, 4, 1], ends=[4])
    found = rules.apply(raw, "kitchen")
    assert summary(found) == (list(range(8)), [3, 5, 6], [3, 4, 5, 6])
    assert returns(found, 1, -4) == [-4 + (-3 + (-1 + 0) / 2) / 2, -3.5, -1, 0, -2, 0, 0, -3]
    np.testing.assert_array_equal(found.reward, raw.reward)


def test_adroit_keeps_what_leads_to_the_last_success():
    #      a success, one more after a slip, then idle | never | at once | unfinished, with a success
    raw = data([-1, 0, -1, 0, -1, -1, -1, -1, 0, -1, 0, -1], ends=[5, 7, 8])
    found = rules.apply(raw, "adroit")
    assert summary(found) == ([0, 1, 2, 3, 8, 9, 10], [1, 3, 4, 6], [1, 3, 4, 6])
    assert returns(found, 10, 5) == [-2.5, 5, -2.5, 5, 5, -2.5, 5]
    with pytest.raises(UserError, match=r"by hand: reward is 0.25 at row 1, not -1 or 0; the binary Adroit"):
        rules.adroit(data([-1, 0.25]))
    with pytest.raises(UserError, match="by hand: no trajectory has a success"):
        rules.adroit(data([-1, -1]))


@pytest.mark.parametrize("domain", ["antmaze", "kitchen", "adroit", "locomotion"])
def test_twice_is_once_and_other_domains_have_no_rule(domain):
    raw = data([-1, 0, -1, 0, -1], ends=[2]) if domain == "adroit" else data([0, 1, 4, 1, 0], ends=[2])
    once = rules.apply(raw, domain)
    assert summary(rules.apply(once, domain)) == summary(once)
    if domain == "locomotion":
        assert once is raw
    assert returns(once, 1, 0) == returns(rules.apply(once, domain), 1, 0)
