"""`archc check --format`: problems for programs, and libraries of blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from archc.cli import cli

SPEC = """\
archc: 1
name: Net
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, name: stem, filters: 4, kernal: 3}
"""
LIBRARY = """\
archc: 1
blocks:
  unit:
    params: {out: int}
    steps:
      - conv: conv2d(x, out, kernel=3)
"""


def run(*arguments: str) -> Result:
    """As the command line does: a `SpecError` is what `main` prints."""
    return CliRunner().invoke(cli, ["check", *arguments])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC)
    Path("good.yaml").write_text(SPEC.replace("kernal", "kernel"))
    Path("unit.yaml").write_text(LIBRARY)


def test_problems_as_json() -> None:
    done = run("net.yaml", "good.yaml", "--format", "json")
    assert done.exit_code == 2
    (first,) = json.loads(done.stdout)
    place = {"file": "net.yaml", "line": 5, "column": 45, "length": 6}
    assert (
        first.items()
        >= {"code": "E032", "severity": "error", "hint": "did you mean `kernel`?"}.items()
        | place.items()
    )


def test_problems_as_annotations() -> None:
    done = run("net.yaml", "-f", "github")
    line = done.stdout.splitlines()[0]
    assert line.startswith("::error title=E032,file=net.yaml,line=5,col=45::")
    assert line.endswith("; did you mean `kernel`?")


def test_problems_as_sarif() -> None:
    log = json.loads(run("net.yaml", "-f", "sarif").stdout)
    (driven,) = log["runs"]
    assert [rule["id"] for rule in driven["tool"]["driver"]["rules"]] == ["E032"]
    region = driven["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 5, "startColumn": 45}


def test_nothing_is_wrong() -> None:
    assert json.loads(run("good.yaml", "-f", "json").stdout) == []
    assert (run("good.yaml", "-f", "github").stdout, run("good.yaml").exit_code) == ("", 0)


def test_a_format_is_of_problems() -> None:
    done = run("good.yaml", "-f", "json", "--numeric")
    assert (done.exit_code, "--format json is of problems" in done.output) == (2, True)


def test_libraries_are_checked_by_themselves() -> None:
    assert run("unit.yaml", "good.yaml").stdout == (
        "unit.yaml: fine, 1 block\ngood.yaml: fine, 112 parameters\n"
    )
    Path("unit.yaml").write_text(LIBRARY.replace("kernel=3", "kernal=3"))
    (first, *_) = json.loads(run("unit.yaml", "-f", "json").stdout)
    assert (first["code"], first["file"], first["line"]) == ("E032", "unit.yaml", 6)


def test_the_hooks_are_commands_that_there_are() -> None:
    hooks = yaml.safe_load((Path(__file__).parents[1] / ".pre-commit-hooks.yaml").read_text())
    for hook in hooks:
        name, *given = hook["entry"].split()[1:]
        known = {opt for param in cli.get_command(None, name).params for opt in param.opts}
        assert {*given} <= known
