"""Options that several commands share, and the networks that they make of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from archc import backends
from archc.api import Net, load_with
from archc.backends import BackendError, Name, OtherBackend, WeightsError
from archc.commands import streams
from archc.compiler.language.problems import Problem, Source, SpecError, printable, render
from archc.compiler.pipeline import is_library
from archc.compiler.spec import reader
from archc.jobs import Job

if TYPE_CHECKING:
    from archc.compiler.recipe.fit import Training
    from archc.project import Project

Context = click.Context | None
Parameter = click.Parameter | None


class BackendChoice(click.ParamType):  # type: ignore[type-arg]
    """A registered backend, or `all` of them that are meant. Looked up only when it is needed."""

    name = "backend"

    def __init__(self, every: Callable[[], list[Name]]) -> None:
        self.every = every

    def convert(self, value: str, param: Parameter, ctx: Context) -> list[Name]:
        known = backends.names()
        if value != "all" and value not in known:
            self.fail(f"{value!r} is not one of {', '.join([*known, 'all'])}.", param, ctx)
        return self.every() if value == "all" else [OtherBackend(value)]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        words = [*backends.names(), "all"]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    def get_metavar(self, param: click.Parameter, ctx: Context = None) -> str:
        return "|".join([*backends.names(), "all"])


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


specs = click.argument("specs", metavar="SPEC...", nargs=-1, required=True, type=click.Path())
of_project = click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path())
"""Those of the project, where none is named."""
spec = click.argument("spec", type=click.Path())
settings = click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    type=_setting,
    help="Give a parameter of the spec a value, as in --set alpha=0.75. Can be repeated.",
)
strict = click.option("--strict/--no-strict", default=None, help="Take warnings for errors.")
include = click.option(
    "--include",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let specs use files in FOLDER too. Can be repeated.",
)
inference = click.option(
    "--inference",
    is_flag=True,
    help="The network without what training alone needs: batch norms folded, no dropout.",
)
recipes = click.option(
    "--recipe",
    "recipes",
    metavar="RECIPE",
    multiple=True,
    type=click.Path(),
    help="How to train: a file, or the name of a shipped recipe. Can be repeated.",
)
static = click.option(
    "--static",
    is_flag=True,
    help="The network for its declared height and width alone: paddings are numbers.",
)
rules = click.option(
    "--rules",
    metavar="YAML",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Rules for sources of one's own. Can be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def formats(
    names: Iterable[str], help: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that says how to print: as text, or in one of these formats."""
    return click.option(
        "--format",
        "-f",
        "format",
        type=click.Choice(["text", *names]),
        default="text",
        show_default=True,
        help=help,
    )


def backend(
    help: str, every: Callable[[], list[Name]] = backends.names, **said: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that names backends, several if it is repeated; `every` gives those that `all`
    means, and `said` is what else `click.option` takes. Gives none if none is named."""
    return click.option(
        "--backend",
        "-b",
        type=BackendChoice(every),
        multiple=True,
        callback=_once,
        help=f"{help} Can be repeated.",
        **said,
    )


def _once(ctx: Context, param: Parameter, named: Sequence[list[Name]]) -> list[Name]:
    """Each backend that was named, once."""
    return list(dict.fromkeys(name for names in named for name in names))


class Given(NamedTuple):
    """What a command line says of the networks that it is about."""

    settings: dict[str, str]
    include: Sequence[Path]

    def within(self, project: Project | None) -> Given:
        """The same with what the project includes."""
        return self._replace(include=[*self.include, *(project.include if project else ())])


def is_strict(said: bool | None, project: Project | None) -> bool:
    """Whether warnings are errors: as a command line says, or else the project."""
    return (project is not None and project.said.strict) if said is None else said


def network(command: Callable[..., None]) -> Callable[..., None]:
    """The options of whatever makes a network of a spec, which come as one argument `given`."""

    @settings
    @include
    @wraps(command)
    def given(settings: Sequence[tuple[str, str]], include: Sequence[Path], **others: Any) -> None:
        command(given=Given(dict(settings), include), **others)

    return given


STDIN = "-"
"""How a command line names the spec that standard input gives."""


def jobs_of(specs: Sequence[str], project: Project | None, libraries: bool = False) -> list[Job]:
    """What the `specs` mean that a command line names, or else all of the project, whose patterns
    may match `libraries` of blocks, and recipes, too.

    Raises `SpecError` where the project's file is wrong, and `click.UsageError` where there is
    neither.
    """
    if specs:
        return [project.job(spec) if project else Job(spec) for spec in specs]
    if project is None:
        said = "Missing argument 'SPEC...'; it can be left out in a project"
        raise click.UsageError(f"{said}, which `archc init` begins.")
    if libraries:
        return project.jobs
    found = project.jobs
    files = [job.spec for job in found if isinstance(job.spec, Path)]
    others = [p for p in files if is_library(p, project.include) or reader.is_recipe(p)]
    return [job for job in found if job.spec not in others]


def reading(spec: str | Path | Source) -> str | Path | Source:
    """What a command line names, with standard input read. Raises `SpecError`."""
    if spec != STDIN:
        return spec
    return reader.decoded(sys.stdin.buffer.read(reader.MAX_BYTES + 1), "<stdin>")


class Loaded:
    """The networks of jobs, and what is wrong with the others."""

    def __init__(
        self,
        jobs: Sequence[Job],
        given: Given,
        strict: bool = False,
        inference: bool = False,
        static: bool = False,
    ) -> None:
        self.nets: list[tuple[Job, Net]] = []
        self.failed: list[Job] = []
        self.trainings: list[tuple[Job, Training]] = []
        self.untrained: list[tuple[Job, str | Path]] = []
        """Recipes that do not fit a network, or are wrong themselves."""
        self.include = given.include
        self.problems: list[Problem] = []
        self.more = 0
        for job in jobs:
            try:
                self.nets.append((job, _loaded(job, given, strict, inference, static)))
            except SpecError as error:
                self.fail(job, error)

    def fail(self, job: Job, error: SpecError) -> None:
        """Takes note of what is wrong with a job's network."""
        self.failed.append(job)
        self.problems.extend(error.problems)
        self.more += error.more

    def settle(self, backends_of: Callable[[Job], Iterable[Name]]) -> None:
        """Takes note of which networks for one size alone cannot be that for the backends that they
        are for; and says for which that is nothing else."""
        asking = [(job, net) for job, net in self.nets if net.network.static]
        known = {name: backends.get(name) for job, _ in asking for name in backends_of(job)}
        for name in sorted(n for n, each in known.items() if not (each.static or each.graph)):
            said = f"`{name}` is written as without --static: its models are made for a size anyway"
            click.echo(f"archc: note: {said}", err=True)
        for job, net in asking:
            if any(known[name].static for name in backends_of(job)):
                self.settle_one(job, net)

    def settle_one(self, job: Job, net: Net) -> None:
        from archc.compiler.elaborate.static import static  # few networks ask

        try:
            static(net.network)
        except SpecError as error:
            self.nets.remove((job, net))
            self.fail(job, error)

    def fit(self, recipes_of: Callable[[Job, Net], Iterable[str | Path]]) -> None:
        """Takes note of how networks are trained, and of the recipes that do not fit them."""
        asking = [(job, net, each) for job, net in self.nets for each in recipes_of(job, net)]
        if not asking:
            return
        from archc.training.script import training_of  # few networks are trained here

        for job, net, recipe in asking:
            try:
                self.trainings.append((job, training_of(net, recipe, self.include)))
            except SpecError as error:
                self.untrained.append((job, recipe))
                told = {*map(render, self.problems)}  # what is wrong with a recipe itself, once
                self.problems += [each for each in error.problems if render(each) not in told]

    def trainings_of(self, job: Job) -> list[Training]:
        """How a network is trained."""
        return [training for each, training in self.trainings if each is job]

    def require(self) -> list[Net]:
        """All networks; says what it warns of. Raises `SpecError` with every problem of all."""
        if self.problems:
            raise SpecError(self.problems, self.more)
        self.say()
        return [net for _, net in self.nets]

    @property
    def told(self) -> list[Problem]:
        """All that is wrong, and all that is warned of."""
        return [*self.problems, *(warning for _, net in self.nets for warning in net.warnings)]

    def say(self) -> None:
        """Says on stderr what is wrong, what is warned of, and what settings could not do."""
        complain(SpecError(self.problems, self.more))
        complain(SpecError(warning for _, net in self.nets for warning in net.warnings))
        for _, net in self.nets:
            for note in net.notes:
                click.echo(f"{streams.shown(net.spec)}: note: {note}", err=True)


def _loaded(job: Job, given: Given, strict: bool, inference: bool, static: bool) -> Net:
    settings = {**job.settings, **given.settings}
    spec, include = reading(job.spec), given.include
    inference, static = inference or job.inference, static or job.static
    net = load_with(spec, settings, include, inference=inference, static=static)
    if strict and net.warnings:
        raise SpecError(replace(warning, severity="error") for warning in net.warnings)
    return net


def load(specs: Sequence[str], given: Given, inference: bool = False) -> list[Net]:
    """All networks, or every problem of all of them and no network. Says what it warns of."""
    return Loaded([Job(spec) for spec in specs], given, inference=inference).require()


def say_left_out() -> None:
    """Says which graphs are not compared, as nothing is installed that runs them."""
    for name in sorted({*backends.names()} - {*backends.drivable()}):
        needed = backends.get(name).distribution
        click.echo(f"archc: note: `{name}` is left out; it needs {needed}", err=True)


def complain(error: SpecError) -> None:
    """Prints every problem on stderr, with its place and an excerpt of the file."""
    for problem in error.problems:
        place, _, rest = render(problem).partition(": ")
        first, _, excerpt = rest.partition("\n")
        code, _, message = first.partition(f"{problem.code} ")
        colour_of = {"error": "red", "warning": "yellow"}[problem.severity]
        said = click.style(f"{code}{problem.code}", fg=colour_of, bold=True)
        styled = f"{click.style(place, bold=True)}: {said} {message}"
        click.echo(f"{styled}\n{excerpt}" if excerpt else styled, err=True, color=streams.colour())
    for line in error.rest():
        click.echo(line, err=True)


TOLD = (SpecError, BackendError, WeightsError, click.ClickException)
"""What commands raise of what a user can mend."""


def tell(error: Exception) -> None:
    """Prints one of `TOLD`, or an `OSError`, on stderr."""
    if isinstance(error, SpecError):
        complain(error)
    elif isinstance(error, click.ClickException):
        vars(error).update(message=printable(error.message))
        error.show()
    elif isinstance(error, OSError):
        place = f"{printable(str(error.filename))}: " if error.filename else ""
        click.echo(f"archc: {place}{error.strerror or error}", err=True)
    else:
        click.echo(f"archc: {streams.safe(str(error))}", err=True)


@contextmanager
def working(before: str) -> Iterator[Callable[[str], None]]:
    """Says on a terminal what is being done; silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with streams.console(stderr=True).status(before) as status:
        yield lambda text: status.update(f"{before}{text}")
