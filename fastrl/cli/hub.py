"""`fastrl push` and `fastrl pull`: agents and datasets on the Hugging Face Hub. Their help imports no jax."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fastrl.cli.options import Parser
from fastrl.errors import UserError
from fastrl.hub.place import Place

ADDRESS = "hf://USER/NAME for an agent, hf://datasets/USER/NAME for a dataset"


def push(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Puts an agent or a dataset on the Hugging Face Hub."""
    parser = Parser(
        prog="fastrl push",
        description="Uploads a trained agent as safetensors, with a page that shows its run's table and picture, "
        "or a dataset in Minari's layout. Log in with `hf auth login` first.",
    )
    meaning = "a finished run or a saved agent; or a dataset: a file, a Minari folder or id"
    parser.add_argument("source", metavar="SOURCE", help=meaning)
    parser.add_argument("address", metavar="ADDRESS", help=ADDRESS)
    meaning = "make the repository private, where it is new (default: as your account says)"
    parser.add_argument("--private", action="store_true", help=meaning)
    found = parser.parse(words)
    prepare()
    from fastrl.hub import place as places

    place = places.find(found.address)
    with tempfile.TemporaryDirectory() as folder:
        message = (_agent if place.kind == "model" else _dataset)(found.source, place, Path(folder))
        print(places.send(place, Path(folder), message, found.private))
    return 0


def _agent(source: str, place: Place, folder: Path) -> str:
    """The files of an agent's repository."""
    from fastrl.hub import agents, cards
    from fastrl.reports import report

    home = agents.home(Path(source))
    about = agents.write(home, folder)
    run = home.parent if (home.parent / "config.json").is_file() else None
    (folder / cards.PAGE).write_text(cards.agent(place, about, run))
    if run is not None and (run / report.PICTURE).is_file():
        shutil.copy(run / report.PICTURE, folder / report.PICTURE)
    return f"Agent of {about['config']['algorithm']} on {about['spec']['name']}"


def _dataset(source: str, place: Place, folder: Path) -> str:
    """The files of a dataset's repository."""
    from fastrl.hub import cards, datasets

    if (Path(source) / "agent.json").is_file() or (Path(source) / "agent" / "agent.json").is_file():
        raise UserError(f"{source} is an agent; push it to hf://{place.repository}")
    data = datasets.write(source, place.name, folder)
    (folder / cards.PAGE).write_text(cards.dataset(place, data, Path(source).name))
    return f"Dataset of {data.rows} transitions"


def pull(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Fetches an agent or a dataset from the Hugging Face Hub."""
    parser = Parser(
        prog="fastrl pull",
        description="Fetches an agent, for evaluate, export and --from, or a dataset, for --dataset. "
        "No code is fetched or run. With HF_HUB_OFFLINE=1 what was fetched before is used.",
    )
    parser.add_argument("address", metavar="ADDRESS", help=f"{ADDRESS}; with @REVISION a branch, tag or commit")
    meaning = "folder to make (default: the repository's name)"
    parser.add_argument("out", nargs="?", metavar="DIR", help=meaning)
    found = parser.parse(words)
    prepare()
    from fastrl.agent import own_code
    from fastrl.hub import agents, datasets
    from fastrl.hub import place as places

    place = places.find(found.address)
    target = Path(found.out or place.name)
    if target.exists():
        raise UserError(f"{target} exists; name another folder")
    if place.kind == "dataset":
        data = datasets.read(places.fetch(place, datasets.PATTERNS), target)
        print(f"{target}: {data.rows:,} transitions; use it with --dataset {target}")
        return 0
    about = agents.read(places.fetch(place, agents.FILES), target)
    print(f"{target}: {about['seeds']} seeds; use it with --from {target}, or fastrl evaluate {target}")
    for name in own_code(about["config"]):
        print(f"it was trained with code of its author's own, {name!r}, which is not fetched and must be importable")
    return 0
