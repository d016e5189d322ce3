"""The shipped networks start as the published ones do: weight by weight, drawn and compared.

How each model is started so stands in docs/networks.md. Both the published model's fresh weights
and archc's are samples of what the spec says, or this fails: in mean and deviation, up to the
bounds, and all that start alike together, as small ones say little by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

from archc.api import Net, load
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Weight
from archc.weights import importing, rules

from .conftest import ROOT, SPECS
from .drawn import Array, check, fresh, moments
from .reference_models import import_torchvision
from .shipped import marks

pytest.importorskip("keras")
pytest.importorskip("torch")

PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- fresh -->")[2].partition("<!-- end -->")[0]
LINES = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| `")]
APART = ("timm:nasnetalarge", "timm:resnetv2_50", "timm:resnetv2_101")
"""Sources whose start their specs have no parameters for: PyTorch's defaults, and a last kernel of
each block of zeros."""
SOURCES = [name for name in rules.every() if name not in APART]
ALONE = {
    "keras.applications.EfficientNetB0": "efficientnet_b0",
    "keras.applications.EfficientNetV2S": "efficientnet_v2_s",
}
"""Sources whose weights are not imported, and so have no rules; and their specs."""


def spec(source: str) -> str:
    return ALONE.get(source) or rules.find(source).source.spec


def lines(source: str) -> list[list[str]]:
    """The lines of the table that speak of a source."""
    names = ((re.findall(r"`([^`]+)`", line[0]), line) for line in LINES)
    return [line for every, line in names if any(fnmatchcase(source, name) for name in every)]


def settings(source: str) -> dict[str, str]:
    ((_, said),) = lines(source)
    return dict(text.split("=", 1) for text in re.findall(r"`([^`]+)`", said))


def cases(sources: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=marks(spec(name)), id=name) for name in sources]


@pytest.fixture(autouse=True)
def seeded() -> None:
    import keras
    import torch

    keras.utils.set_random_seed(0)
    torch.manual_seed(0)


def published(source: str, net: Net) -> dict[str, Array]:
    """Fresh weights of a published model, by archc's names of them."""
    import_torchvision()
    model = rules.find(source)
    references = importing.references(net, model)
    maker = references.makers[source.replace(":", ".").partition(".")[0]]
    options = model.options(net.network.settings)
    options = {name: options[name] for name in options if name != "init_weights"}
    options |= {"init_weights": True} if "googlenet" in source else {}
    size = net.network.input.height or 1, net.network.input.width or 1
    stored = references.stored(maker(source, options, size, False))
    return {
        tensor.path: tensor.slot.restore(np.asarray(stored[name].read()).reshape(tensor.shape))
        for name, tensor in importing.names(net, model).items()
    }


def hold(net: Net, arrays: Mapping[str, Array]) -> None:
    """Asserts that arrays are what the network says of them."""
    alike: dict[tuple[str, str], list[tuple[Weight, Array]]] = {}
    for name, _, weight in analysis.weights(net.network):
        assert arrays[name].shape == weight.shape, name
        check(arrays[name], moments(weight.initializer, *weight.fans), name)
        key = weight.role, str(weight.initializer)
        alike.setdefault(key, []).append((weight, arrays[name]))
    for key, every in alike.items():
        together(key, every)


def together(what: object, every: Iterable[tuple[Weight, Array]]) -> None:
    """The same of several arrays, each as a share of its deviation."""
    shares, bounds = [], set()
    for weight, array in every:
        mean, std, low, high = moments(weight.initializer, *weight.fans)
        if std > 0:
            shares.append((array.astype(np.float64).ravel() - mean) / std)
            bounds.add((round((low - mean) / std, 6), round((high - mean) / std, 6)))
    if shares:
        ((low, high),) = bounds
        check(np.concatenate(shares), (0.0, 1.0, low - 1e-6, high + 1e-6), str(what))


def test_the_table_speaks_of_each_source_once() -> None:
    assert [name for name in [*SOURCES, *ALONE] if len(lines(name)) != 1] == []


@pytest.mark.parametrize("source", cases(SOURCES))
def test_a_published_model_starts_as_its_spec_says(source: str) -> None:
    rule = rules.find(source)
    net = importing.network(str(SPECS / f"{rule.source.spec}.yaml"), rule, settings(source))
    hold(net, published(source, net))
    hold(net, {name: array for name, _, array in fresh(net, "torch")})


@pytest.mark.parametrize("name", cases({rules.find(s).source.spec: s for s in SOURCES}.values()))
def test_models_of_keras_start_so(name: str) -> None:
    """One of each spec's; layers are drawn one by one, so that a small input will do."""
    rule = rules.find(name)
    net = importing.network(str(SPECS / f"{rule.source.spec}.yaml"), rule, settings(name))
    hold(net, {path: array for path, _, array in fresh(net, "keras")})


@pytest.mark.parametrize("source", cases(ALONE))
def test_a_model_without_rules_starts_so(source: str) -> None:
    """Its weights are in the order of the spec's."""
    import keras

    net = load(SPECS / f"{ALONE[source]}.yaml", **settings(source))
    model = getattr(keras.applications, source.rpartition(".")[2])(weights=None)
    theirs = [np.asarray(weight) for weight in model.trainable_weights]
    ours = [found for found in fresh(net, "keras") if found[1].trainable]
    assert len(ours) == len(theirs)
    for (name, weight, _), array in zip(ours, theirs, strict=True):
        assert weight.size == array.size, name
        check(array, moments(weight.initializer, *weight.fans), name)
    hold(net, {name: array for name, _, array in fresh(net, "keras")})
