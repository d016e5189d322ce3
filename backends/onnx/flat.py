"""A model without functions: their bodies stand where they were called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx


@dataclass
class Flat:
    """Nodes of functions at their paths."""

    functions: Mapping[str, onnx.FunctionProto]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """What the value at a path is called."""

    def add(
        self, node: onnx.NodeProto, at: str, names: Mapping[str, str], given: Mapping[str, Any]
    ) -> None:
        """Appends a node of a function at a path, where `names` are those of the function's inputs
        and of its output outside, and `given` its attributes."""
        made = onnx.NodeProto(op_type=node.op_type, name=f"{at}{node.name}")
        made.input.extend(i and names.get(i, f"{at}{i}") for i in node.input)
        made.output.extend(names.get(o, f"{at}{o}") for o in node.output)
        attributes = {a.name: _bound(a, given) for a in node.attribute}
        self.values[made.name] = made.output[0]
        if not node.domain:
            made.attribute.extend(attributes.values())
            self.nodes.append(made)
            return
        function = self.functions[node.op_type]
        outside = dict(zip(function.input, made.input, strict=True))
        outside |= dict(zip(function.output, made.output, strict=True))
        for inner in function.node:
            self.add(inner, f"{made.name}.", outside, attributes)


def _bound(attribute: onnx.AttributeProto, given: Mapping[str, Any]) -> onnx.AttributeProto:
    """An attribute of a node, with the value that the call of the function gives."""
    if not attribute.ref_attr_name:
        return attribute
    made = onnx.AttributeProto()
    made.CopyFrom(given[attribute.ref_attr_name])
    made.name = attribute.name
    return made
