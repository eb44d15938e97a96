"""WSRL (arXiv 2412.07762, Algorithm 1): pre-train, drop the data, warm up with the frozen policy, high-UTD SAC.

Its ablations are options: `--initialise`, `--reset-optimizers`, `--online calql` here, `--warmup`, `--warmup-by`,
`--freeze-actor` and `--retention` in every recipe.
"""

from typing import Any

from fastrl import presets
from fastrl.algorithms.transfer import adopt
from fastrl.config import RunOptions
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder, Entry
from fastrl.types import State

INITIALISERS = {
    "calql": {},
    "cql": {},
    # SAC continues a tanh-Gaussian and a normalised ensemble, so IQL learns them here.
    "iql": {"squash": True, "layer_norm": True, "num_critics": 10},
}

TAKEN = {"both": None, "actor": ("actor", "temperature"), "critics": ("critic",), "neither": ()}
"""The groups that `--initialise` takes over; None is all of them."""


def wsrl(builder: Builder) -> list[Phase]:
    """Offline agent with the online networks -> warm-up -> SAC; everything is kept at the switch, data is not."""
    sac = builder.config("sac")
    online = sac if builder.options.online == "sac" else builder.config("calql", utd=sac.utd)
    ratio, fill = builder.retention()
    phases = builder.online(
        online, warmup=presets.warmup(builder.domain), ratio=ratio, fill=fill, entry=taking(builder.options)
    )
    return [builder.offline(pretraining(builder, sac)), *phases]


def pretraining(builder: Builder, online: Any) -> Any:
    """The options of the offline agent, whose networks are those of the online one: `--pretrainer`, or the domain's."""
    name = builder.options.pretrainer or builder.domain.pretrainer
    shapes = {field: getattr(online, field) for field in ("actor_hidden", "critic_hidden", "std", "kernel_scale_final")}
    return builder.config(name, **{**INITIALISERS[name], **(shapes if name == "iql" else {})})


def adopt_all(fresh: State, previous: State | None) -> State:
    """The entry of WSRL: networks, targets, temperature and optimisers of the offline agent (D10)."""
    return fresh if previous is None else adopt(fresh, previous)


def taking(options: RunOptions) -> Entry:
    """The entry of WSRL with some of it left out (figures 12 and 13)."""
    if options.initialise == "both" and not options.reset_optimizers:
        return adopt_all
    return taking_over(TAKEN[options.initialise], options.reset_optimizers)


def taking_over(fields: tuple[str, ...] | None, reset_optimizer: bool) -> Entry:
    """An entry that takes over the groups `fields` (None: all) as far as the agent before has them."""

    def entry(fresh: State, previous: State | None) -> State:
        if previous is None or fields == ():
            return fresh
        wanted = None if fields is None else [name for name in fields if hasattr(previous, name)]
        return adopt(fresh, previous, wanted, reset_optimizer)

    return entry
