"""Numbers drawn at random, and how far two sets of them are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archc.compiler.ir import analysis
from archc.compiler.ir.network import Block, Body, Call, Network, Weight
from archc.live import interpreter
from archc.live.interpreter import Array as Array

Arrays = Mapping[str, Array]

TOLERANCE = 3e-5
"""Largest difference from the ops' definitions, as a share of the largest absolute value: what
float32 and TensorFlow's exponentials leave of them, 2e-5 at most."""

SMALLEST = float(np.finfo(np.float32).tiny) / TOLERANCE
"""Scales below this count as this one: float32 takes smaller numbers for zero."""


Batch = Array | Mapping[str, Array]
"""What a model is given: an array, or one for each of several inputs by name."""


def random_batch(
    network: Network,
    height: int | None = None,
    width: int | None = None,
    count: int = 2,
    seed: int = 1,
) -> Array:
    """A batch of standard normal float32 inputs: (count, channels, height, width), of the declared
    size if no other is given; of the first input, where there are several."""
    size = network.input
    shape = (count, size.channels, height or size.height or 1, width or size.width or 1)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_inputs(network: Network, count: int = 2, seed: int = 1) -> Batch:
    """What `network` is given at its declared size, standard normal float32: what `random_batch`
    gives, or that and what its other inputs are given, by name."""
    if len(network.inputs) == 1:
        return random_batch(network, count=count, seed=seed)
    random = np.random.default_rng(seed)
    shapes = {name: (count, *own.tensor.shape) for name, own in network.inputs.items()}
    return {k: random.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


def random_weights(network: Network, seed: int = 0) -> dict[str, Array]:
    """Random float32 arrays for every weight, running averages included, by canonical name.

    Kernels and batch norms keep the scale of what passes through them: were it to grow, rounding
    errors would drown what a comparison looks for.
    """
    random = np.random.default_rng(seed)
    return {name: _random(weight, random) for name, _, weight in analysis.weights(network)}


_AROUND_ONE = {"scale": (0.7, 1.2), "learned": (0.7, 1.2), "variance": (0.5, 1.5)}
"""Bounds of what multiplies or divides each channel, or may do so, by role."""


def _random(weight: Weight, random: np.random.Generator) -> Array:
    if weight.role in _AROUND_ONE:
        low, high = _AROUND_ONE[weight.role]
        values = random.uniform(low, high, weight.shape)
    else:
        scale = (weight.size // weight.shape[0]) ** -0.5 if "kernel" in weight.role else 0.1
        values = random.normal(0.0, scale, weight.shape)
    return values.astype(np.float32)


def settled_weights(network: Network, batch: Batch, seed: int = 0) -> dict[str, Array]:
    """Random weights with running averages near those of `batch`, for networks of any depth.

    With any averages at all, signals would die or blow up on their way through many layers. These
    let them reach the limits of relu6 and hard_swish, and make them positive on the whole: else
    every layer would multiply the rounding errors.
    """
    weights, random = random_weights(network, seed), np.random.default_rng(seed)

    def settle(body: Body, path: str, inputs: Sequence[Array]) -> None:
        if any(weight.name == "running_var" for weight in body.cost.weights):
            mean, variance = interpreter.statistics(inputs[0]).values()
            spread = np.sqrt(variance) / random.uniform(0.6, 1.8, variance.shape)
            shift = spread * random.normal(0.5, 0.5, mean.shape)
            weights[f"{path}.running_mean"] = (mean - shift).astype(np.float32)
            weights[f"{path}.running_var"] = (spread**2).astype(np.float32)

    interpreter.run(network, weights, batch, before=settle)
    return weights


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two outputs are apart. Absolute values; `scale` is the largest one."""

    max: float
    mean: float
    scale: float

    @property
    def relative(self) -> float:
        """The largest one as a share of the scale; infinite where there is no number."""
        return self._share(self.max)

    @property
    def relative_mean(self) -> float:
        """The mean as a share of the scale; infinite where there is no number."""
        return self._share(self.mean)

    def _share(self, far: float) -> float:
        share = far / max(self.scale or 1.0, SMALLEST)
        return share if share == share else float("inf")


def difference(ours: Array, theirs: Array) -> Difference:
    """Between arrays of as many numbers, on the scale of `theirs`. Others differ infinitely."""
    scale = float(np.abs(theirs).max())
    if ours.size != theirs.size:
        return Difference(float("inf"), float("inf"), scale)
    with np.errstate(invalid="ignore"):  # infinity from infinity
        apart = np.abs(ours.reshape(theirs.shape).astype(np.float64) - theirs)
    return Difference(float(apart.max()), float(apart.mean()), scale)


def deviation(left: Array, right: Array) -> float:
    """Largest difference as a share of the largest absolute value of `right`.

    Infinite where shapes differ, or where either side has what is no number.
    """
    return difference(left, right).relative if left.shape == right.shape else float("inf")


def carried(network: Network, weights: Arrays, batch: Batch) -> dict[str, float]:
    """How far each value moves, as a share of its scale, where every op is off by a little.

    A difference of two nearly equal values moves by many times what they do: there rounding
    decides, and no comparison tells right from wrong.
    """
    random, taken = np.random.default_rng(0), list[Array]()

    def before(body: Body, path: str, inputs: Sequence[Array]) -> None:
        taken[:] = inputs

    def disturb(body: Body, value: Array) -> Array:
        given = max((float(np.abs(x).max()) for x in taken if x.size), default=0.0)
        size = max(float(np.abs(value).max()) * _rounded(body), given * _summed(body))
        sizes = np.maximum(size, _centred(body, taken[0], value))
        off = sizes * random.uniform(-1.0, 1.0, value.shape)
        return np.asarray(value + off + _drifted(taken[0], value))

    exact = interpreter.outputs(network, weights, batch)
    moved: dict[str, float] = {}

    def look(path: str, value: Array) -> None:
        moved[path] = deviation(value, exact[path])

    look("", interpreter.run(network, weights, batch, look, disturb=disturb, before=before))
    return moved


def _rounded(body: Body) -> float:
    """How far an op may be off in float32, as a share of its scale.

    TensorFlow's softmax of one channel is 1 - 1.5e-5, and PyTorch adds up its powers one after
    another, which costs up to 6e-8 for each channel.
    """
    if body.arguments.get("act") == "softmax":
        return 2e-5 + 6e-8 * body.output.channels
    return 1e-6


def _summed(body: Body) -> float:
    """How far a sum of many numbers, each of which is rounded, may be off in float32: as a share of
    their scale, however small the sum is. TensorFlow adds them up one after another."""
    numbers = max(x.size for x in body.inputs) / body.output.size
    return 1.2e-7 * numbers**0.5 if numbers > 1 else 0.0


def _centred(body: Body, x: Array, value: Array) -> Array | float:
    """How far each number may be off of what an op normalises by its own mean. The mean is rounded
    as what it is of, and where that is nearly equal, little is left to divide by."""
    if body.target.name not in ("layer_norm", "group_norm"):
        return 0.0
    groups, epsilon = body.arguments.get("groups"), body.arguments["epsilon"]
    assert isinstance(epsilon, int | float)
    if isinstance(groups, int):
        cells = x.reshape(len(x), groups, -1)
    else:  # the channels of each position
        cells = np.moveaxis(x.reshape(*x.shape[:2], -1), 1, 2)
    spread = np.sqrt(cells.var(2, keepdims=True) + epsilon)
    normal = float(np.abs((cells - cells.mean(2, keepdims=True)) / spread).max()) or 1.0
    gain = float(np.abs(value).max()) / normal  # of the scale that follows
    off = np.abs(cells).max(2, keepdims=True) / spread * np.full_like(cells, 1.2e-7 * gain)
    return np.asarray((off if isinstance(groups, int) else np.moveaxis(off, 2, 1)).reshape(x.shape))


def _drifted(x: Array, value: Array) -> Array | float:
    """By how much `value` is off, where it is the mean over all cells of `x`, if float32 adds up
    one cell after another, as TensorFlow does.

    Cells that are nearly equal are all rounded in one direction, over long stretches of the sum. So
    errors add up too, and not as those of chance do: to 7e-4 of 131,072 cells.
    """
    cells = x.reshape(*x.shape[:2], -1)
    mean = cells.mean(2)
    if cells.shape[2] == 1 or value.size != mean.size or not np.allclose(value.ravel(), mean.flat):
        return 0.0
    sums = np.cumsum(cells, axis=2, dtype=np.float32)[..., -1]
    return np.asarray((sums / cells.shape[2] - mean).reshape(value.shape))


def results(network: Network) -> dict[str, str]:
    """By the path of every call, the path of the op that gives its value; "" where a block passes
    an input on."""
    found: dict[str, str] = {}

    def visit(call: Call, path: str) -> str:
        inner = [visit(c, f"{path}.{c.name}") for c in call.body.calls]
        if isinstance(call.body.target, Block):
            found[path] = inner[call.body.result] if call.body.result >= 0 else ""
        else:
            found[path] = path
        return found[path]

    for row in network.rows:
        visit(row.call, row.call.name)
    return found


def with_blocks(network: Network, outputs: Arrays) -> dict[str, Array]:
    """`outputs` with a block's output also under the path of the op that computes it.

    A sum at the end of a block is no module of its own in PyTorch, but its value is the block's.
    """
    ops = results(network)
    return {**{ops[path]: value for path, value in outputs.items() if path in ops}, **outputs}
