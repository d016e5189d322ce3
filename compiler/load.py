"""Files to one checked spec with the blocks of every library that it uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
        if use is not None and len(users) == MAX_FILES:
            message = f"more than {MAX_FILES} files use each other in a row"
            self.problems.append(Problem("E008", message, use.place))
            return None
        spec = self.read(path, name, use)
        self.specs[key] = spec
        if spec is not None:
            for used in spec.use:
                self.used(used, path, (*users, key))
            if spec.set and spec.extends is None:
                hint = "give the parameters other defaults under `params`"
                message = "`set` is for the parameters of a spec that this one `extends`"
                self.problems.append(Problem("E011", message, spec.key_place("set"), hint))
            if spec.extends is not None:
                base = self.used(spec.extends, path, (*users, key))
                spec = self.specs[key] = self.extended(base, spec)
        return spec

    def used(self, name: str, user: Path, users: tuple[Path, ...]) -> Spec | None:
        assert isinstance(name, Scalar)
        found = _find(name, user)
        return self.file(found, str(found), users, name)

    def extended(self, base: Spec | None, spec: Spec) -> Spec | None:
        """`spec` with what it does not say itself as `base` says it."""
        assert isinstance(spec.extends, Scalar)
        place = spec.extends.place
        if base is None:
            return None
        if base.network is None:
            message = f"{quote(spec.extends)} is no network"
            hint = "name a spec with a `network`, or `use` a block library"
            self.problems.append(Problem("E017", message, place, hint))
            return None
        merged, problems = _extended(Same(base, spec))
        self.problems.extend(problems)
        return merged

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
        hint = suggest(name, params) or choices(params)
        related = (("the spec that it extends", base.key_place("params")),)
        message = f"unknown parameter `{name}`"
        problems.append(Problem("E050", message, name.place, hint, related))
    own = {key: getattr(spec, key) for key in ("name", "source", "doc", "input", "network")}
    update = {key: value for key, value in own.items() if value}
    merged = base.model_copy(
        update={
            **update,
            "params": {**params, **spec.params},
            "let": {**base.let, **spec.let},
            "require": (*base.require, *spec.require),
            "defaults": {**base.defaults, **spec.defaults},
            "blocks": spec.blocks,
        }
    )
    return merged, tuple(problems)


def _find(use: Scalar, user: Path) -> Path:
    """The used file: beside the file that uses it, or among the shipped specs."""
    beside = user.parent / use
    shipped = SHIPPED / use
    return shipped if os.path.exists(shipped) and not os.path.exists(beside) else beside
