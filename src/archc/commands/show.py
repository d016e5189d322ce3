"""`archc show`: a file that comes with archc."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import click

from archc.commands.streams import shown
from archc.compiler.spec.folders import SHIPPED, networks, shipped
from archc.compiler.spec.load import load
from archc.weights.replacing import replacing


@click.command()
@click.argument("name")
@click.option("--copy", is_flag=True, help="Write it here, under its own name.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def show(name: str, copy: bool, force: bool) -> None:
    """Print the shipped file that NAME stands in.

    NAME is a network, as mnv3_large, a library of blocks, as blocks/mobilenet, a block, or a source
    of weights: see archc list. A copy in the place that its name says, beside a spec, counts there
    instead of the shipped one.

    \b
    Examples:
      archc show mnv3_large
      archc show blocks/mobilenet --copy
    """
    file = shipped(Path(name)) or _defining(name)
    if copy:
        _copy(file, file.relative_to(SHIPPED), force)
    else:
        click.echo(file.read_bytes(), nl=False)


def _defining(name: str) -> Path:
    """The file that defines a block or a source; says where in it. Raises `click.UsageError`."""
    known = dict([*_sources(), *_blocks()])
    if name not in known:
        near = difflib.get_close_matches(name, [*networks(), *known], n=3)
        said = f"did you mean {' or '.join(near)}?" if near else "`archc list` shows what does."
        raise click.UsageError(f"{name!r} does not come with archc; {said}")
    file, line = known[name]
    where = f"{file.relative_to(SHIPPED).as_posix()}, line {line}"
    click.echo(f"archc: note: {name} is in {where}", err=True)
    return file


def _blocks() -> Iterator[tuple[str, tuple[Path, int]]]:
    for file in sorted((SHIPPED / "blocks").glob("*.yaml")):
        files, _ = load(file)
        for key in files.spec.blocks if files and files.spec else ():
            yield str(key), (file, key.place.line)


def _sources() -> Iterator[tuple[str, tuple[Path, int]]]:
    from archc.weights.rules import every

    for name, model in every().items():
        key = next(key for key in model.rules.sources if key == name)
        yield name, (Path(key.place.source.name), key.place.line)


def _copy(file: Path, target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise click.UsageError(f"{shown(target)} exists already; --force replaces it.")
    with replacing(target) as temporary:
        temporary.write_bytes(file.read_bytes())
    click.echo(f"{shown(target)}: a copy of the shipped one")
