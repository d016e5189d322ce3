"""The conventions that copies of a network are known to differ in, in the order of trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from archc.compiler.ir import analysis
from archc.compiler.ir.analysis import Layer
from archc.compiler.ir.network import Network, Parameter
from archc.compiler.language.expressions import Value
from archc.compiler.language.values import (
    ACTIVATIONS,
    INTERPOLATIONS,
    PADDINGS,
    POOL_PADDINGS,
    show,
)
from archc.live.against import Comparison, Flow, Meeting
from archc.live.trials import OUTPUTS, SCALES, Trial, at, everywhere, reordered, scaled
from archc.weights.settings import spelled

EPSILONS = (1e-3, 1e-5, 1e-6)
FAMILIES = (
    ("relu", "relu6", "leaky_relu"),
    ("swish", "hard_swish", "mish"),
    ("sigmoid", "hard_sigmoid"),
    ("gelu", "gelu_tanh", "quick_gelu"),
    ("tanh", "hard_tanh"),
)
"""Activations that are taken for each other."""
WORDS = {
    "padding": {*PADDINGS},
    "pool_padding": {*POOL_PADDINGS},
    "interpolation": {*INTERPOLATIONS},
}


class Conventions:
    """Those that a network and a model may differ in."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting

    def groups(
        self, network: Network, chosen: Sequence[Trial], found: Comparison
    ) -> Iterator[Iterator[Trial]]:
        """By how near to a user's hands they are; `network` is the one with those that are
        `chosen`."""
        done = {trial.kind for trial in chosen}
        yield (trial for trial in self.settings() if trial.kind not in done)
        yield self.everywhere(network)
        yield (trial for trial in self.settings(rare=True) if trial.kind not in done)
        yield self.nearby(network, found)
        if found.before is None:
            yield (trial for trial in self.inputs() if trial.kind not in done)
        yield self.flattened(network)
        if found.parted is not None and found.parted.value in ("", last(network)):
            yield iter(OUTPUTS)

    def settings(self, rare: bool = False) -> Iterator[Trial]:
        """Other settings; `rare` are activations that nobody takes for the spec's."""
        net = self.meeting.net
        for parameter in net.program.parameters:
            current = net.network.settings.get(parameter.name)
            for value in (self.rare if rare else self.values)(parameter, current):
                said = spelled(value)
                settings = {parameter.name: said}
                yield Trial(parameter.name, f"--set {parameter.name}={said}", settings)

    def values(self, parameter: Parameter, current: Value) -> Iterator[Value]:
        """Other values of a parameter that no shape gives away."""
        kind = parameter.type.kind
        if kind in WORDS:
            yield from sorted(WORDS[kind] - {show(current)})
        elif kind == "activation" and isinstance(current, str):
            yield from _family(current)
        elif kind == "bool" and not parameter.keep:
            yield not current
        elif kind == "float" and current in self.epsilons_here():
            yield from (each for each in self.epsilons() if each != current)
        elif parameter.name == "output_stride":
            yield from (each for each in (8, 16, 32) if each != current)

    def rare(self, parameter: Parameter, current: Value) -> Iterator[Value]:
        if parameter.type.kind == "activation":
            usual = {current, *self.values(parameter, current)}
            yield from (act for act in ACTIVATIONS if act not in usual)

    def epsilons_here(self) -> set[Value]:
        every = analysis.layers(self.meeting.network)
        return {layer.call.body.arguments.get("epsilon") for layer in every}

    def epsilons(self) -> list[float]:
        """Those that the model's own parts say, and the usual ones."""
        said = [part.facts.get("epsilon") for part in self.meeting.found.parts]
        return list(dict.fromkeys([*(e for e in said if isinstance(e, float)), *EPSILONS]))

    def everywhere(self, network: Network) -> Iterator[Trial]:
        """Another argument of all ops of a kind."""
        pairs = {
            (layer.op, name, value): None
            for layer in analysis.layers(network)
            for name, value in layer.call.body.arguments.items()
            if isinstance(value, str | float | bool)
        }
        for op, name, value in pairs:
            for other in self.others(op, name, value):
                said = f"with `{name}: {show(other)}` in every `{op}`"
                if name == "act":
                    said = f"with `{show(other)}` for every `{show(value)}`"
                yield Trial(name, said, change=everywhere(op, name, value, other))

    def others(self, op: str, name: str, value: Value) -> Iterator[Value]:
        kinds = {"max_pool2d": POOL_PADDINGS, "avg_pool2d": POOL_PADDINGS}
        if name == "padding" and isinstance(value, str):
            yield from sorted({*kinds.get(op, PADDINGS)} - {value})
        elif name == "epsilon" and isinstance(value, float):
            yield from (each for each in self.epsilons() if each != value)
        elif name in ("ceil_mode", "count_padding", "align_corners"):
            yield not value
        elif name == "method" and isinstance(value, str):
            yield from sorted({*INTERPOLATIONS} - {value})
        elif name == "act" and isinstance(value, str):
            yield from _family(value)

    def nearby(self, network: Network, found: Comparison) -> Iterator[Trial]:
        """Another argument of one op between where they agree last and where they part."""
        if found.parted is None:
            return
        between = _between(network, found)
        for layer in analysis.layers(network):
            for name, value in layer.call.body.arguments.items() if layer.path in between else ():
                every: list[Value] = [*ACTIVATIONS, None] if name == "act" else []
                for other in every or self.others(layer.op, name, value):
                    said = f"with `{name}: {show(other)}` at {layer.path}"
                    yield Trial(name, said, change=at(layer.path, name, other))

    def inputs(self) -> Iterator[Trial]:
        if isinstance(self.meeting.batch, Mapping) or self.meeting.network.input.channels != 3:
            return
        name = self.meeting.net.name
        for (formula, numbers), swapped in product(SCALES.items(), (False, True)):
            given = [f"{formula} of its x"] * (formula != "x") + ["BGR of its RGB"] * swapped
            kind = "BGR" if swapped and formula == "x" else "preprocessing"
            if given:
                said = f"if the input of {name} is {' and '.join(given)}"
                yield Trial(kind, said, batch=scaled(numbers, swapped))

    def flattened(self, network: Network) -> Iterator[Trial]:
        """Weights of a dense layer on a map that the model flattens by channel first."""
        every = analysis.layers(network)
        for layer in every:
            source = _source(every, layer)
            x = source.call.body.inputs[0]
            if layer.op == "dense" and source.op == "flatten" and x.area > 1:
                order = "by channel, row, column"
                said = f"if the weights of {layer.path} are reordered from flattening {order}"
                name = f"{layer.path}.weight"
                yield Trial("flatten order", said, weights=reordered(name, x.shape))


def last(network: Network) -> str:
    """The op that gives the output. A model's own may hold an activation, as Keras's layers do."""
    end = analysis.results(network)[-1]
    return analysis.layers(network)[end].path if end >= 0 else ""


def _source(every: Sequence[Layer], layer: Layer) -> Layer:
    """The last layer before one that has weights, moves numbers or takes several values."""
    while (feed := min(layer.feeds[:1], default=-1)) >= 0:
        layer = every[feed]
        if layer.op == "flatten" or layer.weights or len(layer.feeds) > 1:
            break
    return layer


def _family(act: str) -> Iterator[Value]:
    yield from (other for of in FAMILIES if act in of for other in of if other != act)


def _between(network: Network, found: Comparison) -> set[str]:
    assert found.parted is not None
    flow = Flow(network)
    agreed = flow.before([found.before.value] if found.before else [])
    return flow.before([found.parted.value]) - agreed
