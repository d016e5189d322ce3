"""What training puts before the names of a model's weights: `module.`, `model._orig_mod.`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

COMPILED = "_orig_mod"
"""What `torch.compile` puts into names."""
WORDS = ("module", "model", COMPILED, "ema_model", "ema")
"""What wrappers are usually called."""


def shared(names: Iterable[str]) -> Iterator[str]:
    """What all names start with, part by part: the shortest first."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    prefix = ""
    for column in takewhile(lambda column: len({*column}) == 1, columns):
        prefix += f"{column[0]}."
        yield prefix


def known(names: Collection[str]) -> str:
    """What all names start with, as far as it is called as wrappers are; or nothing."""
    are = takewhile(lambda prefix: prefix.split(".")[-2] in WORDS, shared(names))
    return max(are, key=len, default="")


def before_any(wanted: Iterable[str], names: Collection[str]) -> str:
    """What all names start with, up to where some of the `wanted` ones begin; or nothing."""
    those = {*wanted}
    if those.intersection(names):
        return ""
    return next((p for p in shared(names) if any(n.removeprefix(p) in those for n in names)), "")


def before_all(wanted: Collection[str], names: Collection[str]) -> list[str]:
    """What stands before each set of names in which all of the `wanted` ones are; "" is nothing."""
    probe = max(wanted, key=len)
    ends = (name.removesuffix(probe) for name in names if name.endswith(probe))
    whole = [prefix for prefix in ends if prefix == "" or prefix.endswith(".")]
    return [prefix for prefix in whole if all(f"{prefix}{name}" in names for name in wanted)]


def unwrapped(name: str) -> str:
    """A name without what `torch.compile` puts into it, wherever that is."""
    return ".".join(part for part in name.split(".") if part != COMPILED)
