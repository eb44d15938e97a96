"""Reads and writes Minari datasets without a simulator: metadata.json and the episodes' arrays.

An episode has one observation more than it has steps, so that no row is dropped: `next_obs` of a truncated episode's
last row is true. Actions are mapped from the recorded Box to [-1, 1].
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastrl.data import flatten, hdf5, rows, validate
from fastrl.data.rows import Rows
from fastrl.envs import spaces
from fastrl.types import UserError

ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")
EPISODE = 16 << 10  # bytes that an episode costs in the file beside its rows
KEYS = ("observations", "actions", "rewards")
FLAGS = ("terminations", "truncations")
DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError, IndexError, AttributeError)
Episode = dict[str, Any]


def home(path: Path) -> Path | None:
    """The folder with metadata.json of a dataset's folder, of its `data` folder, or of its main file; else None."""
    return next((p for p in (path / "data", path, path.parent) if (p / "metadata.json").is_file()), None)


def identity(folder: Path) -> str:
    """The id that a dataset's metadata.json gives it."""
    try:
        return str(json.loads((folder / "metadata.json").read_bytes())["dataset_id"])
    except DAMAGED as error:
        raise UserError(f"{folder}: metadata.json is damaged or has no dataset_id; download it again") from error


def local_root() -> Path:
    """Where Minari keeps its datasets."""
    from minari.storage import get_dataset_path  # takes a second, and most files are not Minari's

    if not Path(os.path.expanduser("~")).is_dir():  # Minari would make a folder named ~, or a home
        raise UserError("Minari's own folder cannot be used (there is no home folder); name another one")
    try:
        return get_dataset_path()  # makes it, too
    except OSError as error:
        raise UserError(f"Minari's own folder cannot be used ({error}); name another one") from error


def fetch(identity: str, root: Path | None, download: bool) -> Path:
    """The folder of a dataset id under `root` (none: Minari's own), downloaded by Minari where that is asked for."""
    folder = (root or local_root()) / identity
    if folder.is_dir():
        return folder
    if not download:
        raise UserError(
            f"{identity}: no such file, and no Minari dataset in {folder.parent}; "
            "fetch it with `minari download`, or give a run --download"
        )
    if root is not None:
        raise UserError(f"{identity}: is not in {root}; leave the folder out to download to Minari's own")
    import minari

    try:
        minari.download_dataset(identity)
    except Exception as error:  # whatever the network and its clients raise
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{identity}: Minari cannot download it ({line}); download it elsewhere") from error
    return folder


def digest(folder: Path) -> str:
    """One sha256 of the names and sha256 of all its files; actions depend on metadata.json too."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {rows.digest(path)}\n".encode())
    return total.hexdigest()


def read(folder: Path, order: tuple[str, ...]) -> Rows:
    """All episodes of a dataset, one after the other; `order` as in `fastrl.data.flatten`."""
    where, number = str(folder), None
    parts: list[Rows] = []
    try:
        metadata = json.loads((folder / "metadata.json").read_bytes())
        box = _box(where, json.loads(metadata["action_space"])) if "action_space" in metadata else None
        observed = json.loads(metadata.get("observation_space", "{}")).get("type")
        if observed in ("Discrete", "MultiDiscrete", "MultiBinary"):  # numbers that count nothing
            raise spaces.not_observed(where, observed)
        episodes = (_hdf5 if metadata.get("data_format", "hdf5") == "hdf5" else _stored)(folder)
        for number, episode in episodes:
            if not parts:
                order = flatten.order_of(where, episode["observations"], order)
            parts.append(_rows(f"{where}: episode {number}", episode, order, box))
    except DAMAGED as error:
        what = "metadata.json or the first episode" if number is None else f"an episode after or at {number}"
        raise UserError(f"{where}: {what} is cut short or damaged; download it again") from error
    if metadata.get("total_episodes", len(parts)) != len(parts) or not parts:
        raise UserError(f"{where}: has {len(parts)} episodes, not {metadata.get('total_episodes')}; download it again")
    if len({(part.obs.shape[1], part.action.shape[1]) for part in parts}) > 1:
        raise UserError(f"{where}: episodes have observations or actions of different sizes; split them")
    open_tail = not parts[-1].boundary[-1]
    for part in parts[: -1 if open_tail else None]:
        part.boundary[-1] = True
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in rows.COLUMNS}
    return Rows(**joined, order=order)


def _rows(where: str, episode: Episode, order: tuple[str, ...], box: Any) -> Rows:
    """One episode, checked."""
    found = {"observations": flatten.flatten(where, episode["observations"], order)}
    for key, rank in (("actions", 2), ("rewards", 1), *((flag, 1) for flag in FLAGS)):
        array = np.asarray(episode[key])
        found[key] = validate.numbers(where, key, spaces.rows(where, array) if rank == 2 else array, rank)
        if key in FLAGS:
            validate.binary(where, key, found[key])
    steps = {key: array for key, array in found.items() if key != "observations"}
    validate.same_rows(where, steps, "rewards")
    if len(found["observations"]) != len(found["rewards"]) + 1:
        raise UserError(
            f"{where}: has {len(found['observations'])} observations and {len(found['rewards'])} steps; "
            "store one observation more than steps"
        )
    for key in ("observations", "actions", "rewards"):
        validate.finite(where, key, found[key])
    action = found["actions"] if box is None else spaces.to_unit(found["actions"], *box)
    return Rows(
        obs=found["observations"][:-1],
        action=validate.unit_actions(where, "actions", action),
        reward=found["rewards"],
        terminal=found["terminations"] == 1,
        next_obs=found["observations"][1:],
        boundary=(found["terminations"] == 1) | (found["truncations"] == 1),
    )


def _box(where: str, space: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [A] of the recorded action space, by the rule of `fastrl.envs.spaces`."""
    if space.get("type") != "Box":
        raise spaces.not_a_box(where, space.get("type"))
    return spaces.bounds(where, space.get("dtype", "float32"), space["low"], space["high"])


def _hdf5(folder: Path) -> Iterator[tuple[int, Episode]]:
    """The episodes of main_data.hdf5, in the order of their numbers."""
    with h5py.File(folder / "main_data.hdf5", "r") as file:
        for number in sorted(int(name.removeprefix("episode_")) for name in file):
            found = {key: hdf5.find(file, f"episode_{number}/{key}") for key in (*KEYS, *FLAGS)}
            if missing := [key for key, node in found.items() if node is None]:
                raise KeyError(missing[0])
            yield number, {key: hdf5.tree(node) for key, node in found.items()}


def _stored(folder: Path) -> Iterator[tuple[int, Episode]]:
    """The episodes of any other format, through Minari's own reader of it."""
    from minari.dataset.minari_storage import MinariStorage

    try:
        storage = MinariStorage.read(folder)
    except ImportError as error:
        raise UserError(f"{folder}: is in a format that needs another package ({error}); install it") from error
    for episode in storage.get_episodes(range(storage.total_episodes)):
        yield episode["id"], episode


def write(identity: str, root: Path | None, data: Rows) -> Path:
    """A new dataset of that id under `root` (none: Minari's own), whole or not at all; its folder.

    Observations and actions are float32 Boxes, actions in [-1, 1]. An episode ends at a boundary, and where the next
    row does not start at `next_obs` to the last bit.
    """
    import minari
    from gymnasium.spaces import Box
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    if not ID.fullmatch(identity):
        raise UserError(f"{identity!r} is no Minari id; write for example mine/walks-v0 (or FILE.hdf5)")
    target = ((root or local_root()) / identity).absolute()  # Minari joins a relative folder to itself
    ends = data.boundary.copy()
    ends[:-1] |= (data.obs[1:] != data.next_obs[:-1]).any(axis=1)
    ends[-1] = True

    def episodes() -> Iterator[Any]:
        for first, last in zip(np.r_[0, np.flatnonzero(ends)[:-1] + 1], np.flatnonzero(ends)):
            steps = slice(first, last + 1)
            terminations = data.terminal[steps]
            truncations = np.zeros_like(terminations)
            truncations[-1] = not terminations[-1] and (data.boundary[last] or last < len(ends) - 1)
            yield EpisodeBuffer(
                observations=np.concatenate([data.obs[steps], data.next_obs[last : last + 1]]),
                actions=data.action[steps],
                rewards=data.reward[steps],
                terminations=terminations,
                truncations=truncations,
                infos={},
            )

    size = sum(getattr(data, name).nbytes for name in rows.COLUMNS) + EPISODE * int(ends.sum() + 1)
    try:
        if target.exists():
            raise UserError(f"{target} exists already: choose another id or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < size:  # a full disk would end the process, inside of HDF5
            raise UserError(f"{target}: may need {size} bytes, more than the disk has free; name another folder")
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="."))
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error}); name another folder") from error
    try:
        shapes = (-np.inf, np.inf, data.obs.shape[1:]), (-1.0, 1.0, data.action.shape[1:])
        observation, action = (Box(low, high, shape, np.float32) for low, high, shape in shapes)
        storage = MinariStorage.new(temporary / "data", observation, action)
        storage.update_metadata({"dataset_id": identity, "minari_version": minari.__version__})
        storage.update_episodes(episodes())
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
