"""What a file of rules may say: how published models call what archc calls so.

It is read as specs are: every node knows its place, and what is wrong is told in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from archc import backends
from archc.compiler.language import parser
from archc.compiler.language.expressions import Name, Node, names, walk
from archc.compiler.language.problems import (
    Place,
    Problem,
    Reporter,
    SpecError,
    Unknown,
    choices,
    in_reading_order,
    quote,
    suggest,
)
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import (
    Expression,
    Flag,
    Text,
    Value,
    checked,
    misfit,
    refusal,
    refusing,
    scalar,
)
from archc.compiler.spec.kinds import Name as Identifier
from archc.compiler.spec.models import FORMAT, version
from archc.compiler.spec.nodes import SpecNode, problems_of
from archc.compiler.spec.reader import Scalar

Words = Mapping[str, Any]
_HOLE = re.compile(r"\{([^{}]*)\}")
_PART = re.compile(r"<([A-Za-z]\w*)>")


class Pattern(str):
    """archc's path of a layer, in which `<i>` stands for one part, or for some of it."""

    place: Place

    @cached_property
    def regex(self) -> str:
        """As a regular expression; a part that ends in a digit is not cut short."""
        literal, found = _PART.split(self)[::2], _PART.findall(self)
        pieces = [f"(?P<{name}>[^.]+?)" for name in found] + [""]
        return "".join(re.escape(a) + b for a, b in zip(literal, pieces, strict=True))

    def match(self, path: str) -> Words | None:
        """What the parts stand for, where it is the pattern of `path`."""
        found = re.fullmatch(self.regex, path)
        return None if found is None else numbers(found.groupdict())


def numbers(parts: Mapping[str, str]) -> Words:
    """Parts of a path; those that are digits alone are numbers."""
    return {name: int(text) if text.isdecimal() else text for name, text in parts.items()}


class Template(str):
    """Another name. What stands in braces is an expression."""

    place: Place
    holes: tuple[Node, ...]

    def filled(self, known: Words) -> str:
        """With every expression worked out. Raises `SpecError` (E021, E022)."""
        values = iter([str(value(node, known)) for node in self.holes])
        return _HOLE.sub(lambda hole: next(values), self)


def value(node: Node, known: Words) -> Any:
    """What an expression comes to. Raises `SpecError`: E021 where it names what is not known."""
    try:
        return node.evaluate(known)
    except Unknown:
        pass
    word = next(name for name in names(node) if name not in known)
    hint = suggest(word, known) or choices(known)
    place = next(_places(node, word))
    raise SpecError([Problem("E021", f"unknown name {quote(word)}", place, hint)])


def _places(node: Node, word: str) -> Iterator[Place]:
    return (n.place for n in walk(node) if isinstance(n, Name) and n.id == word)


# ---- Kinds of nodes


def _pattern(given: object) -> Pattern:
    text = scalar(given, "a pattern")
    pattern = Pattern(text)
    pattern.place = text.place
    parts = _PART.findall(text)
    if set("<>") & set(_PART.sub("", text)):
        message = f"{quote(text)} is no pattern"
        hint = "a part of a path is `<i>`: a name between `<` and `>`"
        raise refusal(Problem("E020", message, text.place, hint))
    if len({*parts}) < len(parts):
        twice = next(part for part in parts if parts.count(part) > 1)
        hint = "call each part otherwise"
        raise refusal(Problem("E015", f"`<{twice}>` stands twice", text.place, hint))
    return pattern


def _template(given: object) -> Template:
    text = scalar(given, "a name")
    template = Template(text)
    template.place = text.place
    if set("{}") & set(_HOLE.sub("", text)):
        hint = "an expression stands between `{` and `}`"
        raise refusal(Problem("E020", "a brace has no counterpart", text.place, hint))
    with refusing(text.place):
        template.holes = tuple(_holes(text))
    return template


def _holes(text: Scalar) -> Iterator[Node]:
    quotes = (text.place.length - len(text)) // 2
    for hole in _HOLE.finditer(text):
        inside = len(text) <= text.place.length <= len(text) + 2
        place = text.place.at(hole.start(1) + quotes, len(hole[1])) if inside else text.place
        if not hole[1].strip():
            hint = "write an expression there, or leave the braces out"
            raise SpecError([Problem("E020", "nothing stands in the braces", text.place, hint)])
        yield parser.parse(hole[1], place)


def _setting(given: Any) -> Scalar:
    if isinstance(given, Scalar):
        return given
    raise refusal(misfit(given, "a text", 'write it as on the command line: "[1, 1]"'))


def _word(given: object) -> Any:
    """A number or a flag, where it is not quoted; else a template."""
    text = scalar(given, "a word")
    if text.plain and text in ("true", "false"):
        return text == "true"
    return int(text) if text.plain and text.isdecimal() else _template(text)


def _pair(given: object) -> tuple[Pattern, Template]:
    old, new = _two(given, "[stem.conv, conv1]")
    return _pattern(old), _template(new)


def _spelling(given: object) -> tuple[Scalar, Scalar]:
    old, new = (scalar(each, "a text") for each in _two(given, "[/BatchNorm, _bn]"))
    if not old:
        raise refusal(misfit(old, "what is to be replaced"))
    return old, new


def _two(given: Any, example: str) -> tuple[Any, Any]:
    if not isinstance(given, reader.Sequence) or len(given) != 2:
        if isinstance(given, reader.Sequence):
            message = f"a list of {len(given)} where a pair belongs"
            raise refusal(Problem("E012", message, given.place, f"write `{example}`"))
        raise refusal(misfit(given, "a pair", f"write `{example}`"))
    return given[0], given[1]


def _framework(given: object) -> str:
    text = scalar(given, "a backend")
    if text not in backends.names():
        hint = suggest(text, backends.names()) or choices(backends.names())
        message = f"no backend is called {quote(text)}"
        raise refusal(Problem("E021", message, text.place, hint))
    return str(text)


PatternNode = Annotated[Any, PlainValidator(_pattern)]
TemplateNode = Annotated[Any, PlainValidator(_template)]
Pair = Annotated[Any, PlainValidator(_pair)]
"""A pattern of archc's path, and the template of the other name."""
Key = Annotated[Scalar, checked(str, "a text")]
Setting = Annotated[Any, PlainValidator(_setting)]


# ---- What a file says


class Kind(SpecNode):
    """What several sources have in common."""

    set: dict[Identifier, Setting] = Field({})
    """Parameters of the spec that a checkpoint needs, and their values."""
    options: dict[Identifier, Value] = Field({})
    """Arguments of the function that makes the reference, as expressions in the parameters."""
    convention: Text = ""
    """What has to be so for the numbers to be the reference's."""


class SourceRules(Kind):
    """One published model."""

    example = "write `{spec: NAME}`"

    spec: Text = ""
    """The spec that describes it."""
    kind: Identifier | None = None
    words: dict[Identifier, Annotated[Any, PlainValidator(_word)]] = Field({})
    """Known to every expression."""


class Group(SpecNode):
    """Layers that stand below one path, such as those of a block."""

    example = "write `{at: blocks.<i>, words: {...}}`"

    at: PatternNode
    when: Expression = None
    words: dict[Identifier, Annotated[Any, PlainValidator(_word)]] = Field({})


class Rules(Kind):
    """One file: sources whose layers are named alike."""

    example = f"rules start with `archc: {FORMAT}`"

    archc: Annotated[Literal[1], BeforeValidator(version)]
    doc: Text = ""
    framework: Annotated[str, PlainValidator(_framework)]
    """The backend that drives them."""
    tagged: Flag = False
    """Whether a name may also say which checkpoint, after a dot."""
    sources: dict[Key, SourceRules]
    kinds: dict[Identifier, Kind] = Field({})
    spelling: tuple[Annotated[Any, PlainValidator(_spelling)], ...] = ()
    """Replacements that turn older names of layers into those that the rules give."""
    names: tuple[Pair, ...] = ()
    """Layers by their whole path."""
    tensors: tuple[Pair, ...] = ()
    """Tensors whose names there are not their layer's and their own, by their whole path."""
    groups: tuple[Group, ...] = ()
    inside: tuple[Pair, ...] = ()
    """Layers by their path within a group."""
    outputs: tuple[Pair, ...] = ()
    """Where the reference has what comes out of a row."""
    output: tuple[TemplateNode, ...] = ()
    """The same for a group; of several, the first that the reference has."""

    def spelled(self, name: str) -> str:
        """The name of a layer as the rules give it."""
        for old, new in self.spelling:
            name = name.replace(old, new)
        return name


def read(path: Path, name: str | None = None) -> Rules:
    """The rules in a file. Raises `SpecError` with all that is wrong with them."""
    source = reader.read_source(path, name)
    node, problems = reader.read(source)
    if node is None and not problems:
        here = Place(source, 1, 1)
        problems = [Problem("E003", "there is nothing but comments", here, Rules.example)]
    if problems:
        raise SpecError(problems)
    try:
        rules = Rules.model_validate(node)
    except ValidationError as error:
        found = problems_of(error)
        raise SpecError(in_reading_order(found, source.name)) from None
    checker = _Checker()
    checker.check(rules)
    if checker.problems:
        raise SpecError(in_reading_order(checker.problems, source.name))
    return rules


class _Checker(Reporter):
    """What no node of a file can see by itself."""

    def check(self, rules: Rules) -> None:
        for source in rules.sources.values():
            self.kind(source, rules)
        for pairs in (rules.names, rules.tensors, rules.inside, rules.outputs):
            self.twice({}, [(str(pattern), pattern) for pattern, _ in pairs])
        self.twice({}, [(f"{group.at}, {group.when}", group.at) for group in rules.groups])
        for old, new in rules.spelling:
            self.circle(rules, old, new)

    def kind(self, source: SourceRules, rules: Rules) -> None:
        if source.kind is not None and source.kind not in rules.kinds:
            hint = suggest(source.kind, rules.kinds) or "describe it under `kinds`"
            self.report("E021", f"unknown kind `{source.kind}`", source.kind.place, hint)

    def twice(self, first: dict[str, Place], patterns: list[tuple[str, Any]]) -> None:
        for key, pattern in patterns:
            if key in first:
                message = f"the pattern {quote(pattern)} stands twice, and the first counts"
                related = ("first here", first[key])
                self.report("E015", message, pattern.place, "remove one", related)
            first.setdefault(key, pattern.place)

    def circle(self, rules: Rules, old: Scalar, new: Scalar) -> None:
        """A file may have the new names already: what is replaced must not be again."""
        again = next((pair for pair in rules.spelling if pair[0] in new), None)
        if again is not None:
            message = f"{quote(old)} becomes {quote(new)}, which is replaced again"
            hint = "replacements must not lead back to what is replaced"
            related = [("by this one", again[0].place)] if again[0] is not old else []
            self.report("R001", message, new.place, hint, *related)
