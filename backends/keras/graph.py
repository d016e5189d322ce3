"""The layers of the model that emitted source makes, in Keras's order, without Keras.

Keras stores weights by a layer's class and its number among the model's layers of that class. The
order is that of `keras.src.ops.function.map_graph`: the graph follows from the network, and from
how the render model spells each call in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from archc.backends.keras.names import LayerName, layer_name
from archc.backends.python.model import Module
from archc.backends.python.text import Apply, Expression
from archc.compiler.ir.network import Block, Body, Network
from archc.compiler.ir.padding import crops


@dataclass(eq=False, slots=True)
class _Node:
    """A layer, or one of Keras's operations, and the one tensor that it gives."""

    kind: str
    name: str
    parents: tuple[_Node, ...] = ()


def stored_layers(module: Module, network: Network) -> dict[str, str]:
    """Where Keras stores each layer's arrays, by the layer's name: `conv2d_3`."""
    counts: dict[str, int] = {}
    found = {}
    for node in _ordered(_outputs(module, network)):
        if node.kind == _OPERATION:
            continue
        kind = snake_case(node.kind)
        number = counts[kind] = counts.get(kind, -1) + 1
        found[node.name] = f"{kind}_{number}" if number else kind
    return found


def snake_case(name: str) -> str:
    """`BatchNormalization` -> `batch_normalization`, as `keras.src.utils.naming` has it."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _outputs(module: Module, network: Network) -> list[_Node]:
    """The outputs of the model, in the order in which Keras goes through them: by name."""
    values = [_Node("InputLayer", entry.layer) for entry in module.network.entries][::-1]
    first = len(values)
    given: dict[str, _Node] = {}
    for row in network.rows:
        call = row.call
        inputs = tuple(values[feed + first] for feed in call.feeds)
        spelled = module.network.calls.get(call.name)
        values.append(_called(module, call.body, layer_name(call.name), spelled, inputs))
        given |= {row.output: values[-1]} if row.output is not None else {}
    return [given[name] for name in sorted(given)]


def _called(
    module: Module, body: Body, name: str, spelled: Expression | None, inputs: tuple[_Node, ...]
) -> _Node:
    """The output of a call; `name` is its layer's, or its block's, without the activation."""
    if not isinstance(body.target, Block):
        assert isinstance(spelled, Apply)
        return _layers(body, name, spelled, inputs)
    values: list[_Node] = []
    calls = module.blocks[body.target.name].calls
    for call in body.calls:
        own = f"{name}-{layer_name(call.name)}"
        feeds = tuple(values[n] if n >= 0 else inputs[-1 - n] for n in call.feeds)
        values.append(_called(module, call.body, own, calls[call.name], feeds))
    return values[body.result] if body.result >= 0 else inputs[-1 - body.result]


def _layers(body: Body, name: str, spelled: Apply, inputs: tuple[_Node, ...]) -> _Node:
    """The last of the layers that an op is spelled as."""
    if any(isinstance(x, Apply) and x.callee == "pad" for x in spelled.inputs) and _pads(body):
        inputs = (_Node("ZeroPadding2D", f"{name}-pad", inputs),)
    if spelled.callee == "conv_transpose_padded" and _lacks_cells(body):
        inputs = (_Node("ZeroPadding2D", f"{name}-pad", inputs),)
    word = body.arguments.get("act")
    helper = str(word) if spelled.callee == "activate" else spelled.callee
    if helper in _HELPERS:
        return _helped(helper, name, spelled, inputs)
    if spelled.callee == "activate":
        kind, label = ("Identity", "") if word is None else ("Activation", f"--{word}")
        return _Node(kind, f"{name}{label}", inputs)
    own = dict(a for a in spelled.arguments if isinstance(a, tuple))["name"]
    assert isinstance(own, LayerName)
    kind = spelled.callee.removeprefix("layers.")
    return _Node(kind, f"{name}{own.labelled(body.arguments)}", inputs)


def _pads(body: Body) -> bool:
    """Whether the helper `pad` adds a layer."""
    padding, kernel = body.arguments["padding"], body.arguments["kernel"]
    if padding == "symmetric":
        return kernel != (1, 1)
    return not isinstance(padding, str) and padding != (0, 0, 0, 0)


def _helped(helper: str, name: str, spelled: Apply, inputs: tuple[_Node, ...]) -> _Node:
    """The last of the layers that a helper makes."""
    nodes = [*inputs]
    for kind, suffix, parents in _HELPERS[helper]:
        kind = kind or str(spelled.arguments[1]).removeprefix("layers.")
        nodes.append(_Node(kind, f"{name}{suffix}", tuple(nodes[n] for n in parents)))
    return nodes[-1]


def _lacks_cells(body: Body) -> bool:
    """Whether padding of the output goes beyond what Keras's transposed convolution gives."""
    a: Any = body.arguments
    sizes = zip(a["kernel"], a["stride"], a["output_padding"], strict=True)
    return any(
        crops(a["padding"], k, s, more, side)[1] + max(s - k, 0) < 0
        for side, (k, s, more) in enumerate(sizes)
    )


_AS_LAYER, _AS_LAYER_OF_TWO = (
    (("Functional", "-ops", inputs), ("Identity", "", (len(inputs),))) for inputs in ((0,), (0, 1))
)
_OPERATION = "Operation"
"""Stands for the class of each of Keras's operations, which are no layers and have no arrays."""


def _scaled_by(count: int) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """A product with what so many operations make of the input."""
    return *((_OPERATION, "", (n,)) for n in range(count)), ("Multiply", "", (0, count))


_HELPERS: Mapping[str, tuple[tuple[str, str, tuple[int, ...]], ...]] = MappingProxyType(
    {
        "drop_samples": (("Dropout", "", (0,)),),
        "unit_length": _scaled_by(4),
        "response_norm": _scaled_by(8),
        "parametric_relu": (("PReLU", "", (0,)),),
        "standardized_conv": (
            ("Functional", "-one-ops", (0,)),
            ("Identity", "-one", (1,)),
            ("EinsumDense", "", (2,)),
            ("Functional", "--conv-ops", (0, 3)),
            ("Identity", "--conv", (4,)),
        ),
        "learned": (
            ("Functional", "-ones-ops", (0,)),
            ("Identity", "-ones", (1,)),
            ("EinsumDense", "", (2,)),
        ),
        "leaky_relu": (("LeakyReLU", "", (0,)),),
        "gelu_tanh": (
            ("Multiply", "-square", (0, 0)),
            ("Rescaling", "-slope", (1,)),
            ("Multiply", "-inner", (0, 2)),
            ("Activation", "-tanh", (3,)),
            ("Rescaling", "-share", (4,)),
            ("Multiply", "--gelu_tanh", (0, 5)),
        ),
        "quick_gelu": (
            ("Rescaling", "-slope", (0,)),
            ("Activation", "-sigmoid", (1,)),
            ("Multiply", "--quick_gelu", (0, 2)),
        ),
        "pool_over_zeros": (
            ("ZeroPadding2D", "-zeros", (0,)),
            ("", "-pool", (1,)),
            ("Cropping2D", "", (2,)),
        ),
        "slice_channels": _AS_LAYER,
        "split_channels": _AS_LAYER,
        "shuffle_channels": _AS_LAYER,
        "mean_of_channels": _AS_LAYER,
        "variance_over": _AS_LAYER,
        "square_root": _AS_LAYER,
        "divided": _AS_LAYER_OF_TWO,
        "add_channel": (("Rescaling", "-minus", (1,)), ("Subtract", "", (0, 2))),
        "conv_transpose_padded": (("Conv2DTranspose", "", (0,)), ("Cropping2D", "--crop", (1,))),
        "max_pool_padded": (
            ("Functional", "-pad-ops", (0,)),
            ("Identity", "-pad", (1,)),
            ("MaxPooling2D", "", (2,)),
        ),
        "resize_like": _AS_LAYER_OF_TWO,
        "avg_pool_padded": _AS_LAYER,
        "adaptive_avg_pool": _AS_LAYER,
        "adaptive_max_pool": _AS_LAYER,
        "resize_by": _AS_LAYER,
        "pixel_shuffle": _AS_LAYER,
        "pixel_unshuffle": _AS_LAYER,
    }
)
"""The layers of the functions in helpers.py: class, or "" for that of the second argument; end of
the name; and of which they are called, from 0 on the inputs and then the layers in order."""


def _ordered(outputs: Iterable[_Node]) -> Iterator[_Node]:
    """The layers from input to outputs: by depth, and within one depth as a search meets them."""
    met: dict[_Node, int] = {}
    finished: list[_Node] = []
    for output in outputs:
        _search(output, met, finished)
    depths: dict[_Node, int] = {}
    for node in reversed(finished):
        depth = depths.setdefault(node, 0)
        for parent in node.parents:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    yield from sorted(finished, key=lambda node: (-depths[node], met[node]))


def _search(output: _Node, met: dict[_Node, int], finished: list[_Node]) -> None:
    """Depth first from an output: when each layer was met, and in which order they were done."""
    if output in met:
        return
    met[output] = len(met)
    stack = [(output, iter(output.parents))]
    while stack:
        _, parents = stack[-1]
        parent = next((parent for parent in parents if parent not in met), None)
        if parent is None:
            finished.append(stack.pop()[0])
        else:
            met[parent] = len(met)
            stack.append((parent, iter(parent.parents)))
