"""Options that no phase uses are refused: whoever sets one believes that it does something. Runs no phase."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastrl.config import RunOptions, reads
from fastrl.engine.phase import Phase
from fastrl.methods import ALGORITHMS, Referenced, name_of
from fastrl.replay import fills
from fastrl.types import UserError

REPLAYED = ("warmup", "warmup_by", "freeze_actor", "offline_ratio_end", "offline_ratio_steps")
"""Run options of phases with an environment that learn from a ring, as on-policy ones do not."""

ONLINE = ("num_envs", "capacity", "retention", "offline_ratio", "switch_eval_every", *REPLAYED)
"""Run options of phases with an environment."""

SWITCH = ("initialise", "reset_optimizers", "online")
"""Run options of the recipe wsrl alone."""

OFFLINE = ("pretrain_steps", "pretrainer")
"""Run options of the offline phase."""

STAGES = ("reevaluate", "align", "reevaluate_steps", "align_steps", "distil_steps")
"""Run options of OCR-CFT's stages."""


def used(name: str, options: RunOptions, overrides: Mapping[str, Any], phases: Sequence[Phase], started: bool) -> None:
    """Refuses an option of an algorithm that no phase has, and a run option that no phase uses.

    `options` as they were given, `name` the recipe's; `started`: an agent replaced the offline phase.
    """
    if not phases:
        return
    who = f"{name} --from an agent" if started else name
    configs = [phase.config for phase in phases]
    for option, value in overrides.items():
        if "." in option:
            called = [phase.name for phase in phases]
            if (named := option.partition(".")[0]) not in called:
                raise UserError(f"{_flag(option)}: no phase of {who} is called {named}; it has {', '.join(called)}")
            continue
        has(who, [type(config) for config in configs], [option])
        if not any(hasattr(config, option) and getattr(config, option) in (value,) for config in configs):
            raise UserError(
                f"{option} belongs to the algorithm; write it into its configuration, "
                f"{type(configs[-1]).__name__}({option}={value!r})"
            )
    set_here = {
        field.name for field in dataclasses.fields(RunOptions) if getattr(options, field.name) not in (field.default,)
    }
    offline = [name_of(phase.config) for phase in phases if not phase.online]
    for option, why in idle(name, phases, started).items():
        _refuse(who, set_here.intersection([option]), why)
    if options.pretrainer not in (None, *offline):
        raise UserError(f"{who} is not pre-trained by {options.pretrainer}; leave --pretrainer out (it is wsrl's)")
    _retention(who, options, [phase for phase in phases if phase.online])


def idle(name: str, phases: Sequence[Phase], started: bool) -> dict[str, str]:
    """The run options that no phase of a recipe uses, and why; the arguments are those of `used`."""
    online = [phase for phase in phases if phase.online]
    found: dict[str, str] = {}
    if not online:
        found |= dict.fromkeys(ONLINE, "it is for steps in an environment")
    if all(phase.rollout > 1 for phase in online):
        found |= dict.fromkeys(REPLAYED, "it is for steps in an environment whose rows are replayed") | found
    if name != "wsrl":
        found |= dict.fromkeys(SWITCH, "it is for the recipe wsrl")
    if not any(isinstance(phase.config, Referenced) for phase in phases):
        found |= dict.fromkeys(STAGES, "it is for a stage of OCR-CFT (o2sac, o2td3, o2ppo)")
    if len(online) == len(phases):
        replaced = ", which the agent replaces" if started else ""
        found |= dict.fromkeys(OFFLINE, f"it is for an offline phase{replaced}")
    return dict(sorted(found.items()))


def has(who: str, kinds: Sequence[type], options: Iterable[str]) -> None:
    """Refuses an option of an algorithm that none of these have."""
    for option in options:
        if not any(reads(kind, option) for kind in kinds):
            owners = [name for name, kind in ALGORITHMS.items() if reads(kind, option)]
            raise UserError(
                f"no phase of {who} has {_flag(option)}; it is an option of {', '.join(owners)}; leave it out"
            )


def _retention(who: str, options: RunOptions, online: Sequence[Phase]) -> None:
    """Refuses a wish for the offline data that the online phases do not follow."""
    mixed, append = (
        any(phase.offline_ratio for phase in online),
        any(phase.fill is fills.EVERYTHING for phase in online),
    )
    wish, ratio = options.retention, options.offline_ratio
    if ratio and not mixed:
        _refuse(who, {"offline_ratio"}, "its online phases learn from no offline data")
    if (wish == "append" and not append) or (wish == "mixed" and ratio != 0 and not mixed):
        found = "in every batch" if mixed else "not at all"
        raise UserError(f"no phase of {who} has --retention {wish}: offline data is used {found}; leave it out")
    if wish == "none" and (mixed or append):
        raise UserError(f"{who} has offline data in every batch; leave --retention none out, or name another recipe")


def _refuse(who: str, options: Iterable[str], why: str) -> None:
    for option in sorted(options):
        raise UserError(f"no phase of {who} uses {_flag(option)}: {why}; leave it out")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
