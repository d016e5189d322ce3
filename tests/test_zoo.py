"""Weights of published models: taken in from their files, and held against them block by block."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.compiler.ir.network import Block
from archc.live.numeric import deviation, difference, random_batch
from archc.live.verify import divergences, verify
from archc.weights import importing, rules

from . import reference_models as references
from . import shipped
from .running import Run, runner

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
safetensors = pytest.importorskip("safetensors.torch")

SPECS = Path(__file__).parents[1] / "specs"
SIZE = (64, 96)
SOURCES = [
    pytest.param(name, marks=shipped.marks(model.source.spec), id=name)
    for name, model in sorted(rules.every().items())
]
Array = references.Array


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc` in an empty folder; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    return runner(capsys)


def library(name: str) -> None:
    """Skips where a source's library is not there."""
    try:
        if name.startswith(("timm", "torchvision")):
            references.import_torchvision()
        if name.startswith("timm"):
            pytest.importorskip("timm")
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def spec_of(name: str) -> Path:
    path = SPECS / f"{rules.find(name).source.spec}.yaml"
    if not path.exists():
        pytest.skip(f"there is no {path.name} yet")
    return path


def save_legacy(model: Any, path: str) -> None:
    """As Keras 2 saved a model's weights, and with the names that it gave to MobileNetV3."""
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
        if "mobilenet_v3" not in model.name.lower() and "expanded" not in str(list(file)):
            return
        renamed = {layer: old_name(layer) for layer in file if layer != "top_level_model_weights"}
        for new, old in renamed.items():
            if new != old:
                file.move(new, f"{old}/moved")
                group = file[old]
                for key, value in file[f"{old}/moved"].attrs.items():
                    group.attrs[key] = value
                for key in list(file[f"{old}/moved"]):
                    file.move(f"{old}/moved/{key}", f"{old}/{key}")
                del file[f"{old}/moved"]
        layers = [renamed[as_text(layer)] for layer in file.attrs["layer_names"]]
        file.attrs["layer_names"] = [layer.encode() for layer in layers]


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def old_name(layer: str) -> str:
    """`expanded_conv_1_squeeze_excite_conv_1` -> `expanded_conv_1/squeeze_excite/Conv_1`."""
    name = re.sub(r"^(expanded_conv(?:_\d+)?)_(?=[a-z])", r"\1/", layer)
    name = name.replace("squeeze_excite_conv", "squeeze_excite/Conv")
    name = re.sub(r"^conv", "Conv", name).replace("logits", "Logits")
    return re.sub("_bn$", "/BatchNorm", name)


def save_state(model: Any, path: str) -> None:
    torch.save(model.state_dict(), path)


SAVERS: dict[str, Callable[[Any, str], None]] = {
    "a.weights.h5": lambda model, path: model.save_weights(path),
    "a.keras": lambda model, path: model.save(path),
    "whole.h5": lambda model, path: model.save(path),
    "legacy.h5": save_legacy,
    "a.pth": save_state,
    "a.safetensors": safetensors.save_model,
}
FILES = [
    *(("keras.applications.MobileNetV3Small", file) for file in list(SAVERS)[:4]),
    ("keras.applications.MobileNet", "legacy.h5"),
    ("keras.applications.NASNetMobile", "a.weights.h5"),
    ("timm:mobilenetv3_small_100", "a.pth"),
    ("timm:mobilenetv3_small_100", "a.safetensors"),
    ("timm:mobilenetv1_100", "a.safetensors"),
    ("torchvision:mobilenet_v3_small", "a.pth"),
]


def reference(name: str, net: Net, batch: Array) -> tuple[Any, Array]:
    """The published model with random weights, and its logits."""
    library(name)
    model, live = importing.build(net, rules.find(name), *batch.shape[2:])
    random = np.random.default_rng(0)
    if name.startswith("keras"):
        references.settle_keras(model, batch, random)
    else:
        references.settle_torch(model, batch, random)
        model.eval()
    return model, live.outputs(model, batch, ())[""]


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.filterwarnings("ignore:.*HDF5 file.*")
def test_import_from_a_file(name: str, file: str, run: Run) -> None:
    """Both backends then give the logits of the model that the file was written from."""
    spec, rule = spec_of(name), rules.find(name)
    net = importing.network(str(spec), rule, {})
    batch = random_batch(net.network, *SIZE)
    model, logits = reference(name, net, batch)
    SAVERS[file](model, file)
    code, out, err = run("weights", "import", name, file, "mine.safetensors", "--spec", str(spec))
    assert (code, err) == (0, "")
    assert "mine.safetensors: " in out
    assert " numbers, for --set " in out
    weights = safetensors_arrays("mine.safetensors")
    found = references.deviations(net, weights, batch, logits)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3 * np.abs(logits).max()
    assert all(far < 1e-4 for far in found.values()), found


def safetensors_arrays(path: str) -> dict[str, Array]:
    import safetensors.numpy

    return dict(safetensors.numpy.load_file(path))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_fits_its_spec_exactly(name: str) -> None:
    if "nasnetlarge" in name.lower() or name.endswith("nasnetalarge"):
        pytest.skip("verified in the fidelity table")
    library(name)
    rule = rules.find(name)
    net = importing.network(str(spec_of(name)), rule, {})
    model, _ = importing.build(net, rule, 64, 64)
    wanted, found = importing.names(net, rule), importing.references(net, rule).stored(model)
    assert wanted.keys() == found.keys()


@pytest.mark.parametrize("name", sorted(rules.every()))
def test_every_rule_is_used(name: str) -> None:
    """By one of the sources of its file: a rule that no layer meets is a mistake or dead."""
    file = rules.find(name).rules
    names, inside, whole = set[str](), set[str](), set[str]()
    for source in file.sources:
        spec = SPECS / f"{rules.find(source).source.spec}.yaml"
        if not spec.exists():
            continue
        net = importing.network(str(spec), rules.find(source), {})
        known = {**net.network.settings, **rules.find(source).source.words}
        every = {tensor.path for tensor in importing.names(net, rules.find(source)).values()}
        own = {t: a for a, b in file.tensors for t in every if rules._first(((a, b),), t, known)}
        whole |= {*own.values()}
        paths = {path.rpartition(".")[0] for path in every - own.keys()}
        for path in paths:
            names |= {a for a, b in file.names if rules._first(((a, b),), path, known)}
            if (group := rules.find(source)._group(path, known)) is not None:
                inside.add(next(a for a, b in file.inside if rules._first(((a, b),), *group)))
    assert names == {at for at, _ in file.names}
    assert whole == {at for at, _ in file.tensors}
    assert inside == {at for at, _ in file.inside}


# ---- Conflicts and misfits

TIMM = "timm:mobilenetv3_small_100"
SMALL = str(SPECS / "mnv3_small.yaml")


def test_a_conflict_of_settings(run: Run) -> None:
    command = ("weights", "import", TIMM, "no.pth", "out.pt", "--spec", SMALL)
    assert run(*command, "--set", "padding=same") == (
        2,
        "",
        f"archc: --set padding=same: {TIMM} needs padding=symmetric\n"
        "  = help: leave it out; its checkpoints give wrong numbers otherwise\n",
    )
    assert "needs epsilon=1e-05" in run(*command, "--set", "epsilon=0.001")[2]
    assert "needs alpha=1.0" in run(*command, "--set", "alpha=0.75")[2]
    assert "needs preprocess=false" in run(*command, "--set", "preprocess=true")[2]
    agreeing = run(*command, "--set", "padding=symmetric", "--set", "epsilon=1e-5")
    assert agreeing[2] == "archc: no.pth: No such file or directory\n"


def test_another_number_of_classes(run: Run) -> None:
    library(TIMM)
    net = importing.network(SMALL, rules.find(TIMM), {"classes": 7})
    model, _ = importing.build(net, rules.find(TIMM), 64, 64)
    save_state(model, "7.pth")
    command = ("weights", "import", TIMM, "7.pth", "out.pt", "--spec", SMALL)
    code, _, err = run(*command)
    assert code == 2
    assert "misshapen: classifier.weight is 7x1024; the spec says 1000x1024\n" in err
    assert not Path("out.pt").exists()
    assert run(*command, "--set", "classes=7")[0] == 0


@pytest.mark.parametrize(
    ("given", "left", "summary"),
    [
        (
            "classes=10",
            [
                "  misshapen: classifier.weight is 7x1024; the spec says 10x1024",
                "  misshapen: classifier.bias is 7; the spec says 10",
            ],
            "out.pt: 208 tensors are those of 7.pth, and 2 are fresh",
        ),
        (
            "include_top=false",
            [
                "  surplus: conv_head.weight (1024x576x1x1)",
                "  surplus: conv_head.bias (1024)",
                "  surplus: classifier.weight (7x1024)",
                "  surplus: classifier.bias (7)",
            ],
            "out.pt: 206 tensors are those of 7.pth, and 0 are fresh; 4 of 7.pth are not used",
        ),
    ],
)
def test_a_partial_import(given: str, left: list[str], summary: str, run: Run) -> None:
    library(TIMM)
    net = importing.network(SMALL, rules.find(TIMM), {"classes": 7})
    model, _ = importing.build(net, rules.find(TIMM), 64, 64)
    save_state(model, "7.pth")
    command = ("weights", "import", TIMM, "7.pth", "out.pt", "--spec", SMALL, "--set", given)
    assert run(*command)[0] == 2
    code, out, _ = run(*command, "--partial")
    assert (code, out.splitlines()[1:]) == (0, [*left, summary])
    theirs, ours = torch.load("7.pth"), torch.load("out.pt")
    assert torch.equal(theirs["conv_stem.weight"], ours["stem.conv.weight"])
    assert torch.equal(theirs["blocks.5.0.bn1.running_var"], ours["head.bn.running_var"])


def test_a_spec_of_another_network(run: Run) -> None:
    large = str(SPECS / "mobilenet_v1.yaml")
    code, _, err = run("weights", "import", TIMM, "a.pth", "out.pt", "--spec", large)
    assert code == 2
    assert err == (
        "archc: blocks.0.pointwise.conv.weight: timm:mobilenetv3_small_100 has nothing of the"
        " kind\n  = help: its network is that of the spec mnv3_small\n"
    )


def test_a_spec_without_a_parameter_that_matters(run: Run) -> None:
    spec = str(SPECS / "lenet_cifar.yaml")
    code, _, err = run("weights", "import", TIMM, "a.pth", "out.pt", "--spec", spec)
    assert code == 2
    assert "needs `preprocess`, which is no parameter of this spec" in err


def test_tensors_of_either_side_that_are_left_over(run: Run) -> None:
    library(TIMM)
    net = importing.network(SMALL, rules.find(TIMM), {})
    model, _ = importing.build(net, rules.find(TIMM), 64, 64)
    state = model.state_dict()
    state["extra.weight"] = state.pop("blocks.1.0.conv_dw.weight")
    torch.save(state, "a.pth")
    command = ("weights", "import", TIMM, "a.pth", "out.pt", "--spec", SMALL)
    code, _, err = run(*command)
    assert code == 2
    assert err == (
        "archc: a.pth: these are no weights of MobileNetV3Small; tensors: 1 missing, 1 surplus\n"
        "  missing: blocks.1.0.conv_dw.weight (72x1x3x3)\n"
        "  surplus: extra.weight (72x1x3x3)\n"
        "  = help: `convert` and `import` take what fits with --partial; the rest stays fresh\n"
    )
    code, out, err = run(*command, "--partial", "--set", "padding=symmetric")
    assert code == 0
    assert "  missing: blocks.1.0.conv_dw.weight (72x1x3x3)\n" in out
    assert out.endswith(
        "209 tensors are those of a.pth, and 1 are fresh; 1 of a.pth are not used\n"
    )


def test_a_file_of_the_wrong_framework(run: Run) -> None:
    Path("a.keras").touch()
    code, _, err = run("weights", "import", TIMM, "a.keras", "out.pt", "--spec", SMALL)
    assert (code, err) == (2, f"archc: a.keras: {TIMM} has no such files\n")


def test_an_unknown_source(run: Run) -> None:
    wrong = "timm:mobilenetv3_smal_100"
    code, _, err = run("weights", "import", wrong, "a.pth", "out.pt", "--spec", SMALL)
    assert code == 2
    assert err == (
        f"archc: {wrong}: archc has no rules for this source\n  = help: did you mean `{TIMM}`?\n"
    )


def test_a_checkpoint_by_name() -> None:
    assert rules.find("timm:mobilenetv3_large_100.ra_in1k").needs["padding"] == "symmetric"


@pytest.mark.parametrize(
    ("name", "loader", "needed"),
    [
        ("keras.applications.MobileNetV3Small", "keras.applications.MobileNetV3Small", ""),
        (TIMM, "timm.create_model", " --set padding=symmetric --set epsilon=1e-05"),
        (
            "torchvision:mobilenet_v3_small",
            "torchvision.models.mobilenet_v3_small",
            " --set padding=symmetric",
        ),
    ],
)
def test_without_a_file_the_library_is_asked(
    name: str, loader: str, needed: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's function stands in for its download: it is asked for pretrained weights."""
    library(name)
    rule = rules.find(name)
    model, _ = importing.build(importing.network(SMALL, rule, {}), rule, 224, 224)
    asked: dict[str, Any] = {}

    def load(*_: Any, **options: Any) -> Any:
        asked.update(options)
        return model

    monkeypatch.setattr(loader, load)
    code, _, err = run("weights", "import", name, "mine.pt", "--spec", SMALL)
    said = "mine.pt: warning: these weights give right numbers only in models made with archc build"
    assert (code, err) == (0, f"{said} {SMALL}{needed}\n" if needed else "")
    assert {("weights", "imagenet"), ("weights", "DEFAULT"), ("pretrained", True)} & {
        (key, value) for key, value in asked.items() if isinstance(value, str | bool)
    }
    assert Path("mine.pt").exists()


def test_an_import_writes_the_spec_that_fits(run: Run) -> None:
    library(TIMM)
    model, _ = importing.build(
        importing.network(SMALL, rules.find(TIMM), {}), rules.find(TIMM), 64, 64
    )
    save_state(model, "a.pth")
    command = ("weights", "import", TIMM, "a.pth", "mine.pt", "--spec", SMALL)
    code, out, err = run(*command, "--variant", "mine.yaml")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "mine.yaml: build its models with archc build mine.yaml -b all"
    assert run("build", "mine.yaml", "-b", "torch", "-o", ".")[0] == 0
    check = ("weights", "check", "mine.pt", "mine_torch.py", "--spec", "mine.yaml")
    assert run(*check) == (0, "mine.pt: for mine_torch.py, which is mine.yaml\n", "")
    assert run("verify", "mine.yaml", "--weights", "mine.pt", "--against", TIMM)[0] == 0
    assert (
        "mine.yaml exists already"
        in run(*command[:4], "b.pt", *command[5:], "--variant", "mine.yaml")[2]
    )
    Path("b.pth").write_bytes(b"none")
    failing = ("weights", "import", TIMM, "b.pth", "b.pt", "--spec", SMALL, "--variant", "b.yaml")
    assert run(*failing)[0] == 2
    assert not Path("b.yaml").exists()


def test_a_download_that_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr("keras.applications.MobileNetV3Small", load)
    name = "keras.applications.MobileNetV3Small"
    assert run("weights", "import", name, "mine.pt", "--spec", SMALL) == (
        2,
        "",
        f"archc: {name}: no pretrained weights can be had: no route to host\n"
        "  = help: this needs a network; name a FILE instead\n",
    )


# ---- Verification


def test_verify_says_that_all_is_well(run: Run) -> None:
    library(TIMM)
    code, out, err = run("verify", SMALL, "--against", TIMM)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    columns = [f"{side} {what}" for side in ("keras", "onnx", "torch") for what in ("max", "mean")]
    assert "  ".join(columns) in lines[0]
    net = archc.load(SMALL)
    assert [line.split()[0] for line in lines[1:]] == [row.call.name for row in net.network.rows]
    assert not any("-" in line.split()[2] for line in lines[1:])


def test_verify_without_a_reference(run: Run) -> None:
    code, out, err = run("verify", SMALL)
    assert (code, err) == (0, "")
    columns = [f"{side} {what}" for side in ("keras", "onnx", "torch") for what in ("max", "mean")]
    assert "  ".join(columns) in out.splitlines()[0]


def test_verify_with_weights(run: Run) -> None:
    library(TIMM)
    net = importing.network(SMALL, rules.find(TIMM), {})
    weights = importing.build(net, rules.find(TIMM), 64, 64)[0].state_dict()
    torch.save(weights, "theirs.pth")
    assert run("weights", "import", TIMM, "theirs.pth", "mine.pt", "--spec", SMALL)[0] == 0
    assert run("verify", SMALL, "--against", TIMM, "--weights", "mine.pt")[0] == 0
    code, _, err = run("verify", SMALL, "--against", TIMM, "--weights", "theirs.pth")
    assert code == 2
    assert "these are no weights of MobileNetV3Small" in err


def changed(tmp_path: Path, file: str, old: str, new: str) -> Path:
    folder = tmp_path / "specs"
    shutil.copytree(SPECS, folder, ignore=shutil.ignore_patterns("weights"))
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder / "mnv3_small.yaml"


SAME, SYMMETRIC = (f"depthwise_conv2d: {{padding: {p}, " for p in ("padding", "symmetric"))
CELL = "5,      3,       48,  0.25, "
SPEC, BLOCKS = "mnv3_small.yaml", "blocks/mobilenet.yaml"
RESIDUAL = "stride == 1 and x.channels == out"
MISTAKES = [
    (SPEC, SAME, SYMMETRIC, "blocks.0"),
    (SPEC, f"{CELL}hard_swish", f"{CELL}relu", "blocks.6"),
    (SPEC, "act: hard_swish, stride: 2}", "act: relu, stride: 2}", "blocks.0"),
    (SPEC, "dropout\n    act: hard_swish", "dropout\n    act: relu", "classifier"),
    (BLOCKS, "default: hard_sigmoid", "default: sigmoid", "blocks.0"),
    (BLOCKS, RESIDUAL, f"{RESIDUAL} and out != 40", "blocks.4"),
]


@pytest.mark.parametrize(("file", "old", "new", "row"), MISTAKES)
def test_verify_names_the_first_block_that_diverges(
    file: str, old: str, new: str, row: str, run: Run, tmp_path: Path
) -> None:
    spec = changed(tmp_path, file, old, new)
    name = "keras.applications.MobileNetV3Small"
    code, _, err = run("verify", str(spec), "--against", name)
    assert code == 1
    lines = err.splitlines()
    assert [line.split(", by ")[0] for line in lines] == [
        f"{spec}: {side} diverges first at {row}" for side in ("keras", "onnx", "torch")
    ]


@pytest.mark.parametrize("wrong", [["torch"], ["keras"], ["keras", "torch"]])
def test_verify_sees_backends_that_are_wrong(
    wrong: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alike or not: what they are compared with is neither of them."""
    for backend in wrong:
        live = importlib.import_module(f"archc.backends.{backend}.live")

        def load(model: Any, weights: Any, original: Any = live.LIVE.load) -> None:
            name = "blocks.5.depthwise.bn.bias"
            original(model, {**weights, name: weights[name] + 1e-2})

        monkeypatch.setattr(live, "LIVE", dataclasses.replace(live.LIVE, load=load))
    code, _, err = run("verify", SMALL)
    assert code == 1
    assert [line.split(", by ")[0] for line in err.splitlines()] == [
        f"{SMALL}: {backend} diverges first at blocks.5" for backend in wrong
    ]


def test_the_tolerance_is_the_users(run: Run) -> None:
    assert run("verify", SMALL, "--tolerance", "1e-9")[0] == 1


def test_verify_reports_nothing_as_equal_that_is_no_number(tmp_path: Path) -> None:
    net = archc.load(SMALL)
    assert difference(np.array([np.nan]), np.array([1.0])).relative == float("inf")
    assert difference(np.array([1.0]), np.array([np.nan])).relative == float("inf")
    assert difference(np.zeros(3), np.zeros(4)).relative == float("inf")
    assert all(isinstance(row.call.body.target, Block) for row in net.network.rows)
    assert deviation(np.zeros(3), np.zeros(4)) == float("inf")
    assert divergences(verify(net, None, None), 1e-4) == []


SCALES = """\
archc: 1
name: Scales
params: {by: {type: float, default: 1}}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, name: before, filters: 4, kernel: 3}
  - {block: rescale, name: scaled, scale: by}
  - {block: depthwise_conv2d, name: after, kernel: 3, bias: false}
  - {block: conv2d, name: last, filters: 2, kernel: 1, bias: false}
"""


@pytest.mark.parametrize("by", ["1e-12", "1e-5", "1", "1e6", "1e12"])
@pytest.mark.parametrize("share", [0.0, 1e-2])
def test_verify_measures_by_the_scale_of_the_values(
    by: str, share: float, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a hundredth is as bad in small numbers, and rounding is as good in large ones."""
    from archc.backends.torch import live

    def load(model: Any, weights: Any) -> None:
        live.load(model, {**weights, "after.weight": weights["after.weight"] * (1.0 + share)})

    monkeypatch.setattr(live, "LIVE", live.Live(live.build, live.arrays, load, live.outputs))
    Path("net.yaml").write_text(SCALES)
    code, _, err = run("verify", "net.yaml", "--set", f"by={by}")
    found = [line.split(", by ")[0] for line in err.splitlines()]
    expected = ["net.yaml: torch diverges first at after"] if share else []
    assert (code, found) == (int(bool(share)), expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_a_difference_is_a_share_of_the_references_largest_value(scale: float) -> None:
    theirs = scale * np.array([[1.0, -2.0], [0.5, 0.0]])
    found = difference(theirs + scale * np.array([[0.0, 0.0], [0.0, 0.02]]), theirs)
    assert found.relative == pytest.approx(0.01)
    assert found.max == pytest.approx(0.02 * scale)
    assert found.mean == pytest.approx(0.005 * scale)
    assert difference(theirs, theirs).relative == 0.0
    assert difference(theirs[:, :1], theirs).relative == float("inf")
