"""What the README shows is what archc says, and every command of the docs is one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

import archc
from archc.cli import Commands, cli

from .pages import FENCE, IDENTITY, plain
from .running import runner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = [text for _, text in FENCE.findall(README)]
SPEC = "specs/mnv3_large.yaml"
MY_NET = """\
archc: 1
name: MyNet
doc: What the README has two mistakes in.
use: [blocks/mobilenet.yaml]
input: {channels: 3, height: 64, width: 64}
network:
  - columns: [block, kernel, out, act,        stride]
    rows:
      - [conv_bn, 3,      16, hard_swich, 2]
  - columns: [block,        kernel, expand, out, act,  stride, repeat]
    rows:
      - [inverted_residual, 3,      6,      24,  relu, 2,      3]
    name: stages
"""


def fence(start: str) -> str:
    """The fence that starts so, without that."""
    (found,) = [text for text in FENCES if text.startswith(start)]
    return found.removeprefix(start)


def parts(text: str) -> list[str]:
    """What an excerpt has between the lines that stand for more."""
    return re.split(r"^ *# \.\.\..*\n", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("start", "file"),
    [
        (f"# {SPEC}\n", ROOT / SPEC),
        ("class MobileNetV3Large(nn.Module):\n", ROOT / "generated/mnv3_large_torch.py"),
        ("extends: mnv3_large.yaml\n", ROOT / "specs/mnv3_large_minimalistic.yaml"),
    ],
)
def test_excerpts(start: str, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert start.startswith("#") or start in text
    assert all(part in text for part in parts(fence(start)))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The specs in a repository of their own."""
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    shutil.copytree(ROOT / "generated", tmp_path / "generated")
    monkeypatch.chdir(tmp_path)
    for command in ("git init -q", "git add specs", "git commit -qm x"):
        subprocess.run(command.split(), check=True, env={**os.environ, **IDENTITY})
    return tmp_path


def test_what_build_says(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runner(capsys, "build", SPEC, "--backend", "torch")
    assert run("--out", "mine").out == fence(f"$ archc build {SPEC} --backend torch --out mine\n")
    (said,) = re.findall(r"ends with\n`(.*?)`", README)
    assert run().out == f"{said}\n"


def test_what_an_edit_does(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old,) = re.findall(r"^-( +Inverted.*\n)", README, re.MULTILINE)
    (new,) = re.findall(r"^\+( +Inverted.*\n)", README, re.MULTILINE)
    before = archc.load(SPEC).source("torch")
    row = "[inverted_residual, 3,      6,      80,"
    text = Path(SPEC).read_text()
    Path(SPEC).write_text(text.replace(row, row.replace("3", "5", 1)))
    after = archc.load(SPEC).source("torch")
    body = before.index("class MobileNetV3Large"), after.index("class MobileNetV3Large")
    assert before[body[0] :].replace(old, new) == after[body[1] :]
    assert runner(capsys, "diff")(SPEC).out == fence(f"$ archc diff {SPEC}\n")


def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = runner(capsys, "check", "my_net.yaml")
    Path("my_net.yaml").write_text(MY_NET)
    first, second = [text for text in FENCES if text.startswith("$ archc check my_net.yaml\n")]
    assert run().err == first.partition("\n")[2]
    Path("my_net.yaml").write_text(MY_NET.replace("hard_swich", "hard_swish"))
    found = run()
    assert found.err + found.out == second.partition("\n")[2]


@pytest.mark.slow
def test_numbers(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fence("$ archc check specs/lenet_cifar.yaml --numeric\n")
    found = runner(capsys, "check")("specs/lenet_cifar.yaml", "--numeric")
    assert plain(found.out) == plain(said)


def test_python(clone: Path) -> None:
    snippet = next(text for text in FENCES if "net.macs  # " in text)
    names: dict[str, archc.Net] = {}
    exec(snippet.partition("model = ")[0], names)
    net = names["net"]
    found = f"{net.params.trainable}, {net.params.total}, {net.macs}\n"
    assert found == snippet.partition("net.macs  # ")[2].partition("\n")[0] + "\n"


# ------------------------------------------------------------------------------------- commands

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def commands(path: Path) -> list[str]:
    """The commands of archc that a page has, without what the shell makes of their output."""
    found = []
    for language, text in FENCE.findall(path.read_text(encoding="utf-8")):
        if language in ("sh", "console"):
            whole = re.sub(r"\\\n *", "", text)
            lines = re.findall(r"^(?:\$ )?archc (.*)$", whole, re.MULTILINE)
            found += [re.split(r" [|>] | \d?> ?", line)[0] for line in lines]
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_are_some(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for line in commands(path):
        words = shlex.split(line, comments=True)
        group: click.Command = cli
        context = click.Context(cli)
        while isinstance(group, click.Group):
            inner = group.get_command(context, words[0])
            assert inner is not None, line
            group, words = inner, words[1:]
        group.make_context("archc", words, parent=context)
    assert isinstance(cli, Commands)
