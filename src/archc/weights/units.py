"""The layers of a network and of a checkpoint, each with its arrays, and which are alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from archc.backends.storage import Shape, Tensor
from archc.weights.fit import as_matrix, fits


@dataclass(frozen=True, eq=False)
class Unit:
    """The arrays of one layer, of either side."""

    name: str
    """Canonical path, or the checkpoint's name of the layer."""
    layer: str
    """Of the network: the layer's canonical path."""
    number: int
    """Its place in the order of its side."""
    arrays: Mapping[str, str]
    """By the framework's name of the array within the layer, its whole name."""
    shapes: Mapping[str, Shape]
    wanted: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """The layer that its arrays are of, of which they may be some."""
        return split(next(iter(self.arrays.values())))[0]

    def parted(self) -> Iterator[Unit]:
        """Each array by itself."""
        for last, whole in self.arrays.items():
            one = {k: v for k, v in self.wanted.items() if k == last}
            name = self.name if self.wanted else whole
            yield Unit(name, self.layer, self.number, {last: whole}, {last: self.shapes[last]}, one)

    def takes(self, other: Unit) -> bool:
        """Whether the arrays of a checkpoint's layer are those of this one of the network's."""
        pairs = zip(self.arrays, other.arrays, strict=False)
        by_name = self.arrays.keys() == other.arrays.keys()
        same = ((k, k) for k in self.arrays) if by_name else pairs
        return all(fits(self.wanted[a], other.shapes[b]) for a, b in same)


def split(name: str) -> tuple[str, str]:
    """A tensor's name as its layer's and its own: `stem.conv`, `weight`."""
    layer, _, last = name.rpartition("/" if "/" in name else ".")
    return layer, last


def ours_of(tensors: Sequence[Tensor]) -> Iterator[Unit]:
    for number, (_, group) in enumerate(groupby(tensors, lambda t: (t.layer, split(t.name)[0]))):
        own = {split(t.name)[1]: t for t in group}
        layers = {t.path.rpartition(".")[0] for t in own.values()}
        first = next(iter(own.values()))
        name = first.layer if len(layers) > 1 else layers.pop()
        arrays = {last: t.path for last, t in own.items()}
        shapes = {last: t.shape for last, t in own.items()}
        yield Unit(name, first.layer, number, arrays, shapes, own)


def theirs_of(tensors: Mapping[str, Shape]) -> Iterator[Unit]:
    layers: dict[str, dict[str, str]] = {}
    for name in tensors:
        layer, last = split(name)
        layers.setdefault(layer, {})[last] = name
    for number, (layer, arrays) in enumerate(layers.items()):
        shapes = {last: tensors[name] for last, name in arrays.items()}
        yield Unit(layer, "", number, arrays, shapes)


# ---- What makes two layers candidates for each other

Key = Callable[[Unit], Hashable]


def _exact(unit: Unit) -> Hashable:
    return frozenset(unit.shapes.items())


def _matrix(unit: Unit, last: str) -> Shape:
    """The shape of an array; of a convolution that may be a dense layer's, that of the matrix."""
    shape = unit.shapes[last]
    if last in unit.wanted:
        return next(iter(as_matrix(unit.wanted[last])), shape)
    if len(shape) == 4 and (shape[2:] == (1, 1) or shape[:2] == (1, 1)):
        return shape[:2] if shape[2:] == (1, 1) else shape[2:]
    return shape


def _loose(unit: Unit) -> Hashable:
    return frozenset((last, _matrix(unit, last)) for last in unit.shapes)


def _kernel(unit: Unit) -> Hashable:
    """Of one array that is more than a vector: its name and shape; else like no other."""
    return _exact(unit) if all(len(shape) > 1 for shape in unit.shapes.values()) else unit


def _shape(unit: Unit) -> Hashable:
    return tuple(unit.shapes.values())


PASSES: tuple[tuple[bool, Key], ...] = (
    (False, _exact),
    (False, _loose),
    (True, _kernel),
    (True, _exact),
    (True, _loose),
    (True, _shape),
)
"""Whether arrays are taken one by one, and what they have to agree in; each for what is left."""


def classes(units: Iterable[Unit], key: Key) -> dict[Hashable, list[Unit]]:
    found: dict[Hashable, list[Unit]] = {}
    for unit in units:
        found.setdefault(key(unit), []).append(unit)
    return found
