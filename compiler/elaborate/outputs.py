"""Which rows are outputs, which of them run in training only, and which are nothing of the kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

from archc.compiler.elaborate.elaborator import reaching
from archc.compiler.ir.network import OUTPUT, Row
from archc.compiler.language.problems import Problem
from archc.compiler.spec.models import Spec
from archc.compiler.spec.reader import Scalar


def settled(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with the last one an output, and with each one's own word on whether it runs in
    training only."""
    every = [*rows[:-1], *(replace(row, output=row.output or OUTPUT) for row in rows[-1:])]
    always = _needed(every, in_training=False)
    told = ((row, i not in always) for i, row in enumerate(every))
    return tuple(row if row.training == only else replace(row, training=only) for row, only in told)


def misused(rows: Sequence[Row]) -> Iterator[Problem]:
    """What is wrong with the outputs, and with rows that nothing uses."""
    if rows[-1].training:
        message = f"`{rows[-1].call.name}` is the last row, whose output is there in evaluation too"
        yield Problem("E070", message, rows[-1].place, "put it above the rows that always run")
        return
    for look in (_none_left, _alike, _left_out, _in_evaluation, _unused):
        yield from look(rows)


def unused_inputs(spec: Spec, rows: Sequence[Row]) -> Iterator[Problem]:
    """Inputs on which no output depends that is there in evaluation (E039)."""
    if spec.inputs is None:
        return
    used = _reached(rows, in_training=False)
    for number, name in enumerate(spec.inputs):
        if -1 - number not in used and isinstance(name, Scalar):
            message = f"no output that is there in evaluation depends on the input `{name}`"
            yield Problem("E039", message, name.place, f"take from it: `from: {name}`")


def _needed(rows: Sequence[Row], in_training: bool) -> Set[int]:
    """The numbers of the rows that outputs depend on; of all outputs, or of those that are there in
    evaluation too."""
    return {number for number in _reached(rows, in_training) if number >= 0}


def _reached(rows: Sequence[Row], in_training: bool) -> Set[int]:
    """The same, and those of the inputs: -1, -2, ..."""
    given = (i for i, row in enumerate(rows) if row.output and (in_training or not row.training))
    return reaching([row.call for row in rows], [*given, len(rows) - 1])


def _alike(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that are the last, of all or of those that are always there, beside another output that
    is called as they then are (E015)."""
    ends = dict.fromkeys([rows[-1], *[row for row in rows if row.when is None][-1:]])
    for other in (row for row in rows[:-1] if row.output == OUTPUT):
        for end in (row for row in ends if row.output is None):
            names = f"`{end.call.name}` and `{other.call.name}`"
            message = f"two outputs are called `{OUTPUT}`, those of {names}"
            hint = f"give `{end.call.name}` an `output` of its own"
            yield Problem("E015", message, end.place, hint, (("the other", other.place),))


def _none_left(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that a model may leave out, where there are no others (E024)."""
    when = rows[0].when
    if when is not None:
        message = "the model may leave out every row, so nothing would be left of it"
        hint = "put a row above that has no `when`"
        yield Problem("E024", message, when.place, hint)


def _left_out(rows: Sequence[Row]) -> Iterator[Problem]:
    """Outputs among the rows that a model may leave out, but for the last (E024)."""
    for row in rows[:-1]:
        if row.output is not None and row.when is not None:
            message = f"`{row.call.name}` may be left out, so it cannot be an output"
            yield Problem("E024", message, row.place, "give out a row above it, or the last")


def _in_evaluation(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that are there in training only, and that evaluation or a tap needs (E070)."""
    if not any(row.training for row in rows):
        return
    always, used = (_needed(rows, in_training) for in_training in (False, True))
    for row in (row for i, row in enumerate(rows) if i in always):
        for other in dict.fromkeys(rows[feed] for feed in row.call.needs if feed >= 0):
            if other.training:
                message = f"`{row.call.name}` always runs, and takes what is there in training only"
                hint = f"say with `from` what feeds it instead of `{other.call.name}`"
                related = (("in training only", other.place),)
                yield Problem("E070", message, row.place, hint, related)
    for row in (rows[i] for i in sorted({*used} - {*always})):
        if row.tap is not None:
            message = f"`{row.call.name}` runs in training only, so it cannot be tapped"
            yield Problem("E070", message, row.place, "tap a row that always runs")


def _unused(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows on which no output depends (E039). A repeated row is told once."""
    used = _needed(rows, in_training=True)
    if len(used) == len(rows):
        return
    calls = [row.call for row in rows]
    tapped = reaching(calls, [index for index, row in enumerate(rows) if row.tap is not None])
    lost = {row.place: (i, row) for i, row in enumerate(rows) if i not in used}
    of_taps = {rows[index].place for index in tapped if index >= 0}
    count = Counter(row.place for row in rows)
    for place, (index, row) in lost.items():
        name = row.group if count[place] > 1 else row.call.name
        message = f"nothing uses the row `{name}`"
        hint = "take from it with `from`, give it out with `output`, or remove it"
        taker = next((c for c in calls if index in c.feeds and index not in c.needs), None)
        if taker is not None:
            hint = f"`{taker.name}` takes it, and computes nothing from it here"
        if place in of_taps:
            message = f"no output of the network depends on `{name}`"
            hint = "a tap is for what is on the way to one: take from it, or make it an `output`"
        yield Problem("E039", message, place, hint)
