"""Several outputs: what models give by name and in training only, and how it is told."""

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
from archc.compiler.printed.resolve import resolve
from archc.live import interpreter
from archc.live.check import compare
from archc.live.numeric import Array, deviation, random_batch, random_weights
from archc.live.verify import verify
from archc.weights.convert import convert, write

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPEC = Path(__file__).with_name("emitted") / "outputs.yaml"
ALWAYS, ONLY = ["map", "logits"], ["aux1", "aux2", "aux3"]
SIZES = [(17, 14), (16, 20), (13, 11)]
DDOF = {"torch": 1, "keras": 0}
SINGLE = """\
archc: 1
name: Alone
params:
  helped: {type: bool, default: true}
  include_top: {type: bool, default: true, keep: true}
input: {channels: 3, height: 9, width: 8}
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 3}
  - name: head
    columns: [block, filters, kernel, output, training_only]
    rows:
      - [conv2d, 2, 1, ~, ~]
      - [batch_norm, ~, ~, ~, ~]
      - [global_avg_pool2d, ~, ~, aux, helped]
  - {block: conv2d, name: body, filters: 6, kernel: 3, from: stem}
  - {block: global_max_pool2d, name: pool, when: include_top}
  - {block: dense, name: logits, units: 5, when: include_top}
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Load = Callable[..., Net]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, **settings: object) -> Net:
        path = tmp_path / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return archc.load(path, **settings)

    return loaded


def plain(load: Load) -> Net:
    """The network without dropout, so that training is no matter of chance."""
    return load(SPEC.read_text("utf-8").replace("dropout(pool, 0.3)", "dropout(pool, 0)"))


def constructor(net: Net, backend: str) -> Any:
    return getattr(execute(net.source_file(backend)), net.emitted(backend).model)


def made(net: Net, backend: str, weights: Any, shape: tuple[int, ...], **more: Any) -> Any:
    """A model with the weights that it has."""
    more |= {"input_shape": (*shape[2:], shape[1])} if backend == "keras" else {}
    model, live = constructor(net, backend)(**more), net.live(backend)
    live.load(model, {name: weights[name] for name in live.arrays(model)})
    return model


def called(backend: str, model: Any, batch: Array, training: bool) -> dict[str, Array]:
    """What a model gives; a tensor as ""."""
    if backend == "torch":
        with torch.no_grad():
            found = model.train(training)(torch.from_numpy(batch))
    else:
        found = model(batch.transpose(0, 2, 3, 1), training=training)
    named = found if isinstance(found, dict) else {"": found}
    arrays = {name: np.asarray(value) for name, value in named.items()}
    if backend == "keras":
        arrays = {name: np.moveaxis(array, -1, 1) for name, array in arrays.items()}
    return arrays


def expected(net: Net, weights: Any, batch: Array, training: Any = None) -> dict[str, Array]:
    found: dict[str, Array] = {}
    interpreter.run(net.network, weights, batch, found.__setitem__, training)
    return {name: found[row.call.name] for name, row in net.network.outputs.items()}


# --------------------------------------------------------------------------------- their numbers


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", backends.sources())
def test_evaluation_gives_what_is_always_there(backend: str, size: tuple[int, int]) -> None:
    net = archc.load(SPEC)
    weights, batch = random_weights(net.network), random_batch(net.network, *size)
    more = {"auxiliary": False} if backend == "keras" else {}
    found = called(backend, made(net, backend, weights, batch.shape, **more), batch, False)
    right = expected(net, weights, batch)
    assert list(found) == ALWAYS
    for name in found:
        assert deviation(found[name], right[name]) < 1e-5, name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", backends.sources())
def test_training_gives_all_and_moves_all_averages(
    backend: str, size: tuple[int, int], load: Load
) -> None:
    net = plain(load)
    weights, batch = random_weights(net.network), random_batch(net.network, *size, count=3)
    training = interpreter.Training(ddof=DDOF[backend])
    right = expected(net, weights, batch, training)
    model = made(net, backend, weights, batch.shape)
    found = called(backend, model, batch, True)
    assert sorted(found) == sorted(right) == sorted(ALWAYS + ONLY)
    for name in found:
        assert deviation(found[name], right[name]) < 1e-5, name
    arrays = net.live(backend).arrays(model)
    assert any(name.startswith("aux1.") for name in training.averages)
    for name, average in training.averages.items():
        assert deviation(arrays[name], average) < 1e-5, name


def test_evaluation_runs_no_row_that_is_for_training_only() -> None:
    net = archc.load(SPEC)
    model, ran = net.build("torch"), []
    for path, module in model.named_modules():
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
    model(torch.zeros(1, *net.input_shape))
    assert "mixed" in ran
    assert not [path for path in ran if path.startswith(("aux1", "side"))]
    ran.clear()
    model.train()(torch.zeros(2, *net.input_shape))
    assert {"aux1", "side"} < set(ran)


@pytest.mark.parametrize("text", [SPEC.read_text("utf-8"), SINGLE], ids=["several", "alone"])
def test_definitions_and_backends_agree_on_every_output(text: str, load: Load) -> None:
    net = load(text)
    report = compare(net, backends.names(), numeric=True)
    assert not report.differences
    assert "rounding" not in "".join(report.skipped)


def test_an_output_that_is_another_value_is_told(load: Load, monkeypatch: Any) -> None:
    net = load(SINGLE)
    live = net.live("torch")

    def swapped(*given: Any, **more: Any) -> dict[str, Array]:
        found = live.outputs(*given, **more)
        return {**found, "[aux]": -found["[aux]"]}

    fake = replace(live, outputs=swapped)
    monkeypatch.setattr(Net, "live", lambda self, backend: fake)
    said = compare(net, ["torch"], True).differences
    assert said[0].startswith("at 9x8, torch leaves the definitions at the output `aux`, by ")


def test_outputs_are_verified_by_name(load: Load) -> None:
    every = {verdict.row: verdict for verdict in verify(load(SINGLE), None, None)}
    for name in ("the output `aux`", "the output `output`"):
        assert every[name].differences.keys() == {*backends.names()}
        assert every[name].worst() < 1e-5


# ------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("text", [SPEC.read_text("utf-8"), SINGLE], ids=["several", "alone"])
def test_pytorch_s_compilers_take_it(text: str, load: Load) -> None:
    net = load(text.replace("dropout(pool, 0.3)", "dropout(pool, 0)"))
    batch = torch.from_numpy(random_batch(net.network, 17, 14))
    model = net.build("torch")
    scripted = torch.jit.script(model)
    for training in (True, False):
        want = called("torch", model, batch.numpy(), training)
        have = called("torch", scripted, batch.numpy(), training)
        assert list(want) == list(have)
        assert all(np.allclose(want[name], have[name], atol=1e-5) for name in want)
    model.eval()
    for other in (torch.fx.symbolic_trace(model), torch.export.export(model, (batch,)).module()):
        found = other(batch)
        named = found if isinstance(found, dict) else {"": found}
        have = {name: value.detach().numpy() for name, value in named.items()}
        assert list(want) == list(have)
        assert all(np.allclose(want[name], have[name], atol=1e-5) for name in want)


def test_torchscript_takes_cells_that_take_from_two_rows(load: Load) -> None:
    """It has no slices of layers, as a loop over some of them would want."""
    net = load(
        "archc: 1\nname: Cells\ninput: {channels: 4, height: 6, width: 6}\n"
        "blocks:\n  cell:\n    inputs: [x, prev]\n"
        "    steps: [{y: 'conv2d(x, 4, kernel=3) + conv2d(prev, 4, kernel=1)'}]\nnetwork:\n"
        "  - {block: conv2d, name: stem, filters: 4, kernel: 3, output: first}\n"
        "  - {block: cell, name: cells, repeat: 4, from: [stem, stem], output: last}\n"
        "  - {block: cell, name: more, repeat: 3, from: [stem, stem]}\n"
    )
    assert "self.cells[3](" in net.source("torch")
    model, batch = net.build("torch"), random_batch(net.network)
    scripted = torch.jit.script(model)
    want, have = (called("torch", each, batch, False) for each in (model, scripted))
    assert list(want) == list(have) == ["first", "last", "output"]
    assert all(np.allclose(want[name], have[name], atol=1e-5) for name in want)


def test_one_output_in_evaluation_is_a_tensor(load: Load) -> None:
    net = load(SINGLE)
    weights, batch = random_weights(net.network), random_batch(net.network)
    right = expected(net, weights, batch)["output"]
    model = made(net, "torch", weights, batch.shape)
    assert list(called("torch", model, batch, True)) == ["aux", "output"]
    assert deviation(called("torch", model, batch, False)[""], right) < 1e-5
    full = made(net, "keras", weights, batch.shape)
    assert sorted(called("keras", full, batch, False)) == ["aux", "output"]
    lean = made(net, "keras", weights, batch.shape, auxiliary=False)
    assert deviation(called("keras", lean, batch, False)[""], right) < 1e-5


@pytest.mark.parametrize("backend", backends.sources())
@pytest.mark.parametrize(
    ("text", "names", "channels"),
    [(SPEC.read_text("utf-8"), ["map", "output"], 10), (SINGLE, [""], 6)],
    ids=["several", "alone"],
)
def test_without_the_top_the_row_above_it_is_the_last(
    text: str, names: list[str], channels: int, backend: str, load: Load
) -> None:
    net, more = load(text), {"auxiliary": False} if backend == "keras" else {}
    weights, batch = random_weights(net.network), random_batch(net.network)
    model = made(net, backend, weights, batch.shape, include_top=False, **more)
    found = called(backend, model, batch, False)
    assert list(found) == names
    path = net.network.rows[-3].call.name
    assert found[names[-1]].shape[1] == channels
    right = interpreter.outputs(net.network, weights, batch)[path]
    assert deviation(found[names[-1]], right) < 1e-5


@pytest.mark.parametrize("backend", backends.sources())
def test_the_row_above_the_top_may_be_an_output_itself(backend: str, load: Load) -> None:
    net = load(SINGLE.replace("from: stem}", "from: stem, output: features}"))
    batch, more = random_batch(net.network), {"auxiliary": False} if backend == "keras" else {}
    weights = random_weights(net.network)
    for top, names in ((True, ["features", "output"]), (False, ["features"])):
        model = made(net, backend, weights, batch.shape, include_top=top, **more)
        assert list(called(backend, model, batch, False)) == names


def test_feature_maps_come_without_what_is_for_training_only() -> None:
    net = archc.load(SPEC)
    body = net.source("torch").split("def forward_features")[1]
    assert "aux1" not in body
    assert "side" not in body
    weights, batch = random_weights(net.network), random_batch(net.network)
    features = made(net, "torch", weights, batch.shape).eval().forward_features
    with torch.no_grad():
        ours = {name: value.numpy() for name, value in features(torch.from_numpy(batch)).items()}
    theirs = called(
        "keras", made(net, "keras", weights, batch.shape, features_only=True), batch, False
    )
    right = interpreter.outputs(net.network, weights, batch)
    for tap in net.taps:
        assert deviation(ours[tap.name], right[tap.path]) < 1e-5
        assert deviation(theirs[tap.name], right[tap.path]) < 1e-5


# --------------------------------------------------------------------------------------- Keras


def test_keras_trains_with_a_loss_for_each_output(load: Load) -> None:
    net = load(SINGLE)
    model = net.build("keras")
    losses = {"aux": "mse", "output": "mae"}
    model.compile("sgd", loss=losses, loss_weights={"aux": 0.3, "output": 1.0})
    batch = random_batch(net.network).transpose(0, 2, 3, 1)
    goals = {"aux": np.ones((2, 2)), "output": np.ones((2, 5))}
    before = net.live("keras").arrays(model)
    before = {name: array.copy() for name, array in before.items()}
    history = model.fit(batch, goals, epochs=1, verbose=0).history
    assert {"aux_loss", "output_loss"} <= history.keys()
    after = net.live("keras").arrays(model)
    moved = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"stem", "head", "body", "logits"}


def test_keras_saves_and_loads_every_output(tmp_path: Path) -> None:
    net = archc.load(SPEC)
    model = net.build("keras")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = random_batch(net.network)
    found, again = (called("keras", each, batch, False) for each in (model, loaded))
    assert sorted(found) == sorted(again) == sorted(ALWAYS + ONLY)
    assert all(np.array_equal(found[name], again[name]) for name in found)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_go_from_pytorch_to_keras_and_into_a_model_without_heads(
    suffix: str, tmp_path: Path
) -> None:
    net = archc.load(SPEC)
    weights, batch = random_weights(net.network), random_batch(net.network)
    write(net, weights.values(), tmp_path / "net.pt", {})
    convert(net, tmp_path / "net.pt", tmp_path / f"net{suffix}")
    module = net.build("torch")
    module.load_state_dict(torch.load(tmp_path / "net.pt"), strict=True)
    if suffix == ".keras":
        model = keras.models.load_model(tmp_path / "net.keras")
    else:
        model = constructor(net, "keras")()
        model.load_weights(tmp_path / "net.weights.h5")
    right = called("torch", module, batch, False)

    # As the docs say.
    heads = {name: model.output[name] for name in ("map", "logits")}
    lean = keras.Model(model.input, heads)
    other = constructor(net, "keras")(auxiliary=False)
    for layer in other.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())

    for each in (model, lean, other):
        found = called("keras", each, batch, False)
        assert all(deviation(found[name], right[name]) < 1e-5 for name in right)


def test_keras_numbers_the_layers_of_outputs_by_their_names(load: Load, tmp_path: Path) -> None:
    """Those of `zeta` and of `alpha` are equally far from the input."""
    net = load(
        "archc: 1\nname: Heads\ninput: {channels: 3, height: 8, width: 8}\nnetwork:\n"
        "  - {block: conv2d, name: stem, filters: 4, kernel: 3}\n"
        "  - {block: conv2d, name: first, filters: 5, kernel: 1, output: zeta}\n"
        "  - {block: conv2d, name: second, filters: 5, kernel: 1, from: stem, output: alpha}\n"
        "  - {block: conv2d, name: third, filters: 5, kernel: 1, from: stem, output: mid}\n"
    )
    weights = random_weights(net.network)
    write(net, weights.values(), tmp_path / "net.pt", {})
    convert(net, tmp_path / "net.pt", tmp_path / "net.weights.h5")
    model = net.build("keras")
    model.load_weights(tmp_path / "net.weights.h5")
    found = net.live("keras").arrays(model)
    assert all(np.array_equal(found[name], array) for name, array in weights.items())


# ------------------------------------------------------------------------------ what is told


def test_outputs_in_python() -> None:
    net = archc.load(SPEC)
    assert net.outputs[:2] == (
        ("aux1", "aux1", (5,), None, True),
        ("map", "blocks.1", (12, 5, 4), 4, False),
    )
    assert net.outputs[-1] == ("logits", "logits", (5,), None, False)
    assert net.output_shape == (5,)
    sole = archc.load(Path(__file__).parents[1] / "specs" / "lenet_cifar.yaml")
    assert [output.name for output in sole.outputs] == ["output"]


def test_outputs_in_the_summary() -> None:
    lines = CliRunner().invoke(cli, ["summary", str(SPEC)]).output.splitlines()
    assert "output map: 12x5x4 at stride 4, from blocks.1" in lines
    assert "output aux1: 5, from aux1, in training only" in lines
    assert "output logits: 5, from logits" in lines
    found = json.loads(CliRunner().invoke(cli, ["summary", "--json", str(SPEC)]).output)
    assert found["outputs"][0] == {
        "name": "aux1",
        "path": "aux1",
        "shape": [5],
        "stride": None,
        "training_only": True,
    }


def test_outputs_in_the_ir() -> None:
    said = str(archc.load(SPEC)).splitlines()
    assert said[-5:] == [
        "output aux1 = aux1 in training only",
        "output map = blocks.1",
        "output aux2 = side.1 in training only",
        "output aux3 = both in training only",
        "output logits = logits",
    ]


def test_outputs_are_counted_as_alive_to_the_end(load: Load) -> None:
    names = dict.fromkeys("abcdefg", 4) | {"a": 64, "g": 64}
    rows = [f"{{block: conv2d, name: {n}, filters: {f}, kernel: 1}}" for n, f in names.items()]
    text = "archc: 1\nname: N\ninput: {channels: 3, height: 8, width: 8}\nnetwork:\n  - "
    usual = load(text + "\n  - ".join(rows)).memory.peak
    given = load((text + "\n  - ".join(rows)).replace("name: a", "name: a, output: a"))
    assert given.memory.peak == usual + 4 * 64 * 64


@pytest.mark.parametrize("text", [SPEC.read_text("utf-8"), SINGLE], ids=["several", "alone"])
def test_a_resolved_spec_has_the_same_outputs(text: str, load: Load, tmp_path: Path) -> None:
    net = load(text)
    flat = tmp_path / "flat.yaml"
    flat.write_text(resolve(tmp_path / "net.yaml"), encoding="utf-8")
    again = archc.load(flat)
    assert again.outputs == net.outputs
    assert [row.training for row in again.network.rows] == [
        row.training for row in net.network.rows
    ]


def test_heads_are_always_there_where_nothing_says_otherwise(load: Load) -> None:
    net = load(SINGLE, helped=False)
    assert not any(output.training_only for output in net.outputs)
    assert "auxiliary" not in net.source("keras")
    assert list(called("torch", net.build("torch"), random_batch(net.network), False)) == [
        "aux",
        "output",
    ]


def test_a_repeated_row_gives_what_it_gives_the_last_time(load: Load) -> None:
    row = "{block: batch_norm, name: stem, repeat: 3, output: norm}"
    net = load(SINGLE.replace("{block: conv2d, name: stem, filters: 4, kernel: 3}", row))
    assert net.outputs[0][:2] == ("norm", "stem.2")


def test_a_variant_gives_out_what_its_base_does_not(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SINGLE, encoding="utf-8")
    net = load(
        "archc: 1\nname: Other\nextends: base.yaml\nchange:\n"
        "  - {at: stem, set: {output: early}}\n"
        "  - {at: head.2, set: {training_only: ~, output: second}}\n"
    )
    assert [(x.name, x.training_only) for x in net.outputs] == [
        ("early", False),
        ("second", False),
        ("output", False),
    ]


@pytest.mark.parametrize("backend", backends.sources())
def test_generated_files_name_every_output(backend: str) -> None:
    text = archc.load(SPEC).source(backend)
    shape = {"torch": "12x5x4", "keras": "5x4x12"}[backend]
    assert text.count(f"    map: {shape}\n") == 2
    assert "    aux1: 5, in training only\n" in text.split("Generated by")[0]
