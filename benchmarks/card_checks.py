"""Steps of benchmarks/gpu.py: the same bits twice, memory against what must be held, and where a chunk's time goes."""

import collections
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import jax

from fastrl.benchmarks import loop as loops
from fastrl.benchmarks.card import Report
from fastrl.benchmarks.card_speed import options
from fastrl.benchmarks.memory import size
from fastrl.config import RunOptions
from fastrl.engine import run as engine
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.recipes import names
from fastrl.runs import digests
from fastrl.runs.progress import Progress

TASK = "pointmaze-medium"
MOST = 40  # kernels that are listed


def bits(report: Report) -> None:
    """A run twice, and once in chunks of 10 instead of 50: SHA-256 of the whole carry."""
    sums = []
    for what, chunk in (("a run", 50), ("the same run again", 50), ("in chunks of 10", 10)):
        run = RunOptions(seeds=2, steps=300, warmup=200, eval_every=500, eval_episodes=1, chunk=chunk, map_seeds="vmap")
        given = options(report.dry) or {"batch_size": 32}
        plan, _ = plans.make(requests.Request("sac", names.find("sac"), TASK, options=run, overrides=given))
        sums.append(digests.total(engine.run(plan, None, Progress(io.StringIO())).carry))
        report.tell(what, sums[-1] == sums[0], "same bits", sha256=sums[-1])


def memory(report: Report) -> None:
    """The most that was in use while fine-tuning, over ring and agents."""
    seeds, capacity = (2, 20_000) if report.dry else (64, 200_000)
    plan, carry = loops.fine_tuning(TASK, options(report.dry), seeds=seeds, map_seeds="vmap", capacity=capacity)
    compiled = loops.lowered(plan, 1, carry, 10).compile()
    needed, analysis = size((carry.ring, carry.seeds.agent)), compiled.memory_analysis()
    program = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
    program += analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    report.tell(f"{TASK}, {seeds} seeds, by the program", program / needed, "of what must be held", needed=needed)
    jax.block_until_ready(compiled(carry, None))
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if peak is not None:
        what = f"{TASK}, {seeds} seeds, peak of the process"
        report.tell(what, peak / needed, "of what must be held", peak=peak)


def profile(report: Report) -> None:
    """One chunk of the loop: kernels by name, count and time."""
    plan, carry = loops.fine_tuning(TASK, options(report.dry), seeds=8, map_seeds="vmap", capacity=20_000)
    length = 2 if report.dry else 10
    compiled = loops.lowered(plan, 1, carry, length).compile()
    carry = jax.block_until_ready(compiled(carry, None))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(compiled(carry, None))
        (path,) = Path(folder).rglob("*.trace.json.gz")
        found = kernels(json.loads(gzip.decompress(path.read_bytes()))["traceEvents"])
    count, time = (sum(each[part] for each in found.values()) for part in (0, 1))
    report.tell(f"{TASK}, 8 seeds: kernels of one step", count / length, "kernels", steps=length)
    top = sorted(found.items(), key=lambda item: -item[1][1])[:MOST]
    rows = [{"name": name[:80], "count": n, "microseconds": round(t, 1)} for name, (n, t) in top]
    report.tell(f"{TASK}, 8 seeds: time in kernels of one step", time / length, "microseconds", kernels=rows)


def kernels(events: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """(count, microseconds) of each event on a device, by name; of all events where the trace has no device.

    `events` are those of the trace format that jax's profiler writes ("X" events with a duration in microseconds).
    """
    processes = {e["pid"]: e["args"]["name"] for e in events if e.get("ph") == "M" and e.get("name") == "process_name"}
    threads = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in events
        if e.get("ph") == "M" and e.get("name") == "thread_name" and "tid" in e
    }
    cards = {pid for pid, name in processes.items() if name.startswith("/device:GPU")}
    found: dict[str, tuple[int, float]] = collections.defaultdict(lambda: (0, 0.0))
    for event in events:
        stream = threads.get((event.get("pid"), event.get("tid")), "")
        if event.get("ph") != "X" or (cards and (event["pid"] not in cards or "Stream" not in stream)):
            continue
        count, time = found[event["name"]]
        found[event["name"]] = (count + 1, time + float(event.get("dur", 0.0)))
    return dict(found)
