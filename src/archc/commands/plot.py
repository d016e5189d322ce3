"""`archc plot`: networks, activations and runs of training as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc.commands import options
from archc.commands.curves import curves
from archc.commands.streams import shown
from archc.weights.replacing import replacing

if TYPE_CHECKING:
    from archc.figures.graph import Graph

PANELS = (
    ("relu", "relu6", "leaky_relu", "elu"),
    ("swish", "hard_swish", "mish", "softplus"),
    ("gelu", "gelu_tanh", "quick_gelu"),
    ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh"),
)
"""Which curves stand together."""

STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#555555", ":"))
"""Colours that a colour-blind reader tells apart, and dashes for where curves meet."""


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
def activations(out: Path) -> None:
    """Draw the curve of every activation.

    \b
    Example:
      archc plot activations -o activations.svg
    """
    if out.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{str(out)!r} ends in neither .png nor .svg.", param_hint="-o")
    _write(out, lambda temporary: draw(temporary, out.suffix[1:]))


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
def model(
    spec: str, out: Path, inside: str | None, every_row: bool, given: options.Given, inference: bool
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
    _write(out, partial(FIGURES[out.suffix], graph))


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


def _write(out: Path, drawing: Callable[[Path], None]) -> None:
    """Puts a picture in its place in one step, and says where it is."""
    try:
        with replacing(out) as temporary:
            drawing(temporary)
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; it comes with archc's extra `plot`."
        raise click.ClickException(message) from None
    click.echo(shown(out))


def draw(path: Path, kind: str) -> None:
    """Draws the curves into `path`, a file of the given kind: "png" or "svg".

    Raises `ModuleNotFoundError` without matplotlib or NumPy.
    """
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from archc.live.interpreter import ACTIVATIONS

    x = np.linspace(-8, 8, 801)
    # Nothing in the file says when it was made: the same curves give the same bytes.
    with pyplot.rc_context({"svg.hashsalt": "archc", "font.size": 9}):
        figure, axes = pyplot.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
        for panel, names in zip(axes.flat, PANELS, strict=True):
            for name, (colour, dashes) in zip(names, STYLES, strict=False):
                panel.plot(x, ACTIVATIONS[name](x), dashes, color=colour, label=name, linewidth=1.8)
            panel.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
            panel.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
            panel.legend(frameon=False, loc="upper left")
            panel.spines[["top", "right"]].set_visible(False)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, dpi=144, metadata=metadata, format=kind)
        pyplot.close(figure)
