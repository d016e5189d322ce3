"""Reports: one page that asks for nothing, runs nothing of a spec's, and has every row in it."""

import contextlib
import io
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from archc import load
from archc.cli import main
from archc.report.page import page
from archc.report.rows import Line, compared, lines
from archc.report.sources import highlighted, lines_of

SPECS = Path(__file__).parents[1] / "specs"
HOSTILE = "</title></script><script>document.title='run'</script><img src=x onerror=alert(1)>\"'&"
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader


def whole(reader: Reader) -> None:
    """Nothing is from elsewhere, no two things have one id, and each link leads somewhere."""
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len({*ids})
    links = [value for _, name, value in reader.attributes if name == "href"]
    assert links
    assert {link[1:] for link in links} <= {*ids}
    assert not [a for a in reader.attributes if a[1] in ("src", "srcset", "action", "data")]
    assert not [a for a in reader.attributes if a[1].startswith("on")]


def test_a_page_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    net = load(SPECS / "googlenet.yaml")
    text = page(net)
    assert text == page(load(SPECS / "googlenet.yaml"))
    reader = read(text)
    whole(reader)
    heads = {value for tag, name, value in reader.attributes if tag == "tr" and name == "id"}
    assert heads == {f"row-{i}" for i in range(len(net.blocks))}
    assert f"{net.params.trainable:,}" in reader.text


def test_two_networks(tmp_path: Path) -> None:
    file = tmp_path / "both.html"
    main(
        ["report", *(str(SPECS / f"{n}.yaml") for n in ("resnet50", "resnet101")), "-o", str(file)]
    )
    reader = read(file.read_text(encoding="utf-8"))
    whole(reader)
    assert "D101 weights lost" in reader.text
    assert [1 for a in reader.attributes if a == ("g", "class", "node changed")]


def told(text: str) -> list[list[str]]:
    """The cells of the table of arguments, a line a row, with what is struck out in brackets."""
    (table,) = re.findall(r'<table class="paper">(.*?)</table>', text, re.DOTALL)
    struck = re.sub(r"<del>(.*?)</del>", r"[\1]", table)
    lines = re.findall(r"<tr.*?>(.*?)</tr>", struck, re.DOTALL)
    cells = (re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line, re.DOTALL) for line in lines)
    return [[re.sub(r"<.*?>", "", cell).strip() for cell in line] for line in cells]


def test_the_table_is_that_of_the_paper() -> None:
    """Howard et al., Searching for MobileNetV3, Table 1: input, #out, kernel, SE, NL and s; of
    these the spec gives the expansion as a factor."""
    head, *lines = told(page(load(SPECS / "mnv3_large.yaml")))
    columns = "row block input out kernel expand se act stride classes hidden dropout tap"
    assert head == columns.split()
    assert lines[0] == [
        "stem",
        "conv_bn",
        "3x224x224",
        "16",
        "3",
        "",
        "",
        "hard_swish",
        "2",
        *[""] * 4,
    ]
    rows = [line for line in lines if line[1] == "inverted_residual"]
    of = {name: [line[head.index(name)] for line in rows] for name in head}
    assert " ".join(of["out"]) == "16 24 24 40 40 40 80 80 80 80 112 112 160 160 160"
    assert " ".join(of["kernel"]) == "3 3 3 5 5 5 3 3 3 3 3 3 5 5 5"
    assert " ".join(of["se"]) == "- - - 0.25 0.25 0.25 - - - - 0.25 0.25 0.25 0.25 0.25"
    assert " ".join(of["stride"]) == "1 2 1 2 1 1 2 1 1 1 1 1 2 1 1"
    assert of["act"] == ["relu"] * 6 + ["hard_swish"] * 9
    heights = " ".join(x.split("x")[1] for x in of["input"])
    assert heights == "112 112 56 56 28 28 28 14 14 14 14 14 14 7 7"


def test_the_table_shows_what_was_otherwise(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    rows = [
        "{block: conv2d, name: a, filters: 4, kernel: 3, tap: c1}",
        "{block: batch_norm, name: b}",
    ]
    head = "archc: 1\nname: Net\ninput: {channels: 3, height: 8, width: 8}\nnetwork:\n"
    more = [
        "{block: conv2d, name: a, filters: 6, kernel: 3}",
        "{block: add, name: c, from: [-1, a]}",
    ]
    for file, each in ((old, rows), (new, more)):
        file.write_text(head + "".join(f"  - {row}\n" for row in each), encoding="utf-8")
    main(["report", str(old), str(new), "-o", str(tmp_path / "both.html")])
    assert told((tmp_path / "both.html").read_text(encoding="utf-8")) == [
        ["row", "block", "input", "from", "filters", "kernel", "tap"],
        ["~ a", "conv2d", "3x8x8", "", "[4] 6", "3", "[c1]"],
        ["- b", "batch_norm", "4x8x8", "", "", "", ""],
        ["+ c", "add", "6x8x8", "a, a", "", "", ""],
    ]


def lines_of_two(tmp_path: Path, old: list[str], new: list[str]) -> dict[str, Line]:
    head = "archc: 1\nname: Net\ninput: {channels: 3, height: 8, width: 8}\nnetwork:\n"
    nets = []
    for name, rows in (("old", old), ("new", new)):
        file = tmp_path / f"{name}.yaml"
        file.write_text(head + "".join(f"  - {row}\n" for row in rows), encoding="utf-8")
        nets.append(load(file))
    return {line.name: line for line in compared(nets[0].diff(nets[1]))}


def test_bars_of_two_networks_are_on_one_scale(tmp_path: Path) -> None:
    first = "{block: conv2d, name: a, filters: 4, kernel: 3, bias: false}"
    large = "{block: conv2d, name: b, filters: 32, kernel: 1, bias: false}"
    pool = "{block: global_avg_pool2d, name: pool}"
    dropped = lines_of_two(tmp_path, [first, large, pool], [first, pool])
    kept, removed = dropped["a"], dropped["b"]
    assert [bar.text for bar in kept.bars] == ["108", "6,912", "1 KiB", "3x3"]
    # 108 of 128 parameters, 6912 of 8192 MACs, 4 of 32 channels, 3 of 8 rows and columns
    assert [bar.share for bar in kept.bars] == [84.4, 84.4, 12.5, 37.5]
    assert kept.before == kept.bars
    assert removed.bars == ()
    assert [bar.share for bar in removed.before] == [100, 100, 100, 37.5]
    assert [bar.share for bar in dropped["pool"].bars] == [0, 0, 0.2, 100]  # it sees all


def test_equal_rows_have_their_inside_once() -> None:
    found = {line.name: line for line in lines(load(SPECS / "mnv3_large.yaml"))}
    assert (found["blocks.4"].alike, found["blocks.5"].alike) == ("", "blocks.4")
    assert found["blocks.4"].figure
    assert not found["blocks.5"].figure


def test_lines_of_source_lead_to_rows_and_back() -> None:
    source = "class N:\n  def f(self):\n    self.a = B()\n    self.a = C()\n    x = D(name='c-1')\n"
    assert lines_of(source, ["a", "c.1"]) == {"a": 3, "c.1": 5}


def test_a_string_of_several_lines_has_its_colour_in_each() -> None:
    pieces = highlighted('def f():\n    x = """one\ntwo\n    three"""\n')
    assert [[(p.text, p.kind) for p in line][-1] for line in pieces[1:]] == [
        ('"""one', "s"),
        ("two", "s"),
        ('    three"""', "s"),
    ]


def test_a_box_is_marked_if_what_it_stands_for_has_changed(tmp_path: Path) -> None:
    old = [f"{{block: conv2d, name: {n}, filters: 4, kernel: 3}}" for n in "abc"]
    new = [*old[:2], old[2].replace("kernel: 3", "kernel: 5")]
    nets = [lines_of_two(tmp_path, old, new)]
    assert [line.mark for line in nets[0].values()] == ["", "", "~"]
    main(
        [
            "report",
            *(str(tmp_path / f"{n}.yaml") for n in ("old", "new")),
            "-o",
            str(tmp_path / "b"),
        ]
    )
    graphs = (tmp_path / "b").read_text(encoding="utf-8")
    assert graphs.count('class="node changed"') == 2  # one in each graph


def test_a_large_one_is_small_enough() -> None:
    start = time.perf_counter()
    text = page(load(SPECS / "nasnet_a_large.yaml"))
    assert time.perf_counter() - start < 10
    assert len(text.encode()) < 3 * 2**20
    whole(read(text))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    quoted = HOSTILE.replace('"', '\\"')
    file = tmp_path / "<img src=x onerror=alert(1)>.yaml"
    file.write_text(
        f'archc: 1\nname: Hostile\ndoc: "{quoted}"\n'
        "input: {channels: 3, height: 8, width: 8}\nnetwork:\n"
        f'  - {{block: conv2d, filters: 4, kernel: 3, doc: "{quoted}"}}\n'
        "  - {block: global_avg_pool2d}\n"
    )
    return file


def test_texts_of_a_spec_are_no_markup(hostile: Path) -> None:
    text = page(load(hostile))
    reader = read(text)
    whole(reader)
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert HOSTILE in reader.text


def test_lines_of_rows() -> None:
    net = load(SPECS / "mnv3_small.yaml")
    rows = [block.path for block in net.blocks]
    for backend in ("torch", "keras"):
        source = net.source(backend)
        found = lines_of(source, rows)
        assert [*sorted(found, key=found.__getitem__)] == rows
        assert "hidden=288" in source.splitlines()[found["blocks.8"] - 1]


def test_highlighting_keeps_every_letter() -> None:
    source = load(SPECS / "nasnet_a_mobile.yaml").source("torch")
    lines = highlighted(source)
    assert ["".join(piece.text for piece in line) for line in lines] == source.splitlines()
    assert {piece.kind for line in lines for piece in line} == set("ksncd") | {""}


def test_a_file_that_archc_did_not_write_stays(tmp_path: Path) -> None:
    file, spec = tmp_path / "a.html", str(SPECS / "mnv3_small.yaml")
    file.write_text("<p>mine")
    error = io.StringIO()
    with contextlib.redirect_stderr(error), pytest.raises(SystemExit) as stopped:
        main(["report", spec, "-o", str(file)])
    assert stopped.value.code == 2
    assert "exists, and archc did not write it; --force replaces it." in error.getvalue()
    assert file.read_text() == "<p>mine"
    main(["report", spec, "-o", str(file), "--force"])
    main(["report", spec, "-o", str(file)])
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_in_a_browser(hostile: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    main(["report", str(hostile), "-o", str(file)])
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = ["chromium", *options, profile, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"<title>Hostile</title>", done.stdout)
    assert 'class="zoom" data-of="row-graph">' in done.stdout  # the page's own script has run
    assert "CONSOLE" not in done.stderr
