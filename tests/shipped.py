"""The shipped specs as cases of tests; the larger ones of a family only under `--full`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

SPECS = Path(__file__).parents[1] / "specs"
LARGER = frozenset(
    """
    convnext_base convnext_small efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5
    efficientnet_b6 efficientnet_b7 mobilenet_v4_large regnet_y_8gf resnet34 resnet101 resnet101_v2
    resnet152 resnet152_v2
    """.split()  # noqa: SIM905
)
"""What has the very blocks of another spec, more or wider ones."""
LARGEST = "nasnet_a_large"
SLOW = frozenset([LARGEST, "nasnet_a_7_1920", "nasnet_a_cifar"])


def marks(spec: str) -> list[pytest.MarkDecorator]:
    """How the tests of one spec are marked."""
    found = [pytest.mark.full] * (spec in LARGER) + [pytest.mark.slow] * (spec in SLOW)
    return found + [pytest.mark.large] * (spec == LARGEST)


def cases(specs: Iterable[str] | None = None) -> list[Any]:
    """The specs by name, or all of them."""
    every = sorted(path.stem for path in SPECS.glob("*.yaml")) if specs is None else specs
    return [pytest.param(name, marks=marks(name), id=name) for name in every]
