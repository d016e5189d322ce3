"""Weights in an ONNX file have archc's names and PyTorch's layouts, whatever op they are of."""

from __future__ import annotations

from archc.backends.storage import Slot, Storage
from archc.compiler.ir.catalogue import CATALOGUE


def tensor_name(layer: str, weight: str, slot: Slot) -> str:
    """`stem.conv`, `weight` -> `stem.conv.weight`."""
    return f"{layer}.{weight}"


STORAGE = Storage(
    {
        op.name: {rule.name: Slot(rule.name, rule.axes[0]) for rule in op.weights}
        for op in CATALOGUE.values()
        if op.weights
    },
    tensor_name,
    {},
)
