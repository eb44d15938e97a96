"""The page of a repository on the Hub: what an agent or a dataset is, what it reached, and how to use it.

The head of a page, which the Hub's search reads, is made by the Hub's own client.
"""

from pathlib import Path
from typing import Any

from fastrl.data.datasets import Dataset
from fastrl.errors import printable
from fastrl.hub.place import Place

PAGE = "README.md"
TAGS = ["fastrl", "offline-to-online", "jax"]


def agent(place: Place, about: dict[str, Any], run: Path | None) -> str:
    """The page of an agent (the content of its agent.json); with the table and picture of the run that made it."""
    from huggingface_hub import ModelCardData

    env, algorithm = str(about["spec"]["name"]), str(about["config"]["algorithm"])
    table, results = ("", []) if run is None else _found(run)
    head = ModelCardData(
        model_name=place.name,
        library_name="fastrl",
        pipeline_tag="reinforcement-learning",
        tags=[*TAGS, *(word for word in (env, algorithm) if word.isascii())],
        eval_results=results or None,
    )
    seeds = int(about["seeds"])
    several = f"{seeds} agents, one a seed" if seeds > 1 else "One agent"
    parts = [
        f"# {place.name}",
        f"{several}, of the algorithm `{_code(algorithm)}` on `{_code(env)}` ({about['spec']['obs_size']} numbers "
        f"observed, {about['spec']['action_size']} in an action), trained with fastrl: actor, critics, targets and "
        "optimisers, so that fine-tuning goes on from here.",
        "![evaluations](curves.png)" if run is not None else "",
        table,
        "## Use",
        f"```bash\npip install 'fastrl[hub]'\nfastrl pull {place} agent\nfastrl evaluate agent\n"
        "fastrl export agent policy.onnx\n```",
        "`fastrl finetune --from agent` fine-tunes it. `agent.safetensors` holds every array by its place in the "
        "agent's state, its first axis counts the seeds; `agent.json` holds the options. Neither is a program.",
    ]
    return _page(head, parts)


def dataset(place: Place, data: Dataset, of: str) -> str:
    """The page of a dataset in Minari's layout; `of` is what it was made from."""
    from huggingface_hub import DatasetCardData

    head = DatasetCardData(pretty_name=place.name, tags=[*TAGS, "minari", "reinforcement-learning"])
    ends = int(data.boundary.sum()) + int(not data.boundary[-1])
    rows = {
        "observation": f"{data.obs.shape[1]} numbers",
        "action": f"{data.action.shape[1]} numbers in [-1, 1]",
        "sum of rewards": f"{float(data.reward.sum()):,.1f}",
        "terminations": f"{int((data.mask == 0).sum()):,}",
    }
    parts = [
        f"# {place.name}",
        f"{data.rows:,} transitions in {ends:,} episodes, made from `{_code(of)}`, in Minari's layout.",
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]),
        "## Use",
        f"```bash\npip install 'fastrl[hub]'\nfastrl pull {place} data\nfastrl run wsrl --env NAME --dataset data\n```",
        "Minari reads the folder as well.",
    ]
    return _page(head, parts)


def _found(run: Path) -> tuple[str, list[Any]]:
    """The table of a run's report, and its final evaluation as the Hub counts it."""
    from huggingface_hub import EvalResult

    from fastrl import statistics
    from fastrl.reports import report, results

    found = results.load(run)
    final = statistics.iqm(found.values[:, -1])
    entry = EvalResult(
        task_type="reinforcement-learning",
        dataset_type=str(found.config["env"]),
        dataset_name=str(found.config["env"]),
        metric_type="mean_reward" if found.measure == "return" else found.measure.replace("/", "_"),
        metric_value=round(final, 4),
        metric_name=f"{found.quantity}, interquartile mean over {len(found.values)} seeds",
    )
    return report.table([run]), [entry]


def _code(text: str) -> str:
    """A name as it may stand between backticks."""
    return " ".join(printable(text).replace("`", "'").split())


def _page(head: Any, parts: list[str]) -> str:
    return f"---\n{head.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n"
