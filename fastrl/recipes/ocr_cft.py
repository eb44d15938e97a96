"""OCR-CFT (arXiv 2412.18855): keep the offline policy, fit its critic anew, align them, fine-tune under a constraint.

Each phase can be left out: `--no-reevaluate` keeps the offline critic, `--no-align` fine-tunes the re-evaluated one,
`--no-constrain` drops the reference from fine-tuning.
"""

import dataclasses
from typing import Any

from fastrl import presets
from fastrl.algorithms import group, reference, transfer
from fastrl.config import ActorCritic
from fastrl.engine.phase import Phase, keep
from fastrl.methods import ALGORITHMS, Referenced
from fastrl.planning.builder import Builder
from fastrl.recipes import ocr_cft_defaults
from fastrl.recipes.wsrl import adopt_all
from fastrl.replay import returns
from fastrl.types import State

RATIO = 0.5  # offline rows of a batch while fine-tuning


def o2sac(builder: Builder) -> list[Phase]:
    """CQL -> re-evaluation -> value alignment -> constrained SAC."""
    config: Any = builder.config("o2sac", **_defaults(builder, "o2sac"))
    shapes = ("actor_hidden", "critic_hidden", "std", "kernel_scale", "kernel_scale_final", "layer_norm")
    shared = {name: getattr(config, name) for name in (*shapes, "actor_layer_norm", "num_critics")}
    offline = builder.config("cql", **shared, subset_size=config.subset_size, **_defaults(builder, "cql"))
    return staged(builder, offline, config)


def o2td3(builder: Builder) -> list[Phase]:
    """TD3+BC -> re-evaluation -> value alignment -> constrained TD3."""
    config = builder.config("o2td3", **_defaults(builder, "o2td3"))
    shapes = ("actor_hidden", "critic_hidden", "actor_layer_norm", "layer_norm", "kernel_scale")
    offline = builder.config("td3bc", **{name: getattr(config, name) for name in shapes})
    return staged(builder, offline, config)


def o2ppo(builder: Builder) -> list[Phase]:
    """IQL -> the value from Monte-Carlo returns -> PPO with an auxiliary advantage."""
    config: Any = builder.config("o2ppo", **return_scale(builder), **_defaults(builder, "o2ppo"))
    actor = {"actor_hidden": config.actor_hidden, "tanh_mean": True}
    offline = builder.config("iql", **actor, **_defaults(builder, "iql"))
    phases = [builder.offline(offline)]
    if builder.options.reevaluate:
        value = dataclasses.replace(config, stage="reevaluate", batch_size=builder.overrides.get("batch_size", 512))
        steps = builder.options.reevaluate_steps
        phases.append(builder.offline(value, "reevaluate", steps, first_entry, moves_policy=False))
    return [*phases, *builder.on_policy(config, entry=fitted_entry)]


def return_scale(builder: Builder) -> dict[str, float]:
    """On HalfCheetah, whose returns are large, rewards are divided by the std of the dataset's discounted return."""
    data = builder.data
    if builder.spec.name != "halfcheetah" or data is None:
        return {}
    scale, bias = builder.reward
    std = returns.running_std(data.reward * scale + bias, data.boundary, builder.config("o2ppo").discount)
    return {"return_scale": std} if std > 0 else {}


def fitted_entry(fresh: State, previous: State | None) -> State:
    """As `last_entry`; the value's optimiser starts anew, as its learning rate falls by the steps that it has taken."""
    state = last_entry(False)(fresh, previous)
    return dataclasses.replace(state, value=dataclasses.replace(state.value, opt=fresh.value.opt))


def _defaults(builder: Builder, name: str) -> dict[str, Any]:
    """The paper's options for this task and dataset; with a reference at intervals the limit ends at a quarter."""
    found = ocr_cft_defaults.options(name, builder.spec.name, builder.spec.domain, builder.dataset)
    if builder.overrides.get("reference") == "interval":
        found |= ocr_cft_defaults.interval(name, builder.spec.name, builder.dataset)
        if name in ("o2sac", "o2td3"):
            plain: Any = ALGORITHMS[name]()
            found["constraint_end"] = found.get("constraint_end", plain.constraint_end) / 4
    return found


def staged(builder: Builder, offline: ActorCritic, config: ActorCritic) -> list[Phase]:
    """The phases of O2SAC and O2TD3."""
    options = builder.options
    phases, entry = [builder.offline(offline)], first_entry if options.reevaluate else with_critic
    for stage, wanted, steps in (
        ("reevaluate", options.reevaluate, options.reevaluate_steps),
        ("align", options.align, options.align_steps),
    ):
        if wanted:
            own = dataclasses.replace(config, stage=stage)  # type: ignore[call-arg]
            phases.append(builder.offline(own, stage, steps, entry, moves_policy=stage != "reevaluate"))
            entry = keep
    start = last_entry(options.align) if options.align or options.reevaluate else entry
    ratio = RATIO if options.offline_ratio is None else options.offline_ratio
    warmup = presets.warmup(builder.domain) if options.warmup is None else options.warmup
    return [*phases, *builder.online(config, warmup=warmup, ratio=ratio, entry=start, minibatches=1)]


def first_entry(fresh: State, previous: State | None) -> State:
    """From an offline agent its policy alone; everything else is fresh. The policy is the first reference."""
    return fresh if previous is None else with_policy(fresh, previous)


def with_critic(fresh: State, previous: State | None) -> State:
    """As `first_entry`, with the offline critic kept (`--no-reevaluate`)."""
    if previous is None:
        return fresh
    taken = transfer.adopt(fresh, previous, fields=("critic",), reset_optimizer=True)
    return with_policy(taken, previous)


def whole_entry(config: Any) -> Any:
    """The entry where an agent goes on with everything that it has: OCR-CFT's reference is its policy."""
    return continued if isinstance(config, Referenced) else adopt_all


def continued(fresh: State, previous: State | None) -> State:
    """Everything of an agent of the same method; of another one its policy, and its critic where both have one."""
    if previous is None or type(previous) is type(fresh):
        return adopt_all(fresh, previous)
    return with_critic(fresh, previous) if hasattr(fresh, "critic") else with_policy(fresh, previous)


def with_policy(fresh: State, previous: State) -> State:
    """`fresh` with the previous agent's policy as its actor, offline policy and reference."""
    state = transfer.adopt(fresh, previous, fields=("actor",), reset_optimizer=True)
    policy = state.actor.params
    actor = state.actor if state.actor.target is None else group.synchronise(state.actor)
    known = dataclasses.replace(state.reference, params=policy)
    state = dataclasses.replace(state, actor=actor, reference=known)
    if any(field.name == "offline" for field in dataclasses.fields(state)):
        state = dataclasses.replace(state, offline=policy)
    return state


def last_entry(aligned: bool) -> Any:
    """The entry of fine-tuning: after alignment the targets become copies, and the better policy the reference."""

    def entry(fresh: State, previous: State | None) -> State:
        if previous is None:
            return fresh
        if type(previous) is not type(fresh):  # every stage before was left out
            return first_entry(fresh, previous)
        state = previous
        if aligned:
            state = dataclasses.replace(state, critic=group.synchronise(state.critic))
            if getattr(state.actor, "target", None) is not None:
                state = dataclasses.replace(state, actor=group.synchronise(state.actor))
        chosen = reference.adopted(state.reference, state.actor.params)
        return dataclasses.replace(state, reference=chosen)

    return entry
