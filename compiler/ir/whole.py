"""Whether generated code gets whole numbers where they belong.

The compiler takes 4.0 for 4, as half of 8. Python does not, and no framework takes 4.0 for a number
of channels. So what generated code works out by itself has to be whole by the way it is written.
"""

from __future__ import annotations

from collections.abc import Mapping

from archc.compiler.ir.network import Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Problem
from archc.compiler.language.values import Type

COUNTED = ("int", "size", "sides", "shape", "padding", "pool_padding")
"""Kinds of parameters that hold whole numbers."""


def fraction(parameter: Parameter, node: Node, kinds: Mapping[str, Type]) -> Problem | None:
    """The problem (E023) that `node` may come to a fraction, or to 4.0 for 4, in generated code,
    where `parameter` is a whole number. `kinds` are the types of the names in it."""
    if parameter.type.kind not in COUNTED or is_whole(node, kinds, chosen=True):
        return None
    message = f"generated code may get a fraction here, and `{parameter.name}` is whole"
    hint = "use `//` and parameters of type `int`, or work it out under `let`"
    return Problem("E023", message, node.place, hint)


def is_whole(node: Node, kinds: Mapping[str, Type], chosen: bool = False) -> bool:
    """Whether `node` is a whole number, or none, by the way it is written.

    Where it is `chosen` as it is, a worked-out value counts as whole: each call is checked.
    """
    match node:
        case ex.Literal(value=value):
            return not isinstance(value, float)
        case ex.Name():
            kind = kinds[node.id].kind
            return chosen if kind == "any" else kind != "float"
        case ex.Conditional():
            sides = (node.then, node.otherwise)
            return all(is_whole(side, kinds, chosen) for side in sides)
        case ex.Logic():
            return all(is_whole(side, kinds, chosen) for side in (node.left, node.right))
        case ex.Items():
            return all(is_whole(item, kinds, chosen) for item in node.items)
        case ex.Binary(operator="/") | ex.Call(function="round", arguments=(_, _)):
            return False
        case ex.Call(function="min" | "max") | ex.Binary() | ex.Unary():
            return all(is_whole(child, kinds) for child in node.operands)
    return True


def let_type(node: Node, kinds: Mapping[str, Type]) -> Type:
    """The type of a worked-out value, as far as it matters here."""
    return Type("int" if is_whole(node, kinds) else "any")
