"""OCR-CFT's figures (arXiv 2412.18855): runs, panels, and what the paper says about them.

They have words in place of numbers. All arms of one method start from the same offline agents: O2SAC from CQL's, O2TD3
from TD3+BC's, O2PPO from IQL's.
"""

from collections.abc import Mapping
from typing import Any

from fastrl.experiments import quantities as q
from fastrl.experiments.claims import Claim
from fastrl.experiments.figures import Arm, Figure, Panel, Task

NO_STAGE: dict[str, Mapping[str, Any]] = {
    "no-reevaluate": {"reevaluate": False},
    "no-align": {"align": False},
    "no-constrain": {"constrain": False},
}


def arms(task: Task) -> dict[str, Arm]:
    """Every run of OCR-CFT's figures on a task."""
    found: dict[str, Arm] = {}
    for name, label, start in (("o2sac", "O2SAC", "cql"), ("o2td3", "O2TD3", "td3bc")):
        of = lambda words, label=label, name=name, start=start, **options: Arm(
            f"{label}{words}", name, start, {"warmup": task.warmup, **options}
        )
        found |= {
            name: of(""),
            f"{name}-fixed": of(", critic fixed", alignment="fixed"),
            f"{name}-followed": of(", critic re-evaluated", alignment="followed"),
            f"{name}-interval": of(", reference at intervals", reference="interval"),
            f"{name}-start": of(", reference the offline policy", reference="fixed"),
            **{f"{name}-{stage}": of(f" {words}", **options) for stage, words, options in stages()},
        }
    distilled = {} if task.distil_steps is None else {"distil_steps": task.distil_steps}
    found |= {
        "o2ppo": Arm("O2PPO", "o2ppo", "iql"),
        "ppo": Arm("PPO from the same policy", "o2ppo", "iql", {"auxiliary": "none"}),
        "o2ppo-outer": Arm("O2PPO, as released", "o2ppo", "iql", {"auxiliary": "outer"}),
        "proto": Arm("PROTO", "proto", "xql"),
        "proto-td3": Arm("PROTO + TD3", "proto-td3", "xql"),
        **{
            f"{name}-from-{start}": Arm(f"{label} from {words}", name, start, {**warm, **distilled})
            for name, label, warm in (
                *(("o2sac", "O2SAC", {"warmup": task.warmup}), ("o2td3", "O2TD3", {"warmup": task.warmup})),
                ("o2ppo", "O2PPO", {}),
            )
            for start, words in (("td3bc", "TD3+BC"), ("odt", "ODT"))
            if (name, start) != ("o2td3", "td3bc")
        },
    }
    return found


def stages() -> list[tuple[str, str, Mapping[str, Any]]]:
    """The ablations of a stage each: name, words, options."""
    words = ("without re-evaluation", "without alignment", "without constraint")
    return [(stage, text, options) for (stage, options), text in zip(NO_STAGE.items(), words, strict=True)]


def of_both(sentence: str, quantity: Any, mine: str, other: str | None, **more: Any) -> list[Claim]:
    """The same claim of O2SAC and of O2TD3; arms are named by what follows the method's name."""
    named = lambda name, arm: None if arm is None else f"{name}{arm}"
    return [
        Claim(f"{label}: {sentence}", quantity, f"{name}{mine}", named(name, other), **more)
        for name, label in (("o2sac", "O2SAC"), ("o2td3", "O2TD3"))
    ]


ALIGNED = {"": "aligned critic", "-fixed": "fixed critic", "-followed": "critic re-evaluated on the way"}
COMPONENTS = {"": "all three", **{f"-{stage}": words for stage, words, _ in stages()}}
REFERENCES = {"": "the best so far", "-interval": "the latest, at intervals", "-start": "the offline policy"}
"""Arms of O2SAC and of O2TD3, by what follows the method's name, and what each is in its figure."""

TRANSFERS = {
    "O2SAC": {"from TD3+BC": "o2sac-from-td3bc", "from ODT": "o2sac-from-odt"},
    "O2TD3": {"from ODT": "o2td3-from-odt"},
    "O2PPO": {"from TD3+BC": "o2ppo-from-td3bc", "from ODT": "o2ppo-from-odt"},
}
"""Arms of each method that start from a policy of another class."""

TASKS = ("hopper-medium", "hopper (medium-v0)", "walker2d (medium-v0)", "halfcheetah (medium-v0)")

FIGURES: tuple[Figure, ...] = (
    Figure(
        "critics",
        "A policy trained against a fixed, a re-evaluated and an aligned critic",
        TASKS,
        tuple(
            Panel(
                f"{label}, offline",
                tuple(f"{name}{arm}" for arm in ALIGNED),
                phase="align",
                roles=tuple(ALIGNED.values()),
            )
            for name, label in (("o2sac", "O2SAC"), ("o2td3", "O2TD3"))
        ),
        (
            *of_both(
                "alignment keeps the policy above what a fixed critic leaves of it", q.phase("align"), "", "-fixed"
            ),
            *of_both("and above what a re-evaluated critic leaves of it", q.phase("align"), "", "-followed"),
            *of_both("a re-evaluated critic lowers the policy's score", q.change("align"), "-followed", None, sign=-1),
        ),
    ),
    Figure(
        "components",
        "Without re-evaluation, alignment or constraint",
        TASKS,
        tuple(
            Panel(label, tuple(f"{name}{arm}" for arm in COMPONENTS), roles=tuple(COMPONENTS.values()))
            for name, label in (("o2sac", "O2SAC"), ("o2td3", "O2TD3"))
        ),
        (
            *of_both("re-evaluation helps", q.average, "", "-no-reevaluate"),
            *of_both("alignment helps", q.average, "", "-no-align"),
            *of_both("the constraint helps", q.average, "", "-no-constrain"),
        ),
    ),
    Figure(
        "reference",
        "Which policy is the reference",
        TASKS,
        tuple(
            Panel(label, tuple(f"{name}{arm}" for arm in REFERENCES), roles=tuple(REFERENCES.values()))
            for name, label in (("o2sac", "O2SAC"), ("o2td3", "O2TD3"))
        ),
        (
            *of_both(
                "a reference at intervals loses nothing against the best so far",
                q.average,
                "-interval",
                "",
                margin=0.1,
                share=True,
            ),
            *of_both("the best so far does better than the offline policy", q.average, "", "-start"),
        ),
    ),
    Figure(
        "proto",
        "Against PROTO",
        TASKS,
        (Panel("SAC", ("o2sac", "proto")), Panel("TD3", ("o2td3", "proto-td3"))),
        (
            Claim("O2SAC does better than PROTO", q.average, "o2sac", "proto"),
            Claim("O2TD3 does better than PROTO + TD3", q.average, "o2td3", "proto-td3"),
        ),
    ),
    Figure(
        "transfer",
        "From policies of other methods",
        TASKS,
        tuple(Panel(label, tuple(found.values()), roles=tuple(found)) for label, found in TRANSFERS.items()),
        tuple(
            Claim(f"{label} {start}: the policy improves online", q.gain, arm)
            for label, found in TRANSFERS.items()
            for start, arm in found.items()
        ),
    ),
    Figure(
        "ppo",
        "O2PPO against PPO",
        TASKS,
        (Panel("from IQL", ("o2ppo", "ppo", "o2ppo-outer")),),
        (
            Claim("the auxiliary advantage helps PPO", q.average, "o2ppo", "ppo"),
            Claim(
                "each row's own advantage does better than the released code's matrix",
                q.average,
                "o2ppo",
                "o2ppo-outer",
            ),
        ),
    ),
)
