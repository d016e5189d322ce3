"""Published implementations with random weights, and those weights under archc's names.

Frameworks are imported only by the functions that need them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from archc import Net, backends
from archc.compiler import analysis
from archc.compiler.ir import Network
from archc.numeric import deviation

Array = np.ndarray[Any, Any]
Layer = tuple[str, Mapping[str, Array]]
"""A layer that has weights: which op of archc it is, and its arrays in PyTorch's layout by
PyTorch's names."""


def random_array(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """A trainable float32 array of PyTorch's name and shape.

    The scales of batch norms are such that signals reach the limits of relu6 and hard_swish.
    """
    if name == "bias":
        values = random.normal(0.0, 0.5, shape)
    elif len(shape) == 1:
        values = random.uniform(1.0, 3.0, shape)
    else:
        values = random.normal(0.0, math.prod(shape[1:]) ** -0.5, shape)
    return values.astype(np.float32)


def random_statistics(
    mean: Array, variance: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Running averages near those of a batch. Were they far off, signals would die or blow up."""
    shift = random.normal(0.0, 0.1, mean.shape) * variance**0.5
    factor = random.uniform(0.8, 1.25, variance.shape)
    return (mean + shift).astype(np.float32), (variance * factor).astype(np.float32)


# ---- Keras ----

APPLICATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mobilenet_v1": ("MobileNet", {}),
    "mnv3_large": ("MobileNetV3Large", {"include_preprocessing": False}),
    "mnv3_small": ("MobileNetV3Small", {"include_preprocessing": False}),
    "mnv3_large_minimalistic": (
        "MobileNetV3Large",
        {"include_preprocessing": False, "minimalistic": True},
    ),
    "mnv3_small_minimalistic": (
        "MobileNetV3Small",
        {"include_preprocessing": False, "minimalistic": True},
    ),
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


def application(spec: str, batch: Array, **options: Any) -> Any:
    """keras.applications' model for a spec and inputs like `batch`, with random weights."""
    import keras

    name, usual = APPLICATIONS[spec]
    model = getattr(keras.applications, name)(
        input_shape=(*batch.shape[2:], 3),
        weights=None,
        classifier_activation=None,
        **{**usual, **options},
    )
    random = np.random.default_rng(0)
    for layer, op in _keras_layers(model):
        for variable in layer.trainable_variables:
            axes = _axes(op, variable)
            shape = tuple(variable.shape[axis] for axis in axes)
            array = random_array(KERAS_NAMES[variable.name], shape, random)
            variable.assign(array.transpose(np.argsort(axes)))
    settle_keras(model, batch, random)
    return model


def _keras_layers(model: Any) -> Iterator[tuple[Any, str]]:
    for layer in model.layers:
        if layer.weights:
            yield layer, KERAS_OPS[type(layer).__name__]


def _axes(op: str, variable: Any) -> tuple[int, ...]:
    return KERAS_AXES[op] if len(variable.shape) > 1 else (0,)


def settle_keras(model: Any, batch: Array, random: np.random.Generator) -> None:
    """Gives batch norms statistics near those of `batch`."""
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    for norm in norms:
        norm.momentum = 0.0
    model(batch.transpose(0, 2, 3, 1), training=True)
    for norm in norms:
        averages = norm.moving_mean, norm.moving_variance
        settled = random_statistics(*(average.numpy() for average in averages), random)
        for average, value in zip(averages, settled, strict=True):
            average.assign(value)


def keras_layers(model: Any) -> Iterator[Layer]:
    """The layers of a Keras model that have weights, in order of its graph."""
    for layer, op in _keras_layers(model):
        yield (
            op,
            {KERAS_NAMES[v.name]: v.numpy().transpose(_axes(op, v)) for v in layer.weights},
        )


def keras_logits(model: Any, batch: Array) -> Array:
    return np.asarray(model(batch.transpose(0, 2, 3, 1), training=False))


# ---- PyTorch ----


def import_torchvision() -> Any:
    """torchvision, next to a PyTorch of any build.

    torchvision's wheel on the package index holds operators for CUDA. Next to a PyTorch for the CPU
    they do not load, and the import fails where it registers fakes for two of them: so define them.
    """
    try:
        return import_module("torchvision")
    except RuntimeError:
        import torch

        _LIBRARIES.append(library := torch.library.Library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        return import_module("torchvision")


_LIBRARIES: list[Any] = []
"""Operators live as long as the object that defined them."""


def zoo(name: str, batch: Array, **options: Any) -> Any:
    """The model "timm:..." or "torchvision:..." in evaluation mode, with random weights."""
    import torch

    library, _, model_name = name.partition(":")
    vision = import_torchvision()
    if library == "timm":
        import timm

        model = timm.create_model(model_name, **options)
    else:
        model = getattr(vision.models, model_name)(**options)
    random = np.random.default_rng(0)
    for parameter_name, parameter in model.named_parameters():
        array = random_array(parameter_name.rpartition(".")[2], tuple(parameter.shape), random)
        parameter.data.copy_(torch.from_numpy(array))
    _settle_torch(model, batch, random)
    return model.eval()


def _settle_torch(model: Any, batch: Array, random: np.random.Generator) -> None:
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(batch))
    for norm in norms:
        averages = norm.running_mean, norm.running_var
        settled = random_statistics(*(average.numpy() for average in averages), random)
        for average, value in zip(averages, settled, strict=True):
            average.copy_(torch.from_numpy(value))


def torch_layers(model: Any) -> Iterator[Layer]:
    """The layers of a PyTorch model that have weights, in order of its modules."""
    for module in model.modules():
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        arrays = {n: tensor.detach().numpy() for n, tensor in own if n != "num_batches_tracked"}
        if arrays:
            yield _torch_op(module), arrays


def _torch_op(module: Any) -> str:
    from torch import nn

    if isinstance(module, nn.Conv2d) and module.groups == module.in_channels:
        return "depthwise_conv2d"
    ops = {nn.Conv2d: "conv2d", nn.Linear: "dense", nn.BatchNorm2d: "batch_norm"}
    return next(op for kind, op in ops.items() if isinstance(module, kind))


def torch_logits(model: Any, batch: Array) -> Array:
    import torch

    with torch.inference_mode():
        found: Array = model(torch.from_numpy(batch)).numpy()
    return found


# ---- archc ----


def transfer(network: Network, reference: Iterable[Layer]) -> dict[str, Array]:
    """The reference's arrays under archc's names: layers in order, and no array left over."""
    ours = [layer for layer in analysis.layers(network) if layer.weights]
    weights = {}
    for layer, (op, arrays) in zip(ours, reference, strict=True):
        assert op == layer.op or (op, layer.op) == ("conv2d", "dense"), (layer.path, op)
        assert arrays.keys() == {weight.name for weight in layer.weights}, (layer.path, *arrays)
        for weight in layer.weights:
            array = arrays[weight.name]
            if (op, layer.op, array.shape[2:]) == ("conv2d", "dense", (1, 1)):
                array = array[:, :, 0, 0]
            assert array.shape == weight.shape, (layer.path, weight, array.shape)
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
