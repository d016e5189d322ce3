"""How `archc build` writes graphs: which of its options are for them, and files with weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from archc import backends
from archc.api import Net
from archc.backends import Graph, GraphOptions, Name
from archc.backends.storage import first
from archc.commands.streams import shown
from archc.commands.weights import FILE, installed, say_assumed
from archc.compiler.language.values import show
from archc.weights.replacing import regular, replacing

Files = Iterator[tuple[str, Iterable[bytes]]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a command line says of graphs."""

    weights: Path | None
    text: bool
    options: GraphOptions
    given: tuple[str, ...]
    """The options that stand there."""

    def backends(self, names: Sequence[Name]) -> list[Name]:
        """The backends to write for, where `names` are asked for: `all` has graphs with --text."""
        every = self.text and [*names] == backends.sources()
        return backends.names() if every else [*names]

    def require(self, names: Iterable[Name], networks: int, to_stdout: bool) -> None:
        """Raises `click.UsageError` where an option does not apply to what is asked for."""
        if self.given and not any(backends.get(name).graph for name in names):
            known = ", ".join(name for name in backends.names() if backends.get(name).graph)
            raise click.UsageError(f"{self.given[0]} is for backends that write a graph: {known}.")
        if self.weights and networks > 1:
            raise click.UsageError("--weights are those of one SPEC.")
        if self.weights and (self.text or to_stdout):
            raise click.UsageError("A graph as text has no weights; leave --weights out.")


def choices(command: Callable[..., None]) -> Callable[..., None]:
    """The options of graphs, which come as one argument `choices`."""

    @click.option("--weights", type=FILE, help="ONNX: weights of SPEC, not fresh ones.")
    @click.option("--text", is_flag=True, help="ONNX: its textual form; `-b all` has it then, too.")
    @click.option(
        "--layout", metavar="nchw|nhwc", help="ONNX: of input and output.  [default: nchw]"
    )
    @click.option("--opset", type=int, metavar="17|18", help="ONNX: [default: 17]")
    @wraps(command)
    def given(
        weights: Path | None,
        text: bool,
        layout: str | None,
        opset: int | None,
        **others: Any,
    ) -> None:
        every = {
            "weights": weights,
            "text": text,
            "layout": layout,
            "opset": opset,
        }
        said = tuple(f"--{name}" for name, value in every.items() if value not in (None, False))
        options = GraphOptions(layout or "nchw", opset)
        command(choices=Choices(weights, text, options, said), **others)

    return given


@installed()
def arrays_of(net: Net, weights: Path | None, settings: Collection[str]) -> Mapping[str, Any]:
    """The weights in a file, or fresh ones; of a network for inference, those of the one that was
    trained, folded."""
    if net.trained is None:
        return _trained(net, weights, settings)
    from archc.weights.folding import folded

    return folded(net.trained, _trained(net.trained, weights, settings))


def _trained(net: Net, weights: Path | None, settings: Collection[str]) -> Mapping[str, Any]:
    if weights is None:
        from archc.weights.fresh import fresh

        return fresh(net.network)
    from numpy import isfinite

    from archc.weights.convert import load, says

    if not says(net, weights):
        say_assumed(weights, net, settings)
    arrays = load(net, weights)
    if unfinite := [name for name, array in arrays.items() if not isfinite(array).all()]:
        said = f"infinities, or what is no number, in {first(unfinite)}"
        click.echo(f"{shown(weights)}: warning: {said}", err=True)
    return arrays


def say_compiled_in(net: Net) -> None:
    """Says what a graph cannot have as arguments."""
    kept = [parameter.name for parameter in net.network.kept]
    if kept:
        said = ", ".join(f"{name}={show(net.network.settings[name])}" for name in kept)
        note = f"note: a graph has no arguments: {said} are compiled in; --set gives others"
        click.echo(f"{shown(net.spec)}: {note}", err=True)


def stale(path: Path, files: Files, graph: Graph) -> tuple[bool, str]:
    """Whether a graph's file is another than it would be, and the text of what is there."""
    *others, (_, chunks) = files
    old = path.read_bytes() if regular(path) else None
    if old is None:
        return True, ""
    if old == b"".join(chunks) and all(path.with_name(name).is_file() for name, _ in others):
        return False, ""
    try:
        return True, graph.read(path)
    except ValueError:
        return True, ""


def write(path: Path, files: Files) -> str:
    """Writes a graph's file, after those that it refers to, and takes away those that the one
    before referred to; what became of it. Where something goes wrong, all is as it was."""
    *others, (_, chunks) = files
    old, new = path.read_bytes() if regular(path) else None, b"".join(chunks)
    beside = {path.with_name(name): contents for name, contents in others}
    made = [each for each in beside if not each.exists()]
    try:
        for each, contents in beside.items():
            if each.is_symlink():
                each.unlink()  # nothing is written through it
            _replace(each, contents)
        if old != new:
            _replace(path, [new])
    except BaseException:
        for each in made:
            each.unlink(missing_ok=True)
        raise
    _drop(path, beside)
    return "unchanged" if old == new else "created" if old is None else "changed"


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Puts a file in the place of another. What goes wrong names it."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.writelines(chunks)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _drop(path: Path, kept: Collection[Path]) -> None:
    """Takes away the weights of graphs that stood at `path` before."""
    theirs = re.compile(rf"{re.escape(path.stem)}\.[0-9a-f]{{12}}{re.escape(path.suffix)}\.data")
    for each in path.parent.iterdir():
        if theirs.fullmatch(each.name) and each not in kept:
            each.unlink(missing_ok=True)
