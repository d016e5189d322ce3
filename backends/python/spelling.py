"""Expressions and calls of ops as Python text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from archc.backends.python.model import Initialize
from archc.backends.python.text import Apply, Argument, Choice, Expression, apply
from archc.compiler.ir.folding import Facts, facts, folded
from archc.compiler.ir.interface import simplify, sized_inputs, with_channels
from archc.compiler.ir.network import Block, Body
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Definition, Node, Value
from archc.compiler.language.initializers import Initializer
from archc.compiler.language.problems import Place, Source
from archc.compiler.language.values import ACTIVATIONS

NOWHERE = Place(Source("generated", ""), 1, 1)

Use = Callable[[str], str]
"""use(name) -> the name; notes that the module needs it, to import or to define."""


@dataclass(slots=True)
class Speller:
    """Expressions of a block or a row as Python text."""

    name: Callable[[str], str]
    channels: Callable[[str], str]
    activation: Callable[[Any], str]
    initializer: Callable[[Initializer], str]
    known: Mapping[str, Node] = field(default_factory=dict)
    """The channels of values, as expressions in those of inputs."""
    holding: Facts = field(default_factory=dict)
    """What is known to hold."""

    def __call__(self, node: Node) -> str:
        return ex.python(self.folded(node), self.leaf)

    def folded(self, node: Node) -> Node:
        """`node` in terms of what code knows, without what is known to hold."""
        return folded(with_channels(node, self.known), self.holding)

    def where(self, when: Node | None) -> Speller:
        """The same where a condition is known to hold."""
        if when is None:
            return self
        return replace(self, holding=facts(with_channels(when, self.known)))

    def leaf(self, node: Node) -> str:
        match node:
            case ex.Name():
                return self.name(node.id)
            case ex.Attribute():
                return self.channels(node.id)
            case ex.Literal(value=str(word)) if word in ACTIVATIONS:
                return self.activation(word)
            case ex.Literal(value=Definition() as block):
                return self.activation(block)
            case ex.Literal(value=Initializer() as initializer):
                return self.initializer(initializer)
            case ex.Literal(value=value):
                return literal(value)
        raise TypeError(f"{node} is not a leaf")


def literal(value: Value) -> str:
    """A value as Python's text."""
    if isinstance(value, str):
        return f'"{value}"'
    return repr(ex.compact(value))


def number(value: object) -> str:
    """A number as Python's text: `1 / 3` where that is what it is."""
    assert isinstance(value, int | float)
    shown = ex.fraction(value)
    return shown if "/" in shown else repr(value)


def constant(value: Value) -> ex.Literal:
    """A value as an expression that stands nowhere."""
    return ex.Literal(value, NOWHERE)


_ONE = constant(1)


def same(node: Node, other: Node | None) -> bool:
    """Whether both are the same constant: 1 and 1.0 are, 1 and true are not."""
    if not isinstance(node, ex.Literal) or not isinstance(other, ex.Literal):
        return False
    booleans = isinstance(node.value, bool), isinstance(other.value, bool)
    return booleans[0] == booleans[1] and ex.compact(node.value) == ex.compact(other.value)


def is_literal(node: Node, *values: Value) -> bool:
    """Whether an expression is one of these constants."""
    return any(same(node, constant(value)) for value in values)


@dataclass(frozen=True, slots=True)
class OpCall:
    """An op where it is called, with all that its spelling may ask."""

    name: str
    """What the call is called within its block, or the row."""
    arguments: Mapping[str, Node]
    """All of the op's."""
    spell: Speller
    use: Use
    bodies: Collection[Body]
    """What the call comes to, over the whole network."""
    inputs: tuple[Expression, ...] = ()
    """Its operands, where code says them beside the arguments."""
    channels: Node | None = None
    """Of its first operand, where code has to be told."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kinds of the parameters that the arguments may mention."""
    within: bool = False
    """Whether it stands in a block, which may be called many times."""
    when: Node | None = None
    """What is known to hold where the op is called."""
    left_open: bool = False
    """Whether an argument of the model decides which activation it is."""
    overwrites: bool = False
    """Whether it may write over its input, which nothing else uses."""
    apart: bool = False
    """Whether what it does first may be a layer of its own: see `Layer.before`."""

    def __getitem__(self, name: str) -> str:
        return self.spell(self.arguments[name])

    def apply(self, callee: str, *arguments: Argument, **named: Expression) -> Apply:
        """A call of a name that the module may have to import or define."""
        return apply(self.use(callee), *arguments, **named)

    def is_(self, name: str, *values: Value) -> bool:
        """Whether an argument is one of these constants."""
        return is_literal(self.arguments[name], *values)

    def flag(self, name: str) -> bool:
        """Whether an op has an argument that is written out, and it is true."""
        return name in self.arguments and self.is_(name, True)

    def given(self, usual: Value = 1, /, **names: str) -> dict[str, Expression]:
        """keyword = text, for the arguments that are not at the framework's default."""
        nodes = {keyword: self.arguments[name] for keyword, name in names.items()}
        return {k: self.spell(node) for k, node in nodes.items() if not is_literal(node, usual)}

    def joined(self, separator: str) -> str:
        """Its operands as an expression."""
        return separator.join(map(str, self.inputs))

    def or_identity(self, made: Expression, identity: str, kind: str) -> Expression:
        """An activation that an argument decides, or where it is none, what the class `identity`
        makes; `kind` is the type of both."""
        if self.when == self.arguments["act"] or not self.optional:
            return made
        return Choice(made, self["act"], f"{self.use(identity)}()", kind)

    def halves(self) -> dict[str, OpCall]:
        """A separable convolution as the two that it is."""
        plain: dict[str, Node] = dict.fromkeys(("kernel", "stride", "dilation", "groups"), _ONE)
        plain["padding"] = constant("valid")
        first = {**self.arguments, "bias": constant(False)}
        second = {**self.arguments, **plain}
        return {
            "depthwise": replace(self, arguments=first),
            "pointwise": replace(self, arguments=second, channels=self.multiplied),
        }

    @property
    def multiplied(self) -> Node:
        """The channels after a depthwise convolution."""
        assert self.channels is not None
        return simplify(ex.Binary("*", self.channels, self.arguments["multiplier"], NOWHERE))

    def numbers(self, name: str) -> tuple[int, ...]:
        """The numbers of an argument that is written out."""
        value = self.arguments[name].evaluate({})
        assert isinstance(value, tuple)
        return value

    def pair(self, name: str) -> tuple[int, int] | None:
        """A size that is known, as two numbers."""
        node = self.arguments[name]
        value = node.value if isinstance(node, ex.Literal) else None
        if isinstance(value, tuple):
            return value[0], value[1]
        return (value, value) if isinstance(value, int) else None

    def number(self, name: str) -> Node | None:
        """A size as one number; none where it may be of two."""
        known = self.pair(name)
        if known is not None:
            return constant(known[0]) if known[0] == known[1] else None
        return self.arguments[name] if self.is_number(name) else None

    def is_number(self, name: str) -> bool:
        """Whether an argument is certainly one number, not a pair."""
        return all(
            self.kinds.get(n.id) == "int" if isinstance(n, ex.Name) else not isinstance(n, ex.Items)
            for n in ex.walk(self.arguments[name])
        )

    def is_list(self, name: str) -> bool:
        """Whether an argument may be a list at some call."""
        names = (n.id for n in ex.walk(self.arguments[name]) if isinstance(n, ex.Name))
        known = any(isinstance(body.arguments[name], tuple) for body in self.bodies)
        return known or any(self.kinds.get(name) == "numbers" for name in names)

    @property
    def in_channels(self) -> str:
        assert self.channels is not None
        return self.spell(self.channels)

    @property
    def ranks(self) -> frozenset[int]:
        """Whether its input is a feature map (3), a vector (1), or each at some call."""
        return frozenset(len(body.inputs[0].shape) for body in self.bodies) or frozenset({3})

    @property
    def applied(self) -> set[Value]:
        """What calls of the op `activation` apply: words, none, or blocks that serve as one."""
        return {
            body.target if isinstance(body.target, Block) else body.arguments.get("act")
            for body in self.bodies
        }

    @property
    def optional(self) -> bool:
        """Whether there may be no activation."""
        return self.left_open or not self.bodies or None in self.applied

    @property
    def told(self) -> list[str]:
        """The channels, where it applies a block that has to be told them."""
        act = self.arguments["act"]
        block = act.value if isinstance(act, ex.Literal) else None
        sized = sized_inputs(block) if isinstance(block, Block) else self.serving
        return [self.in_channels] if sized else []

    @property
    def serving(self) -> bool:
        """Whether it is a block at some call, which has to be told its channels."""
        targets = (body.target for body in self.bodies)
        return any(isinstance(target, Block) and sized_inputs(target) for target in targets)


Spelling = Callable[[OpCall], Expression]


@dataclass(frozen=True, slots=True)
class Layer(Apply):
    """What makes a layer, and how its arrays start, for each part with its path below the layer."""

    initial: tuple[Initialize, ...] = ()
    before: Expression | None = None
    """A layer of its own that the input goes through first, if there is one."""
