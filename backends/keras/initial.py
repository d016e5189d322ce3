"""Keras's own initializers: by name where it has one, else the object.

Keras counts fans by a kernel's shape, (height, width, inputs, outputs), which for a depthwise one
is (height, width, channels, multiplier). Other conventions are a matter of the scale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from archc.backends.python.spelling import OpCall, Use
from archc.backends.python.text import Expression, apply
from archc.compiler.language.initializers import NAMED, Initializer, powers

_CLASSES = {
    "constant": "Constant",
    "normal": "RandomNormal",
    "truncated_normal": "TruncatedNormal",
    "uniform": "RandomUniform",
}
_KEYWORDS = {"normal": "stddev=", "truncated_normal": "stddev="}
_DISTRIBUTIONS = {"normal": "untruncated_normal"}
_WORDS = {initializer: word for word, initializer in NAMED.items()}


def initializer(init: Initializer, use: Use, power: int = 0, groups: str = "1") -> Expression:
    """An initializer as an argument, where Keras's fan is to be multiplied by a power of `groups`.

    It is made where it stands: one object would draw the same values for all layers of a shape.
    """
    if init in _WORDS and not power:
        return f'"{_WORDS[init]}"'
    made = f"{use('keras')}.initializers"
    if not init.has_fans:
        before = _KEYWORDS.get(init.function, "")
        given = [f"{before}{number!r}" for number in init.arguments]
        return apply(f"{made}.{_CLASSES[init.function]}", *given)
    scale = repr(init["scale"]) + {0: "", 1: f" / {groups}", -1: f" * {groups}"}[power]
    shape = _DISTRIBUTIONS.get(str(init["distribution"]), init["distribution"])
    return apply(f"{made}.VarianceScaling", scale, f'"{init["fan"]}"', f'"{shape}"')


def argument(init: Initializer, use: Use) -> str:
    """An initializer without fans as an argument of a block: by name, or as its configuration, from
    which each layer that is given it makes one of its own."""
    if init in _WORDS:
        return f'"{_WORDS[init]}"'
    keys = _CONFIGS[init.function]
    config = dict(zip(keys, init.arguments, strict=True))
    return json.dumps({"class_name": _CLASSES[init.function], "config": config})


_CONFIGS = {
    "constant": ("value",),
    "normal": ("stddev",),
    "truncated_normal": ("stddev",),
    "uniform": ("minval", "maxval"),
}
_KINDS = {
    "layers.Conv2D": "conv",
    "layers.DepthwiseConv2D": "depthwise",
    "layers.SeparableConv2D": "separable",
    "layers.Conv2DTranspose": "transposed",
    "conv_transpose_padded": "transposed",
    "layers.Dense": "dense",
    "layers.BatchNormalization": "norm",
}


def shared_name(uses: Sequence[tuple[str, str]]) -> str:
    """What the function is called that makes an initializer for several layers, as
    `dense_kernel_initializer`."""
    kinds = {_KINDS.get(callee, "") for callee, _ in uses}
    arrays = {keyword.removesuffix("_initializer") for _, keyword in uses}
    arrays = {"kernel" if array in ("depthwise", "pointwise") else array for array in arrays}
    parts = [*(kinds if len(kinds) == 1 else ()), *(arrays if len(arrays) == 1 else ())]
    return "_".join([*filter(None, parts), "initializer"])


def factor(call: OpCall, init: Initializer, kind: str) -> tuple[int, str]:
    """The power of the groups by which Keras's fan of a kernel has to be multiplied, and how they
    are written; `kind` is `groups` or `depthwise` where there may be several."""
    if not init.has_fans or not kind or init["fan"] == "fan_avg":
        return 0, "1"
    index = int(init["fan"] == "fan_out")
    depthwise = kind == "depthwise"
    power = powers(init.convention, depthwise)[index] - powers("keras", depthwise)[index]
    if depthwise:
        return power, f"{call.inputs[0]}.shape[-1]"
    return (0, "1") if call.is_("groups", 1) else (power, call["groups"])
