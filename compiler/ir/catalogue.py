"""The closed catalogue of primitive ops: signature, shape rule, weights with initializers, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

from archc.compiler.ir.network import Arguments, Cost, Op, Parameter, Tensor, Weight
from archc.compiler.ir.padding import output_size
from archc.compiler.language.expressions import Literal, Value
from archc.compiler.language.problems import Invalid, Place, Source
from archc.compiler.language.values import Type, show

_HERE = Place(Source("the catalogue", ""), 1, 1)
MAX_CHANNELS = 2**20
MAX_KERNEL = 1024


def _parameter(name: str, kind: str, doc: str, default: Value = None, **more: Any) -> Parameter:
    literal = None if default is None else Literal(default, _HERE)
    return Parameter(name, Type(kind), literal, doc=doc, **more)


_FILTERS = _parameter("filters", "int", "output channels", min=1, max=MAX_CHANNELS)
_KERNEL = _parameter("kernel", "size", "height and width of the window", min=1, max=MAX_KERNEL)
_STRIDE = _parameter("stride", "size", "step of the window", 1, min=1, max=MAX_KERNEL)
_PADDING = _parameter("padding", "padding", "what is added around the input", "same")
_DILATION = _parameter("dilation", "size", "spacing of the kernel's cells", 1, min=1, max=256)
_GROUPS = _parameter("groups", "int", "independent groups of channels", 1, min=1, max=MAX_CHANNELS)
_MULTIPLIER = _parameter(
    "multiplier", "int", "output channels for each input channel", 1, min=1, max=1024
)
_BIAS = _parameter("bias", "bool", "whether a bias is added", True)
_INIT = _parameter(
    "init", "initializer", "distribution of a fresh kernel", "glorot_uniform", fixed=True
)


def _pair(value: Value) -> tuple[int, int]:
    assert isinstance(value, tuple)
    return value[0], value[1]


def _need_map(x: Tensor, what: str) -> tuple[int, int]:
    if x.height is None or x.width is None:
        hint = "put it before the pooling or flattening that made the vector"
        raise Invalid("E043", f"`{what}` needs a feature map, but gets a vector of {x}", hint)
    return x.height, x.width


def _need_vector(x: Tensor, what: str) -> None:
    if x.is_map:
        hint = "flatten it, or pool it with `global_avg_pool2d`, first"
        raise Invalid("E043", f"`{what}` needs a vector, but gets a feature map of {x}", hint)


def _need_divisible(channels: int, groups: int, what: str) -> None:
    if channels % groups:
        raise Invalid("E042", f"{channels} {what} do not divide into {groups} groups")


def _window(a: Arguments, x: Tensor, channels: int, what: str) -> Tensor:
    """Shape rule of everything that slides a window over a feature map."""
    sides = _need_map(x, what)
    kernel, stride = _pair(a["kernel"]), _pair(a["stride"])
    dilation = _pair(a.get("dilation", (1, 1)))
    padding = a["padding"]
    height, width = (
        output_size(padding, sides[i], kernel[i], stride[i], dilation[i], i) for i in (0, 1)
    )
    strides = (x.strides[0] * stride[0], x.strides[1] * stride[1])
    return Tensor(channels, height, width, strides)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _bias(a: Arguments, size: int, name: str = "bias") -> tuple[Weight, ...]:
    return (Weight(name, (size,), "zeros"),) if a["bias"] else ()


def _conv_shape(a: Arguments, x: Tensor) -> Tensor:
    _need_map(x, "conv2d")
    _need_stride_or_dilation(a, "conv2d")
    _need_divisible(x.channels, _int(a["groups"]), "input channels")
    _need_divisible(_int(a["filters"]), _int(a["groups"]), "filters")
    return _window(a, x, _int(a["filters"]), "conv2d")


def _need_stride_or_dilation(a: Arguments, what: str) -> None:
    if max(_pair(a["stride"])) > 1 and max(_pair(a["dilation"])) > 1:
        message = f"`{what}` has both a stride and a dilation, which Keras does not have"
        hint = "dilate one convolution and stride another, or use `depthwise_conv2d`"
        raise Invalid("E048", message, hint)


def _conv_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    inside = x.channels // _int(a["groups"])
    kernel = _pair(a["kernel"])
    fans = (prod(kernel) * inside, prod(kernel) * y.channels)
    weight = Weight("weight", (y.channels, inside, *kernel), str(a["init"]), fans)
    return Cost((weight, *_bias(a, y.channels)), macs=y.size * fans[0])


def _depthwise_shape(a: Arguments, x: Tensor) -> Tensor:
    return _window(a, x, x.channels * _int(a["multiplier"]), "depthwise_conv2d")


def _depthwise_weight(a: Arguments, x: Tensor, name: str) -> Weight:
    # The fans are those of Keras, which the reference networks were trained with: its kernel is
    # (height, width, channels, multiplier), read like any convolution's.
    kernel, multiplier = _pair(a["kernel"]), _int(a["multiplier"])
    fans = (prod(kernel) * x.channels, prod(kernel) * multiplier)
    return Weight(name, (x.channels * multiplier, 1, *kernel), str(a["init"]), fans)


def _depthwise_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    weight = _depthwise_weight(a, x, "weight")
    return Cost((weight, *_bias(a, y.channels)), macs=y.size * prod(_pair(a["kernel"])))


def _separable_shape(a: Arguments, x: Tensor) -> Tensor:
    _need_stride_or_dilation(a, "separable_conv2d")
    return _window(a, x, _int(a["filters"]), "separable_conv2d")


def _separable_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    middle = x.channels * _int(a["multiplier"])
    depthwise = _depthwise_weight(a, x, "depthwise.weight")
    pointwise = Weight(
        "pointwise.weight", (y.channels, middle, 1, 1), str(a["init"]), (middle, y.channels)
    )
    macs = y.area * middle * (prod(_pair(a["kernel"])) + y.channels)
    bias = _bias(a, y.channels, "pointwise.bias")
    return Cost((depthwise, pointwise, *bias), macs=macs)


def _dense_shape(a: Arguments, x: Tensor) -> Tensor:
    _need_vector(x, "dense")
    return Tensor(_int(a["units"]), strides=x.strides)


def _dense_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    fans = (x.channels, y.channels)
    weight = Weight("weight", (y.channels, x.channels), str(a["init"]), fans)
    return Cost((weight, *_bias(a, y.channels)), macs=x.channels * y.channels)


def _batch_norm_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    shape = (x.channels,)
    weights = (
        Weight("weight", shape, "ones"),
        Weight("bias", shape, "zeros"),
        Weight("running_mean", shape, "zeros", trainable=False),
        Weight("running_var", shape, "ones", trainable=False),
    )
    return Cost(weights, other=y.size)


def _unchanged(a: Arguments, x: Tensor) -> Tensor:
    return x


def _elementwise_cost(a: Arguments, y: Tensor, *inputs: Tensor) -> Cost:
    return Cost(other=y.size * max(1, len(inputs) - 1))


def _free(a: Arguments, y: Tensor, *inputs: Tensor) -> Cost:
    return Cost()


def _pool_shape(a: Arguments, x: Tensor) -> Tensor:
    return _window(a, x, x.channels, "pooling")


def _pool_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    return Cost(other=y.size * prod(_pair(a["kernel"])))


def _strides(x: Tensor, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """Total downsampling where the rows and columns of `x` become so many; a vector counts as one.

    It is that of the declared size, like the shape itself, and 1 at least.
    """
    rows, columns = x.strides[0] * (x.height or 1), x.strides[1] * (x.width or 1)
    return max(1, rows // (height or 1)), max(1, columns // (width or 1))


def _global_shape(a: Arguments, x: Tensor) -> Tensor:
    _need_map(x, "global pooling")
    if a["keepdims"]:
        return Tensor(x.channels, 1, 1, _strides(x))
    return Tensor(x.channels, strides=_strides(x))


def _global_cost(a: Arguments, y: Tensor, x: Tensor) -> Cost:
    return Cost(other=x.size)


def _equal_shapes(what: str) -> Callable[..., Tensor]:
    def shape(a: Arguments, left: Tensor, right: Tensor) -> Tensor:
        if left.shape != right.shape:
            raise Invalid("E040", f"`{what}` needs two equal shapes, but gets {left} and {right}")
        return left

    return shape


def _multiply_shape(a: Arguments, left: Tensor, right: Tensor) -> Tensor:
    """Equal shapes, or one of them a 1x1 map of as many channels (a gate)."""
    larger, smaller = (left, right) if left.area >= right.area else (right, left)
    gate = smaller.is_map and larger.is_map and smaller.area == 1
    if left.shape != right.shape and not (gate and left.channels == right.channels):
        message = f"`multiply` needs equal shapes, or a 1x1 gate, but gets {left} and {right}"
        raise Invalid("E040", message)
    return larger


def _concat_shape(a: Arguments, *inputs: Tensor) -> Tensor:
    first = inputs[0]
    for other in inputs[1:]:
        if other.shape[1:] != first.shape[1:]:
            message = f"`concat` needs equal heights and widths, but gets {first} and {other}"
            raise Invalid("E040", message)
    return Tensor(sum(x.channels for x in inputs), first.height, first.width, first.strides)


def _zero_pad_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = _need_map(x, "zero_pad2d")
    top, bottom, left, right = _four(a["padding"])
    return Tensor(x.channels, height + top + bottom, width + left + right, x.strides)


def _crop_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = _need_map(x, "crop2d")
    top, bottom, left, right = _four(a["cropping"])
    if top + bottom >= height or left + right >= width:
        message = f"cropping {show(a['cropping'])} leaves nothing of a feature map of {x}"
        raise Invalid("E041", message)
    return Tensor(x.channels, height - top - bottom, width - left - right, x.strides)


def _four(value: Value) -> tuple[int, int, int, int]:
    assert isinstance(value, tuple)
    return value[0], value[1], value[2], value[3]


def _flatten_shape(a: Arguments, x: Tensor) -> Tensor:
    return Tensor(x.size, strides=_strides(x))


def _reshape_shape(a: Arguments, x: Tensor) -> Tensor:
    shape = a["shape"]
    assert isinstance(shape, tuple)
    if prod(shape) != x.size:
        raise Invalid("E040", f"{x} has {x.size} elements, not the {prod(shape)} of {show(shape)}")
    channels, height, width = (*shape, None, None)[:3]
    assert channels is not None
    return Tensor(channels, height, width, _strides(x, height, width))


_WINDOW = (
    _KERNEL,
    _STRIDE,
    _parameter(
        "padding",
        "pool_padding",
        "what is added around the input; write zeros with `zero_pad2d`",
        "same",
        fixed=True,
    ),
)
_KEEPDIMS = _parameter("keepdims", "bool", "whether to keep a 1x1 feature map", False, fixed=True)
_X = ("x",)
_BOTH = ("left", "right")

_OPS = (
    Op(
        "conv2d",
        "Convolution of a feature map.",
        _X,
        (_FILTERS, _KERNEL, _STRIDE, _PADDING, _DILATION, _GROUPS, _BIAS, _INIT),
        _conv_shape,
        _conv_cost,
        "filters",
        divisor="groups",
    ),
    Op(
        "depthwise_conv2d",
        "Convolution of each channel by itself.",
        _X,
        (_KERNEL, _STRIDE, _PADDING, _DILATION, _MULTIPLIER, _BIAS, _INIT),
        _depthwise_shape,
        _depthwise_cost,
        "x.channels * multiplier",
    ),
    Op(
        "separable_conv2d",
        "Depthwise convolution without a bias, then a 1x1 convolution.",
        _X,
        (_FILTERS, _KERNEL, _STRIDE, _PADDING, _DILATION, _MULTIPLIER, _BIAS, _INIT),
        _separable_shape,
        _separable_cost,
        "filters",
    ),
    Op(
        "dense",
        "Fully connected layer on a vector.",
        _X,
        (
            _parameter("units", "int", "output features", min=1, max=MAX_CHANNELS),
            _BIAS,
            _INIT,
        ),
        _dense_shape,
        _dense_cost,
        "units",
    ),
    Op(
        "batch_norm",
        "Batch normalisation of each channel, with scale and offset.",
        _X,
        (
            _parameter(
                "epsilon", "float", "added to the variance", 1e-3, above=0, max=1, usual=(0, 0.1)
            ),
            _parameter(
                "decay",
                "float",
                "share of the old running average kept at each step",
                0.99,
                min=0,
                max=1,
                usual=(0.5, 1),
            ),
        ),
        _unchanged,
        _batch_norm_cost,
        "x.channels",
    ),
    Op(
        "activation",
        "Elementwise activation, by name.",
        _X,
        (_parameter("act", "activation", "the function"),),
        _unchanged,
        _elementwise_cost,
        "x.channels",
    ),
    Op(
        "max_pool2d",
        "Largest value in each window; `same` pads with minus infinity.",
        _X,
        _WINDOW,
        _pool_shape,
        _pool_cost,
        "x.channels",
    ),
    Op(
        "avg_pool2d",
        "Mean of each window; with `same`, of its real cells only.",
        _X,
        _WINDOW,
        _pool_shape,
        _pool_cost,
        "x.channels",
    ),
    Op(
        "global_avg_pool2d",
        "Mean over height and width.",
        _X,
        (_KEEPDIMS,),
        _global_shape,
        _global_cost,
        "x.channels",
    ),
    Op(
        "global_max_pool2d",
        "Largest value over height and width.",
        _X,
        (_KEEPDIMS,),
        _global_shape,
        _global_cost,
        "x.channels",
    ),
    Op(
        "add",
        "Elementwise sum, also written `a + b`.",
        _BOTH,
        (),
        _equal_shapes("add"),
        _elementwise_cost,
        "left.channels",
    ),
    Op(
        "multiply",
        "Elementwise product, also written `a * b`; a 1x1 map gates a larger one.",
        _BOTH,
        (),
        _multiply_shape,
        _elementwise_cost,
        "left.channels",
    ),
    Op(
        "maximum",
        "Elementwise maximum.",
        _BOTH,
        (),
        _equal_shapes("maximum"),
        _elementwise_cost,
        "left.channels",
    ),
    Op(
        "concat",
        "Feature maps or vectors side by side along the channels.",
        ("xs",),
        (),
        _concat_shape,
        _free,
        "xs.channels",
        variadic=True,
    ),
    Op(
        "zero_pad2d",
        "Zeros around a feature map.",
        _X,
        (_parameter("padding", "sides", "rows and columns of zeros", fixed=True),),
        _zero_pad_shape,
        _free,
        "x.channels",
    ),
    Op(
        "crop2d",
        "A feature map without its outer rows and columns.",
        _X,
        (_parameter("cropping", "sides", "rows and columns to drop", fixed=True),),
        _crop_shape,
        _free,
        "x.channels",
    ),
    Op(
        "flatten",
        "A feature map as a vector, ordered by row, column, channel in every backend.",
        _X,
        (),
        _flatten_shape,
        _free,
        None,
    ),
    Op(
        "reshape",
        "The same elements, ordered by row, column, channel, in another shape.",
        _X,
        (_parameter("shape", "shape", "the new shape", fixed=True, min=1, max=MAX_CHANNELS),),
        _reshape_shape,
        _free,
        None,
    ),
    Op(
        "dropout",
        "Drops elements while training; the identity in evaluation.",
        _X,
        (_parameter("rate", "float", "probability of dropping", min=0, below=1, usual=(0, 0.8)),),
        _unchanged,
        _free,
        "x.channels",
    ),
    Op(
        "rescale",
        "x * scale + offset.",
        _X,
        (
            _parameter("scale", "float", "factor"),
            _parameter("offset", "float", "added after scaling", 0.0),
        ),
        _unchanged,
        _elementwise_cost,
        "x.channels",
    ),
    Op("identity", "The input as it is.", _X, (), _unchanged, _free, "x.channels"),
)

CATALOGUE: Mapping[str, Op] = MappingProxyType({op.name: op for op in _OPS})
