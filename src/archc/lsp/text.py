"""Places of the compiler, which count characters from 1, and positions of the protocol, which count
the units of an encoding from 0."""

from __future__ import annotations

from lsprotocol import types
from pygls.workspace import PositionCodec

from archc.compiler.language.problems import Place

Cursor = tuple[int, int]
"""A line and a column, from 1; the column is that of the character to the right."""


def line_of(lines: list[str], number: int) -> str:
    """The line of a number from 1; empty beyond the text."""
    return lines[number - 1] if 1 <= number <= len(lines) else ""


def cursor(codec: PositionCodec, lines: list[str], position: types.Position) -> Cursor:
    """Where a position is; beyond a line or the text, its end."""
    number = min(position.line + 1, len(lines))
    line, left = line_of(lines, number), position.character
    for index, character in enumerate(line):
        if left <= 0:
            return number, index + 1
        left -= codec.client_num_units(character)
    return number, len(line) + 1


def span(codec: PositionCodec, place: Place) -> types.Range:
    """What a place covers."""
    line = line_of(place.source.lines, place.line)

    def position(column: int) -> types.Position:
        return types.Position(place.line - 1, codec.client_num_units(line[:column]))

    start = place.column - 1
    return types.Range(position(start), position(start + place.length))
