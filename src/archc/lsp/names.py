"""Where names are declared, and what it takes to rename them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archc.api import Net
from archc.compiler.language import expressions as ex
from archc.compiler.language import parser
from archc.compiler.language.names import check_module_name, check_name
from archc.compiler.language.problems import Blame, Invalid, Place
from archc.compiler.recipe.load import base_of
from archc.compiler.spec.load import find
from archc.compiler.spec.reader import Mapping, Node, Scalar, Sequence
from archc.lsp import roles
from archc.lsp.documents import Document, Documents, State
from archc.lsp.hover import node_at
from archc.lsp.roles import Role
from archc.lsp.text import Cursor
from archc.lsp.tree import Spot, spot

# ------------------------------------------------------------------------------------- definitions


def definition(document: Document, cursor: Cursor) -> Place | Path | None:
    """Where that is declared which stands at the cursor: a place, or a file as a whole."""
    state = document.now
    here = spot(state.root, state.source, cursor)
    role = roles.role(state.root, here)
    if role is None or not here.scalar:
        return None
    if role.kind in ("file", "base"):
        file = (find if role.kind == "file" else base_of)(here.scalar, document.path)
        return file if file.is_file() else None
    if role.kind == "block":
        return block_place(document, str(here.scalar))
    node = node_at(here.scalar, cursor)
    if isinstance(node, ex.Call):
        return block_place(document, node.function)
    return _declaration(document, role, node.id) if isinstance(node, ex.Name) else None


def _declaration(document: Document, role: Role, name: str) -> Place | None:
    root = document.now.root
    scopes: list[dict[str, Any]] = [roles.declared(root, role.definition)]
    if role.definition is not None:
        scopes.append(roles.tensors(root, role.definition))
    if role.kind == "from":
        scopes.insert(0, roles.feeding(root))
    found = next((scope[name] for scope in scopes if name in scope), None)
    if found is not None:
        return found.place  # type: ignore[no-any-return]
    return block_place(document, name) if role.kind == "value" else None


def block_place(document: Document, name: str) -> Place | None:
    """Where the block that counts is called so."""
    own = next((key for key in roles.get(document.now.root, "blocks") if key == name), None)
    if own is not None:
        return own.place  # type: ignore[no-any-return]
    return _defined(document.now, name) or _defined(document.known, name)


def _defined(state: State, name: str) -> Place | None:
    block = state.files.blocks.get(name)
    found = (key.place for spec in state.specs for key, own in spec.blocks.items() if own is block)
    return next(found, None)


# ------------------------------------------------------------------------------------------ rename


class Refused(Exception):
    """Why something cannot be renamed."""


@dataclass(frozen=True)
class Symbol:
    """What can be renamed: a parameter or `let` of the network, or a row or table."""

    name: str
    declared: Scalar
    is_row: bool
    at: Place
    """The mention of it that somebody points at."""


def symbol(document: Document, cursor: Cursor) -> Symbol:
    """What stands at the cursor. Raises `Refused` where that cannot be renamed."""
    state = document.now
    here = spot(state.root, state.source, cursor)
    role = roles.role(state.root, here)
    if here.scalar is None:
        raise Refused("there is no name here")
    own = _declares(here, role)
    node = None if own is not None else node_at(here.scalar, cursor)
    at = here.scalar.place if node is None else node.place
    name = str(here.scalar) if own is not None else getattr(node, "id", "")
    rows = own if own is not None else role is not None and role.kind == "from"
    if role is not None and role.definition is not None:
        raise Refused("names within a block are known to whoever calls it, and stay")
    for is_row, scope in (
        (True, _named_rows(state.root)),
        (False, roles.declared(state.root, None)),
    ):
        if name in scope and (rows or not is_row) and not (own is True and not is_row):
            return Symbol(name, scope[name], is_row, at)
    raise Refused("what stands here is no parameter, `let`, row or table of this file")


def _declares(here: Spot, role: Role | None) -> bool | None:
    """Whether the text declares a row or table, or else (False) a parameter or `let`."""
    match here.keys:
        case ("params" | "let", str()) if here.on_key:
            return False
        case ("network", int(), "name") if not here.on_key:
            return True
    return True if role is not None and role.kind == "word" and role.key == "name" else None


def _named_rows(root: Node | None) -> dict[str, Scalar]:
    """Rows and tables that say what they are called."""
    return {
        name: place
        for name, place in roles.feeding(root).items()
        if place is not None and not any(place is row.block for row in roles.rows(root))
    }


def renamed(documents: Documents, document: Document, cursor: Cursor, new: str) -> list[Place]:
    """Every mention that changes. Raises `Refused` where the file would say something else then."""
    found = symbol(document, cursor)
    try:
        (check_module_name if found.is_row else check_name)(new)
    except Invalid as error:
        raise Refused(error.message) from None
    mentions = _of_row if found.is_row else _of_parameter
    places = [
        *dict.fromkeys(
            [_key(found.declared.place), *map(_key, mentions(document.now.root, found.name))]
        )
    ]
    source = document.now.source
    every = [Place(source, line, column, len(found.name)) for line, column in places]
    if any(_written(place) != found.name for place in every):
        raise Refused("it is written with escapes somewhere; write the name plainly there")
    if not found.is_row and _hidden(document.now.root, found.name, new):
        raise Refused(f"a table that mentions `{found.name}` has a column `{new}`")
    _check(documents, document, every, found, new)
    return every


def _hidden(root: Node | None, name: str, new: str) -> bool:
    """Whether a column would be meant where a parameter of that name is now."""
    wide = (t for t in roles.tables(root) if new in roles.get(t, "columns", Sequence))
    return any([*_names(roles.get(table, "set"), name)] for table in wide)


def _key(place: Place) -> Cursor:
    return place.line, place.column


def _written(place: Place) -> str:
    return place.source.lines[place.line - 1][place.column - 1 :][: place.length]


def _check(
    documents: Documents, document: Document, places: list[Place], found: Symbol, new: str
) -> None:
    """Compiles what would be there."""
    if document.good is not document.now:
        raise Refused("the file has errors; mend them first")
    state = documents.compiled(document, edited(document.now.source.lines, places, new))
    errors = [problem for problem in state.problems if problem.severity == "error"]
    if errors:
        raise Refused(f"then {errors[0].code} {errors[0].message}")
    before, after = document.now.net, state.net
    if before is None or after is None:
        return
    same = before.totals == after.totals and before.output_shape == after.output_shape
    if not same or _arguments(before) != _arguments(after):
        raise Refused(f"`{new}` means something else in this file")


def _arguments(net: Net) -> list[str]:
    """What every row is given."""
    return [str(dict(row.call.body.arguments)) for row in net.network.rows]


def edited(lines: list[str], places: list[Place], new: str) -> str:
    """The lines with `new` in all places."""
    text = [*lines]
    for place in sorted(places, key=_key, reverse=True):
        line = text[place.line - 1]
        text[place.line - 1] = (
            line[: place.column - 1] + new + line[place.column - 1 + place.length :]
        )
    return "\n".join(text)


# ---------------------------------------------------------------------------------------- mentions

_WORDS = ("block", "name", "tap", "output", "doc")
"""Keys of a row that hold no expression."""


def _of_row(root: Node | None, name: str) -> Iterator[Place]:
    for row in roles.rows(root):
        yield from _names(row.cells.get("from"), name)
    for change in roles.get(root, "change", Sequence):
        for key in ("at", "remove", "before", "after"):
            said = change.get(key) if isinstance(change, Mapping) else None  # type: ignore[call-overload]
            for scalar in _scalars(said):
                if str(scalar).partition(".")[0] == name:
                    yield scalar.place


def _of_parameter(root: Node | None, name: str) -> Iterator[Place]:
    rows = roles.feeding(root)
    for node in _expressions(root, lambda key: key == "from" and name in rows, name):
        yield from _names(node, name)


def _expressions(root: Node | None, skipped: Callable[[str], bool], name: str) -> Iterator[Node]:
    """Where parameters of the network may be mentioned; not where a column of the name is meant."""
    for key in ("let", "require", "output_stride", "dilate_strided", "defaults", "set"):
        yield from filter(None, [root.get(key)] if isinstance(root, Mapping) else [])  # type: ignore[call-overload]
    for own in roles.get(root, "params").values():
        yield from (v for k, v in own.items() if k == "default") if isinstance(own, Mapping) else ()
    for own in (roles.get(root, "input"), *roles.get(root, "inputs").values()):
        yield from (v for k, v in own.items() if k != "doc") if isinstance(own, Mapping) else ()
    for row in roles.rows(root):
        yield from (v for k, v in row.cells.items() if k not in _WORDS and not skipped(k))
    for table in roles.tables(root):
        columns = [str(c) for c in roles.get(table, "columns", Sequence)]
        if name not in columns:
            yield from (v for k, v in roles.get(table, "set").items() if k not in _WORDS)
    for change in roles.get(root, "change", Sequence):
        yield from (v for k, v in roles.get(change, "set").items() if k not in _WORDS)


def _names(node: Node | None, name: str) -> Iterator[Place]:
    for scalar in _scalars(node):
        try:
            tree = parser.parse(scalar, scalar.place)
        except Blame:
            continue
        yield from (n.place for n in ex.walk(tree) if isinstance(n, ex.Name) and n.id == name)


def _scalars(node: Node | None) -> Iterator[Scalar]:
    """The texts in a value; keys are none."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Mapping | Sequence):
        for inner in node.values() if isinstance(node, Mapping) else node:
            yield from _scalars(inner)
