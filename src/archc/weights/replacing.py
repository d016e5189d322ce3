"""Files that take the place of others in one step: whole, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular(path: Path) -> os.stat_result | None:
    """What is known of the file at `path`, or None where there is none.

    Raises `OSError` where it is no regular one. Nothing is opened: a named pipe would keep its
    reader waiting.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    kind = KINDS.get(stat.S_IFMT(found.st_mode))
    if kind:
        raise OSError(errno.EINVAL, f"this is {kind}; a regular file belongs here", str(path))
    return found


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, which takes its place in one step if all goes well.

    A link stays, and the file that it leads to is replaced. A file keeps its mode, and a new one
    has that of any new file. Raises `OSError`, also where `path` is no regular file.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    old = regular(path)
    mode = None if old is None else old.st_mode & 0o777
    temporary = path.parent / f".{path.name[:40]}.{os.urandom(6).hex()}"
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode or 0o666))
        wanted = mode if mode is not None else temporary.stat().st_mode & 0o777
        temporary.chmod(wanted)
        yield temporary
        temporary.chmod(wanted)  # some libraries put a file of their own in its place
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
