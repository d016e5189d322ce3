"""What may stand where somebody is writing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from lsprotocol.types import CompletionItemKind as ItemKind

from archc.compiler.ir.network import Op, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.values import KINDS
from archc.compiler.printed.schema import DOCS
from archc.compiler.recipe.load import shipped
from archc.compiler.spec import reader
from archc.compiler.spec.load import SHIPPED
from archc.compiler.spec.models import STEP_KEYS, ParameterSpec
from archc.lsp import recipes, roles
from archc.lsp.documents import Document
from archc.lsp.hover import described
from archc.lsp.roles import Role
from archc.lsp.text import Cursor, line_of
from archc.lsp.tree import Spot, spot


class Item(NamedTuple):
    """A word that may stand there."""

    label: str
    kind: ItemKind
    doc: str = ""
    insert: str | None = None
    rank: int = 1
    """Those of lower ranks come first."""


def items(document: Document, cursor: Cursor) -> list[Item]:
    state = document.now
    here = spot(state.root, state.source, cursor)
    role = roles.role(state.root, here)
    if role is None:
        return []
    line = line_of(state.source.lines, cursor[0])[: cursor[1] - 1]
    found = _KINDS[role.kind](_Asked(document, role, here, line, cursor))
    return [*{item.label: item for item in reversed([*found])}.values()][::-1]


class _Asked(NamedTuple):
    document: Document
    role: Role
    here: Spot
    line: str
    """What stands before the cursor on its line."""
    cursor: Cursor


def _blocks(asked: _Asked) -> Iterator[Item]:
    state = asked.document.now if asked.document.now.files.blocks else asked.document.known
    for name, target in state.targets.items():
        op = isinstance(target, Op)
        kind = ItemKind.Function if op else ItemKind.Class
        yield Item(str(name), kind, target.doc, rank=1 + op)
    for key in roles.get(asked.document.now.root, "blocks"):
        yield Item(str(key), ItemKind.Class)


def _arguments(asked: _Asked) -> Iterator[Item]:
    given = asked.role.given.keys() - {asked.role.key}
    colon = "" if asked.here.on_key or "columns" in asked.here.keys else ": "
    for name, own in _parameters(asked, asked.role.target).items():
        if name not in given:
            yield Item(name, ItemKind.Property, described(name, own), f"{name}{colon}", 0)
    if asked.here.keys[0] != "defaults":
        yield from _keys(DOCS["RowSpec"], given, colon)


def _parameters(asked: _Asked, target: str | None) -> Mapping[str, Parameter | ParameterSpec]:
    now = asked.document.now.parameters(target)
    return now or asked.document.known.parameters(target)


def _keys(docs: Mapping[str, str], given: Iterable[str], colon: str) -> Iterator[Item]:
    left = [key for key in docs if key not in {*given}]
    yield from (Item(key, ItemKind.Keyword, docs[key], f"{key}{colon}") for key in left)


def _model_keys(asked: _Asked) -> Iterator[Item]:
    said = {str(key) for key in asked.here.nodes[-1]} if asked.here.nodes else set[str]()
    word = str(asked.here.scalar) if asked.here.on_key else ""
    colon = "" if asked.here.on_key else ": "
    yield from _keys(DOCS[asked.role.key], said - {word}, colon)
    if asked.role.key == "Spec" and said - {word} <= {"archc"}:
        yield Item("recipe", ItemKind.Keyword, recipes.told_of_recipes(), f"recipe{colon}")


def _values(asked: _Asked) -> Iterator[Item]:
    own = _parameters(asked, asked.role.target).get(asked.role.key)
    kind = own.type.kind if own is not None else str(asked.role.given.get("type", ""))
    words = KINDS[kind].words if kind in KINDS else ()
    docs = words if isinstance(words, Mapping) else {}
    yield from (Item(word, ItemKind.EnumMember, docs.get(word, ""), rank=0) for word in words)
    if kind == "bool" or asked.role.key in _FLAGS:
        yield from (Item(word, ItemKind.EnumMember, rank=0) for word in ("true", "false"))
    if kind == "activation" or (own is not None and own.type.optional):
        yield Item("none", ItemKind.EnumMember, rank=0)
    if asked.role.key == "default":
        return
    yield from _names(asked)
    if kind not in _WORDS_ALONE:
        yield from (
            Item(name, ItemKind.Function, insert=f"{name}(", rank=3) for name in ex.FUNCTIONS
        )


_FLAGS = ("when", "dilate", "training_only")
_WORDS_ALONE = [name for name, kind in KINDS.items() if kind.words] + ["bool"]


def _names(asked: _Asked) -> Iterator[Item]:
    for name in roles.declared(asked.document.now.root, asked.role.definition):
        yield Item(name, ItemKind.Variable, "a parameter or `let` of this file", rank=1)


def _expressions(asked: _Asked) -> Iterator[Item]:
    block = asked.role.definition
    yield from _names(asked)
    if block is None:
        return
    for name in roles.tensors(asked.document.now.root, block):
        yield Item(name, ItemKind.Field, "an input or a step of this block", rank=1)
    if asked.role.key in STEP_KEYS:
        return
    call = re.search(r"(\w+)\([^()]*$", asked.line)
    for name, own in _parameters(asked, call[1]).items() if call else ():
        yield Item(f"{name}=", ItemKind.Property, described(name, own), rank=0)
    yield from _blocks(asked)


def _sources(asked: _Asked) -> Iterator[Item]:
    own = asked.role.row.name if asked.role.row is not None else None
    for name, place in roles.feeding(asked.document.now.root).items():
        if place is None or place is not own:
            yield Item(name, ItemKind.Reference, "a row, a table or an input", rank=0)


def _types(asked: _Asked) -> Iterator[Item]:
    for name, kind in KINDS.items():
        yield Item(name, ItemKind.TypeParameter, kind.doc)


def _recipe(asked: _Asked) -> Iterator[Item]:
    colon = "" if asked.here.on_key else ": "
    for label, doc, is_key, needed in recipes.offers(asked.here, asked.cursor):
        kind = ItemKind.Keyword if is_key else ItemKind.EnumMember
        yield Item(label, kind, doc, f"{label}{colon}" if is_key else None, 1 - needed)


def _bases(asked: _Asked) -> Iterator[Item]:
    path = asked.document.path
    for file in sorted(path.parent.glob("*.y*ml"))[:MOST_FILES]:
        if os.path.realpath(file) != os.path.realpath(path) and reader.is_recipe(file):
            yield Item(file.name, ItemKind.File, "beside this file")
    yield from (Item(name, ItemKind.File, "comes with archc") for name in shipped())


MOST_FILES = 200


def _files(asked: _Asked) -> Iterator[Item]:
    folder = asked.document.path.parent
    for top, where in ((folder, "beside this file"), (SHIPPED, "comes with archc")):
        found = (*top.glob("*.y*ml"), *top.glob("blocks/*.y*ml"))
        for file in sorted(found)[:MOST_FILES]:
            if os.path.realpath(file) != os.path.realpath(asked.document.path):
                yield Item(file.relative_to(top).as_posix(), ItemKind.File, where)


_KINDS: Mapping[str, Callable[[_Asked], Iterable[Item]]] = {
    "block": _blocks,
    "argument": _arguments,
    "key": _model_keys,
    "value": _values,
    "expression": _expressions,
    "from": _sources,
    "type": _types,
    "file": _files,
    "word": lambda asked: (),
    "recipe": _recipe,
    "base": _bases,
}
