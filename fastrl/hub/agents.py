"""A trained agent as files that others can read: its options in agent.json, its arrays in agent.safetensors.

Neither direction builds the agent: an agent that names code of its own (MODULE:NAME) can be sent and fetched without
running it, and no file is a program.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import links
from fastrl.errors import UserError
from fastrl.runs import digests, folder, manifest
from fastrl.runs.checkpoint import Checkpoints

ABOUT, ARRAYS = "agent.json", "agent.safetensors"
FILES = [ABOUT, ARRAYS]
FORMAT = 1
"""Of the two files together."""
LEAF = re.compile(r"[\w.\[\]-]{1,500}")
LARGEST = 1 << 20
"""Bytes of an agent.json; ours have two thousand."""


def home(path: Path) -> Path:
    """The folder with agent.json of a finished run or of a saved agent."""
    for place in (path, path / "agent"):
        if (place / ABOUT).is_file():
            links.check(place)
            return place
    if (path / "config.json").is_file():
        raise UserError(f"{path} is a run that has not finished: it has no agent; --resume it first")
    raise UserError(f"{path} holds no agent (no agent.json); name a finished run or a saved agent")


def write(source: Path, target: Path) -> dict[str, Any]:
    """Writes the two files of a saved agent into a folder and returns the content of its agent.json.

    An array's name is its place in the agent's state, its first axis counts the seeds.
    """
    from safetensors.numpy import save_file

    about = _about(source / ABOUT)
    damage: list[str] = []
    restored = Checkpoints(source / "checkpoints").restore(None, damage.append)
    if damage or restored is None:
        what = damage[0].partition(";")[0] if damage else "there is no checkpoint"
        raise UserError(f"{source}: the agent cannot be read: {what}; save it again")
    arrays = {path: np.asarray(leaf) for path, leaf in restored.carry.items()}
    save_file({path: np.ascontiguousarray(array) for path, array in arrays.items()}, target / ARRAYS)
    content = {**about, "hub": {"format": FORMAT, "sha256": digests.total(arrays)}}
    folder.write_json(target / ABOUT, content)
    return about


def read(source: Path, target: Path) -> dict[str, Any]:
    """Makes the folder `target` of the two files in `source`, as `Agent.save` makes one; whole or not at all.

    Returns the content of its agent.json. Raises `UserError` where the files are not an agent's, or were damaged.
    """
    if target.exists():
        raise UserError(f"{target} exists; name another folder")
    if missing := [name for name in FILES if not (source / name).is_file()]:
        raise UserError(f"{source} holds no agent of fastrl: it has no {missing[0]}; check the address")
    about = _about(source / ABOUT)
    stored = about.pop("hub", None)
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise UserError(f"{source / ABOUT} was written by another version of fastrl; use that one to read it")
    arrays = _arrays(source / ARRAYS)
    if digests.total(arrays) != stored.get("sha256"):
        raise UserError(f"{source / ARRAYS} is not what was sent (its sha256 differs); pull it again")
    manifest.make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="."))
    try:
        folder.write_json(temporary / ABOUT, about)
        Checkpoints(temporary / "checkpoints").save(1, arrays, {})
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return about


def _about(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        content = json.loads(path.read_bytes())
        if not all(isinstance(content[key], dict) for key in ("config", "spec")):
            raise ValueError("config or spec is no table")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); save or pull the agent again") from error
    return content


def _arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged or no safetensors file ({error}); pull it again") from error
    if odd := [name for name in found if not LEAF.fullmatch(name)]:
        raise UserError(f"{path} names an array {odd[0][:40]!r}, which no agent has; do not use it")
    return found
