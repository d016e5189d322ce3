"""Activations: their values, their names, and blocks that serve as one."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net, backends
from archc.backends.python.execute import execute
from archc.cli import main
from archc.compiler.language.values import ACTIVATIONS
from archc.figures.curves import PANELS, POINTS, SHIPPED, blocks
from archc.live.check import compare
from archc.live.numeric import deviation, random_batch, random_weights

pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
TOLERANCE = 1e-6
CLASSES = {"swish": "SiLU", "gelu_tanh": "GELUTanh"}
"""What PyTorch, or a generated file, calls an activation where it is not our name in capitals."""

_normal = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2, otypes=[float])

Formula = Callable[[Any], Any]

_sigmoid: Formula = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
_hard_sigmoid: Formula = lambda x: np.clip(x + 3, 0, 6) / 6  # noqa: E731
_inner: Formula = lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)  # noqa: E731


FORMULAS: Mapping[str, Formula] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * _normal(x),
    "gelu_tanh": lambda x: x * (1 + np.tanh(_inner(x))) / 2,
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.minimum(np.maximum(x, -1), 1),
    "swish": lambda x: x * _sigmoid(x),
    "hard_swish": lambda x: x * _hard_sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
}
"""Every activation of single numbers, for float64 arrays; `softmax` is of whole vectors."""


def network(folder: Path, rows: str, blocks: str = "{}") -> Net:
    path = folder / "net.yaml"
    path.write_text(
        "archc: 1\nname: N\nuse: [blocks/activations.yaml, blocks/mobilenet.yaml]\n"
        f"input: {{channels: 4, height: 9, width: 12}}\nblocks: {blocks}\nnetwork:\n{rows}\n"
    )
    return archc.load(path)


def outputs(net: Net, batch: Any) -> dict[str, Any]:
    """What both backends give for `batch` with the same random weights."""
    found, weights = {}, random_weights(net.network)
    for backend in backends.names():
        model = net.build(backend, *batch.shape[2:])
        net.live(backend).load(model, weights)
        found[backend] = net.live(backend).outputs(model, batch)[""]
    return found


FORMS = {
    "row": ("  - {{block: activation, act: {0}}}", "{}"),
    "argument": ("  - {{block: unit, act: {0}}}", "{unit: {params: {act: activation}, steps: [{"
     "out: 'activation(x, act)'}]}}"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("act", FORMULAS)
def test_values(act: str, form: str, tmp_path: Path) -> None:
    row, blocks = FORMS[form]
    net = network(tmp_path, row.format(act), blocks)
    x = np.linspace(-10, 10, 4 * 9 * 12).reshape(1, 4, 9, 12)
    expected = FORMULAS[act](x)
    for backend, found in outputs(net, x.astype(np.float32)).items():
        error = np.abs(found - expected) / np.maximum(1, np.abs(expected))
        assert error.max() < TOLERANCE, backend


def test_softmax_is_over_the_channels(tmp_path: Path) -> None:
    net = network(tmp_path, "  - {block: activation, act: softmax}")
    x = random_batch(net.network, 9, 12).astype(np.float64)
    expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    for found in outputs(net, x.astype(np.float32)).values():
        assert np.abs(found - expected).max() < TOLERANCE


def test_every_activation_is_drawn_and_checked() -> None:
    drawn = [name for panel in PANELS for name in panel]
    assert sorted(drawn) == sorted(FORMULAS) == sorted(ACTIVATIONS.keys() - {"softmax"})


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_each_appears_under_its_own_name(act: str, tmp_path: Path) -> None:
    rows = f"  - {{block: conv_bn, out: 4, act: {act}}}\n  - {{block: activation, act: {act}}}"
    net = network(tmp_path, rows)
    name = CLASSES.get(act, act.replace("_", ""))
    assert len(re.findall(rf"\): {name}\(", str(net.build("torch")), re.IGNORECASE)) == 2
    text = io.StringIO()
    net.build("keras").summary(print_fn=lambda line: text.write(line + "\n"), line_length=150)
    summary = text.getvalue().replace("LeakyReLU", "leaky_relu")
    assert len(re.findall(rf"(?:--|\(){act}\b", summary)) == 2


# ------------------------------------------------------------------------------------ FReLU


def test_frelu_in_lenet(capsys: pytest.CaptureFixture[str]) -> None:
    net = archc.load(SPECS / "lenet_cifar.yaml", act="frelu")
    assert net.params == (62_270, 62_314)
    assert [layer.path for layer in net.layers if layer.path.endswith(".bn")] == [
        "act_1.bn",
        "act_2.bn",
    ]
    # 9C + C + 2C, and a multiply-accumulate for each of nine weights at each place.
    first = next(block for block in net.blocks if block.path == "act_1")
    assert (first.params.trainable, first.macs) == (9 * 6 + 6 + 2 * 6, 9 * 6 * 28 * 28)
    main(["summary", str(SPECS / "lenet_cifar.yaml"), "--set", "act=frelu"])
    said = "`frelu` is for feature maps; `relu` stays in act_3, act_4"
    assert said in capsys.readouterr().err
    assert net.notes == (said,)


@pytest.mark.parametrize("spec", ["lenet_cifar", "hswish_cifar", "mobilenet_v1"])
def test_networks_with_frelu_agree(spec: str) -> None:
    net = archc.load(SPECS / f"{spec}.yaml", act="frelu")
    assert not compare(net, backends.names(), True, print).differences


def test_frelu_is_its_formula(tmp_path: Path) -> None:
    net = network(tmp_path, "  - {block: activation, act: frelu}")
    batch = random_batch(net.network, 9, 12)
    weights = random_weights(net.network)
    padded = np.pad(batch.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)])
    kernel = weights["activation.conv.weight"][:, 0]
    funnel = weights["activation.conv.bias"][:, None, None] + sum(
        kernel[:, i, j, None, None] * padded[:, :, i : i + 9, j : j + 12]
        for i in range(3)
        for j in range(3)
    )
    mean, variance, gamma, beta = (
        weights[f"activation.bn.{name}"][:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    expected = np.maximum(batch, (funnel - mean) / np.sqrt(variance + 1e-3) * gamma + beta)
    for found in outputs(net, batch).values():
        assert deviation(found, expected) < TOLERANCE


MIXED = "\n".join(
    f"  - {{block: depthwise_separable, name: row_{act}, out: 8, act: {act}}}"
    for act in ("frelu", "leaky_relu", "gelu_tanh", "softmax", "none", "swish")
)


def test_rows_may_mix_activations_with_and_without_weights(tmp_path: Path) -> None:
    net = network(tmp_path, MIXED)
    assert not compare(net, backends.names(), True, print).differences
    # The file is one of a kind for PyTorch: a class for the block, and one function that asks.
    assert "def activation_for(" in net.source("torch")
    assert "activation_for" not in archc.load(SPECS / "mobilenet_v1.yaml").source("torch")


def test_a_stand_in_reaches_through_blocks(tmp_path: Path) -> None:
    blocks = """
  head:
    params: {act: activation}
    let: {chosen: act}
    steps:
      - pool: global_avg_pool2d(x)
      - out: hidden(pool, act=chosen)
  hidden:
    params: {act: activation}
    steps:
      - dense: dense(x, 5)
      - act: activation(dense, act)
        when: act"""
    net = network(tmp_path, "  - {block: head, act: frelu}", blocks)
    assert net.notes == ("`frelu` is for feature maps; `relu` stays in head",)
    assert "nn.ReLU" in net.source("torch")
    assert not compare(net, backends.names(), True, print).differences


def test_blocks_of_ones_own_serve_too(tmp_path: Path) -> None:
    blocks = """
  gate:
    params: {reduced: {type: int, default: 2}}
    steps:
      - pool: global_avg_pool2d(x, keepdims=true)
      - reduce: conv_bn(pool, reduced, act=leaky_relu)
      - expand: conv2d(reduce, x.channels, kernel=1)
      - weight: activation(expand, sigmoid)
      - out: x * weight"""
    rows = "  - {block: conv_bn, out: 8, act: gate}\n  - {block: activation, act: gate}"
    net = network(tmp_path, rows, blocks)
    assert not compare(net, backends.names(), True, print).differences


def test_a_setting_names_a_block_of_the_spec(tmp_path: Path) -> None:
    assert archc.load(SPECS / "mobilenet_v1.yaml", act="frelu").params.trainable == 4_363_304
    with pytest.raises(archc.SpecError, match="did you mean `frelu`"):
        archc.load(SPECS / "mobilenet_v1.yaml", act="freelu")
    with pytest.raises(archc.SpecError, match="`conv_bn` takes `out`"):
        archc.load(SPECS / "mobilenet_v1.yaml", act="conv_bn")


# ---------------------------------------------------------------------------------- in place


SHARED = """
  shared:
    params: {act: activation}
    steps:
      - conv: conv2d(x, 4, kernel=3)
      - act: activation(conv, act)
      - out: act + conv
  alone:
    params: {act: activation}
    steps:
      - conv: conv2d(x, 4, kernel=3)
      - out: activation(conv, act)
  first:
    params: {act: activation}
    steps:
      - act: activation(x, act)
      - out: act + x
  passed_on:
    params: {act: activation}
    steps:
      - same: dropout(x, 0.5)
      - act: activation(same, act)
      - out: act + x
  looked_at_again:
    params: {act: activation}
    steps:
      - conv: conv2d(x, 4, kernel=3)
      - gate: activation(conv, sigmoid)
      - out: activation(gate, act)"""


@pytest.mark.parametrize(("block", "act", "expected"), [
    ("alone", "relu", True), ("alone", "hard_swish", True), ("alone", "tanh", False),
    ("shared", "relu", False), ("first", "relu", False),
    ("passed_on", "relu", False), ("looked_at_again", "relu", False),
])  # fmt: skip
def test_only_what_nothing_else_reads_is_overwritten(block, act, expected, tmp_path) -> None:
    net = network(tmp_path, f"  - {{block: {block}, act: {act}}}", SHARED)
    assert ("inplace=True" in net.source("torch")) is expected
    assert not compare(net, backends.names(), True, print).differences


def test_what_an_argument_decides_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "archc: 1\nname: N\nuse: [blocks/mobilenet.yaml]\n"
        "params: {act: {type: activation, default: relu, keep: true}}\n"
        "input: {channels: 4, height: 9, width: 12}\n"
        "network: [{block: conv_bn, out: 8, act: act}]\n"
    )
    net = archc.load(tmp_path / "net.yaml")
    model = execute(net.source_file("torch")).N(act=torch.nn.Tanh)
    assert "Tanh" in str(model)
    assert not compare(net, backends.names(), True, print).differences


@pytest.mark.parametrize("act", [*sorted(ACTIVATIONS), "frelu"])
def test_gradients_are_those_without_overwriting(act: str, tmp_path: Path) -> None:
    net = network(tmp_path, f"  - {{block: depthwise_separable, out: 8, act: {act}}}")
    source = net.source_file("torch")
    plain = type(source)(source.name, source.text.replace("inplace=True", ""))
    gradients = []
    for file in (source, plain):
        model = execute(file).N()
        net.live("torch").load(model, random_weights(net.network))
        model.train()(torch.from_numpy(random_batch(net.network, 9, 12))).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right)


# ---------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_curves(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"{name}.{ending}" for name in ("first", "second")]
    for file in files:
        main(["plot", "activations", "-o", str(file)])
    assert files[0].read_bytes() == files[1].read_bytes()
    starts = {"png": b"\x89PNG", "svg": b"<?xml"}
    assert files[0].read_bytes().startswith(starts[ending])
    assert sorted(tmp_path.iterdir()) == sorted(files)
    main(["plot", "activations", "-o", str(files[0])])  # which archc wrote
    files[0].write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["plot", "activations", "-o", str(files[0])])
    assert (stopped.value.code, files[0].read_text()) == (2, "mine")


MINE = """\
archc: 1
blocks:
  slope: {steps: [{out: "prelu(x)"}]}
  gate:
    steps:
      - pool: global_avg_pool2d(x, keepdims=true)
      - gate: activation(pool, sigmoid)
      - out: x * gate
  narrow: {steps: [{out: "conv2d(x, 4, kernel=1)"}]}
  sized: {params: {kernel: int}, steps: [{out: "max_pool2d(x, kernel=kernel, stride=1)"}]}
  joined: {inputs: [a, b], steps: [{out: a + b}]}
"""


def test_curves_of_blocks_are_those_of_their_formulas(tmp_path: Path) -> None:
    x = np.linspace(-8, 8, POINTS)
    (frelu,) = blocks(SHIPPED, x)
    assert [*frelu.curves] == ["-4 all around", "0 all around", "4 all around"]
    for around, y in zip((-4, 0, 4), frelu.curves.values(), strict=True):
        mean = (x + 8 * around) / 9  # of a window of 3x3, the middle of which is x
        np.testing.assert_allclose(y, np.maximum(x, mean / np.sqrt(1.001)), rtol=1e-12)


def test_blocks_that_stand_for_an_activation_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    x = np.linspace(-8, 8, POINTS)
    slope, gate = blocks("mine.yaml", x)
    assert [*slope.curves] == ["slope"]  # what stands around does not count
    np.testing.assert_allclose(slope.curves["slope"], np.where(x > 0, x, 0.25 * x))
    mean = (x + 48 * 4) / 49
    np.testing.assert_allclose(gate.curves["4 all around"], x / (1 + np.exp(-mean)))
    pytest.importorskip("matplotlib")
    main(["plot", "activations", "-o", "mine.svg", "--use", "mine.yaml"])
    text = Path("mine.svg").read_text(encoding="utf-8")
    titles = [line.strip() for line in text.splitlines() if "<!-- " in line]
    assert [line for line in titles if "as it starts" in line] == [
        "<!-- frelu: kernels take means, all else as it starts -->",
        "<!-- gate: kernels take means, all else as it starts -->",
    ]


def test_a_library_without_an_activation_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.yaml").write_text(
        MINE.split("  slope:")[0] + "  narrow:" + MINE.split("  narrow:")[1], encoding="utf-8"
    )
    for name, said in (
        ("nowhere.yaml", "nowhere.yaml:1:1: E001 no such file"),
        ("some.yaml", "some.yaml: no block of it can stand for an activation"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["plot", "activations", "-o", "none.svg", "--use", name])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
    assert not Path("none.svg").exists()


def test_the_curves_of_the_docs_are_current(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    main(["plot", "activations", "-o", str(tmp_path / "now.svg")])
    drawn = (tmp_path / "now.svg").read_text(encoding="utf-8")
    assert "frelu" in drawn
    assert drawn == (SPECS.parent / "docs/activations.svg").read_text(encoding="utf-8")


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    error = io.StringIO()
    with contextlib.redirect_stderr(error), pytest.raises(SystemExit) as stopped:
        main(["plot", "activations", "-o", str(tmp_path / "curves.txt")])
    assert stopped.value.code == 2
    assert "ends in neither .png nor .svg" in error.getvalue()
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------- shipped networks

BY_ROW = ("mnv3_", "lraspp_mnv3_")
"""Networks of two activations, which their tables tell row by row."""


@pytest.mark.parametrize("act", ["mish", "frelu"])
@pytest.mark.parametrize("spec", sorted(path.stem for path in SPECS.glob("*.yaml")))
def test_one_activation_throughout_is_a_setting(spec: str, act: str) -> None:
    """As the README says. Nothing is left of the usual one, and both backends write the other."""
    usual = archc.load(SPECS / f"{spec}.yaml").network.settings.get("act")
    assert (usual is None) == spec.startswith(BY_ROW)
    if usual is None:
        return
    net = archc.load(SPECS / f"{spec}.yaml", act=act)
    bodies = [body for body in net.network.bodies if body.target.name == "activation"]
    applied = {str(body.instead or body.arguments["act"]) for body in bodies}
    assert usual not in applied
    for backend in backends.names():
        assert act in net.source(backend).lower()


@pytest.mark.parametrize(
    ("spec", "act"),
    [("nasnet_a_cifar", "mish"), ("regnet_y_400mf", "mish"), ("shufflenet_v2", "frelu")],
)
def test_models_of_another_activation_agree(spec: str, act: str) -> None:
    small = {"cells": 1, "penultimate_filters": 96} if "nasnet" in spec else {"size": 64}
    net = archc.load(SPECS / f"{spec}.yaml", act=act, **small)
    assert not compare(net, backends.names(), True, print).differences
