"""Every rejected input has its exact message in a file beside it."""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from archc.compiler.language.codes import CODES
from archc.compiler.language.problems import Place, Problem, Source, SpecError, render
from archc.compiler.pipeline import compile_network
from archc.compiler.spec.load import SHIPPED

FOLDER = Path(__file__).parent / "problems"
FIXTURES = sorted(FOLDER.glob("*.yaml"))
CODE = re.compile(r"^\S+:\d+:\d+: (E\d+) ", re.MULTILINE)

NETWORK = """\
archc: 1
name: Net
params:
  alpha: {type: float, default: 1, above: 0}
  act: {type: activation, default: relu}
  size: {type: size, default: 3}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, filters: round_channels(8 * alpha), kernel: size}
  - {block: activation, act: act}
"""


def problems(path: Path, settings: Mapping[str, object] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as raised:
        compile_network(path, settings)
    return raised.value.problems


def said(path: Path, settings: Mapping[str, object] | None = None) -> str:
    return "\n".join(map(render, problems(path, settings)))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(
    path: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    golden(path.with_suffix(".txt"), said(Path(path.name)) + "\n")


def test_every_fixture_has_a_message_and_every_message_a_fixture() -> None:
    messages = {path.stem for path in FOLDER.glob("*.txt")}
    assert messages == {path.stem for path in FIXTURES}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_problem_points_into_its_file_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    found = problems(Path(path.name))
    assert len({render(problem) for problem in found}) == len(found)
    for problem in found:
        for place in (problem.place, *(place for _, place in problem.related)):
            line = place.source.lines[place.line - 1]
            assert 1 <= place.column <= len(line) + 1
            assert place.column + place.length - 1 <= max(len(line), place.column)


# ---------------------------------------------------------------- what no file alone brings about


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to stand in, with a sound `net.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NETWORK)
    return tmp_path


UNREADABLE = {
    "missing": (
        lambda path: None,
        "spec.yaml:1:1: E001 no such file",
    ),
    "directory": (
        lambda path: path.mkdir(),
        "spec.yaml:1:1: E001 this is a directory\n      = help: name a spec file in it",
    ),
    "latin_1": (
        lambda path: path.write_bytes("archc: 1\ndoc: größe\n".encode("latin-1")),
        "spec.yaml:1:1: E002 line 2 is not UTF-8 text (byte 0xf6)\n"
        "      = help: save the file as UTF-8",
    ),
    "utf_16": (
        lambda path: path.write_bytes("archc: 1\n".encode("utf-16")),
        "spec.yaml:1:1: E002 line 1 is not UTF-8 text (byte 0xff)\n"
        "      = help: save the file as UTF-8",
    ),
    "nul": (
        lambda path: path.write_bytes(b"archc: 1\n\0"),
        "spec.yaml:2:1: E002 control character U+0000\n    2 |\n      | ^\n      = help: remove it",
    ),
    "too_large": (
        lambda path: path.write_bytes(b"# " + b"x" * 2**19),
        "spec.yaml:1:1: E008 the file is larger than 512 KiB",
    ),
}


@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file(make: Callable[[Path], object], message: str, here: Path) -> None:
    make(Path("spec.yaml"))
    assert said(Path("spec.yaml")) == message


SETTINGS = {
    "unknown": (
        {"alhpa": "1"},
        "--set:1:1: E050 unknown parameter `alhpa`\n"
        "    1 | alhpa=1\n"
        "      | ^^^^^^^\n"
        "      = help: did you mean `alpha`?",
    ),
    "unknown_and_like_none": (
        {"dropout": "1"},
        "--set:1:1: E050 unknown parameter `dropout`\n"
        "    1 | dropout=1\n"
        "      | ^^^^^^^^^\n"
        "      = help: the parameters are `alpha`, `act`, `size`",
    ),
    "no_expression": (
        {"alpha": "1.0.0"},
        "--set:1:10: E051 unexpected `.0` after the end of the expression\n"
        "    1 | alpha=1.0.0\n"
        "      |          ^^",
    ),
    "no_function": (
        {"alpha": "sqrt(2)"},
        "--set:1:7: E051 unknown function `sqrt`\n"
        "    1 | alpha=sqrt(2)\n"
        "      |       ^^^^\n"
        "      = help: one of `round_channels`, `min`, `max`, `round`, `floor`, `ceil`",
    ),
    "wrong_arguments": (
        {"alpha": "min(1)"},
        "--set:1:7: E051 `min` takes 2 to 8 plain arguments\n"
        "    1 | alpha=min(1)\n"
        "      |       ^^^",
    ),
    "division_by_zero": (
        {"alpha": "1 / 0"},
        "--set:1:7: E051 a division by zero\n    1 | alpha=1 / 0\n      |       ^^^^^",
    ),
    "wrong_type": (
        {"alpha": "wide"},
        "--set:1:1: E034 `alpha` is `wide`; it must be a number\n"
        "    1 | alpha=wide\n"
        "      | ^^^^^^^^^^",
    ),
    "out_of_bounds": (
        {"alpha": 0},
        "--set:1:1: E035 `alpha` is 0; it must be above 0\n    1 | alpha=0\n      | ^^^^^^^",
    ),
    "unknown_word": (
        {"act": "hardswish"},
        "--set:1:1: E031 `act` is `hardswish`; it must be one of `relu`, `relu6`, "
        "`leaky_relu`, `elu`, `gelu`, `gelu_tanh`, `quick_gelu`, `sigmoid`, "
        "`hard_sigmoid`, `tanh`, `hard_tanh`, `swish`, `hard_swish`, `mish`, `softplus`, "
        "`softmax`, or `none`\n"
        "    1 | act=hardswish\n"
        "      | ^^^^^^^^^^^^^\n"
        "      = help: did you mean `hard_swish`?",
    ),
    "several": (
        {"alpha": "-1", "nope": "{}\n\"'"},
        "--set:1:1: E035 `alpha` is -1; it must be above 0\n"
        "    1 | alpha=-1\n"
        "      | ^^^^^^^^\n"
        "--set:1:1: E050 unknown parameter `nope`\n"
        "    1 | nope={}\n"
        "      | ^^^^^^^\n"
        "      = help: the parameters are `alpha`, `act`, `size`",
    ),
}


@pytest.mark.parametrize(("settings", "message"), SETTINGS.values(), ids=SETTINGS)
def test_bad_setting(settings: Mapping[str, object], message: str, here: Path) -> None:
    assert said(Path("net.yaml"), settings) == message


@pytest.mark.parametrize(("key", "verb"), [("extends: %s", "extend"), ("use: [%s]", "use")])
def test_too_many_files_in_a_row(key: str, verb: str, here: Path) -> None:
    for index in range(1000):
        base = f"spec{index - 1}.yaml" if index else "net.yaml"
        Path(f"spec{index}.yaml").write_text(f"archc: 1\n{key % base}\n")
    (only,) = problems(Path("spec999.yaml"))
    assert str(only.place).startswith("spec984.yaml:2:")
    assert (only.code, only.message) == ("E008", f"more than 16 files {verb} each other in a row")


NASNET = SHIPPED / "nasnet_a_large.yaml"
ODD = "E046 `penultimate_filters % 96 == 0` does not hold: `penultimate_filters` is 1000"
LINES = NASNET.read_text(encoding="utf-8").splitlines()
REQUIRED = next(n for n, line in enumerate(LINES, 1) if "penultimate_filters % 96" in line)
WHY = f"      = required here: {NASNET}:{REQUIRED}:5\n{REQUIRED:5} | {LINES[REQUIRED - 1]}\n"


@pytest.mark.parametrize("value", ["1000", 1000])
def test_filters_of_nasnet_that_do_not_divide_as_a_setting(value: object) -> None:
    assert said(NASNET, {"penultimate_filters": value}).startswith(
        f"--set:1:1: {ODD}\n"
        "    1 | penultimate_filters=1000\n"
        "      | ^^^^^^^^^^^^^^^^^^^^^^^^\n"
        f"{WHY}"
    )


def test_filters_of_nasnet_that_do_not_divide_in_a_variant(here: Path) -> None:
    variant = "archc: 1\nextends: nasnet_a_large.yaml\nset:\n  penultimate_filters: 1000\n"
    Path("odd.yaml").write_text(variant)
    assert said(Path("odd.yaml")).startswith(
        f"odd.yaml:4:24: {ODD}\n"
        "    4 |   penultimate_filters: 1000\n"
        "      |                        ^^^^\n"
        f"{WHY}"
    )
    Path("odd.yaml").write_text(variant.replace("1000", "960"))
    assert said(Path("odd.yaml"), {"penultimate_filters": 1000}).startswith(f"--set:1:1: {ODD}\n")


def test_filters_of_nasnet_that_do_not_divide_as_a_default(here: Path) -> None:
    text = NASNET.read_text(encoding="utf-8").replace("default: 4032", "default: 1000")
    Path("odd.yaml").write_text(text)
    first, line, caret, second, *_ = said(Path("odd.yaml")).splitlines()
    assert first.endswith(ODD)
    assert line[caret.index("^") : caret.rindex("^") + 1] == "1000"
    assert second == f"      = required here: odd.yaml:{REQUIRED}:5"


def test_a_setting_is_blamed_for_what_it_does_to_a_row(here: Path) -> None:
    Path("net.yaml").write_text(NETWORK.replace("round_channels(8 * alpha)", "7, groups: size"))
    assert said(Path("net.yaml"), {"size": "[2, 3]"}) == (
        "--set:1:1: E034 `groups` is `[2, 3]`; it must be a whole number\n"
        "    1 | size=[2, 3]\n"
        "      | ^^^^^^^^^^^\n"
        "      = used here: net.yaml:9:41\n"
        "    9 |   - {block: conv2d, filters: 7, groups: size, kernel: size}\n"
        "      |                                         ^^^^"
    )


def test_the_table_of_codes_and_the_tests_cover_each_other() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")]
    texts += [message for _, message in (*UNREADABLE.values(), *SETTINGS.values())]
    errors = {code for code in CODES if code.startswith("E")}
    assert errors == {code for text in texts for code in CODE.findall(text)}


# -------------------------------------------------------------------------------- what stays legal

TEXTS = [
    "quotes \" ' ` \"\"\" '''",
    "two\nlines",
    "braces {} {{ x }} {% if %} {# #}",
    "backslashes \\ \\n \\",
    "a # comment",
    "größe 画像 🙂",
    "%s %(name)s $PATH",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_may_hold_anything_that_can_be_printed(text: str, tmp_path: Path) -> None:
    quoted = json.dumps(text, ensure_ascii=False)
    path = tmp_path / "net.yaml"
    path.write_text(
        f"archc: 1\nname: Net\nsource: {quoted}\ndoc: {quoted}\n"
        f"params: {{alpha: {{type: float, default: 1, doc: {quoted}}}}}\n"
        "input: {channels: 3, height: 8, width: 8}\n"
        f"blocks:\n  b:\n    doc: {quoted}\n    steps: [{{y: identity(x)}}]\n"
        "network: [{block: b}]\n",
        encoding="utf-8",
    )
    assert compile_network(path).doc == " ".join(text.split())


# ------------------------------------------------------------------------------------- in no time


def test_a_bomb_of_aliases_is_refused_within_a_second() -> None:
    start = time.perf_counter()
    problems(FOLDER / "alias_bomb.yaml")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_nesting_is_refused_however_deep(text: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(text)
    start = time.perf_counter()
    assert {problem.code for problem in problems(path)} <= {"E004", "E008"}
    assert time.perf_counter() - start < 1


# --------------------------------------------------------------------------------------- rendering


def test_the_caret_stands_under_wide_characters() -> None:
    place = Place(Source("net.yaml", "doc: 画像 e\u0301t\u00e9 here"), 1, 14, 4)
    assert render(Problem("E020", "wrong", place)).splitlines()[1:] == [
        "    1 | doc: 画像 e\u0301t\u00e9 here",
        "      |               ^^^^",
    ]


def test_only_a_part_of_a_very_long_line_is_shown() -> None:
    place = Place(Source("net.yaml", "x" * 5000), 1, 2500, 5)
    lines = render(Problem("E020", "wrong", place)).splitlines()
    assert [len(line) for line in lines[1:]] == [8 + 160, 8 + 80 + 5]


def test_a_problem_needs_a_known_code() -> None:
    with pytest.raises(ValueError, match="E999 is not in the table"):
        Problem("E999", "wrong", Place(Source("net.yaml", ""), 1, 1))
