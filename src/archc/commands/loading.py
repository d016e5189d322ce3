"""The specs that a command is about, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from archc.api import Net as Net
from archc.api import load_with as load_with
from archc.commands import options
from archc.commands.streams import colour, shown
from archc.compiler.language.problems import Problem, SpecError, render


def load(
    specs: Sequence[str],
    settings: options.Settings,
    include: options.Folders,
    strict: bool = False,
) -> list[Net]:
    """All networks, or every problem of all of them and no network. Says what it warns of, which
    is a problem too where it is `strict`."""
    nets: list[Net] = []
    problems: list[Problem] = []
    more = 0
    for spec in specs:
        try:
            nets.append(load_with(spec, dict(settings), include))
        except SpecError as error:
            problems.extend(error.problems)
            more += error.more
    if problems:
        raise SpecError(problems, more)
    warnings = [warning for net in nets for warning in net.warnings]
    if warnings and strict:
        raise SpecError(warnings)
    complain(SpecError(warnings))
    for net in nets:
        for note in net.notes:
            click.echo(f"{shown(net.spec)}: note: {note}", err=True)
    return nets


def complain(error: SpecError) -> None:
    """Prints every problem on stderr, with its place and an excerpt of the file."""
    for problem in error.problems:
        place, _, rest = render(problem).partition(": ")
        first, _, excerpt = rest.partition("\n")
        code, _, message = first.partition(f"{problem.code} ")
        colour_of = {"error": "red", "warning": "yellow"}[problem.severity]
        said = click.style(f"{code}{problem.code}", fg=colour_of, bold=True)
        styled = f"{click.style(place, bold=True)}: {said} {message}"
        click.echo(f"{styled}\n{excerpt}" if excerpt else styled, err=True, color=colour())
    for line in error.rest():
        click.echo(line, err=True)
