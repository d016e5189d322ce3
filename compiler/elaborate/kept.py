"""What a kept parameter must not decide, though generated code could spell it.

Whoever makes the model gives a kept parameter another value, and then nothing checks what the
compiler checks here: that groups divide channels, that slices lie
within them, and that sizes are written as generated code
writes them, 3 for (3, 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from archc.compiler.ir.mentions import mentions
from archc.compiler.ir.network import Block, Body, Op
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.values import Type

Seen = set[tuple[int, frozenset[str], frozenset[str]]]

SIZES = ("numbers", "size", "sides", "shape", "padding", "pool_padding")
"""Kinds with more than one way to write a value in Python."""


def sizes_tested(node: Node, kinds: Mapping[str, Type], condition: bool = False) -> Iterator[str]:
    """The sizes whose values `node` compares or takes for true or false, as a `condition` does."""
    tested = [node] if condition else []
    for child in ex.walk(node):
        tested += _tested(child)
    names = (n.id for n in tested if isinstance(n, ex.Name))
    yield from (name for name in names if name in kinds and kinds[name].kind in SIZES)


def _tested(node: Node) -> tuple[Node, ...]:
    match node:
        case ex.Compare() | ex.Logic():
            return (node.left, node.right)
        case ex.Unary():
            return (node.operand,)
        case ex.Conditional():
            return (node.condition,)
    return ()


@lru_cache(maxsize=2**11)
def decided(body: Body, names: frozenset[str], inputs: frozenset[str]) -> str | None:
    """What must be known of a call, in words, and depends on a kept parameter: the arguments
    `names`, or the channels of the tensors `inputs`."""
    return _decided(body, names, inputs, set())


def _decided(body: Body, names: frozenset[str], inputs: frozenset[str], seen: Seen) -> str | None:
    """The same; what was `seen` is not looked at again."""
    key = (id(body), names, inputs)
    if key in seen or not names | inputs:
        return None
    seen.add(key)
    if isinstance(body.target, Block):
        return _in_block(body, body.target, names, inputs, seen)
    op = body.target
    known = next((name for name in (op.divisor, *op.cuts) if name in names), None)
    if known is not None:
        return f"`{known}`"
    if op.divisor is None:
        return f"what `{op.name}` cuts" if op.cuts and inputs else None
    divided = bool(inputs) or op.channels in names
    return f"what `{op.divisor}` divides" if divided and body.arguments[op.divisor] != 1 else None


def _in_block(
    body: Body, block: Block, names: frozenset[str], inputs: frozenset[str], seen: Seen
) -> str | None:
    compared = next((name for name in _compared(block) if name in names), None)
    if compared is not None:
        return f"`{compared}` of `{block.name}`, a size that it compares,"
    said_of = mentions(block)
    for call in body.calls:
        given, fed = said_of[call.name]
        own = frozenset(name for name, said in given if said.is_open(names, inputs))
        open_inputs = frozenset(name for name, said in fed if said.is_open(names, inputs))
        what = _decided(call.body, own, open_inputs, seen)
        if what is not None:
            return what
    return None


@lru_cache(maxsize=1024)
def _compared(block: Block) -> tuple[str, ...]:
    """The sizes that a block's steps compare or take for true or false."""
    kinds = {p.name: p.type for p in block.parameters}
    conditions = [(step.when, True) for step in block.steps if step.when is not None]
    given = [(node, False) for _, invoke in block.invokes() for _, node in invoke.arguments]
    nodes = (*conditions, *given)
    return tuple(name for node, is_when in nodes for name in sizes_tested(node, kinds, is_when))


_SIZING = frozenset(
    ("kernel", "stride", "dilation", "padding", "output_padding", "scale", "size", "factor")
)
"""Arguments of ops that may decide the size of a map, or what is added to it."""


def decides_sizes(body: Body, names: frozenset[str]) -> bool:
    """Whether the arguments `names` of a call may decide the size of a map in it, or what a window
    is padded by."""
    block = body.target
    if not isinstance(block, Block):
        return (block.window or _resizes(body)) and not names.isdisjoint(_SIZING)
    made = {call.name: call.body for call in body.calls}
    for step, invoke in block.invokes():
        inner = made.get(invoke.name)
        own = frozenset(a for a, node in invoke.arguments if ex.names(node).keys() & names)
        decided = step.when is not None and bool(ex.names(step.when).keys() & names)
        if inner is None:
            if decided and _has_windows(invoke.target):
                return True
        elif (decided and _resizes(inner)) or (own and decides_sizes(inner, own)):
            return True
    return False


def _resizes(body: Body) -> bool:
    """Whether what a call gives is of another size than what it takes."""
    return any(x.shape[1:] != body.output.shape[1:] for x in body.inputs)


def _has_windows(target: Op | Block) -> bool:
    """Whether a call may resize a map, of which nothing else is known."""
    ops = [target] if isinstance(target, Op) else [i.target for _, i in target.invokes()]
    return any(
        op.window if isinstance(op, Op) else op is not target and _has_windows(op) for op in ops
    )


def shapes_a_window(body: Body, names: frozenset[str]) -> bool:
    """Whether the arguments `names` of a call decide the kernel, the stride or the dilation of a
    window in it."""
    block = body.target
    if not isinstance(block, Block):
        return block.window and not names.isdisjoint(("kernel", "stride", "dilation"))
    calls = {call.name: call.body for call in body.calls}
    for _, invoke in block.invokes():
        own = frozenset(a for a, node in invoke.arguments if ex.names(node).keys() & names)
        if own and invoke.name in calls and shapes_a_window(calls[invoke.name], own):
            return True
    return False
