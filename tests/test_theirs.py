"""A model that anyone wrote, in a process of its own: what is known of it, how its code fails."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from archc.backends.storage import WeightsError
from archc.live.theirs import Description, Source, opened, parse

torch = pytest.importorskip("torch")

TORCH = """\
import os, sys, time
import torch
from torch import nn

print("imported")


class MyNet(nn.Module):
    def __init__(self, classes=10, bias=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(8, eps=1e-4, momentum=0.2)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, classes)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        print("run", flush=True)
        return self.fc(self.act(self.bn1(self.conv1(x - self.mean.view(1, -1, 1, 1)))).mean((2, 3)))


class Random(MyNet):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5))


class Wrong(MyNet):
    def forward(self, x):
        return self.fc(x.flatten(1))


model = MyNet(4).double()
compiled = torch.compile(nn.DataParallel(MyNet(3)))


def half():
    return MyNet().half()


def raises(size):
    raise ValueError("no such size:\\n\\x1b[31m3")


def leaves():
    sys.exit(3)


def ends():
    os._exit(7)


def asks():
    return input("which? ")


def on_a_gpu():
    return MyNet().cuda()


def nothing():
    return {}
"""
KERAS = """\
import keras
from keras import layers

keras.config.set_dtype_policy("mixed_float16")


def make(size=16, classes=5):
    x = inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc")(x))


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        unit = lambda: keras.Sequential([layers.Conv2D(4, 3, name="conv")])
        self.stem, self.units = layers.Conv2D(4, 3, name="stem"), [unit(), unit()]

    def call(self, x):
        x = self.stem(x)
        for unit in self.units:
            x = unit(x)
        return {"map": x, "mean": x[:, 0, 0]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_torch.py").write_text(TORCH)
    Path("my_keras.py").write_text(KERAS)


def described(text: str, *inputs: tuple[int, ...]) -> Description:
    with opened(parse(text)) as model:
        return model.describe(inputs or None)


def tried(text: str, seconds: float) -> None:
    with opened(parse(text), seconds) as model:
        names = [each.name for each in model.describe([(3, 8, 8)]).parts]
        model.run({}, {"input": np.ones((1, 3, 8, 8), np.float32)}, names)


def failure(text: str, seconds: float = 60.0) -> str:
    with pytest.raises(WeightsError) as raised:
        tried(text, seconds)
    return str(raised.value)


# ---- What the user says


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a.py:Net", Source("a.py", "Net")),
        ("C:\\x\\a.py:zoo.Net", Source("C:\\x\\a.py", "zoo.Net")),
        ("a.b:make()", Source("a.b", "make", (), {})),
        (
            "a.b:make(1, 'x', size=(8, 8), width=-0.5)",
            Source("a.b", "make", (1, "x"), {"size": (8, 8), "width": -0.5}),
        ),
    ],
)
def test_a_source(text: str, source: Source) -> None:
    found = parse(text)
    assert found == Source(source.where, source.attribute, source.arguments, source.named, text)


CODE = ("Net(open)", "Net(x for x in y)", "Net(**{})", "Net[0]", "Net(1)(2)", "f('')()")


@pytest.mark.parametrize("text", [*CODE, "(lambda: 1)", "Net(" + "(" * 9999])
def test_nothing_of_a_source_is_run(text: str) -> None:
    with pytest.raises(WeightsError, match=r"literals|names no model"):
        parse(f"a.py:{text}")


# ---- What is known of a model


def test_a_description_of_pytorch() -> None:
    found = described("my_torch.py:MyNet(classes=7)", (3, 9, 9))
    assert found.framework == "torch"
    assert [(each.name, each.layer, each.shape, each.trainable) for each in found.tensors] == [
        ("mean", "", (3,), False),
        ("conv1.weight", "conv1", (8, 3, 3, 3), True),
        ("bn1.weight", "bn1", (8,), True),
        ("bn1.bias", "bn1", (8,), True),
        ("bn1.running_mean", "bn1", (8,), False),
        ("bn1.running_var", "bn1", (8,), False),
        ("fc.weight", "fc", (7, 8), True),
        ("fc.bias", "fc", (7,), True),
    ]
    assert [(each.name, each.kind, each.shape) for each in found.parts] == [
        ("conv1", "Conv2d", (8, 5, 5)),
        ("bn1", "BatchNorm2d", (8, 5, 5)),
        ("act", "ReLU", (8, 5, 5)),
        ("fc", "Linear", (7,)),
    ]
    assert found.parts[1].facts == {"epsilon": 1e-4, "decay": 0.8}
    assert found.inputs == ((3, 9, 9),)
    assert [(each.name, each.shape) for each in found.outputs] == [("", (7,))]
    assert found.remarks == ()


def test_a_description_of_keras() -> None:
    pytest.importorskip("keras")
    found = described("my_keras.py:make(classes=2)", (3, 9, 9))
    assert found.framework == "keras"
    assert [(each.name, each.shape) for each in found.tensors][:3] == [
        ("conv1/kernel", (3, 3, 3, 8)),
        ("conv1/bias", (8,)),
        ("bn1/gamma", (8,)),
    ]
    assert [(each.name, each.shape) for each in found.parts] == [
        ("conv1", (8, 16, 16)),
        ("bn1", (8, 16, 16)),
        ("pool", (8,)),
        ("fc", (2,)),
    ]
    assert found.parts[0].facts == {"padding": "same", "activation": "relu"}
    assert (found.inputs, found.remarks) == (((3, 16, 16),), ())


def test_a_keras_model_that_is_a_class_of_its_own() -> None:
    pytest.importorskip("keras")
    found = described("my_keras.py:Own", (3, 9, 9))
    kernels = [each.name for each in found.tensors if each.name.endswith("/kernel")]
    assert kernels[0] == "stem/kernel"
    assert len({*kernels}) == 3
    assert [each.shape for each in found.parts if each.kind == "Conv2D"] == [
        (4, 7, 7),
        (4, 5, 5),
        (4, 3, 3),
    ]
    assert [(each.name, each.shape) for each in found.outputs] == [
        ("map", (4, 3, 3)),
        ("mean", (4,)),
    ]


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("my_torch.py:model", ("its numbers are float64; it runs in float32",)),
        ("my_torch.py:half", ("its numbers are float16; it runs in float32",)),
        ("my_torch.py:compiled", ()),
    ],
)
def test_wrappers_and_other_numbers(text: str, remarks: tuple[str, ...]) -> None:
    found = described(text)
    assert found.remarks == remarks
    assert [each.name for each in found.tensors][:2] == ["mean", "conv1.weight"]
    assert {each.dtype for each in found.tensors} == {"float32"}
    assert found.parts == ()


def test_a_module_of_a_package() -> None:
    Path("mine").mkdir()
    Path("mine/__init__.py").touch()
    Path("mine/nets.py").write_text("from ..other import x\n")
    assert failure("mine.nets:MyNet") == (
        "mine/nets.py:1: importing it raises ImportError: attempted relative import beyond "
        "top-level package"
    )
    Path("mine/nets.py").write_text(TORCH)
    assert described("mine.nets:MyNet").framework == "torch"


# ---- What a model gives


def test_what_a_model_gives(capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    with opened(parse("my_torch.py:MyNet(2)")) as model:
        tensors = model.describe([(3, 8, 8)]).tensors
        arrays = {t.name: random.uniform(0.5, 1.0, t.shape).astype(np.float32) for t in tensors}
        batch = random.standard_normal((2, 3, 8, 8)).astype(np.float32)
        found = model.run(arrays, {"input": batch}, ["bn1", "act"])
    assert {name: array.shape for name, array in found.parts.items()} == {
        "bn1": (2, 8, 4, 4),
        "act": (2, 8, 4, 4),
    }
    assert found.parts["bn1"].min() < 0.0  # though what follows writes over it
    given = torch.conv2d(
        torch.tensor(batch - arrays["mean"].reshape(1, 3, 1, 1)),
        torch.tensor(arrays["conv1.weight"]),
        None,
        2,
        1,
    )
    keys = ("running_mean", "running_var", "weight", "bias")
    own = [torch.tensor(arrays[f"bn1.{key}"]) for key in keys]
    expected = torch.batch_norm(given, own[2], own[3], own[0], own[1], False, 0.0, 1e-4, False)
    np.testing.assert_allclose(found.parts["bn1"], expected.numpy(), atol=1e-4)
    features = found.parts["act"].mean((2, 3))
    expected = features @ arrays["fc.weight"].T + arrays["fc.bias"]
    np.testing.assert_allclose(found.outputs[""], expected, rtol=1e-5)
    out, err = capfd.readouterr()
    assert (out, err.split()) == ("", ["imported", "run", "run", "run"])


# ---- How it fails


def placed(said: str) -> str:
    """With the number of the line that has what stands in braces."""
    lines = TORCH.splitlines()
    return re.sub(
        r"{(.+?)}",
        lambda code: str(next(n for n, line in enumerate(lines, 1) if code[1] in line)),
        said,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "my_torch.py:raises(3)",
            "my_torch.py:{raise ValueError}: making `raises` raises ValueError: no such size:",
        ),
        (
            "my_torch.py:raises",
            "my_torch.py: making `raises` raises TypeError: raises() missing 1 required positional"
            " argument: 'size'\n  = help: give arguments: `MyNet(classes=10)`",
        ),
        ("my_torch.py:leaves", "my_torch.py:{sys.exit}: making `leaves` exits with code 3"),
        ("my_torch.py:ends", "my_torch.py:ends: making `ends` ended the process with exit code 7"),
        (
            "my_torch.py:asks",
            "my_torch.py:{input(}: making `asks` raises EOFError: EOF when reading a line",
        ),
        (
            "my_torch.py:nothing",
            "my_torch.py: `nothing` gives a `dict`, and no `nn.Module`",
        ),
        ("my_torch.py:sys", "my_torch.py: `sys` is a `module`, and no `nn.Module`"),
        ("my_torch.py:MyNett", "my_torch.py: it has no `MyNett`\n  = help: did you mean `MyNet`?"),
        (
            "my_torch.py:model(3)",
            "my_torch.py: `model` is a model already\n  = help: leave its arguments out",
        ),
        (
            "my_torch.py:Wrong",
            "my_torch.py:{x.flatten(1)}: running `Wrong` on inputs of 2x3x8x8 raises RuntimeError:"
            " mat1 and mat2 shapes cannot be multiplied (2x192 and 8x10)",
        ),
        (
            "my_torch.py:Random",
            "my_torch.py: `Random` gives other numbers from run to run in evaluation, first at"
            " `conv1`\n  = help: what is random has to ask whether it trains:"
            " F.dropout(x, p, self.training)",
        ),
        ("none.py:MyNet", "none.py: no such file"),
        (
            "no_such.module:MyNet",
            "no_such.module: importing it raises ModuleNotFoundError: No module named 'no_such'",
        ),
    ],
)
def test_a_failure(text: str, said: str) -> None:
    assert failure(text) == placed(said)


def test_a_syntax_error() -> None:
    Path("broken.py").write_text("x = 1\nclass MyNet(:\n")
    said = "broken.py:2: importing it raises SyntaxError: invalid syntax (broken.py, line 2)"
    assert failure("broken.py:MyNet") == said


def test_a_gpu() -> None:
    said = failure("my_torch.py:on_a_gpu")
    assert said.startswith(placed("my_torch.py:{.cuda()}: making `on_a_gpu` raises "))
    assert said.endswith(
        "= help: archc compares on the CPU, and hides GPUs: make the model where its input is"
    )


def test_a_model_that_hangs(capfd: pytest.CaptureFixture[str]) -> None:
    Path("hangs.py").write_text(
        "import time\n\n\ndef make():\n    print('waiting', flush=True)\n    time.sleep(600)\n"
    )
    assert failure("hangs.py:make", 10.0) == (
        "hangs.py:make: making `make` took more than 10 seconds, and was ended\n"
        "  = help: --timeout SECONDS allows more"
    )
    assert capfd.readouterr().err.split() == ["waiting"]


def test_what_it_started_ends_with_it() -> None:
    if os.name == "nt":
        pytest.skip("how to look for a process differs")
    Path("starts.py").write_text(
        "import subprocess, sys, torch\n"
        "code = 'import time; time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "model = torch.nn.Identity()\n"
    )
    described("starts.py:model")
    pid = int(Path("pid").read_text())
    for _ in range(100):  # whoever inherits an orphan looks after it in a moment
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        time.sleep(0.1)
    pytest.fail("it still runs")
