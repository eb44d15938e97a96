"""Options of every algorithm, as frozen dataclasses with their papers' common values. Imports no jax.

A subclass of another algorithm restates the fields whose default or meaning differs. What differs by domain is in
`fastrl.presets`, by dataset in the recipes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from fastrl.config import ActorCritic, Options, option


@dataclasses.dataclass(frozen=True)
class SAC(ActorCritic):
    """Soft actor-critic with a REDQ ensemble at high UTD (WSRL, Algorithm 1; REDQ; RLPD)."""

    factory = "fastrl.algorithms.sac:sac"

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
    bc_weight: float = option(0.0, "weight of a behaviour-cloning term in the actor's loss", static=True)
    ghost_adam: bool = option(False, "Adam also steps, on zero gradients, while its network rests (released code)")


@dataclasses.dataclass(frozen=True)
class CQL(SAC):
    """Conservative Q-learning, CQL(H) with importance sampling, fixed weight or Lagrange."""

    factory = "fastrl.algorithms.cql:cql"

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

    needs_returns = True

    bound_random_actions: bool = option(False, "bound the uniform candidates too")


@dataclasses.dataclass(frozen=True)
class IQL(ActorCritic):
    """Implicit Q-learning with advantage-weighted regression."""

    factory = "fastrl.algorithms.iql:iql"

    num_critics: int = option(2, "critics in the ensemble")
    subset_size: int = option(2, "critics drawn for the minimum that V regresses on")
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    expectile: float = option(0.7, "expectile of V")
    inverse_temperature: float = option(3.0, "inverse temperature of the advantage weights")
    max_weight: float = option(100.0, "advantage weights are clipped at this")
    squash: bool = option(False, "tanh-Gaussian policy; WSRL from IQL needs it, IQL's own is a plain Gaussian")
    tanh_mean: bool = option(False, "the tanh of a plain Gaussian's mean (OCR-CFT)")


@dataclasses.dataclass(frozen=True)
class BC(ActorCritic):
    """Behaviour cloning: maximum likelihood of the data's actions."""

    factory = "fastrl.algorithms.bc:bc"

    warmup_steps: int = option(1000, "steps of the learning rate's linear warm-up")
    cosine_steps: int | None = option(1_000_000, "steps of a cosine decay of the learning rates to 0")


@dataclasses.dataclass(frozen=True)
class TD3(ActorCritic):
    """TD3: a deterministic actor, two critics, smoothed targets, a delayed actor."""

    factory = "fastrl.algorithms.td3:td3"
    unused = ("std", "fixed_std", "dropout")

    num_critics: int = option(2, "critics in the ensemble")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    target_noise: float = option(0.2, "std of the noise on the target's action")
    noise_limit: float = option(0.5, "that noise is clipped at +- this")
    exploration_noise: float = option(0.1, "std of the noise on actions in the environment")
    policy_delay: int = option(2, "critic updates for one of the actor and of all targets")


@dataclasses.dataclass(frozen=True)
class TD3BC(TD3):
    """TD3+BC: TD3 offline, with a behaviour-cloning term in the actor's loss."""

    factory = "fastrl.algorithms.td3:td3"

    q_weight: float = option(2.5, "weight of Q against behaviour cloning, over the batch's mean of |Q|")
    normalize_observations: bool = option(
        True, "observations are normalised by the dataset's mean and std, which are part of the agent"
    )


@dataclasses.dataclass(frozen=True)
class PPO(ActorCritic):
    """Proximal policy optimisation with GAE: a plain Gaussian whose mean is a tanh, and a state value."""

    factory = "fastrl.algorithms.ppo:ppo"
    unused = ("tau", "utd", "kernel_scale", "cosine_steps", "dropout")

    batch_size: int = option(128, "rows of one minibatch")
    rollout: int = option(2048, "environment steps of one iteration, those of all copies together")
    epochs: int = option(10, "passes over an iteration's rows")
    trace: float = option(0.95, "lambda of the generalised advantage estimate")
    clip: float = option(0.2, "the ratio of densities is clipped at 1 +- this")
    entropy_weight: float = option(0.0, "weight of the policy's entropy in its loss")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    std: Literal["exp", "softplus", "scaled", "uniform", "fixed"] = option(
        "uniform",
        "std of the policy: a head (exp, softplus; scaled has a learned scale and shift), state-independent (uniform), "
        "or fixed",
    )
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    critic_lr: float = option(3e-4, "Adam learning rate of the critics (and of V)")
    grad_clip: float | None = option(0.5, "global norm at which gradients are clipped")
    linear_steps: int | None = option(None, "environment steps over which the learning rates fall to 0 on a line")


@dataclasses.dataclass(frozen=True)
class Referenced:
    """What the three methods of OCR-CFT have beside their base: a reference policy, and stages."""

    stage: Literal["reevaluate", "align", "finetune"] = option("finetune", "which of the method's phases this is")
    reference: Literal["best", "interval", "polyak", "fixed"] = option(
        "best",
        "the reference policy: the best so far by evaluation, the current one every reference_interval evaluations, "
        "its Polyak average, or the one at the start",
    )
    constrain: bool = option(True, "OCR-CFT: fine-tune with the constraint, or the pull, to the reference policy")
    reference_interval: int = option(1, "evaluations from one reference to the next where it is interval")
    reference_tau: float = option(
        0.005, "step of the reference towards the policy, after each update, where it is polyak"
    )


@dataclasses.dataclass(frozen=True)
class Constrained(Referenced):
    """The constraint to the reference policy, with a learned multiplier (O2SAC, O2TD3)."""

    initial_multiplier: float = option(1.0, "multiplier of the constraint at the start")
    multiplier_lr: float = option(5e-5, "Adam learning rate of the multiplier's logarithm")
    constraint_start: float = option(0.125, "limit of the divergence to the reference at the start")
    constraint_end: float = option(2.0, "limit of the divergence after constraint_steps environment steps")
    constraint_steps: float = option(100_000.0, "environment steps from the first limit to the last")


@dataclasses.dataclass(frozen=True)
class O2SAC(Constrained, SAC):
    """O2SAC: SAC from a policy whose critic is fitted anew, aligned with it, and fine-tuned under a constraint."""

    factory = "fastrl.algorithms.o2sac:o2sac"
    unused = (
        *("backup", "backup_actions", "backup_entropy", "subset_size", "subset_replacement", "actor_q", "bc_weight"),
        *("temperature_form", "temperature_obs", "ghost_adam", "dropout"),
    )

    utd: int = option(10, "SAC updates per environment step, each on a minibatch of its own")
    actor_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of the actor")
    critic_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of each critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    std: Literal["exp", "softplus", "scaled", "uniform", "fixed"] = option(
        "scaled",
        "std of the policy: a head (exp, softplus; scaled has a learned scale and shift), state-independent (uniform), "
        "or fixed",
    )
    kernel_scale: float = option(1.0, "orthogonal gain of the critics' hidden layers", static=True)
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    num_critics: int = option(2, "critics in the ensemble")
    temperature_lr: float = option(3e-4, "Adam learning rate of the temperature")
    initial_temperature: float = option(0.2, "temperature at the start, and until fine-tuning")
    temperature_form: Literal["softplus", "exp"] = option("exp", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "current", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup_entropy: bool = option(True, "entropy term in the target")


@dataclasses.dataclass(frozen=True)
class O2TD3(Constrained, TD3):
    """O2TD3: TD3 from a policy whose critic is fitted anew, aligned with it, and fine-tuned under a constraint."""

    factory = "fastrl.algorithms.o2td3:o2td3"

    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    kernel_scale: float = option(1.0, "orthogonal gain of the critics' hidden layers", static=True)
    actor_lr: float = option(1e-4, "Adam learning rate of the actor")
    distance_weight: float = option(1.0, "k of the alignment's target: Q falls off by 1 + k * distance^2")
    distance_limit: float = option(0.2, "the distance in the alignment's target is clipped at this")
    constraint_start: float = option(0.0025, "limit of the divergence to the reference at the start")
    constraint_end: float = option(0.04, "limit of the divergence after constraint_steps environment steps")
    penalty: Literal["mean", "each"] = option(
        "mean", "the distance in the target: its mean over the batch, as the released code, or each row's own"
    )


@dataclasses.dataclass(frozen=True)
class O2PPO(Referenced, PPO):
    """O2PPO: PPO from a policy whose value is fitted to returns, pulled to the reference by an auxiliary advantage."""

    factory = "fastrl.algorithms.o2ppo:o2ppo"

    needs_returns = True

    critic_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of each critic")
    actor_lr: float = option(3e-5, "Adam learning rate of the actor")
    critic_lr: float = option(2e-4, "Adam learning rate of the critics (and of V)")
    value_lr: float = option(1e-4, "Adam learning rate of V while it is fitted to returns")
    entropy_weight: float = option(0.01, "weight of the policy's entropy in its loss")
    linear_steps: int | None = option(250_000, "environment steps over which the learning rates fall to 0 on a line")
    auxiliary: Literal["per-sample", "outer", "none"] = option(
        "per-sample",
        "the pull to the reference: each row's own, the released code's N x N matrix, or none (plain PPO)",
    )
    return_scale: float = option(1.0, "rewards and returns are divided by this before V and the advantages see them")
    auxiliary_weight: float = option(2.0, "alpha of the auxiliary advantage")
    auxiliary_steps: float = option(250_000.0, "environment steps over which it fades to 0")
    max_log_std: float | None = option(None, "cap of the policy's log std", static=True)


ALGORITHMS: dict[str, type[ActorCritic]] = {
    "sac": SAC,
    "cql": CQL,
    "calql": CalQL,
    "iql": IQL,
    "bc": BC,
    "td3": TD3,
    "td3bc": TD3BC,
    "ppo": PPO,
    "o2sac": O2SAC,
    "o2td3": O2TD3,
    "o2ppo": O2PPO,
}


def name_of(config: Options) -> str:
    """`sac` and so on; of a class that is not ours, MODULE:NAME."""
    kind = type(config)
    own = {cls: name for name, cls in ALGORITHMS.items()}
    return own.get(kind, f"{kind.__module__}:{kind.__qualname__}")  # type: ignore[call-overload, arg-type]


def describe(config: Options) -> dict[str, Any]:
    """The configuration as a dictionary that `restore` reads back; an object in it is told apart by its text."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    plain = (bool, int, float, str, type(None))
    return {
        "algorithm": name_of(config),
        **{
            name: value if isinstance(value, plain) else list(value) if isinstance(value, tuple) else repr(value)
            for name, value in fields.items()
        },
    }


def restore(fields: Mapping[str, Any], kind: type | None = None) -> Any:
    """The configuration that `describe` wrote (lists become tuples); `kind`: a class that is not ours."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k != "algorithm"}
    return (kind or ALGORITHMS[fields["algorithm"]])(**values)
