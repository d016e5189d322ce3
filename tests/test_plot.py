"""Figures of networks: the same bytes each time, well formed, each row there, none over another."""

import contextlib
import io
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archc import load
from archc.cli import main
from archc.figures.boxes import MOST, clipped, figure, filled, wide
from archc.figures.graph import NoInside, of_inside, of_rows
from archc.figures.layout import laid_out
from archc.figures.mermaid import escaped, text
from archc.figures.svg import document

SPECS = Path(__file__).parents[1] / "specs"
SHOWN = (
    "mnv3_small",
    "nasnet_a_mobile",
    "resnet50",
    "googlenet",
    "lraspp_mnv3_large",
    "shufflenet_v2",
)
SVG = "{http://www.w3.org/2000/svg}"


def net(name: str, **settings: object):
    return load(SPECS / f"{name}.yaml", **settings)


def shipped() -> list[str]:
    return [name for name in SHOWN if (SPECS / f"{name}.yaml").exists()]


@pytest.mark.parametrize("name", shipped())
def test_every_row_is_there_once(name: str) -> None:
    network = net(name)
    root = ElementTree.fromstring(document(of_rows(network, fold=False)))
    drawn = [g.get("data-name") for g in root.iter(f"{SVG}g")]
    assert [row for row in drawn if row in {b.path for b in network.blocks}] == [
        block.path for block in network.blocks
    ]


@pytest.mark.parametrize("name", shipped())
def test_no_box_is_over_another_nor_outside(name: str) -> None:
    for graph in (of_rows(net(name)), of_inside(net(name), net(name).blocks[3].path)):
        found = figure(graph)
        for a, b in combinations(found.boxes, 2):
            beside = a.x + a.width <= b.x or b.x + b.width <= a.x
            assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y
        for box in found.boxes:
            assert 0 <= box.x <= box.x + box.width <= found.layout.width + 0.01
            assert 0 <= box.y <= box.y + box.height <= found.layout.height + 0.01


@pytest.mark.parametrize("name", shipped())
def test_no_line_runs_through_a_box(name: str) -> None:
    found = figure(of_rows(net(name)))
    for piece in found.layout.pieces:
        for x, y in (piece.bend, piece.top):
            for box in found.boxes:
                inside = box.x + 1 < x < box.x + box.width - 1
                assert not (inside and box.y + 1 < y < box.y + box.height - 1)


def test_lines_lead_from_what_feeds_to_what_is_fed() -> None:
    graph = of_rows(net("nasnet_a_mobile"))
    names = [node.name for node in graph.nodes]
    fed = [(names[a], names[b]) for a, b in graph.edges]
    assert ("stem", "stem_1") in fed
    assert [a for a, b in fed if b == "cells_1.1"] == ["cells_1.0", "stem_2"]
    assert [a for a, b in fed if b == "reduction_1"] == ["cells_1.3", "cells_1.2"]


def test_equal_rows_are_one_box_only_where_nothing_else_takes_from_them() -> None:
    nodes = of_rows(net("resnet50")).nodes
    assert [(n.title, n.times) for n in nodes if n.times > 1] == [
        ("layer1.1 to layer1.2", 2),
        ("layer2.1 to layer2.3", 3),
        ("layer3.1 to layer3.5", 5),
        ("layer4.1 to layer4.2", 2),
    ]
    assert all(node.times == 1 for node in of_rows(net("nasnet_a_mobile")).nodes)
    assert len(of_rows(net("resnet50"), fold=False).nodes) == 1 + 19


def test_a_tapped_row_is_not_hidden_among_equal_ones(tmp_path: Path) -> None:
    rows = "".join(
        f"  - {{block: conv2d, name: c{i}, filters: 4, kernel: 3{tap}}}\n"
        for i, tap in enumerate(("", "", ", tap: t", ""))
    )
    file = tmp_path / "a.yaml"
    file.write_text(
        "archc: 1\nname: A\ninput: {channels: 4, height: 8, width: 8}\nnetwork:\n" + rows
    )
    assert [node.times for node in of_rows(load(file)).nodes] == [1, 3, 1]


def test_what_is_inside_of_a_cell() -> None:
    graph = of_inside(net("nasnet_a_mobile"), "cells_1.0")
    names = [node.name for node in graph.nodes]
    assert names[:3] == ["x", "prev", "p"]
    assert names[-2:] == ["concat", "output"]
    fed = {(names[a], names[b]) for a, b in graph.edges}
    assert {a for a, b in fed if b == "concat"} == {"p", "y1", "y2", "y3", "y4", "y5"}
    assert ("prev", "p") in fed
    deeper = of_inside(net("nasnet_a_mobile"), "cells_1.0.y1_left")
    assert {node.kind for node in deeper.nodes} >= {"input", "output"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("cells_9.0", "NASNetAMobile has no row or step called `cells_9.0`."),
        ("cells_1.0.y1", "`cells_1.0.y1` is a single op, add; nothing is inside."),
    ],
)
def test_where_nothing_is_inside(path: str, said: str) -> None:
    with pytest.raises(NoInside) as refused:
        of_inside(net("nasnet_a_mobile"), path)
    assert str(refused.value) == said


def test_what_is_not_always_there_is_dashed() -> None:
    nodes = {node.name: node for node in of_rows(net("googlenet")).nodes}
    assert nodes["aux1"].notes == ("in training only",)
    assert nodes["aux1"].optional
    assert not nodes["inception4b"].optional
    assert {"output aux1", "output aux2", "output logits"} <= nodes.keys()


def test_many_ranks_and_long_lines_take_little_time() -> None:
    count = 150
    edges = [(a, b) for b in range(count) for a in range(max(0, b - 12), b)]
    assert laid_out([(50, 20)] * count, edges).height > 150 * 20


def test_an_empty_graph() -> None:
    assert laid_out([], []).pieces == []


def test_texts_fit_their_line() -> None:
    assert clipped("a" * 40) == "a" * (MOST - 1) + "…"
    assert wide(clipped("字" * 40)) <= MOST
    words = [f"argument_{i} {i}" for i in range(9)]
    assert [*filled(words)] == ["argument_0 0, argument_1 1,", "argument_2 2, argument_3 3…"]


# ---------------------------------------------------------------------------------------- hostile

HOSTILE = "<script>alert(1)</script>]]>&amp;\"'--><b onload=x>\\x00 #quot; click n0 href %%{init}%%"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    file = tmp_path / "a.yaml"
    file.write_text(
        f'archc: 1\nname: Hostile\ndoc: "{quoted}"\n'
        f'input: {{channels: 3, height: 8, width: 8, doc: "{quoted}"}}\n'
        "network:\n"
        f'  - {{block: conv2d, filters: 4, kernel: 3, doc: "{quoted}"}}\n'
        "  - {block: global_avg_pool2d}\n"
    )
    return file


def test_texts_of_a_spec_are_no_markup(hostile: Path) -> None:
    root = ElementTree.fromstring(document(of_rows(load(hostile))))
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "title", "style", "path", "g", "rect", "text")
    }
    assert HOSTILE in "".join(root.itertext())


def test_texts_of_mermaid_are_no_markup() -> None:
    assert escaped('a"]; click') == "a#34;#93;#59; click"
    assert re.fullmatch(r"[\w .,#;()/-]*", escaped(HOSTILE))


# ------------------------------------------------------------------------------------ the command


def test_the_figure_of_the_docs_is_current() -> None:
    drawn = document(of_inside(net("nasnet_a_mobile"), "cells_1.0"))
    assert (SPECS.parent / "docs/nasnet_cell.svg").read_text(encoding="utf-8") == drawn


def run(*arguments: str) -> str:
    """What it says on stderr, where it stops with 2."""
    error = io.StringIO()
    with contextlib.redirect_stderr(error), pytest.raises(SystemExit) as stopped:
        main(["plot", "model", *arguments])
    assert stopped.value.code == 2
    return error.getvalue()


@pytest.mark.parametrize("ending", ["svg", "png", "mmd"])
def test_the_same_bytes_each_time(ending: str, tmp_path: Path) -> None:
    if ending == "png":
        pytest.importorskip("matplotlib")
    files = [tmp_path / f"{name}.{ending}" for name in ("first", "second")]
    for file in files:
        main(["plot", "model", str(SPECS / "nasnet_a_cifar.yaml"), "-o", str(file)])
    assert files[0].read_bytes() == files[1].read_bytes()
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "mmd": b"flowchart TD\n"}
    assert files[0].read_bytes().startswith(starts[ending])
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize("ending", ["svg", "png", "mmd"])
def test_a_picture_that_archc_did_not_write_stays(ending: str, tmp_path: Path) -> None:
    if ending == "png":
        pytest.importorskip("matplotlib")
    spec, file = str(SPECS / "mnv3_small.yaml"), tmp_path / f"a.{ending}"
    file.write_text("mine")
    said = run(spec, "-o", str(file))
    assert "exists, and archc did not write it; --force replaces it." in said
    assert file.read_text() == "mine"
    main(["plot", "model", spec, "-o", str(file), "--force"])
    first = file.read_bytes()
    main(["plot", "model", spec, "-o", str(file)])  # which it did write
    assert file.read_bytes() == first != b"mine"
    file.write_text(" \n")
    main(["plot", "model", spec, "-o", str(file)])  # in which there is nothing to lose


def test_mermaid_has_all_boxes_and_lines() -> None:
    graph = of_rows(net("googlenet"))
    lines = text(graph).splitlines()
    assert sum(" --> " in line for line in lines) == len(graph.edges)
    assert '  n2["pool1<br>max_pool2d<br>kernel 3, stride 2<br>64x56x56"]' in lines
    assert lines[-1] == "  class n10,n14,n19 optional"


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    spec = str(SPECS / "mnv3_small.yaml")
    said = run(spec, "-o", str(tmp_path / "a.pdf"))
    assert "ends in none of .svg, .png, .mmd." in said
    said = run(spec, "-o", str(tmp_path / "a.svg"), "--inside", "stem.conv")
    assert "`stem.conv` is a single op, conv2d; nothing is inside." in said
    assert not list(tmp_path.iterdir())


def test_no_library_is_needed_but_for_a_png(tmp_path: Path, monkeypatch) -> None:
    for name in ("matplotlib", "numpy"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    spec = str(SPECS / "mnv3_small.yaml")
    main(["plot", "model", spec, "-o", str(tmp_path / "a.svg")])
    assert "archc's extra `plot`" in run(spec, "-o", str(tmp_path / "a.png"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.svg"]
