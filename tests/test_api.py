"""The Python interface."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import archc

SPECS = Path(__file__).parent.parent / "specs"


def test_load_counts_and_writes():
    net = archc.load(SPECS / "mnv3_large.yaml", alpha=0.75)
    assert net.params == archc.Params(trainable=3_993_528, total=4_012_616)
    assert net.macs == 154_560_624
    assert (net.input_shape, net.output_shape) == ((3, 224, 224), (1000,))
    assert "class MobileNetV3Large(nn.Module):" in net.source("torch")
    assert "def MobileNetV3Large(" in net.source("keras")
    assert (
        repr(net) == "<archc.Net MobileNetV3Large, input 3x224x224, 3,993,528 trainable parameters>"
    )


def test_layers_and_blocks_add_up():
    net = archc.load(str(SPECS / "mobilenet_v1.yaml"))
    for entries in (net.layers, net.blocks):
        assert sum(entry.params.total for entry in entries) == net.params.total
        assert sum(entry.macs for entry in entries) == net.macs
    first = net.blocks[1]
    assert first == archc.Layer(
        path="blocks.0",
        op="depthwise_separable",
        output_shape=(64, 112, 112),
        params=archc.Params(2528, 2720),
        macs=29_302_784,
        input_shapes=((32, 112, 112),),
        receptive_field=(7, 7),
    )


def test_settings_are_values_or_their_text():
    spec = SPECS / "mnv3_small.yaml"
    assert archc.load(spec, alpha=0.75).params == archc.load(spec, alpha="0.75").params
    padded = archc.load(spec, padding="symmetric")
    assert padded.network.settings["padding"] == "symmetric"


def test_problems_carry_their_place():
    with pytest.raises(archc.SpecError) as caught:
        archc.load(SPECS / "mnv3_large.yaml", alpha=-1)
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.line, problem.severity) == ("E035", 1, "error")
    assert "`alpha` is -1; it must be above 0" in str(caught.value)


def test_an_unknown_backend():
    net = archc.load(SPECS / "mnv3_small.yaml")
    with pytest.raises(archc.BackendError, match="no backend is called `jax`"):
        net.source("jax")


def test_a_live_model_is_the_source_executed():
    torch = pytest.importorskip("torch")
    net = archc.load(SPECS / "mobilenet_v1.yaml", alpha=0.25)
    model = net.build("torch")
    assert inspect.getsource(type(model)) in net.source("torch")
    assert type(model) is type(net.build("torch"))
    assert not model.training
    assert model(torch.zeros(1, 3, 33, 47)).shape == (1, 1000)
    assert sum(p.numel() for p in model.parameters()) == net.params.trainable


def test_a_keras_model_takes_the_size_it_is_built_for():
    pytest.importorskip("keras")
    net = archc.load(SPECS / "mobilenet_v1.yaml", alpha=0.25)
    model = net.build("keras", height=64, width=96)
    assert model.input_shape == (None, 64, 96, 3)
    assert model.count_params() == net.params.total


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    net = archc.load(SPECS / "mnv3_small.yaml", classes=np.int64(10), alpha=np.float32(0.75))
    assert net.network.settings["classes"] == 10
    assert net.source("torch") == archc.load(net.spec, classes=10, alpha=0.75).source("torch")


class Hostile:
    """An object that answers every question with an exception."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __len__ = __bool__ = __float__ = __int__ = __iter__ = __hash__ = __str__

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    def __getattr__(self, name):
        raise RuntimeError("no attributes")


class Large(int):
    """A number with a text of its own."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __format__ = __str__


def circle():
    items = []
    items.append(items)
    return items


HOSTILE = {
    "digits": lambda: 10**5000,
    "negative digits": lambda: -(10**5000),
    "text of digits": lambda: "9" * 10_000,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "array": lambda: pytest.importorskip("numpy").zeros((3, 3)),
    "array of text": lambda: pytest.importorskip("numpy").array(["x"]),
    "bytes": lambda: b"\xff\x00",
    "function": lambda: lambda: 1,
    "type": lambda: int,
    "object": Hostile,
    "hostile number": lambda: Large(-3),
    "complex": lambda: 1j,
    "mapping": lambda: {"a": 1},
    "set": lambda: {1},
    "long list": lambda: list(range(100_000)),
    "list in a list": lambda: [[1, 2], 3],
    "circle": circle,
    "list of objects": lambda: [Hostile(), Hostile()],
    "controls": lambda: "\x1b[2J\nforged.yaml:1:1: E001",
    "surrogate": lambda: "\udcff",
    "nothing": lambda: "",
}


@pytest.mark.parametrize("parameter", ["alpha", "classes", "padding", "preprocess", "act", "nope"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_settings_are_problems(kind, parameter):
    with pytest.raises(archc.SpecError) as caught:
        archc.load(SPECS / "mobilenet_v1.yaml", **{parameter: HOSTILE[kind]()})
    codes = {problem.code for problem in caught.value.problems}
    assert codes <= {"E031", "E034", "E035", "E050", "E051"}
    said = str(caught.value)
    assert len(said) < 2000
    assert all(c.isprintable() for c in said.replace("\n", ""))


def test_what_a_hostile_setting_is():
    with pytest.raises(archc.SpecError) as caught:
        archc.load(SPECS / "mobilenet_v1.yaml", alpha=Hostile())
    assert str(caught.value) == (
        "--set:1:1: E034 `alpha` is a `Hostile`, which is no value of a parameter\n"
        "    1 | alpha=... (Hostile)\n"
        "      | ^^^^^^^^^^^^^^^^^^^"
    )


def test_numbers_of_numpy_and_of_subclasses_are_numbers():
    numpy = pytest.importorskip("numpy")
    spec = SPECS / "mobilenet_v1.yaml"
    wanted = archc.load(spec, alpha=0.5, classes=7, include_top=True).params
    for number in (numpy.float64(0.5), numpy.float32(0.5), numpy.array(0.5), numpy.array([0.5])):
        given = {"classes": numpy.int64(7), "include_top": numpy.bool_(True)}
        assert archc.load(spec, alpha=number, **given).params == wanted
    assert archc.load(spec, alpha=0.5, classes=Large(7)).params == wanted
    assert archc.load(spec, padding=[1, 1, 1, 1]).network.settings["padding"] == (1, 1, 1, 1)
