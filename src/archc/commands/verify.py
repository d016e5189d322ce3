"""`archc verify`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from archc.api import load_with
from archc.commands import options, streams
from archc.commands.streams import printable
from archc.commands.weights import FILE, installed, key_option, say_assumed

if TYPE_CHECKING:
    from archc.live.numeric import Difference
    from archc.live.theirs import Source
    from archc.live.verify import Verdict
    from archc.weights.rules import ZooModel


@click.command()
@options.spec
@click.option("--weights", type=FILE, help="Weights of SPEC; random ones, if no file is named.")
@click.option(
    "--against", metavar="SOURCE", help="keras.applications.NAME, timm:NAME, my_model.py:MyNet, ..."
)
@options.rules
@key_option
@click.option("--tolerance", type=float, default=1e-4, show_default=True, help="Share of scale.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds that code of one's own may take to make its model, and to run it.",
)
@options.network
@options.inference
@options.static
@installed()
def verify(
    spec: str,
    weights: Path | None,
    against: str | None,
    rules: Sequence[Path],
    key: str | None,
    tolerance: float,
    timeout: float,
    given: options.Given,
    inference: bool,
    static: bool,
) -> None:
    """Compare SPEC's models with a published one, or with one of your own.

    All backends' models and the reference get the same weights and inputs, and the outputs of
    every block are compared. Without --against, the reference is what the definitions of the ops
    give, computed in float64 without any framework. Fails if any difference, as a share of the
    largest value of the block's output, is above the tolerance, and names the first such block.

    A model of your own is FILE.py:NAME or package.module:NAME, a class, a function that makes it
    or the model itself, with arguments as literals: 'my_model.py:MyNet(classes=10)'. It runs in
    a process of its own, with random weights or those in --weights, by its own names or by SPEC's.
    Where it differs, the conventions that copies of a network are known to differ in are tried.

    With --inference the folded models are held against the network that was trained, whose weights
    --weights names, and so is the folded network in float64.

    \b
    Examples:
      archc verify specs/mnv3_large.yaml --inference
      archc verify specs/mnv3_large.yaml --against keras.applications.MobileNetV3Large
      archc verify specs/mnv3_large.yaml --against timm:mobilenetv3_large_100 --weights mine.pt
      archc verify my_net.yaml --against 'my_model.py:MyNet(classes=10)' --rules my_rules.yaml
    """
    from archc.live import theirs
    from archc.weights.rules import known

    models = known(spec, rules)
    if against and theirs.is_meant(against, models):
        for name, said in (("inference", inference), ("static", static)):
            if said:
                raise click.UsageError(f"--{name} is for models of archc's own.")
        own = Own(theirs.parse(against), weights, key, tolerance, timeout)
        sys.exit(_against(own, spec, models, rules, given))
    if key:
        raise click.UsageError("--key is for the weights of a model of your own.")
    sys.exit(_published(spec, weights, against, models, tolerance, given, inference, static))


def _published(
    spec: str,
    weights: Path | None,
    against: str | None,
    models: Mapping[str, ZooModel],
    tolerance: float,
    given: options.Given,
    inference: bool,
    static: bool,
) -> int:
    from archc.live import verify as verification
    from archc.weights import importing
    from archc.weights.convert import says
    from archc.weights.rules import find

    model = find(against, models) if against else None
    net = importing.network(spec, model, *given) if model else load_with(spec, *given)
    if weights and not says(net, weights):
        say_assumed(weights, net, {**given.settings, **(model.needs if model else {})})
    net = net.for_inference() if inference else net
    net = net.for_one_size() if static else net
    options.say_left_out()
    with options.working(f"{Path(spec).name}: ") as step:
        verdicts = verification.verify(net, model, weights, step)
    _print_table(verdicts, tolerance)
    wrong = verification.divergences(verdicts, tolerance)
    for line in wrong:
        click.echo(f"{printable(spec)}: {printable(line)}", err=True)
    return 1 if wrong else 0


# ---- A model of one's own


class Own(NamedTuple):
    """What a command line says of it."""

    source: Source
    weights: Path | None
    key: str | None
    tolerance: float
    timeout: float


def _against(
    own: Own,
    spec: str,
    models: Mapping[str, ZooModel],
    rules: Sequence[Path],
    given: options.Given,
) -> int:
    from archc.live import against, explaining, explanations, theirs
    from archc.weights import importing
    from archc.weights.rules import of_ones_own

    model = of_ones_own(own.source.text, models, rules)
    net = importing.network(spec, model, *given) if model else load_with(spec, *given)
    options.say_left_out()
    say = partial(_say, spec)
    with (
        options.working(f"{Path(spec).name}: ") as step,
        theirs.opened(own.source, own.timeout) as it,
    ):
        step(own.source.text)
        met = against.meet(net, it, model, models.values(), own.weights, own.key, step)
        for remark in met.remarks:
            say(f"note: {remark}")
        found = against.compared(met, own.tolerance, step)
        step("conventions")
        why = (
            explaining.explained(met, found, own.tolerance, given.include) if found.parted else None
        )
    _print_table(against.verdicts(met, found), own.tolerance)
    for line in against.lines(met, found, own.tolerance):
        say(line)
    for line in explanations.lines(why) if why else ():
        say(line)
    for line in against.notes(met, not found.parted):
        say(line)
    return 1 if found.parted else 0


def _say(spec: str, line: str) -> None:
    click.echo(f"{printable(spec)}: {printable(line)}", err=True)


def _print_table(verdicts: list[Verdict], tolerance: float) -> None:
    """Prints a line for each row: the scale, and as shares of it the largest and the mean
    difference."""
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
    figures = [cell for side in sides for cell in _shares(found.get(side))]
    scale = f"{next(iter(found.values())).scale:.3g}"
    return [verdict.row, verdict.block, verdict.reference or "the output", scale, *figures]


def _shares(found: Difference | None) -> list[str]:
    return [f"{x:.1e}" for x in (found.relative, found.relative_mean)] if found else ["-", "-"]
