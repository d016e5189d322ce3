"""`archc list`: what comes with archc."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from archc.api import dims, load
from archc.commands import options, streams
from archc.compiler.recipe.load import RECIPES, load_spec, shipped
from archc.compiler.spec.folders import SHIPPED, networks
from archc.compiler.spec.load import load as read

Entry = dict[str, Any]


def _networks() -> list[Entry]:
    return [_network(name) for name in networks()]


def _network(name: str) -> Entry:
    net = load(SHIPPED / f"{name}.yaml")
    inputs = {each.name: list(each.shape) for each in net.inputs}
    return {
        "name": name,
        "inputs": inputs,
        "params": net.params._asdict(),
        "macs": net.macs,
    }


def _blocks() -> list[Entry]:
    """Each block that a library defines, with what it takes."""
    found: list[Entry] = []
    for file in sorted((SHIPPED / "blocks").glob("*.yaml")):
        files, _ = read(file)
        for name, block in files.spec.blocks.items() if files and files.spec else ():
            takes = [str(each) for each in (*block.inputs, *block.params)]
            library = file.relative_to(SHIPPED).as_posix()
            found.append({"name": str(name), "library": library, "takes": takes})
    return found


def _sources() -> list[Entry]:
    """Each published model whose weights can be imported."""
    from archc.weights.rules import every

    return [
        {"name": name, "spec": model.source.spec, "needs": model.needs}
        for name, model in every().items()
    ]


def _recipes() -> list[Entry]:
    """Each recipe of training."""
    found = ((name, load_spec(RECIPES / f"{name}.yaml")) for name in shipped())
    return [{"name": name, "doc": spec.doc, "source": spec.source} for name, spec in found]


def _network_cells(entry: Entry) -> Sequence[str]:
    shapes = ", ".join(dims(shape) for shape in entry["inputs"].values())
    return entry["name"], shapes, f"{entry['params']['trainable']:,}", f"{entry['macs']:,}"


def _block_cells(entry: Entry) -> Sequence[str]:
    return entry["name"], entry["library"], ", ".join(entry["takes"])


def _source_cells(entry: Entry) -> Sequence[str]:
    needs = ", ".join(f"{name}={value}" for name, value in entry["needs"].items())
    return entry["name"], entry["spec"], needs


def _recipe_cells(entry: Entry) -> Sequence[str]:
    return entry["name"], entry["doc"]


KINDS: Mapping[str, Callable[[], list[Entry]]] = {
    "networks": _networks,
    "blocks": _blocks,
    "sources": _sources,
    "recipes": _recipes,
}
TABLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Entry], Sequence[str]]]] = {
    "networks": (("network", "input"), ("parameters", "MACs"), _network_cells),
    "blocks": (("block", "library", "takes"), (), _block_cells),
    "sources": (("source", "spec", "with"), (), _source_cells),
    "recipes": (("recipe", "doc"), (), _recipe_cells),
}
"""Columns of texts, columns of numbers, and what stands in them."""


@click.command("list")
@click.argument("kinds", metavar=f"[{'|'.join(KINDS)}]...", nargs=-1, type=click.Choice([*KINDS]))
@options.as_json
def list_(kinds: Sequence[str], as_json: bool) -> None:
    """Print what comes with archc: networks, blocks, sources, recipes.

    A network's name stands for its file wherever a spec is named, and archc show prints it.
    Sources are what archc weights import and archc verify --against take, recipes what --recipe of
    archc build and archc check does. With --json, all is
    there for programs.

    \b
    Examples:
      archc list
      archc list sources --json
    """
    found = {kind: KINDS[kind]() for kind in kinds or KINDS}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for number, (kind, entries) in enumerate(found.items()):
        if number:
            click.echo()
        _print(kind, entries)


def _print(kind: str, entries: Sequence[Entry]) -> None:
    texts, numbers, cells = TABLES[kind]
    table = streams.table(texts, numbers)
    for entry in entries:
        table.add_row(*cells(entry))
    streams.console(160).print(table)
    click.echo(f"{len(entries):,} {kind}")
