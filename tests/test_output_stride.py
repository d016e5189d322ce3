"""Strides that become dilations: against torchvision's dilated models, and cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net, SpecError, backends
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir.analysis import layers
from archc.compiler.printed.resolve import resolve
from archc.live import interpreter
from archc.live.numeric import Array, deviation, random_batch, random_weights, settled_weights

from . import reference_models as references

ROOT = Path(__file__).parents[1]
SIZES = ((64, 96), (61, 83))
TOLERANCE = 1e-5


def network(text: str, folder: Path, **settings: Any) -> Net:
    path = folder / "net.yaml"
    path.write_text(f"archc: 1\n{text}", encoding="utf-8")
    return archc.load(path, include=[ROOT / "specs"], **settings)


def windows(net: Net) -> dict[str, tuple[int, int]]:
    """The stride and the dilation of each window of more than one cell, of equal sides, by path."""
    given = {each.path: each.call.body.arguments for each in layers(net.network)}
    return {
        path: (a["stride"][0], a.get("dilation", (1, 1))[0])
        for path, a in given.items()
        if max(a.get("kernel", (1, 1))) > 1
    }


def assert_everyone_agrees(net: Net, sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
    """Both backends give what the interpreter gives, at several sizes, from the same weights."""
    weights = settled_weights(net.network, random_batch(net.network, *sizes[0]))
    for size in sizes:
        other = at_size(net.network, *size)
        batch = random_batch(other, *size)
        expected = interpreter.outputs(other, weights, batch)
        assert expected[""].shape[1:] == other.output.shape
        for backend in backends.names():
            live, model = net.live(backend), net.build(backend, *size)
            live.load(model, weights)
            found = live.outputs(model, batch)
            far = {p: deviation(found[p], expected[p]) for p in found if p in expected}
            assert max(far.values()) < TOLERANCE, (backend, size, far)


# ------------------------------------------------------------------------------- torchvision's

MOBILENET = """
extends: mnv3_large.yaml
name: Dilated
set: {padding: symmetric}
params:
  output_stride: {type: int?, default: none}
  itself: {type: bool, default: true}
output_stride: output_stride
dilate_strided: itself
"""


def mobilenet(folder: Path, **settings: Any) -> Net:
    (folder / "specs").symlink_to(ROOT / "specs")
    return network(MOBILENET.replace("mnv3", "specs/mnv3"), folder, **settings)


def test_mobilenet_v3_as_torchvision_dilates_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    net = mobilenet(tmp_path, output_stride=16)
    batch = random_batch(net.network, 160, 193)
    source = "torchvision:mobilenet_v3_large"
    model = references.zoo(source, batch, dilated=True)
    weights = references.imported(net, source, model)
    logits = references.torch_logits(model, batch)
    features = references.torch_logits(model.features, batch)
    found = interpreter.outputs(at_size(net.network, 160, 193), weights, batch)
    assert features.shape[2:] == (10, 13)  # at stride 16, and not 32
    assert deviation(found["head"], features) < TOLERANCE
    far = references.deviations(net, weights, batch, logits)
    assert max(far.values()) < TOLERANCE, far


def test_the_rule_of_a_striding_op_makes_a_difference(tmp_path: Path) -> None:
    net = mobilenet(tmp_path, output_stride=16)
    other = archc.load(tmp_path / "net.yaml", output_stride=16, itself=False, include=[ROOT])
    moved = {p: (a, windows(other)[p]) for p, a in windows(net).items() if windows(other)[p] != a}
    assert moved == {"blocks.12.depthwise.conv": ((1, 2), (1, 1))}
    weights, batch = random_weights(net.network), random_batch(net.network, 64, 64)
    ours, theirs = (interpreter.run(n.network, weights, batch) for n in (net, other))
    assert deviation(ours, theirs) > 1e-3


def test_without_a_value_it_is_as_it_is_written(tmp_path: Path) -> None:
    net = mobilenet(tmp_path)
    plain = archc.load(ROOT / "specs" / "mnv3_large.yaml", padding="symmetric")
    assert windows(net) == windows(plain)
    blocks = [n.source("torch").split("class Conv", 1)[1] for n in (net, plain)]
    own = [
        code.partition("class Dilated")[0].partition("class MobileNetV3Large") for code in blocks
    ]
    assert own[0][0] == own[1][0]


RESNET = """
name: Resnet
input: {channels: 3, height: 64, width: 96}
params: {output_stride: {type: int?, default: none}}
output_stride: output_stride
defaults:
  batch_norm: {epsilon: 1e-5, decay: 0.9}
  conv2d: {padding: symmetric, bias: false}
blocks:
  bottleneck:
    params:
      width: int
      stride: {type: int, default: 1}
      dilation: {type: int, default: 1}
    steps:
      - conv1: conv2d(x, width, 1)
      - bn1: batch_norm(conv1)
      - act1: activation(bn1, relu)
      - conv2: conv2d(act1, width, 3, stride=stride, dilation=dilation)
      - bn2: batch_norm(conv2)
      - act2: activation(bn2, relu)
      - conv3: conv2d(act2, width * 4, 1)
      - bn3: batch_norm(conv3)
      - shortcut: conv2d(x, width * 4, 1, stride=stride)
        when: stride != 1 or x.channels != width * 4
      - bn4: batch_norm(shortcut)
        when: stride != 1 or x.channels != width * 4
      - sum: bn3 + bn4
      - act3: activation(sum, relu)
network:
  - {block: conv2d, name: conv1, filters: 64, kernel: 7, stride: 2}
  - {block: batch_norm, name: bn1}
  - {block: activation, name: act1, act: relu}
  - {block: zero_pad2d, name: pad, padding: [1, 1, 1, 1]}
  - {block: max_pool2d, name: maxpool, kernel: 3, stride: 2, padding: valid}
  - columns: [name, block,      width, stride, repeat]
    rows:
      - [layer1,    bottleneck, 8,     1,      1]
      - [layer2,    bottleneck, 16,    2,      2]
      - [layer3,    bottleneck, 32,    2,      2]
      - [layer4,    bottleneck, 64,    2,      3]
    set: {stride: 1 if repeat.index else stride}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, name: fc, units: 10}
"""


def residual_network(torch: Any, batch: Array) -> Any:
    """torchvision's, of few channels, with the weights of `reference_models`."""
    resnet = references.import_torchvision().models.resnet
    model = resnet.ResNet(
        resnet.Bottleneck, [1, 2, 2, 3], num_classes=10, width_per_group=8,
        replace_stride_with_dilation=[False, True, True],
    )  # fmt: skip
    random = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        array = references.random_array(name.rpartition(".")[2], shape, random)
        parameter.data.copy_(torch.from_numpy(array))
    references.settle_torch(model, batch, random)
    return model.eval()


def test_a_residual_network_as_torchvision_dilates_it(tmp_path: Path) -> None:
    """There the first block of a stage has the dilation of the stage before."""
    torch = pytest.importorskip("torch")
    # The widths of torchvision's, whose third convolutions do not shrink with `width_per_group`.
    text = RESNET.replace("width * 4", "width * 32")
    net = network(text, tmp_path, output_stride=8)
    batch = random_batch(net.network, 64, 96)
    model = residual_network(torch, batch)
    state = {
        name.replace("downsample.0", "shortcut").replace("downsample.1", "bn4"): array.numpy()
        for name, array in model.state_dict().items()
        if "tracked" not in name
    }
    assert windows(net)["layer3.0.conv2"] == (1, 1)
    assert windows(net)["layer4.0.conv2"] == (1, 2)
    logits = references.torch_logits(model, batch)
    assert deviation(interpreter.run(net.network, state, batch), logits) < TOLERANCE
    far = references.deviations(net, state, batch, logits)
    assert max(far.values()) < TOLERANCE, far


@pytest.mark.parametrize("output_stride", [4, 8, 16])
def test_backends_and_the_interpreter_agree(output_stride: int, tmp_path: Path) -> None:
    assert_everyone_agrees(network(RESNET, tmp_path, output_stride=output_stride))


# --------------------------------------------------------------------------- what it is about


@pytest.mark.parametrize("output_stride", [4, 8, 16])
@pytest.mark.parametrize("size", SIZES)
def test_cells_that_stay_see_what_they_saw(
    output_stride: int, size: tuple[int, int], tmp_path: Path
) -> None:
    """Every so many cells of the dilated map is a cell of the strided one, to the last digit that
    addition leaves."""
    text = RESNET.partition("  - {block: global")[0]
    plain, dense = (network(text, tmp_path, output_stride=n) for n in (None, output_stride))
    weights, batch = random_weights(plain.network), random_batch(plain.network, *size)
    strided, dilated = (
        interpreter.run(at_size(n.network, *size), weights, batch) for n in (plain, dense)
    )
    step = 32 // output_stride
    assert deviation(dilated[:, :, ::step, ::step], strided) < 1e-9


def test_sides_are_apart(tmp_path: Path) -> None:
    text = """
name: Sides
input: {channels: 3, height: 32, width: 40}
output_stride: 2
network:
  - {block: conv2d, name: a, filters: 4, kernel: 3, stride: [2, 1]}
  - {block: depthwise_conv2d, name: b, kernel: 3, stride: 2}
  - {block: depthwise_conv2d, name: c, kernel: [1, 3]}
  - {block: conv2d, name: d, filters: 4, kernel: 3}
"""
    net = network(text, tmp_path)
    given = {each.path: each.call.body.arguments for each in layers(net.network)}
    applied = {path: (a["stride"], a["dilation"]) for path, a in given.items()}
    assert applied == {
        "a": ((2, 1), (1, 1)),
        "b": ((1, 2), (1, 1)),
        "c": ((1, 1), (1, 1)),
        "d": ((1, 1), (2, 1)),
    }
    assert_everyone_agrees(net, ((32, 40), (31, 37)))


def test_grids_of_the_last_stage(tmp_path: Path) -> None:
    """DeepLab's multi-grid: rates of 1, 2 and 4 within the last stage, times what it is dilated."""
    grid = "set: {stride: 1 if repeat.index else stride, dilation: GRID}"
    rates = "(2 * repeat.index if repeat.index else 1) if width == 64 else 1"
    text = RESNET.replace("set: {stride: 1 if repeat.index else stride}", grid).replace(
        "GRID", rates
    )
    net = network(text, tmp_path, output_stride=8)
    last = {p: a for p, a in windows(net).items() if p.startswith("layer4")}
    assert [*last.values()] == [(1, 2), (1, 8), (1, 16)]
    assert_everyone_agrees(net)


def test_a_head_is_as_it_is_written(tmp_path: Path) -> None:
    text = """
name: Head
input: {channels: 3, height: 32, width: 40}
output_stride: 4
network:
  - {block: conv2d, name: a, filters: 4, kernel: 3, stride: 4}
  - {block: conv2d, name: b, filters: 4, kernel: 3, stride: 2}
  - {block: conv2d, name: c, filters: 4, kernel: 3}
  - {block: conv2d, name: rate, filters: 4, kernel: 3, dilation: 3, dilate: false}
  - {block: conv2d, name: after, filters: 4, kernel: 3}
  - {block: conv2d, name: coarse, filters: 4, kernel: 3, stride: 2}
"""
    net = network(text, tmp_path)
    assert [*windows(net).values()] == [(4, 1), (1, 1), (1, 2), (1, 3), (1, 1), (2, 1)]
    assert_everyone_agrees(net, ((32, 40), (31, 37)))
    flat = tmp_path / "flat.yaml"
    flat.write_text(resolve(tmp_path / "net.yaml"), encoding="utf-8")
    assert str(archc.load(flat)) == str(net)


# -------------------------------------------------------------------------------------- its code

UNITS = """
name: Units
input: {channels: 4, height: 32, width: 40}
params: {output_stride: {type: int, default: 4}}
output_stride: output_stride
blocks:
  unit:
    params:
      stride: {type: int, default: 1}
    steps:
      - first: depthwise_conv2d(x, 3, stride=stride, bias=false)
      - second: depthwise_conv2d(first, 3, bias=false)
      - sum: second + x
        when: stride == 1
  outer:
    params:
      stride: {type: int, default: 1}
    let: {halves: x.stride < 4}
    steps:
      - unit: unit(x, stride=stride)
      - point: conv2d(unit, x.channels, 1, bias=halves)
network:
  - columns: [block, stride]
    rows:
      - [outer,      2]
      - [unit,       2]
      - [outer,      2]
      - [unit,       1]
      - [unit,       2]
"""


def test_a_stride_that_decides_more_stays_beside_the_one_that_is_applied(tmp_path: Path) -> None:
    """With `stride=1` the unit would add its input."""
    net = network(UNITS, tmp_path)
    source = net.source("torch")
    rows = [line.partition("),")[0].strip() for line in source.splitlines() if ",  # 4x" in line]
    assert rows == [
        "Outer(4, 2, halves=True, unit_first_stride=2",
        "Unit(4, 2, first_stride=2",
        "Outer(4, 2, dilation=2",
        "Unit(4, first_dilation=2, second_dilation=2",
        "Unit(4, 2, first_dilation=2, second_dilation=4",
    ]
    assert "self.sum = stride == 1" in source
    assert_everyone_agrees(net, ((32, 40), (31, 37)))


@pytest.mark.parametrize("output_stride", [1, 2, 8])
def test_units_at_other_output_strides(output_stride: int, tmp_path: Path) -> None:
    net = network(UNITS, tmp_path, output_stride=output_stride)
    assert_everyone_agrees(net, ((32, 40), (31, 37)))
    flat = tmp_path / "flat.yaml"
    flat.write_text(resolve(tmp_path / "net.yaml", {"output_stride": output_stride}), "utf-8")
    assert str(archc.load(flat)) == str(net)


def test_a_stride_that_is_worked_out_is_given_beside_what_it_is_worked_out_from(
    tmp_path: Path,
) -> None:
    """A `less` of 1, which is what is applied, would come to a stride of 2 in the code."""
    text = """
name: WorkedOut
input: {channels: 4, height: 32, width: 40}
output_stride: 2
blocks:
  unit:
    params: {less: {type: int, min: 1}}
    steps:
      - conv: depthwise_conv2d(x, 3, stride=less + 1)
network:
  - {block: unit, name: first, less: 1}
  - {block: unit, name: second, less: 1}
  - {block: unit, name: third, less: 2}
"""
    net = network(text, tmp_path)
    assert [*windows(net).values()] == [(2, 1), (1, 1), (1, 2)]
    assert_everyone_agrees(net, ((32, 40), (31, 37)))


def test_what_is_handed_on_takes_what_is_applied(tmp_path: Path) -> None:
    net = network(RESNET, tmp_path, output_stride=8)
    rows = [line.strip() for line in net.source("torch").splitlines() if "Bottleneck(" in line]
    found = [row.partition("  #")[0].rpartition("Bottleneck")[2].rstrip(",") for row in rows[1:]]
    assert found == [
        "(64, 8)",
        "(32, 16, stride=2)",
        "(64, 16)",
        "(64, 32)",
        "(128, 32, dilation=2)",
        "(128, 64, dilation=2)",
        "(256, 64, dilation=4)",
        "(256, 64, dilation=4)",
    ]


def refused(text: str, folder: Path, **settings: Any) -> Mapping[str, str]:
    with pytest.raises(SpecError) as caught:
        network(text, folder, **settings)
    return {problem.code: problem.message for problem in caught.value.problems}


def test_it_may_be_set_and_is_checked(tmp_path: Path) -> None:
    assert refused(UNITS, tmp_path, output_stride=32) == {
        "E052": "the output stride is 32, and the network comes to a total stride of 16"
    }
    assert "E035" in refused(UNITS, tmp_path, output_stride=0)
