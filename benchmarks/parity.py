"""Teacher-forced parity of our environments with C MuJoCo, one JSON line an environment.

    python benchmarks/parity.py halfcheetah hopper walker2d ant pointmaze-umaze pointmaze-medium pointmaze-large
    python benchmarks/parity.py hopper --states FILE.hdf5    # a D4RL file with the simulator's states

Every row is set in both simulators and stepped once: random actions from C's own episodes, or a
file's states and actions (float32; warm starts unknown, so both start from none). PointMaze needs
gymnasium-robotics. `max_observation_error_converged` repeats it with C's solver tolerance at 0: C itself stops up to
1e-6 short of its optimum now and then.
"""

import argparse
import dataclasses
import functools
import importlib
import json
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.envs import antmaze, make

Rows = dict[str, np.ndarray]
LOCOMOTION = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d", "ant": "Ant"}
FORCED = ("qpos", "qvel", "warm", "torso", "action")
UPSTREAM = {"umaze": "UMaze", "medium": "Medium", "large": "Large"}


def reference(name: str, version: str = "v5") -> Any:
    """The C environment, unwrapped."""
    if name in LOCOMOTION:
        return gymnasium.make(f"{LOCOMOTION[name]}-{version}").unwrapped
    if name.startswith("antmaze"):
        return AntMazeInC(name)
    importlib.import_module("gymnasium_robotics")  # registers its environments
    return gymnasium.make(f"PointMaze_{UPSTREAM[name.split('-')[1]]}-v3").unwrapped


class AntMazeInC:
    """Our maze's model in C with the stock solver's limits, and the task written out."""

    def __init__(self, name: str) -> None:
        env: Any = make(name)
        maze = env.env.maze
        self.model = antmaze.compile_ant(maze, "d4rl")
        self.model.opt.iterations, self.model.opt.ls_iterations = 100, 50
        self.data = mujoco.MjData(self.model)
        self.goal = 4.0 * (np.array(maze.goal)[::-1] - 1) + 0.75

    def reset(self, seed: int) -> None:
        """Nothing is random here."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One environment step."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, 5)
        reached = bool(np.linalg.norm(self.data.qpos[:2] - self.goal) <= 0.5)
        return np.concatenate([self.data.qpos, self.data.qvel]), float(reached), reached, False, {}


def touching(env: Any) -> bool:
    """Whether something touches a wall."""
    types = env.model.geom_type[env.data.contact.geom]
    return bool((types == mujoco.mjtGeom.mjGEOM_BOX).any())


def from_c(name: str, steps: int, exact: bool, version: str = "v5") -> Rows:
    """Random episodes in C, an action held for a while in a maze so that walls are met."""
    env, random = reference(name, version), np.random.default_rng(0)
    if exact:
        env.model.opt.tolerance = 0
    env.reset(seed=0)
    hold = 1 if name in LOCOMOTION else 25
    low, high = env.action_space.low, env.action_space.high
    rows: dict[str, list[Any]] = {}
    fresh, elapsed = True, 0
    for i in range(steps):
        if i % hold == 0:
            action = random.uniform(low, high)
        warm = np.zeros(len(env.data.qvel)) if fresh else env.data.qacc_warmstart.copy()
        row = {"qpos": env.data.qpos.copy(), "qvel": env.data.qvel.copy(), "warm": warm}
        row |= {"torso": env.data.xpos[1, :2].copy(), "contacts": env.data.ncon}
        obs, reward, fresh, _, _ = env.step(action)
        if name not in LOCOMOTION:
            reward = float(np.linalg.norm(env.data.qpos - ours_goal(name)) <= 0.45)
            fresh, obs = False, obs["observation"]
        row |= {"action": action, "obs": obs, "reward": reward}
        row["terminated"] = fresh if name in LOCOMOTION else bool(reward)
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
        elapsed = 0 if fresh else elapsed + 1
        if fresh or (name in LOCOMOTION and elapsed == 1000):
            env.reset()
            fresh, elapsed = True, 0
    return {key: np.array(value) for key, value in rows.items()}


def ours_goal(name: str) -> np.ndarray:
    """The evaluation goal [2] of our maze."""
    limited: Any = make(name)
    maze = limited.env.maze
    return maze.centre(maze.goal)


def from_file(name: str, path: str, steps: int, exact: bool, version: str = "v5") -> Rows:
    """States and actions of a file, stepped in C without a warm start."""
    with h5py.File(path) as file:
        index = np.linspace(0, len(file["actions"]) - 1, steps).astype(int)
        actions = file["actions"][:][index].astype(float)
        if "infos/qpos" in file:
            qpos, qvel = (file[key][:][index].astype(float) for key in ("infos/qpos", "infos/qvel"))
        else:  # AntMaze's observations are complete states
            qpos, qvel = np.split(file["observations"][:][index].astype(float), [15], axis=1)
    env = reference(name, version)
    if exact:
        env.model.opt.tolerance = 0
    env.reset(seed=0)
    rows: dict[str, list[Any]] = {"obs": [], "reward": [], "terminated": [], "contacts": [], "walls": []}
    for p, v, action in zip(qpos, qvel, actions):
        mujoco.mj_resetData(env.model, env.data)
        env.data.qpos[:], env.data.qvel[:] = p, v
        mujoco.mj_forward(env.model, env.data)
        walls = touching(env)
        env.data.qacc_warmstart[:] = 0
        obs, reward, terminated, _, _ = env.step(action)
        for key, value in zip(rows, (obs, reward, terminated, env.data.ncon, walls or touching(env))):
            rows[key].append(value)
    c = {key: np.array(value) for key, value in rows.items()}
    return c | {"qpos": qpos, "qvel": qvel, "warm": np.zeros_like(qvel), "torso": qpos[:, :2], "action": actions}


def forced(state: Any, warm: jax.Array, torso: jax.Array) -> Any:
    """Our timed state with C's warm start, and C's (lagging) torso where the task reads it."""
    inner = state.env
    if hasattr(inner, "torso"):
        physics = dataclasses.replace(inner.physics, warmstart=warm)
        inner = dataclasses.replace(inner, physics=physics, torso=torso)
    elif hasattr(inner, "warmstart"):
        inner = dataclasses.replace(inner, warmstart=warm)
    return dataclasses.replace(state, env=inner)


def one_step(env: Any) -> Any:
    """Our step from a row: qpos, qvel, C's warm start, its torso and the action."""

    def one(qpos: jax.Array, qvel: jax.Array, warm: jax.Array, torso: jax.Array, action: jax.Array) -> Any:
        state, _ = env.from_physics(qpos, qvel)
        return env.step(jax.random.key(0), forced(state, warm, torso), action)[1]

    return one


@functools.cache
def stepper(name: str, x64: bool, version: str | None) -> Any:
    """Our step from each row, compiled once."""
    options: dict[str, Any] = {"version": version} if version else {}
    one = one_step(make(name, **options))
    return jax.jit(lambda *rows: jax.lax.map(lambda row: one(*row), rows))


def errors(name: str, rows: Rows, x64: bool, version: str | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Each row's worst observation error [M], reward error [M], and differing terminations."""
    with jax.enable_x64(x64):
        return apart(stepper(name, x64, version), rows)


def apart(step: Any, rows: Rows) -> tuple[np.ndarray, np.ndarray, int]:
    """How far the steps of all rows are from C's, as `errors` returns it."""
    out = jax.tree.map(np.array, step(*(jnp.asarray(rows[k], float) for k in FORCED)))
    obs = np.abs(out.obs - rows["obs"]).max(1)
    return obs, np.abs(out.reward - rows["reward"]), int((out.terminated != rows["terminated"]).sum())


def quantiles(error: np.ndarray) -> dict[str, float]:
    """Median, 99 % and maximum."""
    values = np.quantile(error, [0.5, 0.99, 1.0])
    return dict(zip(("median", "q99", "max"), map(float, values)))


def main() -> None:
    """Prints one JSON line an environment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("envs", nargs="+", help=f"{', '.join(LOCOMOTION)} or pointmaze-*")
    parser.add_argument("--states", help="D4RL-layout HDF5 file with simulator states to take rows from")
    parser.add_argument("--version", help="Gymnasium's v4 or v5 (default: v5)")
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    version = {"version": options.version} if options.version else {}
    for name in options.envs:

        def recorded(exact: bool, name: str = name) -> Rows:
            if options.states:
                return from_file(name, options.states, options.steps, exact, **version)
            return from_c(name, options.steps, exact, **version)

        rows = recorded(exact=False)
        line: dict[str, Any] = {
            "env": name,
            **version,
            "behaviour": Path(options.states).stem if options.states else "random",
            "steps": options.steps,
            "terminations": int(rows["terminated"].sum()),
            "most_contacts": int(rows["contacts"].max()),
        }
        for precision, x64 in (("float64", True), ("float32", False)):
            obs, reward, mismatches = errors(name, rows, x64, **version)
            line[precision] = {
                "observation_error": quantiles(obs),
                "reward_error": quantiles(reward),
                "termination_mismatches": mismatches,
            }
        if rows.get("walls", np.zeros(1)).any():
            walls = rows["walls"].astype(bool)
            obs = errors(name, rows, True, **version)[0]
            line["share_touching_walls"] = float(walls.mean())
            line["float64_touching"] = {"observation_error": quantiles(obs[walls])}
            line["float64_free"] = {"observation_error": quantiles(obs[~walls])}
        exact = errors(name, recorded(exact=True), x64=True, **version)[0]
        line["max_observation_error_converged"] = float(exact.max())
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
