"""Every op of the catalogue: shapes, channels and costs, by hand and on random calls."""

import keyword
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.interface import called_channels
from archc.compiler.ir.network import Cost, Op, Parameter, Tensor
from archc.compiler.language import expressions as ex
from archc.compiler.language.initializers import NAMED, ONES
from archc.compiler.language.names import BACKENDS, BUILTINS, taken
from archc.compiler.language.problems import Invalid, Place, Source
from archc.compiler.language.values import (
    ACTIVATIONS,
    AXES,
    INTERPOLATIONS,
    PADDINGS,
    POOL_PADDINGS,
    Type,
)

HERE = Place(Source("here", ""), 1, 1)


def arguments(op: Op, given: dict[str, Any]) -> dict[str, Any]:
    """All of an op's arguments: the given ones, checked, and the defaults of the others."""
    defaults = {p.name: p.default.evaluate({}) for p in op.parameters if p.default is not None}
    values = {**dict.fromkeys(op.parameter), **defaults, **given}
    return {p.name: p.take(values[p.name]) for p in op.parameters}


def call(name: str, *inputs: Tensor, **given: Any) -> tuple[Tensor, Cost]:
    op = CATALOGUE[name]
    checked = arguments(op, given)
    output = op.shape(checked, *inputs)
    return output, op.cost(checked, output, *inputs)


# ----------------------------------------------------------------------------------------- by hand

MAP = Tensor(6, 10, 12)
GATE = Tensor(6, 1, 1)
VECTOR = Tensor(20)

# name, inputs, arguments; output shape, sizes of the weights, MACs, other operations
EXAMPLES: list[tuple[str, list[Tensor], dict[str, Any], tuple[int, ...], list[int], int, int]] = [
    ("conv2d", [MAP], {"filters": 8, "kernel": 3}, (8, 10, 12), [8 * 6 * 9, 8], 120 * 8 * 54, 0),
    (
        "conv2d",
        [MAP],
        {"filters": 4, "kernel": (3, 5), "stride": 2, "groups": 2, "bias": False},
        (4, 5, 6),
        [4 * 3 * 15],
        30 * 4 * 45,
        0,
    ),
    (
        "conv2d",
        [MAP],
        {"filters": 1, "kernel": 3, "dilation": (2, 1), "padding": "valid", "bias": False},
        (1, 6, 10),
        [54],
        60 * 54,
        0,
    ),
    (
        "standardized_conv2d",
        [MAP],
        {"filters": 4, "kernel": 3, "stride": 2},
        (4, 5, 6),
        [4 * 54],
        120 * 54,
        0,
    ),
    (
        "depthwise_conv2d",
        [MAP],
        {"kernel": 3, "multiplier": 2, "padding": (0, 1, 0, 1), "stride": (2, 1)},
        (12, 5, 11),
        [12 * 9, 12],
        55 * 12 * 9,
        0,
    ),
    (
        "separable_conv2d",
        [MAP],
        {"filters": 8, "kernel": 5, "stride": 2, "multiplier": 2},
        (8, 5, 6),
        [12 * 25, 8 * 12, 8],
        30 * (12 * 25 + 8 * 12),
        0,
    ),
    # TensorFlow's sizes; PyTorch's by the formula of its documentation.
    *[
        ("conv_transpose2d", [MAP], {"filters": 4, **given}, (4, *out), [24 * area, 4], macs, 0)
        for given, out, area, macs in (
            ({"kernel": 3, "stride": 2}, (20, 24), 9, 720 * 4 * 9),
            ({"kernel": 2, "stride": 3, "padding": "valid"}, (30, 36), 4, 720 * 4 * 4),
            ({"kernel": 3, "stride": 2, "padding": "valid"}, (21, 25), 9, 720 * 4 * 9),
            ({"kernel": 4, "stride": 2, "padding": (1, 1, 1, 1)}, (20, 24), 16, 720 * 4 * 16),
            (
                {"kernel": 3, "stride": 2, "padding": "symmetric", "output_padding": (1, 0)},
                (20, 23),
                9,
                720 * 4 * 9,
            ),
        )
    ],
    ("dense", [VECTOR], {"units": 10}, (10,), [200, 10], 200, 0),
    ("dense", [VECTOR], {"units": 10, "bias": False}, (10,), [200], 200, 0),
    ("batch_norm", [MAP], {}, (6, 10, 12), [6, 6, 6, 6], 0, 720),
    ("batch_norm", [VECTOR], {}, (20,), [20, 20, 20, 20], 0, 20),
    ("batch_norm", [MAP], {"scale": False}, (6, 10, 12), [6, 6, 6], 0, 720),
    ("batch_norm", [MAP], {"scale": False, "offset": False}, (6, 10, 12), [6, 6], 0, 720),
    ("layer_norm", [MAP], {}, (6, 10, 12), [6, 6], 0, 720),
    ("layer_norm", [VECTOR], {"affine": False}, (20,), [], 0, 20),
    ("group_norm", [MAP], {"groups": 3}, (6, 10, 12), [6, 6], 0, 720),
    ("group_norm", [MAP], {"groups": 6, "affine": False}, (6, 10, 12), [], 0, 720),
    ("group_norm", [VECTOR], {"groups": 10}, (20,), [20, 20], 0, 20),
    ("l2_normalize", [MAP], {}, (6, 10, 12), [], 0, 720),
    ("l2_normalize", [VECTOR], {"epsilon": 0.5}, (20,), [], 0, 20),
    ("local_response_norm", [MAP], {"size": 5}, (6, 10, 12), [], 0, 720 * 5),
    ("prelu", [MAP], {}, (6, 10, 12), [6], 0, 720),
    ("prelu", [VECTOR], {"shared": True, "init": 0}, (20,), [1], 0, 20),
    ("learned", [MAP], {"init": ONES}, (6, 1, 1), [6], 0, 0),
    ("learned", [MAP], {"init": ONES, "channels": 1}, (1, 1, 1), [1], 0, 0),
    ("learned", [MAP], {"init": ONES, "size": (10, 12)}, (6, 10, 12), [720], 0, 0),
    ("learned", [VECTOR], {"init": ONES}, (20,), [20], 0, 0),
    ("activation", [MAP], {"act": "relu"}, (6, 10, 12), [], 0, 720),
    ("max_pool2d", [MAP], {"kernel": 3, "stride": 2}, (6, 5, 6), [], 0, 180 * 9),
    ("avg_pool2d", [MAP], {"kernel": 2, "padding": "valid"}, (6, 9, 11), [], 0, 594 * 4),
    ("pixel_shuffle", [Tensor(18, 5, 7)], {"factor": 3}, (2, 15, 21), [], 0, 0),
    ("pixel_unshuffle", [MAP], {"factor": 2}, (24, 5, 6), [], 0, 0),
    ("resize", [MAP], {"scale": 1.5, "method": "nearest"}, (6, 15, 18), [], 0, 0),
    ("resize", [MAP], {"scale": 0.25, "method": "bilinear"}, (6, 2, 3), [], 0, 36 * 4),
    ("resize_like", [MAP, Tensor(2, 5, 7)], {"method": "nearest"}, (6, 5, 7), [], 0, 0),
    (
        "resize_like",
        [MAP, Tensor(2, 20, 7)],
        {"method": "bilinear", "align_corners": True},
        (6, 20, 7),
        [],
        0,
        840 * 4,
    ),
    # Rows 0-4, 3-7, 6-10 of 10, and columns 0-3, 2-5, 4-8, 7-10, 9-12 of 12.
    ("adaptive_avg_pool2d", [MAP], {"size": (3, 5)}, (6, 3, 5), [], 0, 6 * 12 * 16),
    ("adaptive_max_pool2d", [MAP], {"size": 2}, (6, 2, 2), [], 0, 6 * 10 * 12),
    # ResNet's stem, GoogLeNet's pools, and a last window that would start beyond the input.
    *[
        ("max_pool2d", [Tensor(1, size, size)], given, (1, out, out), [], 0, out * out * 9)
        for size, given, out in (
            (112, {"kernel": 3, "stride": 2, "padding": "symmetric"}, 56),
            (111, {"kernel": 3, "stride": 2, "padding": "symmetric"}, 56),
            (112, {"kernel": 3, "stride": 2, "padding": "valid"}, 55),
            (112, {"kernel": 3, "stride": 2, "padding": "valid", "ceil_mode": True}, 56),
            (6, {"kernel": 3, "stride": 5, "padding": "symmetric", "ceil_mode": True}, 2),
            (4, {"kernel": 3, "stride": 5, "padding": "symmetric", "ceil_mode": True}, 1),
        )
    ],
    (
        "avg_pool2d",
        [MAP],
        {"kernel": (2, 5), "padding": (0, 1, 2, 5), "count_padding": True},
        (6, 10, 15),
        [],
        0,
        900 * 10,
    ),
    ("global_avg_pool2d", [MAP], {}, (6,), [], 0, 720),
    ("global_avg_pool2d", [MAP], {"keepdims": True}, (6, 1, 1), [], 0, 720),
    ("global_max_pool2d", [MAP], {"keepdims": True}, (6, 1, 1), [], 0, 720),
    ("add", [MAP, MAP], {}, (6, 10, 12), [], 0, 720),
    ("add", [MAP, GATE], {}, (6, 10, 12), [], 0, 720),
    ("add", [GATE, MAP], {}, (6, 10, 12), [], 0, 720),
    ("multiply", [MAP, GATE], {}, (6, 10, 12), [], 0, 720),
    ("multiply", [GATE, MAP], {}, (6, 10, 12), [], 0, 720),
    ("subtract", [MAP, GATE], {}, (6, 10, 12), [], 0, 720),
    ("subtract", [MAP, Tensor(1, 10, 12)], {}, (6, 10, 12), [], 0, 720),
    ("divide", [MAP, Tensor(1, 1, 1)], {}, (6, 10, 12), [], 0, 720),
    ("divide", [VECTOR, Tensor(1)], {}, (20,), [], 0, 20),
    ("minimum", [VECTOR, VECTOR], {}, (20,), [], 0, 20),
    ("mean", [MAP], {"over": "channels"}, (1, 10, 12), [], 0, 720),
    ("mean", [MAP], {"over": "space"}, (6, 1, 1), [], 0, 720),
    ("variance", [VECTOR], {"over": "channels"}, (1,), [], 0, 20),
    ("sqrt", [MAP], {}, (6, 10, 12), [], 0, 720),
    ("maximum", [VECTOR, VECTOR], {}, (20,), [], 0, 20),
    ("concat", [MAP, Tensor(2, 10, 12), MAP], {}, (14, 10, 12), [], 0, 0),
    ("concat", [VECTOR, VECTOR], {}, (40,), [], 0, 0),
    ("zero_pad2d", [MAP], {"padding": (1, 2, 3, 4)}, (6, 13, 19), [], 0, 0),
    ("crop2d", [MAP], {"cropping": (1, 2, 3, 4)}, (6, 7, 5), [], 0, 0),
    ("flatten", [MAP], {}, (720,), [], 0, 0),
    ("reshape", [MAP], {"shape": (3, 4, 60)}, (3, 4, 60), [], 0, 0),
    ("reshape", [VECTOR], {"shape": (5, 2, 2)}, (5, 2, 2), [], 0, 0),
    ("slice", [MAP], {"start": 1, "stop": 5}, (4, 10, 12), [], 0, 0),
    ("slice", [VECTOR], {"start": 0, "stop": 20}, (20,), [], 0, 0),
    ("split", [MAP], {"parts": 3, "index": 2}, (2, 10, 12), [], 0, 0),
    ("split", [VECTOR], {"parts": 4, "index": 0}, (5,), [], 0, 0),
    ("channel_shuffle", [MAP], {"groups": 2}, (6, 10, 12), [], 0, 0),
    ("dropout", [MAP], {"rate": 0.5}, (6, 10, 12), [], 0, 0),
    ("drop_path", [MAP], {"rate": 0.5}, (6, 10, 12), [], 0, 0),
    ("drop_path", [VECTOR], {"rate": 0.5}, (20,), [], 0, 0),
    ("rescale", [MAP], {"scale": 2.0}, (6, 10, 12), [], 0, 720),
    ("rescale", [VECTOR], {"scale": 2.0, "offset": (0.5,) * 20}, (20,), [], 0, 20),
    ("identity", [MAP], {}, (6, 10, 12), [], 0, 0),
]


@pytest.mark.parametrize(
    ("name", "inputs", "given", "shape", "weights", "macs", "other"),
    EXAMPLES,
    ids=[f"{index}-{example[0]}" for index, example in enumerate(EXAMPLES)],
)
def test_shape_and_cost_by_hand(
    name: str,
    inputs: list[Tensor],
    given: dict[str, Any],
    shape: tuple[int, ...],
    weights: list[int],
    macs: int,
    other: int,
) -> None:
    output, cost = call(name, *inputs, **given)
    assert output.shape == shape
    assert [weight.size for weight in cost.weights] == weights
    assert (cost.macs, cost.other) == (macs, other)


def test_every_op_has_an_example() -> None:
    assert {name for name, *_ in EXAMPLES} == set(CATALOGUE)


def test_strides_add_up() -> None:
    x = Tensor(3, 32, 32, (2, 2))
    assert call("conv2d", x, filters=4, kernel=3, stride=2)[0].stride == 4
    assert call("max_pool2d", x, kernel=3, stride=(2, 1))[0].stride == (4, 2)
    assert call("zero_pad2d", x, padding=(1, 2, 3, 4))[0].stride == 2


def test_strides_of_what_has_another_size_whatever_the_window() -> None:
    x = Tensor(6, 16, 8, (2, 4))
    for op in ("global_avg_pool2d", "global_max_pool2d"):
        assert call(op, x)[0].stride == call(op, x, keepdims=True)[0].stride == 32
    wide = Tensor(6, 16, 8, (2, 2))
    vector, _ = call("flatten", wide)
    assert vector.stride == (32, 16)
    assert call("dense", vector, units=5)[0].stride == (32, 16)
    assert call("reshape", vector, shape=(6, 16, 8))[0].stride == 2
    assert call("reshape", wide, shape=(24, 8, 4))[0].stride == 4
    assert call("reshape", wide, shape=(48, 4, 4))[0].stride == (8, 4)
    assert call("reshape", wide, shape=(768,))[0].stride == (32, 16)
    assert call("reshape", wide, shape=(1, 16, 48))[0].stride == (2, 1)


def test_strides_of_what_is_resized() -> None:
    x, like = Tensor(6, 7, 14, (32, 16)), Tensor(6, 14, 28, (16, 8))
    assert call("resize", x, scale=2.0, method="nearest")[0].stride == (16, 8)
    assert call("resize_like", x, like, method="nearest")[0].stride == (16, 8)
    assert call("adaptive_avg_pool2d", like, size=7)[0].stride == 32


def test_a_gated_map_has_the_stride_of_the_map() -> None:
    x, gate = Tensor(6, 16, 8, (2, 2)), Tensor(6, 1, 1, (32, 16))
    assert call("multiply", x, gate)[0].stride == call("multiply", gate, x)[0].stride == 2


# The fans that scale the initializers: Keras's, whose depthwise kernel is (kh, kw, C, M).
@pytest.mark.parametrize(
    ("name", "given", "fans"),
    [
        ("conv2d", {"filters": 8, "kernel": (3, 5)}, [(15 * 6, 15 * 8)]),
        ("conv2d", {"filters": 8, "kernel": 3, "groups": 2}, [(9 * 3, 9 * 8)]),
        ("conv_transpose2d", {"filters": 8, "kernel": 3}, [(9 * 8, 9 * 6)]),
        ("depthwise_conv2d", {"kernel": 3, "multiplier": 2}, [(9 * 6, 9 * 2)]),
        ("separable_conv2d", {"filters": 8, "kernel": 3}, [(9 * 6, 9), (6, 8)]),
    ],
)
def test_fans(name: str, given: dict[str, Any], fans: list[tuple[int, int]]) -> None:
    _, cost = call(name, MAP, bias=False, **given)
    assert [weight.fans for weight in cost.weights] == fans


def test_running_averages_are_not_trained() -> None:
    _, cost = call("batch_norm", MAP)
    assert [w.name for w in cost.weights if not w.trainable] == ["running_mean", "running_var"]


REFUSED: list[tuple[str, list[Tensor], dict[str, Any], str]] = [
    ("maximum", [MAP, GATE], {}, "E040"),
    ("maximum", [MAP, VECTOR], {}, "E040"),
    ("multiply", [MAP, Tensor(5, 1, 1)], {}, "E040"),
    ("multiply", [MAP, Tensor(6)], {}, "E040"),
    ("multiply", [MAP, Tensor(6, 1, 12)], {}, "E040"),
    ("subtract", [Tensor(1, 10, 12), MAP], {}, "E040"),
    ("divide", [MAP, Tensor(1, 1, 12)], {}, "E040"),
    ("divide", [MAP, Tensor(1)], {}, "E040"),
    ("divide", [VECTOR, Tensor(1, 1, 1)], {}, "E040"),
    ("minimum", [MAP, GATE], {}, "E040"),
    ("mean", [VECTOR], {"over": "space"}, "E043"),
    ("concat", [MAP, GATE], {}, "E040"),
    ("concat", [MAP, VECTOR], {}, "E040"),
    ("reshape", [MAP], {"shape": (7,)}, "E040"),
    ("crop2d", [MAP], {"cropping": (5, 5, 0, 0)}, "E041"),
    ("avg_pool2d", [MAP], {"kernel": 2, "count_padding": True}, "E029"),
    ("resize", [MAP], {"scale": 2, "method": "nearest", "align_corners": True}, "E029"),
    *[
        ("conv_transpose2d", [MAP], {"filters": 4, "kernel": 3, "stride": 2, **given}, code)
        for given, code in (
            ({"output_padding": 1}, "E029"),
            ({"output_padding": (0, 2), "padding": "symmetric"}, "E035"),
            ({"padding": (10, 11, 0, 0)}, "E041"),
        )
    ],
    ("pixel_shuffle", [MAP], {"factor": 2}, "E042"),
    ("pixel_unshuffle", [MAP], {"factor": 3}, "E040"),
    ("pixel_unshuffle", [MAP], {"factor": 5}, "E040"),
    ("resize", [MAP], {"scale": 0.09, "method": "nearest"}, "E041"),
    ("resize_like", [VECTOR, MAP], {"method": "nearest"}, "E043"),
    ("resize_like", [MAP, VECTOR], {"method": "nearest"}, "E043"),
    *[
        (op, [MAP], {"kernel": (3, 4), "padding": sides}, "E035")
        for op in ("max_pool2d", "avg_pool2d")
        for sides in ((3, 0, 0, 0), (0, 3, 0, 0), (0, 0, 4, 0), (0, 0, 0, 4))
    ],
    ("conv2d", [MAP], {"filters": 4, "kernel": 13, "padding": "valid"}, "E041"),
    ("conv2d", [MAP], {"filters": 4, "kernel": 3, "groups": 4}, "E042"),
    ("conv2d", [MAP], {"filters": 4, "kernel": 3, "groups": 3}, "E042"),
    ("slice", [MAP], {"start": 2, "stop": 7}, "E041"),
    ("slice", [MAP], {"start": 2, "stop": 2}, "E035"),
    ("split", [MAP], {"parts": 4, "index": 0}, "E042"),
    ("split", [MAP], {"parts": 3, "index": 3}, "E035"),
    ("channel_shuffle", [MAP], {"groups": 4}, "E042"),
    ("channel_shuffle", [VECTOR], {"groups": 4}, "E043"),
    ("group_norm", [MAP], {"groups": 4}, "E042"),
    ("group_norm", [VECTOR], {"groups": 20}, "E042"),
    ("group_norm", [GATE], {"groups": 6}, "E042"),
    ("layer_norm", [Tensor(1, 4, 4)], {}, "E042"),
    ("layer_norm", [Tensor(1)], {}, "E042"),
    ("rescale", [MAP], {"scale": (1.0, 2.0, 3.0)}, "E040"),
    ("rescale", [MAP], {"scale": 1.0, "offset": (1.0,)}, "E040"),
    ("rescale", [VECTOR], {"scale": 1.0, "offset": (1.0,) * 21}, "E040"),
    ("dense", [MAP], {"units": 3}, "E043"),
    *[
        (name, [VECTOR], given, "E043")
        for name, given in {
            "conv2d": {"filters": 4, "kernel": 3},
            "depthwise_conv2d": {"kernel": 3},
            "separable_conv2d": {"filters": 4, "kernel": 3},
            "conv_transpose2d": {"filters": 4, "kernel": 3},
            "max_pool2d": {"kernel": 3},
            "avg_pool2d": {"kernel": 3},
            "local_response_norm": {"size": 5},
            "global_avg_pool2d": {},
            "global_max_pool2d": {},
            "pixel_shuffle": {"factor": 2},
            "pixel_unshuffle": {"factor": 2},
            "adaptive_avg_pool2d": {"size": 2},
            "adaptive_max_pool2d": {"size": 2},
            "resize": {"scale": 2.0, "method": "nearest"},
            "zero_pad2d": {"padding": (1, 1, 1, 1)},
            "crop2d": {"cropping": (1, 1, 1, 1)},
        }.items()
    ],
]

# What differs in one dimension alone, and on one side of it.
TALL, WIDE = Tensor(6, 12, 12), Tensor(6, 10, 10)
REFUSED += [
    *[
        (op, [MAP, other], {}, "E040")
        for op in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "concat")
        for other in (TALL, WIDE)
    ],
    *[
        ("multiply", [MAP, gate], {}, "E040")
        for gate in (Tensor(6, 1, 12), Tensor(6, 10, 1), Tensor(2, 1, 1), Tensor(6))
    ],
    ("concat", [MAP, MAP, TALL], {}, "E040"),
    ("concat", [VECTOR, MAP], {}, "E040"),
    ("concat", [MAP, VECTOR], {}, "E040"),
    *[
        ("crop2d", [MAP], {"cropping": sides}, "E041")
        for sides in ((10, 0, 0, 0), (0, 10, 0, 0), (5, 5, 0, 0), (0, 0, 12, 0), (0, 0, 5, 7))
    ],
    *[
        (op, [MAP], {"kernel": kernel, "padding": "valid"}, "E041")
        for op in ("max_pool2d", "avg_pool2d", "depthwise_conv2d")
        for kernel in ((11, 1), (1, 13))
    ],
    *[
        (op, [MAP], {"filters": 6, "kernel": 3, "stride": stride, "dilation": dilation}, "E048")
        for op in ("conv2d", "separable_conv2d")
        for stride, dilation in (((2, 1), (1, 2)), ((1, 2), (1, 2)), ((2, 2), (2, 1)))
    ],
]


def test_what_only_just_fits() -> None:
    assert call("crop2d", MAP, cropping=(0, 9, 11, 0))[0].shape == (6, 1, 1)
    assert call("crop2d", MAP, cropping=(1, 2, 3, 5))[0].shape == (6, 7, 4)
    assert call("zero_pad2d", MAP, padding=(1, 2, 3, 5))[0].shape == (6, 13, 20)
    assert call("max_pool2d", MAP, kernel=(10, 12), padding="valid")[0].shape == (6, 1, 1)
    assert call("concat", MAP, Tensor(1, 10, 12), MAP)[0].shape == (13, 10, 12)
    assert call("concat", VECTOR, Tensor(3))[0].shape == (23,)


@pytest.mark.parametrize(
    ("name", "inputs", "given", "code"),
    REFUSED,
    ids=[f"{index}-{example[0]}" for index, example in enumerate(REFUSED)],
)
def test_refused(name: str, inputs: list[Tensor], given: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as raised:
        call(name, *inputs, **given)
    assert raised.value.code == code


# --------------------------------------------------------------------------------- on random calls

even = st.integers(1, 4).map(lambda half: 2 * half)
small = st.integers(1, 4)
four = st.tuples(*[st.integers(0, 3)] * 4)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": even,
    "float": st.floats(0.1, 0.9),
    "bool": st.booleans(),
    "numbers": st.floats(0.1, 0.9) | st.tuples(*[st.floats(0.1, 0.9)] * 4),
    "size": small | st.tuples(small, small),
    "sides": four,
    "shape": st.tuples(small) | st.tuples(small, small, small),
    "padding": st.sampled_from(list(PADDINGS)) | four,
    "pool_padding": st.sampled_from(list(POOL_PADDINGS)) | four,
    "axes": st.sampled_from(list(AXES)),
    "interpolation": st.sampled_from(list(INTERPOLATIONS)),
    "activation": st.sampled_from(list(ACTIVATIONS)),
    "initializer": st.sampled_from(list(NAMED.values())),
}
maps = st.builds(Tensor, even, st.integers(4, 12), st.integers(4, 12))
vectors = st.builds(Tensor, even)


def drawn(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Values of a parameter."""
    found = st.just(ONES) if parameter.fanless else KINDS[parameter.type.kind]
    return st.none() | found if parameter.type.optional else found


@st.composite
def calls(draw: st.DrawFn, name: str) -> tuple[Op, dict[str, Any], list[Tensor]]:
    op = CATALOGUE[name]
    values = {p.name: draw(drawn(p)) for p in op.parameters}
    few = {"groups": [1, 2], "parts": [1, 2], "index": [0, 1], "start": [0, 1]}
    values |= {each: draw(st.sampled_from(few[each])) for each in few.keys() & values.keys()}
    if "output_padding" in values:
        values["output_padding"] = 0
    x = draw(vectors if name == "dense" else maps)
    if name.startswith("pixel"):
        factor = values["factor"]
        x = Tensor(x.channels * factor**2, x.channels * factor, factor)
    count = draw(small) if op.variadic else len(op.inputs)
    return op, arguments(op, values), [x] * count


@pytest.mark.parametrize("name", [name for name, op in CATALOGUE.items() if op.channels])
@given(data=st.data())
def test_the_channels_as_an_expression_are_those_of_the_shape(
    name: str, data: st.DataObject
) -> None:
    op, values, inputs = data.draw(calls(name))
    try:
        output = op.shape(values, *inputs)
    except Invalid:
        assume(False)
    nodes = {key: ex.Literal(value, HERE) for key, value in values.items()}
    channels = [ex.Literal(x.channels, HERE) for x in inputs]
    expression = called_channels(op, nodes, tuple(channels))
    assert expression is not None
    assert expression.evaluate({}) == output.channels


def test_only_what_depends_on_the_size_has_no_channels() -> None:
    assert {name for name, op in CATALOGUE.items() if not op.channels} == {"flatten", "reshape"}


# ----------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("name", CATALOGUE)
def test_defaults_are_values_of_their_type(name: str) -> None:
    for parameter in CATALOGUE[name].parameters:
        if parameter.default is not None:
            parameter.take(parameter.default.evaluate({}))


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_op_says_what_it_and_its_arguments_are(name: str) -> None:
    op = CATALOGUE[name]
    assert op.doc.endswith(".")
    assert all(parameter.doc for parameter in op.parameters)


VALUES: list[tuple[str, Any, Any]] = [
    ("int", 3.0, 3),
    ("int", 3.5, "E034"),
    ("int", True, "E034"),
    ("int", "3", "E034"),
    ("int", None, "E034"),
    ("int", 10**400, "E035"),
    ("int", 1e300, "E035"),
    ("int?", None, None),
    ("float", 3, 3.0),
    ("float", False, "E034"),
    ("float", float("inf"), "E035"),
    ("float", float("nan"), "E035"),
    ("float", -(10**400), "E035"),
    ("bool", True, True),
    ("bool", 1, "E034"),
    ("size", 3, (3, 3)),
    ("size", (3, 5.0), (3, 5)),
    ("size", (1, 2, 3), "E034"),
    ("numbers", 3, 3.0),
    ("numbers", (3, 0.5), (3.0, 0.5)),
    ("numbers", (), "E034"),
    ("numbers", (1, True), "E034"),
    ("numbers", (1.0, float("inf")), "E035"),
    ("numbers", "relu", "E034"),
    ("sides", (0, 1, 2, 3), (0, 1, 2, 3)),
    ("sides", 1, "E034"),
    ("sides", (0, 0, 0, -1), "E035"),
    ("shape", (4,), (4,)),
    ("shape", (4, 4), "E034"),
    ("padding", "same", "same"),
    ("padding", (0, 1, 0, 1), (0, 1, 0, 1)),
    ("padding", "full", "E034"),
    ("pool_padding", "symmetric", "symmetric"),
    ("pool_padding", (0, 1, 0, 1), (0, 1, 0, 1)),
    ("pool_padding", "reflect", "E034"),
    ("activation", "relu", "relu"),
    ("activation", None, None),
    ("activation", "hardswish", "E031"),
    ("initializer", "he_normal", NAMED["he_normal"]),
    ("initializer", NAMED["zeros"], NAMED["zeros"]),
    ("initializer", "he", "E034"),
]


@pytest.mark.parametrize(("kind", "value", "taken"), VALUES)
def test_what_a_type_takes(kind: str, value: Any, taken: Any) -> None:
    parameter = Parameter("p", Type(kind.rstrip("?"), kind.endswith("?")))
    if isinstance(taken, str) and taken.startswith("E0"):
        with pytest.raises(Invalid) as raised:
            parameter.take(value)
        assert raised.value.code == taken
    else:
        assert parameter.take(value) == taken
        assert type(parameter.take(value)) is type(taken)


def test_names_that_a_layer_must_not_have_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    names = {name for name in dir(torch.nn.Sequential()) if not name.startswith("_")}
    assert taken(BACKENDS / "torch").attributes.keys() == names | {"forward_features"}


def test_words_of_python_are_known() -> None:
    """Where this fails, a newer Python has more: add them, and see what `git diff` says of it."""
    code = "import builtins; print(*dir(builtins))"
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    names = {name for name in said.stdout.split() if not name.startswith("_")}
    assert names - {*keyword.kwlist} <= BUILTINS
