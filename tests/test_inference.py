"""Networks for inference: what is folded, what stays, and that the numbers are the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import archc
from archc import Net, backends
from archc.cli import cli
from archc.compiler.elaborate.merging import Merge
from archc.compiler.elaborate.sizes import at_size
from archc.live import interpreter, verify
from archc.live.check import compare
from archc.live.numeric import (
    deviation,
    random_batch,
    random_inputs,
    random_weights,
    settled_weights,
)
from archc.weights.convert import write
from archc.weights.folding import folded
from archc.weights.settings import carried

SPECS = Path(__file__).parents[1] / "specs"
EMITTED = Path(__file__).with_name("emitted")
NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenet_v1_cifar": {},
    "mnv3_small": {},
    "mobilenet_v1": {"alpha": 0.25, "act": "frelu"},
    "mobilenet_v4_small": {},
    "efficientnet_b0": {},
    "nasnet_a_mobile": {"cells": 1, "penultimate_filters": 96},
    "resnet18": {},
    "regnet_y_400mf": {},
    "densenet121": {},
    "shufflenet_v2": {},
    "googlenet": {},
    "repvgg_a0": {},
}
LEFT = {"densenet121": 62}
"""Batch norms that stay: those before an activation that follow no convolution."""

BLOCKS = """\
archc: 1
name: Net
params: {rate: {type: float, default: 0.25, keep: true}}
input: {channels: 4, height: 9, width: 8}
blocks:
  plain:
    params: {out: int, drop: {type: float, default: 0.5}}
    steps:
      - conv: conv2d(x, out, 3, bias=false)
      - bn: batch_norm(conv, epsilon=0.1, scale=false)
      - drop: dropout(bn, drop)
  optional:
    params: {norm: bool}
    steps:
      - conv: conv2d(x, 6, 3, bias=not norm)
      - bn: batch_norm(conv)
        when: norm
  alike:
    params: {norm: bool}
    steps:
      - conv: depthwise_conv2d(x, 3, multiplier=2)
        when: norm
      - bn: batch_norm(conv, offset=false)
        when: norm
  within:
    steps:
      - bn: batch_norm(separable_conv2d(dropout(x, 0.1), 6, 3))
      - up: conv_transpose2d(bn, 4, 2, stride=2)
      - other: batch_norm(up, scale=false, offset=false)
  twice:
    doc: One batch norm shares its input.
    steps:
      - conv: conv2d(x, 5, 1)
      - bn: batch_norm(conv)
      - sum: bn + conv
  before:
    steps:
      - bn: batch_norm(x)
      - act: activation(bn, relu)
      - conv: conv2d(act, 6, 3)
  later:
    doc: The convolution stands where the batch norm stood.
    steps:
      - conv: conv2d(x, 6, 3)
      - side: activation(identity(x), relu)
      - bn: batch_norm(conv)
      - both: concat(bn, side)
  alone:
    steps:
      - drop: dropout(x, 0.5)
  between:
    doc: A dropout between the two is no step between them.
    steps:
      - conv: conv2d(x, 5, 1)
      - drop: dropout(conv, 0.3)
      - bn: batch_norm(drop)
  head:
    params: {rate: float, share: float}
    let: {kept: 1 - share}
    steps:
      - pool: global_avg_pool2d(x)
      - drop: dropout(dropout(pool, kept), rate)
      - out: dense(drop, 7)
      - bn: batch_norm(out)
network:
  - {block: plain, out: 6}
  - {block: plain, name: other, out: 6, drop: 0.1}
  - {block: optional, norm: true}
  - {block: optional, name: without, norm: false}
  - {block: alike, norm: true}
  - {block: alike, name: unlike, norm: false}
  - {block: within}
  - {block: twice}
  - {block: before}
  - {block: later}
  - {block: alone}
  - {block: between}
  - {block: head, rate: rate, share: 0.75}
"""

Load = Callable[[str], Net]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> Net:
        path = tmp_path / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return archc.load(path)

    return loaded


def ops(net: Net, path: str = "") -> list[str]:
    return [layer.op for layer in net.layers if layer.path.startswith(path)]


# ------------------------------------------------------------------------------ the same numbers


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 96), (65, 51)])
def test_a_network_gives_what_it_gave(name: str, size: tuple[int, int]) -> None:
    net = archc.load(SPECS / f"{name}.yaml", **NETWORKS[name])
    size = net.input_shape[1:] if name.endswith("cifar") else size  # type: ignore[assignment]
    left, batch = net.for_inference(), random_batch(net.network, *size, count=1)
    assert ops(left).count("batch_norm") == LEFT.get(name, 0)
    assert "dropout" not in ops(left)
    weights = random_weights(net.network)
    right = interpreter.run(at_size(net.network, *size), weights, batch)
    found = interpreter.run(at_size(left.network, *size), folded(net, weights, "float64"), batch)
    assert deviation(found, right) < 1e-6


def test_each_way_to_fold_gives_what_it_gave(load: Load) -> None:
    net = load(BLOCKS)
    batch = random_batch(net.network)
    weights = settled_weights(net.network, batch)
    right = interpreter.outputs(net.network, weights, batch)
    left = net.for_inference()
    found = interpreter.outputs(left.network, folded(net, weights, "float64"), batch)
    for row in net.network.rows:
        path = row.call.name
        assert deviation(found[path], right[path]) < 1e-12, path


@pytest.mark.parametrize("text", [BLOCKS, (EMITTED / "outputs.yaml").read_text("utf-8")])
def test_backends_agree(text: str, load: Load) -> None:
    assert not compare(load(text).for_inference(), backends.names(), numeric=True).differences


def test_several_inputs_stay() -> None:
    net = archc.load(EMITTED / "inputs.yaml")
    batch = random_inputs(net.network)
    weights = settled_weights(net.network, batch)
    right = interpreter.run(net.network, weights, batch)
    left = net.for_inference()
    found = interpreter.run(left.network, folded(net, weights, "float64"), batch)
    assert deviation(found, right) < 1e-12


OTHERWISE = """\
archc: 1
name: Net
input: {channels: 4, height: 9, width: 8}
blocks:
  either:
    params: {norm: bool}
    steps:
      - other: conv2d(x, 3, 3, bias=false)
      - second: batch_norm(other, epsilon=0.1)
      - conv: conv2d(x, 6, 3)
        when: norm
      - bn: batch_norm(conv)
        when: norm
        else: second
      - drop: dropout(bn, 0.5)
        when: norm
        else: x
      - both: concat(drop, second)
network:
  - {block: either, name: made, norm: true}
  - {block: either, name: left_out, norm: false}
"""


def test_what_stands_for_a_step_stays(load: Load) -> None:
    net = load(OTHERWISE)
    batch = random_batch(net.network)
    weights = settled_weights(net.network, batch)
    right = interpreter.run(net.network, weights, batch)
    left = net.for_inference()
    found = interpreter.run(left.network, folded(net, weights, "float64"), batch)
    assert deviation(found, right) < 1e-12
    assert ops(left, "made") == ["conv2d", "conv2d", "dropout", "concat"]
    assert ops(left, "left_out") == ["conv2d", "concat"]
    assert not compare(left, backends.names(), numeric=True).differences


STANDARDIZED = """\
archc: 1
name: Net
input: {channels: 4, height: 9, width: 8}
blocks:
  unit:
    steps:
      - conv: standardized_conv2d(x, 6, 3)
      - bn: batch_norm(conv)
network:
  - {block: unit}
"""


def test_standardized_kernels_take_no_batch_norm(load: Load) -> None:
    assert ops(load(STANDARDIZED).for_inference()) == ["standardized_conv2d", "batch_norm"]


# ----------------------------------------------------------------------------- what is folded


def test_what_goes_and_what_stays(load: Load) -> None:
    left = load(BLOCKS).for_inference()
    assert ops(left, "plain") == ["conv2d"]
    assert ops(left, "optional") == ["conv2d", "batch_norm"]
    assert ops(left, "without") == ["conv2d"]
    assert ops(left, "alike") == ["depthwise_conv2d"]
    assert ops(left, "unlike") == []
    assert ops(left, "within") == ["separable_conv2d", "conv_transpose2d"]
    assert ops(left, "twice") == ["conv2d", "batch_norm", "add"]
    assert ops(left, "before") == ["batch_norm", "activation", "conv2d"]
    assert ops(left, "later") == ["activation", "conv2d", "concat"]
    assert ops(left, "alone") == ["dropout"]
    assert ops(left, "between") == ["conv2d"]
    assert ops(left, "head") == ["global_avg_pool2d", "dense"]


def test_parameters_that_only_training_asked_for_go(load: Load) -> None:
    net = load(BLOCKS)
    left = net.for_inference()
    assert [p.name for p in net.network.kept] == ["rate"]
    assert left.network.kept == ()
    for backend in backends.sources():
        text = left.source(backend)
        assert not re.search(r"\brate\b", text)
        assert "0.5" not in text.replace("Dropout(0.5", "")


UNREAD = """\
archc: 1
name: Net
input: {channels: 4, height: 9, width: 8}
blocks:
  dropping:
    params: {rate: float, out: int}
    let: {kept: 1 - rate, half: kept / 2, more: out + 1}
    steps:
      - drop: dropout(x, rate)
      - conv: conv2d(drop, out, 1)
network: [{block: dropping, rate: 0.5, out: 3}]
"""


def test_what_nothing_reads_goes_with_what_it_speaks_of(load: Load) -> None:
    (block,) = load(UNREAD).for_inference().network.called_blocks
    assert [p.name for p in block.parameters] == ["out"]
    assert [name for name, _ in block.lets] == ["more"]


def test_folds_are_told_by_path(load: Load) -> None:
    folds = {fold.norm: fold.layer for fold in load(BLOCKS).for_inference().folds}
    assert folds == {
        "plain.bn": "plain.conv",
        "other.bn": "other.conv",
        "alike.bn": "alike.conv",
        "within.bn": "within.bn_x",
        "within.other": "within.up",
        "later.bn": "later.conv",
        "between.bn": "between.conv",
        "head.bn": "head.out",
    }


def test_a_fold_is_the_textbook_one(load: Load) -> None:
    """y = (w x + b - mean) * scale / sqrt(variance + epsilon) + offset, for one channel."""
    text = """\
archc: 1
name: Net
input: {channels: 1, height: 1, width: 1}
blocks:
  b:
    steps:
      - conv: conv2d(x, 1, 1)
      - bn: batch_norm(conv, epsilon=0.5)
network: [{block: b}]
"""
    given = {"conv.weight": 3, "conv.bias": 1, "bn.weight": 2, "bn.bias": 7}
    given |= {"bn.running_mean": 4, "bn.running_var": 0.5}
    net = load(text)
    arrays = {f"b.{name}": np.full(1, value, np.float32) for name, value in given.items()}
    arrays["b.conv.weight"] = arrays["b.conv.weight"].reshape(1, 1, 1, 1)
    found = folded(net, arrays)
    assert {k: float(v.item()) for k, v in found.items()} == {
        "b.conv.weight": 6.0,
        "b.conv.bias": 1.0,
    }


# ------------------------------------------------------------------------- sums of convolutions

SUM = """\
archc: 1
name: Net
input: {{channels: 4, height: 9, width: 8}}
blocks:
  unit:
    params:
      out: int
      kernel: size
      stride: {{type: int, default: 1}}
      groups: {{type: int, default: 1}}
    steps:
      - conv: conv2d(x, out, kernel, stride=stride, groups=groups, bias=false)
      - bn: batch_norm(conv)
  filter:
    params: {{kernel: size}}
    steps:
      - conv: depthwise_conv2d(x, kernel, bias=false)
      - bn: batch_norm(conv)
  branches:
    steps:
{steps}
network:
  - {{block: branches}}
  - {{block: branches, name: more}}
defaults:
  conv2d: {{padding: {padding}}}
"""


def sum_of(load: Load, *steps: str, padding: str = "symmetric") -> Net:
    lines = "\n".join(f"      - {step}" for step in steps)
    return load(SUM.format(steps=lines, padding=padding))


THREE = ("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "ab: a + b", "i: batch_norm(x)", "y: ab + i")


@pytest.mark.parametrize(
    ("steps", "padding", "left"),
    [
        (THREE, "symmetric", ["conv2d"]),
        (THREE, "same", ["conv2d"]),
        (("i: batch_norm(x)", "b: unit(x, 4, 1)", "ib: i + b", "a: unit(x, 4, 5)", "y: ib + a"),
         "same", ["conv2d"]),
        (("a: unit(x, 4, [1, 3])", "b: unit(x, 4, [3, 3])", "y: a + b"), "same", ["conv2d"]),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "y: a + b", "z: y + batch_norm(x)"),
         "same", ["conv2d", "batch_norm", "add"]),
        (("a: unit(x, 4, 3, groups=2)", "i: batch_norm(x)", "y: a + i"), "same", ["conv2d"]),
        (("a: unit(x, 4, 3, stride=2)", "b: unit(x, 4, 1, stride=2)", "y: a + b"),
         "symmetric", ["conv2d"]),
        (("a: unit(x, 4, 3, stride=2)", "b: unit(x, 4, 5, stride=2)", "y: a + b"),
         "same", ["conv2d"]),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "i: batch_norm(x)", "y: a + b + i"),
         "same", ["conv2d"]),
        (("a: filter(x, 3)", "b: filter(x, 1)", "i: batch_norm(x)", "y: a + (b + i)"),
         "same", ["depthwise_conv2d"]),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "y: a + b", "r: activation(y, relu)",
          "c: unit(r, 4, 1)", "d: unit(r, 4, 3)", "z: c + d", "e: activation(z, relu)"),
         "same", ["conv2d", "activation", "conv2d", "activation"]),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "y: a + b", "c: unit(y, 4, 1)",
          "d: unit(y, 4, 3)", "z: c + d"), "same", ["conv2d", "conv2d"]),
    ],
)  # fmt: skip
def test_sums_become_one_convolution(
    load: Load, steps: tuple[str, ...], padding: str, left: list[str]
) -> None:
    net = sum_of(load, *steps, padding=padding)
    small = net.for_inference()
    assert ops(small, "branches") == left
    batch = random_batch(net.network)
    weights = settled_weights(net.network, batch)
    for size in ((9, 8), (12, 7)):
        images = random_batch(net.network, *size)
        right = interpreter.run(at_size(net.network, *size), weights, images)
        wide = folded(net, weights, "float64")
        found = interpreter.run(at_size(small.network, *size), wide, images)
        assert deviation(found, right) < 1e-12


@pytest.mark.parametrize(
    ("steps", "padding"),
    [
        # The centres of the windows lie on other cells where the input's size decides.
        (("a: unit(x, 4, 3, stride=2)", "b: unit(x, 4, 1, stride=2)", "y: a + b"), "same"),
        (("a: unit(x, 4, [1, 3])", "b: unit(x, 4, [3, 1])", "y: a + b"), "same"),
        (("a: unit(x, 4, 2)", "b: unit(x, 4, 1)", "y: a + b"), "same"),
        (("a: unit(x, 4, 3, groups=2)", "b: unit(x, 4, 1)", "y: a + b"), "same"),
        (("a: unit(x, 4, 3)", "b: unit(a, 4, 1)", "y: a + b"), "same"),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "y: a + b", "z: y * a"), "same"),
        (("a: unit(x, 4, 3)", "b: activation(x, relu)", "y: a + b"), "same"),
        (("a: unit(x, 4, 3)", "y: a + x"), "same"),
        (("a: unit(x, 4, 3)", "b: filter(x, 3)", "y: a + b"), "same"),
        (("a: unit(x, 4, 3)", "b: unit(x, 4, 1)", "y: a + b + x"), "same"),
        (("a: unit(x, 4, 3)", "b: standardized_conv2d(x, 4, 1)", "y: a + b"), "same"),
        (("a: standardized_conv2d(x, 4, 3)", "b: batch_norm(x)", "y: a + b"), "same"),
    ],
)
def test_other_sums_stay(load: Load, steps: tuple[str, ...], padding: str) -> None:
    net = sum_of(load, *steps, padding=padding)
    small = net.for_inference()
    assert "add" in ops(small)
    assert not any(isinstance(each, Merge) for each in small.gone)


def test_repvgg_is_plain_as_its_paper_says() -> None:
    """Table 4 of arXiv:2101.03697: 8.30 million parameters of RepVGG-A0 for inference."""
    net = archc.load(SPECS / "repvgg_a0.yaml").for_inference()
    assert {*ops(net)} == {"conv2d", "activation", "global_avg_pool2d", "dense"}
    assert ops(net).count("conv2d") == 22
    assert round(net.params.total / 1e6, 1) == 8.3


# ----------------------------------------------------------- through concatenations, and before

PARTS = """\
archc: 1
name: Net
input: {{channels: 4, height: 9, width: 8}}
blocks:
  unit:
    params: {{out: int, kernel: int, padding: padding}}
    steps:
      - conv: conv2d(x, out, kernel, padding=padding, bias=false)
      - bn: batch_norm(conv)
  unbiased:
    steps:
      - conv: conv2d(x, 4, 1, bias=false)
      - act: activation(conv, relu)
  parts:
    steps:
{steps}
network:
  - {{block: parts}}
  - {{block: parts, name: more}}
"""


def parts_of(load: Load, *steps: str) -> Net:
    return load(PARTS.format(steps="\n".join(f"      - {step}" for step in steps)))


def folded_alike(net: Net, *sizes: tuple[int, int]) -> Net:
    """The network for inference, which gives what the one that was trained gives at all sizes."""
    small, batch = net.for_inference(), random_batch(net.network)
    weights = settled_weights(net.network, batch)
    for size in sizes:
        images = random_batch(net.network, *size)
        right = interpreter.run(at_size(net.network, *size), weights, images)
        wide = folded(net, weights, "float64")
        found = interpreter.run(at_size(small.network, *size), wide, images)
        assert deviation(found, right) < 1e-12
    return small


NORM = "bn: batch_norm(x)"
GONE: list[tuple[tuple[str, ...], list[str]]] = [
    # Through a concatenation, by parts.
    (("a: conv2d(x, 3, 1)", "b: separable_conv2d(x, 1, 3, bias=false)", "both: concat(b, a)",
      "bn: batch_norm(both)"), ["conv2d", "separable_conv2d", "concat"]),
    (("bn: batch_norm(concat(conv2d(x, 3, 1), concat(conv2d(x, 2, 3), depthwise_conv2d(x, 3))))",
      "down: conv2d(bn, 4, 1)"), ["conv2d", "conv2d", "depthwise_conv2d", "concat", "concat",
                                  "conv2d"]),
    # Twice: one after the other.
    (("a: conv2d(x, 4, 3)", "n: batch_norm(a)", "bn: batch_norm(n)"), ["conv2d"]),
    # Before a layer that does not pad.
    ((NORM, "a: conv2d(bn, 4, 1)"), ["conv2d"]),
    ((NORM, "a: conv2d(bn, 4, 1, stride=2)"), ["conv2d"]),
    ((NORM, "a: conv2d(bn, 4, 3, padding=valid, groups=2, bias=false)"), ["conv2d"]),
    ((NORM, "a: depthwise_conv2d(bn, 3, padding=valid, multiplier=2)", "b: conv2d(a, 4, 1)"),
     ["depthwise_conv2d", "conv2d"]),
    ((NORM, "a: separable_conv2d(bn, 4, 3, padding=valid, multiplier=3)"), ["separable_conv2d"]),
    ((NORM, "a: unit(bn, 4, kernel=1, padding=same)"), ["conv2d"]),
    ((NORM, "a: unit(bn, 4, kernel=3, padding=valid)"), ["conv2d"]),
    ((NORM, "a: conv2d(bn, 4, 1)", "b: conv2d(bn, 4, 1)", "c: maximum(a, b)"),
     ["conv2d", "conv2d", "maximum"]),
    (("a: conv2d(batch_norm(x), 4, 1)", "b: batch_norm(a)"), ["conv2d"]),
    (("n: batch_norm(x)", "bn: batch_norm(n)", "a: conv2d(bn, 4, 1)"), ["conv2d"]),
    # A factor alone goes into any layer.
    (("s: rescale(x, 3)", "a: conv2d(s, 4, 3)", "b: activation(a, relu)"),
     ["conv2d", "activation"]),
    (("s: rescale(x, [1, -2, 3, 0.5])", "a: unbiased(s)"), ["conv2d", "activation"]),
    (("s: rescale(x, [1, 2, 3, 4], [0, 1, 2, 3])", "a: conv2d(s, 4, 3, padding=valid)"),
     ["conv2d"]),
]  # fmt: skip
STAYING: list[tuple[str, ...]] = [
    (NORM, "a: conv2d(bn, 4, 3)"),
    (NORM, "a: conv2d(bn, 4, 2, stride=2)"),
    (NORM, "a: conv2d(bn, 4, 3, padding=[0, 0, 0, 1])"),
    (NORM, "a: unit(bn, 4, kernel=3, padding=same)"),
    (NORM, "a: activation(bn, relu)", "b: conv2d(a, 4, 1)"),
    (NORM, "a: unbiased(bn)"),
    (NORM, "a: conv2d(bn, 4, 1)", "b: a + bn"),
    (NORM, "a: standardized_conv2d(bn, 4, 1)"),
    (NORM, "a: conv_transpose2d(bn, 4, 3)"),
    ("a: conv2d(x, 3, 1)", "b: conv2d(x, 1, 1)", "both: concat(a, b)", "bn: batch_norm(both)",
     "c: concat(bn, b)"),
    ("a: conv2d(x, 2, 1)", "both: concat(a, x)", "bn: batch_norm(both)", "c: activation(bn, relu)",
     "d: conv2d(c, 4, 1)"),
    ("a: conv2d(x, 4, 1)", "n: batch_norm(a)", "m: batch_norm(n)", "c: m + n"),
    ("s: rescale(x, 2, -1)", "a: conv2d(s, 4, 3)"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "left"), GONE)
def test_what_layers_take_in(load: Load, steps: tuple[str, ...], left: list[str]) -> None:
    small = folded_alike(parts_of(load, *steps), (9, 8), (12, 13))
    assert sorted(ops(small, "parts")) == sorted(left)


@pytest.mark.parametrize("steps", STAYING)
def test_what_they_do_not(load: Load, steps: tuple[str, ...]) -> None:
    small = folded_alike(parts_of(load, *steps), (9, 8), (12, 13))
    assert {"batch_norm", "rescale"} & {*ops(small)}


def test_a_batch_norm_that_may_be_left_out_stays(load: Load) -> None:
    text = PARTS.format(steps="      - a: conv2d(x, 4, 1)")
    steps = """\
  parts:
    params: {norm: bool}
    steps:
      - bn: batch_norm(x)
        when: norm
      - a: conv2d(bn, 4, 1, bias=false)
"""
    text = f"{text.split('  parts:')[0]}{steps}network:\n  - {{block: parts, norm: true}}\n"
    small = load(f"{text}  - {{block: parts, name: plain, norm: false}}\n").for_inference()
    assert ops(small) == ["batch_norm", "conv2d", "conv2d"]


def test_what_stays_is_told_with_the_reason(load: Load) -> None:
    said = [str(stay) for stay in load(BLOCKS).for_inference().stays]
    assert said == [
        "batch_norm stays at optional.bn: the `conv2d` before it has no bias in its block, or is"
        " not there in all calls; `conv2d` after it pads, and beyond the edge there is no offset",
        "batch_norm stays at twice.bn: others take what the `conv2d` before it gives, too; `add`"
        " after it is no layer of a kernel and a bias",
        "batch_norm stays at before.bn: `add` before it is no layer of a kernel and a bias;"
        " `activation` after it is no layer of a kernel and a bias",
    ]
    stays = archc.load(SPECS / "densenet121.yaml").for_inference().stays
    assert {stay.op: sum(len(each.paths) for each in stays) for stay in stays} == {"batch_norm": 62}
    assert "batch_norm stays at block1.1.norm1 and 57 more: `concat` before it" in str(stays[1])


def test_pixels_stay_where_a_layer_pads() -> None:
    small = archc.load(SPECS / "mnv3_small.yaml", preprocess=True).for_inference()
    assert small.notes == (
        "rescale stays at rescale: `conv2d` after it pads, and beyond the edge there is no offset",
    )


# ------------------------------------------------------------------------------------ rows

ROWS = """\
archc: 1
name: Net
use: [blocks/mobilenet.yaml]
params: {rate: {type: float, default: 0.25, keep: true}}
input: {channels: 3, height: 17, width: 16}
network:
  - {block: rescale, name: pixels, scale: 0.02, offset: [-1, 0, 2]}
  - {block: conv2d, name: stem, filters: 6, kernel: 3, stride: 2, padding: valid, bias: false}
  - {block: batch_norm, name: stem_bn, doc: as in the paper, tap: c1}
  - {block: identity}
  - {block: dropout, name: drop, rate: rate}
  - columns: [block, out]
    rows:
      - [conv_bn, 8]
      - {block: batch_norm}
      - [conv_bn, 8]
  - {block: conv2d, name: left, filters: 5, kernel: 1}
  - {block: conv2d, name: right, filters: 4, kernel: 3, stride: 2, from: pixels, padding: valid}
  - {block: concat, name: both, from: [left, right]}
  - {block: batch_norm, name: both_bn, output: maps}
  - {block: global_avg_pool2d, name: pool}
  - {block: batch_norm, name: pooled}
  - {block: dense, name: hidden, units: 6}
  - {block: activation, name: act, act: relu}
  - {block: dense, name: logits, units: 4, bias: false}
  - {block: batch_norm, name: last}
"""


def test_rows_go_into_others(load: Load) -> None:
    net = load(ROWS)
    small = folded_alike(net, (17, 16), (24, 19))
    assert [row.call.name for row in small.network.rows] == [
        "stem", "blocks.0", "blocks.1", "blocks.2", "left", "right", "both", "pool", "hidden",
        "act", "logits",
    ]  # fmt: skip
    assert ops(small, "blocks.1") == ["identity"]
    assert not {"batch_norm", "rescale", "dropout"} & {*ops(small)}
    assert [tap.path for tap in small.taps] == ["stem"]
    assert [output.path for output in small.outputs] == ["both", "logits"]
    assert small.network.kept == ()
    assert not compare(small, backends.names(), numeric=True).differences


SOME = """\
archc: 1
name: Net
params: {{top: {{type: bool, default: true, keep: true}}}}
input: {{channels: 4, height: 9, width: 8}}
network:
"""
CONV = "{block: conv2d, name: conv, filters: 4, kernel: 1}"
BATCH_NORM = "{block: batch_norm, name: bn}"
STAYING_ROWS: list[tuple[str, ...]] = [
    (CONV.replace("}", ", tap: c1}"), BATCH_NORM),
    (CONV.replace("}", ", output: maps}"), BATCH_NORM),
    (CONV, BATCH_NORM.replace("}", ", when: top}")),
    (CONV, BATCH_NORM, "{block: add, from: [bn, conv]}"),
    # What it would go into is not the last row.
    ("{block: activation, name: stem, act: relu}", CONV,
     "{block: activation, name: act, act: tanh, from: stem, output: maps}",
     "{block: batch_norm, name: bn, from: conv}"),
    # Before what may be left out, the model gives what comes before.
    (BATCH_NORM, CONV.replace("}", ", when: top}")),
    (BATCH_NORM.replace("}", ", tap: c1}"), CONV),
    (BATCH_NORM.replace("}", ", output: maps}"), CONV),
    (BATCH_NORM, CONV, "{block: concat, from: [conv, bn]}"),
    (BATCH_NORM, CONV.replace("kernel: 1", "kernel: 3")),
    (CONV, "{block: dropout, rate: 0.5, tap: c1}", "{block: activation, act: relu}"),
    (CONV, "{block: dropout, rate: 0.5}", "{block: activation, act: relu, when: top}"),
    (CONV, "{block: dropout, rate: 0.5}"),
]  # fmt: skip


@pytest.mark.parametrize("rows", STAYING_ROWS)
def test_rows_that_stay(load: Load, rows: tuple[str, ...]) -> None:
    net = load(SOME.format() + "".join(f"  - {row}\n" for row in rows))
    small = folded_alike(net, (9, 8))
    assert [row.call.name for row in small.network.rows] == [
        row.call.name for row in net.network.rows
    ]


def test_what_runs_in_training_only_goes() -> None:
    net = archc.load(SPECS / "googlenet.yaml")
    left = net.for_inference()
    assert [output.name for output in net.outputs] == ["aux1", "aux2", "logits"]
    assert [output.name for output in left.outputs] == ["logits"]
    gone = {layer.path.split(".")[0] for layer in net.layers}
    assert gone - {layer.path.split(".")[0] for layer in left.layers} == {"aux1", "aux2"}


def test_rows_are_verified(load: Load) -> None:
    small = load(ROWS).for_inference()
    verdicts = {verdict.row: verdict for verdict in verify.verify(small, None, None)}
    assert verify.divergences([*verdicts.values()], 1e-5) == []
    assert {"stem_bn", "both_bn", "pooled", "last"} & verdicts.keys() == {
        "stem_bn", "both_bn", "last",
    }  # fmt: skip
    assert all(verdict.differences["float64"].relative < 1e-6 for verdict in verdicts.values())


# --------------------------------------------------------------------------------- commands


def test_build_writes_a_file_of_its_own(tmp_path: Path) -> None:
    spec = str(SPECS / "mnv3_small.yaml")
    arguments = ["build", spec, "-b", "torch", "--inference", "-o", str(tmp_path)]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0
    (file,) = tmp_path.iterdir()
    assert file.name == "mnv3_small_inference_torch.py"
    text = file.read_text(encoding="utf-8")
    assert "BatchNorm" not in text
    assert "Dropout" not in text
    assert "Generated by archc from mnv3_small.yaml for inference." in " ".join(text.split())


def test_verify_holds_the_folded_models_against_the_trained_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    arguments = ["verify", str(EMITTED / "outputs.yaml"), "--inference"]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0, shown.output
    assert "float64" in shown.output

    def wrong(net: Net, arrays: Any, dtype: str = "float32") -> Any:
        found = folded(net, arrays, dtype)
        found["mixed.conv.bias"] = found["mixed.conv.bias"] * 1.01
        return found

    monkeypatch.setattr(verify, "folded", wrong)
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 1
    assert "float64 diverges first at mixed" in shown.output


@pytest.mark.parametrize("ends", [(".safetensors", ".pt"), (".pt", ".weights.h5")])
def test_weights_fold_to_a_file_of_the_folded_model(ends: tuple[str, str], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("keras")
    spec, (first, second) = EMITTED / "outputs.yaml", (tmp_path / f"file{end}" for end in ends)
    net = archc.load(spec)
    batch = random_batch(net.network)
    weights = settled_weights(net.network, batch)
    write(net, weights.values(), first, carried(net))
    shown = CliRunner().invoke(
        cli, ["weights", "fold", str(first), str(second), "--spec", str(spec)]
    )
    assert shown.exit_code == 0, shown.output
    left, right = net.for_inference(), interpreter.run(net.network, weights, batch)
    if ends[1] == ".pt":
        model = left.build("torch")
        model.load_state_dict(torch.load(second))
        found = left.live("torch").outputs(model, batch)[""]
    else:
        keras_model = left.build("keras")
        keras_model.load_weights(second)
        found = left.live("keras").outputs(keras_model, batch)[""]
    assert deviation(found, right) < 1e-5
    # The file knows what it is for.
    wrong = ["weights", "fold", str(second), str(tmp_path / "again.pt"), "--spec", str(spec)]
    again = CliRunner().invoke(cli, wrong)
    assert again.exit_code != 0
    assert "= help: its batch norms seem to be folded already" in str(again.exception)
