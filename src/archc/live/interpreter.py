"""What a network computes, op by op, from the definitions of the ops alone.

In goes the IR with weights and a batch, out come the values of all its layers, by the wiring that
the IR says. It is the third party of every numerical proof: backends share a compiler and a walk
over the IR, so they can be wrong alike, and this shares neither. It is slow and plain on purpose,
NumPy in float64, and it is what a new backend is written against.

Feature maps are (batch, channels, height, width), vectors (batch, features), and weights are in
PyTorch's layouts, by canonical name. Sizes are those of the arrays, so any batch that the network
takes can be run, whatever size the spec declares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from archc.compiler.ir.network import Block, Body, Call, Network

Array = np.ndarray[Any, Any]
Given = Mapping[str, Any]
"""The arguments of an op, by name."""
Weights = Mapping[str, Array]
"""Of one layer: arrays by their names within it, such as `weight` and `bias`."""
Observer = Callable[[str, Array], None]
"""observer(path, value) is told the value of every layer and of every block, in order; and of every
output by its name in brackets, as in `[aux]`, where there are several."""


DROPPING = ("dropout", "drop_path")
"""Ops that leave out what a mask does not keep; what it is drawn for is the backends' affair."""


@dataclass(frozen=True)
class Training:
    """What a training step needs besides weights, and what it leaves behind."""

    masks: Mapping[str, Array] = field(default_factory=dict)
    """What each dropout and drop path keeps, by its path: true and false in the shape of its input,
    or in one that is broadcast to it."""
    ddof: int = 0
    """What the divisor n of a variance is reduced by for the running average: 0 in Keras, 1 in
    PyTorch. Batches are always normalised by the variance with the divisor n."""
    averages: dict[str, Array] = field(default_factory=dict)
    """The running averages after the step, by canonical name. Filled by `run`."""

    def average(self, path: str, decay: float, own: Weights, x: Array) -> None:
        """Moves a batch norm's running averages on, by the statistics of the batch `x`."""
        for name, fresh in statistics(x, self.ddof).items():
            self.averages[f"{path}.{name}"] = decay * own[name] + (1.0 - decay) * fresh


def run(
    network: Network,
    weights: Mapping[str, Array],
    batch: Array | Mapping[str, Array],
    observe: Observer = lambda path, value: None,
    training: Training | None = None,
    disturb: Callable[[Body, Array], Array] = lambda body, value: value,
    before: Callable[[Body, str, Sequence[Array]], None] = lambda body, path, inputs: None,
) -> Array:
    """What `network` makes of a batch (count, channels, height, width), or of several by the names
    of its inputs; in evaluation mode, unless a step of `training` is given. Rows that run in
    training only are computed in either; of several outputs this is the last. `disturb` is what
    becomes of the value of every op, given its call, to see how far small errors are carried.
    `before` is told the call, the path and the inputs of every op before its weights are looked up.
    Raises `KeyError` where a weight or a mask is missing."""

    def told(path: str, value: Array) -> None:
        observe(path, value)
        if path in network.shown:
            observe(network.shown[path], value)

    machine = _Machine(weights, told, training, disturb, before)
    calls = [row.call for row in network.rows]
    given = [batch[name] for name in network.inputs] if isinstance(batch, Mapping) else [batch]
    inputs = [np.asarray(array, np.float64) for array in given]
    return machine.calls(calls, "", inputs, len(calls) - 1)


def outputs(
    network: Network,
    weights: Mapping[str, Array],
    batch: Array | Mapping[str, Array],
    paths: Collection[str] | None = None,
) -> dict[str, Array]:
    """The value of every layer and every block by path, or of those in `paths`, in evaluation; the
    network's own is "", and each by its name in brackets where there are several."""
    found: dict[str, Array] = {}

    def keep(path: str, value: Array) -> None:
        if paths is None or path in paths:
            found[path] = value

    found[""] = run(network, weights, batch, keep)
    return found


@dataclass(frozen=True)
class _Machine:
    weights: Mapping[str, Array]
    observe: Observer
    training: Training | None
    disturb: Callable[[Body, Array], Array]
    before: Callable[[Body, str, Sequence[Array]], None]

    def call(self, call: Call, path: str, inputs: Sequence[Array]) -> Array:
        """The value of a call of a block or an op at `path`."""
        body = call.body
        if isinstance(body.target, Block):
            value = self.calls(body.calls, f"{path}.", inputs, body.result)
        else:
            value = self.disturb(body, self.op(body, path, inputs))
        self.observe(path, value)
        return value

    def calls(self, calls: Sequence[Call], at: str, inputs: Sequence[Array], result: int) -> Array:
        """What the call number `result` gives; -1 is the first input, -2 the second. Each value is
        dropped after its last use."""
        values = {-1 - number: value for number, value in enumerate(inputs)}
        last_use = {feed: index for index, call in enumerate(calls) for feed in call.feeds}
        last_use[result] = len(calls)
        for index, call in enumerate(calls):
            fed = [values[feed] for feed in call.feeds]
            values[index] = self.call(call, f"{at}{call.name}", fed)
            for done in [v for v in values if last_use.get(v, -1) <= index]:
                del values[done]
        return values[result]

    def op(self, body: Body, path: str, inputs: Sequence[Array]) -> Array:
        self.before(body, path, inputs)
        name, arguments = body.target.name, dict[str, Any](body.arguments)
        given = {w.name: self.weights[f"{path}.{w.name}"] for w in body.cost.weights}
        own = {weight: np.asarray(array, np.float64) for weight, array in given.items()}
        if self.training is not None and name == "batch_norm":
            self.training.average(path, arguments["decay"], own, inputs[0])
            own |= statistics(inputs[0])
        if self.training is not None and name in DROPPING and arguments["rate"]:
            kept = self.training.masks[path]
            return np.asarray(inputs[0] * kept / (1.0 - arguments["rate"]))
        return OPS[name](arguments, own, *inputs)


def statistics(x: Array, ddof: int = 0) -> dict[str, Array]:
    """The mean and the variance of each channel of a batch, as a batch norm names its averages."""
    axes = (0, 2, 3)[: x.ndim - 1]
    return {"running_mean": x.mean(axes), "running_var": x.var(axes, ddof=ddof)}


# ------------------------------------------------------------------------------------- windows


def _sides(padding: Any, axis: int, n: int, k: int, s: int, d: int) -> tuple[int, int]:
    """Cells of padding before and after `n` cells, for a window of `k` cells, `d` apart, that moves
    by `s`; `axis` is 0 for rows and 1 for columns."""
    if padding == "valid":
        return 0, 0
    if padding == "symmetric":
        return d * (k // 2), d * (k // 2)
    if padding in ("same", "zeros"):
        count = math.ceil(n / s)
        lacking = max(0, (count - 1) * s + (k - 1) * d + 1 - n)
        return lacking // 2, lacking - lacking // 2
    top, bottom, left, right = padding
    return (top, bottom) if axis == 0 else (left, right)


def _count(a: Given, axis: int, n: int, before: int, after: int) -> int:
    """How many windows there are over `n` padded cells. With `ceil_mode`, one that ends outside
    of them is a window too where it starts before the padding that comes last."""
    kernel, stride, spacing = (a.get(key, (1, 1))[axis] for key in ("kernel", "stride", "dilation"))
    room = before + n + after - (kernel - 1) * spacing - 1
    count: int = room // stride + 1
    unfilled = a.get("ceil_mode", False) and room % stride > 0 and count * stride < before + n
    return count + 1 if unfilled else count


def _taps(
    a: Given, x: Array, fill: float = 0.0, beyond: float = 0.0
) -> Iterator[tuple[int, int, Array]]:
    """For each cell of the kernel, by row and column, what it sees in every window: an array
    (batch, channels, rows of windows, columns of windows). Padding is `fill`, and what windows see
    beyond it `beyond`."""
    kernel, stride, spacing = a["kernel"], a["stride"], a.get("dilation", (1, 1))
    sizes = x.shape[2:]
    pads = [_sides(a["padding"], i, sizes[i], kernel[i], stride[i], spacing[i]) for i in range(2)]
    x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    rows, columns = counts = [_count(a, i, sizes[i], *pads[i]) for i in range(2)]
    ends = [(counts[i] - 1) * stride[i] + (kernel[i] - 1) * spacing[i] + 1 for i in range(2)]
    lacking = [(0, max(0, ends[i] - x.shape[2 + i])) for i in range(2)]
    x = np.pad(x, [(0, 0), (0, 0), *lacking], constant_values=beyond)
    if rows < 1 or columns < 1:
        raise ValueError(f"a kernel of {kernel} does not fit into {sizes}")
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            down = slice(i * spacing[0], i * spacing[0] + (rows - 1) * stride[0] + 1, stride[0])
            across = slice(
                j * spacing[1], j * spacing[1] + (columns - 1) * stride[1] + 1, stride[1]
            )
            yield i, j, x[:, :, down, across]


# --------------------------------------------------------------------------------- definitions


def _per_channel(array: Array, x: Array) -> Array:
    """One number for each channel, so that it meets the channels of `x`."""
    return array.reshape(-1, *[1] * (x.ndim - 2))


def _biased(y: Array, w: Weights, name: str = "bias") -> Array:
    return y + _per_channel(w[name], y) if name in w else y


def _affine(x: Array, w: Weights) -> Array:
    """weight * x + bias for each channel, as far as there are such weights."""
    return _biased(x * _per_channel(w["weight"], x) if "weight" in w else x, w)


def _conv2d(a: Given, w: Weights, x: Array) -> Array:
    """y[o] is the sum over the kernel's cells and the channels c of o's group of w[o, c] x[c]."""
    groups = a.get("groups", 1)
    kernel = w["weight"].reshape(groups, -1, *w["weight"].shape[1:])
    total: Any = 0.0
    for i, j, seen in _taps(a, x):
        count, _, *area = seen.shape
        parts = seen.reshape(count, groups, -1, math.prod(area))
        total = total + (kernel[..., i, j] @ parts).reshape(count, -1, *area)
    return _biased(total, w)


def _standardized_conv2d(a: Given, w: Weights, x: Array) -> Array:
    """A convolution by (weight - mean) / sqrt(variance + epsilon), of each filter, times gamma over
    the root of the numbers of a filter."""
    filters = w["weight"].reshape(len(w["weight"]), -1)
    kernel = _normalised(filters, 1, a["epsilon"])
    if a["gamma"] is not None:
        kernel = kernel * a["gamma"] / math.sqrt(filters.shape[1])
    return _conv2d(a, {"weight": kernel.reshape(w["weight"].shape)}, x)


def _depthwise_conv2d(a: Given, w: Weights, x: Array) -> Array:
    """Channel c gives the channels c * m to c * m + m - 1, each with a kernel of its own."""
    kernel: Any = w["weight"]
    total: Any = 0.0
    for i, j, seen in _taps(a, x):
        repeated = np.repeat(seen, a["multiplier"], axis=1)
        total = total + repeated * _per_channel(kernel[:, 0, i, j], repeated)
    return _biased(total, w)


def _separable_conv2d(a: Given, w: Weights, x: Array) -> Array:
    middle = _depthwise_conv2d(a, {"weight": w["depthwise.weight"]}, x)
    once = {"kernel": (1, 1), "stride": (1, 1), "padding": "valid"}
    y = _conv2d(once, {"weight": w["pointwise.weight"]}, middle)
    return _biased(y, w, "pointwise.bias")


def _conv_transpose2d(a: Given, w: Weights, x: Array) -> Array:
    """Cell p adds w[c, o, i, j] x[c, p] to the output's cell p * stride + (i, j). What is kept
    begins after the padding; cells that nothing reaches are zeros; all get the bias."""
    kernel, stride, sizes = a["kernel"], a["stride"], x.shape[2:]
    starts, ends = zip(*(_kept(a, i, n) for i, n in enumerate(sizes)), strict=True)
    whole = [
        max(e, (n - 1) * s + k) for e, n, s, k in zip(ends, sizes, stride, kernel, strict=True)
    ]
    y = np.zeros((len(x), w["weight"].shape[1], *whole))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            down = slice(i, i + (sizes[0] - 1) * stride[0] + 1, stride[0])
            across = slice(j, j + (sizes[1] - 1) * stride[1] + 1, stride[1])
            y[:, :, down, across] += np.einsum("nchw,co->nohw", x, w["weight"][:, :, i, j])
    return _biased(y[:, :, starts[0] : ends[0], starts[1] : ends[1]], w)


def _kept(a: Given, axis: int, n: int) -> tuple[int, int]:
    """From which cell to before which a transposed convolution of `n` cells is kept."""
    k, s, padding = a["kernel"][axis], a["stride"][axis], a["padding"]
    if padding == "valid":
        return 0, n * s + max(k - s, 0)
    if padding == "same":
        start = max(k - s, 0) // 2
        return start, start + n * s
    before, after = _sides(padding, axis, n, k, s, 1)
    return before, (n - 1) * s + k - after + a["output_padding"][axis]


def _dense(a: Given, w: Weights, x: Array) -> Array:
    return _biased(x @ w["weight"].T, w)


def _batch_norm(a: Given, w: Weights, x: Array) -> Array:
    """weight * (x - mean) / sqrt(variance + epsilon) + bias, for each channel."""
    mean, variance = (_per_channel(w[name], x) for name in ("running_mean", "running_var"))
    return _affine((x - mean) / np.sqrt(variance + a["epsilon"]), w)


def _layer_norm(a: Given, w: Weights, x: Array) -> Array:
    """(x - mean) / sqrt(variance + epsilon) over the channels of each position."""
    return _affine(_normalised(x, 1, a["epsilon"]), w)


def _group_norm(a: Given, w: Weights, x: Array) -> Array:
    """The same over all positions of the channels of each group."""
    groups = x.reshape(len(x), a["groups"], -1)
    return _affine(_normalised(groups, 2, a["epsilon"]).reshape(x.shape), w)


def _normalised(x: Array, axis: int, epsilon: float) -> Array:
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def _l2_normalize(a: Given, w: Weights, x: Array) -> Array:
    norm = np.sqrt((x**2).sum(1, keepdims=True))
    return np.asarray(x / np.maximum(norm, a["epsilon"]))


def _local_response_norm(a: Given, w: Weights, x: Array) -> Array:
    """x[c] / (k + alpha / size * the sum of x[d] ** 2) ** beta, for the channels d from
    c - size // 2 to c + (size - 1) // 2 that there are."""
    before, after = a["size"] // 2, (a["size"] - 1) // 2
    channels = range(x.shape[1])
    windows = (x[:, max(0, c - before) : c + after + 1] for c in channels)
    sums = np.stack([(window**2).sum(1) for window in windows], axis=1)
    return np.asarray(x / (a["k"] + a["alpha"] / a["size"] * sums) ** a["beta"])


def _prelu(a: Given, w: Weights, x: Array) -> Array:
    """max(x, 0) + weight * min(x, 0), for each channel or with one weight for all."""
    return np.asarray(np.maximum(x, 0.0) + _per_channel(w["weight"], x) * np.minimum(x, 0.0))


def _learned(a: Given, w: Weights, like: Array) -> Array:
    """weight, for each sample."""
    each = w["weight"] if like.ndim == 4 else w["weight"].reshape(-1)
    return np.broadcast_to(each, (len(like), *each.shape))


def _max_pool2d(a: Given, w: Weights, x: Array) -> Array:
    outside = 0.0 if a["padding"] == "zeros" else -math.inf
    return np.asarray(np.max([seen for _, _, seen in _taps(a, x, outside, -math.inf)], axis=0))


def _avg_pool2d(a: Given, w: Weights, x: Array) -> Array:
    """The mean of the window's real cells, and of its padding where that counts: with `zeros`, or
    `count_padding`. What lies beyond the padding never counts."""
    total: Any = sum(seen for _, _, seen in _taps(a, x))
    outside = 1.0 if a["padding"] == "zeros" or a.get("count_padding") else 0.0
    count: Any = sum(seen for _, _, seen in _taps(a, np.ones_like(x), outside))
    return np.asarray(total / count)


def _adaptive(reduce: Callable[..., Any]) -> Op:
    """Window i of m over n cells goes from floor(i * n / m) to before ceil((i + 1) * n / m)."""

    def pooled(a: Given, w: Weights, x: Array) -> Array:
        for axis, m in enumerate(a["size"], 2):
            n = x.shape[axis]
            cuts = [slice(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i in range(m)]
            parts = [reduce(x[(slice(None),) * axis + (cut,)], axis=axis) for cut in cuts]
            x = np.stack(parts, axis)
        return x

    return pooled


def _position(a: Given, i: int, n: int, m: int) -> Fraction:
    """Where, in cells of an axis of `n`, cell `i` of the `m` that take their place lies."""
    if a["method"] == "nearest":
        return Fraction(i * n // m)
    if a["method"] == "nearest_exact":
        return Fraction((2 * i + 1) * n // (2 * m))
    if a["align_corners"]:
        return Fraction(i * (n - 1), max(m - 1, 1))
    return min(max(Fraction((2 * i + 1) * n, 2 * m) - Fraction(1, 2), Fraction(0)), Fraction(n - 1))


def _sampled(a: Given, x: Array, sizes: Sequence[int]) -> Array:
    """x at other heights and widths: between cells, each of two counts by how near it is."""
    for axis, m in enumerate(sizes, 2):
        n = x.shape[axis]
        places = [_position(a, i, n, m) for i in range(m)]
        weights = [[max(0.0, float(1 - abs(place - j))) for j in range(n)] for place in places]
        x = np.moveaxis(np.tensordot(x, np.array(weights), (axis, 1)), -1, axis)
    return x


def _resize(a: Given, w: Weights, x: Array) -> Array:
    return _sampled(a, x, [math.floor(side * a["scale"]) for side in x.shape[2:]])


def _resize_like(a: Given, w: Weights, x: Array, like: Array) -> Array:
    return _sampled(a, x, like.shape[2:])


def _global(reduce: Callable[..., Any]) -> Op:
    return lambda a, w, x: np.asarray(reduce(x, axis=(2, 3), keepdims=a["keepdims"]))


def _zero_pad2d(a: Given, w: Weights, x: Array) -> Array:
    top, bottom, left, right = a["padding"]
    return np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])


def _crop2d(a: Given, w: Weights, x: Array) -> Array:
    top, bottom, left, right = a["cropping"]
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def _flatten(a: Given, w: Weights, x: Array) -> Array:
    """By row, then column, then channel."""
    return x.reshape(len(x), -1) if x.ndim == 2 else x.transpose(0, 2, 3, 1).reshape(len(x), -1)


def _reshape(a: Given, w: Weights, x: Array) -> Array:
    """The same order: by row, then column, then channel, on both sides."""
    channels, *area = a["shape"]
    y = _flatten(a, w, x).reshape(len(x), *area, channels)
    return y.transpose(0, 3, 1, 2) if area else y


_AXES = {"channels": (1,), "space": (2, 3)}


def _mean(a: Given, w: Weights, x: Array) -> Array:
    return np.asarray(x.mean(_AXES[a["over"]], keepdims=True))


def _variance(a: Given, w: Weights, x: Array) -> Array:
    return _mean(a, w, (x - _mean(a, w, x)) ** 2)


def _slice(a: Given, w: Weights, x: Array) -> Array:
    return x[:, a["start"] : a["stop"]]


def _split(a: Given, w: Weights, x: Array) -> Array:
    return np.split(x, a["parts"], axis=1)[a["index"]]


def _channel_shuffle(a: Given, w: Weights, x: Array) -> Array:
    """Channel j of group g of the input is channel g of group j of the output."""
    of_groups = x.reshape(len(x), a["groups"], -1, *x.shape[2:])
    return of_groups.swapaxes(1, 2).reshape(x.shape)


def _pixel_shuffle(a: Given, w: Weights, x: Array) -> Array:
    """y[c, h * r + i, w * r + j] is x[c * r * r + i * r + j, h, w]."""
    r = a["factor"]
    count, channels, height, width = x.shape
    y = np.zeros((count, channels // r**2, height * r, width * r))
    for i in range(r):
        for j in range(r):
            y[:, :, i::r, j::r] = x[:, i * r + j :: r**2]
    return y


def _pixel_unshuffle(a: Given, w: Weights, x: Array) -> Array:
    r = a["factor"]
    count, channels, height, width = x.shape
    y = np.zeros((count, channels * r**2, height // r, width // r))
    for i in range(r):
        for j in range(r):
            y[:, i * r + j :: r**2] = x[:, :, i::r, j::r]
    return y


def _rescale(a: Given, w: Weights, x: Array) -> Array:
    scale, offset = (_per_channel(np.asarray(a[name]), x) for name in ("scale", "offset"))
    return np.asarray(x * scale + offset)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _relu6(x: Array) -> Array:
    return np.clip(x, 0.0, 6.0)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


_erf = np.vectorize(math.erf, otypes=[np.float64])

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "relu": lambda x: np.maximum(x, 0.0),
        "relu6": _relu6,
        "leaky_relu": lambda x: np.where(x > 0.0, x, 0.01 * x),
        "elu": lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
        "gelu": lambda x: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
        "gelu_tanh": lambda x: (
            0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
        ),
        "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
        "sigmoid": _sigmoid,
        "hard_sigmoid": lambda x: _relu6(x + 3.0) / 6.0,
        "tanh": np.tanh,
        "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
        "swish": lambda x: x * _sigmoid(x),
        "hard_swish": lambda x: x * _relu6(x + 3.0) / 6.0,
        "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        "softplus": lambda x: np.logaddexp(0.0, x),
        "softmax": _softmax,
    }
)


def _activation(a: Given, w: Weights, x: Array) -> Array:
    return x if a["act"] is None else ACTIVATIONS[str(a["act"])](x)


Op = Callable[..., Array]
"""op(arguments, weights, *inputs) -> output."""

OPS: Mapping[str, Op] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "depthwise_conv2d": _depthwise_conv2d,
        "separable_conv2d": _separable_conv2d,
        "standardized_conv2d": _standardized_conv2d,
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
        "adaptive_avg_pool2d": _adaptive(np.mean),
        "adaptive_max_pool2d": _adaptive(np.max),
        "resize": _resize,
        "resize_like": _resize_like,
        "global_avg_pool2d": _global(np.mean),
        "global_max_pool2d": _global(np.max),
        "add": lambda a, w, left, right: left + right,
        "multiply": lambda a, w, left, right: left * right,
        "subtract": lambda a, w, left, right: left - right,
        "divide": lambda a, w, left, right: left / right,
        "minimum": lambda a, w, left, right: np.minimum(left, right),
        "mean": _mean,
        "variance": _variance,
        "sqrt": lambda a, w, x: np.sqrt(x),
        "maximum": lambda a, w, left, right: np.maximum(left, right),
        "concat": lambda a, w, *xs: np.concatenate(xs, axis=1),
        "zero_pad2d": _zero_pad2d,
        "crop2d": _crop2d,
        "pixel_shuffle": _pixel_shuffle,
        "pixel_unshuffle": _pixel_unshuffle,
        "flatten": _flatten,
        "reshape": _reshape,
        "slice": _slice,
        "split": _split,
        "channel_shuffle": _channel_shuffle,
        "dropout": lambda a, w, x: x,
        "drop_path": lambda a, w, x: x,
        "rescale": _rescale,
        "identity": lambda a, w, x: x,
    }
)
"""Every op of the catalogue, in evaluation mode."""
