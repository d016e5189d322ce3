"""Expressions without what is known already: conditions that a guard or a constant decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import SpecError

Facts = Mapping[Node, bool]
"""What is known to hold, or not to, by its expression."""

_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def facts(node: Node | None, holds: bool = True) -> dict[Node, bool]:
    """What follows from a condition that holds, or that does not."""
    return {} if node is None else dict(_facts(node, holds))


def _facts(node: Node, holds: bool) -> Iterator[tuple[Node, bool]]:
    yield node, holds
    match node:
        case ex.Unary(operator="not", operand=operand):
            yield from _facts(operand, not holds)
        case ex.Compare(operator=operator, left=left, right=right, place=place):
            yield ex.Compare(_OPPOSITE[operator], left, right, place), not holds
        case ex.Logic(operator=operator, left=left, right=right) if holds == (operator == "and"):
            yield from _facts(left, holds)
            yield from _facts(right, holds)


def truth(node: Node, known: Facts) -> bool | None:
    """Whether a condition holds; None where that is not known."""
    if isinstance(node, ex.Literal):
        return ex.holds(node.value)
    return known.get(node)


def folded(node: Node, known: Facts) -> Node:
    """`node` without the conditions that are decided by constants and by what is `known`."""
    node = ex.mapped(node, lambda child: folded(child, known))
    match node:
        case ex.Conditional(condition=condition):
            decided = truth(condition, known)
            if decided is not None:
                return node.then if decided else node.otherwise
        case ex.Logic(operator=operator, left=left, right=right):
            decided = truth(left, known)
            if decided is not None:
                return left if decided == (operator == "or") else right
        case ex.Unary(operator="not", operand=operand):
            decided = truth(operand, known)
            if decided is not None:
                return ex.Literal(not decided, node.place)
        case ex.Compare(left=left, right=right):
            if isinstance(left, ex.Literal) and isinstance(right, ex.Literal):
                return ex.Literal(node.evaluate({}), node.place)
            if node in known:
                return ex.Literal(known[node], node.place)
    return node


def computed(node: Node) -> Node:
    """`node` with the arithmetic on nothing but numbers worked out."""
    node = ex.mapped(node, computed)
    is_known = all(isinstance(operand, ex.Literal) for operand in node.operands)
    if not isinstance(node, ex.Binary | ex.Call) or not is_known:
        return node
    with suppress(SpecError):  # in a branch that is not taken
        return ex.Literal(node.evaluate({}), node.place)
    return node
