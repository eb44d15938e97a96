"""What runs of this repository found that bears on a choice at the switch: the only results that advice may rest on.

Each entry names the page that its numbers stand in. A result of few seeds on one task is said of that task alone.
"""

import dataclasses
from typing import Literal

About = Literal["retention", "warm-up", "method", "no success"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One finding."""

    about: About
    env: str  # where it was found; it is quoted for this environment alone
    found: str
    source: str  # a file of the repository
    compares: bool  # whether the choice was put to the test, with and without
    favours: str = ""  # what it speaks for; empty where it does not choose
    algorithms: tuple[str, ...] = ()  # of the agents that `favours` is said of; empty: any
    start: float = 0.0  # return at the switch (success where sparse) of the weakest agents that it was found with


CLAIMS = "docs/claims.md"
LARGE = "a faster pointmaze-large (frame_skip=4, horizon=250), 5 seeds, 6,000 steps, success on the way"
DEMO, OCR_CFT = "benchmarks/results/demo.md", "benchmarks/results/ocr-cft/README.md"
MAZE = "a faster pointmaze-medium (frame_skip=4, horizon=150), Cal-QL agents, 5 seeds, 2,400 steps"

EVIDENCE: tuple[Evidence, ...] = (
    Evidence(
        "retention",
        "pointmaze-medium",
        f"{MAZE}: WSRL without the data went from 60.7 % [42.7 %, 72.0 %] to 100.0 %; no arm kept the data",
        DEMO,
        compares=False,
        favours="dropping the data is safe with wsrl (--retention none)",
        start=0.6,
    ),
    Evidence(
        "method",
        "pointmaze-medium",
        f"{MAZE}: WSRL, four updates a step, ends at 100.0 % [100.0 %, 100.0 %]; Cal-QL without its data, one a step, "
        "at 63.3 % [35.3 %, 76.0 %]; on the way it is 0.207 [0.008, 0.406] below; other roundings left that undecided",
        DEMO,
        compares=True,
    ),
    Evidence(
        "warm-up",
        "pointmaze-large",
        f"{LARGE}: WSRL without warm-up 0.029 [−0.041, 0.099] above WSRL with 1,000 steps of it; uniform actions in "
        "place of the policy's cost 0.097 [0.034, 0.158]",
        CLAIMS,
        compares=True,
        favours="the pre-trained policy's own actions, where there is a warm-up",
        start=0.5,
    ),
    Evidence(
        "retention",
        "pointmaze-large",
        f"{LARGE}: IQL gains 0.348 [0.172, 0.524] by half of each batch from the data, Cal-QL −0.009 [−0.038, 0.021]",
        CLAIMS,
        compares=True,
        favours="keeping data for IQL (--retention mixed --offline-ratio 0.5)",
        algorithms=("iql",),
        start=0.2,
    ),
    Evidence(
        "method",
        "pointmaze-large",
        f"{LARGE}: SAC's loss 0.108 [0.014, 0.203] above Cal-QL's, both after the same warm-up and without data",
        CLAIMS,
        compares=True,
        favours="wsrl, rather than Cal-QL's loss without its data",
        start=0.5,
    ),
    Evidence(
        "method",
        "hopper",
        "4 seeds: o2sac falls below the pre-trained return in 1 of 10 evaluations, without alignment in 2 of 10; "
        "they end 890 [−91, 1,813] and 605 [−145, 2,307] above it",
        OCR_CFT,
        compares=False,
    ),
    Evidence(
        "method",
        "hopper",
        "4 seeds: o2ppo falls below in 2 of 16 evaluations, without its pull in 0 of 16; the ends are within one "
        "another's intervals",
        OCR_CFT,
        compares=False,
    ),
    Evidence(
        "method",
        "hopper",
        "5 seeds, medium data: the constraint is worth 346 [125, 567] of the return on the way to o2sac and "
        "1,249 [533, 1,964] to o2td3, alignment −38 [−188, 113] and 816 [298, 1,333], re-evaluation −210 [−558, 138] "
        "and 774 [171, 1,377]",
        CLAIMS,
        compares=False,
    ),
    Evidence(
        "method",
        "halfcheetah",
        "4 seeds: o2td3 falls below the pre-trained return in 0 of 11 evaluations, with and without alignment; "
        "they end 364 [60, 524] and 133 [−59, 247] above it",
        OCR_CFT,
        compares=False,
    ),
    Evidence(
        "warm-up",
        "halfcheetah",
        "2 seeds: WSRL with a warm-up of 2,000 steps fell from 2,716.3 to 1,416.8 [213.5, 2,620.2] as updates began, "
        "and ended at 3,699.2; no run without",
        "benchmarks/results/runs/halfcheetah/report.md",
        compares=False,
    ),
    Evidence(
        "no success",
        "antmaze-umaze",
        "antmaze-umaze, 2 seeds: WSRL without the data, from agents without a success, had none after 12,000 steps; "
        "no run kept the data",
        "benchmarks/results/runs/antmaze-umaze/report.md",
        compares=False,
    ),
)


def on(about: About, env: str) -> list[Evidence]:
    """What was found of a choice on that environment."""
    return [entry for entry in EVIDENCE if entry.about == about and entry.env == env]


def without_success() -> list[Evidence]:
    """What was found of agents that never succeed, on whatever environment."""
    return [entry for entry in EVIDENCE if entry.about == "no success"]
