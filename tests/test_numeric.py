"""What `check --numeric` itself must not let pass, each in a model that is wrong in one way alone.

The models are stand-ins that answer with what the interpreter gives: no framework is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archc import Net, backends
from archc.api import load
from archc.backends import Live
from archc.live import interpreter
from archc.live.check import Report, compare
from archc.live.numeric import (
    TOLERANCE,
    Difference,
    carried,
    deviation,
    random_batch,
    random_weights,
)
from archc.live.verify import Verdict, divergences

SPEC = """\
archc: 1
name: Net
input: {channels: 2, height: 8, width: 6}
network:
  - {block: conv2d, name: stem, filters: 3, kernel: 3}
  - {block: batch_norm, name: norm}
  - {block: conv2d, name: last, filters: 2, kernel: 1}
"""
Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], Arrays]


def same(arrays: Arrays) -> Arrays:
    return arrays


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """The report on a stand-in whose arrays and outputs are changed, or those at one height."""

    def check(change: Change = same, arrays: Change = same, at: int | None = None) -> Report:
        path = tmp_path / "net.yaml"
        path.write_text(SPEC)
        net = load(path)

        def outputs(model: Arrays, batch: np.ndarray) -> Arrays:
            found = interpreter.outputs(net.network, model, batch)
            exact = {path: value.astype(np.float32) for path, value in found.items()}
            return change(exact) if at in (None, batch.shape[2]) else exact

        live = Live(dict, lambda _: arrays(random_weights(net.network)), dict.update, outputs)
        backend = dataclasses.replace(backends.get("torch"), live=lambda: live)
        monkeypatch.setattr(backends, "get", lambda name: backend)
        monkeypatch.setattr(Net, "build", lambda *_: {})
        return compare(net, ["torch"], numeric=True)

    return check


def changed(path: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda arrays: {**arrays, path: change(arrays[path])}


def with_a_hole(value: np.ndarray) -> np.ndarray:
    value = value.copy()
    value.flat[0] = np.nan
    return value


def test_what_is_right_is_fine(checked: Callable[..., Report]) -> None:
    report = checked()
    assert report.differences == []
    assert report.sizes == ["8x6", "7x5"]
    assert [*report.lines()] == [
        "torch: 4 layers at 8x6 and 7x5, at most "
        f"{report.agreements['torch'].worst:.0e} of scale from the ops' definitions"
        f" ({report.agreements['torch'].where})"
    ]


@pytest.mark.parametrize(
    "change",
    [
        with_a_hole,
        lambda value: np.full_like(value, np.inf),
        lambda value: value + 1e-4 * np.abs(value).max(),
        lambda value: value[:, :, :-1],
        lambda value: value.swapaxes(2, 3),
        np.zeros_like,
    ],
)
@pytest.mark.parametrize(("at", "size"), [(8, "8x6"), (7, "7x5")])
def test_the_first_layer_that_is_off_is_named_at_each_size(
    change: Any, at: int, size: str, checked: Callable[..., Report]
) -> None:
    found = checked(changed("norm", change), at=at).differences
    assert f"at {size}, torch leaves the definitions at norm, by " in found[-1]
    assert not any("stem" in said for said in found)


def test_arrays_that_are_missing_surplus_or_misshapen(checked: Callable[..., Report]) -> None:
    extra = checked(arrays=lambda arrays: {**arrays, "more.weight": np.zeros(3)})
    assert extra.differences == ["more.weight: archc says nothing, torch has 3"]
    lacking = checked(arrays=lambda arrays: {k: v for k, v in arrays.items() if k != "norm.bias"})
    assert lacking.differences == ["norm.bias: archc says 3, torch has nothing"]
    turned = checked(arrays=changed("last.weight", lambda value: value.swapaxes(0, 1)))
    assert turned.differences == ["last.weight: archc says 2x3x1x1, torch has 3x2x1x1"]


def test_no_number_is_near_what_is_no_number() -> None:
    hole = np.array([1.0, np.nan])
    for left, right in ((hole, np.ones(2)), (np.ones(2), hole), (hole, hole)):
        assert deviation(left, right) == float("inf")
    assert deviation(np.ones((1, 2)), np.ones((2, 1))) == float("inf")


def test_random_weights_tell_every_array_from_its_neutral_element(tmp_path: Path) -> None:
    """A scale of 1 or an average of 0 would hide what is left out."""
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    for name, array in random_weights(load(path).network).items():
        assert np.ptp(array) > 0.05, name
        assert np.abs(array).max() > 0.01, name
        assert not np.allclose(array, 1.0, atol=0.01), name


@pytest.mark.parametrize(("far", "told"), [(0.9e-4, False), (1.1e-4, True), (np.nan, True)])
def test_verify_allows_its_tolerance_and_no_more(far: float, told: bool) -> None:
    near, last = (Verdict(row, "", "", "") for row in ("near", "last"))
    near = dataclasses.replace(near, differences={"torch": Difference(1e-5, 0.0, 1.0)})
    last = dataclasses.replace(last, differences={"torch": Difference(4.0 * far, 0.0, 4.0)})
    said = divergences([near, last], 1e-4)
    assert [line.split(", by ")[0] for line in said] == ["torch diverges first at last"] * told


MEAN = """\
archc: 1
name: Net
input: {channels: 2, height: 256, width: 512}
network:
  - {block: rescale, name: alike, scale: 0.0001, offset: 0.3}
  - {block: OP, name: mean, keepdims: true}
"""


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [("global_avg_pool2d", 0.95, 1.05), ("global_max_pool2d", 0.0, 0.1)],
)
def test_a_mean_may_be_off_as_a_sum_in_float32_is(
    op: str, low: float, high: float, tmp_path: Path
) -> None:
    """And what is no mean may not."""
    path = tmp_path / "net.yaml"
    path.write_text(MEAN.replace("OP", op), encoding="utf-8")
    network = load(path).network
    batch = random_batch(network)
    values = interpreter.outputs(network, {}, batch)
    cells = values["alike"].astype(np.float32).reshape(2, 2, -1)
    one_after_another = np.add.accumulate(cells, axis=2)[..., -1] / cells.shape[2]
    far = deviation(one_after_another, values["alike"].mean((2, 3)))
    assert far > 10 * TOLERANCE
    assert low * far <= carried(network, {}, batch)["mean"] <= high * far


NORM = """\
archc: 1
name: Net
input: {channels: 4, height: 8, width: 8}
network:
  - {block: OP, name: norm, affine: false}
"""


@pytest.mark.parametrize("op", ["layer_norm", "group_norm, groups: 2"])
@pytest.mark.parametrize(("apart", "most"), [(1e-5, 1.0), (1.0, 1e-5)])
def test_a_norm_of_what_is_nearly_equal_may_be_off(
    op: str, apart: float, most: float, tmp_path: Path
) -> None:
    """By what a mean in float32 is off, which the little that is left is divided by."""
    path = tmp_path / "net.yaml"
    path.write_text(NORM.replace("OP", op), encoding="utf-8")
    network, noise = load(path).network, np.random.default_rng(1).normal(size=(2, 4, 8, 8))
    batch = (3 + apart * noise).astype(np.float32)
    right = interpreter.outputs(network, {}, batch)["norm"]
    groups = 2 if "group" in op else 1
    axes, epsilon = ((2, 3, 4), 1e-5) if "group" in op else ((2,), 1e-6)
    x = batch.reshape(2, groups, -1, 8, 8)
    left = x - x.mean(axes, keepdims=True)
    root = np.sqrt((left * left).mean(axes, keepdims=True) + np.float32(epsilon))
    far = deviation((left / root).reshape(right.shape), right)
    assert far <= 3 * carried(network, {}, batch)["norm"] <= most


def test_what_float32_takes_for_zero_is_no_difference() -> None:
    nothing = np.zeros(3, np.float32)
    assert deviation(nothing, np.full(3, 1e-60)) < TOLERANCE
    assert deviation(nothing, np.full(3, 1e-20)) == 1
