"""Scripts that train with Keras: its own optimizers and schedules where they mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archc.backends.python.printing import listed
from archc.backends.python.training import (
    OPTIMIZERS,
    Script,
    Spelled,
    given,
    literal,
    printed,
    steps,
    wrapped,
)
from archc.compiler.recipe.recipe import (
    Adam,
    Cosine,
    CrossEntropy,
    Duration,
    Exponential,
    MultiStep,
    Polynomial,
    RmsProp,
    Schedule,
    Sgd,
)


def script(facts: Mapping[str, Any]) -> str:
    """The text of the script of a network and a recipe."""
    return printed(KerasScript(**facts))


_SAME: Spelled[bool] = {
    Sgd: lambda o: not o.momentum or o.learning_rate_in == "momentum",
    RmsProp: lambda o: (
        o.epsilon_added == "inside_root"
        and not o.start
        and (not o.momentum or o.learning_rate_in == "momentum")
    ),
    Adam: lambda o: o.epsilon_added == "before_correction",
}
"""Whether Keras's own optimizer means the same."""


def _rmsprop(o: RmsProp) -> dict[str, object]:
    own = {"rho": o.decay, "momentum": o.momentum, "epsilon": o.epsilon}
    return {**own, "centered": o.centered}


_ARGUMENTS: Spelled[dict[str, object]] = {
    Sgd: lambda o: {"momentum": o.momentum, "nesterov": o.nesterov},
    RmsProp: _rmsprop,
    Adam: lambda o: {"beta_1": o.beta1, "beta_2": o.beta2, "epsilon": o.epsilon},
}
"""Those of Keras's own optimizer."""


@dataclass(frozen=True)
class KerasScript(Script):
    """The facts of a script for Keras."""

    FOLDER = Path(__file__).parent
    SAME, ARGUMENTS = _SAME, _ARGUMENTS
    title, channels_last, checkpoints = "Keras", True, "checkpoint*/latest.json"

    @property
    def coupled(self) -> bool:
        """Whether the weight decay is in the gradient, which Keras's optimizers never have."""
        return self.decay is not None and self.decay.coupled

    @property
    def spared(self) -> list[str]:
        """When the weight decay is not for a variable, in Python."""
        assert self.decay is not None
        roles = self.decay.skip
        said = {
            "matches(path(layer), NOT_DECAYED)": bool(self.skip_names),
            "isinstance(layer, NORMS)": "norm" in roles,
            'variable.name == "bias"': "bias" in roles,
            "isinstance(layer, keras.layers.DepthwiseConv2D)": "depthwise" in roles,
            'variable.name == "depthwise_kernel"': "depthwise" in roles,
        }
        return [condition for condition, holds in said.items() if holds]

    @property
    def same(self) -> bool:
        return not self.coupled and super().same

    @property
    def optimizer_call(self) -> str:
        rate = "rate" if self.schedule_call else str(self.schedule.rate)
        arguments: dict[str, object] = {"learning_rate": rate}
        if self.coupled:
            arguments["decayed"] = "decayed" if self.skips else "model.trainable_variables"
        if self.same:
            arguments |= self.own_arguments
        if self.decay and not self.coupled:
            arguments["weight_decay"] = "WEIGHT_DECAY"
        if (clip := self.recipe.clip) is not None:
            arguments["global_clipnorm" if clip.over == "all" else "clipnorm"] = clip.norm
        prefix = "keras.optimizers." if self.same else ""
        spares = self.skips and not self.coupled
        name = prefix + OPTIMIZERS[type(self.optimizer)][0]
        return listed(given(arguments), f"{'optimizer =' if spares else 'return'} {name}(", ")", 4)

    @property
    def schedule_call(self) -> str:
        """Keras's own schedule; "" where none means the same."""
        name, arguments = _schedule(self.schedule)
        if not name:
            return ""
        said = [f"{key}={value}" for key, value in arguments.items()]
        return listed(said, f"rate = keras.optimizers.schedules.{name}(", ")", 4)

    @property
    def own_rate(self) -> bool:
        """Whether the learning rate is set before each step."""
        constant = self.kind == "Constant" and self.warm_up is None
        return not constant and not self.schedule_call

    @property
    def averages(self) -> bool:
        return self.recipe.ema is not None

    @property
    def one_hot(self) -> bool:
        """Whether the loss takes a share for each class instead of a label."""
        loss = self.recipe.loss
        return not isinstance(loss, CrossEntropy) or bool(loss.smoothing) or bool(self.mixup)

    @property
    def loss_call(self) -> str:
        """A statement of the loss, of that of each output where there are several."""
        loss = self.recipe.loss
        if not isinstance(loss, CrossEntropy):
            said = "keras.losses.MeanSquaredError()"
        elif self.one_hot:
            smooth = [f"label_smoothing={loss.smoothing}"] if loss.smoothing else []
            arguments = ["from_logits=True", *smooth]
            opening = "loss = keras.losses.CategoricalCrossentropy("
            return wrapped(arguments, opening, ")", 8)
        else:
            said = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
        return f"        loss = {said}"

    @property
    def main(self) -> str:
        """A model of several outputs is made with all of them."""
        return f"[{literal(self.training.network.always[-1])}]" if self.outputs else ""

    @property
    def constants(self) -> str:
        weights = [f"{literal(name)}: {weight}" for name, weight in self.outputs.items()]
        said = [listed(weights, "OUTPUTS = {", "}")] if weights else []
        return "\n".join([super().constants, *said])

    @property
    def model_call(self) -> str:
        shape = f"(*given.size, {self.channels})"
        arguments = {**self.arguments, "input_shape": shape}
        said = [f"{name}={value}" for name, value in arguments.items()]
        return listed(said, f"model = {self.model}(", ")", 4)


def _schedule(schedule: Schedule) -> tuple[str, dict[str, object]]:
    """Keras's own class and its arguments; "" where none means the same."""
    rate, total, warm = schedule.rate, "EPOCHS * steps_per_epoch", schedule.warm_up
    if schedule.per == "epoch" or (warm is not None and not warm.shifts):
        return "", {}
    first = {"initial_learning_rate": rate}
    match schedule.shape:
        case Cosine(to) if warm is not None:
            over = steps(warm.over)
            return "CosineDecay", {
                "initial_learning_rate": warm.start,
                "decay_steps": f"{total} - {over}",
                "alpha": to / rate,
                "warmup_target": rate,
                "warmup_steps": over,
            }
        case _ if warm is not None:
            return "", {}
        case Cosine(to):
            return "CosineDecay", {**first, "decay_steps": total, "alpha": to / rate}
        case Exponential(factor, every, staircase):
            own = {"decay_steps": steps(every), "decay_rate": factor}
            return "ExponentialDecay", {**first, **own, "staircase": staircase}
        case Polynomial(to, power):
            own = {"decay_steps": total, "end_learning_rate": to, "power": power}
            return "PolynomialDecay", {**first, **own}
        case MultiStep(factor, at):
            return "PiecewiseConstantDecay", _pieces(rate, factor, at)
    return "", {}


def _pieces(rate: float, factor: float, at: tuple[Duration, ...]) -> dict[str, object]:
    """Keras's rate changes after its boundary, and not at it."""
    boundaries = ", ".join(f"{steps(each)} - 1" for each in at)
    values = ", ".join(f"{rate * factor**n:.12g}" for n in range(len(at) + 1))
    return {"boundaries": f"[{boundaries}]", "values": f"[{values}]"}
