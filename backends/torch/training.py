"""Scripts that train with PyTorch: its own optimizers and schedulers where they mean the same."""

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
)
from archc.compiler.recipe.recipe import (
    Adam,
    Cosine,
    CrossEntropy,
    Exponential,
    MultiStep,
    OneCycle,
    Polynomial,
    RmsProp,
    Schedule,
    Sgd,
)


def script(facts: Mapping[str, Any]) -> str:
    """The text of the script of a network and a recipe."""
    return printed(TorchScript(**facts))


def _same_sgd(o: Sgd) -> bool:
    return not o.momentum or o.learning_rate_in == "update"


def _same_rmsprop(o: RmsProp) -> bool:
    inside = bool(o.momentum) and o.learning_rate_in == "momentum"
    return o.epsilon_added == "outside_root" and not inside and not o.start


def _same_adam(o: Adam) -> bool:
    return o.epsilon_added == "after_correction"


_SAME: Spelled[bool] = {
    Sgd: _same_sgd,
    RmsProp: _same_rmsprop,
    Adam: _same_adam,
}
"""Whether PyTorch's own optimizer means the same."""


def _sgd(o: Sgd) -> dict[str, object]:
    return {"momentum": o.momentum, "nesterov": o.nesterov}


def _rmsprop(o: RmsProp) -> dict[str, object]:
    own = {"alpha": o.decay, "eps": o.epsilon, "momentum": o.momentum}
    return {**own, "centered": o.centered}


def _adam(o: Adam) -> dict[str, object]:
    epsilon = {"eps": o.epsilon} if _same_adam(o) else {}
    return {"betas": (o.beta1, o.beta2), **epsilon}


_ARGUMENTS: Spelled[dict[str, object]] = {
    Sgd: _sgd,
    RmsProp: _rmsprop,
    Adam: _adam,
}
"""Those of PyTorch's own optimizer."""


@dataclass(frozen=True)
class TorchScript(Script):
    """The facts of a script for PyTorch."""

    FOLDER = Path(__file__).parent
    SAME, ARGUMENTS = _SAME, _ARGUMENTS
    title, checkpoints = "PyTorch", "checkpoint.pt"

    @property
    def decay_key(self) -> str:
        """What a group of parameters calls its weight decay: PyTorch's name where its optimizer is
        to apply it, "" where there is none."""
        if self.decay is None:
            return ""
        own = self.decay.coupled or isinstance(self.optimizer, Adam)
        return "weight_decay" if own else "decay"

    @property
    def spared(self) -> list[str]:
        """When the weight decay is not for a parameter, in Python."""
        assert self.decay is not None
        roles, norms = self.decay.skip, "nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm"
        kernels = "nn.Conv2d | nn.ConvTranspose2d | nn.Linear"
        depthwise = "isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1"
        said = {
            "matches(path, NOT_DECAYED)": bool(self.skip_names),
            f"isinstance(layer, {norms})": "norm" in roles,
            'name == "bias"': "bias" in roles and "norm" in roles,
            f'name == "bias" and isinstance(layer, {kernels})': "bias" in roles
            and "norm" not in roles,
            depthwise: "depthwise" in roles,
        }
        return [condition for condition, holds in said.items() if holds]

    @property
    def class_name(self) -> str:
        """Of the optimizer."""
        decoupled = self.decay is not None and not self.decay.coupled
        adamw = isinstance(self.optimizer, Adam) and decoupled
        return "AdamW" if adamw else OPTIMIZERS[type(self.optimizer)][0]

    @property
    def optimizer_call(self) -> str:
        arguments: dict[str, object] = {"lr": self.schedule.rate}
        if self.same or isinstance(self.optimizer, Adam):
            arguments |= self.own_arguments
            if self.decay_key == "weight_decay" and not self.skips:
                arguments["weight_decay"] = "WEIGHT_DECAY"
        prefix = "torch.optim." if self.same else ""
        return listed(
            ["parameters", *given(arguments)], f"return {prefix}{self.class_name}(", ")", 4
        )

    @property
    def own_schedule(self) -> str:
        """The scheduler's class; "" where the rate stays as it is."""
        if self.schedule.warm_up is None and self.kind == "Constant":
            return ""
        return _scheduler(self.schedule)[0] or "LambdaLR"

    @property
    def schedule_call(self) -> str:
        name, arguments = _scheduler(self.schedule)
        if name:
            said = [f"{key}={value}" for key, value in arguments.items()]
            return listed(["optimizer", *said], f"return {name}(", ")", 4)
        share = f"lambda step: learning_rate(step, steps_per_epoch) / {self.schedule.rate}"
        return listed(["optimizer", share], "return LambdaLR(", ")", 4)

    @property
    def loss_code(self) -> str:
        if not self.outputs:
            return f"    return {self._loss('outputs')}"
        terms = [
            f"    {'loss =' if first else 'loss +='} {weight} * {self._loss(output)}"
            for first, weight, output in (
                (not index, weight, f"outputs[{literal(name)}]")
                for index, (name, weight) in enumerate(self.outputs.items())
            )
        ]
        return "\n".join([*terms, "    return loss"])

    def _loss(self, outputs: str) -> str:
        loss = self.recipe.loss
        if isinstance(loss, CrossEntropy):
            smoothing = f", label_smoothing={loss.smoothing}" if loss.smoothing else ""
            return f"F.cross_entropy({outputs}, labels{smoothing})"
        labels = "labels" if self.mixup else f"F.one_hot(labels, {outputs}.shape[1])"
        return f"F.mse_loss({outputs}, {labels}.to({outputs}.dtype))"

    @property
    def model_call(self) -> str:
        said = [f"{name}={value}" for name, value in self.arguments.items()]
        return listed(said, f"model: nn.Module = {self.model}(", ")", 4)


def _scheduler(schedule: Schedule) -> tuple[str, dict[str, object]]:
    """PyTorch's own class and its arguments; "" where none means the same."""
    shape, total = schedule.shape, "EPOCHS * steps_per_epoch"
    if schedule.warm_up is not None or schedule.per == "epoch":
        return "", {}
    match shape:
        case Exponential(factor, every, True):
            return "StepLR", {"step_size": steps(every), "gamma": factor}
        case Exponential(factor, every, False):
            return "ExponentialLR", {"gamma": f"{factor} ** (1 / {steps(every, within=True)})"}
        case MultiStep(factor, at):
            milestones = f"[{', '.join(map(steps, at))}]"
            return "MultiStepLR", {"milestones": milestones, "gamma": factor}
        case Cosine(to):
            return "CosineAnnealingLR", {"T_max": total, "eta_min": to}
        case Polynomial(0.0, power):
            return "PolynomialLR", {"total_iters": total, "power": power}
        case OneCycle(start, to, share) if start and to:
            first, last = schedule.rate / start, start / to
            own = {"pct_start": share, "div_factor": first, "final_div_factor": last}
            return "OneCycleLR", {
                "max_lr": schedule.rate,
                "total_steps": total,
                **own,
                "cycle_momentum": False,
            }
    return "", {}
