"""Where Keras keeps each array, and in which layout, against PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from archc.backends.keras.names import layer_name
from archc.backends.storage import Array, Shape, Slot


def _convolution_shape(shape: Shape, channels: int) -> Shape:
    outputs, inputs, height, width = shape
    return height, width, inputs, outputs


def _convolution(array: Array, shape: Shape) -> Array:
    return array.transpose(2, 3, 1, 0)


def _from_convolution(array: Array) -> Array:
    return array.transpose(3, 2, 0, 1)


def _depthwise_shape(shape: Shape, channels: int) -> Shape:
    outputs, _, height, width = shape
    return height, width, channels, outputs // channels


def _depthwise(array: Array, shape: Shape) -> Array:
    """(C * M, 1, h, w) -> (h, w, C, M)."""
    height, width, channels, multiplier = shape
    return array.reshape(channels, multiplier, height, width).transpose(2, 3, 0, 1)


def _from_depthwise(array: Array) -> Array:
    height, width, channels, multiplier = array.shape
    return array.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _convolution_slot(name: str) -> Slot:
    return Slot(name, "HWIO", _convolution_shape, _convolution, _from_convolution)


def _depthwise_slot(name: str) -> Slot:
    return Slot(name, "HWCM", _depthwise_shape, _depthwise, _from_depthwise)


_DENSE = Slot("kernel", "IO", lambda s, channels: s[::-1], lambda a, shape: a.T, lambda a: a.T)
_BIAS = Slot("bias", "O")

SLOTS: Mapping[str, Mapping[str, Slot]] = MappingProxyType(
    {
        "Conv2D": {"weight": _convolution_slot("kernel"), "bias": _BIAS},
        "DepthwiseConv2D": {"weight": _depthwise_slot("kernel"), "bias": _BIAS},
        "SeparableConv2D": {
            "depthwise.weight": _depthwise_slot("depthwise_kernel"),
            "pointwise.weight": _convolution_slot("pointwise_kernel"),
            "pointwise.bias": _BIAS,
        },
        "Dense": {"weight": _DENSE, "bias": _BIAS},
        "BatchNormalization": {
            "weight": Slot("gamma", "C"),
            "bias": Slot("beta", "C"),
            "running_mean": Slot("moving_mean", "C"),
            "running_var": Slot("moving_variance", "C"),
        },
    }
)
"""By the layer's class and PyTorch's name of the array; in the order in which Keras saves them."""

LAYERS: Mapping[str, str] = MappingProxyType(
    {
        "conv2d": "Conv2D",
        "depthwise_conv2d": "DepthwiseConv2D",
        "separable_conv2d": "SeparableConv2D",
        "dense": "Dense",
        "batch_norm": "BatchNormalization",
    }
)
"""The layer's class by op."""


def tensor_name(layer: str, weight: str, slot: Slot) -> str:
    """`stem.conv`, `weight` -> `stem-conv/kernel`."""
    return f"{layer_name(layer)}/{slot.name}"
