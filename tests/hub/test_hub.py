"""`fastrl push` and `fastrl pull` against a stand-in of the Hub, and the client's offline mode."""

import io
import json
import struct

import jax
import numpy as np
import pytest

import fastrl
from fastrl import agent as agents
from fastrl import envs
from fastrl.agent import Agent
from fastrl.cli import hub
from fastrl.data import d4rl, datasets, export
from fastrl.errors import Failure, UserError
from fastrl.hub import agents as files
from fastrl.hub import place as places
from fastrl.methods import SAC
from fastrl.runs import digests
from fastrl.runs.progress import Progress

constants = pytest.importorskip("huggingface_hub.constants")
pytestmark = pytest.mark.usefixtures("quick")


def push(*words):
    return hub.push(list(map(str, words)), lambda: None)


def pull(*words):
    return hub.pull(list(map(str, words)), lambda: None)


@pytest.fixture(scope="module")
def agent(quick):
    config = SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2)
    spec = envs.make("probe-truncation").spec
    keys = jax.random.split(jax.random.key(0), 3)
    return Agent(config, spec, jax.jit(lambda keys: jax.lax.map(config.build(spec).init, keys))(keys), (2.0, -1.0))


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "a"
    agent.save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny, quick):
    path = tmp_path_factory.mktemp("run") / "r"
    options = {name: tiny[name] for name in tiny if name not in ("pretrain_steps", "cql_actions")}
    fastrl.run("sac", env="probe-truncation", out=path, progress=Progress(io.StringIO()), **options)
    return path


def test_an_agent_goes_there_and_comes_back_bit_for_bit(stand_in, agent, saved, tmp_path, capsys):
    assert push(saved, "hf://ada/walks", "--private") == 0
    assert capsys.readouterr().out == f"{stand_in.url}/ada/walks\n"
    assert set(stand_in.files["models/ada/walks"]) == {"agent.json", "agent.safetensors", "README.md"}
    assert stand_in.private == {"models/ada/walks"} and stand_in.messages == ["Agent of sac on probe-truncation"]
    assert pull("hf://ada/walks", tmp_path / "new" / "b") == 0
    assert "3 seeds; use it with --from" in capsys.readouterr().out
    back = agents.load(tmp_path / "new" / "b")
    assert digests.total(back.state) == digests.total(agent.state)
    assert (back.config, back.spec, back.reward, back.seeds) == (agent.config, agent.spec, agent.reward, 3)
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "b"], "nothing temporary is left"


def test_the_safetensors_file_is_readable_by_its_own_layout(agent, saved, tmp_path):
    """Read by the format's definition: 8 bytes of length, a JSON head, the arrays' bytes."""
    files.write(saved, tmp_path)
    data = (tmp_path / "agent.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])["actor.params.mean.kernel"]
    first, last = entry["data_offsets"]
    values = np.frombuffer(data[8 + length :][first:last], "<f4").reshape(entry["shape"])
    np.testing.assert_array_equal(values, agent.state.actor.params["mean"]["kernel"])


def test_the_page_of_a_run_has_its_table_picture_and_result(stand_in, run, tmp_path):
    from huggingface_hub import ModelCard

    assert push(run, "hf://ada/run") == 0
    stored = stand_in.files["models/ada/run"]
    assert stored["curves.png"] == (run / "curves.png").read_bytes()
    card = ModelCard(stored["README.md"].decode())
    assert card.data.library_name == "fastrl" and "probe-truncation" in card.data.tags
    final = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    returns = [row["return"] for row in final if row.get("kind") == "eval"][-1]
    (result,) = card.data.eval_results
    assert result.metric_value == pytest.approx(np.mean(returns), abs=1e-4)
    assert "![evaluations](curves.png)" in card.text and "| sac | probe-truncation | 2 |" in card.text
    assert pull("hf://ada/run", tmp_path / "r") == 0
    assert digests.total(agents.load(tmp_path / "r").state) == digests.total(agents.load(run).state)


def test_a_dataset_goes_in_minaris_layout(stand_in, probe_data, tmp_path, capsys):
    import minari

    data = probe_data()
    d4rl.write(tmp_path / "d.hdf5", export.columns(data))
    assert push(tmp_path / "d.hdf5", "hf://datasets/ada/probe") == 0
    assert set(stand_in.files["datasets/ada/probe"]) == {"data/main_data.hdf5", "data/metadata.json", "README.md"}
    assert "40 transitions in 8 episodes" in stand_in.files["datasets/ada/probe"]["README.md"].decode()
    assert pull("hf://datasets/ada/probe", tmp_path / "back") == 0
    assert f"--dataset {tmp_path / 'back'}" in capsys.readouterr().out
    there, back = datasets.load(tmp_path / "d.hdf5"), datasets.load(tmp_path / "back")
    for field in ("obs", "action", "reward", "mask", "next_obs"):
        np.testing.assert_array_equal(getattr(back, field), getattr(there, field))
    assert minari.dataset.minari_dataset.MinariDataset(tmp_path / "back" / "data").total_steps == 40
    assert push(tmp_path / "back", "hf://datasets/ada/again") == 0
    for name in ("data/main_data.hdf5", "data/metadata.json"):
        assert stand_in.files["datasets/ada/again"][name] == stand_in.files["datasets/ada/probe"][name]


def test_what_was_pulled_is_there_without_a_network(stand_in, saved, tmp_path, monkeypatch):
    push(saved, "hf://ada/kept")
    pull("hf://ada/kept", tmp_path / "a")
    stand_in.shutdown()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pull("hf://ada/kept", tmp_path / "b") == 0
    assert digests.total(agents.load(tmp_path / "b").state) == digests.total(agents.load(saved).state)
    with pytest.raises(Failure, match="hf://ada/never: the Hub cannot be reached, or HF_HUB_OFFLINE is set"):
        pull("hf://ada/never", tmp_path / "c")
    with pytest.raises(Failure, match="hf://ada/kept"):
        push(saved, "hf://ada/kept")


def test_a_revision_is_fetched_and_a_wrong_one_refused(stand_in, saved, tmp_path):
    push(saved, "hf://ada/rev")
    commit = stand_in.commit("models/ada/rev")
    assert pull(f"hf://ada/rev@{commit}", tmp_path / "a") == 0
    with pytest.raises(UserError, match="there is no such revision; leave @v9 out"):
        pull("hf://ada/rev@v9", tmp_path / "b")
    with pytest.raises(UserError, match="a push goes to the main branch: leave @v9 out"):
        push(saved, "hf://ada/rev@v9")


def test_who_may_not_is_told_how(stand_in, saved, tmp_path, monkeypatch):
    push(saved, "hf://ada/mine", "--private")
    monkeypatch.setenv("HF_TOKEN", "hf_of-nobody")
    with pytest.raises(UserError, match=r"hf://ada/mine is not there, or is private; .*`hf auth login`"):
        pull("hf://ada/mine", tmp_path / "a")
    with pytest.raises(UserError, match="you may not write there; log in"):
        push(saved, "hf://ada/other")
    stand_in.broken = True
    with pytest.raises(Failure, match="hf://ada/mine"):
        pull("hf://ada/mine", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ada/walks", "is no address on the Hub; write hf://USER/NAME"),
        ("hf://walks", "is no address on the Hub"),
        ("hf://ada/walks/sub", "names no whole repository"),
        ("hf://spaces/ada/walks", "names no whole repository"),
        ("hf://../walks", "is no address on the Hub"),
        ("hf://ada/wa lks", "is no address on the Hub"),
    ],
)
def test_an_address_that_is_none(address, said):
    with pytest.raises(UserError, match=said):
        places.find(address)


@pytest.mark.parametrize("damage", ["array", "name", "head", "about", "huge", "version", "missing"])
def test_a_damaged_or_hostile_agent_is_refused_and_nothing_is_written(saved, tmp_path, damage):
    from safetensors.numpy import load_file, save_file

    source, about = tmp_path / "s", tmp_path / "s" / "agent.json"
    source.mkdir()
    files.write(saved, source)
    path = source / "agent.safetensors"
    content = json.loads(about.read_text())
    if damage in ("array", "head"):
        data = bytearray(path.read_bytes())
        data[-1 if damage == "array" else 3] ^= 1
        path.write_bytes(data)
    elif damage == "name":
        save_file({**load_file(path), "../../x\x1b[2J": np.zeros(1)}, path)
    elif damage == "about":
        about.write_text("[" * 100_000)
    elif damage == "huge":
        about.write_text(json.dumps({**content, "more": "x" * (1 << 20)}))
    elif damage == "version":
        about.write_text(json.dumps({**content, "hub": {**content["hub"], "format": 99}}))
    else:
        path.unlink()
    with pytest.raises(UserError) as error:
        files.read(source, tmp_path / "out")
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s"]


def test_an_agents_own_code_is_named_and_not_run(stand_in, saved, tmp_path, capsys):
    files.write(saved, tmp_path)
    content = json.loads((tmp_path / "agent.json").read_text())
    content["config"]["actor"] = "no_such_module:Network"
    stored = {name: (tmp_path / name).read_bytes() for name in ("agent.json", "agent.safetensors")}
    stand_in.files["models/ada/own"] = {**stored, "agent.json": json.dumps(content).encode()}
    assert pull("hf://ada/own", tmp_path / "a") == 0
    assert "code of its author's own, 'no_such_module:Network'" in capsys.readouterr().out


def test_what_does_not_fit_its_address(stand_in, saved, tmp_path):
    with pytest.raises(UserError, match="is an agent; push it to hf://ada/walks"):
        push(saved, "hf://datasets/ada/walks")
    with pytest.raises(UserError, match="holds no agent"):
        push(tmp_path, "hf://ada/walks")
    stand_in.files["models/ada/bert"] = {"config.json": b"{}"}
    with pytest.raises(UserError, match=r"holds no agent of fastrl: it has no agent.json"):
        pull("hf://ada/bert", tmp_path / "a")
    stand_in.files["datasets/ada/text"] = {"train.csv": b"a,b"}
    with pytest.raises(UserError, match="holds no dataset in Minari's layout"):
        pull("hf://datasets/ada/text", tmp_path / "a")
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="exists; name another folder"):
        pull("hf://ada/bert", tmp_path / "a")
