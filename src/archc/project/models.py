"""What a project's file may say. It is read as specs are: every node knows its place."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator

from archc import backends
from archc.compiler.language.problems import Invalid, Problem, choices, quote, suggest
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import FileName, Flag, Name, checked, misfit, refusal, scalar
from archc.compiler.spec.nodes import SpecNode
from archc.compiler.spec.reader import Scalar

NAMING = "{name}_{backend}"
"""What files of source are called, if nobody says otherwise."""


def _stem(text: str) -> None:
    """Refuses what is no part of a file's name on every system."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
        hint = (
            "use letters, digits, underscores, dots and hyphens; start with one of the first three"
        )
        raise Invalid("E013", f"{quote(text)} cannot be a file's name", hint)


def _naming(text: str) -> None:
    """Refuses what would give two files one name, or leave the folder."""
    if text.count("{name}") != 1 or text.count("{backend}") > 1:
        message = f"{quote(text)} does not say what to call a file"
        raise Invalid("E012", message, f"write {{name}} once and {{backend}}, as in `{NAMING}`")
    _stem(text.replace("{name}", "n").replace("{backend}", "b"))


def _backend(value: Any) -> Scalar:
    name, known = scalar(value, "the name of a backend"), backends.names()
    if name not in known:
        hint = suggest(name, known) or choices(known)
        raise refusal(Problem("P002", f"unknown backend {quote(name)}", name.place, hint))
    return name


def _setting(value: Any) -> Scalar:
    """The text of a setting, as on the command line: a list in brackets."""
    if not isinstance(value, reader.Sequence):
        return scalar(value, "a value")
    node = Scalar(f"[{', '.join(scalar(each, 'a value') for each in value)}]", value.place)
    node.plain = True
    return node


EVERY = "*"
"""The pattern that means each network."""


def _of_networks(value: Any) -> reader.Mapping:
    """The long form of a list that is for each network."""
    if isinstance(value, reader.Sequence):
        mapping = reader.Mapping({Scalar(EVERY, value.place): value})
        mapping.place = value.place
        return mapping
    if isinstance(value, reader.Mapping):
        return value
    wanted = "a list, or a table of lists by network,"
    raise refusal(misfit(value, wanted, 'write `recipes = ["FILE"]`'))


Stem = Annotated[Scalar, checked(_stem, "a name")]
Backend = Annotated[Any, PlainValidator(_backend)]
Setting = Annotated[Scalar, PlainValidator(_setting)]
Recipes = Annotated[dict[FileName, tuple[FileName, ...]], BeforeValidator(_of_networks)]


class VariantSpec(SpecNode):
    """One spec with settings of its own, and a file of its own."""

    example = 'write `{spec = "FILE", set = {NAME = VALUE}}`'

    spec: FileName
    """A file, from the project's folder, or the name of a shipped spec."""
    set: dict[Name, Setting] = Field({})
    """Values of its parameters, as with `--set`."""
    backends: tuple[Backend, ...] | None = None
    """What to write it for, if not for the project's."""
    inference: Flag = False
    """The network for inference, as with `--inference`."""
    static: Flag = False
    """The network for its declared height and width alone, as with `--static`."""


class ProjectSpec(SpecNode):
    """`[tool.archc]`, or all of archc.toml."""

    example = 'write `specs = ["specs/*.yaml"]`'

    specs: tuple[FileName, ...] = ()
    """Files, patterns of files, and names of shipped specs."""
    variants: dict[Stem, VariantSpec] = Field({})
    """More of them, by what their files are called."""
    recipes: Recipes = Field({})
    """How networks are trained, by patterns of what their files are called: files, patterns of
    files, and names of shipped recipes. A list is for each network."""
    backends: tuple[Backend, ...] | None = None
    """What to write for; all that write source, if nothing is said."""
    output: FileName | None = None
    """The folder for what is written."""
    naming: Annotated[Scalar, checked(_naming, "a text")] | None = None
    """What a file is called, without its ending."""
    include: tuple[FileName, ...] = ()
    """Folders whose files specs may use too, as with `--include`."""
    strict: Flag = False
    """Whether warnings are errors."""
