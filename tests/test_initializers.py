"""Fresh weights: what each backend draws is what the definition of an initializer says."""

import math
from pathlib import Path

import numpy as np
import pytest

from archc import backends
from archc.api import load
from archc.compiler.ir import analysis
from archc.compiler.language.initializers import CONVENTIONS, NAMED, Initializer, fans
from archc.compiler.language.problems import SpecError
from archc.compiler.printed.resolve import resolve

from .conftest import ROOT
from .drawn import CUT, check, fresh, moments

EMITTED = ROOT / "tests" / "emitted"

LARGE = """
archc: 1
name: Large
input: {{channels: 64, height: 6, width: 6}}
defaults:
  conv2d: {{init: "{0}", bias_init: "{0}"}}
  depthwise_conv2d: {{init: "{0}", bias_init: "{0}"}}
  separable_conv2d: {{init: "{0}", bias_init: "{0}"}}
  dense: {{init: "{0}", bias_init: "{0}"}}
  conv_transpose2d: {{init: "{0}", bias_init: "{0}"}}
network:
  - {{block: conv2d, filters: 256, kernel: 3}}
  - {{block: conv2d, name: grouped, filters: 512, kernel: 3, groups: 4}}
  - {{block: depthwise_conv2d, name: single, kernel: 5}}
  - {{block: depthwise_conv2d, name: triple, kernel: 5, multiplier: 3}}
  - {{block: conv_transpose2d, filters: 96, kernel: 3}}
  - {{block: separable_conv2d, filters: 128, kernel: 5, multiplier: 2}}
  - {{block: global_avg_pool2d}}
  - {{block: dense, units: 300}}
"""
INITIALIZERS = [
    *NAMED,
    "constant(-0.25)",
    "normal(0.02)",
    "normal(0.2, 1.5)",
    "truncated_normal(0.3)",
    "truncated_normal(1.5)",
    "uniform(-0.1, 0.4)",
    *(
        f"variance_scaling(1.7, {fan}, {distribution}, {by})"
        for fan in ("fan_in", "fan_out")
        for distribution in ("normal", "truncated_normal", "uniform")
        for by in CONVENTIONS
    ),
    *(
        f"variance_scaling({scale}, fan_{fan}, {distribution}, torch)"
        for scale in ("1", "2", "1 / 3")
        for fan in ("in", "out")
        for distribution in ("normal", "uniform")
    ),
    "variance_scaling(0.5, fan_avg, uniform)",
    "variance_scaling(1, fan_avg, normal)",
]


@pytest.fixture(scope="module", autouse=True)
def seeded() -> None:
    import keras
    import torch

    keras.utils.set_random_seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize("backend", backends.names())
@pytest.mark.parametrize("init", INITIALIZERS)
def test_kernels_and_biases(init: str, backend: str, tmp_path: Path) -> None:
    """A bias has the fans of the kernel beside it."""
    path = tmp_path / "large.yaml"
    path.write_text(LARGE.format(init), encoding="utf-8")
    for name, weight, array in fresh(load(path), backend):
        check(array, moments(weight.initializer, *weight.fans), name)


# ------------------------------------------------------------------------------------- fans

SHAPES = [(8, 6, 3, 5), (12, 3, 3, 3), (10, 4)]
"""Kernels of one group, in PyTorch's layout."""


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_of_one_group_are_those_of_both_frameworks(shape: tuple[int, ...]) -> None:
    every = {fans(shape, convention=by) for by in CONVENTIONS}
    keras_shape = (*shape[2:], shape[1], shape[0])
    assert every == {_torch_fans(shape)} == {_keras_fans(keras_shape)}


@pytest.mark.parametrize(("channels", "multiplier"), [(6, 1), (6, 3)])
def test_fans_of_depthwise_kernels(channels: int, multiplier: int) -> None:
    shape = (channels * multiplier, 1, 3, 5)
    by = {name: fans(shape, channels, True, name) for name in CONVENTIONS}
    assert by["torch"] == _torch_fans(shape)
    assert by["keras"] == _keras_fans((3, 5, channels, multiplier))
    assert by["per_group"] == _torch_fans((multiplier, 1, 3, 5))


def test_fans_of_grouped_kernels() -> None:
    shape = (12, 3, 3, 5)  # 4 groups of 12 channels
    by = {name: fans(shape, 4, False, name) for name in CONVENTIONS}
    assert by["torch"] == _torch_fans(shape)
    assert by["keras"] == _keras_fans((3, 5, 3, 12))
    assert by["per_group"] == _torch_fans((3, 3, 3, 5))


def _torch_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    import torch

    found: tuple[int, int] = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    return found


def _keras_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    from keras.src.initializers.random_initializers import compute_fans

    found: tuple[int, int] = compute_fans(shape)
    return found


# ------------------------------------------------------------------------------- every role

ROLES = """
archc: 1
name: Roles
input: {channels: 64, height: 6, width: 6}
params:
  spread: {type: float, default: 0.02, above: 0}
blocks:
  unit:
    params: {out: int, start: {type: initializer, default: normal(0.5)}, scale: initializer}
    steps:
      - conv: conv2d(x, out, kernel=3, init=start, bias_init=uniform(1, 2))
      - bn: batch_norm(conv, scale_init=scale, offset_init=constant(0.125))
  fanned:
    params:
      out: int
      kernel: size
      groups: int
      start:
        type: initializer
        default: variance_scaling(2, fan_out, truncated_normal, per_group)
    steps:
      - a: conv2d(x, out, kernel, groups=groups, bias_init=variance_scaling(2, fan_in, uniform))
      - b: depthwise_conv2d(a, kernel=kernel, bias_init=variance_scaling(2, fan_out, normal, torch))
      - c: conv2d(b, out, kernel, groups=groups, bias_init=start)
defaults:
  dense: {init: normal(spread * 2), bias_init: truncated_normal(spread)}
network:
  - {block: unit, name: a, out: 128, scale: ones}
  - {block: unit, name: b, out: 128, scale: zeros, start: "uniform(0, spread)"}
  - {block: depthwise_conv2d, kernel: 3, bias_init: constant(3)}
  - {block: fanned, name: one, out: 256, kernel: 3, groups: 4}
  - {block: fanned, name: two, out: 512, kernel: [1, 3], groups: 1}
  - {block: separable_conv2d, filters: 64, kernel: 3, init: he_normal, bias_init: ones}
  - {block: global_avg_pool2d}
  - {block: dense, units: 2000}
  - {block: dense, name: logits, units: 10, init: zeros, bias_init: zeros}
"""


@pytest.mark.parametrize("backend", backends.names())
def test_every_array_can_be_told(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "roles.yaml"
    path.write_text(ROLES, encoding="utf-8")
    net = load(path)
    said = {name: str(weight.initializer) for name, _, weight in analysis.weights(net.network)}
    assert said["a.conv.weight"] == "normal(0.5)"
    assert said["b.conv.weight"] == "uniform(0, 0.02)"
    assert (said["a.bn.weight"], said["b.bn.weight"]) == ("ones", "zeros")
    assert said["dense.weight"] == "normal(0.04)"
    for name, weight, array in fresh(net, backend):
        check(array, moments(weight.initializer, *weight.fans), name)


LEFT = """
archc: 1
name: Left
input: {channels: 16, height: 6, width: 6}
blocks:
  pair:
    params: {out: int, scale: initializer?}
    steps:
      - first: unit(x, out)
      - second: unit(first, out, scale=scale)
  unit:
    params: {out: int, init: initializer?, scale: initializer?}
    steps:
      - conv: conv2d(x, out, kernel=3, init=init)
      - bn: batch_norm(conv, scale_init=scale)
DEFAULTS
network:
  - {block: pair, name: a, out: 64}
  - {block: pair, name: b, out: 64, scale: zeros}
"""


@pytest.mark.parametrize("backend", backends.names())
@pytest.mark.parametrize(
    ("defaults", "init", "scale"),
    [
        ("", "glorot_uniform", "ones"),
        (
            "batch_norm: {scale_init: constant(0.5)}, conv2d: {init: normal(3)}",
            "normal(3)",
            "constant(0.5)",
        ),
        (
            "batch_norm: {scale_init: zeros}, unit: {scale: constant(2)}",
            "glorot_uniform",
            "constant(2)",
        ),
    ],
    ids=["the op's own", "of the op", "of the block"],
)
def test_what_a_block_leaves_to_defaults(
    defaults: str, init: str, scale: str, backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "left.yaml"
    text = LEFT.replace("DEFAULTS", f"defaults: {{{defaults}}}" if defaults else "")
    path.write_text(text, encoding="utf-8")
    net = load(path)
    said = {name: str(weight.initializer) for name, _, weight in analysis.weights(net.network)}
    assert said["a.first.conv.weight"] == init
    names = ("a.first", "a.second", "b.first", "b.second")
    assert [said[f"{name}.bn.weight"] for name in names] == [scale, scale, scale, "zeros"]
    for name, weight, array in fresh(net, backend):
        check(array, moments(weight.initializer, *weight.fans), name)


@pytest.mark.parametrize("backend", backends.names())
def test_a_layer_s_values_are_its_own(backend: str, tmp_path: Path) -> None:
    """Layers of one shape do not start with the same values."""
    path = tmp_path / "twins.yaml"
    rows = "".join(f"  - {{block: conv2d, name: c{i}, filters: 64, kernel: 3}}\n" for i in (1, 2))
    head, _ = LARGE.format("normal(1)").split("network:")
    path.write_text(f"{head}network:\n{rows}", encoding="utf-8")
    arrays = {name: array for name, _, array in fresh(load(path), backend)}
    assert not np.array_equal(arrays["c1.weight"], arrays["c2.weight"])


@pytest.mark.parametrize("backend", backends.names())
def test_what_a_block_is_given_is_drawn_for_each_of_its_layers(backend: str) -> None:
    net = load(EMITTED / "apart.yaml")
    arrays = {name: array for name, _, array in fresh(net, backend)}
    assert arrays["unit.bn.bias"].std() > 0
    assert not np.array_equal(arrays["unit.conv.bias"], arrays["unit.bn.bias"])


@pytest.mark.parametrize("backend", backends.names())
@pytest.mark.parametrize("spec", ["apart", "initial"])
def test_emitted_examples_start_so(spec: str, backend: str) -> None:
    net = load(EMITTED / f"{spec}.yaml")
    for name, weight, array in fresh(net, backend):
        check(array, moments(weight.initializer, *weight.fans), name)


def test_resolved_specs_start_alike(tmp_path: Path) -> None:
    path, flat = tmp_path / "roles.yaml", tmp_path / "flat.yaml"
    path.write_text(ROLES, encoding="utf-8")
    flat.write_text(resolve(path, {"spread": 1 / 3}), encoding="utf-8")
    first, second = load(path, spread=1 / 3), load(flat)
    told = [
        [(name, weight) for name, _, weight in analysis.weights(net.network)]
        for net in (first, second)
    ]
    assert told[0] == told[1]


# ------------------------------------------------------------------------ PyTorch's function

GRAY = "input: {channels: 1, height: 8, width: 8}"
CONV, DEPTHWISE = (
    "  - {block: conv2d, filters: 8, kernel: 3, groups: %d}\n",
    ("  - {block: depthwise_conv2d, kernel: 3}\n"),
)


@pytest.mark.parametrize(
    ("rows", "told_by"),
    [
        (CONV % 1 + DEPTHWISE, "if module.groups > 1:"),
        (CONV % 1 + CONV.replace("{", "{name: b, ") % 2 + DEPTHWISE, None),
        (DEPTHWISE + CONV % 1, None),
    ],
    ids=["depthwise alone has groups", "one input and one group", "a depthwise one of one channel"],
)
def test_roles_are_told_apart_where_code_can(
    rows: str, told_by: str | None, tmp_path: Path
) -> None:
    """`groups == in_channels` holds of a convolution of one channel, too."""
    path = tmp_path / "roles.yaml"
    head = f"archc: 1\nname: Net\n{GRAY}\n"
    head += "defaults: {conv2d: {init: normal(0.5)}, depthwise_conv2d: {init: ones}}\n"
    path.write_text(f"{head}network:\n{rows}", encoding="utf-8")
    net = load(path)
    text = net.source("torch")
    assert text.count("init_layer(self.") == (0 if told_by else rows.count("block"))
    assert told_by is None or told_by in text
    for name, weight, array in fresh(net, "torch"):
        check(array, moments(weight.initializer, *weight.fans), name)


def test_one_word_for_all_is_one_function(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(SET, encoding="utf-8")
    assert "self.apply(he_normal)" in load(path).source("torch")
    assert "self.apply(init_weights)" in load(path, init="normal(1)").source("torch")


# --------------------------------------------------------------------------------- settings

SET = """
archc: 1
name: Set
params: {init: {type: initializer, default: he_normal}}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, filters: 8, kernel: 3, init: init}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lecun_normal", "lecun_normal"),
        ("normal(1 / 4)", "normal(0.25)"),
        ("variance_scaling(2, fan_out, normal, torch)",) * 2,
        ("variance_scaling(2, fan=fan_in, distribution=truncated_normal)", "he_normal"),
        (NAMED["zeros"], "zeros"),
        ("constant(1)", "ones"),
    ],
)
def test_a_setting(given: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text(SET, encoding="utf-8")
    weight = next(weight for _, _, weight in analysis.weights(load(path, init=given).network))
    assert str(weight.initializer) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("normal(0)", "--set:1:13: E035 `std` of `normal` is 0; it must be above 0"),
        ("normal(a)", "--set:1:13: E051 unknown name `a`"),
        ("normal()", "--set:1:6: E051 `normal(std, mean=0)` needs the argument `std`"),
        ("norml(1)", "--set:1:6: E051 unknown initializer `norml`"),
        ("he", "--set:1:1: E034 `init` is `he`; it must be one of `glorot_uniform`"),
        (3, "--set:1:1: E034 `init` is `3`; it must be one of `glorot_uniform`"),
    ],
)
def test_a_setting_that_is_none(given: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text(SET, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        load(path, init=given)
    assert str(raised.value).startswith(said)


# ------------------------------------------------------------------------------- frameworks


def test_the_defaults_of_pytorch_can_be_written() -> None:
    import torch

    init = Initializer("variance_scaling", (1 / 3, "fan_in", "uniform", "torch"))
    for groups in (1, 4, 64):
        layer = torch.nn.Conv2d(64, 128, 3, groups=groups)
        shape = tuple(layer.weight.shape)
        by = fans(shape, groups, groups == 64, init.convention)
        check(layer.weight.detach().numpy(), moments(init, *by), f"{groups} groups")


@pytest.mark.parametrize("std", [0.02, 1.0])
def test_where_a_truncated_normal_is_cut(std: float) -> None:
    """Keras cuts at two standard deviations, as the language does; PyTorch's defaults cut at -2 and
    2, whatever the deviation, which is an uncut normal distribution where it is small."""
    import keras
    import torch

    theirs = keras.initializers.TruncatedNormal(stddev=std)((400, 400))
    check(np.asarray(theirs), (0.0, std * CUT, -2 * std, 2 * std), "Keras")
    ours = torch.nn.init.trunc_normal_(torch.empty(400, 400), std=std).numpy()
    cut = (0.0, std * CUT, -2.0, 2.0) if std == 1 else (0.0, std, -math.inf, math.inf)
    check(ours, cut, "PyTorch")


NEVER = """
archc: 1
name: Never
input: {channels: 4, height: 8, width: 8}
network:
  - {block: maybe}
blocks:
  maybe:
    params: {start: {type: initializer, default: lecun_normal}, made: {type: bool, default: false}}
    steps:
      - conv: conv2d(x, 4, kernel=1, bias_init=start)
        when: made
"""


@pytest.mark.parametrize("backend", backends.sources())
def test_a_block_of_steps_that_no_call_makes_takes_no_initializer_with_fans(backend: str) -> None:
    text = load(NEVER).source(backend)
    assert "made: bool = False" in text
    assert "start" not in text
