"""Models without their head, with another one, and what they give on the way: taps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net, backends, cli
from archc.backends.python.execute import execute
from archc.compiler.language.names import taken_by_any
from archc.live.check import compare
from archc.live.numeric import Array, deviation, random_batch, random_weights

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
TAPPED = ("mobilenet_v1", "mnv3_large", "mnv3_small")
EVERY = sorted(path.stem for path in SPECS.glob("*.yaml") if "lraspp" not in path.stem)
"""The classifiers."""
SMALL = ("lenet_cifar", "hswish_cifar", "mobilenet_v1", "mnv3_small")


def sized(spec: str, folder: Path, height: int, width: int, more: str = "") -> Net:
    """The network of a spec with another input."""
    path = folder / "sized.yaml"
    base = (SPECS / f"{spec}.yaml").resolve()
    size = f"{{channels: 3, height: {height}, width: {width}}}"
    path.write_text(f"archc: 1\nextends: {base}\ninput: {size}\n{more}")
    return archc.load(path)


def constructor(net: Net, backend: str) -> Any:
    return getattr(execute(net.source_file(backend)), net.emitted(backend).model)


def run(net: Net, backend: str, batch: Array, **arguments: Any) -> Any:
    """What a model made with some arguments gives, with the weights of the whole network."""
    weights = random_weights(net.network)
    if backend == "torch":
        features = arguments.pop("features_only", False)
        model = constructor(net, backend)(**arguments).eval()
        state = {k: torch.from_numpy(v) for k, v in weights.items()}
        model.load_state_dict(state, strict=False)
        with torch.inference_mode():
            found = (model.forward_features if features else model)(torch.from_numpy(batch))
        return {k: v.numpy() for k, v in found.items()} if features else found.numpy()
    shape = (*batch.shape[2:], batch.shape[1])
    model = constructor(net, backend)(input_shape=shape, **arguments)
    known = net.live(backend).arrays(model)
    net.live(backend).load(model, {name: weights[name] for name in known})
    found = model(batch.transpose(0, 2, 3, 1), training=False)
    if isinstance(found, dict):
        return {name: np.moveaxis(np.array(value), -1, 1) for name, value in found.items()}
    return np.moveaxis(np.array(found), -1, 1)


# -------------------------------------------------------------------------------- arguments

NAMED = """\
archc: 1
name: Net
use: [blocks/mobilenet.yaml]
params:
  {width}: {{type: int, default: 4, keep: true}}
  {top}: {{type: bool, default: true, keep: true}}
input: {{channels: 3, height: 4, width: 4}}
network:
  - {{block: conv_bn, out: 3, kernel: 1, act: softmax, tap: t}}
  - {{block: global_avg_pool2d, when: {top}}}
  - {{block: dense, units: {width}, when: {top}}}
"""
NAMES = sorted(
    {
        *(name for name in dir(keras.Model) if not name.startswith("_")),
        *taken_by_any().attributes,
        *("compile_", "columns", "print"),
        *("conv_bn", "ConvBn", "Net", "dense", "t"),
    }
    - taken_by_any().code
)


@pytest.mark.parametrize(("some", "others"), [(NAMES[::2], NAMES[1::2]), (NAMES[1::2], NAMES[::2])])
def test_arguments_have_the_names_that_the_spec_gives_them(
    some: list[str], others: list[str], tmp_path: Path
) -> None:
    """Those of methods, layers and blocks too, in both frameworks; they hide nothing."""
    for width, top in zip(some, others, strict=False):
        path = tmp_path / "net.yaml"
        path.write_text(NAMED.format(width=width, top=top))
        net = archc.load(path)
        assert constructor(net, "keras")(**{width: 7, top: True}).output_shape == (None, 7)
        model = constructor(net, "torch")(**{width: 7, top: True}).float().train().eval()
        images = torch.zeros(2, 3, 4, 4)
        assert model(images).shape == (2, 7), (width, top)
        assert model.forward_features(images)["t"].shape == (2, 3, 4, 4)
        assert constructor(net, "torch")(**{top: False})(images).shape == (2, 3, 4, 4)
        assert {*dict(model.named_parameters())} <= {*model.state_dict()}


# ------------------------------------------------------------------------------------ heads


@pytest.mark.parametrize("backend", backends.sources())
@pytest.mark.parametrize("spec", SMALL)
def test_without_the_top_a_model_gives_its_last_feature_map(spec: str, backend: str) -> None:
    net = archc.load(SPECS / f"{spec}.yaml")
    last = [block for block in net.blocks if len(block.output_shape) == 3][-1]
    height, width = net.input_shape[1:]
    batch = random_batch(net.network, height, width)
    weights = random_weights(net.network)
    model = net.build(backend)
    net.live(backend).load(model, weights)
    expected = net.live(backend).outputs(model, batch)
    if backend == "keras":  # a block's output is that of the last layer in it
        inside = [layer.path for layer in net.layers if layer.path.startswith(last.path)]
        expected[last.path] = expected[inside[-1]]
    found = run(net, backend, batch, include_top=False)
    assert deviation(found, expected[last.path]) < 1e-6
    assert found.shape[1:] == last.output_shape


@pytest.mark.parametrize("backend", backends.sources())
@pytest.mark.parametrize("spec", SMALL)
def test_the_classifier_s_activation_is_an_argument(spec: str, backend: str) -> None:
    net = archc.load(SPECS / f"{spec}.yaml")
    batch = random_batch(net.network, *net.input_shape[1:])
    sigmoid = torch.nn.Sigmoid if backend == "torch" else "sigmoid"
    logits = run(net, backend, batch, classifier_activation=None)
    scores = run(net, backend, batch, classifier_activation=sigmoid)
    assert np.abs(scores - 1 / (1 + np.exp(-logits.astype(np.float64)))).max() < 1e-6


ACTIVATIONS = {
    "torch: a class": ("torch", torch.nn.Softmax),
    "torch: a module": ("torch", torch.nn.Softmax(1)),
    "torch: a function that makes one": ("torch", lambda: torch.nn.Softmax(dim=1)),
    "keras: a name": ("keras", "softmax"),
    "keras: a layer": ("keras", keras.layers.Softmax(name="scores")),
    "keras: a function of tensors": ("keras", keras.activations.softmax),
}


@pytest.mark.parametrize("given", ACTIVATIONS)
@pytest.mark.parametrize("spec", ["mnv3_small", "hswish_cifar"])  # in a block, and a row of its own
def test_the_classifier_s_activation_is_what_people_have(spec: str, given: str) -> None:
    backend, act = ACTIVATIONS[given]
    net = archc.load(SPECS / f"{spec}.yaml")
    batch = random_batch(net.network, *net.input_shape[1:])
    logits = run(net, backend, batch, classifier_activation=None).astype(np.float64)
    scores = run(net, backend, batch, classifier_activation=act)
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    assert np.abs(scores - exponents / exponents.sum(1, keepdims=True)).max() < 1e-6


def test_a_layer_is_named_after_the_function_that_it_applies() -> None:
    net = archc.load(SPECS / "mnv3_small.yaml")
    model = constructor(net, "keras")(classifier_activation=keras.activations.softmax)
    assert model.layers[-1].name == "classifier-scores--softmax"


def test_keras_has_to_have_channels_last() -> None:
    net = archc.load(SPECS / "mnv3_small.yaml")
    make = constructor(net, "keras")
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match='needs the image_data_format "channels_last"'):
            make()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_feature_maps_alone_come_without_a_classifier() -> None:
    net = archc.load(SPECS / "mnv3_small.yaml")
    names = [layer.name for layer in constructor(net, "keras")(features_only=True).layers]
    assert names[-1] == "head-act--hard_swish"
    counted = net.source("keras").split("if features_only:")
    assert "hidden_classifier(" in counted[1]  # it is made after the return, if at all


@pytest.mark.parametrize("backend", backends.sources())
@pytest.mark.parametrize("spec", EVERY)
def test_every_network_takes_the_arguments_of_its_head(spec: str, backend: str) -> None:
    net = archc.load(SPECS / f"{spec}.yaml")
    source = net.source(backend)
    last = source[source.rindex("class " if backend == "torch" else "def ") :]
    for argument in ("classes: int = ", "include_top: bool = True", "classifier_activation: "):
        assert argument in last


@pytest.mark.parametrize("backend", backends.sources())
def test_a_number_of_classes_is_an_argument(backend: str) -> None:
    net = archc.load(SPECS / "mnv3_small.yaml")
    other = archc.load(net.spec, classes=7)
    model = constructor(net, backend)(classes=7)
    shapes = {name: array.shape for name, array in net.live(backend).arrays(model).items()}
    assert shapes == {name: array.shape for name, array in random_weights(other.network).items()}


def test_a_spec_may_leave_the_head_out_for_good() -> None:
    net = archc.load(SPECS / "mnv3_small.yaml", include_top=False)
    assert net.output_shape == (576, 7, 7)
    for backend in backends.sources():
        assert "classes" not in net.source(backend)
        assert "hidden_classifier" not in net.source(backend)
        assert not compare(net, [backend], True, print).differences


# ------------------------------------------------------------------------------------- taps


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (65, 64)])
@pytest.mark.parametrize("spec", TAPPED)
def test_taps_are_right_at_any_size(spec: str, size: tuple[int, int], tmp_path: Path) -> None:
    net, here = archc.load(SPECS / f"{spec}.yaml"), sized(spec, tmp_path, *size)
    batch = random_batch(net.network, *size)
    found = {b: run(net, b, batch, features_only=True) for b in backends.sources()}
    shapes = {tap.name: tap.shape for tap in here.taps}
    assert [tap.stride for tap in here.taps] == [2, 4, 8, 16, 32][-len(shapes) :]
    model = net.build("torch")
    net.live("torch").load(model, random_weights(net.network))
    outputs = net.live("torch").outputs(model, batch)
    for features in found.values():
        assert {name: array.shape[1:] for name, array in features.items()} == shapes
    for tap in net.taps:
        assert deviation(found["torch"][tap.name], outputs[tap.path]) < 1e-6
        assert deviation(found["torch"][tap.name], found["keras"][tap.name]) < 1e-5


def test_what_is_said_of_taps() -> None:
    net = archc.load(SPECS / "mnv3_large.yaml")
    assert net.taps[1] == ("c2", "blocks.2", 24, 4, (24, 56, 56))
    assert "c2: 24x56x56 at stride 4" in net.source("torch")
    assert "c2: 56x56x24 at stride 4" in net.source("keras")


NASNET = """
change:
  - {at: cells_1, set: {tap: first}}
  - {at: reduction_1, set: {tap: second}}
  - {at: cells_3, set: {tap: last}}
"""


def test_taps_of_cells_and_repeats(tmp_path: Path) -> None:
    net = sized("nasnet_a_mobile", tmp_path, 65, 96, NASNET)
    assert [(t.name, t.path) for t in net.taps] == [
        ("first", "cells_1.3"),
        ("second", "reduction_1"),
        ("last", "cells_3.3"),
    ]
    batch = random_batch(net.network, 65, 96)
    model = net.build("torch")
    net.live("torch").load(model, random_weights(net.network))
    outputs = net.live("torch").outputs(model, batch)
    for backend in backends.sources():
        found = run(net, backend, batch, features_only=True)
        for tap in net.taps:
            assert found[tap.name].shape[1:] == tap.shape
            assert deviation(found[tap.name], outputs[tap.path]) < 1e-5


def test_a_model_of_taps_saves_and_loads(tmp_path: Path) -> None:
    net = archc.load(SPECS / "mnv3_small.yaml")
    model = constructor(net, "keras")(features_only=True)
    model.save(tmp_path / "features.keras")
    loaded = keras.models.load_model(tmp_path / "features.keras")
    batch = random_batch(net.network, 224, 224).transpose(0, 2, 3, 1)
    expected, found = model(batch), loaded(batch)
    assert list(found) == [tap.name for tap in net.taps] == list(expected)
    for name in found:
        np.testing.assert_array_equal(np.array(found[name]), np.array(expected[name]))


# ----------------------------------------------------------------------------------- transfer


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """256 handwritten digits as (count, 3, 32, 32) in [-1, 1], and their classes."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    images = np.kron(data.images[:256], np.ones((4, 4))).astype(np.float32) / 8 - 1
    return np.repeat(images[:, None], 3, axis=1), data.target[:256]


NET = "mobilenet_v1_cifar"


def pretrained(net: Net, batch: Array) -> dict[str, Array]:
    """Weights to start from, with the running averages of the batch: as if trained before."""
    model = net.build("torch")
    net.live("torch").load(model, random_weights(net.network))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(batch))
    return {name: array.copy() for name, array in net.live("torch").arrays(model).items()}


def transferred(target: Path, batch: Array) -> Net:
    """The network with ten classes, and its weights in `target`: those of one with a hundred, as
    the docs say."""
    spec = str(SPECS / f"{NET}.yaml")
    hundred = archc.load(spec, classes=100)
    state = {k: torch.from_numpy(v) for k, v in pretrained(hundred, batch).items()}
    source = target.with_name("mine.pt")
    torch.save(state, source)
    command = ["weights", "convert", str(source), str(target), "--spec", spec]
    with pytest.raises(SystemExit):
        cli.main([*command, "--set", "classes=10"])
    cli.main([*command, "--set", "classes=10", "--partial"])
    return archc.load(spec, classes=10)


def test_a_head_is_trained_in_pytorch(digits: tuple[Array, Array], tmp_path: Path) -> None:
    net = transferred(tmp_path / "ten.pt", digits[0])
    batch, classes = (torch.from_numpy(array) for array in digits)
    # As the docs say.
    model = constructor(archc.load(net.spec), "torch")(classes=10)
    model.load_state_dict(torch.load(tmp_path / "ten.pt"))
    before = {name: array.copy() for name, array in net.live("torch").arrays(model).items()}
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)
    model.eval()
    model.classifier.train()
    optimizer = torch.optim.Adam(model.classifier.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(batch), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] / 2
    check_frozen(before, net.live("torch").arrays(model))


def test_a_head_is_trained_in_keras(digits: tuple[Array, Array], tmp_path: Path) -> None:
    batch, classes = digits
    net = transferred(tmp_path / "ten.weights.h5", batch)
    # As the docs say.
    model = constructor(archc.load(net.spec), "keras")(classes=10)
    model.load_weights(tmp_path / "ten.weights.h5")
    before = {name: array.copy() for name, array in net.live("keras").arrays(model).items()}
    for layer in model.layers:
        layer.trainable = layer.name.startswith("classifier-")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    history = model.fit(batch.transpose(0, 2, 3, 1), classes, 256, epochs=12, verbose=0)

    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    check_frozen(before, net.live("keras").arrays(model))


def check_frozen(before: dict[str, Array], after: dict[str, Array]) -> None:
    """Only the head has changed, and all else to the bit is as it was."""
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"classifier.logits.weight", "classifier.logits.bias"}
