"""The notebook is one; its cells run at a tiny size, but for those that install, look for a card or show a picture."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from fastrl.experiments import demo

NOTEBOOK = json.loads((Path(__file__).parents[2] / "docs" / "demo.ipynb").read_text())
ELSEWHERE = {"network", "gpu", "picture"}
SMALL = "actor_hidden=(8,), critic_hidden=(8,), num_critics=2, batch_size=8, utd=1, cql_actions=2, backup_actions=2,"
TINY = {
    "SEEDS = 8": "SEEDS = 2",
    "pretrain_steps=1_500,": f"pretrain_steps=20, {SMALL} eval_every=60, eval_episodes=1, probe_every=0,",
    "warmup=600": "warmup=40",
    "steps=2_400": "steps=60",
}


def sources(kind: str) -> list[tuple[set[str], str]]:
    """(tags, source) of the cells of a kind."""
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]
    return [(set(cell["metadata"].get("tags", ())), "".join(cell["source"])) for cell in cells]


def test_it_has_the_form_of_a_notebook():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        extra = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | extra
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    assert all(cell.get("outputs", []) == [] for cell in NOTEBOOK["cells"])
    assert all(len(source.splitlines()) <= 15 for _, source in sources("code"))


def test_only_tagged_cells_leave_python():
    for tags, source in sources("code"):
        leaves = any(line.startswith(("%", "!")) for line in source.splitlines()) or "IPython" in source
        assert leaves == bool(tags & ELSEWHERE), source


@pytest.mark.slow
def test_its_cells_run(quick, tmp_path, monkeypatch):
    """The demonstration itself runs in tests/experiments/test_demo.py; here it only makes its data."""
    monkeypatch.chdir(tmp_path)
    signature, asked = inspect.signature(demo.demo), []

    def collects(*given: Any, **named: Any) -> str:
        asked.append(signature.bind(*given, **named).arguments)
        demo.manifest.make_folder(asked[-1]["out"])
        rows = demo.collect.collect(demo.ENV, demo.PLAYER, options=demo.ENV_OPTIONS, steps=400)
        demo.d4rl.write(asked[-1]["out"] / "data.hdf5", rows)
        return "a table"

    monkeypatch.setattr(demo, "demo", collects)
    names: dict[str, Any] = {}
    for tags, source in sources("code"):
        if not tags & ELSEWHERE:
            for full, tiny in TINY.items():
                source = source.replace(full, tiny)
            exec(source, names)
    assert asked == [{"out": names["OUT"], "seeds": 2, "resume": "auto"}]
    assert names["run"].returns.shape[0] == 2 and (tmp_path / "runs/mine/report.md").is_file()


def test_sizes_that_the_test_makes_tiny_are_there():
    text = "\n".join(source for _, source in sources("code"))
    assert all(text.count(full) == 1 for full in TINY)
