"""Scores of several algorithms in a file, as rliable keeps them: a dictionary of one array for each algorithm.

An array is [runs, tasks], or [runs, tasks, evaluations]. The file is .npz (an array for each name), .json (nested
lists), or .npy (a pickled dictionary, as rliable's own files are; it is read without running what a pickle can run).
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.errors import UserError

Scores = dict[str, np.ndarray]
FORMATS = (".npz", ".json", ".npy")
_PLAIN = {
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "scalar": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "encode": ("_codecs",),
}
"""All that a pickled dictionary of arrays names, and where NumPy has kept it."""


def load(path: Path | str) -> Scores:
    """The arrays of a file, by algorithm; `UserError` where it is missing, damaged or holds something else."""
    path = _known(path)
    try:
        content = {".npz": _npz, ".json": _json, ".npy": _npy}[path.suffix](path)
        found = {str(name): np.asarray(values, np.float64) for name, values in content.items()}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); name a file of scores") from error
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        raise UserError(f"{path} holds no scores ({error}); it must map names to arrays of numbers") from error
    return _checked(found, path)


def save(path: Path | str, scores: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays by algorithm into a .npz, .json or .npy file, whole or not at all, and returns its path."""
    path = _known(path)
    found = _checked({name: np.asarray(values, np.float64) for name, values in scores.items()}, path)
    data = io.BytesIO()
    if path.suffix == ".json":
        data.write((json.dumps({name: values.tolist() for name, values in found.items()}) + "\n").encode())
    elif path.suffix == ".npy":
        np.save(data, np.array(found, dtype=object), allow_pickle=True)
    else:
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:  # np.savez takes no name such as "file"
            for name, values in found.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    return path


def _known(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: scores are kept in {', '.join(FORMATS)} files; give it one of these endings")
    return path


def _checked(scores: Scores, path: Path) -> Scores:
    """Refuses what is no table; algorithms may have different numbers of runs, but have the same tasks."""
    if not scores:
        raise UserError(f"{path}: there are no scores; give at least one algorithm")
    for name, values in scores.items():
        if values.ndim not in (2, 3) or not values.size:
            raise UserError(
                f"{path}: {name} has the shape {values.shape}; it must be [runs, tasks] or [runs, tasks, N]"
            )
    shapes = {name: values.shape[1:] for name, values in scores.items()}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise UserError(f"{path}: {name} has {shape} tasks (and evaluations), {first} {shapes[first]}; they differ")
    return scores


def _npz(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _json(path: Path) -> Mapping[str, Any]:
    return json.loads(path.read_text())


class _Arrays(pickle.Unpickler):
    """Reads arrays, text and numbers, and refuses every other thing that a pickle can name."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in _PLAIN.get(name, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return super().find_class(module, name)


def _npy(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, kind = read(file)
        if not kind.hasobject:
            raise ValueError("it is one array without a name")
        return _Arrays(file).load().item()
