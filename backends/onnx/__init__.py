"""The ONNX backend: a graph of functions, one for each block, with the weights in its file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from archc.backends import Backend, BackendError, Emitted, Graph, GraphOptions
from archc.backends.onnx.model import model
from archc.backends.onnx.ops import OPS
from archc.compiler.ir.network import Network


def _written() -> Any:
    try:
        return import_module(f"{__name__}.written")
    except ModuleNotFoundError as error:
        raise BackendError(f"the backend `onnx` needs onnx: {error}") from error


def _text(network: Network, spec: str, options: GraphOptions) -> str:
    written: str = _written().text(model(network, spec, options))
    return written


def _files(
    network: Network, spec: str, stem: str, arrays: Mapping[str, Any], options: GraphOptions
) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield from _written().files(model(network, spec, options), stem, arrays)


def _wrote(data: bytes) -> bool:
    """The producer's name stands after the version of the format, in a file as in a text."""
    head = re.compile(rb'\x08.\x12\x05archc|<[^>]*producer_name: "archc"', re.DOTALL)
    return head.match(data) is not None


def _read(path: Path) -> str:
    read: str = _written().read(path)
    return read


def _emit(network: Network, spec: str) -> Emitted:
    return Emitted(_text(network, spec, GraphOptions()), network.name)


BACKEND = Backend(
    "onnx",
    OPS,
    _emit,
    lambda: import_module(f"{__name__}.live").LIVE,
    "onnx",
    lambda: import_module(f"{__name__}.weights").STORAGE,
    Graph(".onnx", ".onnxtxt", _text, _files, _wrote, _read),
)
