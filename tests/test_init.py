"""`archc init`, `list` and `show`: what a project begins with, and what comes with archc."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archc.commands.list import KINDS
from archc.compiler.spec.folders import SHIPPED, networks

from .running import Result, Run, runner

SPEC = """\
archc: 1
extends: lenet_cifar.yaml
name: A
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a folder with one spec."""
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    Path("specs/a.yaml").write_text(SPEC)

    return runner(capsys)


def fates(result: Result) -> dict[str, str]:
    """What became of each file."""
    return dict(re.findall(r"^(.*): (created|changed|unchanged),", result.out, re.MULTILINE))


def test_init_begins_a_project_that_is_sound(run: Run) -> None:
    begun = run("init", "new", "--extends", "mnv3_large", "--name", "cat_net")
    assert begun.out.splitlines() == [
        "new/archc.toml: created",
        "new/specs/cat_net.yaml: created",
        "new/.github/workflows/archc.yml: created",
        "new/.pre-commit-config.yaml: created",
    ]
    os.chdir("new")
    assert run("check").out == "specs/cat_net.yaml: fine, 4,214,842 parameters\n"
    assert [*fates(run("build"))] == ["generated/cat_net_keras.py", "generated/cat_net_torch.py"]
    assert run("build", "--check") == (0, "", "")
    commented = Path("archc.toml").read_text().partition("of its own:\n#\n")[2]
    with Path("archc.toml").open("a") as file:
        file.write(commented.replace("# ", ""))
    assert "generated/cat_net_small_torch.py" in fates(run("build"))


def test_what_init_writes_for_others_is_theirs(run: Run) -> None:
    run("init", "new")
    workflow = yaml.safe_load(Path("new/.github/workflows/archc.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["generated"]["steps"] if "run" in step]
    assert re.fullmatch(r"pip install archc-compiler==[0-9.]+", commands[0])
    assert commands[1:] == ["archc check", "archc build --check"]
    hooks = yaml.safe_load(Path("new/.pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert re.fullmatch(r"archc-compiler==[0-9.]+", hooks[0]["additional_dependencies"][0])
    files = re.compile(hooks[0]["files"])
    assert all(
        map(files.search, ["archc.toml", "specs/a.yaml", "recipes/r.yaml", "generated/a.py"])
    )
    assert not files.search("src/specs/a.py")


def test_the_workflow_may_use_the_action(run: Run) -> None:
    run("init", "new", "--action", "me/archc@v0.1.0")
    workflow = yaml.safe_load(Path("new/.github/workflows/archc.yml").read_text())
    *_, step = workflow["jobs"]["archc"]["steps"]
    assert step == {"uses": "me/archc@v0.1.0"}
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}


def test_init_replaces_nothing(run: Run) -> None:
    Path("archc.toml").write_text("")
    assert "archc.toml describes a project already." in run("init").err
    Path("archc.toml").unlink()
    Path("pyproject.toml").write_text("[tool.archc]\n")
    assert "pyproject.toml describes a project already." in run("init").err
    Path("pyproject.toml").write_text("[project]\n")
    Path(".pre-commit-config.yaml").write_text("repos: []\n")
    begun = run("init", "--name", "a")
    assert "specs/a.yaml: left as it is\n" in begun.out
    assert ".pre-commit-config.yaml: left as it is\n" in begun.out
    assert "to add there:\n  - repo: local\n" in begun.err
    assert Path("specs/a.yaml").read_text() == SPEC
    assert Path(".pre-commit-config.yaml").read_text() == "repos: []\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--extends", "mnv3_lrge"], "'mnv3_lrge' is no shipped spec; did you mean the shipped"),
        (["--extends", "blocks/mobilenet"], "is no shipped spec"),
        (["--extends", "../x"], "is no shipped spec; archc list networks shows"),
        (["--name", "../x"], "'../x' is no name such as my_net"),
        (["--name", "true"], "`True` is a reserved word"),
        (["-b", "jax"], "'jax' is not one of"),
        (["--action", "archc"], "'archc' is not of the form OWNER/REPO@REF."),
        (["--action", "me/archc@v1\n      - run: x"], "is not of the form OWNER/REPO@REF."),
    ],
)
def test_init_refuses(run: Run, arguments: list[str], said: str) -> None:
    result = run("init", "new", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert not Path("new").exists()


@pytest.mark.parametrize("base", ["lenet_cifar", "lraspp_mnv3_large", "nasnet_a_cifar"])
def test_any_network_can_be_begun_with(run: Run, base: str) -> None:
    run("init", "new", "--extends", base)
    assert run("check", "new/specs/my_net.yaml", "--strict").code == 0


def test_list(run: Run) -> None:
    out = run("list").out
    assert re.search(r"^mnv3_large +3x224x224 +5,483,032 +216,589,760$", out, re.MULTILINE)
    assert re.search(r"^inverted_residual +blocks/mobilenet.yaml +x, out, kernel", out, re.M)
    assert re.search(r"^timm:mobilenetv3_large_100 +mnv3_large +[a-z]", out, re.MULTILINE)
    found = json.loads(run("list", "--json").out)
    assert [*found] == [*KINDS]
    assert [entry["name"] for entry in found["networks"]] == networks()
    assert [*json.loads(run("list", "blocks", "--json").out)] == ["blocks"]
    assert "is not one of" in run("list", "specs").err


def test_every_source_is_of_a_shipped_spec(run: Run) -> None:
    sources = json.loads(run("list", "sources", "--json").out)["sources"]
    assert {source["spec"] for source in sources} <= {*networks()}


def test_show(run: Run) -> None:
    text = (SHIPPED / "mnv3_large.yaml").read_text()
    assert run("show", "mnv3_large") == run("show", "mnv3_large.yaml") == (0, text, "")
    library = (SHIPPED / "blocks" / "mobilenet.yaml").read_text()
    line = library.split("\n").index("  inverted_residual:") + 1
    note = f"archc: note: inverted_residual is in blocks/mobilenet.yaml, line {line}\n"
    assert run("show", "inverted_residual") == (0, library, note)
    assert run("show", "timm:mobilenetv3_large_100").out.startswith("archc: 1\n")
    assert "did you mean mnv3_large or" in run("show", "mnv3_lrge").err
    assert "'?' does not come with archc; `archc list` shows what does." in run("show", "?").err


def test_a_copy_counts_in_the_place_of_the_shipped_one(run: Run) -> None:
    copied = run("show", "blocks/mobilenet", "--copy")
    assert copied.out == "blocks/mobilenet.yaml: a copy of the shipped one\n"
    assert "exists already; --force replaces it." in run("show", "blocks/mobilenet", "--copy").err
    assert run("show", "blocks/mobilenet", "--copy", "--force").code == 0
    run("show", "mnv3_large", "--copy")
    assert run("check", "mnv3_large.yaml").out == "mnv3_large.yaml: fine, 5,483,032 parameters\n"
    library = Path("blocks/mobilenet.yaml")
    library.write_text(library.read_text().replace("  conv_bn:", "  conv_bnx:"))
    assert run("check", "mnv3_large.yaml").code == 2


def test_no_framework_is_imported(run: Run) -> None:
    Path("archc.toml").write_text('specs = ["specs/*.yaml"]\n')
    code = (
        "import sys; from archc.cli import main\n"
        "for line in ('init x', 'list', 'show mnv3_large', 'check', 'build'):\n"
        "    main(line.split())\n"
        "assert not {'torch', 'keras', 'tensorflow', 'numpy', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
