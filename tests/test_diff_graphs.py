"""`archc diff` with files of ONNX that archc wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper
from tests.running import Run, exit_code, runner

import archc
from archc.backends import GraphOptions
from archc.backends.onnx.outline import of_file, of_network

TINY = """\
archc: 1
name: TinyNet
use: [blocks/mobilenet.yaml]

params:
  alpha: {type: float, default: 1.0, above: 0, doc: width multiplier}
  classes: {type: int, default: 10, min: 1, keep: true, doc: number of classes}

input: {channels: 3, height: 32, width: 32}

network:
  - {block: conv_bn, name: stem, out: 16, kernel: 3, stride: 2, act: hard_swish}
  - columns: [block,        kernel, expand, out, se,   act,        stride]
    rows:
      - [inverted_residual, 3,      1,      16,  ~,    relu,       1]
      - [inverted_residual, 3,      4,      24,  0.25, hard_swish, 2]
    set: {out: round_channels(out * alpha)}
  - {block: pooled_classifier, name: classifier, classes: classes, dropout: 0.2}
"""
STATIC = GraphOptions(layout="nhwc", opset=18)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    _build()
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    capsys.readouterr()
    return runner(capsys, "diff")


def _build(*options: str) -> None:
    assert exit_code("build", "tiny.yaml", "-b", "onnx", "-o", ".", *options) == 0


def _edited(old: str, new: str) -> str:
    assert TINY.count(old) == 1
    Path("edited.yaml").write_text(TINY.replace(old, new), encoding="utf-8")
    return "edited.yaml"


def _found(run: Run, *arguments: str) -> list[str]:
    told = json.loads(run(*arguments, "-f", "json").out)
    return [" ".join(filter(None, (each["id"], each["row"]))) for each in told["findings"]]


@pytest.mark.parametrize(
    "options", [[], ["--static"], ["--layout", "nhwc"], ["--opset", "18"], ["--inference"]]
)
def test_a_file_of_a_spec_is_no_other_network(
    run: Run, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    _build(*options)
    capsys.readouterr()
    inference = [each for each in options if each == "--inference"]
    file = "tiny_inference.onnx" if inference else "tiny.onnx"
    for sides in ([file, "tiny.yaml"], ["tiny.yaml", file], [file, file]):
        assert run(*sides, *inference) == (0, "", "")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("3,      4,", "5,      4,", ["D105 blocks.1", "D302", "D303"]),
        ("hard_swish, 2]", "hard_swish, 1]", ["D105 blocks.1"]),
        ("act: hard_swish}", "act: relu}", ["D105 stem"]),
        ("default: 10,", "default: 7,", ["D107 classifier", "D223", "D302", "D303"]),
        ("name: stem", "name: root", ["D104 root", "D301"]),
        ("channels: 3", "channels: 1", ["D107 stem", "D211", "D302", "D303"]),
        ("name: TinyNet", "name: Other", ["D201"]),
        ("input: {channels", "defaults: {batch_norm: {epsilon: 0.1}}\ninput: {channels", []),
    ],
)
def test_what_an_edit_does_to_a_file(run: Run, old: str, new: str, found: list[str]) -> None:
    said = _found(run, "tiny.onnx", _edited(old, new))
    assert said == (found or ["D105 stem", "D105 blocks.0", "D105 blocks.1"])


def test_a_row_more_and_a_row_less(run: Run) -> None:
    row = "      - [inverted_residual, 3,      1,      16,  ~,    relu,       1]\n"
    spec = _edited(row, row + row.replace("3, ", "5, "))
    assert _found(run, "tiny.onnx", spec) == ["D101 blocks.1", "D301", "D303"]
    assert _found(run, spec, "tiny.onnx") == ["D102 blocks.1", "D301", "D302"]


def test_what_a_reader_sees(run: Run) -> None:
    done = run("tiny.onnx", _edited("3,      4,", "5,      4,"))
    assert done.code == 1
    edit = "blocks.1 depthwise.conv.kernel_shape [3, 3] -> [5, 5]"
    assert [line.split() for line in done.out.splitlines()[:2]] == [
        ["row", "what", "output", "parameters"],
        ["~", *edit.split(), "24x?x?", "5,568", "->", "6,592"],
    ]
    assert "parameters: 6,746 -> 7,770 (+15.2 %)\n" in done.out
    assert "MACs: 612,592 -> 678,128 (+10.7 %)\n" in done.out
    assert "archc weights convert" not in done.out  # whose --from-spec takes no graph


def test_settings_that_a_file_was_written_with_are_said(run: Run) -> None:
    done = run("tiny.onnx", "tiny.yaml", "--set", "classes=7")
    assert done.err == (
        "tiny.onnx: note: it was written with alpha=1, classes=10, and tiny.yaml has alpha=1,"
        " classes=7; --set gives others\n"
    )


def test_files_that_are_written_in_other_ways(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("tiny.onnx", "before.onnx")
    _build("--layout", "nhwc", "--opset", "18")
    capsys.readouterr()
    told = json.loads(run("before.onnx", "tiny.onnx", "-f", "json").out)["findings"]
    assert [each["message"] for each in told] == [
        "the input `input` is height x width x 3 instead of 3 x height x width",
        "the graph is of the opset 18 instead of 17",
    ]


def _theirs(producer: str) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, producer_name=producer)


def _refused(run: Run, *arguments: str) -> str:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    return done.err.splitlines()[-1]


def test_a_file_that_archc_did_not_write(run: Run) -> None:
    onnx.save(_theirs("pytorch"), "theirs.onnx")
    said = _refused(run, "theirs.onnx", "tiny.yaml")
    assert said == (
        "archc: theirs.onnx: archc did not write this file, so no spec's rows are in it"
    )


def test_a_file_that_is_damaged(run: Run) -> None:
    whole = Path("tiny.onnx").read_bytes()
    for length in range(len(whole) // 2, 20, -len(whole) // 20):
        Path("cut.onnx").write_bytes(whole[:length])
        said = _refused(run, "cut.onnx", "tiny.yaml")
        assert said.startswith("archc: cut.onnx: it is damaged: ")


def _with_functions(count: int, calls: int) -> onnx.ModelProto:
    """Functions, each of which calls the one before so many times."""
    made = onnx.load("tiny.onnx")
    domain = made.functions[0].domain
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    for i in range(count):
        inner = f"f{i - 1}" if i else "Relu"
        nodes = [
            helper.make_node(inner, ["x"], [f"y{k}"], f"y{k}", domain=domain if i else "")
            for k in range(calls)
        ]
        made.functions.append(helper.make_function(domain, f"f{i}", ["x"], ["y0"], nodes, opsets))
    made.graph.node[0].op_type = f"f{count - 1}"
    return made


def test_functions_without_end(run: Run) -> None:
    itself = onnx.load("tiny.onnx")
    itself.functions[0].node[0].op_type = itself.functions[0].name
    itself.functions[0].node[0].domain = itself.functions[0].domain
    for made in (itself, _with_functions(200, 1), _with_functions(40, 2)):
        onnx.save(made, "bomb.onnx")
        assert "it is damaged: " in _refused(run, "bomb.onnx", "tiny.yaml")


def test_names_that_no_spec_gives(run: Run) -> None:
    made = onnx.load("tiny.onnx")
    made.graph.node[0].name = "stem\x1b[2J|<b>"
    onnx.save(made, "named.onnx")
    said = _refused(run, "named.onnx", "tiny.yaml")
    assert said.startswith("archc: named.onnx: it is damaged: ")
    assert "\x1b" not in said


def test_a_revision_and_one_side_alone(run: Run) -> None:
    assert _refused(run, "HEAD:tiny.onnx", "tiny.yaml") == (
        "archc: HEAD:tiny.onnx: REV:FILE is for specs; `git show REV:FILE > OLD` gives a file to"
        " compare"
    )
    said = _refused(run, "tiny.onnx")
    assert said == "Error: Name the other side, too: a spec, or another .onnx."


def test_without_onnx(folder: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None; from archc.cli import main;"
        " main(['diff', 'tiny.onnx', 'tiny.yaml'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("archc: the backend `onnx` needs onnx: ")


@pytest.mark.parametrize("spec", ["mnv3_large", "nasnet_a_mobile", "lraspp_mnv3_large"])
def test_a_network_and_its_file_are_the_same_outline(spec: str, tmp_path: Path) -> None:
    options = ["--static", "--opset", "18", "--layout", "nhwc"]
    assert exit_code("build", spec, "-b", "onnx", "-o", str(tmp_path), *options) == 0
    ours, theirs = (
        of_network(archc.load(spec).for_one_size().network, STATIC),
        of_file(tmp_path / f"{spec}.onnx"),
    )
    assert ours.options == theirs.options
    assert (ours.rows, ours.weights) == (theirs.rows, theirs.weights)
    assert len(ours.rows) > 10
