"""The reference page is current, and what it shows is true."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from archc.compiler.bind.program import bind
from archc.compiler.language.expressions import FUNCTIONS
from archc.compiler.pipeline import check_interfaces, compile_network, load, run

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "language.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
EXAMPLES: dict[str, str] = GENERATOR.examples(PAGE)
REST = {
    "archc": "1",
    "name": "Example",
    "use": "[blocks/mobilenet.yaml]",
    "input": "{channels: 3, height: 32, width: 32}",
}
"""What the page leaves out of an example that shows some keys alone."""


def complete(text: str) -> str:
    keys = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    rest = {} if "archc" in keys else REST
    return "".join(f"{key}: {rest[key]}\n" for key in rest if key not in keys) + text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name, text in EXAMPLES.items():
        (folder / name).write_text(complete(text))
    return folder


def test_the_generated_parts_are_current() -> None:
    assert GENERATOR.generated(PAGE) == PAGE, "run `python docs/generate.py`"
    assert set(re.findall(r"generated: ([a-z-]+)", PAGE)) == set(GENERATOR.SECTIONS)


def test_check_says_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "language.md"
    page.write_text(PAGE.replace("max(x, 0)", "x"), encoding="utf-8")
    monkeypatch.setattr(GENERATOR, "PAGE", page)
    assert GENERATOR.main(["--check"]) == 1
    assert "+| `relu` | max(x, 0) |" in capsys.readouterr().out
    assert GENERATOR.main([]) == 0
    assert page.read_text(encoding="utf-8") == PAGE
    assert GENERATOR.main(["--check"]) == 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_compiles(name: str, folder: Path) -> None:
    files, problems = load(folder / name)
    assert files is not None
    assert not problems
    assert files.spec is not None
    if files.spec.network is None:
        run(folder / name, (load, bind, check_interfaces))
    else:
        compile_network(folder / name)


def test_every_function_is_described() -> None:
    assert set(re.findall(r"`([a-z_]+)\([^`]*\)`", PAGE)) >= set(FUNCTIONS)


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors
