"""How PyTorch spells each op: an op of one tensor is a module, an op of several is an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from archc.backends.blocks import is_literal, literal
from archc.backends.text import Apply, Expression, apply
from archc.compiler import expressions as ex
from archc.compiler.expressions import Node

ACTIVATIONS = MappingProxyType(
    {
        "relu": "nn.ReLU",
        "relu6": "nn.ReLU6",
        "elu": "nn.ELU",
        "gelu": "nn.GELU",
        "sigmoid": "nn.Sigmoid",
        "hard_sigmoid": "nn.Hardsigmoid",
        "tanh": "nn.Tanh",
        "swish": "nn.SiLU",
        "hard_swish": "nn.Hardswish",
        "mish": "nn.Mish",
        "softmax": "nn.Softmax2d",
    }
)


@dataclass(frozen=True, slots=True)
class OpCall:
    """An op where it is called: all its arguments, its input's channels, and how to spell them."""

    arguments: Mapping[str, Node]
    channels: Node | None
    spell: Callable[[Node], str]
    kinds: Mapping[str, str]
    """The kinds of the parameters that the arguments may mention."""

    def pair(self, name: str) -> tuple[int, int] | None:
        """A size that is known, as two numbers."""
        node = self.arguments[name]
        value = node.value if isinstance(node, ex.Literal) else None
        if isinstance(value, tuple):
            return value[0], value[1]
        return (value, value) if isinstance(value, int) else None

    def is_number(self, name: str) -> bool:
        """Whether an argument is certainly one number, not a pair."""
        names = [n for n in ex.walk(self.arguments[name]) if isinstance(n, ex.Name)]
        return all(self.kinds.get(n.id) == "int" for n in names)

    def __getitem__(self, name: str) -> str:
        return self.spell(self.arguments[name])

    @property
    def in_channels(self) -> str:
        assert self.channels is not None
        return self.spell(self.channels)

    def given(self, **names: str) -> dict[str, Expression]:
        """PyTorch's keyword = text, for the arguments that are not at PyTorch's default of 1."""
        nodes = {keyword: self.arguments[name] for keyword, name in names.items()}
        return {k: self.spell(node) for k, node in nodes.items() if not is_literal(node, 1)}

    def is_(self, name: str, *values: ex.Value) -> bool:
        return is_literal(self.arguments[name], *values)


Module = Callable[[OpCall], Expression]
Inline = Callable[[list[str]], str]


def _padding(call: OpCall) -> tuple[str, dict[str, Expression]]:
    """The convolution class for a padding, and its `padding` argument."""
    padding = call.arguments["padding"]
    if is_literal(padding, "valid"):
        return "nn.Conv2d", {}
    if is_literal(padding, "same") and call.is_("stride", 1):
        return "nn.Conv2d", {} if call.is_("kernel", 1) else {"padding": '"same"'}
    if is_literal(padding, "same"):
        return "Conv2dSame", {}
    pads = _even_pads(call)
    if pads is None:
        return "Conv2dPadded", {"padding": call["padding"]}
    return "nn.Conv2d", {"padding": pads} if pads != "0" else {}


def _even_pads(call: OpCall) -> str | None:
    """Pads that are alike on opposite sides, as PyTorch's `padding`; None if they may not be."""
    padding = call.arguments["padding"]
    if isinstance(padding, ex.Literal) and isinstance(padding.value, tuple):
        top, bottom, left, right = padding.value
        return literal((top, left)) if (top, left) == (bottom, right) else None
    if not is_literal(padding, "symmetric"):
        return None
    sizes, spacings = (call.pair(name) for name in ("kernel", "dilation"))
    if sizes is not None and spacings is not None:
        return literal((sizes[0] // 2 * spacings[0], sizes[1] // 2 * spacings[1]))
    return f"{call['kernel']} // 2" if spacings == (1, 1) and call.is_number("kernel") else None


def _convolution(call: OpCall, positional: list[str], **named: Expression) -> Expression:
    name, padding = _padding(call)
    named = {**call.given(stride="stride", dilation="dilation"), **padding, **named}
    if call.is_("bias", False):
        named["bias"] = "False"
    elif not call.is_("bias", True):
        named["bias"] = call["bias"]
    return apply(name, *positional, **named)


def _initialized(call: OpCall, layer: Expression, depthwise: bool = False) -> Expression:
    init = call.arguments["init"]
    name = str(init.value) if isinstance(init, ex.Literal) else call["init"]
    symmetric = name.startswith("glorot") and call.is_("multiplier", 1) if depthwise else True
    return apply(name, layer) if symmetric else apply("as_depthwise", name, layer)


def _conv2d(call: OpCall) -> Expression:
    positional = [call.in_channels, call["filters"], call["kernel"]]
    return _initialized(call, _convolution(call, positional, **call.given(groups="groups")))


def _depthwise(call: OpCall) -> Expression:
    channels = call.in_channels
    out = channels if call.is_("multiplier", 1) else _product(call)
    layer = _convolution(call, [channels, out, call["kernel"]], groups=channels)
    return _initialized(call, layer, depthwise=True)


def _product(call: OpCall) -> str:
    assert call.channels is not None
    multiplier = call.arguments["multiplier"]
    product = ex.Binary("*", call.channels, multiplier, multiplier.place)
    return call.spell(_folded(product))


def _folded(node: ex.Binary) -> Node:
    constant = isinstance(node.left, ex.Literal) and isinstance(node.right, ex.Literal)
    return ex.Literal(node.evaluate({}), node.place) if constant else node


def _separable(call: OpCall) -> Expression:
    one = ex.Literal(1, call.arguments["filters"].place)
    no = ex.Literal(False, one.place)
    first = replace(call, arguments={**call.arguments, "bias": no})
    assert call.channels is not None
    middle = _folded(ex.Binary("*", call.channels, call.arguments["multiplier"], one.place))
    if call.is_("multiplier", 1):
        middle = call.channels
    plain = {"kernel": one, "stride": one, "dilation": one, "groups": one}
    second = replace(call, arguments={**call.arguments, **plain}, channels=middle)
    return apply("SeparableConv2d", _depthwise(first), _conv2d(second))


def _dense(call: OpCall) -> Expression:
    bias: dict[str, Expression] = {} if call.is_("bias", True) else {"bias": call["bias"]}
    return _initialized(call, apply("nn.Linear", call.in_channels, call["units"], **bias))


def _batch_norm(call: OpCall) -> Expression:
    # PyTorch's momentum is the share of the new value; 1 - 0.99 is 0.010000000000000009.
    decay = call.arguments["decay"]
    kept = isinstance(decay, ex.Literal) and isinstance(decay.value, float)
    momentum = repr(round(1 - decay.value, 12)) if kept else f"1 - {call['decay']}"  # type: ignore[union-attr,operator]
    return apply("nn.BatchNorm2d", call.in_channels, eps=call["epsilon"], momentum=momentum)


def _activation(call: OpCall) -> Expression:
    return "nn.Identity()" if call.is_("act", None) else Apply(call["act"], ())


def _pool(stock: str, same: str) -> Module:
    def spell(call: OpCall) -> Expression:
        kernel, stride = call.pair("kernel"), call.pair("stride")
        if call.is_("padding", "valid"):
            return apply(stock, call["kernel"], stride=call["stride"])
        if kernel is None or stride != (1, 1) or not all(size % 2 for size in kernel):
            return apply(same, call["kernel"], call["stride"])
        pads: dict[str, Expression] = {"padding": literal((kernel[0] // 2, kernel[1] // 2))}
        if stock == "nn.AvgPool2d":
            pads["count_include_pad"] = "False"
        return apply(stock, call["kernel"], stride="1", **pads)

    return spell


def _global_pool(kept: str, vector: str) -> Module:
    def spell(call: OpCall) -> Expression:
        return apply(kept, "1") if call.is_("keepdims", True) else apply(vector)

    return spell


def _sides(call: OpCall, name: str) -> tuple[int, ...]:
    node = call.arguments[name]
    assert isinstance(node, ex.Literal)
    assert isinstance(node.value, tuple)
    return node.value


def _zero_pad(call: OpCall) -> Expression:
    top, bottom, left, right = _sides(call, "padding")
    return apply("nn.ZeroPad2d", repr((left, right, top, bottom)))


def _crop(call: OpCall) -> Expression:
    return apply("Crop2d", *map(str, _sides(call, "cropping")))


def _reshape(call: OpCall) -> Expression:
    node = call.arguments["shape"]
    assert isinstance(node, ex.Literal)
    assert isinstance(node.value, tuple)
    return apply("Reshape", *map(str, node.value))


def _rescale(call: OpCall) -> Expression:
    offset = [] if call.is_("offset", 0.0) else [call["offset"]]
    return apply("Rescale", call["scale"], *offset)


OPS: Mapping[str, Module | Inline] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "depthwise_conv2d": _depthwise,
        "separable_conv2d": _separable,
        "dense": _dense,
        "batch_norm": _batch_norm,
        "activation": _activation,
        "max_pool2d": _pool("nn.MaxPool2d", "MaxPool2dSame"),
        "avg_pool2d": _pool("nn.AvgPool2d", "AvgPool2dSame"),
        "global_avg_pool2d": _global_pool("nn.AdaptiveAvgPool2d", "GlobalAvgPool2d"),
        "global_max_pool2d": _global_pool("nn.AdaptiveMaxPool2d", "GlobalMaxPool2d"),
        "add": lambda operands: " + ".join(operands),
        "multiply": lambda operands: " * ".join(operands),
        "maximum": lambda operands: f"torch.maximum({', '.join(operands)})",
        "concat": lambda operands: f"torch.cat([{', '.join(operands)}], dim=1)",
        "zero_pad2d": _zero_pad,
        "crop2d": _crop,
        "flatten": lambda call: apply("Flatten"),
        "reshape": _reshape,
        "dropout": lambda call: apply("nn.Dropout", call["rate"]),
        "rescale": _rescale,
        "identity": lambda call: apply("nn.Identity"),
    }
)
