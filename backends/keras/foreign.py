"""Looks into Keras's models that anyone wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from archc.backends import Foreign, Held, See
from archc.backends.python import layers
from archc.backends.storage import Array

FACTS = {"epsilon": "epsilon", "momentum": "decay", "padding": "padding"}


def _owns(thing: object) -> bool:
    model: Any = keras.Model
    return isinstance(thing, model) or (isinstance(thing, type) and issubclass(thing, model))


def _taken(model: Any) -> tuple[Any, list[str]]:
    kinds = {layer.compute_dtype for layer, _ in _layers(model)} - {"float32"}
    said = f"it computes in {', '.join(sorted(map(str, kinds)))}, and not in float32"
    return model, [said] if kinds else []


def _layers(model: Any) -> Iterator[tuple[Any, str]]:
    """Every layer, those within others too, each before its own, with the names that lead to it."""

    def within(layer: Any, at: str) -> Iterator[tuple[Any, str]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        yield layer, at
        for inner in layer._flatten_layers(include_self=False, recursive=False):
            yield from within(inner, f"{at}/{inner.name}" if at else inner.name)

    seen: set[int] = set()
    yield from within(model, "")


def _names(model: Any) -> list[tuple[Any, str]]:
    """Every layer with what files call it, its own name; of several so called, with those that lead
    to it."""
    every = [*_layers(model)]
    counts = Counter(layer.name for layer, _ in every)
    return [(layer, at if counts[layer.name] > 1 or not at else layer.name) for layer, at in every]


def _variables(model: Any) -> Iterator[tuple[str, str, Any]]:
    """The name of every variable, its layer's, and itself."""
    for layer, name in _names(model):
        inner = {
            id(v) for other in layer._flatten_layers(include_self=False) for v in other.weights
        }
        own = [variable for variable in layer.weights if id(variable) not in inner]
        twice = Counter(variable.name for variable in own)
        for number, variable in enumerate(own):
            last = variable.name if twice[variable.name] == 1 else f"vars/{number}"
            yield f"{name}/{last}", name, variable


def _held(model: Any) -> list[Held]:
    return [
        Held(name, layer, tuple(v.shape), str(v.dtype), bool(v.trainable))
        for name, layer, v in _variables(model)
    ]


def _fill(model: Any, arrays: Mapping[str, Array]) -> None:
    variables = {name: variable for name, _, variable in _variables(model)}
    for name, array in arrays.items():
        variables[name].assign(np.reshape(array, variables[name].shape))


def _channels_first(model: Any) -> bool:
    said = {getattr(layer, "data_format", None) for layer, _ in _layers(model)}
    return "channels_first" in said


def _sizes(model: Any) -> list[tuple[int | None, ...]] | None:
    try:
        inputs = keras.tree.flatten(model.input)
    except (AttributeError, ValueError):  # of a model that is a class of its own
        return None
    first = _channels_first(model)

    def canonical(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape if first or len(shape) != 3 else (shape[2], *shape[:2])

    return [canonical(tuple(tensor.shape[1:])) for tensor in inputs]


def _run(model: Any, inputs: Mapping[str, Array], see: See) -> list[tuple[str, Array]]:
    first, names = _channels_first(model), dict[int, str]()

    def canonical(value: Any) -> Array:
        array = np.asarray(keras.ops.convert_to_numpy(value), np.float32)
        return array if first else layers.channels_first(array)

    def told(layer: Any, output: Any) -> None:
        found = keras.tree.flatten(output)
        if len(found) != 1 or isinstance(
            found[0], keras.KerasTensor
        ):  # the latter while it is built
            return
        if id(layer) not in names:
            names.update((id(each), name) for each, name in _names(model))
        if names.get(id(layer)):
            see(names[id(layer)], layer, canonical(found[0]))

    arrays = {name: x if first else layers.channels_last(x) for name, x in inputs.items()}
    with _watched(told):
        given = model(_fed(model, arrays), training=False)
    return [(name, canonical(value)) for name, value in _outputs(given)]


def _fed(model: Any, arrays: Mapping[str, Array]) -> Any:
    """The arrays in the form that the model takes: a sole one, by the names that it has, or in
    order."""
    every = [np.ascontiguousarray(array) for array in arrays.values()]
    if _sizes(model) is None:
        return every[0] if len(every) == 1 else every
    form = model.input
    if isinstance(form, Mapping) and {*form} == {*arrays}:
        return dict(zip(arrays, every, strict=True))
    return keras.tree.pack_sequence_as(form, every)


def _outputs(given: Any) -> Iterator[tuple[str, Any]]:
    for path, value in keras.tree.flatten_with_path(given):
        yield ".".join(map(str, path)), value


@contextmanager
def _watched(told: Callable[[Any, Any], None]) -> Iterator[None]:
    """Tells of every layer that is called, with its output. Keras has no hooks."""
    kind: Any = keras.Layer
    original = kind.__call__

    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        output = original(self, *arguments, **named)
        told(self, output)
        return output

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


def _facts(layer: Any) -> dict[str, Any]:
    found = {new: getattr(layer, old) for old, new in FACTS.items() if hasattr(layer, old)}
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear":
        found["activation"] = activation
    return {name: value for name, value in found.items() if isinstance(value, str | float)}


def _ready() -> None:
    keras.config.set_dtype_policy("float32")


FOREIGN = Foreign("`keras.Model`", _ready, _owns, _taken, _held, _fill, _sizes, _run, _facts)
