"""Files to one checked spec with the blocks of every library that it uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from archc.compiler.language.problems import (
    Enough,
    Place,
    Problem,
    Reporter,
    Source,
    SpecError,
    quote,
)
from archc.compiler.spec import reader
from archc.compiler.spec.folders import SHIPPED as SHIPPED
from archc.compiler.spec.folders import Folders, near
from archc.compiler.spec.libraries import blocks_of
from archc.compiler.spec.models import BlockSpec, Spec
from archc.compiler.spec.nodes import problems_of
from archc.compiler.spec.reader import Scalar
from archc.compiler.spec.variants import alone, extended

MAX_FILES = 16
"""How many files may use or extend each other in a row."""


@dataclass(frozen=True)
class Files:
    """A spec and the libraries it uses, directly or through each other, in order of use."""

    spec: Spec | None
    libraries: tuple[Spec, ...] = ()
    blocks: Mapping[str, BlockSpec] = field(default_factory=dict, compare=False)


def load(given: Path | Source, include: Iterable[Path] = ()) -> tuple[Files | None, list[Problem]]:
    """Reads the file at a path, or a text as if it lay in the working directory, and what it uses.
    Nothing is raised: problems are returned.

    What it uses lies in its folder or project, among the shipped specs, or in folders to `include`.
    """
    path = Path(given.name) if isinstance(given, Source) else given
    loader = _Loader(Folders(path, include), given)
    try:
        spec = loader.file(path, Path(os.path.realpath(path)), ())
    except Enough:
        return None, loader.problems
    blocks, problems = blocks_of(loader.specs, loader.links) if spec else ({}, [])
    libraries = tuple(library for library in list(loader.specs.values())[1:] if library)
    return Files(spec, libraries, blocks), [*loader.problems, *problems]


def reached(path: Path, include: Iterable[Path] = ()) -> set[Path]:
    """Every file that decides what the spec at `path` means: itself and what it uses or extends,
    whether or not it is there and sound; and where else such a file would be looked for first."""
    loader = _Loader(Folders(path, include), path)
    with suppress(Enough):
        loader.file(path, Path(os.path.realpath(path)), ())
    return {*loader.specs, *loader.sought}


LARGE = 2**16
"""Characters of files that are read anew each time, as they would fill the memory."""


@lru_cache(maxsize=64)
def _parse(name: str, text: str) -> tuple[Spec | None, tuple[Problem, ...]]:
    source = Source(name, text)
    node, problems = reader.read(source)
    if node is None and not problems:
        here = Place(source, 1, 1)
        problems = [Problem("E003", "there is nothing but comments", here, "write `archc: 1`")]
    if not problems and isinstance(node, reader.Mapping) and "recipe" in node:
        message = "this is a recipe of training, and no network"
        hint = "name a spec, and the recipe with `--recipe`"
        problems = [Problem("E016", message, node.place, hint)]
    if problems:
        return None, tuple(problems)
    try:
        return Spec.model_validate(node), ()
    except ValidationError as error:
        return None, tuple(problems_of(error))


_extended = lru_cache(maxsize=64)(extended)


@dataclass(frozen=True, slots=True)
class _Link:
    """The name of a file in another one, which means to `use` or to `extend` it."""

    name: Scalar
    verb: str

    def refused(self, code: str, why: str, hint: str | None) -> Problem:
        message = f"cannot {self.verb} {quote(self.name)}: {why}"
        return Problem(code, message, self.name.place, hint)


class _Loader(Reporter):
    def __init__(self, folders: Folders, given: Path | Source) -> None:
        super().__init__()
        self.folders, self.given = folders, given
        self.characters = 0
        self.specs: dict[Path, Spec | None] = {}
        self.links: dict[Path, list[Path]] = {}
        """The files that a file uses or extends."""
        self.sought: set[Path] = set()
        """Where files are looked for before the shipped specs are."""

    def file(
        self, path: Path, key: Path, users: tuple[Path, ...], link: _Link | None = None
    ) -> Spec | None:
        """The spec at `path`, which is `key` without links; `users` are the files that led here,
        and `link` is in the last."""
        if link is not None and not self.may_follow(link, key, users):
            return None
        if key in self.specs:
            return self.specs[key]
        spec = self.specs[key] = self.read(path, link)
        if spec is not None:
            here = (*users, key)
            for used in spec.use:
                self.linked(used, "use", path, here)
            if spec.extends is not None:
                base = self.linked(spec.extends, "extend", path, here)
                spec = self.specs[key] = self.extended(base, spec, spec.extends)
            else:
                self.tell(alone(spec))
        return spec

    def linked(self, name: Scalar, verb: str, user: Path, users: tuple[Path, ...]) -> Spec | None:
        found = find(name, user)
        self.sought.add(Path(os.path.abspath(user.parent / name)))
        key = Path(os.path.realpath(found))
        self.links.setdefault(users[-1], []).append(key)
        return self.file(found, key, users, _Link(name, verb))

    def may_follow(self, link: _Link, key: Path, users: tuple[Path, ...]) -> bool:
        """Whether a link leads neither in a circle nor too far. Reports it."""
        place = link.name.place
        if not self.folders.hold(key):
            why = "it lies outside of the spec's folder and project"
            hint = "copy it there, or allow the folder that it lies in with `--include`"
            self.tell([link.refused("E018", why, hint)])
        elif key in users:
            circle = [file.name for file in (*users[users.index(key) :], key)]
            message = f"these files {link.verb} each other: {' -> '.join(circle)}"
            self.report("E009", message, place, "move what both need into a third file")
        elif len(users) == MAX_FILES:
            message = f"more than {MAX_FILES} files {link.verb} each other in a row"
            flat = "name a flat copy: `archc resolve` prints a spec without what it extends"
            self.report("E008", message, place, flat if link.verb == "extend" else None)
        else:
            return True
        return False

    def extended(self, base: Spec | None, spec: Spec, name: Scalar) -> Spec | None:
        """`spec` with what it does not say itself as `base`, of that name, says it."""
        if base is None:
            return None
        if base.network is None:
            message = f"{quote(name)} is no network"
            hint = "name a spec with a `network`, or `use` a block library"
            self.report("E017", message, name.place, hint)
            return None
        small = len(base.place.source.text) + len(spec.place.source.text) < LARGE
        extend = _extended if small else _extended.__wrapped__
        # Pyright takes a model for one that cannot be hashed; see `SpecNode`.
        merged, problems = extend(base, spec)  # pyright: ignore[reportArgumentType]
        self.tell(problems)
        return None if problems else merged

    def read(self, path: Path, link: _Link | None) -> Spec | None:
        try:
            source = self.source(path, link)
        except SpecError as error:
            problem = error.problems[0]
            if link is None and problem.message == reader.MISSING:
                problem = replace(problem, hint=near(str(path)))
            if link is not None:
                hint = problem.hint or "it may stand beside this file, or among the shipped specs"
                problem = link.refused(problem.code, problem.message, hint)
            self.tell([problem])
            return None
        self.characters += len(source.text)
        if link is not None and self.characters > reader.MAX_BYTES:
            why = f"all files together are larger than {reader.MAX_BYTES // 2**10} KiB"
            self.tell([link.refused("E008", why, None)])
            return None
        parse = _parse if len(source.text) < LARGE else _parse.__wrapped__
        spec, problems = parse(source.name, source.text)
        if problems and not reader.is_spec(source.text):
            problems = self.unquoted(path, source.name, link) or problems
        self.tell(problems)
        return spec

    def source(self, path: Path, link: _Link | None) -> Source:
        if link is None and isinstance(self.given, Source):
            return self.given
        return reader.read_source(path, linked=link is not None)

    def unquoted(self, path: Path, name: str, link: _Link | None) -> tuple[Problem, ...]:
        """What to say of a file that is no spec, and that nobody may have meant to show."""
        if link is not None:
            return (link.refused("E018", "it is no spec", Spec.example),)
        if self.folders.hold(Path(os.path.realpath(path))):
            return ()
        place = Place(Source(name, ""), 1, 1)
        message = "this is a link out of its folder and project, and to no spec"
        return (Problem("E018", message, place, Spec.example),)


def find(use: str, user: Path) -> Path:
    """The used file: beside the file that uses it, or among the shipped specs."""
    beside = user.parent / use
    shipped = None if os.path.exists(beside) else SHIPPED / use
    return shipped if shipped is not None and os.path.exists(shipped) else beside
