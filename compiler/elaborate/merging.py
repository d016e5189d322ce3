"""From a program for inference to one whose sums of convolutions are one convolution each.

In: a program whose batch norms are folded, and its network. Out: one in which a block that adds up
convolutions of one tensor, and perhaps a batch norm of it, has the largest of them alone (RepVGG,
arXiv:2101.03697, Fig. 4). A convolution is linear in its kernel: with the centres of their windows
on the same cells, the sum of two is that of the sum of the kernels. A batch norm of the same tensor
is a kernel of one cell that takes each channel to itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import ge

from archc.compiler.bind.program import Program
from archc.compiler.elaborate.inference import Rewriter, is_norm, renamed
from archc.compiler.ir.analysis import calls
from archc.compiler.ir.network import Block, Body, Call, Invoke, Network, Op, Step, Use, uses
from archc.compiler.ir.padding import LARGE, pads

MERGED = "For inference: one convolution stands for the sum."
"""What is said of a block that adds up convolutions no more."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What is gone into the kernel of a layer, by the paths of layers."""

    layer: str
    others: tuple[str, ...]
    """Convolutions, and batch norms of the same tensor."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """Steps of a block that one of them can stand for."""

    main: Step
    others: tuple[Step, ...]
    added: tuple[Step, ...]
    """The sums, the whole one last."""


def merged(program: Program, network: Network) -> tuple[Program, tuple[Merge, ...]]:
    """The program with fewer convolutions, and what is gone into which in the whole network."""
    sums = {block: [*_sums(block, every)] for block, every in network.called_blocks.items()}
    if not any(sums.values()):
        return program, ()

    def steps(block: Block) -> tuple[Step, ...]:
        found = block.steps
        for each in sums.get(block, ()):
            found = tuple(_without(found, each))
        return found

    def doc(block: Block) -> str:
        return f"{block.doc}\n\n{MERGED}".strip() if sums.get(block) else block.doc

    return Rewriter(steps, doc).program(program), tuple(_merges(network, sums))


def _without(steps: Sequence[Step], found: _Sum) -> Iterator[Step]:
    """The steps of a block with one for a sum, where that stood."""
    gone = {step.name for step in (*found.others, *found.added, found.main)}
    instead = {step.name: found.main.name for step in found.added}
    main = next(step for step in steps if step.name == found.main.name)
    for step in steps:
        if step.name == found.added[-1].name:
            yield main
        elif step.name not in gone:
            yield renamed(step, instead)


def _merges(network: Network, sums: Mapping[Block, Sequence[_Sum]]) -> Iterator[Merge]:
    for path, call in calls(network):
        named = {inner.name: inner for inner in call.body.calls}
        own = sums.get(call.body.target, ()) if isinstance(call.body.target, Block) else ()
        for found in own:
            there = [s.call.name for s in (found.main, *found.others) if s.call.name in named]
            main, *others = (f"{path}.{_leaf(named[name])[0]}" for name in there)
            yield Merge(main, tuple(others))


# -------------------------------------------------------------------------- what is a sum of such


def _sums(block: Block, bodies: Sequence[Body]) -> Iterator[_Sum]:
    """The sums in a block that every call of it lets one convolution stand for."""
    steps, count = {step.name: step for step in block.steps}, uses(block.steps)
    operands = (name for step in block.steps for name in _operands(step.call))
    inner = {name for name in operands if count[name] == 1}
    for step in block.steps:
        outer = _operands(step.call) and step.name not in inner
        parts = [*_parts(step, steps)] if outer else []
        added = [part for part in parts if _operands(part.call)]
        found = _of([part for part in parts if part not in added], added, bodies)
        if found is not None and all(count[p.name] == 1 for p in parts if p is not step):
            yield found


def _operands(call: Invoke) -> tuple[str, ...]:
    """The values that a call adds up, in one sum or in several; none where it does anything else,
    or a value has no name."""
    if not isinstance(call.target, Op) or call.target.operator != "+":
        return ()
    every = [(o.name,) if isinstance(o, Use) else _operands(o) for o in call.operands]
    return tuple(name for names in every for name in names) if all(every) else ()


def _parts(step: Step, steps: Mapping[str, Step]) -> Iterator[Step]:
    """The steps that a sum is made of, sums among them, itself last."""
    for name in _operands(step.call):
        if name in steps:
            yield from _parts(steps[name], steps)
    yield step


def _of(parts: Sequence[Step], added: Sequence[Step], bodies: Sequence[Body]) -> _Sum | None:
    """The sum of `parts`, if one of them can stand for it in all calls."""
    tensors = {o.name if isinstance(o, Use) else None for p in parts for o in p.call.operands}
    always = [part for part in parts if part.when is None]
    conditions = {step.when for step in (*parts, *added)} - {None}
    sums = {step.name: len(_operands(step.call)) - 1 for step in added}
    if len(parts) < 2 or len(parts) != sum(sums.values()) + 1:
        return None
    if len(tensors) != 1 or None in tensors:
        return None
    if any(step.otherwise for step in (*parts, *added)):
        return None
    # A sum that is left out passes on its left side, so what is always there stands left of it.
    if len(conditions) > 1 or sum(sums[s.name] for s in added if s.when is None) != len(always) - 1:
        return None
    main = max(always, key=lambda part: _kernel(part, bodies), default=None)
    if main is None or not all(_mergeable(main, parts, body) for body in bodies):
        return None
    return _Sum(main, tuple(part for part in parts if part is not main), tuple(added))


def _made(step: Step, body: Body) -> Body | None:
    """The one op that a step comes to in a call of its block; None where it is not made, or more
    than that."""
    found = next((call for call in body.calls if call.name == step.call.name), None)
    return None if found is None else _leaf(found)[1]


def _leaf(call: Call) -> tuple[str, Body | None]:
    """The path and the body of the one op that a call comes to."""
    body = call.body
    if not isinstance(body.target, Block):
        return call.name, body
    if len(body.calls) != 1 or body.result != 0:
        return call.name, None
    path, leaf = _leaf(body.calls[0])
    return f"{call.name}.{path}", leaf


def _kernel(step: Step, bodies: Sequence[Body]) -> int:
    """The area of the smallest kernel that the step has in any call; 0 where it has none."""
    every = (_made(step, body) for body in bodies)
    sizes = (leaf.arguments.get("kernel") if leaf else None for leaf in every)
    return min((k[0] * k[1] if isinstance(k, tuple) else 0 for k in sizes), default=0)


def _mergeable(main: Step, parts: Sequence[Step], body: Body) -> bool:
    """Whether in a call of the block all its parts can go into the main one."""
    made = {call.name for call in body.calls}
    there = [part for part in parts if part.call.name in made]
    first = _made(main, body)
    if first is None or not _is_convolution(first) or not first.arguments.get("bias"):
        return False
    leaves = [_made(part, body) for part in there if part is not main]
    # A sum may spread one of its sides, which a kernel cannot.
    shape = first.output.shape
    return all(leaf and leaf.output.shape == shape and _alike(first, leaf) for leaf in leaves)


def _is_convolution(body: Body) -> bool:
    """Whether it is linear in one kernel, whose first axis are the outputs."""
    rules = body.target.weights if isinstance(body.target, Op) else ()
    kernels = [rule for rule in rules if rule.groups is not None]
    linear = {"bias", "dilation"} <= body.arguments.keys()
    return linear and len(kernels) == 1 and kernels[0].outputs == 0


def _alike(main: Body, other: Body) -> bool:
    """Whether the windows of two convolutions, or of one and a batch norm, have their centres on
    the same cells, whatever the input's size."""
    places = [_placed(main, side) for side in (0, 1)]
    if is_norm(other.target):
        return main.arguments["stride"] == (1, 1) and places == [_CELL, _CELL]
    if not _is_convolution(other):
        return False
    alike = ("stride", "groups", "multiplier")
    same = all(main.arguments.get(k) == other.arguments.get(k) for k in alike)
    undilated = (1, 1) == main.arguments["dilation"] == other.arguments["dilation"]
    placed = None not in places and places == [_placed(other, side) for side in (0, 1)]
    return (
        main.target is other.target
        and same
        and undilated
        and placed
        and all(map(ge, _size(main), _size(other)))
    )


_CELL = {(0, 0, -1)}
"""What `_placed` gives for a window of one cell at stride 1, without padding."""


def _size(body: Body) -> tuple[int, ...]:
    kernel = body.arguments["kernel"]
    assert isinstance(kernel, tuple)
    return kernel


def _placed(body: Body, side: int) -> set[tuple[int, int, int]] | None:
    """On which cell of the input the centre of the first window lies, and by how much windows reach
    beyond the input: for inputs of any size, by what the stride leaves of it. None where the kernel
    has no centre."""
    a, kernel = body.arguments, _size(body)[side]
    stride = a["stride"]
    assert isinstance(stride, tuple)
    if kernel % 2 == 0:
        return None
    sizes = range(LARGE, LARGE + stride[side])
    every = [
        (n % stride[side], *pads(a["padding"], n, kernel, stride[side], 1, side)) for n in sizes
    ]
    return {(left, kernel // 2 - before, before + after - kernel) for left, before, after in every}
