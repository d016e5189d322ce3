"""Activations in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from archc.backends.onnx.drafts import Draft

Spelling = Callable[[Draft, str], str]


def _operator(op: str, **attributes: Any) -> Spelling:
    return lambda g, x: g.add(op, x, **attributes)


def _clip(low: float, high: float) -> Spelling:
    return lambda g, x: g.add("Clip", x, g.floats("low", low), g.floats("high", high))


def _gelu(g: Draft, x: str) -> str:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    erf = g.add("Erf", g.add("Div", x, g.floats("root", math.sqrt(2.0))))
    twice = g.add("Mul", x, g.add("Add", erf, g.floats("one", 1.0)))
    return g.add("Mul", twice, g.floats("half", 0.5))


def _gelu_tanh(g: Draft, x: str) -> str:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))."""
    cubed = g.add("Mul", g.add("Mul", x, x), x, name="cubed")
    inner = g.add("Add", x, g.add("Mul", cubed, g.floats("cubic", 0.044715)))
    tanh = g.add("Tanh", g.add("Mul", inner, g.floats("root", math.sqrt(2.0 / math.pi))))
    twice = g.add("Mul", x, g.add("Add", tanh, g.floats("one", 1.0)))
    return g.add("Mul", twice, g.floats("half", 0.5))


def _quick_gelu(g: Draft, x: str) -> str:
    return g.add("Mul", x, g.add("Sigmoid", g.add("Mul", x, g.floats("slope", 1.702))))


def _swish(g: Draft, x: str) -> str:
    return g.add("Mul", x, g.add("Sigmoid", x))


def _mish(g: Draft, x: str) -> str:
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


ACTIVATIONS: Mapping[str, Spelling] = MappingProxyType(
    {
        "relu": _operator("Relu"),
        "relu6": _clip(0.0, 6.0),
        "leaky_relu": _operator("LeakyRelu", alpha=0.01),
        "elu": _operator("Elu", alpha=1.0),
        "gelu": _gelu,
        "gelu_tanh": _gelu_tanh,
        "quick_gelu": _quick_gelu,
        "sigmoid": _operator("Sigmoid"),
        "hard_sigmoid": _operator("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
        "tanh": _operator("Tanh"),
        "hard_tanh": _clip(-1.0, 1.0),
        "swish": _swish,
        "hard_swish": _operator("HardSwish"),
        "mish": _mish,
        "softplus": _operator("Softplus"),
        "softmax": _operator("Softmax", axis=1),
    }
)
