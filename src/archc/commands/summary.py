"""`archc summary`: the layer table of a network, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from archc.api import Layer, Net, Output, dims
from archc.commands import options, streams
from archc.compiler.ir.analysis import row_of
from archc.compiler.language.problems import printable
from archc.compiler.language.values import show

BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""Of a weight, by the type that it is stored as."""


@click.command()
@options.specs
@options.network
@options.inference
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@options.formats(["csv", "md", "json"], "How to print it.")
@click.option("--blocks", "by", flag_value="rows", help="One line for each row, not for each op.")
@click.option(
    "--stages", "by", flag_value="stages", help="One line for each table, or row of none."
)
def summary(
    specs: Sequence[str],
    given: options.Given,
    inference: bool,
    as_json: bool,
    format: str,
    by: str | None,
) -> None:
    """Print the layers of SPEC with their counts, or the totals of several side by side.

    SPEC is a file, or else the name of a shipped spec (see archc list); `-` is standard input.
    Shapes, parameters and MACs are those of one image. `other` parameters are those that training
    does not change by gradients: running averages. `sees` is how many rows and columns of the input
    a value depends on.

    \b
    Examples:
      archc summary specs/mnv3_large.yaml
      archc summary specs/mnv3_large.yaml --stages --format md
      archc summary specs/mnv3_*.yaml
    """
    nets = options.load(specs, given, inference=inference)
    format = "json" if as_json else format
    if format == "json":
        told: Any = plain(nets[0]) if len(nets) == 1 else [plain(net) for net in nets]
        click.echo(json.dumps(told, indent=2))
    elif len(nets) > 1:
        _side_by_side(nets, format)
    elif format == "text":
        print_table(nets[0], by)
    else:
        WRITERS[format](COLUMNS, _lines(nets[0], by))


def plain(net: Net) -> dict[str, Any]:
    """The summary as plain data. Shapes are (channels, height, width) or (features,)."""
    return {
        "name": net.name,
        "input_shape": list(net.input_shape),
        "inputs": [each._asdict() for each in net.inputs],
        "output_shape": list(net.output_shape),
        "params": net.params._asdict(),
        "macs": net.macs,
        "other_ops": net.totals.other,
        "activation_bytes": {"sum": net.memory.sum, "peak": net.memory.peak},
        "weight_bytes": {name: size * net.params.total for name, size in BYTES.items()},
        "layers": [_entry(layer) for layer in net.layers],
        "blocks": [_entry(block) for block in net.blocks],
        "stages": [_entry(stage) for stage in _stages(net)],
        "taps": [tap._asdict() for tap in net.taps],
        "outputs": [output._asdict() for output in net.outputs],
    }


def _entry(layer: Layer) -> dict[str, Any]:
    return {
        "path": layer.path,
        "op": layer.op,
        "kernel": layer.kernel and list(layer.kernel),
        "input_shapes": [list(shape) for shape in layer.input_shapes],
        "output_shape": list(layer.output_shape),
        "receptive_field": layer.receptive_field and list(layer.receptive_field),
        "params": layer.params.total,
        "trainable": layer.params.trainable,
        "macs": layer.macs,
    }


# ------------------------------------------------------------------------------------------ lines


TEXTS = ("layer", "op", "kernel", "input", "output", "sees")
NUMBERS = ("trainable", "other", "MACs", "share")
COLUMNS = (*TEXTS, *NUMBERS)
Cells = tuple[str, ...]


def _lines(net: Net, by: str | None) -> list[Cells]:
    """The table of one network: a line for each op, row or stage."""
    if by == "stages":
        return [_cells(net, layer) for layer in _stages(net)]
    return [_cells(net, layer) for layer in (net.blocks if by else net.layers)]


def _cells(net: Net, layer: Layer) -> Cells:
    params, macs = layer.params, layer.macs
    counts = (params.trainable, params.total - params.trainable, macs)
    share = f"{100 * macs / net.macs:.1f} %" if macs else ""
    kernel = "" if layer.kernel is None else dims(layer.kernel)
    inputs = ", ".join(map(dims, layer.input_shapes[:1])) + ", ..." * (len(layer.input_shapes) > 1)
    sees = "all" if layer.receptive_field is None else dims(layer.receptive_field)
    output = dims(layer.output_shape)
    numbers = (f"{count:,}" if count else "" for count in counts)
    return layer.path, layer.op, kernel, inputs, output, sees, *numbers, share


def _stages(net: Net) -> Iterator[Layer]:
    """The rows of each table, or of each repeated row, as one; other rows as they are."""
    found: dict[str, list[Layer]] = {}
    for row, layer in zip(net.network.rows, net.blocks, strict=True):
        found.setdefault(row.group or layer.path, []).append(layer)
    for name, rows in found.items():
        ops = ", ".join(dict.fromkeys(row.op for row in rows))
        times = f"{len(rows)} x " if len(rows) > 1 else ""
        first, last = rows[0], rows[-1]
        params = [sum(row.params[i] for row in rows) for i in (0, 1)]
        macs = sum(row.macs for row in rows)
        yield last._replace(
            path=name,
            op=f"{times}{ops}",
            params=type(last.params)(*params),
            macs=macs,
            input_shapes=first.input_shapes,
            kernel=last.kernel if len(rows) == 1 else None,
        )


def print_table(net: Net, by: str | None = None) -> None:
    """Prints a line for each row of the spec and the ops of each, or for each row or stage alone,
    and the totals."""
    console = streams.console(160)
    table = streams.table(TEXTS, NUMBERS)
    inside = {} if by else _inside(net)
    for layer in _stages(net) if by == "stages" else net.blocks:
        # One row of many lines: rich takes its time over each row.
        lines = [_cells(net, each) for each in (layer, *inside.get(layer.path, ()))]
        table.add_row(*_joined(lines))
    console.print(table)
    console.print(_footer(net))


def _joined(lines: Sequence[Cells]) -> Iterator[Any]:
    """Lines as the cells of one row, the first in bold if there are more."""
    from rich.text import Text

    style = "bold" if len(lines) > 1 else ""
    for first, *rest in zip(*lines, strict=True):
        yield Text.assemble((first, style), *(f"\n{cell}" for cell in rest))


def _inside(net: Net) -> dict[str, list[Layer]]:
    """The layers in each block that is no single layer, by the block's path."""
    found: dict[str, list[Layer]] = {}
    paths = {block.path for block in net.blocks}
    for layer in net.layers:
        found.setdefault(row_of(layer.path, paths), []).append(layer)
    return {path: layers for path, layers in found.items() if layers[0].path != path}


def _footer(net: Net) -> str:
    taps = "".join(
        f"\n{tap.name}: {dims(tap.shape)} at stride {show(tap.stride)}, from {tap.path}"
        for tap in net.taps
    )
    outputs = "".join(map(_given, net.outputs)) if len(net.outputs) > 1 else ""
    sizes = (f"{_size(net.params.total * size)} as {name}" for name, size in BYTES.items())
    return (
        f"\n{net.name}, {_taken(net)}: "
        f"{net.params.trainable:,} trainable parameters, {net.params.total:,} in total\n"
        f"{', '.join(sizes)}\n"
        f"{net.macs:,} MACs of convolutions and dense layers, {net.totals.other:,} other"
        " operations\n"
        f"{_size(net.memory.sum)} of activations, {_size(net.memory.peak)} at once"
        f"{taps}{outputs}"
    )


def _taken(net: Net) -> str:
    """`input 3x224x224`, or each of several inputs by name."""
    if len(net.inputs) == 1:
        return f"input {dims(net.input_shape)}"
    return f"inputs {', '.join(f'{name} {dims(shape)}' for name, shape in net.inputs)}"


def _given(output: Output) -> str:
    """A line for one of several outputs."""
    stride = "" if output.stride is None else f" at stride {show(output.stride)}"
    only = ", in training only" if output.training_only else ""
    return f"\noutput {output.name}: {dims(output.shape)}{stride}, from {output.path}{only}"


# ------------------------------------------------------------------------------- several, formats


def _side_by_side(nets: Sequence[Net], format: str) -> None:
    columns = ("spec", "input", "trainable", "other", "MACs", "layers", "weights", "at once")
    lines = [_totals(net, str if format == "csv" else _size) for net in nets]
    if format != "text":
        WRITERS[format](columns, lines)
        return
    table = streams.table(columns[:2], columns[2:])
    for line in lines:
        table.add_row(*line)
    streams.console(160).print(table)


def _size(count: int) -> str:
    """A number of bytes, in words."""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _totals(net: Net, size: Callable[[int], str]) -> Cells:
    """What a network comes to. Sizes are in float32, at a batch of one."""
    other = net.params.total - net.params.trainable
    sizes = (net.params.total * BYTES["float32"], net.memory.peak)
    numbers = (net.params.trainable, other, net.macs, len(net.layers))
    figures = (*(f"{n:,}" for n in numbers), *map(size, sizes))
    return printable(net.stem), ", ".join(dims(shape) for _, shape in net.inputs), *figures


def _csv(columns: Sequence[str], lines: Sequence[Cells]) -> None:
    """Numbers without commas, for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    numbers = {*NUMBERS, "layers"}
    for line in lines:
        pairs = [*zip(columns, line, strict=True)]
        writer.writerow([_bare(cell) if name in numbers else cell for name, cell in pairs])
    click.echo(text.getvalue(), nl=False)


def _bare(number: str) -> str:
    return number.replace(",", "").removesuffix(" %")


def _markdown(columns: Sequence[str], lines: Sequence[Cells]) -> None:
    texts = {*TEXTS, "spec"}
    click.echo(f"| {' | '.join(columns)} |")
    click.echo(f"|{'|'.join('---' if name in texts else '--:' for name in columns)}|")
    for line in lines:
        click.echo(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |")


WRITERS: Mapping[str, Callable[[Sequence[str], Sequence[Cells]], None]] = {
    "csv": _csv,
    "md": _markdown,
}
