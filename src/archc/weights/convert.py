"""Moves weights from one file to another: read, checked, laid out anew and written one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from archc.api import Net
from archc.backends.storage import (
    DTYPE,
    Array,
    Arrays,
    Contents,
    Notes,
    Storage,
    Tensor,
    WeightsError,
    tensors,
)
from archc.replacing import replacing
from archc.weights import files
from archc.weights.fit import require

T = TypeVar("T")
Progress = Callable[[Iterable[T], int], Iterable[T]]
"""progress(items, how many) -> the same items; says meanwhile how far it is."""
SETTINGS = "archc.settings"
"""The note that says which parameters a checkpoint needs: `padding=symmetric epsilon=1e-05`."""


def silent(items: Iterable[T], count: int) -> Iterable[T]:
    return items


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    tensors: int
    numbers: int
    unfinite: list[str] = field(default_factory=list)
    """Tensors that hold infinities or what is no number."""


def convert(net: Net, source: Path, target: Path, progress: Progress[Tensor] = silent) -> Report:
    """Writes the weights in `source` to `target`, each in the format that its ending names.

    Raises `WeightsError` where they are not those of `net`, or a file cannot be read.
    """
    storage, format = files.find(source)
    files.find(target, writing=True)
    with format.read(source) as opened:
        theirs = {tensor.name: tensor for tensor in tensors(net.network, storage)}
        require(str(source), net.name, theirs, opened.arrays)
        check_notes(source, net, opened.notes)
        arrays = {tensor.path: opened.arrays[name] for name, tensor in theirs.items()}
        return write(net, arrays, storage, target, opened.notes, progress)


def check_notes(path: Path, net: Net, notes: Notes) -> None:
    """Raises `WeightsError` where a file says that it needs other parameters than the network's."""
    for setting in notes.get(SETTINGS, "").split():
        name, _, value = setting.partition("=")
        ours = net.network.settings.get(name)
        if ours is not None and shown(ours) != value:
            raise WeightsError(
                f"{path}: these weights are for {name}={value}; here `{name}` is {shown(ours)}\n"
                f"  = help: --set {setting}"
            )


def shown(value: object) -> str:
    """A parameter's value as on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def write(
    net: Net,
    arrays: Arrays,
    storage: Storage,
    target: Path,
    notes: Notes,
    progress: Progress[Tensor] = silent,
) -> Report:
    """Writes `arrays`, which are by canonical name and laid out as in `storage`."""
    laid_out, format = files.find(target, writing=True)
    assert format.write is not None
    report = Report(sum(1 for _ in tensors(net.network, storage)), net.params.total)
    contents = _contents(net, arrays, storage, laid_out, report, progress)
    try:
        with replacing(target) as temporary:
            format.write(temporary, net, contents, notes)
    except OSError as error:
        message = f"{target}: cannot be written: {error.strerror or error}"
        raise WeightsError(message) from error
    return report


def _contents(
    net: Net,
    arrays: Arrays,
    source: Storage,
    target: Storage,
    report: Report,
    progress: Progress[Tensor],
) -> Contents:
    theirs = tensors(net.network, source)
    for tensor in progress(tensors(net.network, target), report.tensors):
        array = canonical(next(theirs), arrays)
        _note_unfinite(tensor.path, array, report)
        yield tensor, tensor.slot.store(array, tensor.shape)


def canonical(tensor: Tensor, arrays: Arrays) -> Array:
    """The array in canonical layout. Reads it; a 1x1 convolution becomes a dense layer's matrix."""
    return tensor.slot.restore(arrays[tensor.path].read().reshape(tensor.shape))


def _note_unfinite(path: str, array: Array, report: Report) -> None:
    import numpy as np

    if not np.isfinite(array).all():
        report.unfinite.append(path)


def load(net: Net, path: Path) -> dict[str, Array]:
    """All weights in a file by canonical name, in canonical layout. Raises `WeightsError`."""
    import numpy as np

    storage, format = files.find(path)
    with format.read(path) as opened:
        theirs: Mapping[str, Tensor] = {t.name: t for t in tensors(net.network, storage)}
        require(str(path), net.name, theirs, opened.arrays)
        check_notes(path, net, opened.notes)
        arrays = {tensor.path: opened.arrays[name] for name, tensor in theirs.items()}
        every: Iterator[Tensor] = iter(theirs.values())
        return {t.path: np.array(canonical(t, arrays), DTYPE) for t in every}
