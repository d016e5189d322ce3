"""How far two names of layers belong together, by the pairs that are known."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache

from archc.weights.units import Unit

Tokens = tuple[str, ...]
Pair = tuple[Unit, Unit]
"""A layer of the network, and the checkpoint's that it is known to be."""
MATES = 12
"""Of how many known pairs at most a score is the mean."""
ADJACENT = 0.1
"""What it counts for that a layer stands next to another in its file."""
TAIL = 0.5
"""What it counts for that names end alike, against that they start so."""
WORD = 0.3
"""What it counts for that two names share a word."""
SYNONYMS = (
    "depthwise dw dwconv",
    "pointwise pw",
    "expand expansion exp",
    "project projection proj pwl linear",
    "shortcut downsample skip residual identity",
    "squeeze excite se",
    "fc dense logits classifier predictions",
    "norm bn batchnorm",
    "gamma scale",
)
"""Words that networks use for the same."""
_WORD = {word: words.split()[0] for words in SYNONYMS for word in words.split()}


@cache
def tokens(name: str) -> Tokens:
    """`conv2_block1.0` -> conv, 2, block, 1, 0."""
    return tuple(re.findall(r"[a-z]+|\d+", name.lower()))


@cache
def skeleton(name: str) -> str:
    """A name without its numbers."""
    return re.sub(r"\d+", "#", name)


@cache
def numbers(name: str) -> tuple[int, ...]:
    """The numbers in a name, in order."""
    return tuple(map(int, re.findall(r"\d+", name)))


@cache
def counted(name: str) -> tuple[str, ...]:
    """What each number of a name counts: the word just before it, or nothing."""
    every = tokens(name)
    before = zip(("", *every), every, strict=False)
    return tuple(_WORD.get(a, a) * (not a.isdecimal()) for a, b in before if b.isdecimal())


@cache
def words(name: str) -> frozenset[str]:
    """The words of a name, those that say the same as one."""
    return frozenset(_WORD.get(t, t) for t in tokens(name) if not t.isdecimal())


@cache
def closeness(one: str, other: str) -> float:
    """How much of two names is the same, from both ends: 1 of those that start with one another."""
    a, b = tokens(one), tokens(other)
    least = min(len(a), len(b))
    head = next((i for i in range(least) if a[i] != b[i]), least)
    tail = next((i for i in range(least - head) if a[-1 - i] != b[-1 - i]), least - head)
    return (head + TAIL * tail) / max(len(a), len(b), 1)


@cache
def parts(path: str) -> tuple[str, str]:
    """A path as its block's, up to its last number or else its first part, and the rest."""
    names = path.split(".")
    last = max((i for i, name in enumerate(names) if name.isdecimal()), default=0)
    return ".".join(names[: last + 1]), ".".join(names[last + 1 :])


class Names:
    """What the names of known pairs say of others."""

    def __init__(
        self, ours: Iterable[Unit], nearest: Mapping[str, Collection[str]], adjacent: bool
    ) -> None:
        self.adjacent = adjacent
        self.units = list(ours)
        blocks: dict[str, set[str]] = {}
        for unit in self.units:
            block, inner = parts(unit.name)
            blocks.setdefault(block, set()).add(inner)
        self.kinds = {block: frozenset(inner) for block, inner in blocks.items()}
        self.near = _chains({unit.layer: nearest.get(unit.layer, ()) for unit in self.units})
        self.learn({})

    def learn(self, certain: Mapping[Unit, Unit]) -> None:
        """Takes in what is known, in place of what was."""
        self.roles: dict[Hashable, list[Pair]] = {}
        self.blocks: dict[str, list[Pair]] = {}
        self.layers: dict[str, list[Pair]] = {}
        for u, v in certain.items():
            block, _ = parts(u.name)
            for role in self._roles(u):
                self.roles.setdefault(role, []).append((u, v))
            self.blocks.setdefault(block, []).append((u, v))
            self.layers.setdefault(u.layer, []).append((u, v))
        self.known: dict[tuple[Unit, Unit], float] = {}

    def _roles(self, u: Unit) -> tuple[Hashable, ...]:
        """What it is within its block: in blocks of the very same layers, and in any."""
        block, inner = parts(u.name)
        return (inner, self.kinds[block]), inner

    def score(self, u: Unit, v: Unit) -> float:
        """How far a layer's name and another's belong together; comparable where either is the
        same."""
        found = self.known.get((u, v))
        if found is None:
            found = self.known[u, v] = self._score(u, v)
        return found

    def _score(self, u: Unit, v: Unit) -> float:
        return (
            _mean(u, v, self._alike(u))
            + _mean(u, v, self.blocks.get(parts(u.name)[0], ()))
            + self._beside(u, v)
            + WORD * len(words(u.name) & words(v.name)) / max(len(words(u.name)), 1)
        )

    def _alike(self, u: Unit) -> Sequence[Pair]:
        """Known pairs of layers that are in their blocks what this one is."""
        known = (self.roles.get(role, ()) for role in self._roles(u))
        return next((pairs for pairs in known if any(one is not u for one, _ in pairs)), ())

    def _beside(self, u: Unit, v: Unit) -> float:
        """How close a name is to those of the layers just before and after, and whether it stands
        just after or before them in the file."""
        steps = self.near.get(u.layer, {})
        pairs = [pair for layer in steps for pair in self.layers.get(layer, ())]
        return _mean(u, v, pairs) + ADJACENT * self.adjacent * any(
            v.number + steps[mate.layer] == its.number for mate, its in pairs if mate is not u
        )


def _chains(nearest: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    """By layer, the one before it (-1) and the one after it (1), where it is the only one, and they
    have no others."""
    after: dict[str, list[str]] = {}
    for layer, feeds in nearest.items():
        for feed in feeds:
            after.setdefault(feed, []).append(layer)
    found: dict[str, dict[str, int]] = {}
    for feed, layers in after.items():
        if len(layers) == 1 and len(nearest[layers[0]]) == 1:
            found.setdefault(layers[0], {})[feed] = -1
            found.setdefault(feed, {})[layers[0]] = 1
    return found


def _mean(u: Unit, v: Unit, pairs: Sequence[Pair]) -> float:
    """How close a name is to those of known pairs, but for its own."""
    others = [its for one, its in pairs if one is not u and its is not v]
    others = sorted(others, key=lambda its: abs(its.number - v.number))[:MATES]
    return sum(closeness(v.name, its.name) for its in others) / max(len(others), 1)
