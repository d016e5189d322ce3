"""`archc resolve` and `archc schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from archc.commands import options
from archc.compiler.spec.folders import named


@click.command()
@options.spec
@options.network
def resolve(spec: str, given: options.Given) -> None:
    """Print SPEC as one flat spec, with every number worked out.

    SPEC is a file, or else the name of a shipped spec; `-` is standard input.

    It needs no other file, and comes to the same network. Comments say which channels were
    rounded, and from what.

    \b
    Examples:
      archc resolve specs/mnv3_large_minimalistic.yaml
      archc resolve specs/mnv3_large.yaml --set alpha=0.75
    """
    from archc.compiler.printed.resolve import resolve as resolved

    meant = options.reading(spec)
    file = named(meant) if isinstance(meant, str | Path) else meant
    click.echo(resolved(file, *given).encode("utf-8"), nl=False)


@click.command()
@click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path(path_type=Path))
@options.include
def schema(specs: Sequence[Path], include: Sequence[Path]) -> None:
    """Print the JSON Schema of specs and recipes, for editors.

    It knows the blocks that come with archc, and those of each SPEC or library named.
    """
    from archc.compiler.printed.schema import blocks_of, shipped_blocks
    from archc.compiler.recipe.schema import file_schema

    blocks = {**shipped_blocks(), **blocks_of(map(named, specs), include)}
    click.echo(json.dumps(file_schema(blocks), indent=2))
