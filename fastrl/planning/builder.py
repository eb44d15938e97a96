"""What the recipes are written with: options of an algorithm for this domain, and the three kinds of phase."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fastrl import presets
from fastrl.algorithms.build import build
from fastrl.config import ALGORITHMS, ActorCritic, CalQL, RunOptions
from fastrl.engine.phase import Phase, keep
from fastrl.types import Algorithm, Spec, UserError


@dataclasses.dataclass(frozen=True)
class Builder:
    """The environment's sizes and defaults, the user's options, and phases made of them."""

    spec: Spec
    domain: presets.Domain
    options: RunOptions  # resolved
    overrides: Mapping[str, Any]  # options of the algorithms that the user set
    row_chunk: int | None  # rows at which the ensemble's batches are split (CPU)

    def config(self, name: str, **recipe: Any) -> ActorCritic:
        """Options of algorithm `name`: class < domain < recipe < user."""
        return presets.configure(ALGORITHMS[name], name, self.domain, recipe, self.overrides)

    def algorithm(self, config: ActorCritic) -> Algorithm:
        """The algorithm for this environment."""
        return build(config, self.spec, self.row_chunk)

    def offline(self, config: ActorCritic) -> Phase:
        """Gradient steps on the dataset alone (WSRL, Algorithm 1, the pre-training before it)."""
        return Phase(
            name="pretrain",
            algorithm=self.algorithm(config),
            config=config,
            steps=self.options.pretrain_steps or 0,
            behaviour="none",
            updates=1,
            batch_size=config.batch_size,
            offline_ratio=1.0,
        )

    def online(
        self, config: ActorCritic, *, warmup: int, ratio: float = 0.0, append: bool = False, entry: Any = keep
    ) -> list[Phase]:
        """Warm-up with the frozen policy, then fine-tuning: together `--steps` environment steps.

        The warm-up is `warmup` steps, or as many as the first update needs: one batch of online rows and, where
        rows wait for their Monte-Carlo return, one whole episode (WSRL, Algorithm 1, lines 3-7).
        """
        options, algorithm = self.options, self.algorithm(config)
        calls, utd = options.num_envs, getattr(config, "utd", 1)
        returns = isinstance(config, CalQL)
        asked = warmup if options.warmup is None else options.warmup
        needed = math.ceil(config.batch_size * utd * (1.0 - ratio)) if not append else 1
        first = max(asked, needed, self.spec.horizon * calls if returns else 0)
        first = math.ceil(first / calls) * calls
        steps = (options.steps or 0) - first
        if steps <= 0:
            raise UserError(
                f"--steps {options.steps} leaves nothing after the {first} steps before the first update "
                f"(warm-up, or one batch); raise --steps or lower --warmup"
            )
        collect = Phase(
            "warmup", algorithm, config, first, updates=0, utd=utd, append=append, returns=returns, entry=entry
        )
        learn = dataclasses.replace(
            collect,
            name="finetune",
            steps=steps,
            updates=calls,
            batch_size=config.batch_size,
            offline_ratio=ratio,
            entry=keep,
        )
        return [collect, learn]

    def retention(self) -> tuple[float, bool]:
        """(share of offline rows in a batch, whether the ring starts with the data), from `--retention`."""
        options = self.options
        if options.offline_ratio is not None and options.retention not in (None, "mixed"):
            raise UserError(f"--offline-ratio needs --retention mixed, not {options.retention}")
        if options.retention == "mixed" or options.offline_ratio:
            ratio = self.domain.mixed_ratio if options.offline_ratio is None else options.offline_ratio
            return ratio, False
        return 0.0, options.retention == "append"
