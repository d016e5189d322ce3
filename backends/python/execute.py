"""Runs emitted source, so that a live model is the reviewed text and nothing else."""

from __future__ import annotations

import hashlib
import linecache
import sys
import traceback
from types import ModuleType

from archc.backends import SourceFile

PREFIX = "archc_live_"
"""Of the names of modules that are emitted source."""


def execute(source: SourceFile) -> ModuleType:
    """The module that `source` is, imported once for each text.

    It stands in `sys.modules`, so that its models pickle, and in `linecache`, so that tracebacks
    and `inspect.getsource` show it.
    """
    digest = hashlib.sha256(source.text.encode()).hexdigest()[:12]
    name = f"{PREFIX}{source.name.removesuffix('.py')}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    filename = f"<{name}>"
    lines = source.text.splitlines(keepends=True)
    linecache.cache[filename] = (len(source.text), None, lines, filename)
    module = ModuleType(name)
    module.__file__ = filename
    sys.modules[name] = module
    try:
        exec(compile(source.text, filename, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def statement(error: BaseException) -> str | None:
    """The innermost statement of emitted source that an exception came through; None if it came
    through none."""
    lines = [
        linecache.getline(frame.f_code.co_filename, number).strip()
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(f"<{PREFIX}")
    ]
    return lines[-1] if lines else None
