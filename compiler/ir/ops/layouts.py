"""Ops that move elements, and compute nothing."""

from __future__ import annotations

from math import prod

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import (
    MAX_CHANNELS,
    always,
    four,
    integer,
    need_divisible,
    need_map,
    never,
    parameter,
    strides,
)
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


def _slice_shape(a: Arguments, x: Tensor) -> Tensor:
    start, stop = integer(a["start"]), integer(a["stop"])
    if start >= stop:
        hint = "it starts with the channel `start`, and ends with the one before `stop`"
        raise Invalid("E035", f"`slice` from {start} to {stop} takes no channel", hint, "stop")
    if stop > x.channels:
        message = f"`slice` from {start} to {stop}, but its input has {x.channels} channels"
        raise Invalid("E041", message, "a `stop` of `x.channels` takes the last one too", "stop")
    return _of_channels(x, stop - start)


def _split_shape(a: Arguments, x: Tensor) -> Tensor:
    parts, index = integer(a["parts"]), integer(a["index"])
    need_divisible(x.channels, parts, "channels", "equal parts")
    if index >= parts:
        hint = "parts count from 0"
        raise Invalid("E035", f"`split` has no part {index} among {parts}", hint, "index")
    return _of_channels(x, x.channels // parts)


def _shuffle_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "channel_shuffle")
    need_divisible(x.channels, integer(a["groups"]), "channels")
    return x


def _of_channels(x: Tensor, channels: int) -> Tensor:
    return Tensor(channels, x.height, x.width, x.strides)


def _pixel_shuffle_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = need_map(x, "pixel_shuffle")
    factor = integer(a["factor"])
    if x.channels % factor**2:
        message = f"{x.channels} channels do not divide into pixels of {factor} x {factor}"
        raise Invalid("E042", message, None, "factor")
    fewer = max(1, x.strides[0] // factor), max(1, x.strides[1] // factor)
    return Tensor(x.channels // factor**2, height * factor, width * factor, fewer)


def _pixel_unshuffle_shape(a: Arguments, x: Tensor) -> Tensor:
    height, width = need_map(x, "pixel_unshuffle")
    factor = integer(a["factor"])
    if height % factor or width % factor:
        message = f"a feature map of {x} does not divide into pixels of {factor} x {factor}"
        raise Invalid("E040", message, "pad or crop it first")
    more = x.strides[0] * factor, x.strides[1] * factor
    return Tensor(x.channels * factor**2, height // factor, width // factor, more)


_FACTOR = parameter("factor", "int", "rows and columns of each pixel", min=2, max=64)

LAYOUTS = (
    Op(
        name="pixel_shuffle",
        doc="Channels c * factor**2 + i * factor + j as the cells (i, j) of pixels of channel c, "
        "as PyTorch orders them.",
        parameters=(_FACTOR,),
        shape=_pixel_shuffle_shape,
        one_cell=never,
        channels="x.channels // (factor * factor)",
    ),
    Op(
        name="pixel_unshuffle",
        doc="The inverse of `pixel_shuffle`: the cells of pixels as channels.",
        parameters=(_FACTOR,),
        shape=_pixel_unshuffle_shape,
        one_cell=never,
        channels="x.channels * factor * factor",
    ),
    Op(
        name="zero_pad2d",
        doc="Zeros around a feature map.",
        parameters=(parameter("padding", "sides", "rows and columns of zeros", fixed=True),),
        shape=_zero_pad_shape,
        channels="x.channels",
        one_cell=never,
    ),
    Op(
        name="crop2d",
        doc="A feature map without its outer rows and columns.",
        parameters=(parameter("cropping", "sides", "rows and columns to drop", fixed=True),),
        shape=_crop_shape,
        channels="x.channels",
        one_cell=never,
    ),
    Op(
        name="flatten",
        doc="A feature map as a vector, ordered by row, column, channel in every backend.",
        shape=lambda a, x: Tensor(x.size, strides=strides(x)),
        channels=None,
        flattens=True,
        one_cell=always,
    ),
    Op(
        name="reshape",
        doc="The same elements, ordered by row, column, channel, in another shape.",
        parameters=(
            parameter("shape", "shape", "the new shape", fixed=True, min=1, max=MAX_CHANNELS),
        ),
        shape=_reshape_shape,
        channels=None,
        one_cell=never,
    ),
    Op(
        name="slice",
        doc="Channels from `start` on, up to the one before `stop`; they count from 0.",
        parameters=(
            parameter("start", "int", "the first channel", min=0, max=MAX_CHANNELS),
            parameter("stop", "int", "the channel after the last", min=1, max=MAX_CHANNELS),
        ),
        shape=_slice_shape,
        channels="stop - start",
        cuts=("start", "stop"),
    ),
    Op(
        name="split",
        doc="One of equal parts along the channels; they count from 0.",
        parameters=(
            parameter("parts", "int", "how many parts there are", min=1, max=MAX_CHANNELS),
            parameter("index", "int", "which of them this is", min=0, max=MAX_CHANNELS),
        ),
        shape=_split_shape,
        channels="x.channels // parts",
        divisor="parts",
        cuts=("index",),
    ),
    Op(
        name="channel_shuffle",
        doc="Channels as (groups, channels of a group), transposed (ShuffleNet, arXiv:1707.01083).",
        parameters=(parameter("groups", "int", "groups of channels", min=1, max=MAX_CHANNELS),),
        shape=_shuffle_shape,
        channels="x.channels",
        divisor="groups",
    ),
)
