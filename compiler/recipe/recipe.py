"""The IR of training: every constant and convention of a recipe, worked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from archc.compiler.language.problems import Place
from archc.compiler.spec.reader import Scalar

Unit = Literal["epochs", "steps"]
RateIn = Literal["update", "momentum"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A stretch of training."""

    number: float
    unit: Unit
    place: Place | None = field(default=None, compare=False, repr=False)

    def steps(self, per_epoch: int) -> int:
        """Whole steps, rounded down, and one at least."""
        return max(1, int(self.number * per_epoch if self.unit == "epochs" else self.number))

    def epochs(self, per_epoch: int) -> float:
        """Epochs, or the share of one."""
        return self.number if self.unit == "epochs" else self.number / per_epoch

    def __str__(self) -> str:
        unit = self.unit[:-1] if self.number == 1 else self.unit
        return f"{self.number:g} {unit}"


@dataclass(frozen=True, slots=True)
class Sgd:
    """Gradient descent: w -= rate * g, or with a momentum."""

    momentum: float = 0.0
    nesterov: bool = False
    learning_rate_in: RateIn = "update"


@dataclass(frozen=True, slots=True)
class RmsProp:
    """g over the root of a running mean v of its squares (Tieleman and Hinton, 2012)."""

    decay: float
    momentum: float
    epsilon: float
    epsilon_added: Literal["inside_root", "outside_root"]
    learning_rate_in: RateIn = "update"
    centered: bool = False
    start: float = 0.0
    """What v starts as."""


@dataclass(frozen=True, slots=True)
class Adam:
    """Running means of g and of its squares, both corrected (Kingma and Ba, arXiv:1412.6980)."""

    beta1: float
    beta2: float
    epsilon: float
    epsilon_added: Literal["before_correction", "after_correction"]
    """To the root of the mean as it is ("epsilon hat"), or as it is corrected (Algorithm 1)."""


Optimizer: TypeAlias = Sgd | RmsProp | Adam


@dataclass(frozen=True, slots=True)
class Constant:
    """The learning rate as it is."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """Times `factor` every so often: all the time a bit, or at once where it is a `staircase`."""

    factor: float
    every: Duration
    staircase: bool


@dataclass(frozen=True, slots=True)
class MultiStep:
    """Times `factor` at each of these."""

    factor: float
    at: tuple[Duration, ...]


@dataclass(frozen=True, slots=True)
class Cosine:
    """Down to `to` along half a cosine (Loshchilov and Hutter, arXiv:1608.03983)."""

    to: float


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Down to `to` as (1 - share of training)^power."""

    to: float
    power: float


@dataclass(frozen=True, slots=True)
class OneCycle:
    """Up from `start` for a `share` of training, and down to `to`, both along half a cosine
    (Smith and Topin, arXiv:1708.07120; as PyTorch's `OneCycleLR`)."""

    start: float
    to: float
    share: float


Shape: TypeAlias = Constant | Exponential | MultiStep | Cosine | Polynomial | OneCycle


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A linear rise to the learning rate."""

    over: Duration
    start: float
    """The rate of the first step."""
    shifts: bool
    """Whether the schedule begins after it; else it has gone on meanwhile."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over time."""

    rate: float
    shape: Shape = Constant()
    per: Literal["epoch", "step"] = "step"
    """After what it changes."""
    warm_up: WarmUp | None = None


def longest_steps(schedule: Schedule) -> int:
    """How many steps lasts, at most, what a schedule counts in steps."""
    shape, warm_up = schedule.shape, schedule.warm_up
    found = [warm_up.over] if warm_up else []
    found += [shape.every] if isinstance(shape, Exponential) else []
    found += shape.at if isinstance(shape, MultiStep) else ()
    return max((int(each.number) for each in found if each.unit == "steps"), default=0)


@dataclass(frozen=True, slots=True)
class WeightDecay:
    """A pull of weights towards zero."""

    rate: float
    coupled: bool
    """Whether `rate * w` is added to the gradient, after clipping, as an L2 penalty would; else w
    loses `learning rate * rate * w` by itself, before the update."""
    skip: tuple[str, ...] = ()
    """Roles of weights that it spares: see `ROLES`."""
    skip_names: tuple[str, ...] = ()
    """Patterns of paths that it spares."""


ROLES = {
    "bias": "biases of convolutions and dense layers",
    "norm": "what normalization layers learn",
    "depthwise": "kernels of depthwise convolutions",
}
"""Roles of weights that a weight decay may spare."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Gradients are scaled down to a norm: that of all of them, or of each variable's."""

    norm: float
    over: Literal["all", "each"]


@dataclass(frozen=True, slots=True)
class Ema:
    """A running mean of the weights after each step, for evaluation."""

    decay: float
    statistics: bool
    """Whether of the batch norms' running averages too; else it has those of the model."""
    begin: Literal["first_step", "initial"]
    """Whether it starts as the weights after the first step, or before it."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """The mean over the batch of -sum(p log softmax(logits)), where p is 1 for the label, or with a
    `smoothing` s is 1 - s for it and s / classes more for each class."""

    smoothing: float = 0.0


@dataclass(frozen=True, slots=True)
class MeanSquared:
    """The mean over the batch and all values of (output - target)^2."""


Loss: TypeAlias = CrossEntropy | MeanSquared


@dataclass(frozen=True, slots=True)
class Flip:
    """Left and right change places, with this probability."""

    probability: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A window of the image's own size out of the image with so many pixels of zeros around."""

    pixels: int


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """A window of a random share of the area and a random ratio of width to height, resized
    (Szegedy et al., arXiv:1409.4842)."""

    area: tuple[float, float]
    ratio: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mixup:
    """Each image and label with a share of another's, drawn from Beta(alpha, alpha) for the batch
    (Zhang et al., arXiv:1710.09412)."""

    alpha: float


Augmentation: TypeAlias = Flip | Shift | RandomResizedCrop | Mixup


@dataclass(frozen=True, slots=True)
class Normalize:
    """(x - mean) / std by channel, of pixels from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained."""

    name: str
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    batch_size: int
    epochs: int
    source: str = ""
    doc: str = ""
    weight_decay: WeightDecay | None = None
    clip: Clip | None = None
    ema: Ema | None = None
    outputs: Mapping[Scalar, float] | None = None
    """What the loss of each output of the network counts, by its name."""
    settings: Mapping[Scalar, Scalar] | None = None
    """Values for kept parameters of the network, as they are written."""
    freeze: tuple[str, ...] = ()
    """Patterns of paths whose layers are not trained; their batch norms run as in evaluation."""
    augment: tuple[Augmentation, ...] = ()
    normalize: Normalize | None = None
