"""The site: it is built, asks nobody for anything, and has a true page for each code."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import archc
from archc.compiler.language.codes import CODES

ROOT = Path(__file__).parents[1]
SOURCE = "https://github.com/YOU/archc"
"""Whoever owns a copy writes their name there, everywhere at once."""


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "docs" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = pages()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


class Asked(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        loads = tag != "link" or said.get("rel") in ("stylesheet", "preload", "icon", "preconnect")
        names = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
        if tag in names and loads:
            self.found.append(said.get(names[tag]) or "")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    every = sorted(site.rglob("*.html"))
    assert len(every) > 30 + len(CODES)
    for path in every:
        asked = Asked()
        asked.feed(path.read_text(encoding="utf-8"))
        assert asked.found
        assert not [url for url in asked.found if re.match(r"([a-z]+:)?//", url)], path


def test_codes_lead_to_their_pages(site: Path) -> None:
    listed = (site / "language" / "problems" / "index.html").read_text(encoding="utf-8")
    for code in CODES:
        assert (site / "problems" / code / "index.html").is_file()
        if code[0] in "EW":
            assert f'href="../../problems/{code}/"' in listed
    assert 'href="../problems/P001/"' in (site / "project" / "index.html").read_text()
    assert 'href="../problems/T001/"' in (site / "training" / "index.html").read_text()
    assert 'href="../problems/R001/"' in (site / "weights" / "index.html").read_text()
    assert f"{SOURCE}/blob/main/specs/resnet50.yaml" in (site / "networks/index.html").read_text()


def test_every_code_is_written_about() -> None:
    assert list(PAGES.said()) == sorted(CODES, key=lambda code: ("EPRTW".index(code[0]), code))


@pytest.mark.parametrize("code", CODES)
def test_an_example_shows_its_code_and_is_mended(code: str, tmp_path: Path) -> None:
    files, messages, repair = PAGES.example(code)
    assert re.search(rf"^\S+:\d+:\d+: (?:warning: )?{code} ", messages, re.MULTILINE)
    own = PAGES.said()[code]
    if "repair" not in own:
        return  # tests/test_messages.py mends the fixtures of tests/problems
    changed = {name: replaced(text, repair) for name, text in files.items()}
    assert changed != files
    if "files" in own:
        assert code not in PAGES.told(changed, own["run"], code).partition("\n")[2]
    else:
        shutil.copytree(ROOT / "tests" / "warnings", tmp_path / "warnings")
        path = tmp_path / "warnings" / f"{own['fixture']}.yaml"
        path.write_text(changed[path.name], encoding="utf-8")
        assert code not in {warning.code for warning in archc.load(path).warnings}


def replaced(text: str, repair: Mapping[str, str]) -> str:
    for old, new in repair.items():
        text = text.replace(old, new)
    return text


def test_the_repository_has_one_address() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Source"] == SOURCE
    assert all(url.startswith(SOURCE) for url in urls.values())
    said = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert said["extra"]["source"] == SOURCE
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert f"repo: {SOURCE} " in text
    assert f"uses: {SOURCE.removeprefix('https://github.com/')}@" in text
