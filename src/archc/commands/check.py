"""`archc check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc import backends
from archc import project as projects
from archc.api import Net
from archc.backends import Name
from archc.commands import options
from archc.commands.listed import FORMATS
from archc.commands.streams import safe, shown
from archc.compiler.language.problems import Problem, Source, SpecError
from archc.compiler.pipeline import check_library
from archc.compiler.spec import reader
from archc.compiler.spec.folders import named
from archc.jobs import Job

if TYPE_CHECKING:
    from archc.compiler.recipe.fit import Training
    from archc.live.check import Report


@click.command()
@options.of_project
@options.backend("Also build live models and compare.", every=backends.drivable)
@click.option("--numeric", is_flag=True, help="Compare numbers from random weights too.")
@options.network
@options.inference
@options.recipes
@options.static
@options.strict
@options.formats(FORMATS, "How to print problems and warnings; all but text on stdout.")
def check(
    specs: Sequence[str],
    backend: list[Name],
    numeric: bool,
    given: options.Given,
    inference: bool,
    recipes: Sequence[str],
    static: bool,
    strict: bool | None,
    format: str,
) -> None:
    """Check each SPEC, or its live models against it.

    A SPEC is a file, or else the name of a shipped spec (see archc list); `-` is standard input.
    Without one, all specs and variants of the project are checked. A library of blocks is checked
    by itself.

    Without --backend this needs no framework. With it, each model's arrays and output shapes are
    compared with what archc says of them, layer by layer. With --numeric the backends (all of them,
    if none is named) get the same random weights and batch-norm statistics, and what each layer
    gives is compared with what the definitions of the ops give, computed in float64 without any
    framework: at the declared size, and at an odd one. The first layer that differs is named.

    With --recipe the backends train the network so, for ten steps in float64, by the scripts that
    archc build --recipe writes: each step is held against the recipe's definitions, computed in
    NumPy, and against the other backends. A SPEC that is a recipe is checked by itself. Recipes
    that the project names have to fit their networks, and with --numeric are proven so, too.

    What is legal and probably a mistake is warned of; `# archc: allow W002` at the end of a line
    says that it is meant.
    """
    project = projects.find()
    jobs, given = options.jobs_of(specs, project, libraries=True), given.within(project)
    wanted = backend or (backends.drivable() if numeric else [])
    if (wanted or recipes) and format != "text":
        raise click.UsageError(f"--format {format} is of problems; compare without it.")
    libraries = _Libraries(jobs, given)
    strict = options.is_strict(strict, project)
    loaded = options.Loaded(libraries.rest, given, strict, inference, static)
    loaded.settle(lambda job: wanted)
    loaded.fit(lambda job, net: recipes or (() if net.network.inference else job.recipes))
    loaded.problems[:0] = libraries.problems
    if format != "text":
        click.echo(FORMATS[format](loaded.told).encode("utf-8"), nl=False)
        sys.exit(2 if loaded.problems else 0)
    loaded.require()
    for path, said in libraries.fine.items():
        click.echo(f"{shown(path)}: fine, {said}")
    if recipes:
        every = [(*pair, each) for pair in loaded.nets for each in loaded.trainings_of(pair[0])]
        sys.exit(1 if _part(every, backend) else 0)
    if wanted and wanted == backends.drivable():
        options.say_left_out()
    failed = False
    for job, net in loaded.nets:
        failed = _differs(job, net, wanted, numeric) or failed
        trained = [(job, net, each) for each in loaded.trainings_of(job)]
        writing: list[Name] = [each for each in wanted if numeric and backends.get(each).script]
        if trained and writing:
            failed = _part(trained, writing) or failed
        for _, _, training in () if writing else trained:
            click.echo(f"{_title(job, net)} with {shown(training.file)}: fine")
    sys.exit(1 if failed else 0)


def _title(job: Job, net: Net) -> str:
    return shown(net.spec) + (f" as {job.name}" if job.name else "")


def _differs(job: Job, net: Net, wanted: list[Name], numeric: bool) -> bool:
    """Whether the live models of a network are not what archc says of them, and where. Says so."""
    report = _report_of(net, wanted, numeric) if wanted else None
    differences = report.differences if report else []
    for difference in differences:
        click.echo(f"{_title(job, net)}: {safe(difference)}", err=True)
    if not differences:
        said = f" agrees with {_joined(wanted)}" if wanted else ": fine"
        click.echo(f"{_title(job, net)}{said}, {net.params.trainable:,} parameters")
    for line in report.lines() if report else ():
        click.echo(f"  {safe(line)}")
    return bool(differences)


def _part(trained: Sequence[tuple[Job, Net, Training]], named: list[Name]) -> bool:
    """Whether backends, those `named` or all, train a network otherwise than a recipe says, and
    where. Says so."""
    from archc.training.script import writers

    wanted, failed = named or writers(), False
    _require([net for _, net, _ in trained[:1]], wanted)
    from archc.training.proof import prove

    for job, net, training in trained:
        title = f"{_title(job, net)} with {shown(training.file)}"
        with options.working(f"{net.spec.name}: ") as step:
            proof = prove(net, training, wanted, step)
        for difference in proof.differences:
            click.echo(f"{title}: {safe(difference)}", err=True)
        failed = failed or bool(proof.differences)
        if not proof.differences:
            click.echo(f"{title} agrees with {_joined(wanted)}")
        for line in proof.lines():
            click.echo(f"  {safe(line)}")
    return failed


class _Libraries:
    """The libraries of blocks and the recipes among what is to be checked, and the `rest`."""

    def __init__(self, jobs: Sequence[Job], given: options.Given) -> None:
        self.rest: list[Job] = []
        self.fine: dict[Path, str] = {}
        """What is in each that is right."""
        self.problems: list[Problem] = []
        for job in jobs:
            try:
                found = _library(job, given)
            except SpecError as error:
                self.problems += error.problems
            else:
                self.fine |= found
                self.rest += [] if found else [job]


def _library(job: Job, given: options.Given) -> dict[Path, str]:
    """What is in a library or a recipe, by its path; nothing for what is none. Raises
    `SpecError`."""
    if isinstance(job.spec, Source) or not (path := named(job.spec)).is_file():
        return {}
    if reader.is_recipe(path):
        from archc.compiler.recipe.resolve import load as load_recipe  # few files are recipes

        load_recipe(path, given.include)
        return {path: "a recipe"}
    program = check_library(path, given.include)
    every = program.blocks.values() if program else ()
    own = [block for block in every if block.place.source.name == str(path)]
    blocks = f"{len(own)} block{'s' * (len(own) != 1)}"
    return {path: blocks} if program else {}


def _joined(names: Sequence[str]) -> str:
    """`keras, onnx and torch`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _require(nets: Sequence[Net], wanted: Sequence[Name]) -> None:
    """Says what is not installed before anything else asks for it. Raises `BackendError`."""
    for net in nets:
        for name in wanted:
            net.live(name)


def _report_of(net: Net, wanted: list[Name], numeric: bool) -> Report:
    _require([net], wanted)
    from archc.live.check import compare

    with options.working(f"{net.spec.name}: ") as step:
        return compare(net, wanted, numeric, step)
