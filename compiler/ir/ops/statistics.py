"""Statistics over channels, or over height and width, which stay as axes of one element."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import need_map, parameter, strides
from archc.compiler.language.expressions import Literal, Node

_OVER = parameter("over", "axes", "what it is taken over", fixed=True)


def _shape(a: Arguments, x: Tensor) -> Tensor:
    if a["over"] == "channels":
        return Tensor(1, x.height, x.width, x.strides)
    need_map(x, "over=space")
    return Tensor(x.channels, 1, 1, strides(x))


def _one_cell(given: Mapping[str, Node], fed: bool) -> bool:
    over = given.get("over")
    return fed or (isinstance(over, Literal) and over.value == "space")


_statistic = partial(
    Op,
    parameters=(_OVER,),
    shape=_shape,
    channels="1 if over == channels else x.channels",
    other=lambda a, y, x: x.size,
    one_cell=_one_cell,
)

STATISTICS = (
    _statistic(name="mean", doc="Mean over the channels, or over height and width."),
    _statistic(
        name="variance",
        doc="Mean square of what differs from the mean: the biased variance, of divisor n.",
    ),
)
