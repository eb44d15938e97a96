"""WSRL (arXiv 2412.07762, Algorithm 1): pre-train, drop the data, warm up with the frozen policy, high-UTD SAC."""

from fastrl import presets
from fastrl.algorithms.transfer import adopt
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder

INITIALISERS = {
    "calql": {},
    "cql": {},
    # SAC continues a tanh-Gaussian and a normalised ensemble, so IQL learns them here.
    "iql": {"squash": True, "layer_norm": True, "num_critics": 10},
}


def wsrl(builder: Builder) -> list[Phase]:
    """Offline agent with the online networks -> warm-up -> SAC; everything is kept at the switch, data is not."""
    online = builder.config("sac")
    name = builder.options.pretrainer or builder.domain.pretrainer
    shapes = {field: getattr(online, field) for field in ("actor_hidden", "critic_hidden", "std", "kernel_scale_final")}
    offline = builder.config(name, **{**INITIALISERS[name], **(shapes if name == "iql" else {})})
    ratio, append = builder.retention()
    return [
        builder.offline(offline),
        *builder.online(online, warmup=presets.warmup(builder.domain), ratio=ratio, append=append, entry=adopt_all),
    ]


def adopt_all(fresh, previous):  # type: ignore[no-untyped-def]
    """The entry of WSRL: networks, targets, temperature and optimisers of the offline agent (D10)."""
    return fresh if previous is None else adopt(fresh, previous)
