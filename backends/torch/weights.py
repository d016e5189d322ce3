"""PyTorch's names and layouts are the canonical ones; its files are read and written here."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archc.backends.storage import (
    DTYPE,
    Contents,
    Format,
    Notes,
    Opened,
    Slot,
    Storage,
    Stored,
    WeightsError,
    broken,
    checked_notes,
    shown,
)
from archc.compiler.language.problems import quote

KIND = "PyTorch file"
NOTES = "archc"
"""Where archc keeps its notes: in what `state_dict` says of the whole module beside its tensors.

`load_state_dict` keeps versions there, and asks for nothing else.
"""
COUNTER = "num_batches_tracked"
"""A batch norm's counter of training steps: no weight, but a strict `load_state_dict` wants it."""
COUNTERS = (COUNTER, "n_averaged")
"""The latter is that of `torch.optim.swa_utils.AveragedModel`."""


_BIAS = Slot("bias", "O")
_AFFINE = {name: Slot(name, "C") for name in ("weight", "bias")}
_CONVOLUTION = {"weight": Slot("weight", "OIHW"), "bias": _BIAS}
SLOTS: Mapping[str, Mapping[str, Slot]] = {
    "conv2d": _CONVOLUTION,
    "depthwise_conv2d": _CONVOLUTION,
    "separable_conv2d": {
        "depthwise.weight": Slot("depthwise.weight", "OIHW"),
        "pointwise.weight": Slot("pointwise.weight", "OIHW"),
        "pointwise.bias": Slot("pointwise.bias", "O"),
    },
    "standardized_conv2d": {"weight": Slot("weight", "OIHW")},
    "conv_transpose2d": _CONVOLUTION,  # by the letters of the one that it is the transpose of
    "dense": {"weight": Slot("weight", "OI"), "bias": _BIAS},
    "batch_norm": {
        name: Slot(name, "C") for name in ("weight", "bias", "running_mean", "running_var")
    },
    "layer_norm": _AFFINE,
    "group_norm": _AFFINE,
    "prelu": {"weight": Slot("weight", "C")},
    "learned": {"weight": Slot("weight", "CHW")},
}


def tensor_name(layer: str, weight: str, slot: Slot) -> str:
    """`stem.conv`, `weight` -> `stem.conv.weight`."""
    return f"{layer}.{weight}"


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise WeightsError(f".pt and .pth files need torch: {error}") from error
    return torch


@contextmanager
def _read(path: Path, need: int) -> Iterator[Opened]:
    state = _load(path)
    parts = {} if _is_state(state) else dict(_parts(state))
    if not parts:
        yield Opened(_stored(path, _mapping(path, state)), _notes(path, state))
        return
    said = next(iter(parts.values())) if len(parts) == 1 else {}
    every = {key: _stored(path, part) for key, part in parts.items()}
    yield Opened({}, _notes(path, said), every)


def _stored(path: Path, state: Mapping[str, Any]) -> dict[str, Stored]:
    for name, tensor in state.items():
        _require_plain(path, name, tensor)
    return stored(state)


def _is_state(state: object) -> bool:
    """Whether it is names with tensors, and nothing else."""
    torch = _torch()
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and torch.is_tensor(tensor) for name, tensor in state.items()
    )


def _parts(state: Any, depth: int = 3) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What a training script wrapped: each set of weights by its key, or by keys with dots
    between. An optimizer's numbers stand under numbers."""
    named = isinstance(state, Mapping) and all(isinstance(key, str) for key in state)
    for key, value in state.items() if named and depth else ():
        if isinstance(value, Mapping) and value and _is_state(value):
            yield key, value
        else:
            yield from ((f"{key}.{below}", part) for below, part in _parts(value, depth - 1))


def _notes(path: Path, state: Any) -> Notes:
    said = getattr(state, "_metadata", None)
    module = said.get("") if isinstance(said, dict) else None
    notes = module.get(NOTES) if isinstance(module, dict) else None
    return {} if notes is None else checked_notes(path, notes)


def _load(path: Path) -> Any:
    torch = _torch()
    try:
        with warnings.catch_warnings(action="ignore"):  # what is wrong is said below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        raise WeightsError(_refused(path, str(error))) from error


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _refused(path: Path, said: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", said)
    if found is None:
        return str(broken(path, KIND))
    return (
        f"{shown(path)}: refused, as it would run code on loading: `{found[1]}`; nothing was run\n"
        "  = help: save the weights alone: torch.save(model.state_dict(), path)"
    )


def _mapping(path: Path, state: Any) -> Mapping[str, Any]:
    torch = _torch()
    what = f"a {type(state).__name__}"
    if isinstance(state, Mapping):
        others = [_key(key) for key, value in state.items() if not torch.is_tensor(value)]
        nameless = [_key(key) for key in state if not isinstance(key, str)]
        if not others and not nameless:
            return state
        what = f"more than tensors under {', '.join(others[:5])}"
        what = what if others else f"{nameless[0]} for a name"
    raise WeightsError(
        f"{shown(path)}: a state_dict belongs here, names with tensors; this holds {what}\n"
        "  = help: save the weights alone: torch.save(model.state_dict(), path)"
    )


def _key(key: object) -> str:
    plain = isinstance(key, str | int | float | None)
    return quote(str(key)) if plain else f"a {type(key).__name__}"


def _require_plain(path: Path, name: str, tensor: Any) -> None:
    """Raises `WeightsError` unless a tensor's numbers lie in the file as they are."""
    torch = _torch()
    kinds = {
        "sparse or nested": tensor.layout is not torch.strided or tensor.is_nested,
        "without numbers (on the device `meta`)": tensor.is_meta,
        "quantized": tensor.is_quantized,
        "a negated view": tensor.is_neg(),
    }
    for kind in (kind for kind, so in kinds.items() if so):
        raise WeightsError(
            f"{shown(path)}: {quote(name)} is {kind}; a plain tensor belongs here\n"
            "  = help: make it dense, in memory and float32 before it is saved"
        )


def stored(state: Mapping[str, Any]) -> dict[str, Stored]:
    """A state_dict's tensors by name, without counters of training steps."""
    return {
        name: Stored(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), _reader(tensor))
        for name, tensor in state.items()
        if not name.endswith(COUNTERS)
    }


def _reader(tensor: Any) -> Any:
    half = str(tensor.dtype) == "torch.bfloat16"  # which NumPy does not have
    return lambda: (tensor.float() if half else tensor).detach().numpy()


def _write(path: Path, net: Any, contents: Contents, notes: Notes) -> None:
    import numpy as np

    torch = _torch()
    state: dict[str, Any] = {}
    for tensor, array in contents:
        # A copy, as a view of a mapped file would be saved with all of the file.
        state[tensor.name] = torch.from_numpy(np.array(array, dtype=DTYPE, order="C"))
        if tensor.weight == "running_var":
            state[f"{tensor.layer}.{COUNTER}"] = torch.zeros((), dtype=torch.long)
    try:
        torch.save(_with_notes(state, notes), path)
    except RuntimeError as error:  # PyTorch's own words for a full disk
        raise OSError(str(error).splitlines()[0]) from error


def _with_notes(state: dict[str, Any], notes: Notes) -> dict[str, Any]:
    if not notes:
        return state
    noted: Any = OrderedDict(state)  # what `state_dict` returns, and a plain dict has no attributes
    noted._metadata = OrderedDict({"": {"version": 1, NOTES: dict(notes)}})
    return noted  # type: ignore[no-any-return]


_FORMAT = Format(KIND, _torch, _read, _write)
STORAGE = Storage(
    SLOTS,
    tensor_name,
    {".pt": _FORMAT, ".pth": _FORMAT},
    canonical=True,
    counters=COUNTERS,
)
