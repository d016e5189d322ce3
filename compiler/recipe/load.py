"""Files to one checked recipe: what it says itself, and all else as the one it extends says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from archc.compiler.language.problems import (
    Place,
    Problem,
    Reporter,
    Source,
    SpecError,
    quote,
    suggest,
)
from archc.compiler.recipe.models import OWN, RecipeSpec
from archc.compiler.spec import reader
from archc.compiler.spec.folders import SHIPPED, Folders
from archc.compiler.spec.nodes import problems_of
from archc.compiler.spec.reader import Scalar

RECIPES = SHIPPED / "recipes"
"""The recipes that come with archc."""
MOST_FILES = 16
"""How many recipes may extend each other in a row."""


def shipped() -> list[str]:
    """The names of all recipes that come with archc."""
    return sorted(file.stem for file in RECIPES.glob("*.yaml"))


def named(recipe: str | os.PathLike[str]) -> Path:
    """The file that a person means by `recipe`: the one of that path, or else a shipped one of that
    name. Where there is neither, the path."""
    path = Path(recipe)
    found = RECIPES / f"{path.name.removesuffix('.yaml')}.yaml"
    known = path.parent == Path() and found.is_file() and not os.path.lexists(path)
    return found if known else path


def load_spec(path: Path, include: Iterable[Path] = ()) -> RecipeSpec:
    """The recipe in the file at `path`, with what it extends. Raises `SpecError`."""
    return _Loader(Folders(path, include)).file(path, ())


def reached(path: Path, include: Iterable[Path] = ()) -> set[Path]:
    """Every file that decides what the recipe at `path` means: itself and those it extends, whether
    or not they are there and sound; and where those would be looked for first."""
    loader = _Loader(Folders(path, include))
    with suppress(SpecError):
        loader.file(path, ())
    return loader.reached


class _Loader(Reporter):
    def __init__(self, folders: Folders) -> None:
        super().__init__()
        self.folders = folders
        self.reached: set[Path] = set()

    def file(self, path: Path, users: tuple[Path, ...], link: Scalar | None = None) -> RecipeSpec:
        key = Path(os.path.realpath(path))
        self.reached.add(key)
        if link is not None:
            self.follow(link, key, users)
        spec = _parsed(_source(path, link))
        if spec.extends is None:
            return spec
        self.reached.add(Path(os.path.realpath(path.parent / spec.extends)))
        base = self.file(base_of(spec.extends, path), (*users, key), spec.extends)
        return _merged(base, spec)

    def follow(self, link: Scalar, key: Path, users: tuple[Path, ...]) -> None:
        """Raises `SpecError` where a link leads in a circle, too far, or out of reach."""
        if not self.folders.hold(key):
            why = "it lies outside of the recipe's folder and project"
            hint = "copy it there, or allow the folder that it lies in with `--include`"
            raise SpecError([_refused(link, "E018", why, hint)])
        if key in users:
            circle = " -> ".join(file.name for file in (*users[users.index(key) :], key))
            message = f"these files extend each other: {circle}"
            hint = "move what both need into a third file"
            raise SpecError([Problem("E009", message, link.place, hint)])
        if len(users) == MOST_FILES:
            message = f"more than {MOST_FILES} files extend each other in a row"
            raise SpecError([Problem("E008", message, link.place)])


def _refused(link: Scalar, code: str, why: str, hint: str | None) -> Problem:
    return Problem(code, f"cannot extend {quote(link)}: {why}", link.place, hint)


def base_of(extends: Scalar, user: Path) -> Path:
    """The file that is extended: beside the one that extends it, or a shipped recipe."""
    beside, known = user.parent / extends, extends.removesuffix(".yaml")
    return RECIPES / f"{known}.yaml" if known in shipped() and not beside.exists() else beside


def _source(path: Path, link: Scalar | None) -> Source:
    try:
        return reader.read_source(path, str(path), link is not None)
    except SpecError as error:
        problem = error.problems[0]
        if link is not None:
            usual = "it may stand beside this file, or be a shipped recipe: `archc list recipes`"
            hint = suggest(path.stem, shipped()) or usual
            raise SpecError([_refused(link, problem.code, problem.message, hint)]) from None
        if problem.message == reader.MISSING:
            names = ", ".join(f"`{name}`" for name in shipped())
            hint = suggest(path.stem, shipped()) or f"the shipped recipes are {names}"
            problem = replace(problem, hint=hint)
        raise SpecError([problem]) from None


def _parsed(source: Source) -> RecipeSpec:
    node, problems = reader.read(source)
    if problems:
        raise SpecError(problems)
    if not isinstance(node, reader.Mapping) or "recipe" not in node:
        place = Place(source, 1, 1) if node is None else node.place
        raise SpecError([Problem("T001", "this is no recipe", place, RecipeSpec.example)])
    try:
        return RecipeSpec.model_validate(node)
    except ValidationError as error:
        raise SpecError(problems_of(error)) from None


def _merged(base: RecipeSpec, spec: RecipeSpec) -> RecipeSpec:
    """`spec`, and `base` under the keys of which it says nothing."""
    said: dict[str, Any] = {key: getattr(spec, key) for key in spec.model_fields_set}
    own = {key: getattr(spec, key) for key in OWN}
    if base.source and not spec.source:
        own["source"] = f"a variant of {base.recipe}: {base.source}"
    merged = base.model_copy(update={**said, **own})
    merged._mapping = spec.mapping
    return merged
