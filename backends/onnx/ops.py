"""How each op of the catalogue is spelled in opset 17 or 18.

A spelling appends operators to a draft, and gives the name of what comes out. One operator stands
where the op is called; of several a function is made, which is called as the op is; where there is
none, the op gives its input on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from archc.backends.onnx import windows
from archc.backends.onnx.activations import ACTIVATIONS
from archc.backends.onnx.drafts import Draft
from archc.compiler.ir import padding

Spelling = Callable[..., str]
"""spelling(draft, *inputs) -> the output."""


def _args(g: Draft) -> Mapping[str, Any]:
    return g.arguments


def _operator(op: str, **attributes: Any) -> Spelling:
    return lambda g, *inputs: g.add(op, *inputs, **attributes)


def _given(*names: str) -> tuple[str, ...]:
    """Inputs of an operator without those at the end that are not given."""
    return _given(*names[:-1]) if names and not names[-1] else names


def _spread(g: Draft, name: str) -> str:
    """A vector of one number for each channel, so that it meets the channels of a feature map."""
    if not g.body.inputs[0].is_map:
        return name
    return g.add("Unsqueeze", name, g.ints("cell", (1, 2)), name=f"{name}_cells")


def _affine(g: Draft, x: str) -> str:
    """weight * x + bias for each channel, as far as there are such weights."""
    for op, name in (("Mul", g.weight("weight")), ("Add", g.weight("bias"))):
        x = g.add(op, x, _spread(g, name)) if name else x
    return x


# ------------------------------------------------------------------------------ convolutions


def _conv2d(g: Draft, x: str) -> str:
    return _conv(g, x, "weight", "bias", _args(g).get("groups", 1))


def _depthwise_conv2d(g: Draft, x: str) -> str:
    return _conv(g, x, "weight", "bias", g.body.inputs[0].channels)


def _separable_conv2d(g: Draft, x: str) -> str:
    middle = _conv(g, x, "depthwise.weight", "", g.body.inputs[0].channels)
    given = _given(middle, "pointwise.weight", g.weight("pointwise.bias"))
    return g.add("Conv", *given, name="pointwise", kernel_shape=(1, 1))


def _conv(g: Draft, x: str, weight: str, bias: str, groups: int) -> str:
    x, frame = windows.frame(g, x)
    return g.add("Conv", *_given(x, weight, bias and g.weight(bias)), **frame, group=groups)


def _standardized_conv2d(g: Draft, x: str) -> str:
    """ONNX Runtime works the kernel out once, as nothing in it depends on the input."""
    a, (weight,) = _args(g), g.body.cost.weights
    kernel = _normalised(g, "weight", a["epsilon"], (1, 2, 3))
    if a["gamma"] is not None:
        root = math.sqrt(weight.size // weight.shape[0])
        kernel = g.add("Mul", kernel, g.floats("gain", a["gamma"] / root))
    x, frame = windows.frame(g, x)
    return g.add("Conv", x, kernel, **frame, group=1)


def _conv_transpose2d(g: Draft, x: str) -> str:
    a = _args(g)
    cut = [
        padding.crops(a["padding"], a["kernel"][i], a["stride"][i], a["output_padding"][i], i)
        for i in (0, 1)
    ]
    return g.add(
        "ConvTranspose",
        *_given(x, "weight", g.weight("bias")),
        kernel_shape=a["kernel"],
        strides=a["stride"],
        pads=windows.ordered([(before, max(after, 0)) for before, after in cut]),
        output_padding=tuple(max(-after, 0) for _, after in cut),
        group=a.get("groups", 1),
    )


# --------------------------------------------------------------------- layers with weights


def _dense(g: Draft, x: str) -> str:
    return g.add("Gemm", *_given(x, "weight", g.weight("bias")), transB=1)


def _batch_norm(g: Draft, x: str) -> str:
    mean, variance = "running_mean", "running_var"
    scale, offset = (g.weight(name) or _filled(g, name) for name in ("weight", "bias"))
    given = (x, scale, offset, mean, variance)
    return g.add("BatchNormalization", *given, epsilon=_args(g)["epsilon"])


def _filled(g: Draft, name: str) -> str:
    """What stands in for a trained factor or summand."""
    value = g.floats("one", 1.0) if name == "weight" else g.floats("zero", 0.0)
    return g.add("Expand", value, g.add("Shape", "running_mean", name=f"{name}_shape"), name=name)


def _layer_norm(g: Draft, x: str) -> str:
    epsilon, is_map = _args(g)["epsilon"], g.body.inputs[0].is_map
    if not g.weight("weight"):
        return _normalised(g, x, epsilon)
    x = g.add("Transpose", x, perm=(0, 2, 3, 1)) if is_map else x
    x = g.add("LayerNormalization", x, "weight", "bias", axis=-1, epsilon=epsilon)
    return g.add("Transpose", x, perm=(0, 3, 1, 2)) if is_map else x


def _normalised(g: Draft, x: str, epsilon: float, axes: tuple[int, ...] = (1,)) -> str:
    """(x - mean) / sqrt(variance + epsilon) over the channels, or other axes."""
    away = g.add("Sub", x, g.reduce("ReduceMean", x, axes))
    variance = g.reduce("ReduceMean", g.add("Mul", away, away), axes)
    spread = g.add("Sqrt", g.add("Add", variance, g.floats("epsilon", epsilon)))
    return g.add("Div", away, spread)


def _group_norm(g: Draft, x: str) -> str:
    a = _args(g)
    parted = g.add("Reshape", x, g.ints("parts", (0, a["groups"], -1)))
    shape = g.ints("groups", (a["groups"],))
    ones, zeros = (g.add("Expand", g.floats(*of), shape) for of in (("one", 1.0), ("zero", 0.0)))
    found = g.add("InstanceNormalization", parted, ones, zeros, epsilon=a["epsilon"])
    return _affine(g, g.add("Reshape", found, g.add("Shape", x)))


def _prelu(g: Draft, x: str) -> str:
    return g.add("PRelu", x, "weight" if _args(g)["shared"] else _spread(g, "weight"))


def _learned(g: Draft, like: str) -> str:
    """The same for each sample of the batch that `like` is of."""
    shape, weight = g.body.output.shape, "weight"
    if not g.body.output.is_map:
        weight = g.add("Reshape", weight, g.ints("vector", (-1,)))
    batch = g.add("Shape", like, start=0, end=1, name="batch")
    sizes = g.add("Concat", batch, g.ints("once", (1,) * len(shape)), axis=0, name="sizes")
    return g.add("Expand", weight, sizes)


# -------------------------------------------------------------------- normalisations of inputs


def _l2_normalize(g: Draft, x: str) -> str:
    norm = g.reduce("ReduceL2", x, (1,))
    return g.add("Div", x, g.add("Max", norm, g.floats("epsilon", _args(g)["epsilon"])))


def _local_response_norm(g: Draft, x: str) -> str:
    """ONNX's windows of an even size have the odd channel on the other side."""
    a = _args(g)
    if a["size"] % 2:
        given = {name: a[name] for name in ("size", "alpha", "beta")}
        return g.add("LRN", x, **given, bias=a["k"])
    rows = g.add(
        "Reshape", g.add("Mul", x, x), g.ints("rows", (0, 1, g.body.inputs[0].channels, -1))
    )
    size: dict[str, Any] = {"kernel_shape": (a["size"], 1)}
    size |= {"pads": (a["size"] // 2, 0, (a["size"] - 1) // 2, 0)}
    mean = g.add("AveragePool", rows, **size, count_include_pad=1)
    scaled = g.add("Mul", mean, g.floats("alpha", a["alpha"]))
    powers = g.add("Pow", g.add("Add", scaled, g.floats("k", a["k"])), g.floats("beta", a["beta"]))
    return g.add("Div", x, g.add("Reshape", powers, g.add("Shape", x)))


# ------------------------------------------------------------------------------------- pools


def _max_pool2d(g: Draft, x: str) -> str:
    if _args(g)["padding"] == "zeros":
        return g.add("MaxPool", windows.pad_same(g, x), **_bare(g))
    return _pool(g, "MaxPool", x)


def _avg_pool2d(g: Draft, x: str) -> str:
    a = _args(g)
    if a["padding"] == "zeros":
        return g.add("AveragePool", windows.pad_same(g, x), **_bare(g))
    if not a["count_padding"]:
        return _pool(g, "AveragePool", x)
    pads = windows.pads_of(g)
    x = windows.pad(g, x, windows.ordered(pads)) if any(map(any, pads)) else x
    more = windows.ordered(windows.beyond(g, pads))
    return g.add("AveragePool", x, **{**_bare(g), "pads": more})


def _bare(g: Draft) -> dict[str, Any]:
    """The attributes of a pool whose input is padded already."""
    return {"kernel_shape": _args(g)["kernel"], "strides": _args(g)["stride"]}


def _pool(g: Draft, op: str, x: str) -> str:
    if windows.leaps(g):
        return _leaping(g, op, x)
    x, frame = windows.frame(g, x)
    if "pads" in frame:
        pads = windows.pads_of(g)
        frame["pads"] = windows.ordered(windows.summed(pads, windows.beyond(g, pads)))
    return g.add(op, x, **frame)


def _leaping(g: Draft, op: str, x: str) -> str:
    """`same` where windows leave cells out, which ONNX Runtime takes for a negative padding."""
    if op == "MaxPool":
        return g.add(op, windows.pad_same(g, x, g.floats("lowest", windows.LOWEST)), **_bare(g))
    ones = g.add("Expand", g.floats("one", 1.0), g.add("Shape", x), name="ones")
    both = (windows.pad_same(g, each) for each in (x, ones))
    return g.add("Div", *(g.add(op, padded, **_bare(g)) for padded in both))


def _global(op: str) -> Spelling:
    def pooled(g: Draft, x: str) -> str:
        y = g.add(op, x)
        return y if _args(g)["keepdims"] else g.add("Flatten", y, axis=1)

    return pooled


# -------------------------------------------------------------------------------- other sizes


def _resize(g: Draft, x: str) -> str:
    scale, exact = _args(g)["scale"], scale_of(g)
    if exact:
        return _by_factors(g, x, exact)
    sizes = g.ints("sizes", windows.sides(g.body.output)) if g.plan.static else ""
    return _to_sizes(g, x, sizes or windows.scaled(g, x, scale))


def _resize_like(g: Draft, x: str, like: str) -> str:
    if g.plan.static and (exact := scale_of(g)):
        return _by_factors(g, x, exact)
    if g.plan.static:
        return _to_sizes(g, x, g.ints("sizes", windows.sides(g.body.output)))
    return _to_sizes(g, x, g.add("Shape", like, start=2, name="sizes"))


def scale_of(g: Draft) -> tuple[int, int] | None:
    """By which whole numbers the sides grow at every size; None where it depends on the size, or
    where they are no whole ones."""
    if "scale" in g.arguments:
        scale = _args(g)["scale"]
        return (int(scale), int(scale)) if scale == int(scale) else None
    pairs = zip(windows.sides(g.body.output), windows.sides(g.body.inputs[0]), strict=True)
    down, across = ((m // n, m % n) for m, n in pairs)
    return None if down[1] or across[1] else (down[0], across[0])


def _modes(g: Draft) -> dict[str, Any]:
    a = _args(g)
    if a["method"] != "bilinear":
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return {"mode": "nearest", **how}
    mode = "align_corners" if a["align_corners"] else "half_pixel"
    return {"mode": "linear", "coordinate_transformation_mode": mode}


def _by_factors(g: Draft, x: str, factors: tuple[int, int]) -> str:
    scales = g.floats("scales", 1.0, 1.0, *map(float, factors))
    return g.add("Resize", x, "", scales, **_modes(g))


def _to_sizes(g: Draft, x: str, sizes: str) -> str:
    method = _args(g)["method"]
    if method != "bilinear":
        return windows.nearest(g, x, sizes, method == "nearest_exact")
    kept = g.add("Shape", x, end=2, name="kept")
    return g.add("Resize", x, "", "", g.add("Concat", kept, sizes, axis=0), **_modes(g))


# -------------------------------------------------------------------- statistics and elements


_AXES = {"channels": (1,), "space": (2, 3)}


def _mean(g: Draft, x: str) -> str:
    return g.reduce("ReduceMean", x, _AXES[_args(g)["over"]])


def _variance(g: Draft, x: str) -> str:
    away = g.add("Sub", x, _mean(g, x))
    return _mean(g, g.add("Mul", away, away))


def _activation(g: Draft, x: str) -> str:
    act = _args(g)["act"]
    return x if act is None else ACTIVATIONS[str(act)](g, x)


def _rescale(g: Draft, x: str) -> str:
    for op, name in (("Mul", "scale"), ("Add", "offset")):
        numbers = _args(g)[name]
        several = isinstance(numbers, tuple)
        if any(numbers if several else (numbers,)) or op == "Mul":
            made = g.floats(name, *(numbers if several else (numbers,)))
            x = g.add(op, x, _spread(g, made) if several else made)
    return x


def _pass(g: Draft, x: str) -> str:
    return x


# ------------------------------------------------------------------------------------ layouts


def _zero_pad2d(g: Draft, x: str) -> str:
    top, bottom, left, right = _args(g)["padding"]
    return windows.pad(g, x, (top, left, bottom, right))


def _crop2d(g: Draft, x: str) -> str:
    top, bottom, left, right = _args(g)["cropping"]
    return _sliced(g, x, (top, left), (-bottom or windows.LAST, -right or windows.LAST), (2, 3))


def _sliced(
    g: Draft, x: str, starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...]
) -> str:
    named = {"starts": starts, "ends": ends, "axes": axes}
    return g.add("Slice", x, *(g.ints(name, numbers) for name, numbers in named.items()))


def _slice(g: Draft, x: str) -> str:
    return _sliced(g, x, (_args(g)["start"],), (_args(g)["stop"],), (1,))


def _split(g: Draft, x: str) -> str:
    """A vector may be longer where the input is larger, as one is that was a map."""
    parts, index = _args(g)["parts"], _args(g)["index"]
    if not g.body.inputs[0].is_map and not g.plan.static:
        parted = g.add("Reshape", x, g.ints("parted", (0, parts, -1)))
        return g.add("Flatten", g.add("Gather", parted, g.ints("part", (index,)), axis=1), axis=1)
    start = index * g.body.output.channels
    return _sliced(g, x, (start,), (start + g.body.output.channels,), (1,))


def _flatten(g: Draft, x: str) -> str:
    if not g.body.inputs[0].is_map:
        return x
    return g.add("Flatten", g.add("Transpose", x, perm=(0, 2, 3, 1)), axis=1)


def _reshape(g: Draft, x: str) -> str:
    channels, *area = _args(g)["shape"]
    if g.body.inputs[0].is_map:
        x = g.add("Transpose", x, perm=(0, 2, 3, 1))
    x = g.add("Reshape", x, g.ints("shape", (0, *area, channels)))
    return g.add("Transpose", x, perm=(0, 3, 1, 2)) if area else x


def _channel_shuffle(g: Draft, x: str) -> str:
    groups = _args(g)["groups"]
    return _shuffled(g, x, groups, g.body.inputs[0].channels // groups)


def _shuffled(g: Draft, x: str, groups: int, each: int) -> str:
    """Channel j of group g of the input is channel g of group j of the output."""
    parted = g.add("Reshape", x, g.ints("parts", (0, groups, each, -1)))
    turned = g.add("Transpose", parted, perm=(0, 2, 1, 3))
    return g.add("Reshape", turned, g.add("Shape", x))


def _pixel_shuffle(g: Draft, x: str) -> str:
    return g.add("DepthToSpace", x, blocksize=_args(g)["factor"], mode="CRD")


def _pixel_unshuffle(g: Draft, x: str) -> str:
    """ONNX's has the channels of a cell together, and here the cells of a channel are."""
    factor = _args(g)["factor"]
    cells = g.add("SpaceToDepth", x, blocksize=factor)
    return _shuffled(g, cells, factor**2, g.body.inputs[0].channels)


OPS: Mapping[str, Spelling] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "standardized_conv2d": _standardized_conv2d,
        "depthwise_conv2d": _depthwise_conv2d,
        "separable_conv2d": _separable_conv2d,
        "conv_transpose2d": _conv_transpose2d,
        "dense": _dense,
        "batch_norm": _batch_norm,
        "layer_norm": _layer_norm,
        "group_norm": _group_norm,
        "l2_normalize": _l2_normalize,
        "local_response_norm": _local_response_norm,
        "prelu": _prelu,
        "learned": _learned,
        "activation": _activation,
        "max_pool2d": _max_pool2d,
        "avg_pool2d": _avg_pool2d,
        "adaptive_avg_pool2d": partial(windows.adaptive, mean=True),
        "adaptive_max_pool2d": partial(windows.adaptive, mean=False),
        "resize": _resize,
        "resize_like": _resize_like,
        "global_avg_pool2d": _global("GlobalAveragePool"),
        "global_max_pool2d": _global("GlobalMaxPool"),
        "add": _operator("Add"),
        "multiply": _operator("Mul"),
        "subtract": _operator("Sub"),
        "divide": _operator("Div"),
        "maximum": _operator("Max"),
        "minimum": _operator("Min"),
        "mean": _mean,
        "variance": _variance,
        "sqrt": _operator("Sqrt"),
        "concat": _operator("Concat", axis=1),
        "zero_pad2d": _zero_pad2d,
        "crop2d": _crop2d,
        "pixel_shuffle": _pixel_shuffle,
        "pixel_unshuffle": _pixel_unshuffle,
        "flatten": _flatten,
        "reshape": _reshape,
        "slice": _slice,
        "split": _split,
        "channel_shuffle": _channel_shuffle,
        "dropout": _pass,
        "drop_path": _pass,
        "rescale": _rescale,
        "identity": _pass,
    }
)
"""Every op of the catalogue, in evaluation mode."""
