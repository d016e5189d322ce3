"""Where the boxes of a figure stand: in ranks from top to bottom, each below all that feed it.

The method is Sugiyama's: an edge over several ranks passes through a point in each of them, ranks
are put in an order with few crossings, and then each box as near to below what feeds it as the
boxes beside it allow. The same graph gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
Edge = tuple[int, int]

GAP, BETWEEN, THIN = 22.0, 30.0, 10.0
"""Beside boxes, between ranks, and the width of a line that passes by."""
ASIDE = 0.1
"""How much more there is between ranks for each pixel that a line goes aside."""
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an edge, from one rank to the next: down to `bend`, over to `top`, and on down."""

    start: Point
    bend: Point
    top: Point
    end: Point
    arrow: bool
    """Whether it ends at a box."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of boxes, and lines between them."""

    width: float
    height: float
    centres: list[Point]
    pieces: list[Piece]


@dataclass(slots=True)
class _Ranks:
    """Vertices in their ranks: the boxes first, by number, then the points of long edges."""

    rank: list[int]
    widths: list[float]
    heights: list[float]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)


def laid_out(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """Boxes of these widths and heights; an edge leads to a box of a higher number."""
    if not sizes:
        return Layout(0, 0, [], [])
    ranks = _ranked(sizes, edges)
    _order(ranks)
    xs = _columns(ranks)
    return _placed(ranks, xs, len(sizes))


def _ranked(sizes: Sequence[Point], edges: Sequence[Edge]) -> _Ranks:
    count = len(sizes)
    rank = [0] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        rank[b] = max(rank[b], rank[a] + 1)
    fed = {b for _, b in edges}
    for i in range(count):
        below = [rank[b] for a, b in edges if a == i]
        if i not in fed and below:  # what nothing feeds stands just above its first use
            rank[i] = min(below) - 1
    found = _Ranks(rank, [w for w, _ in sizes], [h for _, h in sizes])
    found.above, found.below = [[] for _ in sizes], [[] for _ in sizes]
    _connect(found, edges)
    found.rows = [[] for _ in range(max(found.rank) + 1)]
    for vertex, at in enumerate(found.rank):
        found.rows[at].append(vertex)
    return found


def _connect(ranks: _Ranks, edges: Sequence[Edge]) -> None:
    """Joins vertices of neighbouring ranks. Long edges of one box share their points."""
    through: dict[tuple[int, int], int] = {}
    for a, b in edges:
        last = a
        for at in range(ranks.rank[a] + 1, ranks.rank[b]):
            if (a, at) not in through:
                through[a, at] = len(ranks.rank)
                ranks.rank.append(at)
                ranks.widths.append(THIN)
                ranks.heights.append(0)
                ranks.above.append([])
                ranks.below.append([])
                _join(ranks, last, through[a, at])
            last = through[a, at]
        _join(ranks, last, b)


def _join(ranks: _Ranks, a: int, b: int) -> None:
    ranks.below[a].append(b)
    ranks.above[b].append(a)


# ------------------------------------------------------------------------------------------ order


def _order(ranks: _Ranks) -> None:
    """Puts the vertices of each rank in the order of what they are joined to; the best one seen."""
    best, fewest = [[*row] for row in ranks.rows], _crossings(ranks)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for row in ranks.rows if down else ranks.rows[::-1]:
            _by_mean(ranks, row, ranks.above if down else ranks.below)
        now = _crossings(ranks)
        if now < fewest:
            best, fewest = [[*row] for row in ranks.rows], now
    ranks.rows = best


def _positions(ranks: _Ranks) -> dict[int, int]:
    return {vertex: at for row in ranks.rows for at, vertex in enumerate(row)}


def _by_mean(ranks: _Ranks, row: list[int], joined: list[list[int]]) -> None:
    at = _positions_of(ranks, row, joined)
    own = {vertex: float(i) for i, vertex in enumerate(row)}
    row.sort(key=lambda v: sum(at[u] for u in joined[v]) / len(joined[v]) if joined[v] else own[v])


def _positions_of(ranks: _Ranks, row: list[int], joined: list[list[int]]) -> dict[int, int]:
    near = next((u for v in row for u in joined[v]), None)
    beside = [] if near is None else ranks.rows[ranks.rank[near]]
    return {vertex: at for at, vertex in enumerate(beside)}


def _crossings(ranks: _Ranks) -> int:
    at = _positions(ranks)
    count = 0
    for row in ranks.rows:
        lines = [(at[a], at[b]) for a in row for b in ranks.below[a]]
        lines.sort()
        ends = [b for _, b in lines]
        count += sum(1 for i, b in enumerate(ends) for other in ends[:i] if other > b)
    return count


# ---------------------------------------------------------------------------------------- columns


def _columns(ranks: _Ranks) -> list[float]:
    """The middle of each vertex: near the mean of what it is joined to, and clear of its row."""
    xs = [0.0] * len(ranks.rank)
    for row in ranks.rows:
        _settle(ranks, row, xs, dict.fromkeys(row, 0.0))
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for row in ranks.rows if down else ranks.rows[::-1]:
            wanted = {v: _wanted(ranks, v, xs, down) for v in row}
            _settle(ranks, row, xs, wanted)
    left = min(x - w / 2 for x, w in zip(xs, ranks.widths, strict=True))
    return [x - left for x in xs]


def _wanted(ranks: _Ranks, vertex: int, xs: list[float], down: bool) -> float:
    joined = (ranks.above if down else ranks.below)[vertex]
    if not joined:
        return xs[vertex]
    weights = [_stiffness(ranks, vertex, other) for other in joined]
    return sum(w * xs[u] for w, u in zip(weights, joined, strict=True)) / sum(weights)


def _stiffness(ranks: _Ranks, a: int, b: int) -> int:
    """How straight a line should be: long ones straightest, so that the eye can follow."""
    passing = (ranks.heights[a] == 0) + (ranks.heights[b] == 0)
    return (4, 1, 8)[passing]


def _settle(ranks: _Ranks, row: list[int], xs: list[float], wanted: dict[int, float]) -> None:
    """The least squares of distances from what is wanted, at enough distance from each other: means
    of neighbours that push each other (pool adjacent violators)."""
    offset, offsets = 0.0, []
    for i, vertex in enumerate(row):
        if i:
            offset += (ranks.widths[row[i - 1]] + ranks.widths[vertex]) / 2 + GAP
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # the mean, its weight, how many
    for vertex, at in zip(row, offsets, strict=True):
        weight = 1.0 if ranks.heights[vertex] else 0.5
        pool = (wanted[vertex] - at, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, more, count = pools.pop()
            total = more + pool[1]
            pool = ((mean * more + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    for vertex, mean, at in zip(row, means, offsets, strict=True):
        xs[vertex] = mean + at


# ------------------------------------------------------------------------------------------ lines


def _placed(ranks: _Ranks, xs: list[float], count: int) -> Layout:
    tall = [max((ranks.heights[v] for v in row), default=0) for row in ranks.rows]
    tops = _tops(ranks, xs, tall)
    middle = [top + height / 2 for top, height in zip(tops, tall, strict=True)]
    pieces = []
    for a, below in enumerate(ranks.below):
        bottom = tops[ranks.rank[a]] + tall[ranks.rank[a]]
        start = middle[ranks.rank[a]] + ranks.heights[a] / 2 if a < count else bottom
        for b in below:
            arrow, at = b < count, ranks.rank[b]
            over = xs[b] + _port(ranks, xs, a, b)
            end = middle[at] - ranks.heights[b] / 2 if arrow else tops[at] + tall[at]
            pieces.append(
                Piece((xs[a], start), (xs[a], bottom), (over, tops[at]), (over, end), arrow)
            )
    width = max(x + w / 2 for x, w in zip(xs, ranks.widths, strict=True))
    centres = [(xs[i], middle[ranks.rank[i]]) for i in range(count)]
    return Layout(width, tops[-1] + tall[-1], centres, pieces)


def _tops(ranks: _Ranks, xs: list[float], tall: list[float]) -> list[float]:
    """Where each rank starts: the further lines go aside above it, the more room they have."""
    tops = [0.0]
    for row, height in zip(ranks.rows[:-1], tall[:-1], strict=True):
        aside = max((abs(xs[a] - xs[b]) for a in row for b in ranks.below[a]), default=0)
        tops.append(tops[-1] + height + BETWEEN + min(ASIDE * aside, 3 * BETWEEN))
    return tops


def _port(ranks: _Ranks, xs: list[float], a: int, b: int) -> float:
    """How far from the middle of `b` the line from `a` ends: side by side with the others."""
    joined = sorted(ranks.above[b], key=lambda vertex: (xs[vertex], vertex))
    step = min(24.0, 0.8 * ranks.widths[b] / len(joined))
    return (joined.index(a) - (len(joined) - 1) / 2) * step
