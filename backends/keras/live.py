"""Drives live Keras models. With `foreign`, all of the backend that imports Keras."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from traceback import walk_tb
from typing import Any

import numpy as np

from archc.backends import Live, References, fed, shown
from archc.backends.keras.names import path
from archc.backends.keras.weights import SLOTS
from archc.backends.python import layers
from archc.backends.python.names import shape_arguments
from archc.backends.storage import Array, Stored
from archc.compiler.elaborate.sizes import inputs_at
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

    from archc.backends.keras.foreign import FOREIGN

    keras.ops.zeros(1)  # the first operation starts the runtime


def build(constructor: Callable[..., Any], network: Network, height: int, width: int) -> Any:
    """A fresh model for inputs of the given size; that is the first's, where there are several."""
    shapes = {name: own.tensor for name, own in inputs_at(network, height, width).items()}
    sizes = {
        argument: (shapes[name].height, shapes[name].width, shapes[name].channels)
        for name, argument in shape_arguments(network).items()
    }
    try:
        return constructor(**sizes)
    except Exception as error:
        error.add_note(_making(constructor, error))
        raise


def _making(constructor: Callable[..., Any], error: Exception) -> str:
    """The path of the innermost block whose function an exception came out of."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    ours = (f.f_locals.get("name") for f in frames if f.f_globals is constructor.__globals__)
    return path(["", *(name for name in ours if isinstance(name, str))][-1])


def variables(model: Any) -> layers.Variables:
    """The model's variables by canonical name, each with its place."""
    return layers.variables(((path(layer.name), layer) for layer in model.layers), SLOTS)


def arrays(model: Any) -> dict[str, Array]:
    """Every parameter and running average by canonical name, in PyTorch's layout."""
    return layers.restored(variables(model), _numpy)


def _numpy(value: Any) -> Array:
    array: Any = keras.ops.convert_to_numpy(value)
    return np.asarray(array)


def load(model: Any, weights: Mapping[str, Array]) -> None:
    """Copies the arrays into the model. Raises `ValueError` unless names and shapes match."""
    layers.fill(variables(model), weights, lambda variable, array: variable.assign(array))


def outputs(
    model: Any,
    batch: Array | Mapping[str, Array],
    paths: Container[str] | None = None,
    auxiliary: bool = False,
) -> dict[str, Array]:
    """The output of every layer by path, or of those in `paths`; and the model's own. It is made
    with what is for training only, as its functions do unless they are told."""
    plain = (layer for layer in model.layers if not isinstance(layer, keras.Model))
    every = {path(layer.name): layer.output for layer in plain}
    wanted = {name: every[name] for name in every if paths is None or name in paths}
    chosen = keras.Model(model.input, {**wanted, **shown(model.output)})
    arrays = [np.ascontiguousarray(layers.channels_last(array)) for array in fed(batch)]
    inputs = dict(zip(batch, arrays, strict=True)) if isinstance(batch, Mapping) else arrays[0]
    # Called eagerly, Keras keeps every tensor until the end; as a graph it takes time to start.
    found = chosen(inputs, training=False) if paths is None else chosen.predict_on_batch(inputs)
    return {name: layers.channels_first(_numpy(value)) for name, value in found.items()}


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
_TRAINS = "archc.backends.keras.trains"
LIVE = Live(build, arrays, load, outputs, REFERENCES, FOREIGN, partial(import_module, _TRAINS))
