"""Where things stand in a file, which YAML types there are (none), and that nothing crashes."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archc.compiler.language.problems import Source, SpecError, render
from archc.compiler.pipeline import compile_network
from archc.compiler.spec.reader import Mapping, Scalar, Sequence, read, read_source

SPECS = Path(__file__).parents[1] / "specs"
SHIPPED = [path.read_text(encoding="utf-8") for path in sorted(SPECS.rglob("*.yaml"))]


def root(text: str) -> Any:
    node, problems = read(Source("net.yaml", text))
    assert not problems
    return node


def stretch(text: str, node: Any) -> str:
    """What the place of a node covers."""
    line = text.split("\n")[node.place.line - 1]
    return line[node.place.column - 1 :][: node.place.length]


# ------------------------------------------------------------------------------------------ places

PLACES = {
    "plain": ("a: value", "value"),
    "single_quotes": ("a: 'it''s'", "'it''s'"),
    "double_quotes": ('a: "x\\ty" # why', '"x\\ty"'),
    "flow": ("{b: 1, a: value}", "value"),
    "after_wide_characters": ("{größe: 画像, a: value}", "value"),
    "wide_characters": ("a: 画像🙂 ", "画像🙂"),
    "list": ("a: [1, 2 ]", "[1, 2 ]"),
    "mapping": ("a: {b: [1], c: 2} # why", "{b: [1], c: 2}"),
    "empty": ("a: ''", "''"),
    "last_without_a_line_break": ("b: 1\na:  x", "x"),
}


@pytest.mark.parametrize(("text", "covered"), PLACES.values(), ids=PLACES)
def test_a_place_covers_the_text_of_its_node(text: str, covered: str) -> None:
    assert stretch(text, root(text)["a"]) == covered


MULTI_LINE = {
    "folded_plain": ("a: one\n  two", (1, 4)),
    "quoted": ('a: "one\n  two"', (1, 4)),
    "literal": ("b: 1\na: |\n  one\n  two\n", (2, 4)),
    "list": ("a:\n  - 1\n  - 2\n", (2, 3)),
    "mapping": ("a:\n   b: 1\n   c: 2\n", (2, 4)),
    "flow": ("a: [1,\n  2]", (1, 4)),
}


@pytest.mark.parametrize(("text", "start"), MULTI_LINE.values(), ids=MULTI_LINE)
def test_the_place_of_several_lines_is_where_they_start(text: str, start: tuple[int, int]) -> None:
    place = root(text)["a"].place
    assert (place.line, place.column, place.length) == (*start, 1)


def test_keys_know_their_place() -> None:
    text = 'one: 1\n"two": {drei: 3, "vier": 4}\n'
    node = root(text)
    assert [stretch(text, key) for key in node] == ["one", '"two"']
    assert [stretch(text, key) for key in node["two"]] == ["drei", '"vier"']


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_breaks_and_a_byte_order_mark_move_nothing(
    line_break: str, mark: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(mark + line_break.join(["a: 1", "b: [2,", "  three]", ""]).encode())
    source = read_source(path)
    node, _ = read(source)
    assert isinstance(node, Mapping)
    assert stretch(source.text, node["b"][1]) == "three"
    assert str(node["b"][1].place) == f"{path}:3:3"
    assert stretch(source.text, next(iter(node))) == "a"


# ------------------------------------------------------------------------------------------- types


TRAPS = "no on yes off y true null ~ 012 0o17 0x1F 1e-3 1_000 1:30 12:30:45 2001-01-01 .inf .nan ="


@pytest.mark.parametrize("text", TRAPS.split())
def test_every_scalar_is_the_text_that_was_written(text: str) -> None:
    node = root(f"a: {text}\nb: [{text}]\n")
    assert node == {"a": text, "b": [text]}
    assert isinstance(node["a"], Scalar)
    assert isinstance(node["b"], Sequence)


def test_quotes_are_remembered() -> None:
    node = root("[~, '~', \"~\"]")
    assert [(item, item.plain) for item in node] == [("~", True), ("~", False), ("~", False)]


# ------------------------------------------------------------------------------------------ errors


def codes(text: str) -> list[str]:
    return [problem.code for problem in read(Source("net.yaml", text))[1]]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n...\n"])
def test_no_content_is_no_node(text: str) -> None:
    assert read(Source("net.yaml", text)) in ((None, []), ("", []))


@pytest.mark.parametrize("escape", ["\\0", "\\e", "\\x7f", "\\u0085", "\\u2028", "\\u202e"])
def test_escapes_bring_in_no_control_characters(escape: str) -> None:
    assert codes(f'a: "{escape}"') == ["E002"]


@pytest.mark.parametrize("character", "\x00\x07\x1b\x7f\x85\u2028\u2029\u202e\u2066\ufeff\uffff")
def test_control_characters_are_refused(character: str) -> None:
    assert codes(f"a: x\nb: {character}") == ["E002"]


# -------------------------------------------------------------------------------------------- fuzz


def check(text: str, path: Path) -> None:
    """The text compiles, or is refused with problems that can be printed; nothing else happens."""
    path.write_text(text, encoding="utf-8", newline="")
    try:
        compile_network(path)
    except SpecError as refused:
        problems = refused.problems
    else:
        return
    assert problems
    for problem in problems:
        render(problem).encode()


unhurried = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@unhurried
@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.text("[]{}:,-?&*!|>'\"%@`# \n\tab1~<")
)
def test_any_text_is_a_spec_or_a_problem(tmp_path: Path, text: str) -> None:
    check(text, tmp_path / "net.yaml")


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A shipped spec with a few stretches of it deleted, doubled, moved or replaced."""
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        words = st.sampled_from(["x", "~", "-1", "0", "none", "act", "1e9", "]", "}", ": ", "\n  "])
        elsewhere = draw(st.integers(0, len(text)))
        stretch = text[elsewhere : elsewhere + draw(st.integers(0, 40))]
        new = draw(st.sampled_from(["", 2 * text[start:end], stretch]) | words)
        text = text[:start] + new + text[end:]
    return text


@unhurried
@given(mutants())
def test_a_mutilated_spec_is_a_spec_or_a_problem(tmp_path: Path, text: str) -> None:
    check(
        text.replace("blocks/mobilenet.yaml", str(SPECS / "blocks/mobilenet.yaml")), tmp_path / "n"
    )
