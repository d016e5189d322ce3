"""Which file a name means, and the folders from which a spec may `use` and `extend` files.

A spec may come from anyone. What it names is read, and problems quote what is read, so it reaches
no file but those that whoever names the spec would expect it to.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[2] / "specs"
"""The specs and block libraries that come with archc."""

PROJECT = ("pyproject.toml", "archc.toml", ".git")
"""What the top folder of a project holds, one of them at least."""


def named(spec: str | os.PathLike[str]) -> Path:
    """The file that a person means by `spec`: the one of that path, or else a shipped one of that
    name, with or without its ending. Where there is neither, the path."""
    path = Path(spec)
    if os.path.lexists(path) and not path.is_dir():
        return path
    return shipped(path) or path


def shipped(name: Path) -> Path | None:
    """The file that comes with archc by that name: `mnv3_large`, `blocks/mobilenet.yaml`."""
    if name.is_absolute() or ".." in name.parts:
        return None
    found = (SHIPPED / name, SHIPPED / f"{name}.yaml")
    return next((file for file in found if file.suffix == ".yaml" and file.is_file()), None)


def networks() -> list[str]:
    """The names of all networks that come with archc."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def near(name: str) -> str | None:
    """Which shipped networks somebody may have meant who names a file that is not there."""
    word = name.removesuffix(".yaml")
    few = difflib.get_close_matches(word, networks(), n=3) if len(word) <= LONGEST_NAME else []
    said = " or ".join(f"`{each}`" for each in few)
    return f"did you mean the shipped {said}?" if few else None


LONGEST_NAME = 64
"""Of what is compared with the names of shipped specs."""


class Folders:
    """Folders with all that is in them: the spec's own, its project's, the shipped specs' and those
    that `include` names."""

    def __init__(self, spec: Path, include: Iterable[Path] = ()) -> None:
        self.folder = Path(os.path.realpath(spec.parent))
        self.include = [*include]

    def roots(self) -> Iterator[Path]:
        """The nearest first: most files lie there, and the others need not be looked for."""
        yield from (self.folder, SHIPPED)
        yield from _project(self.folder)
        yield from (Path(os.path.realpath(each)) for each in self.include)

    def hold(self, file: Path) -> bool:
        """Whether `file`, a path without links, is in one of them."""
        return any(file.is_relative_to(root) for root in self.roots())


def _project(folder: Path) -> Iterator[Path]:
    """The nearest folder at or above `folder` that is a project's top.

    The whole disk and all of a person's files are no project, even under version control.
    """
    everything = (Path(folder.anchor), Path(os.path.realpath(os.path.expanduser("~"))))
    for above in (folder, *folder.parents):
        if above in everything:
            return
        if any(os.path.lexists(above / marker) for marker in PROJECT):
            yield above
            return
