"""The ordered list of a network's tensors, with each backend's name, shape and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archc.api import Net
from archc.backends.storage import DTYPE, Tensor, tensors
from archc.compiler.ir.analysis import weights
from archc.weights import files


def manifest(net: Net, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every tensor in order of evaluation, as plain data: canonically, and in each backend named.

    Shapes are lists; a layout has a letter for each axis (O outputs, I inputs, H height, W width,
    C channels, M multiplier).
    """
    columns = {name: tensors(net.network, files.storage(name)) for name in names}
    return [
        {
            "path": path,
            "role": weight.role,
            "op": layer.op,
            "shape": list(weight.shape),
            "dtype": DTYPE,
            "trainable": weight.trainable,
            "backends": {name: _entry(next(column)) for name, column in columns.items()},
        }
        for path, layer, weight in weights(net.network)
    ]


def _entry(tensor: Tensor) -> dict[str, Any]:
    shape, layout = list(tensor.shape), tensor.slot.axes
    return {"name": tensor.name, "shape": shape, "layout": layout, "dtype": DTYPE}


def as_json(net: Net, names: Sequence[str]) -> dict[str, Any]:
    """The manifest with the network's name and its numbers of parameters, as plain data."""
    return {"name": net.name, "params": net.params._asdict(), "tensors": manifest(net, names)}
