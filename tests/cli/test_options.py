import dataclasses
from typing import Literal

import pytest

from fastrl.cli.options import Parser, add_options, given, of_phases, parse_value
from fastrl.config import RunOptions, option
from fastrl.errors import UserError
from fastrl.methods import ALGORITHMS


@dataclasses.dataclass(frozen=True)
class Sample:
    hidden: tuple[int, ...] = option((8, 8), "layers")
    rate: float = option(0.5, "100% of it")
    clip: float | None = option(None, "limit")
    kind: Literal["a", "b"] = option("a", "which")
    on: bool = option(True, "switch")


@dataclasses.dataclass(frozen=True)
class More(Sample):
    count: int = option(3, "how many")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("256,64", tuple[int, ...], (256, 64)),
        ("8", tuple[int, ...], (8,)),
        ("1e-3", float, 1e-3),
        ("none", float | None, None),
        ("2.5", float | None, 2.5),
        ("b", Literal["a", "b"], "b"),
        ("none", Literal["none", "x"] | None, None),
        ("FALSE", bool, False),
    ],
)
def test_values(text, kind, value):
    found = parse_value(text, kind)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("1.5", int, "'1.5' is not a whole number"),
        ("fast", float, "'fast' is not a number"),
        ("c", Literal["a", "b"], "'c' is none of a, b"),
        ("maybe", bool, "neither true nor false"),
        ("8,x", tuple[int, ...], "'x' is not a whole number"),
        ("x", int | None, "'x' is not a whole number"),
    ],
)
def test_values_that_are_none(text, kind, match):
    with pytest.raises(ValueError, match=match):
        parse_value(text, kind)


@pytest.fixture
def parser():
    parser = Parser(prog="fastrl test")
    add_options(parser, "options", [Sample, More])
    return parser


def test_only_what_the_user_set_is_given(parser):
    found = parser.parse(["--hidden", "4,4", "--count=7", "--clip", "none"])
    assert given(found, [Sample, More]) == {"hidden": (4, 4), "count": 7, "clip": None}
    assert given(parser.parse([]), [More]) == {}


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--hiden", "4"], "unknown option --hiden; did you mean --hidden?"),
        (["--cuont=4"], "unknown option --cuont; did you mean --count?"),
        (["--count", "many"], "--count: 'many' is not a whole number"),
        (["--kind", "z"], "--kind: 'z' is none of a, b"),
        (["--count"], "--count: expected one argument"),
        (["stray"], "unexpected argument 'stray'"),
        (["--cou", "3"], "unknown option --cou; did you mean --count?"),
    ],
)
def test_mistakes_are_one_line_with_the_fix(parser, words, match):
    with pytest.raises(UserError) as caught:
        parser.parse(words)
    assert match in str(caught.value) and "\n" not in str(caught.value) and "fastrl test --help" in str(caught.value)


def test_help_shows_meaning_and_default(parser):
    text = " ".join(parser.format_help().split())
    assert "--hidden N,N,.. layers (default: 8,8)" in text and "100% of it (default: 0.5)" in text
    assert "--kind {a,b} which (default: a)" in text and "(default: true)" in text
    assert text.count("(default:") == 7 and "as --on false" in text


def test_every_option_of_every_algorithm_can_be_read_back_from_its_help():
    for kind in (RunOptions, *ALGORITHMS.values()):
        parser = Parser(prog="fastrl test")
        add_options(parser, "options", [kind])
        for field in dataclasses.fields(kind):
            if field.default is None:
                continue
            name, default = f"--{field.name.replace('_', '-')}", field.default
            text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            assert given(parser.parse([name, text]), [kind]) == {field.name: default}


def test_options_of_one_phase_are_taken_out_of_the_words():
    words = [
        "o2sac",
        "--align.rate",
        "2",
        "--env",
        "a.b",
        "--finetune.hidden=4,4",
        "--align.steps",
        "7",
        "--x",
        "./--y.z",
    ]
    rest, found = of_phases(words, [More])
    assert rest == ["o2sac", "--env", "a.b", "--x", "./--y.z"]
    assert found == {"align.rate": 2.0, "finetune.hidden": (4, 4), "align.steps": 7}
    for wrong, match in (
        (["--align.rate"], "--align.rate needs a value"),
        (["--align.rate", "--seeds", "4"], "--align.rate needs a value"),
        (["--align.rate", "fast"], "--align.rate: 'fast' is not a number"),
        (["--align.steps", "1.5"], "--align.steps: '1.5' is not a whole number"),
    ):
        with pytest.raises(UserError, match=match):
            of_phases(wrong, [More])
