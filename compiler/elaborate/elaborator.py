"""Calls of blocks and ops, worked out: arguments, shapes, and what is inside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from archc.compiler.elaborate.dilating import check_larger, dilated
from archc.compiler.ir import activations
from archc.compiler.ir.interface import TWO_ROWS, interface
from archc.compiler.ir.network import (
    Arguments,
    Block,
    Body,
    Call,
    Cost,
    Invoke,
    Op,
    OutputStride,
    Step,
    Tensor,
    Use,
    bodies_of,
)
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.problems import Invalid, SpecError

if TYPE_CHECKING:
    from archc.compiler.elaborate.rows import Repeats

MAX_ELEMENTS = 2**36
"""A single value of more elements than this is a mistake."""
MAX_STRIDE = 2**24
"""So is a feature map of a larger stride, from the network's input on."""
MAX_OPS = 10_000
"""So is a network of more ops."""

Defaults = Mapping[str, Mapping[str, Value]]


def usual(target: Op | Block, defaults: Defaults) -> Arguments:
    """The values of parameters where a call gives none, but for those that it has to give."""
    return _usual(target, tuple(defaults.get(target.name, {}).items()))


@lru_cache(maxsize=1024)
def _usual(target: Op | Block, given: tuple[tuple[str, Value], ...]) -> Arguments:
    own, found = dict(given), dict[str, Value]()
    for parameter in target.parameters:
        if parameter.name in own:
            found[parameter.name] = own[parameter.name]
        elif parameter.default is not None:
            found[parameter.name] = parameter.take(parameter.default.evaluate(found))
        elif not parameter.required:
            found[parameter.name] = None
    return found


MAX_BODIES = 2**13
"""Calls, calls in them, and rows that are remembered before all are forgotten."""


def elaborator_for(defaults: Defaults, limit: OutputStride | None) -> Elaborator:
    """The one that all networks of these `defaults` and this output stride share."""
    return _elaborator(tuple((name, tuple(own.items())) for name, own in defaults.items()), limit)


@lru_cache(maxsize=8)
def _elaborator(
    defaults: tuple[tuple[str, tuple[tuple[str, Value], ...]], ...], limit: OutputStride | None
) -> Elaborator:
    return Elaborator({name: dict(values) for name, values in defaults}, limit)


class Elaborator:
    """Works out calls. Equal calls are worked out once, for all networks of equal defaults."""

    def __init__(self, defaults: Defaults, limit: OutputStride | None) -> None:
        self.defaults = defaults
        self.limit = limit
        self.bodies: dict[tuple[object, ...], Body] = {}
        self.repeats: dict[tuple[object, ...], Repeats] = {}
        """Rows, so often as they are repeated, by all that they depend on."""
        self.count = 0
        """Of the bodies, of the calls in them, and of the rows."""
        self.base: dict[Op | Block, dict[str, Value]] = {}

    def call(
        self, target: Op | Block, given: Mapping[str, Value], inputs: tuple[Tensor, ...]
    ) -> Body:
        """The body of a call. `given` are checked arguments. Raises `Invalid`."""
        arguments = {**self.base_of(target), **given}
        key = (target, tuple(arguments.values()), inputs)
        body = self.bodies.get(key)
        if body is None:
            if isinstance(target, Block):
                body = self.settled(target, self.block(target, arguments, inputs))
            elif target is ACTIVATION and isinstance(arguments["act"], Block):
                body = self.activation(arguments["act"], inputs[0])
            else:
                body = self.op(target, arguments, inputs)
            self.make_room(1 + len(body.calls))
            self.bodies[key] = body
        return body

    def remember(self, key: tuple[object, ...], repeats: Repeats) -> None:
        self.make_room(1 + len(repeats.rows))
        self.repeats[key] = repeats

    def make_room(self, count: int) -> None:
        """Forgets everything where that is too much already."""
        if self.count > MAX_BODIES:
            self.bodies.clear()
            self.repeats.clear()
            self.base.clear()
            self.count = 0
        self.count += count

    def base_of(self, target: Op | Block) -> Mapping[str, Value]:
        """Every parameter's value where a call gives none, in order of declaration."""
        base = self.base.get(target)
        if base is None:
            found = usual(target, self.defaults)
            base = self.base[target] = {name: found.get(name) for name in target.parameter}
        return base

    def activation(self, block: Block, x: Tensor) -> Body:
        """The body of an activation that a block serves as. Raises `Invalid` (E049)."""
        if x.is_map:
            return self.undilated(block, activations.check_shape(block, self.call(block, {}, (x,))))
        body = self.call(ACTIVATION, {"act": activations.stand_in(block, x)}, (x,))
        return replace(body, instead=block)

    def undilated(self, block: Block, body: Body) -> Body:
        """`body`, if it is as the block is written: what serves as an activation takes nothing."""
        if self.limit and any(inner.written is not None for inner in bodies_of([body])):
            message = f"`{block.name}` has windows that the output stride would dilate"
            hint = "apply it as a block, or take another activation here"
            raise Invalid("E052", f"{message}, which an activation cannot be told", hint, "act")
        return body

    def settled(self, block: Block, body: Body) -> Body:
        """`body` with stand-ins for the arguments whose activations are all of vectors."""
        for name in block.parameter:
            act = body.arguments[name]
            if not isinstance(act, Block):
                continue
            maps = activations.applied(body, name)
            if maps == {True, False}:
                message = f"`{name}` of `{block.name}` is for feature maps and for vectors"
                hint = f"give it a parameter for each: `{act.name}` is for feature maps alone"
                raise Invalid("E049", message, hint, name)
            if maps == {False}:
                given = {key: body.arguments[key] for key in block.parameter}
                given[name] = act.on_vectors
                return replace(self.call(block, given, body.inputs), instead=act)
        _check_written_out(block, body)
        return body

    def op(self, op: Op, arguments: Mapping[str, Value], inputs: tuple[Tensor, ...]) -> Body:
        applied, dilation = dilated(self.limit, op, arguments, inputs)
        output = op.shape(applied, *inputs)
        if output.size > MAX_ELEMENTS:
            raise Invalid("E044", f"`{op.name}` gives {output}, more than any network needs")
        if max(output.strides) > MAX_STRIDE:
            message = f"`{op.name}` comes to a total stride of more than {MAX_STRIDE:,}"
            raise Invalid("E044", message, "no input has so many pixels")
        if output.dilation != dilation:
            output = replace(output, dilation=dilation)
            check_larger(op, inputs[0], output)
        written = None if applied == arguments else arguments
        cost = op.cost(applied, output, *inputs)
        return Body(op, applied, inputs, output, cost, written=written)

    def block(
        self, block: Block, arguments: Mapping[str, Value], inputs: tuple[Tensor, ...]
    ) -> Body:
        values = dict(arguments)
        body = _BodyBuilder(self, block, values, inputs)
        for name, node in block.lets:
            body.scope[name] = values[name] = ex.whole(_evaluated(node, body.scope))
        for step in block.steps:
            body.step(step)
        output, feed = body.outputs[block.steps[-1].name]
        _check_channels(block, output, body.scope)
        calls = tuple(body.calls)
        needed = reaching(calls, {feed})
        _check_used(block, calls, needed)
        unused = frozenset(i for i in range(len(inputs)) if -1 - i not in needed)
        # One at least, so that what walks through all calls takes no longer than ops allow.
        ops = check_ops(max(1, sum(call.body.ops for call in calls)))
        return Body(block, values, inputs, output, Cost(), calls, feed, ops, unused)


def _check_channels(block: Block, output: Tensor, scope: Mapping[str, object]) -> None:
    """Raises `Invalid` (E047) unless the output has the channels that the block says."""
    if block.channels is None:
        return
    said = block.channels.evaluate(scope)
    if said != output.channels:
        message = f"`{block.name}` says that it gives {said} channels, but gives {output.channels}"
        raise Invalid("E047", message, place=block.channels.place)


def reaching(calls: Sequence[Call], ends: Iterable[int]) -> set[int]:
    """The numbers of the calls, and of the inputs (-1, -2, ...), that those numbered `ends` are
    computed from, with their own."""
    found = {*ends}
    for index in range(len(calls) - 1, -1, -1):
        if index in found:
            found.update(calls[index].needs)
    return found


def _check_used(block: Block, calls: tuple[Call, ...], needed: Collection[int]) -> None:
    """Raises `Invalid` (E039) for a step that only steps use which are left out in this call, or
    that are there and have it under `else`."""
    instead = {step.otherwise.name: step.name for step in block.steps if step.otherwise}
    lost = {call.name for index, call in enumerate(calls) if index not in needed}
    for step, invoke in block.invokes() if lost else ():
        if invoke.name in lost:
            message = f"nothing uses the step `{step.name}` where what takes it is left out"
            hint = "give it the `when` of the step that takes it"
            if (other := instead.get(step.name)) is not None:
                message = f"nothing uses the step `{step.name}` where `{other}` is not left out"
                hint = f"give it a `when` that holds only where that of `{other}` does not"
            raise Invalid("E039", message, hint, place=step.place)


def _check_written_out(block: Block, body: Body) -> None:
    """Raises `Invalid` (E049) for a stand-in that no parameter of the block asks for: its code
    would pass the block itself."""
    places = {invoke.name: invoke.place for _, invoke in block.invokes()}
    for call in body.calls:
        if call.body.instead is not None:
            name, other = call.body.instead.name, call.body.instead.on_vectors
            message = f"`{name}` is for feature maps, and this is a vector"
            raise Invalid("E049", message, f"write `{other}` here", place=places[call.name])


def check_ops(count: int) -> int:
    if count > MAX_OPS:
        raise Invalid("E044", f"this comes to more than {MAX_OPS:,} ops")
    return count


def _evaluated(node: Node, scope: Mapping[str, object]) -> Value:
    """The value of a node within a block. Raises `Invalid`: whoever calls the block is to hear."""
    try:
        return node.evaluate(scope)
    except SpecError as error:
        first = error.problems[0]
        raise Invalid(first.code, first.message, first.hint, place=first.place) from None


class _BodyBuilder:
    def __init__(
        self, elaborator: Elaborator, block: Block, values: Arguments, inputs: tuple[Tensor, ...]
    ) -> None:
        self.elaborator = elaborator
        self.block = block
        self.scope: dict[str, object] = dict(values)
        """Values by name, and tensors by name after a dot."""
        self.calls: list[Call] = []
        self.outputs: dict[str, tuple[Tensor, int]] = {}
        """Each tensor by name, and what gives it: see `Call.feeds`."""
        for index, (name, x) in enumerate(zip(block.inputs, inputs, strict=True)):
            self.put(name, (x, -1 - index))

    def put(self, name: str, output: tuple[Tensor, int]) -> None:
        self.outputs[name] = output
        self.scope[f".{name}"] = output[0]

    def step(self, step: Step) -> None:
        made = step.when is None or ex.holds(_evaluated(step.when, self.scope))
        self.put(step.name, self.invoke(step.call) if made else self.outputs[step.passed])

    def invoke(self, invoke: Invoke) -> tuple[Tensor, int]:
        given = [
            self.invoke(operand) if isinstance(operand, Invoke) else self.outputs[operand.name]
            for operand in invoke.operands
        ]
        tensors, feeds = zip(*given, strict=True)
        arguments = self.arguments(invoke)
        try:
            body = self.elaborator.call(invoke.target, arguments, tensors)
        except Invalid as invalid:
            cause = self.parameter(dict(invoke.arguments).get(invalid.about or ""))
            raise _named(invalid, invoke, tensors).within(invoke.place, cause) from None
        self.check_flat(invoke, body)
        self.calls.append(Call(invoke.name, body, feeds))
        return body.output, len(self.calls) - 1

    def check_flat(self, invoke: Invoke, body: Body) -> None:
        """Raises `Invalid` (E023) for a map of several cells where the block's code, which does not
        know what `defaults` say, takes it for one."""
        op, x = body.target, body.inputs[0]
        wide = isinstance(op, Op) and op.flattens and x.area > 1
        if wide and invoke.name in interface(self.block).channels:
            message = f"`{op.name}` of {x} depends on the input's size"
            raise Invalid("E023", message, TWO_ROWS, place=invoke.place)

    def arguments(self, invoke: Invoke) -> dict[str, Value]:
        values = {}
        for name, node in invoke.arguments:
            try:
                value = _evaluated(node, self.scope)
                values[name] = invoke.target.parameter[name].take(value)
            except Invalid as invalid:
                cause = None if invalid.place else self.parameter(node)
                raise invalid.within(node.place, cause) from None
        return values

    def parameter(self, node: Node | None) -> str | None:
        """The parameter of this block that `node` hands on, directly or through one `let`."""
        if isinstance(node, ex.Name) and node.id in self.block.parameter:
            return node.id
        return None


def _named(invalid: Invalid, invoke: Invoke, tensors: Sequence[Tensor]) -> Invalid:
    """`invalid` with the operands' names and shapes, where it is of them and there are several."""
    if len(tensors) < 2 or invalid.hint or invalid.place:
        return invalid
    names = [o.name if isinstance(o, Use) else f"{o.target.name}(...)" for o in invoke.operands]
    given = zip(names, tensors, strict=True)
    said = ", ".join(f"`{name}` is {x} at stride {x.stride}" for name, x in given)
    return Invalid(invalid.code, invalid.message, said)
