"""`archc plot`: networks, activations and runs of training as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc.commands import options, ours
from archc.commands.curves import curves
from archc.commands.streams import shown
from archc.weights.replacing import replacing

if TYPE_CHECKING:
    from archc.figures.graph import Graph


@click.group()
def plot() -> None:
    """Draw pictures. Those that matplotlib draws need it: every .png, activations and curves."""


plot.add_command(curves)


@plot.command()
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, a .png or an .svg.",
)
@click.option(
    "--use",
    "libraries",
    metavar="LIBRARY",
    multiple=True,
    type=click.Path(),
    help="A file whose blocks are drawn, too. Can be repeated.",
)
@ours.forced
def activations(out: Path, libraries: Sequence[str], force: bool) -> None:
    """Draw the curve of every activation.

    A block that stands wherever an activation does is drawn, too: those of blocks/activations.yaml,
    and of each LIBRARY. What it gives for x may depend on the values around x: there is a curve for
    each of three. Its kernels take the mean of what they see, and its other weights are as they
    start.

    \b
    Examples:
      archc plot activations -o activations.svg
      archc plot activations -o mine.png --use my_activations.yaml
    """
    from archc.figures.curves import SHIPPED, NoCurves, draw

    if out.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{str(out)!r} ends in neither .png nor .svg.", param_hint="-o")
    every = [SHIPPED, *libraries]
    try:
        _write(out, lambda temporary: draw(temporary, out.suffix[1:], every), force)
    except NoCurves as error:
        raise click.BadParameter(str(error), param_hint="--use") from None


@plot.command()
@options.spec
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write: an .svg, a .png, or an .mmd, which is Mermaid's text.",
)
@click.option(
    "--inside",
    metavar="PATH",
    help="Draw what is inside of a row, or of a step in it, as in --inside blocks.4.",
)
@click.option(
    "--every-row", is_flag=True, help="Draw equal rows that follow each other one by one."
)
@options.network
@options.inference
@ours.forced
def model(
    spec: str,
    out: Path,
    inside: str | None,
    every_row: bool,
    given: options.Given,
    inference: bool,
    force: bool,
) -> None:
    """Draw the rows of SPEC, or what is inside of one of them.

    A box has a row's name, what it gives, its block and the arguments that a reader looks for. One
    with a dashed outline is not in every model: it has a condition, or runs in training only.

    \b
    Examples:
      archc plot model specs/resnet50.yaml -o resnet50.svg
      archc plot model specs/nasnet_a_mobile.yaml -o cell.png --inside cells_1.0
      archc plot model specs/mnv3_small.yaml -o mnv3_small.mmd --set alpha=0.75
    """
    from archc.figures.graph import NoInside, of_inside, of_rows

    if out.suffix not in FIGURES:
        ends = f"{str(out)!r} ends in none of {', '.join(FIGURES)}."
        raise click.BadParameter(ends, param_hint="-o")
    (net,) = options.load([spec], given, inference=inference)
    try:
        graph = of_rows(net, not every_row) if inside is None else of_inside(net, inside)
    except NoInside as error:
        raise click.BadParameter(str(error), param_hint="--inside") from None
    _write(out, partial(FIGURES[out.suffix], graph), force)


def _svg(graph: Graph, path: Path) -> None:
    from archc.figures.svg import document

    path.write_bytes(document(graph).encode("utf-8"))


def _png(graph: Graph, path: Path) -> None:
    from archc.figures.picture import draw

    draw(graph, path)


def _mermaid(graph: Graph, path: Path) -> None:
    from archc.figures.mermaid import text

    path.write_bytes(text(graph).encode("utf-8"))


FIGURES: Mapping[str, Callable[[Graph, Path], None]] = {
    ".svg": _svg,
    ".png": _png,
    ".mmd": _mermaid,
}
"""What draws a figure into a file, by the ending of its name."""


def _write(out: Path, drawing: Callable[[Path], None], force: bool) -> None:
    """Puts a picture in its place in one step, and says where it is."""
    if not force:
        ours.refuse_other(out, ours.PICTURES)
    try:
        with replacing(out) as temporary:
            drawing(temporary)
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; it comes with archc's extra `plot`."
        raise click.ClickException(message) from None
    click.echo(shown(out))
