"""Files to one checked spec with the blocks of every library that it uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from archc.compiler import reader
from archc.compiler.problems import Place, Problem, Source, SpecError, choices, quote, suggest
from archc.compiler.reader import Scalar
from archc.compiler.spec import BlockSpec, Spec, validate

SHIPPED = Path(__file__).resolve().parent.parent / "specs"
"""The specs and block libraries that come with archc."""

MAX_FILES = 16
"""How many files may use or extend each other in a row."""


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


@dataclass(frozen=True, slots=True)
class _Link:
    """The name of a file in another one, which means to `use` or to `extend` it."""

    name: Scalar
    verb: str


class _Loader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.specs: dict[Path, Spec | None] = {}

    def report(
        self,
        code: str,
        message: str,
        place: Place,
        hint: str | None = None,
        *related: tuple[str, Place],
    ) -> None:
        self.problems.append(Problem(code, message, place, hint, related))

    def file(
        self, path: Path, name: str, users: tuple[Path, ...], link: _Link | None = None
    ) -> Spec | None:
        """The spec at `path`; `users` are the files that led here, and `link` is in the last."""
        key = Path(os.path.realpath(path))
        if link is not None and not self.may_follow(link, key, users):
            return None
        if key in self.specs:
            return self.specs[key]
        spec = self.specs[key] = self.read(path, name, link)
        if spec is not None:
            here = (*users, key)
            for used in spec.use:
                self.linked(used, "use", path, here)
            if spec.extends is not None:
                base = self.linked(spec.extends, "extend", path, here)
                spec = self.specs[key] = self.extended(base, spec)
            elif spec.set:
                message = "`set` is for the parameters of a spec that this one `extends`"
                hint = "give the parameters other defaults under `params`"
                self.report("E011", message, spec.key_place("set"), hint)
        return spec

    def linked(self, name: str, verb: str, user: Path, users: tuple[Path, ...]) -> Spec | None:
        assert isinstance(name, Scalar)
        found = _find(name, user)
        return self.file(found, str(found), users, _Link(name, verb))

    def may_follow(self, link: _Link, key: Path, users: tuple[Path, ...]) -> bool:
        """Whether a link leads neither in a circle nor too far. Reports it."""
        place = link.name.place
        if key in users:
            circle = [file.name for file in (*users[users.index(key) :], key)]
            message = f"these files {link.verb} each other: {' -> '.join(circle)}"
            self.report("E009", message, place, "move what both need into a third file")
        elif len(users) == MAX_FILES:
            message = f"more than {MAX_FILES} files {link.verb} each other in a row"
            self.report("E008", message, place)
        else:
            return True
        return False

    def extended(self, base: Spec | None, spec: Spec) -> Spec | None:
        """`spec` with what it does not say itself as `base` says it."""
        assert isinstance(spec.extends, Scalar)
        if base is None:
            return None
        if base.network is None:
            message = f"{quote(spec.extends)} is no network"
            hint = "name a spec with a `network`, or `use` a block library"
            self.report("E017", message, spec.extends.place, hint)
            return None
        merged, problems = _extended(Same(base, spec))
        self.problems.extend(problems)
        return merged

    def read(self, path: Path, name: str, link: _Link | None) -> Spec | None:
        try:
            source = reader.read_source(path, name)
        except SpecError as error:
            problem = error.problems[0]
            if link is not None:
                message = f"cannot {link.verb} {quote(link.name)}: {problem.message}"
                hint = problem.hint or "it may stand beside this file, or among the shipped specs"
                problem = replace(problem, place=link.name.place, message=message, hint=hint)
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
                    related = ("and here", name.place)
                    self.report("E015", message, owners[name], "rename one", related)
                else:
                    found[name], owners[name] = block, name.place
        return found


class Same:
    """Some objects as a key: equal where they are the very same ones."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and [*map(id, self.parts)] == [*map(id, other.parts)]


@lru_cache(maxsize=256)
def _extended(key: Same) -> tuple[Spec, tuple[Problem, ...]]:
    """The second spec of `key` on top of the first: its `set` gives parameters new defaults."""
    base, spec = key.parts
    assert isinstance(base, Spec)
    assert isinstance(spec, Spec)
    problems = []
    params = dict(base.params)
    for name, value in spec.set.items():
        assert isinstance(name, Scalar)
        if name in params:
            params[name] = params[name].model_copy(update={"default": value})
            continue
        hint = suggest(name, params) or (choices(params) if params else "it has none")
        related = (("the spec that it extends", base.key_place("params")),)
        message = f"unknown parameter `{name}`"
        problems.append(Problem("E050", message, name.place, hint, related))
    own = {key: getattr(spec, key) for key in ("name", "source", "doc", "input", "network")}
    update = {key: value for key, value in own.items() if value}
    defaults = {op: {**base.defaults.get(op, {}), **new} for op, new in spec.defaults.items()}
    merged = base.model_copy(
        update={
            **update,
            "extends": spec.extends,
            "params": {**params, **spec.params},
            "let": {**base.let, **spec.let},
            "require": (*base.require, *spec.require),
            "defaults": {**base.defaults, **defaults},
            "blocks": spec.blocks,
        }
    )
    return merged, tuple(problems)


def from_extended(spec: Spec, problems: Iterable[Problem]) -> list[Problem]:
    """The problems; those in a spec that `spec` extends say from where."""
    if not isinstance(spec.extends, Scalar):
        return list(problems)
    here, base = ("extended here", spec.extends.place), spec.place.source
    return [p.also(here) if p.place.source is base else p for p in problems]


def _find(use: Scalar, user: Path) -> Path:
    """The used file: beside the file that uses it, or among the shipped specs."""
    beside = user.parent / use
    shipped = SHIPPED / use
    return shipped if os.path.exists(shipped) and not os.path.exists(beside) else beside
