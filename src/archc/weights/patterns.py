"""Few rules that say what many pairs of names do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from keyword import iskeyword

from archc.weights.naming import parts, skeleton

Options = tuple[str, ...]
"""Templates of which each says a piece of a name."""
Line = tuple[str, str]
"""A pattern and a template."""
LEAST = 3
"""So many layers make a group of a block without a number."""


@dataclass(frozen=True)
class GroupLine:
    at: str
    end: int | None
    """Up to which number, where others follow."""
    words: Mapping[str, str]


@dataclass
class Patterns:
    """What stands in a file of rules."""

    names: list[Line] = field(default_factory=list)
    groups: list[GroupLine] = field(default_factory=list)
    inside: list[Line] = field(default_factory=list)


@dataclass
class _Run:
    """Blocks of a family one after the other, whose layers are named in one way."""

    at: str
    end: int
    names: dict[str, list[Options]]
    """By path within the block: each piece of the name."""
    last: bool = False


def shortened(lines: Mapping[str, str]) -> list[Line]:
    """Pairs of whole names as few lines."""
    return list(_merged([*lines.items()]))


def generalised(layers: Mapping[str, str], reserved: Iterable[str]) -> Patterns:
    """Rules that give every layer its other name, and words in them none of those `reserved`."""
    blocks: dict[str, dict[str, str]] = {}
    found = Patterns()
    for path, name in layers.items():
        block, inner = parts(path)
        blocks.setdefault(block, {})[inner] = name
    for block, own in blocks.items():
        if "" in own or not (block.rpartition(".")[2].isdecimal() or _common(own, blocks)):
            found.names += [(f"{block}.{k}" if k else block, v) for k, v in own.items()]
    done = {path for path, _ in found.names}
    rest = {b: own for b, own in blocks.items() if not done & {f"{b}.{k}" if k else b for k in own}}
    runs = list(_runs(rest))
    names = _Words({"i", *reserved})
    inners = dict.fromkeys(inner for run in runs for inner in run.names)
    inside = [(inner, _template(inner, runs, names)) for inner in inners]
    found.groups = [_line(number, run, names) for number, run in enumerate(runs)]
    found.inside = list(_merged(inside))
    found.names = list(_merged(found.names))
    return found


def _common(own: Mapping[str, str], blocks: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether several blocks have these layers."""
    return len(own) >= LEAST and sum(other.keys() == own.keys() for other in blocks.values()) > 1


def _pieces(name: str) -> list[str]:
    return re.findall(r"\d+|[^\W\d_]+|[\W_]", name)


def _options(piece: str, number: int | None) -> Options:
    """What says a piece in the block of that number."""
    if number is None or not piece.isdecimal() or str(int(piece)) != piece:
        return (piece,)
    return piece, _shifted("i", int(piece) - number)


def _shifted(name: str, by: int) -> str:
    return f"{{{name}}}" if not by else f"{{{name} {'+' if by > 0 else '-'} {abs(by)}}}"


# ---- Runs of blocks


def _runs(blocks: Mapping[str, Mapping[str, str]]) -> Iterator[_Run]:
    for at, family in groupby(blocks, _at):
        run: _Run | None = None
        for block in sorted(family, key=_number):
            number = _number(block) if at != block else None
            own = {
                inner: [_options(piece, number) for piece in _pieces(name)]
                for inner, name in blocks[block].items()
            }
            joined = _joined(run.names, own) if run else None
            if run and joined is None:
                yield run
            if run is None or joined is None:
                run = _Run(at, 0, own)
            else:
                run.names = joined
            run.end = 0 if number is None else number + 1
        if run:
            run.last = True
            yield run


def _at(block: str) -> str:
    head, _, last = block.rpartition(".")
    return f"{head}.<i>" if last.isdecimal() else block


def _number(block: str) -> int:
    last = block.rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def _joined(
    one: Mapping[str, list[Options]], other: Mapping[str, list[Options]]
) -> dict[str, list[Options]] | None:
    """The names of both, if one way says them."""
    found = {**one, **other}
    for inner in one.keys() & other.keys():
        if len(one[inner]) != len(other[inner]):
            return None
        both = zip(one[inner], other[inner], strict=True)
        found[inner] = [tuple(x for x in a if x in b) for a, b in both]
        if not all(found[inner]):
            return None
    return found


# ---- Words for what differs from run to run


class _Words:
    """The words of groups: for each its value by run."""

    def __init__(self, reserved: set[str]) -> None:
        self.reserved = reserved
        self.values: dict[str, dict[int, Options]] = {}

    def word(self, wished: str, column: Mapping[int, Options]) -> str:
        """One that has these values, where there may be several."""
        for name, own in self.values.items():
            shared = {run: _both(own.get(run), column.get(run)) for run in {*own, *column}}
            if own.keys() & column.keys() and all(shared.values()):
                self.values[name] = shared
                return name
        name = next(n for n in _names(wished) if n not in self.reserved)
        self.reserved.add(name)
        self.values[name] = dict(column)
        return name


def _both(one: Options | None, other: Options | None) -> Options:
    if one is None or other is None:
        return one or other or ()
    return tuple(x for x in one if x in other)


def _names(wished: str) -> Iterator[str]:
    word = wished if wished.isidentifier() and not iskeyword(wished) else "n"
    yield word
    yield from (f"{word}_{number}" for number in range(2, 10**6))


def _template(inner: str, runs: Sequence[_Run], words: _Words) -> str:
    """What names a layer in all runs."""
    own = {number: run.names[inner] for number, run in enumerate(runs) if inner in run.names}
    text, before = "", ""
    for column in _columns(own):
        shared = [x for x in next(iter(column.values())) if all(x in c for c in column.values())]
        if shared:
            text += shared[0]
        else:
            first = next(iter(column.values()))[0]
            wished = before if first[:1].isdecimal() else inner.split(".")[0]
            text += f"{{{words.word(wished.lower() or 'n', column)}}}"
        before = shared[0] if shared and shared[0].isalpha() else before
    return text


def _columns(own: Mapping[int, list[Options]]) -> list[dict[int, Options]]:
    """The pieces by run, those between equal ends as one where there are not as many."""
    counts = {len(pieces) for pieces in own.values()}
    head = tail = 0
    if len(counts) > 1:
        least = min(counts)
        while head < least and _alike([pieces[head] for pieces in own.values()]):
            head += 1
        while tail < least - head and _alike([pieces[-1 - tail] for pieces in own.values()]):
            tail += 1
        own = {n: _folded(pieces, head, tail) for n, pieces in own.items()}
    length = len(next(iter(own.values())))
    return _adjacent([{n: pieces[k] for n, pieces in own.items()} for k in range(length)])


def _alike(options: Sequence[Options]) -> bool:
    """Whether pieces are all numbers, or all the same."""
    return all(o[0].isdecimal() for o in options) or len({o[0] for o in options}) == 1


def _folded(pieces: list[Options], head: int, tail: int) -> list[Options]:
    end = len(pieces) - tail
    middle = "".join(options[-1] for options in pieces[head:end])
    return [*pieces[:head], (middle,), *pieces[end:]]


def _adjacent(columns: list[dict[int, Options]]) -> list[dict[int, Options]]:
    """With columns that differ and have but one mark between as one."""
    found: list[dict[int, Options]] = []
    for column in columns:
        if len(found) > 1 and _differs(column) and _differs(found[-2]) and _mark(found[-1]):
            mark, first = found.pop(), found.pop()
            column = {
                n: tuple(f"{a}{mark[n][0]}{b}" for a in first[n] for b in column[n]) for n in column
            }
        found.append(column)
    return found


def _differs(column: Mapping[int, Options]) -> bool:
    return not any(all(x in c for c in column.values()) for x in next(iter(column.values())))


def _mark(column: Mapping[int, Options]) -> bool:
    return not _differs(column) and not next(iter(column.values()))[0].isalnum()


def _line(number: int, run: _Run, words: _Words) -> GroupLine:
    own = {name: values[number][0] for name, values in words.values.items() if number in values}
    return GroupLine(run.at, None if run.last else run.end, own)


# ---- Numbers within patterns


def _merged(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines that differ in numbers as one with parts for those; what is special comes first."""
    every: dict[tuple[str, str], list[Line]] = {}
    for pattern, template in lines:
        every.setdefault((skeleton(pattern), _bare(template)), []).append((pattern, template))
    found = [own for group in every.values() for own in _mergeable(group)]
    yield from (line for own in found if _one(own) is None for line in own)
    yield from (one for own in found if (one := _one(own)) is not None)


def _mergeable(lines: list[Line]) -> Iterator[list[Line]]:
    """All of them, or else those of each first number."""
    if _one(lines) is not None or len(lines) < LEAST:
        yield lines
        return
    parted: dict[str, list[Line]] = {}
    for line in lines:
        parted.setdefault(next(iter(re.findall(r"\d+", line[0])), ""), []).append(line)
    yield from parted.values()


def _bare(template: str) -> str:
    return re.sub(r"\{[^}]*\}|\d+", lambda m: m[0] if m[0].startswith("{") else "#", template)


def _one(lines: Sequence[Line]) -> Line | None:
    """One line for all of them, if there is one."""
    if len(lines) < LEAST:
        return None
    ours = [re.split(r"(\d+)", pattern) for pattern, _ in lines]
    theirs = [re.split(r"(\{[^}]*\}|\d+)", template) for _, template in lines]
    numbers = [[int(x) for x in pieces[1::2]] for pieces in ours]
    names = list("nkm")[: len(numbers[0])]
    columns = list(zip(*numbers, strict=True))
    if len(names) < len(columns):
        return None
    varying = [len({*column}) > 1 for column in columns]
    filled = list(theirs[0])
    for place in range(1, len(filled), 2):
        column = [pieces[place] for pieces in theirs]
        if len({*column}) == 1:
            continue
        if not all(text.isdecimal() for text in column):
            return None
        said = [
            _shifted(name, int(column[0]) - own[0])
            for name, own in zip(names, columns, strict=True)
            if len({int(a) - b for a, b in zip(column, own, strict=True)}) == 1
        ]
        if not said:
            return None
        filled[place] = said[0]
    pattern = list(ours[0])
    for number, (name, differs) in enumerate(zip(names, varying, strict=True)):
        pattern[2 * number + 1] = f"<{name}>" if differs else pattern[2 * number + 1]
    return "".join(pattern), "".join(filled)
