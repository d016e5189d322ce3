"""Holds the backends' models against a published one, or against what the definitions of the ops
give, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from archc import backends
from archc.api import Net
from archc.backends import Name
from archc.compiler.ir.analysis import layers
from archc.live import interpreter
from archc.live.check import Step, asked, named
from archc.live.numeric import (
    Array,
    Arrays,
    Batch,
    Difference,
    difference,
    random_inputs,
    results,
    settled_weights,
    with_blocks,
)
from archc.weights import importing
from archc.weights.convert import load
from archc.weights.folding import folded
from archc.weights.rules import ZooModel


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row: where its output is compared, and how far it is from the reference's.

    The model's own output is "" on either side.
    """

    row: str
    block: str
    path: str
    """Of the op of archc's whose output it is."""
    reference: str | None = None
    """The reference's name of the place; None where it has none."""
    differences: Mapping[str, Difference] = field(default_factory=dict)
    """By backend."""

    def worst(self) -> float:
        """The largest difference of any backend, as a share of the scale."""
        return max((d.relative for d in self.differences.values()), default=0.0)


def verify(
    net: Net, model: ZooModel | None, weights: Path | None, step: Step = lambda text: None
) -> list[Verdict]:
    """A verdict for each row of the spec.

    All models get the weights in a file, or random ones, and the same random batch of two at the
    declared size. Without a reference, the interpreter of the IR is the one. A network for
    inference is held against the one that was trained, whose weights the file has; in float64 too.
    Raises `WeightsError`.
    """
    for name in backends.drivable():
        net.live(name)  # says what is not installed before anything takes its time
    batch, trained = inputs(net), net.trained or net
    step("weights")
    arrays = load(trained, weights) if weights else settled_weights(trained.network, batch)
    if model is None:
        step("the definitions of the ops")
        points = [replace(point, reference=point.path) for point in _points(trained, outputs=True)]
        paths = {point.path for point in points}
        reference: Arrays = interpreter.outputs(trained.network, arrays, batch, paths)
    else:
        step(model.name)
        points, reference = _reference(trained, model, arrays, batch)
    ours: dict[str, Arrays] = {}
    if net.trained is not None:
        points = [*_left(net, points)]
        step("the folded network in float64")
        wide = folded(trained, arrays, "float64")
        paths = {point.path for point in points}
        ours["float64"] = interpreter.outputs(net.network, wide, batch, paths)
        arrays = {name: array.astype("float32") for name, array in wide.items()}
    ours |= {name: _ours(net, name, arrays, batch, points, step) for name in backends.drivable()}
    return [_compared(point, reference, ours) for point in points]


def _left(net: Net, points: Iterable[Verdict]) -> Iterator[Verdict]:
    """Where a network for inference has what the one that was trained has at each point, if it has
    that anywhere: what is folded gives what the last batch norm gave."""
    there, rows = {layer.path for layer in layers(net.network)}, results(net.network)
    gone = {norm: path for path, norm in {f.layer: f.norm for f in net.folds}.items()}
    other = {path for fold in net.folds for path in (fold.norm, fold.layer, *fold.parts)}
    other |= {lead.step for lead in net.leads}
    for point in points:
        if not point.path or point.path in net.network.shown.values():
            yield point
        elif path := gone.get(point.path):
            yield replace(point, path=path)
        elif point.path not in other and point.row in rows:
            yield point if point.path in there else replace(point, path=rows[point.row])


def inputs(net: Net) -> Batch:
    """A random batch of two: pixels in [0, 255] where the model scales them, else about 0."""
    batch = random_inputs(net.network)
    if not any(layer.op == "rescale" for layer in layers(net.network)):
        return batch
    if isinstance(batch, Mapping):
        return {name: _pixels(array) for name, array in batch.items()}
    return _pixels(batch)


def _pixels(array: Array) -> Array:
    return np.clip(127.5 + 60.0 * array, 0.0, 255.0).astype(np.float32)


def _compared(point: Verdict, reference: Arrays, ours: Mapping[str, Arrays]) -> Verdict:
    theirs = None if point.reference is None else reference.get(point.reference)
    if theirs is None:
        return point
    # A sum of rows is no module of its own in PyTorch: the row below it shows what it gave.
    shown = {name: found[point.path] for name, found in ours.items() if point.path in found}
    every = {name: difference(value, theirs) for name, value in shown.items()}
    return replace(point, differences=every)


def _points(net: Net, outputs: bool = False) -> list[Verdict]:
    """What the rows give that compute something, before a reference is looked at; and the `outputs`
    of the model by name, where there are several. A published model in evaluation has no rows that
    run in training only."""
    ops, rows = results(net.network), net.network.rows
    calls = [row.call for row in rows if outputs or not row.training]
    found = [Verdict(c.name, c.body.target.name, ops[c.name]) for c in calls if ops[c.name]]
    given = net.network.shown.values() if outputs else ()
    return [*found, *(Verdict(named(path), "", path) for path in given)]


def _found(net: Net, model: ZooModel, point: Verdict, exists: Callable[[str], bool]) -> Verdict:
    """`point` where the reference has it, or as late in the row as it has anything."""
    inner = [layer.path for layer in layers(net.network) if layer.path.startswith(f"{point.row}.")]
    for path in (point.row, *reversed(inner)):
        for theirs in model.output(path, net.network.settings):
            if exists(theirs):
                ours = point.path if path == point.row else path
                return replace(point, path=ours, reference=theirs)
    return point


def _ours(
    net: Net, backend: Name, weights: Arrays, batch: Batch, points: list[Verdict], step: Step
) -> Arrays:
    step(backend)
    live = net.live(backend)
    model = net.build(backend)
    live.load(model, weights)
    paths = {path for point in points for path in (point.row, point.path)}
    return with_blocks(net.network, live.outputs(model, batch, paths, **asked(net.network)))


def _reference(
    net: Net, model: ZooModel, weights: Arrays, batch: Batch
) -> tuple[list[Verdict], Arrays]:
    size = net.network.input
    built, live = importing.build(net, model, size.height or 1, size.width or 1)
    theirs = {
        name: tensor.slot.store(weights[tensor.path], tensor.shape)
        for name, tensor in importing.names(net, model).items()
    }
    references = importing.references(net, model)
    references.fill(built, theirs)
    exists = references.places(built).__contains__
    *rows, last = _points(net)
    points = [_found(net, model, point, exists) for point in rows]
    outputs = live.outputs(built, batch, {point.reference for point in points if point.reference})
    return [*points, replace(last, path="", reference="")], outputs


def divergences(verdicts: list[Verdict], tolerance: float) -> list[str]:
    """What is wrong: for each backend the first row that is further away than `tolerance`."""
    found = []
    for side in dict.fromkeys(name for verdict in verdicts for name in verdict.differences):
        shares = [(v.row, v.differences[side].relative) for v in verdicts if side in v.differences]
        off = [(row, share) for row, share in shares if not share <= tolerance]
        if off:
            found.append(f"{side} diverges first at {off[0][0]}, by {off[0][1]:.1e} of its scale")
    return found
