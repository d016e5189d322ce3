"""Blocks where an activation belongs, such as FReLU, which owns weights.

The op `activation` with a block for its `act` is a call of that block. Where it would get a vector,
the stand-in that the block names under `on_vectors` is used instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from archc.compiler.ir.interface import interface, pinned
from archc.compiler.ir.network import Block, Body, Invoke, Op, Tensor
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.language import expressions as ex
from archc.compiler.language.closure import closure
from archc.compiler.language.problems import Invalid


def check_serves(block: Block) -> Block:
    """`block` if it can be called as an activation is, on one tensor. Raises `Invalid` (E049)."""
    missing = [f"`{p.name}`" for p in block.parameters if p.required]
    if len(block.inputs) != 1 or missing:
        takes = f"{len(block.inputs)} tensors" if len(block.inputs) != 1 else ", ".join(missing)
        message = f"`{block.name}` takes {takes}, so it cannot be an activation"
        hint = "a block that serves as one takes one tensor, and every parameter has a default"
        raise Invalid("E049", message, hint)
    for owner, let in _worked_out(block):
        where = "" if owner is block else f"`{owner.name}` in "
        message = f"{where}`{block.name}` works out `{let}` for each call, and so is no activation"
        hint = f"write out `{let}` in the steps that use it, without `let`"
        raise Invalid("E049", message, hint)
    for owner in _reached_blocks(block):
        taken = interface(owner).arguments
        starts = {a.name for a in taken if a.type.kind == "initializer" and not a.type.optional}
        for name in sorted(pinned(owner) | starts):
            where = "" if owner is block else f"`{owner.name}` in "
            message = f"{where}`{block.name}` leaves `{name}` to its calls, and so is no activation"
            raise Invalid("E049", message, f"write out `{name}` in the steps that use it")
    return block


def _reached_blocks(block: Block) -> Iterator[Block]:
    """A block and those that it calls."""
    found = {block: None}
    pending = [block]
    while pending:
        owner = pending.pop()
        yield owner
        called = dict.fromkeys(owner.called())
        pending += [target for target in called if target not in found][::-1]
        found.update(called)


def _worked_out(block: Block) -> Iterator[tuple[Block, str]]:
    """The `let`s of a block and of those that it calls, each with its block.

    Code that gets an activation as an argument knows its channels, and no more about it.
    """
    yield from ((owner, name) for owner in _reached_blocks(block) for name, _ in owner.lets)


def check_shape(block: Block, body: Body) -> Body:
    """`body`, a call of `block` as an activation. Raises `Invalid` (E049) if the shape changes."""
    before, after = body.inputs[0], body.output
    if (before.shape, before.strides) != (after.shape, after.strides):
        message = f"`{block.name}` gives {after} for {before}; an activation keeps the shape"
        raise Invalid("E049", message, "use it as a block of its own", "act")
    return body


def stand_in(block: Block, x: Tensor) -> str:
    """The activation for a vector where `block` is asked for. Raises `Invalid` (E049)."""
    if block.on_vectors is None:
        message = f"`{block.name}` is no activation for vectors, and here is one of {x}"
        hint = f"name what stands in for it, as in `on_vectors: relu` in `{block.name}`"
        raise Invalid("E049", message, hint, "act")
    return block.on_vectors


def decided(block: Block, name: str) -> Iterator[tuple[Invoke, str]]:
    """The calls within a block that its parameter decides about, each with the argument."""
    names = {name}
    for let, node in block.lets:
        names |= {let} if ex.names(node).keys() & names else set()
    for _, invoke in block.invokes():
        for argument, node in invoke.arguments:
            if ex.names(node).keys() & names:
                yield invoke, argument


def applied(body: Body, name: str) -> set[bool]:
    """Of the activations that the call's parameter decides: whether they are of feature maps."""
    every = closure([(body.target, body, name)], _decided_in)
    return {inner.inputs[0].is_map for target, inner, _ in every if target is ACTIVATION}


def _decided_in(decision: tuple[Op | Block, Body, str]) -> Iterator[tuple[Op | Block, Body, str]]:
    """What a call's parameter decides of the calls within: each one's target, as it is written,
    what it comes to, and the argument."""
    target, body, name = decision
    if isinstance(target, Block):
        calls = {call.name: call.body for call in body.calls}
        for invoke, argument in decided(target, name):
            if invoke.name in calls:
                yield invoke.target, calls[invoke.name], argument


def reached(block: Block, name: str) -> Iterator[tuple[Block, str]]:
    """Every activation that a block's parameter decides: the block that calls it, and the call."""
    for owner, parameter in closure([(block, name)], _handed_on):
        for invoke, _ in decided(owner, parameter):
            if invoke.target is ACTIVATION:
                yield owner, invoke.name


def _handed_on(decision: tuple[Block, str]) -> Iterator[tuple[Block, str]]:
    """The parameters of other blocks that a block's parameter decides."""
    for invoke, argument in decided(*decision):
        if isinstance(invoke.target, Block):
            yield invoke.target, argument
