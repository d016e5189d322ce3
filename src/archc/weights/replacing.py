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


def require_regular(path: Path) -> None:
    """Raises `OSError` where there is no file at `path`, or no regular one.

    Nothing is opened: a named pipe would keep its reader waiting.
    """
    kind = KINDS.get(stat.S_IFMT(path.stat().st_mode))
    if kind:
        raise OSError(errno.EINVAL, f"this is {kind}; a regular file belongs here", str(path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, which takes its place in one step if all goes well.

    A link stays, and the file that it leads to is replaced. A file keeps its mode, and a new one
    has that of any new file. Raises `OSError`, also where `path` is no regular file.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = _mode(path)
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


def _mode(path: Path) -> int | None:
    """Of the file that is there."""
    try:
        require_regular(path)
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None
