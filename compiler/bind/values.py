"""Names given their meaning: values in expressions, and arguments of blocks and ops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from archc.compiler.ir.network import Block, Op, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.initializers import (
    FUNCTIONS,
    INITIALIZERS,
    made,
    ordered,
    signature,
    word,
)
from archc.compiler.language.names import check_argument_name
from archc.compiler.language.problems import Place, Problem, Reporter, choices, nearest, suggest
from archc.compiler.language.values import KINDS, Type
from archc.compiler.spec.models import ParameterSpec
from archc.compiler.spec.reader import Scalar
from archc.compiler.spec.rows import TableSpec

BOUNDS = ("min", "max", "above", "below", "usual")
NUMBERS = ("int", "float", "numbers", "size", "sides", "shape")
"""Kinds of parameters that may have bounds."""
ATTRIBUTES = ("channels", "stride")
TURN = ("index", "count")
TURNS = {
    "repeat": "the arguments of a row know it, each time that the row stands there",
    "table": "the arguments of a table's rows know it",
}
"""What says which of how many, and where."""
ANY = Type("any", optional=True)
"""The type of an expression of which nothing is expected."""
_SIDES = ", or `[top, bottom, left, right]`"
_OR = {
    "activation": ", or `none`",
    "padding": _SIDES,
    "pool_padding": _SIDES,
    "initializer": ", or a call such as `normal(0.01)`",
}
"""What some kinds take beside words."""


@dataclass(frozen=True)
class Scope:
    """What a name may mean at one place: values by name with their type, and tensors."""

    values: Mapping[str, Type]
    tensors: Iterable[str] = ()
    turns: tuple[str, ...] = ()
    """What says which of how many: `repeat`, `table`."""
    hint: str | None = None
    """What to say where neither a name nor one like it is known."""

    def names(self) -> list[str]:
        return [*self.values, *self.tensors]


CONSTANT = Scope({}, hint="a block's defaults are constants; work it out under `let`")


def _declared(place: Place, problem: Problem) -> Problem:
    return problem.also(("declared here", place))


class ValueBinder(Reporter):
    """Binds expressions, and collects the problems of all binders."""

    def __init__(self, defaults: Mapping[str, Collection[str]]) -> None:
        super().__init__()
        self.given = defaults
        """Arguments that `defaults` gives, by block or op."""
        self.serving: Mapping[str, Callable[[Place], Block | None]] = {}
        """How to bind each block, by name, where an activation belongs."""

    def parameters(
        self, specs: Mapping[Scalar, ParameterSpec], scope: dict[str, Type], constant: bool = False
    ) -> Iterator[Parameter]:
        """The parameters in order; a default may mention those above it unless it is `constant`."""
        for name, spec in specs.items():
            self.check_keys(spec, constant)
            if spec.keep and not constant:
                with self.blaming(name.place):
                    check_argument_name(name)
            default = spec.default
            parameter = Parameter(
                str(name), spec.type, None, spec.min, spec.max, spec.above, spec.below,
                spec.keep, False, str(spec.doc), name.place, spec.usual,
            )  # fmt: skip
            if default is not None:
                known = CONSTANT if constant else Scope(scope)
                with self.remarking(partial(_declared, name.place)):
                    default = self.argument(parameter, default, known)
            scope[str(name)] = spec.type
            yield replace(parameter, default=default)

    def check_keys(self, spec: ParameterSpec, of_block: bool) -> None:
        """Reports keys of a parameter that would do nothing."""
        if spec.keep and of_block:
            hint = "a network's parameters may be kept; a block takes its own from its caller"
            self.report("E010", "a block's parameter cannot be kept", spec.key_place("keep"), hint)
        for bound in BOUNDS if spec.type.kind not in NUMBERS else ():
            if getattr(spec, bound) is not None:
                message = f"`{bound}` is for numbers, and the type is `{spec.type}`"
                self.report("E010", message, spec.key_place(bound), "leave it out")
        if spec.usual is not None and spec.usual[0] > spec.usual[1]:
            message, hint = "`usual` names the larger number first", "write the smaller one first"
            self.report("E012", message, spec.key_place("usual"), hint)

    # ---------------------------------------------------------------------------- values

    def value(self, node: Node, scope: Scope, expected: Type = ANY) -> Node:
        """`node` with its words given their meaning; reports names that mean nothing."""
        match node:
            case ex.Name():
                return self.name(node, scope, expected)
            case ex.Attribute():
                self.attribute(node, scope)
                return node
            case ex.Logic():
                return ex.mapped(node, lambda side: self.value(side, scope, expected))
            case ex.Compare():
                kind = self.compared(node, scope)
                return ex.mapped(node, lambda side: self.side(side, scope, kind))
            case ex.Conditional():
                return ex.Conditional(
                    self.value(node.condition, scope),
                    self.value(node.then, scope, expected),
                    self.value(node.otherwise, scope, expected),
                    node.place,
                )
            case ex.Call() if expected.kind == "initializer" and node.function not in ex.FUNCTIONS:
                return self.initializer(node, scope)
            case ex.Call():
                return self.function(node, scope)
        return ex.mapped(node, lambda operand: self.value(operand, scope))

    def name(self, node: ex.Name, scope: Scope, expected: Type) -> Node:
        kind = KINDS.get(expected.kind)
        if node.id in scope.values:
            return node
        if node.id in scope.tensors:
            hint: str | None = f"`{node.id}.channels` is its number of channels"
            self.report("E038", f"`{node.id}` is a tensor, not a number", node.place, hint)
        elif kind and node.id in kind.words:
            return ex.Literal(kind.take(node.id, node.id), node.place)
        elif expected.kind == "activation" and node.id in self.serving:
            block = self.serving[node.id](node.place)
            return node if block is None else ex.Literal(block, node.place)
        elif kind and kind.words:
            code = "E031" if expected.kind == "activation" else "E021"
            message = f"unknown {expected.kind.replace('_', ' ')} `{node.id}`"
            blocks = self.serving if expected.kind == "activation" else ()
            hint = suggest(node.id, [*kind.words, *scope.values, *blocks])
            if expected.kind == "initializer" and node.id in FUNCTIONS:
                hint = f"write `{signature(node.id)}`"
            hint = hint or choices(kind.words) + _OR.get(expected.kind, "")
            self.report(code, message, node.place, hint)
        else:
            words = ex.WORDS if expected.kind in ("any", "bool") else ("none",)
            hint = suggest(node.id, [*scope.names(), *words])
            if node.id in scope.turns:
                hint = f"`{node.id}.index` counts from 0, and `{node.id}.count` says how far"
            known = ("true", "false") if expected.kind == "bool" else scope.values
            hint = hint or (choices(known) if known else scope.hint)
            self.report("E021", f"unknown name `{node.id}`", node.place, hint)
        return node

    def attribute(self, node: ex.Attribute, scope: Scope) -> None:
        if node.id in scope.turns:
            self.check_field(node, f"`{node.id}`", TURN)
        elif node.id in scope.tensors:
            self.check_field(node, "a tensor", ATTRIBUTES)
        elif node.id in TURNS:
            self.report("E021", f"`{node}` is not known here", node.place, TURNS[node.id])
        else:
            hint = suggest(node.id, scope.tensors)
            self.report("E021", f"no tensor is called `{node.id}` here", node.place, hint)

    def check_field(self, node: ex.Attribute, what: str, fields: tuple[str, str]) -> None:
        """Reports an attribute that is none of the two that `what` has."""
        if node.field not in fields:
            hint = suggest(node.field, fields) or f"{what} knows `.{fields[0]}` and `.{fields[1]}`"
            self.report("E021", f"{what} has no `.{node.field}`", node.place, hint)

    def compared(self, node: ex.Compare, scope: Scope) -> Type:
        """The type of the side that is a plain name, which says what a word opposite means."""
        for side in (node.left, node.right):
            if isinstance(side, ex.Name) and side.id in scope.values:
                kind = scope.values[side.id]
                if kind.kind == "initializer":
                    hint = "let a `bool` parameter say which it is"
                    self.report("E022", "initializers are not compared", node.place, hint)
                return kind
        return ANY

    def side(self, node: Node, scope: Scope, kind: Type) -> Node:
        """A side of a comparison. A list stands in generated code as sizes do: `[3, 3]` is 3."""
        node = self.value(node, scope, kind)
        if not isinstance(node, ex.Items):
            return node
        if ex.is_constant(node):
            with self.blaming(node.place):
                return ex.Literal(ex.compact(node.evaluate({})), node.place)
            return node
        hint = "compare with numbers, as in `[3, 5]`, or compare each by itself"
        self.report("E023", "generated code compares no list of names", node.place, hint)
        return node

    def function(self, node: ex.Call, scope: Scope) -> Node:
        misuse = node.misuse()
        if misuse is not None and node.function in FUNCTIONS:
            hint = "an initializer stands where one belongs, as in `init`"
            misuse = replace(misuse, hint=hint)
        self.tell([] if misuse is None else [misuse])
        return replace(node, arguments=tuple(self.value(a, scope) for a in node.arguments))

    def initializer(self, node: ex.Call, scope: Scope) -> Node:
        """A call that makes an initializer, with all of its arguments in their order."""
        if node.function not in FUNCTIONS:
            hint = suggest(node.function, [*FUNCTIONS, *INITIALIZERS]) or choices(FUNCTIONS)
            self.report("E021", f"unknown initializer `{node.function}`", node.place, hint)
            return node
        before = len(self.problems)
        found: list[Node] = []
        with self.blaming(node.place):
            for index, given in enumerate(ordered(node)):
                found.append(self.part(node, index, given, scope))
        if len(self.problems) > before:
            return node
        make = partial(made, node.function, [each.place for each in found])
        return replace(node, arguments=tuple(found), keywords=(), make=make)

    def part(self, node: ex.Call, index: int, given: Node | str | float, scope: Scope) -> Node:
        """An argument of a call that makes an initializer: a word of its own, or a number."""
        if isinstance(given, str | int | float):
            return ex.Literal(given, node.place)
        known = word(node.function, index, given)
        if known is not None:
            return ex.Literal(known, given.place)
        return self.value(given, scope)

    # ------------------------------------------------------------------------- arguments

    def argument(
        self, parameter: Parameter, node: Node, scope: Scope, *related: tuple[str, Place]
    ) -> Node:
        """`node` as the value of `parameter`; a constant is worked out at once."""
        before = len(self.problems)
        node = self.value(node, scope, parameter.type)
        if ex.is_constant(node) and len(self.problems) == before:
            with self.blaming(node.place, *related):
                return ex.Literal(parameter.take(node.evaluate({})), node.place)
        return node

    def arguments(
        self,
        target: Op | Block,
        given: Iterable[tuple[str, Node]],
        scope: Scope,
        *related: tuple[str, Place],
    ) -> Iterator[tuple[str, Node]]:
        for name, node in given:
            parameter = target.parameter.get(name)
            place = name.place if isinstance(name, ex.Word) else node.place
            if parameter is None:
                known = target.parameter
                hint = suggest(name, known) or (choices(known) if known else "it takes none")
                message = f"`{target.name}` has no argument `{name}`"
                related = () if place.line == node.place.line else (("given here", node.place),)
                self.report("E032", message, place, hint, *related)
            else:
                yield str(name), self.argument(parameter, node, scope, *related)

    def check_given(
        self,
        target: Op | Block,
        given: Collection[str],
        place: Place,
        header: TableSpec | None = None,
    ) -> None:
        """Reports required parameters that neither the call nor `defaults` give.

        `header` is the table of a row that is a list: what it lacks, its columns lack.
        """
        surplus = {*given} - target.parameter.keys()
        meant = {nearest(name, target.parameter) for name in surplus}
        known = {*given, *meant, *self.given.get(target.name, ())}
        for parameter in target.parameters:
            if not parameter.required or parameter.name in known:
                continue
            doc = f" ({parameter.doc})" if parameter.doc else ""
            message = f"`{target.name}` needs the argument `{parameter.name}`{doc}"
            if header is not None and parameter.name not in header.columns:
                hint, columns = f"add a column `{parameter.name}`", header.key_place("columns")
                self.report("E033", message, columns, hint, ("for this row", place))
            else:
                self.report("E033", message, place)
