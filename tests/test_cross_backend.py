"""The backends' live models agree with the IR and with each other, layer by layer."""

from __future__ import annotations

import math
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
)

pytest.importorskip("keras")
pytest.importorskip("torch")

SPECS = sorted((Path(__file__).parents[1] / "specs").glob("*.yaml"))
SETTINGS: list[dict[str, Any]] = [
    {},
    {"alpha": 0.75},
    {"padding": "symmetric"},
    {"classes": 10, "dropout": 0.5, "preprocess": True},
]
SIZES = [(224, 224), (193, 161)]
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


def ids(value: Any) -> str | None:
    if isinstance(value, dict):
        return "-".join(f"{name}={setting}" for name, setting in value.items()) or "defaults"
    return value.stem if isinstance(value, Path) else None


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("settings", SETTINGS, ids=ids)
@pytest.mark.parametrize("spec", SPECS, ids=ids)
def test_models_agree(spec: Path, settings: dict[str, Any], size: tuple[int, int]) -> None:
    net = archc.load(spec, **settings)
    weights = random_weights(net.network)
    batch = random_batch(net.network, *size)
    outputs = {}
    for backend in backends.names():
        model = net.build(backend, *size)
        assert not [*check_weights(net, backend, model)]
        assert framework_counts(backend, model) == net.params
        net.live(backend).load(model, weights)
        outputs[backend] = net.live(backend).outputs(model, batch)
        if size == net.input_shape[1:]:
            assert not [*check_shapes(net, backend, outputs[backend])]
    assert not [*check_outputs(net.network, outputs["torch"], outputs["keras"], TOLERANCE)]
    print(deviation(outputs["torch"][""], outputs["keras"][""]))


def test_counts(expectation: Any) -> None:
    """The expectations' counts are what each framework says of its model."""
    net = archc.load(expectation.spec, **expectation.settings)
    for backend in backends.names():
        counts = framework_counts(backend, net.build(backend))
        assert counts == (expectation.trainable, expectation.total)
