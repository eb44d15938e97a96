"""Plays a trained policy and writes the film, and for mazes the picture of its ways."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.agent import Agent
from fastrl.engine.playing import begun, player_of
from fastrl.envs import Rescale, host
from fastrl.planning import request as requests
from fastrl.reports import drawn, film, video
from fastrl.reports.film import Clip
from fastrl.runs import manifest
from fastrl.types import Environment, UserError


def render(
    agent: Agent,
    env: str | Environment,
    out: str | Path,
    *,
    episodes: int = 3,
    key: int = 0,
    report: Callable[[str], None] | None = None,
    **env_options: Any,
) -> list[Path]:
    """Writes a film of `episodes` of the deterministic policy of the agent's first seed; returns what was written.

    `out` ends in .mp4, which takes an encoder (`fastrl.reports.video`), or in .gif. Among walls there is a PNG of the
    ways beside it. Gymnasium's environments draw themselves. `report` gets a line before it begins. Raises `UserError`
    where the environment has no MuJoCo model and draws nothing, and where a file would be overwritten.
    """
    environment: Any = requests.environment(env, env_options)
    requests.same_sizes(agent.spec, environment.spec)
    target = Path(out)
    encode = video.encoding(target)
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: {target.parent} is no folder; create it first")
    picture = target.with_suffix(".png")
    for path in (target, picture):
        if path.exists():
            raise UserError(f"--out {target}: {path} exists; name another file")
    said = f"playing and drawing {environment.spec.name}: episodes {episodes}"
    if drawn.draws_itself(environment):
        with drawn.opened(environment) as simulator:
            if report is not None:
                report(said)
            shots = drawn.shots(environment, simulator, hosted(agent, environment, episodes, key))
            manifest.replace(target, film.shown(shots, environment.spec.name.removeprefix("gymnasium:"), encode))
        return [target]
    model, seconds = _model(environment)
    if report is not None:
        report(said)
    clips = play(agent, environment, episodes, key)
    title = environment.spec.name
    manifest.replace(target, film.film(model, clips, seconds, title, encode))
    if not len(film.walls(model)):
        return [target]
    if environment.spec.sparse:
        reached = sum(clip.episode_return[-1] > 0 for clip in clips)
        title = f"{title}: {reached} of {len(clips)} episodes succeed"
    manifest.replace(picture, film.paths(model, clips, title))
    return [target, picture]


def play(agent: Agent, env: Any, episodes: int, key: int) -> list[Clip]:
    """`episodes` whole episodes of the first seed's deterministic policy; `env` has a time limit and physics."""
    found = _played(agent, env, episodes, key, lambda state: (env.physics(state)[0], getattr(state.env, "goal", None)))
    return [Clip(qpos, total, None if goal is None else goal[0]) for (qpos, goal), total in found]


def hosted(agent: Agent, env: Any, episodes: int, key: int) -> list[drawn.Episode]:
    """The same of an environment of Gymnasium."""
    with host.session():
        found = _played(
            agent, env, episodes, key, lambda state: (state.env.name[0], state.env.actions[state.env.plays - 1])
        )
    host.check()
    return [drawn.Episode(int(seed[0]), actions[1:], total) for (seed, actions), total in found]


def _played(
    agent: Agent, env: Any, episodes: int, key: int, seen: Callable[[Any], Any]
) -> list[tuple[Any, np.ndarray]]:
    """What is `seen` of the states of each episode [T + 1, ...], the reset's first, and the return so far [T + 1]."""
    policy, rescaled = jax.tree.map(lambda x: x[0], agent.state), Rescale(env)
    player = player_of(agent.algorithm)

    def episode(key: jax.Array) -> Any:
        reset_key, act_key, step_key = jax.random.split(key, 3)

        def step(carry: Any, time: jax.Array) -> Any:
            state, obs, memory = carry
            action, memory = player.act(policy, memory, obs[None], jax.random.fold_in(act_key, time), False)
            after, result = rescaled.step(jax.random.fold_in(step_key, time), state, action[0])
            memory = player.observe(memory, result.reward[None])
            return (after, result.obs, memory), (seen(after), result.reward, result.terminated | result.truncated)

        state, obs = rescaled.reset(reset_key)
        carry = state, obs, begun(player, policy, 1)
        return seen(state), jax.lax.scan(step, carry, jnp.arange(env.spec.horizon))[1]

    keys = jax.random.split(jax.random.key(key), episodes)
    first, (later, reward, done) = jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(keys))
    found = []
    for number in range(episodes):
        end = int(np.argmax(done[number])) + 1
        total = np.concatenate([[0.0], np.cumsum(reward[number, :end])])
        way = jax.tree.map(lambda x, y: np.concatenate([x[number][None], y[number, :end]]), first, later)
        found.append((way, total))
    return found


def _model(env: Any) -> tuple[mujoco.MjModel, float]:
    """What to draw, and the seconds of one step."""
    from fastrl.envs.maze import PointMaze
    from fastrl.envs.point import compile_ball

    bare = env.env
    if isinstance(bare, PointMaze):
        return compile_ball(bare.maze), bare.ball.timestep * bare.frame_skip
    if hasattr(bare, "simulator"):
        return bare.simulator.mj_model, bare.simulator.timestep * bare.simulator.frame_skip
    raise UserError(
        f"{env.spec.name} cannot be drawn: it has no MuJoCo model; PointMaze, the MuJoCo robots and gymnasium:ID can be"
    )
