"""Published implementations with random weights, and those weights under archc's names.

Frameworks are imported only by the functions that need them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from archc import Net, backends
from archc.backends.keras.weights import SLOTS
from archc.live.numeric import deviation
from archc.weights.fit import match
from archc.weights.importing import names, references
from archc.weights.rules import find

Array = np.ndarray[Any, Any]


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
    for layer in model.layers:
        for weight, slot in SLOTS.get(type(layer).__name__, {}).items():
            variable = getattr(layer, slot.name)
            if variable is not None and variable.trainable:
                shape = slot.restore(variable.numpy()).shape
                array = random_array(weight.rpartition(".")[2], shape, random)
                variable.assign(slot.store(array, tuple(variable.shape)))
    settle_keras(model, batch, random)
    return model


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
    settle_torch(model, batch, random)
    return model.eval()


def settle_torch(model: Any, batch: Array, random: np.random.Generator) -> None:
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(batch))
    model.eval()
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        averages = norm.running_mean, norm.running_var
        settled = random_statistics(*(average.numpy() for average in averages), random)
        for average, value in zip(averages, settled, strict=True):
            average.copy_(torch.from_numpy(value))


def torch_logits(model: Any, batch: Array) -> Array:
    import torch

    with torch.inference_mode():
        found: Array = model(torch.from_numpy(batch)).numpy()
    return found


# ---- archc ----


def imported(net: Net, source: str, model: Any) -> dict[str, Array]:
    """A reference's arrays under archc's names; no array of either side is left over."""
    rules = find(source)
    wanted, found = names(net, rules), references(net, rules).stored(model)
    match(source, net.name, wanted, found)
    return {
        tensor.path: tensor.slot.restore(found[name].read().reshape(tensor.shape))
        for name, tensor in wanted.items()
    }


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
