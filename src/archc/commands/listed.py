"""Problems for programs: as JSON, as annotations of GitHub, and as SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archc import findings
from archc.compiler.language.codes import CODES
from archc.compiler.language.problems import Place, Problem
from archc.findings import At


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        **_at(problem.place)._asdict(),
        "length": problem.place.length,
        "hint": problem.hint,
        "related": [
            {"message": message, **_at(place)._asdict()} for message, place in problem.related
        ],
    }


def _at(place: Place) -> At:
    return At(place.source.name, place.line, place.column)


def _message(problem: Problem) -> str:
    return problem.message if problem.hint is None else f"{problem.message}; {problem.hint}"


def as_json(problems: Sequence[Problem]) -> str:
    """A list; `line` and `column` count from 1, in characters."""
    return json.dumps([_plain(problem) for problem in problems], indent=2) + "\n"


def github(problems: Sequence[Problem]) -> str:
    """Workflow commands, which GitHub shows as annotations of the lines."""
    return "".join(
        findings.command(p.severity, _message(p), p.code, _at(p.place)) for p in problems
    )


def sarif(problems: Sequence[Problem]) -> str:
    """SARIF 2.1.0, which code scanning takes."""
    results = (findings.result(p.code, p.severity, _message(p), _at(p.place)) for p in problems)
    return findings.sarif(CODES, results)


FORMATS: Mapping[str, Callable[[Sequence[Problem]], str]] = {
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
"""Beside `text`, which is for a person."""
