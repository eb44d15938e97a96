"""What the recipes are written with: options of an algorithm for this domain, and the kinds of phase."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from fastrl import presets
from fastrl.config import ActorCritic, Options, RunOptions
from fastrl.data.datasets import Dataset
from fastrl.engine import behaviours
from fastrl.engine.behaviours import Behaviour
from fastrl.engine.phase import Phase, keep
from fastrl.methods import ALGORITHMS, ODT
from fastrl.planning import sequences
from fastrl.replay import draws, fills
from fastrl.replay.draws import Draw
from fastrl.replay.fills import Fill
from fastrl.types import Spec, State, UserError

PRETRAIN = "pretrain"
"""The phase that an agent to start from replaces."""

Entry = Callable[[State, State | None], State]

WARMUP_BY = {
    "policy": behaviours.POLICY,
    "uniform": behaviours.UNIFORM,
    "untrained": behaviours.UNTRAINED,
}
"""What acts in the warm-up, by `--warmup-by` (WSRL, figure 18)."""


def critics_alone(config: Any) -> Any:
    """The options of an algorithm whose critics learn while its actor rests (WSRL, figure 23)."""
    if not hasattr(config, "critics_alone") or "critics_alone" in config.unused:
        raise UserError(f"--freeze-actor: {type(config).__name__} has no step of its critics alone; leave it out")
    return dataclasses.replace(config, critics_alone=True)


@dataclasses.dataclass(frozen=True)
class Builder:
    """The environment's sizes and defaults, the user's options, and phases made of them."""

    spec: Spec
    domain: presets.Domain
    options: RunOptions  # resolved
    overrides: Mapping[str, Any]  # options of the algorithms that the user set
    dataset: str = ""  # its name, by which some papers choose their options
    warmups: tuple[int, ...] = ()  # of a sweep, whose rows begin their updates at different steps
    data: Dataset | None = None  # itself, where an option is measured on it

    def config(self, name: str, **recipe: Any) -> ActorCritic:
        """Options of algorithm `name`: class < domain < recipe < user."""
        return presets.configure(ALGORITHMS[name], name, self.domain, recipe, self.overrides)

    def of_phase(self, config: Any, phase: str, without: tuple[str, ...] = ()) -> Any:
        """The options with those that the user set for one phase alone (`align.actor_lr`); `without` are refused."""
        own = {key.partition(".")[2]: value for key, value in self.overrides.items() if key.startswith(f"{phase}.")}
        if not own:
            return config
        for option in own:
            flag = f"--{phase}.{option}".replace("_", "-")
            if not hasattr(config, option) or option in without:
                raise UserError(f"{flag}: phase {phase} has no such option; leave it out")
            if option == "normalize_observations":
                raise UserError(f"{flag}: all phases see the same observations; write --normalize-observations")
        changed = dataclasses.replace(config, **own)
        before, after = (jax.eval_shape(each.build(self.spec).init, jax.random.key(0)) for each in (config, changed))
        if before != after:
            raise UserError(
                f"--{phase}.{', '.join(own)}: this changes what the phase's agent consists of; set it for all phases "
                f"(without {phase!r})"
            )
        return changed

    @property
    def reward(self) -> tuple[float, float]:
        """Scale and bias of the rewards: the user's, else the domain's."""
        options, domain = self.options, self.domain
        scale = domain.reward_scale if options.reward_scale is None else options.reward_scale
        return scale, domain.reward_bias if options.reward_bias is None else options.reward_bias

    @property
    def failure(self) -> float | None:
        """The domain's reward of a step without success, under the user's own scale and bias; None if not sparse."""
        if self.domain.failure is None or not self.spec.sparse:
            return None
        scale, bias = self.reward
        return (self.domain.failure - self.domain.reward_bias) / self.domain.reward_scale * scale + bias

    def offline(
        self,
        config: Options,
        name: str = PRETRAIN,
        steps: int | None = None,
        entry: Entry = keep,
        moves_policy: bool = True,
    ) -> Phase:
        """Gradient steps on the dataset alone (WSRL, Algorithm 1, the pre-training before it)."""
        config, draw = self.of_phase(config, name, without=("utd",)), draws.DATA  # one update a step
        if isinstance(config, ODT):
            config, draw = sequences.aimed(config, self.spec, self.data), sequences.learning(config, self.data)
        return Phase(
            name=name,
            config=config,
            spec=self.spec,
            steps=(self.options.pretrain_steps or 0) if steps is None else steps,
            updates=1,
            moves_policy=moves_policy,
            draw=draw,
            batch_size=config.batch_size * getattr(config, "members", 1),  # each member of an ensemble has its own
            entry=entry,
        )

    def first_update(
        self, config: Options, warmup: int, ratio: float, filled: bool, minibatches: int | None = None
    ) -> int:
        """Environment steps before the first update: the warm-up's, or as many as the first update needs.

        That is the online rows of `minibatches` (None: of a whole call), unless the ring is filled from the dataset,
        and, where rows wait for their Monte-Carlo return, one whole episode (WSRL, Algorithm 1, lines 3-7).
        """
        copies, count = self.options.num_envs, config.utd if minibatches is None else minibatches
        needed = 1 if filled else math.ceil(config.batch_size * count * (1.0 - ratio))
        first = max(warmup, needed, self.spec.horizon * copies if config.needs_returns else 0)
        return math.ceil(first / copies) * copies

    def online(
        self,
        config: Options,
        *,
        warmup: int,
        ratio: float = 0.0,
        fill: Fill | None = None,
        entry: Entry = keep,
        behaviour: Behaviour = behaviours.POLICY,
        learner: Behaviour = behaviours.POLICY,
        rows: Draw | None = None,
        minibatches: int | None = None,
    ) -> list[Phase]:
        """Warm-up with the frozen policy or another behaviour, then fine-tuning: together `--steps` steps.

        `behaviour` acts in the warm-up, unless `--warmup-by` names another, `learner` after it; `rows` is the draw from
        the ring (None: uniform). With `--freeze-actor N` the critics learn alone for N steps between the two.
        """
        learning = tuple(field.name for field in dataclasses.fields(config) if field.name != "exploration_noise")
        options, idle = self.options, self.of_phase(config, "warmup", without=learning)  # it plays, and learns nothing
        config = self.of_phase(config, "finetune")
        asked, fill, behaviour = self._warmed_by(warmup, fill, behaviour)
        needed = lambda each: self.first_update(config, each, ratio, fill is not None, minibatches)
        waits = tuple(needed(each) for each in self.warmups or (asked,))
        first = min(waits)
        frozen = math.ceil((options.freeze_actor or 0) / options.num_envs) * options.num_envs
        steps = (options.steps or 0) - first - frozen
        if (options.steps or 0) <= max(waits) + frozen:
            raise UserError(
                f"--steps {options.steps} leaves nothing after the {max(waits) + frozen} steps before the first update "
                f"(warm-up, or one batch; a frozen actor); raise --steps or lower --warmup"
            )
        if rows is None:
            rows = draws.finished(config.discount, self.failure) if config.needs_returns else draws.UNIFORM
        collect = Phase(
            name="warmup",
            config=idle,
            spec=self.spec,
            steps=first,
            behaviour=behaviour,
            draw=draws.mixed(rows, ratio, self._annealed(ratio)),
            utd=config.utd,
            batch_size=config.batch_size,
            fill=fill,
            entry=entry,
        )
        learn = dataclasses.replace(
            collect,
            name="finetune",
            config=config,
            steps=steps,
            updates=options.num_envs,
            behaviour=learner,
            entry=keep,
            waits=waits if len(set(waits)) > 1 else (),
        )
        phases = [collect, learn]
        if frozen:
            phases[1:1] = [dataclasses.replace(learn, name="critics", config=critics_alone(config), steps=frozen)]
        return phases

    def _warmed_by(self, warmup: int, fill: Fill | None, behaviour: Behaviour) -> tuple[int, Fill | None, Behaviour]:
        """The warm-up's steps, what the ring starts with, and what acts, after `--warmup` and `--warmup-by`."""
        options = self.options
        asked = warmup if options.warmup is None else options.warmup
        if options.warmup_by == "dataset":
            if fill is not None or self.warmups:
                raise UserError(
                    "--warmup-by dataset: the ring starts with other rows, or the warm-up is swept; leave it"
                )
            return 0, fills.some(asked), behaviour
        return asked, fill, behaviour if options.warmup_by is None else WARMUP_BY[options.warmup_by]

    def _annealed(self, ratio: float) -> tuple[float, int] | None:
        """The share of offline rows at the end, and the steps until then, where the user asks for one that moves."""
        end, steps = self.options.offline_ratio_end, self.options.offline_ratio_steps
        if end is None:
            if steps is not None:
                raise UserError("--offline-ratio-steps needs --offline-ratio-end, the share after so many steps")
            return None
        return end, (self.options.steps or 1) if steps is None else steps

    def on_policy(self, config: Any, entry: Entry = keep) -> list[Phase]:
        """Iterations of a rollout and its update: `--steps` environment steps, whole iterations."""
        copies, steps, config = self.options.num_envs, self.options.steps or 0, self.of_phase(config, "finetune")
        if config.rollout % copies:
            raise UserError(f"--rollout {config.rollout} must be a multiple of --num-envs {copies}")
        if config.rollout % config.batch_size:
            raise UserError(f"--rollout {config.rollout} must be a multiple of --batch-size {config.batch_size}")
        if steps < config.rollout:
            raise UserError(f"--steps {steps} is less than an iteration; raise it, or lower --rollout {config.rollout}")
        length = config.rollout // copies
        learn = Phase(
            name="finetune",
            config=config,
            spec=self.spec,
            steps=steps // config.rollout * config.rollout,
            behaviour=behaviours.RAW_POLICY,
            updates=1,
            draw=draws.newest(length, copies),
            batch_size=config.batch_size,
            rollout=length,
            entry=entry,
        )
        return [learn]

    def retention(self) -> tuple[float, Fill | None]:
        """(share of offline rows in a batch, what the ring starts with), from `--retention`."""
        options = self.options
        if options.offline_ratio is not None and options.retention not in (None, "mixed"):
            raise UserError(f"--offline-ratio needs --retention mixed, not {options.retention}")
        if options.retention == "mixed" or options.offline_ratio:
            ratio = self.domain.mixed_ratio if options.offline_ratio is None else options.offline_ratio
            return ratio, None
        return 0.0, fills.EVERYTHING if options.retention == "append" else None
