"""Arrays and feature maps of live models: of layers that hold their arrays as attributes, in their
own layouts, and of frameworks that have the channels last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np

from archc.backends.storage import Array, Slot

Variables = Mapping[str, tuple[Any, Slot]]
"""The framework's variables by canonical name, each with its place."""


def variables(
    layers: Iterable[tuple[str, object]], slots: Mapping[str, Mapping[str, Slot]]
) -> Variables:
    """Every variable of layers, which come with their paths; `slots` are by the layer's class. A
    slot's name may go through attributes: `depthwise.kernel`."""
    found = {
        f"{path}.{name}": (attrgetter(slot.name)(layer), slot)
        for path, layer in layers
        for name, slot in slots.get(type(layer).__name__, {}).items()
    }
    return {name: each for name, each in found.items() if each[0] is not None}


def restored(variables: Variables, numpy: Callable[[Any], Array]) -> dict[str, Array]:
    """The arrays in PyTorch's layout; numpy(variable) -> an array in the framework's."""
    return {name: slot.restore(numpy(variable)) for name, (variable, slot) in variables.items()}


def fill(
    variables: Variables, weights: Mapping[str, Array], assign: Callable[[Any, Array], object]
) -> None:
    """Does assign(variable, array) with each array in the framework's layout. Raises `ValueError`
    unless the names match."""
    if variables.keys() != weights.keys():
        raise ValueError(f"these arrays have no counterpart: {variables.keys() ^ weights.keys()}")
    for name, (variable, slot) in variables.items():
        assign(variable, slot.store(np.asarray(weights[name]), tuple(variable.shape)))


def channels_last(array: Array) -> Array:
    """Feature maps (batch, channels, height, width) as (batch, height, width, channels); vectors as
    they are."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def channels_first(array: Array) -> Array:
    """The reverse; vectors as they are."""
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
