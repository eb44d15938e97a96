"""Teacher-forced parity of our environments with C MuJoCo, one JSON line an environment.

    python benchmarks/parity.py hopper pointmaze-umaze pointmaze-medium pointmaze-large
    python benchmarks/parity.py hopper --states FILE.hdf5    # a D4RL file with infos/qpos, infos/qvel

Every row is set in both simulators and stepped once: random actions from C's own episodes, or a
file's states and actions (float32; warm starts unknown, so both start from none). PointMaze needs
gymnasium-robotics. `max_observation_error_converged` repeats it with C's solver tolerance at 0: C itself stops up to
1e-6 short of its optimum now and then.
"""

import argparse
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

from fastrl.envs import make

Rows = dict[str, np.ndarray]
UPSTREAM = {"umaze": "UMaze", "medium": "Medium", "large": "Large"}


def reference(name: str) -> Any:
    """The C environment, unwrapped."""
    if name == "hopper":
        return gymnasium.make("Hopper-v5").unwrapped
    importlib.import_module("gymnasium_robotics")  # registers its environments
    return gymnasium.make(f"PointMaze_{UPSTREAM[name.split('-')[1]]}-v3").unwrapped


def from_c(name: str, steps: int, exact: bool) -> Rows:
    """Random episodes in C, an action held for a while in a maze so that walls are met."""
    env, random = reference(name), np.random.default_rng(0)
    if exact:
        env.model.opt.tolerance = 0
    env.reset(seed=0)
    hold, size = (1, 3) if name == "hopper" else (25, 2)
    rows: dict[str, list[Any]] = {}
    fresh = True
    for i in range(steps):
        if i % hold == 0:
            action = random.uniform(-1, 1, size)
        warm = np.zeros(len(env.data.qvel)) if fresh else env.data.qacc_warmstart.copy()
        row = {"qpos": env.data.qpos.copy(), "qvel": env.data.qvel.copy(), "warm": warm}
        obs, reward, fresh, _, _ = env.step(action)
        if name != "hopper":
            reward = float(np.linalg.norm(env.data.qpos - ours_goal(name)) <= 0.45)
            fresh, obs = False, obs["observation"]
        row |= {"action": action, "obs": obs, "reward": reward}
        row["terminated"] = fresh if name == "hopper" else bool(reward)
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
        if fresh:
            env.reset()
    return {key: np.array(value) for key, value in rows.items()}


def ours_goal(name: str) -> np.ndarray:
    """The evaluation goal [2] of our maze."""
    limited: Any = make(name)
    maze = limited.env.maze
    return maze.centre(maze.goal)


def from_file(name: str, path: str, steps: int, exact: bool) -> Rows:
    """States and actions of a file, stepped in C without a warm start."""
    with h5py.File(path) as file:
        index = np.linspace(0, len(file["actions"]) - 1, steps).astype(int)
        qpos, qvel, actions = (file[key][:][index].astype(float) for key in ("infos/qpos", "infos/qvel", "actions"))
    env = reference(name)
    if exact:
        env.model.opt.tolerance = 0
    env.reset(seed=0)
    rows: dict[str, list[Any]] = {"obs": [], "reward": [], "terminated": []}
    for p, v, action in zip(qpos, qvel, actions):
        mujoco.mj_resetData(env.model, env.data)
        env.data.qpos[:], env.data.qvel[:] = p, v
        obs, reward, terminated, _, _ = env.step(action)
        for key, value in zip(rows, (obs, reward, terminated)):
            rows[key].append(value)
    c = {key: np.array(value) for key, value in rows.items()}
    return c | {"qpos": qpos, "qvel": qvel, "warm": np.zeros_like(qvel), "action": actions}


def errors(name: str, rows: Rows, x64: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Each row's worst observation error [M], reward error [M], and differing terminations."""
    with jax.enable_x64(x64):
        env: Any = make(name)

        def one(qpos: jax.Array, qvel: jax.Array, warm: jax.Array, action: jax.Array) -> Any:
            state, _ = env.from_physics(qpos, qvel)
            if hasattr(state.env, "warmstart"):
                physics = type(state.env)(state.env.qpos, state.env.qvel, warm)
                state = type(state)(physics, state.elapsed)
            return env.step(jax.random.key(0), state, action)[1]

        arrays = [jnp.asarray(rows[k], float) for k in ("qpos", "qvel", "warm", "action")]
        out = jax.tree.map(np.array, jax.jit(lambda *a: jax.lax.map(lambda r: one(*r), a))(*arrays))
    obs = np.abs(out.obs - rows["obs"]).max(1)
    return obs, np.abs(out.reward - rows["reward"]), int((out.terminated != rows["terminated"]).sum())


def quantiles(error: np.ndarray) -> dict[str, float]:
    """Median, 99 % and maximum."""
    values = np.quantile(error, [0.5, 0.99, 1.0])
    return dict(zip(("median", "q99", "max"), map(float, values)))


def main() -> None:
    """Prints one JSON line an environment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("envs", nargs="+", help="hopper or pointmaze-*")
    parser.add_argument("--states", help="D4RL-layout HDF5 file (hopper) to take rows from")
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    for name in options.envs:

        def recorded(exact: bool, name: str = name) -> Rows:
            if options.states:
                return from_file(name, options.states, options.steps, exact)
            return from_c(name, options.steps, exact)

        rows = recorded(exact=False)
        line: dict[str, Any] = {
            "env": name,
            "behaviour": Path(options.states).stem if options.states else "random",
            "steps": options.steps,
            "terminations": int(rows["terminated"].sum()),
        }
        for precision, x64 in (("float64", True), ("float32", False)):
            obs, reward, mismatches = errors(name, rows, x64)
            line[precision] = {
                "observation_error": quantiles(obs),
                "reward_error": quantiles(reward),
                "termination_mismatches": mismatches,
            }
        exact = errors(name, recorded(exact=True), x64=True)[0]
        line["max_observation_error_converged"] = float(exact.max())
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
