"""Block definitions with every call in them resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from archc.compiler.bind.values import ANY, Scope, ValueBinder
from archc.compiler.ir.activations import check_serves
from archc.compiler.ir.catalogue import CATALOGUE, OPERATORS
from archc.compiler.ir.network import Block, Invoke, Op, Step, Use
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Place, choices, likely, listed, suggest
from archc.compiler.language.values import ACTIVATIONS, Type
from archc.compiler.spec.models import BlockSpec, StepSpec
from archc.compiler.spec.reader import Scalar

MAX_NESTING = 32
"""Blocks within blocks beyond this are refused."""


_TENSORS = "call a block or an op, or join tensors with `+`, `-`, `*` or `/`"
_NO_TENSOR: Mapping[type[Node], str] = {
    ex.Literal: "`rescale` multiplies by a number, and adds one",
    ex.Items: "`concat(a, b)` joins them along the channels; a block gives one tensor",
}
"""What to do about what stands in the place of a tensor, by what it is."""


class Blocks:
    """Every block by name, bound when it is first asked for."""

    def __init__(self, values: ValueBinder, specs: Mapping[Any, BlockSpec]) -> None:
        """`specs` are the definitions by name, each of which knows its place."""
        self.values = values
        self.specs = specs
        self.bound: dict[str, Block] = {}
        self.depths: dict[Block | Op, int] = {}
        self.pending: list[str] = []
        values.serving = {name: partial(self.serving, name) for name in specs}

    def serving(self, name: str, place: Place) -> Block | None:
        """The block of that name where an activation belongs. Reports what cannot be one."""
        block = self.block(name, place)
        if block is not None:
            with self.values.blaming(place):
                check_serves(block)
        return block

    def all(self) -> dict[str, Block]:
        """Every block that is sound, in the order in which they are needed."""
        for name in self.specs:
            if name in CATALOGUE:
                message = f"`{name}` is an op of the catalogue already"
                self.values.report("E015", message, name.place, "rename the block")
            self.block(name, name.place)
        return self.bound

    def target(self, name: str, place: Place) -> Op | Block | None:
        if name in self.specs:
            return self.block(name, place)
        if name in CATALOGUE:
            return CATALOGUE[name]
        every = [*self.specs, *CATALOGUE]
        alike = listed(likely(name, every))
        rule = "define it under `blocks`, or name the library that does under `use`"
        near = f"; near are {alike}" if alike else ""
        closed = f"ops are a closed set, and blocks are made of them: {rule}{near}"
        hint = suggest(name, every) or closed
        if name in ACTIVATIONS:
            hint = f"an op applies it: `activation(x, {name})`, or `block: activation, act: {name}`"
        self.values.report("E030", f"unknown block or op `{name}`", place, hint)
        return None

    def block(self, name: str, place: Place) -> Block | None:
        """The bound block; binds what it calls first."""
        if name in self.bound:
            return self.bound[name]
        if name in self.pending:
            circle = " -> ".join([*self.pending[self.pending.index(name) :], name])
            self.values.report("E036", f"the block `{name}` uses itself: {circle}", place)
            return None
        if len(self.pending) == MAX_NESTING:
            self.nested_too_deeply(place)
            return None
        self.pending.append(name)
        block = self.bound[name] = _BlockBinder(self, name, self.specs[name]).block()
        self.pending.pop()
        inner = [self.depths.get(invoke.target, 0) for _, invoke in block.invokes()]
        self.depths[block] = 1 + max(inner, default=0)
        if self.depths[block] > MAX_NESTING:
            self.nested_too_deeply(block.place)
            self.depths[block] = 0
        return block

    def nested_too_deeply(self, place: Place) -> None:
        self.values.report("E008", f"blocks nested more than {MAX_NESTING} deep", place)


class _BlockBinder:
    """Binds one block definition."""

    def __init__(self, blocks: Blocks, name: str, spec: BlockSpec) -> None:
        self.blocks = blocks
        self.binder = blocks.values
        self.name = name
        self.spec = spec
        self.values: dict[str, Type] = {}
        self.tensors: list[str] = []
        self.taken_values: dict[str, Place] = {}
        self.taken_tensors: dict[str, Place] = {}
        self.used: set[str] = set()

    @property
    def scope(self) -> Scope:
        return Scope(self.values, self.tensors)

    def take(self, name: str, taken: dict[str, Place]) -> str:
        """Claims a name. Tensors and values stand in different places, so both may be `act`."""
        place = name.place if isinstance(name, Scalar) else self.name_place()
        if name in taken:
            message = f"`{name}` is given twice in the block `{self.name}`"
            self.binder.report("E015", message, place, None, ("first here", taken[name]))
        taken.setdefault(str(name), place)
        return str(name)

    def block(self) -> Block:
        spec = self.spec
        self.tensors = [self.take(name, self.taken_tensors) for name in spec.inputs]
        for name in spec.params:
            self.take(name, self.taken_values)
        parameters = tuple(self.binder.parameters(spec.params, self.values, constant=True))
        channels = spec.channels and self.binder.value(spec.channels, self.scope)
        lets = tuple(self.lets())
        steps = [self.step(step) for step in spec.steps]
        steps += self.returned()
        for step in () if None in steps else filter(None, steps):
            if step.name not in self.used:
                message = f"nothing uses the step `{step.name}`"
                self.binder.report("E039", message, step.place, "remove it, or use it")
        return Block(
            str(self.name), str(spec.doc), tuple(map(str, spec.inputs)), parameters, lets,
            tuple(step for step in steps if step), channels, self.name_place(),
            self.on_vectors(),
        )  # fmt: skip

    def on_vectors(self) -> str | None:
        name = self.spec.on_vectors
        if name is not None and name not in ACTIVATIONS:
            hint = suggest(name, ACTIVATIONS) or choices(ACTIVATIONS)
            self.binder.report("E031", f"unknown activation `{name}`", name.place, hint)
        return None if name is None else str(name)

    def name_place(self) -> Place:
        return self.name.place if isinstance(self.name, Scalar) else self.spec.place

    def lets(self) -> Iterator[tuple[str, Node]]:
        for name, node in self.spec.let.items():
            bound = self.binder.value(node, self.scope)
            yield self.take(name, self.taken_values), bound
            self.values[str(name)] = ANY

    def step(self, spec: StepSpec) -> Step | None:
        call = self.tensor(spec.value, str(spec.name))
        when = None if spec.when is None else self.binder.value(spec.when, self.scope)
        otherwise = self.otherwise(spec)
        name = self.take(spec.name, self.taken_tensors)
        self.tensors.append(name)
        if isinstance(call, Use):
            hint = f"use `{call.name}` itself below"
            self.binder.report("E038", f"`{name}` only renames `{call.name}`", call.place, hint)
            return None
        doc = str(spec.doc or "")
        return None if call is None else Step(name, call, when, spec.name.place, doc, otherwise)

    def otherwise(self, spec: StepSpec) -> Use | None:
        """What the step says under `else`."""
        node = spec.otherwise
        if node is None:
            return None
        if spec.when is None:
            message = f"`{spec.name}` has an `else` and no `when`"
            hint = "say under `when` where the step is there"
            self.binder.report("E011", message, node.place, hint)
        if isinstance(node, ex.Name):
            return self.use(node)
        hint = "make it a step above, with the opposite `when`, and name that step"
        self.binder.report("E038", "`else` names a tensor", node.place, hint)
        return None

    def returned(self) -> list[Step | None]:
        """`returns` as a last step, named after what it calls."""
        if self.spec.returns is None:
            self.used.add(str(self.spec.steps[-1].name))
            return []
        node = self.spec.returns
        name = node.function if isinstance(node, ex.Call) else "result"
        while name in self.taken_tensors:
            name += "_"
        call = self.tensor(node, name)
        if isinstance(call, Use):
            hint = "put the step it names last, or call something"
            self.binder.report("E038", "`returns` only names a value", node.place, hint)
        self.used.add(name)
        return [Step(name, call, None, node.place)] if isinstance(call, Invoke) else []

    # --------------------------------------------------------------------------- tensors

    def tensor(self, node: Node, name: str) -> Invoke | Use | None:
        """The call or the name that `node` is; `name` is what a call goes by."""
        match node:
            case ex.Name():
                return self.use(node)
            case ex.Binary() if node.operator in OPERATORS:
                op = OPERATORS[node.operator]
                return self.invoke(node, name, op, [node.left, node.right], {})
            case ex.Call():
                target = self.blocks.target(node.function, node.place)
                return None if target is None else self.called(node, name, target)
        message, hint = "a tensor belongs here", _NO_TENSOR.get(type(node), _TENSORS)
        if isinstance(node, ex.Items):
            message = "a list of tensors where one belongs"
            for item in node.items:
                self.tensor(item, name)
        self.binder.report("E038", message, node.place, hint)
        return None

    def use(self, node: ex.Name) -> Use | None:
        if node.id not in self.tensors:
            code, message = "E021", f"no tensor is called `{node.id}` here"
            if node.id in self.values:
                code, message = "E038", f"`{node.id}` is a number, not a tensor"
            hint = suggest(node.id, self.tensors)
            if any(step.name == node.id for step in self.spec.steps):
                hint = "a step can use only what stands above it"
            self.binder.report(code, message, node.place, hint)
            return None
        self.used.add(node.id)
        return Use(node.id, node.place)

    def called(self, node: ex.Call, name: str, target: Op | Block) -> Invoke | None:
        count = len(node.arguments) if target.variadic else len(target.inputs)
        tensors = dict(zip(_labels(target, count), node.arguments[:count], strict=False))
        surplus = node.arguments[count:]
        free = [p for p in target.parameter if p not in dict(node.keywords)]
        given = dict(zip(free, surplus, strict=False))
        for key, value in node.keywords:
            if key in target.inputs and key not in tensors:
                tensors[key] = value
            else:
                given[key] = value
        if len(surplus) > len(free) or len(tensors) < max(1, count):
            self.wrong_count(node, target)
            return None
        ordered = [tensors[label] for label in _labels(target, count)]
        return self.invoke(node, name, target, ordered, given)

    def wrong_count(self, node: ex.Call, target: Op | Block) -> None:
        known = [*target.inputs, *target.parameter]
        strange = [(key, value) for key, value in node.keywords if key not in known]
        if strange:
            self.unknown_tensors(target, strange)
            return
        tensors = ["first", "second", "..."] if target.variadic else target.inputs
        takes = ", ".join([*tensors, *target.parameter])
        self.binder.report("E037", f"the arguments do not fit `{target.name}({takes})`", node.place)

    def unknown_tensors(self, target: Op | Block, given: list[tuple[str, Node]]) -> None:
        """Reports arguments that the target has not, one of which may be meant for a tensor."""
        known = [*(() if target.variadic else target.inputs), *target.parameter]
        for key, value in given:
            place = key.place if isinstance(key, ex.Word) else value.place
            hint = suggest(key, known) or (choices(known) if known else "it takes tensors alone")
            self.binder.report("E032", f"`{target.name}` has no argument `{key}`", place, hint)

    def nested(self, name: str) -> str:
        """What a call within a step goes by: `name`, unless a step is called so."""
        while any(step.name == name for step in self.spec.steps):
            name += "_"
        return name

    def invoke(
        self,
        node: Node,
        name: str,
        target: Op | Block,
        operands: list[Node],
        given: dict[str, Node],
    ) -> Invoke | None:
        labels = _labels(target, len(operands))
        bound = [
            self.tensor(operand, self.nested(f"{name}_{label}"))
            for label, operand in zip(labels, operands, strict=True)
        ]
        arguments = tuple(self.binder.arguments(target, given.items(), self.scope))
        self.binder.check_given(target, given, node.place)
        if any(operand is None for operand in bound):
            return None
        return Invoke(name, target, tuple(o for o in bound if o), arguments, node.place)


def _labels(target: Op | Block, count: int) -> tuple[str, ...]:
    return tuple(str(i + 1) for i in range(count)) if target.variadic else target.inputs
