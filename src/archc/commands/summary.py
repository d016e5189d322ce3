"""`archc summary`: the layer table of a network, for people and for programs."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import click

from archc.api import Layer, Net, Output, dims
from archc.commands import options, streams
from archc.compiler.language.values import show


@click.command()
@options.spec
@options.network
@options.inference
@options.as_json
@click.option("--blocks", is_flag=True, help="One line for each row of the spec, not for each op.")
def summary(spec: str, given: options.Given, inference: bool, as_json: bool, blocks: bool) -> None:
    """Print the layers of SPEC with their counts.

    Shapes, parameters and MACs are those of one image.
    """
    (net,) = options.load([spec], given, inference=inference)
    if as_json:
        click.echo(json.dumps(plain(net), indent=2))
    else:
        print_table(net, blocks)


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
        "layers": [_entry(layer) for layer in net.layers],
        "blocks": [_entry(block) for block in net.blocks],
        "taps": [tap._asdict() for tap in net.taps],
        "outputs": [output._asdict() for output in net.outputs],
    }


def _entry(layer: Layer) -> dict[str, Any]:
    return {
        "path": layer.path,
        "op": layer.op,
        "output_shape": list(layer.output_shape),
        "params": layer.params.total,
        "trainable": layer.params.trainable,
        "macs": layer.macs,
    }


def print_table(net: Net, blocks: bool) -> None:
    """Prints a line for each row of the spec, with the ops of each unless `blocks`."""
    from rich.text import Text

    console = streams.console(120)
    table = streams.table(("layer", "op", "output"), ("parameters", "MACs"))
    inside = {} if blocks else _inside(net)
    for block in net.blocks:
        # One row of many lines: rich takes its time over each row.
        lines = [_cells(layer) for layer in (block, *inside.get(block.path, ()))]
        style = "bold" if len(lines) > 1 else ""
        columns = zip(*lines, strict=True)
        cells = ((first, [f"\n{cell}" for cell in rest]) for first, *rest in columns)
        table.add_row(*(Text.assemble((first, style), *rest) for first, rest in cells))
    console.print(table)
    console.print(_footer(net))


def _inside(net: Net) -> dict[str, list[Layer]]:
    """The layers in each block that is no single layer, by the block's path."""
    found: dict[str, list[Layer]] = {}
    paths = {block.path for block in net.blocks}
    for layer in net.layers:
        prefixes = accumulate(layer.path.split("."), "{}.{}".format)
        found.setdefault(next(p for p in prefixes if p in paths), []).append(layer)
    return {path: layers for path, layers in found.items() if layers[0].path != path}


def _cells(layer: Layer) -> tuple[str, ...]:
    counts = (f"{count:,}" if count else "" for count in (layer.params.total, layer.macs))
    return layer.path, layer.op, dims(layer.output_shape), *counts


def _footer(net: Net) -> str:
    mega = 2**20
    taps = "".join(
        f"\n{tap.name}: {dims(tap.shape)} at stride {show(tap.stride)}, from {tap.path}"
        for tap in net.taps
    )
    outputs = "".join(map(_given, net.outputs)) if len(net.outputs) > 1 else ""
    return (
        f"\n{net.name}, {_taken(net)}: "
        f"{net.params.trainable:,} trainable parameters, {net.params.total:,} in total\n"
        f"{net.macs:,} MACs of convolutions and dense layers, {net.totals.other:,} other"
        " operations\n"
        f"{net.memory.sum / mega:.1f} MiB of activations, {net.memory.peak / mega:.1f} MiB at once"
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
