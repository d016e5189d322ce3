"""Conventions in the place of others: what each changes in a network, in its weights, in what it is
given and in what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from archc.compiler.ir.network import Call, Network
from archc.compiler.language.expressions import Value
from archc.live import interpreter
from archc.live.numeric import Array, Arrays, Batch

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([103.939, 116.779, 123.68])

Change = Callable[[str, str, Mapping[str, Value]], Mapping[str, Value]]
"""change(path, op, arguments) -> its arguments."""
Number = tuple[Any, Any]
"""(scale, offset) for each channel."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Trial:
    """One convention in the place of another."""

    kind: str
    """In a word: `padding`."""
    said: str
    """What it comes to, for a message."""
    settings: Mapping[str, str] = field(default_factory=dict)
    change: Change = lambda path, op, arguments: arguments
    batch: Callable[[Array], Array] = _same
    """The network's input of the model's."""
    weights: Callable[[Arrays], Arrays] = _same
    output: Callable[[Array], Array] = _same
    """The model's output of the network's."""


# ---- Arguments of ops


def everywhere(op: str, name: str, value: Value, other: Value) -> Change:
    def change(path: str, at: str, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
        same = at == op and name in arguments and arguments[name] == value
        return {**arguments, name: other} if same else arguments

    return change


def at(where: str, name: str, other: Value) -> Change:
    return lambda path, op, arguments: {**arguments, name: other} if path == where else arguments


def changed(network: Network, change: Change) -> Network:
    """`network` with other arguments of its ops, for the interpreter: shapes are not worked out
    anew."""

    def call(old: Call, path: str) -> Call:
        body = old.body
        inner = tuple(call(each, f"{path}.{each.name}") for each in body.calls)
        arguments = body.arguments if inner else change(path, body.target.name, body.arguments)
        return replace(old, body=replace(body, calls=inner, arguments=arguments))

    rows = [replace(row, call=call(row.call, row.call.name)) for row in network.rows]
    return replace(network, rows=tuple(rows))


# ---- Weights, inputs and outputs


def mapped(change: Callable[[Array], Array], batch: Batch) -> Batch:
    return batch if isinstance(batch, Mapping) else change(batch)


def reordered(name: str, shape: tuple[int, ...]) -> Callable[[Arrays], Arrays]:
    """A matrix for vectors by row, column, channel, of one for vectors by channel first."""

    def reorder(weights: Arrays) -> Arrays:
        matrix = weights[name]
        maps = matrix.reshape(len(matrix), *shape).transpose(0, 2, 3, 1)
        return {**weights, name: maps.reshape(len(matrix), -1)}

    return reorder


def _channels(array: Any) -> Any:
    return np.reshape(array, (1, -1, 1, 1))


def scaled(numbers: Number, swapped: bool) -> Callable[[Array], Array]:
    scale, offset = map(_channels, numbers)

    def change(batch: Array) -> Array:
        turned = batch[:, ::-1] if swapped else batch
        return np.asarray(turned * scale + offset)

    return change


def _inverse(numbers: Number) -> Number:
    scale, offset = numbers
    return 1 / scale, -offset / scale


_SCALES: Mapping[tuple[str, str], Number] = {
    ("x / 255", "x * 255"): (1 / 255, 0.0),
    ("x / 127.5 - 1", "(x + 1) * 127.5"): (1 / 127.5, -1.0),
    ("2 * x - 1", "(x + 1) / 2"): (2.0, -1.0),
    ("(x - mean) / std", "x * std + mean"): (1 / STD, -MEAN / STD),
    ("(x / 255 - mean) / std", "(x * std + mean) * 255"): (1 / STD / 255, -MEAN / STD),
    ("x - Caffe's mean", "x + Caffe's mean"): (1.0, -CAFFE),
}
SCALES: Mapping[str, Number] = {
    "x": (1.0, 0.0),
    **{there: numbers for (there, _), numbers in _SCALES.items()},
    **{back: _inverse(numbers) for (_, back), numbers in _SCALES.items()},
}
"""What a model may do with its input itself, or leave to whoever calls it; mean and std are
ImageNet's."""


def _softmax(x: Array) -> Array:
    return interpreter.ACTIVATIONS["softmax"](x)


OUTPUTS = (
    Trial("output", "if a softmax follows", output=_softmax),
    Trial("output", "if a sigmoid follows", output=interpreter.ACTIVATIONS["sigmoid"]),
    Trial("output", "if the logarithm of a softmax follows", output=lambda x: np.log(_softmax(x))),
)
