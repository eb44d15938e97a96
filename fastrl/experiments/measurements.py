"""What an agent is and what its data are, in numbers, before anything is fine-tuned: what advice is made of.

An agent is measured where it was trained: whole episodes of its mode, as evaluations play it, and whole episodes with
sampled actions, as a warm-up does. Its critic is compared with the discounted returns that followed, in units of the
reward that it learnt from (`fastrl.agent.Agent.reward`).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import api, presets
from fastrl.agent import Agent
from fastrl.config import RunOptions
from fastrl.data.datasets import Dataset
from fastrl.engine import probes, streams
from fastrl.engine.playing import begun, player_of
from fastrl.envs import host
from fastrl.envs.wrappers import Rescale
from fastrl.experiments import trajectories
from fastrl.experiments.trajectories import Path
from fastrl.methods import name_of
from fastrl.networks.distributions import Delta
from fastrl.planning import request as requests
from fastrl.planning.builder import Builder
from fastrl.types import Algorithm, Environment, Key, State, Transition, Views

ROWS = 4096
"""Rows of the dataset, and at most so many of the agent's own, on which policy and critic are asked."""
PIECE = 50  # steps of all episodes in one call of the program


@dataclasses.dataclass(frozen=True)
class Critic:
    """The critics' mean on rows whose discounted return is known, of S seeds; NaN where no own return is."""

    data_q: np.ndarray  # [S]
    data_return: float
    spread: float  # standard deviation of the data's discounted returns: the unit in which Q is off
    own_q: np.ndarray  # [S], on own episodes with sampled actions
    own_return: np.ndarray  # [S]
    own_error: np.ndarray  # [episodes of all seeds], mean of Q minus return in each, where it is known
    data_td: np.ndarray  # [S], mean squared TD error
    own_td: np.ndarray  # [S]
    endless: bool = False  # episodes without a success count as failing for ever, as in Cal-QL


@dataclasses.dataclass(frozen=True)
class Measurements:
    """One agent of S seeds on one dataset."""

    env: str
    algorithm: str
    sparse: bool
    rows: int
    data: np.ndarray  # [trajectories], raw returns; where sparse, 1 for a success and 0 for none
    mode: np.ndarray  # [S, P], the same of episodes of the mode
    sampled: np.ndarray  # [S, P], of episodes with sampled actions
    inside: np.ndarray | None  # [S], share of own states as near to the data as 95 % of the data's own
    unlikely: np.ndarray | None  # [S], nats an action number by which the data's actions are less likely than own ones
    critic: Critic | str  # a sentence where it cannot be judged


def measure(
    agent: Agent,
    env: str | Environment,
    data: Any,
    *,
    episodes: int,
    key: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    **env_options: Any,
) -> Measurements:
    """Plays `episodes` of each kind and seed, and compares them with the dataset, which is what `fastrl.load` takes."""
    environment = requests.environment(env, env_options)
    assert environment is not None
    spec = environment.spec
    requests.same_sizes(agent.spec, spec)
    dataset = requests.load(data, spec)
    assert dataset is not None
    paths = trajectories.of_data(dataset)
    tell(f"playing {spec.name}: {episodes} episodes of the mode and {episodes} of samples, seeds {agent.seeds}")
    played, _ = api.play(agent, environment, episodes=episodes, key=key)
    own = rollouts(environment, agent, episodes, key)
    score = functools.partial(trajectories.score, failure=spec.failure_reward if spec.sparse else None)
    mode = np.asarray(played.episode_return, np.float64)
    if spec.sparse:
        mode = (mode > spec.failure_reward * np.asarray(played.length)).astype(np.float64)
    return Measurements(
        spec.name,
        name_of(agent.config),
        spec.sparse,
        dataset.rows,
        np.array([score(path) for path in paths]),
        mode,
        np.array([[score(path) for path in each] for each in own]),
        trajectories.inside(paths, own),
        unlikely(agent, dataset),
        critic(agent, dataset, own),
    )


def rollouts(environment: Environment, agent: Agent, episodes: int, key: int) -> list[list[Path]]:
    """Whole episodes [S][P] with sampled actions, in the environment's raw reward."""
    env, algorithm = Rescale(environment), agent.algorithm
    program = jax.jit(functools.partial(_piece, env, algorithm))
    found = []
    for seed, own in enumerate(streams.seeds(key, agent.seeds)):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], agent.state)
        key_reset, key_run = jax.random.split(jax.random.fold_in(own, streams.STOCK))
        start = jax.jit(jax.vmap(env.reset))(jax.random.split(key_reset, episodes))
        carry = (*start, begun(player_of(algorithm), state, episodes), jnp.ones(episodes, bool))
        pieces = []
        for first in range(0, env.spec.horizon, PIECE):
            carry, rows = program(state, carry, key_run, first)
            pieces.append(jax.device_get(rows))
            if not np.asarray(carry[-1]).any():
                break
        found.append(trajectories.of_rows({name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}))
    host.close()
    host.check()
    return found


def _piece(env: Environment, algorithm: Algorithm, agent: State, carry: Any, key: Key, first: Any) -> Any:
    """`PIECE` steps of all episodes: `(carry, rows [PIECE, P, ...])`; rows after an episode's end are not alive."""
    player = player_of(algorithm)

    def step(carry: Any, index: jax.Array) -> Any:
        state, obs, memory, alive = carry
        key_act, key_step = jax.random.split(jax.random.fold_in(key, index))
        action, memory = player.act(agent, memory, obs, key_act, True)
        after, out = jax.vmap(env.step)(jax.random.split(key_step, len(obs)), state, action)
        row = {"obs": obs, "action": action, "reward": out.reward, "next_obs": out.obs}
        row |= {"terminal": out.terminated, "alive": alive}
        left = alive & ~(out.terminated | out.truncated)
        return (after, out.obs, player.observe(memory, out.reward), left), row

    return jax.lax.scan(step, carry, first + jnp.arange(PIECE))


def unlikely(agent: Agent, data: Dataset) -> np.ndarray | None:
    """[S] nats an action number by which the policy finds the data's actions less likely than its own, on its states.

    `E_data[-log pi(a|s)]` minus the policy's own entropy there: 0 where the data acts as the policy does. None where
    the policy has no density.
    """
    views = agent.algorithm.views
    if views is None:
        return None
    rows = trajectories.some(np.arange(data.rows), ROWS)
    obs, action = (jnp.asarray(x[rows], jnp.float32) for x in (data.obs, data.action))
    if isinstance(jax.eval_shape(views.policy, _one(agent.state), obs), Delta):
        return None

    def one(state: State) -> jax.Array:
        policy = views.policy(state, obs)
        own = policy.sample_log_prob(jax.random.normal(jax.random.key(0), action.shape))[1]
        return (own.mean() - policy.log_prob(action).mean()) / action.shape[1]

    return np.asarray(jax.jit(lambda states: jax.lax.map(one, states))(agent.state), np.float64)


def critic(agent: Agent, data: Dataset, own: list[list[Path]]) -> Critic | str:
    """The critics against returns, on the data and on own episodes; a sentence where that cannot be said."""
    views = agent.algorithm.views
    if views is None or views.q is None or views.target_q is None:
        return f"{name_of(agent.config)} has no critic of actions"
    (scale, bias), config = agent.reward, agent.config
    options = RunOptions(reward_scale=scale, reward_bias=bias)
    failure = Builder(agent.spec, presets.find(agent.spec.domain), options, {}).failure
    returns = functools.partial(trajectories.returns, discount=float(config.discount), failure=failure)
    logged = trajectories.Path(data.obs, data.action, data.reward, data.mask == 0, data.next_obs)
    rows = _Rows.of(logged, data.boundary, agent.reward, returns)
    if not rows.known.size:
        return "every trajectory of the data is cut before its return is known"
    ask = jax.jit(functools.partial(_asked, views, config.discount))
    found: dict[str, list[Any]] = {name: [] for name in ("data_q", "data_td", "own_q", "own_td", "own_return")}
    errors: list[float] = []
    for seed, paths in enumerate(own):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], agent.state)
        q, td = ask(state, rows.batch)
        found["data_q"].append(q.mean())
        found["data_td"].append(td)
        mine = _Rows.of(*trajectories.joined(paths), agent.reward, returns)
        if not mine.known.size:
            for name in ("own_q", "own_td", "own_return"):
                found[name].append(np.nan)
            continue
        q, td = ask(state, mine.batch)
        found["own_q"].append(q.mean())
        found["own_td"].append(td)
        found["own_return"].append(mine.returns.mean())
        episode = np.repeat(np.arange(len(paths)), [len(path.reward) for path in paths])[mine.known]
        errors += [float((np.asarray(q) - mine.returns)[episode == n].mean()) for n in np.unique(episode)]
    numbers = {name: np.asarray(values, np.float64) for name, values in found.items()}
    numbers |= {"own_error": np.array(errors)}
    return Critic(**numbers, data_return=float(rows.returns.mean()), spread=rows.spread, endless=failure is not None)


class _Rows(NamedTuple):
    """Rows whose return is known, at most `ROWS` of them."""

    known: np.ndarray  # [B], their places
    returns: np.ndarray  # [B]
    batch: Transition  # [B, ...]
    spread: float  # standard deviation of all known returns

    @classmethod
    def of(cls, path: Path, boundary: np.ndarray, scale: tuple[float, float], returns: Any) -> "_Rows":
        reward = path.reward * scale[0] + scale[1]
        found, known = returns(reward, 1.0 - path.terminal, boundary)
        rows = trajectories.some(np.flatnonzero(known), ROWS)
        nothing = np.zeros(len(rows))
        columns = (path.obs[rows], path.action[rows], reward[rows], 1.0 - path.terminal[rows], path.next_obs[rows])
        batch = Transition(*(jnp.asarray(x, jnp.float32) for x in (*columns, nothing, nothing)))
        return cls(rows, found[rows], batch, float(found[known].std(dtype=np.float64)) if rows.size else 0.0)


def _asked(views: Views, discount: Any, state: State, batch: Transition) -> tuple[jax.Array, jax.Array]:
    """Q [B], the mean over critics, and the mean squared TD error."""
    assert views.q is not None
    td = probes.values(views, state, batch, discount, jax.random.key(0))["td"]
    return views.q(state, batch.obs, batch.action).mean(0), td


def _one(states: State) -> State:
    return jax.tree.map(lambda leaf: leaf[0], states)
