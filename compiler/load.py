"""Files to one checked spec with the blocks of every library that it uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from archc.compiler import reader
from archc.compiler.problems import Place, Problem, Source, SpecError, quote
from archc.compiler.reader import Scalar
from archc.compiler.spec import BlockSpec, Spec, validate

SHIPPED = Path(__file__).resolve().parent.parent / "specs"
"""The specs and block libraries that come with archc."""


@dataclass(frozen=True, eq=False)
class Files:
    """A spec and the libraries it uses, directly or through each other, in order of use."""

    spec: Spec | None
    libraries: tuple[Spec, ...] = ()
    blocks: Mapping[str, BlockSpec] = field(default_factory=dict)


def load(path: Path) -> tuple[Files | None, list[Problem]]:
    """Reads the file at `path` and what it uses. Nothing is raised: problems are returned."""
    loader = _Loader()
    spec = loader.file(path, str(path), ())
    blocks = loader.blocks() if spec else {}
    libraries = tuple(library for library in list(loader.specs.values())[1:] if library)
    return Files(spec, libraries, blocks), loader.problems


@lru_cache(maxsize=256)
def _parse(name: str, text: str) -> tuple[Spec | None, tuple[Problem, ...]]:
    source = Source(name, text)
    node, problems = reader.read(source)
    if node is None and not problems:
        here = Place(source, 1, 1)
        problems = [Problem("E003", "there is nothing but comments", here, "write `archc: 1`")]
    if node is None or problems:
        return None, tuple(problems)
    spec, problems = validate(node)
    return spec, tuple(problems)


class _Loader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.specs: dict[Path, Spec | None] = {}

    def file(
        self, path: Path, name: str, users: tuple[Path, ...], use: Scalar | None = None
    ) -> Spec | None:
        key = Path(os.path.realpath(path))
        if use is not None and key in users:
            circle = [file.name for file in (*users[users.index(key) :], key)]
            message = f"these files use each other: {' -> '.join(circle)}"
            hint = "move what both need into a third file"
            self.problems.append(Problem("E009", message, use.place, hint))
            return None
        if key in self.specs:
            return self.specs[key]
        spec = self.read(path, name, use)
        self.specs[key] = spec
        if spec is not None:
            for used in spec.use:
                assert isinstance(used, Scalar)
                found = _find(used, path)
                self.file(found, str(found), (*users, key), used)
        return spec

    def read(self, path: Path, name: str, use: Scalar | None) -> Spec | None:
        try:
            source = reader.read_source(path, name)
        except SpecError as error:
            problem = error.problems[0]
            if use is not None:
                message = f"cannot use {quote(use)}: {problem.message}"
                hint = problem.hint or "it may stand beside this file, or among the shipped specs"
                problem = replace(problem, place=use.place, message=message, hint=hint)
            self.problems.append(problem)
            return None
        spec, problems = _parse(source.name, source.text)
        self.problems.extend(problems)
        return spec

    def blocks(self) -> dict[str, BlockSpec]:
        found: dict[str, BlockSpec] = {}
        owners: dict[str, Place] = {}
        for spec in self.specs.values():
            for name, block in spec.blocks.items() if spec else ():
                assert isinstance(name, Scalar)
                if name in found:
                    message = f"the block `{name}` is defined twice"
                    related = (("and here", name.place),)
                    self.problems.append(
                        Problem("E015", message, owners[name], "rename one", related)
                    )
                else:
                    found[name], owners[name] = block, name.place
        return found


def _find(use: Scalar, user: Path) -> Path:
    """The used file: beside the file that uses it, or among the shipped specs."""
    beside = user.parent / use
    shipped = SHIPPED / use
    return shipped if os.path.exists(shipped) and not os.path.exists(beside) else beside
