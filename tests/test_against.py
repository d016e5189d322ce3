"""`archc verify --against my_model.py:MyNet`: where a model that anyone wrote parts from a spec."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import backends, cli
from archc.backends import Held
from archc.backends.storage import WeightsError
from archc.commands import options
from archc.live import against, explaining, explanations, interpreter, theirs
from archc.live.numeric import random_weights
from archc.weights import unwrapping
from archc.weights.rules import known, of_ones_own

from .running import Run, runner

torch = pytest.importorskip("torch")

SPEC = """\
archc: 1
name: Net
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  epsilon: {type: float, default: 1.0e-3, above: 0}
  decay: {type: float, default: 0.99, above: 0, below: 1}
  padding: {type: padding, default: same}
  act: {type: activation, default: hard_swish}
input: {channels: 3, height: 16, width: 16}
defaults:
  batch_norm: {epsilon: epsilon, decay: decay}
  conv2d: {padding: padding}
blocks:
  unit:
    params: {out: int, stride: {type: int, default: 1}, act: activation}
    steps:
      - conv: conv2d(x, filters=out, kernel=3, stride=stride, bias=false)
      - bn: batch_norm(conv)
      - act: activation(bn, act)
network:
  - {block: unit, name: stem, out: 8, stride: 2, act: act}
  - {block: unit, name: a, out: 8, act: relu}
  - {block: unit, name: b, out: 8, act: relu}
  - {block: add, name: sum, from: [b, a]}
  - {block: avg_pool2d, name: pool, kernel: 3, stride: 2, padding: symmetric}
  - {block: flatten, name: flat}
  - {block: dense, name: logits, units: classes}
"""
RULES = """\
archc: 1
framework: torch
sources:
  mine: {}
names:
  - [logits, fc]
  - [stem.conv, stem.0]
  - [stem.bn, stem.1]
  - [a.conv, one.0]
  - [a.bn, one.1]
  - [b.conv, two.0]
  - [b.bn, two.1]
"""
TORCH = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes=5, eps=1e-3, pad="same", act=nn.Hardswish, last=nn.ReLU, bias=False,
                 count=False, order="hwc", bgr=False, scale=1.0, shift=0.0, end="", wiring="sum"):
        super().__init__()

        def unit(i, o, s, act):
            p = 0 if s == 2 and pad == "same" else 1
            convolution = nn.Conv2d(i, o, 3, s, p, bias=bias)
            return nn.Sequential(convolution, nn.BatchNorm2d(o, eps, 0.01), act())

        self.pad = nn.ZeroPad2d((0, 1, 0, 1) if pad == "same" else 0)
        self.stem, self.one = unit(3, 8, 2, act), unit(8, 8, 1, nn.ReLU)
        self.two = unit(8, 8, 1, last)
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=count)
        self.fc = nn.Linear(8 * 4 * 4, classes)
        self.order, self.bgr, self.scale, self.shift = order, bgr, scale, shift
        self.end, self.wiring = end, wiring

    def forward(self, x):
        x = (x.flip(1) if self.bgr else x) * self.scale + self.shift
        x = self.stem(self.pad(x))
        y = self.one(x)
        z = self.two(x if self.wiring == "parallel" else y)
        x = self.pool(z + (x if self.wiring == "skip" else y))
        x = self.fc((x.permute(0, 2, 3, 1) if self.order == "hwc" else x).flatten(1))
        return {"": x, "softmax": x.softmax(1), "dict": {"logits": x, "features": z}}[self.end]


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Halved(Net):
    def __init__(self):
        super().__init__()
        self.fc = Doubled(128, 5)

    def forward(self, x):
        return super().forward(x) / 2


class DoubledConvolution(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class HalvingNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x / 2)


class Detour(Net):
    def __init__(self):
        super().__init__(end="softmax")
        self.stem[0] = DoubledConvolution(3, 8, 3, 2, bias=False)
        self.stem[1] = HalvingNorm(8, 1e-3, 0.01)


class NoNumber(Net):
    def forward(self, x):
        return super().forward(x) / 0


def silu():
    return Net(last=nn.SiLU)


def relu6():
    return Net(act=nn.ReLU6, eps=1e-5)


"""
KERAS = """\
import keras
from keras import layers


def make(eps=1e-3, fused=False, size=16, classes=5):
    def unit(x, name, stride, act):
        x = layers.Conv2D(8, 3, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(epsilon=eps, momentum=0.99, name=f"{name}_bn")(x)
        return layers.Activation(act)(x)

    x = unit(inputs := keras.Input((size, size, 3)), "stem", 2, "hard_silu")
    y = unit(x, "a", 1, "relu")
    x = layers.Add()([unit(y, "b", 1, "relu"), y])
    x = layers.AveragePooling2D(3, 2, padding="valid")(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc")(layers.Flatten()(x)))
"""
KERAS_RULES = """\
archc: 1
framework: keras
sources:
  mine: {}
names:
  - [logits, fc]
groups:
  - {at: <i>}
inside:
  - [conv, "{i}_conv"]
  - [bn, "{i}_bn"]
"""
SMALL = Path(__file__).parents[1] / "specs" / "mnv3_small.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC)
    Path("rules.yaml").write_text(RULES)
    Path("my_model.py").write_text(TORCH)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares one backend alone, which takes less time."""
    monkeypatch.setattr(backends, "drivable", lambda: ["torch"])
    monkeypatch.setattr(options, "say_left_out", lambda: None)


@pytest.fixture
def run(one: None, every: Run) -> Run:
    """Runs `archc verify net.yaml`; exit code, stdout, stderr."""
    return every


@pytest.fixture
def every(capsys: pytest.CaptureFixture[str]) -> Run:
    """The same with all backends."""

    return runner(capsys, "verify", "net.yaml")


OWN = ("--rules", "rules.yaml")
MINE = ("--against", "my_model.py:Net", *OWN)


def explained(text: str, spec: str = "net.yaml", rules: str = "rules.yaml") -> list[str]:
    """What is said of a model, held against the definitions of the ops alone."""
    files = [Path(rules)]
    net, model = archc.load(spec), of_ones_own(text, known(spec, files), files)
    with theirs.opened(theirs.parse(text)) as it:
        met = against.meet(net, it, model)
    ours = {"": interpreter.outputs(met.network, met.weights, met.batch)}
    found = against.comparison(met, met.network, ours, 1e-4)
    said = [*against.lines(met, found, 1e-4)]
    if found.parted:
        said += explanations.lines(explaining.explained(met, found, 1e-4))
    return [*said, *against.notes(met, not found.parted)]


def masked(lines: list[str]) -> list[str]:
    """Without the numbers that a comparison comes to."""
    return [re.sub(r"\d\.?\d*e[-+]\d+ of its scale", "N of its scale", line) for line in lines]


# ---- Where they part, and why

PARTS = "my_model.py:Net{} parts from it first at {}, by N of its scale{}"
STEM, NORM, FC = "stem.conv (its stem.0)", "stem.bn (its stem.1)", "logits (its fc)"
UP = "; they agree up to {}"
SUM = "; they agree up to b (its two)"
CASES = [
    ("", []),
    ("(pad='symmetric')", [(STEM, ""), "with --set padding=symmetric"]),
    ("(eps=1e-5)", [(NORM, UP.format(STEM)), "with --set epsilon=1e-05"]),
    (
        "(pad='symmetric', eps=1e-5)",
        [(STEM, ""), "with --set padding=symmetric --set epsilon=1e-05"],
    ),
    ("(bgr=True)", [(STEM, ""), "if the input of Net is BGR of its RGB"]),
    ("(scale=2.0, shift=-1.0)", [(STEM, ""), "if the input of Net is 2 * x - 1 of its x"]),
    ("(scale=0.5, shift=0.5)", [(STEM, ""), "if the input of Net is (x + 1) / 2 of its x"]),
    (
        "(bgr=True, scale=255)",
        [(STEM, ""), "if the input of Net is x * 255 of its x and BGR of its RGB"],
    ),
    (
        "(order='chw')",
        [
            (FC, SUM),
            "if the weights of logits are reordered from flattening by channel, row, column",
        ],
    ),
    (
        "(count=True)",
        [(FC, SUM), "with `count_padding: true` in every `avg_pool2d`"],
    ),
    ("(end='softmax')", [("the output", UP.format(FC)), "if a softmax follows"]),
    (
        "(pad='symmetric', eps=1e-5, order='chw', end='softmax')",
        [
            (STEM, ""),
            "with --set padding=symmetric --set epsilon=1e-05 and if the weights of logits are"
            " reordered from flattening by channel, row, column and if a softmax follows",
        ],
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), CASES)
def test_a_convention_explains_it(arguments: str, expected: list[Any]) -> None:
    said = [
        PARTS.format(arguments, *each)
        if isinstance(each, tuple)
        else f"it agrees {each}, to N of its scale"
        for each in expected
    ]
    assert masked(explained(f"my_model.py:Net{arguments}")) == said


def test_an_activation_of_one_row() -> None:
    assert masked(explained("my_model.py:silu")) == [
        "my_model.py:silu parts from it first at b (its two), by N of its scale"
        "; they agree up to b.bn (its two.1)",
        "it agrees with `act: swish` at b.act, to N of its scale",
    ]


def test_a_part_that_gives_something_else_on_the_way() -> None:
    assert masked(explained("my_model.py:Halved")) == [
        "note: logits (its fc) differs, by N of its scale; what is made of it agrees"
    ]


def test_a_detour_before_they_part() -> None:
    assert masked(explained("my_model.py:Detour")) == [
        "note: stem.conv (its stem.0) differs, by N of its scale; what is made of it agrees",
        "my_model.py:Detour parts from it first at the output, by N of its scale"
        "; they agree up to logits (its fc)",
        "it agrees if a softmax follows, to N of its scale",
    ]


def test_what_a_value_depends_on() -> None:
    flow = against.Flow(archc.load("net.yaml").network)
    assert {"stem.conv", "a.bn", "b.bn", "sum", "pool"} <= flow.before(["flat"])
    assert flow.before(["b.bn"]) & {"a.act", "b.conv", "b.act", "sum"} == {"a.act", "b.conv"}
    Path("net.yaml").write_text(BRANCHES)
    flow = against.Flow(archc.load("net.yaml").network)
    assert flow.before([""]) == {"", "left", "right", "both", "mean"}


def test_what_is_no_number() -> None:
    said = explained("my_model.py:NoNumber")[0]
    assert said == (
        "my_model.py:NoNumber parts from it first at the output, where one of them gives what is no"
        " finite number; they agree up to logits (its fc)"
    )


def test_another_shape() -> None:
    text = TORCH.replace("nn.ZeroPad2d((0, 1, 0, 1)", "nn.ZeroPad2d((0, -1, 0, -1)")
    Path("my_model.py").write_text(text)
    said = explained("my_model.py:Net")[0]
    at = "stem.conv (its stem.0), where it gives 8x7x7"
    assert said == f"my_model.py:Net parts from it first at {at}"


def test_two_activations_and_an_epsilon() -> None:
    """Of activations that these numbers do not tell apart, both are said."""
    said = masked(explained("my_model.py:relu6"))
    agrees = "it agrees with --set epsilon=1e-05 --set act={}, to N of its scale"
    assert said[1:] == [agrees.format("relu"), agrees.format("relu6")]


@pytest.mark.parametrize("wiring", ["parallel", "skip"])
def test_a_wrong_wiring_is_no_convention(wiring: str) -> None:
    first, last = masked(explained(f"my_model.py:Net(wiring='{wiring}')"))
    at = {"parallel": "b.conv (its two.0)", "skip": FC}[wiring]
    assert f"parts from it first at {at}, by N of its scale" in first
    tried = "epsilon, padding, act, ceil_mode, count_padding, flatten order(, output)?"
    assert re.fullmatch(rf"none of the known conventions explains it; \d+ tries: {tried}", last)


def test_what_leads_further_is_said() -> None:
    said = masked(explained("my_model.py:Net(eps=1e-5, wiring='parallel')"))
    assert said[1] == "with --set epsilon=1e-05, it parts later, at b.conv"
    assert said[2].startswith("none of the known conventions explains the rest; ")


def test_trying_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "SECONDS", 0.0)
    said = explained("my_model.py:Net(eps=1e-5)")
    assert said[1:] == [
        "none of the known conventions explains it; 0 tries, until 0 seconds were over: nothing"
    ]


def test_what_the_numbers_do_not_show() -> None:
    """A decay never, and an epsilon where the tolerance is wide."""
    Path("net.yaml").write_text(SPEC.replace("default: 0.99", "default: 0.9"))
    assert explained("my_model.py:Net") == [
        "note: 3 of its layers have a decay of 0.99, and here it is 0.9 (--set decay=0.99): that"
        " shows in training alone"
    ]
    text = "my_model.py:Net(eps=0.000999)"
    assert explained(text)[1] == (
        "note: 3 of its layers have a epsilon of 0.000999, and here it is 0.001"
        " (--set epsilon=0.000999): that makes no difference above the tolerance"
    )


# ---- The command


def test_all_is_well(every: Run) -> None:
    code, out, err = every(*MINE)
    assert (code, err) == (0, "")
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    assert rows == [
        ["stem", "unit", "stem"],
        ["a", "unit", "one"],
        ["b", "unit", "two"],
        ["sum", "add", "-"],
        ["pool", "avg_pool2d", "-"],
        ["flat", "flatten", "-"],
        ["logits", "dense", "the"],
    ]


def test_shares_of_scale_are_printed(run: Run) -> None:
    code, out, err = run("--against", "my_model.py:Net(eps=1e-5)", *OWN)
    assert code == 1
    first = err.splitlines()[0]
    share = re.search(r"by (\S+) of its scale", first)
    assert first.startswith("net.yaml: my_model.py:Net(eps=1e-5) parts from it first at stem.bn ")
    assert share is not None
    scale, *figures = out.splitlines()[1].split()[3:]
    assert all(float(figure) < 0.01 for figure in figures)
    assert float(scale) > 1.0


def test_the_tolerance_is_the_users(every: Run) -> None:
    assert every("--against", "my_model.py:Net(eps=1e-5)", *OWN, "--tolerance", "0.1")[0] == 0
    assert every(*MINE, "--tolerance", "1e-9")[0] == 1


def test_a_backend_that_is_wrong(every: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from archc.backends.torch import live

    def load(model: Any, weights: Any, original: Any = live.LIVE.load) -> None:
        original(model, {**weights, "a.bn.bias": weights["a.bn.bias"] + 1.0})

    monkeypatch.setattr(live, "LIVE", dataclasses.replace(live.LIVE, load=load))
    code, _, err = every(*MINE)
    said = "net.yaml: my_model.py:Net parts from it first at a.bn (its one.1) of torch alone, by "
    lines = err.splitlines()
    assert (code, lines[0].startswith(said)) == (1, True)
    assert lines[1:] == ["net.yaml: the definitions of the ops agree with it: a backend is wrong"]


def test_a_model_that_hangs(run: Run) -> None:
    Path("hangs.py").write_text("import time\n\n\ndef make():\n    time.sleep(600)\n")
    code, out, err = run("--against", "hangs.py:make", "--timeout", "5")
    said = (
        r"archc: hangs.py:make: .+ took more than 5 seconds, and was ended\n"
        r"  = help: --timeout SECONDS allows more\n"
    )
    assert (code, out, bool(re.fullmatch(said, err))) == (2, "", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--against", "no_such.py:Net"), "archc: no_such.py: no such file\n"),
        (
            ("--against", "my_model.py:Net(open)"),
            "archc: my_model.py:Net(open): an attribute belongs after the colon, and its arguments"
            " are literals\n"
            "  = help: write `my_model.py:MyNet` or `package.module:make(classes=10)`\n",
        ),
        (("--against", "timm:no_such"), "archc: timm:no_such: archc has no rules for this source"),
        ((*MINE, "--inference"), "Error: --inference is for models of archc's own.\n"),
        (("--key", "ema"), "Error: --key is for the weights of a model of your own.\n"),
        ((*MINE, "--timeout", "0"), "Error: Invalid value for '--timeout'"),
    ],
)
def test_a_usage(arguments: tuple[str, ...], said: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_arrays_that_do_not_pair(run: Run) -> None:
    code, _, err = run("--against", "my_model.py:Net(classes=3)", *OWN)
    assert (code, err) == (
        2,
        "archc: my_model.py:Net(classes=3): its arrays are not those of Net: 2 misshapen\n"
        "  misshapen: fc.weight is 3x128; the spec says 5x128\n"
        "  misshapen: fc.bias is 3; the spec says 5\n",
    )


def test_arrays_that_nobody_named(run: Run) -> None:
    """By their shapes, order and names."""
    code, _, err = run("--against", "my_model.py:Net")
    said = "net.yaml: note: its arrays are paired by their shapes, order and names"
    assert (code, err) == (0, f"{said}\n")
    code, _, err = run("--against", "my_model.py:Net(eps=1e-5)")
    assert (code, err.splitlines()[0]) == (1, said)
    assert "it agrees with --set epsilon=1e-05, to " in err
    assert run("--against", "my_model.py:Net(classes=3)") == (
        2,
        "",
        "archc: my_model.py:Net(classes=3): 15 of its arrays are those of Net; not clear are\n"
        "  missing: logits.weight\n"
        "  missing: logits.bias\n"
        "  = help: --rules says what it calls them; `archc weights match` begins such a file\n",
    )


BRANCHES = """\
archc: 1
name: Branches
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, name: left, filters: 4, kernel: 3, from: input}
  - {block: conv2d, name: right, filters: 4, kernel: 3, from: input}
  - {block: concat, name: both, from: [left, right]}
  - {block: global_avg_pool2d, name: mean}
"""
BRANCHED = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, padding=1):
        super().__init__()
        self.u, self.v = (nn.Conv2d(3, 4, 3, padding=padding) for _ in "uv")

    def forward(self, x):
        return torch.cat([self.v(x), self.u(x)], 1).mean((2, 3))
"""


def test_arrays_that_only_numbers_tell_apart(run: Run) -> None:
    Path("net.yaml").write_text(BRANCHES)
    Path("my_model.py").write_text(BRANCHED)
    code, _, err = run("--against", "my_model.py:Net")
    said = "net.yaml: note: its arrays are paired by their shapes, order and names; 1 of 2 pairings"
    assert (code, err) == (0, f"{said} gives what my_model.py:Net gives\n")
    code, out, err = run("--against", "my_model.py:Net(padding=0)")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "archc: my_model.py:Net(padding=0): 0 of its arrays are those of Branches; not clear are",
        "  ambiguous: left.weight, right.weight may be `v.weight`, `u.weight`",
        "  ambiguous: left.bias, right.bias may be `v.bias`, `u.bias`",
        "  = note: none of 2 pairings gives what my_model.py:Net(padding=0) gives; the settings of"
        " the spec may be others",
        "  = help: --rules says what it calls them; `archc weights match` begins such a file",
    ]


def test_arrays_of_its_alone_are_told(run: Run) -> None:
    code, _, err = run("--against", "my_model.py:Net(bias=True)", *OWN)
    assert code == 1
    assert err.splitlines()[0] == (
        "net.yaml: note: nothing of the spec is its stem.0.bias, one.0.bias, two.0.bias: that keeps"
        " its own numbers"
    )


def test_rules(run: Run) -> None:
    Path("rules.yaml").write_text(RULES.replace("  mine: {}\n", "  mine: {}\n  other: {}\n"))
    said = "archc: my_model.py:Net: there are rules for `mine`, `other`, and not for it\n"
    assert run(*MINE)[2].startswith(said)
    named = RULES.replace("  mine: {}\n", "  mine: {}\n  my_model.py:Net: {}\n")
    Path("rules.yaml").write_text(named)
    assert run(*MINE)[0] == 0
    Path("rules.yaml").write_text(RULES.replace("mine: {}", "mine: {set: {epsilon: 1e-5}}"))
    assert run("--against", "my_model.py:Net(eps=1e-5)", *OWN)[0] == 0
    Path("rules.yaml").write_text(RULES.replace("torch", "keras"))
    said = "archc: my_model.py:Net: it is of `torch`, and the rules are for `keras`\n"
    assert run(*MINE) == (2, "", said)


def test_several_outputs(run: Run) -> None:
    assert run("--against", "my_model.py:Net(end='dict')", *OWN)[0] == 0
    text = TORCH.replace('"features": z}', '"more": x}')
    Path("my_model.py").write_text(text)
    assert run("--against", "my_model.py:Net(end='dict')", *OWN)[2] == (
        "archc: my_model.py:Net(end='dict'): it gives 2 arrays: `logits` (5), `more` (5); which of"
        " them is the 5 of Net, nothing says\n"
        "  = help: name a function whose model gives that one alone\n"
    )


def test_a_model_that_archc_wrote(run: Run) -> None:
    """Its names are the spec's own; a change by hand is found."""
    path = Path("net_torch.py")
    path.write_text(archc.load("net.yaml").source("torch"))
    code, out, err = run("--against", "net_torch.py:Net")
    assert (code, err) == (0, "")
    assert [line.split()[2] for line in out.splitlines()[5:7]] == ["pool", "flat"]
    path.write_text(path.read_text().replace("eps=0.001", "eps=0.01"))
    code, _, err = run("--against", "net_torch.py:Net")
    assert code == 1
    assert "net.yaml: it agrees with --set epsilon=0.01, to " in err


# ---- Weights of its own


def saved(change: Callable[[dict[str, Any]], Any], path: str = "w.pt") -> None:
    """The weights of a fresh model, as a training script may have kept them."""
    scope: dict[str, Any] = {}
    exec(TORCH, scope)
    torch.manual_seed(0)
    torch.save(change(scope["Net"]().state_dict()), path)


def prefixed(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


def cast(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {name: value.to(getattr(torch, kind)) for name, value in state.items()}


def test_weights_of_its_own(run: Run) -> None:
    saved(prefixed("module."))
    code, _, err = run(*MINE, "--weights", "w.pt")
    said = "net.yaml: note: w.pt: names start with `module.`, which is left out\n"
    assert (code, err) == (0, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: {"state_dict": state, "epoch": 3}, "taken from `state_dict`"),
        (prefixed("module."), "names start with `module.`, which is left out"),
        (prefixed("model._orig_mod."), "names start with `model.`, which is left out"),
        (prefixed("_orig_mod."), ""),
        (
            lambda state: {**state, **prefixed("ema.module.")(state)},
            "there are others under `ema.module.`",
        ),
        (cast("float16"), "its numbers are float16, and taken as float32"),
        (cast("bfloat16"), "its numbers are bfloat16, and taken as float32"),
        (cast("float64"), "its numbers are float64, and taken as float32"),
    ],
)
def test_what_training_scripts_wrap(change: Any, said: str) -> None:
    saved(lambda state: state, "plain.pt")
    saved(change)
    state = {k: v for k, v in torch.load("plain.pt").items() if "num_batches" not in k}
    held = [Held(k, k.rpartition(".")[0], (*v.shape,), "float32", True) for k, v in state.items()]
    found = unwrapping.read(Path("w.pt"), "torch", held, state, None)
    assert (found.remarks, {*found.arrays}) == ((said,) if said else (), {*state})
    for name, array in found.arrays.items():
        assert array.dtype == "float32"
        np.testing.assert_allclose(
            array, state[name].numpy(), atol=0.0 if "16" not in said else 1e-2
        )


def read(key: str | None = None) -> tuple[str, ...]:
    held = [Held("fc.bias", "fc", (5,), "float32", True)]
    return unwrapping.read(Path("w.pt"), "torch", held, ["fc.bias"], key).remarks


def test_several_sets_of_weights(run: Run) -> None:
    saved(lambda state: {**prefixed("model.")(state), **prefixed("ema.")(state)})
    assert run(*MINE, "--weights", "w.pt") == (
        2,
        "",
        "archc: w.pt: it holds 2 sets of weights\n  = help: name one: --key model, --key ema\n",
    )
    code, _, err = run(*MINE, "--weights", "w.pt", "--key", "ema")
    assert (code, "names start with `ema.`" in err) == (0, True)
    with pytest.raises(WeightsError, match=r"w.pt: it has no weights under `other`"):
        read("other")
    saved(lambda state: {"state_dict": state, "state_dict_ema": state})
    with pytest.raises(WeightsError, match="--key state_dict, --key state_dict_ema"):
        read()
    assert read("state_dict_ema") == ("taken from `state_dict_ema`",)


def test_half_precision_in_safetensors(run: Run) -> None:
    files = pytest.importorskip("safetensors.torch")
    saved(lambda state: state)
    state = {name: value.bfloat16() for name, value in torch.load("w.pt").items()}
    files.save_file(state, "w.safetensors")
    code, _, err = run(*MINE, "--weights", "w.safetensors")
    said = "net.yaml: note: w.safetensors: its numbers are bfloat16, and taken as float32\n"
    assert (code, err) == (0, said)
    held = [Held("fc.bias", "fc", (5,), "float32", True)]
    found = unwrapping.read(Path("w.safetensors"), "torch", held, ["fc.bias"], None)
    assert found.arrays["fc.bias"].tolist() == state["fc.bias"].float().tolist()


def test_weights_that_do_not_fit(run: Run) -> None:
    saved(lambda state: {name: value for name, value in state.items() if name != "fc.bias"})
    assert run(*MINE, "--weights", "w.pt") == (
        2,
        "",
        "archc: w.pt: these are no weights of that model:\n  missing: fc.bias (5)\n",
    )


def test_weights_of_the_spec(run: Run) -> None:
    net = archc.load("net.yaml")
    state = {k: torch.from_numpy(v) for k, v in random_weights(net.network).items()}
    torch.save(state, "ours.pt")
    assert run(*MINE, "--weights", "ours.pt")[0] == 0


# ---- Keras, and models of libraries


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = SPEC.replace("padding: symmetric}", "padding: valid}")
    Path("net.yaml").write_text(spec)
    Path("rules.yaml").write_text(KERAS_RULES)
    Path("my_model.py").write_text(KERAS)
    return pytest.importorskip("keras")


def test_keras(keras: Any, every: Run) -> None:
    code, out, err = every("--against", "my_model.py:make", *OWN)
    assert (code, err) == (0, "")
    assert [line.split()[2] for line in out.splitlines()[1:4]] == ["stem_bn", "a_bn", "b_bn"]


def test_a_convention_of_keras(keras: Any) -> None:
    said = masked(explained("my_model.py:make(eps=1e-5)"))
    assert said == [
        "my_model.py:make(eps=1e-5) parts from it first at stem.bn (its stem_bn), by N of its scale"
        "; they agree up to stem.conv (its stem_conv)",
        "it agrees with --set epsilon=1e-05, to N of its scale",
    ]


def test_weights_of_keras(keras: Any, run: Run) -> None:
    scope: dict[str, Any] = {}
    exec(KERAS, scope)
    scope["make"]().save_weights("w.weights.h5")
    code, _, err = run("--against", "my_model.py:make", *OWN, "--weights", "w.weights.h5")
    assert (code, err) == (0, "")


def test_a_published_model_by_its_module(
    keras: Any, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the size that it is made for, with the names that archc knows."""
    text = (
        "keras.applications:MobileNetV3Small(weights=None, input_shape=(64, 64, 3),"
        " include_preprocessing=False, classifier_activation=None)"
    )
    with pytest.raises(SystemExit) as stop:
        cli.main(("verify", str(SMALL), "--against", text))
    out, err = capsys.readouterr()
    assert (stop.value.code or 0) == 0
    assert err == (
        f"{SMALL}: note: its arrays are called as those of keras.applications.MobileNetV3Small\n"
    )
    assert "expanded_conv_10_add" in out
