"""From a network for one size to the same network, whose paddings are numbers.

In: a network, elaborated. Out: one whose windows are padded by the numbers that `same` and `zeros`
come to at the declared size. What is padded by half of its kernel is `symmetric`; a pool's last
window may end outside (`ceil_mode`), where that is what `same` means; and a pool over zeros which
are not alike on both sides has a call before it that pads. All calls that a step comes to are
treated alike. A block that is named where an activation belongs stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import lcm

from archc.compiler.elaborate.kept import decides_sizes
from archc.compiler.elaborate.rows import check_known
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir.analysis import layers
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import (
    Arguments,
    Block,
    Body,
    Call,
    Cost,
    Invoke,
    Network,
    Op,
    Row,
    Step,
    Use,
)
from archc.compiler.ir.ops.parts import pair
from archc.compiler.ir.padding import output_size, pads
from archc.compiler.ir.pruning import serving
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Invalid, Place, Source

_NOWHERE = Place(Source("generated", ""), 1, 1)
_PAD = CATALOGUE["zero_pad2d"]
_NO_CELLS = (0, 0, 0, 0)
_VALID: Arguments = {"padding": "valid", "ceil_mode": False}
"""Arguments of a pool on an input that is padded already."""

Changes = Mapping[Body, Arguments]
"""What is said otherwise of calls of an op."""


def static(network: Network) -> Network:
    """`network` with numbers for paddings, where it is for one size alone. It computes the same.

    Raises `SpecError` (E024) where whoever makes the model decides how large its maps are.
    """
    if not network.static:
        return network
    kept = {parameter.name for parameter in network.kept}
    for row in network.rows:
        for name, node in row.spelled.items():
            if decides_sizes(row.call.body, frozenset({name})):
                check_known(node, kept, "paddings that are numbers")
    writer = _Writer(network)
    return replace(network, rows=tuple(map(writer.row, network.rows)))


def period(network: Network) -> tuple[int, int] | None:
    """Rows and columns, of whose multiples other sizes may differ, so that paddings are the same;
    (1, 1) where none depends on the size. None where there is no such other size."""
    size, found = network.input, [body for body in network.bodies if is_worded(body)]
    rows, columns = (lcm(*(_step(body, i) for body in found)) for i in (0, 1))
    try:
        other = at_size(network, (size.height or 1) + rows, (size.width or 1) + columns)
    except Invalid:
        return None
    return (rows, columns) if _all_cells(network) == _all_cells(other) else None


def _all_cells(network: Network) -> list[tuple[int, ...]]:
    """What every window is padded by, in order of evaluation."""
    every = (layer.call.body for layer in layers(network))
    return [cells(body) for body in every if is_worded(body)]


def _step(body: Body, side: int) -> int:
    """How many cells of the network's input a window moves by; 1 where its padding is the same
    whatever the size."""
    stride, kernel = (pair(body.arguments[name])[side] for name in ("stride", "kernel"))
    return 1 if 1 in (stride, kernel) else body.inputs[0].strides[side] * stride


def is_worded(body: Body) -> bool:
    """Whether a call is padded by a word for what depends on the size of its input."""
    window = isinstance(body.target, Op) and body.target.window
    return window and body.arguments["padding"] in ("same", "zeros")


class _Writer:
    """The same calls and blocks with numbers; each is made once."""

    def __init__(self, network: Network) -> None:
        self.bodies: dict[Body, Body] = {}
        self.blocks: dict[Block, Block] = {}
        self.named = {block.name for block in network.called_blocks}
        self.pools: dict[tuple[object, ...], Block] = {}
        """Blocks of pools that rows call, by what they do."""
        self.served = serving(network)
        self.changes: dict[tuple[Op | Block, str], Changes] = {}
        """What is said otherwise of the calls that a step comes to, where it is."""
        self.padded: dict[Block, dict[str, str]] = {}
        """The pools that get a step before them, and what that is called."""
        for block, bodies in network.called_blocks.items():
            if block not in self.served:
                self.look(block, bodies)

    def look(self, block: Block, bodies: Sequence[Body]) -> None:
        """Takes note of what becomes of the calls in a block."""
        made: dict[str, dict[Body, None]] = {}
        for call in (call for body in bodies for call in body.calls):
            made.setdefault(call.name, {})[call.body] = None
        taken = {name for step, i in block.invokes() for name in (step.name, i.name)}
        for name, every in made.items():
            if not any(map(is_worded, every)):
                continue
            changes = _numbers(every)
            if changes is not None:
                self.changes[block, name] = changes
            else:
                self.padded.setdefault(block, {})[name] = _free(f"{name}_pad", taken)

    def row(self, row: Row) -> Row:
        body = self.body(row.call.body)
        if is_worded(body):
            changes = _numbers([body])
            body = self.alone(body) if changes is None else _changed(body, changes)
        return replace(row, call=replace(row.call, body=body))

    def alone(self, body: Body) -> Body:
        """A row of a pool that takes a call before it, as a call of a block of both."""
        pad, pool = _apart(body)
        key = body.target, *map(str, (pad.arguments, pool.arguments))
        if key not in self.pools:
            number = len(self.pools) + 1
            name = f"zero_padded_pool_{number}" if number > 1 else "zero_padded_pool"
            self.pools[key] = _padding_pool(_free(name, self.named), pad, pool)
        calls = (Call("pad", pad, (-1,)), Call("pool", pool, (0,)))
        block, output = self.pools[key], body.output
        return Body(block, {}, body.inputs, output, body.cost, calls, result=1, ops=2)

    def body(self, body: Body) -> Body:
        block = body.target
        if not isinstance(block, Block) or block in self.served:
            return body
        if body not in self.bodies:
            calls, result = self.calls(block, body)
            made = replace(body, target=self.block(block), calls=calls, result=result)
            self.bodies[body] = made
        return self.bodies[body]

    def calls(self, block: Block, body: Body) -> tuple[tuple[Call, ...], int]:
        """The calls in a call of a block, and which of them is its result."""
        found: list[Call] = []
        moved: dict[int, int] = {}
        pads = self.padded.get(block, {})
        for index, call in enumerate(body.calls):
            feeds = tuple(moved.get(feed, feed) for feed in call.feeds)
            inner = self.body(_changed(call.body, self.changes.get((block, call.name), {})))
            if call.name in pads:
                before, inner = _apart(inner)
                found.append(Call(pads[call.name], before, feeds))
                feeds = (len(found) - 1,)
            moved[index] = len(found)
            found.append(Call(call.name, inner, feeds))
        return tuple(found), moved.get(body.result, body.result)

    def target(self, target: Op | Block) -> Op | Block:
        return self.block(target) if isinstance(target, Block) else target

    def block(self, block: Block) -> Block:
        if block in self.served:
            return block
        if block not in self.blocks:
            steps = tuple(self.step(block, step) for step in block.steps)
            calls = [(a.call, b.call) for a, b in zip(steps, block.steps, strict=True)]
            same = all(a == b for a, b in calls)
            self.blocks[block] = block if same else replace(block, steps=steps)
        return self.blocks[block]

    def step(self, block: Block, step: Step) -> Step:
        return replace(step, call=self.invoke(step.call, self.padded.get(block, {})))

    def invoke(self, invoke: Invoke, pads: Mapping[str, str]) -> Invoke:
        operands = tuple(
            self.invoke(operand, pads) if isinstance(operand, Invoke) else operand
            for operand in invoke.operands
        )
        made = replace(invoke, target=self.target(invoke.target), operands=operands)
        return _padded(made, pads[invoke.name]) if invoke.name in pads else made


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _changed(body: Body, changes: Changes) -> Body:
    """A call of an op with what is said otherwise."""
    if body not in changes:
        return body
    written = body.written or body.arguments
    return replace(body, arguments={**body.arguments, **changes[body]}, written=written)


# ------------------------------------------------------------------------------ what they come to


def _numbers(bodies: Collection[Body]) -> Changes | None:
    """The paddings of all calls that a step comes to; None where it takes a call before them."""
    one = next(iter(bodies)).arguments
    if one["padding"] == "zeros":
        return _of_zeros(bodies)
    if "ceil_mode" in one:
        return _of_pools(bodies)
    return {body: {"padding": _of_convolution(body)} for body in bodies}


def cells(body: Body) -> tuple[int, int, int, int]:
    """By how many cells a window is padded at the declared size: top, bottom, left and right."""
    a, x = body.arguments, body.inputs[0]
    kernel, stride = pair(a["kernel"]), pair(a["stride"])
    dilation = pair(a.get("dilation", (1, 1)))
    rows, columns = (
        pads(a["padding"], x.shape[i + 1], kernel[i], stride[i], dilation[i], i) for i in (0, 1)
    )
    return *rows, *columns


def _of_convolution(body: Body) -> Value:
    half = cells(replace(body, arguments={**body.arguments, "padding": "symmetric"}))
    return "symmetric" if cells(body) == half else cells(body)


def _of_zeros(bodies: Collection[Body]) -> Changes | None:
    """Zeros that count, where the op has them and they are alike on both sides."""
    sides = {body: cells(body) for body in bodies}
    alike = all((top, left) == (bottom, right) for top, bottom, left, right in sides.values())
    if not alike or any("count_padding" not in body.arguments for body in bodies):
        return None
    more: Arguments = {"count_padding": True, "ceil_mode": False}
    return {body: {"padding": padding, **more} for body, padding in sides.items()}


def _of_pools(bodies: Collection[Body]) -> Changes:
    """As much after a side as before it; where that is too little, the last window ends outside."""
    before = {body: (top, top, left, left) for body in bodies for top, _, left, _ in [cells(body)]}
    ceil = any(before[body] != cells(body) for body in bodies)
    if all(_reaches(body, before[body], ceil) for body in bodies):
        return {body: {"padding": before[body], "ceil_mode": ceil} for body in bodies}
    alike = len({*map(cells, bodies)}) == 1
    return {b: {"padding": cells(b), "ceil_mode": False} for b in bodies} if alike else {}


def _reaches(body: Body, padding: Value, ceil: bool) -> bool:
    """Whether a pool gives as many cells as it should with another padding."""
    a, sizes = body.arguments, body.inputs[0].shape[1:]
    kernel, stride = pair(a["kernel"]), pair(a["stride"])
    sides = [(padding, n, kernel[i], stride[i], 1, i, ceil) for i, n in enumerate(sizes)]
    try:
        return tuple(output_size(*side) for side in sides) == body.output.shape[1:]
    except Invalid:
        return False  # the window does not fit then


# ------------------------------------------------------------------------------- a step that pads


def _apart(body: Body) -> tuple[Body, Body]:
    """A pool over zeros as a call that pads, and one on what that gives."""
    (x,), numbers = body.inputs, cells(body)
    sides = (x.height or 0) + sum(numbers[:2]), (x.width or 0) + sum(numbers[2:])
    wide = replace(x, height=sides[0], width=sides[1])
    pad = Body(_PAD, {"padding": numbers}, (x,), wide, Cost(), written={"padding": _NO_CELLS})
    return pad, replace(body, arguments={**body.arguments, **_VALID}, inputs=(wide,))


def _padded(invoke: Invoke, name: str) -> Invoke:
    """A pool on what a call of that name pads."""
    pad = Invoke(name, _PAD, invoke.operands, _given({"padding": _NO_CELLS}), invoke.place)
    given = {**dict(invoke.arguments), **dict(_given(_VALID))}
    return replace(invoke, operands=(pad,), arguments=tuple(given.items()))


def _padding_pool(name: str, pad: Body, pool: Body) -> Block:
    """A block that pads with zeros, and pools then."""
    given = {name: each for name, each in pool.arguments.items() if each is not None}
    steps = (
        _step_of("pad", _PAD, "x", pad.arguments),
        _step_of("pool", pool.target, "pad", given),
    )
    doc = "A pool over zeros around its input."
    return Block(name, doc, ("x",), (), (), steps, None, _NOWHERE)


def _step_of(name: str, target: Op | Block, x: str, arguments: Arguments) -> Step:
    call = Invoke(name, target, (Use(x, _NOWHERE),), _given(arguments), _NOWHERE)
    return Step(name, call, None, _NOWHERE)


def _given(arguments: Arguments) -> tuple[tuple[str, ex.Node], ...]:
    return tuple((name, ex.Literal(value, _NOWHERE)) for name, value in arguments.items())
