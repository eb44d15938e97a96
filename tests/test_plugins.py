"""What users hand over: an algorithm, networks, optimisers and a recipe from files outside the package."""

import json
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn

import fastrl
from fastrl.cli import main as cli
from fastrl.engine.phase import Phase
from fastrl.methods import SAC
from fastrl.networks.critics import Critic
from fastrl.networks.policy import GaussianActor
from fastrl.planning import contract
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")

ENV = "probe-action"
RUN = {"seeds": 2, "steps": 60, "warmup": 20, "eval_every": 20, "eval_episodes": 2}
SMALL = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "num_critics": 2}

ALGORITHM = '''
import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

import fastrl


class Net(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(nn.relu(nn.Dense(8)(x)))


@dataclasses.dataclass(frozen=True)
class Weighted(fastrl.Options):
    """Regression on its own actions, weighted by the reward."""

    batch_size: int = fastrl.option(8, "rows of one minibatch")
    lr: float = fastrl.option(1e-2, "learning rate")
    noise: float = fastrl.option(0.3, "std of the exploring noise")

    def build(self, spec):
        net, adam = Net(spec.action_size), optax.adam(self.lr)

        def init(key):
            params = net.init(key, jnp.zeros((1, spec.obs_size)))
            return {"params": params, "opt": adam.init(params)}

        def act(state, obs, key, explore):
            mean = jnp.tanh(net.apply(state["params"], obs))
            return mean + self.noise * jax.random.normal(key, mean.shape) if explore else mean

        def loss(params, batch):
            error = jnp.square(jnp.tanh(net.apply(params, batch.obs)) - batch.action).sum(-1)
            return (jax.nn.softmax(10 * batch.reward) * error).sum()

        def update(state, batches, key, clock):
            batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
            value, grads = jax.value_and_grad(loss)(state["params"], batch)
            changes, opt = adam.update(grads, state["opt"], state["params"])
            return {"params": optax.apply_updates(state["params"], changes), "opt": opt}, {"actor/loss": value}

        return fastrl.Algorithm(init, act, update)


def recipe(builder):
    """Weighted regression after a warm-up."""
    return builder.online(Weighted(), warmup=20)


def actor(spec):
    from fastrl.networks.policy import GaussianActor

    return GaussianActor(spec.obs_size, spec.action_size, (8,))


def optimizer():
    return optax.sgd(1e-2)
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(ALGORITHM)
    return path


def test_an_algorithm_and_a_recipe_from_python(file, tmp_path):
    from fastrl import plugins

    kind = plugins.resolve("algorithm", f"{file}:Weighted")
    run = fastrl.finetune(kind(noise=0.5), ENV, out=tmp_path / "run", **RUN)
    assert run.returns.shape[0] == 2 and run.returns[:, -1].min() > run.returns[:, 0].min()
    again = fastrl.run(plugins.resolve("recipe", f"{file}:recipe"), env=ENV, **RUN)
    assert set(again.metrics) >= {"actor/loss", "rollout/return"}
    assert fastrl.load_agent(tmp_path / "run").act(np.zeros((4, 1))).shape == (4, 1)
    more = fastrl.finetune(kind(), ENV, start=tmp_path / "run", **RUN)
    assert np.isfinite(more.returns).all()


def test_an_algorithm_that_logs_nothing(tmp_path):
    from fastrl import plugins

    (tmp_path / "quiet.py").write_text(ALGORITHM.replace('{"actor/loss": value}', "{}"))
    run = fastrl.finetune(plugins.resolve("algorithm", f"{tmp_path / 'quiet.py'}:Weighted")(), ENV, **RUN)
    assert np.isfinite(run.returns).all() and not [name for name in run.metrics if name.startswith("actor/")]


def test_an_algorithm_and_a_recipe_from_the_command_line(file, tmp_path, capsys):
    words = ["--env", ENV, "--seeds", "1", "--steps", "60", "--warmup", "20", "--eval-episodes", "2"]
    named = ["--algorithm", f"{file}:Weighted", "--noise", "0.5"]
    assert cli.main(["finetune", *named, *words, "--out", str(tmp_path / "a")]) == 0
    assert cli.main(["run", f"{file}:recipe", *words, "--out", str(tmp_path / "b")]) == 0
    assert "finetune" in capsys.readouterr().out
    assert '"noise": 0.5' in (tmp_path / "a/config.json").read_text()


def test_an_agent_of_ones_own_from_data_to_a_file(file, tmp_path, monkeypatch, capsys):
    """What docs/how-to/algorithm.md says to write, in the order in which it does."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        file.read_text().replace("noise: float = fastrl.option(", "plain: int = 3\n    noise: float = fastrl.option(")
    )
    task = ["--env", ENV, "--seeds", "1", "--eval-episodes", "1"]
    assert cli.main(["collect", ENV, "data.hdf5", "--behaviour", "random", "--steps", "200"]) == 0
    pretrain = ["pretrain", "mine.py:Weighted", "--dataset", "data.hdf5", "--plain", "4", *task, "--steps", "20"]
    for page in (["--help"], ["--help-all"], ["--explain", "batch_size"], ["--explain", "plain"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["pretrain", "mine.py:Weighted", *page])
        assert ended.value.code == 0
    assert "a field without a meaning" in capsys.readouterr().out
    assert cli.main([*pretrain, "--out", "offline"]) == 0
    online = [
        "--algorithm",
        "mine.py:Weighted",
        "--from",
        "offline",
        "--steps",
        "60",
        "--warmup",
        "20",
        "--out",
        "online",
    ]
    assert cli.main(["finetune", *task, *online]) == 0
    assert json.loads(Path("online/agent/agent.json").read_text())["config"]["algorithm"] == "mine.py:Weighted"
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        monkeypatch.delitem(sys.modules, name)  # as in a new process
    capsys.readouterr()
    assert cli.main(["evaluate", "online", "--episodes", "1"]) == 2
    assert "set FASTRL_ALLOW_CODE=1" in capsys.readouterr().err
    monkeypatch.setenv("FASTRL_ALLOW_CODE", "1")
    assert cli.main(["evaluate", "online", "--episodes", "1"]) == 0
    assert cli.main(["export", "online", "policy.stablehlo"]) == 0


def test_phases_may_lie_in_lists_of_lists():
    first, second = (object.__new__(Phase) for _ in range(2))
    for phase in (first, second):
        phase.__dict__["config"] = SAC()
    for made in ([first, [second]], [[first, second]], (first, second)):
        assert contract.recipe(lambda _, made=made: made, None, "mine") == [first, second]
    assert contract.recipe(lambda _: first, None, "mine") == [first]
    with pytest.raises(UserError, match=r"returns str among its phases; return what builder\.offline and"):
        contract.recipe(lambda _: [first, "x"], None, "mine")


def test_networks_and_optimisers_of_ones_own_learn_as_the_built_in_ones(file):
    own = {
        "actor": GaussianActor(1, 1, (8,), final_gain=1e-2, layer_norm=True),
        "critic": Critic(1, 1, (8,), True, final_gain=1e-2),
    }
    mine = fastrl.finetune(fastrl.SAC(**SMALL, **own), ENV, **RUN)
    built_in = fastrl.finetune(fastrl.SAC(**SMALL), ENV, **RUN)
    assert mine.returns.tolist() == built_in.returns.tolist()
    for a, b in zip(jax.tree.leaves(mine.state), jax.tree.leaves(built_in.state), strict=True):
        np.testing.assert_array_equal(a, b)
    named = {"actor": f"{file}:actor", "actor_optimizer": f"{file}:optimizer", "critic_optimizer": optax.rmsprop(1e-3)}
    other = fastrl.finetune(fastrl.SAC(**SMALL, **named), ENV, **RUN)
    assert other.agent.state.actor.opt != built_in.agent.state.actor.opt


class Flat(nn.Module):
    """A critic without the last axis taken away."""

    @nn.compact
    def __call__(self, obs, action):
        return nn.Dense(1)(obs) + nn.Dense(1)(action)


class Bare(nn.Module):
    """An actor that returns numbers."""

    @nn.compact
    def __call__(self, obs):
        return nn.Dense(1)(obs)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"critic": Flat()}, r"critic: Flat gives \(3, 1\) for 3 rows; a critic gives Q of shape \(3,\)"),
        ({"actor": Bare()}, "actor: Bare returns .*; here an actor returns TanhNormal"),
        ({"actor": GaussianActor(1, 2, (8,))}, r"actor: GaussianActor gives actions \(3, 2\) .* must be \(3, 1\)"),
        ({"actor": GaussianActor(5, 1, (8,))}, r"actor: GaussianActor cannot be called with obs \[B, 1\]"),
        ({"critic": 7}, "critic: 7 is no flax.linen module"),
        ({"actor_optimizer": 3e-4}, "actor_optimizer: 0.0003 is no optimiser; hand over an optax"),
        ({"actor": "nowhere:Actor"}, "actor: there is no module 'nowhere'"),
    ],
)
def test_a_wrong_network_or_optimiser_is_one_line(config, words):
    with pytest.raises(UserError, match=words) as error:
        fastrl.finetune(fastrl.SAC(**SMALL, **config), ENV, **RUN)
    assert "\n" not in str(error.value)


CHANGES = {
    "no build": ("def build(self, spec):", "def make(self, spec):", "Weighted.* has no build"),
    "build fails": ("net, adam = ", "net, adam = missing, ", "NameError"),
    "no algorithm": ("return fastrl.Algorithm(init, act, update)", "return init, act, update", "build returns tuple"),
    "wrong action": ("return mean +", "return obs[..., :0] +", r"act .*|actions must be \(3, 1\)"),
    "too few arguments": ("def update(state, batches, key, clock)", "def update(state, batches, key)", "takes 3 .*arg"),
    "no metrics": (', {"actor/loss": value}', "", "update returns dict"),
    "metric with rows": ('"actor/loss": value', '"actor/loss": batch.reward', r"metric 'actor/loss' has shape \(8,\)"),
    "state changes": ('"opt": opt}', '"opt": opt, "new": value}', "update turns the state's"),
    "python if": ("return mean +", "return mean if self.noise > 1 else mean +", "traced; use jnp.where, or mark"),
    "recipe": ("return builder.online(Weighted(), warmup=20)", "return Weighted()", "recipe .* returns Weighted"),
    "no dataclass": ("@dataclasses.dataclass(frozen=True)\nclass W", "class W", "no dataclass|unexpected|has no"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_wrong_algorithm_or_recipe_is_one_line(what, tmp_path, capsys):
    old, new, words = CHANGES[what]
    assert old in ALGORITHM
    path = tmp_path / f"{what.replace(' ', '_')}.py"
    path.write_text(ALGORITHM.replace(old, new))
    noun = ["run", f"{path}:recipe"] if what == "recipe" else ["finetune", f"{path}:Weighted"]
    code = cli.main(
        [*noun, "--env", ENV, "--seeds", "1", "--steps", "60", "--warmup", "20", "--out", str(tmp_path / "o")]
    )
    error = capsys.readouterr().err.strip()
    assert code == 2 and len(error.splitlines()) == 1, textwrap.shorten(error, 2000)
    import re

    assert re.search(words, error), error
    assert not (tmp_path / "o").exists()
