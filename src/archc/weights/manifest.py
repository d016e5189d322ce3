"""The ordered list of a network's tensors, with each backend's name, shape and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archc import backends, streams
from archc.api import Net
from archc.backends.storage import DTYPE, Tensor, tensors


def manifest(net: Net, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every tensor in order of evaluation, as plain data: canonically, and in each backend named.

    Shapes are lists; a layout has a letter for each axis (O outputs, I inputs, H height, W width,
    C channels, M multiplier).
    """
    columns = {name: tensors(net.network, backends.get(name).storage()) for name in names}
    canonical = tensors(net.network, backends.get("torch").storage())
    return [
        {
            "path": tensor.path,
            "role": tensor.role,
            "op": tensor.op,
            "shape": list(tensor.shape),
            "dtype": DTYPE,
            "trainable": tensor.trainable,
            "backends": {name: _entry(next(column)) for name, column in columns.items()},
        }
        for tensor in canonical
    ]


def _entry(tensor: Tensor) -> dict[str, Any]:
    shape, layout = list(tensor.shape), tensor.slot.axes
    return {"name": tensor.name, "shape": shape, "layout": layout, "dtype": DTYPE}


def as_json(net: Net, names: Sequence[str]) -> dict[str, Any]:
    return {"name": net.name, "params": net.params._asdict(), "tensors": manifest(net, names)}


def print_table(net: Net, names: Sequence[str]) -> None:
    """Prints a line for each tensor."""
    from rich.table import Table

    entries = manifest(net, names)
    table = Table(box=None, pad_edge=False)
    for column in ("tensor", "role", "shape", *(x for name in names for x in (name, "layout", ""))):
        table.add_column(column, no_wrap=True)
    for entry in entries:
        cells = [_cells(entry["backends"][name]) for name in names]
        shape = "x".join(map(str, entry["shape"]))
        table.add_row(entry["path"], entry["role"], shape, *(cell for row in cells for cell in row))
    console = streams.console(200)
    console.print(table)
    console.print(f"\n{net.name}: {len(entries):,} tensors, {net.params.total:,} numbers, {DTYPE}")


def _cells(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["name"], entry["layout"], "x".join(map(str, entry["shape"]))
