"""The assignment of rows to columns with the largest sum."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def assign(scores: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs of a row and a column, as many as there are of the fewer, with the largest sum of
    scores: the Hungarian method with shortest augmenting paths."""
    if not scores or not scores[0]:
        return []
    if len(scores) > len(scores[0]):
        turned = [list(column) for column in zip(*scores, strict=True)]
        return sorted((row, column) for column, row in assign(turned))
    rows, columns = len(scores), len(scores[0])
    row_price, price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)
    for row in range(1, rows + 1):
        owner[0], last = row, 0
        least, came, seen = [inf] * (columns + 1), [0] * (columns + 1), {0}
        while owner[last]:
            current, step, following = owner[last], inf, 0
            for column in (c for c in range(1, columns + 1) if c not in seen):
                cost = -scores[current - 1][column - 1] - row_price[current] - price[column]
                if cost < least[column]:
                    least[column], came[column] = cost, last
                if least[column] < step:
                    step, following = least[column], column
            for column in range(columns + 1):
                if column in seen:
                    row_price[owner[column]] += step
                    price[column] -= step
                else:
                    least[column] -= step
            last = following
            seen.add(last)
        while last:
            owner[last] = owner[came[last]]
            last = came[last]
    return sorted((row - 1, column) for column, row in enumerate(owner[1:]) if row)
