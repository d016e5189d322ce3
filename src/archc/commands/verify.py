"""`archc verify`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archc.api import load_with
from archc.commands import options, streams
from archc.commands.streams import printable
from archc.commands.weights import FILE, installed, say_assumed

if TYPE_CHECKING:
    from archc.live.verify import Verdict


@click.command()
@options.spec
@click.option("--weights", type=FILE, help="Weights of SPEC; random ones, if no file is named.")
@click.option("--against", metavar="SOURCE", help="keras.applications.NAME, timm:NAME, ...")
@options.rules
@click.option("--tolerance", type=float, default=1e-4, show_default=True, help="Share of scale.")
@options.network
@options.inference
@installed()
def verify(
    spec: str,
    weights: Path | None,
    against: str | None,
    rules: Sequence[Path],
    tolerance: float,
    given: options.Given,
    inference: bool,
) -> None:
    """Compare SPEC's models with a published one.

    All backends' models and the reference get the same weights and inputs, and the outputs of
    every block are compared. Without --against, the reference is what the definitions of the ops
    give, computed in float64 without any framework. Fails if any difference, as a share of the
    largest value of the block's output, is above the tolerance, and names the first such block.

    With --inference the folded models are held against the network that was trained, whose weights
    --weights names, and so is the folded network in float64.

    \b
    Examples:
      archc verify specs/mnv3_large.yaml --inference
      archc verify specs/mnv3_large.yaml --against keras.applications.MobileNetV3Large
      archc verify specs/mnv3_large.yaml --against timm:mobilenetv3_large_100 --weights mine.pt
    """
    from archc.live import verify as verification
    from archc.weights import importing
    from archc.weights.convert import says
    from archc.weights.rules import find, known

    model = find(against, known(spec, rules)) if against else None
    net = importing.network(spec, model, *given) if model else load_with(spec, *given)
    if weights and not says(net, weights):
        say_assumed(weights, net, {**given.settings, **(model.needs if model else {})})
    net = net.for_inference() if inference else net
    options.say_left_out()
    with options.working(f"{Path(spec).name}: ") as step:
        verdicts = verification.verify(net, model, weights, step)
    _print_table(verdicts, tolerance)
    wrong = verification.divergences(verdicts, tolerance)
    for line in wrong:
        click.echo(f"{printable(spec)}: {printable(line)}", err=True)
    sys.exit(1 if wrong else 0)


def _print_table(verdicts: list[Verdict], tolerance: float) -> None:
    """Prints a line for each row: the largest and the mean difference, and the scale."""
    sides = list(next((v.differences for v in reversed(verdicts) if v.differences), {}))
    figures = (f"{side} {what}" for side in sides for what in ("max", "mean"))
    table = streams.table(("row", "block", "compared with"), ("scale", *figures))
    for verdict in verdicts:
        style = "red" if verdict.worst() > tolerance else None
        table.add_row(*_cells(verdict, sides), style=style)
    streams.console(140).print(table)


def _cells(verdict: Verdict, sides: list[str]) -> list[str]:
    found = verdict.differences
    if not found:
        return [verdict.row, verdict.block, "-"]
    pairs = [(found[side].max, found[side].mean) if side in found else () for side in sides]
    figures = [cell for p in pairs for cell in (map("{:.1e}".format, p) if p else ("-", "-"))]
    scale = f"{next(iter(found.values())).scale:.3g}"
    return [verdict.row, verdict.block, verdict.reference or "the output", scale, *figures]
