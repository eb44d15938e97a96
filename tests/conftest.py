"""Shared set-up: strict ranks, reuse of keys is an error, every test on the CPU unless told otherwise."""

import dataclasses
import importlib.metadata
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from fastrl import envs, startup
from fastrl.data.datasets import Dataset
from fastrl.engine import run as engine
from fastrl.engine.plan import Plan
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.recipes import names
from fastrl.runs import digests
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress

# Without XLA's fusion emitters a program compiles in half the time, here and in the processes that tests start. XLA
# reads its flags as its client starts; another jaxlib may not know this one, and would abort.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = startup.merge(os.environ.get("XLA_FLAGS", ""), {"--xla_cpu_use_fusion_emitters": "false"})


def _own_cores() -> None:
    """Workers side by side get cores of their own: XLA's threads spin, and would take turns with another worker's."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[int(worker.removeprefix("gw")) :: workers]
        os.sched_setaffinity(0, cores or os.sched_getaffinity(0))


_own_cores()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

TINY: dict[str, Any] = {
    "seeds": 2,
    "actor_hidden": (8,),
    "critic_hidden": (8,),
    "batch_size": 8,
    "num_critics": 2,
    "cql_actions": 2,
    "backup_actions": 2,
    "utd": 2,
    "pretrain_steps": 20,
    "steps": 40,
    "warmup": 20,
    "eval_every": 100,
    "eval_episodes": 2,
    "probe_every": 0,
    "chunk": 10,
}
"""A run of any recipe in a second, once it is compiled: rows of the log every 10 steps."""


@pytest.fixture
def key() -> jax.Array:
    """A typed key."""
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def xla_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled programs of this session, for all workers and, as with `quick`, the processes that tests start."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "xla"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield folder


@pytest.fixture(scope="module")
def quick(xla_cache: Path) -> Iterator[None]:
    """Compiling is most of what an engine test costs: few optimisations, and no program compiled twice."""
    _compile_quickly(True, str(xla_cache), 0.1)
    yield
    _compile_quickly(False, None, 1.0)


def _compile_quickly(quickly: bool, cache: str | None, seconds: float) -> None:
    jax.config.update("jax_disable_most_optimizations", quickly)
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Options of a tiny run; the parts that a test changes, it changes in a copy."""
    return TINY


def _probe_data(name: str = "probe-truncation", rows: int = 40) -> Dataset:
    """Random actions in a probe environment, episodes of five steps, in its own numbers."""
    assert rows % 5 == 0
    time = np.arange(rows) % 5
    terminal = (time == 4) & (name == "probe-termination")
    obs, following = (time / 5, (time + 1) / 5) if name == "probe-termination" else (0 * time, 0 * time)
    action = np.random.default_rng(0).uniform(-1, 1, (rows, 1))
    reward = -((action[:, 0] - 0.5) ** 2) if name == "probe-action" else np.ones(rows)
    return Dataset.from_arrays(obs[:, None], action, reward, ~terminal, following[:, None], time == 4)


@pytest.fixture(scope="session")
def probe_data() -> Callable[..., Dataset]:
    """`(name, rows) -> Dataset` of a probe environment."""
    return _probe_data


def _tiny(recipe: Any, start: Any, **options: Any) -> dict[str, Any]:
    """TINY without what no phase of this recipe uses, and with `options`."""
    idle: set[str] = set() if start is None else {"pretrain_steps"}
    if recipe in ("sac", "rlpd") or callable(recipe):  # the functions that tests bring are of SAC
        idle |= {"pretrain_steps", "cql_actions"}
    if (recipe in ("wsrl", "jsrl", "o2sac") and start is not None) or (
        recipe == "wsrl" and options.get("pretrainer") == "iql"
    ):
        idle |= {"cql_actions"}
    if recipe == "so2" and start is not None:
        idle |= {"cql_actions"}
    if recipe in ("iql", "awac", "pex", "td3", "ppo", "o2td3", "o2ppo"):
        idle |= {"cql_actions", "backup_actions"}
    if recipe in ("td3", "ppo"):
        idle |= {"pretrain_steps"}
    if recipe in ("ppo", "o2ppo"):
        idle |= {"warmup"}
        options = {"rollout": 20, "batch_size": 10} | options
    if recipe == "ppo" or (recipe == "o2ppo" and start is not None):
        idle |= {"num_critics", "utd"}
    if recipe == "o2sac" and start is not None:
        idle |= {"backup_actions"}
    if recipe in ("proto", "proto-td3", "aca"):
        idle |= {"cql_actions"} if recipe == "aca" else {"cql_actions", "backup_actions"}
        options = options if recipe == "aca" else {"initial_rows": 20} | options
    if recipe == "off2on":
        options = {"members": 2, "density_hidden": (8,), "first_steps": 10} | options
    if recipe == "odt":
        idle |= {"actor_hidden", "critic_hidden", "num_critics", "cql_actions", "backup_actions", "utd", "warmup"}
        options = {"token_width": 8, "layers": 1, "heads": 2, "context": 3, "eval_context": 2} | options
    if recipe in ("o2sac", "o2td3", "o2ppo"):
        options = {"reevaluate_steps": 20} | options
    if recipe in ("o2sac", "o2td3"):
        options = {"align_steps": 20} | options
    return {name: value for name, value in TINY.items() if name not in idle} | options


def _request(recipe: Any, env: Any = "probe-truncation", data: Any = "own", start: Any = None, **options: Any) -> Any:
    env = envs.make(env) if isinstance(env, str) else env
    data = _probe_data(env.spec.name) if isinstance(data, str) and data == "own" else data
    run, overrides = requests.split_options(_tiny(recipe, start, **options))
    name, function = (recipe, names.find(recipe)) if isinstance(recipe, str) else ("a function", recipe)
    return requests.Request(name, function, env, data, start, {}, run, overrides)


@pytest.fixture(scope="session")
def identity_of() -> Callable[..., dict[str, Any]]:
    """As `plan_of`, the plan's identity."""
    return lambda *args, **options: plans.make(_request(*args, **options))[1]


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., Plan]:
    """`(recipe, env, data, start, **options) -> Plan` of a tiny run."""
    return lambda *args, **options: plans.make(_request(*args, **options))[0]


@pytest.fixture(scope="session")
def driver_of() -> Callable[[Plan], engine.Driver]:
    """The host's loop of a plan, in memory, to be stepped by hand."""
    return lambda plan: engine.Driver(plan, None, Progress(io.StringIO()), StopRequest())


@pytest.fixture(scope="session")
def execute() -> Callable[..., engine.Outcome]:
    """`(plan, folder or None, progress or None) -> Outcome`."""

    def execute(plan: Plan, path: Path | None = None, progress: Progress | None = None) -> engine.Outcome:
        return engine.run(plan, path, progress or Progress(io.StringIO()))

    return execute


Snapshot = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def leaves_of() -> Callable[[Any], Snapshot]:
    """`tree -> {path: copy on the host}`; keys by their data."""

    def copy(tree: Any) -> Snapshot:
        found = digests.leaves(tree)
        return {path: np.array(jax.random.key_data(x) if digests.is_key(x) else x) for path, x in found.items()}

    return copy


@pytest.fixture(scope="session")
def unevaluated() -> Callable[[Plan], Plan]:
    """A plan without evaluations, half of what has to be compiled; as it is where an algorithm judges by them."""
    return lambda plan: dataclasses.replace(plan, env=None) if plan.phases[-1].algorithm().judge is None else plan


@pytest.fixture(scope="session")
def walk(
    driver_of: Callable[[Plan], engine.Driver],
    leaves_of: Callable[[Any], Snapshot],
    unevaluated: Callable[[Plan], Plan],
) -> Callable[[Plan], list[tuple[Snapshot, Snapshot]]]:
    """Runs a plan phase by phase: [(carry after entering, carry at the end)] on the host."""

    def walk(plan: Plan) -> list[tuple[Snapshot, Snapshot]]:
        plan = unevaluated(plan)
        driver, carry, seen = driver_of(plan), None, []
        for number in range(len(plan.phases)):
            carry = driver._enter(number, carry)
            before = leaves_of(carry)
            carry = driver._phase(number, carry)
            seen.append((before, leaves_of(carry)))
        return seen

    return walk
