"""Every option of every algorithm and run, as frozen dataclasses. Imports no jax, so that `fastrl --help` is instant.

Defaults are WSRL's common values (paper, appendix); what differs by domain is in `fastrl.presets`.
"""

import dataclasses
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def option(default: T, meaning: str) -> T:
    """A dataclass field with one line of meaning, shown by `--help`."""
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclasses.dataclass(frozen=True)
class ActorCritic:
    """What every algorithm with an actor has: networks, optimiser, batch."""

    actor_hidden: tuple[int, ...] = option((256, 256), "hidden layers of the actor")
    critic_hidden: tuple[int, ...] = option((256, 256), "hidden layers of each critic")
    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    dropout: float = option(0.0, "dropout rate in the actor while it learns")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "exp", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    fixed_std: float = option(0.1, "std of the policy when std is fixed")
    kernel_scale_final: float | None = option(1e-2, "orthogonal gain of the last hidden layer; none keeps sqrt(2)")
    discount: float = option(0.99, "discount factor")
    tau: float = option(0.005, "step of the target networks towards the online ones")
    batch_size: int = option(256, "rows of one critic update")
    actor_lr: float = option(1e-4, "Adam learning rate of the actor")
    critic_lr: float = option(3e-4, "Adam learning rate of the critics (and of V)")
    weight_decay: float = option(0.0, "decoupled weight decay; above 0 Adam becomes AdamW")
    grad_clip: float | None = option(None, "global norm at which gradients are clipped")
    cosine_steps: int | None = option(None, "steps of a cosine decay of the learning rates to 0")


@dataclasses.dataclass(frozen=True)
class SAC(ActorCritic):
    """Soft actor-critic with a REDQ ensemble at high UTD (WSRL, Algorithm 1; REDQ; RLPD)."""

    num_critics: int = option(10, "critics in the ensemble")
    subset_size: int = option(2, "critics drawn for the target's minimum")
    subset_replacement: bool = option(False, "draw that subset with replacement, as the released code")
    shared_head: bool = option(False, "one output layer for all critics, as the released code")
    utd: int = option(4, "critic updates per environment step, each on a batch of its own")
    temperature_lr: float = option(1e-4, "Adam learning rate of the temperature")
    initial_temperature: float = option(1.0, "temperature at the start")
    target_entropy: float | None = option(None, "entropy target; none is minus the action size")
    temperature_form: Literal["softplus", "exp"] = option("softplus", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "next", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup: Literal["sample", "max_actions", "max_critics"] = option(
        "sample", "target over one next action, the max over backup_actions, or the max over critics"
    )
    backup_actions: int = option(10, "next actions of backup=max_actions")
    backup_entropy: bool = option(False, "entropy term in the target")
    actor_q: Literal["min", "mean"] = option("min", "the actor climbs the minimum or the mean over all critics")
    bc_weight: float = option(0.0, "weight of a behaviour-cloning term in the actor's loss")
    ghost_adam: bool = option(False, "Adam also steps, on zero gradients, while its network rests (released code)")


@dataclasses.dataclass(frozen=True)
class CQL(SAC):
    """Conservative Q-learning, CQL(H) with importance sampling, fixed weight or Lagrange."""

    utd: int = option(1, "critic updates per environment step, each on a batch of its own")
    backup: Literal["sample", "max_actions", "max_critics"] = option(
        "max_actions", "target over one next action, the max over backup_actions, or the max over critics"
    )
    alpha: float = option(5.0, "weight of the conservative penalty (where there is no gap)")
    gap: float | None = option(None, "target of the penalty; set, the weight is learned (Lagrange), starting at 1")
    alpha_lr: float = option(3e-4, "Adam learning rate of the Lagrange weight")
    cql_actions: int = option(10, "candidate actions of each of the three kinds")
    cql_temperature: float = option(1.0, "temperature of the penalty's logsumexp")
    importance_sampling: bool = option(True, "subtract the candidates' log densities")
    clip_gap: float | None = option(None, "penalty per row is clipped to +- this")
    penalized: Literal["subset", "all"] = option(
        "subset", "critics with the penalty: a subset drawn anew (released code), or all of them"
    )


@dataclasses.dataclass(frozen=True)
class CalQL(CQL):
    """Cal-QL: CQL whose policy candidates are bounded below by the Monte-Carlo return."""

    bound_random_actions: bool = option(False, "bound the uniform candidates too")


@dataclasses.dataclass(frozen=True)
class IQL(ActorCritic):
    """Implicit Q-learning with advantage-weighted regression."""

    num_critics: int = option(2, "critics in the ensemble")
    subset_size: int = option(2, "critics drawn for the minimum that V regresses on")
    utd: int = option(1, "critic updates per environment step, each on a batch of its own")
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    expectile: float = option(0.7, "expectile of V")
    inverse_temperature: float = option(3.0, "inverse temperature of the advantage weights")
    max_weight: float = option(100.0, "advantage weights are clipped at this")
    squash: bool = option(False, "tanh-Gaussian policy; WSRL from IQL needs it, IQL's own is a plain Gaussian")


@dataclasses.dataclass(frozen=True)
class BC(ActorCritic):
    """Behaviour cloning: maximum likelihood of the data's actions."""

    warmup_steps: int = option(1000, "steps of the learning rate's linear warm-up")
    cosine_steps: int | None = option(1_000_000, "steps of a cosine decay of the learning rates to 0")


ALGORITHMS: dict[str, type[ActorCritic]] = {"sac": SAC, "cql": CQL, "calql": CalQL, "iql": IQL, "bc": BC}


def describe(config: ActorCritic) -> dict[str, Any]:
    """The configuration as a dictionary that `restore` reads back."""
    names = {cls: name for name, cls in ALGORITHMS.items()}
    return {"algorithm": names[type(config)], **dataclasses.asdict(config)}


def restore(fields: dict[str, Any]) -> ActorCritic:
    """The configuration that `describe` wrote (lists become tuples)."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k != "algorithm"}
    return ALGORITHMS[fields["algorithm"]](**values)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a method is run. `None` is the paper's value for the environment's domain."""

    seeds: int = option(4, "independent runs, each with random streams of its own")
    seed: int = option(0, "base of the random streams; seed i draws the same whatever the number of seeds")
    steps: int | None = option(None, "online environment steps, the warm-up's included")
    pretrain_steps: int | None = option(None, "offline gradient steps")
    warmup: int | None = option(None, "environment steps with the frozen pre-trained policy, before any update")
    num_envs: int = option(1, "copies of the environment in each seed")
    capacity: int | None = option(None, "rows of the replay ring; none is what the run can fill, at most 2 million")
    retention: Literal["none", "mixed", "append"] | None = option(
        None, "offline data online: none, a share of every batch (mixed), or put into the ring (append)"
    )
    offline_ratio: float | None = option(None, "share of offline rows in every batch where retention is mixed")
    pretrainer: Literal["calql", "cql", "iql"] | None = option(None, "offline agent that WSRL starts from")
    eval_every: int | None = option(None, "steps between evaluations")
    eval_episodes: int | None = option(None, "episodes of an evaluation")
    chunk: int = option(50, "most steps in one call of the compiled scan; changes speed, never results")
    checkpoint_minutes: float = option(5.0, "minutes between checkpoints")
    reward_scale: float | None = option(None, "rewards are multiplied by this, once")
    reward_bias: float | None = option(None, "and this is added")
    map_seeds: Literal["auto", "vmap", "sequential"] = option(
        "auto", "seeds side by side (accelerators) or one after the other inside the program (CPU)"
    )
    on_nan: Literal["freeze", "stop"] | None = option(
        None,
        "when a seed's numbers stop being finite, freeze it at its last good update or stop the run; none is freeze "
        "where there are several seeds",
    )
