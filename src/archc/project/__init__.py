"""Projects: which specs there are, how they are trained, what is written for them, and where.

In comes `archc.toml`, or the table `[tool.archc]` of `pyproject.toml`: the nearest one at or above
the working directory, and in one folder the former. Out go jobs: a spec with settings, and what its
files are called. Paths in it start at its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from archc import backends
from archc.backends import Name
from archc.compiler.language.problems import (
    Problem,
    Source,
    SpecError,
    in_reading_order,
    quote,
)
from archc.compiler.spec import reader
from archc.compiler.spec.folders import near, shipped
from archc.compiler.spec.nodes import problems_of
from archc.compiler.spec.reader import Scalar
from archc.jobs import Job
from archc.project import toml
from archc.project.models import NAMING, ProjectSpec, VariantSpec

OWN, SHARED = "archc.toml", "pyproject.toml"
OUTPUT = "generated"
"""Where files go, if nobody says otherwise."""
_PATTERN = re.compile(r"[*?[]")
Finder = Callable[[Scalar, list[Problem]], Iterable[Path]]
"""What gives the file that a name means, or says that there is none."""


@dataclass(frozen=True)
class Project:
    """What a project's file says."""

    file: Path
    said: ProjectSpec

    @property
    def folder(self) -> Path:
        """Where its paths start, from the working directory."""
        return self.file.parent

    @cached_property
    def jobs(self) -> list[Job]:
        """All its networks: its specs in order, then its variants. Raises `SpecError`."""
        problems: list[Problem] = []
        found = [*self._specs(problems), *self._variants(problems)]
        found = self._trained(found, problems)
        if not found and not problems:
            hint = ProjectSpec.example
            problems.append(Problem("E011", "the project names no spec", self.said.place, hint))
        problems += _clashes(found)
        if problems:
            raise SpecError(in_reading_order(problems, str(self.file)))
        return found

    def job(self, spec: str) -> Job:
        """What a person means by `spec`: a file, or else one of its variants, or a shipped spec."""
        known = {str(name): (name, variant) for name, variant in self.said.variants.items()}
        own = spec in known and not os.path.lexists(spec)
        problems: list[Problem] = []
        found = [*self._variant(*known[spec], problems)] if own else [Job(spec)]
        found = self._trained(found, problems, every=False)
        if problems:
            raise SpecError(problems)
        return found[0]

    @property
    def backends(self) -> tuple[Name, ...]:
        """What it writes for."""
        return tuple(backends.sources() if self.said.backends is None else self.said.backends)

    @property
    def output(self) -> Path:
        """The folder that it writes into. Raises `SpecError` where that is none of its own."""
        said = self.said.output
        found = self.folder / (said or OUTPUT)
        if said is not None and not _within(found, self.folder):
            hint = "name a folder below, or give another one with `--out`"
            message = f"{quote(said)} leads out of the project's folder"
            raise SpecError([Problem("P004", message, said.place, hint)])
        return found

    @property
    def include(self) -> list[Path]:
        """Folders whose files specs may use too. Raises `SpecError` where one is not there."""
        missing = [name for name in self.said.include if not (self.folder / name).is_dir()]
        if missing:
            hint = "folders start at the project's"
            raise SpecError(
                Problem("P001", f"there is no folder {quote(name)}", name.place, hint)
                for name in missing
            )
        return [self.folder / name for name in self.said.include]

    def file_name(self, stem: str, backend: Name) -> str:
        """What a file of source is called."""
        naming = self.said.naming or NAMING
        return f"{naming.replace('{name}', stem).replace('{backend}', backend)}.py"

    def gives(self) -> set[str]:
        """The names of all files that it writes: of a graph, its textual form's too."""
        found: set[str] = set()
        for job in self.jobs:
            for backend in job.backends or self.backends:
                graph = backends.get(backend).graph
                found |= (
                    {job.stem + graph.ending, job.stem + graph.text_ending}
                    if graph
                    else {self.file_name(job.stem, backend)}
                )
        return found

    def scripts(self) -> set[str] | None:
        """The names of all scripts of training that it writes; None where nobody can tell: as it
        names no recipes, or one of them is wrong."""
        if not self.said.recipes:
            return None
        from archc.project.recipes import scripts

        return scripts(self)

    def _trained(self, jobs: list[Job], problems: list[Problem], every: bool = True) -> list[Job]:
        """Networks, `every` one of the project or some, with the recipes that are for them."""
        if not self.said.recipes:
            return jobs
        from archc.project.recipes import trained, unmatched  # few projects name any

        problems += unmatched(self.said.recipes, jobs) if every and not problems else ()
        return trained(self, jobs, problems)

    def _specs(self, problems: list[Problem]) -> Iterator[Job]:
        seen = set[str]()
        for name in self.said.specs:
            for path in self.files(name, self._file, problems):
                real = os.path.realpath(path)
                if real not in seen:
                    seen.add(real)
                    yield Job(path, place=name.place)

    def files(self, name: Scalar, one: Finder, problems: list[Problem]) -> list[Path]:
        """The files that an entry of a list means: `one`, or those of a pattern."""
        if not _PATTERN.search(name):
            return [*one(name, problems)]
        try:
            found = sorted(path for path in self.folder.glob(name) if path.is_file())
        except (NotImplementedError, ValueError) as error:
            why = "a pattern starts at the project's folder" if name.startswith("/") else str(error)
            problems.append(Problem("P001", f"{quote(name)} is no pattern", name.place, why))
            return []
        if not found:
            message, hint = (
                f"{quote(name)} matches no file",
                "patterns start at the project's folder",
            )
            problems.append(Problem("P001", message, name.place, hint))
        return found

    def _file(self, name: Scalar, problems: list[Problem]) -> Iterator[Path]:
        path = self.folder / name
        found = path if path.is_file() else shipped(Path(name))
        if found is not None:
            yield found
            return
        hint = near(name) or "name a file, from the project's folder, or a shipped spec"
        problems.append(Problem("P001", f"there is no spec {quote(name)}", name.place, hint))

    def _variants(self, problems: list[Problem]) -> Iterator[Job]:
        for name, variant in self.said.variants.items():
            yield from self._variant(name, variant, problems)

    def _variant(
        self, name: Scalar, variant: VariantSpec, problems: list[Problem]
    ) -> Iterator[Job]:
        for path in self._file(variant.spec, problems):
            settings: dict[str, object] = dict(variant.set.items())
            yield Job(
                path,
                settings,
                str(name),
                variant.backends,
                variant.inference,
                name.place,
                variant.static,
            )


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _clashes(jobs: Iterable[Job]) -> Iterator[Problem]:
    """Networks whose files would have one name."""
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(job.stem, job)
        if other is not job and job.place is not None and other.place is not None:
            message = f"two networks are called {quote(job.stem)}, and so would be their files"
            hint = "call a variant otherwise, or rename one of the specs"
            problem = Problem("P003", message, job.place, hint)
            yield problem.also(("the first", other.place))


def find(start: Path | None = None) -> Project | None:
    """The project that the working directory, or `start`, is in. Raises `SpecError` where its file
    is wrong."""
    try:
        here = Path(os.path.realpath(start or os.getcwd()))
        cwd = os.getcwd()
    except FileNotFoundError:
        return None
    for folder in (here, *here.parents):
        for name in (OWN, SHARED):
            if (folder / name).is_file():
                project = read(Path(os.path.relpath(folder / name, cwd)))
                if project is not None:
                    return project
    return None


def read(file: Path) -> Project | None:
    """The project that a file describes; None for a pyproject.toml without a table `[tool.archc]`.

    Raises `SpecError`.
    """
    source = _source(file)
    shared = file.name == SHARED
    if shared and "archc" not in source.text:
        return None
    root, problems = toml.read(source)
    if problems:
        raise SpecError(problems)
    node: Any = root
    for key in ("tool", "archc") if shared else ():
        if not isinstance(node, reader.Mapping) or key not in node:
            return None
        node = node[key]  # type: ignore[index]
    try:
        return Project(file, ProjectSpec.model_validate(node))
    except ValidationError as error:
        raise SpecError(in_reading_order(problems_of(error), source.name)) from None


def _source(file: Path) -> Source:
    try:
        return reader.read_source(file)
    except SpecError as error:
        if error.problems[0].code != "E003":
            raise
        return Source(str(file), "")
