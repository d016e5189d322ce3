"""What the site has beside the pages here: pages of codes, and links that leave the docs.

MkDocs calls `on_files` and `on_page_markdown` (see mkdocs.yml). The pages of codes are made of the
compiler's table, of docs/problems.yaml, and of fixtures of the tests with their exact messages.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from archc import cli
from archc.compiler.language.codes import CODES

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
FIXTURES = {"E": TESTS / "problems", "T": TESTS / "recipes", "W": TESTS / "warnings"}
"""By the letter of a code."""
MOST = 2
"""Messages of an example that a page shows; a fixture may have many."""
KINDS = {
    "E": "A problem of a spec.",
    "P": "A problem of [a project's file](../project.md).",
    "R": "A problem of [rules for weights](../weights.md#rules-of-your-own).",
    "T": "A problem of [a recipe of training](../training.md).",
    "W": "A [warning](../language/problems.md#warnings): what is meant can stay, with"
    " `# archc: allow {code}` at the end of its line. `--strict` makes it an error.",
}


@cache
def said() -> dict[str, Any]:
    """What docs/problems.yaml says of each code."""
    return _read(Path(__file__).with_name("problems.yaml"))


@cache
def repairs() -> dict[str, dict[str, str]]:
    return _read(TESTS / "repairs.yaml")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


# ------------------------------------------------------------------------------ pages of codes


def page(code: str) -> str:
    """The page of a code."""
    return "\n\n".join(_parts(code)) + "\n"


def _parts(code: str) -> Iterator[str]:
    own = said()[code]
    meaning = CODES[code]
    yield f"# {code}: {meaning}"
    yield KINDS[code[0]].format(code=code)
    yield own["means"]
    files, messages, repair = example(code)
    yield "## An example"
    for name, text in files.items():
        yield _fenced(name, text)
    yield f"```text\n{messages}\n```"
    yield f"## How to mend it\n\n{own['mend']}"
    if repair:
        yield f"Here, for instance:\n\n```diff\n{_diff(files, repair)}```"


def _fenced(name: str, text: str) -> str:
    language = "toml" if name.endswith(".toml") else "yaml"
    return f'```{language} title="{name}"\n{text.rstrip()}\n```'


def example(code: str) -> tuple[dict[str, str], str, Mapping[str, str]]:
    """Files, what archc says of them, and what to write for what in the first of them."""
    own = said()[code]
    if "files" in own:
        return own["files"], told(own["files"], own["run"], code), own.get("repair", {})
    name = own["fixture"]
    folder = FIXTURES[code[0]]
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    beside = {used: (folder / used).read_text(encoding="utf-8") for used in _used(text, folder)}
    messages = (folder / f"{name}.txt").read_text(encoding="utf-8")
    fix = repairs().get(name, {}) if code[0] == "E" else own.get("repair", {})
    return {f"{name}.yaml": text, **beside}, of_code(messages, code), fix


def _used(text: str, folder: Path) -> list[str]:
    found = dict.fromkeys(re.findall(r"\blib/\w+\.yaml", text))
    return [name for name in found if (folder / name).is_file()]


def of_code(messages: str, code: str) -> str:
    """The first messages of a code."""
    every = re.split(r"^(?=\S+:\d+:\d+: )", messages.rstrip("\n"), flags=re.MULTILINE)
    ours = [m.rstrip("\n") for m in every if re.match(rf"\S+ (?:warning: )?{code} ", m)]
    return "\n".join(ours[:MOST])


def told(files: Mapping[str, str], command: str, code: str) -> str:
    """What a command says of files."""
    before = os.getcwd()
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                cli.main(command.split())
        except SystemExit:
            pass
        finally:
            os.chdir(before)
    return f"$ archc {command}\n{of_code(err.getvalue(), code)}"


def mended(files: Mapping[str, str], repair: Mapping[str, str]) -> str:
    """The first file as it is once mended, or the one that a repair is of."""
    text = next(text for text in files.values() if next(iter(repair)) in text)
    for old, new in repair.items():
        text = text.replace(old, new)
    return text


def _diff(files: Mapping[str, str], repair: Mapping[str, str]) -> str:
    before = next(text for text in files.values() if next(iter(repair)) in text)
    lines = before.splitlines(keepends=True), mended(files, repair).splitlines(keepends=True)
    changed = [*difflib.unified_diff(*lines, n=0)][2:]
    return "".join(line for line in changed if not line.startswith("@@"))


# ---------------------------------------------------------------------------------- of MkDocs

OUTSIDE = re.compile(
    r"\]\(\.\./((?:README|action|backends|compiler|generated|specs|src|tests)\b[^)]*)\)"
)
"""Links from the pages here to what is no page."""
TABLED = re.compile(r"^\| `([EPRTW]\d{3})` \|", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages of codes."""
    from mkdocs.structure.files import File

    for code in CODES:
        files.append(File.generated(config, f"problems/{code}.md", content=page(code)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Leads codes to their pages, and files of the repository to where it is."""
    depth = page.file.src_uri.count("/")
    to = "../" * depth + "problems"
    found = OUTSIDE.sub(rf"]({config.extra['source']}/blob/main/\1)", markdown)
    return TABLED.sub(rf"| [`\1`]({to}/\1.md) |", found)
