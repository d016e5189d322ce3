"""Where Keras keeps each array, and in which layout, against PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """One array of a Keras layer: its attribute, and how to get from and to PyTorch's layout."""

    attribute: str
    to_keras: Callable[[Array, tuple[int, ...]], Array]
    """to_keras(array, the variable's shape) -> array."""
    from_keras: Callable[[Array], Array]


def _same(array: Array, shape: tuple[int, ...] = ()) -> Array:
    return array


def _convolution(array: Array, shape: tuple[int, ...]) -> Array:
    return array.transpose(2, 3, 1, 0)


def _depthwise(array: Array, shape: tuple[int, ...]) -> Array:
    """(C * M, 1, h, w) -> (h, w, C, M)."""
    height, width, channels, multiplier = shape
    return array.reshape(channels, multiplier, height, width).transpose(2, 3, 0, 1)


def _from_depthwise(array: Array) -> Array:
    height, width, channels, multiplier = array.shape
    return array.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


_CONVOLUTION = Slot("kernel", _convolution, lambda array: array.transpose(3, 2, 0, 1))
_DENSE = Slot("kernel", lambda array, shape: array.T, lambda array: array.T)
_BIAS = Slot("bias", _same, _same)

SLOTS = MappingProxyType(
    {
        "Conv2D": {"weight": _CONVOLUTION, "bias": _BIAS},
        "DepthwiseConv2D": {
            "weight": Slot("kernel", _depthwise, _from_depthwise),
            "bias": _BIAS,
        },
        "SeparableConv2D": {
            "depthwise.weight": Slot("depthwise_kernel", _depthwise, _from_depthwise),
            "pointwise.weight": Slot("pointwise_kernel", _convolution, _CONVOLUTION.from_keras),
            "pointwise.bias": _BIAS,
        },
        "Dense": {"weight": _DENSE, "bias": _BIAS},
        "BatchNormalization": {
            "weight": Slot("gamma", _same, _same),
            "bias": Slot("beta", _same, _same),
            "running_mean": Slot("moving_mean", _same, _same),
            "running_var": Slot("moving_variance", _same, _same),
        },
    }
)
"""By the layer's class and PyTorch's name of the array."""
