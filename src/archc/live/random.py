"""Random weights that tell a right network from a wrong one."""

from __future__ import annotations

import numpy as np

from archc.api import Net
from archc.backends.storage import DTYPE
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Weight
from archc.live.numeric import Array


def settled_weights(net: Net, batch: Array, seed: int = 0) -> dict[str, Array]:
    """Random weights by canonical name, with running averages near those of `batch`.

    With any averages at all, signals would die or blow up on their way through many layers. The
    scales of batch norms are such that signals reach the limits of relu6 and hard_swish, and their
    shifts are positive on the whole: else every layer would multiply the rounding errors.
    """
    from archc.backends.torch.live import settle

    random = np.random.default_rng(seed)
    weights = {name: _array(w, random) for name, _, w in analysis.weights(net.network)}
    live, model = net.live("torch"), net.build("torch", *batch.shape[2:])
    live.load(model, weights)
    settle(model, batch)
    return {name: _apart(name, array, random) for name, array in live.arrays(model).items()}


def _array(weight: Weight, random: np.random.Generator) -> Array:
    if weight.name.endswith("bias"):
        values = random.normal(0.5, 0.5, weight.shape)
    elif weight.fans[0]:
        values = random.normal(0.0, (weight.size / weight.shape[0]) ** -0.5, weight.shape)
    else:
        values = random.uniform(0.5, 2.0, weight.shape)
    return np.asarray(values, DTYPE)


def _apart(name: str, array: Array, random: np.random.Generator) -> Array:
    """An average is moved a little, as that of other batches is; all else stays as it is."""
    if name.endswith("running_var"):
        array = array * random.uniform(0.8, 1.25, array.shape)
    elif name.endswith("running_mean"):
        array = array + np.abs(array).mean() * random.normal(0.0, 0.1, array.shape)
    return np.asarray(array, DTYPE)
