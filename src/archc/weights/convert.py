"""Moves weights from one file to another: read, checked, laid out anew and written one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from archc.api import Net
from archc.backends.storage import (
    BYTES,
    DTYPE,
    Array,
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
from archc.weights.fit import Match, Misfits, match
from archc.weights.fresh import drawn
from archc.weights.replacing import replacing
from archc.weights.settings import SETTINGS, Said, carried, noted

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""progress(items, how many) -> the same items; says meanwhile how far it is."""


def silent(items: Iterable[Any], count: int) -> Iterable[Any]:
    """A `Progress` that says nothing."""
    return items


@dataclass(frozen=True, slots=True)
class Take:
    """What is taken of a file."""

    partial: bool = False
    """Whether what does not fit is left out, and the network's other tensors are fresh."""
    key: str | None = None
    """Under which key the weights are, of a file that holds several sets of them."""


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
    fresh: int = 0
    """How many of the tensors are fresh."""
    wrong: Misfits = field(default_factory=dict)
    """What does not fit, where that was asked for."""
    remarks: tuple[str, ...] = ()
    """What was read in another way than the file says it."""


def convert(
    net: Net, source: Path, target: Path, progress: Progress = silent, take: Take | None = None
) -> Report:
    """Writes the weights in `source` to `target`, each in the format that its ending names.

    Raises `WeightsError` where they are not those of `net`, or a file cannot be read.
    """
    files.find(target, writing=True)
    with fitting(net, source, take) as found:
        kept = carried(net, source, found.notes)
        done = write(net, found.arrays, target, kept, progress)
        return found.reported(replace(done, noted=SETTINGS in found.notes))


@dataclass(frozen=True, slots=True)
class Fitting:
    """What fits of a file, and what else it says."""

    net: Net
    wanted: Mapping[str, Tensor]
    match: Match
    notes: Notes

    @property
    def readers(self) -> dict[str, Callable[[], Array]]:
        """What reads each tensor of the file, by its path."""
        names = self.match.arrays
        return {t.path: partial(self.read, n) for n, t in self.wanted.items() if n in names}

    def read(self, name: str) -> Array:
        """The tensor that the file calls so, in canonical layout. A 1x1 convolution becomes a dense
        layer's matrix."""
        tensor = self.wanted[name]
        return tensor.slot.restore(self.match.arrays[name].read().reshape(tensor.shape))

    @property
    def arrays(self) -> Iterator[Array]:
        """The network's tensors, as `filled` gives them."""
        return filled(self.net, self.readers)

    def reported(self, done: Report) -> Report:
        """`done`, with what did not fit."""
        fresh, match = len(self.match.left(self.wanted)), self.match
        return replace(done, fresh=fresh, wrong=match.wrong, remarks=match.remarks)


def filled(net: Net, readers: Mapping[str, Callable[[], Array]]) -> Iterator[Array]:
    """The network's tensors in order and in canonical layout; each is read when it is asked for,
    and those that nothing reads are fresh."""
    for path, _, weight in weights(net.network):
        yield readers[path]() if path in readers else drawn(path, weight)


@contextmanager
def fitting(net: Net, path: Path, take: Take | None = None) -> Iterator[Fitting]:
    """The arrays in a file that are those of `net`. Raises `WeightsError` where they are not."""
    take = take or Take()
    storage, format = files.find(path)
    with files.opened(path, format, net.params.total * BYTES, take.key) as opened:
        wanted = {tensor.name: tensor for tensor in tensors(net.network, storage)}
        arrays = storage.named(wanted.values(), opened.arrays)
        if wanted.keys() == arrays.keys() and not take.partial:
            noted(path, net, opened.notes)  # a setting says more than the shapes that it leads to
        said = Said.of(path, opened.notes).other(net)
        what = ", ".join((shown(path), *opened.remarks))
        found = match(what, net.name, wanted, arrays, said, take.partial)
        noted(path, net, opened.notes, found.left(wanted))
        remarks = (*opened.remarks, *found.remarks)
        yield Fitting(net, wanted, replace(found, remarks=remarks), opened.notes)


def write(
    net: Net, arrays: Iterable[Array], target: Path, notes: Notes, progress: Progress = silent
) -> Report:
    """Writes the network's weights, which come as `Fitting.arrays` does. Raises `WeightsError`."""
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
    with fitting(net, path) as found:
        pairs = zip(names, found.arrays, strict=True)
        return {name: np.array(array, DTYPE) for name, array in pairs}


def says(net: Net, path: Path, take: Take | None = None) -> bool:
    """Whether a file that fits notes which parameters it is for. Raises `WeightsError`."""
    with fitting(net, path, take) as found:
        return SETTINGS in found.notes
