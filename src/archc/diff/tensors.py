"""What becomes of the tensors of a checkpoint when its spec changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archc.compiler.ir.analysis import row_of, weights
from archc.compiler.ir.network import Network
from archc.diff.pairing import Pairs

Shape = tuple[int, ...]


ByRow = Mapping[str, Mapping[str, Shape]]
"""The shape of every tensor: by its row, and the rest of its path."""


def counterparts(old: Network, new: Network, rows: Pairs) -> dict[str, str]:
    """The old tensors whose rows and shapes survive, by the paths of the new ones."""
    return surviving(by_row(old), by_row(new), rows)


def surviving(old: ByRow, new: ByRow, rows: Pairs) -> dict[str, str]:
    """The same, of tensors by row."""
    found = {}
    for row, tensors in new.items():
        there = old.get(rows.get(row, ""), {})
        for rest, shape in tensors.items():
            if there.get(rest) == shape:
                found[row + rest] = rows[row] + rest
    return found


def by_row(network: Network) -> ByRow:
    """The tensors of a network."""
    shapes = ((path, weight.shape) for path, _, weight in weights(network))
    return grouped(shapes, [row.call.name for row in network.rows])


def grouped(shapes: Iterable[tuple[str, Shape]], rows: Iterable[str]) -> ByRow:
    """Tensors by the rows that their paths lead into."""
    found: dict[str, dict[str, Shape]] = {name: {} for name in rows}
    for path, shape in shapes:
        row = row_of(path, found)
        found.setdefault(row, {})[path[len(row) :]] = shape
    return found
