"""Which arrays, parts and outputs of a model that anyone wrote are which of a network's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from archc import backends
from archc.api import Net, dims
from archc.backends import Held, Part
from archc.backends.storage import Array, Stored, Tensor, WeightsError, first, tensors
from archc.compiler.ir.analysis import layers, row_of
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import SpecError, printable, quote
from archc.live.numeric import results
from archc.live.theirs import Description, Theirs
from archc.weights import importing, wrappers
from archc.weights.fit import SHOWN, counted, fits, lines, misfits
from archc.weights.matching import Matching, flow, match
from archc.weights.rules import ZooModel
from archc.weights.settings import settings_of
from archc.weights.solving import solved


@dataclass(frozen=True, slots=True)
class Pairs:
    """What of a model is a network's."""

    arrays: Mapping[str, Tensor]
    """The network's tensors by the model's names."""
    left: tuple[Held, ...]
    """What of the model has no counterpart, and keeps its own numbers."""
    model: ZooModel | None = None
    """The rules that they are paired by; None of equal names."""
    remarks: tuple[str, ...] = ()
    """What a user may not expect of it."""

    def theirs(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """Canonical arrays by the model's names and in its layouts."""
        return {
            name: tensor.slot.store(weights[tensor.path], tensor.shape)
            for name, tensor in self.arrays.items()
        }

    def ours(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The model's arrays by canonical name and in canonical layout."""
        return {
            tensor.path: tensor.slot.restore(arrays[name].reshape(tensor.shape))
            for name, tensor in self.arrays.items()
        }


@dataclass(frozen=True, slots=True)
class Place:
    """One value that both compute."""

    path: str
    """Of the layer or the row."""
    values: tuple[str, ...]
    """The ops whose value it may be, of those the nearest one counts: a part may do what takes
    several ops."""
    part: str
    """The model's."""


def pairs(
    net: Net,
    theirs: Theirs,
    found: Description,
    model: ZooModel | None,
    known: Iterable[ZooModel] = (),
) -> Pairs:
    """Pairs arrays by rules; or without by equal names, by those of `known` models, or by shapes,
    order and names, as far as these tell.

    Raises `WeightsError` where one of the network's has no counterpart in its shape.
    """
    what = theirs.source.text
    if model is not None and model.rules.framework != found.framework:
        said = f"it is of `{found.framework}`, and the rules are for `{model.rules.framework}`"
        raise WeightsError(f"{printable(what)}: {said}")
    tries = [model] if model else [None, *_alike(net, known, found.framework)]
    for each in tries:
        paired = _paired(net, found, each)
        if paired is not None:
            return paired
    if model is None:
        return _matched(net, theirs, found)
    wanted, names = _named(net, found, model)
    wrong = misfits(wanted, _stored(names))
    said = f"{printable(what)}: its arrays are not those of {net.name}: {counted(wrong)}"
    raise WeightsError("\n".join([said, *lines(wrong)]))


def _matched(net: Net, theirs: Theirs, found: Description) -> Pairs:
    """The pairs that nobody has written down. Raises `WeightsError` where they are not clear."""
    storage = backends.get(found.framework).storage()
    ours, held = list(tensors(net.network, storage)), {each.name: each for each in _called(found)}
    shapes = {name: each.shape for name, each in held.items()}
    matching = match(ours, shapes, flow(net.network))
    said = ""
    if matching.ambiguous and not matching.missing:
        matching, said = solved(net, found.framework, storage, matching, theirs)
    if matching.ambiguous or matching.missing:
        raise _unclear(net, theirs.source.text, matching, said)
    paired = {matching.pairs[tensor.path]: tensor for tensor in ours}
    left = tuple(each for each in found.tensors if each.name not in paired)
    how = "its arrays are paired by their shapes, order and names"
    return Pairs(paired, left, None, (f"{how}; {said}" if said else how,))


def _called(found: Description) -> list[Held]:
    """Arrays in the order in which the parts that own them are called; others stay where they are
    among these."""
    order: dict[str, int] = {}
    for number, part in enumerate(found.parts):
        order.setdefault(part.name, number)
    last, keys = -1, list[int]()
    for each in found.tensors:
        last = order.get(each.layer, last)
        keys.append(last)
    return [each for _, each in sorted(zip(keys, found.tensors, strict=True), key=itemgetter(0))]


def _unclear(net: Net, what: str, matching: Matching, said: str) -> WeightsError:
    count = len(matching.pairs)
    head = f"{printable(what)}: {count:,} of its arrays are those of {net.name}; not clear are"
    every = [f"  missing: {path}" for path in matching.missing]
    every += [
        f"  ambiguous: {first([*each.ours])} may be {first([*map(quote, each.theirs)])}"
        for each in matching.ambiguous
    ]
    more = [f"  and {len(every) - SHOWN:,} more"] * (len(every) > SHOWN)
    note = [f"  = note: {said}"] if said else []
    help = "  = help: --rules says what it calls them; `archc weights match` begins such a file"
    return WeightsError("\n".join([head, *every[:SHOWN], *more, *note, help]))


def _alike(net: Net, known: Iterable[ZooModel], framework: str) -> list[ZooModel]:
    """The models of a framework, those first that are said to be of this very spec, with its
    settings."""
    settings = settings_of(net)

    def strange(model: ZooModel) -> tuple[bool, int]:
        others = sum(settings.get(name) != value for name, value in model.needs.items())
        return model.source.spec != net.spec.stem, others

    return sorted((m for m in known if m.rules.framework == framework), key=strange)


def _paired(net: Net, found: Description, model: ZooModel | None) -> Pairs | None:
    """The pairs by rules or by equal names, if that is all of the network's."""
    try:
        wanted, names = _named(net, found, model)
    except (WeightsError, SpecError):
        if model is not None and model.own:
            raise
        return None
    if not all(n in names and fits(t, names[n].shape) for n, t in wanted.items()):
        return None
    paired = {names[name].name: tensor for name, tensor in wanted.items()}
    left = tuple(each for each in found.tensors if each.name not in paired)
    said: tuple[str, ...] = ()
    if model is not None and not model.own:
        said = (f"its arrays are called as those of {model.name}",)
    return Pairs(paired, left, model, said)


def _named(
    net: Net, found: Description, model: ZooModel | None
) -> tuple[dict[str, Tensor], dict[str, Held]]:
    """The network's tensors by the names that they should have, and the model's by theirs."""
    if model is not None:
        wanted = importing.names(net, model)
        named = {model.spelled(each.name): each for each in found.tensors}
    else:
        storage = backends.get(found.framework).storage()
        wanted = {tensor.name: tensor for tensor in tensors(net.network, storage)}
        named = {each.name: each for each in found.tensors}
    before = wrappers.before_any(wanted, _stored(named))
    return wanted, {name.removeprefix(before): each for name, each in named.items()}


def _stored(held: Mapping[str, Held]) -> dict[str, Stored]:
    return {name: Stored(each.shape, each.dtype, tuple) for name, each in held.items()}


# ---- Where values are compared


def places(net: Net, pairs: Pairs, found: Description) -> list[Place]:
    """Where a layer with weights, or a row, has a part of its own, in order of evaluation."""
    parts = _once(found.parts)
    held = {each.name: each.layer for each in found.tensors}
    owners: dict[str, set[str]] = {}
    for name, tensor in pairs.arrays.items():
        owners.setdefault(tensor.layer, set()).add(held[name])
    network = net.network
    every = [*_of_layers(network, owners, parts), *_of_rows(net, owners, parts, pairs.model)]
    order = {layer.path: number for number, layer in enumerate(layers(network))}
    return sorted(every, key=lambda place: order[place.values[0]])


def _once(parts: Iterable[Part]) -> dict[str, Part]:
    """Those that are called once: of several calls, nobody knows which is meant."""
    parts = [*parts]
    counts = Counter(part.name for part in parts)
    return {part.name: part for part in parts if counts[part.name] == 1}


def _of_layers(
    network: Network, owners: Mapping[str, set[str]], parts: Mapping[str, Part]
) -> Iterator[Place]:
    after = _alone(network)
    for path, of in owners.items():
        owner = min(of)
        if len(of) == 1 and owner in parts:
            yield Place(path, tuple(_chain(path, after)), owner)


def _alone(network: Network) -> dict[str, str]:
    """By path, the op without weights that alone takes the value, and nothing else."""
    every = layers(network)
    users = Counter(feed for layer in every for feed in layer.feeds)
    return {
        every[layer.feeds[0]].path: layer.path
        for layer in every
        if len(layer.feeds) == 1 and not layer.weights and users[layer.feeds[0]] == 1
        if layer.feeds[0] >= 0
    }


def _chain(path: str, after: Mapping[str, str]) -> Iterator[str]:
    yield path
    while path in after:
        path = after[path]
        yield path


def _of_rows(
    net: Net, owners: Mapping[str, set[str]], parts: Mapping[str, Part], model: ZooModel | None
) -> Iterator[Place]:
    """Rows of whose layers a part has all, and no other; or for which rules say one; or names, of a
    model that is called alike."""
    ops, of = results(net.network), _rows(net.network, owners)
    for row, layers_of in of.items():
        named = [] if model else [row]
        others = {name for other in of.values() if other is not layers_of for name in other}
        said = model.output(row, net.network.settings) if model else []
        for part in (*said, *named, *_around(layers_of, others)):
            if part in parts and ops[row]:
                yield Place(row, (ops[row],), part)
                break


def _rows(network: Network, owners: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """By row, the model's parts that own what its layers have."""
    found: dict[str, set[str]] = {row.call.name: set() for row in network.rows}
    for path, of in owners.items():
        found[row_of(path, found)] |= of
    return found


def _around(inner: set[str], others: set[str]) -> Iterator[str]:
    """The smallest part that has several within it, and none of the others."""
    if len(inner) > 1:
        mark = "/" if any("/" in name for name in inner) else "."
        columns = zip(*(name.split(mark) for name in inner), strict=False)
        shared: list[str] = []
        for column in columns:
            if len({*column}) > 1:
                break
            shared.append(column[0])
        around = mark.join(shared)
        if around and not any(name.startswith(f"{around}{mark}") for name in others):
            yield around


# ---- Outputs


def outputs(net: Net, what: str, found: Description) -> dict[str, str]:
    """The model's output for each of the network's, as `Live` names them: for a sole one "".

    Raises `WeightsError` where none is known to be.
    """
    network, theirs = net.network, {each.name: each.shape for each in found.outputs}
    shapes = {f"[{each.name}]": each.shape for each in net.outputs if not each.training_only}
    if len(theirs) == 1:
        return {"": next(iter(theirs))}
    by_name = {path: path[1:-1] for path in shapes if path[1:-1] in theirs}
    if by_name and len(network.shown) > 1:
        return by_name
    fitting = [name for name, shape in theirs.items() if shape == network.output.shape]
    if len(fitting) == 1:
        return {"": fitting[0]}
    said = first([f"{quote(name)} ({dims(shape)})" for name, shape in theirs.items()], 5)
    ours = dims(network.output.shape)
    raise WeightsError(
        f"{printable(what)}: it gives {len(theirs)} arrays: {said}; which of them is the {ours} of"
        f" {net.name}, nothing says\n  = help: name a function whose model gives that one alone"
    )
