"""Layers with weights that are no convolutions: dense layers and normalisations."""

from __future__ import annotations

from archc.compiler.ir.network import Arguments, Op, Tensor, WeightRule
from archc.compiler.ir.ops.parts import (
    BIAS,
    INIT,
    MAX_CHANNELS,
    always,
    bias,
    elements,
    integer,
    parameter,
    unchanged,
)
from archc.compiler.language.problems import Invalid

_UNITS = parameter("units", "int", "output features", min=1, max=MAX_CHANNELS)
_EPSILON = parameter(
    "epsilon", "float", "added to the variance", 1e-3, above=0, max=1, usual=(0, 0.1)
)
_KEPT = "share of the old running average kept at each step"
_DECAY = parameter("decay", "float", _KEPT, 0.99, min=0, max=1, usual=(0.5, 1))


def _dense_shape(a: Arguments, x: Tensor) -> Tensor:
    if x.is_map:
        hint = "flatten it, or pool it with `global_avg_pool2d`, first"
        raise Invalid("E043", f"`dense` needs a vector, but gets a feature map of {x}", hint)
    return Tensor(integer(a["units"]), strides=x.strides)


_DENSE = Op(
    name="dense",
    doc="Fully connected layer on a vector.",
    parameters=(_UNITS, BIAS, INIT),
    shape=_dense_shape,
    channels="units",
    weights=(
        WeightRule(
            name="weight",
            role="kernel",
            axes=("OI",),
            shape=lambda a, y, x: (y.channels, x.channels),
            fans=lambda a, y, x: (x.channels, y.channels),
        ),
        bias(),
    ),
    macs=lambda a, y, x: x.channels * y.channels,
    one_cell=always,
    sized=("x",),
    fresh=True,
)


def _per_channel(
    name: str, role: str, initializer: str, switch: str | None = None, trainable: bool = True
) -> WeightRule:
    return WeightRule(
        name=name,
        role=role,
        axes=("C",),
        shape=lambda a, y, x: (x.channels,),
        initializer=initializer,
        switch=switch,
        trainable=trainable,
    )


_BATCH_NORM = Op(
    name="batch_norm",
    doc="Batch normalisation of each channel.",
    parameters=(
        _EPSILON,
        _DECAY,
        parameter("scale", "bool", "whether a trained factor for each channel follows", True),
        parameter("offset", "bool", "whether a trained summand for each channel follows", True),
    ),
    shape=unchanged,
    channels="x.channels",
    weights=(
        _per_channel("weight", "scale", "ones", switch="scale"),
        _per_channel("bias", "shift", "zeros", switch="offset"),
        _per_channel("running_mean", "mean", "zeros", trainable=False),
        _per_channel("running_var", "variance", "ones", trainable=False),
    ),
    other=elements,
    sized=("x",),
    fresh=True,
)

LAYERS = (_DENSE, _BATCH_NORM)
