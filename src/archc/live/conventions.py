"""Which of the conventions that copies of a network are known to differ in makes one agree with a
model that anyone wrote: each is tried, and what agrees is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from archc.api import load_with
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir import analysis
from archc.compiler.ir.analysis import Layer
from archc.compiler.ir.network import Call, Network, Parameter
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Invalid, SpecError
from archc.compiler.language.values import (
    ACTIVATIONS,
    INTERPOLATIONS,
    PADDINGS,
    POOL_PADDINGS,
    show,
)
from archc.live import interpreter
from archc.live.against import Comparison, Flow, Meeting, comparison, nearest
from archc.live.check import named
from archc.live.numeric import Array, Arrays, Batch
from archc.live.pairing import Place
from archc.weights.settings import spelled

SECONDS = 60.0
"""How long trying takes at most."""
MOST = 4
"""Of how many conventions an explanation is made up at most."""
SHOWN = 4
"""Most explanations that are told."""
ROUNDING = 1e-6
"""What float32 leaves of a difference, as a share of scale."""
LOOKED_AT = 4
"""Places from the one where two part on; a trial that changes none of them leads no further."""
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
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([103.939, 116.779, 123.68])

Change = Callable[[str, str, Mapping[str, Value]], Mapping[str, Value]]
"""change(path, op, arguments) -> its arguments."""
Number = tuple[Any, Any]
"""(scale, offset) for each channel."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Trial:
    """One convention in the place of another."""

    kind: str
    """In a word: `padding`."""
    said: str
    """What it comes to, for a message."""
    settings: Mapping[str, str] = field(default_factory=dict)
    change: Change = lambda path, op, arguments: arguments
    batch: Callable[[Array], Array] = _same
    """The network's input of the model's."""
    weights: Callable[[Arrays], Arrays] = _same
    output: Callable[[Array], Array] = _same
    """The model's output of the network's."""


@dataclass(frozen=True)
class Explanation:
    """What trying came to."""

    agreeing: Sequence[tuple[Sequence[Trial], float]]
    """Each of these makes the two agree, at their outputs to that share of scale."""
    nearer: Sequence[Trial]
    """What makes them agree further, where nothing makes them agree all the way."""
    parted: Comparison | None
    """Where they part with that."""
    kinds: Sequence[str]
    """What was tried."""
    count: int
    late: bool
    """Whether the time ran out."""
    none: bool = False
    """Whether the definitions of the ops agree with the model as it is: a backend does not."""


def explained(
    meeting: Meeting, found: Comparison, tolerance: float, include: Iterable[Path] = ()
) -> Explanation:
    """Tries one convention after another, on top of those that led further."""
    return _Search(meeting, tolerance, [*include]).run(found)


class _NoFurther(Exception):
    """A trial parts where the one before did."""


class _Values(dict[str, Array]):
    """Values by path, as they are computed, until some places are seen to differ all alike."""

    def __init__(self, search: _Search, watched: Sequence[Place]) -> None:
        self.search, self.watched = search, watched
        self.wanted = {path for place in search.meeting.places for path in place.values}
        self.ahead = {path for place in watched for path in place.values}

    def see(self, path: str, value: Array) -> None:
        if path in self.wanted:
            self[path] = value
        if path in self.ahead:
            self.ahead.discard(path)
            if not self.ahead and self.search.off(self.watched, self):
                raise _NoFurther


Found = tuple[list[tuple[Sequence[Trial], float]], tuple[Sequence[Trial], Comparison] | None]
"""What makes the two agree, to that share of scale; and what else leads furthest."""


def _further(
    best: tuple[Sequence[Trial], Comparison] | None,
    trials: Sequence[Trial],
    tried: Comparison,
    found: Comparison,
) -> tuple[Sequence[Trial], Comparison] | None:
    return (trials, tried) if tried.reached > (best[1] if best else found).reached else best


class _Search:
    def __init__(self, meeting: Meeting, tolerance: float, include: Sequence[Path]) -> None:
        self.meeting, self.tolerance, self.include = meeting, tolerance, include
        self.end = monotonic() + SECONDS
        self.first = replace(
            meeting, reference={place: array[:1] for place, array in meeting.reference.items()}
        )
        self.kinds: dict[str, None] = {}
        self.count = 0

    def run(self, found: Comparison) -> Explanation:
        chosen: list[Trial] = []
        plain = self.tried([])
        if plain is not None and plain.parted is None:
            return Explanation([], [], None, [], 0, False, none=True)
        while len(chosen) < MOST and monotonic() < self.end:
            agreeing, further = self.round(chosen, found)
            if not agreeing and further is None:
                agreeing, further = self.pairs(chosen, found)
            if agreeing:
                return self.told([([*chosen, *each], far) for each, far in agreeing], [], None)
            if further is None:
                break
            trials, found = further
            chosen += trials
        return self.told([], chosen, found if chosen else None)

    def told(
        self,
        agreeing: Sequence[tuple[Sequence[Trial], float]],
        nearer: Sequence[Trial],
        at: Comparison | None,
    ) -> Explanation:
        late = monotonic() >= self.end
        return Explanation(agreeing, nearer, at, [*self.kinds], self.count, late)

    def round(self, chosen: Sequence[Trial], found: Comparison) -> Found:
        """The trials of the first group with any that make all agree: those that do so as nearly as
        any of them. Where none does, that which leads furthest of the first group that leads
        further."""
        best: tuple[Sequence[Trial], Comparison] | None = None
        for group in self.groups(chosen, found):
            agreeing: list[tuple[Sequence[Trial], float]] = []
            furthest = best
            for trial in group:
                tried = self.tried([*chosen, trial], found.reached)
                if tried is not None and tried.parted is None:
                    agreeing.append(([trial], tried.ends))
                elif best is None and tried is not None:
                    furthest = _further(furthest, [trial], tried, found)
            best = furthest
            if agreeing:
                near = 3 * min(far for _, far in agreeing) + ROUNDING
                return [(trials, far) for trials, far in agreeing if far <= near], None
        return [], best

    def pairs(self, chosen: Sequence[Trial], found: Comparison) -> Found:
        """The first two together that make all agree, where one alone leads nowhere; or else those
        that lead furthest."""
        groups = [[*group] for group in self.groups(chosen, found)]
        every = [trial for group in groups for trial in group]
        best: tuple[Sequence[Trial], Comparison] | None = None
        for pair in product(groups[0] + groups[1], every):
            if pair[0].kind != pair[1].kind:
                tried = self.tried([*chosen, *pair], found.reached)
                if tried is not None and tried.parted is None:
                    return [(pair, tried.ends)], None
                best = best if tried is None else _further(best, pair, tried, found)
        return [], best

    # ---- Trying

    def tried(self, trials: Sequence[Trial], reached: int | None = None) -> Comparison | None:
        """What the network comes to with these; None where there is no such network, no time, or
        where it parts at the place that was `reached` as before."""
        network = self.network(trials) if monotonic() < self.end else None
        if network is None:
            return None
        self.kinds.update(dict.fromkeys(trial.kind for trial in trials))
        self.count += bool(trials)
        weights, batch = self.meeting.weights, _one(self.meeting.batch)
        for trial in trials:
            weights, batch = trial.weights(weights), _mapped(trial.batch, batch)
        watched = self.meeting.places[reached : reached + LOOKED_AT] if reached is not None else []
        values = _Values(self, watched)
        try:
            values[""] = interpreter.run(network, weights, batch, values.see)
        except (ValueError, _NoFurther):  # the former of shapes that no longer fit
            return None
        ends = [path for path in ("", _last(network)) if path in values]
        for trial in trials:
            values.update((path, trial.output(values[path])) for path in ends)
        return comparison(self.first, network, {"": values}, self.tolerance)

    def off(self, places: Sequence[Place], values: Arrays) -> bool:
        """Whether all of these differ."""
        every = (nearest(place, self.first.reference[place], {"": values}) for place in places)
        return all(not each.worst <= self.tolerance for each in every)

    def network(self, trials: Sequence[Trial]) -> Network | None:
        """The network with these; None where they leave no such weights."""
        settings = {name: value for trial in trials for name, value in trial.settings.items()}
        network = self.meeting.network
        if settings:
            try:
                network = self.loaded(settings)
            except (SpecError, Invalid):
                return None
        for trial in trials:
            network = changed(network, trial.change)
        return network

    def loaded(self, settings: Mapping[str, str]) -> Network:
        """Raises `SpecError` and `Invalid`."""
        net, here = self.meeting.net, self.meeting.network
        network = load_with(net.spec, {**net.settings, **settings}, self.include).network
        if here.input.shape != net.network.input.shape:
            network = at_size(network, here.input.height or 1, here.input.width or 1)
        if _weights(network) != _weights(here):
            raise Invalid("E040", "other weights")
        return network

    # ---- What is tried

    def groups(self, chosen: Sequence[Trial], found: Comparison) -> Iterator[Iterator[Trial]]:
        """By how near to a user's hands they are."""
        done = {trial.kind for trial in chosen}
        yield (trial for trial in self.settings() if trial.kind not in done)
        network = self.network(chosen) or self.meeting.network
        yield self.everywhere(network)
        yield (trial for trial in self.settings(rare=True) if trial.kind not in done)
        yield self.nearby(network, found)
        if found.before is None:
            yield (trial for trial in self.inputs() if trial.kind not in done)
        yield self.flattened(network)
        if found.parted is not None and found.parted.value in ("", _last(network)):
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
                yield Trial(name, said, change=_everywhere(op, name, value, other))

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
                    yield Trial(name, said, change=_at(layer.path, name, other))

    def inputs(self) -> Iterator[Trial]:
        if isinstance(self.meeting.batch, Mapping) or self.meeting.network.input.channels != 3:
            return
        name = self.meeting.net.name
        for (formula, numbers), swapped in product(SCALES.items(), (False, True)):
            given = [f"{formula} of its x"] * (formula != "x") + ["BGR of its RGB"] * swapped
            kind = "BGR" if swapped and formula == "x" else "preprocessing"
            if given:
                said = f"if the input of {name} is {' and '.join(given)}"
                yield Trial(kind, said, batch=_scaled(numbers, swapped))

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
                yield Trial("flatten order", said, weights=_reordered(name, x.shape))


def _last(network: Network) -> str:
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


def _weights(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    return [(path, weight.shape) for path, _, weight in analysis.weights(network)]


def _one(batch: Batch) -> Batch:
    """The first of the inputs: in evaluation each stands alone."""
    if isinstance(batch, Mapping):
        return {name: array[:1] for name, array in batch.items()}
    return batch[:1]


def _mapped(change: Callable[[Array], Array], batch: Batch) -> Batch:
    return batch if isinstance(batch, Mapping) else change(batch)


def _everywhere(op: str, name: str, value: Value, other: Value) -> Change:
    def change(path: str, at: str, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
        same = at == op and name in arguments and arguments[name] == value
        return {**arguments, name: other} if same else arguments

    return change


def _at(where: str, name: str, other: Value) -> Change:
    return lambda path, op, arguments: {**arguments, name: other} if path == where else arguments


def changed(network: Network, change: Change) -> Network:
    """`network` with other arguments of its ops, for the interpreter: shapes are not worked out
    anew."""

    def call(old: Call, path: str) -> Call:
        body = old.body
        inner = tuple(call(each, f"{path}.{each.name}") for each in body.calls)
        arguments = body.arguments if inner else change(path, body.target.name, body.arguments)
        return replace(old, body=replace(body, calls=inner, arguments=arguments))

    rows = [replace(row, call=call(row.call, row.call.name)) for row in network.rows]
    return replace(network, rows=tuple(rows))


def _between(network: Network, found: Comparison) -> set[str]:
    assert found.parted is not None
    flow = Flow(network)
    agreed = flow.before([found.before.value] if found.before else [])
    return flow.before([found.parted.value]) - agreed


def _reordered(name: str, shape: tuple[int, ...]) -> Callable[[Arrays], Arrays]:
    """A matrix for vectors by row, column, channel, of one for vectors by channel first."""

    def reorder(weights: Arrays) -> Arrays:
        matrix = weights[name]
        maps = matrix.reshape(len(matrix), *shape).transpose(0, 2, 3, 1)
        return {**weights, name: maps.reshape(len(matrix), -1)}

    return reorder


def _channels(array: Any) -> Any:
    return np.reshape(array, (1, -1, 1, 1))


def _scaled(numbers: Number, swapped: bool) -> Callable[[Array], Array]:
    scale, offset = map(_channels, numbers)

    def scaled(batch: Array) -> Array:
        turned = batch[:, ::-1] if swapped else batch
        return np.asarray(turned * scale + offset)

    return scaled


def _inverse(numbers: Number) -> Number:
    scale, offset = numbers
    return 1 / scale, -offset / scale


_SCALES: Mapping[tuple[str, str], Number] = {
    ("x / 255", "x * 255"): (1 / 255, 0.0),
    ("x / 127.5 - 1", "(x + 1) * 127.5"): (1 / 127.5, -1.0),
    ("2 * x - 1", "(x + 1) / 2"): (2.0, -1.0),
    ("(x - mean) / std", "x * std + mean"): (1 / STD, -MEAN / STD),
    ("(x / 255 - mean) / std", "(x * std + mean) * 255"): (1 / STD / 255, -MEAN / STD),
    ("x - Caffe's mean", "x + Caffe's mean"): (1.0, -CAFFE),
}
SCALES: Mapping[str, Number] = {
    "x": (1.0, 0.0),
    **{there: numbers for (there, _), numbers in _SCALES.items()},
    **{back: _inverse(numbers) for (_, back), numbers in _SCALES.items()},
}
"""What a model may do with its input itself, or leave to whoever calls it; mean and std are
ImageNet's."""


def _softmax(x: Array) -> Array:
    return interpreter.ACTIVATIONS["softmax"](x)


OUTPUTS = (
    Trial("output", "if a softmax follows", output=_softmax),
    Trial("output", "if a sigmoid follows", output=interpreter.ACTIVATIONS["sigmoid"]),
    Trial("output", "if the logarithm of a softmax follows", output=lambda x: np.log(_softmax(x))),
)


# ---- What is said of it


def lines(found: Explanation) -> Iterator[str]:
    """What makes the two agree; else what leads further, and that nothing explains the rest."""
    if found.none:
        yield "the definitions of the ops agree with it: a backend is wrong"
        return
    for trials, far in found.agreeing[:SHOWN]:
        yield f"it agrees {_together(trials)}, to {far:.0e} of its scale"
    if found.agreeing:
        more = len(found.agreeing) - SHOWN
        yield from [f"and with {more:,} others"] * (more > 0)
        return
    rest = "it"
    if found.nearer and found.parted and found.parted.parted:
        at = named(found.parted.parted.value)
        yield f"{_together(found.nearer)}, it parts later, at {at}"
        rest = "the rest"
    tried = ", ".join(found.kinds) or "nothing"
    late = f", until {SECONDS:g} seconds were over" if found.late else ""
    yield f"none of the known conventions explains {rest}; {found.count:,} tries{late}: {tried}"


def _together(trials: Sequence[Trial]) -> str:
    settings = " ".join(trial.said for trial in trials if trial.settings)
    others = [trial.said for trial in trials if not trial.settings]
    return " and ".join([*([f"with {settings}"] if settings else []), *others])
