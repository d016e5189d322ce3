"""The expression language against Python's own, on random trees and on tables of examples."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archc.compiler.language import expressions as ex
from archc.compiler.language import parser
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Place, Source, SpecError

HERE = Place(Source("here", ""), 1, 1)
SCOPE = {"n": 3, "alpha": 0.75, "on": True, "nothing": None}


class Tensor:
    channels = 24
    stride = 2


def parse(text: str) -> Node:
    return parser.parse(text, Place(Source("here", text), 1, 1, len(text)))


def evaluate(text: str) -> object:
    return parse(text).evaluate({**SCOPE, ".x": Tensor()})


# ---------------------------------------------------------------------------------------- examples

LARGEST = 9007199254740992
BEYOND = [
    f"{LARGEST} + 1",
    f"-{LARGEST} - 1",
    f"{LARGEST} * 2",
    f"{LARGEST} * -2",
    f"-{LARGEST} / 0.5",
]


@pytest.mark.parametrize("text", BEYOND)
def test_results_beyond_the_largest_number_are_refused_on_both_sides(text: str) -> None:
    with pytest.raises(SpecError) as raised:
        evaluate(text)
    assert [p.message for p in raised.value.problems] == ["the result is too large"]


def test_the_largest_numbers_themselves_are_none_too_many() -> None:
    assert evaluate(f"{LARGEST} - 1 + 1") == LARGEST
    assert evaluate(f"-{LARGEST} + 1 - 1") == -LARGEST


VALUES = {
    "3": 3,
    "0.25": 0.25,
    ".5": 0.5,
    "2.": 2.0,
    "1e-3": 0.001,
    "012": 12,
    "-3": -3,
    "- -3": 3,
    "+3": 3,
    "true": True,
    "none": None,
    "n": 3,
    "x.channels * 6": 144,
    "x . stride": 2,
    "2 + 3 * 4": 14,
    "(2 + 3) * 4": 20,
    "7 - 2 - 1": 4,
    "1 / 4": 0.25,
    "-7 // 2": -4,
    "-7 % 4": 1,
    "7.5 // 2": 3.0,
    "-n": -3,
    "2 * -n": -6,
    "1 < 2 and 2 < 1": False,
    "not 1 < 2 or 2 > 1": True,
    "not n == 3": False,
    "none or 5": 5,
    "0 and 1 / 0": 0,
    "nothing == none": True,
    "n != none": True,
    "1 if on else 1 / 0": 1,
    "1 if nothing else 2 if false else 3": 3,
    "[3, 5]": (3, 5),
    "[1, 2, n, -1]": (1, 2, 3, -1),
    "[3,]": (3,),
    "[]": (),
    "round_channels(16 * alpha)": 16,
    "round_channels(30, 4)": 32,
    "min(n, 2, 7)": 2,
    "max(n, 4.5)": 4.5,
    "round(2.5)": 2,
    "floor(-0.5)": -1,
    "ceil(0.1)": 1,
    "floor(32 * alpha,)": 24,
    "  n\n  + 1 ": 4,
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_value(text: str, value: object) -> None:
    found = evaluate(text)
    assert found == value
    assert type(found) is type(value)


NO_EXPRESSIONS = [
    *("", " ", "+", "1 +", "(1", "1)", "[1", "1]", "1 2", "a b", "1 < 2 < 3", "2 ** 3", "2**2"),
    *("f(", "f(1", "f(a=", "f(a=1, 2)", "a.", "a.1", "a.b.c", "a[0]", "a.b(1)"),
    *("if", "else", "not", "and", "1 if 2", "lambda: 1", "a := 1", "a = 1", "a; b"),
    *("'a'", '"a"', "{a}", "a\\", "#", "$", "a @ b", "~a", "a & b"),
    *("1.2.3", "1_000", "0x10", "1e400", "9" * 25, "\u0663", "\uff13"),
    *("1 + " * 200 + "1", "(" * 40 + "1" + ")" * 40, "[" * 40 + "1" + "]" * 40),
    *("-" * 40 + "1", "not " * 40 + "1", "1 if 1 else " * 40 + "1", "f(" * 40 + "1" + ")" * 40),
]


@pytest.mark.parametrize("text", NO_EXPRESSIONS)
def test_text_that_is_no_expression(text: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(text)
    assert [problem.code for problem in raised.value.problems] == ["E020"]


NO_VALUES = [
    *("1 / 0", "1 // 0", "1 % 0", "1 / 0.0", "round_channels(8, 0)", "9e15 * 9e15", "1 / 5e-324"),
    *(
        "1 + none",
        "-none",
        "true + 1",
        "1 < none",
        "max(1, none)",
        "[1, none]",
        "2 * [1]",
        "same < 1",
    ),
]


@pytest.mark.parametrize("text", NO_VALUES)
def test_expression_without_a_value(text: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(text).evaluate({"same": "same"})
    assert [problem.code for problem in raised.value.problems] == ["E022"]


@pytest.mark.parametrize(
    ("text", "stretch"),
    [
        ("8 + n / 0", "n / 0"),
        ("2 * (1 + none)", "none"),
        ("-none * 2", "none"),
        ("max(1, none)", "none"),
        ("3 if none < 4 else 5", "none"),
    ],
)
def test_a_problem_points_at_the_part_it_is_about(text: str, stretch: str) -> None:
    with pytest.raises(SpecError) as raised:
        evaluate(text)
    place = raised.value.problems[0].place
    assert text[place.column - 1 :][: place.length] == stretch


@pytest.mark.parametrize(
    ("call", "code"),
    [("sqrt(4)", "E021"), ("min(1)", "E033"), ("floor(1, 2)", "E033"), ("floor(a=1)", "E033")],
)
def test_misused_function(call: str, code: str) -> None:
    node = parse(call)
    assert isinstance(node, ex.Call)
    misuse = node.misuse()
    assert misuse is not None
    assert misuse.code == code


# -------------------------------------------------------------------------------------- properties

names = st.sampled_from(["n", "alpha", "on", "nothing"])
numbers = st.integers(-100, 100) | st.floats(-1e6, 1e6).map(lambda value: value + 0.0)
literals = st.builds(ex.Literal, numbers, st.just(HERE))
leaves = literals | st.builds(ex.Name, names, st.just(HERE))
leaves |= st.just(ex.Attribute("x", "channels", HERE))


def trees(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Trees in the form that `parse` gives: a minus before a number belongs to the number."""
    here = st.just(HERE)
    negatable = inner.filter(lambda node: not isinstance(node, ex.Literal))
    functions = st.sampled_from(["min", "max"])
    pairs = st.tuples(inner, inner)
    return (
        st.builds(ex.Unary, st.just("not"), inner, here)
        | st.builds(ex.Unary, st.just("-"), negatable, here)
        | st.builds(ex.Binary, st.sampled_from(list(ex.ARITHMETIC)), inner, inner, here)
        | st.builds(ex.Compare, st.sampled_from(list(ex.COMPARISONS)), inner, inner, here)
        | st.builds(ex.Logic, st.sampled_from(["and", "or"]), inner, inner, here)
        | st.builds(ex.Conditional, inner, inner, inner, here)
        | st.builds(ex.Call, functions, pairs, st.just(()), here)
    )


def spell(node: Node) -> str:
    if isinstance(node, ex.Attribute):
        return f"{node.id}.{node.field}"
    return node.id if isinstance(node, ex.Name) else repr(node.value)  # type: ignore[union-attr]


expressions = st.recursive(leaves, trees, max_leaves=12)


@given(expressions)
def test_what_is_rendered_parses_to_the_same_tree(tree: Node) -> None:
    assert parse(ex.python(tree, spell)) == tree


@given(expressions)
def test_the_value_is_that_of_the_rendered_text_in_python(tree: Node) -> None:
    try:
        value = tree.evaluate({**SCOPE, ".x": Tensor()})
    except SpecError:
        assume(False)
    assert eval(ex.python(tree, spell), {**SCOPE, "x": Tensor()}) == value


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("a == none", "a is None"),
        ("not a != true", "not a is not True"),
        ("(a == none) == b", "(a is None) == b"),
        ("[3, n + 1]", "(3, n + 1)"),
        ("[n]", "(n,)"),
        ("(a - b) - (c - d)", "a - b - (c - d)"),
        ("-(a + b) * -3", "-(a + b) * -3"),
        ("-(-3)", "3"),
        ("(1 if a else b) if (c if d else e) else f", "(1 if a else b) if (c if d else e) else f"),
        ("(a or b) and not (c and d)", "(a or b) and not (c and d)"),
        ("max(a if b else c, 2)", "max(a if b else c, 2)"),
    ],
)
def test_rendered(text: str, python: str) -> None:
    words = {None: "None", True: "True", False: "False"}

    def name(node: Node) -> str:
        if isinstance(node, ex.Literal) and (node.value is None or isinstance(node.value, bool)):
            return words[node.value]
        return spell(node)

    assert ex.python(parse(text), name) == python


@given(st.text() | st.text("0123456789.+-*/%<>=!()[], abexif\n_'\"\\"))
def test_no_text_brings_about_anything_but_a_problem(text: str) -> None:
    try:
        node = parse(text)
    except SpecError:
        return
    assert list(ex.walk(node))


# ---------------------------------------------------------------------------------- round_channels


@given(st.floats(0, 1e6), st.integers(1, 64))
def test_rounded_channels_are_a_near_multiple(value: float, divisor: int) -> None:
    rounded = ex.round_channels(value, divisor)
    assert rounded % divisor == 0
    assert rounded >= max(divisor, 0.9 * value)
    assert rounded - value <= divisor


# Output widths of the inverted residuals of keras.applications' MobileNetV3Large and, in the last
# row, MobileNetV3Small, repeats left out.
PUBLISHED = [
    (1.0, [16, 24, 40, 80, 112, 160], [16, 24, 40, 80, 112, 160]),
    (0.75, [16, 24, 40, 80, 112, 160], [16, 24, 32, 64, 88, 120]),
    (0.75, [16, 24, 40, 48, 96], [16, 24, 32, 40, 72]),
]


@pytest.mark.parametrize(("alpha", "widths", "published"), PUBLISHED)
def test_rounded_channels_are_the_published_widths(
    alpha: float, widths: list[int], published: list[int]
) -> None:
    assert [ex.round_channels(width * alpha) for width in widths] == published


# By hand, from max(8, int(v + 4) // 8 * 8), plus 8 where that falls below 0.9 v.
@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0, 8), (1, 8), (11.9, 16), (12, 16), (18, 24), (20, 24), (30, 32), (33, 32), (36, 40)],
)
def test_halves_round_up_and_nothing_falls_below_nine_tenths(value: float, rounded: int) -> None:
    assert ex.round_channels(value) == rounded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("round(2.5)", 2),
        ("round(0.0375000001, 4)", 0.0375),
        ("round(2.675, 0)", 3.0),
        ("round(7, 1)", 7.0),
    ],
)
def test_round_takes_digits(text: str, value: float) -> None:
    assert evaluate(text) == value
    assert type(evaluate(text)) is type(value)
