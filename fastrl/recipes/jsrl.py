"""JSRL (arXiv 2204.02372) as WSRL compares with it: the frozen policy rolls in, the learner goes on from there.

It is stronger than its own paper's in one thing: the learner's policy starts as the pre-trained one too (WSRL,
appendix). Critics start from scratch, and no offline data is kept.
"""

from typing import Any

from fastrl import presets
from fastrl.engine.behaviours import roll_in
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder
from fastrl.recipes.wsrl import pretraining, taking_over


def jsrl(builder: Builder) -> list[Phase]:
    """Offline agent -> SAC whose episodes begin with the frozen policy, less and less often."""
    config: Any = builder.config("jsrl", subset_size=builder.domain.rlpd_subset)
    guided = roll_in(config.roll_in, config.roll_in_steps, config.roll_in_stay)
    online = builder.online(
        config,
        warmup=presets.warmup(builder.domain),
        entry=taking_over(("actor", "temperature"), reset_optimizer=True),
        behaviour=guided,
        learner=guided,
    )
    return [builder.offline(pretraining(builder, config)), *online]
