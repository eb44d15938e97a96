"""A line of the suite, made up."""

import copy

import pytest

from fastrl.benchmarks import schema

LINE = {
    "schema": 1,
    "benchmark": "learner",
    "workload": "small",
    "milliseconds": 8.0,
    "gflops": 50.0,
    "updates_per_call": 7,
    "gflop": 0.4,
    "gflop_source": "model",
    "megabytes": 2.0,
    "ceilings": {"sgemm_gflops": 100.0, "copy_gigabytes_per_second": 20.0},
    "provenance": {
        **dict.fromkeys(schema.PROVENANCE, "x"),
        **{"processor": "Made-up 7", "isa": "avx2", "cores": 2, "card": "cpu", "commit": "abc"},
        **{"load_before": 0.1, "load_after": 0.4, "other_busy_cores": 0.2, "utc": "2026-01-01T00:00:00Z"},
    },
}


@pytest.fixture
def made():
    """`made(where={}, **fields)`: a complete line with some fields changed, `where` those of its provenance."""

    def make(where=(), **fields):
        line = copy.deepcopy(LINE) | fields
        line["provenance"] |= dict(where)
        return line

    return make
