"""`archc diff`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc.commands import options, streams
from archc.commands.streams import printable
from archc.compiler.language.problems import Problem, SpecError
from archc.diff.compare import compare
from archc.diff.formats import FORMATS
from archc.diff.sides import Side, side
from archc.diff.told import Told, share, what
from archc.diff.verdicts import Effect

if TYPE_CHECKING:
    from archc.backends import Graph

COLOURS = {"+": "green", "-": "red", "~": "", ">": "cyan"}
FAILURES = {
    "nothing": (),
    "any": tuple(Effect)[1:],
    "weights": (Effect.WEIGHTS_NEED_MOVING, Effect.WEIGHTS_LOST),
    "lost": (Effect.WEIGHTS_LOST,),
    "interface": (Effect.INTERFACE_BROKEN,),
}
"""What `--fail-on` takes."""


def _failing(ctx: click.Context, param: click.Parameter, value: str) -> tuple[Effect, ...]:
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if word not in FAILURES:
            raise click.BadParameter(f"{word!r} is not one of {', '.join(FAILURES)}.")
    return tuple(effect for word in words for effect in FAILURES[word])


@click.command()
@click.argument("old", metavar="OLD", type=click.Path())
@click.argument("new", metavar="[NEW]", required=False, type=click.Path())
@options.network
@options.inference
@options.formats(FORMATS, "How to print it.")
@click.option(
    "--fail-on",
    "failing",
    metavar="WHAT,...",
    default="any",
    show_default=True,
    callback=_failing,
    help=f"What to exit with 1 for: {', '.join(FAILURES)}.",
)
def diff(
    old: str,
    new: str | None,
    given: options.Given,
    inference: bool,
    format: str,
    failing: Sequence[Effect],
) -> None:
    """Say what differs between two specs: rows, costs, checkpoints and callers.

    OLD and NEW are files, or REV:FILE for a file of a revision in git. With one argument it is the
    file as it is against that of HEAD. Settings are for both, where they have such a parameter.
    Comments, texts and the order of keys make no difference. Exits with 1 if there is one.

    One of them, or both, may be an .onnx that archc wrote: rows, what they do, and tensors are
    compared as the file has them. --inference is for the spec beside a file that was written so.

    \b
    Examples:
      archc diff specs/mnv3_large.yaml
      archc diff main:specs/mnv3_large.yaml specs/mnv3_large.yaml --format markdown
      archc diff specs/mnv3_large.yaml my_variant.yaml --fail-on interface,weights
      archc diff build/mnv3_large.onnx specs/mnv3_large.yaml
    """
    if new is None and _graph(old):
        raise click.UsageError(f"Name the other side, too: a spec, or another {Path(old).suffix}.")
    if new is None:
        old, new = f"HEAD:{old}", old
    told = _told([old, new], given, inference)
    if format == "text":
        show(told)
    else:
        click.echo(FORMATS[format](told).encode("utf-8"), nl=False)
    found = {finding.effect for finding in told.diff.findings}
    sys.exit(1 if found & {*failing} else 0)


def _told(names: Sequence[str], given: options.Given, inference: bool) -> Told:
    """What differs; as graphs where one of them is a file that archc wrote."""
    if not any(map(_graph, names)):
        before, after = sides(names, given, inference)
        return Told(before, after, compare(before.net, after.net), given.settings)
    from archc.diff import graphs

    specs = iter(sides([name for name in names if not _graph(name)], given, inference))
    old, new = [graphs.read(n, graph) if (graph := _graph(n)) else next(specs) for n in names]
    for note in graphs.notes([old, new]):
        click.echo(note, err=True)
    return Told(old, new, graphs.compare(*graphs.outlines(old, new)), given.settings)


def _graph(name: str) -> Graph | None:
    """The format of a file that holds a graph, and no spec."""
    if Path(name).suffix in ("", ".yaml", ".yml"):
        return None
    from archc.diff import graphs  # what compares specs needs no backend

    return graphs.of(name)


def sides(names: Sequence[str], given: options.Given, inference: bool = False) -> list[Side]:
    """Both networks, or every problem of both."""
    found: list[Side] = []
    problems: list[Problem] = []
    for name in names:
        try:
            found.append(side(name, given.settings, given.include, inference))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return found


def show(told: Told) -> None:
    """For a person at a terminal; nothing where nothing differs."""
    if told.diff.effect is Effect.NOTHING:
        return
    console = streams.console(140)
    rows = told.changed
    if rows:
        table = streams.table(("", "row", "what"), told.columns)
        table.columns[2].no_wrap = False
        for row in rows:
            cells = [row.mark, row.name, printable(what(row)), *told.costs(row)]
            table.add_row(*cells, style=COLOURS[row.mark])
        console.print(table)
        console.print()
    for name, was, now in told.figures():
        change = f"{was:,} -> {now:,} ({share(was, now)})" if was != now else f"{now:,}"
        console.print(f"{name}: {change}")
    console.print(f"tensors of a checkpoint: {told.weights()}")
    for finding in told.rest:
        at = told.at(finding)
        where = "" if at is None else f"{printable(at.file)}:{at.line}: "
        console.print(f"{where}{finding.id} {finding.effect}: {printable(finding.message)}")
    if (command := told.command()) is not None:
        console.print(f"to carry a checkpoint over: {printable(command)}", soft_wrap=True)
    console.print(f"{printable(told.new.name)}: {told.diff.effect}")
