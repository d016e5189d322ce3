"""Files of weights by their ending, how they are opened, and the neutral format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from archc import backends
from archc.backends.storage import (
    Array,
    Arrays,
    Contents,
    Format,
    Notes,
    Opened,
    Storage,
    Stored,
    WeightsError,
    broken,
    parsed_notes,
    require_size,
    shown,
)
from archc.compiler.language.problems import printable, quote
from archc.weights.replacing import regular

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What safetensors calls a type of numbers."""
WIDER = {"bfloat16": "float32"}
"""As what numbers are read that NumPy does not have."""
NOTES = "archc"
"""The one entry of safetensors' metadata that archc writes: of several, the order would be random,
and so would be the bytes of the file."""


class NoKey(WeightsError):
    """A file has nothing under the key that was asked for."""


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        message = f".safetensors files need {error.name}, which archc's extra `weights` installs"
        raise WeightsError(message) from error
    return safetensors


@contextmanager
def _read(counters: tuple[str, ...], path: Path, need: int) -> Iterator[Opened]:
    with _safetensors().safe_open(path, framework="numpy") as opened:
        names = [name for name in opened.keys() if not name.endswith(counters)]  # noqa: SIM118
        arrays = {name: _stored(path, opened, name) for name in names}
        others = dict(opened.metadata() or {})
        own = others.pop(NOTES, None)
        yield Opened(arrays, others if own is None else {**others, **parsed_notes(path, own)})


def _stored(path: Path, opened: Any, name: str) -> Stored:
    piece = opened.get_slice(name)
    dtype = str(piece.get_dtype())
    shape = tuple(piece.get_shape())
    if dtype == "BF16":
        return Stored(shape, DTYPES[dtype], lambda: _widened(path, name, shape))
    return Stored(shape, DTYPES.get(dtype, dtype), lambda: opened.get_tensor(name))


def _widened(path: Path, name: str, shape: tuple[int, ...]) -> Array:
    """A tensor of bfloat16, which NumPy has not, in float32: those are its upper two bytes."""
    import numpy as np

    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        start, end = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + start)
        halves = np.frombuffer(file.read(end - start), "<u2")
    return (halves.astype("<u4") << 16).view("<f4").reshape(shape)


def _write(path: Path, net: Any, contents: Contents, notes: Notes) -> None:
    import numpy as np

    library = _safetensors()
    arrays = {tensor.path: np.ascontiguousarray(array, "<f4") for tensor, array in contents}
    try:
        library.numpy.save_file(arrays, path, {NOTES: json.dumps(dict(notes))} if notes else None)
    except library.SafetensorError as error:
        raise OSError(str(error)) from error


def _neutral(canonical: Storage) -> Storage:
    """Safetensors under canonical names and in canonical layouts. Published files in this format
    hold the counters of the framework that they come from too."""
    read = partial(_read, canonical.counters)
    format = Format("safetensors file", _safetensors, read, _write, checked=True)
    return replace(canonical, formats={".safetensors": format})


def storages() -> list[Storage]:
    """How each kind of file keeps weights; the neutral format comes first."""
    frameworks = [backends.get(name).storage() for name in backends.names()]
    return [*(_neutral(known) for known in frameworks if known.canonical), *frameworks]


def find(path: Path, writing: bool = False) -> tuple[Storage, Format]:
    """The storage and the format that a file's ending stands for. Raises `WeightsError`."""
    every = [(ending, (s, format)) for s in storages() for ending, format in s.formats.items()]
    usable = {ending: pair for ending, pair in every if pair[1].write or not writing}
    fitting = [ending for ending in usable if path.name.endswith(ending)]
    if not fitting:
        what = "written" if writing else "read"
        raise WeightsError(
            f"{shown(path)}: its ending says no format that can be {what}\n"
            f"  = help: the endings are {', '.join(usable)}"
        )
    return usable[max(fitting, key=len)]


@contextmanager
def opened(path: Path, format: Format, need: int, key: str | None = None) -> Iterator[Opened]:
    """What is in a file, for a network whose weights take `need` bytes; of a file that holds them
    under keys, what is under `key`, or under the only one.

    Raises `WeightsError` where it cannot be read, or asks for more time or memory than such weights
    do, and `OSError` where it is no file.
    """
    format.prepare()
    regular(path)
    require_size(path, path.stat().st_size, need)
    with path.open("rb"):  # what may not be read is said as every other command says it
        pass
    opening = partial(_opened, path, format, need)
    if sys.platform == "linux":
        from archc.weights.guard import try_out

        try_out(opening, path, need)
    with opening() as found:
        yield _chosen(path, found, key)


def _chosen(path: Path, found: Opened, key: str | None) -> Opened:
    parts = found.parts
    if key is None and not parts:
        return found
    chosen = next(iter(parts)) if key is None and len(parts) == 1 else key
    if chosen is not None and chosen in parts:
        return replace(found, arrays=parts[chosen], remarks=(f"taken from {quote(chosen)}",))
    known = ", ".join(f"--key {printable(part)}" for part in [*parts][:5])
    if key is not None:
        has = f"it has {known}" if known else "leave --key out: its weights are under none"
        raise NoKey(f"{shown(path)}: it has no weights under {quote(key)}\n  = help: {has}")
    raise WeightsError(
        f"{shown(path)}: it holds {len(parts):,} sets of weights\n  = help: name one: {known}"
    )


@contextmanager
def _opened(path: Path, format: Format, need: int) -> Iterator[Opened]:
    with ExitStack() as stack:
        with _blaming(path, format):
            found = stack.enter_context(format.read(path, need))

        def guarded(arrays: Arrays) -> Arrays:
            return {
                name: replace(stored, read=partial(_numbers, path, format, stored))
                for name, stored in arrays.items()
            }

        parts = {key: guarded(arrays) for key, arrays in found.parts.items()}
        yield replace(found, arrays=guarded(found.arrays), parts=parts)


def _numbers(path: Path, format: Format, stored: Stored) -> Array:
    """The array, if it is what the file says of it."""
    with _blaming(path, format):
        array = stored.read()
        dtype = WIDER.get(stored.dtype, stored.dtype)
        if (array.shape, array.dtype.name) != (stored.shape, dtype):
            raise ValueError("another array than the file says")
        return array


@contextmanager
def _blaming(path: Path, format: Format) -> Iterator[None]:
    """Whatever goes wrong in the libraries is the file's fault."""
    try:
        yield
    except (WeightsError, MemoryError):
        raise
    except Exception as error:
        raise broken(path, format.kind) from error
