"""The weights of a network for inference, of those of the one that was trained.

A batch norm gives (x - mean) * scale / sqrt(variance + epsilon) + offset for each channel, so the
convolution or dense layer before it may give that at once: its kernel times the factor, and a bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archc.api import Net
from archc.backends.storage import DTYPE
from archc.compiler.elaborate.inference import is_norm
from archc.compiler.ir import analysis
from archc.compiler.ir.analysis import Layer
from archc.compiler.ir.network import Block, Op, WeightRule
from archc.weights import files
from archc.weights.convert import Progress, Report, Take, fitting, silent, write
from archc.weights.settings import SETTINGS, carried

Array = np.ndarray[Any, Any]


def fold(
    net: Net, source: Path, target: Path, progress: Progress = silent, take: Take | None = None
) -> Report:
    """Writes what the weights in `source` are for `net.for_inference()` to `target`.

    Raises `WeightsError` where they are not those of `net`, or a file cannot be read or written.
    """
    files.find(target, writing=True)
    left = net.for_inference()
    with fitting(net, source, take) as found:
        arrays = {path: read() for path, read in found.readers.items()}
        kept = carried(left, source, found.notes)
        done = write(left, folded(net, arrays).values(), target, kept, progress)
        return found.reported(replace(done, noted=SETTINGS in found.notes))


def folded(net: Net, arrays: Mapping[str, Array], dtype: str = DTYPE) -> dict[str, Array]:
    """The weights of `net.for_inference()` of those of `net`, both by canonical name and in
    canonical layouts, whose first axis are the outputs. Computed in float64.

    Raises `KeyError` where an array is missing.
    """
    left = net.for_inference()
    wide = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    layers = {layer.path: layer for layer in analysis.layers(net.network)}
    for fold in left.folds:
        layer, (factor, offset) = layers[fold.layer], _affine(layers[fold.norm], wide)
        kernel, bias = _rules(layer.call.body.target)
        names = {rule: f"{layer.path}.{rule.name}" for rule in (kernel, bias)}
        given = wide.get(names[bias], np.zeros_like(factor))
        wide[names[bias]] = given * factor + offset
        outputs_last = np.moveaxis(wide[names[kernel]], kernel.outputs, -1)
        wide[names[kernel]] = np.moveaxis(outputs_last * factor, -1, kernel.outputs)
    for merge in left.merges:
        main = layers[merge.layer]
        for other in map(layers.__getitem__, merge.others):
            _merge(main, other, wide)
    every = (name for name, _, _ in analysis.weights(left.network))
    return {name: wide[name].astype(dtype) for name in every}


def _merge(main: Layer, other: Layer, arrays: dict[str, Array]) -> None:
    """Adds the kernel and the bias of a layer to those of the main one: see `merging`."""
    kernel, bias = (f"{main.path}.{rule.name}" for rule in _rules(main.call.body.target))
    if is_norm(other.call.body.target):
        factor, offset = _affine(other, arrays)
        more = _diagonal(factor, arrays[kernel].shape[1])
    else:
        names = [f"{other.path}.{rule.name}" for rule in _rules(other.call.body.target)]
        more, offset = arrays[names[0]], arrays.get(names[1], np.zeros(1))
    arrays[kernel] = arrays[kernel] + _centred(more, arrays[kernel].shape[2:])
    arrays[bias] = arrays[bias] + offset


def _diagonal(factor: Array, inputs: int) -> Array:
    """The kernel (channels, inputs of a group, 1, 1) that multiplies each channel by a factor."""
    found = np.zeros((factor.size, inputs, 1, 1))
    every = np.arange(factor.size)
    found[every, every % inputs, 0, 0] = factor
    return found


def _centred(kernel: Array, size: tuple[int, ...]) -> Array:
    """A kernel with as many zeros on each side as make it of a height and width `size`."""
    sides = [(whole - own) // 2 for whole, own in zip(size, kernel.shape[2:], strict=True)]
    return np.pad(kernel, [(0, 0), (0, 0), *((side, side) for side in sides)])


def _rules(target: Op | Block) -> tuple[WeightRule, WeightRule]:
    """The kernel that decides a layer's outputs, which is the last of several, and its bias."""
    assert isinstance(target, Op)
    kernels = [rule for rule in target.weights if rule.groups is not None]
    (bias,) = (rule for rule in target.weights if rule.switch == "bias")
    return kernels[-1], bias


def _affine(norm: Layer, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """What a batch norm multiplies each channel by, and what it adds then."""
    by_role = {weight.role: arrays[f"{norm.path}.{weight.name}"] for weight in norm.weights}
    epsilon = norm.call.body.arguments["epsilon"]
    assert isinstance(epsilon, float | int)
    factor = by_role.get("scale", 1.0) / np.sqrt(by_role["variance"] + epsilon)
    return factor, by_role.get("shift", 0.0) - by_role["mean"] * factor
