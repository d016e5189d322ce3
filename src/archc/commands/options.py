"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from archc import backends
from archc.commands import streams

Context = click.Context | None
Parameter = click.Parameter | None


class BackendChoice(click.ParamType):  # type: ignore[type-arg]
    """A registered backend, or `all` of them. Looked up only when it is needed."""

    name = "backend"

    def convert(self, value: str, param: Parameter, ctx: Context) -> list[str]:
        known = backends.names()
        if value != "all" and value not in known:
            self.fail(f"{value!r} is not one of {', '.join([*known, 'all'])}.", param, ctx)
        return known if value == "all" else [value]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        words = [*backends.names(), "all"]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    def get_metavar(self, param: click.Parameter, ctx: Context = None) -> str:
        return "|".join([*backends.names(), "all"])


class Setting(click.ParamType):  # type: ignore[type-arg]
    """`NAME=VALUE`."""

    name = "setting"

    def convert(self, value: str, param: Parameter, ctx: Context) -> tuple[str, str]:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form NAME=VALUE.", param, ctx)
        return name.strip(), text.strip()

    def get_metavar(self, param: click.Parameter, ctx: Context = None) -> str:
        return "NAME=VALUE"


Settings = Sequence[tuple[str, str]]
Folders = Sequence[Path]

specs = click.argument("specs", metavar="SPEC...", nargs=-1, required=True, type=click.Path())
spec = click.argument("spec", type=click.Path())
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    type=Setting(),
    help="Give a parameter of the spec a value, as in --set alpha=0.75. Can be repeated.",
)
strict = click.option("--strict", is_flag=True, help="Take warnings for errors.")
include = click.option(
    "--include",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let specs use files in FOLDER too. Can be repeated.",
)


def network(command: Callable[..., None]) -> Callable[..., None]:
    """The options of whatever makes a network of a spec: `settings` and `include`."""
    return settings(include(command))


@contextmanager
def working(before: str) -> Iterator[Callable[[str], None]]:
    """Says on a terminal what is being done; silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with streams.console(stderr=True).status(before) as status:
        yield lambda text: status.update(f"{before}{text}")
