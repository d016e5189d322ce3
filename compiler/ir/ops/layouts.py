"""Ops that move elements, and compute nothing."""

from __future__ import annotations

from math import prod

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import MAX_CHANNELS, four, need_map, parameter, strides
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show


def _zero_pad_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = need_map(x, "zero_pad2d")
    top, bottom, left, right = four(a["padding"])
    return Tensor(x.channels, height + top + bottom, width + left + right, x.strides)


def _crop_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = need_map(x, "crop2d")
    top, bottom, left, right = four(a["cropping"])
    if top + bottom >= height or left + right >= width:
        message = f"cropping {show(a['cropping'])} leaves nothing of a feature map of {x}"
        raise Invalid("E041", message)
    return Tensor(x.channels, height - top - bottom, width - left - right, x.strides)


def _reshape_shape(a: Arguments, x: Tensor) -> Tensor:
    shape = a["shape"]
    assert isinstance(shape, tuple)
    if prod(shape) != x.size:
        raise Invalid("E040", f"{x} has {x.size} elements, not the {prod(shape)} of {show(shape)}")
    channels, height, width = (*shape, None, None)[:3]
    assert channels is not None
    return Tensor(channels, height, width, strides(x, height, width))


LAYOUTS = (
    Op(
        name="zero_pad2d",
        doc="Zeros around a feature map.",
        parameters=(parameter("padding", "sides", "rows and columns of zeros", fixed=True),),
        shape=_zero_pad_shape,
        channels="x.channels",
    ),
    Op(
        name="crop2d",
        doc="A feature map without its outer rows and columns.",
        parameters=(parameter("cropping", "sides", "rows and columns to drop", fixed=True),),
        shape=_crop_shape,
        channels="x.channels",
    ),
    Op(
        name="flatten",
        doc="A feature map as a vector, ordered by row, column, channel in every backend.",
        shape=lambda a, x: Tensor(x.size, strides=strides(x)),
        channels=None,
    ),
    Op(
        name="reshape",
        doc="The same elements, ordered by row, column, channel, in another shape.",
        parameters=(
            parameter("shape", "shape", "the new shape", fixed=True, min=1, max=MAX_CHANNELS),
        ),
        shape=_reshape_shape,
        channels=None,
    ),
)
