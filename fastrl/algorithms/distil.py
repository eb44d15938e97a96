"""Distillation: an agent of one class cloned into the actor of another, on states of the dataset (OCR-CFT, transfer).

One update: the teacher acts on a minibatch of states, and the student's log-likelihood of these actions is raised (its
squared error, where the student is deterministic). A sequence model acts on windows of the dataset, at the last row of
each.
"""

import dataclasses
from typing import Any

import jax

from fastrl.algorithms import group, odt, parts, step
from fastrl.algorithms.group import Group
from fastrl.config import ActorCritic, Options
from fastrl.methods import O2PPO, O2TD3, ODT
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, State, Transition


@dataclasses.dataclass(frozen=True)
class Distil(Options):
    """Options of a distillation."""

    factory = "fastrl.algorithms.distil:distil"

    student: ActorCritic = dataclasses.field(default_factory=ActorCritic)  # whose actor is learned
    teacher: Options = dataclasses.field(default_factory=Options)
    normalize_observations: bool = False
    lr: float = 3e-4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DistilState:
    """The actor that is learned, and the agent that it learns from."""

    actor: Group
    teacher: State


def distil(config: Distil, spec: Spec) -> Algorithm:
    """The distillation of one agent into another's actor."""
    teacher, actor = config.teacher.build(spec), policy_of(config.student, spec)
    optimisers = {"actor": parts.optimisers.adam(config.lr)}

    def init(key: Key) -> DistilState:
        actor_key, teacher_key = jax.random.split(key)
        student = group.start(actor.init(actor_key, spec.obs_size), optimisers["actor"])
        return DistilState(student, teacher.init(teacher_key))

    def act(state: DistilState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return actor.act(state.actor.params, obs, key, explore)

    label = odt.label(config.teacher, spec) if isinstance(config.teacher, ODT) else None

    def prepare(state: DistilState, batch: Transition, key: Key, clock: Clock) -> Any:
        if label is not None:
            return label(state.teacher, batch, key)
        return batch.obs, teacher.act(state.teacher, batch.obs, key, True)

    def loss(params: dict[str, Params], state: DistilState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, action = xs
        return -actor(params["actor"], obs).log_prob(action).mean(), {}

    update = step.together(optimisers, step.gradient_of(("actor",), loss, prepare, "actor/loss"))
    return Algorithm(init, act, step.each(update))


def policy_of(config: ActorCritic, spec: Spec) -> Any:
    """The actor of an algorithm that a policy can be distilled into."""
    if isinstance(config, O2TD3):
        return parts.deterministic(config, spec).actor
    if isinstance(config, O2PPO):
        return parts.gaussian(config, spec, squash=False, tanh_mean=True)
    return parts.gaussian(config, spec)
