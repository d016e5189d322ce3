"""`archc lsp`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from archc.commands import options


@click.command()
@options.include
@click.option("--stdio", is_flag=True, help="Talk over stdin and stdout, as it always does.")
@click.option("--verbose", is_flag=True, help="Say on stderr what goes back and forth.")
def lsp(include: Sequence[Path], stdio: bool, verbose: bool) -> None:
    """Serve editors: the language server of specs.

    An editor starts it and talks to it over stdin and stdout. It shows what `archc check` says
    while a spec is typed, tells shapes and costs of the row below the mouse, completes blocks,
    arguments and values, goes to definitions, and renames rows and parameters. See docs/editors.md.
    """
    try:
        from archc.lsp.server import server
    except ModuleNotFoundError as error:
        hint = "pip install 'archc-compiler[lsp]'"
        raise click.ClickException(f"the language server needs pygls: {error}; {hint}") from error
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(stream=sys.stderr, level=level, format="%(name)s: %(message)s")
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr  # what anybody prints is no part of the protocol
    server(include).start_io(stdout=out)
