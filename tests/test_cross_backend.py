"""The backends' live models agree with the IR and with each other, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import archc
from archc import Params, backends
from archc.numeric import (
    check_outputs,
    check_shapes,
    check_weights,
    deviation,
    random_batch,
    random_weights,
    sizes,
)

pytest.importorskip("keras")
pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
MOBILENETS = ("mobilenet_v1", "mnv3_large", "mnv3_small")
SETTINGS: list[dict[str, Any]] = [
    {"alpha": 0.75},
    {"padding": "symmetric"},
    {"classes": 10, "dropout": 0.5, "preprocess": True},
]
CASES = [
    *((path.stem, {}) for path in sorted(SPECS.glob("*.yaml"))),
    *((spec, settings) for spec in MOBILENETS for settings in SETTINGS),
]
SLOW = ("nasnet_a_large", "nasnet_a_7_1920", "nasnet_a_cifar")
TOLERANCE = 1e-5
"""As a share of the largest value of each layer."""


def framework_counts(backend: str, model: Any) -> Params:
    """What the framework itself says of a model."""
    if backend == "keras":
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        return Params(trainable, model.count_params())
    trainable = sum(parameter.numel() for parameter in model.parameters())
    averages = sum(buffer.numel() for buffer in model.buffers() if buffer.ndim)
    return Params(trainable, trainable + averages)


def cases() -> Iterator[Any]:
    """Each network at its declared size, and at an odd one where it takes other sizes."""
    for spec, settings in CASES:
        name = "-".join([spec, *(f"{key}={value}" for key, value in settings.items())])
        marks = [pytest.mark.slow] * (spec in SLOW)
        for size in sizes(archc.load(SPECS / f"{spec}.yaml", **settings).network):
            label = f"{name}-{size[0]}x{size[1]}"
            yield pytest.param(spec, settings, size, marks=marks, id=label)


@pytest.mark.parametrize(("spec", "settings", "size"), cases())
def test_models_agree(spec: str, settings: dict[str, Any], size: tuple[int, int]) -> None:
    net = archc.load(SPECS / f"{spec}.yaml", **settings)
    weights = random_weights(net.network)
    batch = random_batch(net.network, *size)
    outputs = {}
    for backend in backends.names():
        model = net.build(backend, *size)
        assert not [*check_weights(net, backend, model)]
        assert framework_counts(backend, model) == net.params
        net.live(backend).load(model, weights)
        outputs[backend] = net.live(backend).outputs(model, batch)
        if size == sizes(net.network)[0]:
            assert not [*check_shapes(net, backend, outputs[backend])]
    assert not [*check_outputs(net.network, outputs["torch"], outputs["keras"], TOLERANCE)]
    print(deviation(outputs["torch"][""], outputs["keras"][""]))


def test_counts(expectation: Any) -> None:
    """The expectations' counts are what each framework says of its model."""
    net = archc.load(expectation.spec, **expectation.settings)
    for backend in backends.names():
        counts = framework_counts(backend, net.build(backend))
        assert counts == (expectation.trainable, expectation.total)
