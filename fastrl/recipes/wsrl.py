"""WSRL (arXiv 2412.07762, Algorithm 1): pre-train, drop the data, warm up with the frozen policy, high-UTD SAC.

Its ablations are options: `--initialise`, `--reset-optimizers`, `--online calql` here, `--warmup`, `--warmup-by`,
`--freeze-actor` and `--retention` in every recipe.
"""

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
    name = builder.options.pretrainer or builder.domain.pretrainer
    shapes = {field: getattr(sac, field) for field in ("actor_hidden", "critic_hidden", "std", "kernel_scale_final")}
    offline = builder.config(name, **{**INITIALISERS[name], **(shapes if name == "iql" else {})})
    online = sac if builder.options.online == "sac" else builder.config("calql", utd=sac.utd)
    ratio, fill = builder.retention()
    warmup, entry = presets.warmup(builder.domain), taking(builder.options)
    return [builder.offline(offline), *builder.online(online, warmup=warmup, ratio=ratio, fill=fill, entry=entry)]


def adopt_all(fresh: State, previous: State | None) -> State:
    """The entry of WSRL: networks, targets, temperature and optimisers of the offline agent (D10)."""
    return fresh if previous is None else adopt(fresh, previous)


def taking(options: RunOptions) -> Entry:
    """The entry of WSRL with some of it left out (figures 12 and 13)."""
    if options.initialise == "both" and not options.reset_optimizers:
        return adopt_all
    fields = TAKEN[options.initialise]

    def entry(fresh: State, previous: State | None) -> State:
        if previous is None or fields == ():
            return fresh
        wanted = None if fields is None else [name for name in fields if hasattr(previous, name)]
        return adopt(fresh, previous, wanted, options.reset_optimizers)

    return entry
