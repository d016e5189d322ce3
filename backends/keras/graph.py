"""The layers of the model that emitted source makes, in Keras's order, without Keras.

Keras stores weights by a layer's class and its number among the model's layers of that class. The
order is that of `keras.src.ops.function.map_graph`, so the source is run against stand-ins that
remember what is called on what, and their graph is sorted likewise.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from archc.backends.keras.names import layer_name
from archc.compiler.ir.analysis import layers
from archc.compiler.ir.network import Network


@dataclass(eq=False, slots=True)
class _Node:
    """A layer, and the one tensor that it gives."""

    kind: str
    name: str
    shapes: Mapping[str, tuple[int, ...]]
    parents: tuple[_Node, ...] = ()

    def __call__(self, inputs: _Node | Sequence[_Node]) -> _Node:
        self.parents = (inputs,) if isinstance(inputs, _Node) else tuple(inputs)
        return self

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(None, height, width, channels), or (None, features). A pad keeps its input's."""
        if self.name in self.shapes:
            return (None, *self.shapes[self.name])
        return self.parents[0].shape


class _Layers:
    """`keras.layers`: any name is a class of layers."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def __getattr__(self, kind: str) -> Callable[..., _Node]:
        return lambda *_, name, **__: _Node(kind, name, self._shapes)


def stored_layers(source: str, model: str, network: Network) -> dict[str, str]:
    """Where Keras stores each layer's arrays, by the layer's name: `conv2d_3`.

    `source` is the emitted module, and `model` the name of its last function.
    """
    counts: dict[str, int] = {}
    found = {}
    for node in _ordered(_traced(source, model, network)):
        kind = snake_case(node.kind)
        number = counts[kind] = counts.get(kind, -1) + 1
        found[node.name] = f"{kind}_{number}" if number else kind
    return found


def snake_case(name: str) -> str:
    """`BatchNormalization` -> `batch_normalization`, as `keras.src.utils.naming` has it."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _traced(source: str, model: str, network: Network) -> _Node:
    """The output of the model that the source makes."""
    channels_last = {
        layer_name(layer.path): (*layer.output.shape[1:], layer.output.shape[0])
        for layer in layers(network)
    }
    keras = SimpleNamespace(
        layers=_Layers(channels_last),
        Input=lambda shape, *, name: _Node("InputLayer", name, {name: tuple(shape)}),
        Model=lambda inputs, outputs, *, name: outputs,
    )
    hidden = {**vars(builtins), "__import__": partial(_import, keras)}
    namespace: dict[str, Any] = {"__builtins__": hidden, "__name__": "traced"}
    exec(compile(source, f"<{model}>", "exec"), namespace)
    output: _Node = namespace[model]()
    return output


def _import(keras: Any, name: str, *arguments: Any) -> Any:
    return keras if name == "keras" else __import__(name, *arguments)


def _ordered(output: _Node) -> Iterator[_Node]:
    """The layers from input to output: by depth, and within one depth as a search meets them."""
    met, finished = _search(output)
    depths: dict[_Node, int] = {}
    for node in reversed(finished):
        depth = depths.setdefault(node, 0)
        for parent in node.parents:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    yield from sorted(finished, key=lambda node: (-depths[node], met[node]))


def _search(output: _Node) -> tuple[dict[_Node, int], list[_Node]]:
    """Depth first from the output: when each layer was met, and in which order they were done."""
    met: dict[_Node, int] = {output: 0}
    finished: list[_Node] = []
    stack = [(output, iter(output.parents))]
    while stack:
        _, parents = stack[-1]
        parent = next((parent for parent in parents if parent not in met), None)
        if parent is None:
            finished.append(stack.pop()[0])
        else:
            met[parent] = len(met)
            stack.append((parent, iter(parent.parents)))
    return met, finished
