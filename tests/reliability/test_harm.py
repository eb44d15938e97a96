"""What harms a run from outside: each figure counts a planted fault as one, and harm is done as it says."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from fastrl.benchmarks.reliability import (
    brief,
    clock,
    damage_runs,
    full_disk,
    memory_limit,
    preempt,
    read_only,
    simulators,
    soak,
)


def answer(code, said):
    return brief.Answer(code, said, 0.1)


def test_what_a_good_refusal_is():
    line = "fastrl: DIR cannot be written; make room\n"
    assert answer(2, f"warmup: 40 steps\n{line}").refused and answer(1, line).refused
    assert not answer(0, line).refused and not answer(143, line).refused
    assert not answer(2, f"Traceback (most recent call last):\n{line}").refused
    assert not answer(2, line + line).refused and not answer(2, f"{line}more\n").refused and not answer(1, "").refused
    assert not answer(-6, line).refused and answer(-6, "").trace


def samples(leak=0.0, files=lambda n: 10, threads=lambda n: 20):
    rng = np.random.default_rng(0)
    made = [{"seconds": 10.0 * n, "mb": 500 + rng.normal() + leak * n / 360, "saves": n} for n in range(360)]
    return [each | {"files": files(n), "threads": threads(n)} for n, each in enumerate(made)]


def test_a_leak_is_seen_in_memory_and_in_files():
    found = soak.judged(samples())
    assert soak.flat("default", found) and soak.flat("often", found)
    assert found["samples"] == 300 and abs(found["mb_an_hour"]) < 1 and found["saves_an_hour"] == 360
    found = soak.judged(samples(leak=5.0))
    assert not soak.flat("default", found) and soak.flat("often", found)
    assert 3 < found["interval"][0] < 5 < found["interval"][1]
    assert found["kb_a_save_at_most"] == pytest.approx(found["interval"][1] * 1024 / 360, abs=0.1)
    assert not soak.flat("often", soak.judged(samples(leak=50.0)))
    busy = soak.judged(samples(files=lambda n: 10 + 5 * (n % 2)))
    assert soak.flat("default", busy)  # files of a save
    for leaks in ({"files": lambda n: 10 + n // 100}, {"threads": lambda n: 20 + n // 100}):
        assert not soak.flat("default", soak.judged(samples(**leaks)))


def test_the_interval_of_a_slope_knows_of_alike_neighbours():
    rng, x = np.random.default_rng(1), np.arange(400.0)
    steps, walk = rng.normal(size=400), np.empty(400)
    for n in range(400):
        walk[n] = steps[n] + (0.9 * walk[n - 1] if n else 0)
    plain = soak.slope(x, 2 * x + steps)
    assert plain[0] == pytest.approx(np.polyfit(x, 2 * x + steps, 1)[0])
    known = 1.96 / math.sqrt(((x - x.mean()) ** 2).sum())
    assert plain[1] == pytest.approx(known, rel=0.15)
    assert soak.slope(x, walk)[1] > 2 * 1.96 * walk.std() / math.sqrt(((x - x.mean()) ** 2).sum())


def test_a_process_is_sampled():
    before = soak.sample(os.getpid())
    with open(os.devnull):
        assert soak.sample(os.getpid())["files"] == before["files"] + 1
    assert 10 < before["own_mb"] < before["mb"] and before["threads"] >= 1


def row(**changed):
    return {"code": 1, "answered": True, "same": True, "line": "a"} | changed


def test_a_full_disk_is_judged_by_line_and_bits():
    assert full_disk.counted([row(), row(code=0)]) == (
        {
            "rooms": 2,
            "full": 1,
            "answered_in_one_line": 1,
            "resumed_to_the_same_bits": 2,
            "different_lines": 1,
        },
        True,
    )
    for bad in (row(answered=False), row(same=False)):
        assert not full_disk.counted([row(), bad])[1]
    assert not full_disk.counted([row(code=0)])[1]  # it was never full


def test_folders_that_may_not_be_written_to(tmp_path):
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "file").write_text("x")
    before = read_only.content(folder)
    code = (
        "from fastrl.benchmarks.reliability import read_only; import sys; read_only.humble(); open(sys.argv[1], 'a')"
        if os.geteuid() == 0
        else "import sys; open(sys.argv[1], 'a')"
    )
    words = [sys.executable, "-c", code, str(folder / "in" / "file")]
    with read_only.protected(folder, "forbidden"):
        done = subprocess.run(words, capture_output=True, text=True)
    assert "PermissionError" in done.stderr and read_only.content(folder) == before
    (folder / "in" / "file").write_text("y")
    assert read_only.content(folder) != before


def test_clocks_and_signals_are_judged():
    good = {"same_bits": True, "resumed_same_bits": True, "saves": 3, "sane": True}
    assert clock.counted([good])[1]
    for bad in ({"same_bits": False}, {"resumed_same_bits": False}, {"saves": 2}, {"sane": False}):
        assert not clock.counted([good, good | bad])[1]
    line = "fastrl: stopped by signal 15; everything is saved, --resume continues"
    case = {"signal": "SIGTERM", "phase": "a", "row": 3, "inside": True, "seconds": 1.0, "code": 143, "line": line}
    case |= {"saved_rows": 4, "logged_rows": 4, "end": {"carry": "x"}}
    compiled = {"after": 1.0, "seconds": 9.0, "code": 143, "line": ["x"], "phase_begun": False}
    assert preempt.counted([case, compiled], {"carry": "x"})[1]
    for bad in ({"code": 0}, {"line": ""}, {"saved_rows": 3}, {"logged_rows": 5}, {"end": {}}, {"inside": False}):
        assert not preempt.counted([case | bad], {"carry": "x"})[1]
    for bad in ({"seconds": 11.0}, {"code": -15}):
        assert not preempt.counted([compiled | bad], {})[1]


def test_the_end_of_a_process_with_little_memory(tmp_path):
    code, said, peak = memory_limit.limited(["--version"], tmp_path, tmp_path / "said", 0)
    assert memory_limit.kind(code, said) == "done" and peak > 1 << 20
    code, said, _ = memory_limit.limited(["--version"], tmp_path, tmp_path / "said", 8 << 20)
    assert memory_limit.kind(code, said) in ("trace", "died")
    assert memory_limit.kind(1, "fastrl: there is not enough memory\n") == "line"
    assert memory_limit.kind(-6, "this process may have 9 MB of address space (ulimit -v)\nF0000\n") == "warned"
    assert not memory_limit.counted([{"ended": "died", "same_bits": True}])[1]
    assert not memory_limit.counted([{"ended": "line", "same_bits": False}])[1]
    assert memory_limit.counted([{"ended": "warned", "same_bits": True}])[1]


def test_processes_that_a_simulator_left_are_found():
    process = subprocess.Popen(["sleep", "60"], env={simulators.MARK: "planted"}, start_new_session=True)
    try:
        while not (found := simulators.left("planted")):
            pass
        assert found == [process.pid] and simulators.left("plant") == []
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    good = {"simulator": "exit", "answered": True, "seconds": 1.0, "processes_left": 0, "clean_output": True}
    good |= {"same_bits": True}
    assert simulators.counted([good])[1]
    bad = ({"answered": False}, {"processes_left": 1}, {"clean_output": False}, {"same_bits": False})
    assert not any(simulators.counted([good, good | each])[1] for each in bad)


@pytest.fixture(scope="module")
def good(quick, tmp_path_factory):
    """A finished run, as `damage_runs.prepare` makes it, in this process."""
    import fastrl

    run = tmp_path_factory.mktemp("good") / "run"
    options = {name.replace("-", "_"): value for name, value in brief.OPTIONS.items() if "hidden" not in name}
    options |= {"actor_hidden": (8,), "critic_hidden": (8,), "log": ()}
    fastrl.run("sac", out=run, **options)
    identity = json.loads((run / "config.json").read_text())["identity"]
    (run.parent / "identity.json").write_text(json.dumps(identity))
    return run


@pytest.mark.parametrize("number", range(len(damage_runs.PARTS)))
def test_damage_to_a_run_is_told(number, good):
    rows = damage_runs.case(good, number)
    assert len(rows) == len(damage_runs.uses(rows[0]["part"]))
    assert all(each["outcome"] in ("refused", "older", "harmless", "gap", "label") for each in rows)


def test_silence_about_damage_is_seen(good):
    def reads(text, told=""):
        return lambda run: (text, told)

    want = damage_runs.reported(good)
    assert damage_runs.outcome(reads("a"), good, ("a", "")) == ("harmless", "")
    assert damage_runs.outcome(reads("b"), good, ("a", "")) == ("silent", "")
    assert damage_runs.outcome(reads("b", "older"), good, ("a", "")) == ("older", "older")
    assert damage_runs.outcome(lambda run: {}[run], good, want)[0] == "crashed"
    assert damage_runs.margin(want[0].replace("| sac |", "| - |"), want[0]) == "gap"
    assert damage_runs.margin(want[0].replace("| sac |", "| sab |"), want[0]) == "label"
    assert damage_runs.margin(want[0].replace("-0.2", "-0.3"), want[0]) == "silent"
    assert not damage_runs.counted([{"part": "a", "use": "b", "outcome": "silent", "case": 1}])[1]
