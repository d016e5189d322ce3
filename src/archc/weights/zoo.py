"""The published implementations themselves, as live models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from archc.api import Net
from archc.backends import Live
from archc.backends.storage import Arrays, Stored, WeightsError
from archc.weights.rules import ZooModel


def build(
    net: Net, model: ZooModel, height: int, width: int, pretrained: bool = False
) -> tuple[Any, Live]:
    """The reference for a network, in evaluation mode, and how to drive it.

    Gives logits, of inputs with `height` and `width`. Raises `WeightsError` where the library is
    not installed, or `pretrained` weights cannot be had.
    """
    live = net.live(model.framework)
    options = model.options(net.network.settings)
    maker = {"keras": _keras, "timm": _timm, "torchvision": _torchvision}[library(model)]
    try:
        return maker(model, options, (height, width), pretrained), live
    except ModuleNotFoundError as error:
        raise WeightsError(f"{model.name} needs {library(model)}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{model.name}: no pretrained weights can be had: {said}\n"
            "  = help: this needs a network; name a FILE instead"
        ) from error


def library(model: ZooModel) -> str:
    return model.name.replace(":", ".").partition(".")[0]


def _keras(model: ZooModel, options: Mapping[str, Any], size: tuple[int, int], get: bool) -> Any:
    import keras

    function = model.name.partition(":")[0].rpartition(".")[2]
    return getattr(keras.applications, function)(
        input_shape=(*size, 3),
        weights="imagenet" if get else None,
        classifier_activation=None,
        **options,
    )


def _timm(model: ZooModel, options: Mapping[str, Any], size: tuple[int, int], get: bool) -> Any:
    timm = import_module("timm")
    name = model.name.partition(":")[2]
    return timm.create_model(name, pretrained=get, **options).eval()


def _torchvision(
    model: ZooModel, options: Mapping[str, Any], size: tuple[int, int], get: bool
) -> Any:
    models = import_module("torchvision.models")
    function = getattr(models, model.name.partition(":")[2])
    return function(weights="DEFAULT" if get else None, **options).eval()


def pretrained(net: Net, model: ZooModel) -> Arrays:
    """The reference's own pretrained arrays, by its names. Raises `WeightsError`."""
    size = net.network.input
    live, _ = build(net, model, size.height or 1, size.width or 1, pretrained=True)
    return stored(model, live)


def stored(model: ZooModel, live: Any) -> Arrays:
    """A live reference's arrays, by its names and in its layouts."""
    if model.framework == "torch":
        from archc.backends.torch.weights import stored as of_state

        return of_state(live.state_dict())
    return {
        f"{layer.name}/{variable.name}": Stored(
            tuple(variable.shape), str(variable.dtype), variable.numpy
        )
        for layer in live.layers
        for variable in layer.weights
    }


def fill(model: ZooModel, live: Any, arrays: Mapping[str, Any]) -> None:
    """Gives a live reference all its weights, by its names and in its layouts."""
    if model.framework == "torch":
        import torch

        state = live.state_dict()
        with torch.no_grad():
            for name, array in arrays.items():
                state[name].copy_(torch.from_numpy(array).reshape(state[name].shape))
        return
    variables = {f"{layer.name}/{v.name}": v for layer in live.layers for v in layer.weights}
    for name, array in arrays.items():
        variables[name].assign(array.reshape(variables[name].shape))


def places(model: ZooModel, live: Any) -> set[str]:
    """Names of layers whose outputs can be had."""
    if model.framework == "torch":
        return {name for name, _ in live.named_modules()}
    return {layer.name for layer in live.layers}
