"""The closed catalogue of primitive ops."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from archc.compiler.ir.network import Op
from archc.compiler.ir.ops.combining import COMBINING
from archc.compiler.ir.ops.convolutions import CONVOLUTIONS
from archc.compiler.ir.ops.elementwise import ELEMENTWISE
from archc.compiler.ir.ops.layers import LAYERS
from archc.compiler.ir.ops.layouts import LAYOUTS
from archc.compiler.ir.ops.pooling import POOLING
from archc.compiler.ir.ops.resizing import RESIZING
from archc.compiler.ir.ops.statistics import STATISTICS

OPS = (
    *CONVOLUTIONS,
    *LAYERS,
    *ELEMENTWISE,
    *POOLING,
    *RESIZING,
    *STATISTICS,
    *COMBINING,
    *LAYOUTS,
)

CATALOGUE: Mapping[str, Op] = MappingProxyType({op.name: op for op in OPS})
"""Every op by its name."""

OPERATORS: Mapping[str, Op] = MappingProxyType({op.operator: op for op in OPS if op.operator})
"""The ops that expressions of tensors spell, by operator."""
