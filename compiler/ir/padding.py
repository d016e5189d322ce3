"""Padding arithmetic along one side. Sizes and pads are in cells."""

from __future__ import annotations

from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Invalid


def same(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """(before, after) such that the output has ceil(size / stride) cells; the odd one goes after.

    Source: TensorFlow's definition of `SAME` (tf.nn, "Notes on padding").
    """
    output = -(-size // stride)
    total = max((output - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def pads(
    padding: Value, size: int, kernel: int, stride: int, dilation: int, side: int
) -> tuple[int, int]:
    """(before, after) of a `padding` value; `side` is 0 for rows and 1 for columns."""
    match padding:
        case "same" | "zeros":
            return same(size, kernel, stride, dilation)
        case "symmetric":
            return dilation * (kernel // 2), dilation * (kernel // 2)
        case (_, _, _, _):
            return padding[2 * side], padding[2 * side + 1]
        case _:
            return 0, 0


def output_size(
    padding: Value, size: int, kernel: int, stride: int = 1, dilation: int = 1, side: int = 0
) -> int:
    """Cells that a window leaves along one side. Raises `Invalid` (E041) where it does not fit."""
    reach = (kernel - 1) * dilation + 1
    before, after = pads(padding, size, kernel, stride, dilation, side)
    if before + size + after < reach:
        padded = f" padded to {before + size + after}" if before + after else ""
        name = ("height", "width")[side]
        dilated = f" dilated to {reach}" if reach > kernel else ""
        message = f"a kernel of {kernel}{dilated} is larger than the {name} {size}{padded}"
        raise Invalid("E041", message, "pad the input, or downsample it less before", "kernel")
    return (before + size + after - reach) // stride + 1
