"""What is taken of files that do not fit as they are: a part, or weights that somebody wrapped."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.compiler.ir import analysis
from archc.live.numeric import random_weights
from archc.weights import convert, fresh, wrappers

from .running import Run, runner
from .test_initializers import INITIALIZERS, LARGE, check, moments

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

SPEC = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  include_top: {type: bool, default: true, keep: true}
  padding: {type: padding, default: same}
input: {channels: 3, height: 16, width: 16}
defaults:
  conv2d: {padding: padding}
network:
  - {block: conv2d, name: stem, filters: 40, kernel: 3, stride: 2}
  - {block: batch_norm, name: bn}
  - {block: global_avg_pool2d, name: mean}
  - {block: dense, name: hidden, units: 30, when: include_top}
  - {block: dense, name: logits, units: classes, init: he_normal, when: include_top}
"""
ENDINGS = ["pt", "safetensors", "weights.h5", "keras"]
GIVEN = ("--set", "padding=same")
Array = np.ndarray[Any, Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc weights` in a folder that holds tiny.yaml; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPEC)

    return runner(capsys, "weights")


@pytest.fixture
def tiny(run: Run) -> Net:
    return archc.load("tiny.yaml")


def state(net: Net) -> dict[str, Any]:
    return {k: torch.from_numpy(v.copy()) for k, v in random_weights(net.network).items()}


def taken(run: Run, source: str, target: str, *more: str) -> tuple[int, str, str]:
    return run("convert", source, target, "--spec", "tiny.yaml", "--force", *GIVEN, *more)


# ---- Parts


@pytest.mark.parametrize("source", ENDINGS)
@pytest.mark.parametrize("target", ENDINGS)
def test_another_number_of_classes(source: str, target: str, run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "five.pt")
    assert taken(run, "five.pt", f"a.{source}")[0] == 0
    ten = archc.load("tiny.yaml", classes=10)
    code, out, err = taken(run, f"a.{source}", f"b.{target}", "--set", "classes=10")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "  = help: `convert` and `import` take what fits with --partial; the rest stays fresh"
    )
    assert not Path(f"b.{target}").exists()
    code, out, err = taken(run, f"a.{source}", f"b.{target}", "--set", "classes=10", "--partial")
    keras = source in ("weights.h5", "keras")
    kernel = (
        "kernel is 30x5; the spec says 30x10" if keras else "weight is 5x30; the spec says 10x30"
    )
    slash = "/" if keras else "."
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"b.{target}: 10 tensors, 2,820 numbers",
        f"  misshapen: logits{slash}{kernel}",
        f"  misshapen: logits{slash}bias is 5; the spec says 10",
        f"b.{target}: 8 tensors are those of a.{source}, and 2 are fresh",
    ]
    found, before = convert.load(ten, Path(f"b.{target}")), random_weights(tiny.network)
    assert all(np.array_equal(found[n], before[n]) for n in found if not n.startswith("logits"))
    assert not found["logits.bias"].any()
    assert found["logits.weight"].std() == pytest.approx((2 / 30) ** 0.5, rel=0.15)


def test_without_the_top_and_with_one_again(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    code, out, _ = taken(run, "a.pt", "body.pt", "--set", "include_top=false", "--partial")
    assert code == 0
    assert out.splitlines()[-1] == (
        "body.pt: 6 tensors are those of a.pt, and 0 are fresh; 4 of a.pt are not used"
    )
    code, out, _ = taken(run, "body.pt", "again.pt", "--partial")
    assert code == 0
    assert out.splitlines()[1:] == [
        "  missing: hidden.weight (30x40)",
        "  missing: hidden.bias (30)",
        "  missing: logits.weight (5x30)",
        "  missing: logits.bias (5)",
        "again.pt: 6 tensors are those of body.pt, and 4 are fresh",
    ]
    assert taken(run, "body.pt", "other.pt", "--partial")[0] == 0
    again, other = torch.load("again.pt"), torch.load("other.pt")
    assert all(torch.equal(again[name], other[name]) for name in again)


def test_all_of_a_file_that_fits(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    assert taken(run, "a.pt", "b.pt", "--partial") == (0, "b.pt: 10 tensors, 2,665 numbers\n", "")


def test_what_is_refused_in_part_too(run: Run, tiny: Net) -> None:
    torch.save({"other.weight": torch.zeros(3)}, "none.pt")
    assert "10 missing, 1 surplus" in taken(run, "none.pt", "b.pt", "--partial")[2]
    torch.save({k: v.half() for k, v in state(tiny).items()}, "half.pt")
    _, _, err = taken(run, "half.pt", "b.pt", "--partial")
    assert "10 mistyped" in err
    assert err.endswith("convert the weights to float32 in their own framework first\n")
    torch.save(state(tiny), "a.pt")
    convert.convert(archc.load("tiny.yaml", padding="symmetric"), Path("a.pt"), Path("c.pt"))
    assert taken(run, "c.pt", "b.pt", "--partial", "--set", "classes=9") == (
        2,
        "",
        "archc: c.pt: these weights are for padding=symmetric; here `padding` is same\n"
        "  = help: give --set padding=symmetric here, and to `archc build`\n",
    )
    assert not Path("b.pt").exists()


def test_rows_from_the_first_fresh_one_on_may_be_others(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "plain.pt")
    assert taken(run, "plain.pt", "a.pt")[0] == 0
    new = "name: logits, units: classes, init: he_normal"
    Path("tiny.yaml").write_text(SPEC.replace(new, f"{new}, bias: false"))
    code, out, _ = taken(run, "a.pt", "b.pt", "--partial")
    assert (code, out.splitlines()[1]) == (0, "  surplus: logits.bias (5)")
    changed = SPEC.replace("name: mean}", "name: mean}\n  - {block: activation, act: relu}")
    Path("tiny.yaml").write_text(changed.replace("units: 30", "units: 31"))
    assert taken(run, "a.pt", "b.pt", "--partial")[0] == 0


@pytest.mark.parametrize("init", INITIALIZERS)
def test_fresh_weights_are_those_that_the_spec_says(init: str, tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(LARGE.format(init), encoding="utf-8")
    for name, _, weight in analysis.weights(archc.load(path).network):
        array = fresh.drawn(name, weight)
        assert (array.shape, array.dtype) == (weight.shape, np.float32)
        check(array, moments(weight.initializer, *weight.fans), name)


# ---- Wrapped


def prefixed(prefix: str, net: Net) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in state(net).items()}


def test_what_stands_before_names() -> None:
    names = ["model._orig_mod.a.w", "model._orig_mod.a.b"]
    assert [*wrappers.shared(names)] == ["model.", "model._orig_mod.", "model._orig_mod.a."]
    assert wrappers.known(names) == "model._orig_mod."
    assert wrappers.known([*names, "model.c"]) == "model."
    assert wrappers.known([*names, "step"]) == wrappers.known([]) == ""
    assert wrappers.before_any(["a.w", "z"], names) == "model._orig_mod."
    assert wrappers.before_any(["w"], names) == "model._orig_mod.a."
    assert wrappers.before_any(["model._orig_mod.a.w"], names) == ""  # which fits as it is
    assert wrappers.before_any(["z"], names) == wrappers.before_any(["z"], []) == ""
    both = ["ema.a.w", "ema.a.b", "a.w", "a.b", "other.a.w", "xa.w", "xa.b"]
    assert wrappers.before_all(["a.w", "a.b"], both) == ["ema.", ""]
    assert wrappers.unwrapped("a._orig_mod.w") == "a.w"


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_names_with_a_prefix(prefix: str, run: Run, tiny: Net) -> None:
    torch.save(prefixed(prefix, tiny), "a.pt")
    said = f"a.pt: note: all names start with `{prefix}`, which is left out\n"
    assert taken(run, "a.pt", "b.pt") == (0, "b.pt: 10 tensors, 2,665 numbers\n", said)
    assert torch.equal(torch.load("b.pt")["stem.weight"], state(tiny)["stem.weight"])


NESTED = """\
archc: 1
name: Nested
input: {channels: 3, height: 8, width: 8}
blocks:
  inner: {steps: [conv: "conv2d(x, filters=4, kernel=3)"]}
  outer: {steps: [conv: "conv2d(x, filters=4, kernel=3)", a: inner(conv)]}
network:
  - {block: outer, name: a}
"""


def test_a_prefix_that_the_network_has_itself(run: Run) -> None:
    Path("nested.yaml").write_text(NESTED)
    torch.save(state(archc.load("nested.yaml")), "a.pt")
    command = ("convert", "a.pt", "b.pt", "--spec", "nested.yaml")
    assert run(*command) == (0, "b.pt: 4 tensors, 260 numbers\n", "")


def test_wrappers_of_pytorch_itself(run: Run, tiny: Net) -> None:
    model = tiny.build("torch")
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for wrapped in (torch.compile(model), torch.nn.DataParallel(model), averaged):
        torch.save(wrapped.state_dict(), "a.pt")
        code, _, err = taken(run, "a.pt", "b.pt")
        assert code == 0
        assert "all names start with" in err
        kept = torch.load("b.pt")
        assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())


def test_some_names_with_a_prefix_are_not_touched(run: Run, tiny: Net) -> None:
    torch.save({**prefixed("module.", tiny), "loss.weight": torch.zeros(3)}, "a.pt")
    assert "10 missing, 11 surplus" in taken(run, "a.pt", "b.pt")[2]


def test_weights_under_a_key(run: Run, tiny: Net) -> None:
    optimizer = {"state": {0: {"step": torch.zeros(())}}, "param_groups": [{"lr": 0.1}]}
    wrapped = {"state_dict": prefixed("model.", tiny), "epoch": 3, "optimizer": optimizer}
    torch.save(wrapped, "a.pt")
    notes = (
        "a.pt: note: taken from `state_dict`\n"
        "a.pt: note: all names start with `model.`, which is left out\n"
    )
    assert taken(run, "a.pt", "b.pt") == (0, "b.pt: 10 tensors, 2,665 numbers\n", notes)
    assert taken(run, "a.pt", "b.pt", "--key", "state_dict")[0::2] == (0, notes)
    assert taken(run, "a.pt", "b.pt", "--key", "model") == (
        2,
        "",
        "archc: a.pt: it has no weights under `model`\n  = help: it has --key state_dict\n",
    )
    torch.save({"run": {"model": {"weights": OrderedDict(state(tiny))}}}, "a.pt")
    assert "note: taken from `run.model.weights`" in taken(run, "a.pt", "b.pt")[2]
    torch.save({"extra": {"left.weight": torch.zeros(3)}, "logits.bias": torch.zeros(5)}, "a.pt")
    head = "archc: a.pt, taken from `extra`: these are no weights of Tiny; tensors: 10 missing"
    assert taken(run, "a.pt", "b.pt")[2].startswith(head)


def test_several_sets_of_weights(run: Run, tiny: Net) -> None:
    averages = {name: tensor + 1 for name, tensor in state(tiny).items()}
    torch.save({"state_dict": state(tiny), "state_dict_ema": averages, "arch": "tiny"}, "a.pt")
    assert taken(run, "a.pt", "b.pt") == (
        2,
        "",
        "archc: a.pt: it holds 2 sets of weights\n"
        "  = help: name one: --key state_dict, --key state_dict_ema\n",
    )
    assert taken(run, "a.pt", "b.pt", "--key", "state_dict_ema")[0] == 0
    assert torch.equal(torch.load("b.pt")["stem.bias"], averages["stem.bias"])
    check = ("check", "a.pt", "--spec", "tiny.yaml", *GIVEN)
    assert run(*check)[0] == 2
    assert run(*check, "--key", "state_dict")[0] == 0


def test_a_key_that_is_not_needed(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    assert taken(run, "a.pt", "b.pt", "--key", "state_dict") == (
        2,
        "",
        "archc: a.pt: it has no weights under `state_dict`\n"
        "  = help: leave --key out: its weights are under none\n",
    )


def test_half_precision_under_a_key(run: Run, tiny: Net) -> None:
    torch.save({"model": {k: v.bfloat16() for k, v in state(tiny).items()}}, "a.pt")
    assert "stem.weight is bfloat16, not float32" in taken(run, "a.pt", "b.pt")[2]
