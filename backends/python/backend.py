"""A backend that writes Python, of its language and its folder."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from archc.backends import Backend, Emitted
from archc.backends.python.language import Language
from archc.backends.python.printing import print_module
from archc.backends.python.walk import render
from archc.compiler.ir.network import Network
from archc.compiler.language.names import taken


def python_backend(
    package: str,
    language: Language,
    distribution: str,
    storage: str = "weights",
    trains: bool = False,
) -> Backend:
    """The backend of a package, which is called as its folder is.

    Its module `live` holds `LIVE`, and the one called `storage` holds `STORAGE`; one that `trains`
    has a module `training` with `script` in it. They are imported when they are asked for.
    """

    def emit(network: Network, spec: str) -> Emitted:
        module = render(network, language, spec)
        return Emitted(print_module(module, language.folder), module.network.name)

    def live() -> Any:
        return import_module(f"{package}.live").LIVE

    def stored() -> Any:
        return import_module(f"{package}.{storage}").STORAGE

    def script(facts: Any) -> str:
        text: str = import_module(f"{package}.training").script(facts)
        return text

    def untold() -> set[str]:
        told = taken(language.folder).code
        return {*language.names} - told if told else set()

    name = package.rpartition(".")[2]
    written, numbers = script if trains else None, language.numbers
    common = (name, language.ops, emit, live, distribution, stored)
    return Backend(*common, script=written, untold=untold, static=numbers)
