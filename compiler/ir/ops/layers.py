"""Dense layers, normalisations and PReLU: what has weights and is no convolution, and its like."""

from __future__ import annotations

from functools import partial

from archc.compiler.ir.network import Arguments, Op, Parameter, Tensor, WeightRule
from archc.compiler.ir.ops.parts import (
    BIAS,
    BIAS_INIT,
    INIT,
    MAX_CHANNELS,
    MAX_KERNEL,
    always,
    bias,
    elements,
    initial,
    integer,
    need_divisible,
    need_map,
    pair,
    parameter,
    strides,
    unchanged,
)
from archc.compiler.language.initializers import ONES, ZEROS
from archc.compiler.language.problems import Invalid

_UNITS = parameter("units", "int", "output features", min=1, max=MAX_CHANNELS)
_KEPT = "share of the old running average kept at each step"
_DECAY = parameter("decay", "float", _KEPT, 0.99, min=0, max=1, usual=(0.5, 1))


def _dense_shape(a: Arguments, x: Tensor) -> Tensor:
    if x.is_map:
        hint = "flatten it, or pool it with `global_avg_pool2d`, first"
        raise Invalid("E043", f"`dense` needs a vector, but gets a feature map of {x}", hint)
    return Tensor(integer(a["units"]), strides=x.strides)


_KERNEL = WeightRule(
    name="weight",
    role="kernel",
    axes=("OI",),
    shape=lambda a, y, x: (y.channels, x.channels),
    groups=lambda a, y, x: 1,
)
_DENSE = Op(
    name="dense",
    doc="Fully connected layer on a vector.",
    parameters=(_UNITS, BIAS, INIT, BIAS_INIT),
    shape=_dense_shape,
    channels="units",
    weights=(_KERNEL, bias(_KERNEL)),
    macs=lambda a, y, x: x.channels * y.channels,
    one_cell=always,
    sized=("x",),
    fresh=True,
)


_SCALE_INIT = initial("scale_init", "values of a fresh scale", ONES)
_OFFSET_INIT = initial("offset_init", "values of a fresh offset", ZEROS)
_STARTS = initial("init", "what it starts as")


def _per_channel(
    name: str,
    role: str,
    initializer: str | None = None,
    switch: str | None = None,
    trainable: bool = True,
    init: str | None = None,
) -> WeightRule:
    return WeightRule(
        name=name,
        role=role,
        axes=("C",),
        shape=lambda a, y, x: (x.channels,),
        init=init,
        initializer=initializer,
        switch=switch,
        trainable=trainable,
    )


def _epsilon(default: float) -> Parameter:
    words = "added to the variance"
    return parameter("epsilon", "float", words, default, above=0, max=1, usual=(0, 0.1))


_BATCH_NORM = Op(
    name="batch_norm",
    doc="Batch normalisation of each channel.",
    parameters=(
        _epsilon(1e-3),
        _DECAY,
        parameter("scale", "bool", "whether a trained factor for each channel follows", True),
        parameter("offset", "bool", "whether a trained summand for each channel follows", True),
        _SCALE_INIT,
        _OFFSET_INIT,
    ),
    shape=unchanged,
    channels="x.channels",
    weights=(
        _per_channel("weight", "scale", switch="scale", init="scale_init"),
        _per_channel("bias", "shift", switch="offset", init="offset_init"),
        _per_channel("running_mean", "mean", "zeros", trainable=False),
        _per_channel("running_var", "variance", "ones", trainable=False),
    ),
    other=elements,
    sized=("x",),
    fresh=True,
)

_AFFINE = parameter("affine", "bool", "whether a trained scale and offset follow", True)
_affine_norm = partial(
    Op,
    channels="x.channels",
    weights=(
        _per_channel("weight", "scale", "ones", switch="affine"),
        _per_channel("bias", "shift", "zeros", switch="affine"),
    ),
    other=elements,
    sized=("x",),
    fresh=True,
)


def _layer_norm_shape(a: Arguments, x: Tensor) -> Tensor:
    if x.channels == 1:
        message = "`layer_norm` needs several channels, but gets 1: nothing would be left of it"
        raise Invalid("E042", message)
    return x


def _group_norm_shape(a: Arguments, x: Tensor) -> Tensor:
    groups = integer(a["groups"])
    need_divisible(x.channels, groups, "channels")
    if x.size == groups:
        message = f"`group_norm` gets {x}, one number for each group: nothing would be left of it"
        raise Invalid("E042", message)
    return x


_LAYER_NORM = _affine_norm(
    name="layer_norm",
    doc="Normalises the channels of each position by their own mean and variance.",
    parameters=(_epsilon(1e-6), _AFFINE),
    shape=_layer_norm_shape,
)

_GROUP_NORM = _affine_norm(
    name="group_norm",
    doc="Normalises each group of channels, over all positions, by its own mean and variance.",
    parameters=(
        parameter("groups", "int", "groups of neighbouring channels", min=1, max=MAX_CHANNELS),
        _epsilon(1e-5),
        _AFFINE,
    ),
    shape=_group_norm_shape,
    divisor="groups",
)

_PRELU = Op(
    name="prelu",
    doc="x where it is positive, and a trained slope times x where it is not.",
    parameters=(
        parameter("shared", "bool", "whether all channels have one slope", False),
        parameter("init", "float", "a fresh slope", 0.25, usual=(0, 1)),
    ),
    shape=unchanged,
    channels="x.channels",
    weights=(
        WeightRule(
            name="weight",
            role="slope",
            axes=("C", "HWC"),
            shape=lambda a, y, x: (1 if a["shared"] else x.channels,),
        ),
    ),
    other=elements,
    sized=("x",),
    fresh=True,
)

_L2_NORMALIZE = Op(
    name="l2_normalize",
    doc="x / max(norm, epsilon), with the Euclidean norm of the channels of each position.",
    parameters=(
        parameter(
            "epsilon", "float", "least norm to divide by", 1e-12, min=1e-15, max=1, usual=(0, 0.1)
        ),
    ),
    shape=unchanged,
    channels="x.channels",
    other=elements,
    fresh=True,
)


def _local_response_shape(a: Arguments, x: Tensor) -> Tensor:
    need_map(x, "local_response_norm")
    return x


_LOCAL_RESPONSE_NORM = Op(
    name="local_response_norm",
    doc="x / (k + alpha * mean) ** beta, with the mean of the squares of `size` channels around"
    " each, an odd one before it; those beyond the ends are zeros, which count.",
    parameters=(
        parameter("size", "int", "channels of a window", min=1, max=MAX_KERNEL),
        parameter("alpha", "float", "factor of the mean, not of the sum", 1e-4, min=0),
        parameter("beta", "float", "exponent", 0.75, min=0, max=16),
        parameter("k", "float", "added before the power", 1.0, above=0),
    ),
    shape=_local_response_shape,
    channels="x.channels",
    other=lambda a, y, x: y.size * integer(a["size"]),
    fresh=True,
)


def _learned_shape(a: Arguments, like: Tensor) -> Tensor:
    channels = like.channels if a["channels"] is None else integer(a["channels"])
    height, width = pair(a["size"])
    if like.is_map:
        return Tensor(channels, height, width, strides(like, height, width))
    if (height, width) != (1, 1):
        message = f"`size` is that of a feature map, and `learned` gets a vector of {like}"
        raise Invalid("E043", message, "leave it out", "size")
    return Tensor(channels, strides=like.strides)


_LEARNED = Op(
    name="learned",
    doc="A learned tensor of its own, the same for each sample: a 1x1 map, or one of a `size`, or"
    " beside a vector a vector. What `like` holds does not matter.",
    inputs=("like",),
    parameters=(
        _STARTS,
        parameter(
            "channels",
            "int?",
            "its channels; none is as many as of `like`",
            min=1,
            max=MAX_CHANNELS,
        ),
        parameter("size", "size", "its height and width", 1, min=1, max=MAX_KERNEL),
    ),
    shape=_learned_shape,
    channels="like.channels if channels == none else channels",
    weights=(
        WeightRule(
            name="weight",
            role="learned",
            axes=("CHW",),
            shape=lambda a, y, x: (y.channels, y.height or 1, y.width or 1),
        ),
    ),
    one_cell=lambda given, fed: fed or "size" not in given,
    sized=("like",),
)

LAYERS = (
    _DENSE,
    _BATCH_NORM,
    _LAYER_NORM,
    _GROUP_NORM,
    _L2_NORMALIZE,
    _LOCAL_RESPONSE_NORM,
    _PRELU,
    _LEARNED,
)
