"""A policy as an ONNX graph of ordinary operators, for any runtime since 2022: opset 17, the first with LayerNorm."""

import json
from typing import Any

import numpy as np

from fastrl.exports.network import Network

OPSET, IR_VERSION = 17, 8
OPERATORS = {"relu": "Relu", "tanh": "Tanh"}


class _Graph:
    """Nodes in a row: each takes what the last one gave."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.last = "obs"

    def add(self, operator: str, constants: dict[str, Any], **attributes: Any) -> None:
        """A node whose further inputs are these constants, by their names in the file."""
        from onnx import helper

        self.constants |= {name: np.asarray(value, np.float32) for name, value in constants.items()}
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *constants], [output], **attributes))
        self.last = output

    def finished(self) -> list[Any]:
        """The nodes, the last of which gives `action`."""
        self.nodes[-1].output[0] = "action"
        return self.nodes


def serialised(network: Network) -> bytes:
    """The file's bytes, checked by ONNX; the header stands in the model's metadata as `fastrl`."""
    import onnx
    from onnx import helper, numpy_helper

    header, graph = network.header, _nodes(network)
    sizes = (("obs", header["obs_size"]), ("action", header["action_size"]))
    obs, action = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", n]) for name, n in sizes)
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    model = helper.make_model(
        helper.make_graph(graph.finished(), "policy", [obs], [action], constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastrl",
        producer_version=header["fastrl"],
    )
    helper.set_model_props(model, {"fastrl": json.dumps(header)})
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _nodes(network: Network) -> _Graph:
    header, arrays, graph = network.header, network.arrays, _Graph()
    if header["normaliser"] is not None:
        graph.add("Sub", {"observation_mean": header["normaliser"]["mean"]})
        graph.add("Div", {"observation_std": header["normaliser"]["std"]})
    for layer in header["layers"]:
        named = {part: f"{layer['name']}.{part}" for part in ("kernel", "bias", "scale", "shift")}
        graph.add("Gemm", {named[part]: arrays[named[part]] for part in ("kernel", "bias")})
        if layer["layer_norm"]:
            constants = {named[part]: arrays[named[part]] for part in ("scale", "shift")}
            graph.add("LayerNormalization", constants, axis=-1, epsilon=header["layer_norm_epsilon"])
        if layer["activation"] != "none":
            graph.add(OPERATORS[layer["activation"]], {})
    if header["squash"] != "none":
        graph.add(OPERATORS[header["squash"]], {})
    low, high = (np.asarray(header[name], np.float32) for name in ("action_low", "action_high"))
    limit = np.float32(header["action_limit"])
    graph.add("Clip", {"action_limit_low": -limit, "action_limit_high": limit})
    graph.add("Add", {"one": 1.0})
    graph.add("Div", {"two": 2.0})
    graph.add("Mul", {"action_range": high - low})
    graph.add("Add", {"action_low": low})
    return graph
