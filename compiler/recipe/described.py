"""What each key of a recipe is told to hold: by editors, and in docs/training.md. All of it is read
from the JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from archc.compiler.language.problems import choices
from archc.compiler.language.values import show
from archc.compiler.printed.schema import Schema
from archc.compiler.recipe.kinds import LARGEST, STRETCH_SCHEMA
from archc.compiler.recipe.schema import recipe_schema

Key = str | int
_NOTHING = {"type": "null"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_SCALARS = {"integer": "an integer", "number": "a number", "string": "a text"}


@dataclass(frozen=True, eq=False)
class Described:
    """A place of a recipe: what stands below a key, or as an entry of a list."""

    node: Schema
    """Its schema, with what that refers to."""
    required: bool = False

    @property
    def doc(self) -> str:
        return str(self.node.get("description", ""))

    @cached_property
    def words(self) -> Mapping[str, str]:
        """The words that may stand there, each with what it means."""
        known = (each for each in self.node.get("anyOf", ()) if "const" in each)
        found = {str(each["const"]): str(each["description"]) for each in known}
        return {"true": "", "false": ""} if self.node.get("type") == "boolean" else found

    @cached_property
    def examples(self) -> tuple[str, ...]:
        return tuple(self.node.get("examples", ()))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Keys of which there is one."""
        return tuple(key for each in self.node.get("oneOf", ()) for key in each["required"])

    @cached_property
    def keys(self) -> Mapping[str, Described]:
        """The keys of a mapping."""
        needed = self.node.get("required", ())
        found = self.node.get("properties", {})
        return {key: Described(_whole(node), key in needed) for key, node in found.items()}

    def below(self, key: Key) -> Described | None:
        """What stands below a key, or in a list at an index."""
        if isinstance(key, str):
            return self.keys.get(key) or next(self._named(), None)
        first = self.node.get("prefixItems", ())
        item = first[key] if key < len(first) else self.node.get("items")
        return Described(_whole(item)) if item else None

    def walk(self, name: str = "") -> Iterator[tuple[str, str, Described]]:
        """All keys of mappings below, each with its own name and what leads to the mapping."""
        for key, each in self.keys.items():
            yield name, key, each
            entry = each.below(0) or each
            yield from entry.walk(f"{name}.{key}".lstrip("."))

    def _named(self) -> Iterator[Described]:
        """What stands below each name of a mapping of names."""
        for node in self.node.get("patternProperties", {}).values():
            yield Described(_whole(node))

    @property
    def holds(self) -> str:
        """What may stand there, in words."""
        entry, named = self.below(0), next(self._named(), None)
        if self.node.get("type") == "boolean":
            return "`true` or `false`"
        if self.kinds or self.words:
            return choices(self.kinds or self.words)
        if entry is not None:
            count = f" of {self.node['minItems']}" if "prefixItems" in self.node else ""
            return f"a list{count}, each {entry.holds}"
        if named is not None:
            return f"a mapping of names, each to {named.holds}"
        return "a mapping" if self.keys or self.node["type"] == "object" else self._scalar()

    def _scalar(self) -> str:
        if "const" in self.node:
            return f"`{self.node['const']}`"
        if self.node.get("pattern") == STRETCH_SCHEMA["pattern"]:
            return "a number of `epochs` or of `steps`"
        types = self.node["type"]
        kind = _SCALARS[types] if isinstance(types, str) else "a value"
        return ", ".join([kind, *self._bounds()])

    def _bounds(self) -> Iterator[str]:
        for key, word in _BOUNDS.items():
            bound = self.node.get(key)
            if bound is not None and bound != LARGEST:
                yield f"{word} {show(bound)}"

    @property
    def about(self) -> str:
        """What may stand there, and what it is without."""
        return "; ".join([self.holds, *self._without()])

    def _without(self) -> Iterator[str]:
        default = self.node.get("default")
        if self.required:
            yield "required"
        elif isinstance(default, bool | float | str) and default != "":
            yield f"{show(default)} by default"


def described() -> Described:
    """A recipe."""
    return Described(_schema())


@cache
def _schema() -> Schema:
    return recipe_schema()


def _whole(node: Schema) -> Schema:
    """A node with what it refers to; what it says itself counts."""
    given = [each for each in node.get("anyOf", ()) if each != _NOTHING]
    target = given[0] if len(given) == 1 else {}
    if "$ref" in node:
        target = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return {**_whole(target), **node} if target else node
