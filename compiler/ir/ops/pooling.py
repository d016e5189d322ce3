"""Pooling over windows, and over the whole feature map."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import (
    KERNEL,
    MAX_KERNEL,
    STRIDE,
    always,
    need_map,
    of_kernel,
    pair,
    parameter,
    strides,
    window,
)
from archc.compiler.language.expressions import Literal, Node, compact
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show

_PADDING = parameter(
    "padding", "pool_padding", "what is added around the input", "same", fixed=True
)
_CEIL_MODE = parameter(
    "ceil_mode",
    "bool",
    "whether a last window may end outside of the padded input, if it starts inside; its cells "
    "outside do not count",
    False,
    fixed=True,
)
_COUNT_PADDING = parameter(
    "count_padding",
    "bool",
    "whether cells of `symmetric` or four numbers count in the mean, as zeros",
    False,
    fixed=True,
)
_KEEPDIMS = parameter("keepdims", "bool", "whether to keep a 1x1 feature map", False, fixed=True)


def _pool_shape(a: Arguments, x: Tensor) -> Tensor:
    if a.get("count_padding") and a["padding"] == "same":
        message = "`count_padding` does not go with `same`, whose padding counts as `zeros`"
        raise Invalid("E029", message, "leave it out, or pad with `zeros`", "count_padding")
    if not a.get("count_padding"):
        _need_cells(a)
    return window(a, x, x.channels, "pooling")


def _need_cells(a: Arguments) -> None:
    """Raises `Invalid` (E035) where a window may lie on padding alone."""
    kernel, padding = pair(a["kernel"]), a["padding"]
    if isinstance(padding, tuple) and any(p >= kernel[i // 2] for i, p in enumerate(padding)):
        most = " and ".join(show(k - 1) for k in dict.fromkeys(kernel))
        message = f"`padding` is {show(padding)}, so that a window may lie on padding alone"
        hint = f"with a kernel of {show(compact(kernel))}, pad by at most {most}"
        raise Invalid("E035", message, hint, "padding")


def _counts(given: Mapping[str, Node]) -> bool:
    """Whether padding may count, and so make cells of its own."""
    counted = given.get("count_padding")
    return counted is not None and not (isinstance(counted, Literal) and counted.value is False)


_pool2d = partial(
    Op,
    shape=_pool_shape,
    channels="x.channels",
    other=lambda a, y, x: y.size * prod(pair(a["kernel"])),
    one_cell=lambda given, fed: of_kernel(given, fed) and not _counts(given),
    window=True,
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


def _adaptive_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "adaptive pooling")
    height, width = pair(a["size"])
    return Tensor(x.channels, height, width, strides(x, height, width))


def _seen(size: int, count: int) -> int:
    """Cells along one side of all windows from floor(i * size / count) to
    ceil((i + 1) * size / count), which may share some."""
    return sum(-(-(i + 1) * size // count) - i * size // count for i in range(count))


def _of_size(given: Mapping[str, Node], fed: bool) -> bool:
    size = given.get("size")
    return isinstance(size, Literal) and compact(size.value) == 1


_adaptive_pool2d = partial(
    Op,
    one_cell=_of_size,
    parameters=(
        parameter("size", "size", "height and width of the output", min=1, max=MAX_KERNEL),
    ),
    shape=_adaptive_shape,
    channels="x.channels",
    other=lambda a, y, x: x.channels * _seen(x.height, y.height) * _seen(x.width, y.width),
)

POOLING = (
    _pool2d(
        name="max_pool2d",
        doc="Largest value in each window; padding, but for `zeros`, is minus infinity.",
        parameters=(KERNEL, STRIDE, _PADDING, _CEIL_MODE),
    ),
    _pool2d(
        name="avg_pool2d",
        doc="Mean of each window: of its real cells only, but for `zeros` and `count_padding`.",
        parameters=(KERNEL, STRIDE, _PADDING, _CEIL_MODE, _COUNT_PADDING),
    ),
    _adaptive_pool2d(
        name="adaptive_avg_pool2d",
        doc="Mean of each of `size` windows, from floor(i * n / m) to ceil((i + 1) * n / m).",
    ),
    _adaptive_pool2d(
        name="adaptive_max_pool2d",
        doc="Largest value in each of `size` windows, from floor(i * n / m) to "
        "ceil((i + 1) * n / m).",
    ),
    _global_pool2d(name="global_avg_pool2d", doc="Mean over height and width."),
    _global_pool2d(name="global_max_pool2d", doc="Largest value over height and width."),
)
