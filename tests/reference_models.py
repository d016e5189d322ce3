"""Published implementations with random weights, and those weights under archc's names.

Frameworks are imported only by the functions that need them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from archc import Net, backends
from archc.compiler import analysis
from archc.compiler.ir import Network
from archc.numeric import deviation

Array = np.ndarray[Any, Any]
Layer = tuple[str, Mapping[str, Array]]
"""A layer that has weights: which op of archc it is, and its arrays in PyTorch's layout by
PyTorch's names."""

APPLICATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mobilenet_v1": ("MobileNet", {}),
    "mnv3_large": ("MobileNetV3Large", {"include_preprocessing": False}),
    "mnv3_small": ("MobileNetV3Small", {"include_preprocessing": False}),
}
"""keras.applications' function for each spec, and what it is told unless a test says otherwise."""

KERAS_OPS = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dense": "dense",
    "BatchNormalization": "batch_norm",
}
KERAS_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
KERAS_AXES = {"conv2d": (3, 2, 0, 1), "depthwise_conv2d": (2, 3, 0, 1), "dense": (1, 0)}
"""The axes of Keras's kernels in PyTorch's order; depthwise ones have a multiplier of 1 here."""

GAIN = 1.7
"""Makes up for what activations take away, so that signals reach the logits and the limits of
relu6, hard_swish and hard_sigmoid."""


def random_array(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """A float32 array for PyTorch's name and shape."""
    if name == "running_var":
        values = random.uniform(0.5, 1.5, shape)
    elif name == "weight" and len(shape) == 1:
        values = random.uniform(0.7, 1.2, shape)
    elif name == "weight":
        values = random.normal(0.0, GAIN * math.prod(shape[1:]) ** -0.5, shape)
    else:
        values = random.normal(0.0, 0.1, shape)
    return values.astype(np.float32)


def application(spec: str, height: int, width: int, **options: Any) -> Any:
    """keras.applications' model for a spec, with random weights; it gives logits."""
    import keras

    name, usual = APPLICATIONS[spec]
    model = getattr(keras.applications, name)(
        input_shape=(height, width, 3),
        weights=None,
        classifier_activation=None,
        **{**usual, **options},
    )
    random = np.random.default_rng(0)
    for _, variables in _keras_layers(model):
        for name, (variable, axes) in variables.items():
            shape = tuple(variable.shape[axis] for axis in axes)
            variable.assign(random_array(name, shape, random).transpose(np.argsort(axes)))
    return model


def _keras_layers(model: Any) -> Iterator[tuple[str, dict[str, tuple[Any, tuple[int, ...]]]]]:
    """The layers that have weights, each variable with its axes in PyTorch's order."""
    for layer in model.layers:
        if layer.weights:
            op = KERAS_OPS[type(layer).__name__]
            yield op, {
                KERAS_NAMES[variable.name]: (
                    variable,
                    KERAS_AXES[op] if len(variable.shape) > 1 else (0,),
                )
                for variable in layer.weights
            }


def keras_layers(model: Any) -> Iterator[Layer]:
    """The layers of a Keras model that have weights, in order of its graph."""
    for op, variables in _keras_layers(model):
        yield op, {n: v.numpy().transpose(axes) for n, (v, axes) in variables.items()}


def keras_logits(model: Any, batch: Array) -> Array:
    return np.asarray(model(batch.transpose(0, 2, 3, 1), training=False))


def zoo(name: str, **options: Any) -> Any:
    """The model "timm:..." or "torchvision:..." in evaluation mode, with random weights."""
    import torch

    library, _, model_name = name.partition(":")
    vision = import_torchvision()
    if library == "timm":
        model = pytest.importorskip("timm").create_model(model_name, **options)
    else:
        model = getattr(vision.models, model_name)(**options)
    random = np.random.default_rng(0)
    for _, tensors in _torch_layers(model):
        for name, tensor in tensors.items():
            array = random_array(name, tuple(tensor.shape), random)
            tensor.data.copy_(torch.from_numpy(array))
    return model.eval()


def import_torchvision() -> Any:
    """torchvision, next to a PyTorch of any build; skips the test where it is not installed.

    The wheel of the package index holds operators for CUDA. Next to a PyTorch for the CPU they do not
    load, and torchvision then fails as it registers fakes for two of them, unless they are defined.
    """
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        with suppress(RuntimeError):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    LIBRARIES.append(library)
    return pytest.importorskip("torchvision")


LIBRARIES: list[Any] = []
"""Kept, as operators go with the object that defined them."""


def _torch_layers(model: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for module in model.modules():
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        tensors = {name: tensor for name, tensor in own if name != "num_batches_tracked"}
        if tensors:
            yield _torch_op(module), tensors


def _torch_op(module: Any) -> str:
    from torch import nn

    if isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels > 1
        return "depthwise_conv2d" if depthwise else "conv2d"
    return {nn.Linear: "dense"}.get(type(module), "batch_norm")


def torch_layers(model: Any) -> Iterator[Layer]:
    """The layers of a PyTorch model that have weights, in order of its modules."""
    for op, tensors in _torch_layers(model):
        yield op, {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def torch_logits(model: Any, batch: Array) -> Array:
    import torch

    with torch.inference_mode():
        found: Array = model(torch.from_numpy(batch)).numpy()
    return found


def transfer(network: Network, reference: Iterable[Layer]) -> dict[str, Array]:
    """The reference's arrays under archc's names: layers in order, and no array left over."""
    ours = [layer for layer in analysis.layers(network) if layer.weights]
    weights = {}
    for layer, (op, arrays) in zip(ours, reference, strict=True):
        assert op == layer.op or (op, layer.op) == ("conv2d", "dense"), (layer.path, op)
        for weight, name in zip(layer.weights, arrays, strict=True):
            array = arrays[weight.name]
            if op != layer.op and array.ndim == 4:
                assert array.shape[2:] == (1, 1), layer.path
                array = array[:, :, 0, 0]
            assert array.shape == weight.shape, (layer.path, name, array.shape, weight.shape)
            weights[f"{layer.path}.{weight.name}"] = array
    return weights


def deviations(
    net: Net, weights: Mapping[str, Array], batch: Array, logits: Array
) -> dict[str, float]:
    """How far each backend's model is from a reference's logits, as a share of their scale."""
    found = {}
    for backend in backends.names():
        live = net.live(backend)
        model = net.build(backend, *batch.shape[2:])
        live.load(model, weights)
        found[backend] = deviation(live.outputs(model, batch)[""], logits)
    return found
