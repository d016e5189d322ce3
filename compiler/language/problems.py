"""Diagnoses: what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

from archc.compiler.language.codes import CODES
from archc.compiler.language.synonyms import OTHER_NAMES, UNITS, plain

Severity = Literal["error", "warning"]


@dataclass(frozen=True, eq=False)
class Source:
    """The text of one spec file, under the name the user knows it by."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A stretch of one line: `line` and `column` count from 1."""

    source: Source
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{printable(self.source.name)}:{self.line}:{self.column}"

    def beside(self, other: Place) -> bool:
        """Whether both stand on one line."""
        return self.source is other.source and self.line == other.line

    def at(self, offset: int, length: int = 1) -> Place:
        """The place `offset` characters further along the same line."""
        return Place(self.source, self.line, self.column + offset, length)


@dataclass(frozen=True, slots=True)
class Problem:
    """One diagnosis. `related` names other places that play a part, each with a remark."""

    code: str
    message: str
    place: Place
    hint: str | None = None
    related: tuple[tuple[str, Place], ...] = ()
    severity: Severity = "error"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the table of codes")

    def also(self, *related: tuple[str, Place]) -> Problem:
        """The problem with more places that play a part, but for those on its own line."""
        more = [(remark, place) for remark, place in related if not place.beside(self.place)]
        return replace(self, related=(*self.related, *more)) if more else self


SHOWN = 100
"""Of the problems of a file; whoever mends so many checks again."""
MOST = 120
"""Problems after which nobody looks for more."""


class Enough(Exception):
    """There are so many problems that more of them help nobody. Never leaves the compiler."""


Remark = Callable[[Problem], Problem]


class Reporter:
    """Collects problems. Raises `Enough` where there are too many."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.remarks: list[Remark] = []

    def report(
        self,
        code: str,
        message: str,
        place: Place,
        hint: str | None = None,
        *related: tuple[str, Place],
    ) -> None:
        self.tell([Problem(code, message, place, hint, related)])

    def tell(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            for remark in reversed(self.remarks):
                problem = remark(problem)
            self.problems.append(problem)
            if len(self.problems) > MOST:
                raise Enough

    @contextmanager
    def remarking(self, remark: Remark) -> Iterator[None]:
        """Problems that are reported meanwhile are as `remark` makes them."""
        self.remarks.append(remark)
        try:
            yield
        finally:
            self.remarks.pop()

    def blaming(self, place: Place, *related: tuple[str, Place]) -> Catching:
        """Reports what goes wrong meanwhile: at `place`, if it does not know its own."""
        return Catching(lambda blame: self.tell(blame.at(place, *related)))


class Catching:
    """Hands what goes wrong to a function. It is no generator, as every argument has one."""

    __slots__ = ("tell",)

    def __init__(self, tell: Callable[[Blame], None]) -> None:
        self.tell = tell

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, Blame):
            self.tell(error)
        return isinstance(error, Blame)


class Blame(Exception):
    """What is wrong, on its way to whoever reports it.

    Whatever the compiler raises is one. Where it comes to light, its place may not be known, or it
    may be that a value is missing because something else is wrong: see the kinds below.
    """

    def at(self, place: Place, *related: tuple[str, Place]) -> Iterable[Problem]:
        """The problems; at `place` with what is `related`, if they do not know their own."""
        return ()


class Unknown(Blame):
    """A value could not be worked out, and why is told already. Never leaves the compiler."""


class SpecError(Blame):
    """A spec is wrong. Carries the problems found, the user's own file first, but no more than a
    hundred, and how many `more` there are."""

    def __init__(self, problems: Iterable[Problem], more: int = 0) -> None:
        every = tuple(problems)
        self.problems = every[:SHOWN]
        self.more = more + len(every[SHOWN:])
        super().__init__("\n".join([*map(render, self.problems), *self.rest()]))

    def at(self, place: Place, *related: tuple[str, Place]) -> Iterable[Problem]:
        return self.problems

    def rest(self) -> list[str]:
        """What is said of the problems that are not shown."""
        return [f"... and at least {self.more:,} more problems"] if self.more else []


class Invalid(Blame):
    """A value is wrong that does not know where it stands. Never leaves the compiler."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        about: str | None = None,
        place: Place | None = None,
    ) -> None:
        """`about` is the parameter to blame, where the value is that of a whole call. `place` is
        the innermost one, where it is within blocks."""
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint
        self.about, self.place = about, place

    def at(self, place: Place, *related: tuple[str, Place]) -> Iterable[Problem]:
        return [Problem(self.code, self.message, self.place or place, self.hint).also(*related)]

    def within(self, place: Place, about: str | None) -> Invalid:
        """The same for the block that the call is in: `about` is a parameter of that block."""
        return Invalid(self.code, self.message, self.hint, about, self.place or place)


LONGEST_WORD, MOST_PAIRS = 64, 2**15
"""Letters of a word, and pairs of its letters with those that it is compared with."""
MOST_CHOICES = 50


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` means elsewhere or looks like, if there is one."""
    word = word[:LONGEST_WORD]
    few, pairs = set[str](), 0
    for name in known:
        pairs += len(name) * len(word)
        if pairs > MOST_PAIRS:
            break
        few.add(name)
    meant = next((name for name in OTHER_NAMES.get(plain(word), ()) if name in few), None)
    if meant is not None:
        return meant
    near = difflib.get_close_matches(word, sorted(few), n=1, cutoff=0.6)
    return near[0] if near else None


def likely(word: str, known: Iterable[str]) -> list[str]:
    """The three known words at most that `word` looks like at all."""
    few = [name for name in islice(known, MOST_CHOICES * 4) if len(name) <= LONGEST_WORD]
    return difflib.get_close_matches(word[:LONGEST_WORD], sorted({*few}), n=3, cutoff=0.4)


def suggest(word: str, known: Iterable[str]) -> str | None:
    """ "did you mean `hard_swish`?", where a known word is near."""
    near = nearest(word, known)
    unit = UNITS.get((plain(word), near))
    if unit is not None:
        return f"write `{near}`, which is {unit}"
    return f"did you mean `{near}`?" if near else None


def choices(known: Iterable[str]) -> str:
    return f"one of {listed(known)}"


def listed(known: Iterable[str]) -> str:
    """Words one after another, as far as a person reads on."""
    words = [f"`{word}`" for word in islice(known, MOST_CHOICES + 1)]
    return ", ".join([*words[:MOST_CHOICES], *["..."] * (len(words) > MOST_CHOICES)])


def printable(text: str) -> str:
    """`text` on one line that is safe to print on a terminal; what is not is written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(path: Path) -> str:
    """A path as it is printed: a file may be called anything."""
    return printable(str(path))


def file_name(path: Path) -> str:
    """A file's name as what is written says it: in UTF-8, whatever the locale is here."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def quote(text: str, limit: int = 60) -> str:
    """`text` as one short line in backquotes, safe to print on a terminal."""
    line = printable(text)
    return f"`{line[: limit - 3]}...`" if len(line) > limit else f"`{line}`"


WIDTH = 160
"""Longest excerpt of a line that a problem shows, in characters."""


def excerpt(place: Place) -> list[str]:
    """The line of `place` and a caret line below it."""
    lines = place.source.lines
    if not 1 <= place.line <= len(lines) or not lines[place.line - 1].strip():
        return []
    start = max(0, place.column - 1 - WIDTH // 2)
    part = lines[place.line - 1][start : start + WIDTH]
    shown = "".join(c if c.isprintable() else " " for c in part).rstrip()
    caret = place.column - 1 - start
    before = _width(shown[:caret].ljust(caret))
    under = _width(shown[caret : caret + place.length])
    number = f"{place.line:>5}"
    return [f"{number} | {shown}".rstrip(), f"{'':>5} | {' ' * before}{'^' * max(1, under)}"]


def _width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def render(problem: Problem) -> str:
    """The problem as a person reads it: place, code, message; the line and a caret; what to do."""
    level = "" if problem.severity == "error" else f"{problem.severity}: "
    message = printable(problem.message)
    out = [f"{problem.place}: {level}{problem.code} {message}", *excerpt(problem.place)]
    for remark, place in problem.related:
        out += [f"      = {printable(remark)}: {place}", *excerpt(place)]
    if problem.hint:
        out.append(f"      = help: {printable(problem.hint)}")
    if level:
        out.append(f"      = if it is meant, end the line with `# archc: allow {problem.code}`")
    return "\n".join(out)


def in_reading_order(problems: Iterable[Problem], first: str) -> list[Problem]:
    """Problems of the file named `first`, then the others; each file from top to bottom."""

    def key(problem: Problem) -> tuple[bool, str, int, int]:
        place = problem.place
        return (place.source.name != first, place.source.name, place.line, place.column)

    unique: dict[object, Problem] = {}
    for problem in problems:
        unique.setdefault((key(problem), problem.code, problem.message), problem)
    return sorted(unique.values(), key=key)
