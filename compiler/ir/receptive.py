"""How much of the input each value sees."""

from __future__ import annotations

from math import ceil

from archc.compiler.ir.analysis import Layer, layers, results
from archc.compiler.ir.network import Network, Op
from archc.compiler.ir.ops.parts import pair

Field = tuple[int, int] | None
"""Rows and columns of the input that a value depends on; None where that is all of them."""


def receptive_fields(network: Network) -> list[Field]:
    """Of what each op gives, in order of evaluation.

    Windows add up as in Araujo et al., Computing Receptive Fields of Convolutional Neural Networks,
    2019: each adds its dilated kernel, less one, times the stride so far. A gate that sees all of
    its map, as in squeeze and excite, does not count beside what it weighs.
    """
    found: dict[int, Field] = {-1 - i: (1, 1) for i in range(len(network.inputs))}
    for index, layer in enumerate(layers(network)):
        fed = [field for feed in layer.feeds if (field := found[feed]) is not None]
        whole = not fed or _sees_all(layer)
        found[index] = None if whole else _grown(layer, *map(max, *fed, (1, 1)))
    return [found[index] for index in range(len(found) - len(network.inputs))]


def of_rows(network: Network) -> list[Field]:
    """The same of what each row gives."""
    fields = receptive_fields(network)
    return [fields[index] if index >= 0 else (1, 1) for index in results(network)]


def _sees_all(layer: Layer) -> bool:
    """Whether each of its values depends on all of a map: it has one cell, or none."""
    body = layer.call.body
    pooled = body.output.area == 1 and any(x.is_map and x.area > 1 for x in body.inputs)
    target = body.target
    return pooled and not (isinstance(target, Op) and target.window)


def _grown(layer: Layer, rows: int, columns: int) -> Field:
    body = layer.call.body
    if "kernel" not in body.arguments or not body.inputs[0].is_map:
        return rows, columns
    kernel, dilation = pair(body.arguments["kernel"]), pair(body.arguments.get("dilation", (1, 1)))
    before, after = body.inputs[0].strides, body.output.strides
    grown = []
    for axis, field in enumerate((rows, columns)):
        size = (kernel[axis] - 1) * dilation[axis]
        # A transposed convolution lays its kernel over a finer grid than its input's.
        finer = max(before[axis] // after[axis], 1)
        grown.append(field + ceil(size / finer) * before[axis])
    return grown[0], grown[1]
