"""Files that archc wrote, which hold a graph and no spec, as sides of a diff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from archc import backends
from archc.backends import Graph, WeightsError
from archc.backends.outline import Outline, OutlineRow, Shape
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.language.problems import printable
from archc.compiler.language.values import show
from archc.diff.compare import Difference, Kept, of_rows
from archc.diff.pairing import Known, Pairs, paired
from archc.diff.pairing import moved as moved_rows
from archc.diff.rows import Change, Figures, RowDiff, shown, with_removed
from archc.diff.sides import Named, Side
from archc.diff.tensors import ByRow, grouped
from archc.diff.verdicts import Effect, Finding

HEAD = 2**16
"""Bytes of a file that say who wrote it."""
AVERAGES = tuple(
    f".{rule.name}" for op in CATALOGUE.values() for rule in op.weights if not rule.trainable
)
"""What the names of tensors end in that training does not change."""


@dataclass(frozen=True, slots=True)
class File(Named):
    """A graph."""

    graph: Graph
    outline: Outline

    def figures(self) -> Iterator[tuple[str, int]]:
        for name, note in (("parameters", "parameters"), ("MACs", "macs")):
            if (text := self.outline.notes.get(note, "")).isdecimal():
                yield name, int(text)


def of(name: str) -> Graph | None:
    """The format of a file that holds a graph, by its ending."""
    for backend in backends.names():
        graph = backends.get(backend).graph
        if graph is not None and name.endswith(graph.ending):
            return graph
    return None


def read(name: str, graph: Graph) -> File:
    """A file that archc wrote. Raises `WeightsError` for another, and `OSError`."""
    path = Path(name)
    if ":" in name and not path.exists():
        said = "REV:FILE is for specs; `git show REV:FILE > OLD` gives a file to compare"
        raise WeightsError(f"{printable(name)}: {said}")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not graph.wrote(head):
        said = "archc did not write this file, so no spec's rows are in it"
        raise WeightsError(f"{printable(name)}: {said}")
    try:
        return File(name, graph, graph.outline_of(path))
    except ValueError as error:
        raise WeightsError(f"{printable(name)}: {printable(str(error))}") from error


def outlines(old: Named, new: Named) -> tuple[Outline, Outline]:
    """Both sides as graphs: a spec's is the one that would be written as the other side's was."""
    like = next(side for side in (new, old) if isinstance(side, File))
    return _outline(old, like), _outline(new, like)


def _outline(side: Named, like: File) -> Outline:
    if isinstance(side, File):
        return side.outline
    assert isinstance(side, Side)
    net = side.net.for_one_size() if like.outline.static else side.net
    return like.graph.outline(net.network, like.outline.options)


def compare(old: Outline, new: Outline) -> Difference:
    """What differs between two graphs."""
    known = ([*_known(old)], [*_known(new)])
    pairs = paired(*known)
    before, after = (grouped(side.weights.items(), side.rows) for side in (old, new))
    kept = Kept(before, after, pairs)
    rows = _rows(old, new, pairs, [_figures(old, before), _figures(new, after)])
    findings = [*of_rows(rows, kept), *_callers(old, new), *kept.findings()]
    if old.options.opset != new.options.opset:
        message = f"the graph is of the opset {new.options.opset} instead of {old.options.opset}"
        findings.append(Finding("D401", Effect.WEIGHTS_COMPATIBLE, message))
    return Difference(rows, findings, kept.tensors)


def _known(outline: Outline) -> Iterator[Known]:
    """Functions are called after what sets them apart from others of the file, so a name says
    nothing of which is which."""
    for name, row in outline.rows.items():
        said = {f"{at}.{key}": text for (at, key), text in _said(row).items()}
        yield Known(name, "" if len(row.ops) > 1 else row.block, said)


def _said(row: OutlineRow) -> dict[tuple[str, str], str]:
    """All that its ops do, by path and attribute."""
    return {(path, key): text for path, op in row.ops.items() for key, text in op.items()}


def _figures(outline: Outline, tensors: ByRow) -> dict[str, Figures]:
    found = {}
    for name, row in outline.rows.items():
        shapes = tensors[name].items()
        params = sum(prod(shape) for rest, shape in shapes if not rest.endswith(AVERAGES))
        found[name] = Figures(row.block, row.output, params, feeds=row.feeds)
    return found


def _rows(
    old: Outline, new: Outline, pairs: Pairs, figures: Sequence[Mapping[str, Figures]]
) -> list[RowDiff]:
    before, after = figures
    moved = moved_rows(pairs, before, after)
    found = []
    for name, row in new.rows.items():
        if (former := pairs.get(name)) is None:
            found.append(RowDiff(name, new=after[name]))
            continue
        cells = {**_cells(old.rows[former], row), **_sources(former, name, old, new, pairs)}
        both = (before[former], after[name])
        found.append(RowDiff(name, former, *both, moved=name in moved, cells=cells))
    return with_removed(found, before)


def _cells(old: OutlineRow, new: OutlineRow) -> dict[str, Change]:
    """What ops of a row do otherwise; one that is of one side alone is told as a whole."""
    found: dict[str, Change] = {}
    for path in dict.fromkeys((*new.ops, *old.ops)):
        a, b = old.ops.get(path, {}), new.ops.get(path, {})
        both = {key: (a.get(key, ""), b.get(key, "")) for key in dict.fromkeys((*b, *a))}
        if not a or not b or a[""] != b[""]:
            both = {"": both[""]}
        told = {".".join(filter(None, (path, key))) or "op": each for key, each in both.items()}
        found |= {key: each for key, each in told.items() if each[0] != each[1]}
    return found


def _sources(former: str, name: str, old: Outline, new: Outline, pairs: Pairs) -> dict[str, Change]:
    """How what feeds a row differs; that it is fed by the one just above is no difference."""
    before, after = old.rows[former].feeds, new.rows[name].feeds
    was = ["^" if each == _above(old, former) else each for each in before]
    now = ["^" if each == _above(new, name) else pairs.get(each, each) for each in after]
    return {} if was == now else {"from": (", ".join(before), ", ".join(after))}


def _above(outline: Outline, name: str) -> str:
    names = [*[*outline.inputs][::-1], *outline.rows]
    return names[names.index(name) - 1]


# ---------------------------------------------------------------------------------------- callers


def _callers(old: Outline, new: Outline) -> Iterator[Finding]:
    if old.name != new.name:
        message = f"the model is called `{new.name}` instead of `{old.name}`"
        yield Finding("D201", Effect.INTERFACE_BROKEN, message)
    yield from _values(old.inputs, new.inputs, ("D211", "D211", "D211"), "input")
    yield from _values(old.outputs, new.outputs, ("D221", "D222", "D223"), "output")


def _values(
    old: Mapping[str, Shape], new: Mapping[str, Shape], ids: tuple[str, str, str], what: str
) -> Iterator[Finding]:
    added, removed, changed = ids
    for name in new:
        if name not in old:
            message = f"there is an {what} `{name}`, {shown(new[name])}"
            yield Finding(added, Effect.INTERFACE_BROKEN, message)
        elif old[name] != new[name]:
            message = f"the {what} `{name}` is {shown(new[name])} instead of {shown(old[name])}"
            yield Finding(changed, Effect.INTERFACE_BROKEN, message)
    for name in (name for name in old if name not in new):
        yield Finding(removed, Effect.INTERFACE_BROKEN, f"there is no {what} `{name}` any more")


def notes(sides: Sequence[Named]) -> Iterator[str]:
    """Of a file and a spec: that the file was written with other settings."""
    files = [side for side in sides if isinstance(side, File)]
    specs = [side for side in sides if isinstance(side, Side)]
    for file, spec in zip(files, specs, strict=False):
        settings = spec.net.network.settings.items()
        ours = ", ".join(f"{name}={show(value)}" for name, value in settings)
        theirs = file.outline.notes.get("settings", "")
        if ours != theirs:
            said = f"it was written with {theirs}, and {spec.name} has {ours}; --set gives others"
            yield printable(f"{file.name}: note: {said}")
