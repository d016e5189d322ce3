"""Which definition of a block counts, where several files define one of its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archc.compiler.language.closure import closure
from archc.compiler.language.problems import Enough, Place, Problem, Reporter, choices, suggest
from archc.compiler.spec.models import BlockSpec, Spec
from archc.compiler.spec.reader import Scalar

Specs = Mapping[Path, Spec | None]
Links = Mapping[Path, Sequence[Path]]
"""The files that each file uses or extends."""


@dataclass(frozen=True, eq=False)
class _Definition:
    block: BlockSpec
    place: Place
    below: Set[Path]
    """The files that its own file builds on."""


def blocks_of(specs: Specs, links: Links) -> tuple[dict[str, BlockSpec], list[Problem]]:
    """Every block by name, and what is wrong with their names.

    A block that says `replace` stands for all of its name in files that its own file builds on.
    """
    every: dict[str, list[tuple[Path, Scalar, BlockSpec]]] = {}
    for path, spec in specs.items():
        for name, block in spec.blocks.items() if spec else ():
            every.setdefault(name, []).append((path, name, block))
    found: dict[str, BlockSpec] = {}
    reporter = Reporter()
    with suppress(Enough):
        for key, definitions in every.items():
            found[key] = definitions[0][2]
            if len(definitions) == 1 and not found[key].replace:
                continue
            own = {p: _Definition(b, n.place, _below(p, links)) for p, n, b in definitions}
            replaced = {path for new in own.values() if new.block.replace for path in new.below}
            # All of them, where they replace each other in a circle.
            standing = [path for path in own if path not in replaced] or [*own]
            found[key] = own[standing[0]].block
            reporter.tell([*_clashes(key, own, standing), *_misfits(key, own, specs)])
    return found, reporter.problems


def _below(path: Path, links: Links) -> Set[Path]:
    return closure(links.get(path, ()), lambda link: links.get(link, ())).keys() - {path}


def _clashes(
    name: str, own: Mapping[Path, _Definition], standing: Sequence[Path]
) -> Iterator[Problem]:
    first, *others = standing
    for other in others:
        near = other in own[first].below or first in own[other].below
        hint = "rename one" + ", or say `replace: true` in the block that is to count" * near
        related = (("and here", own[other].place),)
        message = f"the block `{name}` is defined twice"
        yield Problem("E015", message, own[first].place, hint, related)


def _misfits(name: str, own: Mapping[Path, _Definition], specs: Specs) -> Iterator[Problem]:
    """Blocks that replace nothing, or cannot be called as those that they replace."""
    for new in own.values():
        if not new.block.replace:
            continue
        replaced = [own[path] for path in own if path in new.below]
        if not replaced:
            seen = [spec for path in new.below if (spec := specs[path]) is not None]
            known = [str(block) for spec in seen for block in spec.blocks]
            hint = suggest(name, known) or (choices(known) if known else "remove `replace`")
            yield Problem("E060", f"there is no block `{name}` to replace", new.place, hint)
        for old in replaced:
            wrong = _difference(name, old.block, new.block)
            if wrong is not None:
                message, place = wrong
                hint = "take what the replaced block takes, in its order; more needs a default"
                related = (("replaced here", old.place),)
                yield Problem("E062", message, place, hint, related)


def _difference(name: str, old: BlockSpec, new: BlockSpec) -> tuple[str, Place] | None:
    """What the replaced block can be called with, and the one that replaces it cannot."""
    if tuple(map(str, old.inputs)) != tuple(map(str, new.inputs)):
        tensors = ", ".join(f"`{x}`" for x in old.inputs)
        return f"the replaced `{name}` takes the tensors {tensors}", new.key_place("inputs")
    for index, (key, wanted) in enumerate(old.params.items()):
        given = list(new.params.items())[index : index + 1]
        if not given and (wanted.default is not None or wanted.type.optional):
            return None  # a call that gives it is told so
        if [k for k, _ in given] != [key]:
            message = f"parameter {index + 1} of the replaced `{name}` is `{key}`"
            return message, given[0][0].place if given else new.key_place("params")
        if given[0][1].type != wanted.type:
            return f"`{key}` of the replaced `{name}` is of type {wanted.type}", given[0][0].place
        if wanted.default is not None and given[0][1].default is None:
            return f"`{key}` of the replaced `{name}` has a default", given[0][0].place
    for key, more in list(new.params.items())[len(old.params) :]:
        if more.default is None and not more.type.optional:
            return f"the replaced `{name}` has no parameter `{key}`", key.place
    return None
