"""NASNet-A against keras.applications, and across sizes.

Counts cannot see a wrong edge: the wirings of the Large and the Mobile network have equally many
parameters. So every network here gets random weights and batch-norm statistics, and its logits are
compared with those of the reference that has the same.
"""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.backends.python.execute import execute
from archc.live.numeric import Array, deviation, random_batch, random_weights
from archc.weights import importing
from archc.weights.rules import find

from . import reference_models as references
from .shipped import LARGEST, marks

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
LIBRARY = "blocks/nasnet.yaml"
TOLERANCE = 1e-4
NOTICEABLE = 1e-3
"""What a mistake comes to at the least, ten times what is tolerated."""


def reference(name: str, size: tuple[int, int]) -> Any:
    return getattr(keras.applications, name)(
        input_shape=(*size, 3), weights=None, classifier_activation=None
    )


def settled(model: Any, net: Net, source: str, batch: Array) -> dict[str, Array]:
    """Gives the reference random weights, and statistics near those of `batch`; what it then has.

    With any statistics at all, signals would die on their way through so many layers.
    """
    weights, rules = random_weights(net.network), find(source)
    importing.references(net, rules).fill(
        model,
        {
            name: tensor.slot.store(weights[tensor.path], tensor.shape)
            for name, tensor in importing.names(net, rules).items()
        },
    )
    references.settle_keras(model, batch, np.random.default_rng(0))
    return references.imported(net, source, model)


def keras_logits(model: Any, batch: Array) -> Array:
    """What the model gives as a graph: called eagerly, Keras keeps every tensor until the end."""
    return model.predict_on_batch(batch.transpose(0, 2, 3, 1))


def torch_model(net: Net, weights: dict[str, Array]) -> Any:
    model = net.build("torch")
    net.live("torch").load(model, weights)
    return model


def torch_logits(model: Any, batch: Array) -> Array:
    with torch.inference_mode():
        return model(torch.from_numpy(batch)).numpy()


@lru_cache(maxsize=1)  # those of the Large network take gigabytes
def case(spec: str, name: str, size: tuple[int, int]) -> tuple[dict[str, Array], Array, Array]:
    """Weights, a batch, and the reference's logits for it."""
    net = archc.load(SPECS / f"{spec}.yaml")
    batch = random_batch(net.network, *size)
    model = reference(name, size)
    weights = settled(model, net, f"keras.applications.{name}", batch)
    return weights, batch, keras_logits(model, batch)


CASES = [
    ("nasnet_a_mobile", "NASNetMobile", (224, 224)),
    ("nasnet_a_mobile", "NASNetMobile", (97, 132)),
    pytest.param(LARGEST, "NASNetLarge", (331, 331), marks=marks(LARGEST)),
    pytest.param(LARGEST, "NASNetLarge", (96, 131), marks=marks(LARGEST)),
]


@pytest.mark.parametrize(("spec", "name", "size"), CASES)
def test_both_backends_give_the_logits_of_keras_applications(spec, name, size):
    net = archc.load(SPECS / f"{spec}.yaml")
    weights, batch, logits = case(spec, name, size)
    assert np.abs(logits[0] - logits[1]).max() > 1e-2 * np.abs(logits).max()
    assert deviation(torch_logits(torch_model(net, weights), batch), logits) < TOLERANCE
    model = net.build("keras", *size)
    net.live("keras").load(model, weights)
    assert deviation(keras_logits(model, batch), logits) < TOLERANCE


LARGE = f"{LARGEST}.yaml"
MISTAKES = {
    "the Large network's wiring": (
        "nasnet_a_mobile.yaml",
        "skip_reduction: false",
        "skip_reduction: true",
    ),
    "a maximum that no zero wins": (
        LARGE,
        "pool_zeros: {type: bool, default: true",
        "pool_zeros: {type: bool, default: false",
    ),
    "a mean of real cells only": (LIBRARY, ", padding=zeros)", ")"),
    "a shift the wrong way": (LIBRARY, "padding=[0, 1, 0, 1]", "padding=[1, 0, 1, 0]"),
    "no shift": (LIBRARY, "cropping=[1, 0, 1, 0]", "cropping=[0, 1, 0, 1]"),
    "a sum of the wrong value": (
        LIBRARY,
        "y3: avg_pool2d(h, kernel=3) + p",
        "y3: avg_pool2d(p, kernel=3) + h",
    ),
    "the other order of the sums": (LIBRARY, "concat(p, y1, y2,", "concat(p, y2, y1,"),
    "a missing activation": (LIBRARY, "separable_conv2d(act_1,", "separable_conv2d(x,"),
    "max for mean": (LIBRARY, "y3: avg_pool2d(h,", "y3: max_pool2d(h,"),
    "an identity that is pooled": (
        LIBRARY,
        "y5: separable(h, filters, kernel=3, act=act) + h",
        "y5: separable(h, filters, kernel=3, act=act) + avg_pool2d(h, kernel=3)",
    ),
    "a stem padded as same": (
        LARGE,
        "padding: valid if stem_reductions else same",
        "padding: same",
    ),
    "another epsilon": (
        LARGE,
        "epsilon: {type: float, default: 1e-3",
        "epsilon: {type: float, default: 0.1",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen_in_the_numbers(mistake, tmp_path):
    shutil.copytree(SPECS, tmp_path / "specs")
    name, right, wrong = MISTAKES[mistake]
    path = tmp_path / "specs" / name
    text = path.read_text()
    assert right in text
    text = text.replace(right, wrong)
    if mistake == "a missing activation":
        text = text.replace("      - act_1: activation(x, act)\n", "")
    path.write_text(text)
    size = (97, 132)
    net = archc.load(tmp_path / "specs" / "nasnet_a_mobile.yaml")
    weights, batch, logits = case("nasnet_a_mobile", "NASNetMobile", size)
    found = deviation(torch_logits(torch_model(net, weights), batch), logits)
    print(f"{mistake}: {found:.1e}")
    assert found > NOTICEABLE


SIZES = [(32, 32), (33, 33), (47, 64), (97, 97), (128, 95), (331, 331)]


@pytest.mark.parametrize("spec", ["nasnet_a_mobile", "nasnet_a_cifar"])
def test_a_keras_model_of_unknown_size_is_the_same_network(spec):
    net = archc.load(SPECS / f"{spec}.yaml")
    weights = random_weights(net.network)
    module = execute(net.source_file("keras"))
    anysize = getattr(module, net.name)(input_shape=(None, None, 3))
    net.live("keras").load(anysize, weights)
    reviewed = torch_model(net, weights)
    assert anysize.count_params() == net.params.total
    for size in SIZES:
        batch = random_batch(net.network, *size)
        assert deviation(torch_logits(reviewed, batch), keras_logits(anysize, batch)) < 1e-5, size
    height, width = 47, 64
    fixed = net.build("keras", height, width)
    assert [layer.name for layer in fixed.layers] == [layer.name for layer in anysize.layers]
    assert fixed.count_params() == net.params.total
    net.live("keras").load(fixed, weights)
    batch = random_batch(net.network, height, width)
    assert deviation(keras_logits(fixed, batch), keras_logits(anysize, batch)) < 1e-6
