"""How PyTorch spells each op: of one tensor as a module, of several as an expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from archc.backends.python.spelling import (
    NOWHERE,
    Layer,
    OpCall,
    Spelling,
    constant,
    is_literal,
    literal,
    same,
)
from archc.backends.python.text import Choice, Expression
from archc.backends.torch.initial import convolution, dense, initialized, learned, norm, transposed
from archc.compiler.ir.interface import simplify
from archc.compiler.ir.network import Block
from archc.compiler.ir.padding import crops
from archc.compiler.language import expressions as ex

ACTIVATIONS = MappingProxyType(
    {
        "relu": "nn.ReLU",
        "relu6": "nn.ReLU6",
        "leaky_relu": "nn.LeakyReLU",
        "elu": "nn.ELU",
        "gelu": "nn.GELU",
        "gelu_tanh": "GELUTanh",
        "quick_gelu": "QuickGELU",
        "sigmoid": "nn.Sigmoid",
        "hard_sigmoid": "nn.Hardsigmoid",
        "tanh": "nn.Tanh",
        "hard_tanh": "nn.Hardtanh",
        "swish": "nn.SiLU",
        "hard_swish": "nn.Hardswish",
        "mish": "nn.Mish",
        "softplus": "nn.Softplus",
        "softmax": "Softmax",
    }
)

IN_PLACE = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "elu", "hard_sigmoid", "hard_tanh"),
        *("swish", "hard_swish", "mish"),
    }
)
"""Activations that PyTorch can write over their input."""

BATCH_NORMS = {frozenset({3}): "nn.BatchNorm2d", frozenset({1}): "nn.BatchNorm1d"}
"""By the ranks of the input; a helper takes both."""


MAKE = "activation_for"
"""The function that tells blocks that serve as activations their channels."""


def _padding(call: OpCall) -> tuple[str, dict[str, Expression], Expression | None]:
    """The convolution class for a padding, its `padding` argument, and a layer that pads before."""
    padding = call.arguments["padding"]
    if _in_numbers(call):
        return _numbers(call)
    if is_literal(padding, "valid") or (is_literal(padding, "same") and call.is_("kernel", 1)):
        return "nn.Conv2d", {}, None
    if is_literal(padding, "same"):
        return _same(call)
    pads = _even_pads(call)
    if pads is not None:
        return "nn.Conv2d", {"padding": pads} if pads != "0" else {}, None
    if call.apart and isinstance(padding, ex.Literal) and isinstance(padding.value, tuple):
        return "nn.Conv2d", {}, _zero_pad(call)
    return "Conv2dPadded", {"padding": call["padding"]}, None


def _in_numbers(call: OpCall) -> bool:
    """Whether its padding is an argument of the block of a network for one size: four numbers, or
    none for half of the kernel. An argument that a model keeps is a padding as it is written."""
    padding = call.arguments["padding"]
    kind = call.kinds.get(padding.id, "padding") if isinstance(padding, ex.Name) else "padding"
    return kind not in ("padding", "pool_padding")


def _numbers(call: OpCall) -> tuple[str, dict[str, Expression], Expression | None]:
    """What is not alike on both sides is padded by a layer before the convolution."""
    given, half = call["padding"], _half(call)
    odd, even = f"{given} is not None", f"{given} is None"
    halves = any(body.arguments["padding"] == "symmetric" for body in call.bodies)
    if not call.apart or half is None:
        padding: Expression = Choice('"symmetric"', even, given) if halves else given
        return "Conv2dPadded", {"padding": padding}, None
    pad = call.apply("nn.ZeroPad2d", _as_pads(call))
    if not halves:
        return "nn.Conv2d", {}, pad
    before = Choice(pad, odd, f"{call.use('nn.Identity')}()", call.use("nn.Module"))
    return "nn.Conv2d", {"padding": Choice(half, even, "0")}, before


def _as_pads(call: OpCall) -> str:
    """The argument `padding`, of top, bottom, left and right, as PyTorch's pads: columns first."""
    given, every = call["padding"], [body.arguments["padding"] for body in call.bodies]
    numbers = [padding for padding in every if isinstance(padding, tuple)]
    alike = all(each[:2] == each[2:] for each in numbers)
    return given if alike else f"{given}[2:] + {given}[:2]"


def _same(call: OpCall) -> tuple[str, dict[str, Expression], Expression | None]:
    """Plain convolutions, which the tools of PyTorch know: at stride 1 they pad by themselves, and
    at others a layer before them does."""
    own = _half(call) if _is_odd(call) else None
    if call.is_("stride", 1):
        return "nn.Conv2d", {"padding": own or '"same"'}, None
    if not call.apart:
        return "Conv2dPadded", {"padding": '"same"'}, None
    pad = call.apply("PadSame", call["kernel"], call["stride"], **call.given(dilation="dilation"))
    stride = call.number("stride")
    if stride is None or isinstance(stride, ex.Literal):
        return "nn.Conv2d", {}, pad
    alone, strided = (
        call.spell(ex.Compare(operator, stride, constant(1), NOWHERE)) for operator in ("==", "!=")
    )
    before = Choice(pad, strided, f"{call.use('nn.Identity')}()", call.use("nn.Module"))
    said = Choice(own, alone, "0") if own else Choice('"same"', alone, '"valid"')
    return "nn.Conv2d", {"padding": said}, before


def _is_odd(call: OpCall) -> bool:
    """Whether its kernel has a middle at every call, so that it is padded alike on both sides."""
    known = call.pair("kernel")
    sizes = [known] if known else [body.arguments["kernel"] for body in call.bodies]
    return all(size % 2 for pair in sizes if isinstance(pair, tuple) for size in pair)


def _even_pads(call: OpCall) -> str | None:
    """Pads that are alike on opposite sides, as PyTorch's `padding`; None if they may not be."""
    padding = call.arguments["padding"]
    if isinstance(padding, ex.Literal) and isinstance(padding.value, tuple):
        top, bottom, left, right = padding.value
        return literal((top, left)) if (top, left) == (bottom, right) else None
    return _half(call) if is_literal(padding, "symmetric") else None


def _half(call: OpCall) -> str | None:
    """Half of the kernel on each side; None where that may be of two numbers that no text has."""
    sizes, spacings = (call.pair(name) for name in ("kernel", "dilation"))
    if sizes is not None and spacings is not None:
        return literal((sizes[0] // 2 * spacings[0], sizes[1] // 2 * spacings[1]))
    kernel, dilation = call.number("kernel"), call.number("dilation")
    if kernel is None or dilation is None:
        return None
    half = simplify(ex.Binary("//", kernel, constant(2), NOWHERE))
    spread = half if same(dilation, constant(1)) else ex.Binary("*", dilation, half, NOWHERE)
    return call.spell(simplify(spread))


def _convolution(call: OpCall, positional: list[str], **named: Expression) -> Layer:
    name, padding, before = _padding(call)
    named = {**call.given(stride="stride", dilation="dilation"), **padding, **named}
    made = call.apply(name, *positional, **named, **call.given(True, bias="bias"))
    return Layer(made.callee, made.arguments, before=before)


def _conv2d(call: OpCall) -> Layer:
    positional = [call.in_channels, call["filters"], call["kernel"]]
    layer = _convolution(call, positional, **call.given(groups="groups"))
    return initialized(layer, convolution(call))


def _depthwise(call: OpCall) -> Layer:
    positional = [call.in_channels, call.spell(call.multiplied), call["kernel"]]
    layer = _convolution(call, positional, groups=call.in_channels)
    return initialized(layer, convolution(call, depthwise=True))


def _standardized(call: OpCall) -> Layer:
    plain = [call.in_channels, call["filters"], call["kernel"]]
    named = call.given(stride="stride", dilation="dilation") | call.given(1e-6, eps="epsilon")
    named |= call.given(None, gamma="gamma")
    padding: Expression = call["padding"]
    if _in_numbers(call):
        padding = Choice('"symmetric"', f"{padding} is None", call["padding"])
    layer = call.apply("StandardizedConv2d", *plain, padding=padding, **named)
    usual = {"bias": constant(False), "groups": constant(1)}
    return initialized(layer, convolution(replace(call, arguments={**call.arguments, **usual})))


def _separable(call: OpCall) -> Layer:
    spell = {"depthwise": _depthwise, "pointwise": _conv2d}
    halves = {name: spell[name](half) for name, half in call.halves().items()}
    made = call.apply("SeparableConv2d", *halves.values())
    made = Layer(made.callee, made.arguments, before=halves["depthwise"].before)
    initial = (replace(i, layer=f".{name}") for name, half in halves.items() for i in half.initial)
    return initialized(made, *initial)


def _conv_transpose(call: OpCall) -> Layer:
    named = {**call.given(stride="stride"), **call.given(True, bias="bias")}
    plain = [call.in_channels, call["filters"], call["kernel"]]
    pads = _transposed_pads(call)
    if pads is None:
        more = call.given(0, output_padding="output_padding")
        named = {"padding": call["padding"], **named, **more}
        layer = call.apply("ConvTranspose2dPadded", *plain, **named)
    else:
        layer = call.apply("nn.ConvTranspose2d", *plain, **named, **pads)
    return initialized(layer, transposed(call))


def _transposed_pads(call: OpCall) -> dict[str, Expression] | None:
    """PyTorch's `padding` and `output_padding`, where they can say it."""
    kernel, stride, more = (call.pair(name) for name in ("kernel", "stride", "output_padding"))
    if kernel is None or stride is None or more is None:
        return None
    padding = call.arguments["padding"].evaluate({})
    cut = [crops(padding, kernel[i], stride[i], more[i], i) for i in (0, 1)]
    before, added = (cut[0][0], cut[1][0]), tuple(first - last for first, last in cut)
    if not all(0 <= size < step for size, step in zip(added, stride, strict=True)):
        return None
    said = {"padding": literal(before), "output_padding": literal(added)}
    return {name: value for name, value in said.items() if value != "0"}


def _dense(call: OpCall) -> Layer:
    bias = call.given(True, bias="bias")
    layer = call.apply("nn.Linear", call.in_channels, call["units"], **bias)
    return initialized(layer, dense(call))


def _batch_norm(call: OpCall) -> Layer:
    name = BATCH_NORMS.get(call.ranks, "BatchNorm")
    alike = call.arguments["scale"] == call.arguments["offset"]
    named: dict[str, Expression] = {"eps": call["epsilon"], "momentum": _momentum(call)}
    named |= call.given(True, affine="scale") if alike else {}
    made = call.apply(name, call.in_channels, **named)
    parts = call.given(True, scale="scale", offset="offset")
    made = made if alike else call.apply("with_affine", made, **parts)
    return initialized(made, norm(call, name))


def _learned(call: OpCall) -> Layer:
    assert call.channels is not None
    channels, none = call.arguments["channels"], constant(None)
    own = ex.Conditional(
        ex.Compare("==", channels, none, NOWHERE), call.channels, channels, NOWHERE
    )
    layer = call.apply("Learned", call.spell(simplify(own)), *call.given(size="size").values())
    return initialized(layer, learned(call))


def _momentum(call: OpCall) -> str:
    """PyTorch's momentum: the share of the new value."""
    momentum = ex.Binary("-", constant(1), call.arguments["decay"], NOWHERE)
    if isinstance(momentum.right, ex.Literal):
        # 1 - 0.99 is 0.010000000000000009.
        value = momentum.evaluate({})
        assert isinstance(value, float)
        return literal(round(value, 12))
    return call.spell(momentum)


def _layer_norm(call: OpCall) -> Expression:
    name = "nn.LayerNorm" if call.ranks == {1} else "LayerNorm2d"
    named = call.given(True, elementwise_affine="affine")
    return call.apply(name, call.in_channels, eps=call["epsilon"], **named)


def _prelu(call: OpCall) -> Expression:
    assert call.channels is not None
    slopes = ex.Conditional(call.arguments["shared"], constant(1), call.channels, NOWHERE)
    return call.apply("nn.PReLU", call.spell(slopes), init=call["init"])


def _activation(call: OpCall) -> Expression:
    act = call.arguments["act"]
    in_place = call.overwrites and call.bodies and call.applied <= IN_PLACE
    inside = ["inplace=True"] if in_place else []
    if isinstance(act, ex.Literal):
        if isinstance(act.value, Block):
            return call.apply(call["act"], *call.told)
        return "nn.Identity()" if act.value is None else call.apply(call["act"], *inside)
    name = call["act"] if isinstance(act, ex.Name) else f"({call['act']})"
    made = call.apply(name, *inside)
    if call.serving:
        made = call.apply(MAKE, name, *call.told)
    elif call.left_open:
        made = call.apply("as_module", name)
    return call.or_identity(made, "nn.Identity", "nn.Module")


def _pool(stock: str, same: str, padded: str) -> Spelling:
    def spell(call: OpCall) -> Expression:
        if not call.is_("padding", "same", "zeros"):
            return _pool_padded(call, stock, padded)
        kernel, stride = call.pair("kernel"), call.pair("stride")
        zeros = call.is_("padding", "zeros")
        stock_pads = stock == "nn.AvgPool2d" or not zeros
        uneven = kernel is None or stride != (1, 1) or not all(size % 2 for size in kernel)
        if kernel is None or uneven or not stock_pads:
            over: dict[str, Expression] = {"zeros": "True"} if zeros else {}
            return call.apply(same, call["kernel"], call["stride"], **over)
        pads: dict[str, Expression] = {"padding": literal((kernel[0] // 2, kernel[1] // 2))}
        if stock == "nn.AvgPool2d" and not zeros:
            pads["count_include_pad"] = "False"
        return call.apply(stock, call["kernel"], stride="1", **pads)

    return spell


def _pool_padded(call: OpCall, stock: str, padded: str) -> Expression:
    """A pool whose padding does not depend on the size."""
    named: dict[str, Expression] = {"ceil_mode": "True"} if call.flag("ceil_mode") else {}
    pads = "0" if call.is_("padding", "valid") else _pool_pads(call)
    counted = call.flag("count_padding")
    if pads is None:
        named |= {"count_padding": "True"} if counted else {}
        return call.apply(padded, call["kernel"], call["stride"], call["padding"], **named)
    if pads != "0":
        named["padding"] = pads
        named |= {} if counted or stock == "nn.MaxPool2d" else {"count_include_pad": "False"}
    return call.apply(stock, call["kernel"], stride=call["stride"], **named)


def _pool_pads(call: OpCall) -> str | None:
    """Pads that PyTorch's pools take: alike on opposite sides, and half of a kernel at most."""
    kernel, padding = call.pair("kernel"), call.arguments["padding"]
    if _in_numbers(call):
        return call["padding"]
    sides = [] if is_literal(padding, "symmetric") else call.numbers("padding")
    if sides and (kernel is None or any(2 * p > kernel[i // 2] for i, p in enumerate(sides))):
        return None
    return _even_pads(replace(call, arguments={**call.arguments, "dilation": constant(1)}))


def _global_pool(kept: str, vector: str) -> Spelling:
    return lambda call: call.apply(kept, "1") if call.is_("keepdims", True) else call.apply(vector)


def _resize(call: OpCall) -> Expression:
    """`nn.Upsample` where its numbers are exact: its `nearest` rounds most factors to float32."""
    scale = call.arguments["scale"]
    whole = isinstance(scale, ex.Literal) and scale.value in range(1, 17)
    if call.is_("method", "bilinear"):
        return call.apply("nn.Upsample", **_upsampled(call, whole), **_aligned(call))
    if whole:
        return call.apply("nn.Upsample", **_upsampled(call, whole))
    exact = {"exact": "True"} if call.is_("method", "nearest_exact") else {}
    return call.apply("ResizeNearest", call["scale"], **exact)


def _upsampled(call: OpCall, whole: bool) -> dict[str, Expression]:
    """Arguments of `nn.Upsample`, which otherwise would not take the factor from the sizes."""
    mode: Expression = call["method"] if call.is_("method", "bilinear") else '"nearest"'
    if not whole:
        named = {"scale_factor": call["scale"], "mode": mode}
        return {**named, "recompute_scale_factor": "True"}
    scale = call.arguments["scale"].evaluate({})
    assert isinstance(scale, int | float)
    return {"scale_factor": str(int(scale)), "mode": mode}


def _aligned(call: OpCall) -> dict[str, Expression]:
    return call.given(False, align_corners="align_corners")


def _zero_pad(call: OpCall) -> Expression:
    if isinstance(call.arguments["padding"], ex.Name):
        return call.apply("nn.ZeroPad2d", _as_pads(call))
    top, bottom, left, right = call.numbers("padding")
    return call.apply("nn.ZeroPad2d", repr((left, right, top, bottom)))


def _crop(call: OpCall) -> Expression:
    return call.apply("Crop2d", *map(str, call.numbers("cropping")))


def _reshape(call: OpCall) -> Expression:
    return call.apply("Reshape", *map(str, call.numbers("shape")))


def _rescale(call: OpCall) -> Expression:
    name = "RescaleChannels" if call.is_list("scale") or call.is_list("offset") else "Rescale"
    return call.apply(name, call["scale"], *call.given(0.0, offset="offset").values())


def _statistic(helper: str) -> Spelling:
    axes = {"channels": ("1",), "space": ("2", "3")}
    return lambda call: call.apply(helper, *axes[str(call.arguments["over"].evaluate({}))])


OPS: Mapping[str, Spelling] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "depthwise_conv2d": _depthwise,
        "separable_conv2d": _separable,
        "standardized_conv2d": _standardized,
        "conv_transpose2d": _conv_transpose,
        "dense": _dense,
        "batch_norm": _batch_norm,
        "layer_norm": _layer_norm,
        "group_norm": lambda call: call.apply(
            "nn.GroupNorm",
            call["groups"],
            call.in_channels,
            eps=call["epsilon"],
            **call.given(True, affine="affine"),
        ),
        "l2_normalize": lambda call: call.apply("L2Normalize", call["epsilon"]),
        "local_response_norm": lambda call: call.apply(
            "nn.LocalResponseNorm", call["size"], **{n: call[n] for n in ("alpha", "beta", "k")}
        ),
        "prelu": _prelu,
        "learned": _learned,
        "activation": _activation,
        "max_pool2d": _pool("nn.MaxPool2d", "MaxPool2dSame", "MaxPool2dPadded"),
        "avg_pool2d": _pool("nn.AvgPool2d", "AvgPool2dSame", "AvgPool2dPadded"),
        "global_avg_pool2d": _global_pool("nn.AdaptiveAvgPool2d", "GlobalAvgPool2d"),
        "global_max_pool2d": _global_pool("nn.AdaptiveMaxPool2d", "GlobalMaxPool2d"),
        "adaptive_avg_pool2d": lambda call: call.apply("nn.AdaptiveAvgPool2d", call["size"]),
        "adaptive_max_pool2d": lambda call: call.apply("nn.AdaptiveMaxPool2d", call["size"]),
        "resize": _resize,
        "resize_like": lambda call: call.apply(
            "resize_like", *call.inputs, call["method"], **_aligned(call)
        ),
        "zero_pad2d": _zero_pad,
        "crop2d": _crop,
        "pixel_shuffle": lambda call: call.apply("nn.PixelShuffle", call["factor"]),
        "pixel_unshuffle": lambda call: call.apply("nn.PixelUnshuffle", call["factor"]),
        "flatten": lambda call: call.apply("Flatten"),
        "reshape": _reshape,
        "slice": lambda call: call.apply("SliceChannels", call["start"], call["stop"]),
        "split": lambda call: call.apply("SplitChannels", call["parts"], call["index"]),
        "channel_shuffle": lambda call: call.apply("nn.ChannelShuffle", call["groups"]),
        "dropout": lambda call: call.apply("nn.Dropout", call["rate"]),
        "drop_path": lambda call: call.apply("DropPath", call["rate"]),
        "rescale": _rescale,
        "identity": lambda call: call.apply("nn.Identity"),
        "add": lambda call: call.joined(" + "),
        "multiply": lambda call: call.joined(" * "),
        "subtract": lambda call: call.joined(" - "),
        "divide": lambda call: call.joined(" / "),
        "minimum": lambda call: call.apply("torch.minimum", *call.inputs),
        "mean": _statistic("MeanOver"),
        "variance": _statistic("VarianceOver"),
        "sqrt": lambda call: call.apply("Sqrt"),
        "maximum": lambda call: call.apply("torch.maximum", *call.inputs),
        "concat": lambda call: f"{call.use('torch')}.cat([{call.joined(', ')}], dim=1)",
    }
)
