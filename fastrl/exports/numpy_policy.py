"""Plays a policy that `fastrl export` wrote as .npz or .safetensors. It needs NumPy alone: copy this file.

policy = load("policy.npz"); action = policy(obs)  # raw observations [O] or [B, O] -> what env.step takes
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

FUNCTIONS: dict[str, Callable[[Any], Any]] = {"none": lambda x: x, "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


class Policy:
    """The deterministic policy; `header` says where it comes from and what its layers are."""

    def __init__(self, header: dict[str, Any], arrays: dict[str, np.ndarray]):
        if header["format"] != 1:
            raise ValueError(f"the policy has format {header['format']}; this loader reads format 1")
        self.header, self.arrays = header, arrays
        self.low, self.high = (np.asarray(header[name], np.float32) for name in ("action_low", "action_high"))

    def __call__(self, obs: Any) -> np.ndarray:
        """The actions of raw observations [..., O]: [..., A] float32, between the environment's bounds."""
        x, header = np.asarray(obs, np.float32), self.header
        if header["normaliser"] is not None:
            mean, std = (np.asarray(header["normaliser"][name], np.float32) for name in ("mean", "std"))
            x = (x - mean) / std
        for layer in header["layers"]:
            kernel, bias = (self.arrays[f"{layer['name']}.{part}"] for part in ("kernel", "bias"))
            x = x @ kernel + bias
            if layer["layer_norm"]:
                scale, shift = (self.arrays[f"{layer['name']}.{part}"] for part in ("scale", "shift"))
                spread = np.sqrt(x.var(-1, keepdims=True) + np.float32(header["layer_norm_epsilon"]))
                x = (x - x.mean(-1, keepdims=True)) / spread * scale + shift
            x = FUNCTIONS[layer["activation"]](x)
        limit = np.float32(header["action_limit"])
        return self.low + (np.clip(FUNCTIONS[header["squash"]](x), -limit, limit) + 1) / 2 * (self.high - self.low)


def load(path: Any) -> Policy:
    """Reads the file; its name ends in .npz or .safetensors."""
    if str(path).endswith(".npz"):
        with np.load(path, allow_pickle=False) as file:
            return Policy(json.loads(str(file["header"])), {name: file[name] for name in file if name != "header"})
    from safetensors import numpy, safe_open  # pip install safetensors

    with safe_open(path, framework="np") as file:
        return Policy(json.loads(file.metadata()["fastrl"]), numpy.load_file(path))
