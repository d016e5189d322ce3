"""`archc check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from archc import backends
from archc.api import Net
from archc.commands import options
from archc.commands.streams import safe, shown

if TYPE_CHECKING:
    from archc.live.check import Report


@click.command()
@options.specs
@options.backend(every=backends.drivable, help="Also build live models and compare.")
@click.option("--numeric", is_flag=True, help="Compare numbers from random weights too.")
@options.network
@options.inference
@options.strict
def check(
    specs: Sequence[str],
    backend: list[str] | None,
    numeric: bool,
    given: options.Given,
    inference: bool,
    strict: bool,
) -> None:
    """Check each SPEC, or its live models against it.

    Without --backend this needs no framework. With it, each model's arrays and output shapes are
    compared with what archc says of them, layer by layer. With --numeric the backends (all of them,
    if none is named) get the same random weights and batch-norm statistics, and what each layer
    gives is compared with what the definitions of the ops give, computed in float64 without any
    framework: at the declared size, and at an odd one. The first layer that differs is named.

    What is legal and probably a mistake is warned of; `# archc: allow W002` at the end of a line
    says that it is meant.
    """
    nets = options.load(specs, given, strict, inference)
    wanted = backend or (backends.drivable() if numeric else [])
    if wanted and wanted == backends.drivable():
        options.say_left_out()
    failed = False
    for net in nets:
        report = _report_of(net, wanted, numeric) if wanted else None
        differences = report.differences if report else []
        for difference in differences:
            click.echo(f"{shown(net.spec)}: {safe(difference)}", err=True)
        failed = failed or bool(differences)
        if not differences:
            said = f" agrees with {_joined(wanted)}" if wanted else ": fine"
            click.echo(f"{shown(net.spec)}{said}, {net.params.trainable:,} parameters")
        for line in report.lines() if report else ():
            click.echo(f"  {safe(line)}")
    sys.exit(1 if failed else 0)


def _joined(names: Sequence[str]) -> str:
    """`keras, onnx and torch`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _report_of(net: Net, wanted: list[str], numeric: bool) -> Report:
    for name in wanted:
        net.live(name)  # says what is not installed before anything else asks for it
    from archc.live.check import compare

    with options.working(f"{net.spec.name}: ") as step:
        return compare(net, wanted, numeric, step)
