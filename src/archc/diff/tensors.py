"""What becomes of the tensors of a checkpoint when its spec changes."""

from __future__ import annotations

from collections.abc import Mapping

from archc.compiler.ir.analysis import row_of, weights
from archc.compiler.ir.network import Network
from archc.diff.pairing import Pairs

Shape = tuple[int, ...]


def counterparts(old: Network, new: Network, rows: Pairs) -> dict[str, str]:
    """The old tensors whose rows and shapes survive, by the paths of the new ones."""
    before, found = by_row(old), {}
    for row, tensors in by_row(new).items():
        there = before.get(rows.get(row, ""), {})
        for rest, shape in tensors.items():
            if there.get(rest) == shape:
                found[row + rest] = rows[row] + rest
    return found


def by_row(network: Network) -> dict[str, Mapping[str, Shape]]:
    """The shape of every tensor: by its row, and the rest of its path."""
    found: dict[str, dict[str, Shape]] = {row.call.name: {} for row in network.rows}
    for path, _, weight in weights(network):
        row = row_of(path, found)
        found[row][path[len(row) :]] = weight.shape
    return {**found}
