"""The nodes of a recipe as the IR of training, and what does not go together in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from archc.compiler.language.problems import Place, Reporter, SpecError
from archc.compiler.recipe import models
from archc.compiler.recipe.load import load_spec
from archc.compiler.recipe.models import NEEDED, RecipeSpec
from archc.compiler.recipe.recipe import (
    Adam,
    Augmentation,
    Clip,
    Constant,
    Cosine,
    CrossEntropy,
    Ema,
    Exponential,
    Flip,
    Loss,
    MeanSquared,
    Mixup,
    MultiStep,
    Normalize,
    OneCycle,
    Optimizer,
    Polynomial,
    RandomResizedCrop,
    RateIn,
    Recipe,
    RmsProp,
    Schedule,
    Sgd,
    Shape,
    Shift,
    WarmUp,
    WeightDecay,
)


def load(path: Path, include: Iterable[Path] = ()) -> Recipe:
    """The recipe in the file at `path`. Raises `SpecError`."""
    return recipe_of(load_spec(path, include))


def recipe_of(spec: RecipeSpec) -> Recipe:
    """The recipe that a file says. Raises `SpecError`."""
    reporter = _Checks(spec)
    reporter.check()
    if reporter.problems:
        raise SpecError(reporter.problems)
    assert spec.optimizer
    assert spec.loss
    assert spec.batch_size
    assert spec.epochs
    return Recipe(
        name=spec.recipe,
        optimizer=_optimizer(spec.optimizer),
        schedule=_schedule(spec),
        loss=_loss(spec.loss),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        source=spec.source,
        doc=spec.doc,
        weight_decay=_weight_decay(spec.weight_decay),
        clip=None if spec.clip is None else Clip(spec.clip.norm, spec.clip.over),
        ema=None if spec.ema is None else Ema(spec.ema.decay, spec.ema.statistics, spec.ema.begin),
        outputs=spec.outputs,
        settings=spec.set,
        freeze=spec.freeze or (),
        augment=tuple(_augmentation(each) for each in spec.augment or ()),
        normalize=_normalize(spec.normalize),
    )


def _sgd(spec: models.SgdSpec) -> Sgd:
    return Sgd(spec.momentum, spec.nesterov, _rate_in(spec))


def _rmsprop(spec: models.RmsPropSpec) -> RmsProp:
    said = (spec.decay, spec.momentum, spec.epsilon, spec.epsilon_added)
    return RmsProp(*said, _rate_in(spec), spec.centered, spec.start)


def _adam(spec: models.AdamSpec) -> Adam:
    return Adam(spec.beta1, spec.beta2, spec.epsilon, spec.epsilon_added)


def _rate_in(spec: models.SgdSpec | models.RmsPropSpec) -> RateIn:
    return spec.learning_rate_in or "update"


_OPTIMIZERS: Mapping[str, Callable[[Any], Optimizer]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
}


def _optimizer(spec: models.OptimizerSpec) -> Optimizer:
    kind, said = spec.chosen
    return _OPTIMIZERS[kind](said)


_SHAPES: Mapping[str, Callable[[Any], Shape]] = {
    "exponential": lambda s: Exponential(s.factor, s.every, s.staircase),
    "step": lambda s: Exponential(s.factor, s.every, staircase=True),
    "multi_step": lambda s: MultiStep(s.factor, s.at),
    "cosine": lambda s: Cosine(s.to),
    "polynomial": lambda s: Polynomial(s.to, s.power),
    "one_cycle": lambda s: OneCycle(s.start, s.to, s.share),
}


def _schedule(spec: RecipeSpec) -> Schedule:
    assert spec.learning_rate is not None
    warm = spec.warm_up
    warm_up = None if warm is None else WarmUp(warm.over, warm.start, warm.shifts)
    if spec.schedule is None:
        return Schedule(spec.learning_rate, Constant(), "step", warm_up)
    kind, said = spec.schedule.chosen
    return Schedule(spec.learning_rate, _SHAPES[kind](said), spec.schedule.per, warm_up)


def _loss(spec: models.LossSpec) -> Loss:
    kind, said = spec.chosen
    return CrossEntropy(said.smoothing) if kind == "cross_entropy" else MeanSquared()


def _weight_decay(spec: models.WeightDecaySpec | None) -> WeightDecay | None:
    if spec is None:
        return None
    return WeightDecay(spec.rate, spec.kind == "coupled", spec.skip, spec.skip_names)


_AUGMENTATIONS: Mapping[str, Callable[[Any], Augmentation]] = {
    "flip": lambda s: Flip(s.probability),
    "shift": lambda s: Shift(s.pixels),
    "random_resized_crop": lambda s: RandomResizedCrop(s.area, s.ratio),
    "mixup": lambda s: Mixup(s.alpha),
}


def _augmentation(spec: models.AugmentSpec) -> Augmentation:
    kind, said = spec.chosen
    return _AUGMENTATIONS[kind](said)


def _normalize(spec: models.NormalizeSpec | None) -> Normalize | None:
    return None if spec is None else Normalize(spec.mean, spec.std)


class _Checks(Reporter):
    """What the keys of a recipe do not say together."""

    def __init__(self, spec: RecipeSpec) -> None:
        super().__init__()
        self.spec = spec

    def check(self) -> None:
        missing = [key for key in NEEDED if getattr(self.spec, key) is None]
        where = ", here and in the recipe that it extends" if self.spec.extends else ""
        for key in missing:
            self.report("E011", f"the key `{key}` is missing{where}", self.spec.place)
        if not missing:
            self.optimizer()
            self.schedule()
            self.data()

    def optimizer(self) -> None:
        assert self.spec.optimizer is not None
        kind, said = self.spec.optimizer.chosen
        decay = self.spec.weight_decay
        if kind == "adamw" and (decay is None or decay.kind == "coupled"):
            message = "`adamw` is Adam with a decoupled weight decay"
            hint = "say `weight_decay: {rate: 0.01, kind: decoupled}`, or `adam`"
            self.report("T002", message, _key(self.spec.optimizer, kind), hint)
        if not isinstance(said, models.SgdSpec | models.RmsPropSpec):
            return
        if said.momentum and said.learning_rate_in is None:
            message = "a momentum, and `learning_rate_in` does not say where the rate enters"
            hint = (
                "write `momentum` where it scales what is added to the momentum, as in Keras and "
                "TensorFlow, or `update` where it scales the momentum, as in PyTorch"
            )
            self.report("T002", message, said.key_place("momentum"), hint)
        if not said.momentum and said.learning_rate_in is not None:
            place = said.key_place("learning_rate_in")
            hint = "leave it out, or say `momentum: 0.9`"
            self.report("T002", "`learning_rate_in` without a momentum", place, hint)
        if isinstance(said, models.SgdSpec) and said.nesterov and not said.momentum:
            message, hint = "`nesterov` without a momentum", "say `momentum: 0.9`"
            self.report("T002", message, said.key_place("nesterov"), hint)

    def schedule(self) -> None:
        spec, schedule, rate = self.spec, self.spec.schedule, self.spec.learning_rate
        assert rate is not None
        kind, said = schedule.chosen if schedule else ("constant", None)
        if kind == "one_cycle" and spec.warm_up is not None:
            message = "`one_cycle` rises by itself, and there is a `warm_up` too"
            self.report("T002", message, spec.warm_up.place, "leave one of them out")
        nodes: list[tuple[Any, str]] = [(spec.warm_up, "start"), (said, "start"), (said, "to")]
        for node, key in nodes:
            value = getattr(node, key, 0.0)
            if value > rate:
                message = f"`{key}` is {value:g}, above the learning rate of {rate:g}"
                self.report("T002", message, node.key_place(key))
        self.lengths(said)

    def lengths(self, said: Any) -> None:
        """What lasts longer than the training."""
        assert self.spec.epochs is not None
        at = getattr(said, "at", ())
        found = [("every", said.every)] if hasattr(said, "every") else []
        found += [("at", each) for each in at]
        if self.spec.warm_up is not None:
            found.append(("over", self.spec.warm_up.over))
        for key, stretch in found:
            if stretch.unit == "epochs" and stretch.number >= self.spec.epochs:
                message = f"`{key}` is {stretch}, and the training ends after {self.spec.epochs}"
                self.report("T003", message, stretch.place, self.longer(stretch.place))
        for earlier, later in pairwise(at):
            if earlier.unit != later.unit:
                hint = "count all of them in `epochs`, or in `steps`"
                self.report("T002", "`at` counts in epochs and in steps", later.place, hint)
            elif earlier.number >= later.number:
                message = f"`at` has {later} after {earlier}"
                self.report("T002", message, later.place, "write the earlier first")

    def longer(self, place: Place) -> str:
        """What to do about a stretch that is too long, wherever it is said."""
        here = self.spec.place.source
        if place.source == here:
            return "train longer, or say less"
        return f"train longer, or say another `schedule` in {here.name}, or `schedule: ~`"

    def data(self) -> None:
        normalize = self.spec.normalize
        if normalize is not None and len(normalize.mean) != len(normalize.std):
            said = f"`mean` has {len(normalize.mean)} entries, and `std` {len(normalize.std)}"
            hint = "write one of each for every channel"
            self.report("T002", said, normalize.place, hint)
        for each in self.spec.augment or ():
            _, said = each.chosen
            if isinstance(said, models.CropSpec):
                for key in ("area", "ratio"):
                    low, high = getattr(said, key)
                    if low > high:
                        message = f"`{key}` goes from {low:g} down to {high:g}"
                        self.report("T002", message, said.key_place(key), "write the lower first")


def _key(node: Any, key: str) -> Place:
    place: Place = node.key_place(key)
    return place
