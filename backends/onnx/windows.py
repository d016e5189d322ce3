"""Windows and where they lie: paddings of every kind, exact at every size, and other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archc.backends.onnx.drafts import Double, Draft
from archc.compiler.ir import padding
from archc.compiler.ir.network import Tensor

LAST = 2**63 - 1
"""An end of a slice that takes all there is."""
LOWEST = -3.4028234663852886e38
"""What no value of float32 is below."""
DOUBLE, FLOAT, INT64 = 11, 1, 7
"""Types of numbers, as ONNX numbers them."""


def sides(x: Tensor) -> tuple[int, int]:
    """Height and width of a feature map."""
    assert x.height is not None
    assert x.width is not None
    return x.height, x.width


def ordered(pads: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """(before, after) of rows and of columns in ONNX's order: top, left, bottom, right."""
    (top, bottom), (left, right) = pads
    return top, left, bottom, right


def frame(g: Draft, x: str) -> tuple[str, dict[str, Any]]:
    """The input of a window as it slides, and its attributes.

    `same` at a stride depends on the size: then ONNX works it out where it can, which is where
    nothing is dilated.
    """
    a: Mapping[str, Any] = g.arguments
    found = {"kernel_shape": a["kernel"], "strides": a["stride"]}
    found |= {"dilations": a["dilation"]} if "dilation" in a else {}
    if a["padding"] in ("same", "zeros") and not g.plan.static:
        if not _dilated(a):
            return x, {**found, "auto_pad": "SAME_UPPER"}
        if a["stride"] != (1, 1):
            x, pads = pad_same(g, x), (0, 0, 0, 0)
            return x, {**found, "pads": pads}
    return x, {**found, "pads": ordered(pads_of(g))}


def leaps(g: Draft) -> bool:
    """Whether a window of unknown padding moves by more than it covers."""
    a: Mapping[str, Any] = g.arguments
    pairs = zip(a["kernel"], a["stride"], strict=True)
    return a["padding"] == "same" and not g.plan.static and any(k < s for k, s in pairs)


def _dilated(a: Mapping[str, Any]) -> bool:
    return bool(a.get("dilation", (1, 1)) != (1, 1))


def pads_of(g: Draft) -> list[tuple[int, int]]:
    """(before, after) of rows and of columns at the declared size."""
    a: Mapping[str, Any] = g.arguments
    size, dilation = sides(g.body.inputs[0]), a.get("dilation", (1, 1))
    return [
        padding.pads(a["padding"], size[i], a["kernel"][i], a["stride"][i], dilation[i], i)
        for i in (0, 1)
    ]


def beyond(g: Draft, pads: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Cells after the padding that `ceil_mode` asks for: they make it a matter of padding."""
    a: Mapping[str, Any] = g.arguments
    ceil = a["ceil_mode"] and a["padding"] not in ("same", "zeros")
    each = zip(pads, a["kernel"], a["stride"], strict=True)
    return [(0, padding.beyond(p[1], k, s) if ceil else 0) for p, k, s in each]


def summed(*several: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Paddings together."""
    return [(sum(p[0] for p in of), sum(p[1] for p in of)) for of in zip(*several, strict=True)]


def pad(g: Draft, x: str, pads: Sequence[int]) -> str:
    """Zeros around a feature map: top, left, bottom, right."""
    top, left, bottom, right = pads
    return g.add("Pad", x, g.ints("pads", (0, 0, top, left, 0, 0, bottom, right)))


def pad_same(g: Draft, x: str, fill: str = "") -> str:
    """Zeros around a feature map of any size, or another number, as `same` has them."""
    if g.plan.static:
        return pad(g, x, ordered(pads_of(g)))
    a: Mapping[str, Any] = g.arguments
    pairs = zip(a["kernel"], a.get("dilation", (1, 1)), strict=True)
    reach = g.ints("reach", [(k - 1) * d + 1 for k, d in pairs])
    size, stride = g.add("Shape", x, start=2, name="size"), g.ints("stride", a["stride"])
    one, two = g.ints("one", [1]), g.ints("two", [2])
    last = g.add("Div", g.add("Sub", size, one), stride, name="last")
    needed = g.add("Add", g.add("Mul", last, stride), reach, name="needed")
    lacking = g.add("Max", g.add("Sub", needed, size), g.ints("zero", [0]), name="lacking")
    before = g.add("Div", lacking, two, name="before")
    after = g.add("Sub", lacking, before, name="after")
    none = g.ints("none", (0, 0))
    pads = g.add("Concat", none, before, none, after, axis=0, name="pads")
    return g.add("Pad", x, pads, *([fill] if fill else []))


# ------------------------------------------------------------------------------- other sizes


def scaled(g: Draft, x: str, scale: float) -> str:
    """floor(n * scale) for height and width, in float64."""
    factor = g.add("Constant", name="scale", value=Double(scale))
    exact = g.add("Cast", g.add("Shape", x, start=2, name="size"), to=DOUBLE)
    return g.add("Cast", g.add("Floor", g.add("Mul", exact, factor)), to=INT64, name="scaled")


def nearest(g: Draft, x: str, sizes: str, exact: bool) -> str:
    """Cells of a feature map by their exact numbers, which need integers: i * n // m, or those
    nearest to the middles of cells, (2 * i + 1) * n // (2 * m)."""
    size = g.add("Shape", x, start=2, name="cells")
    for axis in (0, 1):
        n, m = (g.add("Gather", each, g.ints("axis", [axis])) for each in (size, sizes))
        index = cells(g, m)
        if exact:
            two = g.ints("two", [2])
            index = g.add("Add", g.add("Mul", index, two), g.ints("one", [1]))
            m = g.add("Mul", m, two)
        index = g.add("Div", g.add("Mul", index, n), m, name="index")
        x = g.add("Gather", x, index, axis=axis + 2)
    return x


def cells(g: Draft, count: str) -> str:
    """The numbers from 0 on, so many as a vector of one says."""
    one = g.ints("one", [1])
    none = g.ints("first", [0])
    return g.add("Range", *(g.add("Squeeze", each) for each in (none, count, one)))


def adaptive(g: Draft, x: str, mean: bool) -> str:
    """Window i of m over n cells goes from floor(i * n / m) to before ceil((i + 1) * n / m)."""
    a: Mapping[str, Any] = g.arguments
    size = sides(g.body.inputs[0])
    if a["size"] == (1, 1):
        return g.add("GlobalAveragePool" if mean else "GlobalMaxPool", x)
    if g.plan.static and all(n % m == 0 for n, m in zip(size, a["size"], strict=True)):
        kernel = (size[0] // a["size"][0], size[1] // a["size"][1])
        op = "AveragePool" if mean else "MaxPool"
        return g.add(op, x, kernel_shape=kernel, strides=kernel)
    for m in reversed(a["size"]):
        x = g.add("Transpose", _pooled(g, x, m, mean), perm=(0, 1, 3, 2))
    return x


def _pooled(g: Draft, x: str, m: int, mean: bool) -> str:
    """The windows along the last axis."""
    n, count = g.add("Shape", x, start=3, name="cells"), g.ints("windows", [m])
    starts = g.add("Div", g.add("Mul", g.ints("starts", range(m)), n), count, name="start")
    ends = g.add("Mul", g.ints("ends", range(1, m + 1)), n)
    stops = g.add("Div", g.add("Add", ends, g.ints("rest", [m - 1])), count, name="stop")
    at, column = cells(g, n), g.ints("column", [1])
    start, stop = (g.add("Unsqueeze", each, column) for each in (starts, stops))
    after, before = g.add("GreaterOrEqual", at, start), g.add("Less", at, stop)
    inside = g.add("And", after, before, name="inside")
    if mean:
        lengths = g.add("Cast", g.add("Sub", stop, start), to=FLOAT, name="lengths")
        shares = g.add("Div", g.add("Cast", inside, to=FLOAT), lengths, name="shares")
        return g.add("MatMul", x, g.add("Transpose", shares, perm=(1, 0)))
    rows = g.add("Unsqueeze", x, g.ints("row", [3]))
    seen = g.add("Where", inside, rows, g.floats("lowest", LOWEST), name="seen")
    return g.reduce("ReduceMax", seen, (4,), keepdims=False)
