"""The shipped networks against what is known of them: tests/expected says what, and from where."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from archc.compiler.ir import analysis
from archc.compiler.pipeline import compile_network

ROOT = Path(__file__).parents[1]


def test_counts(expectation: Any) -> None:
    totals = analysis.totals(compile_network(expectation.spec, expectation.settings))
    assert (totals.trainable, totals.total) == (expectation.trainable, expectation.total)
    if expectation.macs is not None:
        assert totals.macs == expectation.macs


def test_shapes(expectation: Any) -> None:
    network = compile_network(expectation.spec, expectation.settings)
    shapes = {row.call.name: row.call.body.output.shape for row in network.rows}
    assert network.output.shape == expectation.output
    assert {name: shapes[name] for name in expectation.rows} == expectation.rows


def test_the_totals_are_the_sums_over_the_layers(expectation: Any) -> None:
    network = compile_network(expectation.spec, expectation.settings)
    layers = analysis.layers(network)
    assert sum((layer.totals for layer in layers), analysis.Totals()) == analysis.totals(network)
    weights = [weight.size for _, _, weight in analysis.weights(network)]
    assert sum(weights) == expectation.total


@pytest.mark.parametrize(
    "spec", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_network_has_expectations_of_all_its_rows(spec: Path) -> None:
    cases = yaml.safe_load((ROOT / "tests" / "expected" / spec.name).read_text())["cases"]
    network = compile_network(spec)
    assert list(cases[0]["rows"]) == [row.call.name for row in network.rows]


def test_a_name_belongs_to_one_array() -> None:
    for spec in (ROOT / "specs").glob("*.yaml"):
        names = [name for name, _, _ in analysis.weights(compile_network(spec))]
        assert len(set(names)) == len(names)


def test_memory_of_mobilenet_v1() -> None:
    """By hand: 27 convolutions, batch norms and activations; then pooling, dropout and logits."""
    memory = analysis.memory(compile_network(ROOT / "specs" / "mobilenet_v1.yaml"))
    maps = [(32, 112)] * 2 + [(64, 112), (64, 56)] + [(128, 56)] * 3 + [(128, 28)]
    maps += [(256, 28)] * 3 + [(256, 14)] + [(512, 14)] * 11 + [(512, 7)] + [(1024, 7)] * 3
    assert len(maps) == 27
    assert memory.sum == 4 * (3 * sum(c * n * n for c, n in maps) + 1024 + 1024 + 1000)
    assert memory.peak == 4 * 2 * (64 * 112 * 112)  # an input and an output of the widest maps


def test_the_layers_of_the_hard_swish_network() -> None:
    network = compile_network(ROOT / "specs" / "hswish_cifar.yaml")
    counts = [layer.totals.total for layer in analysis.layers(network) if layer.weights]
    assert counts == [1792, 36928, 73856, 147584, 295168, 590080, 263168, 10250]
