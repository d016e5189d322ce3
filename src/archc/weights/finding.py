"""What a file of weights holds, against a spec that nobody wrote rules for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archc import backends
from archc.api import Net
from archc.backends.storage import BYTES, DTYPE, Arrays, Storage, WeightsError, shown, tensors
from archc.compiler.language.problems import quote
from archc.weights import files, wrappers, writing
from archc.weights.fit import left_out
from archc.weights.matching import Matching, flow, match


@dataclass(frozen=True)
class Found:
    """Rules for a file of weights."""

    matching: Matching
    text: str
    """The file of rules."""
    count: int
    """How many tensors the network has."""
    remarks: tuple[str, ...]


def found(
    net: Net,
    spec: str,
    source: Path,
    settings: Mapping[str, str],
    key: str | None = None,
    against: str | None = None,
) -> Found:
    """Pairs the tensors in a file with the network's, which has these `settings` and was read from
    `spec`. What is ambiguous is solved by running the model that `against` names. Raises
    `WeightsError`."""
    storage, format = files.find(source)
    with files.opened(source, format, net.params.total * BYTES, key) as opened:
        arrays, prefix = _unwrapped(opened.arrays)
        ours = list(tensors(net.network, storage))
        if len(arrays) > len(ours):
            _require_one(source, arrays)
        shapes = {name: array.shape for name, array in storage.named(ours, arrays).items()}
        matching = match(ours, shapes, flow(net.network))
        remarks = (*opened.remarks, *_remarks(prefix, arrays))
    if not matching.pairs and not matching.ambiguous:
        raise WeightsError(
            f"{shown(source)}: no tensor of it has the shape of any of {net.name}\n"
            "  = help: name the spec that it is for, or its settings with --set"
        )
    if against:
        matching, said = _against(net, storage, matching, against)
        remarks = (*remarks, *([said] if said else []))
    name = f"mine:{source.name.partition('.')[0]}"
    what = writing.Written(net, _framework(storage), storage, name, settings, spec, source.name)
    return Found(matching, writing.text(what, matching), len(ours), remarks)


def _against(net: Net, storage: Storage, matching: Matching, text: str) -> tuple[Matching, str]:
    from archc.live import theirs
    from archc.weights.solving import solved

    with theirs.opened(theirs.parse(text)) as model:
        return solved(net, _framework(storage), storage, matching, model)


def _framework(storage: Storage) -> backends.Name:
    """The backend whose layouts they are."""
    names = backends.names()
    return next(name for name in names if backends.get(name).storage().slots is storage.slots)


def _unwrapped(arrays: Arrays) -> tuple[Arrays, str]:
    """The arrays without what a wrapper put before all of their names, and that."""
    prefix = wrappers.known(arrays)
    return {name.removeprefix(prefix): array for name, array in arrays.items()}, prefix


def _require_one(source: Path, arrays: Arrays) -> None:
    """Raises `WeightsError` where there are a model and a copy of it."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, array in arrays.items():
        first, _, rest = name.partition(".")
        parts.setdefault(first, {})[rest] = array.shape
    copies = [own for own in parts.values() if len(own) * 2 == len(arrays)]
    if len(copies) == 2 and copies[0] == copies[1]:
        one, other = (quote(f"{name}.") for name, own in parts.items() if own in copies)
        raise WeightsError(
            f"{shown(source)}: it holds the same tensors twice, under {one} and {other}\n"
            "  = help: save one of the two alone"
        )


def _remarks(prefix: str, arrays: Arrays) -> tuple[str, ...]:
    types = sorted({array.dtype for array in arrays.values()} - {DTYPE})
    narrow = [f"it holds {', '.join(types)}; `import` takes {DTYPE} alone"] if types else []
    return (*left_out(prefix), *narrow)
