"""`archc plot`: pictures for the docs."""

from __future__ import annotations

from pathlib import Path

import click

from archc.commands.streams import shown
from archc.weights.replacing import replacing

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
    """Draw pictures. Needs matplotlib."""


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
    try:
        with replacing(out) as temporary:
            draw(temporary, out.suffix[1:])
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
