"""Backends: from a network to source text, and to live models made by running that text; or to a
graph, which is a file with the weights in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NewType, TypeAlias

from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Network

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from archc.backends.outline import Outline
    from archc.backends.storage import Storage, Stored

GROUP = "archc.backends"
"""The entry-point group under which a backend registers its `Backend`."""
OtherBackend = NewType("OtherBackend", str)
"""The name of a backend that does not come with archc, for a type checker."""
Name: TypeAlias = Literal["keras", "onnx", "torch"] | OtherBackend
"""The name of a backend."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One emitted module: its file name and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a backend says of a network: a module's text, and what its model is called there."""

    text: str
    model: str


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """How a graph is to be written. What a backend has none of is a `BackendError`."""

    layout: str = "nchw"
    """Of the input and of outputs that are feature maps: `nchw`, or `nhwc`."""
    opset: int | None = None
    """Which version of the format's operators; None for the backend's choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a backend has that writes a graph and no source."""

    ending: str
    """Of the files: `.onnx`."""
    text_ending: str
    """Of the textual form."""
    text: Callable[[Network, str, GraphOptions], str]
    """text(network, spec file name, options) -> the textual form, without the weights' numbers."""
    files: Callable[..., Iterator[tuple[str, Iterable[bytes]]]]
    """files(network, spec file name, stem, arrays by canonical name, options) -> names and contents
    of files, in the order in which they are to be written. The last one refers to those before."""
    wrote: Callable[[bytes], bool]
    """wrote(data) -> whether archc wrote a file, or its textual form, that starts so."""
    read: Callable[[Path], str]
    """read(path) -> the textual form of a file; raises `ValueError` where it is none."""
    outline: Callable[[Network, GraphOptions], Outline]
    """outline(network, options) -> what its file would hold."""
    outline_of: Callable[[Path], Outline]
    """outline_of(path) -> what a file holds that archc wrote; raises `ValueError` where it is
    damaged."""


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """What archc asks of a framework. Nothing here imports it before `live` is called."""

    name: str
    ops: Mapping[str, Any]
    """How to spell each op of the catalogue."""
    emit: Callable[[Network, str], Emitted]
    """emit(network, spec file name) -> the generated module, or a graph as text."""
    live: Callable[[], Live]
    """Imports the framework and says how to drive it."""
    distribution: str
    """What to install for it."""
    storage: Callable[[], Storage]
    """How the framework keeps weights. Does not import it."""
    graph: Graph | None = None
    """What there is besides where it writes a graph."""
    script: Callable[[Mapping[str, Any]], str] | None = None
    """script(facts) -> the text of a script that trains as a recipe says."""
    untold: Callable[[], Collection[str]] = tuple
    """The names that its code uses itself and that `names.yaml`, where there is one in its folder,
    does not tell."""
    static: bool = False
    """Whether its source is another for one size alone: paddings are numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """How to drive a live model. Arrays are float32; feature maps are (batch, channels, height,
    width), whatever the framework's own order is, and weights are in PyTorch's layout. What `build`
    and `outputs` raise says in a note which layer it came out of, where they know."""

    build: Callable[..., Any]
    """build(constructor, network, height, width) -> model, in evaluation mode. Where a backend
    writes a graph, constructor() gives fresh weights by canonical name."""
    arrays: Callable[[Any], dict[str, Any]]
    """arrays(model) -> every parameter and running average by canonical name."""
    load: Callable[[Any, Mapping[str, Any]], None]
    """load(model, arrays): copies arrays by canonical name; all names of both sides must match."""
    outputs: Callable[..., dict[str, Any]]
    """outputs(model, batch, paths=None) -> of a batch, or of one for each of several inputs, by
    name: the output of every layer by path, or of those in
    `paths`, and of the model as `shown` has it; in evaluation. For a network that has such rows,
    `auxiliary=True` asks for those that run in training only, too: as they are in evaluation."""
    references: References | None = None
    """How to drive models of the framework that others published."""
    foreign: Foreign | None = None
    """How to look into models of the framework that anyone wrote."""
    trains: Callable[[], Any] | None = None
    """A module with `double`, in whose context models are made in float64, `train`: see `Trained`,
    and rates(script, model, steps per epoch, steps), the learning rates of the first steps."""


@dataclass(frozen=True, slots=True)
class Trained:
    """One step of train(script, model, batches, steps per epoch), in float64. Arrays are as `Live`
    has them, by canonical name."""

    loss: float
    """Before the step."""
    gradients: Mapping[str, Any]
    """Of what is trained, before they are clipped or a weight decay is added."""
    weights: Mapping[str, Any]
    """After the step, running averages included."""
    average: Mapping[str, Any] | None
    """Of the weights, after the step, where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """How to make published models, and to drive them by their own names and layouts. Their outputs
    are had as those of archc's models are."""

    makers: Mapping[str, Callable[[str, Mapping[str, Any], tuple[int, int], bool], Any]]
    """By the library that a source's name starts with: maker(source, options, (height, width),
    pretrained) -> a model in evaluation mode that gives logits."""
    stored: Callable[[Any], Mapping[str, Stored]]
    """stored(model) -> all its weights."""
    fill: Callable[[Any, Mapping[str, Any]], None]
    """fill(model, arrays): gives it all its weights, in any shape of the right size."""
    places: Callable[[Any], set[str]]
    """places(model) -> names of layers whose outputs can be had."""


@dataclass(frozen=True, slots=True)
class Held:
    """One array of a model that anyone wrote, as the model has it."""

    name: str
    """`features.0.weight`, `conv/kernel`: unique in the model, and as files of its weights say."""
    layer: str
    """The part that owns it: `features.0`, `conv`; "" is the model itself."""
    shape: tuple[int, ...]
    """In the framework's layout."""
    dtype: str
    trainable: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a part of such a model."""

    name: str
    """`features.0`, `conv`."""
    kind: str
    """Its class: `Conv2d`."""
    shape: tuple[int, ...]
    """Of its output, without the batch: (channels, height, width), or (features,)."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What no shape gives away, as far as it says so: `epsilon`, `decay`, `padding`, ..."""


See = Callable[[str, Any, Any], None]
"""see(name, part, output) is told each part of a model as it has been called, with its output as
`Live` has them; which may be written over afterwards."""


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """How to look into models that anyone wrote. What theirs raise, all of this raises."""

    kind: str
    """What a model is: `nn.Module`."""
    ready: Callable[[], None]
    """Is called before a model is made."""
    owns: Callable[[object], bool]
    """Whether a thing is a model of the framework, live or the class of one."""
    taken: Callable[[Any], tuple[Any, list[str]]]
    """taken(model) -> the model in evaluation mode, on the CPU and in float32, without wrappers,
    and what had to be done for that."""
    held: Callable[[Any], list[Held]]
    """Its arrays in order, without counters of training steps."""
    fill: Callable[[Any, Mapping[str, Any]], None]
    """fill(model, arrays): gives it arrays by name, in any shape of the right size."""
    sizes: Callable[[Any], list[tuple[int | None, ...]] | None]
    """The shapes that it says of its inputs, as (channels, height, width) or (features,), None for
    any size; None where it says nothing."""
    run: Callable[[Any, Mapping[str, Any], See], list[tuple[str, Any]]]
    """run(model, inputs by name, see) -> its outputs in evaluation, each with what it goes by, ""
    where there is one alone."""
    facts: Callable[[Any], dict[str, Any]]
    """What a part says that no shape gives away."""


def fed(batch: Any) -> list[Any]:
    """The arrays that a model is given, in order: one, or those of several inputs by name."""
    return [*batch.values()] if isinstance(batch, Mapping) else [batch]


class BackendError(Exception):
    """A backend is unknown, incomplete, or its framework is not installed."""


class WeightsError(Exception):
    """Weights cannot be read or written, or do not fit the network."""


def shown(given: Any) -> dict[str, Any]:
    """What a model gives, as it stands among the outputs of its layers by path: as "", which is the
    last where it gives several, and then each of them by its name in brackets."""
    if not isinstance(given, dict):
        return {"": given}
    return {"": [*given.values()][-1], **{f"[{name}]": value for name, value in given.items()}}


def source_name(stem: str, backend: str) -> str:
    """`mnv3_large` -> `mnv3_large_torch.py`; of a graph, the name of its textual form."""
    graph = get(backend).graph
    return stem + (graph.text_ending if graph else f"_{backend}.py")


def stem(spec_name: str) -> str:
    """`mnv3_large.yaml` -> `mnv3_large`."""
    return spec_name.rsplit(".", 1)[0]


@cache
def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[Name]:
    """Every registered backend's name."""
    return [OtherBackend(name) for name in sorted(_registered())]


def sources() -> list[Name]:
    """The names of those that write source, and no graph."""
    return [name for name in names() if get(name).graph is None]


def drivable() -> list[Name]:
    """The names of those whose models are compared where nobody says which: a graph's are left out
    where what runs it is not installed."""
    from importlib.util import find_spec

    return [
        name for name in names() if get(name).graph is None or find_spec(get(name).distribution)
    ]


@cache
def get(name: str) -> Backend:
    """The backend called `name`. Raises `BackendError`."""
    point = _registered().get(name)
    if point is None:
        raise BackendError(f"no backend is called `{name}`; there are {', '.join(names())}")
    backend: Backend = point.load()
    check(backend)
    return backend


def check(backend: Backend) -> None:
    """Raises `BackendError` unless the backend spells every op of the catalogue, has a place for
    each of its weights, in a layout of its axes, and nothing else, and tells the names it uses."""
    said = [*_gaps(backend)]
    if said:
        raise BackendError(f"the backend `{backend.name}` is incomplete: {'; '.join(said)}")


def _gaps(backend: Backend) -> Iterator[str]:
    slots = backend.storage().slots
    rules = {op.name: {rule.name: rule for rule in op.weights} for op in CATALOGUE.values()}
    places = {f"{op}.{name}" for op, of in slots.items() for name in of}
    wanted = {f"{op}.{name}" for op, of in rules.items() for name in of}
    if missing := CATALOGUE.keys() - backend.ops.keys():
        yield f"it lacks {', '.join(sorted(missing))}"
    if surplus := backend.ops.keys() - CATALOGUE.keys():
        yield f"it spells {', '.join(sorted(surplus))}, unknown ops"
    if missing := wanted - places:
        yield f"it has no place for {', '.join(sorted(missing))}"
    if surplus := places - wanted:
        yield f"it has places for {', '.join(sorted(surplus))}, unknown weights"
    if untold := backend.untold():
        yield f"its names.yaml does not tell {', '.join(sorted(untold))}"
    for op, of in rules.items():
        for rule in of.values():
            slot = slots.get(op, {}).get(rule.name)
            if slot is not None and sorted(slot.axes) not in map(sorted, rule.axes):
                axes = " or ".join(rule.axes)
                yield f"its layout {slot.axes} of {op}.{rule.name} is none of the axes {axes}"
