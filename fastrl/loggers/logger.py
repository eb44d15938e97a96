"""What a logger is, and what it is told of the run: its folder and its configuration, a column an option."""

import dataclasses
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fastrl.runs import folder as folders

Row = dict[str, Any]
"""A row of metrics.jsonl: where it stands (kind, phase, step, online, offline) and what it found, lists `[S]`."""

LONGEST = 64  # letters of a tag


@dataclasses.dataclass(frozen=True)
class About:
    """A run, as its loggers see it."""

    folder: Path
    config: dict[str, Any]  # what config.json says; options by phase, as `config["finetune"]["actor_lr"]`
    offline: tuple[str, ...]  # phases whose steps are gradient steps; those of the others are environment steps
    tell: Callable[[str], None]  # shows the user one line, from any thread

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.folder.absolute().name

    @property
    def tags(self) -> list[str]:
        """The recipe, and the environment."""
        return [str(self.config[key])[:LONGEST] for key in ("recipe", "env") if self.config.get(key)]

    @property
    def group(self) -> str:
        """Runs of one recipe in one environment belong together."""
        return "-".join(self.tags) or "fastrl"


class Logger(Protocol):
    """Three methods, called one after another in a thread that is the logger's own.

    They may wait and they may raise: the run does not wait for them, and goes on without a logger that raised.
    """

    def start(self, about: About) -> None:
        """The run begins, or is continued."""

    def log(self, number: int, row: Row) -> None:
        """Row `number` of metrics.jsonl, counted from 0; a run that is continued shows its earlier rows again."""

    def finish(self, summary: dict[str, float], complete: bool) -> None:
        """The run has ended with this last and best evaluation; `complete`: it is done, and was not interrupted."""


def about(folder: Path, tell: Callable[[str], None]) -> About:
    """What loggers are told of the run in a folder."""
    content = folders.read_config(folder) if (folder / "config.json").exists() else {}
    identity = dict(content.pop("identity", {}))
    data, phases = identity.pop("dataset", None) or {}, identity.pop("phases", [])
    config = {**identity, **content, **{f"dataset_{key}": value for key, value in data.items()}}
    for number, point in enumerate(config.pop("points", [])):
        config.setdefault("point", {})[str(number)] = point
    for phase in phases:
        config[phase["name"]] = {key: phase[key] for key in phase if key not in ("name", "algorithm")}
        config[phase["name"]] |= phase["algorithm"]
    return About(folder, config, tuple(phase["name"] for phase in phases if not phase["online"]), tell)


class Place:
    """The name of a run elsewhere, and how many of its rows are there: a small file in the run's folder.

    A row counts before it is sent: whatever kills a run, none is sent twice.
    """

    def __init__(self, path: Path):
        self.path = path
        found = json.loads(path.read_text()) if path.exists() else {}
        self.id: str = found.get("id", uuid.uuid4().hex[:8])
        self.rows: int = found.get("rows", 0)

    def take(self, number: int) -> bool:
        """Whether this row is still to be sent; it counts from now on."""
        if number < self.rows:
            return False
        self.rows = number + 1
        folders.write_json(self.path, {"id": self.id, "rows": self.rows})
        return True
