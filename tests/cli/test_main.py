import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

import fastrl
from fastrl import api
from fastrl.algorithms import parts
from fastrl.cli import datasets as datasets_cli
from fastrl.cli import main as cli
from fastrl.cli import show
from fastrl.collect import levels as behaviours
from fastrl.engine.evaluate import Episodes
from fastrl.recipes.table import RECIPES
from fastrl.runs import lock, manifest
from fastrl.types import Spec

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def in_process(monkeypatch, tmp_path):
    """Commands run here, in an empty folder; jax is set up by the tests already."""
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, probe_data):
    """A D4RL file of probe-truncation."""
    data, path = probe_data(), tmp_path_factory.mktemp("data") / "probe.hdf5"
    write(path, data)
    return path


def write(path, data, **changes):
    columns = {
        "observations": data.obs,
        "actions": data.action,
        "rewards": data.reward,
        "terminals": data.mask == 0,
        "timeouts": data.boundary,
        "next_observations": data.next_obs,
    }
    with h5py.File(path, "w") as file:
        for name, column in {**columns, **changes}.items():
            if column is not None:
                file[name] = column


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def refused(capsys, words, match):
    """Exactly one line on stderr, code 2, nothing on stdout and no file more than before."""
    before = files()
    assert cli.main([str(word) for word in words]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1, error
    assert error.startswith("fastrl: ") and re.search(match, error), error
    assert files() == before


RUN = ["run", "wsrl", "--env", "probe-truncation"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["runn"], "unknown command 'runn'; did you mean 'run'"),
        (["run", "wrsl", "--env", "hopper"], "unknown recipe 'wrsl'; did you mean 'wsrl'"),
        (["run"], "RECIPE"),
        (["run", "sac"], "--env is missing"),
        (["run", "sac", "--env", "hoper"], "unknown environment 'hoper'.*'hopper'"),
        ([*RUN, "--utdd", "4"], "unknown option --utdd; did you mean --utd"),
        ([*RUN, "--learning-rate", "1e-3"], "unknown option --learning-rate; did you mean --actor-lr or --critic-lr"),
        ([*RUN, "--colour", "red"], "unknown option --colour \\(fastrl run --help-all lists all\\)"),
        (["run", "dqn", "--env", "hopper"], "unknown recipe 'dqn'; fastrl recipes lists them"),
        (["run", "sac", *RUN[2:], "--expectile", "0.9"], "no phase of sac has --expectile; it is an option of iql"),
        (["run", "sac", *RUN[2:], "--pretrain-steps", "9"], "no phase of sac uses --pretrain-steps"),
        (
            ["pretrain", "bc", *RUN[2:], "--dataset", "x", "--steps", "2", "--pretrain-steps", "3"],
            "--steps and --pretrain-steps are the same here; leave one out",
        ),
        (["pretrain", "bc", *RUN[2:], "--gap", "2"], "no phase of pretrain bc has --gap; it is an option of cql"),
        (["finetune", "sac", *RUN[2:], "--expectile", "0.9"], "no phase of finetune sac has --expectile"),
        ([*RUN, "--utd", "four"], "--utd: 'four' is not a whole number"),
        ([*RUN, "--retention", "all"], "'all' is none of none, mixed, append"),
        ([*RUN, "--env-option", "horizon"], "--env-option 'horizon' is not KEY=VALUE"),
        ([*RUN, "--env-option", "hights=3"], "has no option 'hights'"),
        (["run", "sac", *RUN[2:], "--steps", "0"], "--steps must be above 0, not 0"),
        (["run", "sac", *RUN[2:], "--seeds", "0"], "--seeds must be above 0, not 0"),
        (["run", "sac", *RUN[2:], "--seeds", "-1"], "--seeds must be above 0, not -1"),
        (["run", "sac", *RUN[2:], "--utd", "0"], "--utd must be above 0, not 0"),
        (["run", "sac", *RUN[2:], "--tau", "-1"], "--tau must be above 0, not -1"),
        (["run", "sac", *RUN[2:], "--actor-hidden", "8,0"], "--actor-hidden must be above 0, not \\(8, 0\\)"),
        (["run", "sac", *RUN[2:], "--dropout", "2"], "--dropout must be between 0 and 1, not 2"),
        (["run", "sac", *RUN[2:], "--capacity", "0"], "--capacity must be above 0, not 0"),
        (["run", "sac", *RUN[2:], "--checkpoint-minutes", "nan"], "--checkpoint-minutes must be above 0, not nan"),
        (["run", "sac", *RUN[2:], "--batch-size", "0"], "--batch-size must be above 0, not 0"),
        (["run", "sac", *RUN[2:], "--eval-episodes", "0"], "--eval-episodes must be above 0"),
        (["evaluate", "nowhere", "--episodes", "0"], "--episodes must be above 0"),
        (["evaluate", "nowhere"], "nowhere holds no agent"),
        (["report", "nowhere"], "nowhere is no run folder"),
        (["render", "nowhere"], "nowhere holds no agent"),
        (["finetune", "sac", *RUN[2:], "--from", "nowhere"], "nowhere holds no agent"),
        (["pretrain", "caqll", *RUN[2:]], "unknown algorithm 'caqll'; did you mean 'calql'"),
        (["pretrain", "calql", *RUN[2:], "--steps", "5"], "--dataset is missing"),
        (["collect", "probe-truncation", "x.hdf5", "--steps", "0"], "steps must be above 0|steps is 0"),
        (
            ["collect", "probe-truncation", "x.hdf5"],
            "no behaviour 'scripted'; --behaviour takes random, --policy an agent",
        ),
        (["collect", "hopper", "x.hdf5", "--behaviour", "medim"], "no behaviour 'medim'; .*random, medium-replay,"),
        (["collect", "probe-truncation", "x.npz"], "x.npz is no HDF5 file; name one that ends in .hdf5"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--num-envs", "0"], "--num-envs must be above 0, not 0"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--num-envs", "2"], "comes from one environment, not 2"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--noise", "-1"], "noise is -1, it must be 0 or more"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--noise", "nan"], "noise is nan"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--behaviour", "random", "--noise", "1"], "take no noise"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--behaviour", "random", "--policy", "r"], "leave one out"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--env-option", "horizon=long"], "horizon is 'long', it must be"),
        (["collect", "pointmaze-umaze", "x.hdf5", "--env-option", "goal-in-obs=no"], "'no', it must be true or false"),
        (["envs", "hopper:version=v4"], "'hopper' stands alone; .*--env-option"),
        (["collect", "probe-truncation", "no/x.hdf5", "--behaviour", "random", "--steps", "5"], "no is no folder"),
        (["demo", "--seeds", "0"], "--seeds must be above 0"),
        (["envs", "hoper"], "unknown environment 'hoper'"),
        (["recipes", "wrsl"], "unknown recipe 'wrsl'"),
        (RUN, "'pretrain' learns from offline data; name it with --dataset"),
        ([*RUN, "--dataset", "missing.hdf5"], "missing.hdf5"),
    ],
)
def test_bad_words_are_one_line_and_nothing_is_written(capsys, words, match):
    refused(capsys, words, match)


def test_bad_datasets_are_one_line(capsys, dataset, probe_data, tmp_path):
    data = probe_data()
    wide, nan = np.zeros((40, 3), np.float32), data.reward.copy()
    nan[7] = np.nan
    write("wide.hdf5", data, observations=wide, next_observations=wide)
    write("nan.hdf5", data, rewards=nan)
    write("short.hdf5", data, rewards=data.reward[:30])
    write("keyless.hdf5", data, actions=None)
    Path("empty.hdf5").write_bytes(b"")
    Path("cut.hdf5").write_bytes(dataset.read_bytes()[:1000])
    cases = {
        "wide.hdf5": "observations have size 3 but probe-truncation has 1; this is a dataset of another task",
        "nan.hdf5": "'rewards' is not finite at row 7",
        "short.hdf5": "'rewards' has 30 rows",
        "keyless.hdf5": "'actions'",
        "empty.hdf5": "empty.hdf5",
        "cut.hdf5": "cut.hdf5",
        ".": "",
    }
    for name, match in cases.items():
        refused(capsys, [*RUN, "--dataset", name], match)


TINY = [
    *("--seeds", "2", "--actor-hidden", "8", "--critic-hidden", "8", "--batch-size", "8", "--num-critics", "2"),
    *("--backup-actions", "2", "--utd", "2", "--eval-every", "100", "--eval-episodes", "2"),
]
ONLINE = [*TINY, "--steps", "40", "--warmup", "20"]


def beside_another_simulator(capsys, monkeypatch, backend):
    with monkeypatch.context() as patch:
        patch.setitem(show.MUJOCO, "probe-truncation", "gymnasium:Probe")
        scores = {"probe-truncation": [[5.0, 7.0]], "gymnasium:Probe-v5": [[4.0, 6.0]]}
        there = {env: Episodes(np.array(x), np.full((1, 2), 5), np.ones((1, 2))) for env, x in scores.items()}
        patch.setattr(api, "play", lambda agent, env, **given: (there[env], None))
        assert cli.main([*backend, "mujoco"]) == 0
        assert cli.main([*backend, "mujoco", "--json"]) == 0
    table = capsys.readouterr().out
    assert "0     6.000             1.000  5.000               1.000" in table
    assert "gymnasium:Probe-v5: IQM over episodes 5.000 [4.000, 6.000]" in table
    assert '"return": [6.0]' in table and '"return": [5.0]' in table


def _read_elsewhere(capsys, monkeypatch):
    """A finished run in `r`, as a stranger's folder and on a machine that fails."""
    shutil.copytree("r", "theirs")
    Path("theirs/metrics.jsonl").unlink()
    Path("theirs/metrics.jsonl").symlink_to(Path("r/metrics.jsonl").absolute())
    for words in (["report", "theirs"], ["evaluate", "theirs"], ["datasets", "export", "theirs", "x.hdf5"]):
        refused(capsys, words, "theirs: metrics.jsonl is a link out of the folder")
    shutil.copytree("r", "odd\udcff")  # a name in bytes that are no UTF-8
    for words in (
        ["report", "odd\udcff"],
        ["evaluate", "odd\udcff"],
        ["render", "odd\udcff"],
        [*RUN, "--from", "odd\udcff"],
    ):
        refused(capsys, words, r"odd\\udcff.* is no UTF-8; rename it")
    refused(capsys, [*RUN, *ONLINE, "--out", "new\udcff", "--from", "r"], r"new\\udcff is no UTF-8")
    before = files()
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "verify", lambda *a: (_ for _ in ()).throw(OSError(116, "Stale file handle")))
        assert cli.main(["evaluate", "r"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not be read (OSError: [Errno 116] Stale file handle); that is no damage" in line
    assert files() == before


def test_a_run_its_resume_and_what_can_be_done_with_it(capsys, dataset, monkeypatch):
    words = [*RUN, *ONLINE, "--cql-actions", "2", "--pretrain-steps", "20", "--dataset", str(dataset), "--out", "r"]
    words += ["--env-option", "horizon=5"]
    assert cli.main(words) == 0
    out, error = capsys.readouterr()
    assert out == Path("r/report.md").read_text() and "finetune: 20/20" in error
    refused(capsys, words, "--out r exists; add --resume")
    refused(capsys, [*words, "--resume", "--seed", "1"], "--resume r: other options \\(seed: 0 there, 1 now\\)")
    refused(capsys, [*words, "--resume", "--utd", "3"], r"utd: 2 there, 3 now")
    refused(capsys, [*words[:-4], "--out", "rr", "--resume"], r"there is no run in rr; did you mean r\\?")
    refused(capsys, ["run", "--resume", *words[1:]], "'wsrl' is not auto; put --resume after")
    with lock.hold(Path("r")):
        refused(capsys, [*words, "--resume"], f"r is in use by process {os.getpid()} on .*; wait")
    assert cli.main([*words, "--resume", "--chunk", "5"]) == 0  # finished: nothing is left to do
    assert capsys.readouterr().out == out
    assert cli.main(["evaluate", "r", "--episodes", "3", "--json"]) == 0
    assert '"return": [5.0, 5.0]' in capsys.readouterr().out
    played = []
    with monkeypatch.context() as patch:
        result = Episodes(np.array([[5.0, 3.0, -8.0]]), np.full((1, 3), 8), np.zeros((1, 3)))
        spec = Spec("any", 1, 1, horizon=8, sparse=True, failure_reward=-1.0)
        patch.setattr(api, "play", lambda *a, **given: played.append(given) or (result, spec))
        assert cli.main(["evaluate", "r:1", "--episodes", "3"]) == 0
    table = capsys.readouterr().out
    assert (
        "seed  mean return  std    success\n1     0.000        5.715  0.667\n" in table and "3 episodes each" in table
    )
    assert played == [
        {"episodes": 3, "key": 0, "horizon": 5, "tell": datasets_cli.to_stderr}
    ]  # the run's own environment
    refused(capsys, ["render", "r"], "probe-truncation cannot be drawn")
    _read_elsewhere(capsys, monkeypatch)
    backend = ["evaluate", "r", "--episodes", "3", "--backend"]
    refused(capsys, [*backend, "warp"], "unknown --backend 'warp'; mujoco")
    refused(capsys, [*backend, "mujoco"], "--backend mujoco has hopper, .*, not 'probe-truncation'")
    beside_another_simulator(capsys, monkeypatch, backend)
    assert cli.main(["report", "r", "--out", "c.png"]) == 0
    assert Path("c.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    refused(capsys, ["report", "r", "--out", "c.png"], "c.png exists")
    refused(capsys, ["report", "r", "--out", "no/c.png"], "no/c.png cannot be written")
    refused(capsys, ["report", "r", "--out", "c.txt"], "c.txt is no .png")
    refused(capsys, [*words[:-3], "c.png/r", *words[-2:]], "c.png/r cannot be made")
    assert (
        cli.main(["datasets", "export", "r", "both.hdf5"]) == cli.main(["datasets", "export", "r:1", "one.hdf5"]) == 0
    )
    assert "both.hdf5: 80 transitions" in capsys.readouterr().out
    both, one = fastrl.load("both.hdf5"), fastrl.load("one.hdf5")
    np.testing.assert_array_equal(both.action[40:], one.action)
    policies = ["collect", "probe-truncation", "p.hdf5", "--policy", "r:0", "--policy", "r:1", "--steps"]
    refused(capsys, [*policies, "21"], "multiple of the number of policies, 2")
    assert cli.main([*policies, "20"]) == 0 and "4 episodes" in capsys.readouterr().out
    with h5py.File("p.hdf5") as file:
        np.testing.assert_array_equal(np.flatnonzero(file["timeouts"][:]), [4, 9, 14, 19])
    assert (one.reward == 1).all() and not one.obs.any() and len(np.unique(one.action)) > 30
    start = ["finetune", "sac", "--env", "probe-truncation", *ONLINE]
    refused(capsys, [*start, "--from", "r", "--seeds", "3"], "has 2 seeds and --seeds asks for 3")
    refused(capsys, [*start, "--from", "r:5"], "has seeds 0 to 1, not 5")
    refused(capsys, ["run", "wsrl", "--env", "pointmaze-umaze", "--from", "r"], "the agent is of probe-truncation")
    refused(capsys, ["evaluate", "r", "--env", "pointmaze-umaze"], "the agent is of probe-truncation")


def test_a_task_is_played_beside_its_own_version():
    assert show._counterpart("ant", {}, "mujoco") == "gymnasium:Ant-v5"
    assert show._counterpart("ant", {"version": "v4"}, "mujoco") == "gymnasium:Ant-v4"


def test_collected_data_can_be_learnt_from(capsys):
    assert cli.main(["collect", "probe-termination", "d.hdf5", "--behaviour", "random", "--steps", "40"]) == 0
    assert "d.hdf5: 40 transitions, 8 episodes, sum of rewards 40.0" in capsys.readouterr().out
    refused(capsys, ["collect", "probe-termination", "d.hdf5", "--behaviour", "random"], "d.hdf5 exists")
    words = [
        "pretrain",
        "calql",
        "--env",
        "probe-termination",
        "--dataset",
        "d.hdf5",
        *TINY,
        "--steps",
        "20",
        "--cql-actions",
        "2",
    ]
    assert cli.main([*words, "--out", "p"]) == 0
    assert "calql" in capsys.readouterr().out and Path("p/agent/agent.json").is_file()


def test_a_level_is_shared_out_among_its_policies(capsys, monkeypatch):
    config = fastrl.SAC(actor_hidden=(4,))
    actors = jax.vmap(lambda key: parts.gaussian(config, fastrl.Spec("b", 1, 1, 1)).init(key, 1))(
        jax.random.split(jax.random.key(0), 3)
    )
    snapshots = tuple(behaviours.Snapshot(age, mean, 0.0) for age, mean in enumerate((0.0, 3.0, 9.0)))
    ours = behaviours.Behaviour("probe-truncation", 1, 1, config, actors, snapshots)
    monkeypatch.setattr(behaviours, "find", lambda env: ours)
    monkeypatch.setattr(behaviours, "names", lambda: ("probe-truncation",))
    words = ["collect", "probe-truncation", "l.hdf5", "--behaviour", "medium-replay", "--steps", "20"]
    refused(capsys, [*words, "--num-envs", "5"], "--num-envs 5 must be a multiple of 2")
    assert cli.main(words) == 0 and "l.hdf5: 20 transitions, 4 episodes" in capsys.readouterr().out
    ours = dataclasses.replace(ours, obs_size=2)
    refused(capsys, [word.replace("l.", "m.") for word in words], "policies observe 2 numbers")


def test_lists(capsys):
    for words, found in (
        (["recipes"], RECIPES),
        (["recipes", "wsrl"], ["warmup: ", "utd = 4"]),
        (["envs"], ["hopper", "gymnax:ID", "brax:ID"]),
        (
            ["envs", "probe-action"],
            [
                "protocol     kept",
                "collect      random\n",
                "options      horizon=10",
                "by  the return",
                "1, from -1 to 1",
            ],
        ),
    ):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert all(word in out for word in found)
    assert cli.main(["--version"]) == 0 and capsys.readouterr().out.startswith("fastrl 0.")


def test_the_list_of_environments_is_quick_and_imports_no_simulator():
    code = (
        "import sys; from fastrl.cli import main; main.main(['envs']);"
        "sys.exit(any(m.split('.')[0] in ('mujoco', 'gymnasium', 'gymnax', 'brax', 'orbax') for m in sys.modules))"
    )
    before = os.times()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.5


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_option_shows_its_default(capsys, command):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    blocks = re.split(r"\n\n|\n  (?=-)", text)
    options = [block.split()[0].strip(",") for block in blocks if block.startswith("-")]
    assert "-h" in options
    missing = [
        block.split()[0] for block in blocks if block.startswith("-") and "(default:" not in " ".join(block.split())
    ]
    assert missing in ([], ["-h,"])  # argparse's own line


def test_help_is_instant_and_imports_no_jax():
    code = "import sys; from fastrl.cli import main; main.main(['--help']); sys.exit('jax' in sys.modules)"
    before = os.times()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = os.times()
    assert "fine-tunes it online" in result.stdout and all(command in result.stdout for command in cli.COMMANDS)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    assert cpu < 0.5
