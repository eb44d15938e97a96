"""Policies as files that play without this library: ONNX, safetensors, StableHLO and npz.

Each holds what an evaluation plays: the deterministic policy of one seed with its observation normaliser and the bounds
of the environment's actions inside, so that a raw observation goes in and what `env.step` takes comes out.

`npz` and `safetensors` hold a JSON header and the layers' arrays, all float32. The header is the text `header` of an
npz, and `fastrl` in the metadata of a safetensors file:

    format              1
    fastrl, algorithm, env, seed    where the policy comes from
    obs_size, action_size
    normaliser          null, or {"mean": [O numbers], "std": [O numbers]}
    layers              in order, each {"name", "inputs", "outputs", "layer_norm", "activation"}
    layer_norm_epsilon  added to the variance
    squash              "tanh" or "none"
    action_limit        the squashed action is clipped at +- this
    action_low, action_high    [A numbers], the bounds of the environment's actions

The layer NAME has the arrays NAME.kernel [I, J] and NAME.bias [J], with LayerNorm also NAME.scale and NAME.shift [J].
The action of an observation `x` [O] is

    x = (x - mean) / std                      where there is a normaliser
    for each layer:
        x = x @ kernel + bias
        x = (x - x.mean) / sqrt(x.variance + epsilon) * scale + shift   where it has a LayerNorm
        x = activation(x)                     "relu", "tanh" or "none"
    x = squash(x), clipped at +- action_limit
    action = low + (x + 1) / 2 * (high - low)

`numpy_policy.py` is this in NumPy alone, a file to copy.
"""
