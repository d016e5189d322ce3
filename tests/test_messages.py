"""What messages say, judged by others than archc: places that people wrote, and hints obeyed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

import pytest
import yaml

from archc.compiler.language.problems import Problem, SpecError
from archc.compiler.pipeline import compile_network

FOLDER = Path(__file__).parent / "problems"
FIXTURES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
REPAIRS = yaml.safe_load(Path(__file__).with_name("repairs.yaml").read_text(encoding="utf-8"))

REPLACES = re.compile(r"(?:did you mean|try|write) `([^`]+)`\??")
"""Hints that say what belongs at the place of the problem."""
READS = re.compile(r"`([\w.]+)` is its number of channels")
LISTS = re.compile(r"one of (`[^`]+`(?:,? (?:or )?`[^`]+`)*)")
ROUNDS = re.compile(r"use `(floor)`, `round` or `round_channels`")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixtures to stand in."""
    shutil.copytree(FOLDER, tmp_path / "problems")
    monkeypatch.chdir(tmp_path / "problems")
    return tmp_path / "problems"


def problems(path: Path) -> tuple[Problem, ...]:
    try:
        compile_network(path)
    except SpecError as error:
        return error.problems
    return ()


# ------------------------------------------------------------------------------------ their places


@cache
def expected() -> dict[str, list[str]]:
    lines = (FOLDER / "expected.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name: places.split(", ") for name, places in pairs}


def test_every_fixture_is_expected_in_order() -> None:
    assert list(expected()) == FIXTURES, "add a line to tests/problems/expected.tsv"


@pytest.mark.parametrize("name", FIXTURES)
def test_codes_and_places_are_those_that_a_person_expects(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    found = [
        f"{p.code} {p.place}".replace(f"{name}.yaml:", "") for p in problems(Path(name + ".yaml"))
    ]
    assert found == expected()[name]


# ------------------------------------------------------------------------------------- their hints


def obeyed(problem: Problem) -> list[str]:
    """What the hint would have at the problem's place, if it says so: one of these."""
    hint, text = problem.hint or "", lines_of(problem)[problem.place.line - 1]
    old = text[problem.place.column - 1 :][: problem.place.length]
    if found := ROUNDS.fullmatch(hint):
        return [f"{found[1]}({old})"]
    if found := REPLACES.fullmatch(hint):
        return [] if set(found[1]) & set("{}:- ") else [found[1], respelled(old, found[1])]
    if found := READS.fullmatch(hint):
        return [found[1]]
    if found := LISTS.match(hint):
        return [found[1].split("`")[1]]
    return []


def respelled(text: str, word: str) -> str:
    """`text` with `word` for the one in it that looks most like it."""
    words = re.findall(r"\w+", text)
    near = max(words, key=lambda w: SequenceMatcher(None, w, word).ratio(), default=text)
    return re.sub(rf"\b{near}\b", word, text) if words else word


def lines_of(problem: Problem) -> list[str]:
    return problem.place.source.lines


def mended(problem: Problem, new: str) -> str:
    """The text of the problem's file with `new` at its place."""
    place, lines = problem.place, list(lines_of(problem))
    line = lines[place.line - 1]
    before, after = line[: place.column - 1], line[place.column - 1 + place.length :]
    return "\n".join([*lines[: place.line - 1], before + new + after, *lines[place.line :]])


def hints() -> Iterator[tuple[str, int, list[str]]]:
    """Fixtures, and which of their problems have a hint that can be obeyed as it is."""
    for name in FIXTURES:
        for number, problem in enumerate(problems(FOLDER / f"{name}.yaml")):
            if new := obeyed(problem):
                yield name, number, new


HINTS = list(hints())


def test_many_hints_can_be_obeyed_as_they_are() -> None:
    assert len(HINTS) > 80


def accepts(path: Path, number: int, new: str) -> bool:
    """Whether a problem of a file is gone, and no other in its place, once `new` stands there."""
    problem = problems(path)[number]
    changed = Path(problem.place.source.name)
    text = changed.read_text(encoding="utf-8")
    changed.write_text(mended(problem, new), encoding="utf-8")
    same = [p for p in problems(path) if str(p.place) == str(problem.place)]
    changed.write_text(text, encoding="utf-8")
    one_of_many = LISTS.match(problem.hint or "") or ROUNDS.match(problem.hint or "")
    others = {p.code for p in same} - {"E005"}  # where what is meant is there as well
    return problem.message not in {p.message for p in same} and bool(one_of_many or not others)


@pytest.mark.parametrize(("name", "number", "news"), HINTS, ids=str)
def test_what_a_hint_says_is_accepted_in_its_place(
    name: str, number: int, news: list[str], here: Path
) -> None:
    assert any(accepts(Path(f"{name}.yaml"), number, new) for new in news)


@pytest.mark.parametrize("name", REPAIRS)
def test_a_spec_that_is_mended_as_its_messages_advise_compiles(name: str, here: Path) -> None:
    path = Path(f"{name}.yaml")
    text = path.read_text(encoding="utf-8")
    for old, new in REPAIRS[name].items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    compile_network(path)
