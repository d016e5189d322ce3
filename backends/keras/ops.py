"""How Keras spells each op: as the layer that is then called on its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from archc.backends.keras.names import LABEL, SEPARATOR
from archc.backends.python.blocks import NOWHERE, is_literal
from archc.backends.python.text import Apply, Expression, apply
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node

ACTIVATIONS = frozenset(
    {
        "relu",
        "relu6",
        "elu",
        "gelu",
        "sigmoid",
        "hard_sigmoid",
        "tanh",
        "swish",
        "hard_swish",
        "mish",
        "softmax",
    }
)
"""Those that Keras has under the same name. The others are functions, as blocks are."""


@dataclass(frozen=True, slots=True)
class OpCall:
    """An op where it is called: its arguments, how to spell them, and its inputs as text."""

    arguments: Mapping[str, Node]
    inputs: tuple[Expression, ...]
    path: str
    """The inside of the f-string or string that names the layer."""
    spell: Callable[[Node], str]
    varied: bool = False
    """Whether an activation may be another than those of `ACTIVATIONS`."""

    def __getitem__(self, name: str) -> str:
        return self.spell(self.arguments[name])

    def named(self, suffix: str = "") -> str:
        text = f'"{self.path}{suffix}"'
        return f"f{text}" if "{" in text else text

    def given(self, **names: str) -> dict[str, Expression]:
        """Keras's keyword = text, for the arguments that are not at Keras's default of 1."""
        nodes = {keyword: self.arguments[name] for keyword, name in names.items()}
        return {k: self.spell(node) for k, node in nodes.items() if not is_literal(node, 1)}

    def is_(self, name: str, *values: ex.Value) -> bool:
        return is_literal(self.arguments[name], *values)

    def sides(self, name: str) -> str:
        """Four numbers as Keras takes them: ((top, bottom), (left, right))."""
        value = self.arguments[name].evaluate({})
        assert isinstance(value, tuple)
        return repr((value[:2], value[2:]))

    def layer(self, class_name: str, *plain: str, **named: Expression) -> Apply:
        """`layers.Class(..., name=...)(x)`."""
        layer = apply(f"layers.{class_name}", *plain, **named, name=self.named())
        return replace(layer, inputs=self.inputs)


Spelling = Callable[[OpCall], Apply]


def _padded(call: OpCall) -> tuple[OpCall, str]:
    """The call on an input padded where Keras has no name for it, and what padding remains."""
    if call.is_("kernel", 1) and call.is_("padding", "same", "symmetric"):
        return call, '"valid"'
    if call.is_("padding", "same", "valid"):
        return call, call["padding"]
    arguments = [str(call.inputs[0]), call["padding"], call["kernel"]]
    arguments += [] if call.is_("dilation", 1) else [call["dilation"]]
    x = f"pad({', '.join(arguments)}, name={call.named('-pad')})"
    return replace(call, inputs=(x,)), call.spell(_rest(call.arguments["padding"]))


def _rest(padding: Node) -> Node:
    """What a layer has to pad once `pad` has done its part."""
    same, valid = ex.Literal("same", NOWHERE), ex.Literal("valid", NOWHERE)
    if isinstance(padding, ex.Literal | ex.Items):
        return valid
    return ex.Conditional(ex.Compare("==", padding, same, NOWHERE), same, valid, NOWHERE)


def _convolution(call: OpCall, class_name: str, *plain: str, **named: Expression) -> Apply:
    padded, padding = _padded(call)
    bias: dict[str, Expression] = {} if call.is_("bias", True) else {"use_bias": call["bias"]}
    window = call.given(strides="stride", dilation_rate="dilation")
    named = {**({} if padding == '"valid"' else {"padding": padding}), **bias, **named}
    return padded.layer(class_name, *plain, **window, **named)


def _conv2d(call: OpCall) -> Apply:
    named = {**call.given(groups="groups"), "kernel_initializer": call["init"]}
    return _convolution(call, "Conv2D", call["filters"], call["kernel"], **named)


def _depthwise(call: OpCall) -> Apply:
    named = {**call.given(depth_multiplier="multiplier"), "depthwise_initializer": call["init"]}
    return _convolution(call, "DepthwiseConv2D", call["kernel"], **named)


def _separable(call: OpCall) -> Apply:
    named = {**call.given(depth_multiplier="multiplier"), "depthwise_initializer": call["init"]}
    named["pointwise_initializer"] = call["init"]
    return _convolution(call, "SeparableConv2D", call["filters"], call["kernel"], **named)


def _dense(call: OpCall) -> Apply:
    bias: dict[str, Expression] = {} if call.is_("bias", True) else {"use_bias": call["bias"]}
    return call.layer("Dense", call["units"], kernel_initializer=call["init"], **bias)


def _pool(class_name: str) -> Spelling:
    def spell(call: OpCall) -> Apply:
        named = {"strides": call["stride"], "padding": call["padding"]}
        return call.layer(class_name, call["kernel"], **named)

    return spell


def _global_pool(class_name: str) -> Spelling:
    def spell(call: OpCall) -> Apply:
        kept: dict[str, Expression] = {"keepdims": "True"} if call.is_("keepdims", True) else {}
        return call.layer(class_name, **kept)

    return spell


def _reshape(call: OpCall) -> Apply:
    value = call.arguments["shape"].evaluate({})
    assert isinstance(value, tuple)
    return call.layer("Reshape", repr((*value[1:], value[0])))


def _rescale(call: OpCall) -> Apply:
    offset: dict[str, Expression] = {} if call.is_("offset", 0.0) else {"offset": call["offset"]}
    return call.layer("Rescaling", call["scale"], **offset)


def _activation(call: OpCall) -> Apply:
    if call.is_("act", None):
        return call.layer("Identity")
    act = call.arguments["act"]
    known = act.value if isinstance(act, ex.Literal) else None
    if known in ACTIVATIONS:
        label = "" if call.path.endswith(f"{SEPARATOR}{known}") else f"{LABEL}{known}"
        return replace(call, path=f"{call.path}{label}").layer("Activation", call["act"])
    if known is not None:
        return apply(call["act"], *call.inputs, name=call.named())
    if call.varied or not isinstance(act, ex.Name):
        return apply("activate", *call.inputs, call["act"], name=call.named())
    labelled = replace(call, path=f"{call.path}{LABEL}{{{call['act']}}}")
    return labelled.layer("Activation", call["act"])


OPS: Mapping[str, Spelling] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "depthwise_conv2d": _depthwise,
        "separable_conv2d": _separable,
        "dense": _dense,
        "batch_norm": lambda call: call.layer(
            "BatchNormalization", momentum=call["decay"], epsilon=call["epsilon"]
        ),
        "activation": _activation,
        "max_pool2d": _pool("MaxPooling2D"),
        "avg_pool2d": _pool("AveragePooling2D"),
        "global_avg_pool2d": _global_pool("GlobalAveragePooling2D"),
        "global_max_pool2d": _global_pool("GlobalMaxPooling2D"),
        "add": lambda call: call.layer("Add"),
        "multiply": lambda call: call.layer("Multiply"),
        "maximum": lambda call: call.layer("Maximum"),
        "concat": lambda call: call.layer("Concatenate" if len(call.inputs) > 1 else "Identity"),
        "zero_pad2d": lambda call: call.layer("ZeroPadding2D", call.sides("padding")),
        "crop2d": lambda call: call.layer("Cropping2D", call.sides("cropping")),
        "flatten": lambda call: call.layer("Flatten"),
        "reshape": _reshape,
        "dropout": lambda call: call.layer("Dropout", call["rate"]),
        "rescale": _rescale,
        "identity": lambda call: call.layer("Identity"),
    }
)
