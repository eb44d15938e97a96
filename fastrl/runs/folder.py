"""The run folder: config.json, timing.json, and what makes a folder the right one to resume."""

import contextlib
import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from fastrl.runs import lock, manifest
from fastrl.types import UserError

FORMAT = 1
Resume = bool | Literal["auto"]
"""False makes a new run, True continues one that is there, "auto" continues a run that is there, else makes one."""


def write_json(path: Path, content: Any) -> None:
    """Writes atomically: a reader sees the old file or the new one, never half."""
    manifest.replace(path, (json.dumps(content, indent=1) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a run folder; raises `UserError` where the folder has none of ours."""
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


@contextlib.contextmanager
def claimed(folder: Path, identity: dict[str, Any], record: dict[str, Any], resume: Resume) -> Iterator[None]:
    """Makes a new run folder, or checks that an existing one may be resumed with these options, and locks it.

    While the lock is held, a second process is refused with an error that names the first.
    """
    _check(folder, resume)
    manifest.make_folder(folder)
    with lock.hold(folder):
        if resume and _there(folder):
            _same(folder, json.loads(json.dumps(identity)))
        else:
            _check(folder, resume)  # another process may have made it meanwhile
            write_json(
                folder / "config.json", {"format": FORMAT, **record, "identity": identity, **manifest.provenance()}
            )
        yield


def check(folder: Path, identity: dict[str, Any], resume: Resume) -> None:
    """Refuses what `claimed` would refuse, and writes nothing."""
    manifest.check_name(folder)
    _check(folder, resume)
    if resume and _there(folder):
        lock.check(folder)
        _same(folder, json.loads(json.dumps(identity)))
    home = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UserError(f"{folder} cannot be made ({home} is no folder that can be written to); choose another place")


def _there(folder: Path) -> bool:
    """Whether a folder holds more than the files of a run that was killed as it started."""
    return folder.is_dir() and any(path.name not in (".config.json.tmp", lock.LOCK) for path in folder.iterdir())


def _check(folder: Path, resume: Resume) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file; name a folder")
    if not resume and _there(folder):
        raise UserError(f"--out {folder} exists; add --resume to continue it, or use another --out")
    if resume is True and not _there(folder):
        runs = [path.parent.name for path in folder.absolute().parent.glob("*/config.json")]
        near = difflib.get_close_matches(folder.absolute().name, runs, n=1, cutoff=0.4)
        hint = f"did you mean {folder.parent / near[0]}?" if near else f"{folder.parent} has no run of a similar name"
        raise UserError(f"--resume: there is no run in {folder}; {hint} (--resume auto starts one)")


def _same(folder: Path, identity: dict[str, Any]) -> None:
    """Refuses other options than those that the run in a folder was made with."""
    config = read_config(folder)
    old, new = _flat(config["identity"]), _flat(identity)
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        shown = ", ".join(f"{key}: {old.get(key)} there, {new.get(key)} now" for key in differing[:3])
        made = manifest.other_version(config)
        by, same = (f"{made}: ", "options and version,") if made else ("", "options")
        raise UserError(f"--resume {folder}: {by}other options ({shown}); use the same {same} or another --out")
