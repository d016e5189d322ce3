"""Ops on several tensors."""

from __future__ import annotations

from collections.abc import Callable

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import elements
from archc.compiler.language.problems import Invalid

_BOTH = ("left", "right")


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


COMBINING = (
    Op(
        name="add",
        doc="Elementwise sum, also written `a + b`.",
        inputs=_BOTH,
        shape=_equal_shapes("add"),
        channels="left.channels",
        other=elements,
        operator="+",
    ),
    Op(
        name="multiply",
        doc="Elementwise product, also written `a * b`; a 1x1 map gates a larger one.",
        inputs=_BOTH,
        shape=_multiply_shape,
        channels="left.channels",
        other=elements,
        operator="*",
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
        name="concat",
        doc="Feature maps or vectors side by side along the channels.",
        inputs=("xs",),
        variadic=True,
        shape=_concat_shape,
        channels="xs.channels",
    ),
)
