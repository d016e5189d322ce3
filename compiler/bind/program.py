"""Spec to program: every name resolved to what it names, every argument to its parameter.

Nothing is worked out here. What can be said of a spec without its numbers is said here, all of it
at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from archc.compiler.bind.blocks import Blocks
from archc.compiler.bind.rows import RowBinder, RowTemplate
from archc.compiler.bind.values import ANY, Scope, ValueBinder
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Block, Op, Parameter, Row, named
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Enough, Problem
from archc.compiler.language.values import Type
from archc.compiler.spec.load import Files
from archc.compiler.spec.models import BlockSpec, InputSpec, Spec
from archc.compiler.spec.variants import from_extended

SIDES = {
    name: Parameter(name, Type("int"), min=1, max=2**16) for name in ("channels", "height", "width")
}
"""What the input's shape is made of."""
DILATING = {
    "output_stride": Parameter("output_stride", Type("int", optional=True), min=1, max=2**16),
    "dilate_strided": Parameter("dilate_strided", Type("bool")),
}
"""What says which strides become dilations."""


@dataclass(frozen=True, eq=False)
class Program:
    """A network with all names resolved, before its parameters have values."""

    spec: Spec
    parameters: tuple[Parameter, ...]
    lets: tuple[tuple[str, Node], ...]
    requirements: tuple[Node, ...]
    inputs: Mapping[str, Mapping[str, Node]]
    """Of each input, by its name, the keys that are values."""
    dilating: Mapping[str, Node]
    """The keys that say which strides become dilations."""
    defaults: Mapping[str, Mapping[str, Node]]
    blocks: Mapping[str, Block]
    rows: tuple[RowTemplate, ...]
    definitions: Mapping[str, BlockSpec]
    """The blocks as they are written."""

    @cached_property
    def kept(self) -> Mapping[str, Type]:
        """The types of the parameters that stay arguments of the model."""
        return {p.name: p.type for p in self.parameters if p.keep}

    @cached_property
    def _written(self) -> dict[int, RowTemplate]:
        """The rows by the identity of their places, which each stand for one."""
        return {id(template.place): template for template in self.rows}

    def template(self, row: Row) -> RowTemplate:
        """How a row of the network was written."""
        return self._written[id(row.place)]

    def target(self, name: str) -> Op | Block:
        return CATALOGUE[name] if name in CATALOGUE else self.blocks[name]


def bind(files: Files) -> tuple[Program | None, list[Problem]]:
    """The program that the files say, and every problem of names and arguments in them."""
    assert files.spec is not None
    spec = files.spec
    values = ValueBinder({str(name): given for name, given in spec.defaults.items()})
    try:
        program = _program(files, spec, values)
    except Enough:
        program = None
    if program is None or values.problems:
        return None, from_extended(spec, values.problems)
    return program, []


def _program(files: Files, spec: Spec, values: ValueBinder) -> Program:
    blocks = Blocks(values, files.blocks)
    blocks.all()
    scope: dict[str, Type] = {}
    parameters = tuple(values.parameters(spec.params, scope))
    requirements = tuple(values.value(node, Scope(scope)) for node in spec.require)
    lets = tuple(_lets(spec, values, scope))
    inputs = {str(x): _input(own, values, Scope(scope)) for x, own in spec.given.items()}
    dilating = _dilating(spec, values, Scope(scope))
    defaults = _defaults(spec, values, blocks, Scope(scope))
    binder = RowBinder(values, blocks, Scope(scope, ("x",)), spec.place.source)
    binder.take_inputs(spec.given, scope)
    rows = tuple(binder.rows(spec.network or ()))
    return Program(
        spec, parameters, lets, requirements, inputs, dilating, defaults, blocks.bound, rows,
        files.blocks,
    )  # fmt: skip


def _lets(spec: Spec, values: ValueBinder, scope: dict[str, Type]) -> Iterator[tuple[str, Node]]:
    """The network's `let`s in order; each may mention those above it."""
    for name, node in spec.let.items():
        if name in scope:
            hint = "call it something else"
            values.report("E015", f"`{name}` is a parameter or a `let` already", name.place, hint)
        yield str(name), values.value(node, Scope(scope))
        scope[str(name)] = ANY


def _input(own: InputSpec, values: ValueBinder, scope: Scope) -> dict[str, Node]:
    given = {name: getattr(own, name) for name in SIDES if getattr(own, name) is not None}
    for name in SIDES.keys() - given.keys() if len(given) == 2 else ():
        hint = "a map has a `height` and a `width`, a vector neither"
        values.report("E011", f"the key `{name}` is missing", own.place, hint)
    sides = {name: values.argument(SIDES[name], node, scope) for name, node in given.items()}
    return sides if own.range is None else {**sides, "range": values.value(own.range, scope)}


def _dilating(spec: Spec, values: ValueBinder, scope: Scope) -> dict[str, Node]:
    given = {name: getattr(spec, name) for name in DILATING}
    return {
        name: values.argument(DILATING[name], node, scope)
        for name, node in given.items()
        if node is not None
    }


def _defaults(
    spec: Spec, values: ValueBinder, blocks: Blocks, scope: Scope
) -> dict[str, dict[str, Node]]:
    found: dict[str, dict[str, Node]] = {}
    for name, given in spec.defaults.items():
        target = blocks.target(name, name.place)
        if target is not None:
            found[str(name)] = dict(values.arguments(target, given.items(), scope))
    for block in blocks.bound.values():
        _check_circle(block, found, values)
    return found


def _check_circle(
    block: Block, defaults: Mapping[str, Mapping[str, Node]], values: ValueBinder
) -> None:
    """Reports a default that makes a block use itself: as an activation, here or further down."""

    def onward(other: Block) -> list[Block]:
        return [
            *other.names(),
            *(b for n in defaults.get(other.name, {}).values() for b in named(n)),
        ]

    for node in defaults.get(block.name, {}).values():
        if block in closure(named(node), onward):
            values.report("E036", f"with this, the block `{block.name}` uses itself", node.place)
