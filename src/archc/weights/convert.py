"""Moves weights from one file to another: read, checked, laid out anew and written one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archc.api import Net
from archc.backends.storage import (
    BYTES,
    DTYPE,
    Array,
    Arrays,
    Contents,
    Notes,
    Storage,
    Tensor,
    WeightsError,
    shown,
    tensors,
)
from archc.compiler.ir.analysis import weights
from archc.weights import files
from archc.weights.fit import require
from archc.weights.replacing import replacing
from archc.weights.settings import SETTINGS, Said, carried, noted

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""progress(items, how many) -> the same items; says meanwhile how far it is."""


def silent(items: Iterable[Any], count: int) -> Iterable[Any]:
    """A `Progress` that says nothing."""
    return items


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    tensors: int
    numbers: int
    unfinite: list[str] = field(default_factory=list)
    """Tensors that hold infinities or what is no number."""
    noted: bool = True
    """Whether the file that they come from says which parameters they are for."""
    checked: bool = False
    """Whether the file that they went to is kept from models of other parameters."""


def convert(net: Net, source: Path, target: Path, progress: Progress = silent) -> Report:
    """Writes the weights in `source` to `target`, each in the format that its ending names.

    Raises `WeightsError` where they are not those of `net`, or a file cannot be read.
    """
    files.find(target, writing=True)
    with fitting(net, source) as (arrays, notes):
        kept = carried(net, source, notes)
        return replace(write(net, arrays, target, kept, progress), noted=SETTINGS in notes)


@contextmanager
def fitting(net: Net, path: Path) -> Iterator[tuple[Iterator[Array], Notes]]:
    """The arrays in a file, as `canonical` gives them, and what else it says.

    Raises `WeightsError` where they are not those of `net`.
    """
    storage, format = files.find(path)
    with files.opened(path, format, net.params.total * BYTES) as opened:
        wanted = {tensor.name: tensor for tensor in tensors(net.network, storage)}
        arrays = storage.named(wanted.values(), opened.arrays)
        if wanted.keys() == arrays.keys():  # a setting says more than the shapes that it leads to
            noted(path, net, opened.notes)
        require(shown(path), net.name, wanted, arrays, Said.of(path, opened.notes).other(net))
        noted(path, net, opened.notes)
        yield canonical(wanted, arrays), opened.notes


def canonical(wanted: Mapping[str, Tensor], arrays: Arrays) -> Iterator[Array]:
    """The wanted tensors in order and in canonical layout; each is read when it is asked for.

    A 1x1 convolution becomes a dense layer's matrix.
    """
    for name, tensor in wanted.items():
        yield tensor.slot.restore(arrays[name].read().reshape(tensor.shape))


def write(
    net: Net, arrays: Iterable[Array], target: Path, notes: Notes, progress: Progress = silent
) -> Report:
    """Writes the network's weights, which come as `canonical` gives them. Raises `WeightsError`."""
    storage, format = files.find(target, writing=True)
    assert format.write is not None
    format.prepare()  # an import that is interrupted leaves no temporary file then
    count = sum(1 for _ in tensors(net.network, storage))
    report = Report(count, net.params.total, checked=format.checked)
    contents = _contents(net, storage, progress(arrays, count), report.unfinite)
    try:
        with replacing(target) as temporary:
            format.write(temporary, net, contents, notes)
    except OSError as error:
        message = f"{shown(target)}: cannot be written: {error.strerror or error}"
        raise WeightsError(message) from error
    return report


def _contents(net: Net, storage: Storage, arrays: Iterable[Array], unfinite: list[str]) -> Contents:
    """The weights as `storage` lays them out. Adds to `unfinite` what holds more than numbers."""
    import numpy as np

    for tensor, array in zip(tensors(net.network, storage), arrays, strict=True):
        if not np.isfinite(array).all():
            unfinite.append(tensor.path)
        yield tensor, tensor.slot.store(array, tensor.shape)


def load(net: Net, path: Path) -> dict[str, Array]:
    """All weights in a file by canonical name, in canonical layout. Raises `WeightsError`."""
    import numpy as np

    names = (name for name, _, _ in weights(net.network))
    with fitting(net, path) as (arrays, _):
        return {name: np.array(array, DTYPE) for name, array in zip(names, arrays, strict=True)}


def says(net: Net, path: Path) -> bool:
    """Whether a file that fits notes which parameters it is for. Raises `WeightsError`."""
    with fitting(net, path) as (_, notes):
        return SETTINGS in notes
