"""Keras's own initializers: by name where it has one, else the object.

Keras counts fans by a kernel's shape, (height, width, inputs, outputs), which for a depthwise one
is (height, width, channels, multiplier). Other conventions are a matter of the scale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod

from archc.backends.python.spelling import OpCall, Use, number
from archc.backends.python.text import Expression, apply
from archc.compiler.language.initializers import NAMED, Initializer, powers

_CLASSES = {
    "constant": "Constant",
    "normal": "RandomNormal",
    "truncated_normal": "TruncatedNormal",
    "uniform": "RandomUniform",
}
_NAMED = ("normal", "truncated_normal")
"""Whose arguments are told by name."""
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
        given = _config(init)
        named = {k: repr(v) for k, v in given.items() if init.function in _NAMED}
        plain = [] if named else map(repr, given.values())
        return apply(f"{made}.{_CLASSES[init.function]}", *plain, **named)
    scale = number(init["scale"])
    if power:
        scale = f"{scale} {'*' if power < 0 else '/'} {groups}"
    shape = _DISTRIBUTIONS.get(str(init["distribution"]), init["distribution"])
    return apply(f"{made}.VarianceScaling", scale, f'"{init["fan"]}"', f'"{shape}"')


def argument(init: Initializer, use: Use) -> str:
    """An initializer without fans as an argument of a block: by name, or as its configuration, from
    which each layer that is given it makes one of its own."""
    if init in _WORDS:
        return f'"{_WORDS[init]}"'
    return json.dumps({"class_name": _CLASSES[init.function], "config": _config(init)})


def _config(init: Initializer) -> dict[str, float | str]:
    """What an initializer without fans is told, by Keras's words; a mean only where it is not 0."""
    found = dict(zip(_CONFIGS[init.function], init.arguments, strict=True))
    return {key: value for key, value in found.items() if key != "mean" or value}


_CONFIGS = {
    "constant": ("value",),
    "normal": ("stddev", "mean"),
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


def scaled(call: OpCall, init: Initializer, kind: str) -> Expression:
    """One with fans, for the bias beside a kernel; Keras tells it the bias's own shape."""
    helper = _SCALED[str(init["distribution"])]
    fans = [_product(*factors) for factors in _fans(call, init.convention, kind)]
    fan = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": f"({fans[0]} + {fans[1]}) / 2"}
    return apply(call.use(helper), number(init["scale"]), fan[str(init["fan"])])


_SCALED = {
    "normal": "scaled_normal",
    "truncated_normal": "scaled_truncated_normal",
    "uniform": "scaled_uniform",
}


def _fans(call: OpCall, convention: str, kind: str) -> tuple[list[str], list[str]]:
    """(fan_in, fan_out) of a kernel as factors, the last a divisor."""
    inputs = f"{call.inputs[0]}.shape[-1]"
    if kind == "dense":
        return [inputs, "1"], [call["units"], "1"]
    if kind == "pointwise":
        return [inputs, call["multiplier"], "1"], [call["filters"], "1"]
    area = _area(call)
    if kind == "transposed":
        return [area, call["filters"], "1"], [area, inputs, "1"]
    depthwise = kind == "depthwise"
    ins, outs = powers(convention, depthwise)
    if depthwise:
        fan_in = [area, *[inputs] * ins, "1"]
        return fan_in, [area, *[inputs] * (1 + outs), call["multiplier"], "1"]
    return [area, inputs, call["groups"]], [area, call["filters"], call["groups"] if outs else "1"]


def _area(call: OpCall) -> str:
    """Height times width of a kernel."""
    if (pair := call.pair("kernel")) is not None:
        return str(pair[0] * pair[1])
    if call.number("kernel") is not None:
        return f"{call['kernel']} ** 2"
    return f"{call.use('kernel_area')}({call['kernel']})"


def _product(*factors: str) -> str:
    """The factors before the last, divided by it; numbers are multiplied."""
    *multiplied, divisor = factors
    number = prod(int(each) for each in multiplied if each.isdecimal())
    others = [each for each in multiplied if not each.isdecimal()]
    text = " * ".join([*([str(number)] if number != 1 or not others else []), *map(_whole, others)])
    return text if divisor == "1" else f"{text} / {_whole(divisor)}"


def _whole(text: str) -> str:
    """A factor, in brackets where it is a sum or the like."""
    return f"({text})" if " " in text and " ** " not in text else text
