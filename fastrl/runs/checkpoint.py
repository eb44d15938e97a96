"""Checkpoints of the whole carry: durable, checksummed, newest good one first.

Orbax stores the arrays; our manifest, written last, says what they must be. A step whose manifest is missing or does
not verify does not count. A step that cannot be read for another reason (a file server, memory, a device) is not
damaged: reading it ends in `Failure` and leaves everything as it is. One job writes; reading changes no file.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fastrl import errors
from fastrl.runs import digests, manifest, processes
from fastrl.types import Failure, UserError

MANIFEST = "fastrl_manifest.json"
PART = ".leaves.{}.{}.json"  # what a process other than the first saved of a step, until the manifest has it
_ITEM = "default"  # Orbax's folder for a single item inside a step


@dataclasses.dataclass(frozen=True)
class Restored:
    """A carry as it was saved, bit for bit."""

    step: int
    carry: Any
    meta: dict[str, Any]
    sha256: str


KEEP = 3
"""Checkpoints of a run that stay."""


class Checkpoints:
    """The checkpoints of one run, in one folder; the newest `keep` stay.

    What leaves have behind their first `rows` is padding: it may be longer or shorter where they are read. Processes
    of a job save and restore `together`, each what it holds, or each alone.
    """

    def __init__(self, folder: Path | str, keep: int = KEEP, rows: int | None = None, together: bool = False):
        self.folder = Path(folder).absolute()
        manifest.check_name(self.folder)
        self.keep, self.rows, self.together = keep, rows, together and processes.count() > 1
        self._damaged: set[int] = set()

    def steps(self) -> list[int]:
        """Every step with a folder, in order, good or not."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def save(self, step: int, carry: Any, meta: dict[str, Any]) -> str:
        """Saves a carry and returns its SHA-256 once all of it is on disk and described.

        Steps must increase; newer ones that `restore` found damaged are set aside first, as `STEP.damaged`. `meta` is
        JSON.
        """
        meta = json.loads(json.dumps(meta))
        for newer in [old for old in self.steps() if old >= step and old in self._damaged]:
            self._set_aside(newer)
        if (steps := self.steps()) and step <= steps[-1]:
            raise ValueError(f"checkpoint {step} is not after checkpoint {steps[-1]}")
        with errors.writing(f"{self.folder}: checkpoint {step} cannot be saved"):
            saved = self._manager.save(step, args=ocp.args.StandardSave(_storable(carry, self._alone)))
        if not saved:
            raise RuntimeError(f"Orbax did not save checkpoint {step}")
        old = self.steps()[: -self.keep]
        self._describe(step, meta, digests.digest(carry, self.rows))
        with errors.writing(f"{self.folder}: old checkpoints cannot be removed"):
            for each in old:
                self._manager.delete(each)
        return manifest.read(self.folder / str(step) / MANIFEST)["sha256"]

    def _describe(self, step: int, meta: dict[str, Any], own: dict[str, Any]) -> None:
        """Writes the manifest of a step once all processes have saved: the first one does, from what each found."""
        folder = self.folder / str(step)
        others = range(1, processes.count()) if self.together else ()
        if not self._writes:
            part = self.folder / PART.format(step, jax.process_index())
            manifest.write(part, {"format": manifest.FORMAT, "leaves": own})
        self._wait()
        if self._writes:
            parts = [self.folder / PART.format(step, other) for other in others]
            leaves = digests.merge([own, *(manifest.read(part)["leaves"] for part in parts)])
            content = {
                "format": manifest.FORMAT,
                "step": step,
                "meta": meta,
                "leaves": leaves,
                "sha256": digests.combine(leaves),
                "files": manifest.files(folder),
                **manifest.provenance(),
            }
            manifest.write(folder / MANIFEST, content)
            for part in parts:
                part.unlink()
        self._wait()

    def restore(
        self, template: Callable[[dict[str, Any]], Any] | None, on_damage: Callable[[str], None]
    ) -> Restored | None:
        """The newest carry that is what was saved, or None if no save ever ended.

        `template(meta)` is the carry's tree, concrete or abstract; arrays come back with its shardings. Without one
        the carry is a dictionary of its leaves by path.
        Every damaged step is reported to `on_damage` in one line and the one before it is tried. A step
        without a manifest was never acknowledged: where there are only such, nothing is lost.
        """
        steps = self.steps()[::-1]
        for step, older in zip(steps, [*steps[1:], None]):
            try:
                return self._restore(step, template)
            except manifest.Damaged as damage:
                self._damaged.add(step)
                then = "no older one is left" if older is None else f"using checkpoint {older}"
                on_damage(f"checkpoint {step}: {damage}; {then}")
        if any((self.folder / str(step) / MANIFEST).exists() for step in steps):
            raise UserError(
                f"{self.folder}: every checkpoint is damaged; copy them from a backup, or start again in another folder"
            )
        return None

    def latest_meta(self) -> dict[str, Any] | None:
        """The meta of the newest step whose manifest can be read (its arrays are not looked at)."""
        for step in self.steps()[::-1]:
            try:
                with _readable(self.folder / str(step)):
                    return manifest.read(self.folder / str(step) / MANIFEST)["meta"]
            except manifest.Damaged:
                continue
        return None

    def _set_aside(self, step: int) -> None:
        """Renames a step, so that it is none of `steps` and can still be looked at."""
        names = (f"{step}.damaged{f'-{n}' if n else ''}" for n in itertools.count())
        if self._writes:
            target = next(self.folder / name for name in names if not (self.folder / name).exists())
            (self.folder / str(step)).rename(target)
        self._wait()
        if "_manager" in self.__dict__:
            self._manager.reload()

    @property
    def _writes(self) -> bool:
        """Whether this process writes what is not an array."""
        return not self.together or processes.first()

    @property
    def _alone(self) -> bool:
        """Whether there are other processes, that have no part in this; Orbax then takes arrays of the host only."""
        return processes.count() > 1 and not self.together

    def _wait(self) -> None:
        if self.together:
            processes.wait()

    @contextlib.contextmanager
    def _agreed(self) -> Iterator[None]:
        """Makes what one process finds damaged so for all of them."""
        found: manifest.Damaged | None = None
        try:
            yield
        except manifest.Damaged as damage:
            found = damage
        if self.together and processes.agree(found is not None)[0]:
            raise found or manifest.Damaged("another process finds it damaged")
        if found is not None:
            raise found

    @property
    def _processes(self) -> ocp.options.MultiprocessingOptions:
        """The processes that save and restore with this one."""
        if not self._alone:
            return ocp.options.MultiprocessingOptions()
        own = jax.process_index()
        return ocp.options.MultiprocessingOptions(own, {own}, f"process {own}")

    @functools.cached_property
    def _manager(self) -> ocp.CheckpointManager:
        """Orbax's writer; when the first save begins, it removes what an interrupted save left behind."""
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # it shows traces of errors that it raises, too
        manifest.make_folder(self.folder)
        options = ocp.CheckpointManagerOptions(
            create=False,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=False,
            multiprocessing_options=self._processes,
        )
        with errors.writing(f"{self.folder}: checkpoints cannot be saved here"):
            return ocp.CheckpointManager(self.folder, options=options)

    def _restore(self, step: int, template: Callable[[dict[str, Any]], Any] | None) -> Restored:
        folder = self.folder / str(step)
        with _readable(folder):
            with self._agreed():
                content = manifest.read(folder / MANIFEST)
                if content["step"] != step:
                    raise manifest.Damaged(f"{MANIFEST} is that of checkpoint {content['step']}")
                if self._writes:
                    manifest.verify(folder, content["files"])
            tree = template(content["meta"]) if template else digests.abstract(content["leaves"])
            _check_structure(f"{self.folder}: checkpoint {step}", tree, content, self.rows)
            target = {path: _target(leaf) for path, leaf in _stored(tree).items()}
            with ocp.StandardCheckpointer(multiprocessing_options=self._processes) as checkpointer:
                flat = checkpointer.restore(folder / _ITEM, target, strict=self.rows is None)
            carry = _rebuild(tree, flat)
            with self._agreed():
                digests.verify(carry, content["leaves"], self.rows)
            return Restored(step, carry, content["meta"], content["sha256"])


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Makes every error of reading a step's folder a `Failure`, except damage and the user's own errors."""
    try:
        yield
    except (manifest.Damaged, UserError, Failure):
        raise
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        raise Failure(
            f"{folder} could not be read ({type(error).__name__}: {line}); that is no damage, and it is left as it is:"
            " try again once the cause is mended"
        ) from error


def _stored(tree: Any) -> dict[str, Any]:
    """The leaves that Orbax is given, by path: all but those of size zero, which it refuses."""
    return {path: leaf for path, leaf in digests.leaves(tree).items() if np.prod(np.shape(leaf)) != 0}


def _storable(carry: Any, on_host: bool) -> dict[str, Any]:
    """The leaves as plain arrays: typed keys by their data, numbers as arrays of rank 0."""

    def plain(leaf: Any) -> Any:
        leaf = jax.random.key_data(leaf) if digests.is_key(leaf) else leaf
        return leaf if isinstance(leaf, jax.Array) and not on_host else np.asarray(leaf)

    return {path: plain(leaf) for path, leaf in _stored(carry).items()}


def _target(leaf: Any) -> Any:
    """What Orbax should make of a template's leaf: an array on its devices, or one on the host."""
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return np.empty_like(np.asarray(leaf))
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    data = jax.eval_shape(jax.random.key_data, leaf) if digests.is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=sharding)


def _rebuild(tree: Any, flat: dict[str, Any]) -> Any:
    """The template's tree with the restored leaves; `flat` is emptied on the way."""

    def leaf_of(path: str, leaf: Any) -> Any:
        if path not in flat:  # of size zero
            return jax.numpy.zeros(leaf.shape, leaf.dtype)
        value = flat.pop(path)
        if digests.is_key(leaf):
            kind = jax.random.key_impl(jax.numpy.empty((), leaf.dtype))
            return jax.random.wrap_key_data(value, impl=kind)
        if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct, np.ndarray)):
            return value
        return value.item() if isinstance(leaf, (bool, int, float)) else value[()]

    restored = [leaf_of(path, leaf) for path, leaf in digests.leaves(tree).items()]
    return jax.tree.unflatten(jax.tree.structure(tree), restored)


def _check_structure(where: str, tree: Any, content: dict[str, Any], rows: int | None) -> None:
    """Refuses a template that is not the saved tree: Orbax would cast dtypes silently."""
    saved, made = content["leaves"], manifest.other_version(content)
    expected = {path: digests.describe(leaf, rows) for path, leaf in digests.leaves(tree).items()}
    for path in sorted(expected.keys() | saved.keys()):
        here, there = expected.get(path), saved.get(path)
        there = there and {"dtype": there["dtype"], "shape": there["shape"]}
        if here != there:
            raise UserError(
                f"{where} holds {path} as {_words(there)} but these options need {_words(here)}; resume"
                f" with the options {'and the version ' if made else ''}it was made with{made and f' ({made})'}"
            )


def _words(entry: dict[str, Any] | None) -> str:
    return f"{entry['dtype']}{entry['shape']}" if entry else "nothing"
