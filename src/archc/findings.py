"""Findings for programs that show them at their lines: GitHub's workflow commands, and SARIF."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class At(NamedTuple):
    """A place of a file, as its user names it; `line` and `column` count from 1."""

    file: str
    line: int
    column: int


def command(level: str, message: str, title: str, at: At | None) -> str:
    """A workflow command; `level` is notice, warning or error."""
    values = {"title": title}
    if at is not None:
        values |= {"file": at.file, "line": str(at.line), "col": str(at.column)}
    given = ",".join(f"{key}={escaped(value, ':,')}" for key, value in values.items())
    return f"::{level} {given}::{escaped(message)}\n"


def escaped(text: str, more: str = "") -> str:
    """A text as a workflow command takes it: GitHub's own rule, percent signs first."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(rules: Mapping[str, str], results: Iterable[Mapping[str, Any]]) -> str:
    """A log of SARIF 2.1.0. `rules` say what each identifier means that the results use."""
    told = [*results]
    used = sorted({result["ruleId"] for result in told})
    known = [{"id": id, "shortDescription": {"text": rules[id]}} for id in used]
    run = {"tool": {"driver": {"name": "archc", "rules": known}}, "results": told}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def result(id: str, level: str, message: str, at: At | None) -> dict[str, Any]:
    """One result of a log; `level` is notice, warning or error."""
    found: dict[str, Any] = {"ruleId": id, "level": level.replace("notice", "note")}
    found["message"] = {"text": message}
    if at is not None:
        region = {"startLine": at.line, "startColumn": at.column}
        location = {"artifactLocation": {"uri": at.file}, "region": region}
        found["locations"] = [{"physicalLocation": location}]
    return found
