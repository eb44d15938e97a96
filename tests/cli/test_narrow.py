"""A report's tables in a terminal: what is left of them at each width, and that nothing is wider."""

import re

import pytest

from fastrl.cli import narrow
from fastrl.reports.tables import Table

HEAD = ["run", "recipe", "environment", "seeds", "at the switch", "final", "final minus switch", "score of the final"]
NAMES = [f"hopper-medium-{name}" for name in ("wsrl-low", "wsrl-high", "rlpd")]
NUMBERS = [
    "0.0 % [0.0 %, 1.0 %]",
    "4,150.6 [999.9, 12,250.5]",
    "-1,000.0 [-2.123, 0.000]",
    "12.3 [1.0, 20.0], D4RL score",
]
ROWS = [[name, name[14:18], "hopper", "8", *NUMBERS] for name in NAMES]


def test_a_wide_terminal_has_every_number_and_says_once_what_is_the_same():
    found = narrow.text([Table(HEAD, ROWS), "## More", "word " * 50], 130, "all.html")
    head, *rows = found.splitlines()[:4]
    assert re.split("  +", head) == ["run", "recipe", *HEAD[4:7], "D4RL score"]
    assert [row.split()[0] for row in rows] == NAMES, "they fit, and are whole"
    cells = ["wsrl", "0.0 [0.0, 1.0] %", "4,151 [999.9, 12,250]", "-1,000 [-2.123, 0.000]", "12.3 [1.0, 20.0]"]
    assert re.split("  +", rows[0])[1:] == cells
    assert "\nthe same in every row: environment hopper; seeds 8\n" in found and "left out" not in found
    assert "\n\nMore\n\nword word" in found and max(map(len, found.splitlines())) <= 130


@pytest.mark.parametrize(("width", "kept"), [(108, 6), (90, 5), (60, 3)])
def test_a_narrow_one_leaves_columns_out_and_names_them(width, kept):
    pairs = Table(["run", "minus", "at"], [[*NAMES[:2], "the end"]])
    found = narrow.text([Table(HEAD, ROWS), pairs], width, "a.html")
    lines = found.splitlines()
    assert lines[0] == "Every run's name begins with 'hopper-medium-'." and max(map(len, lines)) <= width
    head = re.split("  +", lines[2])
    assert {"run", "final", "final minus switch"} <= set(head) and len(head) == kept
    out = re.search(r"left out as the terminal is narrow: (.*?) \(see a.html\)", found.replace("\n", " "))
    named = out[1].split(", ") if out else []
    assert sorted([*head, *named]) == sorted(["run", "recipe", *HEAD[4:7], "D4RL score"])
    assert [line.split()[0] for line in lines[3:6]] == ["wsrl-low", "wsrl-high", "rlpd"]
    assert found.endswith("\n\nrun\nwsrl-low\nminus wsrl-high; at the end")


def test_names_stay_distinct():
    assert narrow.shortened(["a-b/c-1", "a-b/c-22"]) == ({"a-b/c-1": "1", "a-b/c-22": "22"}, "a-b/c-")
    assert narrow.shortened(["a-b", "a-b-c"])[0] == {"a-b": "b", "a-b-c": "b-c"}
    assert narrow.shortened(["lr=0.1", "lr=0.2"])[1] == "" and narrow.shortened(["a-b"])[1] == ""
    long = ["x" * 40 + end + "x" * 40 for end in "yz"]
    assert list(narrow.shortened(long)[0].values()) == long, "their middles differ"
    assert narrow.shortened(["q" * 50, "b"])[0]["q" * 50] == "q" * 16 + "…" + "q" * 15
