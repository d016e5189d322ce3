"""Program to network: every number worked out, every shape known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from archc.compiler import expressions as ex
from archc.compiler.bind import Program
from archc.compiler.calls import elaborator_for
from archc.compiler.expressions import Value
from archc.compiler.ir import Network, Parameter, Tensor
from archc.compiler.problems import Invalid, Place, Problem, SpecError
from archc.compiler.rows import Rows, check_known
from archc.compiler.values import show

Settings = Mapping[str, tuple[Value, Place]]


def elaborate(program: Program, settings: Settings) -> tuple[Network | None, list[Problem]]:
    """The network that `program` is with `settings`, or what does not work out about it."""
    spec = program.spec
    assert spec.input is not None
    problems: list[Problem] = []
    scope = _parameters(program.parameters, settings, problems)
    if not problems:
        _check_requirements(program, settings, scope, problems)
    known = {**scope, **({} if problems else _lets(program, scope, problems))}
    defaults = {} if problems else _defaults(program, known, problems)
    if problems:
        return None, problems
    kept = {p.name for p in program.parameters if p.keep}
    source = Tensor(spec.input.channels, spec.input.height, spec.input.width)
    elaborator = elaborator_for(tuple((name, tuple(v.items())) for name, v in defaults.items()))
    rows = Rows(elaborator, known, kept, source, problems)
    for template in program.rows:
        rows.add(template)
    if not rows.rows and not problems:
        hint = "at least one `when` must hold"
        place = spec.key_place("network")
        problems.append(Problem("E011", "every row of the network is left out", place, hint))
    return (None if problems else _network(program, scope, defaults, rows)), problems


def _network(
    program: Program,
    scope: Mapping[str, Value],
    defaults: Mapping[str, Mapping[str, Value]],
    rows: Rows,
) -> Network:
    spec = program.spec
    source, output = rows.outputs[0].tensor, rows.outputs[-1].tensor
    assert source is not None
    assert output is not None
    kept = tuple(
        replace(p, default=ex.Literal(scope[p.name], spec.place))
        for p in program.parameters
        if p.keep
    )
    doc = " ".join((spec.source or spec.doc).split())
    changed = tuple(p.name for p in program.parameters if _differs(p, scope))
    every = tuple(rows.rows)
    return Network(str(spec.name), doc, scope, changed, kept, source, every, output, defaults)


def _check_requirements(
    program: Program, settings: Settings, scope: Mapping[str, Value], problems: list[Problem]
) -> None:
    """Reports each requirement that does not hold, at the value of the first name in it."""
    parameters = {p.name: p for p in program.parameters}
    for node in program.requirements:
        try:
            if node.evaluate(scope):
                continue
        except SpecError as error:
            problems.extend(error.problems)
            continue
        mentioned = [n.id for n in ex.walk(node) if isinstance(n, ex.Name)]
        said = ", ".join(f"`{name}` is {show(scope[name])}" for name in dict.fromkeys(mentioned))
        place = node.place
        if mentioned:
            default = parameters[mentioned[0]].default
            place = default.place if default is not None else place
            place = settings[mentioned[0]][1] if mentioned[0] in settings else place
        text = ex.python(node, _plain)
        message = f"`{text}` does not hold: {said}"
        related = (("required here", node.place),)
        problems.append(Problem("E046", message, place, None, related))


def _plain(node: ex.Node) -> str:
    return node.id if isinstance(node, ex.Name) else show(node.evaluate({}))


def _lets(
    program: Program, scope: Mapping[str, Value], problems: list[Problem]
) -> dict[str, Value]:
    """The values of the network's `let`s, in order."""
    found: dict[str, Value] = {}
    kept = [p.name for p in program.parameters if p.keep]
    for name, node in program.lets:
        try:
            check_known(node, kept, f"`{name}`")
            found[name] = node.evaluate({**scope, **found})
        except SpecError as error:
            problems.extend(error.problems)
        except KeyError:
            pass  # it depends on a `let` whose own problem is reported
    return found


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
                check_known(node, kept, "a default")
                value = target.parameter[name].take(node.evaluate(scope))
                found[target_name][name] = value
            except Invalid as invalid:
                problems.append(invalid.at(node.place))
            except SpecError as error:
                problems.extend(error.problems)
    return found
