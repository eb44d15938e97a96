"""From measurements to advice: which retention, warm-up and method the evidence of this repository favours.

A rule speaks where this repository has a result (`fastrl.experiments.evidence`) or where a measured number leaves no
choice; elsewhere it says that nothing here favours one over the other. What a paper claims and no run here has tested
is named as the paper's reason and decides nothing. Every piece of advice carries its basis.
"""

import dataclasses
from typing import Literal

import numpy as np
from scipy import stats

from fastrl.experiments import evidence
from fastrl.experiments.evidence import About, Evidence
from fastrl.experiments.measurements import Critic, Measurements

NOTHING = "nothing here favours one over the other"
OFF = 0.5
"""Q is off where it misses returns by more than this share of their standard deviation in the data, a convention."""
FIGURES = {"retention": "wsrl --figure 2", "warm-up": "wsrl --figure 10", "method": "wsrl --figure 7"}
"""What `fastrl reproduce` runs to decide a choice."""

Judged = Literal["too low", "too high", "not off", "not known"]


@dataclasses.dataclass(frozen=True)
class Advice:
    """One choice, and what it rests on."""

    about: str
    says: str
    basis: tuple[str, ...]  # a sentence each, which begins with its kind: measured now, run here, not tested here


def advise(measured: Measurements) -> list[Advice]:
    """Retention, warm-up and method, in this order."""
    return [retention(measured), warmup(measured), method(measured)]


def retention(measured: Measurements) -> Advice:
    """The offline data after the switch: kept where own steps would hold no success and the data does."""
    count = measured.mode.size + measured.sampled.size
    if measured.sparse and measured.data.any() and not measured.mode.any() and not measured.sampled.any():
        held = f"{int(measured.data.sum())} of {len(measured.data)} trajectories of the data succeed"
        basis = (
            f"measured now: none of {count} own episodes succeeds, {held}; a buffer of own steps begins without one",
            *map(quoted, evidence.without_success()),
            untested("retention"),
        )
        return Advice("retention", "keep the data (--retention append or mixed)", basis)
    return by_evidence("retention", measured)


def warmup(measured: Measurements) -> Advice:
    """The warm-up: no result here chooses; whether WSRL's reason for one is there is said."""
    found = by_evidence("warm-up", measured)
    if isinstance(measured.critic, str):
        return dataclasses.replace(found, basis=(f"measured now: {measured.critic}", *found.basis))
    judged, critic = at_the_switch(measured.critic), measured.critic
    if judged == "not known":
        line = "measured now: every own episode is cut before its return is known, so Q cannot be judged there"
        return dataclasses.replace(found, basis=(line, *found.basis))
    apart = abs(critic.own_error.mean()) / (critic.spread or 1.0)
    numbers = f"Q {critic.own_q.mean():.3g}, returns {critic.own_return.mean():.3g}"
    line = f"measured now: on own episodes Q is {apart:.2g} standard deviations from the returns, {judged} ({numbers})"
    reason = {"not off": "Q is not off at the switch, so WSRL's reason for a warm-up is not there"}.get(
        judged,
        f"Q is {judged} at the switch, which is WSRL's reason for a warm-up; --switch-eval-every shows a dip",
    )
    return dataclasses.replace(found, says=f"{found.says}; {reason}", basis=(line, *found.basis))


def method(measured: Measurements) -> Advice:
    """What goes on: an agent without critics needs a method that fits some; else what was found on this task."""
    if measured.critic == f"{measured.algorithm} has no critic of actions":
        own = (
            f"measured now: {measured.critic}",
            "by construction: o2sac, o2td3 and o2ppo fit theirs to the policy first; wsrl would begin with fresh ones",
            untested("method"),
        )
        return Advice("method", "one that fits critics before the switch: o2sac, o2td3 or o2ppo", own)
    found = by_evidence("method", measured)
    if isinstance(measured.critic, str):
        return dataclasses.replace(found, basis=(f"measured now: {measured.critic}", *found.basis))
    critic = measured.critic
    apart = (critic.data_q.mean() - critic.data_return) / (critic.spread or 1.0)
    side = "above" if apart > 0 else "below"
    line = f"measured now: Q of the data's rows is {abs(apart):.2g} standard deviations {side} their returns"
    basis = (line, *found.basis)
    if found.says != NOTHING or apart >= -OFF:
        return dataclasses.replace(found, basis=basis)
    low = "by pessimism or for want of updates"
    reason = f"Q is far too low on the data, {low}, which is OCR-CFT's reason to fit it anew (o2sac, o2td3)"
    return Advice("method", f"{NOTHING}; {reason}", basis)


def by_evidence(about: About, measured: Measurements) -> Advice:
    """What runs on this very environment favour, from agents of their kind and as good as the weakest of theirs."""
    entries = evidence.on(about, measured.env)
    lines = tuple(map(quoted, entries))
    for entry in entries:
        if not entry.favours or (entry.algorithms and measured.algorithm not in entry.algorithms):
            continue
        if measured.mode.mean() >= entry.start:
            return Advice(about, entry.favours, lines if entry.compares else (*lines, untested(about)))
        low = f"measured now: {measured.mode.mean():.2f} at the switch, below the {entry.start:.2f} of those runs"
        lines += (low,)
    compared = any(entry.compares for entry in entries)
    return Advice(about, NOTHING, lines if compared else (*lines, untested(about)))


def at_the_switch(critic: Critic) -> Judged:
    """Whether Q misses the returns of own episodes by more than `OFF` and by more than chance (95 %, over episodes)."""
    error = critic.own_error
    if len(error) < 2:
        return "not known"
    mean, deviation = float(error.mean()), float(error.std(ddof=1)) / np.sqrt(len(error))
    half = float(stats.t.ppf(0.975, len(error) - 1)) * deviation
    if abs(mean) <= max(half, OFF * critic.spread):
        return "not off"
    return "too low" if mean < 0 else "too high"


def quoted(entry: Evidence) -> str:
    """A finding as a line of the basis."""
    return f"run here: {entry.found} ({entry.source})"


def untested(about: str) -> str:
    """Where a comparison is to be had."""
    found = "not tested here: no committed run compares them on this task"
    return f"{found}; fastrl reproduce {FIGURES[about]} would, on tasks of its own"
