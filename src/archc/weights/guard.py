"""Reads files of weights in a process of its own, which has little time and memory.

A damaged or hostile file makes the libraries that read it loop, crash, or ask for all the memory
there is. Their process then ends, and the file is refused. Only Linux can hold a process to a
limit; elsewhere the file is read in this one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from io import BufferedRWPair
from math import prod
from mmap import mmap
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from archc.backends.storage import (
    DTYPE,
    Array,
    Format,
    Opened,
    Stored,
    WeightsError,
    shown,
)

Read = Callable[[Path, Format, int], AbstractContextManager[Opened]]
Open = Callable[[], AbstractContextManager[Opened]]
Stream: TypeAlias = "BufferedRWPair[Any, Any]"
MEGA = 2**20
MEMORY = 200 * MEGA
"""What reading may take beyond two copies of the weights and one of the file, in bytes."""
SECONDS = 4
"""Processor time that reading may take, and a second more for each `SPEED` of weights."""
SPEED = 100 * MEGA
LONGEST = 32 * MEGA
"""Bytes of the names and shapes in a file."""


@contextmanager
def apart(read: Read, path: Path, format: Format, need: int) -> Iterator[Opened]:
    """What `read(path, format, need)` opens, in a process of its own.

    `need` is how many bytes the network's weights take. Raises `WeightsError` where the process
    runs out of time or memory, or crashes, and where `read` does.
    """
    with mmap(-1, max(need, 1)) as shared:
        ours, theirs = socket.socketpair()
        pid = _fork()
        if not pid:
            ours.close()
            _child(lambda: read(path, format, need), path, need, shared, theirs)
        theirs.close()
        with _ending(pid, path), closing(ours), ours.makefile("rwb") as stream:
            said = _answer(stream)
            arrays = {
                name: Stored(tuple(shape), dtype, _reader(stream, name, tuple(shape), shared))
                for name, (shape, dtype) in said["arrays"].items()
            }
            yield Opened(arrays, said["notes"])


def _fork() -> int:
    with warnings.catch_warnings(action="ignore"):  # other threads: the child needs none of them
        return os.fork()


@contextmanager
def _ending(pid: int, path: Path) -> Iterator[None]:
    """Ends the process; says so where it did of itself."""
    try:
        yield
    except EOFError:
        _, status = os.waitpid(pid, 0)
        pid = 0
        timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
        why = "reading it takes too long" if timed_out else "reading it crashes"
        raise WeightsError(f"{shown(path)}: refused, as {why}; it is corrupt") from None
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _answer(stream: Stream) -> Any:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    said = json.loads(line)
    if "error" in said:
        raise WeightsError(said["error"])
    return said


def _reader(stream: Stream, name: str, shape: tuple[int, ...], shared: mmap) -> Callable[[], Array]:
    def read() -> Array:
        _say(stream, name)
        _answer(stream)
        return np.frombuffer(shared, DTYPE, prod(shape)).reshape(shape).copy()

    return read


def _say(stream: Stream, what: object) -> None:
    stream.write(json.dumps(what).encode() + b"\n")
    stream.flush()


# ---- In the process that reads


def _child(open_: Open, path: Path, need: int, shared: mmap, wire: socket.socket) -> NoReturn:
    """Never returns, and runs nothing of what the parent would on its way out."""
    try:
        with wire.makefile("rwb") as stream:
            _quieten()
            _limit(need, path.stat().st_size)
            _tell(stream, lambda: _serve(open_, path, shared, stream), path, need)
    finally:
        os._exit(0)


def _quieten() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _limit(need: int, size: int) -> None:
    seconds = SECONDS + need // SPEED
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, now + 2 * need + size + MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))


def _tell(stream: Stream, task: Callable[[], None], path: Path, need: int) -> None:
    """Runs `task`; says why it failed."""
    try:
        task()
    except WeightsError as error:
        _say(stream, {"error": str(error)})
    except MemoryError:
        size = f"{need / MEGA:,.1f} MiB"
        _say(stream, {"error": f"{shown(path)}: refused: it asks for far more memory than {size}"})


def _serve(open_: Open, path: Path, shared: mmap, stream: Stream) -> None:
    with open_() as opened:
        names = {name: (array.shape, array.dtype) for name, array in opened.arrays.items()}
        said = {"arrays": names, "notes": dict(opened.notes)}
        if len(json.dumps(said)) > LONGEST:
            raise WeightsError(f"{shown(path)}: refused: it names {len(names):,} tensors")
        _say(stream, said)
        for line in stream:
            array = opened.arrays[json.loads(line)].read()
            np.copyto(np.frombuffer(shared, DTYPE, array.size).reshape(array.shape), array)
            _say(stream, {})
