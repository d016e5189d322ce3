"""Networks for one size: PyTorch's paddings are numbers, and the numbers are the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net, SpecError
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.elaborate.static import period, static
from archc.live import interpreter
from archc.live.check import compare
from archc.live.numeric import deviation, random_inputs, random_weights, settled_weights
from archc.weights.folding import folded
from archc.weights.settings import carried

from .running import Run, runner
from .shipped import SPECS, cases

EMITTED = Path(__file__).with_name("emitted")
SMALLER: dict[str, dict[str, Any]] = {
    "nasnet_a_mobile": {"cells": 1, "penultimate_filters": 96},
    "mobilenet_v1": {"alpha": 0.25},
}
OF_SIZES = re.compile(r"\b(pad_same|PadSame|\w+2dSame)\b")
"""Names of helpers that work paddings out of shapes."""


def at(name: str, size: tuple[int, int]) -> tuple[Net, Net]:
    """A shipped network at a size, where it takes one; and the same for inference."""
    net = archc.load(SPECS / f"{name}.yaml", **SMALLER.get(name, {}))
    size = net.input_shape[1:] if name.endswith("cifar") else size  # type: ignore[assignment]
    both = net, net.for_inference()
    net, left = (replace(each, network=at_size(each.network, *size)) for each in both)
    return net, left


Load = Callable[[str], Net]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> Net:
        path = tmp_path / "net.yaml"
        path.write_text(f"archc: 1\nname: Net\n{text}", encoding="utf-8")
        return archc.load(path)

    return loaded


# ------------------------------------------------------------------------------ the same numbers


def outputs(model: Any, batch: Any) -> list[Any]:
    """What a model gives, in evaluation."""
    import torch

    given = batch if isinstance(batch, dict) else {"input": batch}
    with torch.inference_mode():
        found = model(*(torch.from_numpy(each) for each in given.values()))
    return [*found.values()] if isinstance(found, dict) else [found]


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize(("size", "which"), [((32, 64), 0), ((33, 51), 1)], ids=["even", "odd"])
def test_a_shipped_network_gives_what_it_gave(name: str, size: tuple[int, int], which: int) -> None:
    """To the bit: as it is trained at an even size, and for inference at an odd one."""
    pytest.importorskip("torch")
    net = at(name, size)[which]
    plain, fixed = (each.build("torch") for each in (net, net.for_one_size()))
    assert OF_SIZES.search(net.for_one_size().source("torch")) is None
    weights = plain.state_dict()
    assert [*fixed.state_dict()] == [*weights]
    fixed.load_state_dict(weights)
    batch = random_inputs(net.network, count=1)
    for found, right in zip(outputs(fixed, batch), outputs(plain, batch), strict=True):
        assert found.equal(right)


@pytest.mark.parametrize("size", [(64, 96), (51, 97)], ids=["even", "odd"])
@pytest.mark.parametrize("name", ["mnv3_small", "nasnet_a_mobile", "googlenet", "repvgg_a0"])
def test_a_shipped_network_gives_what_its_definitions_give(
    name: str, size: tuple[int, int]
) -> None:
    pytest.importorskip("torch")
    net, left = at(name, size)
    batch = random_inputs(net.network, count=1)
    weights = settled_weights(net.network, batch)
    right = interpreter.run(net.network, weights, batch)
    for each, arrays in ((net, weights), (left, folded(net, weights))):
        live, model = each.live("torch"), each.for_one_size().build("torch")
        live.load(model, arrays)
        assert deviation(live.outputs(model, batch, paths=set())[""], right) < 2e-4


WINDOWS = """\
input: {{channels: 4, height: {0}, width: {1}}}
blocks:
  windows:
    params: {{k: size, s: size, d: {{type: size, default: 1}}, zeros: pool_padding}}
    steps:
      - conv: conv2d(x, 4, k, stride=s)
      - depthwise: depthwise_conv2d(conv, 3, stride=2)
      - even: avg_pool2d(depthwise, 2)
      - pool: max_pool2d(even, k, stride=s)
      - mean: avg_pool2d(pool, 3, stride=2)
      - over: max_pool2d(mean, 3, stride=s, padding=zeros)
      - counted: avg_pool2d(over, 3, stride=s, padding=zeros)
      - twice: avg_pool2d(max_pool2d(counted, 3, padding=zeros), 2, stride=2, padding=zeros)
      - spread: depthwise_conv2d(twice, 3, dilation=d)
      - weights: standardized_conv2d(spread, 8, k, stride=s)
      - sep: separable_conv2d(weights, 4, k, stride=s)
      - up: conv_transpose2d(sep, 4, 3, stride=2)
      - optional: conv2d(up, 4, 2, stride=2)
        when: s != 1
  pair:
    params: {{k: size, s: size}}
    steps:
      - inner: windows(x, k, s, d=2, zeros=zeros)
      - same: activation(inner, relu)
network:
  - columns: [block, kernel, stride, padding]
    rows:
      - [max_pool2d, 3, 1, zeros]
      - [max_pool2d, 2, 1, same]
      - [avg_pool2d, 3, 2, zeros]
  - {{block: max_pool2d, name: again, kernel: 3, stride: 1, padding: zeros}}
  - {{block: conv2d, name: conv, filters: 4, kernel: [3, 2], stride: 2}}
  - {{block: windows, k: 3, s: 1, zeros: zeros}}
  - {{block: resize, name: larger, scale: 16, method: nearest}}
  - {{block: windows, name: uneven, k: [3, 5], s: [1, 2], zeros: zeros}}
  - {{block: resize, name: large, scale: 16, method: nearest}}
  - {{block: pair, name: strided, k: 5, s: 2}}
"""


@pytest.mark.parametrize("size", [(32, 32), (33, 29), (31, 40)])
def test_every_window_at_several_sizes_and_calls(size: tuple[int, int], load: Load) -> None:
    pytest.importorskip("torch")
    net = load(WINDOWS.format(*size)).for_one_size()
    report = compare(net, [archc.OtherBackend("torch")], numeric=True)
    assert not report.differences
    assert report.agreements["torch"].layers > 40
    assert report.skipped[0] == f"an odd size: this network is made for {size[0]}x{size[1]}"
    assert "aten::size" not in traced(net)


@pytest.mark.parametrize("size", [(32, 32), (33, 29)])
def test_the_network_itself_gives_what_it_gave(size: tuple[int, int], load: Load) -> None:
    net = load(WINDOWS.format(*size)).for_one_size()
    batch, weights = random_inputs(net.network), random_weights(net.network)
    found = interpreter.run(static(net.network), weights, batch)
    assert np.array_equal(found, interpreter.run(net.network, weights, batch))


def traced(net: Net) -> Counter[str]:
    """What PyTorch's tracer sees of a model: how often it does what."""
    import torch

    model, images = net.build("torch"), torch.zeros(1, *net.input_shape)
    graph = torch.jit.trace(model, images).inlined_graph
    return Counter(node.kind() for node in graph.nodes())


def test_no_shape_is_asked_for() -> None:
    pytest.importorskip("torch")
    net = archc.load(SPECS / "mnv3_large.yaml")
    found = traced(net), traced(net.for_one_size())
    assert [each["aten::size"] for each in found] == [10, 0]
    assert [each["aten::pad"] for each in found] == [5, 5]
    assert not {"aten::sub", "aten::remainder", "aten::Int"} & found[1].keys()


def test_tools_take_it_as_they_take_the_other() -> None:
    torch = pytest.importorskip("torch")
    from torch.fx.experimental.optimization import fuse

    net = archc.load(SPECS / "mnv3_small.yaml")
    model, images = net.for_one_size().build("torch"), torch.randn(1, *net.input_shape)
    kinds = Counter(type(each) for each in fuse(model).modules())
    assert torch.nn.BatchNorm2d not in kinds
    assert kinds[torch.nn.ZeroPad2d] == 5
    right = model(images)
    assert torch.jit.script(model)(images).equal(right)
    exported = torch.export.export(model, (images,)).module()
    assert exported(images).allclose(right, atol=1e-5)


def test_a_pool_pads_by_itself() -> None:
    pytest.importorskip("torch")
    found = traced(archc.load(SPECS / "googlenet.yaml").for_one_size())
    assert not {"aten::size", "aten::pad"} & found.keys()


@pytest.mark.parametrize("name", ["apart", "blocks", "inputs", "outputs", "rows"])
def test_other_kinds_of_networks(name: str) -> None:
    pytest.importorskip("torch")
    net = archc.load(EMITTED / f"{name}.yaml").for_one_size()
    assert not compare(net, [archc.OtherBackend("torch")], numeric=True).differences


# ---------------------------------------------------------------------------------- what is written


BLOCKS = """\
input: {channels: 3, height: 16, width: 18}
blocks:
  conv:
    params: {out: int, kernel: int, stride: {type: int, default: 1}}
    steps:
      - conv: conv2d(x, out, kernel, stride=stride)
      - pool: max_pool2d(conv, 3, stride=2)
network:
  - {block: conv, out: 4, kernel: 3}
  - {block: conv, name: second, out: 8, kernel: 5, stride: 2}
"""


def test_what_differs_between_calls_is_an_argument(load: Load) -> None:
    source = load(BLOCKS).for_one_size().source("torch")
    block = source[source.index("class Conv(") : source.index("class Net(")]
    assert (
        block
        == """\
class Conv(nn.Sequential):
    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        kernel: int,
        stride: int = 1,
        conv_padding: tuple[int, int, int, int] | None = None,
        pool_padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        if conv_padding is not None:
            self.conv_pad = nn.ZeroPad2d(conv_padding[2:] + conv_padding[:2])
        self.conv = nn.Conv2d(
            in_channels,
            out,
            kernel,
            stride=stride,
            padding=kernel // 2 if conv_padding is None else 0,
        )
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True, padding=pool_padding)


"""
    )


def header(net: Net, backend: str = "torch") -> str:
    return " ".join(net.source(archc.OtherBackend(backend)).split('"""')[1].split())


@pytest.mark.parametrize(
    ("name", "multiples"), [("mnv3_small", "32"), ("nasnet_a_mobile", "32"), ("mobilenet_v1", "32")]
)
def test_the_header_says_at_which_sizes_the_numbers_hold(name: str, multiples: str) -> None:
    said = header(archc.load(SPECS / f"{name}.yaml").for_one_size())
    assert "Made for 224x224, where paddings are numbers: (top, bottom, left, right)." in said
    assert f"They hold at sizes that differ by multiples of {multiples}, and need not" in said
    assert f"Generated by archc from {name}.yaml at 224x224. Edit the spec" in said


def test_they_hold_there(load: Load) -> None:
    """And not at others: where the header says so, the models agree."""
    torch = pytest.importorskip("torch")
    net = load(BLOCKS)
    assert period(net.network) == (8, 8)
    plain, fixed = net.build("torch"), net.for_one_size().build("torch")
    fixed.load_state_dict(plain.state_dict())
    for size, holds in (((24, 26), True), ((8, 34), True), ((16, 22), False), ((20, 18), False)):
        images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        found, right = fixed(images), plain(images)
        assert (found.shape == right.shape and torch.equal(found, right)) is holds, size


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{block: conv2d, filters: 4, kernel: 3}", "Made for 9x8; no padding depends on the size."),
        (
            "{block: conv2d, filters: 4, kernel: 3, stride: [2, 3]}",
            "They hold at sizes that differ by multiples of 2 x 3, and need not at others.",
        ),
        (
            "{block: conv2d, filters: 4, kernel: 3, stride: 2}\n"
            "  - {block: flatten}\n  - {block: dense, units: 2}",
            "(top, bottom, left, right). They need not hold at other sizes.",
        ),
    ],
)
def test_other_headers(row: str, said: str, load: Load) -> None:
    net = load(f"input: {{channels: 4, height: 9, width: 8}}\nnetwork:\n  - {row}\n")
    assert said in header(net.for_one_size())
    assert "Made for" not in header(net)
    assert header(net.for_one_size(), "keras") == header(net, "keras")


def test_both_ways_give_the_same_network() -> None:
    net = archc.load(SPECS / "repvgg_a0.yaml")
    texts = {
        each.source("torch")
        for each in (net.for_inference().for_one_size(), net.for_one_size().for_inference())
    }
    assert len(texts) == 1
    assert "from repvgg_a0.yaml for inference at 224x224. Edit" in header(
        net.for_inference().for_one_size()
    )


def test_vectors_have_no_size(load: Load) -> None:
    net = load("inputs: {a: {channels: 8}}\nnetwork:\n  - {block: dense, units: 2}\n")
    assert net.for_one_size().source("torch") == net.source("torch")
    assert net.for_one_size().notes == ("it takes vectors alone: there is no size to make it for",)


# --------------------------------------------------------------------------------- what is refused


KEPT = """\
params:
  flag: {{type: bool, default: true, keep: true}}
  many: {{type: int, default: 3, keep: true}}
  how: {{type: padding, default: same, keep: true}}
input: {{channels: 4, height: 9, width: 8}}
blocks:
  some:
    params: {{flag: bool, many: int, how: padding}}
    steps:
      - first: activation(x, relu)
        when: flag
      - pool: max_pool2d(first, 2, stride=2)
        when: {0}
      - conv: conv2d(pool, {1}, {2}, stride=2, padding={3})
network:
  - {{block: some, flag: flag, many: many, how: how}}
"""


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (("flag", "many", "3", "how"), "flag"),
        (("true", "many", "3", "how"), "how"),
        (("true", "3", "many", "same"), "many"),
        (("true", "many", "3", "same"), None),
    ],
)
def test_what_a_kept_parameter_may_decide(
    given: tuple[str, ...], name: str | None, load: Load
) -> None:
    net = load(KEPT.format(*given)).for_one_size()
    assert "Made for" not in header(net, "keras")
    if name is None:
        assert "nn.ZeroPad2d" in net.source("torch")
        return
    with pytest.raises(SpecError) as caught:
        net.source("torch")
    (problem,) = caught.value.problems
    assert problem.message == (
        f"`{name}` stays an argument of the model, so paddings that are numbers cannot depend on it"
    )
    assert (problem.code, problem.hint) == ("E024", f"remove `keep: true` from `{name}`")
    assert problem.place is not None
    assert problem.place.line == 18


# ------------------------------------------------------------------------------- the command line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> Run:
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def test_files_of_all_backends(run: Run) -> None:
    found = run("build", "mnv3_small", "-b", "all", "--static")
    names = [f"generated/mnv3_small_static_{backend}.py" for backend in ("keras", "torch")]
    assert [line.split(": ")[0] for line in found.out.splitlines()] == names
    assert found.err == (
        "archc: note: `keras` is written as without --static: its models are made for a size"
        " anyway\n"
    )
    assert Path(names[0]).read_text() == archc.load("mnv3_small").source("keras")
    assert run("build", "mnv3_small", "-b", "all", "--static", "--check").code == 0
    assert run("build", "mnv3_small", "-b", "torch", "--static", "--inference").out.startswith(
        "generated/mnv3_small_inference_static_torch.py: created"
    )
    assert run("build", "mnv3_small", "-b", "onnx", "--static").out.startswith(
        "generated/mnv3_small.onnx: created"
    )


def test_weights_are_checked_against_such_a_file(run: Run) -> None:
    torch = pytest.importorskip("torch")
    run("build", "mnv3_small", "-b", "torch", "--static")
    torch.save(archc.load("mnv3_small").build("torch").state_dict(), "mine.pt")
    file = "generated/mnv3_small_static_torch.py"
    check = ("weights", "check", "mine.pt", file, "--spec", "mnv3_small")
    assert run(*check).code == 0
    text = Path(file).read_text()
    Path(file).write_text(text.replace("padding=(0, 1, 0, 1)", "padding=(1, 0, 1, 0)"))
    assert "is not what `archc build mnv3_small --static` writes" in run(*check).err


def test_a_variant_of_a_project(run: Run) -> None:
    Path("archc.toml").write_text(
        'backends = ["torch"]\n[variants.phone]\nspec = "lenet_cifar"\nstatic = true\n'
        "inference = true\n"
    )
    found = run("build")
    assert found.out.startswith("generated/phone_torch.py: created"), found.err
    assert "for inference at 32x32." in Path("generated/phone_torch.py").read_text()
    assert run("build", "--check").code == 0
    assert run("build", "--static", "--inference").out.startswith("generated/phone_torch.py: un")


def test_a_network_that_cannot_be_for_one_size_is_told(run: Run) -> None:
    Path("net.yaml").write_text("archc: 1\nname: Net\n" + KEPT.format("flag", "many", "3", "how"))
    found = run("build", "net.yaml", "lenet_cifar", "-b", "torch", "--static")
    assert found.code == 2
    assert "net.yaml:18:25: E024 `flag` stays an argument of the model" in found.err
    assert "archc: net.yaml is wrong, and its files are left as they were" in found.err
    assert found.out.startswith("generated/lenet_cifar_static_torch.py: created")
    assert run("build", "net.yaml", "-b", "keras", "--static").code == 0
    assert run("check", "net.yaml", "--static", "-b", "torch").code == 2


def test_models_for_one_size_are_verified(run: Run) -> None:
    pytest.importorskip("torch")
    found = run("check", "lenet_cifar", "--static", "--inference", "--numeric", "-b", "torch")
    assert found.code == 0, found.err
    assert "skipped: an odd size: this network is made for 32x32" in found.out
    assert run("verify", "lenet_cifar", "--static", "--inference").code == 0
    refused = run("verify", "lenet_cifar", "--static", "--against", "mine.py:Net")
    assert "--static is for models of archc's own." in refused.err


def test_one_size_is_none_that_weights_are_for() -> None:
    net = archc.load("mnv3_small")
    assert carried(net) == carried(net.for_one_size())
    assert str(net) == str(net.for_one_size())


# ------------------------------------------------------------------------------------ the docs


PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## For one size\n")[1].split("\n## ")[0]


def test_the_snippet_of_the_docs_is_traced() -> None:
    torch = pytest.importorskip("torch")
    row, snippet = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    size = archc.load("mnv3_large").input_shape
    names = {"archc": archc, "torch": torch, "images": torch.zeros(1, *size)}
    exec(compile(snippet, "models.md", "exec"), names)
    recorded = Counter(node.kind() for node in names["traced"].inlined_graph.nodes())
    count = re.findall(r"^\| nodes that `torch.jit.trace` records \|.* (\d+) \|$", SECTION, re.M)
    assert [recorded.total()] == [*map(int, count)]
    assert f" {row.strip()}," in archc.load("mnv3_large").for_one_size().source("torch")


def test_the_command_of_the_docs(run: Run) -> None:
    command, said = re.findall(r"```console\n\$ archc (.*)\n(.*)\n```", SECTION)[0]
    given = command.replace("specs/mnv3_small.yaml", "mnv3_small").split()
    assert run(*given).out == f"{said}\n"
