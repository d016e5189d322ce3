"""The command line. Results go to stdout, all else to stderr.

Exit codes: 0 all is well, 1 a check failed, 2 the input or the usage is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from archc.commands import options, streams

ALIKE = (
    "build",
    "check",
    "diff",
    "init",
    "list",
    "lsp",
    "plot",
    "report",
    "show",
    "summary",
    "verify",
    "watch",
    "weights",
)
MODULES = {**{name: name for name in ALIKE}, "resolve": "printed", "schema": "printed"}
"""Of `archc.commands`, by the name of a command; each is imported when it is asked for."""


class Commands(click.Group):
    """Those of `MODULES`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        module = import_module(f"archc.commands.{MODULES[cmd_name]}")
        # `list` is a word of Python's.
        command: click.Command = getattr(module, f"{cmd_name}_", None) or getattr(module, cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="archc-compiler", prog_name="archc")
def cli() -> None:
    """Compile a network's YAML block table to PyTorch, Keras and ONNX.

    A spec is checked and counted without any framework; `build` writes readable source for each
    framework, or a graph, and `check` proves the live models equal to the spec and to each other.
    Where a spec is named, the name of a shipped one does, too: `list` shows them. `init` begins a
    project, in which `build` and `check` need no more to be said.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; no problem of the user's ends in a traceback.

    `arguments` default to the process's own. Always raises `SystemExit`, but where all is well.
    """
    streams.prepare()
    code = 2
    with streams.cleaning_up(), suppress(BrokenPipeError):  # of stderr: nobody reads what it says
        code = _run(arguments)
    if code:
        sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code, after everything is said that is to be."""
    try:
        try:
            cli.main(arguments, prog_name="archc", standalone_mode=False)
        finally:
            sys.stdout.flush()
        return 0
    except options.TOLD as error:
        options.tell(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("archc: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader has gone, as in `archc summary ... | head`; what is left has nowhere to go.
        streams.abandon()
        return 1
    except OSError as error:
        options.tell(error)
        streams.abandon()
    return 2
