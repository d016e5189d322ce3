"""The JSON Schema says of a recipe what an editor can know, and marks nothing that is right."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests import recipe_cases as cases
from tests.conftest import ROOT
from tests.test_recipes import FIXTURES
from tests.test_schema import FILES, SPEC, nodes, plain

from archc.compiler.language.problems import Source, SpecError
from archc.compiler.printed.schema import shipped_blocks
from archc.compiler.recipe import models
from archc.compiler.recipe.described import Described, described
from archc.compiler.recipe.load import RECIPES, shipped
from archc.compiler.recipe.models import RecipeNode
from archc.compiler.recipe.resolve import load
from archc.compiler.recipe.schema import file_schema, recipe_schema
from archc.compiler.spec import reader

SCHEMA = recipe_schema()
RECIPE = jsonschema.Draft202012Validator(SCHEMA)
FILE = jsonschema.Draft202012Validator(file_schema(shipped_blocks()))


def read(text: str) -> Any:
    node, problems = reader.read(Source("test", text))
    assert node is not None
    assert not problems
    return plain(node)


def told(said: Any) -> list[str]:
    """Where the schema of files finds something wrong, and what."""
    return [f"{error.json_path}: {error.message}" for error in FILE.iter_errors(said)]


def made() -> Iterator[tuple[str, Any]]:
    """Recipes of each optimizer, schedule, decay and rest, by what they are of."""
    head = {"archc": 1, "recipe": "r", "learning_rate": 0.01, "batch_size": 4, "epochs": 4}
    tables = (cases.OPTIMIZERS, cases.SCHEDULES, cases.DECAYS, cases.REST)
    for number in range(max(map(len, tables))):
        names = [[*table][number % len(table)] for table in tables]
        parts = [table[name] for table, name in zip(tables, names, strict=True)]
        said: dict[str, Any] = copy.deepcopy(head)
        for part in parts:
            said |= copy.deepcopy({**part})
        yield "-".join(names), said


MADE = dict(made())
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "epsilon_added": "after_correction"}
MADE["adamw"] = {
    **MADE["adam_as_pytorch-each_epoch-decoupled-plain"],
    "optimizer": {"adamw": ADAM},
}


# ------------------------------------------------------------------------------- what is right


def test_they_are_schemas_and_every_reference_in_them_leads_somewhere() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for schema in (SCHEMA, FILE.schema):
        targets = {node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)}
        assert targets <= {f"#/$defs/{name}" for name in schema["$defs"]}


def test_no_part_of_a_recipe_is_called_as_one_of_a_spec() -> None:
    assert json.dumps(SCHEMA["$defs"]["SgdSpec"]) == json.dumps(FILE.schema["$defs"]["SgdSpec"])
    both = {f"#/$defs/{name}" for name in SCHEMA["$defs"]}
    spec = FILE.schema["$defs"]["Spec"]
    assert not both & {node.get("$ref") for node in nodes(spec)}
    assert len(FILE.schema["$defs"]) == len(
        {*SCHEMA["$defs"], *_of_specs(), "Spec", "RecipeSpec"}
    ) == len(SCHEMA["$defs"]) + len(_of_specs()) + 2  # fmt: skip


def _of_specs() -> set[str]:
    from archc.compiler.printed.schema import json_schema

    return {*json_schema(shipped_blocks())["$defs"]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_spec_is_valid(path: Path) -> None:
    assert told(read(path.read_text())) == []


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_is_valid(name: str) -> None:
    assert told(read((RECIPES / f"{name}.yaml").read_text())) == []


@pytest.mark.parametrize("said", MADE.values(), ids=MADE)
def test_a_recipe_of_the_tests_is_valid(said: Any, tmp_path: Path) -> None:
    assert told(said) == []
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(said))
    assert load(path).name == "r"


def test_the_examples_of_the_docs_are_valid() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert told(read(example)) == []


def test_what_a_variant_leaves_out_is_elsewhere() -> None:
    assert told(read("archc: 1\nrecipe: v\nextends: lenet\nema: ~\nschedule:\nepochs: 3\n")) == []


# ------------------------------------------------------------------------------- what is wrong

UNSEEN = {
    "base_typo": "another file",
    "classifier_softmax": "what the network ends with",
    "crop_backwards": "which of two numbers is larger",
    "cycle": "another file",
    "cycle_2": "another file",
    "freeze_all": "the layers of the network",
    "freeze_typo": "the layers of the network",
    "milestones_backwards": "which of two numbers is larger",
    "milestones_long": "which of two numbers is larger",
    "missing_base": "another file",
    "normalize_channels": "the channels of the network's input",
    "normalize_lengths": "how long two lists are",
    "outputs_unknown": "the outputs of the network",
    "schedule_long": "which of two numbers is larger",
    "set_activation": "the parameters of the network",
    "set_unkept": "the parameters of the network",
    "set_value": "the parameters of the network",
    "to_above": "which of two numbers is larger",
    "warm_up_long": "which of two numbers is larger",
}
"""The fixtures that a schema finds nothing wrong with, each with what it would have to know."""


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_of_the_fixtures_those_are_refused_that_a_schema_can_see(path: Path) -> None:
    found = [*RECIPE.iter_errors(read(path.read_text()))]
    assert bool(found) == (path.stem not in UNSEEN), found


def test_what_is_not_seen_is_a_fixture() -> None:
    assert UNSEEN.keys() <= {path.stem for path in FIXTURES}


EXAMPLE = """\
archc: 1
recipe: example
optimizer:
  rmsprop: {decay: 0.9, momentum: 0.9, epsilon: 1e-3, epsilon_added: inside_root, learning_rate_in: momentum}
learning_rate: 0.045
schedule: {multi_step: {factor: 0.1, at: [30 epochs, 60 epochs]}, per: epoch}
warm_up: {over: 5 epochs, start: 0, shifts: true}
weight_decay: {rate: 4e-5, kind: coupled, skip: [bias, norm], skip_names: [head]}
clip: {norm: 1, over: all}
ema: {decay: 0.99, statistics: true, begin: initial}
loss: {cross_entropy: {smoothing: 0.1}}
outputs: {aux: 0.4}
batch_size: 64
epochs: 100
set: {dropout: 0.2}
freeze: [stem]
augment: [flip: {probability: 0.5}, random_resized_crop: {area: [0.08, 1], ratio: [0.75, 1.3]}]
normalize: {mean: [0.5], std: [0.25]}
"""  # noqa: E501


def test_the_example_is_valid() -> None:
    assert told(read(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        # Keys
        ("archc: 1", "archc: 2", "$.archc"),
        ("recipe: example", "recipe: my-own", "$.recipe"),
        ("batch_size: 64", "batch: 64", "$"),
        ("batch_size: 64\n", "", "$"),
        ("rmsprop: {decay: 0.9, ", "rmsprop: {", "$.optimizer.rmsprop"),
        ("shifts: true", "shift: true", "$.warm_up"),
        # Kinds
        ("rmsprop:", "rmsprpo:", "$.optimizer"),
        ("  rmsprop:", "  adam:\n  rmsprop:", "$.optimizer"),
        ("multi_step: {factor: 0.1, at: [30 epochs, 60 epochs]}, ", "", "$.schedule"),
        ("flip: {", "mirror: {", "$.augment[0]"),
        ("[flip: {probability: 0.5}, ", "[flip, ", "$.augment[0]"),
        ("cross_entropy: {", "entropy: {", "$.loss"),
        # Words
        ("inside_root", "in_root", "$.optimizer.rmsprop.epsilon_added"),
        ("learning_rate_in: momentum", "learning_rate_in: rate", "$.optimizer.rmsprop"),
        (", learning_rate_in: momentum", "", "$.optimizer.rmsprop"),
        ("per: epoch", "per: epochs", "$.schedule"),
        ("kind: coupled", "kind: l2", "$.weight_decay"),
        ("skip: [bias", "skip: [biases", "$.weight_decay"),
        ("skip: [bias, norm]", "skip: bias", "$.weight_decay"),
        ("over: all", "over: both", "$.clip"),
        ("begin: initial", "begin: zeros", "$.ema"),
        # Numbers
        ("learning_rate: 0.045", "learning_rate: 0", "$.learning_rate"),
        ("learning_rate: 0.045", "learning_rate: ~", "$.learning_rate"),
        ("decay: 0.9,", "decay: 1,", "$.optimizer.rmsprop.decay"),
        ("epsilon: 1e-3", "epsilon: -1e-3", "$.optimizer.rmsprop.epsilon"),
        ("batch_size: 64", "batch_size: 6.5", "$.batch_size"),
        ("epochs: 100", "epochs: 0", "$.epochs"),
        ("smoothing: 0.1", "smoothing: none", "$.loss.cross_entropy.smoothing"),
        ("aux: 0.4", "aux: -1", "$.outputs.aux"),
        ("area: [0.08, 1]", "area: [0.08, 2]", "$.augment[1].random_resized_crop.area[1]"),
        ("area: [0.08, 1]", "area: [0.08]", "$.augment[1].random_resized_crop.area"),
        ("mean: [0.5]", "mean: []", "$.normalize"),
        ("dropout: 0.2", "dropout: [0.2]", "$.set.dropout"),
        # Stretches and flags
        ("30 epochs", "30", "$.schedule"),
        ("30 epochs", "30 hours", "$.schedule"),
        ("30 epochs", "0.0 epochs", "$.schedule"),
        ("over: 5 epochs", "over: 5 epochs long", "$.warm_up"),
        ("shifts: true", "shifts: 1", "$.warm_up"),
        ("60 epochs", "60 steps", "$.schedule"),
        # What parts ask of each other
        ("  rmsprop: {decay", "  adamw: {decay", "$.weight_decay"),
        ("multi_step: {factor: 0.1, at: [30 epochs, 60 epochs]}", "one_cycle: {}", "$.warm_up"),
    ],
)
def test_a_mistake_is_found_where_it_is(old: str, new: str, where: str) -> None:
    assert EXAMPLE.count(old) == 1
    found = told(read(EXAMPLE.replace(old, new)))
    assert any(re.match(rf"{re.escape(where)}[:.\[]", each) for each in found), found


# ------------------------------------------------------------------- each place, and each value

VALUES = (
    *(-1, 0, 0.5, 1, 1.5, 2, 3 * 10**9, True, False, None, "x", "2 epochs", "0 steps", "none"),
    *([], {}, [0.5], [0.5, 1], ["2 epochs"], [{}], ["norm"], {"sgd": {}}, {"x": 1}),
    *("update", "momentum", "inside_root", "before_correction", "coupled", "decoupled", "epoch"),
    *("all", "each", "first_step", "initial"),
)
TEXTS = ("source", "doc", "recipe", "extends", "freeze", "skip_names")
"""Keys of texts: archc reads whatever stands there, and an editor takes 1 for a number."""


def places(said: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(said, dict | list):
        for key in said if isinstance(said, dict) else range(len(said)):
            yield (*path, key)
            yield from places(said[key], (*path, key))


def changed() -> Iterator[tuple[str, Any]]:
    """Recipes with another value at one place, or with none there; each kind of part once."""
    seen = set[str]()
    for said in MADE.values():
        for path, value in itertools.product(places(said), (..., *VALUES)):
            what = f"{said[path[0]]} {path} {value}"
            if what not in seen and not {*path} & {*TEXTS}:
                seen.add(what)
                yield what, _with(said, path, value)


def _with(said: Any, path: tuple[Any, ...], value: Any) -> Any:
    other = owner = copy.deepcopy(said)
    for key in path[:-1]:
        owner = owner[key]
    if value is ...:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return other


ARITHMETIC = re.compile(
    r"above the learning rate|goes from|entries, and|the training ends|`at` has"
)


def says(said: Any, path: Path) -> list[str]:
    """What archc says of it."""
    text = json.dumps(said)
    with reader.overlaid({path.resolve(): text}):
        try:
            load(path)
        except SpecError as error:
            return [problem.message for problem in error.problems]
    return []


def test_the_schema_and_archc_are_of_one_mind(tmp_path: Path) -> None:
    """But for arithmetic, each value at each place is refused by both, or by neither."""
    apart, valid = [], 0
    for what, said in changed():
        found, is_valid = says(said, tmp_path / "r.yaml"), RECIPE.is_valid(said)
        valid += is_valid
        if is_valid == bool(found) and not (is_valid and all(map(ARITHMETIC.search, found))):
            apart.append((what, found))
    assert apart == []
    assert valid > 300


# -------------------------------------------------------------------------------- what is told

_AT = "a list, each a number of `epochs` or of `steps`; required"
_AREA = "a list of 2, each a number, above 0, at most 1; required"


def test_every_key_is_described() -> None:
    every = [model for model in vars(models).values() if _is_node(model)]
    assert len(every) == len(SCHEMA["$defs"]) + 1
    for node in (SCHEMA, *SCHEMA["$defs"].values()):
        for key, said in node["properties"].items():
            target = SCHEMA["$defs"].get(said.get("$ref", "").rpartition("/")[2], {})
            assert {**target, **said}.get("description"), (node["title"], key)


def _is_node(model: Any) -> bool:
    bases = (RecipeNode, models.OneKind)
    return isinstance(model, type) and issubclass(model, RecipeNode) and model not in bases


@pytest.mark.parametrize(
    ("path", "about"),
    [
        (["archc"], "`1`; required"),
        (["optimizer"], "one of `sgd`, `rmsprop`, `adam`, `adamw`"),
        (["optimizer", "sgd"], "a mapping"),
        (["optimizer", "sgd", "momentum"], "a number, at least 0, below 1; 0 by default"),
        (["optimizer", "rmsprop", "momentum"], "a number, at least 0, below 1; required"),
        (["optimizer", "rmsprop", "centered"], "`true` or `false`; false by default"),
        (["batch_size"], "an integer, at least 1"),
        (["schedule", "multi_step", "at"], _AT),
        (["schedule", "multi_step", "at", 3], "a number of `epochs` or of `steps`"),
        (["weight_decay", "skip"], "a list, each one of `bias`, `norm`, `depthwise`"),
        (["outputs"], "a mapping of names, each to a number, at least 0"),
        (["outputs", "aux"], "a number, at least 0"),
        (["set", "dropout"], "a value"),
        (["freeze"], "a list, each a text"),
        (["augment", 0, "random_resized_crop", "area"], _AREA),
        (["augment", 0, "random_resized_crop", "area", 1], "a number, above 0, at most 1"),
        (["augment", 0, "random_resized_crop", "area", 2], None),
        (["optimizer", "lion"], None),
    ],
)
def test_what_a_place_holds(path: list[str | int], about: str | None) -> None:
    found: Described | None = described()
    for key in path:
        assert found is not None
        found = found.below(key)
    assert (found and found.about) == about


def test_words_are_told() -> None:
    words = described().keys["optimizer"].keys["rmsprop"].keys["epsilon_added"].words
    assert words == {
        "inside_root": "g / sqrt(v + epsilon), as in Keras and TensorFlow",
        "outside_root": "g / (sqrt(v) + epsilon), as in PyTorch",
    }


def test_a_file_is_a_recipe_where_it_says_so() -> None:
    assert told(read(SPEC)) == []
    found = told(read(f"{SPEC}recipe: r\n"))
    assert any("'network'" in each and "unexpected" in each for each in found)
    assert "$: 'optimizer' is a required property" in found
    assert told({}) != []
