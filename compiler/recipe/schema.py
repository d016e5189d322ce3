"""The JSON Schema of a recipe, and that of a file which is a spec or a recipe.

What needs arithmetic, the recipe that one extends, or the network, only the compiler sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archc.compiler.printed.schema import DIALECT, Schema, json_schema, ref, schema_of
from archc.compiler.recipe.models import NEEDED, PARTS, OneKind, RecipeSpec
from archc.compiler.spec.models import BlockSpec


def file_schema(blocks: Mapping[str, BlockSpec]) -> Schema:
    """The schema of a spec whose rows may name `blocks` and the ops of the catalogue, or of a
    recipe: that is what says `recipe`."""
    spec, recipe = json_schema(blocks), recipe_schema()
    definitions = {**spec.pop("$defs"), **recipe.pop("$defs"), "Spec": spec, "RecipeSpec": recipe}
    keys = {"archc": spec["properties"]["archc"], "recipe": recipe["properties"]["recipe"]}
    which = {"if": {"required": ["recipe"]}, "then": ref("RecipeSpec"), "else": ref("Spec")}
    del spec["$schema"], recipe["$schema"]
    head = {"$schema": DIALECT, "title": "archc", "type": "object"}
    return {**head, "properties": keys, **which, "$defs": definitions}


def recipe_schema() -> Schema:
    """The schema of a recipe."""
    schema, definitions = schema_of(RecipeSpec)
    for model in OneKind.__subclasses__():
        kinds = [{"required": [kind]} for kind in model.known()]
        definitions[model.__name__]["oneOf"] = kinds
    for name in ("SgdSpec", "RmsPropSpec"):
        definitions[name] |= _momentum(definitions[name]["properties"])
    definitions["MultiStepSpec"]["properties"]["at"]["anyOf"] = [*_UNITS]
    keys = schema["properties"]
    for key in PARTS:
        doc = {"description": keys[key].pop("description")}
        keys[key] = {**doc, "anyOf": [keys[key], {"type": "null"}]}
    schema["allOf"] = [*_RULES]
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def _momentum(keys: Mapping[str, Any]) -> Schema:
    """With a momentum it is said where the rate enters; without, nothing of it."""
    none = {"learning_rate_in": False, "nesterov": {"const": False}}
    return {
        "if": {"properties": {"momentum": {"exclusiveMinimum": 0}}, "required": ["momentum"]},
        "then": {"required": ["learning_rate_in"]},
        "else": {"properties": {key: none[key] for key in none if key in keys}},
    }


def _has(part: str, kind: str) -> Schema:
    chosen = {"type": "object", "required": [kind]}
    return {"properties": {part: chosen}, "required": [part]}


_UNITS = ({"items": {"pattern": "epochs?$"}}, {"items": {"pattern": "steps?$"}})
_ALONE = {"not": {"required": ["extends"]}}
_DECOUPLED = {"type": "object", "properties": {"kind": {"const": "decoupled"}}}
_RULES = (
    {"if": _ALONE, "then": {"required": [*NEEDED]}},
    {
        "if": _has("optimizer", "adamw"),
        "then": {"properties": {"weight_decay": _DECOUPLED}},
    },
    {
        "if": {"allOf": [_ALONE, _has("optimizer", "adamw")]},
        "then": {"required": ["weight_decay"]},
    },
    {
        "if": _has("schedule", "one_cycle"),
        "then": {"properties": {"warm_up": {"type": "null"}}},
    },
)
"""What parts of a recipe ask of each other."""
