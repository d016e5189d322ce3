"""From names to numbers: defaults, `set`, `when`, `from`, none, kept parameters, and the blame."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from archc.compiler.elaborate import elaborator
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.compiler.language import expressions as ex
from archc.compiler.language.initializers import NAMED
from archc.compiler.language.problems import Problem, SpecError
from archc.compiler.pipeline import compile_network
from archc.compiler.printed import printer

HEAD = "archc: 1\nname: Net\ninput: {channels: 4, height: 8, width: 8}\n"
CONV_BN = """\
blocks:
  conv_bn:
    params: {out: int, kernel: {type: int, default: 1}, act: {type: activation, default: none}}
    steps:
      - conv: conv2d(x, out, kernel=kernel, bias=false)
      - bn: batch_norm(conv)
      - act: activation(bn, act)
        when: act
"""
Compile = Callable[..., Network]


@pytest.fixture
def net(tmp_path: Path) -> Compile:
    """Compiles the rest of a spec that starts with `HEAD`."""

    def compiled(text: str, settings: Mapping[str, object] | None = None) -> Network:
        path = tmp_path / "net.yaml"
        path.write_text(HEAD + text)
        return compile_network(path, settings)

    return compiled


def arguments(network: Network, path: str) -> Mapping[str, Any]:
    return next(x.call.body.arguments for x in analysis.layers(network) if x.path == path)


def ops(network: Network) -> list[tuple[str, str]]:
    return [(layer.path, layer.op) for layer in analysis.layers(network)]


def problem(compiled: Compile, text: str, settings: Mapping[str, object] | None = None) -> Problem:
    with pytest.raises(SpecError) as raised:
        compiled(text, settings)
    (only,) = raised.value.problems
    return only


def blamed(found: Problem) -> str:
    """What the carets of a problem stand under."""
    place = found.place
    return place.source.lines[place.line - 1][place.column - 1 :][: place.length]


# ---------------------------------------------------------------------------------------- defaults


def test_defaults_hold_where_a_call_says_nothing(net: Compile) -> None:
    found = net(
        "params: {decay: {type: float, default: 0.9}}\n"
        "defaults:\n"
        "  batch_norm: {decay: decay, epsilon: 1e-5}\n"
        "  conv_bn: {kernel: 3}\n"
        f"{CONV_BN}"
        "network:\n"
        "  - {block: conv_bn, name: a, out: 8}\n"
        "  - {block: conv_bn, name: b, out: 8, kernel: 5}\n"
        "  - {block: batch_norm, epsilon: 1e-3}\n"
    )
    parts = {"scale": True, "offset": True}
    parts |= {"scale_init": NAMED["ones"], "offset_init": NAMED["zeros"]}
    assert arguments(found, "a.bn") == {"epsilon": 1e-5, "decay": 0.9, **parts}
    assert arguments(found, "batch_norm") == {"epsilon": 1e-3, "decay": 0.9, **parts}
    assert [arguments(found, f"{name}.conv")["kernel"] for name in "ab"] == [(3, 3), (5, 5)]


def test_a_parameter_s_default_may_use_those_above_it(net: Compile) -> None:
    text = "params: {a: {type: int, default: 3}, b: {type: int, default: 2 * a}}\n"
    text += "network: [{block: conv2d, filters: b, kernel: 1}]\n"
    assert net(text).output.channels == 6
    assert net(text, {"a": "5"}).output.channels == 10
    assert net(text, {"b": 7}).output.channels == 7


def test_settings_are_values_or_texts(net: Compile) -> None:
    text = (
        "params: {k: {type: size, default: 3}, act: {type: activation, default: relu},"
        " out: {type: int?}, wide: {type: bool, default: false}}\n"
        "network:\n"
        "  - {block: conv2d, filters: '8 if wide else out or 2', kernel: k}\n"
        "  - {block: activation, act: act, when: act}\n"
    )
    assert net(text, {"wide": True}).settings["wide"] is True
    assert net(text, {"wide": "true"}).output.channels == 8
    assert net(text, {"out": "2 * 8"}).output.channels == 16
    assert net(text, {"k": "[1, 5]"}).settings["k"] == (1, 5)
    assert net(text, {"k": [1, 5]}).settings["k"] == (1, 5)
    assert net(text, {"act": "hard_swish"}).settings["act"] == "hard_swish"
    assert [op for _, op in ops(net(text, {"act": "none"}))] == ["conv2d"]
    assert net(text).changed == ()
    assert net(text, {"out": 2, "wide": False}).changed == ("out",)


# -------------------------------------------------------------------------------------------- rows

TABLE = """\
network:
  - columns: [block, filters, kernel, stride]
    rows:
      - [conv2d, 8, 3, 2]
      - [conv2d, 16, 1, ~]
      - {block: depthwise_conv2d, kernel: 5}
"""


def test_a_cell_with_nothing_in_it_gives_the_default(net: Compile) -> None:
    found = net(TABLE)
    strides = [arguments(found, f"blocks.{i}")["stride"] for i in range(3)]
    assert strides == [(2, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("entries", "channels"),
    [
        ("{filters: 2 * filters}", [16, 32]),
        ("{filters: floor(filters / kernel)}", [2, 16]),
        ("{kernel: kernel + 2, filters: filters * kernel}", [40, 48]),
        ("{padding: valid}", [8, 16]),
        (
            "{filters: '-(-filters) if not (stride == none) and true else max(filters, 20)'}",
            [8, 20],
        ),
        ("{kernel: '[kernel, 1]', filters: 4 * x.channels}", [16, 64]),
    ],
)
def test_set_works_on_every_row_in_order(net: Compile, entries: str, channels: list[int]) -> None:
    text = TABLE.replace("      - {block: depthwise_conv2d, kernel: 5}\n", f"    set: {entries}\n")
    found = net(text)
    assert [row.call.body.output.channels for row in found.rows] == channels


def test_set_leaves_cells_with_nothing_in_them(net: Compile) -> None:
    found = net(
        "network:\n"
        "  - columns: [block, kernel, stride]\n"
        "    rows: [[depthwise_conv2d, 3, 2], [depthwise_conv2d, 3, ~]]\n"
        "    set: {stride: 2 * stride}\n"
    )
    assert [row.call.body.arguments["stride"] for row in found.rows] == [(4, 4), (1, 1)]


def test_a_row_that_is_left_out_leaves_no_gap(net: Compile) -> None:
    text = (
        "params: {deep: {type: bool, default: false}}\n"
        "network:\n"
        "  - {block: identity, name: first, when: deep}\n"
        "  - columns: [block]\n"
        "    rows:\n"
        "      - {block: dropout, rate: 0.5, when: deep}\n"
        "      - [flatten]\n"
        "  - {block: identity, name: last, when: x.channels > 4}\n"
    )
    assert ops(net(text)) == [("blocks.0", "flatten"), ("last", "identity")]
    every = ["first", "blocks.0", "blocks.1", "last"]
    assert [path for path, _ in ops(net(text, {"deep": True}))] == every


def test_rows_know_the_channels_they_get(net: Compile) -> None:
    found = net(
        "network:\n"
        "  - {block: conv2d, name: a, filters: 2 * x.channels, kernel: 1, stride: 2}\n"
        "  - {block: conv2d, name: b, filters: x.channels + x.stride, kernel: 1}\n"
    )
    assert [row.call.body.output.channels for row in found.rows] == [8, 10]


FEEDS = """\
params: {n: {type: int, default: 2}}
blocks: {sum: {inputs: [x, prev], steps: [{y: x + prev}]}}
network:
  - {block: conv2d, name: a, filters: 4, kernel: 1}
  - {block: conv2d, name: b, filters: 4, kernel: 1, from: -2}
  - {block: add, name: c, from: [a, b]}
  - {block: add, name: d}
  - {block: sum, name: e, from: [-1, c], repeat: n}
  - {block: concat, name: f, from: [e, d, -1 - n, -7]}
"""


def test_rows_take_from_the_rows_that_they_name(net: Compile) -> None:
    found = net(FEEDS)
    assert [(row.call.name, row.call.feeds) for row in found.rows] == [
        ("a", (-1,)),
        ("b", (-1,)),
        ("c", (0, 1)),
        ("d", (2, 1)),
        ("e.0", (3, 2)),
        ("e.1", (4, 3)),
        ("f", (5, 3, 3, -1)),
    ]
    assert found.output.channels == 16


def test_a_setting_changes_how_often_a_row_is_repeated(net: Compile) -> None:
    found = net(FEEDS.replace("-7", "-1"), {"n": 1})
    assert [row.call.name for row in found.rows] == ["a", "b", "c", "d", "e.0", "f"]


def test_the_network_s_lets_are_worked_out_in_order(net: Compile) -> None:
    text = (
        "params: {n: {type: int, default: 96}}\n"
        "let: {filters: n // 24, wide: 2 * filters}\n"
        "defaults: {conv2d: {kernel: filters - 3}}\n"
        "network:\n"
        "  - columns: [block, filters]\n"
        "    rows: [[conv2d, wide]]\n"
        "    set: {filters: filters + 1}\n"
    )
    assert net(text).output.channels == 9
    assert net(text, {"n": 120}).rows[0].call.body.arguments["kernel"] == (2, 2)


def test_a_spec_that_extends_another_says_only_what_is_new(net: Compile, tmp_path: Path) -> None:
    net(
        "doc: the first\n"
        "params: {n: {type: int, default: 4}, k: {type: int, default: n}}\n"
        "network: [{block: conv2d, filters: n, kernel: k}]\n"
    )
    path = tmp_path / "other.yaml"
    path.write_text(
        "archc: 1\nextends: net.yaml\nname: Other\nset: {n: 2 + 4}\n"
        "input: {channels: 1, height: 9, width: 9}\ndefaults: {conv2d: {bias: false}}\n"
    )
    found = compile_network(path)
    assert (found.name, found.doc, found.input.shape) == ("Other", "the first", (1, 9, 9))
    assert found.settings == {"n": 6, "k": 6}
    assert found.changed == ()
    assert analysis.totals(found).total == 6 * 36
    assert compile_network(path, {"k": 1}).changed == ("k",)


def test_a_library_that_two_files_use_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"archc: 1\n{CONV_BN}")
    (tmp_path / "b.yaml").write_text("archc: 1\nuse: [a.yaml]\n")
    path = tmp_path / "net.yaml"
    path.write_text(
        f"{HEAD}use: [b.yaml, a.yaml, ./a.yaml]\nnetwork: [{{block: conv_bn, out: 2}}]\n"
    )
    assert compile_network(path).output.channels == 2


def test_a_default_that_no_longer_works_out_counts_as_changed(net: Compile) -> None:
    text = "params: {n: {type: int, default: 2}, half: {type: int, default: 4 // n}}\n"
    text += "network: [{block: conv2d, filters: half, kernel: 1}]\n"
    assert net(text, {"n": 0, "half": 3}).changed == ("n", "half")


# ------------------------------------------------------------------------------------------- steps

BRANCHES = """\
blocks:
  branches:
    params: {on: bool, act: {type: activation, default: relu}}
    steps:
      - a: conv2d(x, 8, kernel=1)
      - act: activation(a, act)
        when: on
      - y: max_pool2d(act, kernel=2) * conv2d(x, 8, kernel=1)
        when: on
      - z: activation(y, act)
        when: act
network:
  - {block: branches, on: %s}
"""


def test_a_step_that_is_left_out_passes_its_first_input_on(net: Compile) -> None:
    found = net(BRANCHES % "false")
    assert ops(found) == [("branches.a", "conv2d"), ("branches.z", "activation")]
    assert analysis.layers(found)[1].feeds == (0,)


def test_a_parameter_and_a_step_may_share_a_name(net: Compile) -> None:
    found = net(BRANCHES % "true")
    assert [path for path, _ in ops(found)] == [
        "branches.a",
        "branches.act",
        "branches.y_left",
        "branches.y_right",
        "branches.y",
        "branches.z",
    ]
    assert arguments(found, "branches.z") == {"act": "relu"}
    assert [layer.feeds for layer in analysis.layers(found)] == [
        (-1,),
        (0,),
        (1,),
        (-1,),
        (2, 3),
        (4,),
    ]


def test_arguments_go_by_place_or_by_name(net: Compile) -> None:
    found = net(
        "blocks:\n"
        "  b:\n"
        "    inputs: [x, y]\n"
        "    params: {out: int, stride: {type: int, default: 1}}\n"
        "    steps:\n"
        "      - concat: conv2d(kernel=3, x=x, filters=out, stride=stride)\n"
        "      - other: conv2d(y, out, 1, stride)\n"
        "    returns: concat(concat, other)\n"
        "  twice:\n"
        "    steps: [{z: 'b(y=conv2d(x, 2, 3), x=x, stride=2, out=6)'}]\n"
        "network: [{block: twice}]\n"
    )
    assert [(x.path, x.output.shape, x.feeds) for x in analysis.layers(found)] == [
        ("twice.z_y", (2, 8, 8), (-1,)),
        ("twice.z.concat", (6, 4, 4), (-1,)),
        ("twice.z.other", (6, 4, 4), (0,)),
        ("twice.z.concat_", (12, 4, 4), (1, 2)),
    ]


def test_none_is_a_value_and_tilde_gives_nothing(net: Compile) -> None:
    text = (
        "blocks:\n"
        "  b:\n"
        "    params: {act: {type: activation, default: relu}, se: float?}\n"
        "    let: {reduced: round_channels(x.channels * se) if se else none}\n"
        "    steps:\n"
        "      - y: conv2d(x, reduced or 3, kernel=1)\n"
        "      - z: activation(y, act)\n"
        "        when: act != none\n"
        "network:\n"
        "  - columns: [block, act, se]\n"
        "    rows: [[b, ~, ~], [b, none, 0.5], [b, tanh, none]]\n"
    )
    found = net(text)
    assert ops(found) == [
        ("blocks.0.y", "conv2d"),
        ("blocks.0.z", "activation"),
        ("blocks.1.y", "conv2d"),
        ("blocks.2.y", "conv2d"),
        ("blocks.2.z", "activation"),
    ]
    assert [row.call.body.output.channels for row in found.rows] == [3, 8, 3]


def test_lets_are_worked_out_in_order(net: Compile) -> None:
    found = net(
        "blocks:\n"
        "  b:\n"
        "    let: {half: x.channels // 2, quarter: half // 2}\n"
        "    steps: [{y: 'conv2d(x, quarter, kernel=1)'}]\n"
        "network: [{block: b}]\n"
    )
    assert found.rows[0].call.body.arguments == {"half": 2, "quarter": 1}


def test_equal_calls_are_worked_out_once(net: Compile) -> None:
    rows = "".join(f"  - {{block: conv_bn, name: r{i}, out: 8, act: relu}}\n" for i in range(3))
    found = net(f"{CONV_BN}network:\n{rows}")
    first, second, third = (row.call.body for row in found.rows)
    assert second is third is not first


def test_forgetting_calls_changes_nothing(net: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"  - {{block: conv_bn, name: r{i}, out: {8 + i}}}\n" for i in range(4))
    text = f"defaults: {{batch_norm: {{decay: %s}}}}\n{CONV_BN}network:\n{rows}"
    before = analysis.totals(net(text % 0.5))
    monkeypatch.setattr("archc.compiler.elaborate.elaborator.MAX_BODIES", 1)
    assert analysis.totals(net(text % 0.6)) == before


def test_no_more_is_remembered_than_there_is_room_for(
    net: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archc.compiler.elaborate.elaborator.MAX_BODIES", 64)
    row = "{block: conv2d, filters: x.channels + n, kernel: 1}"
    text = f"params: {{n: {{type: int, default: 1}}}}\nnetwork: [{row}]\n"
    for n in range(100):
        found = elaborator.elaborator_for(net(text, {"n": n}).defaults, None)
        assert 0 < len(found.bodies) + len(found.repeats) <= 66


VARIANTS = f"""\
params:
  width: {{type: float, default: 1.0}}
  stem: {{type: bool, default: true}}
  tail: {{type: bool, default: true}}
  times: {{type: int, default: 1}}
  classes: {{type: int, default: 10, keep: true}}
  others: {{type: int, default: 20}}
let: {{wide: width > 1, one: 1 if tail else true}}
{CONV_BN}network:
  - {{block: dropout, rate: 0.5, when: wide}}
  - columns: [block, out, when]
    rows:
      - [conv_bn, 4, not wide]
      - [conv_bn, 8, stem]
      - [conv_bn, round_channels(8 * width), true]
      - [conv_bn, 8 + 8 * repeat.index, true]
      - [conv_bn, floor(x.channels * width), true]
      - [conv_bn, 8 + table.count, true]
      - [conv_bn, 8 + table.index, true]
      - [conv_bn, x.channels * one, stem]
      - [conv_bn, 8, tail]
    set: {{repeat: times, act: relu}}
  - {{block: global_avg_pool2d}}
  - {{block: dense, units: classes + others}}
"""
GIVEN = [
    {"width": width, "stem": stem, "tail": tail, "times": times, "classes": n, "others": 30 - n}
    for width in (1.0, 1.25, 3.0)
    for stem in (True, False)
    for times in (1, 2)
    for tail in (True, False)
    for n in (10, 20)
]


@pytest.mark.parametrize("order", [1, -1])
def test_variants_are_what_each_is_alone(net: Compile, order: int) -> None:
    def said(given: Mapping[str, object]) -> str | list[str]:
        try:
            return printer.text(net(VARIANTS, given))
        except SpecError as error:
            return [str(each) for each in error.problems]

    alone = []
    for given in GIVEN:
        elaborator._elaborator.cache_clear()
        alone.append(said(given))
    assert {type(each) for each in alone} == {str, list}
    elaborator._elaborator.cache_clear()
    assert [said(given) for given in GIVEN[::order]] == alone[::order]


# --------------------------------------------------------------------------------- kept parameters

KEPT = "params: {n: {type: int, default: 10, keep: true}, k: {type: int, default: 2}}\n"


def test_a_kept_parameter_is_spelled_out_where_it_goes(net: Compile) -> None:
    found = net(
        KEPT + "network:\n"
        "  - {block: conv2d, name: a, filters: k * n, kernel: 1}\n"
        "  - {block: batch_norm}\n"
    )
    n, k = ex.Name("n", found.rows[0].place), ex.Literal(2, found.rows[0].place)
    product = ex.Binary("*", k, n, found.rows[0].place)
    assert found.rows[0].spelled == {"filters": product}
    assert [row.channels for row in found.rows] == [(None,), (product,)]
    assert [parameter.name for parameter in found.kept] == ["n"]
    assert found.output.channels == 20


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("defaults: {dropout: {rate: 1 / n}}\nnetwork: [{block: identity}]\n", "1 / n"),
        (
            "blocks: {b: {params: {out: int}, let: {half: out // 2},"
            " steps: [{y: 'conv2d(x, half, kernel=1)'}]}}\nnetwork: [{block: b, out: 2 * n}]\n",
            "2 * n",
        ),
        (
            "network: [{block: conv2d, name: a, filters: n, kernel: 1},"
            " {block: conv2d, name: b, filters: x.channels, kernel: 1}]\n",
            "x.channels",
        ),
    ],
)
def test_what_must_be_known_cannot_depend_on_a_kept_parameter(
    net: Compile, text: str, cell: str
) -> None:
    found = problem(net, KEPT + text)
    assert (found.code, blamed(found)) == ("E024", cell)


# ------------------------------------------------------------------------------------------- blame

OUTER = """\
blocks:
  outer:
    params: {size: int, width: int}
    steps:
      - a: inner(x, size, width)
  inner:
    params: {kernel: int, out: int}
    steps:
      - y: conv2d(x, out, kernel=kernel, padding=valid)
      - z: y + x
network:
  - columns: [block, size, width]
    rows:
      - [outer, 1, 4]
      - [outer, %s]
"""


@pytest.mark.parametrize(
    ("cells", "code", "cell"),
    [
        ("30, 4", "E041", "30"),
        ("1, 2 - 2", "E035", "2 - 2"),
        ("1, 5", "E040", "outer"),
    ],
)
def test_the_user_s_cell_is_blamed_for_what_it_does_far_below(
    net: Compile, cells: str, code: str, cell: str
) -> None:
    found = problem(net, OUTER % cells)
    assert (found.code, blamed(found)) == (code, cell)
    assert found.place.line == HEAD.count("\n") + OUTER.count("\n")
    ((remark, below),) = found.related
    assert remark == "in its block"
    assert below.line in (HEAD.count("\n") + 9, HEAD.count("\n") + 10)


def test_the_rows_after_a_failing_one_are_still_checked(net: Compile) -> None:
    text = (
        "params: {zero: {type: int, default: 0}}\n"
        "network:\n"
        "  - {block: conv2d, name: a, filters: 4, kernel: 9, padding: valid}\n"
        "  - {block: conv2d, name: b, filters: x.channels, kernel: zero}\n"
        "  - {block: conv2d, name: c, filters: zero, kernel: 9, padding: valid}\n"
    )
    with pytest.raises(SpecError) as raised:
        net(text)
    found = [(problem.code, blamed(problem)) for problem in raised.value.problems]
    assert found == [("E041", "9"), ("E035", "zero"), ("E035", "zero")]


def test_problems_come_in_reading_order_the_user_s_own_first(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "archc: 1\nblocks:\n  b:\n    steps: [{y: 'conv2d(x, foo, kernel=1)'}]\n"
    )
    (tmp_path / "net.yaml").write_text(
        f"{HEAD}use: [a.yaml]\n"
        "network:\n  - {block: b, strid: 1}\n  - {block: c}\n"
        "blocks:\n  d:\n    steps: [{y: 'conv2d(x, bar, kernl=1)'}]\n"
    )
    with pytest.raises(SpecError) as raised:
        compile_network(tmp_path / "net.yaml")
    places = [(Path(p.place.source.name).stem, p.place.line) for p in raised.value.problems]
    assert places == [("net", 6), ("net", 7), ("net", 10), ("net", 10), ("a", 4)]


# ------------------------------------------------------------------------------------------ growth


def work(rows: int, compiled: Compile) -> int:
    """How many calls of functions it takes to compile a table of so many rows."""
    lines = "".join(f"      - [conv_bn, {8 + i % 7}, relu]\n" for i in range(rows))
    text = f"{CONV_BN}network:\n  - columns: [block, out, act]\n    rows:\n{lines}"
    text += "    set: {out: round_channels(2 * out)}\n"
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        network = compiled(text)
        analysis.totals(network)
    finally:
        sys.setprofile(before)
    assert len(network.rows) == rows
    return calls


def test_work_grows_with_the_rows(net: Compile) -> None:
    assert work(3_000, net) <= 11 * work(300, net)
