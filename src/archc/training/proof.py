"""Trains a network in each backend by the scripts that are written for it, and holds each step
against the definitions, and the backends against each other.

All see the same batches, in float64 and with nothing dropped: there equal formulas agree to 1e-9,
and wrong ones part by 1e-4 or more. Each step starts from the weights that the first backend has
then, and from the optimizer's own memory: at a large learning rate, runs that are left to
themselves part by ten times more at each step, whatever they compute. What is compared are losses,
weights, means of weights and running averages, but for running variances: PyTorch's is the unbiased
one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from archc.api import Net
from archc.backends import BackendError, Live, Name, Trained
from archc.backends.python.execute import execute
from archc.backends.storage import Array
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import Invalid
from archc.compiler.recipe.fit import Training
from archc.compiler.recipe.recipe import Mixup, Recipe, longest_steps
from archc.live.numeric import settled_weights
from archc.training.definitions import Average, Update, learning_rate
from archc.training.script import script

TOLERANCE = 1e-7
"""Largest difference, as a share of the scale of a weight, a mean or the loss."""
STEPS, BATCH = 10, 16
MOST_RATES = 5000
"""So many steps have their learning rates compared, from the first on."""
SIZE = 64
"""Pixels of the side of the images, where the network takes that and is declared for more."""
Say = Callable[[str], None]


@dataclass
class Proof:
    """What was compared, and the first place where each pair parts."""

    steps: int = 0
    rates: int = 0
    """Steps whose learning rates were compared."""
    differences: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    """The largest difference of each pair that agrees, as a share of the scale."""

    def lines(self) -> Iterator[str]:
        if not self.differences:
            yield f"learning rates: those of the definitions in {self.rates:,} steps"
        for pair, far in self.worst.items():
            yield f"{pair}: {self.steps} steps, at most {far:.0e} of scale"


def prove(
    net: Net, training: Training, names: Sequence[Name], say: Say = lambda text: None
) -> Proof:
    """Where training by the scripts of the backends called `names` parts from the definitions, and
    from each other."""
    network = _small(net.network)
    batches = [*_batches(network, training)]
    weights = settled_weights(network, np.concatenate([x for x, _ in batches]).astype(np.float32))
    proof, runs = Proof(len(batches)), dict[Name, list[Trained]]()
    starts: list[Mapping[str, Array]] = [weights]
    for name in names:
        say(f"{len(batches)} steps in {name}")
        with _made(net, network, training, name) as made:
            _compare_rates(proof, name, training.recipe, _rates(training.recipe, made))
            runs[name] = [*_run(net.live(name), training.recipe, made, starts, batches)]
        if len(starts) == 1:
            starts += [seen.weights for seen in runs[name]]
        pair = f"{name} and the definitions"
        _compare(proof, pair, runs[name], [*_defined(training, starts, runs[name])])
    for first, other in pairwise(names):
        _compare(proof, f"{first} and {other}", runs[first], runs[other])
    return proof


def _small(network: Network) -> Network:
    """The network at a small size, where it takes one."""
    sides = (network.input.height or 1, network.input.width or 1)
    if max(sides) <= SIZE:
        return network
    try:
        return at_size(network, *(min(side, SIZE) for side in sides))
    except Invalid:
        return network


def _batches(network: Network, training: Training) -> Iterator[tuple[Array, Array]]:
    """Standard normal images, and labels: integers, or shares where images are mixed."""
    random = np.random.default_rng(0)
    classes = network.output.channels
    for _ in range(STEPS):
        images = random.standard_normal((BATCH, *network.input.shape))
        labels: Array = random.integers(0, classes, BATCH)
        if any(isinstance(each, Mixup) for each in training.recipe.augment):
            share, other = random.uniform(), random.permutation(BATCH)
            shares = np.eye(classes)[labels]
            labels = share * shares + (1 - share) * shares[other]
        yield images, labels


def _per_epoch(recipe: Recipe) -> int:
    """Steps of an epoch, so few that ten steps are several, and enough for what lasts for steps."""
    return max(3, longest_steps(recipe.schedule) // recipe.epochs + 1)


Made: TypeAlias = tuple[Any, ModuleType, Any]
"""What trains models of a backend, the script, and a model."""


def _rates(recipe: Recipe, made: Made) -> list[float]:
    """The learning rates that the script of a backend takes, one a step."""
    trains, script, model = made
    steps = min(recipe.epochs * _per_epoch(recipe), MOST_RATES)
    return [*trains.rates(script, model, _per_epoch(recipe), steps)]


def _compare_rates(proof: Proof, name: Name, recipe: Recipe, rates: Sequence[float]) -> None:
    """Takes note of the first step whose rate is not the recipe's."""
    per_epoch = _per_epoch(recipe)
    proof.rates = len(rates)
    for step, rate in enumerate(rates):
        right = learning_rate(recipe.schedule, recipe.epochs, step, per_epoch)
        if not abs(rate - right) <= TOLERANCE * recipe.schedule.rate:
            at = f"step {step + 1} of {recipe.epochs * per_epoch:,}"
            said = f"the learning rate of {name} is {rate:.6g} at {at}; the recipe's is {right:.6g}"
            proof.differences.append(said)
            return


def _run(
    live: Live,
    recipe: Recipe,
    made: Made,
    starts: Sequence[Mapping[str, Array]],
    batches: Sequence[tuple[Array, Array]],
) -> Iterator[Trained]:
    """The steps of one backend, from the weights that each starts with, where these are given."""
    trains, script, model = made
    live.load(model, _arrays(starts[0]))

    def before(step: int) -> None:
        if 0 < step < len(starts):
            live.load(model, _arrays(starts[step]))

    yield from trains.train(script, model, batches, _per_epoch(recipe), before)


@contextmanager
def _made(net: Net, network: Network, training: Training, name: Name) -> Iterator[Made]:
    """The same, with a fresh model in float64."""
    live = net.live(name)
    if live.trains is None:
        raise BackendError(f"the backend `{name}` trains no models")
    trains, (generated, module) = live.trains(), modules(net, training, name)
    constructor = partial(getattr(generated, net.emitted(name).model), **training.values)
    with trains.double():
        height, width = network.input.height or 1, network.input.width or 1
        yield trains, module, live.build(constructor, network, height, width)


def _arrays(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Without counters of steps."""
    return {k: array for k, array in weights.items() if not k.endswith("num_batches_tracked")}


def modules(net: Net, training: Training, name: Name) -> tuple[ModuleType, ModuleType]:
    """The generated network and the script that trains it, imported."""
    source = net.source_file(name)
    generated = execute(source)
    with _imported(source.name.removesuffix(".py"), generated):
        return generated, execute(script(net, training, name, net.stem))


@contextmanager
def _imported(name: str, module: ModuleType) -> Iterator[None]:
    """Meanwhile `name` is an import of the module."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before


def _defined(
    training: Training, starts: Sequence[Mapping[str, Array]], run: Sequence[Trained]
) -> Iterator[Trained]:
    """The steps as the definitions have them, from the gradients of a run. What no formula of a
    recipe gives (losses, running averages) is the run's own."""
    recipe = training.recipe
    decayed = {name for name, layer, w in training.trained() if training.decays(layer, w)}
    update, average = Update(recipe, decayed), Average(recipe.ema, starts[0])
    per_epoch = _per_epoch(recipe)
    for step, (start, seen) in enumerate(zip(starts, run, strict=False)):
        rate = learning_rate(recipe.schedule, recipe.epochs, step, per_epoch)
        now = {name: np.asarray(array, np.float64) for name, array in start.items()}
        now = {**seen.weights, **_only(now, training), **update(now, seen.gradients, rate)}
        yield Trained(seen.loss, seen.gradients, now, average.after(now))


def _only(now: Mapping[str, Any], training: Training) -> dict[str, Any]:
    """What the definitions know: all but running averages of layers that are trained."""
    averages = ("running_mean", "running_var", "num_batches_tracked")
    return {
        name: array
        for name, array in now.items()
        if not name.endswith(averages) or training.frozen(name.rpartition(".")[0])
    }


def _compare(proof: Proof, pair: str, ours: Sequence[Trained], theirs: Sequence[Trained]) -> None:
    """Takes note of where two runs part first, or of how far they are apart."""
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        for what, far in _apart(a, b):
            if not far <= TOLERANCE:
                said = f"{pair} part at step {step}, in {what}: by {far:.0e} of its scale"
                proof.differences.append(said + _diverging(ours[:step]))
                return
            worst = max(worst, far)
    proof.worst[pair] = worst


def _diverging(run: Sequence[Trained]) -> str:
    """What to say of a run whose loss has grown a lot."""
    first, last = run[0].loss, run[-1].loss
    if last <= 5 * first:
        return ""
    return f"; the loss has grown from {first:.3g} to {last:.3g}, and what is rounded grows with it"


def _apart(a: Trained, b: Trained) -> Iterator[tuple[str, float]]:
    """How far two steps are apart in each of their numbers, as a share of its scale."""
    yield "the loss", _far(np.asarray(a.loss), np.asarray(b.loss))
    if a.gradients.keys() != b.gradients.keys():
        names = sorted(a.gradients.keys() ^ b.gradients.keys())
        yield f"what is trained: {names[0]}", float("inf")
        return
    for name, array in b.weights.items():
        if not name.endswith(_UNCOMPARED) and name in a.weights:
            yield name, _far(a.weights[name], array)
    if a.average is not None and b.average is not None:
        for name, array in b.average.items():
            if not name.endswith(_UNCOMPARED) and name in a.average:
                yield f"the average of {name}", _far(a.average[name], array)


_UNCOMPARED = ("running_var", "num_batches_tracked")


def _far(a: Array, b: Array) -> float:
    scale = float(np.abs(b).max()) or 1.0
    return float(np.abs(a - b).max()) / scale
