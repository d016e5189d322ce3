"""A checkpoint of a model that anyone wrote, without what training scripts put around its names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from archc import backends
from archc.backends import Held
from archc.backends.storage import DTYPE, Array, Arrays, Format, Opened, Stored, WeightsError, shown
from archc.compiler.language.problems import printable, quote
from archc.weights import files, wrappers
from archc.weights.fit import show

WIDENED = ("float16", "bfloat16", "float64")
"""Types of numbers that become float32 ones, with a remark."""


class Misfit(WeightsError):
    """A file has not all of a model's arrays."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    arrays: Mapping[str, Array]
    """By the model's own names, in its layouts, in float32."""
    remarks: tuple[str, ...]
    """What was read in another way than the file says it."""


def read(
    path: Path, framework: str, held: Iterable[Held], wanted: Iterable[str], key: str | None
) -> Checkpoint:
    """The arrays of a model in a file, of those that it has; the `wanted` ones have to be there.

    `key` says which, of a file with several sets of them: under that key, or with that before their
    names. Raises `Misfit` where they are not there, and `WeightsError`.
    """
    known = {each.name: each for each in held}
    storage, format = files.find(path)
    if storage.slots is not backends.get(framework).storage().slots:
        raise Misfit(f"{shown(path)}: a model of `{framework}` has no such files")
    need = 4 * sum(int(np.prod(each.shape)) for each in known.values())
    with _opened(path, format, need, key) as (opened, before):
        found = {wrappers.unwrapped(name): array for name, array in opened.arrays.items()}
        found |= dict(_numbered(known.values(), found))
        prefix, said = _prefix(path, {*wanted}, found, before)
        own = {n.removeprefix(prefix): a for n, a in found.items() if n.startswith(prefix)}
        taken = {name: array for name, array in own.items() if name in known}
        _require(path, {name: known[name] for name in wanted}, taken)
        kinds = sorted({array.dtype for array in taken.values()} - {DTYPE})
        said += [f"its numbers are {', '.join(kinds)}, and taken as {DTYPE}"] if kinds else []
        arrays = {name: _read(array) for name, array in taken.items()}
        return Checkpoint(arrays, (*opened.remarks, *said))


@contextmanager
def _opened(path: Path, format: Format, need: int, key: str | None) -> Iterator[tuple[Opened, str]]:
    """The file's arrays under a key, or all of them and what their names have to start with."""
    try:
        with files.opened(path, format, need, key) as opened:
            yield opened, ""
    except files.NoKey:
        with files.opened(path, format, need) as opened:
            yield opened, f"{key}."


def _numbered(held: Iterable[Held], found: Arrays) -> Iterator[tuple[str, Stored]]:
    """The arrays that Keras's files only number, by their names in the model."""
    for layer, group in groupby(held, lambda each: each.layer):
        for number, each in enumerate(group):
            name = f"{layer}/vars/{number}"
            if each.name not in found and name in found:
                yield each.name, found[name]


def _prefix(path: Path, wanted: set[str], found: Arrays, before: str) -> tuple[str, list[str]]:
    """What stands before the names of the one set of them that is whole, or that begins so; and
    what there is to say of that."""
    whole = wrappers.before_all(wanted, found)
    chosen = [p for p in whole if p.startswith(before)] if before else whole
    if not chosen and before:
        raise WeightsError(f"{shown(path)}: it has no weights under {quote(before[:-1])}")
    if len(chosen) > 1 and "" not in chosen:
        keys = ", ".join(f"--key {printable(p[:-1])}" for p in chosen)
        raise WeightsError(
            f"{shown(path)}: it holds {len(chosen)} sets of weights\n  = help: name one: {keys}"
        )
    prefix = "" if "" in chosen else chosen[0] if chosen else ""
    others = [quote(p) for p in whole if p != prefix]
    said = [f"names start with {quote(prefix)}, which is left out"] if prefix else []
    return prefix, said + [f"there are others under {', '.join(others)}"] * bool(others)


def _require(path: Path, wanted: Mapping[str, Held], found: Arrays) -> None:
    """Raises `WeightsError` unless all are there, in their shapes and as numbers."""
    strange = [n for n in wanted if n in found and found[n].dtype not in (DTYPE, *WIDENED)]
    misfits = [n for n, t in wanted.items() if n not in found or found[n].shape != t.shape]
    for name in strange:
        raise WeightsError(f"{shown(path)}: {quote(name)} is {found[name].dtype}, not {DTYPE}")
    if misfits:
        every = [_line(name, wanted[name], found.get(name)) for name in misfits]
        more = [f"  and {len(every) - 20:,} more"] * (len(every) > 20)
        head = f"{shown(path)}: these are no weights of that model:"
        raise Misfit("\n".join([head, *every[:20], *more]))


def _line(name: str, tensor: Held, array: Stored | None) -> str:
    if array is None:
        return f"  missing: {printable(name)} ({show(tensor.shape)})"
    said = f"{printable(name)} is {show(array.shape)}; the model's is {show(tensor.shape)}"
    return f"  misshapen: {said}"


def _read(array: Stored) -> Array:
    return np.asarray(array.read(), DTYPE)
