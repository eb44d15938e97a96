"""What the claims are tested on: tasks of two budgets, chosen and sized before any result was known, or said otherwise.

`small` is for two CPU cores and has data made here; `paper` has the paper's tasks, networks and steps, and needs its
datasets (Minari's) and an accelerator.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastrl import presets
from fastrl.collect import collect, levels, players, walkers
from fastrl.data import d4rl
from fastrl.experiments.figures import Agent, Task


def scripted_maze(env: str, options: dict[str, int], steps: int) -> Callable[[Path], None]:
    """Writes data of a ball that wanders through a maze, one episode in twenty towards the goal."""

    def write(path: Path) -> None:
        player = walkers.pointmaze(noise=1.0, max_distance=10, goal_fraction=0.05)
        d4rl.write(path, collect.collect(env, player, options=options, steps=steps))

    return write


def of_level(env: str, level: str, steps: int) -> Callable[[Path], None]:
    """Writes data of the behaviour policies of a level (`fastrl collect ENV FILE --behaviour LEVEL`)."""

    def write(path: Path) -> None:
        behaviour = levels.find(env)
        player = players.policy(behaviour.sampler(behaviour.chosen(level)), 0.0)
        d4rl.write(path, collect.collect(env, player, steps=steps, copies=20))

    return write


ENSEMBLE = {"num_critics": 5, "layer_norm": True}
"""Critics of every arm, so that all of them start from the same agents."""

MAZE_OPTIONS = {"frame_skip": 4, "horizon": 250}

MAZE = Task(
    name="maze",
    env="pointmaze-large",
    why="a sparse reward and a long way to it, as in AntMaze, with a body that two cores can simulate; the goal is not "
    "observed and one logged episode in twenty heads for it, so that the offline policy gets there about every second "
    "time and most of what it will meet online is not in the data",
    dataset=scripted_maze("pointmaze-large", MAZE_OPTIONS, 20_000),
    env_options=MAZE_OPTIONS,
    domain=dataclasses.replace(
        presets.DOMAINS["pointmaze"],
        shared={**presets.DOMAINS["pointmaze"].shared, "batch_size": 64, "layer_norm": True},
    ),
    pretrain_steps=3_000,
    agents={name: Agent(name, ENSEMBLE) for name in ("calql", "cql", "iql")},
    networks=ENSEMBLE,
    initial="calql",
    online={"steps": 6_000, "eval_every": 300, "eval_episodes": 40, "switch_eval_every": 100},
    warmup=1_000,
    warmups=(500, 4_000),
)

SMALL_NETWORKS: dict[str, Any] = {
    "actor_hidden": (64, 64),
    "critic_hidden": (64, 64),
    "batch_size": 128,
    "actor_lr": 3e-4,
    "critic_lr": 1e-3,
    "temperature_lr": 3e-4,
    "cql_actions": 4,
    "backup_actions": 4,
}

LOCOMOTION = dataclasses.replace(presets.DOMAINS["locomotion"], shared=SMALL_NETWORKS)

HOPPER = Task(
    name="hopper",
    env="hopper",
    why="a dense reward and a fall that ends the episode, so that what fine-tuning unlearns shows at once; data of a "
    "policy that earns a third of an expert's return, as D4RL's medium",
    dataset=of_level("hopper", "medium", 50_000),
    domain=dataclasses.replace(LOCOMOTION, shared={**SMALL_NETWORKS, **ENSEMBLE}),
    pretrain_steps=30_000,  # after 5,000, the first choice, Cal-QL had learnt nothing yet: docs/claims.md
    agents={name: Agent(name, ENSEMBLE) for name in ("calql", "cql", "iql")},
    networks=ENSEMBLE,
    initial="cql",
    online={"steps": 4_000, "eval_every": 400, "eval_episodes": 10, "switch_eval_every": 100},
    warmup=800,
    warmups=(512, 2_400),
)

SMALL_TRANSFORMER: dict[str, Any] = {
    **{"token_width": 64, "layers": 2, "heads": 2, "batch_size": 64},
    **{"actor_lr": 1e-3, "warmup_steps": 100},  # the paper's 1e-4 is reached after 10,000 steps
}

ITERATIONS = 20 * 2_048  # environment steps of O2PPO, in iterations of 2,048
STAGES = {"reevaluate_steps": 4_000, "align_steps": 3_000}

HOPPER_MEDIUM = Task(
    name="hopper-medium",
    env="hopper",
    why="the least costly of the paper's locomotion tasks, with the kind of data of which its figures show most; "
    "limits and weights that move do so over the run, as they do over the paper's",
    dataset=of_level("hopper", "medium", 50_000),
    domain=LOCOMOTION,
    pretrain_steps=6_000,
    agents={
        "cql": Agent("o2sac"),
        "td3bc": Agent("o2td3"),
        "iql": Agent("o2ppo", steps=20_000),
        "xql": Agent("proto"),
        "odt": Agent("odt", SMALL_TRANSFORMER, steps=1_200),
    },
    distil_steps=3_000,
    online={"steps": 2_000, "eval_every": 200, "eval_episodes": 10},
    by_recipe={
        "o2sac": {**STAGES, "constraint_steps": 2_000.0},
        "o2td3": {**STAGES, "steps": 6_000, "eval_every": 600, "constraint_steps": 6_000.0},
        "o2ppo": {
            **{"reevaluate_steps": 4_000, "steps": ITERATIONS, "eval_every": 4_096, "actor_lr": 1e-4},
            **{"linear_steps": ITERATIONS, "auxiliary_steps": float(ITERATIONS)},
        },
        "proto": {"regularization_steps": 20_000 / 0.9},
        "proto-td3": {"steps": 6_000, "eval_every": 600, "regularization_steps": 60_000 / 0.9},
    },
    warmup=200,
)

SMALL: dict[str, Task] = {task.name: task for task in (MAZE, HOPPER, HOPPER_MEDIUM)}


def of_wsrl(env: str, dataset: str, initial: str = "calql", **sizes: Any) -> Task:
    """A task of WSRL's paper at its sizes; all arms have the networks of WSRL's agents (the paper's figure 28)."""
    networks = {"num_critics": 10, "layer_norm": True}
    return Task(
        name=env,
        env=env,
        why="the paper's",
        dataset=dataset,
        agents={name: Agent(name, networks) for name in ("calql", "cql", "iql")},
        networks=networks,
        initial=initial,
        online={"steps": 500_000, "eval_every": 20_000, "eval_episodes": 20, "switch_eval_every": 2_000},
        warmup=5_000,
        warmups=(1_000, 20_000),
        **sizes,
    )


def of_ocr_cft(env: str, dataset: str) -> Task:
    """A task of OCR-CFT's paper; its steps are the recipes' own."""
    recipes = {"cql": "o2sac", "td3bc": "o2td3", "iql": "o2ppo", "xql": "proto", "odt": "odt"}
    steps = {"xql": 100_000, "odt": 5_000}
    return Task(
        name=f"{env} ({dataset.rpartition('/')[2]})",
        env=env,
        why="the paper's",
        dataset=dataset,
        agents={name: Agent(recipe, steps=steps.get(name)) for name, recipe in recipes.items()},
        pretrain_steps=1_000_000,
        online={"eval_episodes": 10},
        warmup=1_000,
    )


PAPER: dict[str, Task] = {
    task.name: task
    for task in (
        of_wsrl("kitchen-partial", "D4RL/kitchen/partial-v2", pretrain_steps=250_000),
        of_wsrl("kitchen-mixed", "D4RL/kitchen/mixed-v2", pretrain_steps=250_000),
        of_wsrl("kitchen-complete", "D4RL/kitchen/complete-v2", pretrain_steps=250_000),
        of_wsrl("antmaze-large-play", "D4RL/antmaze/large-play-v1", pretrain_steps=1_000_000),
        of_wsrl("antmaze-large-diverse", "D4RL/antmaze/large-diverse-v1", pretrain_steps=1_000_000),
        of_ocr_cft("hopper", "mujoco/hopper/medium-v0"),
        of_ocr_cft("walker2d", "mujoco/walker2d/medium-v0"),
        of_ocr_cft("halfcheetah", "mujoco/halfcheetah/medium-v0"),
    )
}
