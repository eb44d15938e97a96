"""From scratch: SAC at high UTD, with the dataset in every batch (RLPD) or without (SAC); TD3; PPO."""

from fastrl import presets
from fastrl.engine import behaviours
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


def td3(builder: Builder) -> list[Phase]:
    """TD3: uniform actions first, then one update of the critics an environment step."""
    config = builder.config("td3")
    return builder.online(config, warmup=presets.warmup(builder.domain), behaviour=behaviours.UNIFORM)


def ppo(builder: Builder) -> list[Phase]:
    """PPO: rollouts of the policy, and some passes over each."""
    return builder.on_policy(builder.config("ppo"))
