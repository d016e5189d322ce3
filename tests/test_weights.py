"""Weights in files: the manifest, round trips through each framework, and files that are bad."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net, backends, cli
from archc.backends.keras.graph import snake_case, stored_layers
from archc.backends.keras.language import LANGUAGE
from archc.backends.python.walk import render
from archc.backends.storage import tensors
from archc.commands import weights as commands
from archc.live.numeric import random_weights

from . import shipped
from .running import Run, runner

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
safetensors = pytest.importorskip("safetensors.numpy")

SPECS = Path(__file__).parents[1] / "specs"
Array = np.ndarray[Any, Any]

# Every kind of array, layers whose order in Keras is not that of evaluation, and a random state.
SPEC = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  padding: {type: padding, default: same}
input: {channels: 3, height: 8, width: 8}
defaults:
  conv2d: {padding: padding}
network:
  - {block: conv2d, name: left, filters: 4, kernel: 3}
  - {block: conv2d, name: deep, filters: 4, kernel: [1, 3], bias: false, from: -2}
  - {block: conv2d, name: deeper, filters: 4, kernel: 3, stride: 1, groups: 2}
  - {block: add, name: sum, from: [-1, left]}
  - {block: depthwise_conv2d, name: depthwise, kernel: 3, multiplier: 2}
  - {block: batch_norm, name: bn}
  - {block: separable_conv2d, name: separable, filters: 6, kernel: 3, multiplier: 2}
  - {block: flatten, name: flat}
  - {block: dropout, name: drop, rate: 0.5}
  - {block: dense, name: logits, units: classes}
"""
ENDINGS = ["pt", "pth", "safetensors", "weights.h5", "keras"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc weights` in a folder that holds tiny.yaml; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPEC)

    return runner(capsys, "weights")


@pytest.fixture
def tiny(run: Run) -> Net:
    return archc.load("tiny.yaml")


def given(net: Net) -> dict[str, Array]:
    """Weights with a negative zero and a denormal in them."""
    weights = random_weights(net.network)
    first = next(iter(weights.values())).reshape(-1)
    first[:2] = -0.0, 1e-40
    return weights


def save(net: Net, weights: Mapping[str, Array], path: str) -> None:
    """What the framework itself writes of a model with the weights."""
    if path.endswith("safetensors"):
        safetensors.save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, path)
        return
    backend = "torch" if path.endswith(("pt", "pth")) else "keras"
    model = net.build(backend)
    net.live(backend).load(model, weights)
    if backend == "torch":
        torch.save(model.state_dict(), path)
    else:
        (model.save if path.endswith(".keras") else model.save_weights)(path)


def open_(net: Net, path: str) -> dict[str, Array]:
    """The weights that the framework itself reads from a file, by canonical name."""
    if path.endswith("safetensors"):
        return dict(safetensors.load_file(path))
    if path.endswith(".keras"):
        return net.live("keras").arrays(keras.saving.load_model(path))
    if path.endswith(".h5"):
        model = net.build("keras")
        model.load_weights(path)
        return net.live("keras").arrays(model)
    model = net.build("torch")
    model.load_state_dict(torch.load(path, weights_only=True), strict=True)
    return net.live("torch").arrays(model)


def bits(weights: Mapping[str, Array]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {k: (v.shape, np.ascontiguousarray(v).tobytes()) for k, v in sorted(weights.items())}


# ---- The manifest


def test_the_manifest_says_what_each_framework_has(run: Run, tiny: Net) -> None:
    code, out, err = run("list", "tiny.yaml", "--json")
    assert (code, err) == (0, "")
    listed = json.loads(out)["tensors"]
    assert [e["path"] for e in listed] == list(random_weights(tiny.network))
    model = tiny.build("keras")
    theirs = {
        f"{layer.name}/{w.name}": tuple(w.shape) for layer in model.layers for w in layer.weights
    }
    ours = {e["backends"]["keras"]["name"]: tuple(e["backends"]["keras"]["shape"]) for e in listed}
    assert ours == theirs
    state = tiny.build("torch").state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("tracked")}
    assert {e["path"]: tuple(e["shape"]) for e in listed} == shapes
    assert {
        e["backends"]["torch"]["name"]: tuple(e["backends"]["torch"]["shape"]) for e in listed
    } == shapes
    assert sum(np.prod(e["shape"], dtype=int) for e in listed) == tiny.params.total
    trainable = sum(np.prod(e["shape"], dtype=int) for e in listed if e["trainable"])
    assert trainable == tiny.params.trainable


def test_the_manifest_as_a_table(run: Run) -> None:
    code, out, _ = run("list", "tiny.yaml", "--backend", "keras")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["tensor", "role", "shape", "keras", "layout"]
    assert lines[1].split() == [
        "left.weight",
        "kernel",
        "4x3x3x3",
        "left/kernel",
        "HWIO",
        "3x3x3x4",
    ]
    (line,) = (line for line in lines if line.startswith("separable.depthwise"))
    assert "depthwise kernel  16x1x3x3  separable/depthwise_kernel  HWCM" in line
    assert lines[-1] == "Tiny: 16 tensors, 2,507 numbers, float32"


@pytest.mark.parametrize("name", ["keras", "torch"])
def test_a_layout_has_a_letter_for_each_axis(name: str, tiny: Net) -> None:
    for tensor in tensors(tiny.network, backends.get(name).storage()):
        assert len(tensor.layout) == len(tensor.shape), tensor.path


@pytest.mark.parametrize("spec", shipped.cases())
def test_keras_stores_layers_where_archc_says(spec: str) -> None:
    """The order of layers that decides it is worked out without Keras."""
    if "nasnet" in spec and "mobile" not in spec:
        pytest.skip("the same blocks as in nasnet_a_mobile")
    net = archc.load(SPECS / f"{spec}.yaml")
    counts: dict[str, int] = {}
    said = stored_layers(render(net.network, LANGUAGE, net.spec.name), net.network)
    for layer in net.build("keras").layers:
        kind = snake_case(type(layer).__name__)
        assert kind == keras.src.utils.naming.to_snake_case(type(layer).__name__)
        number = counts[kind] = counts.get(kind, -1) + 1
        assert said.pop(layer.name) == (f"{kind}_{number}" if number else kind)
    assert not said


BESIDE = """\
archc: 1
name: Beside
input: {channels: 3, height: 12, width: 9}
network:
  - {block: conv2d, name: stem, filters: 2, kernel: 1}
  - {block: conv2d, name: other, filters: 2, kernel: 1, stride: 2}
  - {block: mean, name: single, over: channels, from: stem}
  - {block: conv2d, name: left, filters: 2, kernel: 1, from: stem}
  - {OP, name: op}
  - {block: conv2d, name: after, filters: 2, kernel: 1}
  - {block: adaptive_avg_pool2d, name: pooled, size: [2, 3]}
  - {block: conv2d, name: right, filters: 2, kernel: 1, stride: 2, from: stem}
  - {block: conv2d, name: rights, filters: 2, kernel: 1, repeat: 40}
  - {block: adaptive_max_pool2d, name: right_pooled, size: [2, 3]}
  - {block: adaptive_avg_pool2d, name: other_pooled, size: [2, 3], from: other}
  - {block: adaptive_avg_pool2d, name: single_pooled, size: [2, 3], from: single}
  - {block: concat, from: [pooled, right_pooled, other_pooled, single_pooled]}
  - {block: global_avg_pool2d, name: pad}
"""
OPERATIONS = [
    *[
        f"block: {op}, kernel: 3, stride: 2, padding: symmetric"
        for op in ("max_pool2d", "avg_pool2d")
    ],
    "block: avg_pool2d, kernel: 3, padding: [1, 0, 1, 1], count_padding: true, ceil_mode: true",
    *[f"block: resize, method: {method}, scale: 1.5" for method in ("nearest", "bilinear")],
    *[
        f"block: resize_like, from: [left, other], method: {method}"
        for method in (
            "nearest",
            "nearest_exact",
            "bilinear",
            "bilinear, align_corners: true",
        )
    ],
    *[
        f"block: conv_transpose2d, filters: 2, kernel: 3, stride: 2, {padding}"
        for padding in (
            "padding: same",
            "padding: symmetric",
            "padding: [0, 0, 1, 1], output_padding: 1",
        )
    ],
    "block: adaptive_max_pool2d, size: 5",
    "block: adaptive_avg_pool2d, size: 5",
    "block: add, from: [left, single]",
]


@pytest.mark.parametrize("row", OPERATIONS)
def test_the_order_of_layers_beside_operations(row: str, tmp_path: Path) -> None:
    """What Keras has no layer for is one layer all the same: how many stand before decides."""
    spec = tmp_path / "beside.yaml"
    spec.write_text(BESIDE.replace("OP", row), encoding="utf-8")
    net = archc.load(spec)
    said = stored_layers(render(net.network, LANGUAGE, spec.name), net.network)
    assert [*said] == [layer.name for layer in net.build("keras").layers]


# ---- Conversion


@pytest.mark.parametrize("source", ENDINGS)
@pytest.mark.parametrize("target", ENDINGS)
def test_what_one_framework_wrote_the_other_reads(
    source: str, target: str, run: Run, tiny: Net
) -> None:
    weights = given(tiny)
    save(tiny, weights, f"a.{source}")
    code, out, err = run("convert", f"a.{source}", f"b.{target}", "--spec", "tiny.yaml")
    said = f"a.{source}: warning: it does not say its settings; taken for --set padding=same\n"
    assert (code, out, err) == (0, f"b.{target}: 16 tensors, 2,507 numbers\n", said)
    assert bits(open_(tiny, f"b.{target}")) == bits(weights)


def test_settings_of_the_spec(run: Run) -> None:
    settings = ("--spec", "tiny.yaml", "--set", "classes=7", "--set", "padding=symmetric")
    net = archc.load("tiny.yaml", classes=7, padding="symmetric")
    save(net, given(net), "a.pt")
    assert run("convert", "a.pt", "b.weights.h5", *settings)[0] == 0
    assert bits(open_(net, "b.weights.h5")) == bits(given(net))


def test_conversion_imports_no_tensorflow(run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.safetensors")
    command = "import sys; from archc.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    arguments = ["weights", "convert", "a.safetensors", "b.weights.h5", "--spec", "tiny.yaml"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], capture_output=True, text=True, check=True
    )
    assert not {"torch", "keras", "tensorflow"} & set(done.stdout.split())
    assert bits(open_(tiny, "b.weights.h5")) == bits(given(tiny))


def test_a_file_says_which_settings_it_needs(run: Run, tiny: Net) -> None:
    arrays = {k: np.ascontiguousarray(v) for k, v in given(tiny).items()}
    notes = {"archc.settings": "padding=symmetric"}
    safetensors.save_file(arrays, "a.safetensors", notes)
    convert = ("convert", "a.safetensors", "b.keras", "--spec", "tiny.yaml")
    code, _, err = run(*convert)
    assert code == 2
    assert err == (
        "archc: a.safetensors: these weights are for padding=symmetric; here `padding` is same\n"
        "  = help: give --set padding=symmetric here, and to `archc build`\n"
    )
    assert run(*convert, "--set", "padding=symmetric")[0] == 0
    for between in ("c.weights.h5", "d.safetensors"):
        source = "b.keras" if between.startswith("c") else "c.weights.h5"
        command = ("convert", source, between, "--spec", "tiny.yaml")
        assert run(*command)[0] == 2
        assert run(*command, "--set", "padding=symmetric")[0] == 0


# ---- Bad input


def refused(run: Run, source: str, *more: str, target: str = "out.safetensors") -> str:
    """What is said of a file; and nothing is left behind."""
    before = sorted(Path().iterdir())
    code, out, err = run("convert", source, target, "--spec", "tiny.yaml", *more)
    assert (code, out) == (2, "")
    assert sorted(Path().iterdir()) == before
    return err


def test_a_missing_file(run: Run) -> None:
    for ending in ENDINGS:
        said = refused(run, f"no.{ending}", target="out.pt")
        assert said == f"archc: no.{ending}: No such file or directory\n"


def test_an_unknown_ending(run: Run) -> None:
    assert refused(run, "a.onnx") == (
        "archc: a.onnx: its ending says no format that can be read\n"
        "  = help: the endings are .safetensors, .weights.h5, .keras, .h5, .pt, .pth\n"
    )
    Path("a.pt").write_bytes(b"")
    assert "no format that can be written" in refused(run, "a.pt", target="b.h5")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(ending: str, share: float, run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), f"a.{ending}")
    whole = Path(f"a.{ending}").read_bytes()
    Path(f"a.{ending}").write_bytes(whole[: int(len(whole) * share)])
    assert "truncated or corrupt" in refused(run, f"a.{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_noise(ending: str, run: Run) -> None:
    Path(f"a.{ending}").write_bytes(np.random.default_rng(0).bytes(9999))
    assert "truncated or corrupt" in refused(run, f"a.{ending}")


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("bombed",)


def test_a_pickle_with_code_in_it(run: Run) -> None:
    torch.save({"left.weight": torch.zeros(3), "other": Bomb()}, "zip.pt")
    Path("plain.pth").write_bytes(pickle.dumps({"left.weight": Bomb()}))
    torch.save({"a": Bomb()}, "old.pt", _use_new_zipfile_serialization=False)
    assert refused(run, "zip.pt").startswith("archc: zip.pt: refused, as it would run code")
    for name in ("plain.pth", "old.pt"):
        assert name in refused(run, name)
    assert not Path("bombed").exists()
    torch.load("zip.pt", weights_only=False)
    assert Path("bombed").exists()


def test_a_checkpoint_with_more_in_it_than_weights(run: Run, tiny: Net) -> None:
    state = tiny.build("torch").state_dict()
    torch.save({**state, "epoch": 3}, "a.pt")
    assert refused(run, "a.pt") == (
        "archc: a.pt: a state_dict belongs here, names with tensors; this holds more than tensors"
        " under `epoch`\n"
        "  = help: save the weights alone: torch.save(model.state_dict(), path)\n"
    )
    torch.save([torch.zeros(3)], "b.pt")
    assert "this holds a list" in refused(run, "b.pt")


@pytest.mark.parametrize("ending", ENDINGS)
def test_weights_of_another_network(ending: str, run: Run) -> None:
    Path("other.yaml").write_text(
        SPEC.replace("default: 5", "default: 6").replace("name: bn", "name: norm")
    )
    other = archc.load("other.yaml")
    save(other, given(other), f"a.{ending}")
    said = refused(run, f"a.{ending}")
    head = "these are no weights of Tiny; tensors: 4 missing, 4 surplus, 2 misshapen\n"
    assert said.startswith(f"archc: a.{ending}: {head}")
    in_keras = ending in ("keras", "weights.h5")
    assert ("  missing: bn/gamma (8)" if in_keras else "  missing: bn.weight (8)") in said
    assert ("  surplus: norm/gamma (8)" if in_keras else "  surplus: norm.weight (8)") in said
    shapes = "384x6; the spec says 384x5" if in_keras else "6x384; the spec says 5x384"
    assert f"is {shapes}" in said


def test_a_long_list_is_cut(run: Run, tiny: Net) -> None:
    names = (f"more.{n}" for n in range(30))
    arrays = {**given(tiny), **dict.fromkeys(names, np.zeros(1, np.float32))}
    save(tiny, arrays, "a.safetensors")
    said = refused(run, "a.safetensors").splitlines()
    assert said[-2] == "  surplus: and 10 more"
    assert len(said) == 23


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16", "int32"])
def test_a_wrong_type(dtype: str, run: Run, tiny: Net) -> None:
    state = tiny.build("torch").state_dict()
    state["left.weight"] = state["left.weight"].to(getattr(torch, dtype))
    torch.save(state, "a.pt")
    assert refused(run, "a.pt") == (
        "archc: a.pt: these are no weights of Tiny; tensors: 1 mistyped\n"
        f"  mistyped: left.weight is {dtype}, not float32\n"
        "  = help: convert the weights to float32 in their own framework first\n"
    )


def test_a_wrong_type_in_other_files(run: Run, tiny: Net) -> None:
    arrays = {**given(tiny), "left.bias": np.zeros(4, np.float16)}
    save(tiny, arrays, "a.safetensors")
    assert "left.bias is float16" in refused(run, "a.safetensors")
    keras.config.set_dtype_policy("float16")
    try:
        tiny.build("keras").save_weights("a.weights.h5")
    finally:
        keras.config.set_dtype_policy("float32")
    assert "left/bias is float16" in refused(run, "a.weights.h5")


PARTS = """\
archc: 1
name: Parts
input: {channels: 3, height: 4, width: 4}
network:
  - {block: batch_norm, name: both}
  - {block: batch_norm, name: unscaled, scale: false}
  - {block: batch_norm, name: unshifted, offset: false}
  - {block: batch_norm, name: neither, scale: false, offset: false}
  - {block: layer_norm}
  - {block: group_norm, groups: 3}
  - {block: prelu}
  - {block: l2_normalize}
  - {block: local_response_norm, size: 2}
  - {block: prelu, name: shared, shared: true}
  - {block: global_avg_pool2d}
  - {block: prelu, name: of_a_vector}
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_normalisations_and_slopes(ending: str, run: Run) -> None:
    """Keras numbers the arrays of a layer, and a missing one moves the others; its slopes have axes
    for what is shared."""
    Path("parts.yaml").write_text(PARTS)
    net = archc.load("parts.yaml")
    weights = given(net)
    for source, target in ((f"a.{ending}", "b.pt"), ("a.safetensors", f"c.{ending}")):
        save(net, weights, source)
        code, _, err = run("convert", source, target, "--spec", "parts.yaml")
        assert (code, err) == (0, "")
        assert bits(open_(net, target)) == bits(weights)


def test_missing_statistics_of_batch_norms(run: Run, tiny: Net) -> None:
    torch.save(dict(tiny.build("torch").named_parameters()), "a.pt")
    assert refused(run, "a.pt") == (
        "archc: a.pt: these are no weights of Tiny; tensors: 2 missing\n"
        "  missing: bn.running_mean (8)\n"
        "  missing: bn.running_var (8)\n"
        "  = help: the batch norms' running averages are missing; save buffers, not parameters"
        " alone\n"
    )
    save(tiny, given(tiny), "a.weights.h5")
    with h5py.File("a.weights.h5", "a") as file:
        del file["layers/batch_normalization/vars/2"], file["layers/batch_normalization/vars/3"]
    said = refused(run, "a.weights.h5")
    assert "missing: bn/moving_mean (8)" in said
    assert "surplus: bn/vars/0 (8)" in said


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_no_number_is_warned_of(ending: str, run: Run, tiny: Net) -> None:
    weights = given(tiny)
    weights["bn.weight"][3] = np.nan
    weights["left.weight"][0, 0, 0, 0] = np.inf
    weights["logits.weight"][:] = 1e30  # whose sum of squares is infinite
    save(tiny, weights, f"a.{ending}")
    command = ("convert", f"a.{ending}", "b.pt", "--spec", "tiny.yaml")
    code, _, err = run(*command, "--set", "padding=same")
    said = "b.pt: warning: infinities, or what is no number, in left.weight, bn.weight\n"
    assert (code, err) == (0, said)
    assert bits(open_(tiny, "b.pt")) == bits(weights)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_destination_that_exists(ending: str, run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.pt")
    target = Path(f"b.{ending}")
    target.write_text("old")
    said = refused(run, "a.pt", target=target.name)
    assert f"{target} exists already; --force replaces it." in said
    assert target.read_text() == "old"
    target.chmod(0o640)
    assert run("convert", "a.pt", target.name, "--spec", "tiny.yaml", "--force")[0] == 0
    assert bits(open_(tiny, target.name)) == bits(given(tiny))
    assert target.stat().st_mode & 0o777 == 0o640


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
from archc.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("ending", ["pt", "safetensors", "weights.h5", "keras"])
def test_a_full_disk(ending: str, run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.pt")
    target = Path(f"b.{ending}")
    target.write_text("old")
    before = sorted(Path().iterdir())
    arguments = ["weights", "convert", "a.pt", target.name, "--spec", "tiny.yaml", "--force"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("archc: ")
    assert len(done.stderr.splitlines()) == 1
    assert target.read_text() == "old"
    assert sorted(Path().iterdir()) == before


KILLED = """
import os, signal, sys
from archc.backends.keras import files
real = files._write_arrays

def half(file, places, contents):
    real(file, places, (pair for _, pair in zip(range(3), contents)))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

files._write_arrays = half
from archc.cli import main
main(sys.argv[1:])
"""


def test_a_kill_in_mid_write(run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.safetensors")
    Path("b.weights.h5").write_text("old")
    command = ["weights", "convert", "a.safetensors", "b.weights.h5", "--spec", "tiny.yaml"]
    done = subprocess.run([sys.executable, "-c", KILLED, *command, "--force"])
    assert done.returncode == -signal.SIGKILL
    assert Path("b.weights.h5").read_text() == "old"


def left(file: Any) -> Any:
    """Where Keras put the arrays of the layer `left`."""
    groups = (group["vars"] for group in file["layers"].values())
    return next(group for group in groups if group.attrs["name"] == "left")


def test_arrays_in_another_file_are_refused(run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.weights.h5")
    Path("secret").write_bytes(bytes(16))
    with h5py.File("a.weights.h5", "a") as file:
        group = left(file)
        del group["1"]
        group.create_dataset("1", (4,), "f4", external=[("secret", 0, 16)])
    assert "is kept in another file" in refused(run, "a.weights.h5")


def test_a_file_without_names_of_layers(run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.weights.h5")
    with h5py.File("a.weights.h5", "a") as file:
        for group in file["layers"].values():
            del group["vars"].attrs["name"]
    assert "an old version of Keras wrote this" in refused(run, "a.weights.h5")


def test_a_keras_file_without_weights(run: Run) -> None:
    with zipfile.ZipFile("a.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    assert "truncated or corrupt" in refused(run, "a.keras")


def test_a_huge_array_in_a_small_file_is_not_read(run: Run, tiny: Net) -> None:
    save(tiny, given(tiny), "a.weights.h5")
    with h5py.File("a.weights.h5", "a") as file:
        group = left(file)
        del group["1"]
        group.create_dataset("1", (2**40,), "f4", chunks=(2**20,), compression="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "left/bias is 1099511627776; the spec says 4" in refused(run, "a.weights.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


# ---- Large networks

MEASURED = """
import sys
from archc.cli import main
main(sys.argv[1:])
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def peak(*arguments: str) -> int:
    """Bytes of memory that a command takes at the most."""
    command = [sys.executable, "-c", MEASURED, "weights", *arguments, "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it says how much memory")
def test_memory_is_at_most_two_copies(run: Run, tiny: Net) -> None:
    """Beyond what the same conversion of a tiny network takes, which is the libraries' own."""
    spec = str(SPECS / "nasnet_a_large.yaml")
    net = archc.load(spec)
    copy = 4 * net.params.total
    for loaded, name in ((tiny, "tiny.pt"), (net, "large.pt")):
        torch.save(loaded.build("torch").state_dict(), name)
    for source, target in [("pt", "weights.h5"), ("pt", "safetensors"), ("weights.h5", "pt")]:
        small = peak("convert", f"tiny.{source}", f"tiny.{target}", "--spec", "tiny.yaml")
        large = peak("convert", f"large.{source}", f"large.{target}", "--spec", spec)
        print(source, target, (large - small) / copy)
        assert large - small < 2.1 * copy, (source, target)


def test_a_bar_after_a_second(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    ticks = iter([0.0, 0.5, 1.5, 2.0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(commands, "monotonic", lambda: next(ticks))
    monkeypatch.setenv("FORCE_COLOR", "1")
    seen = [(item, "tensors" in capsys.readouterr().err) for item in commands.progress("abcd", 4)]
    assert [item for item, _ in seen] == list("abcd")
    assert [shown for _, shown in seen][:2] == [False, False]
    assert any(shown for _, shown in seen) or "tensors" in capsys.readouterr().err


def test_no_bar_where_there_is_no_terminal(capsys: Any) -> None:
    assert list(commands.progress("abc", 3)) == list("abc")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["keras", "torch"])
def test_each_backend_says_how_it_keeps_what_each_op_owns(name: str) -> None:
    known = backends.get("torch").storage().slots
    slots = backends.get(name).storage().slots
    assert {op: set(arrays) for op, arrays in slots.items()} == {
        o: set(a) for o, a in known.items()
    }


WITHOUT = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == {0!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Without())
from archc.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "command",
    [
        ["weights", "convert", "a.safetensors", "b.weights.h5", "--spec", "tiny.yaml"],
        ["weights", "convert", "a.pt", "b.safetensors", "--spec", "tiny.yaml"],
        ["verify", "tiny.yaml"],
    ],
)
@pytest.mark.parametrize("missing", ["numpy", "torch", "h5py", "safetensors"])
def test_what_is_not_installed_is_named(
    command: list[str], missing: str, run: Run, tiny: Net
) -> None:
    for name in ("a.pt", "a.safetensors"):
        save(tiny, given(tiny), name)
    code = WITHOUT.format(missing)
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]  # what PyTorch has to say of NumPy comes first
        assert last.startswith("archc: ")
        assert missing in last


def test_verify_a_network_whose_rows_are_ops(
    run: Run, tiny: Net, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(("verify", "tiny.yaml"))
    assert stop.value.code == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert list(lines) == [row.call.name for row in tiny.network.rows]
    assert [name for name, cells in lines.items() if "-" in cells[4:]] == ["sum"]  # in PyTorch
