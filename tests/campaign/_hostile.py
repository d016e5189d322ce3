"""What the campaigns of hostile input have in common: how a failure is bounded, told and kept."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from archc.compiler.language.problems import SpecError, render

KEPT = Path(gettempdir(), "archc-campaign")
"""Where failing specs are kept."""

SECONDS = 5
"""Of the processor, for one step."""
MOST_PROBLEMS = 101
RUFF = (
    ("check", "--select", "F,E9", "--quiet", "--output-format", "concise"),
    ("format", "--check"),
)


class TooSlow(BaseException):
    """Not caught by what catches exceptions."""


def start_clock() -> None:
    """A new step begins, which may take its time."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)


@contextmanager
def in_time() -> Iterator[None]:
    """Raises `TooSlow` where a step takes too much of the processor's time."""

    def stop(number: int, frame: object) -> None:
        raise TooSlow(f"it takes more than {SECONDS} seconds")

    before = signal.signal(signal.SIGPROF, stop)
    start_clock()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def told(error: BaseException) -> str:
    """An exception that should not have been, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = [f"    {Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames]
    return "\n".join([f"{type(error).__name__}: {str(error)[:300]}", *where])


def unprintable(error: SpecError) -> Iterator[str]:
    """What of the problems is not fit for a terminal."""
    if not 0 < len(error.problems) <= MOST_PROBLEMS:
        yield f"{len(error.problems)} problems"
    for problem in error.problems:
        for line in render(problem).split("\n"):
            if not line.isprintable() or len(line) > 2000:
                yield f"{problem.code} says {line[:200]!r}"


def style(folder: Path) -> Iterator[str]:
    """What ruff says of a folder's files that it would change, or finds fault with."""
    for command in RUFF:
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(folder)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            yield f"ruff {command[0]}:\n{done.stdout}{done.stderr}"


def kept_style(folder: Path, campaign: str, seed: int) -> Iterator[str]:
    """What `style` says; the files that it names are kept, and the folder is emptied."""
    for said in style(folder):
        yield f"--seed {seed}: {said}"
        for name in {*re.findall(r"n\d+_\w+\.py", said)}:
            KEPT.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, KEPT / f"{campaign}-{seed}-{name}")
    for path in folder.iterdir():
        path.unlink()
