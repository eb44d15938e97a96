"""Every recipe by name: what it is, whose, and where its function is. Plain data, without jax."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """A recipe in words, and where its function is."""

    meaning: str
    paper: str
    function: str  # MODULE:NAME in `fastrl.recipes`, from a builder to phases
    phases: str  # their names


RECIPES: dict[str, Recipe] = {
    "wsrl": Recipe(
        "pre-train, drop the data, warm up with the frozen policy, high-UTD SAC",
        "WSRL, arXiv 2412.07762",
        "wsrl:wsrl",
        "pretrain, warmup, finetune",
    ),
    "calql": Recipe(
        "Cal-QL offline, continued online with its loss",
        "Cal-QL, arXiv 2303.05479",
        "continued:calql",
        "pretrain, warmup, finetune",
    ),
    "cql": Recipe(
        "CQL offline, continued online with its loss",
        "CQL, arXiv 2006.04779",
        "continued:cql",
        "pretrain, warmup, finetune",
    ),
    "iql": Recipe(
        "IQL offline, continued online with its loss",
        "IQL, arXiv 2110.06169",
        "continued:iql",
        "pretrain, warmup, finetune",
    ),
    "rlpd": Recipe(
        "high-UTD SAC from scratch, half of a batch from the dataset",
        "RLPD, arXiv 2302.02948",
        "scratch:rlpd",
        "warmup, finetune",
    ),
    "sac": Recipe(
        "high-UTD SAC from scratch, no data",
        "SAC, arXiv 1812.05905",
        "scratch:sac",
        "warmup, finetune",
    ),
    "jsrl": Recipe(
        "pre-train, high-UTD SAC whose episodes the frozen policy begins",
        "JSRL, arXiv 2204.02372",
        "jsrl:jsrl",
        "pretrain, warmup, finetune",
    ),
    "so2": Recipe(
        "pre-train, high-UTD SAC with a perturbed target, no data",
        "SO2, arXiv 2312.07685",
        "baselines:so2",
        "pretrain, warmup, finetune",
    ),
    "awac": Recipe(
        "AWAC offline and online, the data in the buffer",
        "AWAC, arXiv 2006.09359",
        "baselines:awac",
        "pretrain, warmup, finetune",
    ),
    "pex": Recipe(
        "IQL, then a new policy beside the frozen one",
        "PEX, arXiv 2302.00935",
        "baselines:pex",
        "pretrain, warmup, finetune",
    ),
    "td3": Recipe(
        "TD3 from scratch, no data",
        "TD3, arXiv 1802.09477",
        "scratch:td3",
        "warmup, finetune",
    ),
    "ppo": Recipe(
        "PPO from scratch, on its own rollouts",
        "PPO, arXiv 1707.06347",
        "scratch:ppo",
        "finetune",
    ),
    "o2sac": Recipe(
        "CQL, critic re-evaluated and aligned, constrained SAC",
        "OCR-CFT, arXiv 2412.18855",
        "ocr_cft:o2sac",
        "pretrain, reevaluate, align, warmup, finetune",
    ),
    "o2td3": Recipe(
        "TD3+BC, critic re-evaluated and aligned, constrained TD3",
        "OCR-CFT, arXiv 2412.18855",
        "ocr_cft:o2td3",
        "pretrain, reevaluate, align, warmup, finetune",
    ),
    "o2ppo": Recipe(
        "IQL, value from returns, PPO with a pull",
        "OCR-CFT, arXiv 2412.18855",
        "ocr_cft:o2ppo",
        "pretrain, reevaluate, finetune",
    ),
    "proto": Recipe(
        "XQL, SAC with a fading pull to its last policies",
        "PROTO, arXiv 2305.15669",
        "proto:proto",
        "pretrain, warmup, finetune",
    ),
    "proto-td3": Recipe(
        "XQL, TD3 with a fading pull to its last policies",
        "PROTO, arXiv 2305.15669",
        "proto:proto_td3",
        "pretrain, warmup, finetune",
    ),
    "aca": Recipe(
        "SAC+ML, SAC with the offline policy's density in Q",
        "ACA, ICML 2023",
        "aca:aca",
        "pretrain, warmup, finetune",
    ),
    "off2on": Recipe(
        "an ensemble of CQL agents, SAC of them all on rows by priority",
        "Off2On, arXiv 2107.00591",
        "off2on:off2on",
        "pretrain, warmup, first, finetune",
    ),
    "odt": Recipe(
        "a sequence model of the data, conditioned on returns; offline alone",
        "ODT, arXiv 2202.05607",
        "odt:odt",
        "pretrain",
    ),
}
"""Every recipe by name; adding one is a function and a line here."""
