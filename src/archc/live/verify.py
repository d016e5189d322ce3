"""Holds the backends' models against a published one, or against what the definitions of the ops
give, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archc import backends
from archc.api import Net
from archc.compiler.ir.analysis import layers
from archc.compiler.ir.network import Row
from archc.live import interpreter
from archc.live.check import Step
from archc.live.numeric import (
    Array,
    Arrays,
    Difference,
    difference,
    random_batch,
    result,
    settled_weights,
    with_blocks,
)
from archc.weights import importing
from archc.weights.convert import load
from archc.weights.importing import ZooModel


@dataclass(frozen=True, slots=True)
class Point:
    """Where a row's output is compared: archc's path, and the reference's name of the place.

    The model's own output is "" on either side.
    """

    row: str
    block: str
    path: str
    reference: str | None
    """None where it has no such place."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row: the difference of each backend, or none where the reference has no such place."""

    point: Point
    differences: Mapping[str, Difference]

    def worst(self) -> float:
        """The largest difference of any backend, as a share of the scale."""
        return max((d.relative for d in self.differences.values()), default=0.0)


def verify(
    net: Net, model: ZooModel | None, weights: Path | None, step: Step = lambda text: None
) -> list[Verdict]:
    """A verdict for each row of the spec.

    All models get the weights in a file, or random ones, and the same random batch of two at the
    declared size. Without a reference, the interpreter of the IR is the one. Raises `WeightsError`.
    """
    for name in backends.names():
        net.live(name)  # says what is not installed before anything takes its time
    batch = inputs(net)
    step("weights")
    arrays = load(net, weights) if weights else settled_weights(net.network, batch)
    if model is None:
        points = [Point(r.call.name, _block(r), _output(r), _output(r)) for r in _rows(net)]
        step("the definitions of the ops")
        reference = _defined(net, arrays, batch, points)
    else:
        step(model.name)
        points, reference = _reference(net, model, arrays, batch)
    ours = {name: _ours(net, name, arrays, batch, points, step) for name in backends.names()}
    return _verdicts(points, reference, ours)


def inputs(net: Net) -> Array:
    """A random batch of two: pixels in [0, 255] where the model scales them, else about 0."""
    batch = random_batch(net.network)
    if any(layer.op == "rescale" for layer in layers(net.network)):
        return np.clip(127.5 + 60.0 * batch, 0.0, 255.0).astype(np.float32)
    return batch


def _verdicts(points: list[Point], reference: Arrays, ours: Mapping[str, Arrays]) -> list[Verdict]:
    found = []
    for point in points:
        # A sum of rows is no module of its own in PyTorch: the row below it shows what it gave.
        theirs = None if point.reference is None else reference.get(point.reference)
        differences = {
            name: difference(arrays[point.path], theirs)
            for name, arrays in ours.items()
            if theirs is not None and point.path in arrays
        }
        found.append(Verdict(point, differences))
    return found


# ---- Places


def _rows(net: Net) -> list[Row]:
    """Rows that compute something."""
    return [row for row in net.network.rows if _output(row)]


def _block(row: Row) -> str:
    return row.call.body.target.name


def _output(row: Row) -> str:
    """The path of the op that gives a row's output; "" where the row passes its input on."""
    return result(row.call, row.call.name)


def _points(net: Net, model: ZooModel, exists: Callable[[str], bool]) -> list[Point]:
    """For each row its output, or what the reference has of it."""
    found = [_point(net, model, row, exists) for row in _rows(net)]
    last = found[-1]
    return [*found[:-1], Point(last.row, last.block, "", "")]


def _point(net: Net, model: ZooModel, row: Row, exists: Callable[[str], bool]) -> Point:
    name = row.call.name
    inner = [layer.path for layer in layers(net.network) if layer.path.startswith(f"{name}.")]
    for path in (name, *reversed(inner)):
        for theirs in model.output(path, net.network.settings):
            if exists(theirs):
                return Point(name, _block(row), _output(row) if path == name else path, theirs)
    return Point(name, _block(row), _output(row), None)


# ---- Outputs


def _ours(
    net: Net, backend: str, weights: Arrays, batch: Array, points: list[Point], step: Step
) -> Arrays:
    step(backend)
    live = net.live(backend)
    model = net.build(backend, *batch.shape[2:])
    live.load(model, weights)
    paths = {path for point in points for path in (point.row, point.path)}
    return with_blocks(net.network, live.outputs(model, batch, paths))


def _defined(net: Net, weights: Arrays, batch: Array, points: list[Point]) -> Arrays:
    """What the interpreter gives at the points."""
    wanted, found = {point.reference for point in points}, dict[str, Array]()

    def keep(path: str, value: Array) -> None:
        if path in wanted:
            found[path] = value

    interpreter.run(net.network, weights, batch, keep)
    return found


def _reference(
    net: Net, model: ZooModel, weights: Arrays, batch: Array
) -> tuple[list[Point], Arrays]:
    built, live = importing.build(net, model, *batch.shape[2:])
    theirs = {
        name: tensor.slot.store(weights[tensor.path], tensor.shape)
        for name, tensor in importing.names(net, model).items()
    }
    references = importing.references(net, model)
    references.fill(built, theirs)
    points = _points(net, model, references.places(built).__contains__)
    return points, live.outputs(
        built, batch, {point.reference for point in points if point.reference}
    )


def divergences(verdicts: list[Verdict], tolerance: float) -> list[str]:
    """What is wrong: for each backend the first row that is further away than `tolerance`."""
    found = []
    for side in dict.fromkeys(name for verdict in verdicts for name in verdict.differences):
        each = (
            (v.point.row, v.differences[side].relative) for v in verdicts if side in v.differences
        )
        first = next(((row, far) for row, far in each if not far <= tolerance), None)
        if first is not None:
            found.append(f"{side} diverges first at {first[0]}, by {first[1]:.1e} of its scale")
    return found
