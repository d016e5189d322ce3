"""Helpers that a backend copies into what it emits: plain files of top-level definitions."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Helper:
    """A function or class of a file of helpers."""

    text: str
    node: ast.FunctionDef | ast.ClassDef

    @cached_property
    def names(self) -> frozenset[str]:
        """The plain names in its code."""
        return frozenset(each.id for each in ast.walk(self.node) if isinstance(each, ast.Name))


@cache
def definitions(file: Path) -> Mapping[str, Helper]:
    """The functions and classes of `file` by name, which is not imported."""
    text = file.read_text(encoding="utf-8")
    lines = text.split("\n")
    return {
        node.name: Helper("\n".join(lines[_first_line(node) - 1 : node.end_lineno]), node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _first_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def needed(file: Path, used: Collection[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The texts of the helpers among `used` and of those that they use, in the file's order; and
    every name that is used then."""
    known = definitions(file)
    found, pending = set(used), set(used) & known.keys()
    while pending:
        mentioned = {name for helper in pending for name in known[helper].names}
        pending = (mentioned - found) & known.keys()
        found |= mentioned
    return tuple(known[name].text for name in known if name in found), frozenset(found)
