"""Options of the Online Decision Transformer."""

import dataclasses

from fastrl.config import ActorCritic, option


@dataclasses.dataclass(frozen=True)
class ODT(ActorCritic):
    """Online Decision Transformer, its offline part: a policy of the last steps and of the return still asked for."""

    factory = "fastrl.algorithms.odt:odt"
    needs_returns = True
    unused = (
        *("discount", "utd", "actor_hidden", "critic_hidden", "layer_norm", "actor_layer_norm", "std", "fixed_std"),
        *("kernel_scale", "kernel_scale_final", "tau", "critic_lr", "cosine_steps", "actor", "critic"),
        *("critic_optimizer",),
    )

    token_width: int = option(512, "width of the transformer")
    layers: int = option(4, "blocks of the transformer")
    heads: int = option(4, "heads of its attention")
    context: int = option(20, "steps of a window while it learns")
    eval_context: int = option(5, "steps that it sees while it plays")
    dropout: float = option(0.1, "dropout rate in the actor while it learns", static=True)
    target_return: float | None = option(
        None, "return that it plays for; none is the paper's for the task, else the best of the dataset", static=True
    )
    return_scale: float = option(1_000.0, "rewards and returns are divided by this before the model sees them", True)
    actor_lr: float = option(1e-4, "LAMB learning rate of the actor")
    weight_decay: float = option(5e-4, "decoupled weight decay; above 0 Adam becomes AdamW")
    warmup_steps: int = option(10_000, "steps of the learning rate's linear warm-up")
    grad_clip: float | None = option(0.25, "global norm at which gradients are clipped")
    initial_temperature: float = option(0.1, "temperature at the start")
    temperature_lr: float = option(1e-4, "Adam learning rate of the temperature")
    target_entropy: float | None = option(None, "entropy target; none is minus the action size")
    normalize_observations: bool = option(
        True, "observations are normalised by the dataset's mean and std, which are part of the agent"
    )
