"""SAC from scratch at high UTD, with the dataset in every batch (RLPD) or without (SAC)."""

from fastrl import presets
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder

RLPD_RATIO = 0.5


def rlpd(builder: Builder) -> list[Phase]:
    """RLPD in WSRL's harness: untrained policy for the warm-up, then half of every minibatch from the dataset."""
    config = builder.config("sac", subset_size=builder.domain.rlpd_subset)
    ratio = RLPD_RATIO if builder.options.offline_ratio is None else builder.options.offline_ratio
    return builder.online(config, warmup=presets.warmup(builder.domain), ratio=ratio)


def sac(builder: Builder) -> list[Phase]:
    """SAC(fast): RLPD without data."""
    config = builder.config("sac", subset_size=builder.domain.rlpd_subset)
    return builder.online(config, warmup=presets.warmup(builder.domain))
