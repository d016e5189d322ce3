"""A mapping of a file as a model, and what is wrong with its structure: in the words of a spec, and
not in pydantic's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from archc.compiler.language.problems import MOST, Place, Problem, choices, nearest, quote, suggest
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import misfit, refusal
from archc.compiler.spec.reader import Scalar


class SpecNode(BaseModel):
    """A mapping of the file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    example: ClassVar[str | None] = None
    """How to write one, for those who wrote something else."""
    _mapping: reader.Mapping = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: Callable[[Any], Self]) -> Self:
        if not isinstance(value, reader.Mapping):
            raise refusal(misfit(value, "a mapping", cls.example))
        try:
            node = handler(cls.rewritten(value))
        except ValidationError as error:
            found = _own_errors(error, cls.model_fields)
            raise refusal(*(p for e in found for p in _problems(cls, value, e))) from None
        node._mapping = value
        return node

    # A node is the key of caches, as the very one that was read: what it says is not compared.
    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        """The long form of a mapping that has a short one."""
        return value

    @property
    def mapping(self) -> reader.Mapping:
        """The node as it is written."""
        return self._mapping

    @property
    def place(self) -> Place:
        return self._mapping.place

    def key_place(self, key: str) -> Place:
        """Where the key stands, or the mapping if it is not written."""
        return next((k.place for k in self._mapping if k == key), self.place)


def like(value: reader.Node, content: dict[Any, Any]) -> reader.Mapping:
    """A mapping of other content in the place of `value`."""
    mapping = reader.Mapping(content)
    mapping.place = value.place
    return mapping


def problems_of(error: ValidationError) -> list[Problem]:
    """What a model says is wrong with a node."""
    return [problem for each in error.errors() for problem in each.get("ctx", {})["problems"]]


def _own_errors(error: ValidationError, fields: Iterable[str]) -> list[dict[str, Any]]:
    """The errors of a mapping with these `fields`, without those that only follow from others."""
    found = error.errors(include_url=False, include_input=False)
    every: list[dict[str, Any]] = [dict(details) for details in found[: MOST + 1]]
    paths = [details["loc"] for details in every]
    above = {path[:length] for path in paths for length in range(len(path))}
    unknown = [details["loc"] for details in every if details["type"] == "extra_forbidden"]
    meant = {(nearest(str(path[-1]), fields),) for path in unknown}
    explained: dict[str, set[Any]] = {"too_short": above, "missing": meant}
    return [one for one in every if one["loc"] not in explained.get(one["type"], ())]


def _problems(
    model: type[SpecNode], root: reader.Mapping, details: dict[str, Any]
) -> tuple[Problem, ...]:
    """Those that an error carries, or else pydantic's own complaint in the words of a spec."""
    path, context = details["loc"], details.get("ctx", {})
    if "problems" in context:
        return context["problems"]  # type: ignore[no-any-return]
    node, key = _find(root, path)
    hint: str | None
    match details["type"]:
        case "extra_forbidden":
            place = key.place if key is not None else node.place
            word, known = str(path[-1]), model.model_fields
            hint = suggest(word, known) or choices(known)
            return (Problem("E010", f"unknown key {quote(word)}", place, hint),)
        case "missing":
            hint = model.example if path[-1] == "archc" else None
            return (Problem("E011", f"the key `{path[-1]}` is missing", node.place, hint),)
        case "too_short":
            kind = "mapping" if isinstance(node, reader.Mapping) else "list"
            message = f"an empty {kind} where one entry at least belongs"
            return (Problem("E011", message, node.place),)
        case "greater_than_equal" | "less_than_equal":
            bound = f"least {context['ge']:.0f}" if "ge" in context else f"most {context['le']:.0f}"
            message = f"`{path[-1]}` is {quote(node)}; it must be at {bound}"
            return (Problem("E035", message, node.place),)
        case "dict_type":
            return (misfit(node, "a mapping"),)
        case "tuple_type":
            alone = isinstance(node, Scalar) and node
            hint = f"write `[{_as_read(node)}]`" if alone else "start each entry with `- `"
            return (misfit(node, "a list", hint),)
    raise AssertionError(details)


def _as_read(node: Scalar) -> str:
    return str(node) if node.plain else f'"{node}"'


def _find(root: Any, path: tuple[str | int, ...]) -> tuple[Any, Scalar | None]:
    """The node that a pydantic location names, and its key; parts that name no node are skipped."""
    node, key = root, None
    for part in path:
        if isinstance(node, reader.Mapping) and part in node:
            key = next(k for k in node if k == part)
            node = node[key]
        elif isinstance(node, reader.Sequence) and isinstance(part, int) and part < len(node):
            node, key = node[part], None
    return node, key
