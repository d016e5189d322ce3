"""Specs that extend others: their changes come to what the same edits by hand come to."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archc
from archc import Net, SpecError
from archc.compiler.language.problems import render
from archc.compiler.spec.load import SHIPPED

BASE = """\
archc: 1
name: Net
use: [blocks/mobilenet.yaml]
params:
  alpha: {type: float, default: 0.75, above: 0}
  act: {type: activation, default: mish}
input: {channels: 3, height: 32, width: 32}
network:
  - {block: conv_bn, name: stem, out: 16, kernel: 3, act: hard_swish}
  - columns: [block,          out, kernel, act,        stride]
    rows:
      - [conv_bn,             24,  3,      relu,       1]
      - [conv_bn,             40,  5,      hard_swish, 2]
      - [depthwise_separable, 32,  ~,      relu,       1]
      - {block: conv_bn, out: 64, act: act}
      - [conv_bn,             8,   1,      none,       1]
    set: {out: round_channels(out * alpha)}
  - {block: conv_bn, name: head, out: 96, act: hard_swish}
  - {block: pooled_classifier, name: classifier, classes: 10, dropout: 0.2}
"""


def compiled(folder: Path, text: str, **given: Any) -> Net:
    folder.mkdir(exist_ok=True)
    (folder / "net.yaml").write_text(text)
    return archc.load(folder / "net.yaml", include=folder.parent, **given)


def variant(folder: Path, changes: str, base: str = BASE, more: str = "", **given: Any) -> Net:
    (folder / "base.yaml").write_text(base)
    text = f"archc: 1\nextends: ../base.yaml\n{more}change:\n{changes}"
    return compiled(folder / "variant", text, **given)


def assert_same(found: Net, expected: Net) -> None:
    """The same network, down to the last character of what is generated."""
    assert str(found) == str(expected)
    for backend in ("torch", "keras"):
        assert found.source(backend) == expected.source(backend)


STEM = "{block: conv_bn, name: stem, out: 16, kernel: 3, act: hard_swish}"
ROWS = (
    "[conv_bn,             24,  3,      relu,       1]",
    "[conv_bn,             40,  5,      hard_swish, 2]",
    "[depthwise_separable, 32,  ~,      relu,       1]",
    "{block: conv_bn, out: 64, act: act}",
    "[conv_bn,             8,   1,      none,       1]",
)
HEAD = "{block: conv_bn, name: head, out: 96, act: hard_swish}"
NEW = "[conv_bn, 48, 3, relu, 1]"

BY_HAND: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "an argument of a row": (
        "{at: head, set: {out: 80}}",
        ((HEAD, HEAD.replace("96", "80")),),
    ),
    "an argument more": (
        "{at: head, set: {kernel: 5}}",
        ((HEAD, HEAD.replace("}", ", kernel: 5}")),),
    ),
    "an argument less": (
        "{at: stem, set: {kernel: ~}}",
        ((STEM, STEM.replace(" kernel: 3,", "")),),
    ),
    "none is a value": (
        "{at: blocks.0, set: {act: none}}",
        ((ROWS[0], ROWS[0].replace("relu", "none")),),
    ),
    "a block": (
        "{at: head, set: {block: depthwise_separable}}",
        ((HEAD, HEAD.replace("conv_bn", "depthwise_separable")),),
    ),
    "a block and its name": (
        "{at: [head], set: {block: identity, name: tail, out: ~, act: ~}}",
        ((HEAD, "{block: identity, name: tail}"),),
    ),
    "a cell, which the table's set is worked into": (
        "{at: blocks.1, set: {out: 88}}",
        ((ROWS[1], ROWS[1].replace("40", "88")),),
    ),
    "what is no column": (
        "{at: blocks.3, set: {kernel: 3, when: alpha > 1}}",
        ((ROWS[3], ROWS[3].replace("}", ", kernel: 3, when: alpha > 1}")),),
    ),
    "a column where it says something": (
        "{where: act == hard_swish, set: {act: swish}}",
        tuple((row, row.replace("hard_swish", "swish")) for row in (STEM, ROWS[1], HEAD)),
    ),
    "a column within a table": (
        "{at: blocks, where: act == hard_swish, set: {act: swish}}",
        ((ROWS[1], ROWS[1].replace("hard_swish", "swish")),),
    ),
    "a cell that gives nothing": (
        "{where: kernel == none, set: {stride: 2}}",
        ((ROWS[2], ROWS[2].replace("1]", "2]")),),
    ),
    "a cell that names a parameter": (
        "{where: act == act, set: {act: elu}}",
        ((ROWS[3], ROWS[3].replace("act: act", "act: elu")),),
    ),
    "a number on the left": (
        "{where: not (out < 96 or block == none) and 90 < out, set: {act: elu}}",
        ((HEAD, HEAD.replace("hard_swish", "elu")),),
    ),
    "a condition of two columns": (
        "{where: out > 20 and kernel != 5, set: {stride: 2}}",
        (
            (ROWS[0], ROWS[0].replace("1]", "2]")),
            (ROWS[2], ROWS[2].replace("1]", "2]")),
        ),
    ),
    "rows by their block": (
        "{where: block == depthwise_separable, set: {act: none}}",
        ((ROWS[2], ROWS[2].replace("relu", "none")),),
    ),
    "a row removed": ("{remove: blocks.1}", ((f"      - {ROWS[1]}\n", ""),)),
    "rows removed": (
        "{remove: [blocks.4, stem]}",
        ((f"      - {ROWS[4]}\n", ""), (f"  - {STEM}\n", "")),
    ),
    "a row before": (
        f"{{before: blocks.0, insert: [{NEW}]}}",
        ((ROWS[0], f"{NEW}\n      - {ROWS[0]}"),),
    ),
    "rows after": (
        f"{{after: blocks.3, insert: [{NEW}, {ROWS[3]}]}}",
        ((ROWS[3], f"{ROWS[3]}\n      - {NEW}\n      - {ROWS[3]}"),),
    ),
    "a row after a row": (
        "{after: stem, insert: [{block: add, from: [-1, -1]}]}",
        ((STEM, f"{STEM}\n  - {{block: add, from: [-1, -1]}}"),),
    ),
    "a table after a table": (
        "{after: blocks, insert: [{name: more, columns: [block, out], rows: [[conv_bn, 8]]}]}",
        ((HEAD, f"{{name: more, columns: [block, out], rows: [[conv_bn, 8]]}}\n  - {HEAD}"),),
    ),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_a_change_is_an_edit_by_hand(what: str, tmp_path: Path) -> None:
    change, edits = BY_HAND[what]
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    found, expected = variant(tmp_path, f"  - {change}\n"), compiled(tmp_path / "hand", text)
    assert str(expected) != str(compiled(tmp_path / "hand", BASE))
    assert_same(found, compiled(tmp_path / "hand", text))


def test_a_whole_table_gets_what_its_set_gave(tmp_path: Path) -> None:
    base = BASE.replace("    set: {", "    set: {stride: 1, ")
    found = variant(tmp_path, "  - {at: blocks, set: {stride: 2}}\n", base)
    hand = base.replace("{stride: 1", "{stride: 2").replace("act: act}", "act: act, stride: 2}")
    assert_same(found, compiled(tmp_path / "hand", hand))
    found = variant(tmp_path, "  - {at: blocks, set: {stride: ~}}\n", base)
    plain = BASE.replace("hard_swish, 2]", "hard_swish, 1]")
    assert_same(found, compiled(tmp_path / "hand", plain))


def test_a_whole_table_gets_the_keys_that_its_set_gave(tmp_path: Path) -> None:
    base = BASE.replace("alpha)}\n", "alpha), repeat: 2}\n")
    found = variant(tmp_path, "  - {at: blocks, set: {repeat: 3}}\n", base)
    assert_same(found, compiled(tmp_path / "hand", base.replace("repeat: 2", "repeat: 3")))


def test_a_table_that_loses_all_rows_is_gone(tmp_path: Path) -> None:
    table = BASE[BASE.index("  - columns") : BASE.index("  - {block: conv_bn, name: head")]
    expected = compiled(tmp_path / "hand", BASE.replace(table, ""))
    every = ", ".join(f"blocks.{number}" for number in range(5))
    assert_same(variant(tmp_path, f"  - {{remove: [{every}]}}\n"), expected)
    assert_same(variant(tmp_path, "  - {remove: blocks}\n"), expected)


def test_rows_go_by_what_the_base_calls_them(tmp_path: Path) -> None:
    changes = (
        "  - {remove: blocks.0}\n"
        f"  - {{after: blocks.1, insert: [{NEW}]}}\n"
        "  - {at: blocks.1, set: {out: 16}}\n"
        "  - {at: head, set: {name: tail}}\n"
        "  - {at: head, set: {out: 24}}\n"
        "  - {after: blocks.0, insert: [[conv_bn, 56, 3, relu, 1]]}\n"
        f"  - {{after: blocks.1, insert: [{NEW.replace('48', '72')}]}}\n"
    )
    second = ROWS[1].replace("40", "16")
    text = BASE.replace(ROWS[0], "[conv_bn, 56, 3, relu, 1]")
    text = text.replace(ROWS[1], f"{second}\n      - {NEW}\n      - {NEW.replace('48', '72')}")
    text = text.replace(HEAD, HEAD.replace("head", "tail").replace("96", "24"))
    assert_same(variant(tmp_path, changes), compiled(tmp_path / "hand", text))


def test_a_condition_sees_what_changes_above_it_made(tmp_path: Path) -> None:
    changes = (
        "  - {where: kernel == 5, set: {kernel: 7}}\n  - {where: kernel == 7, set: {act: tanh}}\n"
    )
    rows = [line for line in str(variant(tmp_path, changes)).splitlines() if line[0] != " "]
    assert [row.split()[0] for row in rows if "act=tanh" in row] == ["blocks.1"]


def test_a_variant_of_a_variant_speaks_of_the_changed_rows(tmp_path: Path) -> None:
    variant(
        tmp_path, "  - {remove: blocks.0}\n  - {at: blocks.1, set: {act: relu}}\n", more="name: A\n"
    )
    text = (
        "archc: 1\nname: Net\nextends: net.yaml\nset: {alpha: 1}\nchange:\n"
        "  - {at: blocks.0, set: {out: 56}}\n  - {where: act == relu, set: {act: elu}}\n"
    )
    (tmp_path / "variant" / "second.yaml").write_text(text)
    found = archc.load(tmp_path / "variant" / "second.yaml", include=tmp_path)
    hand = BASE.replace(f"      - {ROWS[0]}\n", "").replace("0.75, above", "1, above")
    hand = hand.replace(ROWS[1], ROWS[1].replace("40", "56").replace("hard_swish", "elu"))
    hand = hand.replace(ROWS[2], ROWS[2].replace("relu", "elu"))
    assert str(found) == str(compiled(tmp_path / "hand", hand))


def test_a_row_without_a_name_goes_by_its_block(tmp_path: Path) -> None:
    base = BASE.replace(
        HEAD, "{block: identity}\n  - {block: add, name: sum, from: [identity, -1]}"
    )
    found = variant(
        tmp_path, "  - {at: identity, set: {block: batch_norm, name: identity}}\n", base
    )
    assert "identity = batch_norm(" in str(found)
    with pytest.raises(SpecError, match="E061 the row `identity` cannot be renamed"):
        variant(tmp_path, "  - {at: identity, set: {block: batch_norm}}\n", base)


def test_a_setting_reaches_what_a_change_says(tmp_path: Path) -> None:
    changes = "  - {at: head, set: {out: round_channels(200 * alpha), act: act}}\n"
    for alpha in (0.5, 1.0):
        found = variant(tmp_path, changes, alpha=alpha, act="gelu")
        assert (
            f"head = conv_bn(blocks.4, out={int(200 * alpha) // 8 * 8 + 4 * (alpha == 0.5):.0f}, "
        )
    head = [line for line in str(found).splitlines() if line.startswith("head")]
    assert head == [
        "head = conv_bn(blocks.4, out=200, kernel=1, stride=1, act=gelu, groups=1, bias=false,"
        " scale=ones) -> 200x16x16"
    ]


def test_a_base_is_as_it_was(tmp_path: Path) -> None:
    before = str(compiled(tmp_path / "base", BASE))
    (tmp_path / "base.yaml").write_text(BASE)
    variant(tmp_path, "  - {at: blocks, set: {stride: 2}}\n  - {remove: head}\n")
    assert str(archc.load(tmp_path / "base.yaml")) == before


# ------------------------------------------------------------------------------------------ blocks

GATE = """\
blocks:
  squeeze_excite:
    replace: true
    doc: One weight for each channel, learned from its mean.
    params: {reduced: int}
    steps:
      - pool: global_avg_pool2d(x, keepdims=true)
      - gate: activation(pool, sigmoid)
      - scale: x * gate
"""


def test_a_block_takes_the_place_of_the_one_that_blocks_call(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"archc: 1\nextends: mnv3_small.yaml\n{GATE}")
    library = (SHIPPED / "blocks" / "mobilenet.yaml").read_text()
    start, end = library.index("  squeeze_excite:"), library.index("  inverted_residual:")
    own = GATE.removeprefix("blocks:\n").replace("    replace: true\n", "")
    (tmp_path / "lib.yaml").write_text(library[:start] + own + "\n" + library[end:])
    network = (SHIPPED / "mnv3_small.yaml").read_text().replace("blocks/mobilenet", "lib")
    # What its base's source says is not said of it.
    said = "source: 'a variant of MobileNetV3Small: "
    network = re.sub("^source: (.*)$", rf"{said}\1'", network, flags=re.MULTILINE)
    expected = compiled(tmp_path / "hand", network.replace("lib.yaml", "../lib.yaml"))
    assert_same(archc.load(path), expected)


def test_a_block_may_be_replaced_without_extending(tmp_path: Path) -> None:
    own = "  conv_bn:\n    replace: true\n    params:\n      out: int\n"
    own += "      kernel: {type: int, default: 1}\n      stride: {type: int, default: 1}\n"
    own += "      act: {type: activation, default: none}\n"
    own += "    steps:\n      - conv: conv2d(x, out, kernel, stride)\n"
    net = compiled(tmp_path / "own", f"{BASE}blocks:\n{own}")
    assert "bn" not in {
        layer.path.rpartition(".")[2] for layer in net.layers if "stem" in layer.path
    }


def test_the_last_of_a_chain_of_replacements_counts(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(f"archc: 1\nname: First\nextends: mnv3_small.yaml\n{GATE}")
    text = f"archc: 1\nname: Second\nextends: first.yaml\n{GATE.replace('sigmoid', 'hard_sigmoid')}"
    (tmp_path / "second.yaml").write_text(text)
    for name, gate in (("first", "act=sigmoid"), ("second", "act=hard_sigmoid")):
        assert gate in str(archc.load(tmp_path / f"{name}.yaml"))


# ---------------------------------------------------------------------- any series of changes

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "out": ("8", "16", "24", "floor(20 * alpha)"),
    "kernel": ("~", "1", "3", "5"),
    "act": ("~", "none", "relu", "hard_swish", "act"),
    "stride": ("~", "1", "2"),
}
TABLE = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")
ALONE = ("stem", "head")
Row = dict[str, str]


@dataclass
class _Model:
    """A network as lists of rows, edited by hand; rows are labelled as the base calls them."""

    rows: dict[str, Row]
    before: dict[str, list[Row]] = field(default_factory=dict)
    after: dict[str, list[Row]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def around(self, label: str) -> list[Row]:
        own = [] if label in self.removed else [self.rows[label]]
        return [*self.before.get(label, []), *own, *self.after.get(label, [])]

    def left(self) -> list[str]:
        return [label for label in self.rows if label not in self.removed]

    def text(self) -> str:
        table = [row for label in TABLE for row in self.around(label)]
        lines = [f"  - {_mapping(row)}" for row in self.around("stem")]
        if table:
            lines += [f"  - columns: [block, {', '.join(COLUMNS)}]", "    rows:"]
            lines += [f"      - {_cells(row)}" for row in table]
            lines += ["    set: {out: round_channels(out * alpha)}"]
        lines += [f"  - {_mapping(row)}" for row in self.around("head")]
        return BASE[: BASE.index("network:")] + "network:\n" + "\n".join(lines) + "\n"


def _mapping(row: Row) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in row.items())}}}"


def _cells(row: Row) -> str:
    return f"[conv_bn, {', '.join(row[column] for column in COLUMNS)}]"


ROW = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in COLUMNS.items()})
PATCH = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in COLUMNS.items()}
).filter(lambda patch: patch and patch.get("out") != "~")


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str, str]:
    """A base, changes of it, and what the same edits by hand make of it."""
    model = _Model({label: draw(ROW) for label in ("stem", *TABLE, "head")})
    for label in ALONE:
        model.rows[label] = {"block": "conv_bn", "name": label, **model.rows[label]}
    base, changes, inserted = model.text(), [], 0
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(("at", "table", "where", "remove", "before", "after")))
        if kind in ("at", "table", "where"):
            changes += _set(draw, model, kind)
        elif kind == "remove" and len(model.left()) > 1:
            label = draw(st.sampled_from(model.left()))
            model.removed.add(label)
            changes.append(f"{{remove: {label}}}")
        elif kind in ("before", "after"):
            inserted += 1
            changes.append(_insert(draw, model, kind, inserted))
    lines = "".join(f"  - {change}\n" for change in changes)
    return base, lines, model.text()


def _set(draw: st.DrawFn, model: _Model, kind: str) -> list[str]:
    patch, left = draw(PATCH), model.left()
    where, labels = f"at: {left[0]}", left[:1]
    if kind == "at":
        labels = draw(st.lists(st.sampled_from(left), min_size=1, unique=True))
        where = f"at: [{', '.join(labels)}]"
    elif kind == "table" and any(label in TABLE for label in left):
        labels, where = [label for label in left if label in TABLE], "at: blocks"
    elif kind == "where":
        column = draw(st.sampled_from([*COLUMNS]))
        value = draw(st.sampled_from([model.rows[label][column] for label in left]))
        labels = [label for label in left if model.rows[label][column] == value]
        where = f"where: {column} == {'none' if value == '~' else value}"
        if column == "act" and value in ("~", "none"):
            labels = [x for x in left if model.rows[x]["act"] in ("~", "none")]
    for label in labels:
        model.rows[label] |= patch
    return [f"{{{where}, set: {_mapping(patch)}}}"]


def _insert(draw: st.DrawFn, model: _Model, side: str, number: int) -> str:
    label, row = draw(st.sampled_from([*model.rows])), draw(ROW)
    text = _cells(row)
    if label in ALONE:
        row = {"block": "conv_bn", "name": f"new_{number}", **row}
        text = _mapping(row)
    getattr(model, side).setdefault(label, []).append(row)
    return f"{{{side}: {label}, insert: [{text}]}}"


@settings(max_examples=100, deadline=None)
@given(edits())
def test_any_series_of_changes_is_the_same_edits_by_hand(edited: tuple[str, str, str]) -> None:
    base, changes, by_hand = edited
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = compiled(folder / "hand", by_hand)
        found = variant(folder, changes, base) if changes else compiled(folder / "base", base)
        assert str(found) == str(expected)
        assert found.source("torch") == expected.source("torch")


# ------------------------------------------------------------------------------------- nonsense


def test_too_many_changes_are_refused(tmp_path: Path) -> None:
    change, start = "  - {at: stem, set: {out: 8}}\n", time.perf_counter()
    with pytest.raises(SpecError, match="E044 changes times rows come to more than 131,072"):
        variant(tmp_path, change * 15_000)
    assert time.perf_counter() - start < 60


ROWS_NAMED = ("stem", "blocks", "blocks.1", "blocks.9", "head", "second", "nope", "[stem, head]")
CONDITIONS = (
    "act == relu", "kernel > act", "out", "not se", "out / 0 == 1", "x.channels == 3", "1",
    "'foo(out) == 1'", "'max(out, 3) == 4'", "block == name", "(kernel if out else 3) == 3", "~",
)  # fmt: skip
VALUES = ("3", "~", "none", "relu", "act", "out * 2", "8 / 0", "'[1, 2]'", "conv_bn", "-1", "''")
KEYS = ("out", "kernel", "act", "block", "name", "from", "when", "repeat", "zzz")
INSERTED = (
    "[conv_bn, 3]", "[conv_bn, 8, 3, relu, 1]", "{block: identity}", "{out: 3}", "[]", "zz",
    "{columns: [block, out], rows: [[conv_bn, 8]]}",
)  # fmt: skip
BROKEN = """\
archc: 1
use: [blocks/mobilenet.yaml]
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv_bn, name: stem, out: 8}
  - columns: [block, out, kernel, kernel]
    rows: [[conv_bn, 8, 3], [3 + 4, 8, 3, ~], [conv_bn, 8 / 0, 3, 1]]
  - columns: [out, name]
    rows: [[8, 7], {block: conv_bn, name: second, out: 8}]
  - columns: [block, name, out]
    rows: [[conv_bn, ~, 8], [conv_bn, second, 8], [~, third, 8]]
  - {block: conv_bn, name: stem, out: 8, from: second}
"""
NAMED = st.sampled_from(ROWS_NAMED)
PATCHES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3).map(_mapping)
NONSENSE = st.one_of(
    st.builds("{{at: {}, set: {}}}".format, NAMED, PATCHES),
    st.builds("{{where: {}, set: {}}}".format, st.sampled_from(CONDITIONS), PATCHES),
    st.builds("{{remove: {}}}".format, NAMED),
    st.builds(
        "{{{}: {}, insert: [{}]}}".format,
        st.sampled_from(("before", "after")),
        NAMED,
        st.sampled_from(INSERTED),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([BASE, BROKEN]), st.lists(NONSENSE, min_size=1, max_size=4))
def test_what_does_not_fit_is_a_problem_and_no_traceback(base: str, changes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            variant(Path(folder), "".join(f"  - {change}\n" for change in changes), base)
        except SpecError as error:
            for problem in error.problems:
                assert render(problem)


MOVED = """\
archc: 1
name: Variant
extends: net.yaml
change:
  - {at: blocks.2, was: {WAS}, set: {act: mish}}
"""


def test_a_base_that_gains_a_row_is_noticed_with_the_was_that_a_warning_gives(
    tmp_path: Path,
) -> None:
    """And the number counts each repeat above, as paths do."""
    (tmp_path / "net.yaml").write_text(BASE)
    path = tmp_path / "variant.yaml"
    path.write_text(MOVED.replace(", was: {WAS}", ""))
    (warning,) = archc.load(path).warnings
    was = re.findall(r"`was: {(.*)}`", warning.hint or "")
    assert warning.code == "W008"
    assert len(was) == 1
    path.write_text(MOVED.replace("WAS", was[0]))
    net = archc.load(path)
    assert not net.warnings
    changed = next(row for row in net.network.rows if row.call.name == "blocks.2")
    assert str(changed.call.body.arguments["act"]) == "mish"
    more = ROWS[2].replace("32", "48")  # like the row that is meant, but for what is set of it
    (tmp_path / "net.yaml").write_text(BASE.replace(ROWS[2], f"{more}\n      - {ROWS[2]}"))
    with pytest.raises(SpecError) as caught:
        archc.load(path)
    assert [problem.code for problem in caught.value.problems] == ["E061"]
