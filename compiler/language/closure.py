"""Everything that something leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def closure(start: Iterable[T], onward: Callable[[T], Iterable[T]]) -> dict[T, None]:
    """What is in `start` and all that it leads to by `onward`, once each, the nearest first."""
    found: dict[T, None] = {}
    queue = [*start]
    for each in queue:  # it grows meanwhile
        if each not in found:
            found[each] = None
            queue += onward(each)
    return found
