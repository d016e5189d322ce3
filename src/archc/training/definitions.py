"""What a recipe means: formulas of learning rates, updates and means of weights, in NumPy and
float64, that no backend shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from archc.backends.storage import Array
from archc.compiler.recipe.recipe import (
    Adam,
    Clip,
    Constant,
    Cosine,
    Duration,
    Ema,
    Exponential,
    MultiStep,
    OneCycle,
    Optimizer,
    Polynomial,
    Recipe,
    RmsProp,
    Schedule,
    Sgd,
)

Arrays = Mapping[str, Array]


def learning_rate(schedule: Schedule, epochs: int, step: int, per_epoch: int) -> float:
    """The rate of a step, counted from 0, in a training of `epochs` with `per_epoch` steps each."""
    if schedule.per == "epoch":
        return _rate(schedule, step // per_epoch, epochs, lambda each: each.epochs(per_epoch))
    return _rate(schedule, step, epochs * per_epoch, lambda each: each.steps(per_epoch))


def _rate(schedule: Schedule, time: int, total: int, length: Callable[[Duration], float]) -> float:
    """The rate at a time of so much in `total`; length(duration) is how much of it that is."""
    if (warm := schedule.warm_up) is not None:
        over = length(warm.over)
        if time < over:
            return warm.start + (schedule.rate - warm.start) * time / over
        if warm.shifts:
            return _shaped(schedule, time - over, total - over, length)
    return _shaped(schedule, time, total, length)


def _shaped(
    schedule: Schedule, time: float, total: float, length: Callable[[Duration], float]
) -> float:
    rate, done = schedule.rate, min(time / max(total, 1), 1.0)
    match schedule.shape:
        case Constant():
            return rate
        case Exponential(factor, every, staircase):
            stairs = time // length(every) if staircase else time / length(every)
            return rate * math.pow(factor, stairs)
        case MultiStep(factor, at):
            return rate * factor ** sum(time >= length(each) for each in at)
        case Cosine(to):
            return to + (rate - to) * (1 + math.cos(math.pi * done)) / 2
        case Polynomial(to, power):
            return to + (rate - to) * math.pow(1 - done, power)
        case OneCycle() as cycle:
            return _one_cycle(cycle, rate, time, total)


def _one_cycle(cycle: OneCycle, rate: float, step: float, total: float) -> float:
    """Up to the last step of the share, then down to the last step of all."""
    top, last = cycle.share * total - 1, total - 1
    low, high, share = cycle.start, rate, step / top if top else 1.0
    if step > top:
        low, high, share = rate, cycle.to, (step - top) / (last - top)
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


def clipped(clip: Clip | None, gradients: Arrays) -> Arrays:
    """Gradients of a norm of `clip.norm` at most."""
    if clip is None:
        return gradients
    norms = {name: float(np.sqrt((g**2).sum())) for name, g in gradients.items()}
    whole = math.sqrt(sum(norm**2 for norm in norms.values()))
    of = {name: whole if clip.over == "all" else norm for name, norm in norms.items()}
    return {n: g * min(1.0, clip.norm / of[n]) if of[n] else g for n, g in gradients.items()}


class Update:
    """An optimizer with its memory: weights before a step, and gradients, to weights after it."""

    def __init__(self, recipe: Recipe, decayed: set[str]) -> None:
        self.recipe, self.decayed = recipe, decayed
        self.memory: dict[str, dict[str, Any]] = {}
        self.steps = 0

    def __call__(self, weights: Arrays, gradients: Arrays, rate: float) -> dict[str, Array]:
        """The weights after a step at a learning rate."""
        self.steps += 1
        gradients = clipped(self.recipe.clip, gradients)
        return {name: self.one(name, weights[name], gradients[name], rate) for name in gradients}

    def one(self, name: str, w: Array, g: Array, rate: float) -> Array:
        decay = self.recipe.weight_decay
        start = w
        if decay is not None and name in self.decayed:
            if decay.coupled:
                g = g + decay.rate * w
            else:
                start = w - rate * decay.rate * w
        memory = self.memory.setdefault(name, {})
        change: Array = _UPDATES[type(self.recipe.optimizer)](
            self.recipe.optimizer, memory, g, rate, self.steps
        )
        return np.asarray(start - change)


def _sgd(o: Sgd, memory: dict[str, Any], g: Array, rate: float, t: int) -> Array:
    if not o.momentum:
        return np.asarray(rate * g)
    inside = rate if o.learning_rate_in == "momentum" else 1.0
    outside = 1.0 if o.learning_rate_in == "momentum" else rate
    m = memory["m"] = o.momentum * memory.get("m", 0.0) + inside * g
    return np.asarray(outside * (inside * g + o.momentum * m if o.nesterov else m))


def _rmsprop(o: RmsProp, memory: dict[str, Any], g: Array, rate: float, t: int) -> Array:
    v = memory["v"] = o.decay * memory.get("v", o.start) + (1 - o.decay) * g**2
    if o.centered:
        mean = memory["mean"] = o.decay * memory.get("mean", 0.0) + (1 - o.decay) * g
        v = v - mean**2
    inside = o.epsilon_added == "inside_root"
    root = np.sqrt(v + o.epsilon) if inside else np.sqrt(v) + o.epsilon
    return _sgd(Sgd(o.momentum, False, o.learning_rate_in), memory, g / root, rate, t)


def _adam(o: Adam, memory: dict[str, Any], g: Array, rate: float, t: int) -> Array:
    m = memory["m"] = o.beta1 * memory.get("m", 0.0) + (1 - o.beta1) * g
    v = memory["v"] = o.beta2 * memory.get("v", 0.0) + (1 - o.beta2) * g**2
    corrected = np.sqrt(1 - o.beta2**t)
    if o.epsilon_added == "after_correction":
        root = np.sqrt(v) / corrected + o.epsilon
    else:
        root = (np.sqrt(v) + o.epsilon) / corrected
    return np.asarray(rate * m / (1 - o.beta1**t) / root)


_UPDATES: Mapping[type[Optimizer], Callable[..., Array]] = {
    Sgd: _sgd,
    RmsProp: _rmsprop,
    Adam: _adam,
}
"""update(optimizer, memory of the weight, gradient, learning rate, step from 1) -> what the weight
loses."""


class Average:
    """The running mean of weights, before the first step on."""

    def __init__(self, ema: Ema | None, weights: Arrays) -> None:
        self.ema = ema
        self.mean: dict[str, Array] | None = None
        if ema is not None and ema.begin == "initial":
            self.mean = {name: array.astype(np.float64) for name, array in weights.items()}

    def after(self, weights: Arrays) -> dict[str, Array] | None:
        """The mean after a step that left these weights."""
        if self.ema is None:
            return None
        before = weights if self.mean is None else self.mean
        known = {name: w for name, w in weights.items() if name in before}  # but for counters
        self.mean = {name: self.moved(name, before[name], w) for name, w in known.items()}
        return self.mean

    def moved(self, name: str, before: Array, weight: Array) -> Array:
        assert self.ema is not None
        statistic = name.endswith(("running_mean", "running_var"))
        if statistic and not self.ema.statistics:
            return weight
        return np.asarray(self.ema.decay * before + (1 - self.ema.decay) * weight)
