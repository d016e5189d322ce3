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
from archc.backends.outline import Outline
from archc.compiler.ir.network import Network


def _part(name: str) -> Any:
    """A module of this folder that imports onnx."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise BackendError(f"the backend `onnx` needs onnx: {error}") from error


def _text(network: Network, spec: str, options: GraphOptions) -> str:
    written: str = _part("written").text(model(network, spec, options))
    return written


def _files(
    network: Network, spec: str, stem: str, arrays: Mapping[str, Any], options: GraphOptions
) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield from _part("written").files(model(network, spec, options), stem, arrays)


def _wrote(data: bytes) -> bool:
    """The producer's name stands after the version of the format, in a file as in a text."""
    head = re.compile(rb'\x08.\x12\x05archc|<[^>]*producer_name: "archc"', re.DOTALL)
    return head.match(data) is not None


def _read(path: Path) -> str:
    read: str = _part("written").read(path)
    return read


def _outline(network: Network, options: GraphOptions) -> Outline:
    outline: Outline = _part("outline").of_network(network, options)
    return outline


def _outline_of(path: Path) -> Outline:
    outline: Outline = _part("outline").of_file(path)
    return outline


def _emit(network: Network, spec: str) -> Emitted:
    return Emitted(_text(network, spec, GraphOptions()), network.name)


BACKEND = Backend(
    "onnx",
    OPS,
    _emit,
    lambda: import_module(f"{__name__}.live").LIVE,
    "onnx",
    lambda: import_module(f"{__name__}.weights").STORAGE,
    Graph(".onnx", ".onnxtxt", _text, _files, _wrote, _read, _outline, _outline_of),
)
