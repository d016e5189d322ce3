"""Ops that sample a feature map at other heights and widths."""

from __future__ import annotations

from math import floor

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import need_map, never, parameter, strides
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show

_METHOD = parameter("method", "interpolation", "how values are found between cells", fixed=True)
_ALIGN_CORNERS = parameter(
    "align_corners",
    "bool",
    "for `bilinear`: whether the outer cells lie on each other, and not the edges of the maps",
    False,
    fixed=True,
)


def _sampled(a: Arguments, x: Tensor, height: int, width: int) -> Tensor:
    if a["align_corners"] and a["method"] != "bilinear":
        message = f"`align_corners` does not go with `{a['method']}`, which has no corners to align"
        raise Invalid("E029", message, "leave it out, or use `bilinear`", "align_corners")
    return Tensor(x.channels, height, width, strides(x, height, width))


def _resize_shape(a: Arguments, x: Tensor) -> Tensor:
    scale = a["scale"]
    assert isinstance(scale, float)
    height, width = (floor(side * scale) for side in need_map(x, "resize"))
    if not height or not width:
        message = f"a scale of {show(scale)} leaves nothing of a feature map of {x}"
        raise Invalid("E041", message, None, "scale")
    return _sampled(a, x, height, width)


def _resize_like_shape(a: Arguments, x: Tensor, like: Tensor) -> Tensor:
    need_map(x, "resize_like")
    return _sampled(a, x, *need_map(like, "resize_like"))


def _other(a: Arguments, y: Tensor, *inputs: Tensor) -> int:
    """Four cells for each value between them."""
    return y.size * 4 * (a["method"] == "bilinear")


RESIZING = (
    Op(
        name="resize",
        doc="A feature map at floor(n * scale) rows and columns, without smoothing before.",
        parameters=(
            parameter("scale", "float", "factor of height and width", above=0, max=1024),
            _METHOD,
            _ALIGN_CORNERS,
        ),
        shape=_resize_shape,
        channels="x.channels",
        one_cell=never,
        other=_other,
    ),
    Op(
        name="resize_like",
        doc="A feature map at the height and width of another, without smoothing before.",
        inputs=("x", "like"),
        parameters=(_METHOD, _ALIGN_CORNERS),
        shape=_resize_like_shape,
        channels="x.channels",
        one_cell=never,
        other=_other,
    ),
)
