"""The GitHub Action: its script in a repository of its own, with a `gh` that only takes notes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "action" / "review.sh"
BIN = Path(sys.executable).parent
NET = """\
archc: 1
name: Net
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 3}
  - {block: conv2d, name: last, filters: 8, kernel: 3}
"""
GH = f"""\
#!{sys.executable}
import json, os, sys
from pathlib import Path
state = Path(os.environ["FAKE_GH"])
given = json.loads(state.read_text())
if given["refuses"]:
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
if "--jq" in sys.argv:
    print(*given["ids"], sep="\\n", end="\\n" * bool(given["ids"]))
else:
    body = Path(sys.argv[-1].removeprefix("body=@")).read_text()
    given["calls"].append([sys.argv[sys.argv.index("--method") + 1], sys.argv[-3], body])
    state.write_text(json.dumps(given))
"""


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Repository:
    """A project under version control, and what became of a review of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin, self.state = folder.parent / "bin", folder.parent / "gh.json"
        self.summary = folder.parent / "summary.md"
        self.bin.mkdir()
        self.executable("gh", GH)
        self.executable("archc", f'#!/bin/sh\nexec {sys.executable} -m archc "$@"\n')
        self.executable("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.gh()
        git("init", "--quiet")
        Path("specs").mkdir()
        Path("specs/net.yaml").write_text(NET)
        Path("archc.toml").write_text('specs = ["specs/*.yaml"]\nbackends = ["torch"]\n')
        subprocess.run([str(self.bin / "archc"), "build"], check=True, capture_output=True)
        self.base = self.commit()

    def executable(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def gh(self, ids: list[int] | None = None, refuses: bool = False) -> None:
        self.state.write_text(json.dumps({"ids": ids or [], "refuses": refuses, "calls": []}))

    @property
    def calls(self) -> list[list[str]]:
        found: list[list[str]] = json.loads(self.state.read_text())["calls"]
        return found

    def commit(self) -> str:
        git("add", "--all")
        git("commit", "--quiet", "--message", "x")
        return git("rev-parse", "HEAD")

    def edit(self, old: str, new: str, built: bool = True) -> None:
        Path("specs/net.yaml").write_text(NET.replace(old, new))
        if built:
            subprocess.run([str(self.bin / "archc"), "build"], check=False, capture_output=True)
        self.commit()

    def review(self, **said: str) -> subprocess.CompletedProcess[str]:
        given = {"specs": "", "base": self.base, "comment": "true", "build": "true", "pull": "7"}
        environment = {f"ARCHC_{key.upper()}": value for key, value in (given | said).items()}
        more = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "FAKE_GH": str(self.state),
            "GITHUB_REPOSITORY": "them/theirs",
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        return subprocess.run(
            [str(SCRIPT)], capture_output=True, text=True, env={**os.environ, **environment, **more}
        )


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Repository(folder)


def test_an_edit_is_a_comment_and_a_summary(repository: Repository) -> None:
    repository.edit("filters: 8", "filters: 6")
    done = repository.review()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    ((method, where, body),) = repository.calls
    assert (method, where) == ("POST", "repos/them/theirs/issues/7/comments")
    assert body.startswith("<!-- archc -->\n")
    base = git("rev-parse", "--short", repository.base)
    assert f"**{base}:specs/net.yaml → specs/net.yaml: interface broken**" in body
    assert "| `~` | `last` | filters 8 -> 6 |" in body
    assert repository.summary.read_text() == body


def test_its_own_comment_is_written_anew(repository: Repository) -> None:
    repository.gh(ids=[41, 42])
    done = repository.review()
    assert done.returncode == 0
    ((method, where, body),) = repository.calls
    assert (method, where) == ("PATCH", "repos/them/theirs/issues/comments/41")
    assert body == "<!-- archc -->\nNo network differs.\n"


def test_where_nothing_differs_there_is_no_comment(repository: Repository) -> None:
    assert repository.review().returncode == 0
    assert repository.calls == []


def test_stale_files_and_problems_fail(repository: Repository) -> None:
    repository.edit("filters: 8", "filters: 6", built=False)
    done = repository.review()
    assert done.returncode == 1
    assert "1 file is not as the spec has it" in done.stderr
    assert repository.review(build="false").returncode == 0
    repository.edit("filters: 8", "filtres: 6")
    done = repository.review()
    assert done.returncode == 2
    assert "::error title=E032,file=specs/net.yaml,line=6,col=33::" in done.stdout
    assert "**specs/net.yaml** cannot be compared" in repository.summary.read_text()


def test_a_network_that_is_new(repository: Repository) -> None:
    Path("specs/other.yaml").write_text("archc: 1\nextends: net.yaml\nname: Other\n")
    repository.commit()
    done = repository.review(specs=":(glob)specs/*.yaml\n")
    assert done.returncode == 0
    ((_, _, body),) = repository.calls
    assert "**specs/other.yaml** is new." in body
    assert "| last | conv2d | 3x3 | 4x8x8 | 8x8x8 | 5x5 | 296 |" in body
    assert "net.yaml →" not in body


def test_a_token_that_may_not_write_leaves_the_summary(repository: Repository) -> None:
    repository.gh(refuses=True)
    repository.edit("filters: 8", "filters: 6")
    done = repository.review()
    assert done.returncode == 0
    assert "::warning::archc: there is no comment" in done.stdout
    assert "filters 8 -> 6" in repository.summary.read_text()


def test_without_a_pull_request_specs_are_checked_alone(repository: Repository) -> None:
    assert repository.review(base="", pull="").returncode == 0
    assert repository.review(specs="nets/*.yaml").returncode == 2
    assert repository.calls == []


def test_a_text_of_a_spec_is_no_command(repository: Repository) -> None:
    name = "specs/$(touch x);'\"`touch x`.yaml"
    Path(name).write_text(NET.replace("name: Net", 'name: Net\ndoc: "$(touch x) `touch x`"'))
    repository.commit()
    assert repository.review(build="false").returncode == 0
    assert not Path("x").exists()


def test_a_shell_has_nothing_to_say_of_the_scripts() -> None:
    scripts = [str(SCRIPT), *map(str, sorted((ROOT / ".ci").iterdir()))]
    done = subprocess.run([BIN / "shellcheck", *scripts], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_action_is_one() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-actions"]
    done = subprocess.run([*command, ROOT / "action.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    said: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    *_, last = said["runs"]["steps"]
    assert all("${{" not in step.get("run", "") for step in said["runs"]["steps"])
    taken = set(re.findall(r"\$(ARCHC_[A-Z]+)", SCRIPT.read_text(encoding="utf-8")))
    assert {name for name in last["env"] if name.startswith("ARCHC_")} == taken


def test_the_page_lists_the_inputs() -> None:
    said: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == list(said["inputs"])


def test_workflows_of_the_pages_and_of_init_are_some(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (workflow,) = re.findall(r"^```yaml\n(# \.github.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "page.yml").write_text(workflow)
    files = [tmp_path / "page.yml"]
    for name, more in {"plain": [], "action": ["--action", "me/archc@main"]}.items():
        command = [BIN / "archc", "init", tmp_path / name, *more]
        subprocess.run(command, check=True, capture_output=True)
        files.append(tmp_path / name / ".github/workflows/archc.yml")
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
