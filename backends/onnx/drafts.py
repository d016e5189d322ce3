"""What a call comes to in ONNX, before calls that differ in numbers alone become one function."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archc.compiler.ir.network import Arguments, Block, Body


@dataclass(frozen=True, slots=True)
class Double:
    """A number of float64, which only a tensor holds."""

    value: float


Values = int | float | str | tuple[int, ...] | tuple[float, ...] | Double
"""What an attribute may be here; of a tuple, all are of one type."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An attribute of the function that an attribute of a node in it takes its value from."""

    name: str
    kind: str


Attribute = Values | Ref


def kind(value: Attribute) -> str:
    """The type of an attribute, as ONNX calls it."""
    if isinstance(value, Ref):
        return value.kind
    if isinstance(value, tuple):
        return "FLOATS" if value and isinstance(value[0], float) else "INTS"
    return {int: "INT", float: "FLOAT", str: "STRING", Double: "TENSOR"}[type(value)]


@dataclass(slots=True, eq=False)
class Function:
    """A function of the file."""

    name: str
    """Known when all functions are."""
    doc: str
    inputs: tuple[str, ...]
    output: str
    nodes: tuple[Node, ...]
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, or a call of a function. All have one output."""

    target: str | Function
    name: str
    inputs: tuple[str, ...]
    """"" is an optional one that is not given."""
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a graph is written."""

    opset: int
    layout: str
    static: bool
    """Whether height and width are the declared ones."""


@dataclass(slots=True, eq=False)
class Draft:
    """Nodes of one op or of one block, with all their numbers."""

    body: Body
    plan: Plan
    inputs: tuple[str, ...] = ()
    """The operands, and then the weights."""
    nodes: list[Node] = field(default_factory=list)
    result: str = ""

    @property
    def arguments(self) -> Arguments:
        return self.body.arguments

    @property
    def is_function(self) -> bool:
        """Whether a call of it is one of a function: a block is one, and so is an op of several
        operators."""
        return isinstance(self.body.target, Block) or len(self.nodes) > 1

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Appends an operator; the name of its output."""
        output = self._free(name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op).lower())
        self.nodes.append(Node(op, output, inputs, output, attributes))
        return output

    def _free(self, name: str) -> str:
        taken, number, free = {*self.inputs, *(n.output for n in self.nodes)}, 2, name
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def ints(self, name: str, values: Sequence[int]) -> str:
        """A vector of integers."""
        return self.add("Constant", name=name, value_ints=tuple(values))

    def floats(self, name: str, *values: float) -> str:
        """A number, or a vector of several."""
        if len(values) == 1:
            return self.add("Constant", name=name, value_float=float(values[0]))
        return self.add("Constant", name=name, value_floats=tuple(map(float, values)))

    def weight(self, name: str) -> str:
        """The input that an array of the op is; "" where it has none of that name."""
        return name if any(w.name == name for w in self.body.cost.weights) else ""

    def reduce(self, op: str, x: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """Opset 18 made the axes an input."""
        if self.plan.opset == 17:
            return self.add(op, x, axes=tuple(axes), keepdims=int(keepdims))
        return self.add(op, x, self.ints("axes", axes), keepdims=int(keepdims))
