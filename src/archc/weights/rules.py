"""How published models call what archc calls so: the YAML files in specs/weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from archc import backends
from archc.backends.storage import Storage, WeightsError
from archc.compiler.language import parser
from archc.compiler.language.problems import Place, Source, suggest

Words = Mapping[str, Any]
Pair = tuple[str, str]
"""A pattern of archc's path, and the template of the other name.

In a pattern `<name>` stands for one part of a path, or for some of it. In a template, what stands
in braces is an expression in those, in the words of the group and in the network's parameters.
"""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(Model):
    """What several sources have in common."""

    set: Mapping[str, Any] = {}
    """Parameters of the spec that a checkpoint needs, and their values."""
    options: Mapping[str, str] = {}
    """Arguments of the function that makes the reference, as expressions in the parameters."""
    convention: str = ""
    """What has to be so for the numbers to be the reference's."""


class SourceRules(Kind):
    """One published model."""

    spec: str
    """The shipped spec that describes it."""
    kind: str | None = None
    words: Words = {}
    """Known to every expression."""


class Group(Model):
    """Layers that stand below one path, such as those of a block."""

    at: str
    when: str = "true"
    words: Words = {}


class Rules(Kind):
    """One file: sources whose layers are named alike."""

    archc: Literal[1]
    doc: str
    framework: str
    """The backend that drives them."""
    tagged: bool = False
    """Whether a name may also say which checkpoint, after a dot."""
    sources: Mapping[str, SourceRules]
    kinds: Mapping[str, Kind] = {}
    spelling: tuple[Pair, ...] = ()
    """Replacements that turn older names of layers into those that the rules give."""
    names: tuple[Pair, ...]
    """Layers by their whole path."""
    tensors: tuple[Pair, ...] = ()
    """Tensors whose names there are not their layer's and their own, by their whole path."""
    groups: tuple[Group, ...]
    inside: tuple[Pair, ...]
    """Layers by their path within a group."""
    outputs: tuple[Pair, ...] = ()
    """Where the reference has what comes out of a row."""
    output: tuple[str, ...]
    """The same for a group; of several, the first that the reference has."""


@dataclass(frozen=True)
class ZooModel:
    """A published model and its rules."""

    name: str
    rules: Rules
    source: SourceRules

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All that says something of it: what says more stands later."""
        shared = (self.rules.kinds[self.source.kind],) if self.source.kind else ()
        return (self.rules, *shared, self.source)

    @property
    def storage(self) -> Storage:
        """How the framework that it is of keeps weights."""
        return backends.get(self.rules.framework).storage()

    @property
    def needs(self) -> dict[str, Any]:
        """Parameters of the spec that its checkpoints need."""
        return {name: value for kind in self.kinds for name, value in kind.set.items()}

    @property
    def convention(self) -> str:
        """What has to be so for the numbers to be the reference's."""
        return next(kind.convention for kind in reversed(self.kinds) if kind.convention)

    def options(self, settings: Words) -> dict[str, Any]:
        """Arguments of the function that makes it, for a network with these parameters."""
        every = {name: text for kind in self.kinds for name, text in kind.options.items()}
        return {name: _value(text, settings) for name, text in every.items()}

    def tensor(self, path: str, settings: Words) -> str | None:
        """Its whole name of a tensor that it does not name after a layer."""
        return _first(self.rules.tensors, path, {**settings, **self.source.words})

    def layer(self, path: str, settings: Words) -> str | None:
        """Its name of a layer of archc's, or None where it has no such layer."""
        known = {**settings, **self.source.words}
        named, group = _first(self.rules.names, path, known), self._group(path, known)
        return _first(self.rules.inside, *group) if named is None and group else named

    def _group(self, path: str, known: Words) -> tuple[str, Words] | None:
        """The group that a path belongs to: the path within it, and what its templates know."""
        for group in self.rules.groups:
            match = re.fullmatch(rf"{_pattern(group.at)}(?:\.(?P<rest_>.*))?", path)
            if match is None:
                continue
            parts = match.groupdict()
            rest = parts.pop("rest_") or ""
            words = {**known, **_numbers(parts)}
            if _value(group.when, words):
                return rest, {**words, **{k: _filled(v, words) for k, v in group.words.items()}}
        return None

    def output(self, path: str, settings: Words) -> list[str]:
        """Where it may have the output of archc's `path`; the first that exists counts."""
        known = {**settings, **self.source.words}
        named = _first(self.rules.outputs, path, known)
        if named is not None:
            return [named]
        rest, words = self._group(path, known) or (None, known)
        return [] if rest != "" else [str(_filled(text, words)) for text in self.rules.output]

    def spelled(self, name: str) -> str:
        """A tensor's name in a file, with its layer's as the rules give it."""
        layer, slash, last = name.rpartition("/")
        for old, new in self.rules.spelling:
            layer = layer.replace(old, new)
        return f"{layer}{slash}{last}"


def _first(pairs: tuple[Pair, ...], path: str, known: Words) -> str | None:
    for pattern, template in pairs:
        match = re.fullmatch(_pattern(pattern), path)
        if match:
            return str(_filled(template, {**known, **_numbers(match.groupdict())}))
    return None


@cache
def _pattern(text: str) -> str:
    """`y<n>_<side>.bn` as a regular expression; a part that ends in a digit is not cut short."""
    literal, names = re.split(r"<\w+>", text), re.findall(r"<(\w+)>", text)
    pieces = [f"(?P<{name}>[^.]+?)" for name in names] + [""]
    return "".join(re.escape(a) + b for a, b in zip(literal, pieces, strict=True))


def _numbers(parts: Mapping[str, str]) -> dict[str, Any]:
    return {name: int(text) if text.isdecimal() else text for name, text in parts.items()}


def _filled(template: Any, known: Words) -> Any:
    """A template's text; one that is no text is what it is."""
    if not isinstance(template, str):
        return template
    return re.sub(r"\{([^}]*)\}", lambda match: str(_value(match[1], known)), template)


@cache
def _expression(text: str) -> Any:
    return parser.parse(text, Place(Source("rules", text), 1, 1))


def _value(text: str, known: Words) -> Any:
    return _expression(text).evaluate(known)


@cache
def every() -> dict[str, ZooModel]:
    """Every published model that there are rules for, by name."""
    found = {}
    folder = resources.files("archc.specs").joinpath("weights")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        rules = Rules.model_validate(yaml.safe_load(file.read_text("utf-8")))
        found.update({name: ZooModel(name, rules, s) for name, s in rules.sources.items()})
    return found


def find(name: str) -> ZooModel:
    """The model of that name, which may be tagged. Raises `WeightsError`."""
    known = every()
    tagged = (plain for plain, model in known.items() if model.rules.tagged)
    plain = next((plain for plain in tagged if name.startswith(f"{plain}.")), name)
    if plain in known:
        return ZooModel(name, known[plain].rules, known[plain].source)
    hint = suggest(plain, known) or f"there are rules for {', '.join(sorted(known))}"
    raise WeightsError(f"{name}: archc has no rules for this source\n  = help: {hint}")
