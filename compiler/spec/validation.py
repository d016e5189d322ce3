"""What is wrong with the structure of a file, in the words of a spec rather than in pydantic's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import ValidationError

from archc.compiler.language.problems import MOST, Problem, choices, nearest, quote, suggest
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import SpecNode, misfit
from archc.compiler.spec.models import BlockSpec, InputSpec, ParameterSpec, Spec
from archc.compiler.spec.reader import Scalar
from archc.compiler.spec.rows import ChangeSpec, TableSpec


def validate(node: reader.Node) -> tuple[Spec | None, list[Problem]]:
    """The spec that the root node of a file says, or what is wrong with its structure."""
    try:
        return Spec.model_validate(node), []
    except ValidationError as error:
        return None, problems_of(node, error)


def problems_of(node: reader.Node, error: ValidationError) -> list[Problem]:
    """What is wrong with the structure of a node."""
    return [problem for details in _own_errors(error) for problem in _problems(node, details)]


def _own_errors(error: ValidationError) -> list[dict[str, Any]]:
    """The errors of a validation, without those that only follow from others."""
    every: list[dict[str, Any]]
    found = error.errors(include_url=False, include_input=False)
    every = [dict(details) for details in found[: MOST + 1]]
    paths = [details["loc"] for details in every]
    above = {path[:length] for path in paths for length in range(len(path))}
    unknown = [details["loc"] for details in every if details["type"] == "extra_forbidden"]
    meant = {(*path[:-1], nearest(str(path[-1]), _owner(path).model_fields)) for path in unknown}
    explained: dict[str, set[Any]] = {"too_short": above, "missing": meant}
    return [one for one in every if one["loc"] not in explained.get(one["type"], ())]


def _problems(root: reader.Node, details: dict[str, Any]) -> Iterable[Problem]:
    """Those that an error carries, or else pydantic's own complaint in the words of a spec."""
    carried: tuple[Problem, ...] = details.get("ctx", {}).get("problems", ())
    return carried or [_structural(root, details)]


def _structural(root: reader.Node, details: dict[str, Any]) -> Problem:
    path, limits = details["loc"], details.get("ctx", {})
    node, key = _find(root, path)
    hint: str | None
    match details["type"]:
        case "extra_forbidden":
            place = key.place if key is not None else node.place
            word, known = str(path[-1]), _owner(path).model_fields
            hint = suggest(word, known) or choices(known)
            return Problem("E010", f"unknown key {quote(word)}", place, hint)
        case "missing":
            hint = Spec.example if path[-1] == "archc" else None
            return Problem("E011", f"the key `{path[-1]}` is missing", node.place, hint)
        case "too_short":
            return Problem("E011", "an empty list where one entry at least belongs", node.place)
        case "greater_than_equal":
            message = f"`{path[-1]}` is {quote(node)}; it must be at least {limits['ge']:.0f}"
            return Problem("E035", message, node.place)
        case "less_than_equal":
            message = f"`{path[-1]}` is {quote(node)}; it must be at most {limits['le']:.0f}"
            return Problem("E035", message, node.place)
        case "dict_type":
            return misfit(node, "a mapping")
        case "tuple_type":
            alone = isinstance(node, Scalar) and node
            hint = f"write `[{node}]`" if alone else "start each entry with `- `"
            return misfit(node, "a list", hint)
    raise AssertionError(details)


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


_OWNERS: dict[str, type[SpecNode]] = {
    "params": ParameterSpec,
    "input": InputSpec,
    "network": TableSpec,
    "change": ChangeSpec,
    "insert": TableSpec,
    "blocks": BlockSpec,
}


def _owner(path: tuple[str | int, ...]) -> type[SpecNode]:
    """The model that the key at the end of `path` belongs to."""
    owner: type[SpecNode] = Spec
    parts = iter(path[:-1])
    for part in parts:
        owner = _OWNERS.get(str(part), owner)
        if part != "input":
            next(parts, None)  # the user's name for an entry, or its number
    return owner
