"""Drives live PyTorch models. The only module of the backend that imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archc.backends import Live
from archc.compiler.ir.network import Network

NOT_WEIGHTS = ".num_batches_tracked"
"""A counter in the state of every batch norm, which is no parameter."""


def build(
    constructor: Callable[[], nn.Module], network: Network, height: int, width: int
) -> nn.Module:
    """A fresh model in evaluation mode. PyTorch's models take any size."""
    return constructor().eval()


def arrays(model: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """Every parameter and running average by canonical name, which is PyTorch's own."""
    state = model.state_dict()
    return {k: v.detach().numpy() for k, v in state.items() if not k.endswith(NOT_WEIGHTS)}


def load(model: nn.Module, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Copies the arrays into the model. Raises `RuntimeError` unless names and shapes match."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    counters = {k: v for k, v in model.state_dict().items() if k.endswith(NOT_WEIGHTS)}
    model.load_state_dict({**state, **counters}, strict=True)


def settle(model: nn.Module, batch: np.ndarray[Any, Any]) -> None:
    """Gives batch norms the averages of `batch`, and no others. The model stays in evaluation."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(batch))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    model.eval()


def outputs(
    model: nn.Module, batch: np.ndarray[Any, Any], paths: Container[str] | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """The output of every module by path, or of those in `paths`; the model's own is ""."""
    found: dict[str, np.ndarray[Any, Any]] = {}

    def remember(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[path] = output.detach().clone().numpy()

        return hook

    wanted = [(p, m) for p, m in model.named_modules() if not p or paths is None or p in paths]
    hooks = [module.register_forward_hook(remember(path)) for path, module in wanted]
    try:
        with torch.inference_mode():
            model(torch.from_numpy(batch))
    except Exception as error:
        error.add_note(_running(model, error))
        raise
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _running(model: nn.Module, error: Exception) -> str:
    """The path of the innermost module that an exception came out of; "" is the model itself."""
    paths = {id(module): path for path, module in model.named_modules()}
    running = (id(frame.f_locals.get("self")) for frame, _ in walk_tb(error.__traceback__))
    return "".join([paths[module] for module in running if module in paths][-1:])


LIVE = Live(build, arrays, load, outputs)
