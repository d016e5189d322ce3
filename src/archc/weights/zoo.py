"""The published implementations themselves, as live models."""

from __future__ import annotations

from typing import Any

from archc.api import Net
from archc.backends import Live, References, WeightsError
from archc.weights.rules import ZooModel


def build(
    net: Net, model: ZooModel, height: int, width: int, pretrained: bool = False
) -> tuple[Any, Live]:
    """The reference for a network, in evaluation mode, and how to drive it.

    Gives logits, of inputs with `height` and `width` in pixels. Raises `WeightsError` where the
    library is not installed, or `pretrained` weights cannot be had.
    """
    library = model.name.replace(":", ".").partition(".")[0]
    maker = references(net, model).makers[library]
    options = model.options(net.network.settings)
    try:
        return maker(model.name, options, (height, width), pretrained), net.live(model.framework)
    except ModuleNotFoundError as error:
        raise WeightsError(f"{model.name} needs {library}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{model.name}: no pretrained weights can be had: {said}\n"
            "  = help: this needs a network; name a FILE instead"
        ) from error


def references(net: Net, model: ZooModel) -> References:
    """How to drive the reference. Raises `WeightsError` where its backend drives none."""
    found = net.live(model.framework).references
    if found is None:
        raise WeightsError(f"{model.name}: `{model.framework}` drives no published models")
    return found
