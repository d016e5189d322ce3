"""Strides that become dilations, where a network has an `output_stride`.

A tensor carries by how much the windows that it meets are dilated. An op that would stride beyond
the output stride moves by one cell instead, and what follows is dilated by its stride, for rows and
columns apart: so the cells that stay see what they saw before, and those between are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archc.compiler.ir.network import Arguments, Body, Op, OutputStride, Tensor
from archc.compiler.ir.ops.parts import pair
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show

Sides = tuple[int, int]
"""Of rows and of columns."""

HEAD = "give the row `dilate: false` if it is no part of what is dilated"


def dilated(
    limit: OutputStride | None, op: Op, given: Arguments, inputs: Sequence[Tensor]
) -> tuple[Arguments, Sides | None]:
    """The arguments with which an op is applied, and the dilation of what it gives.

    Raises `Invalid` (E052) where there is no such op.
    """
    before = _joined(inputs)
    if limit is None or before is None:
        return given, None
    if not op.window:
        _check_plain(op, given, before)
        return given, before
    moved = [_moved(limit, op, given, inputs[0], before, i) for i in (0, 1)]
    stride, own, after = (tuple(column) for column in zip(*moved, strict=True))
    spread = tuple(f if k > 1 else 1 for f, k in zip(own, pair(given["kernel"]), strict=True))
    applied = {**given, "stride": stride}
    if spread != (1, 1):
        _check_spread(op, given)
        sides = zip(pair(given["dilation"]), spread, strict=True)
        applied["dilation"] = op.parameter["dilation"].take(tuple(d * f for d, f in sides))
    return applied, (after[0], after[1])


def _joined(inputs: Sequence[Tensor]) -> Sides | None:
    """The dilation of what several tensors are made into; none where one of them has none."""
    known = [x.dilation for x in inputs if x.dilation is not None]
    if len(known) < len(inputs):
        return None
    return max(rows for rows, _ in known), max(columns for _, columns in known)


def _moved(
    limit: OutputStride, op: Op, given: Arguments, x: Tensor, before: Sides, side: int
) -> tuple[int, int, int]:
    """Along one side: the stride that an op keeps, the dilation of its window, and that of what
    follows."""
    stride, total, dilation = pair(given["stride"])[side], x.strides[side], before[side]
    if stride == 1 or total * stride <= limit.stride:
        return stride, dilation, dilation
    if total < limit.stride:
        reached = f"`{op.name}` goes from a total stride of {total} to {total * stride}"
        hint = f"let the output stride be {total} or {total * stride}"
        raise Invalid("E052", f"{reached}, past the output stride {limit.stride}", hint)
    after = dilation * stride
    return 1, after if limit.itself else dilation, after


def _check_spread(op: Op, given: Arguments) -> None:
    """Raises `Invalid` (E052) for a window that cannot be dilated."""
    if "dilation" not in op.parameter:
        message = f"`{op.name}` has no dilation, which the output stride asks for here"
        raise Invalid("E052", message, f"use a convolution, or {HEAD}")
    padding = given["padding"]
    if _pads(padding):
        message = f"the padding {show(padding)} does not grow with the dilation that the output"
        hint = f"use `same` or `symmetric`, or {HEAD}"
        raise Invalid("E052", f"{message} stride asks for here", hint, "padding")


def _check_plain(op: Op, given: Arguments, before: Sides) -> None:
    """Raises `Invalid` (E052) for what is no window of the kind that can be dilated, but would have
    to be."""
    sides = (given[p.name] for p in op.parameters if p.type.kind == "sides")
    if before != (1, 1) and ("kernel" in op.parameter or any(map(_pads, sides))):
        message = f"`{op.name}` does not grow with the dilation that the output stride asks for"
        hint = HEAD if "kernel" in op.parameter else f"let the convolution pad, or {HEAD}"
        raise Invalid("E052", f"{message} here", hint)


def _pads(padding: Value) -> bool:
    return isinstance(padding, tuple) and any(padding)


def check_larger(op: Op, x: Tensor, y: Tensor) -> None:
    """Raises `Invalid` (E052) for an op that makes a dilated map larger, as heads do."""
    grows = any(after < before for before, after in zip(x.strides, y.strides, strict=True))
    if grows and y.dilation not in (None, (1, 1)):
        message = f"`{op.name}` makes a map larger that the output stride has dilated"
        raise Invalid("E052", message, HEAD)


def unreached(limit: OutputStride, bodies: Iterable[Body]) -> Invalid | None:
    """What is wrong with an output stride to which no window of a network comes (E052)."""
    windows = (body.output for body in bodies if isinstance(body.target, Op) and body.target.window)
    strides = {side for x in windows if x.dilation is not None for side in x.strides}
    if limit.stride in strides:
        return None
    message = f"the output stride is {limit.stride}, and the network comes to a total stride of"
    return Invalid("E052", f"{message} {max(strides, default=1)}", "leave it out, or lower it")
