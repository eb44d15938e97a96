"""The benchmark of processes: a seed that ends otherwise in one job is noticed. Two real ones are in tests/engine/."""

from fastrl.benchmarks.reliability import processes


def test_a_seed_that_differs_is_counted():
    def jobs(*agents):
        return [{"recipe": "wsrl", "agents": list(each), "log": "x"} for each in agents]

    assert processes.compared(jobs("ab", "ab", "ab")) == (
        {"jobs": 3, "agents": 6, "same_agents": 6, "same_logs": 3},
        True,
    )
    assert processes.compared(jobs("ab", "ac")) == ({"jobs": 2, "agents": 4, "same_agents": 3, "same_logs": 2}, False)
    other = [*jobs("ab", "ab"), {"recipe": "o2sac", "agents": ["c"], "log": "y"}]
    assert processes.compared(other)[1]
    other[1]["log"] = "z"
    assert processes.compared(other) == ({"jobs": 3, "agents": 5, "same_agents": 5, "same_logs": 2}, False)
    assert not processes.compared([])[1]
