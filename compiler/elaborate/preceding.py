"""From a program for inference to one whose layers take in what scales their input.

In: a program, and its network. Out: one in which a batch norm or a `rescale` of a block is gone
into the convolutions and dense layers that follow it: their kernels times the factor of each input
channel, and what the kernels make of the offsets as a bias. Where a layer pads, there is no offset
beyond the edge, so it takes in a factor alone.

A step stays where anything else takes what it gives, such as an activation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archc.compiler.bind.program import Program
from archc.compiler.elaborate.inference import Rewriter, biased, is_norm, takes_bias, without
from archc.compiler.ir.analysis import calls
from archc.compiler.ir.network import Block, Body, Call, Invoke, Network, Op, Step, Use, uses
from archc.compiler.ir.ops.parts import pair
from archc.compiler.ir.padding import LARGE, pads

TAKEN = "For inference: what scaled the input of a layer is part of it."
"""What is said of a block whose layers take in what was before them."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A batch norm or a rescale that is gone into the layers after it, by the paths of all."""

    step: str
    into: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is to be done to a block."""

    gone: frozenset[str] = frozenset()
    """The calls that are gone, by name."""
    biased: frozenset[str] = frozenset()
    """The calls that have a bias then."""


def preceding(program: Program, network: Network) -> tuple[Program, tuple[Lead, ...]]:
    """The program without what its layers take in; and what is gone into which in the network."""
    taken = {block: _taken(block, every) for block, every in network.called_blocks.items()}
    if not any(each.gone for each in taken.values()):
        return program, ()

    def steps(block: Block) -> tuple[Step, ...]:
        own = taken.get(block, _Taken())
        left = without(block.steps, lambda call: call.name in own.gone)
        return tuple(replace(step, call=biased(step.call, own.biased)) for step in left)

    def doc(block: Block) -> str:
        return f"{block.doc}\n\n{TAKEN}".strip() if taken.get(block, _Taken()).gone else block.doc

    return Rewriter(steps, doc).program(program), tuple(_leads(network, taken))


def _leads(network: Network, taken: Mapping[Block, _Taken]) -> Iterator[Lead]:
    for path, call in calls(network):
        body = call.body
        gone = taken.get(body.target, _Taken()).gone if isinstance(body.target, Block) else ()
        for index, inner in enumerate(body.calls):
            if inner.name in gone:
                into = (own for own, _ in readers(body.calls, index))
                yield Lead(f"{path}.{inner.name}", tuple(f"{path}.{own}" for own in into))


def _taken(block: Block, bodies: Sequence[Body]) -> _Taken:
    """The first step that all calls of the block let the layers after it take in."""
    count = uses(block.steps)
    for step, invoke in block.invokes():
        if is_affine(invoke.target) and not step.otherwise:
            layers = _readers(block, step, invoke)
            many = count[step.name] if invoke is step.call else 1
            if len(layers) == many and all(_goes(body, invoke, layers) for body in bodies):
                own = [c.body for body in bodies for c in body.calls if c.name == invoke.name]
                new = _new(layers) if any(map(shifting, own)) else ()
                return _Taken(frozenset({invoke.name}), frozenset(new))
    return _Taken()


def _new(layers: Iterable[Invoke]) -> Iterator[str]:
    """Those that may have no bias yet."""
    return (layer.name for layer in layers if isinstance(layer.target, Op))


def _readers(block: Block, step: Step, invoke: Invoke) -> list[Invoke]:
    """The calls that take what a call gives, as far as they are made where that is."""
    found = []
    for other, call in block.invokes():
        named = any(isinstance(o, Use) and o.name == step.name for o in call.operands)
        reads = named if invoke is step.call else invoke in call.operands
        if reads and other.when == step.when:
            found.append(call)
    return found


def _goes(body: Body, invoke: Invoke, layers: Sequence[Invoke]) -> bool:
    """Whether in a call of the block the layers can take in what a call within it does."""
    index = next((i for i, call in enumerate(body.calls) if call.name == invoke.name), None)
    if index is None:
        return True
    taking = {call.name for call in body.calls if index in call.feeds}
    every = readers(body.calls, index)
    return taking == {layer.name for layer in layers} and takes(
        body.calls[index].body, every, {*_new(layers)}
    )


# ------------------------------------------------------------------- what takes in what is before


def is_affine(target: Op | Block) -> bool:
    """Whether it multiplies each channel by a number, and adds one."""
    return is_norm(target) or (isinstance(target, Op) and target.affine is not None)


def readers(every: Sequence[Call], feed: int) -> Iterator[tuple[str, Body | None]]:
    """The ops that take a value, by their paths; None for a block that passes it on."""
    for call in every:
        for number, own in enumerate(call.feeds):
            if own == feed:
                yield from _within(call, number)


def _within(call: Call, number: int) -> Iterator[tuple[str, Body | None]]:
    """The ops that take an input of a call."""
    body, feed = call.body, -1 - number
    if not isinstance(body.target, Block):
        yield call.name, body
        return
    if body.result == feed:
        yield call.name, None
    for path, inner in readers(body.calls, feed):
        yield f"{call.name}.{path}", inner


def takes(
    affine: Body, every: Iterable[tuple[str, Body | None]], biased: Iterable[str] = ()
) -> bool:
    """Whether all that take what an affine op gives can take in what it does; those that are to be
    `biased` get a bias."""
    found, shifts = list(every), shifting(affine)
    return bool(found) and all(
        body is not None
        and _linear(body)
        and (not shifts or not padded(body))
        and (not shifts or path in biased or body.arguments["bias"] is True)
        for path, body in found
    )


def shifting(affine: Body) -> bool:
    """Whether an affine op adds something."""
    names = affine.target.affine if isinstance(affine.target, Op) else None
    numbers = affine.arguments[names[1]] if names else 1.0
    return any(numbers) if isinstance(numbers, tuple) else bool(numbers)


def _linear(body: Body) -> bool:
    """Whether it is linear in its input, with kernels whose first axis are the outputs."""
    rules = body.target.weights if isinstance(body.target, Op) else ()
    return takes_bias(body) and all(rule.outputs == 0 for rule in rules)


def padded(body: Body) -> bool:
    """Whether a layer pads inputs of some size."""
    if not isinstance(body.target, Op) or not body.target.window:
        return False
    return any(_pads(body, side) for side in (0, 1))


def _pads(body: Body, side: int) -> bool:
    a = body.arguments
    kernel, stride, dilation = (pair(a[name])[side] for name in ("kernel", "stride", "dilation"))
    every = (
        pads(a["padding"], size, kernel, stride, dilation, side)
        for size in range(LARGE, LARGE + stride)
    )
    return any(each != (0, 0) for each in every)
