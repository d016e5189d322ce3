"""`archc plot curves`: runs of training side by side."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from archc.commands import ours
from archc.commands.streams import shown
from archc.weights.replacing import replacing

COLUMNS = ("loss", "accuracy")
Curves = Mapping[str, Mapping[int, float]]
"""What a log says by epoch, by column; what it does not say is left out."""


@click.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, a .png or an .svg.",
)
@ours.forced
def curves(logs: Sequence[Path], out: Path, force: bool) -> None:
    """Draw what each LOG says of its epochs: the loss, and the accuracy of validation.

    A LOG is the log.csv that a script of archc build --recipe writes, or the folder that it is in.

    \b
    Example:
      archc plot curves runs/lenet_torch runs/lenet_keras -o curves.svg
    """
    if out.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{str(out)!r} ends in neither .png nor .svg.", param_hint="-o")
    files = [path / "log.csv" if path.is_dir() else path for path in logs]
    runs = [(path.parent.name or path.stem, read(path)) for path in files]
    if not force:
        ours.refuse_other(out, ours.PICTURES)
    try:
        with replacing(out) as temporary:
            draw(runs, temporary, out.suffix[1:])
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; it comes with archc's extra `plot`."
        raise click.ClickException(message) from None
    click.echo(shown(out))


def read(path: Path) -> Curves:
    """The curves of a log. Raises `click.UsageError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [*csv.DictReader(file)]
        found = {c: {int(row["epoch"]): float(row[c]) for row in rows if row[c]} for c in COLUMNS}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        why = getattr(error, "strerror", None) or "it has no columns `epoch`, `loss` and `accuracy`"
        raise click.UsageError(f"{shown(path)} is no log of a training: {why}.") from None
    if not found["loss"]:
        raise click.UsageError(f"{shown(path)} has no epoch yet.")
    return found


def draw(runs: Sequence[tuple[str, Curves]], path: Path, kind: str) -> None:
    """Draws runs, each with its name, into a file of the given kind. Raises `ModuleNotFoundError`
    without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    # Nothing in the file says when it was made: the same curves give the same bytes.
    with pyplot.rc_context({"svg.hashsalt": "archc", "font.size": 9}):
        figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for panel, column in zip(panels, COLUMNS, strict=True):
            for number, (name, said) in enumerate(runs):
                dashes = ("-", "--", "-.", ":")[number % 4]
                epochs, values = [*said[column].keys()], [*said[column].values()]
                panel.plot(epochs, values, dashes, marker=".", label=name)
            panel.set(xlabel="epoch", ylabel=column)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].legend(frameon=False)
        metadata = {"Date": None, "Creator": "archc"} if kind == "svg" else {"Software": "archc"}
        figure.savefig(path, dpi=144, metadata=metadata, format=kind)
        pyplot.close(figure)
