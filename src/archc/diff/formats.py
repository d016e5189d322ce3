"""A diff as markdown, as JSON, as annotations of GitHub, and as SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from archc import findings
from archc.api import dims
from archc.compiler.language.problems import printable
from archc.diff.compare import Diff, changes
from archc.diff.rows import Figures, RowDiff
from archc.diff.sides import Side
from archc.diff.verdicts import VERDICTS, Effect, Finding
from archc.findings import At


@dataclass(frozen=True, slots=True)
class Told:
    """A diff, and what its two sides are called."""

    old: Side
    new: Side
    diff: Diff
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> list[RowDiff]:
        """The rows of which there is something to say."""
        return [row for row in self.diff.rows if row.mark]

    @property
    def rest(self) -> list[Finding]:
        """What no line of a row says: the findings of callers, of checkpoints and of many rows."""
        return [finding for finding in self.diff.findings if finding.id not in OF_ROWS]

    def figures(self) -> Iterator[tuple[str, int, int]]:
        """What the two networks come to."""
        a, b = self.old.net, self.new.net
        yield "parameters", a.params.trainable, b.params.trainable
        yield "MACs", a.macs, b.macs
        yield "bytes of activations at once", a.memory.peak, b.memory.peak

    def command(self) -> str | None:
        """What carries a checkpoint over to a file of the new spec, where that is of use."""
        tensors = self.diff.tensors
        differ = tensors.move + tensors.lost + tensors.fresh
        gone = self.new.folder or self.old.name == self.new.name
        if gone or not tensors.kept or not differ:
            return None
        settings = "".join(f" --set {name}={text}" for name, text in self.settings.items())
        specs = f"--spec {self.new.name} --from-spec {self.old.name}{settings}"
        return f"archc weights convert OLD.safetensors NEW.safetensors {specs}"

    def weights(self) -> str:
        """What becomes of the tensors of a checkpoint, in a line."""
        t = self.diff.tensors
        counts = ((t.load, "load"), (t.move, "move"), (t.lost, "lost"), (t.fresh, "new"))
        return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "none"

    def at(self, finding: Finding) -> At | None:
        """Where it is, with the file as the user names it."""
        place = finding.place
        if place is None:
            return None
        side = self.old if finding.id in REMOVED else self.new
        return At(side.file(place), place.line, place.column)


OF_ROWS = ("D101", "D102", "D103", "D104", "D105", "D107")
REMOVED = ("D102", "D203", "D222", "D232")
"""Findings of what the old spec alone has."""


def what(row: RowDiff) -> str:
    """What has become of a row, in words."""
    figures = row.new or row.old
    assert figures is not None
    if row.old is None or row.new is None:
        return figures.block
    said = [f"was {row.former}"] if row.former != row.name else []
    said += [changes(row.cells)] if row.cells else []
    said += ["inside"] if row.inside and not row.cells else []
    follows = not (row.cells or row.inside) and row.old.params != row.new.params
    said += ["takes other channels"] if follows else []
    return ", ".join(said)


def costs(row: RowDiff) -> list[str]:
    """Its output, its parameters, its MACs and how much of the input it sees, before and after."""
    return [_both(row, look) for look in LOOKS]


LOOKS: tuple[Callable[[Figures], str], ...] = (
    lambda figures: dims(figures.output),
    lambda figures: f"{figures.params:,}",
    lambda figures: f"{figures.macs:,}",
    lambda figures: "all" if figures.field is None else dims(figures.field),
)


def _both(row: RowDiff, look: Callable[[Figures], str]) -> str:
    was, now = (look(side) if side else "" for side in (row.old, row.new))
    return f"{was} -> {now}" if was and now and was != now else now or was


def share(was: int, now: int) -> str:
    """`+1.5 %`; nothing where there is no change, or no whole to have a share of."""
    return f"{100 * (now - was) / was:+.1f} %" if was and now != was else ""


# --------------------------------------------------------------------------------------- markdown

MOST_ROWS = 28
MOST_FINDINGS = 14
"""Of a comment in a review, which at most has 60 lines."""


def markdown(told: Told) -> str:
    """For a comment in a review."""
    return "\n".join(_markdown(told)) + "\n"


def _markdown(told: Told) -> Iterator[str]:
    yield f"**{_md(told.old.name)} → {_md(told.new.name)}: {told.diff.effect}**"
    if told.diff.effect is Effect.NOTHING:
        return
    yield from ("", "| | before | after | |", "|---|--:|--:|--:|")
    for name, was, now in told.figures():
        yield f"| {name} | {was:,} | {now:,} | {share(was, now)} |"
    yield from ("", f"Tensors of a checkpoint: {told.weights()}.")
    rows = told.changed
    if rows:
        yield from ("", "| | row | | output | parameters | MACs | sees |")
        yield "|---|---|---|--:|--:|--:|--:|"
    for row in rows[:MOST_ROWS]:
        cells = [f"`{row.mark}`", f"`{row.name}`", _md(what(row)), *costs(row)]
        yield f"| {' | '.join(cells)} |"
    if rows[MOST_ROWS:]:
        yield f"| | | and {len(rows) - MOST_ROWS:,} more rows | | | | |"
    rest = told.rest
    yield from [""] if rest else []
    for finding in rest[:MOST_FINDINGS]:
        yield f"- {finding.id} *{finding.effect}*: {_md(finding.message)}"
    if rest[MOST_FINDINGS:]:
        yield f"- and {len(rest) - MOST_FINDINGS:,} more"
    if (command := told.command()) is not None:
        yield from ("", f"`{printable(command)}`")


def _md(text: str) -> str:
    """A text in a cell: on one line, and nothing of it is markup but what is quoted."""
    line = printable(text).replace("|", "\\|").replace("<", "&lt;")
    return line.replace("_", "\\_") if "`" not in line else line


# ------------------------------------------------------------------------------------ for programs


def plain(told: Told) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "old": told.old.name,
        "new": told.new.name,
        "effect": str(told.diff.effect),
        "findings": [_plain(told, finding) for finding in told.diff.findings],
        "totals": {name: {"old": was, "new": now} for name, was, now in told.figures()},
        "tensors": told.diff.tensors.plain(),
        "command": told.command(),
        "rows": [_row(row) for row in told.changed],
    }


def _plain(told: Told, finding: Finding) -> dict[str, Any]:
    at = told.at(finding)
    place = {} if at is None else at._asdict()
    said = {"id": finding.id, "effect": str(finding.effect), "message": finding.message}
    return {**said, "row": finding.row or None, **place}


def _row(row: RowDiff) -> dict[str, Any]:
    sides = {"old": row.old, "new": row.new}
    return {
        "row": row.name,
        "former": row.former or None,
        "moved": row.moved,
        "cells": {key: list(change) for key, change in row.cells.items()},
        "inside": {f"{p}.{key}".rstrip("."): list(c) for (p, key), c in row.inside.items()},
        **{name: side and _figures(side) for name, side in sides.items()},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "block": figures.block,
        "output_shape": list(figures.output),
        "params": figures.params,
        "macs": figures.macs,
        "receptive_field": figures.field and list(figures.field),
    }


def as_json(told: Told) -> str:
    return json.dumps(plain(told), indent=2) + "\n"


LEVELS: Mapping[Effect, str] = {
    Effect.NOTHING: "notice",
    Effect.COST_ONLY: "notice",
    Effect.WEIGHTS_COMPATIBLE: "notice",
    Effect.WEIGHTS_NEED_MOVING: "warning",
    Effect.WEIGHTS_LOST: "warning",
    Effect.INTERFACE_BROKEN: "error",
}
"""Of annotations."""


def github(told: Told) -> str:
    """Workflow commands, which GitHub shows as annotations of the lines."""
    return "".join(_annotation(told, finding) for finding in told.diff.findings)


def _annotation(told: Told, finding: Finding) -> str:
    at = None if finding.id in REMOVED else told.at(finding)
    title = f"{finding.id} {finding.effect}"
    return findings.command(LEVELS[finding.effect], finding.message, title, at)


def sarif(told: Told) -> str:
    """SARIF 2.1.0, which code scanning takes."""
    return findings.sarif(VERDICTS, (_result(told, finding) for finding in told.diff.findings))


def _result(told: Told, finding: Finding) -> dict[str, Any]:
    message = f"{finding.message} ({finding.effect})"
    return findings.result(finding.id, LEVELS[finding.effect], message, told.at(finding))


FORMATS: Mapping[str, Callable[[Told], str]] = {
    "markdown": markdown,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
"""Beside `text`, which is for a terminal."""
