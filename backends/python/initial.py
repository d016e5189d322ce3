"""How a module gives its layers their first weights: by one function, as far as the kind of a layer
decides; else in the constructors that make them.

In: definitions with an `Initialize` behind each layer. Out: the same with calls instead, and what
the model as a whole is to apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from archc.backends.python.model import (
    Code,
    Definition,
    Do,
    Filling,
    If,
    Initial,
    Initialize,
    Statement,
)
from archc.backends.python.text import Expression, apply

FUNCTION = "init_weights"
"""What gives every layer its first weights, by its kind."""
PER_LAYER = "init_layer"
"""The helper that does so for one layer."""
DEPTHWISE = frozenset({"depthwise_conv2d", "separable_conv2d"})
CONVOLUTIONS = frozenset({"conv2d", "separable_conv2d"})
Use = Callable[[str], str]


Definitions = Sequence[Definition]


def initialized(
    definitions: Definitions, use: Use, told_later: Set[str]
) -> tuple[list[Definition], Initial]:
    """The definitions with their layers initialized, and what is left to the whole model.

    `told_later` are the ops whose channels are not known.
    """
    every = [each for d in definitions for each in _found(d.body) if not each.is_usual]
    words = {each.word for each in every}
    if None not in words:
        alone = len(words) == 1 and not any(each.wrapper for each in every)
        function = use(str(words.pop())) if alone else None
        made = _Words(use, alone)
        return [_replaced(each, made) for each in definitions], Initial(function)
    roles = _Roles([each for d in definitions for each in _found(d.body)], use, told_later)
    body = tuple(roles.body())
    less = [_replaced(each, roles) for each in definitions]
    return less, Initial(FUNCTION if body else None, body)


def _found(code: Code) -> Iterator[Initialize]:
    for each in code:
        if isinstance(each, Initialize):
            yield each
        elif isinstance(each, If):
            yield from _found(each.body)


Made = Callable[[Initialize], Iterable[Statement]]


def _replaced(definition: Definition, made: Made) -> Definition:
    return replace(definition, body=tuple(_without(definition.body, made)))


def _without(code: Code, made: Made) -> Iterator[Statement]:
    for each in code:
        if isinstance(each, Initialize):
            yield from made(each)
        elif not isinstance(each, If):
            yield each
        elif body := tuple(_without(each.body, made)):
            yield replace(each, body=body)


@dataclass(frozen=True, slots=True)
class _Words:
    """Each layer by the helper of its word; or none, where the model applies one to all."""

    use: Use
    alone: bool

    def __call__(self, each: Initialize) -> Iterator[Statement]:
        if self.alone or each.word is None:
            return
        given = [self.use(each.word), each.layer]
        yield Do(apply(self.use(each.wrapper), *given) if each.wrapper else apply(*given))


Slot = tuple[str, str]
"""The kind of a layer, and one of its arrays."""


class _Roles:
    """What the kind of a layer decides, and for each layer what is left."""

    def __init__(self, every: Sequence[Initialize], use: Use, told_later: Set[str]) -> None:
        self.use = use
        self.every = every
        self.kinds: dict[str, dict[str, None]] = {}
        """The classes of each kind."""
        self.slots: dict[Slot, list[tuple[Initialize, tuple[Filling, ...]]]] = {}
        for each in every:
            self.kinds.setdefault(each.kind, {}).setdefault(each.layer_class)
            for array, fillings in each.fillings.items():
                self.slots.setdefault((each.kind, array), []).append((each, fillings))
        self.test = self.depthwise_test(told_later)
        self.chosen = {slot: self.choice(found) for slot, found in self.slots.items()}

    def depthwise_test(self, told_later: Set[str]) -> str | None:
        """A test that only the depthwise ones among the convolutions meet, if there is one."""
        found = [each for each in self.every if each.groups is not None]
        depthwise = [each for each in found if each.depthwise]
        others = [each for each in found if not each.depthwise]
        single = any(each.single for each in depthwise) or told_later & DEPTHWISE
        if not single and not any(each.grouped for each in others):
            return "module.groups > 1"
        single = any(each.single for each in others) or told_later & CONVOLUTIONS
        if not single:
            return "module.groups == module.in_channels"
        return None

    def choice(
        self, found: Sequence[tuple[Initialize, tuple[Filling, ...]]]
    ) -> tuple[Filling, ...] | None:
        """One filling for all, or one for depthwise convolutions and one for the others; None
        where the kind of a layer does not decide."""
        alone = _common([fillings for _, fillings in found])
        if alone is not None:
            return (alone,)
        parts = [[f for each, f in found if each.depthwise is side] for side in (True, False)]
        both = [_common(part) for part in parts if part]
        if self.test is None or None in both or len(both) < 2:
            return None
        return tuple(filter(None, both))

    # -------------------------------------------------------------------- the function

    def body(self) -> Iterator[Statement]:
        """The body of the function that gives layers their weights by their kind."""
        branches: list[tuple[list[str], Code]] = []
        for kind, classes in self.kinds.items():
            code = tuple(self.branch(kind))
            alike = next((known for known, other in branches if other == code), None)
            if alike is not None:
                alike += classes
            elif code:
                branches.append(([*classes], code))
        chained: Code = ()
        for known, code in reversed(branches):
            chained = (If(self.is_a(known), code, chained),)
        yield from chained

    def is_a(self, classes: Iterable[str]) -> str:
        return f"isinstance(module, {' | '.join(map(self.use, classes))})"

    def branch(self, kind: str) -> Iterator[Statement]:
        """What fills the arrays of one kind of layer; first those by whether it is depthwise."""
        chosen = {
            array: found
            for (each, array), found in self.chosen.items()
            if each == kind and found and not all(filling.is_usual for filling in found)
        }
        parts = {array: found for array, found in chosen.items() if len(found) == 2}
        if parts:
            assert self.test is not None
            then, otherwise = (
                tuple(self.filled(kind, array, found[side]) for array, found in parts.items())
                for side in (0, 1)
            )
            yield If(self.test, then, otherwise)
        for array, found in chosen.items():
            if array not in parts:
                yield self.filled(kind, array, found[0])

    def filled(self, kind: str, array: str, filling: Filling) -> Statement:
        where = f"module.{array}"
        made = Do(self.call(filling, where, "module.weight", "module.groups"))
        certain = array == "weight" and kind != "norm"
        certain = certain or all(each.whole for each in self.every if each.kind == kind)
        return made if certain else If(f"{where} is not None", (made,))

    def call(
        self, filling: Filling, weight: str, kernel: str, groups: str, before: str = ""
    ) -> Expression:
        self.use("nn")
        names = {"weight": weight, "kernel": kernel, "groups": groups}
        given = [text.format_map(names) for text in filling.arguments]
        for name in filling.uses:
            self.use(name)
        return apply(before + self.use(filling.callee), *given)

    # ------------------------------------------------------------------------- one layer

    def __call__(self, each: Initialize) -> Iterator[Statement]:
        """What is left to do for one layer."""
        left = {
            array: fillings[0]
            for array, fillings in each.fillings.items()
            if self.chosen[each.kind, array] is None and not fillings[0].is_usual
        }
        if left:
            given = {array: self.value(each, array, filling) for array, filling in left.items()}
            yield Do(apply(self.use(PER_LAYER), each.layer, **given))

    def value(self, each: Initialize, array: str, filling: Filling) -> Expression:
        """A filling as a function of an array."""
        if filling.callee == "":
            return filling.arguments[0]
        if filling.arguments == ("{weight}",):
            return self.use(filling.callee)
        kernel = "weight" if array == "weight" else f"{each.layer}.weight"
        return self.call(filling, array, kernel, each.groups or "1", f"lambda {array}: ")


def _common(every: Sequence[tuple[Filling, ...]]) -> Filling | None:
    """What all agree on, by the first choice of the first; None where they do not."""
    first, *others = every
    agreed = (one for one in first if one.callee and all(one in other for other in others))
    return next(agreed, None)
