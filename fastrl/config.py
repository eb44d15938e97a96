"""What options are, and those of a run, as frozen dataclasses. Imports no jax, so that `fastrl --help` is instant.

The algorithms' own are in `fastrl.methods`; what differs by domain is in `fastrl.presets`.
"""

import dataclasses
import importlib
from typing import Any, ClassVar, Literal, TypeVar

from fastrl.errors import UserError

T = TypeVar("T")


def option(default: T, meaning: str, static: bool = False) -> T:
    """A dataclass field with one line of meaning, shown by `--help`.

    Numbers (floats) are leaves of a run: its rows may differ in them (`--sweep`). A `static` one decides the compiled
    program, as whole numbers, words and flags do.
    """
    return dataclasses.field(default=default, metadata={"help": meaning, "static": static})


def meaning(field: dataclasses.Field[Any]) -> str:
    """What an option is for; a plain field of an algorithm of one's own has nothing but its name."""
    return str(field.metadata.get("help", f"{field.name}, a field without a meaning (fastrl.option gives it one)"))


def as_field(field: dataclasses.Field[Any], value: Any) -> Any:
    """An option's value: a list or one number stands for a tuple of numbers, as in `actor_hidden=[256, 256]`."""
    if isinstance(field.default, tuple) and isinstance(value, (list, int)):
        return tuple(value) if isinstance(value, list) else (value,)
    return value


@dataclasses.dataclass(frozen=True)
class Options:
    """What the engine reads of any algorithm's options; a class of yours starts here, and adds `build`."""

    discount: float = option(0.99, "discount factor")
    batch_size: int = option(256, "rows of one minibatch")
    utd: int = option(1, "critic updates per environment step, each on a minibatch of its own")

    factory: ClassVar[str] = ""  # `module:function` of (options, spec); a class with a `build` of its own needs none
    needs_returns: ClassVar[bool] = False  # whether online rows need Monte-Carlo returns (Cal-QL)
    unused: ClassVar[tuple[str, ...]] = ()  # options of its bases that it does not read; whoever sets one is told

    def __post_init__(self) -> None:
        """Takes values as `as_field` does."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, as_field(field, getattr(self, field.name)))

    def build(self, spec: Any) -> Any:
        """The `fastrl.Algorithm` with these options for an environment's `fastrl.Spec`."""
        if not self.factory:
            raise UserError(f"{type(self).__name__} has no build(spec); write one that returns a fastrl.Algorithm")
        module, _, name = self.factory.partition(":")
        return getattr(importlib.import_module(module), name)(self, spec)


@dataclasses.dataclass(frozen=True)
class ActorCritic(Options):
    """What every algorithm with an actor has: networks, optimiser, batch."""

    actor_hidden: tuple[int, ...] = option((256, 256), "hidden layers of the actor")
    critic_hidden: tuple[int, ...] = option((256, 256), "hidden layers of each critic")
    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    actor_layer_norm: bool | None = option(None, "LayerNorm in the actor; none is as in the critics")
    dropout: float = option(0.0, "dropout rate in the actor while it learns", static=True)
    std: Literal["exp", "softplus", "scaled", "uniform", "fixed"] = option(
        "exp",
        "std of the policy: a head (exp, softplus; scaled has a learned scale and shift), state-independent (uniform), "
        "or fixed",
    )
    fixed_std: float = option(0.1, "std of the policy when std is fixed", static=True)
    kernel_scale: float = option(2.0**0.5, "orthogonal gain of the critics' hidden layers", static=True)
    kernel_scale_final: float | None = option(
        1e-2, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    tau: float = option(0.005, "step of the target networks towards the online ones")
    actor_lr: float = option(1e-4, "Adam learning rate of the actor")
    critic_lr: float = option(3e-4, "Adam learning rate of the critics (and of V)")
    weight_decay: float = option(0.0, "decoupled weight decay; above 0 Adam becomes AdamW")
    grad_clip: float | None = option(None, "global norm at which gradients are clipped")
    actor_grad_clip: float | None = option(None, "that of the actor's gradient; none is as grad_clip")
    cosine_steps: int | None = option(None, "steps of a cosine decay of the learning rates to 0")
    normalize_observations: bool = option(
        False, "observations are normalised by the dataset's mean and std, which are part of the agent"
    )
    actor: Any = option(None, "an actor of your own: a flax.linen module, or MODULE:NAME", static=True)
    critic: Any = option(None, "a critic of your own: a flax.linen module, or MODULE:NAME", static=True)
    actor_optimizer: Any = option(None, "the actor's optimiser: an optax transformation, or MODULE:NAME", static=True)
    critic_optimizer: Any = option(None, "the critics' optimiser: an optax transformation, or MODULE:NAME", static=True)


def reads(kind: type, option: str) -> bool:
    """Whether options of this class have this one, and its algorithm does something with it."""
    return hasattr(kind, option) and option not in getattr(kind, "unused", ())


def numbers(config: Options) -> dict[str, float]:
    """The options that are leaves of a run: floats that no program depends on."""
    return {
        field.name: value
        for field in dataclasses.fields(config)
        if isinstance(value := getattr(config, field.name), float) and not field.metadata.get("static")
    }


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a method is run. `None` is the paper's value for the environment's domain."""

    seeds: int = option(4, "independent runs, each with random streams of its own")
    seed: int = option(0, "base of the random streams; seed i draws the same whatever the number of seeds")
    first_seed: int = option(0, "number of the first seed, where several jobs share the seeds of one experiment")
    steps: int | None = option(None, "online environment steps, the warm-up's included")
    pretrain_steps: int | None = option(None, "offline gradient steps")
    warmup: int | None = option(None, "environment steps with the frozen pre-trained policy, before any update")
    num_envs: int = option(1, "copies of the environment in each seed")
    capacity: int | None = option(None, "rows of the replay ring; none is what the run can fill, at most 2 million")
    retention: Literal["none", "mixed", "append"] | None = option(
        None, "offline data online: none, a share of every batch (mixed), or put into the ring (append)"
    )
    offline_ratio: float | None = option(None, "share of offline rows in every batch where retention is mixed")
    offline_ratio_end: float | None = option(None, "the share that it moves to on a line; none is no change")
    offline_ratio_steps: int | None = option(None, "online steps until then; none is --steps")
    warmup_by: Literal["policy", "uniform", "untrained", "dataset"] | None = option(
        None,
        "what the warm-up's rows come from: the pre-trained policy, uniform actions, an untrained policy, or as many "
        "rows of the dataset; none is the recipe's own",
    )
    freeze_actor: int = option(0, "environment steps after the warm-up in which the critics learn alone")
    initialise: Literal["both", "actor", "critics", "neither"] = option(
        "both", "WSRL: the networks that are taken over from the offline agent"
    )
    reset_optimizers: bool = option(False, "WSRL: optimisers start anew at the switch")
    online: Literal["sac", "calql"] = option("sac", "WSRL: the loss that fine-tunes")
    pretrainer: Literal["calql", "cql", "iql"] | None = option(None, "offline agent that WSRL starts from")
    reevaluate: bool = option(True, "OCR-CFT: fit the critic anew to the offline policy; else keep the offline critic")
    align: bool = option(True, "OCR-CFT: align the critic with the policy before fine-tuning")
    reevaluate_steps: int | None = option(None, "gradient steps of the re-evaluation")
    align_steps: int | None = option(None, "gradient steps of the alignment")
    distil_steps: int = option(20_000, "gradient steps of cloning an agent of another class, where --from names one")
    eval_every: int | None = option(None, "steps between evaluations")
    eval_episodes: int | None = option(None, "episodes of an evaluation")
    switch_eval_every: int | None = option(
        None, "steps between evaluations in the first tenth of the steps that learn online; none is eval_every"
    )
    probe_every: int | None = option(
        None,
        "steps between diagnostics (Q, TD error, divergence from the policy that went online); 0 is none, none is "
        "eval_every",
    )
    eval_sampled: bool = option(False, "evaluations play the policy's samples too, beside its mode")
    chunk: int = option(50, "most steps in one call of the compiled scan; changes speed, never results")
    checkpoint_minutes: float = option(5.0, "minutes between checkpoints")
    hang_minutes: float | None = option(
        None,
        "minutes that one call of the scan may take, with what is saved after it, before the process ends itself and "
        "its launcher starts it again; none is any",
    )
    reward_scale: float | None = option(None, "rewards are multiplied by this, once")
    reward_bias: float | None = option(None, "and this is added")
    map_seeds: Literal["auto", "vmap", "sequential"] = option(
        "auto", "seeds side by side (accelerators) or one after the other inside the program (CPU)"
    )
    exact_seeds: bool = option(
        False,
        "where seeds go side by side, they do so in blocks of eight, filled up where some are missing: each has the "
        "same bits alone and beside others on one kind of device; one after the other they always have",
    )
    devices: str | None = option(
        None, "devices that share the seeds: a number, or all; none is one, and all where several processes run as one"
    )
    devices_per_seed: int = option(1, "devices that share one seed's minibatches, for networks that fill a device")
    on_nan: Literal["freeze", "stop"] | None = option(
        None,
        "when a seed's numbers stop being finite, freeze it at its last good update or stop the run; none is freeze "
        "where there are several seeds",
    )
    log: tuple[str, ...] = option(
        ("tensorboard",),
        "where curves go beside metrics.jsonl, in threads of their own: tensorboard, wandb, trackio, MODULE:NAME of "
        "yours, with commas between them, or none; a resume may have others",
    )
