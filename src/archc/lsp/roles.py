"""What the places of a file are for: which hold blocks, arguments, values, rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from archc.compiler.language.names import INPUT
from archc.compiler.spec import reader
from archc.compiler.spec.models import STEP_KEYS
from archc.compiler.spec.reader import Node, Scalar, Sequence
from archc.compiler.spec.rows import ROW_KEYS, VALUES, TableSpec
from archc.lsp.tree import Key, Spot

Keys = tuple[Key, ...]


@dataclass(frozen=True)
class Row:
    """A row as far as it can be read: what it says by key and argument."""

    keys: Keys
    """The way to it from the root."""
    cells: Mapping[str, Node]
    node: Node
    columns: tuple[str, ...] = ()
    """Where it is a list of cells."""
    table: reader.Mapping | None = None

    @property
    def block(self) -> Scalar | None:
        return text(self.cells.get("block"))

    @property
    def name(self) -> Scalar | None:
        """What it is called, where it says so."""
        named = text(self.cells.get("name"))
        return named if named and named != "~" else None


def text(node: Any) -> Scalar | None:
    return node if isinstance(node, Scalar) else None


def get(node: Any, key: str | int, kind: type[Any] = reader.Mapping) -> Any:
    """What a container holds there, or an empty one where that is of another kind."""
    try:
        found = node[key]
    except (KeyError, IndexError, TypeError):
        found = None
    return found if isinstance(found, kind) else kind()


def rows(root: Node | None) -> Iterator[Row]:
    """All rows of the network, and those that changes insert."""
    for index, entry in enumerate(get(root, "network", Sequence)):
        yield from _entry(("network", index), entry)
    for number, change in enumerate(get(root, "change", Sequence)):
        for index, entry in enumerate(get(change, "insert", Sequence)):
            yield from _entry(("change", number, "insert", index), entry)


def is_table(entry: Node) -> TypeGuard[reader.Mapping]:
    return isinstance(entry, reader.Mapping) and ("columns" in entry or "rows" in entry)


def tables(root: Node | None) -> Iterator[reader.Mapping]:
    yield from filter(is_table, get(root, "network", Sequence))


def _entry(keys: Keys, entry: Node) -> Iterator[Row]:
    if not isinstance(entry, reader.Mapping):
        return
    if not is_table(entry):
        yield Row(keys, _by_name(entry), entry)
        return
    columns = tuple(str(c) for c in get(entry, "columns", Sequence) if isinstance(c, Scalar))
    for index, row in enumerate(get(entry, "rows", Sequence)):
        here = (*keys, "rows", index)
        if isinstance(row, Sequence):
            yield Row(here, dict(zip(columns, row, strict=False)), row, columns, entry)
        elif isinstance(row, reader.Mapping):
            yield Row(here, _by_name(row), row, (), entry)


def _by_name(mapping: reader.Mapping) -> dict[str, Node]:
    return {str(key): value for key, value in mapping.items()}


Kind = Literal[
    "key",
    "block",
    "argument",
    "value",
    "expression",
    "from",
    "word",
    "type",
    "file",
    "recipe",
    "base",
]


@dataclass(frozen=True)
class Role:
    """What a place is for."""

    kind: Kind
    key: str = ""
    """The key or argument that it is the value of; of a key, the model that has it."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What is said beside it."""
    target: str | None = None
    """The block or op whose argument it is."""
    definition: str | None = None
    """The block in whose definition it stands."""
    row: Row | None = None


def is_recipe(root: Node | None) -> TypeGuard[reader.Mapping]:
    """Whether a file is a recipe of training."""
    return isinstance(root, reader.Mapping) and "recipe" in root


def role(root: Node | None, spot: Spot) -> Role | None:
    """What stands at a place, or belongs there."""
    if is_recipe(root):
        return Role("base" if spot.keys == ("extends",) and not spot.on_key else "recipe")
    match spot.keys:
        case ("use", _) | ("extends",) if not spot.on_key:
            return Role("file")
        case ("network", int(), *_) | ("change", int(), "insert", int(), *_):
            return _in_entry(root, spot)
        case ("change", int(), "set" | "was", key, *_):
            return _cell(spot, key, get(spot.nodes, 3), None)
        case ("defaults", str(name), key, *_):
            return _cell(spot, key, get(spot.nodes, 2), str(name))
        case ("defaults",) if not spot.on_key:
            return Role("block")
        case ("defaults", _):
            return Role("block") if _named(spot) else None
        case ("blocks", str(name), *rest):
            return _in_block(spot, str(name), rest)
        case ("params", str(), *rest):
            return _in_parameter(spot, rest, None)
        case ("let" | "set" | "require", _, *_) | ("input" | "inputs", _, *_):
            return _elsewhere(spot)
        case ("output_stride" | "dilate_strided",) if not spot.on_key:
            return Role("expression")
    return Role("key", _MODELS.get(len(spot.keys), "Spec")) if _is_key(spot) else None


_MODELS = {1: "Spec", 3: "ChangeSpec"}


def _is_key(spot: Spot) -> bool:
    known = len(spot.keys) <= 1 or spot.keys[0] == "change"
    return known and (_named(spot) or not spot.keys)


def _named(spot: Spot) -> bool:
    """Whether a key stands at the place, or belongs there."""
    return spot.on_key or not spot.keys or spot.keys[-1] is None


def _elsewhere(spot: Spot) -> Role | None:
    models = {("input", 2): "InputSpec", ("inputs", 3): "NamedInputSpec"}
    if _named(spot):
        model = models.get((str(spot.keys[0]), len(spot.keys)))
        return Role("key", model, _said(spot)) if model else None
    return Role("expression")


def _said(spot: Spot) -> Mapping[str, Any]:
    last = spot.nodes[-1]
    return _by_name(last) if isinstance(last, reader.Mapping) else {}


def _in_entry(root: Node | None, spot: Spot) -> Role | None:
    depth = 2 if spot.keys[0] == "network" else 4
    entry = spot.nodes[depth] if len(spot.nodes) > depth else None
    if not isinstance(entry, reader.Mapping):
        return None
    found = {row.keys: row for row in rows(root)}
    row = found.get(spot.keys[:depth]) or found.get(spot.keys[: depth + 2])
    if row is not None:
        key = spot.keys[len(row.keys)] if len(spot.keys) > len(row.keys) else None
        if isinstance(key, int):
            key = row.columns[key] if key < len(row.columns) else ""
        return _cell(spot, key, row.cells, row.block, row, len(row.keys))
    first = next((r for r in found.values() if r.table is entry), None)
    block = first.block if first else None
    match spot.keys[depth:]:
        case ("columns", *_):
            said = {str(c): c for c in get(entry, "columns", Sequence)}
            return Role("argument", str(spot.scalar or ""), said, block)
        case ("set", key, *_):
            return _cell(spot, key, get(entry, "set"), block)
        case (_,) if _named(spot):
            return Role("key", "TableSpec", _said(spot))
    return None


def _cell(
    spot: Spot,
    key: Key,
    given: Mapping[str, Any],
    block: str | None,
    row: Row | None = None,
    depth: int = -1,
) -> Role:
    """The role of what stands under a key of a row, or of the key."""
    own = spot.on_key and (depth < 0 or len(spot.keys) == depth + 1)
    if key is None or own:
        return Role("argument", str(key or ""), given, block, row=row)
    kind: Kind = "value"
    if key in ("block", "from"):
        kind = "block" if key == "block" else "from"
    elif key in ROW_KEYS and key not in VALUES:
        kind = "word"
    return Role(kind, str(key), given, block, row=row)


def _in_parameter(spot: Spot, rest: list[Key], block: str | None) -> Role | None:
    match rest:
        case [] if not spot.on_key and not isinstance(spot.nodes[-1], Sequence):
            return Role("type", definition=block)
        case [_] if _named(spot):
            return Role("key", "ParameterSpec", _said(spot), definition=block)
        case ["type"]:
            return Role("type", definition=block)
        case ["default", *_]:
            kind = str(text(_said(spot).get("type")) or "").removesuffix("?")
            return Role("value", "default", {"type": kind}, definition=block)
    return None


def _in_block(spot: Spot, block: str, rest: list[Key]) -> Role | None:
    match rest:
        case ["params", str(), *more]:
            return _in_parameter(spot, more, block)
        case ["steps", int(), str(key), *_] if not spot.on_key:
            kind: Kind = "word" if key == "doc" else "expression"
            return Role(kind, str(key), definition=block)
        case ["steps", int(), _]:
            return Role("key", "StepSpec", _said(spot), definition=block)
        case ["let", str(), *_] | ["returns" | "channels"] if not spot.on_key:
            return Role("expression", definition=block)
        case [_] if _named(spot):
            return Role("key", "BlockSpec", _said(spot), definition=block)
    return None


def steps(root: Node | None, block: str) -> dict[str, Scalar]:
    """The steps of a block by name, each with where its name stands."""
    definition = get(get(root, "blocks"), block)
    every = get(definition, "steps", Sequence)
    found = [k for step in every if isinstance(step, reader.Mapping) for k in step]
    return {str(key): key for key in found if key not in STEP_KEYS}


def declared(root: Node | None, block: str | None) -> dict[str, Scalar]:
    """The parameters and `let`s of the network, or of a block, each with where it is declared."""
    owner = root if block is None else get(get(root, "blocks"), block)
    return {str(key): key for part in ("params", "let") for key in get(owner, part)}


def tensors(root: Node | None, block: str) -> dict[str, Scalar | None]:
    """What steps of a block can take: its inputs and steps, each with where it is named."""
    inputs = get(get(get(root, "blocks"), block), "inputs", Sequence) or ["x"]
    names = {str(name): text(name) for name in inputs}
    return {**names, **steps(root, block)}


def feeding(root: Node | None) -> dict[str, Scalar | None]:
    """What `from` can name, each with where it is named."""
    named: dict[str, Scalar | None] = {str(key): key for key in get(root, "inputs")}
    named = named or {INPUT: None}
    for table in tables(root):
        name = text(_by_name(table).get("name"))
        named[str(name or TableSpec.model_fields["name"].default)] = name
    for row in rows(root):
        own = row.name or row.block
        if own and (row.name or row.table is None):
            named[str(own)] = own
    return named
