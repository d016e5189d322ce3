"""Moves weights from one file to another: read, checked, laid out anew and written one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

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
    checked_notes,
    shown,
    tensors,
)
from archc.compiler.language.expressions import Definition, show
from archc.compiler.language.problems import printable
from archc.weights import files
from archc.weights.fit import require
from archc.weights.replacing import replacing

T = TypeVar("T")
Progress = Callable[[Iterable[T], int], Iterable[T]]
"""progress(items, how many) -> the same items; says meanwhile how far it is."""
SETTINGS = "archc.settings"
"""The note that says which parameters a checkpoint needs: `padding=symmetric epsilon=1e-05`."""
CONVENTIONS = (
    "padding",
    "epsilon",
    "act",
    "preprocess",
    "pool_zeros",
    "skip_reduction",
    "stem_reductions",
)
"""Parameters that published checkpoints of one network differ in, and that no shape gives away."""


def silent(items: Iterable[T], count: int) -> Iterable[T]:
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


def convert(net: Net, source: Path, target: Path, progress: Progress[Tensor] = silent) -> Report:
    """Writes the weights in `source` to `target`, each in the format that its ending names.

    Raises `WeightsError` where they are not those of `net`, or a file cannot be read.
    """
    files.find(target, writing=True)
    with fitting(net, source) as (storage, arrays, notes):
        settings = carried(net, notes.get(SETTINGS, ""))
        kept = {**notes, SETTINGS: settings} if settings else notes
        done = write(net, arrays, storage, target, kept, progress)
        return replace(done, noted=SETTINGS in notes)


def carried(net: Net, settings: str) -> str:
    """The settings that are noted, and from here on what the network assumes of the others."""
    noted = dict(setting.split("=", 1) for setting in settings.split())
    every = {**conventions(net), **noted}
    return " ".join(f"{name}={value}" for name, value in every.items())


@contextmanager
def fitting(net: Net, path: Path) -> Iterator[tuple[Storage, Arrays, Notes]]:
    """The arrays in a file by canonical name, how they are laid out, and what else it says.

    Raises `WeightsError` where they are not those of `net`.
    """
    storage, format = files.find(path)
    with files.opened(path, format, net.params.total * BYTES) as opened:
        theirs = {tensor.name: tensor for tensor in tensors(net.network, storage)}
        require(shown(path), net.name, theirs, opened.arrays)
        check_notes(path, net, opened.notes)
        arrays = {tensor.path: opened.arrays[name] for name, tensor in theirs.items()}
        yield storage, arrays, opened.notes


def check_notes(path: Path, net: Net, notes: Notes) -> None:
    """Raises `WeightsError` where a file says that it needs other parameters than the network's."""
    for setting in notes.get(SETTINGS, "").split():
        name, equals, value = setting.partition("=")
        if not equals:
            checked_notes(path, None)
        ours = net.network.settings.get(name)
        if ours is not None and spelled(ours) != value:
            raise WeightsError(
                f"{shown(path)}: these weights are for {printable(setting)}; here `{name}` is"
                f" {spelled(ours)}\n"
                f"  = help: --set {printable(setting)}"
            )


def spelled(value: object) -> str:
    """A parameter's value as on the command line, in one word."""
    if isinstance(value, Definition):
        return value.name
    return str(value) if isinstance(value, float) else show(value).replace(" ", "")


def conventions(net: Net) -> dict[str, str]:
    """The network's own `CONVENTIONS`."""
    settings = net.network.settings
    return {name: spelled(settings[name]) for name in CONVENTIONS if name in settings}


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
    format.prepare()  # an import that is interrupted leaves no temporary file then
    count = sum(1 for _ in tensors(net.network, storage))
    report = Report(count, net.params.total, checked=format.checked)
    contents = _contents(net, arrays, storage, laid_out, report, progress)
    try:
        with replacing(target) as temporary:
            format.write(temporary, net, contents, notes)
    except OSError as error:
        message = f"{shown(target)}: cannot be written: {error.strerror or error}"
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

    with fitting(net, path) as (storage, arrays, _):
        every = tensors(net.network, storage)
        return {t.path: np.array(canonical(t, arrays), DTYPE) for t in every}


def says(net: Net, path: Path) -> bool:
    """Whether a file that fits notes which parameters it is for. Raises `WeightsError`."""
    with fitting(net, path) as (_, _, notes):
        return SETTINGS in notes


def assumed(net: Net, given: Collection[str]) -> str:
    """The network's conventions that nobody gave, of a file that notes none: `padding=same`."""
    return " ".join(f"{n}={value}" for n, value in conventions(net).items() if n not in given)
