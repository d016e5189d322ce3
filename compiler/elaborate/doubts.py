"""Warnings of what layers do for nothing: see `warn`, which runs these."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from archc.compiler.bind.program import Program
from archc.compiler.bind.rows import RowTemplate
from archc.compiler.ir.analysis import Layer, layers, results
from archc.compiler.ir.network import Block, Body, Call, Network, Op
from archc.compiler.ir.ops.parts import pair
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Literal, Node
from archc.compiler.language.problems import Place, Problem
from archc.compiler.language.values import show

BATCH_NORM = "batch_norm"
FEW = (1, 3, 4)
"""Channels of an image."""


def _warning(code: str, message: str, place: Place, hint: str) -> Problem:
    return Problem(code, message, place, hint, severity="warning")


# ------------------------------------------------------------------------------ W001: the input


def turned(program: Program, network: Network) -> Iterator[Problem]:
    """An input as (height, width, channels), which gives as many channels as columns."""
    for name, own in network.inputs.items():
        x, nodes = own.tensor, program.inputs.get(name, {})
        if x.is_map and x.channels == x.shape[2] > x.shape[1] and x.shape[1] in FEW:
            message = f"`channels` is {x.channels} and `height` {x.shape[1]}"
            hint = f"`channels: {x.shape[1]}, height: {x.channels}`, if they are swapped"
            if "channels" in nodes:
                yield _warning("W001", message, nodes["channels"].place, hint)


# --------------------------------------------------------------------------- W009: even kernels


def even_kernels(program: Program, network: Network) -> Iterator[Problem]:
    """Rows that keep the size of a map with a kernel that has no middle."""
    for row in network.rows:
        given, body = program.template(row).arguments.get("kernel"), row.call.body
        kernel = _both(body.arguments.get("kernel"))
        if given is not None and any(_is_off(op, kernel) for op in _ops(body)):
            size = kernel[0] if isinstance(kernel, tuple) and len({*kernel}) == 1 else kernel
            message = f"`kernel` is {show(size)}, which has no middle"
            hint = "an odd one keeps the map where it is"
            moved = f"{message}: the map moves by half a pixel"
            yield _warning("W009", moved, given.place, hint)


def _both(size: object) -> object:
    """A size as rows and columns."""
    return (size, size) if isinstance(size, int) else size


def _ops(body: Body) -> Iterator[Body]:
    if isinstance(body.target, Op):
        yield body
    for call in body.calls:
        yield from _ops(call.body)


def _is_off(body: Body, kernel: object) -> bool:
    """Whether a convolution of this kernel pads one side more than the other at any size."""
    given = body.arguments
    if given.get("kernel") != kernel or given.get("padding") != "same":
        return False
    sizes, strides = pair(given["kernel"]), pair(given.get("stride", (1, 1)))
    steps = pair(given.get("dilation", (1, 1)))
    sides = zip(sizes, strides, steps, strict=True)
    return _weighs(body) and any(s == 1 and d * (k - 1) % 2 for k, s, d in sides)


# ----------------------------------------------------------------- W010: biases for nothing


def lost_biases(program: Program, network: Network) -> Iterator[Problem]:
    """Biases that nobody asked for, and that the batch norm above takes off again."""
    rows = [program.template(row) for row in network.rows]
    calls = [row.call for row in network.rows]
    given = [i for i, row in enumerate(network.rows) if row.output or row.tap]
    for i in _before_norms(calls, given):
        if not _asked(calls[i].body, rows[i].arguments, program):
            yield _lost(rows[i].place, calls[i].name)
    for block, bodies in network.called_blocks.items():
        yield from _in_block(block, bodies, program)


def _in_block(block: Block, bodies: Sequence[Body], program: Program) -> Iterator[Problem]:
    invokes = {invoke.name: invoke for _, invoke in block.invokes()}
    found: dict[str, Body] = {}
    for body in bodies:
        before = _before_norms(body.calls, (body.result,))
        found |= {body.calls[i].name: body.calls[i].body for i in before}
    for name, body in found.items():
        if not _asked(body, dict(invokes[name].arguments), program):
            yield _lost(invokes[name].place, name)


def _before_norms(calls: Sequence[Call], given: Container[int]) -> Iterator[int]:
    """Ops with a bias whose value batch norms alone take."""
    users: dict[int, set[str]] = {}
    for call in calls:
        for feed in call.feeds:
            users.setdefault(feed, set()).add(call.body.target.name)
    for i, call in enumerate(calls):
        target = call.body.target
        may = isinstance(target, Op) and "bias" in target.parameter
        if may and users.get(i) == {BATCH_NORM} and call.body.arguments["bias"] and i not in given:
            yield i


def _asked(body: Body, arguments: Container[str], program: Program) -> bool:
    """Whether somebody said that there is to be a bias."""
    name = body.target.name
    return "bias" in arguments or "bias" in program.defaults.get(name, {})


def _lost(place: Place, name: str) -> Problem:
    message = f"`{name}` has a bias, which the batch norm after it takes off again"
    return _warning(
        "W010", message, place, "give it `bias: false`; or `bias: true`, if it is meant"
    )


# ------------------------------------------------------------------------- W011: rows for nothing


def absent(program: Program, network: Network) -> Iterator[Problem]:
    """Rows that are never there, whatever the settings are."""
    for template in program.rows:
        for key, node, never in _conditions(template):
            if isinstance(node, Literal) and not node.value:
                message = f"`{key}: {ex.text(node)}` leaves this row out of every model"
                yield _warning("W011", message, node.place, never)


def _conditions(template: RowTemplate) -> Iterator[tuple[str, Node | None, str]]:
    yield "repeat", template.repeat, "remove the row, or repeat it at least once"
    yield "when", template.when, "remove the row, or give it a condition on a parameter"


# ------------------------------------------------------------------- W012: activations forgotten


LINEAR = ("batch_norm", "dropout", "flatten", "avg_pool2d", "global_avg_pool2d", "zero_pad2d")
"""Ops through which a linear map stays one."""


def forgotten(program: Program, network: Network) -> Iterator[Problem]:
    """Rows that give no activation, widen, and feed another linear layer, where other rows of their
    block give one: both layers could as well be one."""
    templates = [program.template(row) for row in network.rows]
    found, given = layers(network), results(network)
    for i, (template, row) in enumerate(zip(templates, network.rows, strict=True)):
        body, name = row.call.body, _activation(template)
        if name is None or name in template.arguments or body.arguments[name] is not None:
            continue
        alike = (t for t in templates if t.target is template.target and name in t.arguments)
        widens = body.output.channels >= body.inputs[0].channels
        if widens and _meets_linear(found, given[i]) and (other := next(alike, None)):
            message = f"`{row.call.name}` gives no `{name}`, and what follows is linear, too"
            hint = f"give it one, as `{other.name}` has; or `{name}: none`, if that is meant"
            yield _warning("W012", message, template.place, hint)


def _activation(template: RowTemplate) -> str | None:
    """The parameter of a row's block that is an activation, where there is one."""
    names = [p.name for p in template.target.parameters if p.type.kind == "activation"]
    return names[0] if len(names) == 1 and isinstance(template.target, Block) else None


def _meets_linear(found: Sequence[Layer], index: int) -> bool:
    """Whether all that takes a value is a convolution or a dense layer, at once or after what
    leaves it linear."""
    users = [i for i, layer in enumerate(found) if index in layer.feeds]
    return bool(users) and all(
        _meets_linear(found, i) if found[i].op in LINEAR else _weighs(found[i].call.body)
        for i in users
    )


def _weighs(body: Body) -> bool:
    return any(weight.role.endswith("kernel") for weight in body.cost.weights)


CHECKS: tuple[Callable[[Program, Network], Iterator[Problem]], ...] = (
    turned,
    even_kernels,
    lost_biases,
    absent,
    forgotten,
)
