"""The table of docs/networks.md is what is measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("keras")
pytest.importorskip("torch")

from .shipped import marks

ROOT = Path(__file__).parents[1]


def command() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fidelity", ROOT / "docs" / "fidelity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMAND = command()
LINES: dict[str, str] = COMMAND.recorded(COMMAND.PAGE.read_text(encoding="utf-8"))


def cases() -> list[object]:
    return [
        pytest.param(name, marks=marks(COMMAND.rules.find(name).source.spec), id=name)
        for name in COMMAND.sources()
    ]


def test_the_table_has_every_source() -> None:
    assert list(LINES) == COMMAND.sources(), "run `python docs/fidelity.py`"


@pytest.mark.parametrize("source", cases())
def test_a_line_is_what_is_measured(source: str) -> None:
    try:
        row = COMMAND.measured(source)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    print(row)
    assert COMMAND.wrong(LINES[source], row) is None


ROW = ("timm:x", "[y](specs/y.yaml)", "padding")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((2e-5, 3e-6), None),
        ((9e-5, 3e-6), None),
        ((3e-4, 3e-6), "timm:x: 3.0e-04, where 0.0001 is the most"),
        ((float("nan"), 3e-6), "timm:x: nan, where 0.0001 is the most"),
        ((1e-6, 3e-6), "timm:x: the table says 2e-05, measured is 1.0e-06"),
        ((2e-5, 0.0), None),
    ],
)
def test_what_the_check_says_of_numbers(numbers: tuple[float, float], said: str | None) -> None:
    line = COMMAND.Row(*ROW, (2e-5, 3e-6)).text()
    assert line == "| `timm:x` | [y](specs/y.yaml) | padding | 2e-05 | 3e-06 |"
    assert COMMAND.wrong(line, COMMAND.Row(*ROW, numbers)) == said


def test_what_the_check_says_of_words() -> None:
    line = COMMAND.Row(*ROW, (2e-5, 3e-6)).text().replace("padding", "another padding")
    assert "out of date" in COMMAND.wrong(line, COMMAND.Row(*ROW, (2e-5, 3e-6)))


def test_the_command_writes_what_the_check_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "networks.md"
    steps = "<!-- steps -->\n\nOf no models.\n\n<!-- end -->\n"
    page.write_text(f"{steps}before\n<!-- fidelity -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(COMMAND, "stepped", lambda name: COMMAND.Stepped("timm:x", 5, 1e-15))
    monkeypatch.setattr(COMMAND, "PAGE", page)
    monkeypatch.setattr(COMMAND, "sources", lambda: ["timm:x"])
    monkeypatch.setattr(COMMAND, "measured", lambda name: COMMAND.Row(*ROW, (2e-5, 0.0)))
    assert COMMAND.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        "timm:x: not as in the rules\ntimm:x: out of date; now | `timm:x` | 5 | 1e-15 |\n"
    )
    assert COMMAND.main([]) == 0
    assert page.read_text().endswith("| padding | 2e-05 | 0 |\n\n<!-- end -->\nafter\n")
    assert COMMAND.main(["--check"]) == 0
