"""Where Keras keeps each array, and in which layout, against PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from archc.backends.keras.names import layer_name
from archc.backends.storage import Array, Shape, Slot
from archc.compiler.ir.network import Tensor


class _Slopes(Slot):
    """Numbers for channels that also have axes for the rows and columns of a feature map."""

    def shape(self, shape: Shape, x: Tensor) -> Shape:
        return (1, 1, *shape) if x.is_map else shape

    def store(self, array: Array, shape: Shape) -> Array:
        return array.reshape(shape)

    def restore(self, array: Array) -> Array:
        return array.reshape(-1)


_KERNEL = Slot("kernel", "HWIO")


class _Learned(Slot):
    """A map's numbers by row, column and channel; a vector's by channel. Or the kernel of a
    convolution, which is a layer of the same class."""

    def shape(self, shape: Shape, x: Tensor) -> Shape:
        own = Slot.shape(self, shape, x)
        return own if x.is_map else own[2:]

    def store(self, array: Array, shape: Shape) -> Array:
        if array.ndim == 4:
            return _KERNEL.store(array, shape)
        return Slot.store(self, array, shape).reshape(shape)

    def restore(self, array: Array) -> Array:
        if array.ndim == 4:
            return _KERNEL.restore(array)
        return Slot.restore(self, array if array.ndim == 3 else array[None, None])


_BIAS = Slot("bias", "O")
_AFFINE = {"weight": Slot("gamma", "C"), "bias": Slot("beta", "C")}

SLOTS: Mapping[str, Mapping[str, Slot]] = MappingProxyType(
    {
        "Conv2D": {"weight": _KERNEL, "bias": _BIAS},
        "DepthwiseConv2D": {"weight": Slot("kernel", "HWCM"), "bias": _BIAS},
        # Its letters are those of the convolution that it is the transpose of.
        "Conv2DTranspose": {"weight": _KERNEL, "bias": _BIAS},
        "SeparableConv2D": {
            "depthwise.weight": Slot("depthwise_kernel", "HWCM"),
            "pointwise.weight": Slot("pointwise_kernel", "HWIO"),
            "pointwise.bias": _BIAS,
        },
        "Dense": {"weight": Slot("kernel", "IO"), "bias": _BIAS},
        "EinsumDense": {"weight": _Learned("kernel", "HWC")},
        "BatchNormalization": {
            **_AFFINE,
            "running_mean": Slot("moving_mean", "C"),
            "running_var": Slot("moving_variance", "C"),
        },
        "LayerNormalization": _AFFINE,
        "GroupNormalization": _AFFINE,
        "PReLU": {"weight": _Slopes("alpha", "HWC")},
    }
)
"""By the layer's class and PyTorch's name of the array; in the order in which Keras saves them."""

LAYERS: Mapping[str, str] = MappingProxyType(
    {
        "conv2d": "Conv2D",
        "depthwise_conv2d": "DepthwiseConv2D",
        "separable_conv2d": "SeparableConv2D",
        "standardized_conv2d": "EinsumDense",
        "conv_transpose2d": "Conv2DTranspose",
        "dense": "Dense",
        "batch_norm": "BatchNormalization",
        "layer_norm": "LayerNormalization",
        "group_norm": "GroupNormalization",
        "prelu": "PReLU",
        "learned": "EinsumDense",
    }
)
"""The layer's class by op."""

SLOTS_OF: Mapping[str, Mapping[str, Slot]] = MappingProxyType(
    {op: SLOTS[kind] for op, kind in LAYERS.items()} | {"standardized_conv2d": {"weight": _KERNEL}}
)
"""By op."""


def tensor_name(layer: str, weight: str, slot: Slot) -> str:
    """`stem.conv`, `weight` -> `stem-conv/kernel`."""
    return f"{layer_name(layer)}/{slot.name}"
