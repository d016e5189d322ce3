"""Helpers that a backend copies into what it emits: plain files of top-level definitions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path


@cache
def definitions(file: Path) -> Mapping[str, str]:
    """The text of each top-level function and class of `file`, which is not imported."""
    text = file.read_text(encoding="utf-8")
    lines = text.split("\n")
    return {
        node.name: "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _first_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


_NOT_CODE = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|#.*')
_NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*")


def mentioned(text: str, names: Iterable[str]) -> set[str]:
    """Which of `names` the code in `text` uses as plain names."""
    return set(_NAME.findall(_NOT_CODE.sub('""', text))) & set(names)


def needed(file: Path, text: str) -> list[str]:
    """The definitions of `file` that `text` uses, and those that they use, in the file's order."""
    known = definitions(file)
    wanted: set[str] = set()
    pending = mentioned(text, known)
    while pending:
        wanted |= pending
        pending = {n for name in pending for n in mentioned(known[name], known)} - wanted
    return [known[name] for name in known if name in wanted]
