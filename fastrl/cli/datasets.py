"""The command `fastrl datasets`, and the options by which other commands name a dataset. Help imports no jax."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastrl.cli.options import Parser
from fastrl.errors import UserError, printable

if TYPE_CHECKING:
    from fastrl.data.datasets import Dataset
    from fastrl.data.sources import Source

SUFFIXES = (".hdf5", ".h5", ".npz")


def to_stderr(line: str) -> None:
    """Prints a line about progress."""
    print(printable(line), file=sys.stderr)


def dataset_options(parser: Parser) -> None:
    """The options that say which dataset a run learns from."""
    parser.add_argument(
        "--dataset",
        metavar="DATA",
        help="offline data: D4RL HDF5 or npz file, FILE:/GROUP, Minari folder or id (default: none)",
    )
    parser.add_argument("--dataset-sha256", metavar="HEX", help="refuse other bytes than these (default: any)")
    _reading(parser)
    parser.add_argument(
        "--actions",
        choices=("unit", "environment"),
        default="unit",
        help="where the stored actions lie: in [-1, 1], or in the environment's own bounds (default: unit)",
    )
    parser.add_argument(
        "--download", action="store_true", help="let Minari download an id that is not there (default: refuse)"
    )


def _actions(parser: Parser) -> None:
    """Adds --actions, where no environment is named that has bounds."""

    def bounds(text: str) -> tuple[float, float]:
        low, _, high = text.partition(",")
        if not float(low) < float(high):
            raise ValueError
        return float(low), float(high)

    bounds.__name__ = "LOW,HIGH"
    meaning = "where the stored actions lie (default: -1,1)"
    parser.add_argument("--actions", type=bounds, metavar="LOW,HIGH", help=meaning)


def _given(found: Namespace) -> dict[str, Any]:
    """What `_reading` and `_actions` were told, as fields of a source."""
    given = {"order": _keys(found.dataset_order), "next_observations": found.next_observations}
    return given if found.actions is None else {**given, "actions": found.actions}


def source(found: Namespace) -> "Source | None":
    """The dataset that those options name, read through the cache of converted copies."""
    from fastrl import startup
    from fastrl.data.sources import Source

    if found.dataset is None:
        return None
    return Source(
        found.dataset,
        sha256=found.dataset_sha256,
        order=_keys(found.dataset_order),
        next_observations=found.next_observations,
        actions=found.actions,
        download=found.download,
        cache=startup.cache("datasets"),
        report=to_stderr,
    )


def main(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """`fastrl datasets [FOLDER ..]`, or one of its verbs."""
    verb = VERBS.get(words[0]) if words else None
    return verb(words[1:], prepare) if verb else _list(words, prepare)


def _list(words: Sequence[str], prepare: Callable[[], None]) -> int:
    verbs = "\n".join(f"  {name:9} {(verb.__doc__ or '').strip()}" for name, verb in VERBS.items())
    meaning = f"Lists datasets and their returns. Or one of these, each with its own --help:\n{verbs}"
    parser = Parser(prog="fastrl datasets", description=meaning)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="where to look (default: . and Minari's own)")
    folders = [Path(folder) for folder in parser.parse(words).folders]
    prepare()
    from fastrl.cli.catalogue import aligned
    from fastrl.data import datasheet
    from fastrl.data.sources import Source

    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UserError(f"{missing[0]}: no such folder, and none of {', '.join(VERBS)}; name a folder or one of these")
    rows, skipped = [], []
    for place in folders or [Path("."), *_minari()]:
        for path in _found(place):
            try:
                rows.append(datasheet.row(Source(path)))
            except UserError as error:
                skipped.append(f"skipped {error}")
    head = ("dataset", "format", "rows", "trajectories", "mean return", "best", "D4RL score of the mean")
    print("\n".join([aligned(head, rows) if rows else "no datasets found", *skipped]))
    return 0


def _minari() -> list[Path]:
    """Minari's own folder, or none where Minari cannot have one."""
    from fastrl.data import minari_files

    try:
        return [minari_files.local_root()]
    except UserError:
        return []


def _found(place: Path) -> Iterator[Path]:
    """Files that may be datasets and folders of Minari's datasets, without hidden folders."""
    for folder, inside, files in os.walk(place):
        if (Path(folder) / "data" / "metadata.json").is_file():
            inside.clear()
            yield Path(folder)
            continue
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(SUFFIXES))


def _describe(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """A datasheet of one dataset."""
    parser = Parser(prog="fastrl datasets describe", description="Prints what a dataset is, as Markdown.")
    parser.add_argument("dataset", metavar="DATA", help="D4RL HDF5 or npz file, Minari folder or id")
    _reading(parser)
    _actions(parser)
    _horizon(parser)
    parser.add_argument("--force", action="store_true", help="write over a datasheet in --out (default: refuse)")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="also write it there, with a picture, and a map if its name has 'maze' (default: print only)",
    )
    found = parser.parse(words)
    prepare()
    from fastrl.data import datasets, datasheet
    from fastrl.data.sources import Source

    named = Source(found.dataset, **_given(found))
    data = datasets.open_source(named, found.horizon)
    if found.out is not None:
        datasheet.write(named, data, Path(found.out), found.force)
    print(datasheet.page(named, data), end="")
    return 0


def _export(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """A dataset, or the replay of a run, as a D4RL file or a Minari dataset."""
    parser = Parser(prog="fastrl datasets export", description="Writes a dataset or a run's replay in another format.")
    parser.add_argument("source", metavar="SOURCE", help="a dataset, or a run folder; DIR:2 is its seed 2 alone")
    parser.add_argument("out", metavar="OUT", help="FILE.hdf5 is D4RL's layout, a name such as mine/walks-v0 Minari's")
    _reading(parser)
    _actions(parser)
    _horizon(parser)
    parser.add_argument("--root", metavar="FOLDER", help="folder of the Minari id (default: Minari's own)")
    found = parser.parse(words)
    prepare()
    from fastrl.data import datasets, export

    run, _, seed = found.source.rpartition(":")
    run, index = (run, int(seed)) if run and seed.isdigit() else (found.source, None)
    if (Path(run) / "config.json").is_file():
        from fastrl.collect import experience

        data = experience.load(Path(run), index, to_stderr)
    else:
        data = datasets.load(found.source, horizon=found.horizon, **_given(found))
    if found.out.endswith(SUFFIXES[:2]):
        export.save_d4rl(data, found.out)
        return _written(found.out, data)
    return _written(str(export.save_minari(data, found.out, found.root)), data)


def _convert(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Adroit's pickled demonstrations as a D4RL file."""
    parser = Parser(prog="fastrl datasets convert", description="Turns Adroit's pickled .npy lists into D4RL HDF5.")
    parser.add_argument("files", nargs="+", metavar="FILE", help=".npy lists of trajectories, joined")
    parser.add_argument("out", metavar="OUT", help="HDF5 file to write; must not exist")
    parser.add_argument("--allow-pickle", action="store_true", help="run what is in them (default: refuse)")
    found = parser.parse(words)
    prepare()
    from fastrl.data import adroit_npy, export

    data = adroit_npy.convert([Path(file) for file in found.files], found.allow_pickle)
    export.save_d4rl(data, found.out)
    return _written(found.out, data)


VERBS = {"describe": _describe, "export": _export, "convert": _convert}


def _reading(parser: Parser) -> None:
    """Adds the options that say how a dataset's observations are read."""
    meaning = "keys of a Dict observation, comma-separated (default: D4RL's order for AntMaze and Kitchen)"
    parser.add_argument("--dataset-order", metavar="KEYS", help=meaning)
    parser.add_argument(
        "--next-observations",
        choices=("row", "file"),
        default="row",
        help="what follows a row: the row after it, or the file's own next_observations (default: row)",
    )


def _horizon(parser: Parser) -> None:
    meaning = "episode length, where a file has no 'timeouts' (default: refuse such a file)"
    parser.add_argument("--horizon", type=int, metavar="N", help=meaning)


def _keys(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _written(out: str, data: "Dataset") -> int:
    returns = data.episode_returns()
    mean = f", mean return {returns.mean():.1f}" if returns.size else ""
    print(f"{out}: {data.rows} transitions, {len(returns)} finished trajectories{mean}")
    return 0
