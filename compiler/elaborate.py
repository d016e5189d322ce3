"""Program to network: every number worked out, every shape known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from archc.compiler import expressions as ex
from archc.compiler.bind import Program, RowTemplate, substitute
from archc.compiler.expressions import Node, Value
from archc.compiler.interface import called_channels, resolved, spellable
from archc.compiler.ir import (
    Block,
    Body,
    Call,
    Cost,
    Invoke,
    Network,
    Op,
    Parameter,
    Row,
    Tensor,
    Use,
)
from archc.compiler.problems import Invalid, Place, Problem, SpecError

MAX_ELEMENTS = 2**36
"""A single value of more elements than this is a mistake."""
MAX_OPS = 2**20

Defaults = Mapping[str, Mapping[str, Value]]
Settings = Mapping[str, tuple[Value, Place]]


class Blame(Exception):
    """An `Invalid` on its way out of nested blocks.

    `parameter` is the parameter of the enclosing block whose value is at fault, if one is; `place`
    is the innermost place.
    """

    def __init__(self, invalid: Invalid, place: Place, parameter: str | None = None) -> None:
        self.invalid, self.place, self.parameter = invalid, place, parameter


def elaborate(program: Program, settings: Settings) -> tuple[Network | None, list[Problem]]:
    """The network that `program` is with `settings`, or what does not work out about it."""
    spec = program.spec
    assert spec.input is not None
    assert spec.name is not None
    problems: list[Problem] = []
    scope = _parameters(program.parameters, settings, problems)
    defaults = {} if problems else _defaults(program, scope, problems)
    if problems:
        return None, problems
    kept = {p.name for p in program.parameters if p.keep}
    source = Tensor(spec.input.channels, spec.input.height, spec.input.width)
    elaborator = _elaborator(tuple((name, tuple(v.items())) for name, v in defaults.items()))
    rows = _Rows(elaborator, scope, kept, source, problems)
    for template in program.rows:
        rows.add(template)
    if not rows.rows and not problems:
        hint = "at least one `when` must hold"
        place = spec.key_place("network")
        problems.append(Problem("E011", "every row of the network is left out", place, hint))
    if problems or rows.output is None:
        return None, problems
    parameters = tuple(
        replace(p, default=ex.Literal(scope[p.name], spec.place))
        for p in program.parameters
        if p.keep
    )
    doc = " ".join((spec.source or spec.doc).split())
    changed = tuple(p.name for p in program.parameters if _differs(p, scope))
    network = Network(
        str(spec.name), doc, scope, changed, parameters, source, tuple(rows.rows), rows.output,
        defaults,
    )  # fmt: skip
    return network, problems


def _parameters(
    parameters: Iterable[Parameter], settings: Settings, problems: list[Problem]
) -> dict[str, Value]:
    """The network's parameters: as set, or else their defaults, in order."""
    scope: dict[str, Value] = {}
    for parameter in parameters:
        assert parameter.place is not None
        place = parameter.place
        try:
            if parameter.name in settings:
                value, place = settings[parameter.name]
            elif parameter.default is not None:
                value, place = parameter.default.evaluate(scope), parameter.default.place
            elif parameter.required:
                hint = "give it a `default`, or set it"
                raise Invalid("E033", f"the parameter `{parameter.name}` has no value", hint)
            else:
                value = None
            scope[parameter.name] = parameter.take(value)
        except Invalid as invalid:
            problems.append(invalid.at(place))
        except SpecError as error:
            problems.extend(error.problems)
        except KeyError:
            pass  # it depends on a parameter whose own problem is reported
    return scope


def _differs(parameter: Parameter, scope: Mapping[str, Value]) -> bool:
    """Whether the parameter has another value than it has where nothing is set."""
    default = parameter.default
    try:
        usual = None if default is None else parameter.take(default.evaluate(scope))
    except (Invalid, SpecError):
        return True
    return usual != scope[parameter.name]


def _defaults(
    program: Program, scope: Mapping[str, Value], problems: list[Problem]
) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    kept = {p.name for p in program.parameters if p.keep}
    for target_name, given in program.defaults.items():
        target = program.target(target_name)
        found[target_name] = {}
        for name, node in given.items():
            try:
                _check_known(node, kept, "a default")
                value = target.parameter[name].take(node.evaluate(scope))
                found[target_name][name] = value
            except Invalid as invalid:
                problems.append(invalid.at(node.place))
            except SpecError as error:
                problems.extend(error.problems)
    return found


def _names(node: Node) -> set[str]:
    return {n.id for n in ex.walk(node) if isinstance(n, ex.Name)}


def _check_known(node: Node, kept: set[str], what: str, place: Place | None = None) -> None:
    """Raises `SpecError` (E024) where `node`, which gives `what`, mentions a kept parameter."""
    for name in sorted(_names(node) & kept):
        message = f"`{name}` stays an argument of the model, so {what} cannot depend on it"
        hint = f"remove `keep: true` from `{name}`"
        raise SpecError([Problem("E024", message, place or node.place, hint)])


class _Rows:
    """Builds the rows one by one. After one that fails, the others' arguments are still checked."""

    def __init__(
        self,
        elaborator: _Elaborator,
        scope: Mapping[str, Value],
        kept: set[str],
        source: Tensor,
        problems: list[Problem],
    ) -> None:
        self.elaborator = elaborator
        self.scope = scope
        self.kept = kept
        self.output: Tensor | None = source
        self.channels: Node | None = None
        """The channels of the last output, where they depend on a kept parameter."""
        self.problems = problems
        self.rows: list[Row] = []
        self.counts: dict[str, int] = {}
        self.ops = 0

    def add(self, template: RowTemplate) -> None:
        scope: dict[str, object] = {**self.scope}
        if self.output is not None:
            scope[".x"] = self.output
        try:
            if template.when is not None and not self.condition(template.when, scope):
                return
            values = self.arguments(template, scope)
        except KeyError:
            return  # it needs the channels of a row that failed
        except SpecError as error:
            self.problems.extend(error.problems)
            self.output = None
            return
        if values is None or self.output is None:
            self.output = None
            return
        try:
            body = self.elaborator.call(template.target, values, (self.output,))
            self.keep(template, body)
            return
        except Blame as blame:
            self.problems.append(_at_row(blame, template))
        except Invalid as invalid:
            at_op = Blame(invalid, template.place, invalid.about)
            self.problems.append(_at_row(at_op, template))
        except SpecError as error:
            self.problems.extend(error.problems)
        self.output = None

    def condition(self, when: Node, scope: Mapping[str, object]) -> bool:
        self.check_known(when, "`when`")
        return bool(when.evaluate(scope))

    def keep(self, template: RowTemplate, body: Body) -> None:
        self.ops = check_ops(self.ops + self.elaborator.ops[body])
        spelled = self.spelled(template)
        name = template.name
        if template.group:
            index = self.counts.get(template.group, 0)
            self.counts[template.group] = index + 1
            name = f"{template.group}.{index}"
        call = Call(name, body, (len(self.rows) - 1,))
        self.rows.append(Row(call, spelled, self.channels, template.group, template.place))
        self.output = body.output
        self.channels = self.output_channels(template, spelled)

    def arguments(
        self, template: RowTemplate, scope: Mapping[str, object]
    ) -> dict[str, Value] | None:
        values: dict[str, Value] | None = {}
        for name, node in template.arguments.items():
            try:
                value = template.target.parameter[name].take(node.evaluate(scope))
                if values is not None:
                    values[name] = value
            except Invalid as invalid:
                elsewhere = template.group and node.place.line != template.place.line
                related = (("for this row", template.place),) if elsewhere else ()
                self.problems.append(invalid.at(node.place, *related))
                values = None
            except SpecError as error:
                self.problems.extend(error.problems)
                values = None
        return values

    def check_known(self, node: Node, what: str) -> None:
        """Raises `SpecError` (E024) where `node` or the channels it mentions are not known yet."""
        _check_known(node, self.kept, what)
        if self.channels is not None and any(isinstance(n, ex.Attribute) for n in ex.walk(node)):
            _check_known(self.channels, self.kept, what, node.place)

    def spelled(self, template: RowTemplate) -> dict[str, Node]:
        """The arguments that mention a kept parameter, with all else in them folded."""
        if self.channels is None and not template.mentioned & self.kept:
            return {}
        target = template.target
        fixed = resolved(target) if isinstance(target, Block) else frozenset()
        others = {
            name: ex.Literal(value, template.place)
            for name, value in self.scope.items()
            if name not in self.kept
        }
        found = {}
        for name, node in template.arguments.items():
            if name in fixed:
                self.check_known(node, f"a `let` of `{target.name}`")
            written = target.parameter[name].fixed or not spellable(node)
            if written or not _names(node) & self.kept:
                self.check_known(node, f"`{name}`")
            else:
                found[name] = substitute(node, others)
        if self.channels is not None and isinstance(target, Block) and target.lets:
            what = f"a `let` of `{target.name}`"
            _check_known(self.channels, self.kept, what, template.place)
        return found

    def output_channels(self, template: RowTemplate, spelled: Mapping[str, Node]) -> Node | None:
        if self.channels is None and not spelled:
            return None
        here = self.channels or ex.Name("*", template.place)
        channels = called_channels(template.target, spelled, (here,))
        if channels is None or not _names(channels) & self.kept:
            return None
        return channels


def _at_row(blame: Blame, template: RowTemplate) -> Problem:
    """The problem at the user's cell that caused it, or else at the row."""
    cell = template.arguments.get(blame.parameter or "")
    place = cell.place if cell is not None else template.place
    related = () if blame.place is template.place else (("in its block", blame.place),)
    return blame.invalid.at(place, *related)


MAX_BODIES = 2**15
"""Calls that are remembered before all are forgotten."""


@lru_cache(maxsize=16)
def _elaborator(defaults: tuple[tuple[str, tuple[tuple[str, Value], ...]], ...]) -> _Elaborator:
    return _Elaborator({name: dict(values) for name, values in defaults})


class _Elaborator:
    """Works out calls. Equal calls are worked out once, for all networks of equal defaults."""

    def __init__(self, defaults: Defaults) -> None:
        self.defaults = defaults
        self.bodies: dict[tuple[object, ...], Body] = {}
        self.ops: dict[Body, int] = {}
        """How many ops a body comes to."""
        self.base: dict[Op | Block, dict[str, object]] = {}

    def call(
        self, target: Op | Block, given: Mapping[str, Value], inputs: tuple[Tensor, ...]
    ) -> Body:
        """The body of a call. `given` are checked arguments. Raises `Blame`."""
        arguments = {**self.base_of(target), **given}
        key = (target, tuple(arguments.values()), inputs)
        body = self.bodies.get(key)
        if body is None:
            if len(self.bodies) > MAX_BODIES:
                self.bodies.clear()
            make = self.block if isinstance(target, Block) else self.op
            body = self.bodies[key] = make(target, arguments, inputs)  # type: ignore[arg-type]
            self.ops[body] = check_ops(sum(self.ops[call.body] for call in body.calls) or 1)
        return body

    def base_of(self, target: Op | Block) -> Mapping[str, Value]:
        """Every parameter's value where a call gives none, in order of declaration."""
        base = self.base.get(target)
        if base is None:
            own = self.defaults.get(target.name, {})
            base = {}
            for parameter in target.parameters:
                value = own.get(parameter.name)
                if parameter.name not in own and parameter.default is not None:
                    value = parameter.take(parameter.default.evaluate(base))
                base[parameter.name] = value
            self.base[target] = base
        return base  # type: ignore[return-value]

    def op(self, op: Op, arguments: Mapping[str, Value], inputs: tuple[Tensor, ...]) -> Body:
        output = op.shape(arguments, *inputs)
        if output.size > MAX_ELEMENTS:
            raise Invalid("E044", f"`{op.name}` gives {output}, more than any network needs")
        return Body(op, arguments, inputs, output, op.cost(arguments, output, *inputs))

    def block(
        self, block: Block, arguments: Mapping[str, Value], inputs: tuple[Tensor, ...]
    ) -> Body:
        values = dict(arguments)
        scope = _Scope(values, dict(zip(block.inputs, inputs, strict=True)))
        for name, node in block.lets:
            try:
                scope[name] = values[name] = node.evaluate(scope)
            except SpecError as error:
                raise _blame(error) from None
        body = _BodyBuilder(self, block, scope)
        for step in block.steps:
            body.step(step.name, step.call, step.when)
        result = block.steps[-1].name
        output = scope.tensor(result)
        return Body(block, values, inputs, output, Cost(), tuple(body.calls), body.feeds[result])


class _Scope(dict[str, object]):
    """Values by name, and tensors by name after a dot."""

    def __init__(self, values: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> None:
        super().__init__(values)
        for name, tensor in tensors.items():
            self[f".{name}"] = tensor

    def tensor(self, name: str) -> Tensor:
        return self[f".{name}"]  # type: ignore[return-value]


def check_ops(count: int) -> int:
    if count > MAX_OPS:
        raise Invalid("E044", f"this comes to more than {MAX_OPS:,} ops")
    return count


def _blame(error: SpecError) -> Blame:
    first = error.problems[0]
    return Blame(Invalid(first.code, first.message, first.hint), first.place)


class _BodyBuilder:
    def __init__(self, elaborator: _Elaborator, block: Block, scope: _Scope) -> None:
        self.elaborator = elaborator
        self.block = block
        self.scope = scope
        self.calls: list[Call] = []
        self.feeds = {name: -1 - index for index, name in enumerate(block.inputs)}

    def step(self, name: str, call: Invoke | Use, when: Node | None) -> None:
        assert isinstance(call, Invoke)
        if when is None or self.condition(when):
            tensor, feed = self.invoke(call)
        else:
            while isinstance(call, Invoke):
                call = call.operands[0]
            tensor, feed = self.scope.tensor(call.name), self.feeds[call.name]
        self.scope[f".{name}"], self.feeds[name] = tensor, feed

    def condition(self, when: Node) -> bool:
        try:
            return bool(when.evaluate(self.scope))
        except SpecError as error:
            raise _blame(error) from None

    def invoke(self, invoke: Invoke) -> tuple[Tensor, int]:
        tensors, feeds = [], []
        for operand in invoke.operands:
            if isinstance(operand, Invoke):
                tensor, feed = self.invoke(operand)
            else:
                tensor, feed = self.scope.tensor(operand.name), self.feeds[operand.name]
            tensors.append(tensor)
            feeds.append(feed)
        arguments = self.arguments(invoke)
        try:
            body = self.elaborator.call(invoke.target, arguments, tuple(tensors))
        except Invalid as invalid:
            cause = self.parameter(dict(invoke.arguments).get(invalid.about or ""))
            raise Blame(_named(invalid, invoke, tensors), invoke.place, cause) from None
        except Blame as blame:
            raise self.outward(blame, invoke) from None
        self.calls.append(Call(invoke.name, body, tuple(feeds)))
        return body.output, len(self.calls) - 1

    def arguments(self, invoke: Invoke) -> dict[str, Value]:
        values = {}
        for name, node in invoke.arguments:
            try:
                values[name] = invoke.target.parameter[name].take(node.evaluate(self.scope))
            except Invalid as invalid:
                raise Blame(invalid, node.place, self.parameter(node)) from None
            except SpecError as error:
                raise _blame(error) from None
        return values

    def parameter(self, node: Node | None) -> str | None:
        """The parameter of this block that `node` hands on, directly or through one `let`."""
        if isinstance(node, ex.Name) and node.id in self.block.parameter:
            return node.id
        return None

    def outward(self, blame: Blame, invoke: Invoke) -> Blame:
        node = dict(invoke.arguments).get(blame.parameter or "")
        return Blame(blame.invalid, blame.place, self.parameter(node))


def _named(invalid: Invalid, invoke: Invoke, tensors: list[Tensor]) -> Invalid:
    """`invalid` with the operands' names and shapes, where there are several."""
    if len(tensors) < 2 or invalid.hint:
        return invalid
    said = ", ".join(
        f"`{_spoken(operand)}` is {tensor} at stride {tensor.stride}"
        for operand, tensor in zip(invoke.operands, tensors, strict=True)
    )
    return Invalid(invalid.code, invalid.message, said)


def _spoken(operand: Invoke | Use) -> str:
    return operand.name if isinstance(operand, Use) else f"{operand.target.name}(...)"
