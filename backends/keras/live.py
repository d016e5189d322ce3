"""Drives live Keras models. The only module of the backend that imports Keras."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

import numpy as np

from archc.backends import Live, References
from archc.backends.keras.names import path
from archc.backends.keras.weights import SLOTS
from archc.backends.storage import Array, Slot, Stored
from archc.compiler.ir.network import Network


@contextmanager
def _without_greetings() -> Iterator[None]:
    """Hides what TensorFlow's C++ code writes to stderr while it starts, whatever it is told."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _without_greetings():
    import keras

    keras.ops.zeros(1)  # the first operation starts the runtime


def build(constructor: Callable[..., Any], network: Network, height: int, width: int) -> Any:
    """A fresh model for inputs of the given size."""
    try:
        return constructor(input_shape=(height, width, network.input.channels))
    except Exception as error:
        error.add_note(_making(constructor, error))
        raise


def _making(constructor: Callable[..., Any], error: Exception) -> str:
    """The path of the innermost block whose function an exception came out of."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    ours = (f.f_locals.get("name") for f in frames if f.f_globals is constructor.__globals__)
    return path(["", *(name for name in ours if isinstance(name, str))][-1])


def _variables(model: Any) -> Iterator[tuple[str, Any, Slot]]:
    """Every variable of the model by canonical name."""
    for layer in model.layers:
        for name, slot in SLOTS.get(type(layer).__name__, {}).items():
            variable = getattr(layer, slot.name)
            if variable is not None:
                yield f"{path(layer.name)}.{name}", variable, slot


def arrays(model: Any) -> dict[str, Array]:
    """Every parameter and running average by canonical name, in PyTorch's layout."""
    every = _variables(model)
    return {name: slot.restore(_numpy(variable)) for name, variable, slot in every}


def _numpy(value: Any) -> Array:
    array: Any = keras.ops.convert_to_numpy(value)
    return np.asarray(array)


def load(model: Any, weights: Mapping[str, Array]) -> None:
    """Copies the arrays into the model. Raises `ValueError` unless names and shapes match."""
    variables = {name: (variable, slot) for name, variable, slot in _variables(model)}
    if variables.keys() != weights.keys():
        raise ValueError(f"these arrays have no counterpart: {variables.keys() ^ weights.keys()}")
    for name, (variable, slot) in variables.items():
        variable.assign(slot.store(np.asarray(weights[name]), tuple(variable.shape)))


def outputs(model: Any, batch: Array, paths: Container[str] | None = None) -> dict[str, Array]:
    """The output of every layer by path, or of those in `paths`; the model's own is ""."""
    layers = {path(layer.name): layer.output for layer in model.layers}
    wanted = {name: layers[name] for name in layers if paths is None or name in paths}
    chosen = keras.Model(model.input, {**wanted, "": model.output})
    inputs = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
    # Called eagerly, Keras keeps every tensor until the end; as a graph it takes time to start.
    found = chosen(inputs, training=False) if paths is None else chosen.predict_on_batch(inputs)
    return {name: _channels_first(value) for name, value in found.items()}


def _channels_first(value: Any) -> Array:
    array = _numpy(value)
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


# ---- Published models


def _application(source: str, options: Mapping[str, Any], size: tuple[int, int], get: bool) -> Any:
    """`keras.applications.NAME`, or that and a variant after a colon."""
    function = source.partition(":")[0].rpartition(".")[2]
    return getattr(keras.applications, function)(
        input_shape=(*size, 3),
        weights="imagenet" if get else None,
        classifier_activation=None,
        **options,
    )


def _named(model: Any) -> dict[str, Any]:
    """Every variable by the name of its layer and its own: `conv/kernel`."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}


def stored(model: Any) -> dict[str, Stored]:
    """All its weights, by its own names and in its own layouts."""
    return {
        name: Stored(tuple(variable.shape), str(variable.dtype), variable.numpy)
        for name, variable in _named(model).items()
    }


def fill(model: Any, arrays: Mapping[str, Array]) -> None:
    """Copies the arrays into the model, by its own names."""
    variables = _named(model)
    for name, array in arrays.items():
        variables[name].assign(array.reshape(variables[name].shape))


REFERENCES = References(
    {"keras": _application}, stored, fill, lambda model: {layer.name for layer in model.layers}
)
LIVE = Live(build, arrays, load, outputs, REFERENCES)
