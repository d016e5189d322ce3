"""The JSON Schema of a spec file: that of the models, with the arguments of every block and op.

An editor completes and checks a table with it while it is typed. What needs arithmetic, or another
file, only the compiler sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from archc.compiler.bind.program import SIDES
from archc.compiler.bind.rows import REPEAT
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.problems import SpecError, in_reading_order
from archc.compiler.language.values import (
    ACTIVATIONS,
    INITIALIZERS,
    INTERPOLATIONS,
    KINDS,
    PADDINGS,
    POOL_PADDINGS,
)
from archc.compiler.spec.kinds import MAX_ITEMS
from archc.compiler.spec.load import SHIPPED, load
from archc.compiler.spec.models import STEP_KEYS, BlockSpec, ParameterSpec, Spec
from archc.compiler.spec.rows import FORMS, ROW_KEYS, CallSpec, is_value

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_COLUMNS = 10
"""Cells to the right of so many columns are not checked in the editor."""

DOCS: Mapping[str, Mapping[str, str]] = {
    "Spec": {
        "archc": "Version of the spec format: 1.",
        "name": "Name of the network: the generated class or function is called so.",
        "source": "Where the network comes from: paper, table, reference implementation.",
        "doc": "What the file is, in a sentence.",
        "use": "Block libraries: files beside this one, or shipped ones.",
        "extends": "A network that this one is like, but for what this file says.",
        "set": "New defaults for parameters of the network that this one extends.",
        "change": "Changes of the rows of the network that this one extends, one after another.",
        "params": "Parameters of the network, which `--set` changes.",
        "let": "Values that are worked out once, from the parameters and each `let` above.",
        "require": "Conditions that the parameters have to meet.",
        "input": "The input that shapes and costs are counted for.",
        "inputs": "Several inputs by name, instead of one `input`.",
        "output_stride": "The total stride beyond which strides become dilations.",
        "dilate_strided": "Whether an op that loses its stride so is itself dilated by it, too.",
        "defaults": "Arguments of blocks and ops wherever a call gives none.",
        "network": "Rows and tables from input to output; each row feeds the next.",
        "blocks": "Block definitions, by name.",
    },
    "InputSpec": {
        "channels": "Channels of the input.",
        "height": "Rows of the input.",
        "width": "Columns of the input.",
        "range": "The smallest and the largest value that the network expects, as in `[-1, 1]`.",
        "doc": "What else is to be said of the input, on one line.",
    },
    "NamedInputSpec": {
        "channels": "Channels of a feature map, or the features of a vector.",
        "height": "Rows of the input; a vector has none.",
        "width": "Columns of the input; a vector has none.",
        "range": "The smallest and the largest value that the network expects, as in `[-1, 1]`.",
        "doc": "What else is to be said of the input, on one line.",
    },
    "ParameterSpec": {
        "type": "What the parameter may hold; with `?`, also none.",
        "default": "Its value where none is given; a network's may mention the parameters above.",
        "min": "Least value.",
        "max": "Largest value.",
        "above": "The value must be larger than this.",
        "below": "The value must be smaller than this.",
        "usual": "The smallest and the largest usual value; others are warned of (W001).",
        "keep": "Whether it stays an argument of the generated model.",
        "doc": "What it means.",
    },
    "RowSpec": {
        key: CallSpec.model_fields[name].description or "" for key, name in ROW_KEYS.items()
    },
    "TableSpec": {
        "columns": "`block`, and the arguments and other keys of a row that the cells give.",
        "rows": "One list of cells for each row, or a mapping.",
        "name": "What the table is called in paths.",
        "set": "Arguments and other keys for every row; a column's name stands for the cell.",
    },
    "ChangeSpec": {
        "at": "Rows by name, or by table and number as in `blocks.3`; or a whole table.",
        "where": "Only the rows whose cells, as they are written, meet this condition.",
        "was": "What the base says of the rows that the change names; else it is a problem.",
        "set": "Arguments and other keys that these rows get; `~` takes one away.",
        "remove": "Rows or tables to leave out.",
        "before": "The row or table above which to insert.",
        "after": "The row or table below which to insert.",
        "insert": "Rows to put there, as under `network`; in a table also lists of cells.",
    },
    "StepSpec": {
        "when": "Where this is false, the step's first tensor is passed through.",
        "else": "The tensor that is passed through instead: an input, or a step above.",
        "doc": "What is to be said of the step, on one line.",
    },
    "BlockSpec": {
        "doc": "What the block does, in a sentence.",
        "inputs": "The tensors that it takes.",
        "params": "Its parameters; `kernel: int` is short for `kernel: {type: int}`.",
        "let": "Values that the compiler works out and hands to the generated block.",
        "steps": "Named calls from input to output.",
        "returns": "The output; else it is that of the last step.",
        "channels": "The output's channels, checked, where the steps do not show them plainly.",
        "on_vectors": "The activation that stands in where this block is one and gets a vector.",
        "replace": "Whether it replaces the block of its name in a file that this one builds on.",
    },
}
"""What each key means."""


@dataclass(frozen=True)
class _Target:
    """A block or an op, as far as an editor needs to know it."""

    name: str
    doc: str
    parameters: Mapping[str, Parameter | ParameterSpec]


def json_schema(blocks: Mapping[str, BlockSpec]) -> Schema:
    """The schema of a file whose rows may name `blocks` and the ops of the catalogue."""
    targets = [*_targets(blocks)]
    schema, definitions = _models()
    definitions.update(_word_kinds())
    definitions |= {f"{t.name}.{n}": _argument(p) for t in targets for n, p in t.parameters.items()}
    _input(definitions)
    _parameters(definitions)
    _steps(definitions)
    _rows(definitions, targets)
    _tables(definitions, targets)
    _changes(definitions)
    schema["dependentRequired"] = {"set": ["extends"], "change": ["extends"]}
    schema["dependentSchemas"] = {"change": {"properties": {"network": False}}}
    schema["if"] = {"required": ["network"], "not": {"required": ["extends"]}}
    one = [{"required": [key]} for key in ("input", "inputs")]
    schema["then"] = {"required": ["name"], "oneOf": one}
    schema["properties"]["defaults"] = _defaults(targets)
    schema["properties"]["network"]["items"] = _entry()
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def shipped_blocks() -> dict[str, BlockSpec]:
    """The blocks of the libraries that come with archc. Raises `SpecError`."""
    return blocks_of(sorted((SHIPPED / "blocks").glob("*.yaml")))


def blocks_of(paths: Iterable[Path], include: Iterable[Path] = ()) -> dict[str, BlockSpec]:
    """The blocks that the files at `paths` define or use. Raises `SpecError`."""
    found: dict[str, BlockSpec] = {}
    for path in paths:
        files, problems = load(path, include)
        if problems or files is None:
            raise SpecError(in_reading_order(problems, str(path)))
        found.update(files.blocks)
    return found


def _targets(blocks: Mapping[str, BlockSpec]) -> Iterator[_Target]:
    for name, block in blocks.items():
        yield _Target(str(name), str(block.doc), {str(k): p for k, p in block.params.items()})
    yield from (_Target(op.name, op.doc, op.parameter) for op in CATALOGUE.values())


# ------------------------------------------------------------------------- the models' schema


class _Untitled(GenerateJsonSchema):
    """Without a title for each key, which only repeats the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _models() -> tuple[Schema, Schema]:
    """The schema of `Spec` and, by name, those of the other models."""
    schema, definitions = schema_of(Spec)
    for model, node in {"Spec": schema, **definitions}.items():
        for key, doc in DOCS["RowSpec" if model == "PatchSpec" else model].items():
            node["properties"][key]["description"] = doc
    return schema, definitions


def schema_of(model: type[BaseModel]) -> tuple[Schema, Schema]:
    """The schema of a model and, by name, those of the models in it."""
    schema = model.model_json_schema(schema_generator=_Untitled)
    definitions = schema.pop("$defs")
    for name, node in {model.__name__: schema, **definitions}.items():
        _tidy(node)
        node["title"] = f"archc {name.removesuffix('Spec').lower()}".strip()
    return schema, definitions


def _tidy(node: Any) -> None:
    """Corrects what pydantic cannot know of the validators that it is given."""
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            _tidy(child)
    if not isinstance(node, dict):
        return
    if node.get("default", ...) is None:
        del node["default"]
    if {"type": "null"} in node.get("anyOf", ()):
        given = [each for each in node.pop("anyOf") if each != {"type": "null"}]
        node.update(given[0] if len(given) == 1 else {"anyOf": given})
    for key, word in (("ge", "minimum"), ("le", "maximum")):
        if key in node:
            node[word] = node.pop(key)
    if "patternProperties" in node:
        node.setdefault("additionalProperties", False)
    if isinstance(node.get("description"), str):
        node["description"] = " ".join(node["description"].split())


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


# -------------------------------------------------------------------------------------- values

_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}
_MEANINGS = {
    "padding": PADDINGS,
    "pool_padding": POOL_PADDINGS,
    "interpolation": INTERPOLATIONS,
    "activation": ACTIVATIONS,
    "initializer": INITIALIZERS,
}
_SIDES = {"minimum": 0, "maximum": 4096}
_TEXT = {"type": ["string", "null"]}
"""The text of an expression, or a cell that gives nothing."""


def _word_kinds() -> Iterator[tuple[str, Schema]]:
    """The kinds of value that have words: these are offered, and any expression is taken."""
    for name, kind in KINDS.items():
        if kind.words:
            words = [*kind.words, *["none"] * (name == "activation")]
            lists = [_list(_SIDES, 4, 4)] * name.endswith("padding")
            yield name, {"anyOf": [*(_word(name, word) for word in words), *lists, _TEXT]}


def _word(kind: str, word: str) -> Schema:
    doc = _MEANINGS.get(kind, {}).get(word)
    return {"const": word, "description": doc} if doc else {"const": word}


def _value(kind: str, bounds: Schema) -> Schema:
    """What YAML may hold where a value of `kind` belongs. Every text may be an expression."""
    match kind:
        case "int" | "float" | "bool":
            return {"type": [_JSON_TYPES[kind], *_TEXT["type"]], **bounds}
        case "size":
            return {"anyOf": [_value("int", bounds), _list(bounds, 2, 2)]}
        case "numbers":
            return {"anyOf": [_value("float", bounds), _list(bounds, 1, MAX_ITEMS, "number")]}
        case "sides":
            return {"anyOf": [_list(_SIDES, 4, 4), _TEXT]}
        case "shape":
            return {"anyOf": [_list(bounds, 1, 3), _TEXT]}
        case _:
            return ref(kind)


def _list(bounds: Schema, least: int, most: int, kind: str = "integer") -> Schema:
    items = {"type": [kind, "string"], **bounds}
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


_BOUNDS = {
    "min": "minimum",
    "max": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
}


def _argument(parameter: Parameter | ParameterSpec) -> Schema:
    found = {word: getattr(parameter, key) for key, word in _BOUNDS.items()}
    bounds = {word: bound for word, bound in found.items() if bound is not None}
    schema = _value(parameter.type.kind, bounds)
    schema["description"] = "; ".join(_described(parameter))
    default = _constant(parameter.default)
    return schema if default is None else {**schema, "default": default}


def _described(parameter: Parameter | ParameterSpec) -> Iterator[str]:
    kind = KINDS[parameter.type.kind].doc
    yield from (text for text in (str(parameter.doc), kind) if text)
    if parameter.type.optional:
        yield "may be none"
    elif parameter.default is None:
        yield "required"


def _constant(node: object) -> object:
    """A default as YAML spells it, if it is no expression."""
    match node:
        case ex.Literal(value=None):
            return "none"
        case ex.Literal(value=ex.Composite() as value):
            return str(value)
        case ex.Literal(value=value):
            return value
        case ex.Name(id=word):
            return word
        case ex.Items(items=items):
            values = [_constant(item) for item in items]
            return None if None in values else values
    return None


# -------------------------------------------------------------------------- rows and defaults

_ABOVE = {"type": ["integer", "string"], "maximum": -1}
_FROM = {"type": ["integer", "string", "array", "null"], "maximum": -1, "items": _ABOVE}


def _rows(definitions: Schema, targets: Iterable[_Target]) -> None:
    """A row's keys are those of the block that it names."""
    names = [{"const": target.name, "description": target.doc} for target in targets]
    definitions["block"] = {"description": DOCS["RowSpec"]["block"], "anyOf": names}
    row = definitions["RowSpec"]
    keys = row["properties"]
    del keys["arguments"], row["additionalProperties"]
    keys["block"] |= ref("block")
    keys["from"] |= _FROM
    keys["repeat"] |= _value("int", {"minimum": REPEAT.min, "maximum": REPEAT.max})
    keys["training_only"] |= _value("bool", {})
    row["allOf"] = []
    for target in targets:
        named = {"properties": {"block": {"const": target.name}}, "required": ["block"]}
        row["allOf"].append({"if": named, "then": ref(f"row.{target.name}")})
        definitions[f"row.{target.name}"] = _closed(target, dict.fromkeys(keys, True))


def _closed(target: _Target, more: Schema) -> Schema:
    """A mapping of the target's arguments, with some `more` keys and no others."""
    taken = {name: ref(f"{target.name}.{name}") for name in target.parameters}
    return _mapping({**more, **taken}, target.doc)


def _defaults(targets: Iterable[_Target]) -> Schema:
    entries = {target.name: _closed(target, {}) for target in targets}
    return _mapping(entries, DOCS["Spec"]["defaults"])


def _mapping(properties: Schema, doc: str) -> Schema:
    """A mapping of these keys alone."""
    closed = {"properties": properties, "additionalProperties": False}
    return {"description": doc, "type": "object", **closed}


# -------------------------------------------------------------------------------------- tables


def _tables(definitions: Schema, targets: Iterable[_Target]) -> None:
    arguments = {}
    for name in sorted({name for target in targets for name in target.parameters}):
        owners = [target.name for target in targets if name in target.parameters]
        arguments[name] = _column({owner: definitions[f"{owner}.{name}"] for owner in owners})
    row = definitions["RowSpec"]["properties"]
    words = [key for key in row if key != "block" and not is_value(key)]
    texts = {key: {**row[key], "type": ["string", "null"]} for key in words}
    columns = {"block": row["block"], **row, **arguments, **texts}
    definitions.update({f"column.{name}": column for name, column in columns.items()})
    table = definitions["TableSpec"]
    keys = table["properties"]
    names = [{"const": name, "description": c["description"]} for name, c in columns.items()]
    keys["columns"] |= {"items": {"anyOf": names}, "contains": names[0], "uniqueItems": True}
    keys["rows"]["items"] |= {"if": {"type": "object"}, "then": ref("RowSpec")}
    cells = {name: ref(f"column.{name}") for name in columns}
    keys["set"] = _mapping(cells, DOCS["TableSpec"]["set"])
    table["allOf"] = [*_lengths(), *_cells(columns)]


def _column(owners: Schema) -> Schema:
    """A cell that may be any of the owners' arguments."""
    kinds: list[Schema] = []
    docs: dict[str, list[str]] = {}
    for owner, argument in owners.items():
        kind = {k: v for k, v in argument.items() if k not in ("default", "description")}
        kinds += [] if kind in kinds else [kind]
        docs.setdefault(argument["description"], []).append(owner)
    doc = " | ".join(f"{doc} ({', '.join(names)})" for doc, names in docs.items())
    return {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), "description": doc}


def _lengths() -> Iterator[Schema]:
    """A row has one cell for each column."""
    for count in range(1, MAX_COLUMNS + 1):
        exactly = {"minItems": count, "maxItems": count}
        yield _of_table({"columns": exactly}, exactly)


def _cells(names: Iterable[str]) -> Iterator[Schema]:
    """A cell is what its column says, but where `set` makes something else of it."""
    for name in names:
        for index in range(MAX_COLUMNS):
            before = [True] * index
            column = {"minItems": index + 1, "prefixItems": [*before, {"const": name}]}
            plain = {"columns": column, "set": {"not": {"required": [name]}}}
            cell = {"prefixItems": [*before, ref(f"column.{name}")]}
            yield _of_table(plain, cell)


def _of_table(keys: Schema, row: Schema) -> Schema:
    """The rows of a table that has these keys."""
    asked = {"properties": keys, "required": ["columns"]}
    return {"if": asked, "then": {"properties": {"rows": {"items": row}}}}


def _entry() -> Schema:
    """An entry of the network: a table if it has columns or rows, else one row."""
    table = {"anyOf": [{"required": ["columns"]}, {"required": ["rows"]}]}
    keys = {key: {"description": DOCS["TableSpec"][key]} for key in ("columns", "rows")}
    return {
        "type": "object",
        "properties": {**keys, "block": {"description": DOCS["RowSpec"]["block"]}},
        "if": table,
        "then": ref("TableSpec"),
        "else": ref("RowSpec"),
    }


def _changes(definitions: Schema) -> None:
    """A change has one of three forms. It may set any key or argument that a row can have."""
    cells = definitions["TableSpec"]["properties"]["set"]["properties"]
    patch = definitions["PatchSpec"]["properties"]
    row = definitions["RowSpec"]["properties"]
    keys = {**patch, **{key: row[key] for key in ("from", "repeat", "training_only")}}
    keys["block"] = {**patch["block"], "anyOf": [ref("block"), {}]}
    del keys["arguments"]
    definitions["PatchSpec"] = _mapping({**cells, **keys}, DOCS["ChangeSpec"]["set"])
    change = definitions["ChangeSpec"]
    change["properties"]["insert"]["items"] = {"if": {"type": "array"}, "else": _entry()}
    change["oneOf"] = [_form(verb, keys) for verb, keys in FORMS.items()]


def _form(verb: str, keys: Iterable[str]) -> Schema:
    """A change that has this key, and at least one of the other `keys` if there are any."""
    others = {"anyOf": [{"required": [key]} for key in keys]} if keys else {}
    return {"required": [verb], "propertyNames": {"enum": [verb, *keys, "was"]}, **others}


# -------------------------------------------------------------------------- parameters and steps


def _input(definitions: Schema) -> None:
    for name in ("InputSpec", "NamedInputSpec"):
        keys = definitions[name]["properties"]
        for side, bounds in SIDES.items():
            keys[side] |= _value("int", {"minimum": bounds.min, "maximum": bounds.max})
        keys["range"]["type"] = ["array", "string", "null"]
    both = {"height": ["width"], "width": ["height"]}
    definitions["NamedInputSpec"]["dependentRequired"] = both


def _parameters(definitions: Schema) -> None:
    """The long form or the short one; the default is of the parameter's type."""
    spec = definitions["ParameterSpec"]
    kinds = spec["properties"]["type"]["enum"]
    spec["allOf"] = [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": {"properties": {"default": _value(kind.rstrip("?"), {})}},
        }
        for kind in kinds
    ]
    short = {"enum": kinds, "description": DOCS["ParameterSpec"]["type"]}
    definitions["ParameterSpec"] = {"anyOf": [short, spec]}


def _steps(definitions: Schema) -> None:
    """A step is `name: expression`, and what may stand beside it."""
    spec = definitions["StepSpec"]
    keys = spec["properties"]
    pattern = keys["name"]["pattern"].removeprefix("^")
    beside = {key: keys[key] for key in STEP_KEYS}
    every = [own for n in range(len(beside) + 1) for own in combinations(beside, n)]
    spec |= {
        "properties": beside,
        "patternProperties": {f"^(?!({'|'.join(beside)})$){pattern}": {"type": "string"}},
        "oneOf": [_beside(keys) for keys in every if "else" not in keys or "when" in keys],
    }
    del spec["required"]
    definitions["BlockSpec"]["properties"]["returns"]["type"] = "string"


def _beside(keys: tuple[str, ...]) -> Schema:
    """A step with these keys, no other ones and its name."""
    absent = {key: False for key in STEP_KEYS if key not in keys}
    size = {"minProperties": len(keys) + 1, "maxProperties": len(keys) + 1}
    return {"required": [*keys], "properties": absent, **size}
