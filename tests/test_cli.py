"""The command line as a user meets it: output, exit codes, and what is left on disk."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from archc import backends

from .running import runner

SPECS = Path(__file__).parent.parent / "specs"
LARGE = str(SPECS / "mnv3_large.yaml")
SMALL = str(SPECS / "mnv3_small.yaml")

GOOD = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 10, min: 1, keep: true}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, filters: 4, kernel: 3}
  - {block: global_avg_pool2d}
  - {block: dense, units: classes}
"""
BAD = GOOD.replace("filters: 4", "filters: -4").replace("dense", "danse")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the command in an empty folder that holds good.yaml and bad.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)

    return runner(capsys)


@pytest.mark.parametrize("name", ["net.py", "nets/net.onnx", "net.onnxtxt"])
def test_out_is_a_folder_and_no_file(run, name):
    folder = Path(name).parent
    code, out, err = run("build", "good.yaml", "-b", "torch", "--out", name)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"Error: --out is a folder, and {name} would be a file; `--out {folder}` has archc name the"
        f" files, and `--stdout > {name}` writes one by your name."
    )
    assert not Path(name).exists()
    Path(name).mkdir(parents=True)
    assert run("build", "good.yaml", "-b", "torch", "--out", name).code == 0  # a folder it is


def test_build_says_what_became_of_each_file(run):
    assert run("build", "good.yaml", "--backend", "torch") == (
        0,
        "generated/good_torch.py: created, 162 parameters, 6,952 MACs\n",
        "",
    )
    assert "good_torch.py: unchanged," in run("build", "good.yaml", "-b", "torch").out
    changed = run("build", "good.yaml", "-b", "all", "--set", "classes=5").out
    assert changed.splitlines() == [
        "generated/good_keras.py: created, 137 parameters, 6,932 MACs",
        "generated/good_torch.py: changed, 137 parameters, 6,932 MACs",
    ]


def test_every_backend_that_is_named_is_meant(run):
    """Once, however often; and not the last alone."""
    named = ("-b", "torch", "-b", "keras", "--backend", "torch")
    written = [line.split(":")[0] for line in run("build", "good.yaml", *named).out.splitlines()]
    assert written == ["generated/good_torch.py", "generated/good_keras.py"]
    assert "agrees with torch and keras" in run("check", "good.yaml", *named).out
    first = run("weights", "list", "good.yaml", *named).out.splitlines()[0]
    assert first.split()[3::2] == ["torch", "keras"]
    assert run("build", "good.yaml", "-b", "torch", "-b", "tensor").err.endswith(
        "'tensor' is not one of keras, onnx, torch, all.\n"
    )


def test_build_into_another_folder(run):
    assert run("build", "good.yaml", "-b", "torch", "--out", "a/b").code == 0
    assert Path("a/b/good_torch.py").is_file()


def test_a_problem_in_one_spec_leaves_the_others_written(run):
    result = run("build", "bad.yaml", "good.yaml", "-b", "all")
    assert result.code == 2
    assert [line.split(":")[0] for line in result.out.splitlines()] == [
        "generated/good_keras.py",
        "generated/good_torch.py",
    ]
    assert result.err == (
        "bad.yaml:7:30: E035 `filters` is -4; it must be at least 1\n"
        "    7 |   - {block: conv2d, filters: -4, kernel: 3}\n"
        "      |                              ^^\n"
        "bad.yaml:9:13: E030 unknown block or op `danse`\n"
        "    9 |   - {block: danse, units: classes}\n"
        "      |             ^^^^^\n"
        "      = help: did you mean `dense`?\n"
        "archc: bad.yaml is wrong, and its files are left as they were\n"
    )
    assert len([*Path("generated").iterdir()]) == 2


def test_nothing_is_printed_where_one_spec_is_wrong(run):
    result = run("build", "bad.yaml", "good.yaml", "-b", "all", "--stdout")
    assert (result.code, result.out) == (2, "")


def test_a_file_keeps_its_old_text_when_writing_fails(run, monkeypatch):
    run("build", "good.yaml", "-b", "torch")
    old = Path("generated/good_torch.py").read_text()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = run("build", "good.yaml", "-b", "torch", "--set", "classes=5")
    assert (result.code, result.err) == (2, "archc: No space left on device\n")
    assert [path.name for path in Path("generated").iterdir()] == ["good_torch.py"]
    assert Path("generated/good_torch.py").read_text() == old


def test_a_written_file_keeps_its_mode(run):
    run("build", "good.yaml", "-b", "torch")
    path = Path("generated/good_torch.py")
    path.chmod(0o640)
    run("build", "good.yaml", "-b", "torch", "--set", "classes=5")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0])
def test_a_created_file_has_the_mode_of_any_other(run, mask):
    before = os.umask(mask)
    try:
        run("build", "good.yaml", "-b", "torch")
        Path("other").write_text("")
    finally:
        os.umask(before)
    mode = Path("generated/good_torch.py").stat().st_mode & 0o777
    assert mode == Path("other").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_file_is_written_beside_its_place(run, monkeypatch):
    """In another folder it could be on another disk, where no file moves in one step."""
    moves = []
    replace = os.replace

    def watched(source, target):
        moves.append((Path(source).resolve().parent, Path(target).resolve().parent))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    run("build", "good.yaml", "-b", "all")
    assert moves == [(Path("generated").resolve(),) * 2] * 2


def test_check_fails_with_a_diff_and_writes_nothing(run):
    run("build", "good.yaml", "-b", "torch")
    before = Path("generated/good_torch.py").stat().st_mtime_ns
    assert run("build", "good.yaml", "-b", "torch", "--check") == (0, "", "")
    stale = run("build", "good.yaml", "-b", "torch", "--check", "--set", "classes=5")
    assert stale.code == 1
    assert "-    def __init__(self, classes: int = 10) -> None:" in stale.out
    assert "+    def __init__(self, classes: int = 5) -> None:" in stale.out
    assert Path("generated/good_torch.py").stat().st_mtime_ns == before
    missing = run("build", "good.yaml", "-b", "keras", "--check")
    assert missing.code == 1
    assert missing.out.startswith("--- /dev/null\n+++ generated/good_keras.py\n")
    assert not Path("generated/good_keras.py").exists()


@pytest.mark.parametrize("stale", range(6))
def test_check_finds_one_stale_file_among_many(run, stale):
    names = ["a", "good", "z"]
    for name in names:
        Path(f"{name}.yaml").write_text(GOOD)
    command = ("build", *(f"{name}.yaml" for name in names), "-b", "all")
    files = [line.split(":")[0] for line in run(*command).out.splitlines()]
    assert len(files) == 6
    path = Path(files[stale])
    path.write_text(path.read_text() + "# by hand\n")
    found = run(*command, "--check")
    assert found.code == 1
    assert [line for line in found.out.splitlines() if line.startswith("---")] == [f"--- {path}"]
    assert path.read_text().endswith("# by hand\n")
    path.unlink()
    assert run(*command, "--check").code == 1


CHANGES = {
    "indentation": lambda text: text.replace("\n    ", "\n  ", 1),
    "a tab": lambda text: text.replace("\n    ", "\n\t", 1),
    "a space at the end of a line": lambda text: text.replace("\n", " \n", 1),
    "a blank line less": lambda text: text.replace("\n\n", "\n", 1),
    "a blank line above": lambda text: "\n" + text,
    "a blank line below": lambda text: text + "\n",
    "no end of the last line": lambda text: text.rstrip("\n"),
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "case": lambda text: text.replace("Tiny", "tiny", 1),
    "a byte order mark": lambda text: "\ufeff" + text,
    "nothing left": lambda text: "",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("backend", backends.sources())
def test_check_and_build_see_every_change_of_a_file(run, change, backend):
    run("build", "good.yaml", "-b", backend)
    path = Path(f"generated/good_{backend}.py")
    text = path.read_bytes()
    path.write_bytes(change(text.decode()).encode())
    assert path.read_bytes() != text
    stale = run("build", "good.yaml", "-b", backend, "--check")
    assert stale.code == 1
    assert stale.out
    assert f"good_{backend}.py: changed," in run("build", "good.yaml", "-b", backend).out
    assert path.read_bytes() == text


def test_stdout_prints_the_source_and_writes_nothing(run):
    result = run("build", "good.yaml", "-b", "torch", "--stdout")
    assert result.out.startswith('"""Tiny for PyTorch.\n')
    assert not Path("generated").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "good.yaml"], "Missing option '--backend' / '-b'; it can be left out"),
        (["build", "-b", "torch"], "Missing argument 'SPEC...'; it can be left out in a"),
        (["build", "good.yaml", "-b", "jax"], "'jax' is not one of keras, onnx, torch, all."),
        (["build", "good.yaml", "-b", "torch", "--set", "x"], "'x' is not of the form NAME=VALUE."),
        (["build", "good.yaml", "-b", "torch", "--check", "--stdout"], "cannot be combined."),
        (["build", "good.yaml", "a/good.yaml", "-b", "torch"], "would both be written to"),
        (["build", "good.yaml", "-b", "torch", "--out", "good.yaml"], "is a file."),
        (["frobnicate"], "No such command 'frobnicate'."),
    ],
)
def test_wrong_usage(run, arguments, said):
    Path("a").mkdir()
    Path("a/good.yaml").write_text(GOOD)
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert "Traceback" not in result.err


def test_an_unwritable_folder_is_named(run):
    Path("file").write_text("")
    result = run("build", "good.yaml", "-b", "torch", "--out", "file/below")
    assert (result.code, result.err) == (2, "archc: file/below/good_torch.py: Not a directory\n")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("alhpa=2", "--set:1:1: E050 unknown parameter `alhpa`"),
        ("alpha=0", "--set:1:1: E035 `alpha` is 0; it must be above 0"),
        ("alpha=wide", "--set:1:1: E034 `alpha` is `wide`; it must be a number"),
        ("alpha=1 +", "--set:1:10: E051 the expression ends where a value is expected"),
        ("padding=sam", "--set:1:1: E034 `padding` is `sam`; it must be one of"),
    ],
)
def test_a_bad_setting(run, setting, problem):
    result = run("summary", LARGE, "--set", setting)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(problem)
    assert setting in result.err.splitlines()[1]


def test_check_without_a_backend(run):
    assert run("check", "good.yaml") == (0, "good.yaml: fine, 162 parameters\n", "")
    assert run("check", "bad.yaml", "good.yaml").code == 2


def test_summary_for_programs(run):
    data = json.loads(run("summary", LARGE, "--json", "--set", "alpha=0.75").out)
    assert (data["name"], data["input_shape"], data["output_shape"]) == (
        "MobileNetV3Large",
        [3, 224, 224],
        [1000],
    )
    assert data["params"] == {"trainable": 3_993_528, "total": 4_012_616}
    for figures in (data["layers"], data["blocks"]):
        assert sum(layer["params"] for layer in figures) == data["params"]["total"]
        assert sum(layer["macs"] for layer in figures) == data["macs"]
    assert data["layers"][0] == {
        "path": "stem.conv",
        "op": "conv2d",
        "kernel": [3, 3],
        "input_shapes": [[3, 224, 224]],
        "output_shape": [16, 112, 112],
        "receptive_field": [3, 3],
        "params": 432,
        "trainable": 432,
        "macs": 5_419_008,
    }
    assert data["activation_bytes"]["peak"] < data["activation_bytes"]["sum"]


def test_summary_for_people(run):
    lines = run("summary", SMALL).out.splitlines()
    assert lines[0].split() == [
        *("layer", "op", "kernel", "input", "output", "sees"),
        *("trainable", "other", "MACs", "share"),
    ]
    gate = ["blocks.0.excite.gate", "activation", "16x1x1", "16x1x1", "all"]
    assert any(line.split() == gate for line in lines)
    assert "2,542,856 trainable parameters, 2,554,968 in total" in lines[-8]
    # 2,554,968 numbers of 4, 2 and 1 bytes, in units of 2**20
    assert lines[-7] == "9.7 MiB as float32, 4.9 MiB as float16, 2.4 MiB as int8"
    assert lines[-4:] == [
        "c2: 16x56x56 at stride 4, from blocks.0",
        "c3: 24x28x28 at stride 8, from blocks.2",
        "c4: 48x14x14 at stride 16, from blocks.7",
        "c5: 576x7x7 at stride 32, from head",
    ]
    assert len(run("summary", SMALL, "--blocks").out.splitlines()) < 25


def test_columns_of_the_summary_add_up_to_what_it_ends_with(run):
    """In every format, by op, row and stage."""
    totals = (2_542_856, 2_554_968 - 2_542_856, 56_510_400)
    for by in ([], ["--blocks"], ["--stages"]):
        rows = list(csv.DictReader(run("summary", SMALL, "-f", "csv", *by).out.splitlines()))
        for column, total in zip(("trainable", "other", "MACs"), totals, strict=True):
            assert sum(int(row[column] or 0) for row in rows) == total
        assert sum(float(row["share"] or 0) for row in rows) == pytest.approx(100, abs=2)
        table = run("summary", SMALL, "-f", "md", *by).out.splitlines()
        assert len(table) == len(rows) + 2
        assert {line.count("|") for line in table} == {len(rows[0]) + 1}
    assert [row["layer"] for row in rows] == ["stem", "blocks", "head", "classifier"]


def test_summaries_side_by_side(run):
    lines = run("summary", SMALL, LARGE).out.splitlines()
    assert [line.split()[0] for line in lines] == ["spec", "mnv3_small", "mnv3_large"]
    assert "2,542,856" in lines[1]
    data = json.loads(run("summary", SMALL, LARGE, "--json").out)
    assert [each["name"] for each in data] == ["MobileNetV3Small", "MobileNetV3Large"]


def test_how_much_of_the_input_a_network_sees(run):
    """Araujo et al., 2019, table 1: 315 for MobileNetV1, before the mean."""
    layers = json.loads(run("summary", str(SPECS / "mobilenet_v1.yaml"), "--json").out)["layers"]
    seen = [layer["receptive_field"] for layer in layers]
    assert max(field for field in seen if field) == [315, 315]
    assert seen[-1] is None


def test_schema_is_json(run):
    schema = json.loads(run("schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "depthwise_separable" in run("schema").out


def test_messages_are_plain_in_a_pipe_and_readable_in_help(run):
    assert "\x1b" not in run("check", "bad.yaml").err
    text = run("build", "--help").out
    assert "archc build specs/*.yaml --backend all --check" in text


STRANGE = "a\x1b[31m\rb\n\u202e.yaml"
SHOWN = r"a\x1b[31m\rb\n\u202e.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", STRANGE), f"{SHOWN}: fine, 162 parameters\n"),
        (("build", STRANGE, "-b", "torch", "--out", "."), f"{SHOWN[:-5]}_torch.py: created"),
        (("check", f"no{STRANGE}"), f"no{SHOWN}:1:1: E001 no such file\n"),
        (("check", STRANGE, f"--{STRANGE}"), f"Error: No such option '--{SHOWN}'.\n"),
        (("resolve", STRANGE, STRANGE), f"unexpected extra argument ({SHOWN})\n"),
        (("check", STRANGE, "--include", STRANGE), f"'{SHOWN}' is a file.\n"),
        (("check", STRANGE, "--set", STRANGE), f"'{SHOWN}' is not of the form NAME=VALUE.\n"),
        (("check", STRANGE, "--set", f"{STRANGE}=1"), f"unknown parameter `{SHOWN}`\n"),
        (("check", STRANGE, "--set", f"out={STRANGE}"), "    1 | out=a [31m b\n"),
        (("build", STRANGE, f"./../here/{STRANGE}", "-b", "torch"), f"here/{SHOWN} would both"),
        (("weights", "convert", STRANGE, "a.pt", "--spec", STRANGE), "archc: a\\x1b[31m\\rb"),
    ],
)
def test_no_text_of_a_user_reaches_the_terminal_as_it_is(arguments, said, run):
    """ESC could hide a line, CR and line breaks could forge one."""
    here = Path.cwd() / "here"
    here.mkdir()
    os.chdir(here)
    Path(STRANGE).write_text((here.parent / "good.yaml").read_text())
    result = run(*arguments)
    assert said in result.out + result.err
    assert not set(result.out + result.err) - set(map(chr, range(32, 127))) - {"\n"}


def test_a_diff_moves_no_cursor(run):
    run("build", "good.yaml", "-b", "torch", "--out", ".")
    path = Path("good_torch.py")
    path.write_text(path.read_text() + "# \x1b[2K\rforged\n")
    result = run("build", "good.yaml", "-b", "torch", "--out", ".", "--check")
    assert (result.code, result.out[-19:]) == (1, "# \\x1b[2K\\r-forged\n")


def test_no_framework_is_imported_and_a_gone_reader_is_no_error():
    code = (
        "import sys; from archc.cli import main\n"
        "main(['build', sys.argv[1], '-b', 'all', '--stdout'])\n"
        "main(['summary', sys.argv[1]]); main(['check', sys.argv[1]]); main(['schema'])\n"
        "main(['resolve', sys.argv[1]]); main(['list']); main(['show', 'mnv3_large'])\n"
        "assert not {'torch', 'keras', 'tensorflow', 'numpy'} & set(sys.modules), sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, LARGE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    piped = f"{sys.executable} -m archc summary {LARGE} | head -1"
    done = subprocess.run(["sh", "-c", piped], capture_output=True, text=True)
    assert (done.stdout.split()[0], done.stderr) == ("layer", "")


def test_resolve_prints_one_flat_spec_that_builds_the_same(run):
    result = run("resolve", LARGE, "--set", "alpha=0.75")
    assert (result.code, result.err) == (0, "")
    assert "# out: round_channels(12) -> 16\n" in result.out
    Path("flat.yaml").write_text(result.out)
    assert run("check", "flat.yaml") == (0, "flat.yaml: fine, 3,993,528 parameters\n", "")


def test_resolve_prints_nothing_of_a_broken_spec(run):
    result = run("resolve", "bad.yaml")
    assert (result.code, result.out) == (2, "")
    assert result.err == run("check", "bad.yaml").err != ""


def test_shell_completion():
    environment = {**os.environ, "COMP_WORDS": "archc build --backend t", "COMP_CWORD": "3"}
    environment["_ARCHC_COMPLETE"] = "bash_complete"
    done = subprocess.run(
        [sys.executable, "-m", "archc"], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "plain,torch\n"


def test_check_holds_live_models_against_the_spec(run):
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    fine = run("check", "good.yaml", "--numeric")
    said, *numbers = fine.out.splitlines()
    assert (fine.code, said) == (0, "good.yaml agrees with keras, onnx and torch, 162 parameters")
    agrees = (
        r"  {}: \d layers at 8x8 and 7x7, at most [0-9]e-0[78] of scale from the ops' definitions"
    )
    assert len(numbers) == 3
    assert all(
        re.match(agrees.format(b), n) for b, n in zip(backends.names(), numbers, strict=True)
    )


def test_check_names_the_first_layer_that_differs(run, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    real = backends.get("torch")

    def emit(network, spec):
        emitted = real.emit(network, spec)
        text = emitted.text.replace("3, padding=1", "3, dilation=2, padding=2")
        return replace(emitted, text=text)

    wrong = backends.Backend("torch", real.ops, emit, real.live, real.distribution, real.storage)
    known = {name: backends.get(name) for name in backends.names()}
    monkeypatch.setattr(backends, "get", {**known, "torch": wrong}.get)
    result = run("check", "good.yaml", "--numeric")
    assert result.code == 1
    assert result.err.startswith("good.yaml: at 8x8, torch leaves the definitions at conv2d, by ")


def test_check_names_arrays_and_shapes_that_differ(run, monkeypatch):
    pytest.importorskip("torch")
    real = backends.get("torch")

    def emit(network, spec):
        emitted = real.emit(network, spec)
        text = emitted.text.replace("nn.Conv2d(3, 4, 3,", "nn.Conv2d(3, 4, 5,")
        return replace(emitted, text=text)

    wrong = backends.Backend("torch", real.ops, emit, real.live, real.distribution, real.storage)
    known = {name: backends.get(name) for name in backends.names()}
    monkeypatch.setattr(backends, "get", {**known, "torch": wrong}.get)
    result = run("check", "good.yaml", "-b", "torch")
    assert result.code == 1
    assert result.err == "good.yaml: conv2d.weight: archc says 4x3x3x3, torch has 4x3x5x5\n"


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (("check", SMALL, "--numeric"), "the backend `keras` needs"),
        (("check", SMALL, "-b", "torch"), "the backend `torch` needs"),
        (("verify", SMALL), "this needs numpy, which comes with archc's extra `weights`"),
        (("weights", "convert", "a.safetensors", "b.pt", "--spec", SMALL), "extra `weights`"),
        (("plot", "activations", "-o", "x.svg"), "extra `plot`"),
    ],
)
def test_what_is_not_installed_is_named(arguments, needed, tmp_path):
    missing = ("numpy", "torch", "keras", "tensorflow", "matplotlib", "safetensors", "h5py")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "from archc.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert needed in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
