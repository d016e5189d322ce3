"""The pages of the language are current, what they show is true, and links lead somewhere."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from archc.compiler.bind.program import bind
from archc.compiler.language.expressions import FUNCTIONS
from archc.compiler.pipeline import check_interfaces, compile_network, load, run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
PAGES: dict[Path, str] = GENERATOR.pages(DOCS)
PAGE = "\n".join(PAGES.values())
EXAMPLES: dict[str, str] = GENERATOR.examples(PAGE)
REST = {
    "archc": "1",
    "name": "Example",
    "use": "[blocks/mobilenet.yaml]",
    "input": "{channels: 3, height: 32, width: 32}",
}
"""What the pages leave out of an example that shows some keys alone."""


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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_generated_parts_are_current(path: Path) -> None:
    assert GENERATOR.generated(PAGES[path], PAGE) == PAGES[path], "run `python docs/generate.py`"


def test_every_generated_part_stands_once() -> None:
    assert sorted(re.findall(r"generated: ([a-z-]+)", PAGE)) == sorted(GENERATOR.SECTIONS)


def test_check_says_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    page = docs / "language" / "activations.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("max(x, 0)", "x", 1), encoding="utf-8")
    monkeypatch.setattr(GENERATOR, "DOCS", docs)
    assert GENERATOR.main(["--check"]) == 1
    assert "+| `relu` | max(x, 0) |" in capsys.readouterr().out
    assert GENERATOR.main([]) == 0
    assert page.read_text(encoding="utf-8") == text
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


# -------------------------------------------------------------------------------------------- links

EVERY = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def prose(path: Path) -> str:
    """A page without what stands in fences."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """What its headings are called in addresses, by GitHub and on the site."""
    heads = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
