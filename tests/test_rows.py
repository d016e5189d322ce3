"""How rows are wired and counted, and what becomes of specs that extend others."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from archc.compiler.ir import analysis
from archc.compiler.ir.network import Block, Network
from archc.compiler.language.expressions import Name, Node, python, show
from archc.compiler.language.problems import SpecError
from archc.compiler.pipeline import compile_network
from archc.compiler.printed import printer
from archc.compiler.printed.resolve import resolve

SPECS = Path(__file__).parents[1] / "specs"
HEAD = """\
archc: 1
name: Net
input: {channels: 4, height: 8, width: 8}
params:
  n: {type: int, default: 2}
  back: {type: int, default: -2}
  deep: {type: bool, default: false}
  classes: {type: int, default: 10, keep: true}
blocks:
  join: {inputs: [x, prev], steps: [{sum: x + prev}]}
  three: {inputs: [a, b, c], steps: [{all: 'concat(a, b, c)'}]}
network:
"""
Compile = Callable[..., Network]


@pytest.fixture
def net(tmp_path: Path) -> Compile:
    """Compiles a spec of some rows below `HEAD`."""

    def compiled(rows: str, settings: Mapping[str, object] | None = None) -> Network:
        path = tmp_path / "net.yaml"
        path.write_text(HEAD + rows)
        return compile_network(path, settings)

    return compiled


def wiring(network: Network) -> dict[str, tuple[str, ...]]:
    """What feeds each row, by name."""
    names = [*(row.call.name for row in network.rows), "input"]
    return {row.call.name: tuple(names[feed] for feed in row.call.feeds) for row in network.rows}


# --------------------------------------------------------------------------------------- defaults


def test_a_row_takes_the_values_just_above_nearest_first(net: Compile) -> None:
    found = net(
        "  - {block: identity, name: a}\n"
        "  - {block: join, name: b}\n"
        "  - {block: three, name: c}\n"
        "  - {block: identity, name: d}\n"
    )
    assert wiring(found) == {
        "a": ("input",),
        "b": ("a", "input"),
        "c": ("b", "a", "input"),
        "d": ("c",),
    }


def test_an_op_of_two_tensors_is_a_row_like_any_other(net: Compile) -> None:
    found = net(
        "  - {block: identity, name: a}\n"
        "  - {block: add}\n"
        "  - {block: multiply, name: gated, from: [-1, a]}\n"
        "  - {block: concat, from: [a, add, gated, -4]}\n"
        "  - {block: concat, name: alone, from: -1}\n"
    )
    assert wiring(found) == {
        "a": ("input",),
        "add": ("a", "input"),
        "gated": ("add", "a"),
        "concat": ("a", "add", "gated", "input"),
        "alone": ("concat",),
    }
    assert [row.call.body.output.channels for row in found.rows] == [4, 4, 4, 16, 16]


# -------------------------------------------------------------------------------------------- from

FROM = """\
  - {block: identity, name: a}
  - {block: identity, name: b, when: deep}
  - {block: identity, name: c}
  - {block: join, name: d, from: %s}
"""


@pytest.mark.parametrize(
    ("source", "shallow", "deep"),
    [
        ("[-1, -2]", ("c", "a"), ("c", "b")),
        ("[c, a]", ("c", "a"), ("c", "a")),
        ("[-1, -3]", ("c", "input"), ("c", "a")),
        ("[-1, -1]", ("c", "c"), ("c", "c")),
        ("[-n, -3 + 2]", ("a", "c"), ("b", "c")),
        ("[-1, b if deep else a]", ("c", "a"), ("c", "b")),
        ("[c if n > 1 else a, (b if n > 2 else -2) if deep else -3]", ("c", "input"), ("c", "b")),
    ],
)
def test_from_leads_to_rows_by_name_or_by_how_far_above_they_are(
    source: str, shallow: tuple[str, ...], deep: tuple[str, ...], net: Compile
) -> None:
    """A row that is left out does not count."""
    assert wiring(net(FROM % source))["d"] == shallow
    assert wiring(net(FROM % source, {"deep": True}))["d"] == deep


@pytest.mark.parametrize(
    ("source", "settings", "fed"),
    [
        ("n", {}, "n"),
        ("-n", {}, "n"),
        ("-n", {"n": 3}, "input"),
        ("back", {}, "n"),
        ("back", {"back": -1}, "a"),
    ],
)
def test_a_row_is_meant_where_a_parameter_is_called_the_same(
    source: str, settings: Mapping[str, object], fed: str, net: Compile
) -> None:
    rows = "  - {block: identity, name: n}\n  - {block: identity, name: a}\n"
    rows += f"  - {{block: identity, name: b, from: {source}}}\n"
    rows += "  - {block: concat, name: every, from: [n, a, b]}\n"
    assert wiring(net(rows, settings))["b"] == (fed,)


def test_the_name_of_a_table_is_its_last_row_and_that_of_a_repeated_row_its_last_repeat(
    net: Compile,
) -> None:
    found = net(
        "  - columns: [block, repeat]\n"
        "    rows: [[identity, ~], [identity, 2]]\n"
        "  - {block: identity, name: cells, repeat: 3}\n"
        "  - {block: join, name: last, from: [blocks, cells]}\n"
    )
    assert wiring(found)["last"] == ("blocks.2", "cells.2")


# --------------------------------------------------------------------------------------------- doc

DOC = "\"It's\" a # [text], and: none of 'yours' \\ = 1 + {x}"
DOCS = f"""\
  - {{block: identity, name: alone, doc: {json.dumps(DOC)}}}
  - columns: [block, repeat, doc]
    rows:
      - [identity, 2, repeat + 1 is no expression here]
      - [identity, ~, ~]
      - [identity, ~, "~"]
      - {{block: identity, doc: 12}}
    set: {{repeat: repeat}}
    name: some
  - {{name: last, columns: [block], rows: [[identity]], set: {{doc: block and repeat are words}}}}
"""


def test_a_row_holds_what_is_said_of_it_and_a_repeated_one_says_it_once(net: Compile) -> None:
    said = {row.call.name: row.doc for row in net(DOCS).rows}
    assert said == {
        "alone": DOC,
        "some.0": "repeat + 1 is no expression here",
        "some.1": "",
        "some.2": "",
        "some.3": "~",
        "some.4": "12",
        "last.0": "block and repeat are words",
    }


def test_a_repeated_row_is_tapped_after_the_last_time(net: Compile) -> None:
    found = net("  - {block: identity, name: cells, repeat: 3, tap: c}\n  - {block: identity}\n")
    assert [row.tap for row in found.rows] == [None, None, "c", None]


def test_what_is_said_of_rows_is_resolved_with_them(net: Compile, tmp_path: Path) -> None:
    said = [row.doc for row in net(DOCS).rows]
    (tmp_path / "flat.yaml").write_text(resolve(tmp_path / "net.yaml"))
    assert [row.doc for row in compile_network(tmp_path / "flat.yaml").rows] == said


def test_a_change_may_say_something_of_a_row_or_nothing(net: Compile, tmp_path: Path) -> None:
    net(DOCS)
    path = tmp_path / "variant.yaml"
    path.write_text(
        "archc: 1\nextends: net.yaml\nchange:\n"
        "  - {at: alone, set: {doc: another}}\n  - {at: some.0, set: {doc: ~}}\n"
        "  - {at: last, set: {doc: of a whole table}}\n"
        "  - {after: some.2, insert: [[identity, ~, new]]}\n"
    )
    said = {row.call.name: row.doc for row in compile_network(path).rows}
    assert said["alone"] == "another"
    assert (said["some.0"], said["some.3"], said["last.0"]) == ("", "new", "of a whole table")


def test_a_step_holds_what_is_said_of_it(tmp_path: Path) -> None:
    block = f"    steps: [{{a: identity(x), doc: {json.dumps(DOC)}}}, {{b: identity(a)}}]\n"
    head = "archc: 1\nname: Net\ninput: {channels: 4, height: 8, width: 8}\n"
    path = tmp_path / "net.yaml"
    path.write_text(f"{head}network: [{{block: own}}]\nblocks:\n  own:\n{block}")
    (tmp_path / "flat.yaml").write_text(resolve(path))
    for name in ("net.yaml", "flat.yaml"):
        target = compile_network(tmp_path / name).rows[0].call.body.target
        assert isinstance(target, Block)
        assert [step.doc for step in target.steps] == [DOC, ""]


# ------------------------------------------------------------------------------------------ repeat


def test_from_speaks_of_the_first_of_a_row_s_repeats(net: Compile) -> None:
    found = net(
        "  - {block: identity, name: a}\n"
        "  - {block: identity, name: b}\n"
        "  - {block: join, name: cells, repeat: n + 1, from: [b, -3]}\n"
    )
    assert wiring(found) == {
        "a": ("input",),
        "b": ("a",),
        "cells.0": ("b", "input"),
        "cells.1": ("cells.0", "b"),
        "cells.2": ("cells.1", "cells.0"),
    }


def test_rows_of_a_table_are_counted_on_where_one_is_repeated(net: Compile) -> None:
    found = net(
        "  - columns: [block, repeat, when]\n"
        "    name: stage\n"
        "    rows:\n"
        "      - [identity, ~, ~]\n"
        "      - [identity, n, deep]\n"
        "      - [identity, n, not deep]\n"
        "      - {block: flatten, when: deep}\n"
        "  - {block: identity, name: once, repeat: 1}\n"
    )
    assert list(wiring(found)) == ["stage.0", "stage.1", "stage.2", "once.0"]


TABLE = """\
  - {block: identity, name: stem}
  - columns: [block, filters, kernel, repeat]
    rows:
      - [conv2d, 4, 1, 1]
      - [conv2d, 8, 3, n]
      - {block: conv2d, filters: 2, kernel: 1}
    set: {SET}
  - {block: add, name: last, from: [-1, -1]}
"""


@pytest.mark.parametrize(
    ("given", "names"),
    [
        # EfficientNet's depth scaling: the cells that say how often, times a depth.
        ("repeat: ceil(repeat * 1.2)", "stem 0 1 2 3 4 5 last"),
        ("repeat: n", "stem 0 1 2 3 4 last"),
        ("when: deep or kernel == 1", "stem 0 1 last"),
        ("from: stem", None),
    ],
)
def test_the_set_of_a_table_gives_keys_as_it_gives_arguments(
    net: Compile, given: str, names: str | None
) -> None:
    if names is None:
        found = net(TABLE.replace("SET", given + ", when: filters == 2"))
        assert wiring(found) == {
            "stem": ("input",),
            "blocks.0": ("stem",),
            "last": ("blocks.0",) * 2,
        }
        return
    found = net(TABLE.replace("SET", given))
    paths = [f"blocks.{name}" if name.isdigit() else name for name in names.split()]
    assert [row.call.name for row in found.rows] == paths


def test_the_set_of_a_table_sees_the_cells_under_keys(net: Compile) -> None:
    found = net(TABLE.replace("SET", "filters: filters * repeat if repeat else 1"))
    assert [row.call.body.output.channels for row in found.rows[1:]] == [4, 16, 16, 1, 1]


def test_rows_with_names_of_their_own_do_not_count(net: Compile) -> None:
    found = net(
        "  - columns: [name, block, from]\n"
        "    rows:\n"
        "      - [a, identity, ~]\n"
        "      - [b, add, [a, -2]]\n"
        "      - {name: c, block: identity, from: a, repeat: 2}\n"
        "      - {name: d, block: add, from: [b, c]}\n"
    )
    assert wiring(found) == {
        "a": ("input",),
        "b": ("a", "input"),
        "c.0": ("a",),
        "c.1": ("c.0",),
        "d": ("b", "c.1"),
    }
    assert [row.group for row in found.rows] == [None, None, "c", "c", None]


# --------------------------------------------------------------------------------- kept parameters


def test_channels_that_depend_on_a_kept_parameter_pass_through_joins(net: Compile) -> None:
    found = net(
        "  - {block: conv2d, name: a, filters: classes, kernel: 1}\n"
        "  - {block: concat, name: b, from: [a, -2]}\n"
        "  - {block: join, name: c, from: [b, b]}\n"
        "  - {block: three, name: d, from: [a, c, c]}\n"
        "  - {block: batch_norm, name: e}\n"
    )
    assert spelled_channels(found) == {
        "a": [],
        "b": ["classes"],
        "c": ["classes + 4", "classes + 4"],
        "d": ["classes", "classes + 4", "classes + 4"],
        "e": ["classes + (classes + 4) + (classes + 4)"],
    }
    assert found.output.channels == 10 + 2 * 14


def test_channels_that_depend_on_a_kept_parameter_pass_through_what_multiplies_them(
    net: Compile,
) -> None:
    found = net(
        "  - {block: conv2d, name: a, filters: 2 * classes, kernel: 1}\n"
        "  - {block: depthwise_conv2d, name: b, kernel: 3, multiplier: 3}\n"
        "  - {block: conv2d, name: c, filters: 5, kernel: 1}\n"
        "  - {block: identity, name: d}\n"
    )
    assert spelled_channels(found) == {
        "a": [],
        "b": ["2 * classes"],
        "c": ["2 * classes * 3"],
        "d": [],
    }


def spelled_channels(network: Network) -> dict[str, list[str]]:
    """Each row's inputs' channels, where they depend on a kept parameter."""
    return {
        row.call.name: [python(node, _leaf) for node in row.channels if node is not None]
        for row in network.rows
    }


def _leaf(node: Node) -> str:
    return node.id if isinstance(node, Name) else show(node.evaluate({}))


# ------------------------------------------------------------------------------------------ NASNet

LARGE, MOBILE = SPECS / "nasnet_a_large.yaml", SPECS / "nasnet_a_mobile.yaml"


def test_the_large_and_the_mobile_wiring_differ_in_two_feeds() -> None:
    """`skip_reduction`: the cell after a reduction between the groups looks past its input."""
    large, mobile = (compile_network(LARGE, {"skip_reduction": skip}) for skip in (True, False))
    old, new = wiring(large), wiring(mobile)
    assert {name: (old[name], new[name]) for name in old if old[name] != new[name]} == {
        "cells_2.0": (("reduction_1", "cells_1.4"), ("reduction_1", "cells_1.5")),
        "cells_3.0": (("reduction_2", "cells_2.4"), ("reduction_2", "cells_2.5")),
    }
    assert analysis.totals(large) == analysis.totals(mobile)


def test_mobile_is_large_with_other_settings() -> None:
    settings = {
        "cells": 4,
        "penultimate_filters": 1056,
        "stem_filters": 32,
        "skip_reduction": False,
    }
    large, mobile = compile_network(LARGE, settings), compile_network(MOBILE)
    assert wiring(large) == wiring(mobile)
    assert analysis.totals(large).total == analysis.totals(mobile).total == 5326716
    assert (large.changed, mobile.changed) == (tuple(settings), ())


def test_the_cells_of_the_smallest_nasnet() -> None:
    """One cell a group: then the older previous tensor is what the group itself began with."""
    found = compile_network(LARGE, {"cells": 1})
    assert wiring(found) == {
        "stem": ("input",),
        "stem_1": ("stem", "stem"),
        "stem_2": ("stem_1", "stem"),
        "cells_1.0": ("stem_2", "stem_1"),
        "reduction_1": ("cells_1.0", "stem_2"),
        "cells_2.0": ("reduction_1", "stem_2"),
        "reduction_2": ("cells_2.0", "reduction_1"),
        "cells_3.0": ("reduction_2", "reduction_1"),
        "classifier": ("cells_3.0",),
    }


def test_without_stem_reductions_the_first_cell_takes_the_stem_twice() -> None:
    found = wiring(compile_network(SPECS / "nasnet_a_cifar.yaml"))
    assert list(found)[:3] == ["stem", "cells_1.0", "cells_1.1"]
    assert [found["cells_1.0"], found["cells_1.1"]] == [("stem", "stem"), ("cells_1.0", "stem")]


def separable(channels: int, filters: int, kernel: int) -> int:
    first = channels * kernel**2 + channels * filters + 2 * filters
    return first + filters * kernel**2 + filters * filters + 2 * filters


def squeeze(channels: int, filters: int) -> int:
    return channels * filters + 2 * filters


def fit(previous: tuple[int, int], stride: int, filters: int) -> int:
    """The previous tensor is (channels, stride). Two convolutions of half the filters, or one."""
    if previous[1] != stride:
        return previous[0] * filters + 2 * filters
    return squeeze(previous[0], filters) if previous[0] != filters else 0


def test_nasnet_for_cifar_by_hand() -> None:
    """The paper's Figures 2 and 4 added up: 768 / 24 = 32 filters, 6 cells a group, 10 classes."""
    count = 3 * 32 * 9 + 2 * 32
    x = previous = (32, 1)
    for group in range(3):
        filters = 32 * 2**group
        if group:
            count += fit(previous, x[1], filters) + squeeze(x[0], filters)
            count += sum(separable(filters, filters, kernel) for kernel in (5, 7, 7, 5, 3))
            x, previous = (4 * filters, 2 * x[1]), x
        for _ in range(6):
            count += fit(previous, x[1], filters) + squeeze(x[0], filters)
            count += sum(separable(filters, filters, kernel) for kernel in (5, 3, 5, 3, 3))
            x, previous = (6 * filters, x[1]), x
    count += 768 * 10 + 10
    network = compile_network(SPECS / "nasnet_a_cifar.yaml")
    assert analysis.totals(network).trainable == count == 3318058


# ----------------------------------------------------------------------------------------- extends

FIRST = """\
archc: 1
name: First
source: somewhere
params:
  n: {type: int, default: 4, doc: filters}
  half: {type: int, default: n // 2}
let: {twice: 2 * n}
require: [n % 2 == 0]
input: {channels: 3, height: 8, width: 8}
defaults:
  conv2d: {bias: false, padding: valid}
  batch_norm: {decay: 0.9}
network:
  - {block: conv2d, name: a, filters: twice, kernel: 1}
  - {block: conv2d, name: b, filters: half, kernel: 3}
"""
SECOND = """\
archc: 1
extends: first.yaml
name: Second
set: {n: 6}
defaults: {conv2d: {padding: same}}
let: {twice: 3 * n}
"""
THIRD = """\
archc: 1
extends: second.yaml
name: Third
source: elsewhere
set: {half: n}
params: {more: {type: int, default: half + 1}}
require: [more < 100]
input: {channels: 1, height: 5, width: 5}
network:
  - {block: conv2d, name: c, filters: twice + more, kernel: 3}
  - {block: batch_norm}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("first", FIRST), ("second", SECOND), ("third", THIRD)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_spec_may_extend_one_that_extends_another(folder: Path) -> None:
    second = compile_network(folder / "second.yaml")
    assert (second.name, second.doc, second.settings) == (
        "Second",
        "a variant of First: somewhere",
        {"n": 6, "half": 3},
    )
    assert second.defaults["conv2d"] == {"bias": False, "padding": "same"}
    assert [row.call.body.output.shape for row in second.rows] == [(18, 8, 8), (3, 8, 8)]
    third = compile_network(folder / "third.yaml", {"n": 8})
    assert (third.name, third.doc, third.input.shape) == ("Third", "elsewhere", (1, 5, 5))
    assert third.settings == {"n": 8, "half": 8, "more": 9}
    assert third.changed == ("n",)
    assert printer.text(third).splitlines()[2:] == [
        "c = conv2d(input, filters=33, kernel=[3, 3], stride=[1, 1], padding=same, "
        "dilation=[1, 1], groups=1, bias=false, init=glorot_uniform, bias_init=zeros) -> 33x5x5",
        "batch_norm = batch_norm(c, epsilon=0.001, decay=0.9, scale=true, offset=true, "
        "scale_init=ones, offset_init=zeros) -> 33x5x5",
    ]


def test_the_requirements_of_every_spec_count(folder: Path) -> None:
    for settings, requirement in (({"n": 9}, "n % 2 == 0"), ({"more": 200}, "more < 100")):
        with pytest.raises(SpecError, match=f"E046 `{requirement}` does not hold"):
            compile_network(folder / "third.yaml", settings)


def test_a_base_is_as_it_was(folder: Path) -> None:
    compile_network(folder / "third.yaml")
    first = compile_network(folder / "first.yaml")
    assert (first.name, first.settings) == ("First", {"n": 4, "half": 2})
    assert [row.call.name for row in first.rows] == ["a", "b"]
    assert first.defaults["conv2d"] == {"bias": False, "padding": "valid"}


STAGES = """\
  - columns: [block, filters, kernel, stride, repeat]
    rows:
      - [conv2d,     8,       1,      1,      1]
      - [conv2d,     16,      1,      2,      2]
      - [conv2d,     32,      1,      2,      n]
    set:
      stride: 1 if repeat.index else stride
      filters: filters + 100 * table.index + 1000 * repeat.count + 10000 * table.count
  - {block: identity, repeat: 2}
"""


@pytest.mark.parametrize("n", [0, 1, 3])
def test_stages(net: Compile, n: int) -> None:
    network = net(STAGES, {"n": n})
    rows = [row.call.body for row in network.rows if row.group == "blocks"]
    repeats = [1, 2, 2, *[n] * n]
    strides = [1, 2, 1, *[2, *[1] * n][:n]]
    filters = [8, 16, 16, *[32] * n]
    assert [body.arguments["stride"] for body in rows] == [(s, s) for s in strides]
    assert [body.arguments["filters"] for body in rows] == [
        own + 100 * i + 1000 * repeats[i] + 10000 * (3 + n) for i, own in enumerate(filters)
    ]


def test_stages_keep_what_is_kept(net: Compile) -> None:
    text = "  - {block: dropout, name: d, rate: classes * repeat.index * 0.01, repeat: 3}\n"
    rows = net(text).rows
    spelled = [
        python(row.spelled["rate"], lambda node: str(getattr(node, "value", node))) for row in rows
    ]
    assert spelled == [f"classes * {i} * 0.01" for i in range(3)]
