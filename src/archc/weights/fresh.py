"""Fresh weights as the spec says them, drawn without a framework."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Network, Weight
from archc.compiler.language.initializers import Initializer

if TYPE_CHECKING:
    from numpy.random import Generator

_TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal distribution that is cut at two deviations."""


def fresh(network: Network, seed: int = 0) -> dict[str, Any]:
    """Every weight by canonical name, running averages included.

    Each is drawn from a stream of its own, which its name and `seed` start: so a network keeps its
    weights where another row is changed.
    """
    return {path: drawn(path, weight, seed) for path, _, weight in weights(network)}


def drawn(path: str, weight: Weight, seed: int = 0) -> Any:
    """A float32 array for the weight of that name, in its canonical shape."""
    import numpy as np

    digest = hashlib.sha256(f"{seed} {path}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    values = _values(weight.initializer, weight, random)
    return np.asarray(values, np.float32).reshape(weight.shape)


def _values(init: Initializer, weight: Weight, random: Generator) -> Any:
    import numpy as np

    shape = weight.shape
    match init.function, init.arguments:
        case "constant", (value,):
            return np.full(shape, value)
        case "normal", (float(std), float(mean)):
            return random.normal(mean, std, shape)
        case "truncated_normal", (float(std),):
            return _truncated(std, shape, random)
        case "uniform", (float(low), float(high)):
            return random.uniform(low, high, shape)
        case _:
            return _scaled(init, weight, random)


def _scaled(init: Initializer, weight: Weight, random: Generator) -> Any:
    """Of the variance `scale / fan`, whatever the distribution."""
    fan_in, fan_out = weight.fans
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    std = (float(init["scale"]) / fan[str(init["fan"])]) ** 0.5
    match init["distribution"]:
        case "uniform":
            return random.uniform(-(3**0.5) * std, 3**0.5 * std, weight.shape)
        case "truncated_normal":
            return _truncated(std / _TRUNCATED, weight.shape, random)
        case _:
            return random.normal(0.0, std, weight.shape)


def _truncated(std: float, shape: tuple[int, ...], random: Generator) -> Any:
    """Normal, drawn again wherever it is beyond two deviations."""
    import numpy as np

    values = random.standard_normal(shape)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = random.standard_normal(int(beyond.sum()))
    return std * values
