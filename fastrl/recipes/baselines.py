"""AWAC, PEX and SO2: what OCR-CFT and WSRL compare with, beside those that have a file of their own."""

import dataclasses
from typing import Any

from fastrl import presets
from fastrl.algorithms.transfer import adopt
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder
from fastrl.recipes.wsrl import adopt_all, pretraining
from fastrl.replay import fills
from fastrl.types import State

PEX_RATIO = 0.5  # offline rows of a batch of PEX

RUN: dict[str, dict[str, Any]] = {"antmaze": {"reward_scale": 1.0, "reward_bias": -1.0}}
"""Run options of AWAC and PEX by domain: the temperatures of their weights are for these rewards (released code)."""


def awac(builder: Builder) -> list[Phase]:
    """AWAC offline and online, the data in the ring, unless another retention is asked for."""
    own = {"advantage_temperature": 0.33} if builder.spec.name == "hopper" else {}
    config = builder.config("awac", **own)
    ratio, fill = builder.retention()
    if builder.options.retention is None and not ratio:
        fill = fills.EVERYTHING
    return [builder.offline(config), *builder.online(config, warmup=0, ratio=ratio, fill=fill)]


def pex(builder: Builder) -> list[Phase]:
    """IQL -> a new policy beside the frozen one, half of every batch from the dataset."""
    config: Any = builder.config("pex")
    shapes = ("actor_hidden", "critic_hidden", "num_critics", "layer_norm", "actor_layer_norm", "std", "tanh_mean")
    shared = (*shapes, "expectile", "inverse_temperature")
    offline = builder.config("iql", **{name: getattr(config, name) for name in shared})
    ratio = PEX_RATIO if builder.options.offline_ratio is None else builder.options.offline_ratio
    warmup = presets.warmup(builder.domain)
    return [builder.offline(offline), *builder.online(config, warmup=warmup, ratio=ratio, entry=expanded)]


def so2(builder: Builder) -> list[Phase]:
    """WSRL's offline agent -> SAC with a perturbed target, without data and without warm-up."""
    config = builder.config("so2", subset_size=builder.domain.rlpd_subset)
    return [builder.offline(pretraining(builder, config)), *builder.online(config, warmup=0, entry=adopt_all)]


def expanded(fresh: State, previous: State | None) -> State:
    """The offline policy is frozen, Q and V go on, the policy that learns starts anew (PEX, Algorithm 1)."""
    if previous is None or type(previous) is type(fresh):
        return adopt_all(fresh, previous)
    state = adopt(fresh, previous, ("critic", "value"))
    policy = adopt(fresh, previous, ("actor",), reset_optimizer=True).actor.params
    return dataclasses.replace(state, offline=policy)
