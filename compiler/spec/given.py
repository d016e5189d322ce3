"""A spec that Python gives as data, as the text of one: so that its problems have places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath
from typing import Any

import yaml

from archc.compiler.language.problems import Place, Problem, Source, SpecError, quote
from archc.compiler.spec import reader

NAME = "<mapping>"


def source_of(spec: Mapping[Any, Any]) -> Source:
    """`spec` as YAML, a row a line. Raises `SpecError` where something in it is no part of a spec
    (E012), or where it is too large or too deep (E008)."""
    plain = _plain(spec, 0)
    text = yaml.dump(plain, Dumper=_Dumper, default_flow_style=None, **_AS_WRITTEN)
    return reader.decoded(text.encode("utf-8", "surrogatepass"), NAME)


_AS_WRITTEN: Mapping[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10**6}


class _Dumper(yaml.SafeDumper):
    """Without anchors: they are not part of the language."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_SCALARS: Mapping[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    type(None): lambda value: value,
    PathLike: fspath,
}
"""What a scalar can be, and how it is itself and not what a class made of it."""


def _plain(value: Any, depth: int) -> Any:
    """`value` made of Python's own types."""
    if depth > reader.MAX_DEPTH:
        raise _refused("E008", f"nested more than {reader.MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {_plain(key, depth + 1): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    for kind, plain in _SCALARS.items():
        if isinstance(value, kind):
            return plain(value)
    raise _refused(
        "E012", f"a {quote(type(value).__name__)} where a mapping, a list or a value belongs"
    )


def _refused(code: str, message: str) -> SpecError:
    return SpecError([Problem(code, message, Place(Source(NAME, ""), 1, 1))])
