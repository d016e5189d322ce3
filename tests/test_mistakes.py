"""Mistakes that people make while they edit a spec: what is said of each, and of how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import archc
from archc.compiler.language.problems import Source
from archc.compiler.printed.schema import blocks_of, json_schema, shipped_blocks
from archc.compiler.spec import reader

from .test_schema import plain

FOLDER = Path(__file__).parent / "mistakes"
BASE = (FOLDER / "base.yaml").read_text(encoding="utf-8")
MISTAKES = yaml.safe_load((FOLDER / "list.yaml").read_text(encoding="utf-8"))
IDS = [each["mistake"] for each in MISTAKES]


def edited(mistake: dict[str, Any]) -> str:
    text = BASE
    for old, new in ((mistake["old"], mistake["new"]), *mistake.get("also", [])):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def said(text: str) -> str:
    """The first thing that `archc check` says, with its line and column; or `nothing`."""
    try:
        told = archc.load(text).warnings
    except archc.SpecError as error:
        told = tuple(error.problems)
    first = next(((p.code, p.place.line, p.place.column) for p in told), None)
    return "nothing" if first is None else "{} {}:{}".format(*first)


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    blocks = {**shipped_blocks(), **blocks_of([FOLDER / "base.yaml"])}
    return jsonschema.Draft202012Validator(json_schema(blocks))


def refused(schema: jsonschema.Draft202012Validator, text: str) -> bool:
    node, problems = reader.read(Source("<text>", text))
    return bool(problems) or not schema.is_valid(plain(node))


def test_the_spec_is_right_before(schema: jsonschema.Draft202012Validator) -> None:
    assert said(BASE) == "nothing"
    assert not refused(schema, BASE)


@pytest.mark.parametrize("mistake", MISTAKES, ids=IDS)
def test_what_is_said_of_a_mistake(mistake: dict[str, Any]) -> None:
    assert said(edited(mistake)) == mistake["says"]


def test_how_many_are_found(schema: jsonschema.Draft202012Validator) -> None:
    """The one that is not is a stride that MobileNetV3 Small has, too."""
    assert len({*IDS}) == len(MISTAKES) == 28
    silent = [each["mistake"] for each in MISTAKES if each["says"] == "nothing"]
    assert silent == ["a stride that nobody meant"]
    in_editors = [each["mistake"] for each in MISTAKES if refused(schema, edited(each))]
    assert len(in_editors) == SCHEMA, in_editors


SCHEMA = 6
"""Of these, those that an editor finds by the JSON schema alone."""
