"""What a graph that archc wrote says of its network, whichever format it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archc.backends import GraphOptions

Shape = tuple[int | str | None, ...]
"""Without the batch. A name or None is for a size that the model's user chooses."""


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """One row of the spec, as the graph has it."""

    block: str
    """The function or the operator that it calls."""
    output: Shape
    feeds: tuple[str, ...]
    """Names of rows and inputs."""
    ops: Mapping[str, Mapping[str, str]]
    """What its operators do, by their paths in the row, "" for a row that is one itself: their
    attributes, the operator under "", and what feeds it under "from"."""


@dataclass(frozen=True, slots=True)
class Outline:
    """All of a graph but the numbers of its weights."""

    name: str
    notes: Mapping[str, str]
    """What the file says of itself: `spec`, `settings` as `alpha=1, classes=10`, `parameters`,
    `macs`."""
    options: GraphOptions
    """How it was written."""
    static: bool
    """Whether for one size alone."""
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    rows: Mapping[str, OutlineRow]
    """By name, in order. A row that does nothing in evaluation, as dropout, is none."""
    weights: Mapping[str, tuple[int, ...]]
    """Shapes by canonical name."""
