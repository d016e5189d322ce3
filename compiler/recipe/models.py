"""What the YAML file of a recipe may say, as frozen pydantic models. Every node knows its place.

No constant that changes what is computed has a default, but those that turn a part off. What stands
below a field is told of its key: by the JSON schema, by editors and by docs/training.md.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field

from archc.compiler.recipe import recipe
from archc.compiler.recipe.kinds import Setting, Stretch, number, one_of, word
from archc.compiler.spec import kinds as texts
from archc.compiler.spec import reader
from archc.compiler.spec.models import FORMAT, version
from archc.compiler.spec.nodes import SpecNode

Share = Annotated[float, number(min=0, below=1)]
Rate = Annotated[float, number(min=0)]
Positive = Annotated[float, number(above=0)]
Fraction = Annotated[float, number(above=0, max=1)]
Count = Annotated[int, number(min=1, whole=True)]
LearningRateIn = Annotated[
    Literal["update", "momentum"],
    word(
        update="w -= rate m, as in PyTorch",
        momentum="m = momentum m + rate g, as in Keras and TensorFlow",
    ),
]
T = TypeVar("T")
GIVEN = BeforeValidator(lambda value: value if texts.is_given(value) else None)
Part = Annotated[T | None, GIVEN]
"""What a recipe may be without: `~` says that it is, where the one that it extends has it."""


class RecipeNode(SpecNode):
    """A mapping of a recipe."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class SgdSpec(RecipeNode):
    __doc__ = recipe.Sgd.__doc__
    example = "write `sgd: {momentum: 0.9, learning_rate_in: update}`"
    momentum: Share = 0.0
    """The share of the last step that this one keeps."""
    nesterov: texts.Flag = False
    """Whether the step is Nesterov's, by g + momentum m instead of m."""
    learning_rate_in: LearningRateIn | None = None
    """What the rate scales, where there is a momentum m of gradients g."""


class RmsPropSpec(RecipeNode):
    __doc__ = recipe.RmsProp.__doc__
    decay: Share
    """The share of v that a step keeps: PyTorch's `alpha`, Keras's `rho`."""
    momentum: Share
    """The share of the last step that this one keeps; 0 is none."""
    epsilon: Rate
    """What keeps the root from zero."""
    epsilon_added: Annotated[
        Literal["inside_root", "outside_root"],
        word(
            inside_root="g / sqrt(v + epsilon), as in Keras and TensorFlow",
            outside_root="g / (sqrt(v) + epsilon), as in PyTorch",
        ),
    ]
    """Where epsilon is added."""
    learning_rate_in: LearningRateIn | None = None
    """What the rate scales, where there is a momentum m of scaled gradients g."""
    centered: texts.Flag = False
    """Whether v is less the square of a running mean of gradients."""
    start: Rate = 0.0
    """What v starts as: 1 in TensorFlow 1."""


class AdamSpec(RecipeNode):
    __doc__ = recipe.Adam.__doc__
    beta1: Share
    """The share of the mean m of gradients that a step keeps."""
    beta2: Share
    """The share of the mean v of their squares that a step keeps."""
    epsilon: Rate
    """What keeps the root from zero."""
    epsilon_added: Annotated[
        Literal["before_correction", "after_correction"],
        word(
            before_correction="to the root of v as it is, as in Keras: the paper's epsilon hat",
            after_correction="to the root of v as it is corrected, as in PyTorch",
        ),
    ]
    """Where epsilon is added."""


class OneKind(RecipeNode):
    """A mapping with one of several keys, each of which is a kind of the same thing."""

    what: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        one_of(value, cls.known(), cls.what, cls.beside)
        return value

    @classmethod
    def known(cls) -> list[str]:
        """The kinds that there are."""
        return [name for name in cls.model_fields if name not in cls.beside]

    @property
    def chosen(self) -> tuple[str, Any]:
        """The kind, and what it says."""
        return next((n, said) for n in self.known() if (said := getattr(self, n)) is not None)


class OptimizerSpec(OneKind):
    """What makes steps of gradients."""

    what = "optimizer"
    example = "write `sgd: {momentum: 0.9, learning_rate_in: update}` below it"
    sgd: SgdSpec | None = None
    rmsprop: RmsPropSpec | None = None
    adam: AdamSpec | None = None
    adamw: AdamSpec | None = None
    """Adam with a decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""


class ExponentialSpec(RecipeNode):
    __doc__ = recipe.Exponential.__doc__
    factor: Fraction
    """What the rate is multiplied by."""
    every: Stretch
    """After how long, as `2 epochs` or `500 steps`."""
    staircase: texts.Flag
    """Whether at once, or a bit at each step."""


class StaircaseSpec(RecipeNode):
    """Times `factor` at once, every so often."""

    factor: Fraction
    """What the rate is multiplied by."""
    every: Stretch
    """After how long, as `30 epochs`."""


class MultiStepSpec(RecipeNode):
    __doc__ = recipe.MultiStep.__doc__
    factor: Fraction
    """What the rate is multiplied by."""
    at: Annotated[tuple[Stretch, ...], Field(min_length=1)]
    """When, as `[30 epochs, 60 epochs]`."""


class CosineSpec(RecipeNode):
    __doc__ = recipe.Cosine.__doc__
    to: Rate
    """The rate at the end of training."""


class PolynomialSpec(RecipeNode):
    __doc__ = recipe.Polynomial.__doc__
    to: Rate
    """The rate at the end of training."""
    power: Positive
    """1 is a straight line."""


class OneCycleSpec(RecipeNode):
    __doc__ = recipe.OneCycle.__doc__
    start: Rate
    """The rate of the first step."""
    to: Rate
    """The rate at the end of training."""
    share: Annotated[float, number(above=0, below=1)]
    """The share of training in which it rises to `learning_rate`."""


class ScheduleSpec(OneKind):
    """How the learning rate changes."""

    what = "schedule"
    beside = ("per",)
    example = "write `cosine: {to: 0}` below it"
    exponential: ExponentialSpec | None = None
    step: StaircaseSpec | None = None
    multi_step: MultiStepSpec | None = None
    cosine: CosineSpec | None = None
    polynomial: PolynomialSpec | None = None
    one_cycle: OneCycleSpec | None = None
    per: Annotated[
        Literal["epoch", "step"],
        word(epoch="it changes between epochs only", step="it changes after each step"),
    ] = "step"
    """After what it changes."""


class WarmUpSpec(RecipeNode):
    """A straight rise of the learning rate."""

    over: Stretch
    """How long it takes, as `5 epochs`."""
    start: Rate
    """The rate of the first step."""
    shifts: texts.Flag
    """Whether the schedule begins after it; else it has gone on meanwhile."""


class WeightDecaySpec(RecipeNode):
    """A pull of weights towards zero."""

    example = "write `{rate: 1e-4, kind: coupled}`"
    rate: Rate
    """How strong it is."""
    kind: Annotated[
        Literal["coupled", "decoupled"],
        word(
            coupled="rate w is added to the gradient, after clipping, as an L2 penalty would",
            decoupled="w loses learning rate times rate w by itself, before the update",
        ),
    ]
    """How it enters."""
    skip: tuple[Annotated[str, word(**recipe.ROLES)], ...] = ()
    """Roles of weights that it spares."""
    skip_names: tuple[texts.FileName, ...] = ()
    """Patterns of paths that it spares, as `[head.*]`."""


class ClipSpec(RecipeNode):
    """Gradients are scaled down to a norm."""

    norm: Positive
    """The largest norm that they keep."""
    over: Annotated[
        Literal["all", "each"],
        word(all="the norm of all gradients together", each="that of each variable's"),
    ]
    """Whose norm it is."""


class EmaSpec(RecipeNode):
    """A running mean of the weights after each step, for evaluation."""

    decay: Share
    """The share of it that a step keeps."""
    statistics: texts.Flag
    """Whether of the batch norms' running averages too; else it has those of the model."""
    begin: Annotated[
        Literal["first_step", "initial"],
        word(first_step="the weights after the first step", initial="the weights before it"),
    ]
    """What it starts as."""


class CrossEntropySpec(RecipeNode):
    """The cross-entropy of labels and the softmax of logits."""

    smoothing: Share
    """What the label gives to all classes alike."""


class MeanSquaredSpec(RecipeNode):
    """The mean square of what the output differs by from 1 for the label and 0 for all others."""


class LossSpec(OneKind):
    """What training makes small."""

    what = "loss"
    example = "write `cross_entropy: {smoothing: 0}` below it"
    cross_entropy: CrossEntropySpec | None = None
    mean_squared: MeanSquaredSpec | None = None


class FlipSpec(RecipeNode):
    __doc__ = recipe.Flip.__doc__
    probability: Fraction
    """How often."""


class ShiftSpec(RecipeNode):
    __doc__ = recipe.Shift.__doc__
    pixels: Count
    """How far at most, in each direction."""


class CropSpec(RecipeNode):
    __doc__ = recipe.RandomResizedCrop.__doc__
    area: tuple[Fraction, Fraction]
    """The least and the largest share of the area, as `[0.08, 1]`."""
    ratio: tuple[Positive, Positive]
    """The least and the largest ratio of width to height, as `[0.75, 1.3333333]`."""


class MixupSpec(RecipeNode):
    __doc__ = recipe.Mixup.__doc__
    alpha: Positive
    """1 draws all shares alike; less draws more from the ends."""


class AugmentSpec(OneKind):
    """A random change of images."""

    what = "augmentation"
    example = "write `- flip: {probability: 0.5}`"
    flip: FlipSpec | None = None
    shift: ShiftSpec | None = None
    random_resized_crop: CropSpec | None = None
    mixup: MixupSpec | None = None


class NormalizeSpec(RecipeNode):
    __doc__ = recipe.Normalize.__doc__
    mean: Annotated[tuple[Annotated[float, number(min=0, max=1)], ...], Field(min_length=1)]
    """One for each channel, of pixels from 0 to 1."""
    std: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    """One for each channel."""


class RecipeSpec(RecipeNode):
    """A file that says how a network is trained."""

    example = f"a recipe starts with `archc: {FORMAT}` and `recipe: NAME`"

    archc: Annotated[Literal[1], BeforeValidator(version)]
    """Version of the format: 1."""
    recipe: texts.Name
    """Name of the recipe: files of scripts are called so."""
    source: texts.Text = ""
    """Where it comes from: paper, table, reference implementation."""
    doc: texts.Text = ""
    """What it is, in a sentence."""
    extends: texts.FileName | None = None
    """A recipe that this one is like, but for the keys of this file: one beside it, or a shipped
    one."""
    optimizer: OptimizerSpec | None = None
    """One of those below, with every constant."""
    learning_rate: Positive | None = None
    """That of the first step, or the one that a warm-up or a cycle rises to."""
    schedule: Part[ScheduleSpec] = None
    """How the learning rate changes; it stays as it is without. `per: epoch` has it change between
    epochs only."""
    warm_up: Part[WarmUpSpec] = None
    """`{over: 5 epochs, start: 0, shifts: true}`: a straight rise. With `shifts` the schedule
    begins after it; else it has gone on meanwhile, as in TensorFlow's and timm's own scripts."""
    weight_decay: Part[WeightDecaySpec] = None
    """`{rate: 1e-4, kind: coupled}`. Coupled adds `rate * w` to the gradient, as an L2 penalty of
    `rate / 2` would; decoupled takes `learning rate * rate * w` from the weight, before the update.
    It spares the roles of `skip` (`bias`, `norm`, `depthwise`), and layers that `skip_names`
    means."""
    clip: Part[ClipSpec] = None
    """`{norm: 1, over: all}`: all gradients together, or `each`. It acts before a coupled weight
    decay is added."""
    ema: Part[EmaSpec] = None
    """`{decay: 0.9999, statistics: true, begin: initial}`: a mean of the weights after each step,
    which is what is evaluated and saved. With `statistics` also of the running averages; it begins
    as the initial weights, or as those after the `first_step`."""
    loss: LossSpec | None = None
    """`cross_entropy: {smoothing: 0.1}` of logits, or `mean_squared: {}`, from 1 for the label and
    0 for all others."""
    outputs: dict[texts.Name, Rate] | None = None
    """What the loss of each output counts, where there are several: `{aux: 0.4, output: 1}`."""
    batch_size: Count | None = None
    """Images of a step; a batch that they do not fill waits for the next epoch."""
    epochs: Count | None = None
    """How often training sees each image."""
    set: dict[texts.Name, Setting] | None = None
    """Values of kept parameters of the network: `{dropout: 0.2, drop_path_rate: 0.3}`."""
    freeze: tuple[texts.FileName, ...] | None = None
    """Patterns of paths whose layers stay as they are: `[stem, blocks.[0-9]]`. Their batch norms
    run as in evaluation."""
    augment: tuple[AugmentSpec, ...] | None = None
    """`flip: {probability: 0.5}`, `shift: {pixels: 4}`, `random_resized_crop: {area: [0.08, 1],
    ratio: [0.75, 1.3333333]}`, `mixup: {alpha: 0.2}`."""
    normalize: Part[NormalizeSpec] = None
    """`{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}`, of pixels from 0 to 1; without
    it pixels are brought to the range of the network's `input`."""


OWN = ("archc", "recipe", "source", "doc", "extends")
"""Keys that a recipe has of the file that it stands in, and not of the one that it extends."""
NEEDED = ("optimizer", "learning_rate", "loss", "batch_size", "epochs")
"""Keys that it says itself, or the one that it extends does."""
PARTS = tuple(k for k, field in RecipeSpec.model_fields.items() if GIVEN in field.metadata)
"""Keys that `~` leaves out."""
