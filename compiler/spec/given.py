"""A spec that Python gives as data, as the text of one: so that its problems have places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath
from typing import Any

import yaml

from archc.compiler.language.problems import Place, Problem, Source, SpecError, quote
from archc.compiler.spec import reader

NAME = "<mapping>"
MOST = reader.MAX_BYTES // 2
"""Values: each takes two bytes of text at least."""


def source_of(spec: Mapping[Any, Any]) -> Source:
    """`spec` as YAML, a row a line. Raises `SpecError` where something in it is no part of a spec
    (E012), or where it is too large or too deep (E008)."""
    plain = _Plain().node(spec)
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


class _Plain:
    """Makes values of Python's own types. What is shared counts each time."""

    def __init__(self) -> None:
        self.left = MOST

    def node(self, value: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _refused("E008", f"more than {MOST:,} values")
        if depth > reader.MAX_DEPTH:
            raise _refused("E008", f"nested more than {reader.MAX_DEPTH} deep")
        # Of its type: what an object says that it is may be anything.
        if issubclass(type(value), Mapping):
            return {_scalar(key): self.node(each, depth + 1) for key, each in value.items()}
        if issubclass(type(value), list | tuple):
            return [self.node(each, depth + 1) for each in value]
        return _scalar(value)


def _scalar(value: Any) -> Any:
    for kind, plain in _SCALARS.items():
        if issubclass(type(value), kind):
            return plain(value)
    what = quote(type(value).__name__)
    raise _refused("E012", f"a {what} where a mapping, a list or a value belongs")


def _refused(code: str, message: str) -> SpecError:
    return SpecError([Problem(code, message, Place(Source(NAME, ""), 1, 1))])
