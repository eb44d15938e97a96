"""OCR-CFT's defaults by task and by dataset (the released configurations). Plain data, and how it is found by names.

A dataset is of the expert kind where its name says `expert` (expert, medium-expert): policies from it are narrow, so
that the limits of the constraint are smaller. PAPERS.md lists where the released code is not followed.
"""

import math
from typing import Any

SMALL = {"reevaluate_steps": 1_500, "align_steps": 1_500}
"""PointMaze, in minutes on a CPU."""

LONG = {"pretrain_steps": 1_000_000, "reevaluate_steps": 500_000, "align_steps": 500_000}
MUJOCO = {**LONG, "steps": 100_000, "warmup": 1_000, "eval_every": 1_000, "eval_episodes": 10}
ANTMAZE = {**LONG, "align_steps": 1_000_000, "steps": 200_000, "warmup": 5_000, "eval_every": 5_000}
FITTED = {"reevaluate_steps": 1_000_000, "steps": 250_000, "eval_every": 2_500}
"""O2PPO: V is fitted for longer, and there is no alignment."""


def run(recipe: str, domain: str) -> dict[str, Any]:
    """Run options of `o2sac`, `o2td3` and `o2ppo` on a domain."""
    if domain == "pointmaze":
        return dict(SMALL)
    own: dict[str, Any] = {**ANTMAZE, "eval_episodes": 100} if domain == "antmaze" else dict(MUJOCO)
    if recipe == "o2ppo":
        own |= FITTED
    if domain == "antmaze" and recipe != "o2sac":
        own |= {"reward_scale": 1.0, "reward_bias": -1.0}
    return own


def expert(dataset: str) -> bool:
    """Whether a dataset's name says that an expert is in it."""
    return "expert" in dataset.lower()


def large(env: str) -> bool:
    """Whether an environment is one of the medium and large AntMazes."""
    return env.startswith(("antmaze-medium", "antmaze-large", "antmaze-ultra"))


def interval(name: str, env: str, dataset: str) -> dict[str, Any]:
    """Options of `o2sac`, `o2td3` and `o2ppo` where the reference is the policy at intervals: longer on expert data."""
    alone = expert(dataset) and "medium" not in dataset.lower()
    slow = {"reference_interval": 10, "actor_grad_clip": 0.25}
    if name in ("o2sac", "o2td3") and env == "hopper" and expert(dataset):
        return slow
    if name == "o2td3" and env == "walker2d" and alone:
        return slow
    return {"reference_interval": 4} if name == "o2ppo" and env == "hopper" and alone else {}


def options(name: str, env: str, domain: str, dataset: str) -> dict[str, Any]:
    """Options of an algorithm (`o2sac`, `o2td3`, `o2ppo`, and `cql`, `iql` before them) on a task."""
    maze = domain == "antmaze"
    found: dict[str, Any] = {"normalize_observations": domain not in ("antmaze", "pointmaze")}
    if name == "o2sac":
        found |= {"constraint_start": 0.005, "constraint_end": 0.125} if expert(dataset) else {}
        found |= {"initial_temperature": 0.5} if expert(dataset) or large(env) else {}
        found |= {"critic_hidden": (256,) * 5, "num_critics": 1, "subset_size": 1, "std": "scaled"} if maze else {}
        found |= {"initial_multiplier": 2.0} if large(env) else {}
    if name == "cql":
        sure = {"alpha": 5.0, "gap": 0.8, "clip_gap": 200.0, "actor_lr": 1e-4, "backup": "max_actions"}
        plain = {"alpha": 10.0, "actor_lr": 3e-5, "backup": "sample"}
        found |= {"penalized": "all", "temperature_lr": 3e-4, **(sure if maze else plain)}
    if name == "o2td3":
        narrow = {"exploration_noise": 0.05, "constraint_start": 2.5e-5, "constraint_end": 6.25e-4}
        found |= narrow if expert(dataset) else {}
        found |= {"layer_norm": False, "critic_hidden": (256, 256)} if maze else {}
        found["normalize_observations"] = domain != "pointmaze"
    if name == "o2ppo":
        found |= {"critic_hidden": (256, 256, 256)} if maze else {}
        found |= {"auxiliary_steps": 500_000.0} if expert(dataset) else {}
        found |= {"epochs": 5, "max_log_std": math.log(0.05)} if expert(dataset) and env == "hopper" else {}
        found["normalize_observations"] = True
    if name == "iql":
        found |= {"cosine_steps": 1_000_000, "normalize_observations": True}
    return found
