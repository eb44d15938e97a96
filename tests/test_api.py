import io
import json
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

import fastrl
from fastrl.collect import experience
from fastrl.runs import digests
from fastrl.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny, probe_data, quick):
    path = tmp_path_factory.mktemp("api") / "run"
    arguments = {"env": "probe-truncation", "dataset": probe_data(), "out": path, **tiny}
    return fastrl.run("wsrl", progress=Progress(io.StringIO()), **arguments), path, arguments


def test_the_run_folder_is_whole(finished):
    run, path, _ = finished
    assert run.path == path
    names = {entry.name for entry in path.iterdir()}
    assert {"config.json", "metrics.jsonl", "timing.json", "report.md", "curves.png"} <= names
    assert {"checkpoints", "agent", "tensorboard"} <= names
    config = json.loads((path / "config.json").read_text())
    assert config["recipe"] == "wsrl" and config["identity"]["dataset"]["rows"] == 40
    assert config["versions"]["jax"]
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert rows == json.loads(json.dumps(run.rows)) and {row["kind"] for row in rows} == {"train", "eval"}
    timing = json.loads((path / "timing.json").read_text())["phases"]
    assert [(phase["name"], phase["steps"]) for phase in timing] == [("pretrain", 20), ("warmup", 20), ("finetune", 20)]
    assert matplotlib.image.imread(path / "curves.png").std() > 0
    text = (path / "report.md").read_text()
    assert "wsrl" in text and "| environment steps of evaluations, per seed at most | 50 |" in text
    assert any(entry.stat().st_size for entry in (path / "tensorboard").rglob("*") if entry.is_file())
    assert (path / "checkpoints" / "60" / "fastrl_manifest.json").is_file()


def test_what_a_run_returns(finished):
    run, _, _ = finished
    evaluations = [row for row in run.rows if row["kind"] == "eval"]
    assert run.returns.shape == (2, len(evaluations)) and (run.returns == 5).all()
    assert run.metrics["critic/loss"].shape == (2, 2) and np.isfinite(run.metrics["critic/loss"]).all()
    assert run.agent.seeds == 2 and run.state is run.agent.state


def test_the_agent_of_a_run_is_in_its_folder(finished):
    run, path, _ = finished
    loaded = fastrl.load_agent(path)
    assert digests.total(loaded.state) == digests.total(run.state)
    returns = fastrl.evaluate(path, "probe-truncation", episodes=3)
    assert returns.shape == (2, 3) and (returns == 5).all()  # raw
    assert loaded.act(np.zeros((7, 1))).shape == (7, 1)


def test_a_run_is_not_overwritten_and_a_resume_gives_it_back(finished):
    run, _, arguments = finished
    with pytest.raises(fastrl.UserError, match="exists; add --resume"):
        fastrl.run("wsrl", **arguments)
    again = fastrl.run("wsrl", resume=True, progress=Progress(io.StringIO()), **arguments)
    assert digests.total(again.state) == digests.total(run.state) and again.rows == run.rows


def test_pretrain_then_finetune_is_wsrl(finished, tiny, probe_data, tmp_path):
    """The same agent, pre-trained once, is what fine-tuning starts from."""
    domain = {name: tiny[name] for name in ("actor_hidden", "critic_hidden", "batch_size", "num_critics")}
    config = fastrl.CalQL(**domain, cql_actions=2, backup_actions=2, utd=2)
    quiet = {"progress": Progress(io.StringIO()), "eval_every": 100, "eval_episodes": 2}
    agent = fastrl.pretrain(config, probe_data(), steps=20, seeds=2, env="probe-truncation", **quiet)
    assert agent.seeds == 2 and agent.config == config
    sac = fastrl.SAC(**domain, backup_actions=2, utd=2)
    with pytest.raises(fastrl.UserError, match="has 2 seeds"):
        fastrl.finetune(sac, "probe-truncation", start=agent, steps=40, warmup=20, seeds=4, **quiet)
    agent.save(tmp_path / "agent")
    with pytest.raises(fastrl.UserError, match="cannot take over"):
        wider = fastrl.SAC(**{**domain, "critic_hidden": (24,)})
        lengths = {"steps": 40, "warmup": 20, "seeds": 2, "out": tmp_path / "run"}
        fastrl.finetune(wider, "probe-truncation", start=agent, **lengths, **quiet)
    assert not (tmp_path / "run").exists()
    places = {"start": tmp_path / "agent", "out": tmp_path / "run"}
    run = fastrl.finetune(sac, "probe-truncation", steps=40, warmup=20, seeds=2, **places, **quiet)
    assert f"| agent at the start | {tmp_path / 'agent'} (" in (tmp_path / "run" / "report.md").read_text()
    assert [row["phase"] for row in run.rows if row["kind"] == "eval"] == ["warmup", "warmup", "finetune", "finetune"]
    for name in ("actor", "critic"):
        assert digests.total(getattr(run.state, name)) != digests.total(getattr(agent.state, name))


def test_a_check_of_an_environment_is_one_attribute_away():
    code = "import fastrl; fastrl.envs.check(fastrl.make('probe-action'))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_completion_and_prints_are_short(finished):
    assert {"load", "pretrain", "finetune", "SAC"} <= set(dir(fastrl)) == set(fastrl.__all__)
    run = finished[0]
    assert repr(run.agent) == "Agent(SAC, probe-truncation, seeds=2)" and repr(run.agent) in repr(run)
    assert len(repr(run)) < 1_000


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(fastrl.UserError, match="did you mean 'pretrain_steps'"):
        fastrl.run("wsrl", env="probe-truncation", pretrain_step=3)
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        fastrl.runn  # noqa: B018


@pytest.mark.parametrize("recipe", ["td3", "ppo"])
def test_several_environments_a_seed_whose_replay_is_a_dataset(recipe, tmp_path):
    """PPO's actions are as they were drawn, many of them outside the bounds; the environment clips them."""
    own = {"ppo": {"rollout": 32, "epochs": 1}, "td3": {"warmup": 32}}[recipe]
    sizes = {"seeds": 2, "actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 16, "eval_episodes": 1}
    options = {"num_envs": 2, "steps": 64, "out": tmp_path / "run", "progress": Progress(io.StringIO())}
    run = fastrl.run(recipe, env="probe-action", **sizes, **own, **options)
    assert [row["online"] for row in run.rows if row["kind"] == "eval"][-1] == 64
    name = f"{'value' if recipe == 'ppo' else 'critic'}/loss"
    losses = [row[name] for row in run.rows if name in row]
    assert np.isfinite(losses[-1]).all() and losses[-1][0] != losses[-1][1]
    data = experience.load(tmp_path / "run", 0, lambda words: None)
    assert data.rows == 64 and abs(data.action).max() <= 1
    assert (abs(data.action) > 0.999).any() == (recipe == "ppo")
