"""Pages of the docs, done as a reader would: files are written, commands run and compared.

A fence that starts with the name of a file is that file; where the file is there already, as what
archc generates, it is an excerpt. Of a fence of `console` each command runs, and what it says is as
the page has it: `...` stands for anything, and numbers such as `6e-07` for each other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\S+\.\w+)\n")
TINY = re.compile(r"\d(?:\.\d+)?e[-+]\d\d|\((?:the output(?: `\w+`)?|[\w.]+) at \d+x\d+\)")
"""What rounding decides: a difference, and where it is largest."""


IDENTITY = {
    f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


class Reader:
    """Somebody who does what a page says, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.here = folder
        self.bin = folder / ".bin"
        self.bin.mkdir()
        for name, run in {"python": "", "archc": " -m archc"}.items():
            (self.bin / name).write_text(f'#!/bin/sh\nexec {sys.executable}{run} "$@"\n')
            (self.bin / name).chmod(0o755)

    def follow(self, page: str) -> None:
        for language, text in FENCE.findall((DOCS / page).read_text(encoding="utf-8")):
            if language == "console":
                for command, said in commands(text):
                    self.compare(command, said)
            elif named := NAMED.match(text):
                self.file(self.here / named[1], text, text[named.end() :])

    def file(self, path: Path, whole: str, rest: str) -> None:
        if "generated" in path.parts:
            found = path.read_text(encoding="utf-8")
            for part in re.split(r"^ *# \.\.\.\n", rest, flags=re.MULTILINE):
                assert part in found, f"{path.name} has no\n{part}"
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(whole, encoding="utf-8")

    def compare(self, command: str, said: str) -> None:
        found = plain(self.run(command))
        assert re.fullmatch(pattern(said), found), f"$ {command}\n{found}\n--- the page has\n{said}"

    def run(self, command: str) -> str:
        """What a command says: archc on both streams, a framework without its log."""
        if command.startswith("cd "):
            self.here = (self.here / command[3:]).resolve()
            return ""
        environment = {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **IDENTITY,
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.here,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "python " in command else subprocess.STDOUT,
        )
        return done.stdout


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a fence, and what it says."""
    first, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not first, "a console starts with a command"
    for part in parts:
        command, _, said = part.partition("\n")
        while command.endswith("\\"):
            more, _, said = said.partition("\n")
            command = command[:-1] + more
        yield command, said


def plain(said: str) -> str:
    """The same without what differs from machine to machine, and what nobody sees."""
    return TINY.sub("_", re.sub(r" +$", "", said, flags=re.MULTILINE))


def pattern(said: str) -> str:
    """What a command may say where a page shows this."""
    parts = re.split(r"(^\.\.\.\n|\.\.\.)", plain(said), flags=re.MULTILINE)
    return "".join(ANYTHING.get(part, re.escape(part)) for part in parts)


ANYTHING = {"...\n": "(?:.*\n)*", "...": ".*"}
