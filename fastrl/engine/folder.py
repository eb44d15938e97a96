"""The run folder: config.json, timing.json, and what makes a folder the right one to resume. Knows no arrays."""

import json
from pathlib import Path
from typing import Any

from fastrl.engine import manifest
from fastrl.types import UserError

FORMAT = 1


def write_json(path: Path, content: Any) -> None:
    """Writes atomically: a reader sees the old file or the new one, never half."""
    manifest.replace(path, (json.dumps(content, indent=1) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a run folder, or one line that says why it is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder} is no run folder: it has no config.json; name the --out of an earlier run")
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); restore it or start a new run") from error
    if not isinstance(config, dict) or "identity" not in config:
        raise UserError(f"{path} was not written by fastrl: it has no 'identity'; name another run folder")
    return config


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(content, list) and any(isinstance(item, dict) for item in content):
        content = {str(i): item for i, item in enumerate(content)}
    if not isinstance(content, dict):
        return {prefix: content}
    dot = f"{prefix}." if prefix else ""
    return {k: v for key, value in content.items() for k, v in _flat(value, dot + key).items()}


def prepare(folder: Path, identity: dict[str, Any], record: dict[str, Any], resume: bool) -> None:
    """Makes a new run folder, or checks that an existing one may be resumed with these options."""
    identity = json.loads(json.dumps(identity))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file; name a folder")
    cut_short = ".config.json.tmp"  # all that a run killed in its first moment leaves
    if folder.exists() and any(path.name != cut_short for path in folder.iterdir()):
        if not resume:
            raise UserError(f"--out {folder} exists; add --resume to continue it, or use another --out")
        old, new = _flat(read_config(folder)["identity"]), _flat(identity)
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if differing:
            shown = ", ".join(f"{key}: {old.get(key)} there, {new.get(key)} now" for key in differing[:3])
            raise UserError(f"--resume {folder}: other options ({shown}); use the same options or another --out")
        return
    manifest.make_folder(folder)
    config = {"format": FORMAT, **record, "identity": identity, **manifest.provenance()}
    write_json(folder / "config.json", config)
