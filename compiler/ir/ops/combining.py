"""Ops on several tensors."""

from __future__ import annotations

from collections.abc import Callable

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import elements
from archc.compiler.language.problems import Invalid

_BOTH = ("left", "right")
_ONE_CELL: dict[bool, tuple[int, ...]] = {True: (1, 1), False: ()}
"""Height and width of a map of one cell, and of a vector."""


def _equal_shapes(what: str) -> Callable[..., Tensor]:
    def shape(a: Arguments, left: Tensor, right: Tensor) -> Tensor:
        if left.shape != right.shape:
            raise Invalid("E040", f"`{what}` needs two equal shapes, but gets {left} and {right}")
        return left

    return shape


def _spread_shape(what: str) -> Callable[..., Tensor]:
    """Equal shapes; or one of them a 1x1 map of as many channels, or the right one of one channel,
    which then stand for all cells or all channels."""

    def shape(a: Arguments, left: Tensor, right: Tensor) -> Tensor:
        larger, smaller = (left, right) if left.area >= right.area else (right, left)
        cell = smaller.is_map and larger.is_map and smaller.area == 1
        gate = cell and left.channels == right.channels
        single = right.channels == 1 and right.shape[1:] in (left.shape[1:], _ONE_CELL[left.is_map])
        if left.shape == right.shape or gate or single:
            return left if single else larger
        needs = f"`{what}` needs equal shapes, a 1x1 map, or one channel on the right"
        raise Invalid("E040", f"{needs}, but gets {left} and {right}")

    return shape


def _concat_shape(a: Arguments, *inputs: Tensor) -> Tensor:
    first = inputs[0]
    for other in inputs[1:]:
        if other.shape[1:] != first.shape[1:]:
            message = f"`concat` needs equal heights and widths, but gets {first} and {other}"
            raise Invalid("E040", message)
    return Tensor(sum(x.channels for x in inputs), first.height, first.width, first.strides)


COMBINING = (
    Op(
        name="add",
        doc="Elementwise sum, also written `a + b`; shapes are as those of `multiply`.",
        inputs=_BOTH,
        shape=_spread_shape("add"),
        channels="left.channels",
        other=elements,
        operator="+",
    ),
    Op(
        name="multiply",
        doc="Elementwise product, also written `a * b`; a 1x1 map gates a larger one, and one of a "
        "single channel, on the right, all channels of the left one.",
        inputs=_BOTH,
        shape=_spread_shape("multiply"),
        channels="left.channels",
        other=elements,
        operator="*",
    ),
    Op(
        name="subtract",
        doc="Elementwise difference, also written `a - b`; shapes are as those of `multiply`.",
        inputs=_BOTH,
        shape=_spread_shape("subtract"),
        channels="left.channels",
        other=elements,
        operator="-",
    ),
    Op(
        name="divide",
        doc="Elementwise quotient, also written `a / b`; shapes are as those of `multiply`.",
        inputs=_BOTH,
        shape=_spread_shape("divide"),
        channels="left.channels",
        other=elements,
        operator="/",
    ),
    Op(
        name="maximum",
        doc="Elementwise maximum.",
        inputs=_BOTH,
        shape=_equal_shapes("maximum"),
        channels="left.channels",
        other=elements,
    ),
    Op(
        name="minimum",
        doc="Elementwise minimum.",
        inputs=_BOTH,
        shape=_equal_shapes("minimum"),
        channels="left.channels",
        other=elements,
    ),
    Op(
        name="concat",
        doc="Feature maps or vectors side by side along the channels.",
        inputs=("xs",),
        variadic=True,
        shape=_concat_shape,
        channels="xs.channels",
        joins=True,
    ),
)
