"""`archc watch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from archc import backends
from archc import project as projects
from archc.api import Net
from archc.backends import GraphOptions, Name
from archc.commands import build, options
from archc.commands.diff import show
from archc.commands.graphs import Choices
from archc.commands.streams import end_if_asked, shown
from archc.diff.compare import compare
from archc.diff.sides import Side
from archc.diff.told import Told
from archc.diff.verdicts import Effect
from archc.jobs import Job
from archc.watching import Watched, folders_of, stamp, there

PERIOD = 1000
"""Milliseconds after which files are looked at even if the file system says nothing of them."""
TOGETHER = 50
"""Milliseconds without a change after which an edit is taken to be complete."""
IN_FULL = 3
"""Networks that differ and are shown row by row; of more at once, each has a line."""


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
@options.strict
def watch(
    specs: Sequence[str],
    backend: list[Name],
    out: Path | None,
    given: options.Given,
    strict: bool | None,
) -> None:
    """Build again whenever a spec changes, and say what the edit does.

    First each SPEC, or all of the project, is built as archc build does. Then, whenever a spec, or
    a file that it uses or extends, or a recipe of the project, or the project's file changes, what
    is made of it is built again, and shown is what archc diff says of the network before and after.
    Problems are told, and the watch goes on: files stay as they were until their spec is sound
    again.

    Ctrl-C ends it.

    \b
    Examples:
      archc watch
      archc watch specs/my_net.yaml --backend torch
    """
    if options.STDIN in specs:
        raise click.UsageError("Standard input does not change; name files.")
    watchfiles = _watchfiles()
    try:
        session = Session(specs, backend, out, given, strict)
        session.start()
        session.run(watchfiles)
    except KeyboardInterrupt:
        end_if_asked()


def _watchfiles() -> Any:
    try:
        import watchfiles
    except ModuleNotFoundError as error:
        hint = "pip install 'archc-compiler[watch]'"
        raise click.ClickException(f"archc watch needs watchfiles: {error}; {hint}") from error
    return watchfiles


@contextmanager
def _going_on() -> Iterator[None]:
    """What goes wrong is told, and is the end of nothing."""
    try:
        yield
    except (*options.TOLD, OSError) as error:
        options.tell(error)


class Session:
    """What is watched, as it was the last time that somebody looked."""

    def __init__(
        self,
        specs: Sequence[str],
        backend: list[Name],
        out: Path | None,
        given: options.Given,
        strict: bool | None,
    ) -> None:
        self.specs, self.backend, self.out = specs, backend, out
        self.said, self.said_strict = given, strict
        self.project = projects.find()
        self.file = self.project and stamp(self.project.file)
        self.watched: dict[tuple[str, str | None], Watched] = {}
        self.gone: list[Path] = []
        self.told = ""
        """What was wrong with the project's file the last time."""

    @property
    def given(self) -> options.Given:
        return self.said.within(self.project)

    def start(self) -> None:
        """Builds everything. Raises what `archc build` raises where nothing can be built at all."""
        jobs = options.jobs_of(self.specs, self.project)
        asked = self.asked()
        for job in jobs:
            asked.backends_of(job)
        self.take(jobs)
        with _going_on():
            self.rebuild([*self.watched.values()])
            self.say_gone()
        count = len(self.watched)
        click.echo(f"archc: watching {count} spec{'s' * (count != 1)}; Ctrl-C ends", err=True)
        sys.stdout.flush()

    def run(self, watchfiles: Any) -> None:
        """Waits for changes, for ever."""
        while True:
            folders, begun = self.folders(), True
            with suppress(FileNotFoundError):  # a folder that has gone meanwhile
                for changes in watchfiles.watch(
                    *folders,
                    watch_filter=None,
                    step=TOGETHER,
                    rust_timeout=PERIOD,
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    # What came before the folders were watched, nobody tells.
                    if self.turn(begun or bool(changes)) and self.folders() != folders:
                        break
                    begun = False

    def turn(self, changes: bool) -> bool:
        """Looks at everything once; whether anything may be another than before."""
        file = self.project and stamp(self.project.file)
        if changes or file != self.file:
            with _going_on():
                self.refresh(file != self.file)
            self.file = file
        stale = {key: found for key, each in self.watched.items() if (found := each.changed())}
        if stale:
            files = sorted({_near(path) for found in stale.values() for path in found})
            click.echo(f"changed: {', '.join(files)}")
            with _going_on():
                self.rebuild([self.watched[key] for key in stale])
        sys.stdout.flush()
        return changes or bool(stale)

    def refresh(self, file: bool) -> None:
        """Takes note of specs that came or went, and of what the project's `file` says now."""
        try:
            project = projects.find()
            jobs = options.jobs_of(self.specs, project)
        except options.TOLD as error:
            if str(error) != self.told:
                self.told = str(error)
                raise
            return
        self.project, self.told = project, ""
        fresh = self.take(jobs, anew=file)
        if fresh:
            self.rebuild(fresh)
        self.say_gone()

    def take(self, jobs: Iterable[Job], anew: bool = False) -> list[Watched]:
        """Watches the networks of these jobs, and no others. Which of them are new, or all where
        what holds for all is `anew`."""
        before, self.watched = self.watched, {}
        fresh: list[Watched] = []
        for job in jobs:
            key, own = (str(job.spec), job.name), replace(job, place=None)
            known = before.get(key)
            net, seen = (known.net, known.seen) if known else (None, {})
            each = self.watched[key] = Watched(own, net, seen)
            fresh += [each] if anew or known is None or known.job != own else []
        return fresh

    def asked(self) -> build.Asked:
        choices = Choices(None, False, GraphOptions(), ())
        return build.Asked(self.backend, self.project, choices, False)

    def rebuild(self, watched: Sequence[Watched]) -> None:
        """Reads these networks anew, tells what differs, and writes their files."""
        for each in watched:
            each.look(self.given.include)
        strict = options.is_strict(self.said_strict, self.project)
        loaded = options.Loaded([each.job for each in watched], self.given, strict)
        loaded.fit(self.asked().recipes_of)
        loaded.say()
        of_jobs = {id(each.job): each for each in watched}
        edits = [(of_jobs[id(job)], net) for job, net in loaded.nets]
        _tell([(each, net) for each, net in edits if each.net is not None])
        for each, net in edits:
            each.net = net
        self.write([*build.files_of(loaded, self.asked())])
        build.say_failed(loaded)

    def write(self, files: Sequence[build.File]) -> None:
        into = self.out or (self.project.output if self.project else Path(projects.OUTPUT))
        build.refuse_clashes(files)
        for file in files:
            build.refuse_place(into, file.name)
        build.refuse_others([into / file.name for file in files])
        for file in files:
            fate = build.write(into / file.name, file)
            if fate != "unchanged":
                build.say_written(into / file.name, file, fate)

    def say_gone(self) -> None:
        """Names the files that nothing gives any more, once each."""
        if not self.specs and self.project is not None and self.out is None:
            found = [*build.orphans(self.project, ())]
            build.say_gone([path for path in found if path not in self.gone])
            self.gone = found

    def folders(self) -> set[Path]:
        """Where a change may be one of what is watched."""
        seen = {path for each in self.watched.values() for path in each.seen}
        found = {there(path) for path in seen}
        if self.project is not None:
            found.add(there(self.project.file))
            said = self.project.said
            of_recipes = [each for names in said.recipes.values() for each in names]
            for pattern in (*(() if self.specs else said.specs), *of_recipes):
                found |= {each.absolute() for each in folders_of(pattern, self.project.folder)}
        return found


def _tell(edits: Sequence[tuple[Watched, Net]]) -> None:
    """What became of each network, in full of a few and in a line of many."""
    every = [_told(each, net) for each, net in edits]
    differ = [told for told in every if told.diff.effect is not Effect.NOTHING]
    for told in every:
        if told not in differ:
            click.echo(f"{told.new.name}: nothing differs")
        elif len(differ) <= IN_FULL:
            show(told)
        else:
            _, was, now = next(told.figures())
            click.echo(f"{told.new.name}: {told.diff.effect}, parameters: {was:,} -> {now:,}")


def _told(each: Watched, net: Net) -> Told:
    assert each.net is not None
    name = each.job.name or shown(net.spec)
    return Told(Side(name, each.net), Side(name, net), compare(each.net, net))


def _near(path: Path) -> str:
    """A path from here, where it is below."""
    here = os.path.relpath(path)
    return shown(path if here.startswith("..") else Path(here))
