"""Objects as the key of a cache: by which ones they are, and not by what they hold."""

from __future__ import annotations

from typing import Any


class Identity:
    """Some objects, equal where they are the very same ones; whatever `value` they come with."""

    def __init__(self, *parts: Any, value: Any = None) -> None:
        self.parts, self.value = parts, value

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and [*map(id, self.parts)] == [*map(id, other.parts)]
