"""A dataset on the Hub: a Minari dataset's folder, whatever format it is made from."""

import re
import shutil
import tempfile
from pathlib import Path

from fastrl.data import datasets, export, links, minari_files
from fastrl.data.datasets import Dataset
from fastrl.errors import UserError
from fastrl.runs import manifest

PATTERNS = ["data/*", "data/**/*"]
"""What a Minari dataset's folder holds; a repository's other files are not fetched."""


def write(source: str, name: str, target: Path) -> Dataset:
    """Puts the data of a file, a folder or a Minari id into `target`/data in Minari's layout, and returns its rows."""
    data = datasets.load(source)
    if (there := Path(source)).is_dir() and (folder := minari_files.home(there)) is not None:
        shutil.copytree(folder, target / "data")  # `load` refused links that lead out of it
    else:
        identity = name if minari_files.ID.fullmatch(name) else f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-v0"
        (export.save_minari(data, identity, target / "made") / "data").rename(target / "data")
        shutil.rmtree(target / "made")
    return data


def read(source: Path, target: Path) -> Dataset:
    """Copies a fetched repository's dataset to the folder `target`, whole or not at all, and returns its rows.

    Raises `UserError` where it is no Minari dataset, or cannot be read.
    """
    if target.exists():
        raise UserError(f"{target} exists; name another folder")
    if minari_files.home(source) is None:
        raise UserError(f"{source} holds no dataset in Minari's layout (no data/metadata.json); check the address")
    manifest.make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="."))
    try:
        shutil.copytree(source / "data", temporary / "data")  # the client keeps links to its own files: copies of them
        links.check(temporary)
        data = datasets.load(temporary)
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return data
