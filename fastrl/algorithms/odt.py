"""The Online Decision Transformer's offline part (Zheng et al. 2022, arXiv 2202.05607), as a provider of actors.

One update, on B windows of T steps: the likelihood of all valid steps' actions is raised, given the returns that came
after them, with a bonus for the policy's entropy; the bonus's weight is learned against a target entropy.
While it plays, it is told what is left of a target return and sees the last steps of its own episode.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from fastrl.algorithms import group, parts, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import dual
from fastrl.algorithms.optimisers import clip_of
from fastrl.methods import ODT
from fastrl.networks import sequence
from fastrl.networks.distributions import TanhNormal
from fastrl.networks.sequence import SequenceModel, Window
from fastrl.types import ACTION_LIMIT, Algorithm, Clock, Key, Metrics, Player, Spec, State, Transition, UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ODTState:
    """Everything ODT learns."""

    actor: Group
    temperature: Group  # [], its logarithm


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episode:
    """The last K steps of an episode, the newest last; E environments may stand in front."""

    left: jax.Array  # [], what is left of the target return, raw
    returns: jax.Array  # [K], what was left at each step
    obs: jax.Array  # [K, O]
    action: jax.Array  # [K, A]
    valid: jax.Array  # [K] bool


def odt(config: ODT, spec: Spec) -> Algorithm:
    """ODT for this environment."""
    module = network(config, spec)
    optimisers = {"actor": lamb(config), "temperature": parts.optimisers.adam(config.temperature_lr)}

    def init(key: Key) -> ODTState:
        params = module.init(key, sequence.example(spec.obs_size, spec.action_size))["params"]
        temperature = jnp.log(jnp.asarray(config.initial_temperature, jnp.float32))
        return ODTState(group.start(params, optimisers["actor"]), group.start(temperature, optimisers["temperature"]))

    play = player(config, spec, module)

    def act(state: ODTState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        """As at the first step of an episode."""
        flat = obs.reshape(-1, obs.shape[-1])
        memory = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(flat), *x.shape)), play.start(state))
        return play.act(state, memory, flat, key, explore)[0].reshape(*obs.shape[:-1], spec.action_size)

    update = step.together(optimisers, likelihood_loss(config, module))
    return Algorithm(init, act, step.each(update), player=play)


def network(config: ODT, spec: Spec) -> SequenceModel:
    """The transformer."""
    if config.token_width % config.heads:
        raise UserError(f"--token-width {config.token_width} must be a multiple of --heads {config.heads}")
    return SequenceModel(spec.action_size, config.token_width, config.layers, config.heads, config.dropout)


def lamb(config: ODT) -> Any:
    """The user's optimiser, or LAMB behind a clipped gradient, whose learning rate rises on a line."""
    if config.actor_optimizer is not None:
        return parts.optimiser(config, "actor", config.actor_lr)
    rate = lambda count: config.actor_lr * jnp.minimum((count + 1) / config.warmup_steps, 1.0)
    clip = clip_of(config, "actor")
    found = optax.lamb(rate, eps=1e-8, weight_decay=config.weight_decay)
    return found if clip is None else optax.chain(optax.clip_by_global_norm(clip), found)


def windows(rows: Transition, length: int, returns: jax.Array) -> Window:
    """Windows [B, T, ...] of rows [B * T, ...] (`fastrl.replay.windows`) that ask for these returns [B * T], scaled.

    A step is valid where no row from it to the window's last but one ends an episode.
    """
    cut = lambda x: x.reshape(-1, length, *x.shape[1:])
    goes_on = jnp.cumprod(1.0 - cut(rows.last)[:, -2::-1], axis=1)[:, ::-1]
    valid = jnp.concatenate([goes_on > 0, jnp.ones((len(goes_on), 1), bool)], axis=1)
    return Window(cut(returns), cut(rows.obs), cut(rows.action), valid)


def likelihood_loss(config: ODT, module: SequenceModel) -> step.Gradients:
    """`-mean log pi(a_t|..) - temperature mean H`, means over the valid steps of all windows (ODT, equation 3).

    H is -log pi of one sample. The temperature falls while H is above its target.
    """

    def prepare(state: ODTState, batch: Transition, key: Key, clock: Clock) -> Any:
        noise_key, dropout_key = jax.random.split(key)
        window = windows(batch, config.context, batch.mc_return / config.return_scale)
        return window, jax.random.normal(noise_key, window.action.shape), dropout_key

    def loss(params: dict[str, Any], state: ODTState, xs: Any) -> tuple[jax.Array, Metrics]:
        window, noise, key = xs
        dist = sequence.policies(module, params["actor"], window, key if config.dropout else None)
        log_prob, sampled = dist.log_prob(window.action), dist.sample_log_prob(noise)[1]
        chex.assert_equal_shape([log_prob, sampled, window.valid])
        weight = window.valid / window.valid.sum()
        likelihood, entropy = (weight * log_prob).sum(), -(weight * sampled).sum()
        temperature = jnp.exp(state.temperature.params)
        value = -likelihood - temperature * entropy
        goal = -window.action.shape[-1] if config.target_entropy is None else config.target_entropy
        found = {"actor/loss": value, "actor/log_prob": likelihood, "actor/entropy": entropy}
        return value + dual(params["temperature"], entropy - goal), found | {"temperature/value": temperature}

    return step.gradient_of(("actor", "temperature"), loss, prepare, whole=True)


def player(config: ODT, spec: Spec, module: SequenceModel) -> Player:
    """Playing for the target return, with the last `eval_context` steps in mind."""
    length = config.eval_context

    def start(state: State) -> Episode:
        return Episode(
            jnp.float32(target(config)),
            jnp.zeros(length),
            jnp.zeros((length, spec.obs_size)),
            jnp.zeros((length, spec.action_size)),
            jnp.zeros(length, bool),
        )

    def act(state: ODTState, memory: Episode, obs: jax.Array, key: Key, explore: bool) -> tuple[jax.Array, Episode]:
        now = (memory.left, obs, jnp.zeros_like(memory.action[:, 0]), jnp.ones_like(memory.valid[:, 0]))
        earlier = (memory.returns, memory.obs, memory.action, memory.valid)
        returns, obs, actions, valid = (
            jnp.concatenate([old[:, 1:], new[:, None]], axis=1) for old, new in zip(earlier, now, strict=True)
        )
        window = Window(returns / config.return_scale, obs, actions, valid)
        action = chosen(sequence.policies(module, state.actor.params, window), key, explore)
        return action, Episode(memory.left, returns, obs, actions.at[:, -1].set(action), valid)

    def observe(memory: Episode, reward: jax.Array) -> Episode:
        return dataclasses.replace(memory, left=memory.left - reward)

    return Player(start, act, observe)


def label(config: ODT, spec: Spec) -> Callable[[ODTState, Transition, Key], tuple[jax.Array, jax.Array]]:
    """What the model would do at the last rows of windows, had their episodes begun with the target return.

    `(state, rows [B * K, ...], key) -> (obs [B, O], actions [B, A])`. A row's `mc_return` is what its episode was paid
    before it, so that the return which is still asked for is the target less that.
    """
    module = network(config, spec)

    def run(state: ODTState, rows: Transition, key: Key) -> tuple[jax.Array, jax.Array]:
        returns = (target(config) - rows.mc_return) / config.return_scale
        window = windows(rows, config.eval_context, returns)
        return window.obs[:, -1], chosen(sequence.policies(module, state.actor.params, window), key, True)

    return run


def chosen(dist: TanhNormal, key: Key, explore: bool) -> jax.Array:
    """The last step's action [B, A] of policies [B, T, A]: a sample or the mode."""
    last: TanhNormal = jax.tree.map(lambda x: x[:, -1], dist)
    action = last.sample(jax.random.normal(key, last.mean.shape)) if explore else last.mode()
    return jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)


def target(config: ODT) -> float:
    """The return that it plays for."""
    if config.target_return is None:
        raise UserError("ODT plays for a return that it is told; --target-return is missing")
    return config.target_return
