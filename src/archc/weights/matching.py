"""Which tensors of a checkpoint are which of a network's, where nobody has written it down.

Layers are paired that have arrays of the same roles and shapes. Of several, the order of the file
tells them apart where one layer of the network follows from the other, and numbers and words of
their names where not. Names are learned from the pairs that are certain. What neither tells apart
is listed, and never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product

from archc.backends.storage import Shape, Tensor
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.weights.assignment import assign
from archc.weights.naming import Names, counted, numbers, skeleton
from archc.weights.units import PASSES, Key, Unit, classes, ours_of, theirs_of

Feeds = Mapping[str, Collection[str]]
"""By the path of each layer, in order of evaluation, the paths of those that it takes inputs of."""
ROUNDS = 16
"""Each round learns from the pairs that the one before found certain."""
MARGIN = 0.05
"""By how much names have to speak for one of two pairings."""
UNEVEN = 0.2
"""The same, where there are more on one side."""
CONTRARY = 0.15
"""By how much they have to speak against what the order of the file says."""
NEAR = 16
"""So many places on, names are held against the order."""


@dataclass(frozen=True)
class Ambiguous:
    """Tensors of a network, and those of a checkpoint that they are in some order."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    """At least as many as the network has, or fewer where not all of those are there."""
    reason: str


@dataclass(frozen=True)
class Matching:
    """What was found of a network's tensors in a checkpoint."""

    pairs: Mapping[str, str]
    """The checkpoint's name by canonical path, in the network's order."""
    ambiguous: tuple[Ambiguous, ...] = ()
    missing: tuple[str, ...] = ()
    """Tensors of the network that nothing in the checkpoint can be."""
    surplus: tuple[str, ...] = ()
    """Tensors of the checkpoint that are nothing in the network."""


def flow(network: Network) -> dict[str, tuple[str, ...]]:
    """By each layer's path, in order of evaluation, the paths of those that feed it."""
    layers = analysis.layers(network)
    return {
        layer.path: tuple(layers[feed].path for feed in layer.feeds if feed >= 0)
        for layer in layers
    }


def match(
    ours: Sequence[Tensor], theirs: Mapping[str, Shape], feeds: Feeds | None = None
) -> Matching:
    """Pairs a network's tensors, as the checkpoint's framework has them and in order of evaluation,
    with a checkpoint's, which come in the order of its file. Without `feeds` each layer is taken to
    follow from the one before."""
    mine, found = list(ours_of(ours)), list(theirs_of(theirs))
    return _Matcher(feeds or _chain(mine), mine, found).matched(ours, theirs)


def _chain(units: Sequence[Unit]) -> Feeds:
    layers = list(dict.fromkeys(unit.layer for unit in units))
    return {layer: layers[max(i - 1, 0) : i] for i, layer in enumerate(layers)}


@dataclass(frozen=True)
class Window:
    """Layers that may be any of some layers of a checkpoint."""

    ours: tuple[Unit, ...]
    theirs: tuple[Unit, ...]


Kin = list[Window]
"""Those of one kind of layer, in order."""


@dataclass
class _Matcher:
    feeds: Feeds
    ours: list[Unit]
    theirs: list[Unit]
    certain: dict[Unit, Unit] = field(default_factory=dict)
    doubts: list[tuple[list[Unit], list[Unit]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before, self.nearest = _reach(self.feeds, {unit.layer for unit in self.ours})
        names = [unit.name for unit in self.theirs]
        self.by_name = len(names) > 2 and names == sorted(names)
        self.names = Names(self.ours, self.nearest, adjacent=not self.by_name)

    def matched(self, ours: Sequence[Tensor], theirs: Mapping[str, Shape]) -> Matching:
        for parted, key in PASSES:
            if parted:
                self.ours = [part for unit in self.ours for part in unit.parted()]
                self.theirs = [part for unit in self.theirs for part in unit.parted()]
            self.round([kin for kin in self.kinds(key) if kin])
        pairs = {a: b for mine, its in self.certain.items() for a, b in _arrays(mine, its)}
        ambiguous = tuple(each for doubt in self.doubts for each in _told(*doubt))
        taken = {*pairs.values(), *(name for each in ambiguous for name in each.theirs)}
        told = {*pairs, *(path for each in ambiguous for path in each.ours)}
        paths = [tensor.path for tensor in ours]
        return Matching(
            {path: pairs[path] for path in paths if path in pairs},
            ambiguous,
            tuple(path for path in paths if path not in told),
            tuple(name for name in theirs if name not in taken),
        )

    def round(self, kinds: list[Kin]) -> None:
        """Pairs what can be paired, and takes it from what is left."""
        before = dict(self.certain)
        found: list[dict[Unit, Unit]] = []
        doubted: list[list[list[Unit]]] = []
        for number in range(ROUNDS):
            self.margin = max(MARGIN, 2.0**-number)
            self.names.learn(self.certain)
            found = [self.paired(kin) for kin in kinds]
            doubted = [self.doubted(*each) for each in zip(kinds, found, strict=True)]
            dubious = {unit for groups in doubted for group in groups for unit in group}
            every = {u: v for pairs in found for u, v in pairs.items() if u not in dubious}
            certain = {**before, **every}
            if certain == self.certain and self.margin == MARGIN:
                break
            self.certain = certain
        for kin, pairs, groups in zip(kinds, found, doubted, strict=True):
            for group in groups:
                self.doubts.append((group, self.rivals(kin, pairs, group)))
        done = {*self.certain, *self.certain.values()}
        done |= {unit for group, theirs in self.doubts for unit in (*group, *theirs)}
        self.ours = [unit for unit in self.ours if unit not in done]
        self.theirs = [unit for unit in self.theirs if unit not in done]

    # ---- Order

    def kinds(self, key: Key) -> Iterator[Kin]:
        """The candidates: of as many layers on both sides only those between the same cuts. What is
        left of a layer that has its counterpart is sought there alone."""
        homes = {u.name: v.home for u, v in self.certain.items()}
        taken = {*homes.values()}
        mine = classes(self.ours, lambda unit: (key(unit), homes.get(unit.name)))
        its = classes(self.theirs, lambda v: (key(v), v.home if v.home in taken else None))
        for kind in (kind for kind in mine if kind in its):
            ours, theirs = mine[kind], its[kind]
            cuts = self.cuts(ours, theirs) if len(ours) == len(theirs) else ()
            ends = [0, *cuts, max(len(ours), len(theirs))]
            pieces = (slice(*pair) for pair in pairwise(ends))
            windows = [Window(tuple(ours[piece]), tuple(theirs[piece])) for piece in pieces]
            yield [w for w in windows if all(u.takes(v) for u in w.ours for v in w.theirs)]

    def cuts(self, ours: Sequence[Unit], theirs: Sequence[Unit]) -> Iterator[int]:
        """Where all that is before is before all that is after, on both sides."""
        for cut in range(1, len(ours)):
            if self.ordered(theirs, cut) and all(
                self.follows(a, b) for a in ours[:cut] for b in ours[cut:]
            ):
                yield cut

    def follows(self, one: Unit, other: Unit) -> bool:
        """Whether the second layer's value depends on the first's."""
        return one.layer == other.layer or one.layer in self.before.get(other.layer, ())

    def ordered(self, theirs: Sequence[Unit], cut: int) -> bool:
        """Whether the order of the file is one of layers, and not of names."""
        return all(self.in_order(a, b) for a in theirs[:cut] for b in theirs[cut:])

    def in_order(self, one: Unit, other: Unit) -> bool:
        rising = numbers(one.name) < numbers(other.name)
        if skeleton(one.name) == skeleton(other.name):
            return rising
        return not self.by_name

    # ---- Names

    def paired(self, kin: Kin) -> dict[Unit, Unit]:
        """The most likely pairing of all."""
        return {u: v for window in kin for u, v in self._paired(window)}

    def _paired(self, window: Window) -> Iterator[tuple[Unit, Unit]]:
        if len(window.ours) == len(window.theirs) == 1:
            yield window.ours[0], window.theirs[0]
            return
        ranks = _ranks(window.ours), _ranks(window.theirs)
        scores = [
            [self.names.score(u, v) - _apart(ranks, u, v) for v in window.theirs]
            for u in window.ours
        ]
        yield from ((window.ours[i], window.theirs[j]) for i, j in assign(scores))

    def doubted(self, kin: Kin, pairs: Mapping[Unit, Unit]) -> list[list[Unit]]:
        """Layers that could as well be paired otherwise, together with those that they could be
        swapped with."""
        groups: list[set[Unit]] = []
        for number, window in enumerate(kin):
            own = {u: pairs[u] for u in window.ours if u in pairs}
            self.spared(window, own, groups)
            for one, other in combinations(own, 2):
                if not self.told(one, own[one], other, own[other]):
                    _join(groups, {one, other})
            later = kin[number + 1 : number + NEAR]
            near = [u for other in later for u in other.ours if u in pairs]
            for one, other in product(own, near):
                if self.gain(one, own[one], other, pairs[other]) < -CONTRARY:
                    _join(groups, {one, other})
        order = {unit: place for place, unit in enumerate(pairs)}
        every = len(order)
        return [sorted(group, key=lambda u: order.get(u, every)) for group in groups]

    def spared(self, window: Window, pairs: Mapping[Unit, Unit], groups: list[set[Unit]]) -> None:
        """Adds those that could as well be one of what is left over on the other side, or the other
        way round."""
        free = [v for v in window.theirs if v not in {*pairs.values()}]
        left = [u for u in window.ours if u not in pairs]
        score, margin = self.names.score, max(self.margin, UNEVEN)
        doubts = {u for u, v in pairs.items() for x in free if score(u, v) - score(u, x) <= margin}
        for u, v in pairs.items():
            doubts |= {
                x for other in left if score(u, v) - score(other, v) <= margin for x in (u, other)
            }
        if doubts:
            _join(groups, doubts)

    def gain(self, u: Unit, v: Unit, other: Unit, its: Unit) -> float:
        """By how much names speak for two pairs, against the two that are crossed."""
        score = self.names.score
        return score(u, v) + score(other, its) - score(u, its) - score(other, v)

    def told(self, u: Unit, v: Unit, other: Unit, its: Unit) -> bool:
        """Whether two pairs are not to be swapped."""
        gain = self.gain(u, v, other, its)
        ours, theirs = _steps(u, other), _steps(v, its)
        steps = _aligned(ours, theirs) if ours else None
        if steps and all(a == b for a, b in steps) and _plainly(ours, theirs):
            return gain > -MARGIN
        crossed = bool(steps) and len(ours) == 1 and ours[0][1] != theirs[0][1]
        if self.follows(other, u):
            u, v, other, its = other, its, u, v
        follows = self.follows(u, other)
        backwards = follows and self.in_order(its, v) and its.number < v.number
        if gain > self.margin:
            return not crossed and not backwards
        return gain > -MARGIN and follows and self.in_order(v, its) and v.number < its.number

    def rivals(self, kin: Kin, pairs: Mapping[Unit, Unit], group: Collection[Unit]) -> list[Unit]:
        """What the layers of a group may be."""
        own = {pairs[unit] for unit in group if unit in pairs}
        used = {*pairs.values()}
        windows = [window for window in kin if any(unit in group for unit in window.ours)]
        return [v for w in windows for v in w.theirs if v in own or v not in used]


def _why(ours: Sequence[Unit], theirs: Sequence[Unit]) -> str:
    if len(ours) != len(theirs):
        which = "more" if len(theirs) > len(ours) else "fewer"
        return f"there are {which} of these shapes than layers"
    return "neither shapes, order nor names tell which is which"


def _steps(one: Unit, other: Unit) -> list[tuple[str, float]]:
    """Of two names that are alike but for numbers: what each number counts that differs, and 1 if
    it rises, 0 if it falls."""
    if skeleton(one.name) != skeleton(other.name):
        return []
    pairs = zip(counted(one.name), numbers(one.name), numbers(other.name), strict=True)
    return [(word, float(a < b)) for word, a, b in pairs if a != b]


def _plainly(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> bool:
    """Whether it is clear which numbers of two names are for each other."""
    left = {(a, x) for a, x in ours if a not in {w for w, _ in theirs}}
    return len({x for _, x in left}) <= 1


Ranks = tuple[list[tuple[str, float]], int]


def _ranks(units: Sequence[Unit]) -> dict[Unit, Ranks]:
    """What the numbers of each count, and where they stand, from 0 to 1, among those of the names
    that are alike; and its place among all."""
    columns: dict[str, list[list[int]]] = {}
    for kind, group in classes(units, lambda unit: skeleton(unit.name)).items():
        every = zip(*(numbers(unit.name) for unit in group), strict=True)
        columns[str(kind)] = [sorted({*column}) for column in every]
    return {unit: (_told_by(unit, columns), place) for place, unit in enumerate(units)}


def _told_by(unit: Unit, columns: Mapping[str, list[list[int]]]) -> list[tuple[str, float]]:
    every = zip(counted(unit.name), numbers(unit.name), columns[skeleton(unit.name)], strict=True)
    return [(w, c.index(number) / (len(c) - 1)) for w, number, c in every if len(c) > 1]


def _aligned(
    ours: list[tuple[str, float]], theirs: list[tuple[str, float]]
) -> list[tuple[float, float]] | None:
    """Numbers that count the same in pairs, and the others by size; None if there are not as many
    on both sides."""
    if len(ours) != len(theirs):
        return None
    shared = {w for w, _ in ours} & {w for w, _ in theirs}
    mine = sorted((w if w in shared else "", value) for w, value in ours)
    its = sorted((w if w in shared else "", value) for w, value in theirs)
    return [(a, b) for (_, a), (_, b) in zip(mine, its, strict=True)]


def _apart(ranks: tuple[Mapping[Unit, Ranks], ...], u: Unit, v: Unit) -> float:
    """What decides where nothing else does, so that pairs do not cross without need."""
    (ours, place), (theirs, other) = ranks[0][u], ranks[1][v]
    pairs = _aligned(ours, theirs)
    told = 1.0 if pairs is None else sum((a - b) ** 2 for a, b in pairs)
    return 0.1 * told + 1e-7 * (place - other) ** 2


def _join(groups: list[set[Unit]], units: set[Unit]) -> None:
    """Adds a group, and joins it with those that it has members of."""
    touched = [group for group in groups if group & units]
    groups[:] = [group for group in groups if not group & units]
    groups.append(units.union(*touched))


def _reach(
    feeds: Feeds, known: Collection[str]
) -> tuple[dict[str, set[str]], dict[str, tuple[str, ...]]]:
    """By layer, all layers that it depends on, and those with weights that are next before it."""
    before: dict[str, set[str]] = {}
    nearest: dict[str, tuple[str, ...]] = {}
    for path, own in feeds.items():
        before[path] = {*own}.union(*(before[feed] for feed in own))
        near = ((feed,) if feed in known else nearest[feed] for feed in own)
        nearest[path] = tuple(dict.fromkeys(each for feeds in near for each in feeds))
    return before, nearest


def _arrays(mine: Unit, its: Unit) -> Iterator[tuple[str, str]]:
    """The arrays of two layers in pairs."""
    if mine.arrays.keys() == its.arrays.keys():
        yield from ((whole, its.arrays[last]) for last, whole in mine.arrays.items())
    else:
        yield from zip(mine.arrays.values(), its.arrays.values(), strict=True)


def _told(ours: Sequence[Unit], theirs: Sequence[Unit]) -> Iterator[Ambiguous]:
    """A group of layers, by each array of them."""
    for last in ours[0].arrays:
        mine, its = (
            tuple(unit.arrays.get(last) or next(iter(unit.arrays.values())) for unit in units)
            for units in (ours, theirs)
        )
        yield Ambiguous(mine, its, _why(ours, theirs))
