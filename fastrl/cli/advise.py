"""`fastrl advise`: an agent and its data in numbers, and which choices at the switch the evidence here favours."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastrl.cli import datasets as datasets_cli
from fastrl.cli.options import Parser, env_option, key_values
from fastrl.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from fastrl.experiments.advice import Advice
    from fastrl.experiments.measurements import Critic, Measurements

WIDTH = 120


def main(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Measures, then advises."""
    parser = Parser(
        prog="fastrl advise",
        description="Measures an offline agent and its data, and says which retention, warm-up and method the results\n"
        "of this repository favour, each with what it rests on, or that nothing here favours one.",
    )
    parser.add_argument("run", metavar="DIR", help="a finished run or a saved agent; DIR:2 is its seed 2")
    parser.add_argument("--env", metavar="NAME", help="environment (default: the run's own)")
    env_option(parser, "the run's own")
    datasets_cli.dataset_options(parser)
    meaning = "episodes of a seed, of its mode and of its samples (default: 20)"
    parser.add_argument("--episodes", type=int, default=20, metavar="N", help=meaning)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="base of the random streams (default: 0)")
    found = parser.parse(words)
    if found.episodes < 2:
        raise UserError(f"--episodes must be at least 2, not {found.episodes}: one episode has no interval")
    if found.dataset is None:
        raise UserError("--dataset is missing: name the data that the agent learnt from")
    prepare()
    from fastrl import agent as agents
    from fastrl.cli import show
    from fastrl.experiments import advice, measurements

    agent = agents.load(found.run)
    env, options = show.environment_of(found.run, agent, found.env, key_values("--env-option", found.env_option))
    given = {"episodes": found.episodes, "key": found.seed, "tell": datasets_cli.to_stderr}
    measured = measurements.measure(agent, env, datasets_cli.source(found), **given, **options)
    print(text(found.run, found.dataset, measured, advice.advise(measured)))
    return 0


def text(run: str, data: str, measured: "Measurements", advised: Sequence["Advice"]) -> str:
    """Everything that is printed."""
    seeds, episodes = measured.mode.shape
    title = f"{measured.algorithm} of {run} ({seeds} seed{'s' if seeds > 1 else ''}) on {measured.env}; {data} has"
    lines = [f"{title} {measured.rows:,} rows in {len(measured.data):,} trajectories", ""]
    lines += [f"measured now, {episodes} episodes of each kind and seed"]
    lines += [line for fact in facts(measured) for line in wrapped(fact, "  ", "    ")]
    lines += ["", "advice"]
    for one in advised:
        lines += wrapped(f"{one.about}: {one.says}", "  ", "    ")
        lines += [line for basis in one.basis for line in wrapped(basis, "    - ", "      ")]
    return "\n".join(lines)


def facts(measured: "Measurements") -> list[str]:
    """The measurements, a line each."""
    kinds = {"mode": measured.mode, "sampled actions": measured.sampled}
    lines = [f"{kind}: {earned(values, measured.sparse)}" for kind, values in kinds.items()]
    data = measured.data
    if not data.size:
        lines.append("data: no trajectory ends")
    elif measured.sparse:
        lines.append(f"data: {100 * data.mean():.1f} % of the trajectories succeed")
    else:
        low, middle, high = (f"{x:,.1f}" for x in (data.min(), data.mean(), data.max()))
        below = (data < measured.mode.mean()).mean() + (data == measured.mode.mean()).mean() / 2
        spread = f"mean return {middle}, standard deviation {data.std():,.1f}, {low} to {high}"
        lines.append(f"data: {spread}; the mode earns more than {100 * below:.0f} % of its trajectories")
    if measured.inside is not None:
        share = spanned(100 * measured.inside, ".0f", " %")
        near = "as 95 % of the data's own do to the nearest row of another trajectory"
        lines.append(f"coverage: {share} of own states lie as near to the data's rows {near}")
    if measured.unlikely is None:
        lines.append("likelihood: the policy has no density that the data's actions could be measured by")
    else:
        apart = f"{spanned(measured.unlikely, '.2f')} nats an action number less likely than the policy's own"
        lines.append(f"likelihood: the data's actions are {apart} (0: the data acts as the policy)")
    return [*lines, *critics(measured.critic)]


def critics(critic: "Critic | str") -> list[str]:
    """What is known of the critics."""
    if isinstance(critic, str):
        return [f"critic: {critic}; it cannot be judged"]
    returns = f"{critic.data_return:.3g} (standard deviation {critic.spread:.3g})"
    returns += "; who never succeeds is taken to fail for ever, as in Cal-QL" if critic.endless else ""
    lines = [f"critic on the data: Q {spanned(critic.data_q, '.3g')} where the returns are {returns}"]
    if critic.own_error.size:
        returns = spanned(critic.own_return, ".3g")
        lines.append(f"critic on own episodes: Q {spanned(critic.own_q, '.3g')} where the returns are {returns}")
        td = f"{spanned(critic.data_td, '.3g')} on the data, {spanned(critic.own_td, '.3g')} on own episodes"
        return [*lines, f"TD error, mean square: {td}"]
    return [*lines, f"TD error, mean square: {spanned(critic.data_td, '.3g')} on the data"]


def earned(values: "np.ndarray", shares: bool) -> str:
    """Mean and 95 % interval of episodes [S, P] of all seeds, and the seeds' range."""
    from fastrl.data import references

    found = references.measured(values.ravel(), "", shares)
    told = lambda x: f"{100 * x:.1f} %" if shares else f"{x:,.1f}"
    mean, low, high = (told(x) for x in (found.mean, found.low, found.high))
    seeds = [told(x) for x in (values.mean(1).min(), values.mean(1).max())]
    over = f", seeds {seeds[0]} to {seeds[1]}" if len(values) > 1 else ""
    return f"{'success' if shares else 'return'} {mean} [{low}, {high}]{over}"


def spanned(values: "np.ndarray", digits: str, unit: str = "") -> str:
    """The mean over seeds [S], and their range where there are several."""
    if len(values) == 1:
        return f"{values[0]:{digits}}{unit}"
    return f"{values.mean():{digits}}{unit} (seeds {values.min():{digits}} to {values.max():{digits}})"


def wrapped(line: str, first: str, then: str) -> list[str]:
    """A line of at most `WIDTH` letters each."""
    return textwrap.wrap(line, WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False)
