"""What a script of training says, in whatever framework: a recipe's facts as its templates read
them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from jinja2 import Environment

from archc.backends.python.printing import environment, listed
from archc.backends.python.text import WIDTH, plain
from archc.compiler.ir.analysis import layers
from archc.compiler.language.values import show
from archc.compiler.recipe.fit import Training
from archc.compiler.recipe.recipe import (
    Adam,
    CrossEntropy,
    Duration,
    Exponential,
    Optimizer,
    Recipe,
    RmsProp,
    Schedule,
    Sgd,
    WarmUp,
    WeightDecay,
    longest_steps,
)

SHARED = Path(__file__).parent
TEMPLATE = "training.py.jinja"


OPTIMIZERS: Mapping[type[Optimizer], tuple[str, str]] = {
    Sgd: ("SGD", "Gradient descent"),
    RmsProp: ("RMSprop", "RMSprop"),
    Adam: ("Adam", "Adam"),
}
"""What frameworks call the class of each, and how a docstring begins."""


T = TypeVar("T")
Spelled = Mapping[type[Optimizer], Callable[[Any], T]]
"""What a framework has for an optimizer, by its kind."""


@dataclass(frozen=True)
class Script:
    """The facts of one script, but for what a framework adds."""

    FOLDER: ClassVar[Path]
    """Of the backend's templates."""
    SAME: ClassVar[Spelled[bool]]
    """Whether the framework's own optimizer means the same."""
    ARGUMENTS: ClassVar[Spelled[dict[str, object]]]
    """Those of the framework's own optimizer."""
    title: ClassVar[str]
    """The framework's."""
    channels_last: ClassVar[bool] = False
    checkpoints: ClassVar[str]
    """What checkpoints in the folder of a run are called, as a pattern."""

    training: Training
    module: str
    """The generated network's."""
    model: str
    """What it is called there."""
    stem: str
    """The script's file, without its ending."""
    spec: str
    """The file of the spec."""

    @property
    def recipe(self) -> Recipe:
        return self.training.recipe

    @property
    def optimizer(self) -> Optimizer:
        return self.recipe.optimizer

    @property
    def same(self) -> bool:
        """Whether the framework has the very optimizer."""
        return self.SAME[type(self.optimizer)](self.optimizer)

    @property
    def own_optimizer(self) -> str:
        """The class of one that the framework does not have."""
        if self.same:
            return ""
        module: Any = _environment(self.FOLDER).get_template("optimizers.py.jinja").module
        return str(getattr(module, type(self.optimizer).__name__.lower())(self)).strip("\n")

    @property
    def own_arguments(self) -> dict[str, object]:
        """What the framework's own optimizer is given."""
        return self.ARGUMENTS[type(self.optimizer)](self.optimizer)

    @property
    def schedule(self) -> Schedule:
        return self.recipe.schedule

    @property
    def kind(self) -> str:
        """Of the schedule's shape."""
        return type(self.schedule.shape).__name__

    @property
    def warm_up(self) -> WarmUp | None:
        return self.schedule.warm_up

    @property
    def needs_total(self) -> bool:
        """Whether the schedule ends with the training."""
        return self.kind in ("Cosine", "Polynomial", "OneCycle")

    @property
    def longest_steps(self) -> int:
        """What the schedule counts in steps lasts so many at most."""
        return longest_steps(self.schedule)

    @property
    def decay(self) -> WeightDecay | None:
        return self.recipe.weight_decay

    @property
    def skips(self) -> bool:
        """Whether the weight decay spares anything."""
        return self.decay is not None and bool(self.decay.skip or self.decay.skip_names)

    @property
    def skip_names(self) -> tuple[str, ...]:
        return self.decay.skip_names if self.decay else ()

    @property
    def frozen(self) -> tuple[str, ...]:
        return self.recipe.freeze

    @property
    def augment(self) -> list[Mapping[str, Any]]:
        """What changes images, each with its `kind`."""
        every = self.recipe.augment
        return [{"kind": type(each).__name__, **_fields(each)} for each in every]

    @property
    def per_image(self) -> bool:
        return any(each["kind"] != "Mixup" for each in self.augment)

    @property
    def after_resize(self) -> bool:
        return any(each["kind"] in ("Flip", "Shift") for each in self.augment)

    @property
    def mixup(self) -> Mapping[str, Any] | None:
        return next((each for each in self.augment if each["kind"] == "Mixup"), None)

    @property
    def normalize(self) -> Any:
        return self.recipe.normalize

    @property
    def channels(self) -> int:
        return self.training.network.input.channels

    @property
    def is_cifar(self) -> bool:
        """Whether its images are of the size of CIFAR's."""
        return self.training.network.input.shape == (3, 32, 32)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the declared input."""
        tensor = self.training.network.input
        return tensor.height or 1, tensor.width or 1

    @property
    def range(self) -> tuple[float, float]:
        """What pixels become: what the spec says of its input, or 0 to 1."""
        said = next(iter(self.training.network.inputs.values())).range
        return (said[0], said[1]) if isinstance(said, tuple) else (0.0, 1.0)

    @property
    def axes(self) -> str:
        axes = ("channels", "height", "width")
        return f"n, {', '.join((*axes[1:], axes[0]) if self.channels_last else axes)}"

    @property
    def outputs(self) -> Mapping[str, float]:
        """What the loss of each counts, where there are several."""
        return {str(name): weight for name, weight in (self.recipe.outputs or {}).items()}

    @property
    def classes(self) -> str | None:
        """The model's argument that says how many classes there are."""
        kept = {parameter.name for parameter in self.training.network.kept}
        return "classes" if "classes" in kept - self.training.values.keys() else None

    @property
    def norm_decay(self) -> float | None:
        """The slowest of the running averages of batch norms that are trained."""
        found = [
            layer.call.body.arguments["decay"]
            for layer in layers(self.training.network)
            if layer.op == "batch_norm" and not self.training.frozen(layer.path)
        ]
        return max((each for each in found if isinstance(each, float)), default=None)

    @property
    def main(self) -> str:
        """Of what the model gives in evaluation, the part that is scored."""
        several = len(self.training.network.always) > 1
        return f'["{self.training.network.always[-1]}"]' if several else ""

    @property
    def arguments(self) -> Mapping[str, str]:
        """Those of the model, as text."""
        classes = {"classes": "len(batches.data.classes)"} if self.classes else {}
        return {**classes, **{k: repr(v) for k, v in self.training.values.items()}}

    @property
    def digest(self) -> str:
        """Of all that a checkpoint is for."""
        said = repr((self.recipe, self.training.network.name, self.title)).encode()
        return f"{self.recipe.name} {blake2b(said, digest_size=4).hexdigest()}"

    @cached_property
    def header(self) -> str:
        """The module's docstring."""
        recipe, name = self.recipe, self.training.network.name
        said = [
            f"Train {name} as the recipe {recipe.name} says, with {self.title}.",
            plain(recipe.doc),
            plain(recipe.source),
            f"Generated by archc from {plain(self.spec)} and {plain(self.training.file.name)}."
            " Edit these, not this file.",
        ]
        return "\n\n".join(filter(None, said))

    @property
    def constants(self) -> str:
        """The assignments that the module begins with."""
        network, recipe = self.training.network, self.recipe
        values: dict[str, Any] = {"RUN": self.stem.removeprefix("train_"), "RECIPE": self.digest}
        values |= {"BATCH_SIZE": recipe.batch_size, "EPOCHS": recipe.epochs, "SIZE": self.size}
        if self.classes is None:
            values["CLASSES"] = self.training.values.get("classes", network.output.channels)
        if self.decay:
            values["WEIGHT_DECAY"] = self.decay.rate
        if self.frozen:
            values["FROZEN"] = tuple(map(str, self.frozen))
        if self.norm_decay is not None:
            values["NORM_DECAY"] = self.norm_decay
        if self.normalize:
            values |= {"MEAN": self.normalize.mean, "STD": self.normalize.std}
        if self.skip_names:
            values["NOT_DECAYED"] = tuple(map(str, self.skip_names))
        return "\n".join(_assigned(name, value) for name, value in values.items())

    @property
    def rate_words(self) -> str:
        """The schedule in words."""
        shape, rate = self.schedule.shape, f"{self.schedule.rate:g}"
        words = {
            "Constant": f"{rate} always",
            "Cosine": f"from {rate} along half a cosine",
            "Polynomial": f"from {rate} along a power",
            "OneCycle": f"up to {rate} and down again",
            "MultiStep": f"{rate}, and less after each milestone",
        }
        said = words.get(self.kind, "")
        if isinstance(shape, Exponential):
            how = "" if shape.staircase else ", a bit at each step"
            said = f"{rate}, times {shape.factor:g} every {shape.every}{how}"
        return f"{said}, after a warm-up of {self.warm_up.over}" if self.warm_up else said

    @property
    def optimizer_words(self) -> str:
        name = OPTIMIZERS[type(self.recipe.optimizer)][1]
        decay = self.decay
        if decay is None:
            return f"{name}."
        how = "in the gradient" if decay.coupled else "apart from the gradient"
        return f"{name}, with a weight decay {how}."

    @property
    def rmsprop_words(self) -> str:
        optimizer = self.recipe.optimizer
        assert isinstance(optimizer, RmsProp)
        inside = optimizer.momentum and optimizer.learning_rate_in == "momentum"
        return " and the learning rate inside the momentum" if inside else ""

    @property
    def loss_words(self) -> str:
        loss = self.recipe.loss
        if not isinstance(loss, CrossEntropy):
            return "The mean squared difference from 1 for the label and 0 for all others."
        smooth = f", smoothed by {loss.smoothing:g}" if loss.smoothing else ""
        return f"The cross-entropy of logits{smooth}, as a mean over the batch."


def _fields(each: Any) -> dict[str, Any]:
    return {name: getattr(each, name) for name in type(each).__dataclass_fields__}


def _assigned(name: str, value: Any) -> str:
    """A constant as ruff writes it."""
    if not isinstance(value, tuple):
        return f"{name} = {literal(value) if isinstance(value, str) else repr(value)}"
    items = [literal(each) if isinstance(each, str) else repr(each) for each in value]
    return listed(items, f"{name} = (", ",)" if len(items) == 1 else ")")


_LEFT_OUT: Mapping[str, object] = {"momentum": 0.0, "nesterov": False, "centered": False}
"""Arguments of optimizers that are not written where they have these values, frameworks' own."""


def given(arguments: Mapping[str, object]) -> list[str]:
    """Arguments of an optimizer as they are written."""
    return [f"{name}={v}" for name, v in arguments.items() if v != _LEFT_OUT.get(name)]


def literal(text: str) -> str:
    """A text as Python, in double quotes where it can be."""
    said = repr(text)
    return f'"{said[1:-1]}"' if '"' not in said else said


def between(low: float, high: float) -> str:
    """What a share of the way from one number to another begins with: `a + (b - a)`."""
    return f"{low} + ({high} - {low})" if low else str(high)


def negated(condition: str) -> str:
    """The opposite of a condition."""
    return condition.replace(" == ", " != ") if " == " in condition else f"not {condition}"


def wrapped(items: list[str], opening: str, closing: str, indent: int) -> str:
    """`opening items closing` as ruff breaks a call whose arguments have a line of their own."""
    margin = " " * indent
    line = f"{margin}{opening}{', '.join(items)}{closing}"
    if len(line) <= WIDTH:
        return line
    return f"{margin}{opening}\n{margin}    {', '.join(items)}\n{margin}{closing}"


def steps(duration: Duration, within: bool = False) -> str:
    """A stretch of training as an expression of `steps_per_epoch`; `within` another one."""
    if duration.unit == "steps":
        return show(max(1, int(duration.number)))
    if duration.number == 1:
        return "steps_per_epoch"
    if not duration.number.is_integer():
        whole = f"int({duration.number:.12g} * steps_per_epoch)"
        return whole if duration.number > 1 else f"max(1, {whole})"
    product = f"{duration.number:.12g} * steps_per_epoch"
    return f"({product})" if within else product


def lasting(duration: Duration, of: str, within: bool = False) -> str:
    """The same, or in epochs: `of` is `step` or `epoch`."""
    if of == "step":
        return steps(duration, within)
    if duration.unit == "epochs":
        return f"{duration.number:.12g}"
    share = f"{duration.number:.12g} / steps_per_epoch"
    return f"({share})" if within else share


def printed(script: Script) -> str:
    """The script's text, by its backend's template."""
    return _spaced(_environment(script.FOLDER).get_template(TEMPLATE).render(t=script))


@cache
def _environment(folder: Path) -> Environment:
    found = environment(folder, SHARED).overlay()
    found.filters = {**found.filters, "wrapped": wrapped, "lasting": lasting}
    found.filters |= {"between": between, "negated": negated}
    return found


def _spaced(text: str) -> str:
    """The text with two empty lines between what stands at the margin, as macros leave more."""
    text = re.sub(r"\n{3,}(?=\S)", "\n\n\n", text)
    return re.sub(r"\n{2,}(?=import |from )", "\n\n", text).rstrip("\n") + "\n"
