"""Ops on each element by itself."""

from __future__ import annotations

from functools import partial

from archc.compiler.ir.network import Arguments, Op, Tensor
from archc.compiler.ir.ops.parts import elements, parameter, unchanged
from archc.compiler.language.problems import Invalid

ACTIVATION = Op(
    name="activation",
    doc="Elementwise activation, by name.",
    parameters=(parameter("act", "activation", "the function"),),
    shape=unchanged,
    channels="x.channels",
    other=elements,
)

_dropping = partial(
    Op,
    parameters=(
        parameter("rate", "float", "probability of dropping", min=0, below=1, usual=(0, 0.8)),
    ),
    shape=unchanged,
    channels="x.channels",
    training=True,
)

_DROPOUT = _dropping(
    name="dropout",
    doc="Drops elements while training, and scales the others by 1 / (1 - rate); the identity in"
    " evaluation.",
)

_DROP_PATH = _dropping(
    name="drop_path",
    doc="Drops whole samples of a batch while training, and scales the others by 1 / (1 - rate);"
    " the identity in evaluation. Also called stochastic depth.",
)


def _rescale_shape(a: Arguments, x: Tensor) -> Tensor:
    for name in ("scale", "offset"):
        numbers = a[name]
        if isinstance(numbers, tuple) and len(numbers) != x.channels:
            message = f"`{name}` has {len(numbers)} numbers, and its input {x.channels} channels"
            raise Invalid("E040", message)
    return x


_RESCALE = Op(
    name="rescale",
    doc="x * scale + offset.",
    parameters=(
        parameter("scale", "numbers", "factor"),
        parameter("offset", "numbers", "added after scaling", 0.0),
    ),
    shape=_rescale_shape,
    channels="x.channels",
    other=elements,
    affine=("scale", "offset"),
)

_SQRT = Op(
    name="sqrt",
    doc="Square root of each element, which must not be negative.",
    shape=unchanged,
    channels="x.channels",
    other=elements,
)

_IDENTITY = Op(
    name="identity",
    doc="The input as it is.",
    shape=unchanged,
    channels="x.channels",
    idle=True,
)

ELEMENTWISE = (ACTIVATION, _DROPOUT, _DROP_PATH, _RESCALE, _SQRT, _IDENTITY)
