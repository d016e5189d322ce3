"""Pooling over windows, and over the whole feature map."""

from __future__ import annotations

from functools import partial
from math import prod

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import (
    KERNEL,
    STRIDE,
    always,
    need_map,
    of_kernel,
    pair,
    parameter,
    strides,
    window,
)

_PADDING = parameter(
    "padding", "pool_padding", "what is added around the input", "same", fixed=True
)
_KEEPDIMS = parameter("keepdims", "bool", "whether to keep a 1x1 feature map", False, fixed=True)

_pool2d = partial(
    Op,
    parameters=(KERNEL, STRIDE, _PADDING),
    shape=lambda a, x: window(a, x, x.channels, "pooling"),
    channels="x.channels",
    other=lambda a, y, x: y.size * prod(pair(a["kernel"])),
    one_cell=of_kernel,
)


def _global_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "global pooling")
    if a["keepdims"]:
        return Tensor(x.channels, 1, 1, strides(x))
    return Tensor(x.channels, strides=strides(x))


_global_pool2d = partial(
    Op,
    parameters=(_KEEPDIMS,),
    shape=_global_shape,
    channels="x.channels",
    other=lambda a, y, x: x.size,
    one_cell=always,
)

POOLING = (
    _pool2d(
        name="max_pool2d", doc="Largest value in each window; `same` pads with minus infinity."
    ),
    _pool2d(name="avg_pool2d", doc="Mean of each window; with `same`, of its real cells only."),
    _global_pool2d(name="global_avg_pool2d", doc="Mean over height and width."),
    _global_pool2d(name="global_max_pool2d", doc="Largest value over height and width."),
)
