"""A diff as markdown, as Mermaid, as JSON, as annotations of GitHub, and as SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from archc import findings
from archc.compiler.language.problems import printable
from archc.diff.rows import Figures, RowDiff
from archc.diff.told import REMOVED, Told, share, what
from archc.diff.verdicts import VERDICTS, Effect, Finding

# --------------------------------------------------------------------------------------- markdown

MOST_LINES = 60
MOST_ROWS = 28
MOST_FINDINGS = 14
"""Of a comment in a review."""


def markdown(told: Told) -> str:
    """For a comment in a review; with a figure, folded away, where there is room for it."""
    lines = [*_markdown(told)]
    figure = mermaid(told).splitlines()
    if figure and len(lines) + len(figure) + 7 <= MOST_LINES:
        lines += ["", "<details><summary>Changed rows</summary>", "", "```mermaid", *figure]
        lines += ["```", "", "</details>"]
    return "\n".join(lines) + "\n"


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
        yield from ("", f"| | row | | {' | '.join(told.columns)} |")
        yield f"|---|---|---|{'--:|' * len(told.columns)}"
    for row in rows[:MOST_ROWS]:
        cells = [f"`{row.mark}`", f"`{row.name}`", _md(what(row)), *told.costs(row)]
        yield f"| {' | '.join(cells)} |"
    if rows[MOST_ROWS:]:
        yield f"| | | and {len(rows) - MOST_ROWS:,} more rows |{' |' * len(told.columns)}"
    rest = told.rest
    yield from [""] if rest else []
    for finding in rest[:MOST_FINDINGS]:
        yield f"- {finding.id} *{finding.effect}*: {_md(finding.message)}"
    if rest[MOST_FINDINGS:]:
        yield f"- and {len(rest) - MOST_FINDINGS:,} more"
    if (command := told.command()) is not None:
        yield from ("", f"`{printable(command)}`")


def mermaid(told: Told) -> str:
    """A flowchart of the changed rows."""
    from archc.diff import drawn  # what prints text draws nothing

    return drawn.mermaid(told)


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
    "mermaid": mermaid,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
"""Beside `text`, which is for a terminal."""
