"""`archc build`."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc import backends
from archc import project as projects
from archc.api import Net
from archc.backends import Graph, Name
from archc.commands import graphs, options, ours
from archc.commands.graphs import Choices
from archc.commands.streams import colour, printable, safe, shown
from archc.compiler.language.problems import file_name, quote
from archc.jobs import Job
from archc.project import Project
from archc.weights.replacing import regular, replacing

if TYPE_CHECKING:
    from archc.compiler.recipe.fit import Training


@dataclass(frozen=True, slots=True)
class File:
    """One file that is to be: a text, or a graph with its weights."""

    net: Net
    name: str
    text: str
    graph: Graph | None = None
    files: Callable[[], graphs.Files] = lambda: iter(())
    """Of a graph."""
    of: str = ""
    """Which weights it has."""
    trains: bool = False
    """Whether it is a script of training."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line and the project's file say of all files alike."""

    backends: list[Name]
    """Those that a command line names."""
    project: Project | None
    choices: Choices
    as_text: bool
    recipes: Sequence[str] = ()

    def backends_of(self, job: Job) -> list[Name]:
        """What a network is written for. Raises `click.UsageError` where nobody says."""
        found = self.backends or job.backends or (self.project and self.project.backends)
        if not found:
            said = "Missing option '--backend' / '-b'; it can be left out in a project"
            raise click.UsageError(f"{said}, which `archc init` begins.")
        return self.choices.backends(found)

    def recipes_of(self, job: Job, net: Net) -> Sequence[str | Path]:
        """How a network is trained: as a command line says, or else the project, whose scripts are
        files, and for nets that can be trained."""
        if self.recipes or self.as_text or net.network.inference:
            return self.recipes
        return job.recipes

    def name(self, stem: str, backend: Name) -> str:
        """What a file of source is called."""
        known = self.project.file_name if self.project else backends.source_name
        return known(stem, backend)


@click.command()
@options.of_project
@options.backend("What to write for.", every=backends.sources)
@click.option(
    "--out",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write into.  [default: the project's, or generated]",
)
@options.network
@options.inference
@options.recipes
@options.static
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text; write no file.")
@click.option("--check", is_flag=True, help="Write nothing; fail with a diff if a file is stale.")
@click.option("--force", is_flag=True, help="Replace files that archc did not write, too.")
@options.strict
@graphs.choices
def build(
    specs: Sequence[str],
    backend: list[Name],
    out: Path | None,
    given: options.Given,
    inference: bool,
    recipes: Sequence[str],
    static: bool,
    to_stdout: bool,
    check: bool,
    force: bool,
    strict: bool | None,
    choices: Choices,
) -> None:
    """Write each SPEC as <stem>_<backend>.py, or as <stem>.onnx.

    A SPEC is a file, or else a variant of the project, or the name of a shipped spec (see archc
    list); `-` is standard input. Without one, all of the project are written: its file, archc.toml
    or pyproject.toml, says which, for what and where, as far as no option does. A file that archc
    did not write is not replaced. Where one spec is wrong, the others are written all the same.

    The backend onnx writes a graph with weights in it: those of a file, or fresh ones, drawn from
    the initializers of SPEC and the same each time. Kept parameters are compiled in. With --text
    or --stdout it is ONNX's textual form, without the weights' numbers. `all` are those that
    write source; with --text, onnx too. With --inference, files are called <stem>_inference; a
    file of weights is that of the network that was trained. With --static, source is called
    <stem>_static: PyTorch's has numbers for paddings, and Keras's is what it is without.

    With --recipe, or where the project names recipes, a script that trains the network so is
    written beside it, as train_<stem>_<recipe>_<backend>.py.

    \b
    Examples:
      archc build --check
      archc build mnv3_large --backend torch
      archc build specs/*.yaml --backend all --check
      archc build specs/mnv3_large.yaml -b keras --set alpha=0.75 --stdout
      archc build specs/mnv3_large.yaml -b onnx --weights mine.safetensors
      archc build mobilenet_v2 -b torch --recipe mobilenet_v2
    """
    to_stdout = to_stdout or out == Path(options.STDIN)
    if check and to_stdout:
        raise click.UsageError("--check and --stdout cannot be combined.")
    if options.STDIN in specs and not to_stdout:
        raise click.UsageError("What standard input gives has no name for a file; use --stdout.")
    if out is not None and out.suffix in _endings() and not out.is_dir():
        raise click.UsageError(
            f"--out is a folder, and {shown(out)} would be a file; `--out {shown(out.parent)}` has"
            f" archc name the files, and `--stdout > {shown(out)}` writes one by your name."
        )
    project = projects.find()
    jobs, given = options.jobs_of(specs, project), given.within(project)
    asked = Asked(backend, project, choices, to_stdout, recipes)
    choices.require({each for job in jobs for each in asked.backends_of(job)}, len(jobs), to_stdout)
    loaded = options.Loaded(jobs, given, options.is_strict(strict, project), inference, static)
    loaded.settle(asked.backends_of)
    loaded.fit(asked.recipes_of)
    if to_stdout:
        loaded.require()
        for file in files_of(loaded, asked):
            click.echo(file.text.encode("utf-8"), nl=False)
        return
    if not loaded.nets:
        loaded.require()
    loaded.say()
    files, into = (
        [*files_of(loaded, asked)],
        out or (project.output if project else Path(projects.OUTPUT)),
    )
    refuse_clashes(files)
    for file in files:
        refuse_place(into, file.name)
    gone = [] if specs or project is None or out else [*orphans(project, files)]
    if check:
        _check(into, files, gone, loaded)
    else:
        _build(into, files, gone, loaded, force)


def _endings() -> set[str]:
    """Of files that are written."""
    graphs = [graph for name in backends.names() if (graph := backends.get(name).graph)]
    return {".py", *(end for graph in graphs for end in (graph.ending, graph.text_ending))}


def _check(out: Path, files: Sequence[File], gone: Sequence[Path], loaded: options.Loaded) -> None:
    """Shows what is stale, and exits."""
    stale = [_diff(out / file.name, file) for file in files].count(True)
    if stale:
        click.echo(f"archc: {_counted(stale)} not as the spec has it: run `archc build`", err=True)
    say_gone(gone)
    say_failed(loaded)
    sys.exit(2 if loaded.problems else 1 if stale or gone else 0)


def _build(
    out: Path,
    files: Sequence[File],
    gone: Sequence[Path],
    loaded: options.Loaded,
    force: bool,
) -> None:
    """Writes the files, and exits where one of the specs is wrong."""
    if not force:
        refuse_others([out / file.name for file in files])
    for file in files:
        say_written(out / file.name, file, write(out / file.name, file))
    say_gone(gone)
    say_failed(loaded)
    if loaded.problems:
        sys.exit(2)


def files_of(loaded: options.Loaded, asked: Asked) -> Iterator[File]:
    for job, net in loaded.nets:
        for name in asked.backends_of(job):
            stem = _stem(job, net, name)
            yield _file(net, name, stem, asked)
            yield from _scripts(net, name, stem, asked, loaded.trainings_of(job))


def _stem(job: Job, net: Net, name: Name) -> str:
    """What a file is called: a variant's own name says what the project asks for; a graph's, that
    it is for inference alone."""
    source = backends.get(name).graph is None
    suffix = net.suffix(not (job.name and job.inference), source and not (job.name and job.static))
    return (job.name or backends.stem(net.spec.name)) + suffix


def _file(net: Net, name: Name, stem: str, asked: Asked) -> File:
    choices, graph, spec = asked.choices, backends.get(name).graph, file_name(net.spec)
    if graph is None:
        return File(net, asked.name(stem, name), net.source(name))
    found = graph.text(net.network, spec, choices.options)
    if asked.as_text or choices.text:
        return File(net, stem + graph.text_ending, found)
    graphs.say_compiled_in(net)
    arrays = partial(graphs.arrays_of, net, choices.weights, net.settings)

    def files() -> graphs.Files:
        return graph.files(net.network, spec, stem, arrays(), choices.options)

    of = f"weights of {shown(choices.weights)}" if choices.weights else "fresh weights"
    return File(net, stem + graph.ending, found, graph, files, of)


def _scripts(
    net: Net, name: Name, stem: str, asked: Asked, trainings: Iterable[Training]
) -> Iterator[File]:
    """The scripts that train a network. A project may be for backends that have none. Raises
    `BackendError`."""
    if not asked.recipes and not backends.get(name).script:
        return
    module = asked.name(stem, name).removesuffix(".py")
    for training in trainings:
        from archc.training.script import script

        made = script(net, training, name, stem, module)
        yield File(net, made.name, made.text, trains=True)


def orphans(project: Project, files: Sequence[File]) -> Iterator[Path]:
    """What archc wrote where the project's files are, and the project does not give any more."""
    scripts = project.scripts()
    given = project.gives() | (scripts or set()) | {file.name for file in files}
    return ours.orphans(project.output, given, scripts is not None)


def _counted(files: int) -> str:
    return "1 file is" if files == 1 else f"{files:,} files are"


def say_gone(gone: Sequence[Path]) -> None:
    for path in gone:
        said = "archc wrote this, and nothing in the project gives it; delete it"
        click.echo(f"{shown(path)}: {said}", err=True)


def say_failed(loaded: options.Loaded) -> None:
    """Says which specs and recipes are wrong, after what became of the others."""
    for job in loaded.failed:
        spec = printable(job.name or str(job.spec))
        click.echo(f"archc: {spec} is wrong, and its files are left as they were", err=True)
    for job, recipe in loaded.untrained:
        spec = printable(job.name or str(job.spec))
        said = f"{spec} is not trained as {shown(Path(recipe))} says, and scripts of that are left"
        click.echo(f"archc: {said} as they were", err=True)


def refuse_others(paths: Sequence[Path]) -> None:
    """Refuses to replace what archc did not write."""
    for path in paths:
        if regular(path) and not ours.wrote(path):
            raise click.UsageError(
                f"{shown(path)} exists, and archc did not write it; --force replaces it."
            )


def refuse_clashes(files: Sequence[File]) -> None:
    names: dict[str, File] = {}
    for file in files:
        first = names.setdefault(file.name, file)
        if first.net.spec != file.net.spec:
            both = f"{first.net.spec} and {file.net.spec}"
            raise click.UsageError(f"{both} would both be written to {file.name}.")
        if first.text != file.text:
            said = f"Two files of {file.net.spec} would be called {file.name}"
            rest = "put {backend} into the project's `naming`"
            rest = "call one of the recipes otherwise" if file.trains and first.trains else rest
            raise click.UsageError(f"{said}; {rest}.")


LONGEST_NAME = 255
"""Bytes of a file's name, on every system that archc runs on."""


def refuse_place(out: Path, name: str) -> None:
    """Refuses what cannot be written, and what would show or replace a file elsewhere."""
    length = len(os.fsencode(name))
    if length > LONGEST_NAME:
        raise click.UsageError(
            f"{quote(name)} would be a name of {length} bytes, and a file's has at most"
            f" {LONGEST_NAME}; give the spec's file a shorter name, or print with --stdout."
        )
    if not Path(os.path.realpath(out / name)).is_relative_to(os.path.realpath(out)):
        raise click.UsageError(
            f"{shown(out / name)} is a link that leads out of {shown(out)}; archc neither shows"
            " nor replaces what is there."
        )


def _read(path: Path) -> bytes | None:
    """What is in the file, or None where there is none. Raises `OSError`."""
    return path.read_bytes() if regular(path) else None


def _diff(path: Path, file: File) -> bool:
    """Prints how the file differs from what would be written; whether it does."""
    if file.graph is None:
        old = _read(path)
        differs, found = old != file.text.encode("utf-8"), (old or b"").decode(errors="replace")
    else:
        differs, found = graphs.stale(path, file.files(), file.graph)
    if not differs:
        return False
    before, after = (each.splitlines(keepends=True) for each in (found, file.text))
    label = shown(path) if regular(path) else "/dev/null"
    for line in difflib.unified_diff(before, after, label, shown(path)):
        click.echo(_coloured(safe(line)), nl=False, color=colour())
    if found == file.text:
        click.echo(f"{label}: the same graph with other weights")
    return True


def _coloured(line: str) -> str:
    foreground = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=foreground) if foreground else line


def write(path: Path, file: File) -> str:
    """Replaces the file in one step. What became of it: created, changed or unchanged."""
    if file.graph is not None:
        return graphs.write(path, file.files())
    old, new = _read(path), file.text.encode("utf-8")
    if old != new:
        with replacing(path) as temporary:
            temporary.write_bytes(new)
    return "unchanged" if old == new else "created" if old is None else "changed"


def say_written(path: Path, file: File, fate: str) -> None:
    said = [f"{file.net.params.trainable:,} parameters", f"{file.net.macs:,} MACs", file.of]
    click.echo(f"{shown(path)}: {fate}, {', '.join(filter(None, said))}")
