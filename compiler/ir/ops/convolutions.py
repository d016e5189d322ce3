"""Convolutions."""

from __future__ import annotations

from math import prod

from archc.compiler.ir.network import Arguments, Op, Tensor, WeightRule
from archc.compiler.ir.ops.parts import (
    BIAS,
    BIAS_INIT,
    INIT,
    KERNEL,
    MAX_CHANNELS,
    MAX_KERNEL,
    STRIDE,
    bias,
    integer,
    need_divisible,
    need_map,
    never,
    of_kernel,
    pair,
    parameter,
    window,
)
from archc.compiler.ir.padding import crops
from archc.compiler.language.expressions import Value, compact
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show

_FILTERS = parameter("filters", "int", "output channels", min=1, max=MAX_CHANNELS)
_PADDING = parameter("padding", "padding", "what is added around the input", "same")
_DILATION = parameter("dilation", "size", "spacing of the kernel's cells", 1, min=1, max=256)
_GROUPS = parameter("groups", "int", "independent groups of channels", 1, min=1, max=MAX_CHANNELS)
_MULTIPLIER = parameter(
    "multiplier", "int", "output channels for each input channel", 1, min=1, max=1024
)


def _need_stride_or_dilation(a: Arguments, what: str) -> None:
    if max(pair(a["stride"])) > 1 and max(pair(a["dilation"])) > 1:
        message = f"`{what}` has both a stride and a dilation, which not every framework has"
        hint = "dilate one convolution and stride another, or use `depthwise_conv2d`"
        raise Invalid("E048", message, hint)


# ------------------------------------------------------------------------------------- conv2d


def _inputs(a: Arguments, x: Tensor) -> int:
    """Channels that one filter sees."""
    return x.channels // integer(a["groups"])


def _conv2d_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "conv2d")
    _need_stride_or_dilation(a, "conv2d")
    need_divisible(x.channels, integer(a["groups"]), "input channels")
    need_divisible(integer(a["filters"]), integer(a["groups"]), "filters")
    return window(a, x, integer(a["filters"]), "conv2d")


_KERNEL = WeightRule(
    name="weight",
    role="kernel",
    axes=("OIHW",),
    shape=lambda a, y, x: (y.channels, _inputs(a, x), *pair(a["kernel"])),
    groups=lambda a, y, x: integer(a["groups"]),
)
_CONV2D = Op(
    name="conv2d",
    doc="Convolution of a feature map.",
    parameters=(_FILTERS, KERNEL, STRIDE, _PADDING, _DILATION, _GROUPS, BIAS, INIT, BIAS_INIT),
    shape=_conv2d_shape,
    channels="filters",
    divisor="groups",
    weights=(_KERNEL, bias(_KERNEL)),
    macs=lambda a, y, x: y.size * prod(pair(a["kernel"])) * _inputs(a, x),
    sized=("x",),
    one_cell=of_kernel,
    window=True,
    fresh=True,
)

# ----------------------------------------------------------------------------- standardized


def _standardized_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "standardized_conv2d")
    _need_stride_or_dilation(a, "standardized_conv2d")
    inputs = x.channels * prod(pair(a["kernel"]))
    if inputs == 1:
        message = "`standardized_conv2d` gets kernels of one number: nothing would be left of them"
        raise Invalid("E042", message, "give it several channels or a larger kernel")
    return window(a, x, integer(a["filters"]), "standardized_conv2d")


_STANDARDIZED_CONV2D = Op(
    name="standardized_conv2d",
    doc="Convolution by kernels that are normalised, each filter's by its own mean and variance"
    " (arXiv:1903.10520); without a bias.",
    parameters=(
        _FILTERS,
        KERNEL,
        STRIDE,
        _PADDING,
        _DILATION,
        parameter(
            "epsilon", "float", "added to the variance", 1e-6, above=0, max=1, usual=(0, 0.1)
        ),
        parameter(
            "gamma",
            "float?",
            "factor of the kernels, over the root of their fan-in; none is no factor",
        ),
        INIT,
    ),
    shape=_standardized_shape,
    channels="filters",
    weights=(
        WeightRule(
            name="weight",
            role="kernel",
            axes=("OIHW",),
            shape=lambda a, y, x: (y.channels, x.channels, *pair(a["kernel"])),
            groups=lambda a, y, x: 1,
        ),
    ),
    macs=lambda a, y, x: y.size * prod(pair(a["kernel"])) * x.channels,
    sized=("x",),
    one_cell=of_kernel,
    window=True,
    fresh=True,
)

# -------------------------------------------------------------------------------- depthwise


def _depthwise_kernel(name: str, role: str) -> WeightRule:
    return WeightRule(
        name=name,
        role=role,
        axes=("OIHW", "CMHW"),
        shape=lambda a, y, x: (_multiplied(a, x), 1, *pair(a["kernel"])),
        groups=lambda a, y, x: x.channels,
    )


def _multiplied(a: Arguments, x: Tensor) -> int:
    return x.channels * integer(a["multiplier"])


_DEPTHWISE_KERNEL = _depthwise_kernel("weight", "kernel")
_DEPTHWISE_CONV2D = Op(
    name="depthwise_conv2d",
    doc="Convolution of each channel by itself.",
    parameters=(KERNEL, STRIDE, _PADDING, _DILATION, _MULTIPLIER, BIAS, INIT, BIAS_INIT),
    shape=lambda a, x: window(a, x, _multiplied(a, x), "depthwise_conv2d"),
    channels="x.channels * multiplier",
    weights=(_DEPTHWISE_KERNEL, bias(_DEPTHWISE_KERNEL)),
    macs=lambda a, y, x: y.size * prod(pair(a["kernel"])),
    sized=("x",),
    one_cell=of_kernel,
    window=True,
    fresh=True,
)

# -------------------------------------------------------------------------------- separable


def _separable_shape(a: Arguments, x: Tensor) -> Tensor:
    _need_stride_or_dilation(a, "separable_conv2d")
    return window(a, x, integer(a["filters"]), "separable_conv2d")


def _separable_macs(a: Arguments, y: Tensor, x: Tensor) -> int:
    return y.area * _multiplied(a, x) * (prod(pair(a["kernel"])) + y.channels)


_POINTWISE_KERNEL = WeightRule(
    name="pointwise.weight",
    role="pointwise kernel",
    axes=("OIHW",),
    shape=lambda a, y, x: (y.channels, _multiplied(a, x), 1, 1),
    groups=lambda a, y, x: 1,
)
_SEPARABLE_CONV2D = Op(
    name="separable_conv2d",
    doc="Depthwise convolution without a bias, then a 1x1 convolution.",
    parameters=(
        _FILTERS,
        KERNEL,
        STRIDE,
        _PADDING,
        _DILATION,
        _MULTIPLIER,
        BIAS,
        INIT,
        BIAS_INIT,
    ),
    shape=_separable_shape,
    channels="filters",
    weights=(
        _depthwise_kernel("depthwise.weight", "depthwise kernel"),
        _POINTWISE_KERNEL,
        bias(_POINTWISE_KERNEL, "pointwise.bias", "pointwise bias"),
    ),
    macs=_separable_macs,
    sized=("x",),
    one_cell=of_kernel,
    window=True,
    fresh=True,
)

# ------------------------------------------------------------------------------- transposed


def _transpose_shape(a: Arguments, x: Tensor) -> Tensor:
    sides = need_map(x, "conv_transpose2d")
    kernel, stride, more = pair(a["kernel"]), pair(a["stride"]), pair(a["output_padding"])
    _need_output_padding(a["padding"], stride, more)
    cropped = [crops(a["padding"], kernel[i], stride[i], more[i], i) for i in (0, 1)]
    height, width = ((sides[i] - 1) * stride[i] + kernel[i] - sum(cropped[i]) for i in (0, 1))
    if height < 1 or width < 1:
        message = f"a padding of {show(a['padding'])} leaves nothing of {x}, transposed"
        raise Invalid("E041", message, None, "padding")
    strides = (max(1, x.strides[0] // stride[0]), max(1, x.strides[1] // stride[1]))
    return Tensor(integer(a["filters"]), height, width, strides)


def _need_output_padding(padding: Value, stride: tuple[int, int], more: tuple[int, int]) -> None:
    if max(more) and padding in ("same", "valid"):
        message = f"`output_padding` does not go with `{padding}`, which decides the size"
        hint = "leave it out, or use `symmetric` or four numbers"
        raise Invalid("E029", message, hint, "output_padding")
    if more[0] >= stride[0] or more[1] >= stride[1]:
        shown, most = show(compact(more)), show(compact((stride[0] - 1, stride[1] - 1)))
        message = f"`output_padding` is {shown}; below the stride, it must be at most {most}"
        raise Invalid("E035", message, None, "output_padding")


_TRANSPOSED_KERNEL = WeightRule(
    name="weight",
    role="kernel",
    axes=("OIHW",),
    shape=lambda a, y, x: (x.channels, y.channels, *pair(a["kernel"])),
    outputs=1,
    # Fans are those of the convolution that it is the transpose of, in both frameworks.
    groups=lambda a, y, x: 1,
)
_CONV_TRANSPOSE2D = Op(
    name="conv_transpose2d",
    doc="Transposed convolution: each cell of the input adds a kernel, `stride` cells apart.",
    parameters=(
        _FILTERS,
        KERNEL,
        STRIDE,
        parameter("padding", "padding", "what is cut off the result", "same", fixed=True),
        parameter(
            "output_padding",
            "size",
            "cells added after the result, with `symmetric` or four numbers",
            0,
            fixed=True,
            min=0,
            max=MAX_KERNEL,
        ),
        BIAS,
        INIT,
        BIAS_INIT,
    ),
    shape=_transpose_shape,
    channels="filters",
    weights=(_TRANSPOSED_KERNEL, bias(_TRANSPOSED_KERNEL)),
    macs=lambda a, y, x: x.size * y.channels * prod(pair(a["kernel"])),
    one_cell=never,
    sized=("x",),
    fresh=True,
)

CONVOLUTIONS = (
    _CONV2D,
    _DEPTHWISE_CONV2D,
    _SEPARABLE_CONV2D,
    _STANDARDIZED_CONV2D,
    _CONV_TRANSPOSE2D,
)
