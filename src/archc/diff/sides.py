"""The two sides of a diff: specs in files, shipped ones, and those of a revision in git."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from archc.api import Net, load_with
from archc.compiler.language.problems import Place, Problem, Source, SpecError

SPECS = ":(top,glob)**/*.y*ml"
"""What a spec of another revision may use and extend."""


@dataclass(frozen=True, slots=True)
class Named:
    """One of two things that are compared, by the name that the user knows it by."""

    name: str

    def figures(self) -> Iterator[tuple[str, int]]:
        """What it comes to, as far as that is known."""
        yield from ()

    def file(self, place: Place) -> str:
        """The file of a place, as the user would name it."""
        return place.source.name

    @property
    def is_file(self) -> bool:
        """Whether it is a spec that a command line can name."""
        return False


@dataclass(frozen=True, slots=True)
class Side(Named):
    """A network of a spec."""

    net: Net
    folder: str = ""
    """Where the files of its revision were; empty where they are the user's own."""

    def figures(self) -> Iterator[tuple[str, int]]:
        yield "parameters", self.net.params.trainable
        yield "MACs", self.net.macs
        yield "bytes of activations at once", self.net.memory.peak

    @property
    def is_file(self) -> bool:
        return not self.folder

    def file(self, place: Place) -> str:
        found = _renamed(place, self.folder, self.name.partition(":")[0]) if self.folder else place
        return found.source.name


def side(
    name: str, settings: Mapping[str, object], include: Sequence[Path], inference: bool = False
) -> Side:
    """A network by a path, or by `REV:path` as git names files.

    Raises `SpecError` where the spec is wrong, and `click.UsageError` where git has no such
    revision or file.
    """
    revision, colon, path = name.partition(":")
    if not colon or Path(name).exists():
        return Side(name, load_with(name, settings, include, inference))
    with TemporaryDirectory() as temporary:
        folder = str(Path(temporary).resolve())
        file = _checked_out(revision, path, Path(folder))
        try:
            return Side(name, load_with(file, settings, include, inference), folder)
        except SpecError as error:
            problems = [_elsewhere(problem, folder, revision) for problem in error.problems]
            raise SpecError(problems, error.more) from None


def _checked_out(revision: str, path: str, folder: Path) -> Path:
    """The file at `path`, from here or from its repository's top, as it was in a revision, with the
    specs around it."""
    here = Path(path).absolute()
    asked = here.parent if here.parent.is_dir() else Path()
    top = Path(_git(asked, "rev-parse", "--show-toplevel").decode().strip()).resolve()
    commit = _git(top, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    archive = _git(top, "archive", "--format=tar", commit.decode().strip(), "--", SPECS)
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / ".git").mkdir()  # the top of a project, from which specs may use files
    real = here.parent.resolve() / here.name
    inside = [real.relative_to(top)] if real.is_relative_to(top) else []
    found = (folder / each for each in (*inside, Path(path)))
    for file in found:
        if file.is_file() and file.resolve().is_relative_to(folder):
            return file
    raise click.UsageError(f"{revision} has no {path}.")


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise click.UsageError("git is not installed, so there are no revisions.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
        told = said[0].removeprefix("fatal: ")
        if "single revision" in told:
            told = f"there is no revision {arguments[-1].partition('^')[0]}"
        raise click.UsageError(f"git says: {told}")
    return done.stdout


def _elsewhere(problem: Problem, folder: str, revision: str) -> Problem:
    """A problem of a file that was taken out of a revision, said of the file there."""
    related = [(what, _renamed(place, folder, revision)) for what, place in problem.related]
    return replace(problem, place=_renamed(problem.place, folder, revision), related=tuple(related))


def _renamed(place: Place, folder: str, revision: str) -> Place:
    name = place.source.name
    if not name.startswith(folder):
        return place
    own = Source(f"{revision}:{Path(name).relative_to(folder).as_posix()}", place.source.text)
    return replace(place, source=own)
