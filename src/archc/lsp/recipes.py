"""What a recipe of training may say where somebody is writing, and what its keys and words mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from archc.compiler.recipe.described import Described, described
from archc.compiler.spec.reader import Scalar, Sequence
from archc.lsp.text import Cursor
from archc.lsp.tree import Key, Spot


class Offer(NamedTuple):
    """A word that may stand there."""

    label: str
    doc: str
    is_key: bool
    needed: bool = False


def offers(here: Spot, cursor: Cursor) -> Iterator[Offer]:
    """What may stand at the cursor."""
    if here.on_key or not here.keys or here.keys[-1] is None:
        mapping = _at(here.keys[:-1])
        written = here.nodes[-1] if here.nodes else ()
        said = {str(key) for key in written if key is not here.scalar}
        yield from _keys(mapping, said) if mapping else ()
        return
    found = _at(here.keys)
    if found is None:
        return
    yield from (Offer(word, doc, is_key=False) for word, doc in found.words.items())
    yield from (Offer(example, "", is_key=False) for example in found.examples)
    if _below_its_key(here, cursor):
        yield from _keys(found, set())


def _keys(mapping: Described, said: set[str]) -> Iterator[Offer]:
    """The keys that are left; of kinds there is one."""
    chosen = not said.isdisjoint(mapping.kinds)
    for key, each in mapping.keys.items():
        if key not in said and not (chosen and key in mapping.kinds):
            yield Offer(key, told_of(key, each), is_key=True, needed=each.required)


def _below_its_key(here: Spot, cursor: Cursor) -> bool:
    """Whether a mapping can begin at the cursor: in a line of its own, or as an entry of a list."""
    key = here.keys[-1]
    return isinstance(here.nodes[-1], Sequence) or (
        isinstance(key, Scalar) and cursor[0] > key.place.line
    )


def told(here: Spot) -> Iterator[str]:
    """What the key, or the word, at a place means; of names and entries, what they are below."""
    found = _at(here.keys)
    if found is None:
        return
    meaning = "" if here.on_key else found.words.get(str(here.scalar), "")
    if meaning:
        yield f"`{here.scalar}`: {meaning}"
    for last, key in reversed([*enumerate(here.keys)]):
        own = _at(here.keys[: last + 1])
        if isinstance(key, str) and own is not None and own.doc:
            yield told_of(str(key), own)
            return


def told_of(key: str, each: Described) -> str:
    """What a key means, and what it holds."""
    return f"`{key}`: {each.doc}\n\n_{each.about}_"


def told_of_recipes() -> str:
    """What the key means that makes a recipe of a file."""
    return told_of("recipe", described().keys["recipe"])


def _at(keys: Iterable[Key]) -> Described | None:
    """What there is to know of a place."""
    found: Described | None = described()
    for key in keys:
        found = found.below(key) if found is not None and key is not None else None
    return found
