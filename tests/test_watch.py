"""`archc watch`, with files that really change: what it says, what it writes, and how it ends."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archc.compiler.spec.load import reached
from archc.watching import folders_of

from .running import runner

LIBRARY = """\
archc: 1
blocks:
  unit:
    params: {out: int}
    steps:
      - conv: conv2d(x, out, kernel=3)
"""
NET = """\
archc: 1
name: Net
use: [lib.yaml]
input: {channels: 3, height: 8, width: 8}
network:
  - {block: unit, name: stem, out: 4}
  - {block: unit, name: last, out: 8}
"""
PROJECT = 'specs = ["specs/*.yaml"]\nbackends = ["torch"]\n'
PAGE = (Path(__file__).parents[1] / "docs" / "diff.md").read_text(encoding="utf-8")
PATIENCE = 60
"""Seconds to wait for a line, on a machine with other things to do."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    Path("specs/lib.yaml").write_text(LIBRARY)
    Path("specs/net.yaml").write_text(NET)
    Path("archc.toml").write_text(PROJECT)
    return tmp_path


class Watching:
    """A watch that runs, and its lines as they come."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archc", "watch", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def until(self, pattern: str) -> list[str]:
        """The lines up to the first that matches."""
        found: list[str] = []
        end = time.monotonic() + PATIENCE
        while not (found and re.search(pattern, found[-1])):
            try:
                found.append(self.lines.get(timeout=max(0.1, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {pattern} in {self.said + found}") from None
        self.said += found
        return found

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def watching(folder: Path) -> Iterator[Watching]:
    found = Watching()
    yield found
    found.process.kill()
    found.process.wait()


def replace(path: str, old: str, new: str) -> None:
    """An edit as editors make it: a new file in the place of the old one."""
    text = Path(path).read_text()
    assert old in text
    Path(f"{path}.new").write_text(text.replace(old, new))
    os.replace(f"{path}.new", path)


def test_an_edit_is_built_and_told(watching: Watching) -> None:
    begun = watching.until("Ctrl-C")
    assert begun == [
        "generated/net_torch.py: created, 408 parameters, 25,344 MACs",
        "archc: watching 1 spec; Ctrl-C ends",
    ]
    replace("specs/net.yaml", "name: last, out: 8", "name: last, out: 6")
    told = watching.until("net_torch")
    assert told[0] == "changed: specs/net.yaml"
    assert re.fullmatch(r"~  last +out 8 -> 6 +8x8x8 -> 6x8x8 +296 -> 222 .*", told[2])
    assert told[-1] == "generated/net_torch.py: changed, 334 parameters, 20,736 MACs"
    assert not [line for line in told if "archc weights convert" in line]  # the old file is gone
    assert "334 trainable parameters" in Path("generated/net_torch.py").read_text()


def test_what_is_wrong_is_told_and_the_watch_goes_on(watching: Watching) -> None:
    watching.until("Ctrl-C")
    written = Path("generated/net_torch.py").read_text()
    replace("specs/net.yaml", "block: unit, name: last", "block: unti, name: last")
    told = watching.until("left as they were")
    assert "specs/net.yaml:7:13: E030 unknown block or op `unti`" in told
    assert Path("generated/net_torch.py").read_text() == written
    replace("specs/net.yaml", "unti", "unit")
    assert watching.until("differs")[-1] == "specs/net.yaml: nothing differs"


def test_a_library_that_is_broken_and_gone_is_still_watched(watching: Watching) -> None:
    watching.until("Ctrl-C")
    replace("specs/lib.yaml", "kernel=3", "kernel=")
    watching.until("left as they were")
    os.remove("specs/lib.yaml")
    assert watching.until("left as they were")[0] == "changed: specs/lib.yaml"
    Path("specs/lib.yaml").write_text(LIBRARY.replace("kernel=3", "kernel=1"))
    told = watching.until("net_torch")
    assert told[-1] == "generated/net_torch.py: changed, 56 parameters, 2,816 MACs"


def test_specs_and_settings_that_come_and_go(watching: Watching) -> None:
    watching.until("Ctrl-C")
    Path("specs/other.yaml").write_text("archc: 1\nextends: net.yaml\nname: Other\n")
    assert watching.until("other")[-1].startswith("generated/other_torch.py: created, 408")
    replace("archc.toml", '["torch"]', '["torch", "keras"]')
    watching.until("other_keras.py: created")
    replace("archc.toml", "backends", "backend")
    assert "archc.toml:2:1: E010" in watching.until("archc.toml:2")[-1]
    replace("archc.toml", "backend ", "backends ")
    os.remove("specs/other.yaml")
    watching.until("other_torch.py: archc wrote this, and nothing in the project gives it")


def test_recipes_are_watched_with_what_they_extend(folder: Path) -> None:
    for file in folder.glob("specs/*"):
        file.unlink()
    Path("recipes").mkdir()
    Path("specs/a.yaml").write_text("archc: 1\nextends: lenet_cifar.yaml\nname: A\n")
    Path("recipes/mine.yaml").write_text("archc: 1\nrecipe: mine\nextends: ../base.yaml\n")
    Path("base.yaml").write_text("archc: 1\nrecipe: base\nextends: lenet\n")
    Path("archc.toml").write_text(f'{PROJECT}recipes = ["recipes/*.yaml"]\n')
    watching = Watching()
    try:
        script = "generated/train_a_mine_torch.py"
        assert watching.until("Ctrl-C")[1].startswith(f"{script}: created")
        Path("base.yaml").write_text("archc: 1\nrecipe: base\nextends: lenet\nepochs: 7\n")
        told = watching.until("train_a_mine")
        assert told[0] == "changed: base.yaml"
        assert told[-1].startswith(f"{script}: changed")
        replace("base.yaml", "epochs", "epoch")
        left = "recipes/mine.yaml says, and scripts of that are left as they were"
        assert watching.until("left as they were")[-1].endswith(left)
        replace("base.yaml", "epoch:", "epochs:")
        watching.until("nothing differs")
        Path("recipes/more.yaml").write_text("archc: 1\nrecipe: more\nextends: lenet\n")
        assert watching.until("train_a_more")[-1].startswith("generated/train_a_more_torch.py: cr")
        assert watching.end() == 0
    finally:
        watching.process.kill()


def test_the_page_shows_what_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner(capsys)("init")
    watching = Watching()
    begun = watching.until("Ctrl-C")
    with Path("specs/my_net.yaml").open("a") as file:
        file.write("change: [{at: blocks.0, was: {kernel: 3}, set: {kernel: 5}}]\n")
    told = watching.until("my_net_torch.py: changed")
    shown = re.search(r"\$ archc watch\n(.*?)\n```", PAGE, re.DOTALL)
    assert shown is not None
    assert [begun[-1], *told] == shown[1].splitlines()
    watching.end()


def test_many_networks_have_a_line_each(folder: Path) -> None:
    for i in range(4):
        Path(f"specs/n{i}.yaml").write_text(NET.replace("name: Net", f"name: Net{i}"))
    watching = Watching("--no-strict")
    watching.until("watching 5 specs")
    replace("specs/lib.yaml", "kernel=3", "kernel=1")
    told = watching.until("n3_torch|net_torch")
    assert "specs/n0.yaml: weights lost, parameters: 408 -> 56" in told
    assert watching.end() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_without_a_word(watching: Watching, number: int, code: int) -> None:
    watching.until("Ctrl-C")
    time.sleep(0.5)  # so that it waits, and a library hears of the signal first
    assert watching.end(number) == code
    assert watching.lines.empty()


def test_what_cannot_be_watched(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(capsys, "watch")
    assert "Standard input does not change; name files." in run("-").err
    Path("archc.toml").unlink()
    assert "Missing argument 'SPEC...'" in run().err
    assert "Missing option '--backend'" in run("specs/net.yaml").err
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    missing = run("specs/net.yaml", "-b", "torch")
    assert (missing.code, "pip install 'archc-compiler[watch]'" in missing.err) == (2, True)


def test_what_a_network_is_made_of(folder: Path) -> None:
    Path("specs/net.yaml").write_text(
        NET.replace("[lib.yaml]", "[lib.yaml, blocks/mobilenet.yaml]")
    )
    found = reached(Path("specs/net.yaml"))
    beside = {path.name for path in found if path.is_relative_to(folder)}
    assert beside == {"net.yaml", "lib.yaml", "mobilenet.yaml"}  # the last is not there, yet
    assert [path for path in found if path.parts[-3:] == ("specs", "blocks", "mobilenet.yaml")]


def test_where_files_of_a_pattern_may_come_to_be(folder: Path) -> None:
    Path("specs/deep/er").mkdir(parents=True)
    Path("specs/.git/objects").mkdir(parents=True)
    top = Path("specs")
    assert [*folders_of("specs/*.yaml", Path())] == [top]
    assert {*folders_of("specs/**/*.yaml", Path())} == {top, top / "deep", top / "deep/er"}
    assert [*folders_of("gone/*.yaml", Path())] == []
