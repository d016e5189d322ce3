"""How a framework keeps weights: its names, its layouts and its files.

Canonical are PyTorch's names of arrays below archc's path of the layer, and PyTorch's layouts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from archc.backends import WeightsError as WeightsError
from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Network
from archc.compiler.ir.network import Tensor as Value
from archc.compiler.language.problems import shown as shown

Shape = tuple[int, ...]
Array = Any
"""A NumPy array. NumPy is imported only where arrays are touched."""
DTYPE, BYTES = "float32", 4
"""Of every weight that archc knows."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One array of a layer: the framework's name for it, and how it gets there and back.

    A depthwise kernel may have an axis for channels and one for the multiplier, which are one axis
    of its canonical shape: (C * M, 1, H, W).
    """

    name: str
    axes: str
    """A letter for each axis: O outputs, I inputs, H height, W width, C channels, M multiplier. A
    layer's array that has fewer axes for a vector has the last ones."""

    @property
    def _canonical(self) -> list[int]:
        """The axes in PyTorch's order."""
        return sorted(range(len(self.axes)), key=lambda axis: "OCIMHW".index(self.axes[axis]))

    def shape(self, shape: Shape, x: Value) -> Shape:
        """The framework's shape of a canonical one, where `x` is the layer's input."""
        parted = (x.channels, shape[0] // x.channels, *shape[2:]) if "M" in self.axes else shape
        return tuple(parted[self._canonical.index(axis)] for axis in range(len(self.axes)))

    def store(self, array: Array, shape: Shape) -> Array:
        """The framework's array, of the framework's shape, of a canonical one."""
        order = self._canonical
        parted = array.reshape([shape[axis] for axis in order]) if "M" in self.axes else array
        return parted.transpose([order.index(axis) for axis in range(len(order))])

    def restore(self, array: Array) -> Array:
        """The canonical array of the framework's."""
        parted = array.transpose(self._canonical)
        return parted.reshape(-1, 1, *parted.shape[2:]) if "M" in self.axes else parted


@dataclass(frozen=True, slots=True)
class Tensor:
    """One weight of a network as one framework has it."""

    path: str
    """Canonical name: `stem.conv.weight`."""
    layer: str
    """Canonical path of the layer: `stem.conv`."""
    op: str
    weight: str
    """The array's canonical name within the layer: `weight`, `depthwise.weight`."""
    name: str
    """The framework's name: `stem.conv.weight`, `stem-conv/kernel`."""
    shape: Shape
    trainable: bool
    slot: Slot

    @property
    def layout(self) -> str:
        """A letter for each axis of `shape`."""
        return self.slot.axes[-len(self.shape) :]


@dataclass(frozen=True, slots=True)
class Stored:
    """An array that can be read, under a framework's name and in its layout."""

    shape: Shape
    dtype: str
    read: Callable[[], Array]
    intricate: bool = False
    """Whether it lies in pieces or compressed, and not simply as so many bytes."""

    @property
    def size(self) -> int:
        """In bytes, of float32."""
        return prod(self.shape) * BYTES


Arrays = Mapping[str, Stored]
"""By the framework's names."""
Contents = Iterable[tuple[Tensor, Array]]
"""Tensors in order, with arrays in the framework's layout; each is made when it is asked for."""
Notes = Mapping[str, str]
"""What a file says of itself besides its arrays."""


@dataclass(frozen=True, slots=True)
class Opened:
    arrays: Arrays
    notes: Notes
    parts: Mapping[str, Arrays] = field(default_factory=dict)
    """Where the arrays lie under keys: each set of them by its key, and `arrays` holds none."""
    remarks: tuple[str, ...] = ()
    """What is read in another way than the file says it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. What goes wrong in it is a `WeightsError` or an `OSError`."""

    kind: str
    """What such a file is called: "PyTorch file"."""
    prepare: Callable[[], object]
    """Imports what reads it. Raises `WeightsError` where that is not installed."""
    read: Callable[[Path, int], AbstractContextManager[Opened]]
    """read(path, need), where the network's weights take `need` bytes.

    Whatever else it raises says that the file is corrupt.
    """
    write: Callable[[Path, Any, Contents, Notes], None] | None
    """write(path, net, contents, notes); None where archc only reads such files."""
    checked: bool = False
    """Whether such weights meet no model that they were not made for: archc puts them there, or
    the file holds the model too."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What a backend says of its framework's weights. Nothing here imports the framework."""

    slots: Mapping[str, Mapping[str, Slot]]
    """By op, and by the canonical name of the array within the layer, in the framework's order."""
    tensor_name: Callable[[str, str, Slot], str]
    """tensor_name(path of the layer, canonical name of the array, slot) -> the framework's name."""
    formats: Mapping[str, Format]
    """By the ending of the file's name."""
    canonical: bool = False
    """Whether its names and layouts are archc's own, which the neutral format has too."""
    counters: tuple[str, ...] = ()
    """How names end of what its files hold besides weights."""
    named: Callable[[Collection[Tensor], Arrays], Arrays] = lambda wanted, arrays: arrays
    """named(the network's tensors, a file's arrays) -> the arrays, with the names of those that the
    file only numbers, and which the network alone can tell."""


ROOM = 8, 2**28
"""A file may be so many times as large as the weights of the network, and so many bytes more.

Files of training hold the optimizer's averages too, and some are of float64.
"""


def first(names: list[str], count: int = 3) -> str:
    """The first few of many names."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more:,} more" if more > 0 else "")


def broken(path: Path, kind: str) -> WeightsError:
    """What is raised for a file that is none of its kind."""
    return WeightsError(f"{shown(path)}: not a {kind}, or truncated or corrupt")


def require_size(path: Path, size: int, need: int) -> None:
    """Raises `WeightsError` where `size` is no size of a file for weights of `need` bytes."""
    times, more = ROOM
    if size > times * need + more:
        raise WeightsError(
            f"{shown(path)}: refused: it holds {size / 2**20:,.1f} MiB, and the network's weights"
            f" take {need / 2**20:,.1f} MiB"
        )


def parsed_notes(path: Path, text: object) -> Notes:
    """The notes of a file, from JSON. Raises `WeightsError` where they are no names with texts."""
    try:
        return checked_notes(path, json.loads(text) if isinstance(text, str | bytes) else text)
    except (ValueError, RecursionError):
        return checked_notes(path, None)


def checked_notes(path: Path, notes: object) -> Notes:
    """The notes of a file. Raises `WeightsError` where they are no names with texts."""
    if isinstance(notes, dict) and all(isinstance(x, str) for pair in notes.items() for x in pair):
        return notes
    raise WeightsError(
        f"{shown(path)}: what archc noted in it is damaged\n"
        "  = help: write it anew from the weights that it was made of"
    )


def tensors(network: Network, storage: Storage) -> Iterator[Tensor]:
    """The network's weights in order of evaluation, as the framework of `storage` has them."""
    for path, layer, weight in weights(network):
        slot = storage.slots[layer.op][weight.name]
        yield Tensor(
            path,
            layer.path,
            layer.op,
            weight.name,
            storage.tensor_name(layer.path, weight.name, slot),
            slot.shape(weight.shape, layer.call.body.inputs[0]),
            weight.trainable,
            slot,
        )
