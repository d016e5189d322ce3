"""What there is to watch: networks, and the files that each of them is made of.

A network is stale where a file that it is made of is another one than when it was read: in size,
time or place. Who watches is only woken by the file system, and looks here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from archc.api import Net
from archc.compiler.language.problems import Source
from archc.compiler.spec.folders import named
from archc.compiler.spec.load import reached
from archc.jobs import Job

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What tells a file from another one at the same path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@dataclass
class Watched:
    """One network, as it was when it was sound the last time."""

    job: Job
    net: Net | None = None
    seen: dict[Path, Stamp | None] = field(default_factory=dict)
    """The files that it is made of, as they were when they were read the last time."""

    def look(self, include: Iterable[Path]) -> None:
        """Takes note of the files that it is made of now, and those that say how it is trained."""
        assert not isinstance(self.job.spec, Source)
        files = reached(named(self.job.spec), include)
        for recipe in self.job.recipes:
            from archc.compiler.recipe import load  # few networks are trained

            files |= load.reached(recipe, include)
        self.seen = {path: stamp(path) for path in files}

    def changed(self) -> set[Path]:
        """The files that are others than when they were read."""
        return {path for path, was in self.seen.items() if stamp(path) != was}


def there(path: Path) -> Path:
    """The folder that a file is in, or the nearest above that there is."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


UNWATCHED = ("__pycache__", "node_modules")
"""Folders that have no specs, and perhaps many files; those with a dot before their names too."""


def folders_of(pattern: str, start: Path) -> Iterator[Path]:
    """The folders in which files that match a pattern may come to be."""
    parts = Path(pattern).parts[:-1]
    fixed = next((i for i, part in enumerate(parts) if set(part) & {*"*?["}), len(parts))
    top = start.joinpath(*parts[:fixed])
    if fixed == len(parts):
        yield from [top] if top.is_dir() else []
        return
    for folder, below, _ in os.walk(top):
        below[:] = [name for name in below if name[0] != "." and name not in UNWATCHED]
        yield Path(folder)
