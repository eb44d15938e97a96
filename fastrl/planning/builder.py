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
from fastrl.methods import ALGORITHMS
from fastrl.replay import draws
from fastrl.replay.draws import Draw
from fastrl.types import Spec, State, UserError

PRETRAIN = "pretrain"
"""The phase that an agent to start from replaces."""

Entry = Callable[[State, State | None], State]


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

    def offline(self, config: Options, name: str = PRETRAIN, steps: int | None = None, entry: Entry = keep) -> Phase:
        """Gradient steps on the dataset alone (WSRL, Algorithm 1, the pre-training before it)."""
        config = self.of_phase(config, name, without=("utd",))  # one update a step
        return Phase(
            name=name,
            config=config,
            spec=self.spec,
            steps=(self.options.pretrain_steps or 0) if steps is None else steps,
            updates=1,
            draw=draws.DATA,
            batch_size=config.batch_size,
            entry=entry,
        )

    def first_update(
        self, config: Options, warmup: int, ratio: float, append: bool, minibatches: int | None = None
    ) -> int:
        """Environment steps before the first update: the warm-up's, or as many as the first update needs.

        That is the online rows of `minibatches` (None: of a whole call) and, where rows wait for their Monte-Carlo
        return, one whole episode (WSRL, Algorithm 1, lines 3-7).
        """
        copies, count = self.options.num_envs, config.utd if minibatches is None else minibatches
        needed = math.ceil(config.batch_size * count * (1.0 - ratio)) if not append else 1
        first = max(warmup, needed, self.spec.horizon * copies if config.needs_returns else 0)
        return math.ceil(first / copies) * copies

    def online(
        self,
        config: Options,
        *,
        warmup: int,
        ratio: float = 0.0,
        append: bool = False,
        entry: Entry = keep,
        behaviour: Behaviour = behaviours.POLICY,
        minibatches: int | None = None,
    ) -> list[Phase]:
        """Warm-up with the frozen policy or another behaviour, then fine-tuning: together `--steps` steps."""
        learning = tuple(field.name for field in dataclasses.fields(config) if field.name != "exploration_noise")
        options, idle = self.options, self.of_phase(config, "warmup", without=learning)  # it plays, and learns nothing
        config = self.of_phase(config, "finetune")
        asked = warmup if options.warmup is None else options.warmup
        waits = tuple(self.first_update(config, each, ratio, append, minibatches) for each in self.warmups or (asked,))
        first = min(waits)
        steps = (options.steps or 0) - first
        if (options.steps or 0) <= max(waits):
            raise UserError(
                f"--steps {options.steps} leaves nothing after the {max(waits)} steps before the first update "
                f"(warm-up, or one batch); raise --steps or lower --warmup"
            )
        rows: Draw = draws.finished(config.discount, self.failure) if config.needs_returns else draws.UNIFORM
        collect = Phase(
            name="warmup",
            config=idle,
            spec=self.spec,
            steps=first,
            behaviour=behaviour,
            draw=draws.mixed(rows, ratio),
            utd=config.utd,
            batch_size=config.batch_size,
            fill=append,
            entry=entry,
        )
        learn = dataclasses.replace(
            collect,
            name="finetune",
            config=config,
            steps=steps,
            updates=options.num_envs,
            behaviour=behaviours.POLICY,
            entry=keep,
            waits=waits if len(set(waits)) > 1 else (),
        )
        return [collect, learn]

    def on_policy(self, config: Any, entry: Entry = keep) -> list[Phase]:
        """Iterations of a rollout and its update: `--steps` environment steps, whole iterations."""
        copies, steps, config = self.options.num_envs, self.options.steps or 0, self.of_phase(config, "finetune")
        if config.rollout % copies:
            raise UserError(f"--rollout {config.rollout} must be a multiple of --num-envs {copies}")
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

    def retention(self) -> tuple[float, bool]:
        """(share of offline rows in a batch, whether the ring starts with the data), from `--retention`."""
        options = self.options
        if options.offline_ratio is not None and options.retention not in (None, "mixed"):
            raise UserError(f"--offline-ratio needs --retention mixed, not {options.retention}")
        if options.retention == "mixed" or options.offline_ratio:
            ratio = self.domain.mixed_ratio if options.offline_ratio is None else options.offline_ratio
            return ratio, False
        return 0.0, options.retention == "append"
