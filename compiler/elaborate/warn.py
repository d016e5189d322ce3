"""What is legal in a spec, and probably a mistake.

In go a program and the network that it comes to, out come warnings. Each check looks for one slip
that people make, and stays silent wherever somebody may have meant it: a warning that is wrong
teaches its readers to skip the next one. `# archc: allow W002` at the end of a line says that what
stands there is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import NamedTuple

from archc.compiler.bind.program import Program
from archc.compiler.bind.rows import RowTemplate
from archc.compiler.elaborate import doubts
from archc.compiler.ir.catalogue import OPERATORS
from archc.compiler.ir.network import Block, Body, Network, Parameter, Row
from archc.compiler.language import expressions as ex
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Place, Problem, Source, in_reading_order
from archc.compiler.language.values import show
from archc.compiler.spec.reader import Scalar

Places = Mapping[str, Place]
"""Where each argument of a call is given."""

MANY_CHANNELS = 8192
"""Feature maps of more channels are reported."""
FEWEST_WINDOWS = 3
"""On maps of one cell, before these are reported."""

_ALLOWED = re.compile(r"#\s*archc:\s*allow\s+(W\d{3}(?:\s*,\s*W\d{3})*)\s*$")


def warnings(program: Program, network: Network) -> tuple[Problem, ...]:
    """What is probably wrong with `network`, but for what its lines allow."""
    found = (problem for check in CHECKS for problem in check(program, network))
    told = [problem for problem in found if not _is_allowed(problem)]
    return tuple(in_reading_order(told, _own_source(program).name))


def _is_allowed(problem: Problem) -> bool:
    lines = problem.place.source.lines
    comment = _ALLOWED.search(lines[problem.place.line - 1]) if lines else None
    return comment is not None and problem.code in comment[1]


def _warning(
    code: str, message: str, place: Place, hint: str, *related: tuple[str, Place]
) -> Problem:
    return Problem(code, message, place, hint, related, severity="warning")


def _cell(template: RowTemplate, name: str | None) -> Place:
    """Where the row gives an argument, or else the row itself."""
    node = template.arguments.get(name or "")
    return template.place if node is None else node.place


def _templates(program: Program, network: Network) -> Iterator[tuple[RowTemplate, Row]]:
    """The rows of the network, each with how it was written."""
    return ((program.template(row), row) for row in network.rows)


# ---------------------------------------------------------------------------------- W001: numbers


def _unusual(program: Program, network: Network) -> Iterator[Problem]:
    """Numbers outside of what their parameters usually hold."""
    for parameter in program.parameters:
        place = parameter.place if parameter.default is None else parameter.default.place
        if place is not None and parameter.name not in network.changed:
            yield from _outside(parameter, network.settings[parameter.name], place)
    seen: set[tuple[int, ...]] = set()
    for template, row in _templates(program, network):
        places = {name: node.place for name, node in template.arguments.items()}
        for body, given in _calls(row.call.body, places, seen):
            general = program.defaults.get(body.target.name, {})
            own = {**{name: node.place for name, node in general.items()}, **given}
            for name in own.keys() & body.target.parameter.keys():
                yield from _outside(body.target.parameter[name], body.arguments[name], own[name])


def _calls(body: Body, places: Places, seen: set[tuple[int, ...]]) -> Iterator[tuple[Body, Places]]:
    """The call and those within it, each with where its arguments are given, once each."""
    key = (id(body), *map(id, places.values()))
    if key in seen:
        return
    seen.add(key)
    yield body, places
    if isinstance(body.target, Block):
        invokes = {invoke.name: invoke for _, invoke in body.target.invokes()}
        for call in body.calls:
            arguments = invokes[call.name].arguments
            yield from _calls(call.body, {n: _origin(v, places) for n, v in arguments}, seen)


def _origin(node: Node, places: Places) -> Place:
    """Where the value of an argument comes from: the caller's, if it is handed on as it is."""
    return places.get(node.id, node.place) if isinstance(node, ex.Name) else node.place


def _outside(parameter: Parameter, value: object, place: Place) -> Iterator[Problem]:
    if parameter.usual is None:
        return
    least, most = parameter.usual
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(least <= n <= most for n in numbers if isinstance(n, int | float)):
        message = f"`{parameter.name}` is {show(value)}, and usually between {show(least)}"
        hint = parameter.doc or "is it in another unit, or a digit off?"
        yield _warning("W001", f"{message} and {show(most)}", place, hint)


# ------------------------------------------------------------------------- W002 and W003: rows


def _strides_at_each_repeat(program: Program, network: Network) -> Iterator[Problem]:
    """Rows as papers write them, whose stride is meant for the first of their repeats."""
    for _, pairs in groupby(_templates(program, network), key=lambda pair: id(pair[0])):
        (template, first), *others = pairs
        if not others or "stride" not in template.arguments:
            continue
        bodies = [row.call.body for _, row in ((template, first), *others)]
        if any(body.output.strides == body.inputs[0].strides for body in bodies):
            continue
        before, after = bodies[0].inputs[0].stride, bodies[-1].output.stride
        message = f"this row strides at each of its {len(others) + 1} repeats"
        hint = f"if the first alone is meant to: `{_first_alone(template)}`"
        strides = f"{message}, from stride {show(before)} to {show(after)}"
        yield _warning("W002", strides, _cell(template, "stride"), hint)


def _first_alone(template: RowTemplate) -> str:
    stride = ex.text(template.arguments["stride"])
    return f"stride: 1 if repeat.index else {stride}"


def _residuals_lost(program: Program, network: Network) -> Iterator[Problem]:
    """Two rows in succession that cannot add their input, as one of them has other channels."""
    for (index, (template, row)), (_, (_, after)) in pairwise(
        enumerate(_templates(program, network))
    ):
        body, other = row.call.body, after.call.body
        there_and_back = body.inputs[0] == other.output != body.output
        if not there_and_back or after.call.feeds != (index,) or body.target is not other.target:
            continue
        if _left_out_sum(body) and _left_out_sum(other):
            ours, theirs = body.output.channels, other.output.channels
            message = f"neither `{row.call.name}` nor `{after.call.name}` adds its input"
            reason = f"{message}, since channels go from {theirs} to {ours} and back"
            hint = f"give both {theirs} channels to keep their residuals"
            cell = next((n for n in template.arguments if body.arguments[n] == ours), None)
            yield _warning("W003", reason, _cell(template, cell), hint)


def _left_out_sum(body: Body) -> bool:
    """Whether a sum of the block is left out of this call by a condition on channels."""
    if not isinstance(body.target, Block):
        return False
    called = {call.name for call in body.calls}
    left_out = (
        step.when
        for step in body.target.steps
        if step.call.target is OPERATORS["+"] and step.call.name not in called and step.when
    )
    return any(isinstance(node, ex.Attribute) for when in left_out for node in ex.walk(when))


# ------------------------------------------------------------------------ W004 and W005: sizes


class _Sizes(NamedTuple):
    """What is in a call, counted over the ops in it."""

    windows: int
    """Windows of more than one cell."""
    lost: int
    """Those of them that see a single cell."""
    channels: int
    """Most channels of a feature map that has more than one cell."""


def _sizes(body: Body, known: dict[int, _Sizes]) -> _Sizes:
    """The sizes of a call. Bodies are shared, so each is looked at once."""
    found = known.get(id(body))
    if found is None:
        inner = [_sizes(call.body, known) for call in body.calls]
        found = known[id(body)] = _joined(inner) if inner else _own(body)
    return found


def _joined(every: Iterable[_Sizes]) -> _Sizes:
    windows, lost, channels = zip(*every, strict=True)
    return _Sizes(sum(windows), sum(lost), max(channels))


def _own(body: Body) -> _Sizes:
    kernel = body.arguments.get("kernel")
    window = isinstance(kernel, tuple) and max(kernel) > 1
    channels = body.output.channels if body.output.is_map and body.output.area > 1 else 0
    return _Sizes(window, window and body.inputs[0].area == 1, channels)


def _single_cells(program: Program, network: Network) -> Iterator[Problem]:
    """Maps of one cell with half of the network to come."""
    known: dict[int, _Sizes] = {}
    every = [_sizes(row.call.body, known) for row in network.rows]
    windows, lost, _ = _joined(every)
    if lost < FEWEST_WINDOWS or lost * 2 < windows:
        return
    row = next(row for row, each in zip(network.rows, every, strict=True) if each.lost)
    message = f"the feature map is 1x1 from `{row.call.name}` on, where {lost} of {windows}"
    hint = "give the input a larger size, or the rows above smaller strides"
    yield _warning("W004", f"{message} windows of more cells are still to come", row.place, hint)


def _many_channels(program: Program, network: Network) -> Iterator[Problem]:
    known: dict[int, _Sizes] = {}
    for template, row in _templates(program, network):
        most = _sizes(row.call.body, known).channels
        if most > MANY_CHANNELS:
            arguments = row.call.body.arguments
            cell = next((n for n in template.arguments if arguments[n] == most), None)
            message = f"a feature map of {most:,} channels"
            yield _warning("W005", message, _cell(template, cell), "is a digit too many?")
            return


# ----------------------------------------------------------------------------- W006: defaults


def _far_reaching(program: Program, network: Network) -> Iterator[Problem]:
    """Activations under `defaults` that reach steps of other people's blocks."""
    own = {program.spec.place.source, *program.spec.bases, _own_source(program)}
    for target, given in program.defaults.items():
        acts = [n for n in given if program.target(target).parameter[n].type.kind == "activation"]
        for block in _blocks(network) if acts else ():
            if block.place.source in own:
                continue
            for step, invoke in block.invokes():
                for name in acts if invoke.target.name == target else ():
                    if name not in dict(invoke.arguments):
                        message = f"this `{name}` reaches the step `{step.name}` of `{block.name}`"
                        hint = f"give `{name}` in the rows that are to have it, or in that step"
                        related = ("in this step", invoke.place)
                        yield _warning("W006", message, given[name].place, hint, related)


def _blocks(network: Network) -> Iterable[Block]:
    """The blocks that rows call, and those that these do."""
    targets = (row.call.body.target for row in network.rows)
    return closure((target for target in targets if isinstance(target, Block)), Block.called)


# ------------------------------------------------------------------------------- W007: names


def _unread(program: Program, network: Network) -> Iterator[Problem]:
    """Parameters, `let`s and blocks of the file itself that decide nothing."""
    yield from _uncalled(program)
    spec = program.spec
    rows = [node for template in program.rows for node in _said_by(template)]
    given = [node for own in program.defaults.values() for node in own.values()]
    nodes = [*program.requirements, *program.dilating.values(), *rows, *given]
    nodes += [node for keys in program.inputs.values() for node in keys.values()]
    declared = [(p.name, p.place, p.default) for p in program.parameters]
    declared += [(name, _key(spec.let, name), node) for name, node in program.lets]
    yield from _unmentioned(declared, nodes, _own_source(program), "")
    for block in program.blocks.values():
        if not program.definitions[block.name].replace:
            declared = [(p.name, p.place, p.default) for p in block.parameters]
            lets = program.definitions[block.name].let
            declared += [(name, _key(lets, name), node) for name, node in block.lets]
            where = f" of the block `{block.name}`"
            promised = () if block.channels is None else (block.channels,)
            said = (*block.expressions(), *promised)
            yield from _unmentioned(declared, said, _own_source(program), where)


def _uncalled(program: Program) -> Iterator[Problem]:
    """Blocks of a network that nothing calls. One that can stand for an activation may be set."""
    nodes = [node for template in program.rows for node in _said_by(template)]
    nodes += [node for own in program.defaults.values() for node in own.values()]
    nodes += [p.default for p in program.parameters if p.default] + [n for _, n in program.lets]
    used = {str(word) for node in nodes for word in _words(node)}
    used |= {template.target.name for template in program.rows}
    used |= {each.name for block in program.blocks.values() for each in block.names()}
    for name in program.spec.blocks:
        block = program.blocks[name]
        own = name.place.source is _own_source(program) and not program.definitions[name].replace
        may_be_set = len(block.inputs) == 1 and not any(p.required for p in block.parameters)
        if own and name not in used and not may_be_set:
            hint = "use it, or remove it; a library keeps blocks for other files"
            yield _warning("W007", f"nothing uses the block `{name}`", name.place, hint)


def _words(node: Node) -> Iterator[object]:
    """What words in an expression stand for."""
    for each in ex.walk(node):
        value = each.value if isinstance(each, ex.Literal) else None
        yield value.name if isinstance(value, ex.Definition) else value


def _own_source(program: Program) -> Source:
    """The file that was named, not one that it extends."""
    extends = program.spec.extends
    return (program.spec if extends is None else extends).place.source


def _key(mapping: Iterable[Scalar], name: str) -> Place | None:
    return next((key.place for key in mapping if key == name), None)


def _said_by(template: RowTemplate) -> Iterator[Node]:
    """Every expression of a row."""
    yield from template.arguments.values()
    yield from template.sources or ()
    keys = (template.when, template.repeat, template.dilate, template.training)
    yield from (node for node in keys if node is not None)


def _unmentioned(
    declared: Iterable[tuple[str, Place | None, Node | None]],
    nodes: Iterable[Node],
    source: Source,
    where: str,
) -> Iterator[Problem]:
    """The declared names on which none of `nodes` depends, directly or through each other."""
    behind = {name: node for name, _, node in declared}
    said = (name for node in nodes for name in ex.names(node))
    read = closure(said, lambda name: ex.names(node) if (node := behind.get(name)) else ())
    for name, place, _ in declared:
        if name not in read and place is not None and place.source is source:
            message, hint = f"nothing depends on `{name}`{where}", "use it, or remove it"
            yield _warning("W007", message, place, hint)


# ------------------------------------------------------------------------------- W008: changes


def _numbered(program: Program, network: Network) -> Iterator[Problem]:
    """Rows of the base that a variant knows by their numbers alone."""
    yield from program.spec.doubts


# ------------------------------------------------------------------ W009 to W012: for nothing


def _doubts(program: Program, network: Network) -> Iterator[Problem]:
    """What the file itself says, and not one that it extends."""
    found = (problem for check in doubts.CHECKS for problem in check(program, network))
    source = _own_source(program)
    yield from (problem for problem in found if problem.place.source is source)


CHECKS: tuple[Callable[[Program, Network], Iterator[Problem]], ...] = (
    _unusual,
    _strides_at_each_repeat,
    _residuals_lost,
    _single_cells,
    _many_channels,
    _far_reaching,
    _unread,
    _numbered,
    _doubts,
)
