"""One training step of every published model and of archc's, from the same weights: the same
gradients and running averages, to the last bit or float64's rounding, as docs/networks.md says."""

from __future__ import annotations

from typing import Any

import pytest

from archc.weights import importing, rules

from . import stepped
from .reference_models import import_torchvision
from .shipped import SPECS, marks
from .test_fidelity_table import COMMAND

COUNTS, SAID = COMMAND.steps_said(COMMAND.PAGE.read_text(encoding="utf-8"))


def cases() -> list[Any]:
    """All sources; under `--full` alone NASNet Large, which takes half a minute and more, and what
    has the same spec and framework as another."""
    found, known = [], {("nasnet_a_large", "keras"), ("nasnet_a_large", "torch")}
    for name in COMMAND.sources():
        rule = rules.find(name)
        which = rule.source.spec, rule.rules.framework
        mark = [pytest.mark.full] if which in known else marks(which[0])
        known.add(which)
        found.append(pytest.param(name, marks=mark, id=name))
    return found


@pytest.mark.parametrize("source", cases())
def test_a_step_is_the_references(source: str) -> None:
    import_torchvision()
    found = stepped.step(source)
    print(found)
    assert found.still == []
    row = COMMAND.Stepped(source, found.count, found.worst)
    assert COMMAND.strange(row, SAID) is None


def test_the_page_counts_all_of_them() -> None:
    models, arrays, equal = COUNTS
    sources = COMMAND.sources()
    assert (models, equal) == (len(sources), len(sources) - len(SAID))
    assert arrays == sum(map(compared, sources))


def compared(source: str) -> int:
    rule = rules.find(source)
    net = importing.network(str(SPECS / f"{rule.source.spec}.yaml"), rule, {})
    return len(importing.names(net, rule))


@pytest.mark.parametrize(
    "mistake", [{"epsilon": 2e-5}, {"decay": 0.91}, {"padding": "same"}], ids=str
)
def test_a_mistake_is_seen(mistake: dict[str, Any]) -> None:
    """Another constant, and padding that gives the same shapes, change what a step does."""
    import_torchvision()
    assert stepped.step("timm:mobilenetv1_100", mistake).worst > 1e-6


def test_what_the_check_says_of_a_step() -> None:
    said = {"timm:x": (3, 2e-15)}
    step = COMMAND.Stepped
    assert COMMAND.strange(step("timm:x", 3, 5e-15), said) is None
    assert COMMAND.strange(step("timm:y", 9, 0.0), said) is None
    for wrong in (step("timm:x", 3, 0.0), step("timm:x", 4, 2e-15), step("timm:y", 9, 1e-15)):
        assert "out of date" in COMMAND.strange(wrong, said)
    assert "is the most" in COMMAND.strange(step("timm:x", 3, 1e-9), said)
