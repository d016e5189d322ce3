"""A resolved spec is one flat file that comes to the same network."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import archc
from archc import Net, SpecError
from archc.compiler.language.initializers import FUNCTIONS
from archc.compiler.language.problems import Source
from archc.compiler.printed.resolve import resolve
from archc.compiler.spec.reader import read

from . import zoo
from .test_variants import edits

ROOT = Path(__file__).parents[1]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
EMITTED = sorted((ROOT / "tests" / "emitted").glob("*.yaml"))

CASES: list[tuple[Path, dict[str, Any]]] = [
    *((path, {}) for path in (*SPECS, *EMITTED)),
    (ROOT / "specs" / "mnv3_large.yaml", {"alpha": 0.75, "padding": "symmetric"}),
    (ROOT / "specs" / "mnv3_large.yaml", {"alpha": 1.25, "preprocess": True, "epsilon": 1e-5}),
    (ROOT / "specs" / "mnv3_small.yaml", {"alpha": "1 / 3", "classes": 7, "dropout": "1 / 3"}),
    (ROOT / "specs" / "mnv3_large_minimalistic.yaml", {"alpha": 0.75}),
    (
        ROOT / "specs" / "mobilenet_v1.yaml",
        {"alpha": 0.35, "act": "none", "padding": "[0, 1, 0, 1]"},
    ),
    (ROOT / "specs" / "mobilenet_v1_cifar.yaml", {"act": "mish"}),
    (ROOT / "specs" / "mobilenet_v1.yaml", {"act": "frelu", "alpha": 0.5}),
    (ROOT / "specs" / "lenet_cifar.yaml", {"act": "frelu"}),
    (ROOT / "specs" / "mnv3_small.yaml", {"include_top": False}),
    (ROOT / "specs" / "nasnet_a_large.yaml", {"cells": 1, "penultimate_filters": 96}),
    (ROOT / "specs" / "nasnet_a_cifar.yaml", {"skip_reduction": True}),
]


def resolved(spec: Path, folder: Path, given: Mapping[str, object] | None = None) -> Net:
    """The network of the resolved spec, which stands in a folder without any library."""
    path = folder / spec.name
    path.write_text(resolve(spec, given), encoding="utf-8")
    return archc.load(path)


def body(source: str) -> str:
    """A generated module without its first docstring, which names the settings."""
    return source.split('"""', 2)[2]


def assert_same(found: Net, expected: Net) -> None:
    assert str(found) == str(expected)
    assert (found.params, found.macs) == (expected.params, expected.macs)
    for backend in ("torch", "keras"):
        assert body(found.source(backend)) == body(expected.source(backend))


@pytest.mark.parametrize(("spec", "given"), CASES, ids=str)
def test_it_comes_to_the_same_network(spec: Path, given: dict[str, Any], tmp_path: Path) -> None:
    found = resolved(spec, tmp_path, given)
    assert_same(found, archc.load(spec, **given))
    if not given:
        assert found.source("torch") == archc.load(spec).source("torch")


@pytest.mark.parametrize(("spec", "given"), CASES, ids=str)
def test_nothing_is_left_to_work_out(spec: Path, given: dict[str, Any]) -> None:
    text = resolve(spec, given)
    keys = yaml.safe_load(text)
    assert keys.keys() <= {"archc", "name", "source", "doc", "params", "input", "inputs",
                           "defaults", "output_stride", "dilate_strided",
                           "network", "blocks"}  # fmt: skip
    kept = keys.get("params", {})
    assert all(parameter["keep"] for parameter in kept.values())
    for entry in keys["network"]:
        texts = ("name", "doc")
        rows = entry.get("rows", [[value for key, value in entry.items() if key not in texts]])
        columns = entry.get("columns", ())
        worked = [i for i, column in enumerate(columns) if column not in texts]
        rows = [[row[i] for i in worked] for row in rows] if columns else rows
        assert "set" not in entry
        assert entry.get("when", "include_top") in kept or "when" not in entry
        assert "when" not in entry.get("columns", ())
        for cell in (cell for row in rows for cell in row if isinstance(cell, str)):
            worked = cell.isidentifier() or cell.partition("(")[0] in FUNCTIONS
            assert worked or any(name in cell for name in kept), cell


@pytest.mark.parametrize(("spec", "given"), CASES, ids=str)
def test_it_is_resolved_already(spec: Path, given: dict[str, Any], tmp_path: Path) -> None:
    first = resolve(spec, given)
    (tmp_path / spec.name).write_text(first, encoding="utf-8")
    again = resolve(tmp_path / spec.name)
    rest = [line for line in first.splitlines() if not line.startswith("#")]
    assert [line.partition("  # ")[0].rstrip() for line in rest] == [
        line.partition("  # ")[0].rstrip() for line in again.splitlines()[1:]
    ]


def test_a_resolved_network() -> None:
    text = resolve(ROOT / "specs" / "mnv3_large.yaml", {"alpha": 0.75})
    lines = text.splitlines()
    assert lines[0] == "# `mnv3_large.yaml` with alpha=0.75: every number worked out."
    assert (
        "  - columns: [block,        out, kernel, expand, se,   act,        stride, tap]" in lines
    )
    assert (
        "      - [inverted_residual, 32,  5,      3,      0.25, relu,       2,      ~]"
        "   # out: round_channels(30) -> 32; reduced: round_channels(18) -> 24"
    ) in lines
    assert "  - {block: conv_bn, name: head, out: 720, act: hard_swish, tap: c5}" in lines
    assert "      - scale: x * gate" in lines


# --------------------------------------------------------------------------------- what is rounded

ROUNDED = """\
archc: 1
name: Net
params:
  a: {type: float, default: 0.3, above: 0}
  wide: {type: int, default: floor(a * 25)}
  k: {type: int, default: 3, keep: true}
let: {half: round(wide / 2), same: "max(floor(a * 10), 2)"}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, filters: "ceil(a * 25) if a < 1 else round(a * 7)", kernel: 1}
  - {block: outer, out: floor(x.channels * a), times: k}
  - {block: conv2d, name: last, filters: "round_channels(half, 5)", kernel: 1}
  - {block: conv2d, name: even, filters: "round_channels(wide + 1)", kernel: 1}
blocks:
  inner:
    params: {out: int}
    let: {small: floor(out * 1.5)}
    steps:
      - y: conv2d(x, small, kernel=1)
  outer:
    params: {out: int, times: int}
    let: {most: round(x.channels / 3)}
    steps:
      - a: inner(x, most)
      - b: conv2d(a, out, kernel=1)
      - c: rescale(b, times)
"""


def test_what_was_rounded_is_said(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(ROUNDED)
    lines = resolve(path).splitlines()
    assert lines[:3] == [
        "# `net.yaml`: every number worked out.",
        "# wide: floor(7.5) -> 7",
        "# half: round(3.5) -> 4",
    ]
    start = lines.index("network:")
    notes = [line.partition("  # ")[2] for line in lines[start + 1 : start + 5]]
    assert notes == [
        "filters: ceil(7.5) -> 8",
        "out: floor(2.4) -> 2; most: round(2.66666666666667) -> 3; a.small: floor(4.5) -> 4",
        "filters: round_channels(4, 5) -> 5",
        "",
    ]
    assert not [line for line in resolve(path, {"wide": 6}).splitlines() if "wide" in line[2:6]]


# ---------------------------------------------------------------------------------------- any text


def _is_read(text: str) -> bool:
    node, problems = read(Source("test", yaml.safe_dump({"doc": text}, allow_unicode=True)))
    return node is not None and not problems


TEXTS = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() and _is_read(text))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
@example("a: b # c")
@example("~")
@example("null")
@example("'\"")
@example("two\nlines\n\n  indented")
@example("}, {block: conv2d")
@example("\t- x")
@example("größe 画像 🙂")
def test_any_text_stays_as_it_is(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "net.yaml")
        quoted = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)
        quoted = quoted.removesuffix("\n")
        path.write_text(
            f"archc: 1\nname: Net\nsource: {quoted}\ndoc: {quoted}\n"
            f"params: {{k: {{type: int, default: 1, keep: true, doc: {quoted}}}}}\n"
            "input: {channels: 3, height: 8, width: 8}\n"
            f"blocks:\n  b:\n    doc: {quoted}\n"
            f"    params: {{p: {{type: int, default: 2, doc: {quoted}}}}}\n"
            "    steps: [{y: identity(x)}]\n"
            "network: [{block: b, p: k}]\n",
            encoding="utf-8",
        )
        keys = yaml.safe_load(resolve(path))
        assert [keys["source"], keys["doc"], keys["params"]["k"]["doc"]] == [text] * 3
        assert [keys["blocks"]["b"]["doc"], keys["blocks"]["b"]["params"]["p"]["doc"]] == [text] * 2
        folder = Path(name, "again")
        folder.mkdir()
        assert_same(resolved(path, folder), archc.load(path))


ODD_NAMES = """\
archc: 1
name: null
params:
  null: {type: int, default: 4, keep: true}
  on: {type: float, default: 1e-7, keep: true}
  y: {type: "float?", max: 1, keep: true}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: 'null', name: yes, no: 'null'}
  - {block: rescale, scale: on * 1.0000000000000002 + 0.1}
  - {name: off, columns: [block, out], rows: [[small, 1], [small, 2]]}
blocks:
  null:
    params: {no: int}
    steps:
      - y: conv2d(x, no, 1)
  small:
    params: {out: int, kernel: {type: size, default: 1, doc: ~}}
    steps:
      - n: conv2d(x, out, kernel)
      - y: conv2d(n, out, kernel)
        when:
"""


def test_names_that_yaml_takes_for_something_else(tmp_path: Path) -> None:
    path, folder = tmp_path / "net.yaml", tmp_path / "again"
    path.write_text(ODD_NAMES)
    folder.mkdir()
    assert_same(resolved(path, folder), archc.load(path))


def test_a_parameter_that_hides_a_word_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "archc: 1\nname: Net\nparams: {act: {type: activation, default: relu}, "
        "relu: {type: int, default: 1, keep: true}}\n"
        "input: {channels: 3, height: 8, width: 8}\n"
        "network: [{block: activation, act: act}, {block: rescale, scale: relu}]\n"
    )
    assert "act=relu" in str(archc.load(path))
    with pytest.raises(SpecError, match="E015 the parameter `relu` hides the word `relu`"):
        resolve(path)


FLOATS = """\
archc: 1
name: Net
params:
  n: {type: int, default: 2, keep: true}
  q: {type: float, default: 2, min: 1, keep: true}
  k: {type: size, default: 3, keep: true}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: rescale, scale: n * 1.0, offset: q * 2.0}
  - {block: dropout, rate: 0.5 if n > 1.0 else 0.0}
  - {block: conv2d, filters: n * (2 if q == 2.0 else 3), kernel: 1}
"""


def test_whole_numbers_of_the_type_float_stay_floats(tmp_path: Path) -> None:
    """`n * 1` would be a whole number, and other code."""
    path, folder = tmp_path / "net.yaml", tmp_path / "again"
    path.write_text(FLOATS)
    folder.mkdir()
    assert_same(resolved(path, folder), archc.load(path))
    assert "scale: n * 1.0, offset: q * 2.0}" in resolve(path)
    assert "q: {type: float, default: 2.0, min: 1, keep: true}" in resolve(path)


# ------------------------------------------------------------------------------ any op, any change


@pytest.mark.parametrize("form", ["row", "free", "spec_wide"])
def test_every_argument_of_every_op(form: str, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    for index, case in enumerate(case for case in zoo.CASES if zoo.fits(case, form)):
        path = tmp_path / f"zoo{index}.yaml"
        path.write_text(zoo.spec(case, form, 12, 9))
        assert str(resolved(path, tmp_path / "again")) == str(archc.load(path)), case


@settings(max_examples=50, deadline=None)
@given(edits())
def test_any_variant(edited: tuple[str, str, str]) -> None:
    base, changes, _ = edited
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "base.yaml").write_text(base)
        path = folder / "net.yaml"
        path.write_text(
            "archc: 1\nextends: base.yaml\n" + (f"change:\n{changes}" if changes else "")
        )
        (folder / "again").mkdir()
        assert_same(resolved(path, folder / "again"), archc.load(path))
