"""`archc build`."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from archc import backends
from archc.api import Net
from archc.backends import Graph
from archc.commands import graphs, options
from archc.commands.graphs import Choices
from archc.commands.streams import colour, safe, shown
from archc.compiler.language.problems import file_name, quote
from archc.weights.replacing import regular, replacing


@dataclass(frozen=True, slots=True)
class _File:
    """One file that is to be: a text, or a graph with its weights."""

    net: Net
    name: str
    text: str
    graph: Graph | None = None
    files: Callable[[], graphs.Files] = lambda: iter(())
    """Of a graph."""
    of: str = ""
    """Which weights it has."""


@click.command()
@options.specs
@options.backend(every=backends.sources, required=True, help="What to write for.")
@click.option(
    "--out",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("generated"),
    show_default=True,
    help="The folder to write into.",
)
@options.network
@options.inference
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text; write no file.")
@click.option("--check", is_flag=True, help="Write nothing; fail with a diff if a file is stale.")
@options.strict
@graphs.choices
def build(
    specs: Sequence[str],
    backend: list[str],
    out: Path,
    given: options.Given,
    inference: bool,
    to_stdout: bool,
    check: bool,
    strict: bool,
    choices: Choices,
) -> None:
    """Write each SPEC as <stem>_<backend>.py, or as <stem>.onnx.

    The backend onnx writes a graph with weights in it: those of a file, or fresh ones, drawn from
    the initializers of SPEC and the same each time. Kept parameters are compiled in. With --text
    or --stdout it is ONNX's textual form, without the weights' numbers. `all` are those that
    write source; with --text, onnx too. With --inference, files are called <stem>_inference; a
    file of weights is that of the network that was trained.

    \b
    Examples:
      archc build specs/mnv3_large.yaml --backend torch
      archc build specs/*.yaml --backend all --check
      archc build specs/mnv3_large.yaml -b keras --set alpha=0.75 --stdout
      archc build specs/mnv3_large.yaml -b onnx --weights mine.safetensors
    """
    if check and to_stdout:
        raise click.UsageError("--check and --stdout cannot be combined.")
    names = choices.backends(backend)
    choices.require(names, specs, to_stdout)
    nets = options.load(specs, given, strict, inference)
    files = [_file(net, name, choices, given, to_stdout) for net in nets for name in names]
    _refuse_clashes(files)
    if to_stdout:
        for file in files:
            click.echo(file.text.encode("utf-8"), nl=False)
        return
    for file in files:
        _refuse_place(out, file.name)
    if check:
        stale = [_diff(out / file.name, file) for file in files]
        sys.exit(1 if any(stale) else 0)
    for file in files:
        _write(out / file.name, file)


def _file(net: Net, name: str, choices: Choices, given: options.Given, text: bool) -> _File:
    graph, spec = backends.get(name).graph, file_name(net.spec)
    if graph is None:
        source = net.source_file(name)
        return _File(net, source.name, source.text)
    found = graph.text(net.network, spec, choices.options)
    if text or choices.text:
        return _File(net, net.stem + graph.text_ending, found)
    graphs.say_compiled_in(net)
    arrays = partial(graphs.arrays_of, net, choices.weights, given.settings)

    def files() -> graphs.Files:
        return graph.files(net.network, spec, net.stem, arrays(), choices.options)

    of = f"weights of {shown(choices.weights)}" if choices.weights else "fresh weights"
    return _File(net, net.stem + graph.ending, found, graph, files, of)


def _refuse_clashes(files: Sequence[_File]) -> None:
    names: dict[str, Path] = {}
    for file in files:
        spec = file.net.spec
        if names.setdefault(file.name, spec) != spec:
            raise click.UsageError(
                f"{names[file.name]} and {spec} would both be written to {file.name}."
            )


LONGEST_NAME = 255
"""Bytes of a file's name, on every system that archc runs on."""


def _refuse_place(out: Path, name: str) -> None:
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


def _diff(path: Path, file: _File) -> bool:
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


def _write(path: Path, file: _File) -> None:
    """Replaces the file in one step, and says what became of it."""
    if file.graph is not None:
        fate = graphs.write(path, file.files())
    else:
        old, new = _read(path), file.text.encode("utf-8")
        fate = "unchanged" if old == new else "created" if old is None else "changed"
        if old != new:
            with replacing(path) as temporary:
                temporary.write_bytes(new)
    said = [f"{file.net.params.trainable:,} parameters", f"{file.net.macs:,} MACs", file.of]
    click.echo(f"{shown(path)}: {fate}, {', '.join(filter(None, said))}")
