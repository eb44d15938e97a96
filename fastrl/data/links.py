"""Refuses symbolic links that lead out of a folder, which may come from another person."""

import os
from pathlib import Path

from fastrl.types import UserError


def check(folder: Path) -> None:
    """Raises `UserError` where a link inside the folder leads out of it: the link's target would be read.

    The folder itself may be reached through a link.
    """
    root = folder.resolve()
    for place, folders, names in os.walk(root):
        for path in (Path(place, name) for name in (*folders, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise UserError(
                    f"{folder}: {path.relative_to(root)} is a link out of the folder; put a copy in its place"
                )
