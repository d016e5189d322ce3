"""Specs that only say with which settings another one is to be built."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from archc.api import Net, load_with
from archc.backends.storage import WeightsError, shown
from archc.compiler.language.problems import SpecError
from archc.compiler.printed import printer, writer
from archc.compiler.spec.load import SHIPPED
from archc.compiler.spec.models import FORMAT
from archc.weights.replacing import replacing
from archc.weights.settings import Settings


@contextmanager
def writing(
    net: Net, settings: Settings, doc: str, target: Path, include: Iterable[Path]
) -> Iterator[None]:
    """Writes a spec to `target` that extends that of `net` and is the same network by itself, if
    all goes well meanwhile.

    Raises `WeightsError` where it could not reach that spec, or cannot be written.
    """
    theirs = False  # what goes wrong meanwhile is none of this file's
    try:
        with replacing(target) as temporary:
            text = "".join(f"{line}\n" for line in _lines(net, settings, doc, target))
            temporary.write_text(text, encoding="utf-8")
            _require_same(net, temporary, target, include)
            theirs = True
            yield
            theirs = False
    except OSError as error:
        if theirs:
            raise
        said = f"{shown(target)}: cannot be written: {error.strerror or error}"
        raise WeightsError(said) from error


def _lines(net: Net, settings: Settings, doc: str, target: Path) -> Iterator[str]:
    base, here = Path(os.path.realpath(net.spec)), Path(os.path.realpath(target)).parent
    shipped = base.is_relative_to(SHIPPED)
    name = base.relative_to(SHIPPED).as_posix() if shipped else os.path.relpath(base, here)
    yield f"archc: {FORMAT}"
    yield f"name: {net.name}"
    yield f"doc: {writer.text(doc)}"
    yield f"extends: {writer.text(name)}"
    if settings:
        yield "set:"
    for key, value in settings.items():
        written = value if value.startswith("[") else writer.expression(value)
        yield f"  {key}: {written}"


def _require_same(net: Net, written: Path, target: Path, include: Iterable[Path]) -> None:
    try:
        same = printer.text(load_with(written, {}, include).network) == printer.text(net.network)
    except SpecError as error:
        raise WeightsError(
            f"{shown(target)}: from there, {error.problems[0].message}\n"
            f"  = help: name a file beside {shown(net.spec)}"
        ) from error
    if not same:
        raise WeightsError(f"{shown(target)}: these settings cannot be written as a spec")
