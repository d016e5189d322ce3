"""The ONNX backend: its graphs mean what the interpreter computes, by ONNX Runtime and by onnx's
own evaluator; onnx's checker takes them and infers archc's shapes; `archc build` writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import shape_inference

from archc import backends
from archc.api import load
from archc.backends import BackendError, GraphOptions
from archc.backends.onnx import live, written
from archc.backends.onnx.model import Model, model
from archc.cli import main
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import Invalid
from archc.live import interpreter
from archc.live.numeric import deviation, random_batch, random_inputs, random_weights

from . import shipped, zoo

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "specs"
EMITTED = ROOT / "tests" / "emitted"
GOLDEN = ROOT / "tests" / "onnx"
TOLERANCE = 1e-5
SIZE, OTHER_SIZE = (12, 9), (13, 16)

Array = Any


def graph(network: Network, static: bool = False, **options: Any) -> Model:
    return model(replace(network, static=static), "net.yaml", GraphOptions(**options))


def given(run: Callable[[Any], live.Run], made: Any, batch: Array) -> Array:
    """What a model makes of a batch; of several outputs, the last."""
    return [*run(made)(batch).values()][-1]


def assert_computes(made: Any, batch: Array, expected: Array, runs: Any) -> None:
    for run in runs:
        found = given(run, made, batch)
        assert found.shape == expected.shape, run.__name__
        assert deviation(found, expected) <= TOLERANCE, run.__name__


def assert_inferred(network: Network) -> None:
    """onnx infers, from the operators alone, every shape that archc says."""
    found = graph(network, static=True)
    made = written.proto(found)
    for name, shape in found.weights.items():
        made.graph.input.append(onnx.helper.make_tensor_value_info(name, written.FLOAT, shape))
    ours = {layer.path: layer.output.shape for layer in analysis.layers(network)}
    flat = live.exposed(made, ours)
    del flat.graph.value_info[:]
    inferred = shape_inference.infer_shapes(flat, True, True, True)
    shapes = {each.name: dims(each) for each in inferred.graph.output}
    for path, shape in ours.items():
        assert shapes.pop(f"{live.SHOWN}{path}", (None, *shape))[1:] == shape, path
    assert len(shapes) == len(found.outputs)


def dims(value: Any) -> tuple[int | str, ...]:
    return tuple(d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim)


# ------------------------------------------------------------------------------------- the ops

BOTH = (live.runtime, live.reference)


def evaluated(case: zoo.Case) -> bool:
    """Whether onnx's evaluator has the operator right: its LRN takes the batch for the channels,
    and its MaxPool loses paddings that differ between axes or ends."""
    if case.op == "local_response_norm":
        return case.arguments["size"] in ("2", "4", "16")
    if (
        case.op != "max_pool2d"
        or case.arguments.get("ceil_mode")
        or case.arguments["stride"] != "1"
    ):
        return True
    kernel, padding = case.arguments["kernel"], case.arguments["padding"]
    return padding in ("valid", "zeros") or (padding != zoo.PADS[0] and kernel in ("1", "3", "5"))


def cases() -> Iterator[Any]:
    for case in zoo.CASES:
        form = next(each for each in ("row", "free", "literal") if zoo.fits(case, each))
        yield pytest.param(case, form, id=f"{form}-{case}")


@pytest.mark.parametrize(("case", "form"), list(cases()))
def test_op(case: zoo.Case, form: str, tmp_path: Path) -> None:
    """Of any size by both evaluators in opset 17, of one size by ONNX Runtime in opset 18."""
    path = tmp_path / "zoo.yaml"
    nets = []
    for size in (SIZE, OTHER_SIZE) if case.any_size else (SIZE,):
        path.write_text(zoo.spec(case, form, *size), encoding="utf-8")
        nets.append(load(path))
    weights = random_weights(nets[0].network)
    made = written.whole(graph(nets[0].network), weights)
    onnx.checker.check_model(made, full_check=True)
    runs = BOTH if evaluated(case) else BOTH[:1]
    for net in nets:
        batch = random_batch(net.network)
        expected = interpreter.run(net.network, weights, batch)
        assert_computes(made, batch, expected, runs)
        static = written.whole(graph(net.network, static=True, opset=18), weights)
        onnx.checker.check_model(static, full_check=True)
        assert_computes(static, batch, expected, BOTH[:1])
    assert_inferred(nets[-1].network)


# ----------------------------------------------------------------------------------- the specs

SIZES = ((49, 65), (64, 48)), ((97, 81), (96, 128)), ((129, 113), (128, 160))
"""Odd and even ones; the first that a network takes."""


def sized(network: Network) -> list[Network]:
    """The network at small sizes, or at the declared one alone."""
    for sizes in SIZES:
        try:
            return [at_size(network, *size) for size in sizes]
        except Invalid:
            continue
    return [network]


SLOW = ("nasnet_a_cifar", "nasnet_a_7_1920", "nasnet_a_large")
"""onnx's evaluator takes minutes for these, which have the blocks of nasnet_a_mobile."""


@pytest.mark.parametrize("spec", shipped.cases())
def test_spec(spec: str, request: pytest.FixtureRequest) -> None:
    """At an odd and an even size, from the same graph."""
    network = load(SPECS / f"{spec}.yaml").network
    weights = random_weights(network)
    made = written.whole(graph(network), weights)
    onnx.checker.check_model(made, full_check=True)
    runs = BOTH if spec not in SLOW or request.config.getoption("--full") else BOTH[:1]
    for number, small in enumerate(sized(network)):
        batch = random_batch(small)
        expected = interpreter.run(small, weights, batch)
        assert_computes(made, batch, expected, runs if not number else BOTH[:1])
    assert_inferred(network)


@pytest.mark.parametrize("opset", [17, 18])
def test_static_graphs_have_paddings_as_numbers(opset: int) -> None:
    network = load(SPECS / "mnv3_small.yaml").network
    weights, batch = random_weights(network), random_batch(network)
    found = graph(network, static=True, opset=opset)
    made = written.whole(found, weights)
    assert dims(made.graph.input[0]) == ("batch", 3, 224, 224)
    assert "auto_pad" not in written.text(found)
    assert "SAME_UPPER" in written.text(graph(network))
    assert made.opset_import[0].version == opset
    assert_computes(made, batch, interpreter.run(network, weights, batch), BOTH)


def test_layout_turns_input_and_maps_alone() -> None:
    network = load(SPECS / "lraspp_mnv3_large.yaml").network
    weights = random_weights(network)
    small = at_size(network, 64, 49)
    batch = random_batch(small)
    expected = interpreter.run(small, weights, batch)
    made = written.whole(graph(network, layout="nhwc"), weights)
    onnx.checker.check_model(made, full_check=True)
    assert dims(made.graph.input[0]) == ("batch", "height", "width", 3)
    assert_computes(made, batch.transpose(0, 2, 3, 1), expected.transpose(0, 2, 3, 1), BOTH)
    assert [node.op_type for node in made.graph.node].count("Transpose") == 2


def test_outputs_have_their_names_and_those_of_training_are_left_out() -> None:
    network = load(EMITTED / "outputs.yaml").network
    weights = random_weights(network)
    made = written.whole(graph(network), weights)
    assert [output.name for output in made.graph.output] == list(network.always)
    batch, expected = random_batch(network), {}
    interpreter.run(network, weights, batch, expected.__setitem__)
    for run in BOTH:
        for name, found in run(made)(batch).items():
            assert deviation(found, expected[f"[{name}]"]) <= TOLERANCE, name
    notes = {entry.key: entry.value for entry in made.metadata_props}
    assert int(notes["parameters"]) < analysis.totals(network).trainable
    left_out = {row.call.name for row in network.rows if row.training}
    kept = {initializer.name.split(".")[0] for initializer in made.graph.initializer}
    assert left_out
    assert not left_out & kept


LAYOUTS = pytest.mark.parametrize(
    "options", [{}, {"layout": "nhwc"}, {"static": True}], ids=["nchw", "nhwc", "static"]
)


@LAYOUTS
def test_inputs_have_their_names(options: dict[str, Any]) -> None:
    network = load(EMITTED / "inputs.yaml").network
    weights = random_weights(network)
    made = written.whole(graph(network, **options), weights)
    onnx.checker.check_model(made, full_check=True)
    assert [each.name for each in made.graph.input] == ["photo", "depth", "camera"]
    for small in (network, *([] if "static" in options else [at_size(network, 15, 11)])):
        batches: Any = random_inputs(small)
        expected = interpreter.run(small, weights, batches)
        order = (0, 2, 3, 1) if "layout" in options else (0, 1, 2, 3)
        turned = {k: x.transpose(order) if x.ndim == 4 else x for k, x in batches.items()}
        assert_computes(made, turned, expected, BOTH)


@LAYOUTS
def test_rows_may_be_called_as_inputs_and_outputs_are(
    options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "net.yaml"
    rows = [f"conv2d, name: {n}" for n in ("output_nchw", "output", "output_", "last")]
    lines = "".join(f"  - {{block: {row}, filters: 3, kernel: 3}}\n" for row in rows)
    head = "archc: 1\nname: Named\ninput: {channels: 3, height: 8, width: 8}\nnetwork:\n"
    path.write_text(f"{head}{lines}  - {{block: dropout, rate: 0.5}}\n", encoding="utf-8")
    network = load(path).network
    weights, batch = random_weights(network), random_batch(network)
    expected = interpreter.run(network, weights, batch)
    made = written.whole(graph(network, **options), weights)
    onnx.checker.check_model(made, full_check=True)
    order = (0, 2, 3, 1) if "layout" in options else (0, 1, 2, 3)
    assert_computes(made, batch.transpose(order), expected.transpose(order), BOTH)


COPIES = """\
archc: 1
name: Copies
input: {channels: 4, height: 17, width: 9}
network:
  - {block: avg_pool2d, name: a, kernel: [5, 1], padding: symmetric, count_padding: true}
  - {block: identity, name: i, output: one}
  - {block: dropout, name: j, rate: 0.5, output: two}
  - {block: avg_pool2d, name: b, kernel: 3, padding: symmetric, count_padding: true, from: a}
  - {block: identity, name: k, output: three}
"""


def test_outputs_that_hand_a_value_on_are_that_value(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 loses `a` where a pad takes it and an identity shows it."""
    path = tmp_path / "net.yaml"
    path.write_text(COPIES.replace("  - {block: dropout, name: j, rate: 0.5, output: two}\n", ""))
    network = load(path).network
    batch, expected = random_batch(network), {}
    interpreter.run(network, {}, batch, expected.__setitem__)
    for run in BOTH:
        for name, found in run(written.whole(graph(network), {}))(batch).items():
            assert deviation(found, expected[f"[{name}]"]) <= TOLERANCE, name
    path.write_text(COPIES, encoding="utf-8")
    onnx.checker.check_model(written.whole(graph(load(path).network), {}), full_check=True)


FLAT = """\
archc: 1
name: Net
input: {channels: 3, height: 8, width: 8}
network:
  - {block: max_pool2d, name: pool, kernel: 2, stride: 2}
  - {block: flatten, name: flat}
  - {block: split, name: taken, parts: 3, index: 1, output: part}
  - {block: activation, name: act, act: softmax, output: whole}
"""


def test_what_a_larger_input_makes_longer_is_of_any_length(tmp_path: Path) -> None:
    """Also where a stride hides that an odd size, 7x7, makes it no shorter."""
    path = tmp_path / "net.yaml"
    path.write_text(FLAT, encoding="utf-8")
    network = load(path).network
    found = graph(network)
    assert {v.name: v.shape for v in (*found.values, *found.outputs)} == {
        "pool": ("batch", 3, None, None),
        "flat": ("batch", None),
        "part": ("batch", "part_features"),
        "whole": ("batch", "whole_features"),
    }
    assert graph(network, static=True).outputs[0].shape == ("batch", 16)
    made = written.whole(found, {})
    onnx.checker.check_model(made, full_check=True)
    for size in ((8, 8), (7, 7), (14, 5)):
        other = at_size(network, *size)
        batch = random_batch(other)
        assert_computes(made, batch, interpreter.run(other, {}, batch), BOTH)


# -------------------------------------------------------------------------------- the structure


def test_blocks_are_functions_and_rows_are_calls_at_their_paths() -> None:
    network = load(SPECS / "mnv3_large.yaml").network
    found = graph(network)
    assert [node.name for node in found.nodes] == [row.call.name for row in network.rows]
    names = [function.name for function in found.functions]
    assert len({*names}) == len(names)
    row = next(node for node in found.nodes if node.name == "blocks.12")
    assert row.target.name == "inverted_residual_expand_excite_hard_swish"  # type: ignore[union-attr]
    assert row.attributes["kernel"] == (5, 5)
    assert row.attributes["stride"] == (2, 2)


def test_calls_that_differ_in_numbers_alone_share_a_function(tmp_path: Path) -> None:
    """So that another kernel in one row is another attribute of one call."""
    texts = []
    for kernel in (3, 5):
        path = tmp_path / "net.yaml"
        row = f"  - {{block: conv_bn, name: b, out: 8, kernel: {kernel}, act: relu}}\n"
        other = "  - {block: conv_bn, name: a, out: 8, kernel: 3, act: relu}\n"
        head = "archc: 1\nname: N\nuse: [blocks/mobilenet.yaml]\n"
        size = "input: {channels: 3, height: 8, width: 8}\nnetwork:\n"
        path.write_text(head + size + other + row, encoding="utf-8")
        texts.append(load(path).source("onnx").splitlines())
    assert len(texts[0]) == len(texts[1])
    changed = [new for old, new in zip(*texts, strict=True) if old != new]
    assert [("sha256" in line, "5, 5" in line, "float[8,8,5,5]" in line) for line in changed] == [
        (True, False, False),
        (False, False, True),
        (False, True, False),
    ]


@pytest.mark.parametrize("spec", ["blocks", "outputs"])
def test_text(spec: str, golden: Callable[[Path, str], None]) -> None:
    text = load(EMITTED / f"{spec}.yaml").source("onnx")
    golden(GOLDEN / f"{spec}.onnxtxt", text)
    assert onnx.parser.parse_model(text).graph.name


@pytest.mark.parametrize("path", sorted(EMITTED.glob("*.yaml")), ids=lambda path: path.stem)
def test_text_is_what_onnx_reads(path: Path) -> None:
    net = load(path)
    found = graph(net.network)
    text = written.text(found)
    parsed = onnx.parser.parse_model(text)
    assert written.printed(parsed) == text
    assert len(parsed.graph.initializer) == len(found.weights)


def test_a_file_says_what_it_was_made_of() -> None:
    net = load(SPECS / "mnv3_small.yaml", alpha=0.75)
    made = written.proto(graph(net.network))
    notes = {entry.key: entry.value for entry in made.metadata_props}
    assert notes["spec"] == "net.yaml"
    assert (notes["parameters"], notes["macs"]) == (str(net.params.trainable), str(net.macs))
    assert "alpha=0.75" in notes["settings"]
    other = graph(load(SPECS / "mnv3_small.yaml").network)
    assert notes["sha256"] != other.notes["sha256"]


# ---------------------------------------------------------------------------------- the command

TINY = """\
archc: 1
name: Tiny
use: [blocks/mobilenet.yaml]
params:
  classes: {type: int, default: 3, keep: true}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv_bn, out: 4, kernel: 3, stride: 2}
  - {block: global_avg_pool2d}
  - {block: dense, units: classes}
"""
NOTE = "tiny.yaml: note: a graph has no arguments: classes=3 are compiled in; --set gives others\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    """Runs a command line in a folder with a spec."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")

    def command(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return command


def of_file(path: str, size: int = 8) -> Array:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    net = load("tiny.yaml")
    return session.run(None, {"input": random_batch(net.network, size, size)})[0]


def test_build_writes_fresh_weights_always_the_same(run: Run) -> None:
    code, out, err = run("build", "tiny.yaml", "-b", "onnx")
    assert (code, err) == (0, NOTE)
    net = load("tiny.yaml")
    counts = f"{net.params.trainable} parameters, {net.macs:,} MACs"
    assert out == f"generated/tiny.onnx: created, {counts}, fresh weights\n"
    data = Path("generated/tiny.onnx").read_bytes()
    assert "unchanged" in run("build", "tiny.yaml", "-b", "onnx")[1]
    assert run("build", "tiny.yaml", "-b", "onnx", "--check")[:2] == (0, "")
    code = "from archc.cli import main; main(['build', 'tiny.yaml', '-b', 'onnx', '-o', 'again'])"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert Path("again/tiny.onnx").read_bytes() == data
    onnx.checker.check_model("generated/tiny.onnx", full_check=True)
    assert of_file("generated/tiny.onnx", 11).shape == (2, 3)
    assert [path.name for path in Path("generated").iterdir()] == ["tiny.onnx"]


def test_build_takes_weights_of_every_kind(run: Run) -> None:
    torch = pytest.importorskip("torch")
    net = load("tiny.yaml")
    weights = random_weights(net.network)
    built = net.build("torch")
    net.live("torch").load(built, weights)
    torch.save(built.state_dict(), "mine.pt")
    code, out, err = run("build", "tiny.yaml", "-b", "onnx", "--weights", "mine.pt")
    assert (code, err) == (0, NOTE)
    assert out.endswith("weights of mine.pt\n")
    batch = random_batch(net.network)
    expected = interpreter.run(net.network, weights, batch)
    assert deviation(of_file("generated/tiny.onnx"), expected) <= TOLERANCE
    assert run("build", "tiny.yaml", "-b", "onnx", "--check")[1] == (
        "generated/tiny.onnx: the same graph with other weights\n"
    )
    torch.save({**built.state_dict(), "dense.bias": torch.full((3,), torch.nan)}, "mine.pt")
    code, _, err = run("build", "tiny.yaml", "-b", "onnx", "--weights", "mine.pt")
    said = "mine.pt: warning: infinities, or what is no number, in dense.bias\n"
    assert (code, err) == (0, NOTE + said)


def test_weights_of_what_was_trained_are_folded(run: Run) -> None:
    from safetensors.numpy import save_file

    net = load("tiny.yaml")
    weights, batch = random_weights(net.network), random_batch(net.network)
    save_file(weights, "mine.safetensors")
    arguments = ("-b", "onnx", "--inference", "--weights", "mine.safetensors")
    assert run("build", "tiny.yaml", *arguments)[0] == 0
    path = "generated/tiny_inference.onnx"
    assert "BatchNormalization" not in written.read(Path(path))
    expected = interpreter.run(net.network, weights, batch)
    assert deviation(of_file(path), expected) <= TOLERANCE


def test_check_shows_what_is_stale(run: Run) -> None:
    code, out, _ = run("build", "tiny.yaml", "-b", "onnx", "--check")
    assert code == 1
    assert out.startswith("--- /dev/null\n+++ generated/tiny.onnx\n")
    run("build", "tiny.yaml", "-b", "onnx", "--set", "classes=4")
    code, out, _ = run("build", "tiny.yaml", "-b", "onnx", "--check")
    assert code == 1
    assert '-    float[4,4] "dense.weight"' in out
    Path("generated/tiny.onnx").write_bytes(b"none")
    assert run("build", "tiny.yaml", "-b", "onnx", "--check")[0] == 1


def test_text_is_written_where_it_is_asked_for(run: Run) -> None:
    assert run("build", "tiny.yaml", "-b", "all")[0] == 0
    assert {path.suffix for path in Path("generated").iterdir()} == {".py"}
    assert run("build", "tiny.yaml", "-b", "all", "--text")[0] == 0
    text = Path("generated/tiny.onnxtxt").read_text(encoding="utf-8")
    assert run("build", "tiny.yaml", "-b", "onnx", "--stdout")[1] == text
    assert run("build", "tiny.yaml", "-b", "all", "--text", "--check") == (0, "", "")
    Path("generated/tiny.onnxtxt").write_text(
        text.replace("GlobalAverage", "GlobalMax"), encoding="utf-8"
    )
    assert run("build", "tiny.yaml", "-b", "all", "--check") == (0, "", "")
    assert run("build", "tiny.yaml", "-b", "all", "--text", "--check")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-b", "torch", "--opset", "17"], "--opset is for backends that write a graph: onnx."),
        (["-b", "all", "--weights", "w.pt"], "--weights is for backends that write a graph: onnx."),
        (["-b", "onnx", "--stdout", "--weights", "w.pt"], "A graph as text has no weights; leave"),
        (["other.yaml", "-b", "onnx", "--weights", "w.pt"], "--weights are those of one SPEC."),
        (
            ["-b", "onnx", "--opset", "12"],
            "archc writes ONNX of the opsets 17 and 18, and not of 12",
        ),
        (["-b", "onnx", "--layout", "chwn"], "`chwn` is no layout; there are nchw and nhwc"),
        (["-b", "onnx", "--weights", "none.pt"], "none.pt: No such file or directory"),
        (["-b", "onnx", "--weights", "w.zip"], "w.zip: its ending says no format that can be read"),
        (["-b", "onnx", "-o", "file/below"], "file/below/tiny.onnx: Not a directory"),
    ],
)
def test_what_is_refused(run: Run, arguments: list[str], said: str) -> None:
    Path("other.yaml").write_text(TINY, encoding="utf-8")
    Path("file").write_text("", encoding="utf-8")
    code, out, err = run("build", "tiny.yaml", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_weights_that_do_not_fit_are_named_and_nothing_is_written(run: Run) -> None:
    from safetensors.numpy import save_file

    weights = random_weights(load("tiny.yaml").network)
    del weights["dense.bias"]
    save_file(weights, "mine.safetensors")
    code, out, err = run("build", "tiny.yaml", "-b", "onnx", "--weights", "mine.safetensors")
    assert (code, out) == (2, "")
    assert "mine.safetensors: these are no weights of Tiny; tensors: 1 missing" in err
    assert not Path("generated").exists()


# ------------------------------------------------------------------ weights in their own file


def data_files() -> list[str]:
    return sorted(path.name for path in Path("generated").iterdir() if path.suffix == ".data")


def test_large_weights_lie_beside_the_graph(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("build", "tiny.yaml", "-b", "onnx", "-o", "small")
    monkeypatch.setattr(written, "LARGEST", 100)
    assert "created" in run("build", "tiny.yaml", "-b", "onnx")[1]
    (first,) = data_files()
    onnx.checker.check_model("generated/tiny.onnx", full_check=True)
    assert np.array_equal(of_file("generated/tiny.onnx"), of_file("small/tiny.onnx"))
    data = Path("generated", first)
    content = data.read_bytes()
    data.unlink()
    assert run("build", "tiny.yaml", "-b", "onnx", "--check")[0] == 1
    Path("elsewhere").write_bytes(b"")
    data.symlink_to("../elsewhere")
    assert "unchanged" in run("build", "tiny.yaml", "-b", "onnx")[1]
    assert (data.read_bytes(), Path("elsewhere").read_bytes()) == (content, b"")
    assert run("build", "tiny.yaml", "-b", "onnx", "--check")[0] == 0
    assert "changed" in run("build", "tiny.yaml", "-b", "onnx", "--set", "classes=5")[1]
    (second,) = data_files()
    assert first != second


def test_a_full_disk_leaves_all_as_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "LARGEST", 100)
    run("build", "tiny.yaml", "-b", "onnx")
    before = {path: path.read_bytes() for path in Path("generated").iterdir()}

    def full(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    for name in ("_serialized", "_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(written, name, full)
            code, _, err = run("build", "tiny.yaml", "-b", "onnx", "--set", "classes=5")
        assert code == 2
        assert "No space left on device" in err
        assert {path: path.read_bytes() for path in Path("generated").iterdir()} == before


def test_a_file_that_is_too_large_for_the_disk_is_named(run: Run) -> None:
    """As of a limit on the sizes of files, which a process can have."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "from archc.cli import main; main(['build', 'tiny.yaml', '-b', 'onnx'])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("archc: generated/tiny.onnx: File too large\n")
    assert list(Path("generated").iterdir()) == []


# ------------------------------------------------------------------------------ what is imported

ALONE = """
import sys
from archc.cli import main
main(["build", "tiny.yaml", "-b", "onnx"])
found = {"torch", "keras", "tensorflow", "onnxruntime", "jax"} & set(sys.modules)
assert not found, found
"""


def test_writing_imports_no_framework(run: Run) -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True)


def test_without_onnx_it_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for module in ("written", "live"):
        monkeypatch.delitem(sys.modules, f"archc.backends.onnx.{module}", raising=False)
    code, out, err = run("build", "tiny.yaml", "-b", "onnx")
    assert (code, out) == (2, "")
    assert err.startswith("archc: the backend `onnx` needs onnx")
    assert "onnx" not in backends.drivable()
    with pytest.raises(BackendError, match="the backend `onnx` needs onnx"):
        load("tiny.yaml").build("onnx")
    code, out, err = run("check", "tiny.yaml", "--numeric")
    assert (code, err) == (0, "archc: note: `onnx` is left out; it needs onnx\n")
    assert "agrees with keras and torch" in out


def test_without_onnx_runtime_the_evaluator_runs_it(run: Run) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from archc.cli import main; main(['check', 'tiny.yaml', '-b', 'onnx', '--numeric'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tiny.yaml agrees with onnx, " in done.stdout
