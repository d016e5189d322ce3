"""Two networks in, what differs between them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archc.api import Net
from archc.compiler.ir.analysis import layers
from archc.compiler.ir.network import Input, Network, Parameter, Tensor
from archc.compiler.language import expressions as ex
from archc.compiler.language.values import show
from archc.diff.pairing import Pairs, pairs
from archc.diff.rows import Change, RowDiff, row_diffs, shown
from archc.diff.tensors import ByRow, by_row, surviving
from archc.diff.verdicts import Effect, Finding


@dataclass(frozen=True, slots=True)
class Tensors:
    """What becomes of the tensors of a checkpoint of the old network: how many."""

    load: int
    """Those that the new network has by the same name and shape, for the same row."""
    move: int
    """Those that it has by another name."""
    lost: int
    fresh: int
    """Those of the new network that the old one does not have."""

    @property
    def kept(self) -> int:
        """Those that are of use to the new network."""
        return self.load + self.move

    def plain(self) -> dict[str, int]:
        return {"load": self.load, "move": self.move, "lost": self.lost, "fresh": self.fresh}


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two networks, whatever they are read from."""

    rows: list[RowDiff]
    """Of both, in the order of the new one."""
    findings: list[Finding]
    tensors: Tensors

    @property
    def effect(self) -> Effect:
        """The worst of all findings."""
        return max((finding.effect for finding in self.findings), default=Effect.NOTHING)


@dataclass(frozen=True, slots=True)
class Diff(Difference):
    """What differs between two networks of specs."""

    old: Net
    new: Net


def compare(old: Net, new: Net) -> Diff:
    """What differs between two networks, as a reader of the second one would say it."""
    a, b = old.network, new.network
    paired = pairs(a, b)
    rows = row_diffs(a, b, paired)
    kept = Kept(by_row(a), by_row(b), paired)
    findings = [
        *of_rows(rows, kept),
        *_inside(rows, kept),
        *_callers(a, b, paired),
        *kept.findings(),
    ]
    if not findings and _all(a) != _all(b):
        findings = [Finding("D401", Effect.WEIGHTS_COMPATIBLE, "the networks differ otherwise")]
    return Diff(rows, findings, kept.tensors, old, new)


def _all(network: Network) -> str:
    """All that a network computes and how its rows are spelled, less the names of its rows."""
    rows = [
        (
            row.output,
            row.tap,
            row.training,
            sorted((name, ex.text(node)) for name, node in row.spelled.items()),
        )
        for row in network.rows
    ]
    ops = [(layer.op, layer.call.body.arguments, layer.feeds) for layer in layers(network)]
    return str(([(op, [*map(show, given.values())], feeds) for op, given, feeds in ops], rows))


# ---------------------------------------------------------------------------------------- weights


class Kept:
    """What of a checkpoint survives, by row."""

    def __init__(self, old: ByRow, new: ByRow, paired: Pairs) -> None:
        self.old, self.new = old, new
        self.found = surviving(old, new, paired)
        self.taken = {*self.found.values()}
        moved = sum(name != former for name, former in self.found.items())
        before, after = (sum(map(len, side.values())) for side in (self.old, self.new))
        kept = len(self.found)
        self.tensors = Tensors(kept - moved, moved, before - kept, after - kept)

    def effect(self, row: RowDiff) -> Effect:
        """What becomes of the weights of a row."""
        news = [row.name + rest for rest in self.new.get(row.name, ())] if row.new else []
        olds = [row.former + rest for rest in self.old.get(row.former, ())] if row.old else []
        if any(path not in self.found for path in news) or {*olds} - self.taken:
            return Effect.WEIGHTS_LOST
        if any(self.found[path] != path for path in news):
            return Effect.WEIGHTS_NEED_MOVING
        return Effect.WEIGHTS_COMPATIBLE

    def inside(self, row: RowDiff, path: str) -> Effect:
        """What becomes of the weights of one op of a row that there is before and after."""
        news = [rest for rest in self.new.get(row.name, ()) if rest.startswith(f".{path}.")]
        olds = [rest for rest in self.old.get(row.former, ()) if rest.startswith(f".{path}.")]
        lost = {row.former + rest for rest in olds} - self.taken
        fresh = {row.name + rest for rest in news} - self.found.keys()
        return Effect.WEIGHTS_LOST if lost or fresh else Effect.WEIGHTS_COMPATIBLE

    def findings(self) -> Iterator[Finding]:
        said = (
            ("D301", Effect.WEIGHTS_NEED_MOVING, self.tensors.move, "by another name"),
            ("D302", Effect.WEIGHTS_LOST, self.tensors.lost, "with no place in the new network"),
            ("D303", Effect.WEIGHTS_LOST, self.tensors.fresh, "that only the new network has"),
        )
        for id, effect, count, what in said:
            if count:
                yield Finding(id, effect, f"{_count(count, 'tensor')} {what}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# ------------------------------------------------------------------------------------------- rows


def of_rows(rows: list[RowDiff], kept: Kept) -> Iterator[Finding]:
    """What lines of rows say."""
    for row in rows:
        figures = row.new or row.old
        assert figures is not None
        for id, message in _said_of(row):
            yield Finding(id, kept.effect(row), message, figures.place, row.name)


def _said_of(row: RowDiff) -> Iterator[tuple[str, str]]:
    a, b = row.old, row.new
    if a is None and b is not None:
        yield "D101", f"`{row.name}` is added: {b.block}, which gives {shown(b.output)}"
    elif b is None and a is not None:
        yield "D102", f"`{row.name}` is removed: {a.block}"
    if a is None or b is None:
        return
    if row.moved:
        yield "D103", f"`{row.name}` stands elsewhere"
    if row.renamed:
        yield "D104", f"`{row.former}` is called `{row.name}`"
    if row.cells:
        yield "D105", f"`{row.name}`: {changes(row.cells)}"
    elif not row.inside and a.params != b.params:
        yield "D107", f"`{row.name}` has {b.params:,} parameters instead of {a.params:,}"


def changes(cells: Mapping[str, Change]) -> str:
    """`kernel 3 -> 5, act relu -> mish`."""
    return ", ".join(f"{key} {was or '~'} -> {now or '~'}" for key, (was, now) in cells.items())


def _inside(rows: list[RowDiff], kept: Kept) -> Iterator[Finding]:
    """One finding for each thing that ops do otherwise, in however many rows."""
    found: dict[tuple[str, str, Change], list[tuple[RowDiff, str]]] = {}
    for row in rows:
        for (path, key), change in row.inside.items():
            # The same step of the same block changed in the same way; or the same argument of all
            # ops of a kind, as where `defaults` say it.
            found.setdefault(("" if key else path, key, change), []).append((row, path))
    for (_, key, (was, now)), where in found.items():
        first, path = where[0]
        absent = "~" if key else "nothing"
        what = f"{key} {was or absent} -> {now or absent}".lstrip()
        more = f" and {len(where) - 1:,} more" if where[1:] else ""
        at = ".".join(filter(None, (first.name, path)))
        effect = max(kept.inside(row, path) for row, path in where)
        place = first.new.place if first.new else None
        yield Finding("D106", effect, f"{what} in `{at}`{more}", place, first.name)


# ---------------------------------------------------------------------------------------- callers


def _callers(old: Network, new: Network, paired: Pairs) -> Iterator[Finding]:
    if old.name != new.name:
        message = f"the model is called `{new.name}` instead of `{old.name}`"
        yield Finding("D201", Effect.INTERFACE_BROKEN, message)
    yield from _arguments(old, new)
    yield from _inputs(old, new)
    yield from _outputs(old, new)
    yield from _taps(old, new, paired)


def _arguments(old: Network, new: Network) -> Iterator[Finding]:
    before, after = ({p.name: p for p in network.kept} for network in (old, new))
    for name in before.keys() - after.keys():
        message = f"the model takes no `{name}` any more"
        yield Finding("D203", Effect.INTERFACE_BROKEN, message, before[name].place)
    for name, parameter in after.items():
        if name not in before:
            message = f"the model takes `{name}`, which is {_default(parameter)} by default"
            yield Finding("D202", Effect.WEIGHTS_COMPATIBLE, message, parameter.place)
        else:
            yield from _argument(before[name], parameter)
    common = [name for name in before if name in after]
    if [*after][: len(common)] != common:
        message = f"the model's arguments stand in another order: {', '.join(after)}"
        place = next(iter(after.values())).place
        yield Finding("D205", Effect.INTERFACE_BROKEN, message, place)


def _argument(old: Parameter, new: Parameter) -> Iterator[Finding]:
    if _default(old) != _default(new):
        message = f"`{new.name}` is {_default(new)} by default instead of {_default(old)}"
        yield Finding("D204", Effect.WEIGHTS_COMPATIBLE, message, new.place)
    if str(old.type) != str(new.type):
        message = f"`{new.name}` takes {new.type} instead of {old.type}"
        yield Finding("D206", Effect.INTERFACE_BROKEN, message, new.place)


def _default(parameter: Parameter) -> str:
    return "~" if parameter.default is None else ex.text(parameter.default)


def _inputs(old: Network, new: Network) -> Iterator[Finding]:
    before, after = old.inputs, new.inputs
    if [*before] != [*after]:
        message = f"the model takes {', '.join(after)} instead of {', '.join(before)}"
        yield Finding("D211", Effect.INTERFACE_BROKEN, message)
    for name in [name for name in after if name in before]:
        yield from _input(name, before[name], after[name])


def _input(name: str, old: Input, new: Input) -> Iterator[Finding]:
    a, b = old.tensor, new.tensor
    if (a.channels, a.is_map, a.strides) != (b.channels, b.is_map, b.strides):
        message = f"`{name}` is {b} instead of {a}"
        yield Finding("D211", Effect.INTERFACE_BROKEN, message)
    elif a.shape != b.shape:
        message = f"`{name}` is declared as {b} instead of {a}"
        yield Finding("D212", Effect.COST_ONLY, message)
    if old.range != new.range:
        message = f"`{name}` holds {show(new.range)} instead of {show(old.range)}"
        yield Finding("D211", Effect.INTERFACE_BROKEN, message)


def _outputs(old: Network, new: Network) -> Iterator[Finding]:
    before, after = old.outputs, new.outputs
    for name in [name for name in before if name not in after]:
        message, place = f"there is no output `{name}` any more", before[name].place
        yield Finding("D222", Effect.INTERFACE_BROKEN, message, place, before[name].call.name)
    for name, row in after.items():
        given = _output(row.call.body.output, row.training)
        if name not in before:
            effect = Effect.INTERFACE_BROKEN if len(before) == 1 else Effect.WEIGHTS_COMPATIBLE
            message = f"there is an output `{name}`, {given}"
            yield Finding("D221", effect, message, row.place, row.call.name)
            continue
        was = _output(before[name].call.body.output, before[name].training)
        if was != given:
            message = f"the output `{name}` is {given} instead of {was}"
            yield Finding("D223", Effect.INTERFACE_BROKEN, message, row.place, row.call.name)


def _output(tensor: Tensor, training: bool = False) -> str:
    """A value as its users know it, at any size of the input."""
    kind = f"{tensor.channels:,} channels at stride {show(tensor.stride)}"
    said = kind if tensor.is_map else f"a vector of {tensor.channels:,}"
    return f"{said}, in training only" if training else said


def _taps(old: Network, new: Network, paired: Pairs) -> Iterator[Finding]:
    before, after = old.taps, new.taps
    for name in [name for name in before if name not in after]:
        message, place = f"there is no tap `{name}` any more", before[name].place
        yield Finding("D232", Effect.INTERFACE_BROKEN, message, place, before[name].call.name)
    for name, row in after.items():
        given, here = _output(row.call.body.output), row.call.name
        if name not in before:
            message = f"there is a tap `{name}`, {given}"
            yield Finding("D231", Effect.WEIGHTS_COMPATIBLE, message, row.place, here)
            continue
        was = _output(before[name].call.body.output)
        if was != given:
            message = f"the tap `{name}` is {given} instead of {was}"
            yield Finding("D233", Effect.INTERFACE_BROKEN, message, row.place, here)
        elif paired.get(here) != (former := before[name].call.name):
            message = f"the tap `{name}` is of another row, `{here}`; it was of `{former}`"
            yield Finding("D233", Effect.WEIGHTS_COMPATIBLE, message, row.place, here)
