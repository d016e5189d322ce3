"""Program to network: every number worked out, every shape known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from archc.compiler.bind.program import DILATING, SIDES, Program
from archc.compiler.bind.settings import Settings
from archc.compiler.elaborate.dilating import unreached
from archc.compiler.elaborate.elaborator import elaborator_for
from archc.compiler.elaborate.initial import inherited, vague_fans
from archc.compiler.elaborate.origins import Origins
from archc.compiler.elaborate.outputs import misused, settled, unused_inputs
from archc.compiler.elaborate.pins import varying
from archc.compiler.elaborate.rows import Rows, check_known
from archc.compiler.ir.network import (
    Input,
    Network,
    OutputStride,
    Parameter,
    Row,
    Tensor,
    bodies_of,
)
from archc.compiler.ir.pruning import serving
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Definition, Node, Value
from archc.compiler.language.problems import Blame, Catching, Enough, Invalid, Problem
from archc.compiler.language.values import show
from archc.compiler.spec.variants import from_extended


def elaborate(program: Program, settings: Settings) -> tuple[Network | None, list[Problem]]:
    """The network that `program` is with `settings`, or what does not work out about it."""
    values = _Values(program, settings)
    network = None
    with suppress(Enough):
        for work_out in (
            values.parameters,
            values.requirements,
            values.lets,
            values.output_stride,
            values.inputs,
            values.defaults,
        ):
            if not values.problems:
                work_out()
        network = None if values.problems else _network(values, _rows(values))
        values.check_serving(network)
        if network is not None and not values.problems:
            values.origins.tell(vague_fans(network))
    if values.problems:
        return None, from_extended(program.spec, values.problems)
    return network, []


def _rows(values: _Values) -> Rows:
    spec = values.program.spec
    elaborator = elaborator_for(values.given, values.limit)
    inputs = {name: own.tensor for name, own in values.taken.items()}
    rows = Rows(elaborator, values.program, values.known, values.origins, inputs)
    for template in values.program.rows:
        rows.add(template)
    if not rows.rows and not values.problems:
        message = "every row of the network is left out"
        hint = "see the `when` and `repeat` of each"
        values.origins.report("E011", message, spec.key_place("network"), hint)
    if not values.problems:
        values.origins.tell(misused(rows.rows))
        values.origins.tell(unused_inputs(spec, rows.rows))
        values.origins.tell(varying(rows.rows))
        values.check_reached(rows.rows)
    return rows


def _network(values: _Values, rows: Rows) -> Network | None:
    spec, parameters = values.program.spec, values.program.parameters
    output = rows.outputs[-1].tensor
    if output is None:
        return None
    mentioned = rows.mentioned()
    kept = tuple(
        replace(p, default=ex.Literal(values.settings[p.name], spec.place))
        for p in parameters
        if p.keep and p.name in mentioned
    )
    doc = " ".join((spec.source or spec.doc).split())
    changed = tuple(p.name for p in parameters if p.name in values.set and values.differs(p))
    return Network(
        str(spec.name), doc, values.settings, changed, kept, values.taken, settled(rows.rows),
        output, values.given, values.limit,
    )  # fmt: skip


class _Values:
    """What a network's values come to, and what is wrong with them."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self.program = program
        self.set = settings
        self.origins = Origins(program, settings)
        self.kept = program.kept
        self.settings: dict[str, Value] = {}
        """The parameters: as set, or else their defaults."""
        self.known: dict[str, Value] = {}
        """Parameters and `let`s."""
        self.given: dict[str, dict[str, Value]] = {}
        """What `defaults` gives, by block or op, and initializers that blocks leave to it."""
        self.taken: dict[str, Input] = {}
        """The inputs, by name."""
        self.limit: OutputStride | None = None
        self.problems = self.origins.problems

    def parameters(self) -> None:
        for parameter in self.program.parameters:
            name, place, default = parameter.name, parameter.place, parameter.default
            assert place is not None
            if name in self.set:
                self.settings[name] = self.set[name][0]
                place = self.set[name][1]
            elif default is not None:
                with self.origins.tracing(default, ("declared here", place)):
                    self.settings[name] = parameter.take(default.evaluate(self.settings))
            elif parameter.required:
                message = f"the parameter `{name}` has no value"
                self.origins.report("E033", message, place, "give it a `default`, or set it")
            else:
                self.settings[name] = None
            if parameter.keep and isinstance(self.settings.get(name), Definition):
                message = f"`{name}` is kept, so it cannot be the block `{self.settings[name]}`"
                hint = "name a plain activation, or do not keep the parameter"
                self.origins.report("E049", message, place, hint)
        self.known = dict(self.settings)

    def unkept(self, node: Node, what: str) -> Catching:
        """Reports what goes wrong with `node`, which gives `what`, at its cause. Raises `SpecError`
        where a kept parameter decides it."""
        check_known(node, self.kept.keys(), what)
        return self.origins.tracing(node)

    def requirements(self) -> None:
        """Reports each requirement that does not hold, at the value of the first name in it."""
        for node in self.program.requirements:
            with self.origins.blaming(node.place), self.unkept(node, "a requirement"):
                if not ex.holds(node.evaluate(self.settings)):
                    self.origins.tell([self.broken(node)])

    def broken(self, node: Node) -> Problem:
        mentioned = ex.names(node)
        values = [f"`{name}` is {show(self.settings[name])}" for name in mentioned]
        message = f"`{ex.python(node, _plain)}` does not hold: {', '.join(values)}"
        given = {p.name: p.default.place for p in self.program.parameters if p.default is not None}
        beside = [
            given[n] for n in mentioned if n in given and given[n].source is node.place.source
        ]
        changed = [self.origins.places[name] for name in mentioned if name in self.origins.places]
        place = next(iter((*changed, *beside, node.place)))
        others = [("given here", given[n]) for n in mentioned if n in given and place is node.place]
        return Problem("E046", message, place).also(("required here", node.place), *others)

    def lets(self) -> None:
        for name, node in self.program.lets:
            with self.origins.blaming(node.place), self.unkept(node, f"`{name}`"):
                self.known[name] = ex.whole(node.evaluate(self.known))

    def inputs(self) -> None:
        said = self.program.spec.given
        for name, keys in self.program.inputs.items():
            self.taken[name] = self.input(keys, str(said[name].doc or ""))

    def input(self, keys: Mapping[str, Node], doc: str) -> Input:
        found: dict[str, Any] = {}
        for name, node in keys.items():
            with self.origins.blaming(node.place), self.unkept(node, f"the input's `{name}`"):
                value = node.evaluate(self.known)
                found[name] = SIDES[name].take(value) if name in SIDES else _range(value)
        pair = found.pop("range", None)
        dilation = None if self.limit is None else (1, 1)
        return Input(Tensor(**{"channels": 1, **found}, dilation=dilation), pair, doc)

    def defaults(self) -> None:
        for target_name, given in self.program.defaults.items():
            target = self.program.target(target_name)
            found = self.given[target_name] = {}
            for name, node in given.items():
                with self.origins.blaming(node.place), self.unkept(node, "a default"):
                    found[name] = target.parameter[name].take(node.evaluate(self.known))
        for block in self.program.blocks.values():
            if own := inherited(block, self.given):
                self.given[block.name] = {**self.given.get(block.name, {}), **own}

    def output_stride(self) -> None:
        found: dict[str, Value] = {}
        for name, node in self.program.dilating.items():
            with self.origins.blaming(node.place), self.unkept(node, f"`{name}`"):
                found[name] = DILATING[name].take(node.evaluate(self.known))
        stride = found.get("output_stride")
        if isinstance(stride, int):
            self.limit = OutputStride(stride, bool(found.get("dilate_strided")))

    def check_reached(self, rows: Sequence[Row]) -> None:
        """Reports an output stride that changes nothing, as no row comes to it."""
        if self.limit is not None:
            invalid = unreached(self.limit, bodies_of(row.call.body for row in rows))
            if invalid is not None:
                with self.origins.tracing(self.program.dilating["output_stride"]):
                    raise invalid

    def check_serving(self, network: Network | None) -> None:
        """Reports a block that serves as an activation, and is dilated where it is called: its code
        would be told there what an activation cannot be told."""
        if network is None or self.limit is None:
            return
        for block in serving(network):
            called = bodies_of(body for body in network.bodies if body.target is block)
            if any(body.written is not None for body in called):
                message = f"`{block.name}` serves as an activation here, and is dilated elsewhere"
                hint = "write a block of another name for one of them"
                with self.origins.tracing(self.program.dilating["output_stride"]):
                    raise Invalid("E052", message, hint)

    def differs(self, parameter: Parameter) -> bool:
        """Whether the parameter has another value than it has where nothing is set."""
        default = parameter.default
        try:
            usual = None if default is None else parameter.take(default.evaluate(self.settings))
        except Blame:
            return True
        return usual != self.settings[parameter.name]


def _range(value: Value) -> Value:
    """`value` if it is a smallest and a largest number, or none. Raises `Invalid` (E034)."""
    pair = isinstance(value, tuple) and len(value) == 2 and value[0] < value[1]
    if pair or value is None:
        return value
    message = f"`range` is `{show(value)}`; it must be a smallest and a largest number"
    raise Invalid("E034", message, "write `[-1, 1]`, say")


def _plain(node: Node) -> str:
    return node.id if isinstance(node, ex.Name) else show(node.evaluate({}))
