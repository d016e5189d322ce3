"""What a file of archc's holds, and what the file of a network would hold, to be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import helper, numpy_helper

from archc.backends import GraphOptions
from archc.backends.onnx.flat import Flat
from archc.backends.onnx.model import model
from archc.backends.onnx.written import proto
from archc.backends.outline import Outline, OutlineRow, Shape
from archc.compiler.ir.network import Network

MOST_NODES = 2**20
MOST_DEEP = 100
"""Of functions in one another: a file may come from anyone."""
TURNED = (".to_nchw", ".to_nhwc")
"""What the names of nodes end in that turn inputs and outputs."""


def of_network(network: Network, options: GraphOptions) -> Outline:
    """What the file of a network would hold, if it was written so."""
    made = model(network, "", options)
    return _outline(proto(made), made.weights, options)


def of_file(path: Path) -> Outline:
    """What a file holds that archc wrote. Raises `ValueError` where it is damaged."""
    try:
        made = onnx.load(path, load_external_data=False)
        weights = {each.name: (*each.dims,) for each in made.graph.initializer}
        _check(made, weights)
        return _outline(made, weights, _options(made))
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"it is damaged: {error}") from error


def _check(made: onnx.ModelProto, weights: Iterable[str]) -> None:
    """Raises `ValueError` for what archc does not write: names that are none of a spec's, and
    functions that call each other in a circle or without end."""
    nodes = [node for part in (made.graph, *made.functions) for node in part.node]
    named = [made.graph.name, *weights, *(each.name for each in made.functions)]
    named += [name for node in nodes for name in (node.name, node.op_type, *node.output)]
    named += [each.name for each in (*made.graph.input, *made.graph.output)]
    for name in named:
        if not re.fullmatch(r"[\w.]+", name):
            raise ValueError(f"{name!r} is no name")
    sizes: dict[str, tuple[int, int]] = {}
    for function in (*made.functions, made.graph):
        inner = [sizes[node.op_type] for node in function.node if node.domain]
        count = len(function.node) + sum(size for size, _ in inner)
        depth = 1 + max((deep for _, deep in inner), default=0)
        if count > MOST_NODES or depth > MOST_DEEP:
            raise ValueError("too many functions are in one another")
        sizes[function.name] = count, depth


def _static(made: onnx.ModelProto) -> bool:
    sides = [side for each in made.graph.input for side in _shape(each)]
    return all(isinstance(side, int) for side in sides)


def _options(made: onnx.ModelProto) -> GraphOptions:
    notes = _notes(made)
    opset = next(each.version for each in made.opset_import if not each.domain)
    return GraphOptions(notes.get("layout", "nchw"), opset)


def _notes(made: onnx.ModelProto) -> dict[str, str]:
    return {each.key: each.value for each in made.metadata_props}


def _shape(value: onnx.ValueInfoProto) -> Shape:
    """Without the batch."""
    sides = value.type.tensor_type.shape.dim
    return tuple(side.dim_param or side.dim_value or None for side in sides)[1:]


def _outline(
    made: onnx.ModelProto, weights: Mapping[str, tuple[int, ...]], options: GraphOptions
) -> Outline:
    graph = made.graph
    inputs, outputs = ({e.name: _shape(e) for e in part} for part in (graph.input, graph.output))
    rows, notes = dict(_rows(made, weights)), _notes(made)
    return Outline(graph.name, notes, options, _static(made), inputs, outputs, rows, weights)


def _rows(
    made: onnx.ModelProto, weights: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, OutlineRow]]:
    functions = {function.name: function for function in made.functions}
    shapes = {e.name: _shape(e) for e in (*made.graph.value_info, *made.graph.output)}
    # Which row or input a value is of; what turns one stands for what it turns.
    of = {each.name: each.name for each in made.graph.input}
    turned = {n.input[0]: n.output[0] for n in made.graph.node if n.name.endswith(TURNED)}
    for node in made.graph.node:
        value = node.output[0]
        if node.name.endswith(TURNED):
            of[value] = of[node.input[0]]
            continue
        of[value] = node.name
        operands = [name for name in node.input if name and name not in weights]
        shape = shapes.get(value) or shapes.get(turned.get(value, ""), ())
        feeds = tuple(of[name] for name in operands)
        yield (
            node.name,
            OutlineRow(node.op_type, shape, feeds, _ops(node, operands, functions, weights)),
        )


def _ops(
    node: onnx.NodeProto,
    operands: list[str],
    functions: Mapping[str, onnx.FunctionProto],
    weights: Mapping[str, tuple[int, ...]],
) -> dict[str, dict[str, str]]:
    flat, row = Flat(functions), node.name
    flat.add(node, "", {}, {})
    known = {value: f"x{i}" for i, value in enumerate(operands)}
    known[node.output[0]] = "returns"
    found = {}
    for op in flat.nodes:
        fed = [name for name in op.input if name and name not in weights]
        feeds = [known.get(name) or name.removeprefix(f"{row}.") for name in fed]
        attributes = {each.name: _value(each) for each in op.attribute}
        if attributes.get("group", "1") != "1" and weights.get(op.input[1], ())[1:2] == (1,):
            attributes["group"] = "channels"  # which says nothing that the tensors do not
        said = {"": op.op_type, "from": " ".join(feeds), **attributes}
        found[op.name.removeprefix(row).removeprefix(".")] = said
    return found


def _value(attribute: onnx.AttributeProto) -> str:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return str(numpy_helper.to_array(value).tolist())
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, int) else _numbers(value)


def _numbers(value: Any) -> str:
    """float32 in as few digits as say it."""
    if isinstance(value, float):
        return f"{value:.7g}"
    return f"[{', '.join(map(_numbers, value))}]" if isinstance(value, list) else str(value)
