"""The verdicts that a diff can come to: identifiers that stay, and their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from archc.compiler.language.problems import Place


class Effect(IntEnum):
    """What a change does to those who use the network, the least first."""

    NOTHING = 0
    COST_ONLY = 1
    WEIGHTS_COMPATIBLE = 2
    WEIGHTS_NEED_MOVING = 3
    WEIGHTS_LOST = 4
    INTERFACE_BROKEN = 5

    def __str__(self) -> str:
        return self.name.replace("_", " ").lower()


VERDICTS: Mapping[str, str] = {
    # Rows
    "D101": "a row is added",
    "D102": "a row is removed",
    "D103": "a row stands elsewhere",
    "D104": "a row goes by another name",
    "D105": "a row says something else",
    "D106": "rows do something else inside, which their cells do not say",
    "D107": "rows have other tensors, as what they take has changed",
    # Callers
    "D201": "the model goes by another name",
    "D202": "an argument of the model is added",
    "D203": "an argument of the model is removed",
    "D204": "an argument of the model has another default",
    "D205": "the arguments of the model stand in another order",
    "D206": "an argument of the model takes something else",
    "D211": "the model takes something else",
    "D212": "the declared size of an input is another one",
    "D221": "an output is added",
    "D222": "an output is removed",
    "D223": "an output is another one",
    "D231": "a tap is added",
    "D232": "a tap is removed",
    "D233": "a tap is another one",
    # Checkpoints
    "D301": "tensors go by other names",
    "D302": "tensors have no place any more",
    "D303": "tensors are in no checkpoint of the old network",
    # All else
    "D401": "something else differs",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an edit does."""

    id: str
    effect: Effect
    message: str
    place: Place | None = None
    """In the new spec, or in the old one where the new one does not have it."""
    row: str = ""
    """Of the new network, or of the old one; empty where it is of no row alone."""
