"""The weights of a network for inference, of those of the one that was trained.

A batch norm gives (x - mean) * scale / sqrt(variance + epsilon) + offset for each channel, so the
convolution or dense layer before it may give that at once: its kernel times the factor, and a bias.
One after it may take the factors into its kernel, and what this makes of the offsets into its bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archc.api import Net
from archc.backends.storage import DTYPE
from archc.compiler.elaborate.inference import Fold, is_norm
from archc.compiler.elaborate.merging import Merge
from archc.compiler.elaborate.preceding import Lead
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
    for gone in left.gone:
        match gone:
            case Fold():
                _fold(layers[gone.norm], [layers[path] for path in gone.into], wide)
            case Merge():
                for other in gone.others:
                    _merge(layers[gone.layer], layers[other], wide)
            case Lead():
                for path in gone.into:
                    _lead(layers[gone.step], layers[path], wide)
    # A layer has a bias in all calls of its block, and a fold perhaps in one of them.
    every = {name: weight.shape for name, _, weight in analysis.weights(left.network)}
    added = {name: np.zeros(every[name]) for name in every.keys() - _names(net)}
    return {name: {**added, **wide}[name].astype(dtype) for name in every}


def _names(net: Net) -> set[str]:
    return {name for name, _, _ in analysis.weights(net.network)}


def _fold(norm: Layer, into: Sequence[Layer], arrays: dict[str, Array]) -> None:
    """Takes a batch norm into the layers before it, whose outputs it has one after another."""
    ends = np.cumsum([layer.output.channels for layer in into])[:-1]
    parts = zip(*(np.split(each, ends) for each in _affine(norm, arrays)), strict=True)
    for layer, (factor, offset) in zip(into, parts, strict=True):
        kernel, bias = _rules(layer.call.body.target)
        names = {rule: f"{layer.path}.{rule.name}" for rule in (kernel, bias)}
        given = arrays.get(names[bias], np.zeros_like(factor))
        arrays[names[bias]] = given * factor + offset
        outputs_last = np.moveaxis(arrays[names[kernel]], kernel.outputs, -1)
        arrays[names[kernel]] = np.moveaxis(outputs_last * factor, -1, kernel.outputs)


def _lead(step: Layer, layer: Layer, arrays: dict[str, Array]) -> None:
    """Takes what was before a layer into it: see `preceding`."""
    factor, offset = _affine(step, arrays)
    body = layer.call.body
    assert isinstance(body.target, Op)
    first = next(rule for rule in body.target.weights if rule.groups is not None)
    last, bias = (f"{layer.path}.{rule.name}" for rule in _rules(body.target))
    kernel = arrays[f"{layer.path}.{first.name}"]
    groups = first.groups(body.arguments, body.output, *body.inputs) if first.groups else 1
    seen = _seen(kernel.shape[0], kernel.shape[1], groups)
    spread = (..., *[None] * (kernel.ndim - 2))
    if np.any(offset):
        added = (kernel * offset[seen][spread]).reshape(len(kernel), -1).sum(1)
        if last != f"{layer.path}.{first.name}":
            added = arrays[last][:, :, 0, 0] @ added
        arrays[bias] = arrays.get(bias, np.zeros_like(added)) + added
    arrays[f"{layer.path}.{first.name}"] = kernel * factor[seen][spread]


def _seen(outputs: int, inputs: int, groups: int) -> Array:
    """(outputs, inputs of a group): which channel of its input each number of a kernel meets."""
    group = np.arange(outputs) // (outputs // groups)
    return group[:, None] * inputs + np.arange(inputs)


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


def _affine(step: Layer, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """What a batch norm or a rescale multiplies each channel by, and what it adds then."""
    body = step.call.body
    assert isinstance(body.target, Op)
    if body.target.affine is not None:
        numbers = (np.asarray(body.arguments[name], np.float64) for name in body.target.affine)
        scale, offset = (np.broadcast_to(each, step.output.channels) for each in numbers)
        return scale, offset
    by_role = {weight.role: arrays[f"{step.path}.{weight.name}"] for weight in step.weights}
    epsilon = body.arguments["epsilon"]
    assert isinstance(epsilon, float | int)
    factor = by_role.get("scale", 1.0) / np.sqrt(by_role["variance"] + epsilon)
    return factor, by_role.get("shift", 0.0) - by_role["mean"] * factor
