"""`archc report`."""

from __future__ import annotations

from pathlib import Path

import click

from archc.api import Net
from archc.commands import options, ours
from archc.commands.streams import shown
from archc.weights.replacing import replacing


@click.command()
@click.argument("spec", type=click.Path())
@click.argument("other", metavar="[SPEC]", required=False, type=click.Path())
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: <stem>.html of the last SPEC]",
)
@options.network
@click.option("--force", is_flag=True, help="Replace a file that archc did not write, too.")
def report(
    spec: str, other: str | None, out: Path | None, given: options.Given, force: bool
) -> None:
    """Write SPEC as one HTML page that works offline; with two, how the second differs.

    It has the table of rows with their costs, which fold open to their steps, the graph, and the
    source for each backend, with lines tied to rows. As in archc diff, a SPEC may be REV:FILE where
    there are two. A file that archc did not write is not replaced.

    \b
    Examples:
      archc report specs/mnv3_small.yaml
      archc report specs/mnv3_small.yaml specs/mnv3_large.yaml -o both.html
      archc report main:specs/mnv3_large.yaml specs/mnv3_large.yaml
    """
    text, net = _one(spec, given) if other is None else _two(spec, other, given)
    path = Path(f"{net.stem}.html") if out is None else out
    if not force:
        from archc.report.page import GENERATOR

        ours.refuse_other(path, [GENERATOR.encode()])
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
    click.echo(shown(path))


def _one(spec: str, given: options.Given) -> tuple[str, Net]:
    from archc.report.page import page

    (net,) = options.load([spec], given)
    return page(net), net


def _two(old: str, new: str, given: options.Given) -> tuple[str, Net]:
    from archc.commands.diff import sides
    from archc.report.page import comparison

    before, after = sides([old, new], given)
    return comparison(before, after, given.settings), after.net
