"""Which row of one network is which of another."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from archc.compiler.ir.network import Network, Row

Pairs = Mapping[str, str]
"""The old row of each new one that has one, by name."""

MOST_PAIRS = 2**18
"""Of rows that differ on both sides; more are not compared one by one."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a row is paired by."""

    name: str
    block: str
    """Rows of different ones are never each other's."""
    given: Mapping[str, str]
    """What it says of itself, and nothing that follows from what it takes."""
    key: str = field(init=False)
    """What equal rows have in common."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.block} {self.given}")

    @property
    def table(self) -> str:
        """What rows are paired within: their table, or their own name."""
        head, _, last = self.name.rpartition(".")
        return f"{head}." if last.isdecimal() else self.name


def pairs(old: Network, new: Network) -> dict[str, str]:
    """The old row of each new one that has one, by name."""
    return paired([*map(_known, old.rows)], [*map(_known, new.rows)])


def _known(row: Row) -> Known:
    body = row.call.body
    names = [parameter.name for parameter in body.target.parameters]
    given = {"tap": str(row.tap), **{name: str(body.arguments.get(name)) for name in names}}
    return Known(row.call.name, body.target.name, given)


def paired(old: Sequence[Known], new: Sequence[Known]) -> dict[str, str]:
    """The old row of each new one that has one, by name.

    Rows of a name of their own are those of that name. Those that their table numbers are paired
    in order, the equal ones first, then those that are most alike. What is left over has moved, or
    goes by another name.
    """
    found: dict[str, str] = {}
    before, after = _tables(old), _tables(new)
    for table in after.keys() & before.keys():
        found.update(_aligned(before[table], after[table]))
    taken = {*found.values()}
    rest = [row for row in old if row.name not in taken]
    left = [row for row in new if row.name not in found]
    found.update(_moved(rest, left))
    taken = {*found.values()}
    rest = [row for row in rest if row.name not in taken and row.table not in after]
    left = [row for row in left if row.name not in found and row.table not in before]
    found.update(_alike(rest, left))
    return found


def moved(found: Pairs, old: Iterable[str], new: Iterable[str]) -> set[str]:
    """The new rows that stand elsewhere among those that both networks have: the fewest whose move
    explains the order."""
    order = {name: i for i, name in enumerate(old)}
    names = [name for name in new if name in found]
    places = [order[found[name]] for name in names]
    kept = _longest_rising(places)
    return {name for name, place in zip(names, places, strict=True) if place not in kept}


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The most of these numbers, all different, that stand in rising order."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        slot = bisect_left(ends, place)
        before[place] = ends[slot - 1] if slot else None
        ends[slot : slot + 1] = [place]
    kept, last = set(), ends[-1] if ends else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _tables(rows: Sequence[Known]) -> dict[str, list[Known]]:
    found: dict[str, list[Known]] = {}
    for row in rows:
        found.setdefault(row.table, []).append(row)
    return found


def _aligned(old: Sequence[Known], new: Sequence[Known]) -> Iterator[tuple[str, str]]:
    matcher = SequenceMatcher(
        None, [row.key for row in old], [row.key for row in new], autojunk=False
    )
    for _, i, j, k, m in matcher.get_opcodes():
        if j - i == m - k:
            yield from ((b.name, a.name) for a, b in zip(old[i:j], new[k:m], strict=True))
        else:
            yield from _alike(old[i:j], new[k:m])


def _moved(old: Sequence[Known], new: Sequence[Known]) -> Iterator[tuple[str, str]]:
    """Equal rows, wherever they stand."""
    waiting: dict[str, list[str]] = {}
    for row in reversed(old):
        waiting.setdefault(row.key, []).append(row.name)
    for row in new:
        if names := waiting.get(row.key):
            yield row.name, names.pop()


def _alike(old: Sequence[Known], new: Sequence[Known]) -> Iterator[tuple[str, str]]:
    """Rows in order, so that they are as alike as can be; only calls of the same block are. A row
    that could as well be another's is nobody's."""
    if not 0 < len(old) * len(new) <= MOST_PAIRS:
        return
    alike = [[_likeness(a, b) for b in new] for a in old]
    above = _sums(alike)
    below = [row[::-1] for row in _sums([row[::-1] for row in alike[::-1]])[::-1]]
    best = below[0][0]
    could = [
        (i, k)
        for i in range(len(old))
        for k in range(len(new))
        if alike[i][k] and above[i][k] + alike[i][k] + below[i + 1][k + 1] == best
    ]
    of_old, of_new = Counter(i for i, _ in could), Counter(k for _, k in could)
    for i, k in could:
        if of_old[i] == of_new[k] == 1:
            yield new[k].name, old[i].name


def _sums(alike: Sequence[Sequence[int]]) -> list[list[int]]:
    """The most that the first i and the first k rows come to, paired in order."""
    width = len(alike[0]) + 1
    found = [[0] * width]
    for row in alike:
        last, sums = found[-1], [0] * width
        for k, value in enumerate(row):
            both = last[k] + value if value else 0
            sums[k + 1] = max(both, last[k + 1], sums[k])
        found.append(sums)
    return found


def _likeness(a: Known, b: Known) -> int:
    """0 for calls of different blocks; else between 1,000 and 2,000, for equal ones."""
    if a.block != b.block:
        return 0
    same = sum(value == b.given.get(name) for name, value in a.given.items())
    return 1000 + 1000 * same // max(len(a.given), len(b.given), 1)
