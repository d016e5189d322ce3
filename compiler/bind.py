"""Spec to program: every name resolved to what it names, every argument to its parameter.

Nothing is worked out here. What can be said of a spec without its numbers is said here, all of it
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from archc.compiler import expressions as ex
from archc.compiler.catalogue import CATALOGUE
from archc.compiler.expressions import Node
from archc.compiler.ir import Block, Invoke, Op, Parameter, Step, Use
from archc.compiler.load import Files
from archc.compiler.names import check_module_name
from archc.compiler.problems import (
    Invalid,
    Place,
    Problem,
    SpecError,
    choices,
    nearest,
    suggest,
)
from archc.compiler.reader import Mapping as Located
from archc.compiler.reader import Scalar
from archc.compiler.spec import (
    RESERVED,
    BlockSpec,
    CellsSpec,
    ParameterSpec,
    RowSpec,
    Spec,
    TableSpec,
)
from archc.compiler.values import KINDS, Type

ATTRIBUTES = ("channels", "stride")
MAX_NESTING = 32
"""Blocks within blocks beyond this are refused."""
REPEAT = Parameter("repeat", Type("int"), min=1, max=1000)
ANY = Type("any", optional=True)
"""The type of an expression of which nothing is expected."""
_OR = {"activation": ", or `none`", "padding": ", or `[top, bottom, left, right]`"}
"""What some kinds take beside words."""


@dataclass(frozen=True, eq=False)
class RowTemplate:
    """A row before its numbers are known."""

    name: str
    group: str | None
    """Where rows go by number: the table, or the row that is repeated."""
    target: Op | Block
    arguments: Mapping[str, Node]
    sources: tuple[Node, ...] | None
    """What feeds it: rows by name, or by how far back they are; None for those just above."""
    repeat: Node | None
    when: Node | None
    place: Place

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Names in the arguments."""
        nodes = (n for node in self.arguments.values() for n in ex.walk(node))
        return frozenset(n.id for n in nodes if isinstance(n, ex.Name))


@dataclass(frozen=True, eq=False)
class Program:
    """A network with all names resolved, before its parameters have values."""

    spec: Spec
    parameters: tuple[Parameter, ...]
    lets: tuple[tuple[str, Node], ...]
    requirements: tuple[Node, ...]
    defaults: Mapping[str, Mapping[str, Node]]
    blocks: Mapping[str, Block]
    rows: tuple[RowTemplate, ...]

    def target(self, name: str) -> Op | Block:
        return CATALOGUE[name] if name in CATALOGUE else self.blocks[name]


def bind(files: Files) -> tuple[Program | None, list[Problem]]:
    """The program that the files say, and every problem of names and arguments in them."""
    assert files.spec is not None
    return _Binder(files.spec, files.blocks).program()


@dataclass(frozen=True)
class _Scope:
    """What a name may mean at one place: values by name with their type, and tensors."""

    values: Mapping[str, Type]
    tensors: Iterable[str] = ()
    hint: str | None = None
    """What to say where neither a name nor one like it is known."""

    def names(self) -> list[str]:
        return [*self.values, *self.tensors]


CONSTANT = _Scope({}, hint="a block's defaults are constants; work it out under `let`")


class _Binder:
    def __init__(self, spec: Spec, blocks: Mapping[str, BlockSpec]) -> None:
        self.spec = spec
        self.specs = blocks
        self.blocks: dict[str, Block] = {}
        self.depths: dict[Block | Op, int] = {}
        self.pending: list[str] = []
        self.row_names: dict[str, Place] = {}
        self.problems: list[Problem] = []

    def report(
        self,
        code: str,
        message: str,
        place: Place,
        hint: str | None = None,
        *related: tuple[str, Place],
    ) -> None:
        self.problems.append(Problem(code, message, place, hint, related))

    def program(self) -> tuple[Program | None, list[Problem]]:
        spec = self.spec
        for name in self.specs:
            if name in CATALOGUE:
                assert isinstance(name, Scalar)
                message = f"`{name}` is an op of the catalogue already"
                self.report("E015", message, name.place, "rename the block")
            self.block(name)
        scope: dict[str, Type] = {}
        parameters = tuple(self.parameters(spec.params, scope))
        requirements = tuple(self.value(node, _Scope(scope)) for node in spec.require)
        lets = tuple(self.lets(spec.let, scope))
        defaults = self.defaults(_Scope(scope))
        rows = tuple(self.rows(_Scope(scope, ("x",))))
        if self.problems:
            return None, self.problems
        return Program(spec, parameters, lets, requirements, defaults, self.blocks, rows), []

    # ------------------------------------------------------------------------ parameters

    def parameters(
        self, specs: Mapping[str, ParameterSpec], scope: dict[str, Type], constant: bool = False
    ) -> Iterator[Parameter]:
        """The parameters in order; a default may mention those above it unless it is `constant`."""
        for name, spec in specs.items():
            assert isinstance(name, Scalar)
            default = spec.default
            parameter = Parameter(
                str(name), spec.type, None, spec.min, spec.max, spec.above, spec.below,
                spec.keep, False, str(spec.doc), name.place,
            )  # fmt: skip
            if default is not None:
                default = self.argument(parameter, default, CONSTANT if constant else _Scope(scope))
            scope[str(name)] = spec.type
            yield replace(parameter, default=default)

    def lets(self, nodes: Mapping[str, Node], scope: dict[str, Type]) -> Iterator[tuple[str, Node]]:
        """The network's `let`s in order; each may mention those above it."""
        for name, node in nodes.items():
            assert isinstance(name, Scalar)
            if name in scope:
                hint = "call it something else"
                self.report("E015", f"`{name}` is a parameter or a `let` already", name.place, hint)
            yield str(name), self.value(node, _Scope(scope))
            scope[str(name)] = ANY

    def defaults(self, scope: _Scope) -> dict[str, dict[str, Node]]:
        found: dict[str, dict[str, Node]] = {}
        for name, given in self.spec.defaults.items():
            assert isinstance(name, Scalar)
            target = self.target(name, name.place)
            if target is not None:
                found[str(name)] = dict(self.arguments(target, given.items(), scope))
        return found

    # ---------------------------------------------------------------------------- values

    def value(self, node: Node, scope: _Scope, expected: Type = ANY) -> Node:
        """`node` with its words given their meaning; reports names that mean nothing."""
        match node:
            case ex.Name():
                return self.name(node, scope, expected)
            case ex.Attribute():
                self.attribute(node, scope)
                return node
            case ex.Unary():
                return replace(node, operand=self.value(node.operand, scope))
            case ex.Binary():
                left, right = (self.value(side, scope) for side in (node.left, node.right))
                return replace(node, left=left, right=right)
            case ex.Logic():
                left = self.value(node.left, scope, expected)
                return replace(node, left=left, right=self.value(node.right, scope, expected))
            case ex.Compare():
                kind = self.compared(node, scope)
                left, right = (self.value(side, scope, kind) for side in (node.left, node.right))
                return replace(node, left=left, right=right)
            case ex.Conditional():
                return ex.Conditional(
                    self.value(node.condition, scope),
                    self.value(node.then, scope, expected),
                    self.value(node.otherwise, scope, expected),
                    node.place,
                )
            case ex.Items():
                return replace(node, items=tuple(self.value(item, scope) for item in node.items))
            case ex.Call():
                return self.function(node, scope)
        return node

    def name(self, node: ex.Name, scope: _Scope, expected: Type) -> Node:
        kind = KINDS.get(expected.kind)
        if node.id in scope.values:
            return node
        if node.id in scope.tensors:
            hint: str | None = f"`{node.id}.channels` is its number of channels"
            self.report("E038", f"`{node.id}` is a tensor, not a number", node.place, hint)
        elif kind and node.id in kind.words:
            return ex.Literal(node.id, node.place)
        elif kind and kind.words:
            code = "E031" if expected.kind == "activation" else "E021"
            message = f"unknown {expected.kind.replace('_', ' ')} `{node.id}`"
            hint = suggest(node.id, [*kind.words, *scope.values])
            hint = hint or choices(kind.words) + _OR.get(expected.kind, "")
            self.report(code, message, node.place, hint)
        else:
            hint = suggest(node.id, [*scope.names(), *ex.WORDS])
            known = ("true", "false") if expected.kind == "bool" else scope.values
            hint = hint or (choices(known) if known else scope.hint)
            self.report("E021", f"unknown name `{node.id}`", node.place, hint)
        return node

    def attribute(self, node: ex.Attribute, scope: _Scope) -> None:
        if node.id not in scope.tensors:
            hint = suggest(node.id, scope.tensors)
            self.report("E021", f"no tensor is called `{node.id}` here", node.place, hint)
        elif node.field not in ATTRIBUTES:
            hint = suggest(node.field, ATTRIBUTES) or "a tensor knows `.channels` and `.stride`"
            self.report("E021", f"a tensor has no `.{node.field}`", node.place, hint)

    def compared(self, node: ex.Compare, scope: _Scope) -> Type:
        """The type of the side that is a plain name, which says what a word opposite means."""
        for side in (node.left, node.right):
            if isinstance(side, ex.Name) and side.id in scope.values:
                return scope.values[side.id]
        return ANY

    def function(self, node: ex.Call, scope: _Scope) -> Node:
        misuse = node.misuse()
        if misuse is not None:
            self.problems.append(misuse)
        return replace(node, arguments=tuple(self.value(a, scope) for a in node.arguments))

    # ------------------------------------------------------------------------- arguments

    def target(self, name: str, place: Place) -> Op | Block | None:
        if name in self.specs:
            return self.block(name, place)
        if name in CATALOGUE:
            return CATALOGUE[name]
        hint = suggest(name, [*self.specs, *CATALOGUE])
        hint = hint or "define it under `blocks`, or name the library that does under `use`"
        self.report("E030", f"unknown block or op `{name}`", place, hint)
        return None

    def argument(self, parameter: Parameter, node: Node, scope: _Scope) -> Node:
        """`node` as the value of `parameter`; a constant is worked out at once."""
        before = len(self.problems)
        node = self.value(node, scope, parameter.type)
        constant = not any(isinstance(n, ex.Name | ex.Attribute) for n in ex.walk(node))
        if constant and len(self.problems) == before:
            try:
                return ex.Literal(parameter.take(node.evaluate({})), node.place)
            except Invalid as invalid:
                self.problems.append(invalid.at(node.place))
            except SpecError as error:
                self.problems.extend(error.problems)
        return node

    def arguments(
        self, target: Op | Block, given: Iterable[tuple[str, Node]], scope: _Scope
    ) -> Iterator[tuple[str, Node]]:
        for name, node in given:
            parameter = target.parameter.get(name)
            place = name.place if isinstance(name, Scalar) else node.place
            if parameter is None:
                known = target.parameter
                hint = suggest(name, known) or (choices(known) if known else "it takes none")
                message = f"`{target.name}` has no argument `{name}`"
                related = () if place.line == node.place.line else (("given here", node.place),)
                self.report("E032", message, place, hint, *related)
            else:
                yield str(name), self.argument(parameter, node, scope)

    def check_given(
        self,
        target: Op | Block,
        given: Mapping[str, object],
        place: Place,
        header: TableSpec | None = None,
    ) -> None:
        """Reports required parameters that neither the call nor `defaults` give.

        `header` is the table of a row that is a list: what it lacks, its columns lack.
        """
        surplus = given.keys() - target.parameter.keys()
        meant = {nearest(name, target.parameter) for name in surplus}
        known = {*given, *meant, *self.spec.defaults.get(target.name, ())}
        for parameter in target.parameters:
            if not parameter.required or parameter.name in known:
                continue
            doc = f" ({parameter.doc})" if parameter.doc else ""
            message = f"`{target.name}` needs the argument `{parameter.name}`{doc}"
            if header is not None and parameter.name not in header.columns:
                hint, columns = f"add a column `{parameter.name}`", header.key_place("columns")
                self.report("E033", message, columns, hint, ("for this row", place))
            else:
                self.report("E033", message, place)

    # ---------------------------------------------------------------------------- blocks

    def block(self, name: str, place: Place | None = None) -> Block | None:
        """The bound block; binds what it calls first."""
        if name in self.blocks:
            return self.blocks[name]
        if name in self.pending:
            circle = " -> ".join([*self.pending[self.pending.index(name) :], name])
            assert place is not None
            self.report("E036", f"the block `{name}` uses itself: {circle}", place)
            return None
        if len(self.pending) == MAX_NESTING:
            self.nested_too_deeply(place)
            return None
        self.pending.append(name)
        block = self.blocks[name] = _BlockBinder(self, name, self.specs[name]).block()
        self.pending.pop()
        inner = [self.depths.get(invoke.target, 0) for _, invoke in block.invokes()]
        self.depths[block] = 1 + max(inner, default=0)
        if self.depths[block] > MAX_NESTING:
            self.nested_too_deeply(block.place)
            self.depths[block] = 0
        return block

    def nested_too_deeply(self, place: Place | None) -> None:
        assert place is not None
        self.report("E008", f"blocks nested more than {MAX_NESTING} deep", place)

    # ------------------------------------------------------------------------------ rows

    def rows(self, scope: _Scope) -> Iterator[RowTemplate]:
        for entry in self.spec.network or ():
            if isinstance(entry, TableSpec):
                yield from self.table(entry, scope)
            else:
                template = self.row(entry, entry.arguments, scope, None)
                if template is not None:
                    yield template

    def unique(self, name: str, place: Place) -> None:
        """Claims a name among the rows and tables."""
        if name in self.row_names:
            message = f"two rows or tables are called `{name}`"
            related = ("the other", self.row_names[name])
            self.report("E015", message, place, "give one a `name`", related)
        self.row_names.setdefault(name, place)

    def table(self, table: TableSpec, scope: _Scope) -> Iterator[RowTemplate]:
        columns = [str(column) for column in table.columns]
        named = "name" in columns or any(getattr(row, "name", None) for row in table.rows)
        if not named:
            self.unique(str(table.name), table.place)
        if self.bad_columns(table, columns):
            return
        rows = [self.from_cells(table, row) for row in table.rows]
        whole = [row for row in rows if row is not None]
        if self.half_named(whole):
            return
        for row in whole:
            given = self.settled(table, columns, row)
            template = self.row(row, given, scope, None if named else table)
            if template is not None:
                yield template

    def half_named(self, rows: list[RowSpec]) -> bool:
        """Reports a table of which some rows have a name: its others would have no fixed number."""
        unnamed = [row for row in rows if row.name is None]
        if unnamed and len(unnamed) < len(rows):
            message = "this row has no name, but others in its table have one"
            hint = "name every row of the table, or none"
            self.report("E012", message, unnamed[0].place, hint)
        return bool(unnamed) and len(unnamed) < len(rows)

    def bad_columns(self, table: TableSpec, columns: list[str]) -> bool:
        before = len(self.problems)
        seen = set()
        for column in table.columns:
            assert isinstance(column, Scalar)
            if column in seen:
                self.report("E015", f"two columns are called `{column}`", column.place)
            seen.add(column)
        if "block" not in columns:
            hint = "it names the block or op of each row"
            self.report("E011", "a table needs a column `block`", table.key_place("columns"), hint)
        return len(self.problems) > before

    def from_cells(self, table: TableSpec, row: CellsSpec | RowSpec) -> RowSpec | None:
        """The row that the cells say under the table's columns."""
        if isinstance(row, RowSpec):
            return row
        columns = table.columns
        if len(row) != len(columns):
            message = f"this row has {len(row)} cells, but the table has {len(columns)} columns"
            related = ("the columns", table.key_place("columns"))
            short = len(row) < len(columns)
            hint = "write `~` where it gives nothing" if short else "remove cells, or name columns"
            self.report("E014", message, row.place, hint, related)
            return None
        cells = dict(zip(columns, row, strict=True))
        own = {key: cells.pop(key) for key in columns if key in RESERVED}
        block = self.word(own.pop("block"), row.place, "block", "names a block or an op")
        name = own.pop("name", None)
        if name is not None:
            name = self.word(name, row.place, "name", "gives the row a name", check_module_name)
            block = block if name else None
        if block is None:
            return None
        source = own.pop("from", None)
        made = RowSpec.model_construct(
            block=block, name=name, source=source, arguments=cells,
            **{key: own.get(key) for key in ("when", "repeat")},
        )  # fmt: skip
        made._mapping = Located()
        made._mapping.place = row.place
        return made

    def word(
        self, node: Node | None, place: Place, column: str, does: str,
        check: Callable[[str], str] = str,
    ) -> Scalar | None:  # fmt: skip
        """The word in a cell that has to hold one."""
        if not isinstance(node, ex.Name):
            place = node.place if node is not None else place
            self.report("E030", f"the column `{column}` {does}", place)
            return None
        try:
            check(node.id)
        except Invalid as invalid:
            self.problems.append(invalid.at(node.place))
        scalar = Scalar(node.id)
        scalar.place = node.place
        return scalar

    def settled(self, table: TableSpec, columns: list[str], row: RowSpec) -> dict[str, Node]:
        """The row's arguments with the table's `set` applied; `~` in a column is not given."""
        given = {name: node for name, node in row.arguments.items() if node is not None}
        cells = {c: given.get(c, ex.Literal(None, row.place)) for c in columns if c not in RESERVED}
        for name, node in table.set.items():
            if name in given or name not in columns:
                try:
                    given[name] = ex.substitute(node, {**cells, **given})
                except SpecError as error:
                    self.problems.extend(error.problems)
        return given

    def row(
        self, spec: RowSpec, arguments: Mapping[str, Node], scope: _Scope, table: TableSpec | None
    ) -> RowTemplate | None:
        assert isinstance(spec.block, Scalar)
        place = spec.block.place
        target = self.target(spec.block, place)
        when = None if spec.when is None else self.value(spec.when, scope)
        repeat = None if spec.repeat is None else self.argument(REPEAT, spec.repeat, scope)
        sources = None if spec.source is None else tuple(self.sources(spec.source, scope))
        name = str(table.name if table else spec.name or spec.block)
        if table is None:
            self.unique(name, spec.name.place if isinstance(spec.name, Scalar) else place)
        if target is None:
            return None
        given = {key: node for key, node in arguments.items() if node is not None}
        bound = dict(self.arguments(target, given.items(), scope))
        self.check_given(target, given, place, table if spec.name is None else None)
        self.check_sources(target, spec.source, sources, place)
        group = name if table or repeat is not None else None
        return RowTemplate(name, group, target, bound, sources, repeat, when, place)

    def sources(self, node: Node, scope: _Scope) -> Iterator[Node]:
        """What `from` says: names of rows above, or numbers of rows back."""
        for item in node.items if isinstance(node, ex.Items) else (node,):
            if not isinstance(item, ex.Name) or item.id in scope.values:
                yield self.value(item, scope)
                continue
            if item.id not in self.row_names:
                hint = suggest(item.id, self.row_names) or "a row can take only from rows above it"
                self.report("E045", f"no row above is called `{item.id}`", item.place, hint)
            yield ex.Literal(item.id, item.place)

    def check_sources(
        self, target: Op | Block, node: Node | None, sources: tuple[Node, ...] | None, place: Place
    ) -> None:
        """Reports a `from` that gives another number of tensors than the target takes."""
        given = len(target.inputs) if sources is None else len(sources)
        if target.variadic and sources is None:
            self.report("E037", f"`{target.name}` needs `from`: the rows that it joins", place)
        elif not target.variadic and given != len(target.inputs):
            takes = ", ".join(target.inputs)
            plural = "s" if len(target.inputs) > 1 else ""
            message = f"`{target.name}` takes {len(target.inputs)} tensor{plural} ({takes})"
            where = node.place if node is not None else place
            self.report("E037", f"{message}, but `from` gives {given}", where)


def _is_none(node: Node) -> bool:
    return isinstance(node, ex.Literal) and node.value is None


class _BlockBinder:
    """Binds one block definition."""

    def __init__(self, binder: _Binder, name: str, spec: BlockSpec) -> None:
        self.binder = binder
        self.name = name
        self.spec = spec
        self.values: dict[str, Type] = {}
        self.tensors: list[str] = []
        self.taken_values: dict[str, Place] = {}
        self.taken_tensors: dict[str, Place] = {}
        self.used: set[str] = set()

    @property
    def scope(self) -> _Scope:
        return _Scope(self.values, self.tensors)

    def take(self, name: str, taken: dict[str, Place]) -> str:
        """Claims a name. Tensors and values stand in different places, so both may be `act`."""
        place = name.place if isinstance(name, Scalar) else self.name_place()
        if name in taken:
            message = f"`{name}` is given twice in the block `{self.name}`"
            self.binder.report("E015", message, place, None, ("first here", taken[name]))
        taken.setdefault(str(name), place)
        return str(name)

    def block(self) -> Block:
        spec = self.spec
        self.tensors = [self.take(name, self.taken_tensors) for name in spec.inputs]
        for name in spec.params:
            self.take(name, self.taken_values)
        parameters = tuple(self.binder.parameters(spec.params, self.values, constant=True))
        channels = None
        if spec.channels is not None:
            channels = self.binder.value(spec.channels, self.scope)
        lets = tuple(self.lets())
        steps = [self.step(step) for step in spec.steps]
        steps += self.returned()
        if None not in steps:
            self.check_used(steps)
        assert isinstance(spec.place, Place)
        return Block(
            str(self.name), str(spec.doc), tuple(map(str, spec.inputs)), parameters, lets,
            tuple(step for step in steps if step), channels, self.name_place(),
        )  # fmt: skip

    def name_place(self) -> Place:
        return self.name.place if isinstance(self.name, Scalar) else self.spec.place

    def lets(self) -> Iterator[tuple[str, Node]]:
        for name, node in self.spec.let.items():
            bound = self.binder.value(node, self.scope)
            yield self.take(name, self.taken_values), bound
            self.values[str(name)] = _let_type(bound)

    def step(self, spec: object) -> Step | None:
        call = self.tensor(spec.value, str(spec.name))  # type: ignore[attr-defined]
        when = None if spec.when is None else self.binder.value(spec.when, self.scope)  # type: ignore[attr-defined]
        name = self.take(spec.name, self.taken_tensors)  # type: ignore[attr-defined]
        self.tensors.append(name)
        if isinstance(call, Use):
            hint = f"use `{call.name}` itself below"
            self.binder.report("E038", f"`{name}` only renames `{call.name}`", call.place, hint)
            return None
        return None if call is None else Step(name, call, when, spec.name.place)  # type: ignore[attr-defined]

    def returned(self) -> list[Step | None]:
        """`returns` as a last step, named after what it calls."""
        if self.spec.returns is None:
            self.used.add(str(self.spec.steps[-1].name))
            return []
        node = self.spec.returns
        name = node.function if isinstance(node, ex.Call) else "result"
        while name in self.taken_tensors:
            name += "_"
        call = self.tensor(node, name)
        if isinstance(call, Use):
            hint = "put the step it names last, or call something"
            self.binder.report("E038", "`returns` only names a value", node.place, hint)
        self.used.add(name)
        return [Step(name, call, None, node.place)] if isinstance(call, Invoke) else []

    def check_used(self, steps: Iterable[Step | None]) -> None:
        for step in steps:
            if step is not None and step.name not in self.used:
                message = f"nothing uses the step `{step.name}`"
                self.binder.report("E039", message, step.place, "remove it, or use it")

    # --------------------------------------------------------------------------- tensors

    def tensor(self, node: Node, name: str) -> Invoke | Use | None:
        """The call or the name that `node` is; `name` is what a call goes by."""
        match node:
            case ex.Name():
                return self.use(node)
            case ex.Binary(operator="+"):
                return self.invoke(node, name, CATALOGUE["add"], [node.left, node.right], {})
            case ex.Binary(operator="*"):
                return self.invoke(node, name, CATALOGUE["multiply"], [node.left, node.right], {})
            case ex.Call():
                target = self.binder.target(node.function, node.place)
                return None if target is None else self.called(node, name, target)
        hint = "call a block or an op, or join tensors with `+` or `*`"
        self.binder.report("E038", "a tensor belongs here", node.place, hint)
        return None

    def use(self, node: ex.Name) -> Use | None:
        if node.id not in self.tensors:
            code, message = "E021", f"no tensor is called `{node.id}` here"
            if node.id in self.values:
                code, message = "E038", f"`{node.id}` is a number, not a tensor"
            hint = suggest(node.id, self.tensors)
            if any(step.name == node.id for step in self.spec.steps):
                hint = "a step can use only what stands above it"
            self.binder.report(code, message, node.place, hint)
            return None
        self.used.add(node.id)
        return Use(node.id, node.place)

    def called(self, node: ex.Call, name: str, target: Op | Block) -> Invoke | None:
        count = len(node.arguments) if target.variadic else len(target.inputs)
        tensors = dict(zip(_labels(target, count), node.arguments[:count], strict=False))
        surplus = node.arguments[count:]
        free = [p for p in target.parameter if p not in dict(node.keywords)]
        given = dict(zip(free, surplus, strict=False))
        for key, value in node.keywords:
            if key in target.inputs and key not in tensors:
                tensors[key] = value
            else:
                given[key] = value
        if len(surplus) > len(free) or len(tensors) < max(1, count):
            self.wrong_count(node, target)
            return None
        ordered = [tensors[label] for label in _labels(target, count)]
        return self.invoke(node, name, target, ordered, given)

    def wrong_count(self, node: ex.Call, target: Op | Block) -> None:
        tensors = ["first", "second", "..."] if target.variadic else target.inputs
        takes = ", ".join([*tensors, *target.parameter])
        self.binder.report("E037", f"the arguments do not fit `{target.name}({takes})`", node.place)

    def invoke(
        self,
        node: Node,
        name: str,
        target: Op | Block,
        operands: list[Node],
        given: dict[str, Node],
    ) -> Invoke | None:
        labels = _labels(target, len(operands))
        bound = [
            self.tensor(operand, f"{name}_{label}")
            for label, operand in zip(labels, operands, strict=True)
        ]
        arguments = tuple(self.binder.arguments(target, given.items(), self.scope))
        self.binder.check_given(target, given, node.place)
        if any(operand is None for operand in bound):
            return None
        return Invoke(name, target, tuple(o for o in bound if o), arguments, node.place)


def _labels(target: Op | Block, count: int) -> tuple[str, ...]:
    return tuple(str(i + 1) for i in range(count)) if target.variadic else target.inputs


def _let_type(node: Node) -> Type:
    """The type of a worked-out value: only whether it may be none matters."""
    optional = any(_is_none(n) for n in ex.walk(node))
    return Type("any", optional)
