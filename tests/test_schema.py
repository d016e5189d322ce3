"""The JSON Schema says of a file what an editor can know: keys, blocks, arguments, types."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.language.problems import Source, SpecError
from archc.compiler.printed.schema import DOCS, MAX_COLUMNS, blocks_of, json_schema, shipped_blocks
from archc.compiler.spec import reader
from archc.compiler.spec.load import SHIPPED
from archc.compiler.spec.models import BlockSpec, InputSpec, ParameterSpec, Spec
from archc.compiler.spec.rows import ROW_KEYS, ChangeSpec, RowSpec, TableSpec

SCHEMA = json_schema(shipped_blocks())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILES = sorted([*SHIPPED.glob("*.yaml"), *SHIPPED.glob("blocks/*.yaml")])

SPEC = """\
archc: 1
name: Example
use: [blocks/mobilenet.yaml]
params:
  alpha: {type: float, default: 1.0, above: 0}
  act: {type: activation, default: relu}
  width: int
let: {wide: width * 2}
require: [width % 8 == 0, alpha < 4]
input: {channels: 3, height: 32, width: 32}
defaults:
  batch_norm: {epsilon: 1e-3}
network:
  - {block: conv_bn, name: stem, out: floor(32 * alpha), kernel: 3, act: act}
  - columns: [block, out, kernel, expand, se, act]
    rows:
      - [inverted_residual, 16, 3, 2, ~, relu]
      - {block: conv_bn, out: 24, act: none, when: alpha > 1}
    set: {stride: 2}
  - columns: [name, block, out, from, repeat, when]
    rows:
      - [left, conv_bn, wide, stem, 2 * 2, ~]
      - [right, conv_bn, 8 * 2, [stem, -1 if alpha > 1 else -2], ~, alpha > 1]
      - {name: side, block: conv_bn, out: 16, from: -2, repeat: 3}
  - {block: concat, from: [left, right, -1], doc: "all of them, side by side"}
blocks:
  twice:
    params: {out: int, act: {type: activation, default: mish}}
    channels: out
    let: {half: out // 2}
    steps:
      - a: conv_bn(x, half, act=act)
        when: half != out
        doc: Half of them.
      - {b: "conv_bn(a, out)", doc: ~}
    returns: a + b
"""


def plain(node: reader.Node) -> Any:
    """A node as an editor reads it: YAML 1.2, whose scalars have types."""
    if isinstance(node, reader.Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, reader.Sequence):
        return [plain(item) for item in node]
    if not node.plain:
        return str(node)
    words: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
    for read in (words.__getitem__, int, float):
        try:
            return read(node)
        except (KeyError, ValueError):
            pass
    return str(node)


VARIANT = """\
archc: 1
extends: nasnet_a_large.yaml
name: Variant
set: {cells: 2, classes: 10, dropout: 0.1 * 2, stem_reductions: false}
network:
  - {block: identity}
"""


CHANGED = """\
archc: 1
extends: mnv3_large.yaml
name: Changed
change:
  - {at: blocks, set: {kernel: 3, se: ~}}
  - {at: [stem, blocks.14], set: {block: my_block, act: relu, when: alpha > 1}}
  - {where: act == hard_swish, set: {act: relu, from: -1, repeat: 2}}
  - {remove: [blocks.0, blocks.1]}
  - {remove: head}
  - {after: blocks.3, insert: [[inverted_residual, 3, 4, 24, ~, relu, 1]]}
  - {before: stem, insert: [{block: rescale, scale: 2}, {columns: [block], rows: [[flatten]]}]}
blocks:
  my_block:
    replace: true
    params: {out: int, kernel: int, stride: int, act: activation}
    steps: [y: "conv_bn(x, out, kernel, stride, act)"]
"""


def problems(text: str) -> list[str]:
    """Where the schema finds something wrong, and what."""
    node, unreadable = reader.read(Source("test", text))
    assert node is not None
    assert not unreadable
    errors = sorted(VALIDATOR.iter_errors(plain(node)), key=lambda error: list(error.path))
    return [f"{error.json_path}: {error.message}" for error in errors]


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for child in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(child, dict | list):
            yield from nodes(child)


def test_it_is_a_schema_and_every_reference_in_it_leads_somewhere() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    targets = {node["$ref"] for node in nodes(SCHEMA) if isinstance(node.get("$ref"), str)}
    assert targets <= {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


def test_it_is_the_same_each_time() -> None:
    assert json.dumps(json_schema(shipped_blocks())) == json.dumps(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_is_valid(path: Path) -> None:
    assert problems(path.read_text()) == []


@pytest.mark.parametrize("text", [SPEC, VARIANT, CHANGED], ids=["spec", "variant", "changed"])
def test_the_example_is_valid(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("extends: nasnet_a_large.yaml", "", "$"),
        ("extends: nasnet_a_large.yaml", "extends: [nasnet_a_large.yaml]", "$.extends"),
        ("extends:", "extend:", "$"),
        ("set: {cells: 2", "set: {cells: {value: 2}", "$.set.cells"),
        ("set: {cells: 2", "set: {2d: 2", "$.set"),
    ],
)
def test_a_mistake_in_a_variant_is_found_where_it_is(old: str, new: str, where: str) -> None:
    assert VARIANT.count(old) == 1
    found = problems(VARIANT.replace(old, new))
    assert any(problem.startswith(f"{where}: ") for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("extends: mnv3_large.yaml", "", "$"),
        ("blocks:\n", "network: [{block: flatten}]\nblocks:\n", "$"),
        ("at: blocks, set: {kernel: 3", "at: blocks, set: {kernal: 3", "$.change[0].set"),
        ("at: blocks, set", "to: blocks, set", "$.change[0]"),
        ("at: blocks, set", "set", "$.change[0]"),
        ("at: blocks, set", "at: blocks.x, set", "$.change[0].at"),
        ("kernel: 3, se: ~", "kernel: 3.5", "$.change[0].set.kernel"),
        ("{where: act == hard_swish", "{where: {act: hard_swish}", "$.change[2].where"),
        ("remove: head", "remove: head, at: stem", "$.change[4]"),
        ("remove: head", "remove: 3", "$.change[4].remove"),
        ("{after: blocks.3, ", "{", "$.change[5]"),
        ("{block: rescale, scale: 2}", "{block: rescale, scal: 2}", "$.change[6].insert[0]"),
        ("replace: true", "replace: 2", "$.blocks.my_block.replace"),
    ],
)
def test_a_mistake_in_a_change_is_found_where_it_is(old: str, new: str, where: str) -> None:
    assert CHANGED.count(old) == 1
    found = problems(CHANGED.replace(old, new))
    assert any(problem.startswith(f"{where}: ") for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        # Keys
        ("archc: 1", "archc: 2", "$.archc"),
        ("archc: 1", "", "$"),
        ("name: Example", "nam: Example", "$"),
        ("name: Example", "", "$"),
        ("name: Example", "name: my-net", "$.name"),
        ("height: 32", "hight: 32", "$.input"),
        ("channels: 3", "channels: 0", "$.input.channels"),
        ("above: 0", "over: 0", "$.params.alpha"),
        ("set: {", "sets: {", "$.network[1]"),
        ("width: int", "3d: int", "$.params"),
        # Types of parameters
        ("width: int", "width: integer", "$.params.width"),
        ("type: activation, default: relu", "type: activation, default: 3", "$.params.act"),
        # Blocks and ops
        ("block: conv_bn, name", "block: conv_bm, name", "$.network[0].block"),
        ("[inverted_residual,", "[inverted,", "$.network[1].rows[0][0]"),
        ("batch_norm:", "batchnorm:", "$.defaults"),
        # Names of arguments
        ("kernel: 3", "kernal: 3", "$.network[0]"),
        ("out: 24", "filters: 24", "$.network[1].rows[1]"),
        ("epsilon", "eps", "$.defaults.batch_norm"),
        ("[block, out, kernel,", "[block, out, kernal,", "$.network[1].columns[2]"),
        ("stride: 2", "strides: 2", "$.network[1].set"),
        # Types of arguments
        ("kernel: 3", "kernel: 3.5", "$.network[0].kernel"),
        ("kernel: 3", "kernel: true", "$.network[0].kernel"),
        ("kernel: 3", "kernel: {size: 3}", "$.network[0].kernel"),
        ("act: none", "act: 6", "$.network[1].rows[1].act"),
        ("1e-3", "-1", "$.defaults.batch_norm.epsilon"),
        ("~, relu]", "~, 6]", "$.network[1].rows[0][5]"),
        ("16, 3, 2", "16, 3.5, 2", "$.network[1].rows[0][2]"),
        ("stride: 2", "stride: false", "$.network[1].set.stride"),
        # Tables
        ("~, relu]", "relu]", "$.network[1].rows[0]"),
        ("~, relu]", "~, relu, 1]", "$.network[1].rows[0]"),
        ("[block, out", "[stride, out", "$.network[1].columns"),
        ("[block, out", "[block, se", "$.network[1].columns"),
        # Repeats and wiring
        ("repeat: 3", "repeat: -1", "$.network[2].rows[2].repeat"),
        ("repeat: 3", "repeat: 1000000", "$.network[2].rows[2].repeat"),
        ("2 * 2, ~]", "2.5, ~]", "$.network[2].rows[0][4]"),
        ("from: -2", "from: 1", "$.network[2].rows[2].from"),
        ("from: -2", "from: {row: stem}", "$.network[2].rows[2].from"),
        ("wide, stem", "wide, 0", "$.network[2].rows[0][3]"),
        ("right, -1]", "right, 1]", "$.network[3].from[2]"),
        ("[left, conv_bn", "[3d, conv_bn", "$.network[2].rows[0][0]"),
        ("block: concat, from", "block: concat, form", "$.network[3]"),
        ("from, repeat, when", "from, repeats, when", "$.network[2].columns[4]"),
        ("set: {stride: 2}", "set: {repeated: 2}", "$.network[1].set"),
        # Values and conditions
        ("let: {wide: width * 2}", "let: [width * 2]", "$.let"),
        ("require: [width % 8 == 0, alpha < 4]", "require: width > 8", "$.require"),
        ("require: [width % 8 == 0, alpha < 4]", "require: [{width: 8}]", "$.require[0]"),
        # Blocks
        ('{b: "conv_bn(a, out)"', "{b: conv_bn(a), c: conv_bn(a)", "$.blocks.twice.steps[1]"),
        ('{b: "conv_bn(a, out)"', "{when: out", "$.blocks.twice.steps[1]"),
        ('{b: "conv_bn(a, out)"', "{b: [a, out]", "$.blocks.twice.steps[1].b"),
        ("doc: Half of them.", "doc: [half, of, them]", "$.blocks.twice.steps[0].doc"),
        ("doc: Half of them.", f"doc: {'so ' * 70}", "$.blocks.twice.steps[0].doc"),
        ('doc: "all of', 'docs: "all of', "$.network[3]"),
        ("returns: a + b", "return: a + b", "$.blocks.twice"),
        ("channels: out", "channels: {of: a}", "$.blocks.twice.channels"),
    ],
)
def test_a_mistake_is_found_where_it_is(old: str, new: str, where: str) -> None:
    assert SPEC.count(old) == 1
    found = problems(SPEC.replace(old, new))
    assert found
    assert any(problem.startswith(f"{where}: ") for problem in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("out: 24", "out: x.channels * 2"),
        ("out: 24", 'out: "24"'),
        ("kernel: 3", "kernel: 3.0"),
        ("kernel: 3", "kernel: ~"),
        ("act: none", "act: act if alpha > 1 else none"),
        ("[inverted_residual, 16", "[inverted_residual, 8 + 8"),
        ("~, relu]", "none, relu]"),
        ("16, 3, 2", "0.5, 3, 2"),
    ],
)
def test_an_expression_may_stand_for_a_value(old: str, new: str) -> None:
    text = SPEC.replace("set: {", "set: {out: floor(out * 32), ")
    assert text.count(old) == 1
    assert problems(text.replace(old, new)) == []


def test_cells_beyond_the_last_checked_column_are_left_to_the_compiler() -> None:
    names = sorted({name for op in CATALOGUE.values() for name in op.parameter})
    assert len(names) >= MAX_COLUMNS
    head = "archc: 1\nname: N\ninput: {channels: 1, height: 1, width: 1}\nnetwork:\n"
    columns = f"  - columns: [{', '.join([*names, 'block'])}]\n"
    assert problems(f"{head}{columns}    rows: [[{'~, ' * len(names)}nonsense]]\n") == []


def test_what_blocks_and_arguments_mean_is_shown() -> None:
    definitions = SCHEMA["$defs"]
    offered = {name["const"]: name["description"] for name in definitions["block"]["anyOf"]}
    for name, block in shipped_blocks().items():
        assert definitions[f"row.{name}"]["description"] == block.doc
        assert offered[name] == block.doc
    kernel = definitions["conv2d.kernel"]["description"].split("; ")
    assert kernel[0] == "height and width of the window"
    assert kernel[-1] == "required"
    words = {option.get("const") for option in definitions["activation"]["anyOf"]}
    assert {"hard_swish", "none"} <= words


def test_defaults_are_shown_as_yaml_spells_them() -> None:
    definitions = SCHEMA["$defs"]
    defaults = {name: definitions[name].get("default") for name in definitions}
    assert defaults["conv2d.stride"] == 1
    assert defaults["conv_bn.act"] == "none"
    assert defaults["depthwise_separable.act"] == "relu6"
    assert defaults["conv2d.bias"] is True
    assert defaults["conv2d.filters"] is None


def test_a_block_of_ones_own_is_known(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "archc: 1\nblocks:\n"
        "  fuse:\n    inputs: [x, y]\n    steps: [z: x + y]\n"
        "  own:\n    doc: My own.\n    params:\n"
        "      pad: {type: sides, default: '[0, 1, 0, 1]'}\n"
        "      wide: {type: int, default: 2 * 8}\n"
        "    steps: [y: identity(x)]\n"
    )
    definitions = json_schema(blocks_of([path]))["$defs"]
    assert definitions["row.own"]["description"] == "My own."
    assert definitions["own.pad"]["default"] == [0, 1, 0, 1]
    assert "default" not in definitions["own.wide"]
    assert definitions["row.fuse"]["properties"].keys() == set(ROW_KEYS)


def test_the_blocks_of_a_broken_file_are_not_known(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("archc: 1\nblocks: []\n")
    with pytest.raises(SpecError, match="a list where a mapping belongs"):
        blocks_of([path])


@pytest.mark.parametrize(
    "model", [Spec, BlockSpec, ChangeSpec, InputSpec, ParameterSpec, RowSpec, TableSpec]
)
def test_every_key_is_documented(model: type[Any]) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert keys - {"arguments"} == set(DOCS[model.__name__])
