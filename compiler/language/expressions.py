"""The expression language as a closed tree, evaluated by walking it.

The operators mean what they mean in Python, so generated code can spell them as they are. The
grammar is that of `parser`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as entry
from fractions import Fraction
from typing import Any, ClassVar, Self

from archc.compiler.language import problems
from archc.compiler.language.problems import Place, Problem, SpecError, Unknown, quote


class Definition:
    """What has a name and can be a value: a block, where an activation belongs."""

    name: str

    def __str__(self) -> str:
        return self.name


class Composite:
    """A value that is made of others, such as an initializer; its text is what a spec writes."""

    __slots__ = ()


Value = None | bool | int | float | str | tuple[int, ...] | Definition | Composite
Scope = Mapping[str, object]
"""What names mean: values by name, and tensors by name after a dot, since both may be `act`."""

MAX_TERMS = 1000
"""An expression that grows longer than this when names are replaced in it is refused."""
MAX_LEVELS = 250
"""So is one that becomes deeper than any that is written out."""
LARGEST = 2**53
"""Numbers beyond this are refused: an integer would not survive as a float."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, `none`, `true`, `false`, or a word that a type gave a meaning (`relu`, `same`)."""

    value: Value
    place: Place = entry(compare=False, repr=False)
    operands: ClassVar[tuple[Node, ...]] = ()

    def evaluate(self, scope: Scope) -> Value:
        return self.value


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    place: Place = entry(compare=False, repr=False)
    operands: ClassVar[tuple[Node, ...]] = ()

    def __str__(self) -> str:
        return self.id

    def evaluate(self, scope: Scope) -> Value:
        if self.id not in scope:
            raise Unknown
        return scope[self.id]  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Attribute:
    """`x.channels` or `x.stride` of the tensor called `id`."""

    id: str
    field: str
    place: Place = entry(compare=False, repr=False)
    operands: ClassVar[tuple[Node, ...]] = ()

    def __str__(self) -> str:
        return f"{self.id}.{self.field}"

    def evaluate(self, scope: Scope) -> Value:
        tensor = f".{self.id}"
        if tensor not in scope:
            raise Unknown
        return getattr(scope[tensor], self.field)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Node
    place: Place = entry(compare=False, repr=False)

    @property
    def operands(self) -> tuple[Node, ...]:
        return (self.operand,)

    def evaluate(self, scope: Scope) -> Value:
        value = self.operand.evaluate(scope)
        return not holds(value) if self.operator == "not" else -_number(value, self.operand)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two operands and what is between them; each kind of operator has a class."""

    operator: str
    left: Node
    right: Node
    place: Place = entry(compare=False, repr=False)

    @property
    def operands(self) -> tuple[Node, ...]:
        return self.left, self.right


class Binary(Pair):
    __slots__ = ()

    def evaluate(self, scope: Scope) -> Value:
        left = _number(self.left.evaluate(scope), self.left)
        right = _number(self.right.evaluate(scope), self.right)
        return _computed(ARITHMETIC[self.operator], [left, right], self)


class Compare(Pair):
    __slots__ = ()

    def evaluate(self, scope: Scope) -> Value:
        left, right = compact(self.left.evaluate(scope)), compact(self.right.evaluate(scope))
        if self.operator not in ("==", "!="):
            left, right = _number(left, self.left), _number(right, self.right)
        else:
            self.check_alike(left, right)
        return COMPARISONS[self.operator](left, right)

    def check_alike(self, left: Value, right: Value) -> None:
        """Refuses a number beside true or false: 1 equals `True` in Python, and is not `True`."""
        flags = isinstance(left, bool), isinstance(right, bool)
        if flags[0] == flags[1] or not all(isinstance(x, int | float) for x in (left, right)):
            return
        flag, number = (left, right) if flags[0] else (right, left)
        message = f"`{show(flag)}` is compared with the number {show(number)}"
        place = self.left.place if flags[0] else self.right.place
        hint = "compare numbers with numbers, and flags with `true` or `false`"
        raise SpecError([Problem("E022", message, place, hint)])


class Logic(Pair):
    """`and` or `or`; like Python's, its value is that of the operand which decided."""

    __slots__ = ()

    def evaluate(self, scope: Scope) -> Value:
        left = self.left.evaluate(scope)
        return left if holds(left) == (self.operator == "or") else self.right.evaluate(scope)


@dataclass(frozen=True, slots=True)
class Conditional:
    condition: Node
    then: Node
    otherwise: Node
    place: Place = entry(compare=False, repr=False)

    @property
    def operands(self) -> tuple[Node, ...]:
        return self.condition, self.then, self.otherwise

    def evaluate(self, scope: Scope) -> Value:
        chosen = self.then if holds(self.condition.evaluate(scope)) else self.otherwise
        return chosen.evaluate(scope)


@dataclass(frozen=True, slots=True)
class Items:
    """`[3, 5]`: a height and a width, or four pads."""

    items: tuple[Node, ...]
    place: Place = entry(compare=False, repr=False)

    @property
    def operands(self) -> tuple[Node, ...]:
        return self.items

    def evaluate(self, scope: Scope) -> Value:
        return tuple(_number(item.evaluate(scope), item) for item in self.items)  # type: ignore[misc]


class Word(str):
    """A text that knows where it stands, such as the name of an argument."""

    place: Place

    def __new__(cls, text: str, place: Place) -> Self:
        word = super().__new__(cls, text)
        word.place = place
        return word

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy of it is made of."""
        return str(self), self.place


@dataclass(frozen=True, slots=True)
class Call:
    """`f(a, key=b)`: a function of numbers, or in a step a block or an op."""

    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...]
    place: Place = entry(compare=False, repr=False)
    make: Callable[[list[Value]], Value] | None = entry(default=None, compare=False, repr=False)
    """What makes its value, where it is no function of numbers."""

    def evaluate(self, scope: Scope) -> Value:
        if self.make is not None:
            return self.make([_part(argument, scope) for argument in self.arguments])
        values = [_number(argument.evaluate(scope), argument) for argument in self.arguments]
        return _computed(FUNCTIONS[self.function], values, self)

    @property
    def operands(self) -> tuple[Node, ...]:
        return (*self.arguments, *(value for _, value in self.keywords))

    def misuse(self) -> Problem | None:
        """What is wrong with this as a call of a function of numbers, if something is."""
        if self.function not in FUNCTIONS:
            hint = problems.suggest(self.function, FUNCTIONS) or problems.choices(FUNCTIONS)
            return Problem("E021", f"unknown function `{self.function}`", self.place, hint)
        least, most = ARITY.get(self.function, (1, 1))
        if self.keywords or not least <= len(self.arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            message = f"`{self.function}` takes {wanted} plain argument{'s' * (most > 1)}"
            return Problem("E033", message, self.place)
        return None


Node = Literal | Name | Attribute | Unary | Binary | Compare | Logic | Conditional | Items | Call


def round_channels(value: float, divisor: float = 8) -> int:
    """The multiple of `divisor` nearest to `value`, at least `divisor`, never below 0.9 `value`.

    Source: `_make_divisible` of the MobileNet reference implementations (tensorflow/models,
    research/slim/nets/mobilenet), where halves round up.
    """
    step = int(divisor)
    rounded = max(step, int(value + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * value else rounded


def rounded(value: float, digits: float | None = None) -> float:
    """The nearest whole number, or the nearest one of so many digits; halves go to the even one."""
    return round(value) if digits is None else round(float(value), int(digits))


ARITHMETIC: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
COMPARISONS: dict[str, Callable[..., bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
RANKS = (("or",), ("and",), ("not",), tuple(COMPARISONS), ("+", "-"), ("*", "/", "//", "%"))
"""The binary operators and `not`, from the loosest to the tightest."""
FUNCTIONS: dict[str, Callable[..., float]] = {
    "round_channels": round_channels,
    "min": min,
    "max": max,
    "round": rounded,
    "floor": math.floor,
    "ceil": math.ceil,
}
ARITY = {"round_channels": (1, 2), "round": (1, 2), "min": (2, 8), "max": (2, 8)}
"""Fewest and most arguments; (1, 1) where nothing is said."""

WORDS: dict[str, bool | None] = {"none": None, "true": True, "false": False}


def show(value: object) -> str:
    """A value as a spec writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def spell(value: object) -> str:
    """A value as a spec writes it, to the last digit."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(spell, value))}]"
    shown = show(value)
    return repr(value) if isinstance(value, float) and float(shown) != value else shown


def fraction(value: float) -> str:
    """A number as `1 / 3` where that is what it is, else as a spec writes it."""
    near = Fraction(value).limit_denominator(100)
    if len(repr(value)) < 8 or float(near) != value:
        return spell(value)
    return f"{near.numerator} / {near.denominator}"


def compact(value: Value) -> Value:
    """A value as generated code holds it: a size of two equal sides is one number."""
    square = isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]
    return value[0] if square else value  # type: ignore[index]


def holds(value: Value) -> bool:
    """Whether a value counts as true: as in Python, once it is `compact`."""
    return bool(compact(value))


def whole(value: Value) -> Value:
    """A worked-out value with its whole numbers as integers: half of 8 is 4, not 4.0."""
    if isinstance(value, tuple):
        return tuple(whole(item) for item in value)  # type: ignore[misc]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def spell_alone(value: object) -> str:
    """The same where no type of a parameter says that a whole number is a `float`: 1.0, not 1."""
    shown = spell(value)
    bare = isinstance(value, float) and shown.removeprefix("-").isdecimal()
    return f"{shown}.0" if bare else shown


def _number(value: object, node: Node) -> float:
    if type(value) is int or type(value) is float:
        return value
    message = f"{quote(show(value))} is not a number"
    raise SpecError([Problem("E022", message, node.place)])


def _part(node: Node, scope: Scope) -> Value:
    """A word that stands in a call, or a number."""
    word = isinstance(node, Literal) and isinstance(node.value, str)
    return node.evaluate(scope) if word else _number(node.evaluate(scope), node)


def _computed(function: Callable[..., float], values: list[float], node: Node) -> float:
    try:
        value = function(*values)
    except ZeroDivisionError:
        raise SpecError([Problem("E022", "a division by zero", node.place)]) from None
    if not -LARGEST <= value <= LARGEST:
        raise SpecError([Problem("E022", "the result is too large", node.place)])
    return value


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, from left to right."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += node.operands[::-1]


def names(node: Node) -> dict[str, None]:
    """The names in an expression once each, from left to right."""
    return dict.fromkeys(n.id for n in walk(node) if isinstance(n, Name))


def asks_tensors(node: Node) -> bool:
    """Whether an expression asks for something of a tensor, or of the row that it stands in."""
    return any(isinstance(n, Attribute) for n in walk(node))


def misuses(node: Node) -> list[Problem]:
    """What is wrong with the calls in an expression, as calls of functions of numbers."""
    found = (n.misuse() for n in walk(node) if isinstance(n, Call))
    return [misuse for misuse in found if misuse is not None]


def is_constant(node: Node) -> bool:
    """Whether an expression mentions neither a name nor a tensor."""
    return not any(isinstance(n, Name | Attribute) for n in walk(node))


def mapped(node: Node, inner: Callable[[Node], Node]) -> Node:
    """`node` with each of its direct operands replaced by what `inner` makes of it."""
    match node:
        case Unary():
            return replace(node, operand=inner(node.operand))
        case Pair():
            return replace(node, left=inner(node.left), right=inner(node.right))
        case Conditional(condition=condition, then=then, otherwise=otherwise):
            return Conditional(inner(condition), inner(then), inner(otherwise), node.place)
        case Items():
            return replace(node, items=tuple(map(inner, node.items)))
        case Call():
            keywords = tuple((name, inner(value)) for name, value in node.keywords)
            return replace(node, arguments=tuple(map(inner, node.arguments)), keywords=keywords)
    return node


def substitute(node: Node, values: Mapping[str, Node]) -> Node:
    """`node` with names, and attributes such as `x.channels`, replaced by expressions.

    Raises `SpecError` (E022) for a result so long that nothing sensible leads to it.
    """
    terms = 0

    def replaced(part: Node) -> Node:
        nonlocal terms
        if not isinstance(part, Name | Attribute):
            return mapped(part, replaced)
        value = values.get(str(part), part)
        terms += sum(1 for _ in walk(value))
        if terms > MAX_TERMS:
            raise _too_long(node, f"comes to more than {MAX_TERMS} terms")
        return value

    result = replaced(node)
    if not _is_flat(result):
        raise _too_long(node, f"is nested more than {MAX_LEVELS} deep")
    return result


def _too_long(node: Node, what: str) -> SpecError:
    hint = "work it out in smaller parts"
    return SpecError([Problem("E022", f"written out, this {what}", node.place, hint)])


def _is_flat(node: Node) -> bool:
    """Whether an expression can be walked by a function that calls itself."""
    level, depth = [node], 0
    while level and depth < MAX_LEVELS:
        level, depth = [child for above in level for child in above.operands], depth + 1
    return not level


# ---------------------------------------------------------------------------------- rendering

_PRECEDENCE = {operator: rank for rank, row in enumerate(RANKS, 1) for operator in row}
_ATOM = len(RANKS) + 2


def precedence(operator: str) -> int:
    """How tightly an operator binds, in a spec and in Python."""
    return _PRECEDENCE[operator]


def python(node: Node, name: Callable[[Node], str]) -> str:
    """`node` as Python text; `name` spells a `Name`, an `Attribute` or a `Literal`."""
    return _spelled(node, name, True)[0]


def text(node: Node) -> str:
    """`node` as a spec writes it."""
    return _spelled(node, _leaf, False)[0]


def _leaf(node: Node) -> str:
    return spell_alone(node.value) if isinstance(node, Literal) else str(node)


def _spelled(node: Node, name: Callable[[Node], str], python: bool) -> tuple[str, int]:
    def inner(child: Node, least: int) -> str:
        text, rank = _spelled(child, name, python)
        return text if rank >= least else f"({text})"

    match node:
        case Unary(operator="not"):
            return f"not {inner(node.operand, _PRECEDENCE['not'])}", _PRECEDENCE["not"]
        case Unary():
            return f"-{inner(node.operand, _ATOM - 1)}", _ATOM - 1
        case Compare(right=Literal(value=None | True | False)) if python and node.operator in (
            "==",
            "!=",
        ):
            word = "is" if node.operator == "==" else "is not"
            rank = _PRECEDENCE["=="]
            return f"{inner(node.left, rank + 1)} {word} {inner(node.right, rank + 1)}", rank
        case Pair():
            rank = _PRECEDENCE[node.operator]
            left = inner(node.left, rank + isinstance(node, Compare))
            return f"{left} {node.operator} {inner(node.right, rank + 1)}", rank
        case Conditional():
            parts = inner(node.then, 1), inner(node.condition, 1), inner(node.otherwise, 0)
            return "{} if {} else {}".format(*parts), 0
        case Items():
            items = ", ".join(inner(item, 0) for item in node.items)
            if not python:
                return f"[{items}]", _ATOM
            return f"({items},)" if len(node.items) == 1 else f"({items})", _ATOM
        case Call():
            arguments = ", ".join(inner(argument, 0) for argument in node.arguments)
            return f"{node.function}({arguments})", _ATOM
        case _:
            text = name(node)
            return text, _ATOM - 1 if text.startswith("-") else _ATOM
