"""The language server as an editor meets it: a process that is talked to over the protocol."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls")

TINY = """\
archc: 1
name: Tiny
use: [mine.yaml]
params:
  classes: {type: int, default: 10, min: 1, doc: number of classes}
  act: {type: activation, default: relu}
let:
  wide: classes * 2
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv_act, name: stem, out: 16, act: act}
  - columns: [block, out, kernel, act]
    rows:
      - [conv_act, 16, 3, relu]
      - [conv_act, 16, 1, act]
    set: {out: out * 2}
  - {block: conv_act, name: side, out: wide, act: relu, from: stem}
  - {block: concat, name: both, from: [blocks, side]}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, units: classes}
"""
MINE = """\
archc: 1
blocks:
  conv_act:
    doc: Convolution and activation.
    params:
      out: {type: int, doc: output channels}
      kernel: {type: int, default: 3}
      act: activation
    steps:
      - conv: conv2d(x, out, kernel=kernel)
      - act: activation(conv, act)
        when: act
"""


class Editor:
    """Speaks the protocol with a server of its own; frames are written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        command = [sys.executable, "-m", "archc", "lsp", "--stdio"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        self.answers: dict[int, queue.Queue[Any]] = {}
        self.said: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        out = self.process.stdout
        assert out is not None
        while line := out.readline():
            length = int(line.split(b":")[1])
            while out.readline().strip():
                pass
            message = json.loads(out.read(length))
            if "id" in message and "method" not in message:
                self.answers[message["id"]].put(message)
            else:
                self.said.put(message)

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        self.number += 1
        self.answers[self.number] = queue.Queue()
        self.send({"id": self.number, "method": method, "params": params})
        return self.answers[self.number].get(timeout=4)

    def ask(self, method: str, uri: str, **more: Any) -> Any:
        answer = self.answer(f"textDocument/{method}", {"textDocument": {"uri": uri}, **more})
        assert "error" not in answer, answer
        return answer["result"]

    def at(self, method: str, uri: str, line: int, character: int, **more: Any) -> Any:
        return self.ask(method, uri, position={"line": line, "character": character}, **more)

    def start(self, **capabilities: Any) -> dict[str, Any]:
        params = {"processId": None, "rootUri": self.folder.as_uri(), "capabilities": capabilities}
        found = self.answer("initialize", params)["result"]
        self.send({"method": "initialized", "params": {}})
        return found

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> str:
        uri = self.uri(name) if ":" not in name else name
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    def edit(self, uri: str, text: str) -> None:
        self.number += 1
        params = {
            "textDocument": {"uri": uri, "version": self.number},
            "contentChanges": [{"text": text}],
        }
        self.send({"method": "textDocument/didChange", "params": params})

    def close(self, uri: str) -> None:
        params = {"textDocument": {"uri": uri}}
        self.send({"method": "textDocument/didClose", "params": params})

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """The next that are published for a document."""
        while True:
            message = self.said.get(timeout=4)
            assert message["method"] == "textDocument/publishDiagnostics", message
            if message["params"]["uri"] == uri:
                return message["params"]["diagnostics"]


def start(folder: Path) -> Editor:
    return Editor(folder)


@pytest.fixture
def editor(shared: Editor, tmp_path: Path):
    """A server that several tests share, in a folder of one's own."""
    shared.folder = tmp_path
    (tmp_path / "mine.yaml").write_text(MINE)
    while not shared.said.empty():
        shared.said.get()
    yield shared
    assert shared.process.poll() is None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    editor = Editor(tmp_path_factory.mktemp("started"))
    editor.start()
    yield editor
    assert editor.answer("shutdown", None)["result"] is None
    editor.send({"method": "exit"})
    assert editor.process.wait(timeout=4) == 0


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines()) if part in line)


def where(text: str, line: str, word: str) -> tuple[int, int]:
    """The position in the middle of a word on the line that holds `line`."""
    number = line_of(text, line)
    return number, text.splitlines()[number].index(word) + 1


def labels(found: Any) -> list[str]:
    return [item["label"] for item in found["items"]] if found else []


def applied(text: str, edit: dict[str, Any], uri: str) -> str:
    lines = text.splitlines()
    edits = sorted(edit["changes"][uri], key=lambda e: -e["range"]["start"]["character"])
    for each in edits:
        start, end = each["range"]["start"], each["range"]["end"]
        line = lines[start["line"]]
        cut = line[: start["character"]], line[end["character"] :]
        lines[start["line"]] = each["newText"].join(cut)
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------- diagnostics


def test_diagnostics_follow_the_text_in_the_editor(editor):
    uri = editor.open("tiny.yaml", TINY)  # there is no such file on the disk
    assert editor.diagnostics(uri) == []
    editor.edit(uri, TINY.replace("block: dense", "block: danse"))
    (problem,) = editor.diagnostics(uri)
    number, column = where(TINY, "block: dense", "dense")
    assert problem["range"]["start"] == {"line": number, "character": column - 1}
    assert problem["range"]["end"] == {"line": number, "character": column + 4}
    assert (problem["code"], problem["severity"], problem["source"]) == ("E030", 1, "archc")
    assert "did you mean `dense`?" in problem["message"]
    editor.edit(uri, TINY)
    assert editor.diagnostics(uri) == []
    editor.close(uri)


def test_nothing_is_said_of_yaml_that_is_no_spec(editor):
    text = "services:\n  a: &x {image: b}\n  c: *x\n"
    uri = editor.open("compose.yaml", text)
    assert editor.diagnostics(uri) == []
    editor.edit(uri, "archc: 1\n" + text)
    assert editor.diagnostics(uri)[0]["code"] == "E006"


def test_warnings_are_shown_as_such(editor):
    text = TINY.replace("out: 16, act", "out: 9000, act")
    uri = editor.open("tiny.yaml", text)
    found = editor.diagnostics(uri)
    assert [(each["code"][0], each["severity"]) for each in found] == [("W", 2)] * len(found)
    assert found
    editor.close(uri)


def test_positions_count_utf_16_units(editor):
    text = TINY.replace("{block: dense", '{doc: "\U0001f9e0\U0001f9e0 é", block: danse')
    uri = editor.open("tiny.yaml", text)
    (problem,) = editor.diagnostics(uri)
    line = text.splitlines()[problem["range"]["start"]["line"]]
    units = line[: line.index("danse")].encode("utf-16-le")
    assert problem["range"]["start"]["character"] == len(units) // 2 != line.index("danse")
    start = problem["range"]["start"]
    found = editor.at("completion", uri, start["line"], start["character"] + 2)
    assert "conv_act" in labels(found)
    editor.close(uri)


def test_problems_of_a_library_are_published_for_its_file(editor):
    uri = editor.open("tiny.yaml", TINY)
    assert editor.diagnostics(uri) == []
    library = editor.open("mine.yaml", MINE.replace("kernel=kernel", "kernal=kernel"))
    (problem,) = editor.diagnostics(library)
    assert problem["code"] == "E032"
    assert editor.said.empty()  # the document that uses it is not blamed
    editor.edit(library, MINE)
    assert editor.diagnostics(library) == []
    editor.close(library)
    editor.close(uri)


def test_a_library_alone_is_no_problem(editor):
    uri = editor.open("mine.yaml", MINE)
    assert editor.diagnostics(uri) == []
    editor.edit(uri, MINE.replace("activation(conv, act)", "activation(convolved, act)"))
    (problem,) = editor.diagnostics(uri)
    assert problem["code"] == "E032" or "convolved" in problem["message"]
    editor.close(uri)


def test_what_is_closed_is_as_on_the_disk_again(editor):
    library = editor.open("mine.yaml", "archc: 1\n")
    uri = editor.open("tiny.yaml", TINY)
    assert editor.diagnostics(uri) != []
    editor.close(library)
    assert editor.diagnostics(uri) == []
    editor.close(uri)


# ------------------------------------------------------------------------------------------- hover


def hover(editor: Editor, uri: str, position: tuple[int, int]) -> str:
    found = editor.at("hover", uri, *position)
    return found["contents"]["value"] if found else ""


def test_a_row_tells_its_shapes_and_costs(editor):
    uri = editor.open("tiny.yaml", TINY)
    told = hover(editor, uri, where(TINY, "name: stem", "conv_act"))
    assert "`stem` (conv_act): 3x8x8 → **16x8x8**" in told
    assert "448 trainable parameters, 27,648 MACs" in told  # 3 * 3 * 3 * 16 + 16, and 432 * 64
    assert "sees 3x3 of the input" in told
    assert "Convolution and activation." in told
    assert "`kernel: int = 3`" in told
    second = hover(editor, uri, where(TINY, "[conv_act, 16, 1, act]", "16"))
    assert "`blocks.1` (conv_act): 32x8x8 → **32x8x8**" in second
    assert "`out: int`: output channels" in second
    assert "1,056 trainable" in second
    editor.close(uri)


def test_arguments_words_and_parameters_are_explained(editor):
    uri = editor.open("tiny.yaml", TINY)
    assert "`units: int`" in hover(editor, uri, where(TINY, "units", "units"))
    assert "number of classes (at least 1)" in hover(editor, uri, where(TINY, "units", "classes"))
    assert "max(x, 0)" in hover(editor, uri, where(TINY, "16, 3, relu", "relu"))
    assert "What feeds the row" in hover(editor, uri, where(TINY, "from: stem", "from"))
    assert "trainable" in hover(editor, uri, where(TINY, "block: dense", "dense"))
    assert hover(editor, uri, (0, 9)) == ""
    editor.close(uri)


def test_hover_of_half_a_document_is_of_the_last_that_compiled(editor):
    uri = editor.open("tiny.yaml", TINY)
    assert editor.diagnostics(uri) == []
    half = TINY.replace("units: classes}", "units: classes + }")
    editor.edit(uri, half)
    told = hover(editor, uri, where(half, "name: stem", "conv_act"))
    assert "27,648 MACs" in told
    assert "_As of the last version that compiled._" in told
    editor.close(uri)


def test_hover_of_many_repeats_shows_the_first_and_the_last(editor):
    deep = "  - {block: conv_act, name: deep, out: 4, act: relu, repeat: 9}\n"
    text = TINY.replace("  - {block: global", f"{deep}  - {{block: global")
    uri = editor.open("tiny.yaml", text)
    assert editor.diagnostics(uri) == []
    told = hover(editor, uri, where(text, "name: deep", "conv_act"))
    assert [f"`deep.{i}`" in told for i in range(9)] == [True, *[False] * 7, True]
    assert "**9 rows**" in told
    editor.close(uri)


def test_hover_of_a_row_of_another_block_has_no_figures_of_it(editor):
    uri = editor.open("tiny.yaml", TINY)
    assert editor.diagnostics(uri) == []
    half = TINY.replace("conv_act, name: stem", "conv2d, name: stem, kernel: }")
    editor.edit(uri, half)
    told = hover(editor, uri, where(half, "name: stem", "conv2d"))
    assert "**conv2d** (op)" in told
    assert "MACs" not in told
    editor.close(uri)


# -------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("  - {block: ", ["conv_act", "conv2d"], ["relu"]),
        ("  - {block: con}", ["conv_act", "conv2d"], ["out"]),
        ("  - block: ", ["conv_act", "conv2d"], []),
        ("  - block: conv_act\n    ", ["out", "kernel", "act", "name", "from"], ["block"]),
        ("  - {block: conv_act, out: 3, ", ["kernel", "act", "tap"], ["out", "units", "block"]),
        ("  - {block: conv_act, ke", ["kernel"], []),
        ("  - {block: conv_act, act: ", ["relu", "hard_swish", "none", "act", "wide"], ["same"]),
        ("  - {block: conv_act, act: }", ["relu", "hard_swish", "none"], ["same"]),
        ("  - {block: conv2d, padding: ", ["same", "symmetric"], ["relu"]),
        ("  - {block: conv2d, init: ", ["glorot_uniform"], ["relu"]),
        ("  - {block: conv2d, bias: ", ["true", "false"], ["relu"]),
        ("  - {block: conv_act, out: ", ["classes", "wide", "round_channels"], ["relu"]),
        ("  - {block: conv_act, out: 3, from: ", ["stem", "side", "pool", "blocks"], ["relu"]),
        ("  - {block: concat, from: [stem, ", ["side", "pool"], ["relu"]),
        ("  - {block: conv_act, name: own, from: ", ["stem", "side"], ["own"]),
        ("  - columns: [block, ", [], ["conv2d"]),
        ("  - columns: [block, out, act]\n    rows:\n      - [conv_act, 3, ", ["relu"], ["stem"]),
        ("  - columns: [block, out, act]\n    rows:\n      - [", ["conv_act"], ["relu"]),
        ("defaults:\n  ", ["conv_act", "dense"], []),
        ("defaults:\n  dense: {", ["units", "init"], ["from"]),
        ("require: [", ["classes", "wide"], []),
    ],
)
def test_completion_in_half_a_document(editor, typed, wanted, unwanted):
    text = TINY + typed
    uri = editor.open("tiny.yaml", text)
    lines = text.split("\n")
    end = len(lines[-1]) - typed.endswith("}")
    found = labels(editor.at("completion", uri, len(lines) - 1, end))
    assert [word for word in wanted if word not in found] == []
    assert [word for word in unwanted if word in found] == []
    editor.close(uri)


def test_completion_within_a_document_that_is_whole_below(editor):
    """The rest of the file stands below what is being typed."""
    typed = TINY.replace("  - {block: global", "  - {block: \n  - {block: global")
    uri = editor.open("tiny.yaml", typed)
    found = labels(editor.at("completion", uri, line_of(typed, "{block: \n"[:-1] + "") + 0, 12))
    assert "conv_act" in found
    editor.close(uri)


def test_completion_in_a_block(editor):
    text = MINE + "      - bn: \n"
    uri = editor.open("mine.yaml", text)
    found = labels(editor.at("completion", uri, line_of(text, "- bn"), 12))
    assert {"x", "conv", "act", "out", "batch_norm"} <= {*found}
    call = MINE.replace("conv2d(x, out, kernel=kernel)", "conv2d(x, ")
    editor.edit(uri, call)
    number = line_of(call, "conv2d(x")
    found = labels(editor.at("completion", uri, number, len(call.split("\n")[number])))
    assert {"kernel=", "padding=", "out"} <= {*found}
    kind = MINE.replace("act: activation", "act: ")
    editor.edit(uri, kind)
    number = line_of(kind, "      act: ")
    assert "activation" in labels(editor.at("completion", uri, number, 11))
    editor.close(uri)


def test_completion_of_files(editor):
    text = "archc: 1\nuse: [mi"
    (editor.folder / "new.yaml").write_text(text)
    uri = editor.open("new.yaml", text)
    found = labels(editor.at("completion", uri, 1, 8))
    assert "new.yaml" not in found
    assert "mine.yaml" in found
    assert "blocks/mobilenet.yaml" in found
    editor.close(uri)


# -------------------------------------------------------------------------- definitions and lenses


@pytest.mark.parametrize(
    ("line", "word", "target"),
    [
        ("name: stem", "conv_act", ("mine.yaml", "  conv_act:", "conv_act")),
        ("from: stem", "stem}", ("tiny.yaml", "name: stem", "stem")),
        ("units: classes", "classes", ("tiny.yaml", "  classes:", "classes")),
        ("out: wide", "wide", ("tiny.yaml", "  wide:", "wide")),
        ("use:", "mine", ("mine.yaml", "archc: 1", "archc")),
    ],
)
def test_definitions(editor, line, word, target):
    uri = editor.open("tiny.yaml", TINY)
    found = editor.at("definition", uri, *where(TINY, line, word))
    name, at, wanted = target
    text = {"tiny.yaml": TINY, "mine.yaml": MINE}[name]
    number, column = where(text, at, wanted)
    assert found["uri"] == editor.uri(name)
    assert found["range"]["start"] == {"line": number, "character": column - 1}
    editor.close(uri)


def test_a_block_of_the_file_is_found_while_the_file_is_wrong(editor):
    own = "blocks:\n  own:\n    params: {out: int}\n    steps: [{y: conv2d(x, out)}]\n"
    text = (
        TINY.replace("{block: conv_act, name: stem", "{block: own, name: stem") + own + "wrong:\n"
    )
    uri = editor.open("tiny.yaml", text)
    found = editor.at("definition", uri, *where(text, "name: stem", "own"))
    assert found["range"]["start"] == {"line": line_of(text, "  own:"), "character": 2}
    editor.close(uri)


def test_a_source_is_a_row_and_not_a_parameter_of_its_name(editor):
    text = TINY.replace("stem", "wide")
    uri = editor.open("tiny.yaml", text)
    found = editor.at("definition", uri, *where(text, "from: wide", "wide}"))
    assert found["range"]["start"]["line"] == line_of(text, "name: wide")
    editor.close(uri)


def test_an_op_has_no_definition(editor):
    uri = editor.open("tiny.yaml", TINY)
    assert editor.at("definition", uri, *where(TINY, "block: dense", "dense")) is None
    editor.close(uri)


def test_the_network_shows_its_totals(editor):
    uri = editor.open("tiny.yaml", TINY)
    (lens,) = editor.ask("codeLens", uri)
    assert lens["range"]["start"] == {"line": line_of(TINY, "network:"), "character": 0}
    assert "trainable parameters" in lens["command"]["title"]
    assert "3x8x8 → 10" in lens["command"]["title"]
    editor.edit(uri, TINY + "  - {block")
    (lens,) = editor.ask("codeLens", uri)
    assert "(before the last edits)" in lens["command"]["title"]
    editor.close(uri)


# ------------------------------------------------------------------------------------------ rename


@pytest.mark.parametrize(
    ("line", "word", "new", "wanted"),
    [
        ("name: stem", "stem", "trunk", TINY.replace("stem", "trunk")),
        ("from: stem", "stem}", "trunk", TINY.replace("stem", "trunk")),
        (
            "  classes:",
            "classes",
            "labels",
            TINY.replace("classes", "labels").replace("of labels", "of classes"),
        ),
        (
            "units: classes",
            "classes",
            "labels",
            TINY.replace("classes", "labels").replace("of labels", "of classes"),
        ),
        ("  wide: classes", "wide", "broad", TINY.replace("wide", "broad")),
        (
            "  act: {type",
            "act",
            "shape_of",
            TINY.replace("  act: {", "  shape_of: {").replace("act: act", "act: shape_of")
            .replace("1, act]", "1, shape_of]"),
        ),
    ],
)  # fmt: skip
def test_rename(editor, line, word, new, wanted):
    uri = editor.open("tiny.yaml", TINY)
    position = where(TINY, line, word)
    there = editor.at("prepareRename", uri, *position)
    assert there["start"] == {"line": position[0], "character": position[1] - 1}
    edit = editor.at("rename", uri, *position, newName=new)
    assert applied(TINY, edit, uri) == wanted
    editor.close(uri)


def test_a_rename_of_several_on_a_line(editor):
    text = TINY.replace("classes * 2", "classes + classes")
    uri = editor.open("tiny.yaml", text)
    edit = editor.at("rename", uri, *where(text, "  classes:", "classes"), newName="labels_of_it")
    wanted = text.replace("classes", "labels_of_it").replace("of labels_of_it", "of classes")
    assert applied(text, edit, uri) == wanted
    editor.close(uri)


def test_a_rename_that_catches_a_word_is_refused(editor):
    """Rows that say `relu` would get the parameter's value then: as many numbers, but others."""
    text = TINY.replace("activation, default: relu", "activation, default: mish")
    uri = editor.open("tiny.yaml", text)
    number, character = where(text, "  act: {type", "act")
    position = {"line": number, "character": character}
    params = {"textDocument": {"uri": uri}, "position": position, "newName": "relu"}
    assert "error" in editor.answer("textDocument/rename", params)
    editor.close(uri)


@pytest.mark.parametrize(
    ("line", "word", "new", "why"),
    [
        ("name: stem", "stem", "side", "E015"),
        ("name: stem", "stem", "not a name", "not a"),
        ("  classes:", "classes", "wide", "E015"),
        ("units: classes", "units", "x", "no parameter"),
        ("name: stem", "conv_act", "x", "no parameter"),
    ],
)
def test_a_rename_that_would_mean_something_else_is_refused(editor, line, word, new, why):
    uri = editor.open("tiny.yaml", TINY)
    number, character = where(TINY, line, word)
    position = {"line": number, "character": character}
    params = {"textDocument": {"uri": uri}, "position": position, "newName": new}
    error = editor.answer("textDocument/rename", params)["error"]
    assert error["code"] == -32803
    assert why in error["message"]
    editor.close(uri)


def test_a_column_does_not_catch_a_parameter(editor):
    text = TINY.replace("out: out * 2", "out: out * classes")
    uri = editor.open("tiny.yaml", text)
    number, character = where(text, "  classes:", "classes")
    position = {"line": number, "character": character}
    params = {"textDocument": {"uri": uri}, "position": position, "newName": "kernel"}
    assert (
        "has a column `kernel`" in editor.answer("textDocument/rename", params)["error"]["message"]
    )
    editor.close(uri)


# --------------------------------------------------------------------------------------- bad input


REQUESTS = ("hover", "completion", "definition", "prepareRename")


def test_every_prefix_of_a_document_is_answered(editor):
    """An editor sends half a document, and asks wherever somebody points at."""
    uri = editor.open("tiny.yaml", "")
    for end in range(0, len(TINY), 23):
        text = TINY[:end]
        editor.edit(uri, text)
        lines = text.split("\n")
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        for request in REQUESTS:
            params = {"textDocument": {"uri": uri}, "position": position}
            answer = editor.answer(f"textDocument/{request}", params)
            assert answer.get("error", {}).get("code", -32803) == -32803, (text, answer)
    editor.close(uri)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeff",
        "{",
        "- [",
        "&a *a",
        "network: {block: x}",
        "network: [[], {}, ~, {columns: 3, rows: {a: b}}, {rows: [[1], 2, {block: [a]}]}]",
        "params: [a]\nblocks: {a: 1, b: {steps: {a: b}, params: [c]}}\nchange: [{insert: 3}, 4]",
        "params: {a: 1}\ninputs: [x]\ninput: 3\nlet: x\ndefaults: {a: 1}\nuse: {a: b}\nextends: []",
        "archc: 1\nuse: [\"\\0\", ../../etc/passwd, '']\n",
        "a\u2028b: \U0001f9e0\r\rc: \x00",
        "archc: 1\nextends: tiny.yaml\n",
        "x: " + "[" * 3000,
        "x: y\n" * 40000,
    ],
)
def test_strange_documents_are_answered(editor, text):
    uri = editor.open("tiny.yaml", text)
    editor.diagnostics(uri)
    last = len(text.split("\n"))
    for line, character in ((0, 0), (0, 10), (1, 9), (last, 3), (2**31 - 1, 2**31 - 1)):
        for request in REQUESTS:
            position = {"line": line, "character": character}
            params = {"textDocument": {"uri": uri}, "position": position}
            answer = editor.answer(f"textDocument/{request}", params)
            assert answer.get("error", {}).get("code", -32803) == -32803, answer
    assert editor.ask("codeLens", uri) is None
    editor.close(uri)


def test_unknown_and_closed_documents_are_answered(editor):
    uri = editor.open("tiny.yaml", TINY)
    editor.close(uri)
    for each in (uri, "untitled:Untitled-1", "http://nowhere/a.yaml", "", "file:///%00"):
        for request in REQUESTS:
            assert editor.at(request, each, 1, 1) is None
        assert editor.ask("codeLens", each) is None
        assert editor.at("rename", each, 1, 1, newName="x") is None
    editor.close("file:///never/opened.yaml")


def test_a_document_without_a_file_is_checked(editor):
    text = TINY.replace("use: [mine.yaml]\n", "") + MINE.partition("\n")[2]
    for uri in ("untitled:Untitled-1", "git:/a/b.yaml?x"):
        editor.open(uri, text)
        assert editor.diagnostics(uri) == []
        assert "27,648 MACs" in hover(editor, uri, where(text, "name: stem", "conv_act"))
        editor.close(uri)


def test_the_server_imports_no_framework():
    code = (
        "import archc.lsp.server, sys; print({'torch', 'keras', 'onnx', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "set()\n"
