"""`fastrl export`: a trained policy as a file that plays without this library. Its help imports no jax."""

from collections.abc import Callable, Sequence

from fastrl.cli.options import Parser


def main(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Exports one seed's policy and prints how well the file agrees with the agent."""
    parser = Parser(
        prog="fastrl export",
        description="Writes the deterministic policy that `fastrl evaluate` plays into a file: raw observations in,\n"
        "the environment's own actions out, the normaliser and the bounds of the actions inside. The file is read\n"
        "back and compared with the agent before it gets its name. (`fastrl datasets export` is for data.)",
    )
    parser.add_argument("run", metavar="DIR", help="a finished run or a saved agent; DIR:2 is its seed 2")
    parser.add_argument("out", metavar="FILE", help="ends in .onnx, .safetensors, .stablehlo or .npz, which decides")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed whose policy it is (default: 0)")
    found = parser.parse(words)
    prepare()
    from fastrl.exports import export as exports
    from fastrl.exports.network import bounds

    done = exports.export(found.run, found.out, found.seed)
    spec = done.agent.spec
    low, high = (_numbers(bound.tolist()) for bound in bounds(done.agent))
    print(f"{done.path}: the policy of seed {done.seed} of {done.agent.seeds}, trained on {spec.name}")
    print(f"obs [batch, {spec.obs_size}], raw -> action [batch, {spec.action_size}], from {low} to {high}")
    agreement = f"the largest difference from the agent's is {done.difference:.1e} of the actions' range"
    print(f"read back and asked for {exports.OBSERVATIONS:,} actions: {agreement}")
    print(done.use)
    return 0


def _numbers(bound: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in (bound[:1] if len(set(bound)) == 1 else bound))
