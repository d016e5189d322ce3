"""Opens files of weights on trial, in a process that has little time and memory.

A damaged or hostile file makes the libraries that read it loop, crash, or ask for all the memory
there is. Where the trial ends well, so does the same work in this process: the libraries do the
same for the same bytes. Only Linux can hold a process to a limit.
"""

from __future__ import annotations

import os
import resource
import signal
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from archc.backends.storage import Opened, WeightsError, shown

Open = Callable[[], AbstractContextManager[Opened]]
MEGA = 2**20
MEMORY = 200 * MEGA
"""What reading may take beyond two copies of the weights and one of the file, in bytes."""
SECONDS = 4
"""Processor time that reading may take, and a second more for each `SPEED` of weights."""
SPEED = 100 * MEGA
OUT_OF_MEMORY = 1
ENDINGS = {
    -signal.SIGXCPU: "reading it takes too long",
    OUT_OF_MEMORY: "reading it takes far more memory than {:,.1f} MiB of weights",
}
"""Why a trial with that exit code failed."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def try_out(opening: Open, path: Path, need: int) -> None:
    """Raises `WeightsError` unless `opening()` opens a file without taking too much.

    `need` is how many bytes the network's weights take. What `opening` itself complains of, it
    will complain of again.
    """
    pid = _fork()
    if not pid:
        _child(opening, path, need)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    if code:
        why = ENDINGS.get(code, "reading it crashes").format(need / MEGA)
        raise WeightsError(f"{shown(path)}: refused, as {why}: it is corrupt")


def _fork() -> int:
    """In the child, signals do what they do without a handler: it is not its task to clean up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        with warnings.catch_warnings(action="ignore"):  # other threads: the child needs none
            pid = os.fork()
        for number in () if pid else SIGNALS:
            signal.signal(number, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


# ---- In the process that tries


def _child(opening: Open, path: Path, need: int) -> NoReturn:
    """Never returns, and runs nothing of what the parent would on its way out."""
    code = 0
    try:
        _quieten()
        _limit(need, path.stat().st_size)
        with opening() as opened:
            for stored in opened.arrays.values():
                if stored.intricate and stored.size <= need:
                    stored.read()
    except MemoryError:
        code = OUT_OF_MEMORY
    finally:
        os._exit(code)


def _quieten() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _limit(need: int, size: int) -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_CPU, SECONDS + need // SPEED),
        (resource.RLIMIT_AS, now + 2 * need + size + MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))
