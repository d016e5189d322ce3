"""How the networks of a project are trained: which recipes are for which of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from archc import backends
from archc.compiler.language.problems import Problem, SpecError, choices, quote, suggest
from archc.compiler.recipe.load import RECIPES, load_spec, shipped
from archc.compiler.spec.reader import Scalar
from archc.jobs import Job
from archc.project.models import EVERY
from archc.training.script import script_name

if TYPE_CHECKING:
    from archc.project import Project


def trained(project: Project, jobs: Iterable[Job], problems: list[Problem]) -> list[Job]:
    """The networks, each with the recipes that are for it; what is for inference has none."""

    def one(name: Scalar, problems: list[Problem]) -> Iterator[Path]:
        yield from _file(project.folder, name, problems)

    found = {
        pattern: [path for name in names for path in project.files(name, one, problems)]
        for pattern, names in project.said.recipes.items()
    }
    made = [_with_recipes(job, found.items()) for job in jobs]
    problems += unimportable(project, made)
    return made


def _with_recipes(job: Job, recipes: Iterable[tuple[Scalar, Iterable[Path]]]) -> Job:
    own = (files for pattern, files in recipes if fnmatchcase(job.stem, pattern))
    paths = dict.fromkeys(path for files in own for path in files)
    return job if job.inference else replace(job, recipes=(*paths,))


def _file(folder: Path, name: Scalar, problems: list[Problem]) -> Iterator[Path]:
    """The file that a recipe's name means."""
    path, known = folder / name, name.removesuffix(".yaml")
    if path.is_file() or known in shipped():
        yield path if path.is_file() else RECIPES / f"{known}.yaml"
        return
    hint = suggest(known, shipped())
    hint = hint or "name a file, from the project's folder, or a shipped recipe"
    problems.append(Problem("P001", f"there is no recipe {quote(name)}", name.place, hint))


def unmatched(patterns: Iterable[Scalar], jobs: Sequence[Job]) -> Iterator[Problem]:
    """Patterns that mean no network, or none that can be trained."""
    for pattern in patterns:
        found = [job for job in jobs if fnmatchcase(job.stem, pattern)]
        if not found and pattern != EVERY:
            message = f"no network of the project is called {quote(pattern)}"
            known = [job.stem for job in jobs]
            hint = suggest(pattern, known) or choices(known)
            yield Problem("P005", message, pattern.place, hint)
        elif found and all(job.inference for job in found):
            message = f"{quote(found[0].stem)} is written for inference, and not to be trained"
            yield Problem("T006", message, pattern.place, "name another network")


def unimportable(project: Project, jobs: Iterable[Job]) -> Iterator[Problem]:
    """Networks whose files a script of training cannot import."""
    for job in jobs:
        for backend in job.backends or project.backends:
            module = project.file_name(job.stem, backend).removesuffix(".py")
            trains = job.recipes and backends.get(backend).script
            if trains and job.place is not None and not module.isidentifier():
                message = (
                    f"a script of training cannot import {quote(module)}: it is no name in Python"
                )
                hint = "call the network otherwise, or change `naming`"
                yield Problem("E013", message, job.place, hint)


def scripts(project: Project) -> set[str] | None:
    """The names of all scripts that it writes; None where a recipe is wrong."""
    try:
        return {*_scripts(project)}
    except SpecError:
        return None


def _scripts(project: Project) -> Iterator[str]:
    for job in project.jobs:
        names = [load_spec(recipe, project.include).recipe for recipe in job.recipes]
        for backend in job.backends or project.backends:
            if backends.get(backend).script:
                yield from (script_name(job.stem, name, backend) for name in names)
