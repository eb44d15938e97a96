"""PROTO (arXiv 2305.15669): XQL offline, then SAC or TD3 with a pull to the average of the last policies.

The policy and the critics go on, V stays behind. PROTO draws half of every batch from the dataset and half from the
ring, which starts with some of the dataset's rows; PROTO+TD3 draws from its ring alone.
"""

from typing import Any

from fastrl.algorithms.transfer import adopt
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder
from fastrl.recipes.wsrl import adopt_all
from fastrl.replay import fills
from fastrl.types import State

RATIO = 0.5  # offline rows of a batch of PROTO
RANGE = 1_000.0  # the returns of the dataset lie this far apart in the paper's rewards, on MuJoCo

LONG = {"pretrain_steps": 100_000, "steps": 1_000_000, "eval_every": 5_000, "eval_episodes": 10}
RUN: dict[str, dict[str, Any]] = {
    "locomotion": LONG,
    "adroit": LONG,
    "antmaze": LONG
    | {"pretrain_steps": 200_000, "eval_every": 50_000, "eval_episodes": 100}
    | {"reward_scale": 1.0, "reward_bias": -1.0},
}
"""Run options by domain (the released scripts)."""


def proto(builder: Builder) -> list[Phase]:
    """XQL -> SAC with the pull, half of every batch offline."""
    online: Any = builder.config("proto", **_defaults(builder, "proto"))
    ratio = RATIO if builder.options.offline_ratio is None else builder.options.offline_ratio
    return _phases(builder, online, ratio)


def proto_td3(builder: Builder) -> list[Phase]:
    """XQL -> TD3 with the pull, on a ring that starts with rows of the dataset."""
    return _phases(builder, builder.config("prototd3", **_defaults(builder, "prototd3")), 0.0)


def _phases(builder: Builder, online: Any, ratio: float) -> list[Phase]:
    names = ("actor_hidden", "critic_hidden", "layer_norm", "actor_layer_norm", "num_critics", "std")
    shapes = {name: getattr(online, name) for name in names}
    scale = temperature(builder)
    offline = builder.config("xql", **shapes, value_temperature=scale, inverse_temperature=1.0 / scale)
    fill = fills.some(online.initial_rows) if online.initial_rows else None
    return [
        builder.offline(offline),
        *builder.online(online, warmup=0, ratio=ratio, fill=fill, entry=without_value),
    ]


def without_value(fresh: State, previous: State | None) -> State:
    """Policy, critics and the critics' optimiser of XQL; the rest, pi_k among it, starts from them or anew."""
    if previous is None or type(previous) is type(fresh):
        return adopt_all(fresh, previous)
    return adopt(adopt(fresh, previous, ("critic",)), previous, ("actor",), reset_optimizer=True)


def temperature(builder: Builder) -> float:
    """That of XQL, from which the weight of the pull starts too, on the scale of the rewards here.

    It is 0.5 in mazes with a reward of 0 or 1, and else 2. On MuJoCo the released code divides rewards so that the
    returns of the dataset lie 1000 apart; here they stay, and the temperature is multiplied.
    """
    given = builder.overrides.get("value_temperature")
    if given is not None:
        return float(given)
    if builder.spec.domain in ("antmaze", "pointmaze"):
        return 0.5 * builder.reward[0]
    if builder.spec.domain != "locomotion" or builder.data is None:
        return 2.0
    returns = builder.data.episode_returns()
    apart = float(returns.max() - returns.min()) * builder.reward[0] if len(returns) else 0.0
    return 2.0 * apart / RANGE if apart > 0 else 2.0


def _defaults(builder: Builder, name: str) -> dict[str, Any]:
    """The paper's options for this task; PointMaze, which no paper has, starts with a thousandth of the rows."""
    domain = builder.spec.domain
    found: dict[str, Any] = {"num_critics": 2, "regularization_weight": temperature(builder)}
    found["layer_norm"] = builder.spec.name != "halfcheetah"
    if domain == "pointmaze":
        rows = 10 if name == "proto" else 25
        found |= {"initial_rows": rows, "regularization_steps": (builder.options.steps or 1) / 0.9}
    else:
        found |= {"actor_hidden": (256, 256), "critic_hidden": (256, 256)}
    if domain in ("antmaze", "adroit", "pointmaze"):
        found["regularization_tau"] = 5e-5
    found["backup_regularization"] = domain not in ("antmaze", "adroit")
    if domain == "antmaze" or (domain == "adroit" and name == "prototd3"):
        found["subset_size"] = 1
    return found
