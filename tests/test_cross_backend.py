"""The backends' live models agree with the IR and with its interpreter, layer by layer."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import archc
from archc import Params, backends
from archc.live.check import compare

from .shipped import LARGEST, marks

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
    *((path.stem, {}) for path in sorted(SPECS.glob("*.yaml")) if path.stem != LARGEST),
    *((spec, settings) for spec in MOBILENETS for settings in SETTINGS),
]


def framework_counts(backend: str, model: Any) -> Params:
    """What the framework itself says of a model."""
    if backend == "keras":
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        return Params(trainable, model.count_params())
    trainable = sum(parameter.numel() for parameter in model.parameters())
    averages = sum(buffer.numel() for buffer in model.buffers() if buffer.ndim)
    return Params(trainable, trainable + averages)


def cases() -> Iterator[Any]:
    for spec, settings in CASES:
        name = "-".join([spec, *(f"{key}={value}" for key, value in settings.items())])
        yield pytest.param(spec, settings, marks=marks(spec), id=name)


@pytest.mark.parametrize(("spec", "settings"), list(cases()))
def test_models_agree(spec: str, settings: dict[str, Any]) -> None:
    """At the declared size and, where the network takes others, at an odd one."""
    report = compare(archc.load(SPECS / f"{spec}.yaml", **settings), backends.names(), True)
    print(*report.lines(), sep="\n")
    assert not report.differences
    assert report.agreements.keys() == {*backends.names()}
    assert len(report.sizes) == 2 or (spec == "lenet_cifar" and report.skipped)


@pytest.mark.parametrize(
    "named",
    [pytest.param(each, marks=marks(LARGEST)) for each in (("keras",), ("onnx", "torch"))],
    ids="-".join,
)
def test_the_largest_agrees(named: tuple[str, ...]) -> None:
    """In processes of their own, as TensorFlow keeps the gigabytes that its layers' values took."""
    command = [sys.executable, "-m", "archc", "check", "--numeric"]
    asked = [word for backend in named for word in ("--backend", backend)]
    done = subprocess.run(
        [*command, *asked, str(SPECS / f"{LARGEST}.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for backend in named:
        line = rf"{backend}: 1,\d+ layers at 331x331 and \d+x\d+, at most"
        assert re.search(line, done.stdout)


def test_counts(expectation: Any) -> None:
    """The expectations' counts are what each framework says of its model."""
    net = archc.load(expectation.spec, **expectation.settings)
    for backend in backends.sources():
        counts = framework_counts(backend, net.build(backend))
        assert counts == (expectation.trainable, expectation.total)
