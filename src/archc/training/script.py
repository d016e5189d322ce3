"""The script that trains a network as a recipe says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from archc import backends
from archc.api import Net, load_with
from archc.backends import BackendError, Name, SourceFile
from archc.compiler.language.problems import Problem, SpecError, file_name
from archc.compiler.recipe.fit import Training, fitted
from archc.compiler.recipe.load import named


def training_of(net: Net, recipe: str | Path, include: Iterable[Path] = ()) -> Training:
    """The recipe of that path, or the shipped one of that name, beside a network. Raises
    `SpecError`."""
    training = fitted(named(recipe), net.network, include)
    given = training.recipe.settings or {}
    if not given:
        return training
    everything: dict[str, object] = {**net.settings, **dict(given.items())}
    settings = load_with(net.spec, everything, include).network.settings
    values = {str(name): settings[name] for name in given}
    problems = [
        Problem("T005", f"`{name}` is no number or flag", name.place, _GIVEN.format(name))
        for name in given
        if not isinstance(settings[name], bool | int | float | None)
    ]
    if problems:
        raise SpecError(problems)
    return replace(training, values=values)


_GIVEN = "give it when the network is built: `--set {}=...`"


def script(
    net: Net, training: Training, backend: str, stem: str, module: str | None = None
) -> SourceFile:
    """The script for a backend. Files of the network are called `stem`; that of its source, which
    the script imports, is the one of the backend's naming, or `module`. Raises `BackendError`."""
    write = backends.get(backend).script
    if write is None:
        raise BackendError(f"the backend `{backend}` writes no scripts of training")
    module = module or backends.source_name(stem, backend).removesuffix(".py")
    if not module.isidentifier():
        said = f"`{module}` cannot be imported, as the script would: it is no name in Python"
        raise BackendError(f"{said}; rename the spec")
    name = script_name(stem, training.recipe.name, backend)
    facts = {
        "training": training,
        "module": module,
        "model": net.emitted(backend).model,
        "stem": name.removesuffix(".py"),
        "spec": file_name(net.spec),
    }
    return SourceFile(name, write(facts))


def script_name(stem: str, recipe: str, backend: str) -> str:
    """What a script is called."""
    return f"train_{stem}_{recipe}_{backend}.py"


def writers() -> list[Name]:
    """The names of the backends that write scripts."""
    return [name for name in backends.names() if backends.get(name).script]
