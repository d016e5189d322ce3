"""Several inputs: what models take by name, in which order, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import archc
from archc import Net, backends
from archc.backends.python.execute import execute
from archc.cli import cli
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir import analysis
from archc.compiler.printed.resolve import resolve
from archc.live import interpreter
from archc.live.check import compare
from archc.live.numeric import Array, deviation, random_inputs, random_weights
from archc.live.verify import verify
from archc.weights.convert import convert, write

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPEC = Path(__file__).with_name("emitted") / "inputs.yaml"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Load = Callable[..., Net]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, **settings: object) -> Net:
        path = tmp_path / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return archc.load(path, **settings)

    return loaded


def given(net: Net) -> dict[str, Array]:
    batch = random_inputs(net.network)
    assert isinstance(batch, dict)
    return batch


def reading(load: Load, rows: str, inputs: str = "") -> Net:
    """A network of two maps of equal shape and a vector."""
    inputs = inputs or (
        "  left: {channels: 3, height: 7, width: 6}\n"
        "  right: {channels: 3, height: 7, width: 6}\n"
        "  extra: {channels: 2}\n"
    )
    return load(f"archc: 1\nname: Two\ninputs:\n{inputs}network:\n{rows}")


# --------------------------------------------------------------------------------- their numbers


def test_definitions_and_backends_agree() -> None:
    report = compare(archc.load(SPEC), backends.names(), numeric=True)
    assert not report.differences
    assert report.sizes == ["19x14", "15x11"]
    assert report.agreements.keys() == {*backends.names()}


def test_each_row_is_fed_the_input_that_it_names(load: Load) -> None:
    """By arithmetic of our own: 2 right - left, and then the sum of all with the vector."""
    rows = """\
  - {block: add, name: twice, from: [right, right]}
  - {block: subtract, name: apart, from: [twice, left]}
  - {block: global_avg_pool2d, name: mean}
  - {block: concat, name: all, from: [extra, mean]}
"""
    net = reading(load, rows)
    batch = given(net)
    mean = (2.0 * batch["right"] - batch["left"]).mean((2, 3))
    right = np.concatenate([batch["extra"], mean], 1)
    assert deviation(interpreter.run(net.network, {}, batch), right) < 1e-6
    for name in backends.names():
        live = net.live(name)
        assert deviation(live.outputs(net.build(name), batch)[""], right) < 1e-6, name


def test_a_first_row_of_two_tensors_takes_the_first_two(load: Load) -> None:
    size = "{channels: 2, height: 3, width: 3}"
    net = reading(load, "  - {block: subtract}\n", f"  left: {size}\n  right: {size}\n")
    batch = given(net)
    assert deviation(interpreter.run(net.network, {}, batch), batch["left"] - batch["right"]) < 1e-6


@pytest.mark.parametrize(
    ("size", "beside"), [((38, 27), (19, 14)), ((19, 14), (10, 7)), ((5, 3), (3, 2))]
)
def test_other_sizes_are_in_proportion(size: tuple[int, int], beside: tuple[int, int]) -> None:
    network = at_size(archc.load(SPEC).network, *size)
    shapes = {name: own.tensor.shape for name, own in network.inputs.items()}
    assert shapes == {"photo": (3, *size), "depth": (1, *beside), "camera": (4,)}


@pytest.mark.parametrize(
    ("first", "second", "other", "right"),
    [(20, 20, 13, 13), (20, 10, 13, 7), (19, 9, 13, 6), (10, 20, 13, 26), (30, 20, 15, 10)],
)
def test_a_side_goes_with_the_first(
    load: Load, first: int, second: int, other: int, right: int
) -> None:
    lines = "  {}: {{channels: 3, height: {}, width: 9}}\n".format
    rows = """\
  - {block: global_avg_pool2d, name: a}
  - {block: global_avg_pool2d, name: b, from: right}
  - {block: add, from: [a, b]}
"""
    net = reading(load, rows, lines("left", first) + lines("right", second))
    assert at_size(net.network, other, 9).inputs["right"].tensor.height == right


def test_memory_holds_every_input_at_first(load: Load) -> None:
    rows = "  - {block: add, from: [left, right]}\n  - {block: global_avg_pool2d}\n"
    net = reading(load, f"{rows}  - {{block: concat, name: all, from: [-1, extra]}}\n")
    size = 3 * 7 * 6
    # left, right and the vector, and the sum beside them; then the maps are gone.
    assert analysis.memory(net.network).peak == 4 * (2 * size + 2 + size)


# ------------------------------------------------------------------------------- live models


def test_torch_takes_them_in_order_and_scripts() -> None:
    net = archc.load(SPEC)
    model, batch = net.build("torch"), given(net)
    arrays = [torch.from_numpy(batch[name]) for name in ("photo", "depth", "camera")]
    scripted = torch.jit.script(model)
    with torch.no_grad():
        plain = model(*arrays)
        assert torch.equal(scripted(*arrays), plain)
        assert model.forward_features(*arrays).keys() == {"c1", "c2"}
    named = dict(zip(("photo", "depth", "camera"), arrays, strict=True))
    exported = torch.export.export(model, (), named)
    assert torch.allclose(exported.module()(**named), plain, atol=1e-6)


def made(net: Net, **more: Any) -> Any:
    return getattr(execute(net.source_file("keras")), net.emitted("keras").model)(**more)


def test_keras_takes_them_by_name_and_saves(tmp_path: Path) -> None:
    net = archc.load(SPEC)
    model, batch = made(net, auxiliary=False), given(net)
    arrays = {k: np.moveaxis(v, 1, -1) for k, v in batch.items()}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    first = np.asarray(model(arrays))
    assert np.array_equal(first, np.asarray(again(arrays)))
    backwards = dict(reversed(arrays.items()))
    assert np.array_equal(first, np.asarray(model(backwards)))


def test_keras_takes_any_size() -> None:
    sizes = {"photo_shape": (None, None, 3), "depth_shape": (None, None, 1)}
    model = made(archc.load(SPEC), auxiliary=False, **sizes)
    for height, width in ((9, 8), (12, 20)):
        photo = np.zeros((1, 2 * height, 2 * width, 3), np.float32)
        depth = np.zeros((1, height, width, 1), np.float32)
        camera = np.zeros((1, 4), np.float32)
        assert model({"photo": photo, "depth": depth, "camera": camera}).shape == (1, 5)


@pytest.mark.parametrize("end", [".weights.h5", ".keras"])
def test_weights_go_to_keras_and_back(tmp_path: Path, end: str) -> None:
    net = archc.load(SPEC)
    arrays = random_weights(net.network)
    first, second = tmp_path / "a.safetensors", tmp_path / f"b{end}"
    write(net, arrays.values(), first, {})
    convert(net, first, second)
    model = made(net)
    if end == ".keras":
        model = keras.saving.load_model(second)
    else:
        model.load_weights(second)
    found = net.live("keras").arrays(model)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(found[name], array), name


def test_verify_compares_every_row() -> None:
    verdicts = verify(archc.load(SPEC), None, None)
    assert [v.row for v in verdicts][:3] == ["stem", "far", "beside"]
    assert max(v.worst() for v in verdicts) < 1e-5


# --------------------------------------------------------------------------------------- told


def test_summary_lists_them() -> None:
    shown = CliRunner().invoke(cli, ["summary", str(SPEC)]).output
    assert "Inputs, inputs photo 3x19x14, depth 1x10x7, camera 4:" in shown
    data = json.loads(CliRunner().invoke(cli, ["summary", "--json", str(SPEC)]).output)
    assert data["inputs"][1] == {"name": "depth", "shape": [1, 10, 7]}
    assert data["input_shape"] == [3, 19, 14]


def test_the_header_says_what_each_is() -> None:
    text = archc.load(SPEC).source("torch")
    assert "    depth: 1x10x7 (channels, height, width) of values from 0 to 10: in metres\n" in text
    assert "    camera: 4\n" in text
    assert "    depth: 10x7x1 (height, width, channels)" in archc.load(SPEC).source("keras")


def test_a_resolved_spec_is_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "flat.yaml"
    path.write_text(resolve(SPEC, {}), encoding="utf-8")
    again, net = archc.load(path), archc.load(SPEC)
    assert str(again) == str(net)
    assert {k: replace(v) for k, v in again.network.inputs.items()} == net.network.inputs


def test_a_sole_input_goes_by_its_name(load: Load) -> None:
    rows = "  - {block: identity, name: a}\n  - {block: add, from: [a, input]}\n"
    size = "{channels: 2, height: 3, width: 3}"
    net = load(f"archc: 1\nname: One\ninput: {size}\nnetwork:\n{rows}")
    assert "add = add(a, input)" in str(net)
    same = load(f"archc: 1\nname: One\ninputs: {{input: {size}}}\nnetwork:\n{rows}")
    assert str(same) == str(net)
    assert same.source("keras") == net.source("keras")


def test_a_row_may_be_called_as_a_sole_input(load: Load) -> None:
    rows = "  - {block: identity, name: input}\n  - {block: add, from: [-2, input]}\n"
    head = "archc: 1\nname: One\ninput: {channels: 2, height: 3, width: 3}\nnetwork:\n"
    net = load(head + rows)
    assert [row.call.feeds for row in net.network.rows] == [(-1,), (-1, 0)]


def test_a_variant_has_other_inputs(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPEC.read_text("utf-8"), encoding="utf-8")
    wider = """\
inputs:
  photo: {channels: 3, height: 32, width: 32}
  depth: {channels: 1, height: 16, width: 16}
  camera: {channels: 6}
"""
    net = load(f"archc: 1\nextends: base.yaml\nname: Wider\n{wider}")
    assert [each.shape for each in net.inputs] == [(3, 32, 32), (1, 16, 16), (6,)]
    assert net.network.inputs["depth"].doc == "in metres"
    assert net.network.inputs["photo"].range == (-1, 1)
