"""A recipe beside a network: what it trains of it, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from archc.compiler.ir.analysis import Layer, layers
from archc.compiler.ir.network import Network, Weight
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Place, Problem, SpecError, choices, quote, suggest
from archc.compiler.recipe.load import load_spec
from archc.compiler.recipe.models import RecipeSpec
from archc.compiler.recipe.recipe import CrossEntropy, Recipe
from archc.compiler.recipe.resolve import recipe_of


@dataclass(frozen=True)
class Training:
    """A recipe that fits a network."""

    recipe: Recipe
    file: Path
    """Of the recipe."""
    network: Network
    """With its own settings, and not with those of the recipe."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Of the parameters that the recipe sets."""

    def frozen(self, path: str) -> bool:
        """Whether the layer at a path is not trained."""
        return matches(path, self.recipe.freeze)

    def trained(self) -> Iterator[tuple[str, Layer, Weight]]:
        """What it changes: each weight by its canonical name, with its layer."""
        for layer in layers(self.network):
            if not self.frozen(layer.path):
                for weight in layer.weights:
                    if weight.trainable:
                        yield f"{layer.path}.{weight.name}", layer, weight

    def decays(self, layer: Layer, weight: Weight) -> bool:
        """Whether the weight decay is for a weight."""
        decay = self.recipe.weight_decay
        if decay is None:
            return False
        return not matches(layer.path, decay.skip_names) and _role(layer, weight) not in decay.skip


def _role(layer: Layer, weight: Weight) -> str:
    """The one of `ROLES` that a weight plays, or its own."""
    if layer.op in NORMS:
        return "norm"
    if "bias" in weight.role:
        return "bias"
    if "depthwise" in weight.role or layer.op == "depthwise_conv2d":
        return "depthwise"
    return weight.role


NORMS = ("batch_norm", "group_norm", "layer_norm")


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern means the layer at `path`, or what it is a part of."""
    parts = path.split(".")
    wholes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return any(fnmatchcase(whole, pattern) for pattern in patterns for whole in wholes)


def fitted(file: Path, network: Network, include: Iterable[Path] = ()) -> Training:
    """The recipe in a file beside a network. Raises `SpecError`."""
    spec = load_spec(file, include)
    training = Training(recipe_of(spec), file, network)
    problems = [*_problems(spec, training)]
    if problems:
        raise SpecError(problems)
    return training


def _problems(spec: RecipeSpec, training: Training) -> Iterator[Problem]:
    yield from _unmatched(spec, training)
    yield from _settings(spec, training.network)
    yield from _outputs(spec, training.network)
    yield from _untrainable(spec, training)


def _unmatched(spec: RecipeSpec, training: Training) -> Iterator[Problem]:
    """Patterns that mean no layer, and a recipe that trains nothing."""
    weighted = [layer for layer in layers(training.network) if layer.weights]
    skipped = spec.weight_decay.skip_names if spec.weight_decay else ()
    for pattern in (*(spec.freeze or ()), *skipped):
        if not any(matches(layer.path, [pattern]) for layer in weighted):
            rows = {layer.path.split(".")[0]: None for layer in weighted}
            hint = suggest(pattern, rows) or f"its layers are in {choices(rows)[7:]}"
            message = f"no layer of `{training.network.name}` is {quote(pattern)}"
            yield Problem("T004", message, pattern.place, hint)
    if not any(training.trained()):
        message = f"all weights of `{training.network.name}` are frozen: nothing is trained"
        yield Problem("T004", message, spec.key_place("freeze"), "freeze fewer layers")


def _settings(spec: RecipeSpec, network: Network) -> Iterator[Problem]:
    """Settings that generated models do not take."""
    kept = {parameter.name for parameter in network.kept}
    for name in spec.set or {}:
        if name not in kept:
            known = name in network.settings
            message = f"`{name}` is no kept parameter of `{network.name}`"
            hint = (
                f"give it when the network is built: `--set {name}=...`"
                if known
                else suggest(name, kept) or choices(sorted(kept))
            )
            yield Problem("T005", message, name.place, hint)


def _outputs(spec: RecipeSpec, network: Network) -> Iterator[Problem]:
    several = network.outputs if len(network.outputs) > 1 else {}
    for name in spec.outputs or {}:
        if name not in several:
            message = f"`{network.name}` has no output called `{name}`"
            hint = choices(several) if several else "it has one output, which needs no weight"
            yield Problem("T005", message, name.place, hint)
    if several and not spec.outputs:
        example = ", ".join(f"{name}: 1" for name in several)
        message = f"`{network.name}` has several outputs, and `outputs` does not weigh their losses"
        yield Problem("T005", message, spec.place, f"write `outputs: {{{example}}}`")


def _untrainable(spec: RecipeSpec, training: Training) -> Iterator[Problem]:
    """Networks that the batches or the loss are not for."""
    network, place = training.network, spec.key_place("loss")
    if len(network.inputs) > 1:
        message = f"`{network.name}` has several inputs"
        yield Problem("T006", message, place, "recipes train networks of one image")
    elif not network.input.is_map:
        yield Problem("T006", f"the input of `{network.name}` is no image", place)
    if network.inference:
        message = f"`{network.name}` is built for inference, without what training needs"
        yield Problem("T006", message, place, "leave out `--inference`")
    normalize, channels = training.recipe.normalize, network.input.channels
    if normalize and len(normalize.mean) not in (1, channels):
        message = f"`normalize` is for {len(normalize.mean)} channels"
        hint = f"the input of `{network.name}` has {channels}"
        yield Problem("T006", message, spec.key_place("normalize"), hint)
    for row in network.outputs.values():
        if row.call.body.output.is_map:
            message = f"`{row.call.name}` gives a feature map, and the loss is of one label"
            yield Problem("T006", message, place)
    yield from _probabilities(spec, training, place)


def _probabilities(spec: RecipeSpec, training: Training, place: Place) -> Iterator[Problem]:
    """A cross-entropy takes logits."""
    if not isinstance(training.recipe.loss, CrossEntropy):
        return
    act = training.network.settings.get("classifier_activation")
    given = next((v for k, v in (spec.set or {}).items() if k == "classifier_activation"), None)
    if (given or act or "none") != "none":
        message = "the cross-entropy is one of logits, and the network ends with an activation"
        hint = "add `set: {classifier_activation: none}` to the recipe, or build the network so"
        yield Problem("T006", message, place, hint)
