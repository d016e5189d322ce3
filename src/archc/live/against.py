"""Holds models against one that anyone wrote: which values agree, and where they part first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose, prod
from pathlib import Path

from archc import backends
from archc.api import Net, dims
from archc.backends.storage import WeightsError, first, shown
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import Invalid, printable
from archc.live import verify
from archc.live.check import Step, asked, named
from archc.live.numeric import (
    Array,
    Arrays,
    Batch,
    Difference,
    difference,
    settled_weights,
    with_blocks,
)
from archc.live.pairing import Pairs, Place, outputs, pairs, places
from archc.live.theirs import Description, Theirs
from archc.live.verify import Verdict
from archc.weights import unwrapping
from archc.weights.convert import load
from archc.weights.rules import ZooModel

SKIPPED = 3
"""Most places that are told where two differ that agree further on."""
HIDDEN = {
    "decay": "that shows in training alone",
    "epsilon": "that makes no difference above the tolerance",
}
"""What layers say of themselves and the numbers do not show."""


@dataclass(frozen=True)
class Meeting:
    """A network and a model that anyone wrote, with the same weights and the same inputs."""

    net: Net
    what: str
    """What the user calls the model."""
    network: Network
    """At the size at which they are compared."""
    found: Description
    pairs: Pairs
    places: Sequence[Place]
    """In order of evaluation; the outputs stand last."""
    batch: Batch
    weights: Arrays
    reference: Mapping[Place, Array]
    """What the model gives there."""
    remarks: Sequence[str] = ()
    """What a user may not expect."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A place, and how far each side is from the model there."""

    place: Place
    value: str
    """Which of the place's values is the nearest."""
    differences: Mapping[str, Difference]
    """By backend."""

    @property
    def is_output(self) -> bool:
        return not self.place.path or self.place.path.startswith("[")

    @property
    def worst(self) -> float:
        """The largest difference of any side, as a share of the scale."""
        return max((d.relative for d in self.differences.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison at all places comes to."""

    places: Sequence[Compared]
    parted: Compared | None
    """Where the two part first, if their outputs do."""
    before: Compared | None
    """The last place where they agree, of those that this one depends on."""
    skipped: Sequence[Compared] = ()
    """Places where they differ, though what is made of their values agrees."""

    @property
    def ends(self) -> float:
        """How far the outputs are apart, as a share of the scale."""
        return max(each.worst for each in self.places if each.is_output)

    @property
    def reached(self) -> int:
        """How many places they agree up to."""
        return len(self.places) if self.parted is None else self.places.index(self.parted)


def shapes(net: Net) -> list[tuple[int, ...]]:
    """Of the network's inputs."""
    return [own.shape for own in net.inputs]


def meet(
    net: Net,
    theirs: Theirs,
    model: ZooModel | None = None,
    known: Iterable[ZooModel] = (),
    file: Path | None = None,
    key: str | None = None,
    step: Step = lambda text: None,
) -> Meeting:
    """Gives the model the network's random weights, or the network those of the model in a file,
    and runs it on the same inputs.

    Arrays are paired by the rules of `model`, or else as `pairing.pairs` finds them. Raises
    `WeightsError` where they do not pair, where the model is for other inputs or outputs, or where
    its code fails.
    """
    what = theirs.source.text
    found = theirs.describe(shapes(net))
    paired = pairs(net, theirs, found, model, known)
    here = _at_its_size(net, what, found)
    batch = verify.inputs(here)
    step("weights")
    given = _given(net, found, paired, file, key)
    weights = given.weights if given else settled_weights(here.network, batch)
    ends = [Place(path, (path,), name) for path, name in outputs(net, what, found).items()]
    inner = places(net, paired, found)
    step(what)
    by_name = dict(batch) if isinstance(batch, Mapping) else {next(iter(net.network.inputs)): batch}
    arrays = {**(given.arrays if given else {}), **paired.theirs(weights)}
    gives = theirs.run(arrays, by_name, [place.part for place in inner])
    reference = {p: gives.parts[p.part] for p in inner if p.part in gives.parts}
    reference |= {end: gives.outputs[end.part] for end in ends}
    remarks = [*found.remarks, *paired.remarks, *_left(paired, given)]
    remarks += given.remarks if given else ()
    return Meeting(
        net, what, here.network, found, paired, [*reference], batch, weights, reference, remarks
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """What a file has: canonically, and by the model's own names."""

    weights: Arrays
    arrays: Arrays
    remarks: Sequence[str] = ()


def _given(
    net: Net, found: Description, paired: Pairs, file: Path | None, key: str | None
) -> _Given | None:
    """The weights in a file: the model's, or the network's where they are not."""
    if file is None:
        return None
    try:
        own = unwrapping.read(file, found.framework, found.tensors, paired.arrays, key)
    except unwrapping.Misfit as misfit:
        try:
            return _Given(load(net, file), {})
        except WeightsError:
            raise misfit from None
    remarks = [f"{shown(file)}: {remark}" for remark in own.remarks]
    return _Given(paired.ours(own.arrays), own.arrays, remarks)


def _left(paired: Pairs, given: _Given | None) -> Iterator[str]:
    names = [each.name for each in paired.left if not given or each.name not in given.arrays]
    if names:
        yield f"nothing of the spec is its {first(names)}: that keeps its own numbers"


def _at_its_size(net: Net, what: str, found: Description) -> Net:
    """The network for inputs of the size that the model takes."""
    ours, theirs = shapes(net), list(found.inputs)
    if ours == theirs:
        return net
    said = ", ".join(map(dims, theirs))
    message = f"{printable(what)}: it takes inputs of {said}, and {net.name} of"
    message = f"{message} {', '.join(map(dims, ours))}"
    if len(theirs[0]) != 3 or len(ours[0]) != 3:
        raise WeightsError(message)
    try:
        network = at_size(net.network, *theirs[0][1:])
    except Invalid as invalid:
        raise WeightsError(f"{message}: {invalid.message}") from None
    if [each.tensor.shape for each in network.inputs.values()] != theirs:
        raise WeightsError(message)
    return replace(net, network=network)


# ---- Comparing


def compared(meeting: Meeting, tolerance: float, step: Step = lambda text: None) -> Comparison:
    """Every backend's model held against the model at every place."""
    paths = {path for place in meeting.places for path in place.values}
    ours: dict[str, Arrays] = {
        name: _ours(meeting, name, paths, step) for name in backends.drivable()
    }
    return comparison(meeting, meeting.network, ours, tolerance)


def _ours(meeting: Meeting, backend: backends.Name, paths: set[str], step: Step) -> Arrays:
    step(backend)
    net, size = meeting.net, meeting.network.input
    live, model = net.live(backend), net.build(backend, size.height, size.width)
    live.load(model, meeting.weights)
    rows = {row.call.name for row in net.network.rows}
    given = live.outputs(model, meeting.batch, paths | rows, **asked(net.network))
    return with_blocks(net.network, given)


def comparison(
    meeting: Meeting, network: Network, ours: Mapping[str, Arrays], tolerance: float
) -> Comparison:
    """The values of each side, by path, held against the model's."""
    every = [nearest(place, meeting.reference[place], ours) for place in meeting.places]
    off = [each for each in every if not each.worst <= tolerance]
    agreed = [each for each in every if each.differences and each.worst <= tolerance]
    flow = Flow(network)
    healed = flow.before(each.value for each in agreed)
    lost = [each for each in off if each.value not in healed]
    if not any(each.is_output for each in lost):
        return Comparison(every, None, None, off)
    parted = lost[0]
    leading = flow.before([parted.value])
    up_to = [each for each in agreed if each.value in leading]
    skipped = [each for each in off if each.value in healed]
    return Comparison(every, parted, up_to[-1] if up_to else None, skipped)


def nearest(place: Place, theirs: Array, ours: Mapping[str, Arrays]) -> Compared:
    """That of the place's values that is nearest to the model's, on the worst side."""
    known = [path for path in place.values if any(path in found for found in ours.values())]
    tries = [
        Compared(
            place, path, {s: difference(f[path], theirs) for s, f in ours.items() if path in f}
        )
        for path in known
    ]
    return min(tries, key=lambda each: each.worst, default=Compared(place, place.values[0], {}))


class Flow:
    """Which values of a network depend on which."""

    def __init__(self, network: Network) -> None:
        self.layers, ends = analysis.layers(network), analysis.results(network)
        self.numbers = {layer.path: number for number, layer in enumerate(self.layers)}
        self.numbers[""] = ends[-1]
        for row, end in zip(network.rows, ends, strict=True):
            if row.call.name in network.shown:
                self.numbers[network.shown[row.call.name]] = end

    def before(self, paths: Iterator[str] | Sequence[str]) -> set[str]:
        """The values that any of these depends on, and these."""
        paths = [*paths]
        reached = {self.numbers[path] for path in paths if path in self.numbers}
        for number in range(len(self.layers) - 1, -1, -1):
            if number in reached:
                reached |= {feed for feed in self.layers[number].feeds if feed >= 0}
        return {*paths, *(self.layers[number].path for number in reached if number >= 0)}


# ---- What is said of it


def verdicts(meeting: Meeting, found: Comparison) -> list[Verdict]:
    """A row for each row of the spec, as late in it as the two have anything in common; then the
    outputs, where there are several."""
    rows = [row for row in meeting.network.rows if not row.training]
    inner = [x for x in found.places if not x.is_output and x not in found.skipped]
    every = [_verdict(inner, row.call.name, row.call.body.target.name) for row in rows]
    ends = [each for each in found.places if each.is_output]
    if [each.place.path for each in ends] == [""]:
        return [*every[:-1], _shown(every[-1].row, every[-1].block, ends[0])]
    return [*every, *(_shown(named(each.place.path), "", each) for each in ends)]


def _verdict(inner: Sequence[Compared], row: str, block: str) -> Verdict:
    within = [each for each in inner if f"{each.place.path}.".startswith(f"{row}.")]
    return _shown(row, block, within[-1]) if within else Verdict(row, block, row)


def _shown(row: str, block: str, each: Compared) -> Verdict:
    return Verdict(row, block, each.value, each.place.part or None, each.differences)


def lines(meeting: Meeting, found: Comparison, tolerance: float) -> Iterator[str]:
    """Where the two part first, and where they only seem to."""
    for each in found.skipped[:SKIPPED]:
        yield f"note: {_at(each)} differs, {_by(meeting, each)}; what is made of it agrees"
    if found.parted is not None:
        each = found.parted
        off = [side for side, d in each.differences.items() if not d.relative <= tolerance]
        alone = f" of {', '.join(off)} alone" if len(off) < len(each.differences) else ""
        said = f"{meeting.what} parts from it first at {_at(each)}{alone}, {_by(meeting, each)}"
        yield f"{said}; they agree up to {_at(found.before)}" if found.before else said


def _at(each: Compared) -> str:
    ours = named(each.place.path)
    theirs = each.place.part
    return f"{ours} (its {theirs})" if theirs else ours


def _by(meeting: Meeting, each: Compared) -> str:
    theirs, ours = meeting.reference[each.place].shape[1:], {"": meeting.network.output.size}
    ours |= {layer.path: layer.output.size for layer in analysis.layers(meeting.network)}
    if ours.get(each.value, prod(theirs)) != prod(theirs):
        return f"where it gives {dims(theirs)}"
    if each.worst == float("inf"):
        return "where one of them gives what is no finite number"
    return f"by {each.worst:.1e} of its scale"


# ---- What no comparison in evaluation shows


def notes(meeting: Meeting, agree: bool) -> Iterator[str]:
    """What its layers say of themselves that the network's have otherwise, and that the numbers do
    not show: where they `agree`, an epsilon that is too small to."""
    for name, why in HIDDEN.items() if agree else [("decay", HIDDEN["decay"])]:
        other = [
            (ours, theirs) for ours, theirs in _said(meeting, name) if not isclose(ours, theirs)
        ]
        for ours, theirs in dict.fromkeys(other):
            count, setting = other.count((ours, theirs)), _setting(meeting.net, ours, theirs)
            said = f"note: {count:,} of its layers have a {name} of {theirs:g}, and here it is"
            yield f"{said} {ours:g}{setting}: {why}"


def _said(meeting: Meeting, name: str) -> Iterator[tuple[float, float]]:
    """What both sides say of a layer, on either side."""
    parts = {part.name: part for part in meeting.found.parts}
    arguments = {x.path: x.call.body.arguments for x in analysis.layers(meeting.network)}
    for place in meeting.places:
        if place.path in arguments and place.part in parts:
            ours, theirs = arguments[place.path].get(name), parts[place.part].facts.get(name)
            if isinstance(ours, float) and isinstance(theirs, float):
                yield ours, theirs


def _setting(net: Net, ours: float, theirs: float) -> str:
    """The setting that would say it, if there is one."""
    names = [name for name, value in net.network.settings.items() if value == ours]
    floats = [p.name for p in net.program.parameters if p.type.kind == "float"]
    return next((f" (--set {name}={theirs:g})" for name in names if name in floats), "")
