"""What the YAML file of a recipe may say, as frozen pydantic models. Every node knows its place.

No constant that changes what is computed has a default, but those that turn a part off.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field

from archc.compiler.recipe import recipe
from archc.compiler.recipe.kinds import Stretch, number, one_of, word
from archc.compiler.spec import kinds as texts
from archc.compiler.spec import reader
from archc.compiler.spec.models import FORMAT, version
from archc.compiler.spec.nodes import SpecNode

Share = Annotated[float, number(min=0, below=1)]
Rate = Annotated[float, number(min=0)]
Positive = Annotated[float, number(above=0)]
Probability = Annotated[float, number(above=0, max=1)]
Factor = Annotated[float, number(above=0, max=1)]
Count = Annotated[int, number(min=1, whole=True)]
LearningRateIn = Annotated[Literal["update", "momentum"], word("update", "momentum")]
T = TypeVar("T")
Part = Annotated[T | None, BeforeValidator(lambda value: value if texts.is_given(value) else None)]
"""What a recipe may be without: `~` says that it is, where the one that it extends has it."""


class SgdSpec(SpecNode):
    example = "write `sgd: {momentum: 0.9, learning_rate_in: update}`"
    momentum: Share = 0.0
    nesterov: texts.Flag = False
    learning_rate_in: LearningRateIn | None = None


class RmsPropSpec(SpecNode):
    decay: Share
    momentum: Share
    epsilon: Rate
    epsilon_added: Annotated[
        Literal["inside_root", "outside_root"], word("inside_root", "outside_root")
    ]
    learning_rate_in: LearningRateIn | None = None
    centered: texts.Flag = False
    start: Rate = 0.0


class AdamSpec(SpecNode):
    beta1: Share
    beta2: Share
    epsilon: Rate
    epsilon_added: Annotated[
        Literal["before_correction", "after_correction"],
        word("before_correction", "after_correction"),
    ]


class _OneKind(SpecNode):
    """A mapping with one of several keys, each of which is a kind of the same thing."""

    what: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        known = [
            field.alias or name
            for name, field in cls.model_fields.items()
            if name not in cls.beside
        ]
        one_of(value, known, cls.what, cls.beside)
        return value

    @property
    def chosen(self) -> tuple[str, Any]:
        """The kind, and what it says."""
        names = (name for name in type(self).model_fields if name not in self.beside)
        return next((n, getattr(self, n)) for n in names if getattr(self, n) is not None)


class OptimizerSpec(_OneKind):
    what = "optimizer"
    example = "write `sgd: {momentum: 0.9, learning_rate_in: update}` below it"
    sgd: SgdSpec | None = None
    rmsprop: RmsPropSpec | None = None
    adam: AdamSpec | None = None
    adamw: AdamSpec | None = None


class ExponentialSpec(SpecNode):
    factor: Factor
    every: Stretch
    staircase: texts.Flag


class StepSpec(SpecNode):
    factor: Factor
    every: Stretch


class MultiStepSpec(SpecNode):
    factor: Factor
    at: Annotated[tuple[Stretch, ...], Field(min_length=1)]


class CosineSpec(SpecNode):
    to: Rate


class PolynomialSpec(SpecNode):
    to: Rate
    power: Positive


class OneCycleSpec(SpecNode):
    start: Rate
    to: Rate
    share: Annotated[float, number(above=0, below=1)]


class ScheduleSpec(_OneKind):
    what = "schedule"
    beside = ("per",)
    example = "write `cosine: {to: 0}` below it"
    exponential: ExponentialSpec | None = None
    step: StepSpec | None = None
    multi_step: MultiStepSpec | None = None
    cosine: CosineSpec | None = None
    polynomial: PolynomialSpec | None = None
    one_cycle: OneCycleSpec | None = None
    per: Annotated[Literal["epoch", "step"], word("epoch", "step")] = "step"


class WarmUpSpec(SpecNode):
    over: Stretch
    start: Rate
    shifts: texts.Flag


class WeightDecaySpec(SpecNode):
    example = "write `{rate: 1e-4, kind: coupled}`"
    rate: Rate
    kind: Annotated[Literal["coupled", "decoupled"], word("coupled", "decoupled")]
    skip: tuple[Annotated[str, word(*recipe.ROLES)], ...] = ()
    skip_names: tuple[texts.FileName, ...] = ()


class ClipSpec(SpecNode):
    norm: Positive
    over: Annotated[Literal["all", "each"], word("all", "each")]


class EmaSpec(SpecNode):
    decay: Share
    statistics: texts.Flag
    begin: Annotated[Literal["first_step", "initial"], word("first_step", "initial")]


class CrossEntropySpec(SpecNode):
    smoothing: Share


class MeanSquaredSpec(SpecNode):
    pass


class LossSpec(_OneKind):
    what = "loss"
    example = "write `cross_entropy: {smoothing: 0}` below it"
    cross_entropy: CrossEntropySpec | None = None
    mean_squared: MeanSquaredSpec | None = None


class FlipSpec(SpecNode):
    probability: Probability


class ShiftSpec(SpecNode):
    pixels: Count


class CropSpec(SpecNode):
    area: tuple[Probability, Probability]
    ratio: tuple[Positive, Positive]


class MixupSpec(SpecNode):
    alpha: Positive


class AugmentSpec(_OneKind):
    what = "augmentation"
    example = "write `- flip: {probability: 0.5}`"
    flip: FlipSpec | None = None
    shift: ShiftSpec | None = None
    random_resized_crop: CropSpec | None = None
    mixup: MixupSpec | None = None


class NormalizeSpec(SpecNode):
    mean: Annotated[tuple[Annotated[float, number(min=0, max=1)], ...], Field(min_length=1)]
    std: Annotated[tuple[Factor, ...], Field(min_length=1)]


class RecipeSpec(SpecNode):
    """A file that says how a network is trained."""

    example = f"a recipe starts with `archc: {FORMAT}` and `recipe: NAME`"

    archc: Annotated[Literal[1], BeforeValidator(version)]
    recipe: texts.Name
    source: texts.Text = ""
    doc: texts.Text = ""
    extends: texts.FileName | None = None
    optimizer: OptimizerSpec | None = None
    learning_rate: Positive | None = None
    schedule: Part[ScheduleSpec] = None
    warm_up: Part[WarmUpSpec] = None
    weight_decay: Part[WeightDecaySpec] = None
    clip: Part[ClipSpec] = None
    ema: Part[EmaSpec] = None
    loss: LossSpec | None = None
    outputs: dict[texts.Name, Rate] | None = None
    batch_size: Count | None = None
    epochs: Count | None = None
    set: dict[texts.Name, texts.FileName] | None = None
    freeze: tuple[texts.FileName, ...] | None = None
    augment: tuple[AugmentSpec, ...] | None = None
    normalize: Part[NormalizeSpec] = None


OWN = ("archc", "recipe", "source", "doc", "extends")
"""Keys that a recipe has of the file that it stands in, and not of the one that it extends."""
NEEDED = ("optimizer", "learning_rate", "loss", "batch_size", "epochs")
"""Keys that it says itself, or the one that it extends does."""
