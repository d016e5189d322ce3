"""The command line, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from archc import cli


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def exit_code(*arguments: str) -> int:
    """Of `archc` with these arguments, in the working directory."""
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def runner(capsys: pytest.CaptureFixture[str], *first: str) -> Run:
    """Runs `archc` with the `first` arguments and those that it is given."""

    def run(*arguments: str) -> Result:
        return Result(exit_code(*first, *arguments), *capsys.readouterr())

    return run
