"""`archc build`."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from archc.api import Net
from archc.backends import SourceFile
from archc.commands import options
from archc.commands.streams import colour, safe, shown
from archc.compiler.language.problems import quote
from archc.weights.replacing import regular, replacing


@click.command()
@options.specs
@options.backend(required=True, help="What to write for.")
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
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the source; write no file.")
@click.option("--check", is_flag=True, help="Write nothing; fail with a diff if a file is stale.")
@options.strict
def build(
    specs: Sequence[str],
    backend: list[str],
    out: Path,
    given: options.Given,
    inference: bool,
    to_stdout: bool,
    check: bool,
    strict: bool,
) -> None:
    """Write each SPEC as <stem>_<backend>.py, or with --inference as <stem>_inference_<backend>.py.

    \b
    Examples:
      archc build specs/mnv3_large.yaml --backend torch
      archc build specs/*.yaml --backend all --check
      archc build specs/mnv3_large.yaml -b keras --set alpha=0.75 --stdout
    """
    if check and to_stdout:
        raise click.UsageError("--check and --stdout cannot be combined.")
    nets = options.load(specs, given, strict, inference)
    emitted = [(net, net.source_file(name)) for net in nets for name in backend]
    _refuse_clashes(emitted)
    if to_stdout:
        for _, source in emitted:
            click.echo(source.text.encode("utf-8"), nl=False)
        return
    for _, source in emitted:
        _refuse_place(out, source.name)
    if check:
        stale = [_diff(out / source.name, source.text) for _, source in emitted]
        sys.exit(1 if any(stale) else 0)
    for net, source in emitted:
        _write(net, out / source.name, source.text)


def _refuse_clashes(emitted: Sequence[tuple[Net, SourceFile]]) -> None:
    names: dict[str, Path] = {}
    for net, source in emitted:
        if names.setdefault(source.name, net.spec) != net.spec:
            raise click.UsageError(
                f"{names[source.name]} and {net.spec} would both be written to {source.name}."
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


def _diff(path: Path, text: str) -> bool:
    """Prints how the file differs from what would be written; whether it does."""
    old = _read(path)
    if old == text.encode("utf-8"):
        return False
    found = (old or b"").decode("utf-8", errors="replace")
    before, after = (each.splitlines(keepends=True) for each in (found, text))
    label = shown(path) if old is not None else "/dev/null"
    for line in difflib.unified_diff(before, after, label, shown(path)):
        click.echo(_coloured(safe(line)), nl=False, color=colour())
    return True


def _coloured(line: str) -> str:
    foreground = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=foreground) if foreground else line


def _write(net: Net, path: Path, text: str) -> None:
    """Replaces the file in one step, and says what became of it."""
    old = _read(path)
    if old == text.encode("utf-8"):
        fate = "unchanged"
    else:
        fate = "created" if old is None else "changed"
        with replacing(path) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
    counts = f"{net.params.trainable:,} parameters, {net.macs:,} MACs"
    click.echo(f"{shown(path)}: {fate}, {counts}")
