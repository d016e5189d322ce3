"""Holds live models against the IR, and their numbers against other numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archc.api import Net
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Block, Call, Network, Weight

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]

TOLERANCE = 3e-5
"""Largest difference from the ops' definitions, as a share of the largest absolute value: what
float32 and TensorFlow's exponentials leave of them, 2e-5 at most."""

SMALLEST = float(np.finfo(np.float32).tiny) / TOLERANCE
"""Scales below this count as this one: float32 takes smaller numbers for zero."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which two sides disagree."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the output'}: {self.message}"


def random_weights(network: Network, seed: int = 0) -> dict[str, Array]:
    """Random float32 arrays for every weight, running averages included, by canonical name.

    Kernels and batch norms keep the scale of what passes through them: were it to grow, rounding
    errors would drown what a comparison looks for.
    """
    random = np.random.default_rng(seed)
    return {name: _random(weight, random) for name, _, weight in analysis.weights(network)}


def _random(weight: Weight, random: np.random.Generator) -> Array:
    if weight.initializer == "ones":
        low, high = (0.5, 1.5) if weight.name == "running_var" else (0.7, 1.2)
        values = random.uniform(low, high, weight.shape)
    elif weight.fans[0]:
        fan = weight.size // weight.shape[0]
        values = random.normal(0.0, fan**-0.5, weight.shape)
    else:
        values = random.normal(0.0, 0.1, weight.shape)
    return values.astype(np.float32)


def random_batch(network: Network, height: int, width: int, count: int = 2, seed: int = 1) -> Array:
    """A batch of standard normal float32 inputs: (count, channels, height, width)."""
    shape = (count, network.input.channels, height, width)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_weights(net: Net, backend: str, model: Any) -> Iterator[Difference]:
    """Where the model's arrays differ by name or shape from what the IR says, layer by layer."""
    expected = {name: weight.shape for name, _, weight in analysis.weights(net.network)}
    found = {name: array.shape for name, array in net.live(backend).arrays(model).items()}
    for name in [*expected, *(name for name in found if name not in expected)]:
        said, real = expected.get(name), found.get(name)
        if said != real:
            yield Difference(name, f"archc says {_shape(said)}, {backend} has {_shape(real)}")


def _shape(shape: Sequence[int] | None) -> str:
    return "nothing" if shape is None else "x".join(map(str, shape))


def check_shapes(network: Network, backend: str, outputs: Arrays) -> Iterator[Difference]:
    """Where a layer's output has another shape than the IR says."""
    for layer in analysis.layers(network):
        found = outputs.get(layer.path)
        if found is not None and found.shape[1:] != layer.output.shape:
            message = f"archc says {layer.output}, {backend} gives {_shape(found.shape[1:])}"
            yield Difference(layer.path, message)


def with_blocks(network: Network, outputs: Arrays) -> dict[str, Array]:
    """`outputs` with a block's output also under the path of the op that computes it.

    A sum at the end of a block is no module of its own in PyTorch, but its value is the block's.
    """
    found = dict(outputs)
    for row in network.rows:
        for path, last in _results(row.call, row.call.name):
            if path in outputs:
                found.setdefault(last, outputs[path])
    return found


def _results(call: Call, path: str) -> Iterator[tuple[str, str]]:
    """Each block below `call` with the path of the call that gives its output."""
    if not isinstance(call.body.target, Block):
        return
    for inner in call.body.calls:
        yield from _results(inner, f"{path}.{inner.name}")
    if call.body.result >= 0:
        yield path, f"{path}.{call.body.calls[call.body.result].name}"


def deviation(left: Array, right: Array) -> float:
    """Largest difference as a share of the largest absolute value of `right`.

    Infinite where shapes differ, or where either side has what is no number.
    """
    if left.shape != right.shape:
        return float("inf")
    scale = max(float(np.abs(right).max()) or 1.0, SMALLEST)
    found = float(np.abs(left.astype(np.float64) - right).max()) / scale
    return found if found == found else float("inf")


def check_outputs(
    network: Network, left: Arrays, right: Arrays, tolerance: float = TOLERANCE
) -> Iterator[Difference]:
    """Layers whose outputs differ by more than `tolerance`, in order; the model's own last."""
    left, right = with_blocks(network, left), with_blocks(network, right)
    paths = [layer.path for layer in analysis.layers(network)]
    for path in [*(p for p in paths if p in left and p in right), ""]:
        found = deviation(left[path], right[path])
        if not found <= tolerance:
            yield Difference(path, f"differs by {found:.1e} of its scale")
