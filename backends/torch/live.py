"""Drives live PyTorch models. With `foreign`, all of the backend that imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from importlib import import_module
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archc.backends import Live, References, fed, shown
from archc.backends.storage import Array
from archc.backends.torch.foreign import FOREIGN
from archc.backends.torch.weights import COUNTER, stored
from archc.compiler.ir.network import Network


def build(
    constructor: Callable[[], nn.Module], network: Network, height: int, width: int
) -> nn.Module:
    """A fresh model in evaluation mode. PyTorch's models take any size."""
    return constructor().eval()


def arrays(model: nn.Module) -> dict[str, Array]:
    """Every parameter and running average by canonical name, which is PyTorch's own."""
    state = model.state_dict()
    return {k: v.detach().numpy() for k, v in state.items() if not k.endswith(COUNTER)}


def load(model: nn.Module, weights: Mapping[str, Array]) -> None:
    """Copies the arrays into the model. Raises `RuntimeError` unless names and shapes match."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    counters = {k: v for k, v in model.state_dict().items() if k.endswith(COUNTER)}
    model.load_state_dict({**state, **counters}, strict=True)


def outputs(
    model: nn.Module,
    batch: Array | Mapping[str, Array],
    paths: Container[str] | None = None,
    auxiliary: bool = False,
) -> dict[str, Array]:
    """The output of every module by path, or of those in `paths`; and the model's own."""
    found: dict[str, Array] = {}

    def remember(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if isinstance(output, Tensor):  # a part of a published model may give several
                found[path] = _numpy(output)

        return hook

    wanted = [(p, m) for p, m in model.named_modules() if p and (paths is None or p in paths)]
    hooks = [module.register_forward_hook(remember(path)) for path, module in wanted]
    inputs, given = [*map(torch.from_numpy, fed(batch))], dict[str, Tensor]()
    try:
        with torch.inference_mode():
            for training in (True, False) if auxiliary else (False,):
                model.training = training  # its layers stay in evaluation
                given |= shown(model(*inputs))
    except Exception as error:
        error.add_note(_running(model, error))
        raise
    finally:
        model.training = False
        for hook in hooks:
            hook.remove()
    return {**found, **{path: _numpy(value) for path, value in given.items()}}


def _numpy(tensor: Tensor) -> Array:
    return tensor.detach().clone().numpy()


def _running(model: nn.Module, error: Exception) -> str:
    """The path of the innermost module that an exception came out of; "" is the model itself."""
    paths = {id(module): path for path, module in model.named_modules()}
    running = (id(frame.f_locals.get("self")) for frame, _ in walk_tb(error.__traceback__))
    return "".join([paths[module] for module in running if module in paths][-1:])


# ---- Published models


def _timm(source: str, options: Mapping[str, Any], size: tuple[int, int], get: bool) -> nn.Module:
    create = import_module("timm").create_model
    model: nn.Module = create(source.partition(":")[2], pretrained=get, **options)
    return model.eval()


def _torchvision(
    source: str, options: Mapping[str, Any], size: tuple[int, int], get: bool
) -> nn.Module:
    folder, _, name = f"models.{source.partition(':')[2]}".rpartition(".")
    function = getattr(import_module(f"torchvision.{folder}"), name)
    model: nn.Module = function(weights="DEFAULT" if get else None, **options)
    return model.eval()


def fill(model: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Copies the arrays into the model, by its own names."""
    state = model.state_dict()
    with torch.no_grad():
        for name, array in arrays.items():
            state[name].copy_(torch.from_numpy(array).reshape(state[name].shape))


REFERENCES = References(
    {"timm": _timm, "torchvision": _torchvision},
    lambda model: stored(model.state_dict()),
    fill,
    lambda model: {name for name, _ in model.named_modules()},
)
_TRAINS = "archc.backends.torch.trains"
LIVE = Live(build, arrays, load, outputs, REFERENCES, FOREIGN, partial(import_module, _TRAINS))
