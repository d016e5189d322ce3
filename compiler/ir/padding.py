"""Padding arithmetic along one side. Sizes and pads are in cells."""

from __future__ import annotations

from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Invalid

LARGE = 2**16
"""A side whose length decides nothing but what a stride leaves of it."""


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


def crops(
    padding: Value, kernel: int, stride: int, output_padding: int, side: int
) -> tuple[int, int]:
    """Cells that a transposed convolution drops (before, after) of (n - 1) * stride + kernel; where
    less than none, so many follow that nothing reaches.

    Source: of `same` and `valid`, TensorFlow's shapes, of which `tf.nn.conv2d` makes n cells; of
    others, PyTorch's `ConvTranspose2d`.
    """
    if padding in ("same", "valid"):
        before = max(kernel - stride, 0) // 2 if padding == "same" else 0
        return before, kernel - stride - before if padding == "same" else min(kernel - stride, 0)
    before, after = pads(padding, 0, kernel, stride, 1, side)
    return before, after - output_padding


def beyond(after: int, kernel: int, stride: int) -> int:
    """Cells after `after` cells of padding, for one more window that the padded side does not fill.

    It must start on the input or on the padding before it. Source: PyTorch's `pooling_shape.h`,
    solved for the cells that make it floor((n - kernel) / stride) + 1 at every size.
    """
    return max(0, min(stride - 1, kernel - 1 - after))


def output_size(
    padding: Value,
    size: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    side: int = 0,
    ceil: bool = False,
) -> int:
    """Cells that a window leaves along one side; with `ceil`, also one that starts within the side
    and ends outside. Raises `Invalid` (E041) where the window does not fit."""
    reach = (kernel - 1) * dilation + 1
    before, after = pads(padding, size, kernel, stride, dilation, side)
    after += beyond(after, kernel, stride) if ceil and padding not in ("same", "zeros") else 0
    if before + size + after < reach:
        padded = f" padded to {before + size + after}" if before + after else ""
        name = ("height", "width")[side]
        dilated = f" dilated to {reach}" if reach > kernel else ""
        message = f"a kernel of {kernel}{dilated} is larger than the {name} {size}{padded}"
        raise Invalid("E041", message, "pad the input, or downsample it less before", "kernel")
    return (before + size + after - reach) // stride + 1
