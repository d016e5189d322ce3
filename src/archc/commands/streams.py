"""What a command writes to, and how a signal ends it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING

from archc.compiler.language.problems import printable as printable
from archc.compiler.language.problems import shown as shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a process to end."""
_ended: list[int] = []
"""Those of them that have come."""


def prepare() -> None:
    """Makes sure that there is something to write to, and that any text can be written.

    What a stream's encoding lacks is written as an escape. A stream that was closed before the
    start leads nowhere: else the first file that is opened would take its number and its output.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon() -> None:
    """Leaves what stdout does not take: it would not take it at the exit either."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Where a signal asks the process to end, temporary files go first: it becomes `SystemExit`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if hasattr(signal, "SIGCHLD"):
        # Who started this may have ignored it: how a child ended could then not be known.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Where somebody said otherwise, as `nohup` does, that counts.
    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, _end) for number in ours}
    _ended.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # once is enough
    _ended.append(number)
    sys.exit(128 + number)


def end_if_asked() -> None:
    """Ends the process where a signal asked for it, and a library has taken that for Ctrl-C."""
    if _ended:
        sys.exit(128 + _ended[0])


def safe(text: str) -> str:
    """`text` without what moves a terminal's cursor, but for tabs and line breaks."""
    return "".join(c if c in "\t\n" else printable(c) for c in text)


def colour() -> bool | None:
    """Whether to write in colour, where the user says so (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def console(width: int = 80, stderr: bool = False) -> Console:
    """What tables and bars are printed on; `width` columns where it is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    columns = shutil.get_terminal_size().columns if stream.isatty() else width
    return Console(
        width=columns,
        stderr=stderr,
        color_system=None if colour() is False else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(texts: Iterable[str], numbers: Iterable[str] = ()) -> Table:
    """A table without lines: columns of texts, then columns of numbers."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False)
    for name in texts:
        found.add_column(name, no_wrap=True)
    for name in numbers:
        found.add_column(name, justify="right", no_wrap=True)
    return found
