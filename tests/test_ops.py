"""Every op at many settings: each backend agrees with the IR and with the interpreter of it, and
the interpreter with a second set of definitions."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.nn import functional as F

from archc import backends
from archc.api import Net, load
from archc.backends.python.execute import execute
from archc.compiler.ir.catalogue import CATALOGUE
from archc.live import interpreter
from archc.live.check import check_shapes, check_weights
from archc.live.numeric import deviation, random_batch, random_weights

from . import zoo
from .reference_models import import_torchvision

Array = np.ndarray[Any, Any]

SIZE, OTHER_SIZE = (12, 9), (13, 16)
"""Even and odd heights and widths."""
TOLERANCE = 1e-5

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even:UserWarning", "ignore::DeprecationWarning"
)


def cases() -> Iterator[Any]:
    """Every case as a row, and some of them in each of the other ways to write them."""
    for index, case in enumerate(zoo.CASES):
        for form in zoo.FORMS:
            every = {"row": 1, "free": 2}.get(form, 5)
            if zoo.fits(case, form) and (index % every == 0 or not zoo.fits(case, "row")):
                yield pytest.param(case, form, id=f"{form}-{case}")


def load_case(case: zoo.Case, form: str, folder: Path, size: tuple[int, int]) -> Net:
    path = folder / "zoo.yaml"
    path.write_text(zoo.spec(case, form, *size), encoding="utf-8")
    return load(path)


def any_size(net: Net, backend: str) -> Any:
    """A model that takes inputs of every size."""
    if backend != "keras":
        return net.build(backend)
    constructor = getattr(execute(net.source_file(backend)), net.emitted(backend).model)
    return constructor(input_shape=(None, None, zoo.CHANNELS))


def outputs_of(
    net: Net, backend: str, model: Any, batch: Array, shapes: Net, expected: Mapping[str, Array]
) -> dict[str, Array]:
    """The outputs of a model that agrees with the IR, whose shapes are those of `shapes`, and with
    what the interpreter gives."""
    assert not list(check_weights(net, backend, model))
    net.live(backend).load(model, random_weights(net.network))
    outputs = net.live(backend).outputs(model, batch)
    assert not list(check_shapes(shapes.network, backend, outputs))
    far = {path: deviation(outputs[path], expected[path]) for path in outputs if path in expected}
    assert "" in far
    assert max(far.values()) <= TOLERANCE, far
    return outputs


@pytest.mark.parametrize(("case", "form"), list(cases()))
def test_op(case: zoo.Case, form: str, tmp_path: Path) -> None:
    net = load_case(case, form, tmp_path, SIZE)
    batch = random_batch(net.network, *SIZE)
    weights = random_weights(net.network)
    expected = interpreter.outputs(net.network, weights, batch)
    if form == "row" and case.op in REFERENCES:
        before = batch if case.operands == ("x",) else expected[case.operands[0][:-3]]
        assert deviation(expected["y"], reference(net, before.astype(np.float64))) < 1e-12
    for backend in backends.sources():  # graphs have tests/test_onnx.py
        outputs_of(net, backend, net.build(backend), batch, net, expected)
    if case.any_size:
        other = load_case(case, form, tmp_path, OTHER_SIZE)
        batch = random_batch(net.network, *OTHER_SIZE)
        expected = interpreter.outputs(net.network, weights, batch)
        for backend in backends.sources():
            outputs_of(net, backend, any_size(net, backend), batch, other, expected)


def test_the_zoo_has_every_op_and_argument() -> None:
    seen = {op: set[str]() for op in CATALOGUE}
    for case in zoo.CASES:
        seen[case.op] |= case.arguments.keys()
    # What starts otherwise than kernels do is tried in test_initializers.
    assert seen == {
        op.name: {p.name for p in op.parameters if p.type.kind != "initializer" or p.name == "init"}
        for op in CATALOGUE.values()
    }


# ----------------------------------------------------------------------------- the reference


def windows(x: Array, a: Mapping[str, Any], fill: float, beyond: float = 0.0) -> Array:
    """Every window as (batch, channels, rows, columns, kernel height, kernel width)."""
    dilation = a.get("dilation", (1, 1))
    reach = [(k - 1) * d + 1 for k, d in zip(a["kernel"], dilation, strict=True)]
    pads = [
        sides(a["padding"], axis, n, a["kernel"][axis], a["stride"][axis], dilation[axis])
        for axis, n in enumerate(x.shape[2:])
    ]
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    if a.get("ceil_mode"):
        more = [
            (0, unfilled(*each)) for each in zip(x.shape[2:], reach, a["stride"], pads, strict=True)
        ]
        padded = np.pad(padded, [(0, 0), (0, 0), *more], constant_values=beyond)
    every = sliding_window_view(padded, reach, axis=(2, 3))
    (row, column), (down, across) = a["stride"], dilation
    return every[:, :, ::row, ::column, ::down, ::across]


def unfilled(n: int, k: int, s: int, pads: tuple[int, int]) -> int:
    """Cells that a window lacks which starts after the last whole one, on the input or before."""
    before, after = pads
    size, start = before + n + after, 0
    while start + k <= size:
        start += s
    needed = start - s + k < size or start == 0
    return start + k - size if needed and start < before + n else 0


def outside(a: Mapping[str, Any], otherwise: float) -> float:
    return 0.0 if a["padding"] == "zeros" or a.get("count_padding") else otherwise


def sides(padding: Any, axis: int, n: int, k: int, s: int, d: int) -> tuple[int, int]:
    """Zeros before and after. `same` as tf.nn's notes on padding give it."""
    if padding in ("same", "zeros"):
        reach = (k - 1) * d + 1
        total = max(reach - s, 0) if n % s == 0 else max(reach - n % s, 0)
        return total // 2, total - total // 2
    if padding == "symmetric":
        return k // 2 * d, k // 2 * d
    return (0, 0) if padding == "valid" else padding[2 * axis : 2 * axis + 2]


def conv2d(x: Array, a: Mapping[str, Any], weight: Array, bias: Array | float = 0.0) -> Array:
    groups = a.get("groups", 1)
    every = np.split(windows(x, a, 0), groups, axis=1)
    kernels = np.split(weight, groups)
    parts = [np.einsum("ncyxhw,ochw->noyx", *pair) for pair in zip(every, kernels, strict=True)]
    return np.concatenate(parts, axis=1) + np.reshape(bias, (-1, 1, 1))


def depthwise_conv2d(
    x: Array, a: Mapping[str, Any], weight: Array, bias: Array | float = 0.0
) -> Array:
    repeated = np.repeat(windows(x, a, 0), a["multiplier"], axis=1)
    return np.einsum("ncyxhw,chw->ncyx", repeated, weight[:, 0]) + np.reshape(bias, (-1, 1, 1))


def separable_conv2d(x: Array, a: Mapping[str, Any], depthwise: Array, *pointwise: Array) -> Array:
    plain = {"kernel": (1, 1), "stride": (1, 1), "padding": "valid"}
    return conv2d(depthwise_conv2d(x, a, depthwise), plain, *pointwise)


def batch_norm(x: Array, a: Mapping[str, Any], *weights: Array) -> Array:
    shape = (-1, 1, 1) if x.ndim == 4 else (-1,)
    every = [array.reshape(shape) for array in weights]
    scale = every.pop(0) if a["scale"] else 1.0
    offset = every.pop(0) if a["offset"] else 0.0
    mean, variance = every
    return (x - mean) / np.sqrt(variance + a["epsilon"]) * scale + offset


def layer_norm(x: Array, a: Mapping[str, Any], *weights: Array) -> Array:
    """PyTorch's own, with the channels last."""
    last, epsilon = torch.from_numpy(x).movedim(1, -1), a["epsilon"]
    y = F.layer_norm(last, x.shape[1:2], *map(torch.from_numpy, weights), eps=epsilon)
    return y.movedim(-1, 1).numpy()


def group_norm(x: Array, a: Mapping[str, Any], *weights: Array) -> Array:
    tensors = [torch.from_numpy(x), a["groups"], *map(torch.from_numpy, weights)]
    return F.group_norm(*tensors, eps=a["epsilon"]).numpy()


def prelu(x: Array, a: Mapping[str, Any], weight: Array) -> Array:
    return F.prelu(torch.from_numpy(x), torch.from_numpy(weight)).numpy()


def standardized_conv2d(x: Array, a: Mapping[str, Any], weight: Array) -> Array:
    """As timm has it: a batch norm of each filter's numbers."""
    filters = torch.from_numpy(weight).reshape(1, len(weight), -1)
    kernel = F.batch_norm(filters, None, None, training=True, eps=a["epsilon"])
    gamma = 1.0 if a["gamma"] is None else a["gamma"] / filters.shape[2] ** 0.5
    return conv2d(x, {**a, "groups": 1}, (kernel * gamma).reshape(weight.shape).numpy())


def learned(x: Array, a: Mapping[str, Any], weight: Array) -> Array:
    each = weight if x.ndim == 4 else weight[:, 0, 0]
    return np.stack([each for _ in x])


def reshape(x: Array, a: Mapping[str, Any]) -> Array:
    channels, *area = a["shape"]
    return np.moveaxis(np.moveaxis(x, 1, -1).reshape(len(x), *area, channels), -1, 1)


def rescale(x: Array, a: Mapping[str, Any]) -> Array:
    return np.moveaxis(np.moveaxis(x, 1, -1) * a["scale"] + a["offset"], -1, 1)


def crop2d(x: Array, a: Mapping[str, Any]) -> Array:
    top, bottom, left, right = a["cropping"]
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def axes(a: Mapping[str, Any]) -> tuple[int, ...]:
    return {"channels": (1,), "space": (2, 3)}[a["over"]]


def of_torch(name: str, x: Array, *given: Any) -> Any:
    """What a function of PyTorch's makes of an array."""
    import torch

    made = getattr(torch, name)(torch.from_numpy(x), *given)
    return [part.numpy() for part in made] if isinstance(made, tuple) else made.numpy()


def resize(x: Array, a: Mapping[str, Any]) -> Array:
    import torch
    from torch.nn import functional as F

    given = {"mode": a["method"].replace("_", "-"), "recompute_scale_factor": True}
    given |= {"align_corners": a["align_corners"]} if a["method"] == "bilinear" else {}
    return F.interpolate(torch.from_numpy(x), scale_factor=a["scale"], **given).numpy()


def conv_transpose2d(
    x: Array, a: Mapping[str, Any], weight: Array, bias: Array | float = 0.0
) -> Array:
    """PyTorch's, or for `same` and `valid` what Keras's convolution of that padding is the
    gradient of."""
    import keras
    import torch
    from torch.nn import functional as F

    if a["padding"] in ("same", "valid"):
        last, kernel = np.moveaxis(x, 1, -1), weight.transpose(2, 3, 1, 0)
        given = {"strides": a["stride"], "padding": a["padding"]}
        y = keras.ops.conv_transpose(keras.ops.cast(last, "float64"), kernel, **given)
        return np.moveaxis(np.asarray(y), -1, 1) + np.reshape(bias, (-1, 1, 1))
    arrays = torch.from_numpy(x), torch.from_numpy(weight)
    stride, more = a["stride"], a["output_padding"]
    y = F.conv_transpose2d(*arrays, stride=stride, output_padding=more).numpy()
    pads = [sides(a["padding"], axis, 0, a["kernel"][axis], 1, 1) for axis in (0, 1)]
    (top, bottom), (left, right) = pads
    y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    return y + np.reshape(bias, (-1, 1, 1))


def adaptive(name: str) -> Callable[[Array, Mapping[str, Any]], Array]:
    def pool(x: Array, a: Mapping[str, Any]) -> Array:
        import torch

        pooled = getattr(torch.nn.functional, name)(torch.from_numpy(x), a["size"])
        return np.asarray(pooled.numpy())

    return pool


REFERENCES: Mapping[str, Callable[..., Array]] = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "separable_conv2d": separable_conv2d,
    "standardized_conv2d": standardized_conv2d,
    "conv_transpose2d": conv_transpose2d,
    "dense": lambda x, a, weight, bias=0.0: x @ weight.T + bias,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "prelu": prelu,
    "l2_normalize": lambda x, a: F.normalize(torch.from_numpy(x), eps=a["epsilon"]).numpy(),
    "local_response_norm": lambda x, a: F.local_response_norm(torch.from_numpy(x), **a).numpy(),
    "max_pool2d": lambda x, a: windows(x, a, outside(a, -np.inf), -np.inf).max((-1, -2)),
    "avg_pool2d": lambda x, a: np.nanmean(windows(x, a, outside(a, np.nan), np.nan), (-1, -2)),
    "adaptive_avg_pool2d": adaptive("adaptive_avg_pool2d"),
    "adaptive_max_pool2d": adaptive("adaptive_max_pool2d"),
    "resize": resize,
    "learned": learned,
    "global_avg_pool2d": lambda x, a: x.mean((2, 3), keepdims=a["keepdims"]),
    "global_max_pool2d": lambda x, a: x.max((2, 3), keepdims=a["keepdims"]),
    "zero_pad2d": lambda x, a: np.pad(x, [(0, 0)] * 2 + [a["padding"][:2], a["padding"][2:]]),
    "crop2d": crop2d,
    "flatten": lambda x, a: np.moveaxis(x, 1, -1).reshape(len(x), -1),
    "reshape": reshape,
    "rescale": rescale,
    "identity": lambda x, a: x,
    "dropout": lambda x, a: x,
    "mean": lambda x, a: np.mean(x, axes(a), keepdims=True),
    "variance": lambda x, a: np.var(x, axes(a), keepdims=True),
    "slice": lambda x, a: np.take(x, range(a["start"], a["stop"]), axis=1),
    "split": lambda x, a: of_torch("chunk", x, a["parts"], 1)[a["index"]],
    "channel_shuffle": lambda x, a: of_torch("channel_shuffle", x, a["groups"]),
    "drop_path": lambda x, a: x,
}
"""In float64, from the definitions in SEMANTICS and the catalogue or by a framework's functions, by
nothing that archc has."""


def reference(net: Net, x: Array) -> Array:
    """What the network's last row, `y`, makes of `x`."""
    body = net.network.rows[-1].call.body
    weights = [a.astype(np.float64) for a in random_weights(net.network).values()]
    return REFERENCES[body.target.name](x, body.arguments, *weights)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 6])
def test_pools_are_those_of_pytorch(kernel: int, stride: int) -> None:
    import torch
    from torch.nn import functional as F

    sizes, flags = [(5, 8), (7, 6), (9, 11)], (False, True)
    for size, pad, ceil in product(sizes, range(kernel // 2 + 1), flags):
        x = np.random.default_rng(0).normal(size=(1, 2, *size))
        a = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (pad,) * 4}
        a |= {"ceil_mode": ceil}
        given = torch.from_numpy(x), kernel, stride, pad
        expected = F.max_pool2d(*given, ceil_mode=ceil)
        assert np.array_equal(interpreter.OPS["max_pool2d"](a, {}, x), expected.numpy())
        for counted in flags:
            expected = F.avg_pool2d(*given, ceil_mode=ceil, count_include_pad=counted)
            found = interpreter.OPS["avg_pool2d"]({**a, "count_padding": counted}, {}, x)
            assert found.shape == expected.shape
            assert np.allclose(found, expected.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["nearest", "nearest_exact", "bilinear", "aligned"])
def test_resizing_is_that_of_the_frameworks(method: str) -> None:
    """At sizes where their float32 rounds nothing to another cell."""
    import keras
    import torch
    from torch.nn import functional as F

    aligned = method == "aligned"
    a = {"method": "bilinear" if aligned else method, "align_corners": aligned}
    mode: dict[str, Any] = {"mode": a["method"].replace("_", "-")}
    mode |= {"align_corners": aligned} if a["method"] == "bilinear" else {}
    for n, m in product((1, 2, 5, 8, 13), (1, 2, 7, 13, 16, 30)):
        x = np.random.default_rng(0).normal(size=(1, 2, n, 3))
        found = interpreter.OPS["resize_like"](a, {}, x, np.zeros((1, 1, m, 5)))
        expected = F.interpolate(torch.from_numpy(x), (m, 5), **mode).numpy()
        assert np.allclose(found, expected, rtol=0, atol=1e-12)
        if method in ("nearest_exact", "bilinear"):
            word = method.removesuffix("_exact")
            last = keras.ops.image.resize(np.moveaxis(x, 1, -1), (m, 5), interpolation=word)
            assert np.allclose(np.moveaxis(found, 1, -1), last, rtol=0, atol=1e-5)


def test_pixels_are_shuffled_as_in_pytorch() -> None:
    import torch
    from torch.nn import functional as F

    x = np.random.default_rng(0).normal(size=(2, 18, 6, 9))
    found = interpreter.OPS["pixel_shuffle"]({"factor": 3}, {}, x)
    assert np.array_equal(found, F.pixel_shuffle(torch.from_numpy(x), 3).numpy())
    found = interpreter.OPS["pixel_unshuffle"]({"factor": 3}, {}, x)
    assert np.array_equal(found, F.pixel_unshuffle(torch.from_numpy(x), 3).numpy())


def test_nearest_is_exact_where_float32_is_not() -> None:
    """41 * (2 / 82) is 0.99999994 in float32, so PyTorch's own takes cell 0 there."""
    x = np.arange(2.0).reshape(1, 1, 1, 2)
    like = np.zeros((1, 1, 1, 82))
    found = interpreter.OPS["resize_like"]({"method": "nearest"}, {}, x, like)
    assert np.array_equal(found.ravel(), np.repeat([0.0, 1.0], 41))


def test_parts_of_a_transposed_convolution_are_its_groups(tmp_path: Path) -> None:
    """As the reference of the language says to write PyTorch's groups."""
    parts = [f"conv_transpose2d(split(x, 2, {i}), 4, 3, padding=symmetric)" for i in (0, 1)]
    block = f"inputs: [x], steps: [{{y: 'concat({', '.join(parts)})'}}]"
    text = "archc: 1\nname: Net\ninput: {channels: 6, height: 5, width: 4}\n"
    text += f"blocks: {{groups: {{{block}}}}}\nnetwork: [{{block: groups, name: y}}]\n"
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    network = load(tmp_path / "net.yaml").network
    weights, x = random_weights(network), random_batch(network, 5, 4)
    kernels, biases = (
        torch.from_numpy(np.concatenate([a for n, a in weights.items() if n.endswith(end)]))
        for end in ("weight", "bias")
    )
    given = torch.from_numpy(x).double(), kernels.double(), biases.double()
    expected = F.conv_transpose2d(*given, padding=1, groups=2).numpy()
    assert np.allclose(interpreter.run(network, weights, x), expected, rtol=0, atol=1e-12)


CHANNEL = """\
archc: 1
name: Net
input: {{channels: {channels}, height: {height}, width: {width}}}
blocks:
  summed: {{steps: [{{y: '{left} + mean({right}, over=channels)'}}]}}
network: [{{block: summed, name: y}}]
"""
CELL, VECTOR = "mean(x, over=space)", "global_avg_pool2d(x)"


@pytest.mark.parametrize("backend", ["torch", "keras"])
@pytest.mark.parametrize(
    ("left", "right", "shape"),
    [
        ("x", CELL, (2, 2, 5, 3)),
        ("x", CELL, (3, 2, 3, 5)),
        (CELL, CELL, (2, 2, 5, 3)),
        (VECTOR, VECTOR, (2, 2, 5, 3)),
        ("x", "x", (1, 3, 1, 3)),
        ("x", "x", (1, 3, 3, 1)),
        ("x", CELL, (3, 1, 3, 5)),
    ],
)
def test_one_channel_is_no_bias(
    left: str, right: str, shape: tuple[int, int, int, int], backend: str, tmp_path: Path
) -> None:
    """Keras 3.15 on TensorFlow adds what has one axis of more than 1, as long as the channels or
    the rows, as if that axis were theirs: one channel, where the batch is as large."""
    count, channels, height, width = shape
    text = CHANNEL.format(left=left, right=right, channels=channels, height=height, width=width)
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    net = load(tmp_path / "net.yaml")
    batch = random_batch(net.network, count=count)
    expected = interpreter.outputs(net.network, {}, batch)
    outputs_of(net, backend, net.build(backend), batch, net, expected)


KEPT_PADDING = """\
archc: 1
name: Net
params: {how: {type: padding, default: same, keep: true}}
input: {channels: 4, height: 12, width: 9}
network:
  - {block: conv2d, name: plain, filters: 4, kernel: 3, stride: 2, padding: how}
  - {block: depthwise_conv2d, name: depthwise, kernel: [3, 1], padding: how}
  - {block: standardized_conv2d, name: standardized, filters: 2, kernel: 3, padding: how}
"""


@pytest.mark.parametrize("how", ["same", "symmetric", "valid", (1, 0, 2, 1)])
@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_a_model_takes_its_padding(backend: str, how: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(KEPT_PADDING, encoding="utf-8")
    kept, net = load(tmp_path / "net.yaml"), load(tmp_path / "net.yaml", how=how)
    constructor = getattr(execute(kept.source_file(backend)), kept.emitted(backend).model)
    batch = random_batch(net.network)
    expected = interpreter.outputs(net.network, random_weights(net.network), batch)
    outputs_of(net, backend, constructor(how=how), batch, net, expected)


STANDARDIZED = """\
archc: 1
name: Net
input: {channels: 6, height: 9, width: 8}
blocks:
  scaled:
    steps:
      - conv: standardized_conv2d(x, 8, 3, stride=2, padding=symmetric, gamma=1.7, epsilon=1e-4)
      - gain: learned(conv, ones)
      - bias: learned(conv, zeros)
      - y: conv * gain + bias
network:
  - {block: scaled}
  - {block: standardized_conv2d, name: plain, filters: 4, kernel: [1, 3], epsilon: 1e-8}
"""


@pytest.mark.parametrize("size", [(9, 8), (12, 7)])
def test_standardized_convolutions_are_those_of_timm(size: tuple[int, int], tmp_path: Path) -> None:
    import_torchvision()
    from timm.layers import ScaledStdConv2d, StdConv2d

    (tmp_path / "net.yaml").write_text(STANDARDIZED, encoding="utf-8")
    network = load(tmp_path / "net.yaml").network
    weights, x = random_weights(network), random_batch(network, *size)
    first = ScaledStdConv2d(6, 8, 3, stride=2, padding=1, gamma=1.7, eps=1e-4).double()
    second = StdConv2d(8, 4, (1, 3), padding=(0, 1), eps=1e-8).double()
    for layer, name, path in (
        (first, "weight", "scaled.conv.weight"),
        (first, "gain", "scaled.gain.weight"),
        (first, "bias", "scaled.bias.weight"),
        (second, "weight", "plain.weight"),
    ):
        own = getattr(layer, name)
        own.data = torch.from_numpy(weights[path]).double().reshape(own.shape)
    expected = second(first(torch.from_numpy(x).double())).detach().numpy()
    assert np.allclose(interpreter.run(network, weights, x), expected, rtol=0, atol=1e-12)
