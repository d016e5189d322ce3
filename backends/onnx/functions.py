"""Functions: calls of a block that differ in numbers alone share one, and hand it the numbers.

A function of ONNX has no conditions, so calls that make other steps, or apply other activations,
have one of their own, which is called after what sets it apart: `conv_bn_relu`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from archc.backends.onnx.drafts import Attribute, Draft, Function, Node, Ref, kind
from archc.compiler.ir.network import Block
from archc.compiler.language.expressions import Name
from archc.compiler.language.values import show

Place = tuple[int, str]
"""An attribute of a draft: the number of its node, and its name."""
Column = tuple[tuple[str, Attribute], ...]
"""One attribute, or one argument, in several drafts; 1 and 1.0 are two."""


class Functions:
    """Those of one file."""

    def __init__(self) -> None:
        self.made: dict[Draft, tuple[Function, Mapping[str, Attribute]]] = {}
        """By the draft: which function it is, and the attributes that make it that draft."""
        self._groups: dict[str, list[tuple[Function, Sequence[Draft]]]] = {}

    def add(self, base: str, drafts: Sequence[Draft]) -> None:
        """Makes functions of drafts, all of one block or of one op."""
        groups: dict[Hashable, list[Draft]] = {}
        for draft in drafts:
            groups.setdefault(_skeleton(draft), []).append(draft)
        for group in groups.values():
            self._groups.setdefault(base, []).append((self._make(group), group))

    def _make(self, drafts: Sequence[Draft]) -> Function:
        first, refs = drafts[0], _attributes(drafts)
        places = {ref.name: place for place, ref in reversed(refs.items())}
        nodes = (
            replace(node, attributes={k: refs.get((i, k), v) for k, v in node.attributes.items()})
            for i, node in enumerate(first.nodes)
        )
        names, doc = tuple(sorted(places, key=places.__getitem__)), first.body.target.doc
        made = Function("", doc, first.inputs, first.result, tuple(nodes), names)
        for draft in drafts:
            given = {
                name: draft.nodes[i].attributes[key] for name in names for i, key in [places[name]]
            }
            self.made[draft] = made, given
        return made

    def name_all(self) -> None:
        """Calls every function as its block or op, and after what sets it apart from others."""
        taken = set[str]()
        for base, groups in self._groups.items():
            words = _words([drafts for _, drafts in groups])
            for (function, _), word in zip(groups, words, strict=True):
                function.name = _free("_".join([base, *word]), taken)
                taken.add(function.name)


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _skeleton(draft: Draft) -> Hashable:
    """All of a draft but the values of attributes."""
    return (
        draft.inputs,
        draft.result,
        tuple(
            (n.target, n.name, n.inputs, tuple((k, kind(v)) for k, v in n.attributes.items()))
            for n in draft.nodes
        ),
    )


def _attributes(drafts: Sequence[Draft]) -> dict[Place, Ref]:
    """Which attributes of nodes the function takes: those that the block or op has arguments for,
    under their names, and those that vary. All that vary alike are one."""
    first, named = drafts[0], dict[str, Column]()
    places = [(i, key) for i, node in enumerate(first.nodes) for key in node.attributes]
    columns = {(i, key): _column(d.nodes[i].attributes[key] for d in drafts) for i, key in places}
    for place, column in columns.items():
        if name := _source(first, *place):
            named.setdefault(name, column)
    known = {column: name for name, column in reversed([*_arguments(drafts)])}
    for (i, key), column in columns.items():
        if len({*column}) > 1 and column not in named.values():
            name = known.get(column) or _called(first.nodes[i], key)
            named[_free(name, {*named})] = column
    given = (
        (place, column, _giving(first, place, column, named)) for place, column in columns.items()
    )
    return {place: Ref(name, column[0][0]) for place, column, name in given if name}


def _giving(first: Draft, place: Place, column: Column, named: Mapping[str, Column]) -> str:
    """The attribute of a function that one of a node takes its values from; "" where it is the same
    in all calls, and no argument."""
    own = _source(first, *place)
    if named.get(own) == column:
        return own
    alike = (name for name, values in named.items() if values == column)
    return next(alike) if len({*column}) > 1 else ""


def _column(values: Iterator[Attribute]) -> Column:
    return tuple((kind(value), value) for value in values)


_ARGUMENTS = {
    "kernel_shape": "kernel",
    "strides": "stride",
    "dilations": "dilation",
    "group": "groups",
}
"""What archc calls attributes of ONNX's operators."""


def _source(draft: Draft, number: int, key: str) -> str:
    """The argument of a draft that is handed on as an attribute of a node; "" if there is none."""
    node, target = draft.nodes[number], draft.body.target
    name = node.name if node.target == "Constant" else _ARGUMENTS.get(key, key)
    if not isinstance(target, Block):
        return name if draft.arguments.get(name) == node.attributes[key] else ""
    given = {invoke.name: dict(invoke.arguments) for _, invoke in target.invokes()}
    expression = given.get(node.name, {}).get(name)
    return expression.id if isinstance(expression, Name) else ""


def _arguments(drafts: Sequence[Draft]) -> Iterator[tuple[str, Column]]:
    """The arguments that attributes can be, parameters first; a number is also one for each
    axis."""
    for name in drafts[0].arguments:
        values = [draft.arguments[name] for draft in drafts]
        if all(type(value) in (int, float) for value in values):
            yield name, _column(iter(values))  # type: ignore[arg-type]
            yield name, _column((value, value) for value in values)  # type: ignore[misc]
        elif all(type(value) is tuple for value in values):
            yield name, _column(iter(values))  # type: ignore[arg-type]


def _called(node: Node, key: str) -> str:
    """`depthwise_group`; a constant is called as it is."""
    name = node.name.replace(".", "_")
    return name if node.target == "Constant" else f"{name}_{key}"


# ------------------------------------------------------------------------------------- names


def _words(groups: Sequence[Sequence[Draft]]) -> list[list[str]]:
    """For each group of drafts what sets it apart from the others: the steps that not all make,
    then arguments; no more of them than it takes."""
    columns: list[list[str]] = []
    for feature in _features(groups):
        told = [*columns, [feature(group) for group in groups]]
        columns = told if _kinds(told) > _kinds(columns) else columns
    for column in [*columns]:
        less = [each for each in columns if each is not column]
        columns = less if _kinds(less) == _kinds(columns) else columns
    return [[word for word in said if word] for said in zip(*columns, strict=True)] or [
        [] for _ in groups
    ]


def _kinds(columns: Sequence[Sequence[str]]) -> int:
    """How many groups can be told apart."""
    return len({*zip(*columns, strict=True)}) or 1


Feature = Callable[[Sequence[Draft]], str]


def _features(groups: Sequence[Sequence[Draft]]) -> Iterator[Feature]:
    first = groups[0][0]
    target = first.body.target
    steps = [invoke.name for _, invoke in target.invokes()] if isinstance(target, Block) else []
    yield from map(_step, dict.fromkeys([*steps, *(n.name for g in groups for n in g[0].nodes)]))
    for name in first.arguments:
        columns = [{show(draft.arguments[name]) for draft in group} for group in groups]
        if all(len(column) == 1 for column in columns):
            yield _argument(name)


def _step(name: str) -> Feature:
    word = name.replace(".", "_")
    return lambda group: word if any(n.name == name for n in group[0].nodes) else ""


def _argument(name: str) -> Feature:
    def feature(group: Sequence[Draft]) -> str:
        value = group[0].arguments[name]
        if value is None or value is False:
            return ""
        word = re.sub(r"\W+", "_", show(value)).strip("_")
        return word if word.isidentifier() and value is not True else f"{name}{word}"

    return feature
