"""Looks into PyTorch's models that anyone wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from archc.backends import Foreign, Held, See
from archc.backends.storage import Array
from archc.backends.torch.weights import COUNTERS

COMPILED = "_orig_mod"
"""What `torch.compile` calls the module that it wraps, in the names of its arrays."""
FACTS = {"eps": "epsilon", "padding": "padding", "ceil_mode": "ceil_mode"}
FACTS |= {"count_include_pad": "count_padding", "approximate": "approximate"}


def _owns(thing: object) -> bool:
    return isinstance(thing, nn.Module) or (
        isinstance(thing, type) and issubclass(thing, nn.Module)
    )


def _taken(model: nn.Module) -> tuple[nn.Module, list[str]]:
    inner, done = _unwrapped(model), list[str]()
    arrays = [*chain(inner.parameters(), inner.buffers())]
    devices = {array.device.type for array in arrays} - {"cpu"}
    kinds = {array.dtype for array in arrays if array.is_floating_point()} - {torch.float32}
    if devices:
        done.append(f"moved to the CPU from {', '.join(sorted(devices))}")
    if kinds:
        names = sorted(str(kind).removeprefix("torch.") for kind in kinds)
        done.append(f"its numbers are {', '.join(names)}; it runs in float32")
    return inner.to(torch.device("cpu")).float().eval(), done


def _unwrapped(model: nn.Module) -> nn.Module:
    """Without `torch.compile`, `DataParallel` and the like around it."""
    wrapped = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
    inner = model.module if wrapped else getattr(model, COMPILED, None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) else model


def _plain(name: str) -> str:
    """A name without what compiling a part of the model puts into it."""
    return ".".join(part for part in name.split(".") if part != COMPILED)


def _state(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict(keep_vars=True)
    return {_plain(k): v for k, v in state.items() if not k.endswith(COUNTERS)}


def _held(model: nn.Module) -> list[Held]:
    trained = {id(parameter) for parameter in model.parameters()}
    return [
        Held(
            name,
            name.rpartition(".")[0],
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            id(tensor) in trained,
        )
        for name, tensor in _state(model).items()
    ]


def _fill(model: nn.Module, arrays: Mapping[str, Array]) -> None:
    state = _state(model)
    with torch.no_grad():
        for name, array in arrays.items():
            tensor = torch.tensor(array)
            state[name].copy_(tensor.reshape(state[name].shape))


def _run(model: nn.Module, inputs: Mapping[str, Array], see: See) -> list[tuple[str, Array]]:
    def hook(name: str) -> Callable[..., None]:
        def tell(module: nn.Module, given: Any, output: Any) -> None:
            tensors = [*_tensors(output)]
            if len(tensors) == 1:
                see(name, module, tensors[0][1].numpy())

        return tell

    parts = [(_plain(name), module) for name, module in model.named_modules() if name]
    hooks = [module.register_forward_hook(hook(name)) for name, module in parts]
    try:
        with torch.no_grad():
            given = model(*(torch.tensor(array) for array in inputs.values()))
            return [(name, tensor.numpy().copy()) for name, tensor in _tensors(given)]
    finally:
        for each in hooks:
            each.remove()


def _tensors(given: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of numbers that a module gives, with the keys that lead to it."""
    if isinstance(given, Tensor):
        if given.is_floating_point():
            yield name, given.detach().float()
        return
    for key, value in _parts(given):
        yield from _tensors(value, f"{name}.{key}" if name else key)


def _parts(given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        yield from ((str(key), value) for key, value in given.items())
    elif isinstance(given, tuple | list):
        names = getattr(given, "_fields", None) or map(str, range(len(given)))
        yield from zip(names, given, strict=True)
    elif hasattr(given, "__dataclass_fields__"):
        yield from ((name, getattr(given, name)) for name in given.__dataclass_fields__)


def _facts(module: nn.Module) -> dict[str, Any]:
    found = {new: getattr(module, old) for old, new in FACTS.items() if hasattr(module, old)}
    momentum = getattr(module, "momentum", None)
    if isinstance(momentum, float):
        found["decay"] = 1.0 - momentum
    plain = (str, int, float, tuple)
    return {name: value for name, value in found.items() if isinstance(value, plain)}


FOREIGN = Foreign(
    "`nn.Module`", lambda: None, _owns, _taken, _held, _fill, lambda model: None, _run, _facts
)
