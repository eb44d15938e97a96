"""Extreme Q-learning (arXiv 2301.02328), which PROTO starts from: IQL but for one loss.

One update: V is moved to the temperature-weighted soft maximum of the target critics over the data's actions, by a
Gumbel regression in place of IQL's expectile; Q on `r + discount V(s')` and the advantage-weighted actor are IQL's.
"""

from fastrl.algorithms import iql, losses
from fastrl.methods import XQL
from fastrl.types import Algorithm, Spec


def xql(config: XQL, spec: Spec) -> Algorithm:
    """XQL for this environment."""
    return iql.learner(config, spec, regression(config))


def regression(config: XQL) -> iql.Regression:
    """The Gumbel regression of V (XQL, V's loss), whose scale is a statistic of the batch."""
    return iql.Regression(lambda error: losses.gumbel(error, config.value_temperature, config.value_limit), whole=True)
