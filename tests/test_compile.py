"""The counter on a text counted by hand, the command without a compiler, and the real compilers where there are any."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from fastrl.algorithms import rows
from fastrl.benchmarks import ahead, hlo, suite
from fastrl.benchmarks import compile as command
from fastrl.cli import main as cli
from fastrl.errors import UserError

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "compile.jsonl"

TEXT = """HloModule jit_chunk, is_scheduled=true

FileNames
1 "scan.py"

%sum (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %add.0 = f32[] add(%x, %y)
}

%fused_relayout (p.0: f32[4,6]) -> f32[6,4] {
  %p.0 = f32[4,6]{1,0} parameter(0)
  ROOT %transpose.0 = f32[6,4]{1,0} transpose(%p.0), dimensions={1,0}
}

%fused_write (p.1: f32[4,6], p.2: f32[1,6]) -> f32[4,6] {
  %p.1 = f32[4,6]{1,0} parameter(0)
  %p.2 = f32[1,6]{1,0} parameter(1)
  %zero = s32[] constant(0)
  ROOT %update = f32[4,6]{1,0} dynamic-update-slice(%p.1, %p.2, %zero, %zero)
}

%search_body (s: (s32[], f32[3])) -> (s32[], f32[3]) {
  %s = (s32[], f32[3]{0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%s), index=0
  %v.1 = f32[3]{0} get-tuple-element(%s), index=1
  %copy.1 = f32[3]{0} copy(%v.1)
  %fusion.1 = f32[3]{0} fusion(%copy.1), kind=kLoop, calls=%sum
  %near = (s32[], f32[3]{0}) conditional(%i.1, %fusion.1, %fusion.1), branch_computations={%idle, %busy}
  ROOT %t.1 = (s32[], f32[3]{0}) tuple(%i.1, %fusion.1)
}

%idle (a.0: f32[3]) -> f32[3] {
  %a.0 = f32[3]{0} parameter(0)
  ROOT %copy.2 = f32[3]{0} copy(%a.0)
}

%busy (a.1: f32[3]) -> f32[3] {
  %a.1 = f32[3]{0} parameter(0)
  %fusion.2 = f32[3]{0} fusion(%a.1), kind=kLoop, calls=%sum
  %fusion.3 = f32[3]{0} fusion(%fusion.2), kind=kLoop, calls=%sum
  ROOT %fusion.4 = f32[3]{0} fusion(%fusion.3), kind=kLoop, calls=%sum
}

%search_until (s.2: (s32[], f32[3])) -> pred[] {
  %s.2 = (s32[]{:T(128)}, f32[3]{0:T(128)S(1)}) parameter(0)
  %ten = s32[]{:T(128)} constant(10)
  %i.2 = s32[]{:T(128)} get-tuple-element(%s.2), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.2, %ten), direction=LT
}

%newton_body (n: (s32[], f32[3])) -> (s32[], f32[3]) {
  %n = (s32[], f32[3]{0}) parameter(0)
  %factor = f32[3]{0} custom-call(%n), custom_call_target="cholesky"
  %solved = f32[3]{0} custom-call(%factor), custom_call_target="cholesky"
  ROOT %search = (s32[], f32[3]{0}) while(%n), condition=%search_until, body=%search_body
}

%newton_until (n.2: (s32[], f32[3])) -> pred[] {
  %n.2 = (s32[], f32[3]{0}) parameter(0)
  %error = f32[] fusion(%n.2), kind=kInput, calls=%sum
  ROOT %large = pred[] fusion(%error), kind=kLoop, calls=%sum
}

%helper (h: f32[3]) -> f32[3] {
  %h = f32[3]{0} parameter(0)
  ROOT %fusion.5 = f32[3]{0} fusion(%h), kind=kLoop, calls=%sum
}

%step (c: (s32[], f32[4,6])) -> (s32[], f32[4,6]) {
  %c = (s32[], f32[4,6]{1,0:T(8,128)}, /*index=2*/f32[3]{0}) parameter(0)
  %start = (f32[3]{0}, f32[3]{0:S(1)}, u32[]{:S(2)}) copy-start(%c)
  %done = f32[3]{0:S(1)} copy-done(%start)
  %called = f32[3]{0} call(%done), to_apply=%helper
  %newton = (s32[], f32[3]{0}) while(%c), condition=%newton_until, body=%newton_body
  %reduced = f32[3]{0} all-reduce-start(%called), to_apply=%sum
  %whole = f32[3]{0} all-reduce-done(%reduced)
  ROOT %write = (s32[], f32[4,6]{1,0}) fusion(%c, %whole), kind=kLoop, calls=%fused_write
}

%until (c.2: (s32[], f32[4,6])) -> pred[] {
  %c.2 = (s32[], f32[4,6]{1,0}) parameter(0)
  ROOT %compare = pred[] fusion(%c.2), kind=kLoop, calls=%sum
}

ENTRY %main (ring: f32[4,6]) -> f32[4,6] {
  %ring = f32[4,6]{1,0} parameter(0)
  %copy.3 = f32[4,6]{0,1} copy(%ring), backend_config={"flag_configs":[]}
  %laid = f32[6,4]{1,0} fusion(%copy.3), kind=kLoop, calls=%fused_relayout
  %small = f32[3]{0} copy(%ring)
  %gathered = f32[8]{0} all-gather(%small), dimensions={0}
  ROOT %scan = f32[4,6]{1,0} while(%laid), condition=%until, body=%step, backend_config={"known_trip_count":{"n":"10"}}
}
"""


@pytest.fixture(scope="module")
def program():
    return hlo.parse(TEXT)


@pytest.fixture(scope="module")
def step(program):
    ((rounds, body),) = program.block(program.entry).loops
    assert rounds == 10
    return body


def test_kernels_are_those_counted_by_hand(step):
    # The step: a copy, the helper's fusion, an all-reduce, the write. A Newton round: two factors and its condition's
    # two kernels, then ten rounds of a search: a copy, a fusion, a conditional.
    assert hlo.formula(step) == "4 + k*(4 + 10*3)"
    for k in (0, 1, 2):
        assert hlo.total(step, k)["kernels"] == eval(hlo.formula(step), {"k": k}) == 4 + 34 * k


def test_copies_calls_and_decisions_are_counted_apart(step):
    counts = hlo.total(step, 2)
    assert counts["copies"] == 1 + 2 * 10
    assert counts["custom-call cholesky"] == 2 * 2
    assert counts["decisions"] == 2 + 2 * 10  # two Newton rounds, a conditional in each round of the searches
    assert [hlo.in_branches(step, 2, choose) for choose in (min, max)] == [20 * 1, 20 * 3]


def test_moves_of_the_ring_are_found_fused_or_not_and_a_write_in_place_is_none(program):
    assert program.copies_of(24) == 2
    assert program.copies_of(23) == 0
    without = TEXT.replace("%copy.3 = f32[4,6]{0,1} copy", "%copy.3 = f32[4,6]{0,1} bitcast")
    assert hlo.parse(without).copies_of(24) == 1
    started = TEXT.replace("%copy.3 = f32[4,6]{0,1} copy", "%copy.3 = (f32[4,6]{0,1}, f32[4,6]{0,1}) copy-start")
    assert hlo.parse(started).copies_of(24) == 2


def test_collectives_are_counted_once_a_pair_and_by_kind(program):
    assert program.collectives() == {"all-reduce": 1, "all-gather": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("constant(10)", "constant(7)"), "4 + k*(4 + 7*3)"),  # a bound that only the condition holds
        (("direction=LT", "direction=NE"), "4 + k*(4 + k*4)"),  # no longer a counter: its compare runs each round
        (("%t.1 = (s32[], f32[3]{0}) tuple(", "%t.1 = f32[3]{0} add("), "4 + k*(4 + 10*4)"),
    ],
)
def test_the_formula_follows_the_text(change, expected):
    program = hlo.parse(TEXT.replace(*change))
    ((_, body),) = program.block(program.entry).loops
    assert hlo.formula(body) == expected


def refused(capsys, words, match):
    assert cli.main(["bench", *words]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and re.search(match, error), error


@pytest.mark.parametrize(("target", "extra"), [("h100", "cuda13"), ("v5e:2x4", "tpu")])
def test_a_missing_compiler_is_one_line_with_the_versions_that_fit(capsys, monkeypatch, target, extra):
    def version(name: str) -> str:
        if name.startswith(("jax-", "libtpu", "nvidia")):
            raise command.importlib.metadata.PackageNotFoundError(name)
        return "9.8.7"

    monkeypatch.setattr(command.importlib.metadata, "version", version)
    refused(capsys, ["compile", "--target", target], rf'not installed \(.+\).*pip install "jax\[{extra}\]==9.8.7"')


def test_parts_of_parts_are_missed_too(monkeypatch):
    wants = {
        "jax": [
            "jaxlib==1",
            'jax-plugin[with-parts]<=2,>=1; extra == "x"',
            'requests; extra == "x"',
            'libtpu; extra == "y"',
        ],
        "jax-plugin": ["jax-pjrt==1", 'nvidia-a>=3,<4; sys_platform == "linux" and extra == "with-parts"', "nvidia-b"],
    }

    def version(name: str) -> str:
        if name != "jax-plugin":
            raise command.importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(command.importlib.metadata, "requires", wants.get)
    monkeypatch.setattr(command.importlib.metadata, "version", version)
    assert command.missing("x") == ["nvidia-a>=3,<4"]
    assert command.missing("y") == ["libtpu"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["compile", "--target", "a100"], "unknown target 'a100'; name h100 or"),
        (["compile", "--target", "v5litepod-4"], "unknown target"),
        (["compile", "--seeds", "0"], "--seeds must be above 0"),
        (["compile", "--launches", "2"], "unknown option --launches"),
        (["--launches", "2", "compile"], "compile comes first"),
    ],
)
def test_what_cannot_be_is_one_line(capsys, words, match):
    refused(capsys, words, match)


def test_the_suite_counts_for_the_targets_whose_compilers_are_there(monkeypatch):
    monkeypatch.setattr(command, "missing", lambda extra: [] if extra == "tpu" else ["libcuda"])
    assert suite.chosen(["compile"]) == [["programs", "here"], ["programs", "v5e:2x4"]]


class Stopped(Exception):
    """Raised instead of lowering a program."""


@pytest.mark.parametrize(("target", "backend"), [("h100", "gpu"), ("v5e:2x4", "tpu")])
def test_the_target_decides_and_not_this_processor(monkeypatch, target, backend):
    class Program:
        def __init__(self, made):
            self.made = made

        def lower(self, lowering_platforms):
            (platform,) = lowering_platforms
            raise Stopped(self.made.block, jax.default_backend(), rows.most(1), self.made.capacity, platform)

    monkeypatch.setattr(ahead, "describe", lambda target: jax.devices()[:1])
    monkeypatch.setattr(ahead, "traced", lambda made: (Program(made), None))
    with pytest.raises(Stopped) as stopped:
        ahead.measure(target, "probe-constant", "sac", 3)
    assert stopped.value.args == (None, backend, None, 200_000, "cuda" if target == "h100" else "tpu")
    assert jax.default_backend() == "cpu" and rows.most(1) == rows.CPU_ROWS


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("hoper", "sac", 2), "unknown environment 'hoper'"),
        (("probe-constant", "sacc", 2), "unknown recipe 'sacc'"),
        (("kitchen-mixed", "sac", 2), "stepped on the host"),
        (("probe-constant", "sac", 3), "3 do not divide among the 2 devices"),
    ],
)
def test_a_program_that_cannot_be_is_refused(monkeypatch, words, match):
    monkeypatch.setattr(ahead, "describe", lambda target: [*jax.devices()[:1] * 2])
    with pytest.raises(UserError, match=match):
        ahead.measure("h100", *words)


TINY = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "num_critics": 2, "utd": 3}

REAL = """
import ast, json, sys
from fastrl.benchmarks import compile as command
command.prepare(sys.argv[1])
from fastrl.benchmarks import ahead
options = ast.literal_eval(sys.argv[3])
print(json.dumps(ahead.measure(sys.argv[1], "probe-constant", "sac", int(sys.argv[2]), **options)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("target", "extra", "seeds"), [("h100", "cuda13", 1), ("v5e:2x2", "tpu", 8)])
def test_a_real_program_of_a_described_device(target, extra, seeds):
    if command.missing(extra):
        pytest.skip(f"the compiler for {target} is not installed")
    words = [sys.executable, "-c", REAL, target, str(seeds), repr(TINY)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    line = json.loads(done.stdout.splitlines()[-1])
    devices = 1 if extra == "cuda13" else 4
    assert line["ring_bytes"] == seeds // devices * 200_000 * 7 * 4  # rows of 2 * 1 + 1 + 4 numbers
    assert line["ring_copies"] == 0
    assert line["argument_bytes"] >= line["ring_bytes"]
    assert line["collectives"] == {}
    assert line["kernels"] == eval(line["step"], {"k": line["newton_rounds"]}) > 3
    assert re.search(r"\b3\*", line["step"]), "the critic's updates are a loop of UTD rounds"


def test_the_committed_lines_agree_with_themselves():
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    programs = [(line["target"], line["env"], line["seeds"]) for line in lines]
    assert len(set(programs)) == len(programs) and len([p for p in programs if p[0] == "h100"]) == 10
    for line in lines:
        assert line["ring_copies"] == 0 and line["collectives"] == {}
        assert line["kernels"] == eval(line["step"], {"k": line["newton_rounds"]})
        assert line["copies"] + sum(line["custom_calls"].values()) < line["kernels"]
