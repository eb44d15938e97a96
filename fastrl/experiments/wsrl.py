"""WSRL's figures (arXiv 2412.07762): runs, panels, and what the paper says about them.

Every arm of a task starts from the same agents and has the same networks, data and number of environment steps. The
number of an arm's warm-up steps and of a frozen actor's are shares of the paper's K, the task's own.
"""

from typing import Any

from fastrl.experiments import quantities as q
from fastrl.experiments.claims import Claim
from fastrl.experiments.figures import Arm, Figure, Panel, Task


def arms(task: Task) -> dict[str, Arm]:
    """Every run of WSRL's figures on a task."""
    k, start = task.warmup, task.initial
    wsrl = lambda label, **options: Arm(label, "wsrl", start, {"warmup": k, **options})
    more = lambda label, name, **options: Arm(label, name, name, {**task.networks, **options})
    share = lambda ratio: {"retention": "mixed", "offline_ratio": ratio}
    return {
        "wsrl": wsrl("WSRL"),
        "no-warmup": wsrl("WSRL without warm-up", warmup=0),
        "short-warmup": wsrl(f"{task.warmups[0]:,} warm-up steps", warmup=task.warmups[0]),
        "long-warmup": wsrl(f"{task.warmups[1]:,} warm-up steps", warmup=task.warmups[1]),
        "uniform": wsrl("warm-up by uniform actions", warmup_by="uniform"),
        "untrained": wsrl("warm-up by an untrained policy", warmup_by="untrained"),
        "dataset": wsrl(f"{k:,} rows of the data instead", warmup_by="dataset"),
        "frozen": wsrl(f"policy frozen for {k // 2:,} steps", freeze_actor=k // 2),
        "frozen-long": wsrl(f"policy frozen for {3 * k // 2:,} steps", freeze_actor=3 * k // 2),
        "no-critics": wsrl("policy alone initialised", initialise="actor"),
        "no-actor": wsrl("critics alone initialised", initialise="critics"),
        "online-calql": wsrl("Cal-QL online", online="calql"),
        "append": wsrl("the dataset in the buffer", retention="append"),
        "calql": more("Cal-QL", "calql"),
        "calql-5": more("Cal-QL, 5 % offline", "calql", **share(0.05)),
        "calql-10": more("Cal-QL, 10 % offline", "calql", **share(0.1)),
        "calql-25": more("Cal-QL, 25 % offline", "calql", **share(0.25)),
        "calql-50": more("Cal-QL, 50 % offline", "calql", **share(0.5)),
        "cql": more("CQL", "cql"),
        "cql-50": more("CQL, 50 % offline", "cql", **share(0.5)),
        "iql": more("IQL", "iql"),
        "iql-50": more("IQL, 50 % offline", "iql", **share(0.5)),
        "jsrl": Arm("JSRL", "jsrl", start, {"warmup": k}),
        "so2": Arm("SO2", "so2", start, {"warmup": 0}),
        "sac": Arm("SAC (fast)", "sac", None, {"warmup": k}),
        "rlpd": Arm("RLPD, 50 % offline", "rlpd", None, {"warmup": k}),
    }


def better(mine: str, other: str | None, sentence: str, quantity: Any = q.average, **more: Any) -> Claim:
    """A claim about how good policies were on the way, unless another quantity is named."""
    return Claim(sentence, quantity, mine, other, **more)


NOTHING_LOST: dict[str, Any] = {"margin": 0.05, "share": True}
"""Five percent of the other arm's value."""

MAIN = ("wsrl", "calql", "cql", "iql", "jsrl", "so2", "sac")

FROZEN = ("frozen for half the warm-up's steps", "for one and a half times as many")

FIGURES: tuple[Figure, ...] = (
    Figure(
        "2",
        "Offline-to-online methods lose without the offline data",
        ("maze", "hopper", "kitchen-partial"),
        (
            Panel("with 50 % offline data", ("iql-50", "cql-50", "calql-50")),
            Panel("without", ("iql", "cql", "calql")),
        ),
        tuple(
            better(f"{name}-50", name, f"{label} with half of each batch from the data does better than without")
            for name, label in (("iql", "IQL"), ("cql", "CQL"), ("calql", "Cal-QL"))
        ),
    ),
    Figure(
        "3",
        "Less offline data in Cal-QL's batches: Q and TD error on the data diverge",
        ("maze", "hopper", "kitchen-partial"),
        (
            Panel("score", ("calql", "calql-5", "calql-10", "calql-25")),
            Panel("Q on offline data", ("calql", "calql-5", "calql-10", "calql-25"), "offline/q", "mean Q"),
            Panel("TD error on offline data", ("calql", "calql-5", "calql-10", "calql-25"), "offline/td", "TD error"),
            Panel("TD error on online data", ("calql", "calql-5", "calql-10", "calql-25"), "online/td", "TD error"),
        ),
        (
            better("calql-25", "calql", "Cal-QL does better with 25 % offline data than with none"),
            Claim("without data Q on the offline data falls after the switch", q.rise("offline/q"), "calql", sign=-1),
            Claim(
                "the TD error on offline data is larger without them than with 25 %",
                q.level("offline/td"),
                "calql",
                "calql-25",
            ),
        ),
    ),
    Figure(
        "4",
        "Q on the online distribution dives at the switch",
        ("maze", "hopper", "kitchen-mixed", "kitchen-complete", "kitchen-partial"),
        (Panel("Q on online data", ("calql", "cql", "iql"), "online/q", "mean Q"),),
        tuple(
            Claim(f"{label}'s Q on online data falls after the switch", q.early("online/q"), name, sign=-1)
            for name, label in (("calql", "Cal-QL"), ("cql", "CQL"), ("iql", "IQL"))
        ),
    ),
    Figure(
        "7",
        "Without offline data",
        ("maze", "hopper", "kitchen-mixed", "kitchen-partial", "antmaze-large-play", "antmaze-large-diverse"),
        (Panel("no retention", MAIN),),
        tuple(
            better("wsrl", name, f"WSRL does better than {label}, neither keeping data")
            for name, label in (
                *(("calql", "Cal-QL"), ("cql", "CQL"), ("iql", "IQL"), ("jsrl", "JSRL"), ("so2", "SO2")),
                ("sac", "SAC from scratch"),
            )
        ),
    ),
    Figure(
        "10",
        "Warm-up",
        ("maze", "hopper", "antmaze-large-play"),
        (Panel("with and without warm-up", ("wsrl", "no-warmup")),),
        (better("wsrl", "no-warmup", "WSRL does better with warm-up than without"),),
    ),
    Figure(
        "11",
        "What warm-up does to Q",
        ("maze", "hopper", "antmaze-large-play"),
        (
            Panel("Q on offline data", ("wsrl", "no-warmup"), "offline/q", "mean Q"),
            Panel("TD error on offline data", ("wsrl", "no-warmup"), "offline/td", "TD error"),
        ),
        (
            Claim("Q on offline data falls less with warm-up", q.early("offline/q"), "wsrl", "no-warmup"),
            Claim(
                "the TD error on offline data is smaller with warm-up", q.level("offline/td"), "wsrl", "no-warmup", -1
            ),
        ),
    ),
    Figure(
        "12",
        "Initialising the critics, and the loss online",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (
            Panel("critics initialised or not", ("wsrl", "no-critics")),
            Panel("SAC or Cal-QL online", ("wsrl", "online-calql")),
        ),
        (
            better("wsrl", "no-critics", "initialising the critics helps"),
            better("wsrl", "online-calql", "SAC online does better than Cal-QL online, both after warm-up"),
        ),
    ),
    Figure(
        "13",
        "Initialising the policy",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (Panel("policy initialised or not", ("wsrl", "no-actor")),),
        (better("wsrl", "no-actor", "initialising the policy helps"),),
    ),
    Figure(
        "18",
        "What warms up",
        ("maze", "hopper", "kitchen-mixed", "kitchen-partial"),
        (Panel("warm-up by", ("wsrl", "uniform", "untrained")),),
        (
            better("wsrl", "uniform", "warm-up by the pre-trained policy does better than by uniform actions"),
            better("wsrl", "untrained", "and than by an untrained policy"),
        ),
    ),
    Figure(
        "19",
        "The length of the warm-up",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (Panel("warm-up steps", ("short-warmup", "wsrl", "long-warmup"), roles=("shorter", "WSRL", "longer")),),
        (
            better("short-warmup", "wsrl", "a shorter warm-up loses nothing at the end", q.final, **NOTHING_LOST),
            better("long-warmup", "wsrl", "a longer warm-up loses nothing at the end", q.final, **NOTHING_LOST),
        ),
    ),
    Figure(
        "20",
        "The dip after the first updates",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (Panel("evaluations near the switch", ("wsrl", "no-warmup", "calql")),),
        (
            Claim("WSRL falls below the pre-trained policy at first", q.dip, "wsrl", sign=-1),
            better("wsrl", "calql", "WSRL falls less than Cal-QL at first", q.dip),
        ),
    ),
    Figure(
        "23",
        "Freezing the policy at first",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (Panel("policy frozen", ("wsrl", "frozen", "frozen-long"), roles=("WSRL", *FROZEN)),),
        (
            better("wsrl", "frozen", "freezing the policy for half the warm-up's steps does not help", **NOTHING_LOST),
            better("wsrl", "frozen-long", "freezing it for one and a half times as many does not help", **NOTHING_LOST),
        ),
    ),
    Figure(
        "25",
        "Rows of the dataset instead of warm-up",
        ("maze", "hopper", "kitchen-mixed", "antmaze-large-diverse"),
        (Panel("first rows", ("wsrl", "dataset"), roles=("WSRL", "rows of the dataset")),),
        (better("wsrl", "dataset", "warm-up does better than as many rows of the dataset"),),
    ),
)
