"""A model in ONNX's own types: as bytes, and as text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.printer
from onnx import helper

from archc.backends.onnx.drafts import Attribute, Double, Function, Node, Ref
from archc.backends.onnx.model import Model, Value

IR_VERSION = 8
"""What opsets 17 and 18 came with; functions need it."""
FLOAT = onnx.TensorProto.FLOAT
LARGEST = 2**31 - 2**24
"""Bytes of weights that go into the file of the graph: protobuf ends at 2 GB, all told."""

Arrays = Mapping[str, Any]


def proto(model: Model) -> onnx.ModelProto:
    """The model without the numbers of its weights."""
    opsets = [helper.make_opsetid("", model.opset), helper.make_opsetid(model.name, 1)]
    graph = helper.make_graph(
        [_node(node, model.name) for node in model.nodes],
        model.name,
        [_typed(value) for value in model.inputs],
        [_typed(value) for value in model.outputs],
        doc_string=model.doc or None,
        value_info=[_typed(value) for value in model.values],
    )
    made = helper.make_model(
        graph,
        functions=[_function(function, model.name, opsets) for function in model.functions],
        opset_imports=opsets if model.functions else opsets[:1],
        ir_version=IR_VERSION,
        producer_name="archc",
    )
    helper.set_model_props(made, dict(model.notes))
    return made


def _typed(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, FLOAT, value.shape)


def _function(function: Function, domain: str, opsets: list[Any]) -> onnx.FunctionProto:
    calls = any(isinstance(node.target, Function) for node in function.nodes)
    made = helper.make_function(
        domain,
        function.name,
        function.inputs,
        [function.output],
        [_node(node, domain) for node in function.nodes],
        opsets if calls else opsets[:1],
        function.attributes,
    )
    made.doc_string = function.doc
    return made


def _node(node: Node, domain: str) -> onnx.NodeProto:
    target = node.target
    made = onnx.NodeProto(name=node.name, input=node.inputs, output=[node.output])
    made.op_type = target.name if isinstance(target, Function) else target
    if isinstance(target, Function):
        made.domain = domain
    made.attribute.extend(_attribute(*each) for each in node.attributes.items())
    return made


def _attribute(name: str, value: Attribute) -> onnx.AttributeProto:
    if isinstance(value, Ref):
        kind: Any = onnx.AttributeProto.AttributeType.Value(value.kind)
        return onnx.AttributeProto(name=name, ref_attr_name=value.name, type=kind)
    made: Any = value
    if isinstance(value, Double):
        made = helper.make_tensor("", onnx.TensorProto.DOUBLE, [], [value.value])
    return helper.make_attribute(name, made)


# ------------------------------------------------------------------------------------ weights


def whole(model: Model, arrays: Arrays) -> onnx.ModelProto:
    """The model with its weights."""
    made = proto(model)
    for name, shape in model.weights.items():
        made.graph.initializer.append(_tensor(name, shape))
        made.graph.initializer[-1].raw_data = _bytes(arrays[name])
    return made


def apart(model: Model, location: str) -> onnx.ModelProto:
    """The model with its weights in another file, one after another."""
    made, offset = proto(model), 0
    for name, shape in model.weights.items():
        made.graph.initializer.append(_tensor(name, shape))
        length = int(np.prod(shape, dtype=np.int64)) * 4
        kept = {"location": location, "offset": str(offset), "length": str(length)}
        _place(made.graph.initializer[-1], kept)
        offset += length
    return made


def _tensor(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    return onnx.TensorProto(name=name, dims=shape, data_type=FLOAT)


def _place(tensor: onnx.TensorProto, kept: Mapping[str, str]) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)


def _bytes(array: Any) -> bytes:
    made: bytes = np.ascontiguousarray(array, "<f4").tobytes()
    return made


def files(model: Model, stem: str, arrays: Arrays) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Names and contents, in the order in which they are to be written: a graph comes after the
    weights that it refers to. These have a name of their own for each content, so that what was
    there before is whole until the graph is replaced."""
    if 4 * sum(int(np.prod(shape, dtype=np.int64)) for shape in model.weights.values()) <= LARGEST:
        yield f"{stem}.onnx", [_serialized(whole(model, arrays))]
        return
    digest = hashlib.sha256()
    for name in model.weights:
        digest.update(_bytes(arrays[name]))
    location = f"{stem}.{digest.hexdigest()[:12]}.onnx.data"
    yield location, (_bytes(arrays[name]) for name in model.weights)
    yield f"{stem}.onnx", [_serialized(apart(model, location))]


def _serialized(made: onnx.ModelProto) -> bytes:
    serialized: bytes = made.SerializeToString(deterministic=True)
    return serialized


# --------------------------------------------------------------------------------------- text


def text(model: Model) -> str:
    """ONNX's textual form, with the shapes of weights in place of their numbers."""
    made = proto(model)
    for name, shape in model.weights.items():
        made.graph.initializer.append(_tensor(name, shape))
    return printed(made)


def read(path: Path) -> str:
    """The textual form of a file. Raises `ValueError` where it is none."""
    try:
        return printed(onnx.load(path, load_external_data=False))
    except Exception as error:
        raise ValueError(f"no ONNX file: {error}") from error


_NOWHERE = '["location": "weights"]'


def printed(made: onnx.ModelProto) -> str:
    """The textual form of a model, a line for each of its weights."""
    for tensor in made.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.ClearField("external_data")
        _place(tensor, {"location": "weights"})
    found: str = onnx.printer.to_text(made)
    return found.replace(f"{_NOWHERE}, ", f"{_NOWHERE},\n    ") + "\n"
