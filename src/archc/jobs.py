"""What a command is to do: one network after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archc import backends
from archc.backends import Name
from archc.compiler.language.problems import Place, Source


@dataclass(frozen=True)
class Job:
    """One network that is to be checked or written."""

    spec: str | Path | Source
    settings: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None
    """What its files are called, if not as the spec."""
    backends: tuple[Name, ...] | None = None
    """What it is written for, if that is its own."""
    inference: bool = False
    place: Place | None = None
    """Where the project names it."""
    static: bool = False
    recipes: tuple[Path, ...] = ()
    """How the project says that it is trained, besides."""

    @property
    def stem(self) -> str:
        """What its files are called, without their endings."""
        spec = self.spec.name if isinstance(self.spec, Source) else Path(self.spec).name
        return self.name or backends.stem(spec)
