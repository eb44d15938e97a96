"""What each option is about: the order and the headings in which help shows them. Plain data, without jax.

An option that no list names is the run's, or that of the first method that has it.
"""

COMMON: dict[str, tuple[str, ...]] = {
    "task": ("env", "dataset", "start", "out", "resume"),
    "how long": ("seeds", "steps", "pretrain_steps", "warmup", "num_envs"),
    "how it learns": (
        *("utd", "batch_size", "discount", "actor_lr", "critic_lr"),
        *("retention", "offline_ratio"),
    ),
    "what is measured, and where it runs": ("eval_every", "eval_episodes", "log", "devices"),
    "to look before you run": ("help", "help_all", "explain", "dry_run", "print_config", "config"),
}
"""What people set, by subject."""

TASK = (
    *("recipe", "algorithm", "named", "env", "env_option", "dataset", "dataset_sha256", "dataset_order"),
    *("next_observations", "actions", "download", "start", "out", "resume", "reward_scale", "reward_bias"),
)

SUBJECTS: dict[str, tuple[str, ...]] = {
    "task": TASK,
    "offline": ("pretrain_steps", "pretrainer", "distil_steps"),
    "re-evaluation and alignment": ("reevaluate", "reevaluate_steps", "align", "align_steps"),
    "the switch and the warm-up": ("initialise", "reset_optimizers", "warmup", "warmup_by", "freeze_actor"),
    "online fine-tuning": (
        *("steps", "num_envs", "capacity", "online"),
        *("retention", "offline_ratio", "offline_ratio_end", "offline_ratio_steps"),
    ),
    "updates": ("discount", "batch_size", "utd", "tau", "num_critics", "subset_size", "subset_replacement"),
    "networks": (
        *("actor_hidden", "critic_hidden", "layer_norm", "actor_layer_norm", "dropout", "shared_head"),
        *("std", "fixed_std", "min_log_std", "max_log_std", "squash", "tanh_mean"),
        *("kernel_scale", "kernel_scale_final", "normalize_observations", "actor", "critic"),
    ),
    "optimisers": (
        *("actor_lr", "critic_lr", "temperature_lr", "weight_decay", "grad_clip", "actor_grad_clip", "cosine_steps"),
        *("actor_optimizer", "critic_optimizer"),
    ),
    "evaluation": (*("eval_every", "eval_episodes", "switch_eval_every", "eval_sampled", "probe_every", "log"),),
    "running": ("seeds", "seed", "first_seed", "sweep", "devices", "devices_per_seed", "map_seeds", "exact_seeds"),
    "looking before you run": ("help", "help_all", "explain", "dry_run", "print_config", "config"),
}
"""Options by subject. What no list names is of `RUNNING`, or of the first method that has it."""

RUNNING = "running"


def subject(option: str) -> str | None:
    """The heading under which an option stands, None where no list names it."""
    return next((heading for heading, names in SUBJECTS.items() if option in names), None)
