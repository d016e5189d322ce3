"""What fresh weights are like: the definitions of initializers once more, and whether arrays are
samples of them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from archc.api import Net
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Weight
from archc.compiler.language.initializers import Initializer

Array = np.ndarray[Any, Any]

CUT = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut at two."""

Moments = tuple[float, float, float, float]
"""Mean, standard deviation, and the bounds between which all values lie."""


def moments(init: Initializer, fan_in: int, fan_out: int) -> Moments:
    """The definition, once more."""
    match init.function, init.arguments:
        case "constant", (float(value),):
            return value, 0.0, value, value
        case "normal", (float(std), float(mean)):
            return mean, std, -math.inf, math.inf
        case "truncated_normal", (float(std),):
            return 0.0, std * CUT, -2 * std, 2 * std
        case "uniform", (float(low), float(high)):
            return (low + high) / 2, (high - low) / math.sqrt(12), low, high
        case _, (float(scale), str(fan), str(shape), _):
            average = (fan_in + fan_out) / 2
            each = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": average}[fan]
            std = math.sqrt(scale / each)
            bound = {"normal": math.inf, "uniform": math.sqrt(3) * std}
            bound["truncated_normal"] = 2 * std / CUT
            return 0.0, std, -bound[shape], bound[shape]
    raise AssertionError(init)


def check(array: Array, expected: Moments, name: str) -> None:
    """Within five deviations of a sample; a normal one's variance deviates most. Many numbers come
    near the bounds."""
    mean, std, low, high = expected
    array = array.astype(np.float64)
    slack = 1e-6 * max(abs(mean), std) + 1e-12
    assert array.std() == pytest.approx(std, rel=2.5 * (2 / array.size) ** 0.5, abs=1e-9), name
    assert abs(array.mean() - mean) <= 5 * std / array.size**0.5 + slack, name
    assert low - slack <= array.min() <= array.max() <= high + slack, name
    if std > 0 and math.isfinite(high) and array.size > 10_000:
        assert array.max() > mean + 0.97 * (high - mean), name
    if std > 0 and math.isinf(high) and array.size > 1000:
        assert np.abs(array - mean).max() > 2.5 * std, name


def fresh(net: Net, backend: str) -> Iterator[tuple[str, Weight, Array]]:
    arrays = net.live(backend).arrays(net.build(backend))
    for name, _, weight in analysis.weights(net.network):
        yield name, weight, np.asarray(arrays[name])
