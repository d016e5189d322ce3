"""The rows of a network, worked out one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache

from archc.compiler.bind.program import Program
from archc.compiler.bind.rows import DILATE, REPEAT, TRAINING, RowTemplate
from archc.compiler.elaborate.elaborator import MAX_OPS, Elaborator, check_ops
from archc.compiler.elaborate.kept import decided, shapes_a_window, sizes_tested
from archc.compiler.elaborate.origins import Origins
from archc.compiler.ir.folding import computed
from archc.compiler.ir.interface import called_channels, pinned, placed, resolved, spellable
from archc.compiler.ir.mentions import CHANNELS, reached
from archc.compiler.ir.network import Block, Body, Call, Op, Parameter, Row, Tensor, Turn
from archc.compiler.ir.whole import fraction
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.problems import (
    Blame,
    Invalid,
    Place,
    Problem,
    SpecError,
    Unknown,
    choices,
)
from archc.compiler.language.values import show
from archc.compiler.spec.rows import TableSpec


@dataclass(frozen=True, slots=True)
class Output:
    """What a row gives; no tensor where the row failed."""

    tensor: Tensor | None
    channels: Node | None = None
    """Its channels, where they depend on a kept parameter."""
    name: str = "the network's input"
    """What a person calls it."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """A row, so often as it is repeated."""

    rows: Sequence[Row]
    outputs: Sequence[Output]
    ops: int


FAILED = Output(None)
NONE = frozenset[str]()


def check_known(node: Node | None, kept: Set[str], what: str, place: Place | None = None) -> None:
    """Raises `SpecError` (E024) where `node`, which gives `what`, mentions a kept parameter."""
    if node is None or isinstance(node, ex.Literal):
        return
    for name in sorted(ex.names(node).keys() & kept):
        message = f"`{name}` stays an argument of the model, so {what} cannot depend on it"
        hint = f"remove `keep: true` from `{name}`"
        raise SpecError([Problem("E024", message, place or node.place, hint)])


@dataclass(eq=False)
class Rows:
    """Builds the rows one by one. After a row that fails, the others' arguments are still checked.

    `outputs` holds the network's inputs, the first one last, and then each row's output.
    """

    elaborator: Elaborator
    program: Program
    scope: Mapping[str, Value]
    origins: Origins
    inputs: Mapping[str, Tensor]
    outputs: list[Output] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    stood: Counter[int] = field(default_factory=Counter)
    """How many rows of each table stand there so far, by its identity."""
    sizes: dict[int, int] = field(default_factory=dict)
    by_name: dict[str, int] = field(default_factory=dict)
    """The last output of each row by name, and the inputs."""
    counts: Counter[str] = field(default_factory=Counter)
    steady: dict[RowTemplate, dict[str, Value] | None] = field(default_factory=dict)
    """Arguments that are alike in all repeats of a row."""
    ops: int = 0
    end: Node | None = None
    """The `when` of the rows at the end that a kept parameter may leave out."""

    def __post_init__(self) -> None:
        self.kinds, self.kept = self.program.kept, self.program.kept.keys()
        sole = len(self.inputs) == 1
        for name, tensor in [*self.inputs.items()][::-1]:
            self.by_name[name] = len(self.outputs)
            called = "the network's input" if sole else f"the input `{name}`"
            self.outputs.append(Output(tensor, None, called))

    @property
    def above(self) -> int:
        """How many rows there are by now."""
        return len(self.outputs) - len(self.inputs)

    def add(self, template: RowTemplate) -> None:
        """Adds a row as often as it is repeated, unless its `when` leaves it out."""
        try:
            if template.when is not None and not self.holds(template, template.when):
                return
            if self.end is not None and template.when != self.end:
                raise _not_at_the_end(template, self.end)
            repeat = template.repeat
            count = 1 if repeat is None else int(self.taken(REPEAT, repeat, template))  # type: ignore[arg-type]
            self.repeat(template, count)
        except Blame as blame:  # it may need the channels of a row that failed
            self.origins.tell(blame.at(template.place))
            self.outputs.append(FAILED)
            count = 1
        if count:
            self.by_name[template.name] = len(self.outputs) - 1

    def repeat(self, template: RowTemplate, count: int) -> None:
        """Adds a row so often: as an earlier network has it, if there is one that differs in
        nothing which that depends on."""
        key = self.key(template, count)
        known = self.elaborator.repeats.get(key) if key else None
        if known is not None and self.ops + known.ops <= MAX_OPS:
            self.take(template, known)
            return
        outputs, rows, ops = len(self.outputs), len(self.rows), self.ops
        for index in range(count):
            self.outputs.append(self.output(template, Turn(index, count)))
            self.stood[id(template.table)] += 1
            if self.outputs[-1] is FAILED:  # so are those that follow
                self.outputs += [FAILED] * (count - index - 1)
                return
        if key:
            made = Repeats(self.rows[rows:], self.outputs[outputs:], self.ops - ops)
            self.elaborator.remember(key, made)

    def key(self, template: RowTemplate, count: int) -> tuple[object, ...] | None:
        """All that the repeats of a row depend on; none where kept parameters have a part in it, or
        where it takes more than what stands just above."""
        inputs = self.outputs[-len(template.target.inputs) :]
        plain = template.plain and self.end is None and template.mentioned.isdisjoint(self.kept)
        if not plain or len(inputs) < len(template.target.inputs):
            return None
        table = self.counted(template, Turn(0, count)).get("table")
        if any(x.tensor is None or x.channels is not None for x in inputs):
            return None
        steady = self.steadied(template)
        if steady is None:
            return None
        asked = [self.scope[name] for name in template.asked]
        number = self.counts[template.group] if template.group else 0
        return (
            self.program, template, count, len(self.outputs), number, table,
            *(x.tensor for x in inputs), *steady.values(), *asked, *map(type, asked),
        )  # fmt: skip

    def take(self, template: RowTemplate, known: Repeats) -> None:
        """Adds repeats of a row that were worked out before."""
        self.outputs += known.outputs
        self.rows += known.rows
        self.ops += known.ops
        self.stood[id(template.table)] += len(known.rows)
        if template.group:
            self.counts[template.group] += len(known.rows)

    def holds(self, template: RowTemplate, when: Node) -> bool:
        """Whether the row is there. One that a kept parameter decides about ends the network."""
        if not ex.names(when).keys() & self.kept:
            return ex.holds(self.fixed(when, "`when`"))
        sizes = any(sizes_tested(when, self.kinds, condition=True))
        counted = template.group or template.repeat is not None
        if counted or sizes or not spellable(when) or (self.end is not None and when != self.end):
            name = min(ex.names(when).keys() & self.kept)
            message = f"`{name}` stays an argument of the model, so `when` cannot depend on it here"
            hint = "the last rows of a network can, outside of tables, if all have the same `when`"
            raise SpecError([Problem("E024", message, when.place, hint)])
        self.end = when
        with self.origins.tracing(when):
            return ex.holds(when.evaluate(self.scope))
        raise Unknown

    def mentioned(self) -> set[str]:
        """The parameters that generated code mentions."""
        nodes = [node for row in self.rows for node in row.spelled.values()]
        nodes += [row.when for row in self.rows if row.when is not None]
        return {name for node in nodes for name in ex.names(node)}

    def taken(self, parameter: Parameter, node: Node, template: RowTemplate) -> Value:
        """The value of a key of the row that is called as the `parameter` which takes it."""
        value = self.fixed(node, f"`{parameter.name}`")
        try:
            return parameter.take(value)
        except Invalid as invalid:
            with self.origins.tracing(node, *_row_of(template, node)):
                raise invalid
        raise Unknown

    def fixed(self, node: Node, what: str) -> Value:
        """The value of an expression that a row needs before it is there. Raises `SpecError`."""
        if isinstance(node, ex.Literal):
            return node.value
        check_known(node, self.kept, what)
        scope: Mapping[str, object] = self.scope
        if ex.asks_tensors(node):
            x = self.outputs[-1]
            check_known(x.channels, self.kept, what, node.place)
            scope = {**scope, **({".x": x.tensor} if x.tensor is not None else {})}
        with self.origins.tracing(node):
            return node.evaluate(scope)
        raise Unknown

    # --------------------------------------------------------------------- which of how many

    def counted(self, template: RowTemplate, turn: Turn) -> Mapping[str, Turn]:
        """What `repeat` and `table` are in the row's arguments, if these ask for it."""
        turns = {"repeat": turn} if template.turns else {}
        if any(node.id == "table" for node in template.turns):
            turns["table"] = Turn(self.stood[id(template.table)], self.size(template.table))
        return turns

    def size(self, table: TableSpec | None) -> int:
        """How many rows a table has, each counted as often as it is repeated."""
        if id(table) not in self.sizes:
            rows = [template for template in self.program.rows if template.table is table]
            self.sizes[id(table)] = sum(map(self.times, rows))
        return self.sizes[id(table)]

    def times(self, template: RowTemplate) -> int:
        """How often a row stands there, told before the rows above it are worked out."""
        what = "how many rows a table has"
        for node in (template.when, template.repeat):
            if node is None:
                continue
            check_known(node, self.kept, what)
            if ex.asks_tensors(node):
                message = f"`table` is used, so {what} cannot depend on a tensor"
                raise SpecError([Problem("E022", message, node.place, "use parameters alone")])
        try:
            there = template.when is None or ex.holds(template.when.evaluate(self.scope))
            count = 1 if template.repeat is None else template.repeat.evaluate(self.scope)
            return int(REPEAT.take(count)) if there else 0  # type: ignore[arg-type]
        except Blame:  # which the row itself tells
            raise Unknown from None

    # ---------------------------------------------------------------------------- wiring

    def feeds(self, template: RowTemplate, first: bool) -> tuple[int, ...]:
        """Numbers of the outputs that feed a row. `from` speaks of the first of its repeats."""
        last = len(self.outputs) - 1
        if template.sources is not None and first:
            return tuple(map(self.feed, template.sources))
        wanted = len(template.target.inputs)
        if wanted > last + 1:
            count = f"only {last + 1} value{'s' * (last > 0)} above it"
            message = f"`{template.target.name}` takes {wanted} tensors, but there is {count}"
            raise Invalid("E045", message, "say what feeds it, as in `from: [-1, -1]`")
        return tuple(last - back for back in range(wanted))

    def feed(self, source: Node) -> int:
        back = self.fixed(source, "`from`")
        if isinstance(back, str) and back in self.by_name:
            return self.by_name[back]
        # By its place above stands a row, or what is the only input.
        far = self.above + (len(self.inputs) == 1)
        if isinstance(back, int) and not isinstance(back, bool) and -far <= back <= -1:
            return len(self.outputs) + back
        with self.origins.tracing(source):
            raise _misplaced(back, self.above, [*self.inputs])
        raise Unknown

    # ------------------------------------------------------------------------------ rows

    def output(self, template: RowTemplate, turn: Turn) -> Output:
        """Adds one row, which `turn` counts among its repeats; what it gives."""
        feeds = self.feeds(template, turn.index == 0)
        joined = template.target.variadic or feeds != (len(self.outputs) - 1,)
        if self.end is not None and joined:
            message = "a row that the model may leave out takes what the row above gives"
            raise Invalid("E024", f"{message}, and that alone", "join tensors in a row above it")
        inputs = tuple(self.outputs[feed] for feed in feeds)
        tensors = tuple(x.tensor for x in inputs if x.tensor is not None)
        dilate = template.dilate is None or bool(self.taken(DILATE, template.dilate, template))
        if not dilate:
            tensors = tuple(replace(x, dilation=None) for x in tensors)
        turns = self.counted(template, turn)
        values = self.arguments(template, inputs[0].tensor, turns)
        if values is None or len(tensors) < len(inputs):
            return FAILED
        try:
            body = self.elaborator.call(template.target, values, tensors)
            self.ops = check_ops(self.ops + body.ops)
        except Invalid as invalid:
            self.blame(template, invalid, feeds)
            return FAILED
        row = self.row(template, body, feeds, inputs, turn, turns, dilate)
        self.rows.append(row)
        channels = self.output_channels(template, body, row.spelled, row.channels)
        return Output(body.output, channels, f"`{row.call.name}`")

    def row(
        self,
        template: RowTemplate,
        body: Body,
        feeds: tuple[int, ...],
        inputs: tuple[Output, ...],
        turn: Turn,
        turns: Mapping[str, Turn],
        dilate: bool,
    ) -> Row:
        spelled = self.spelled(template, inputs, turns)
        self.check_undecided(template, body, spelled, inputs)
        feeds = tuple(feed - len(self.inputs) for feed in feeds)
        call = Call(self.numbered(template), body, feeds)
        last = turn.index == turn.count - 1
        tap = self.checked_tap(call, template.row.tap) if last and template.row.tap else None
        output = str(template.row.output) if last and template.row.output else None
        training = self.in_training_only(template)
        doc = "" if turn.index else str(template.row.doc or "")
        group, place, known = template.group, template.place, tuple(x.channels for x in inputs)
        end = self.end and ex.substitute(self.end, self.folded(ex.names(self.end), place))
        return Row(
            call, spelled, known, group, place, end, tap, output, training, doc, dilate, turns
        )  # fmt: skip

    def blame(self, template: RowTemplate, invalid: Invalid, feeds: tuple[int, ...]) -> None:
        """Reports a problem at the user's cell that caused it, or else at the row."""
        hint, place = self.hint(invalid, template, feeds), invalid.place
        within = () if place is None else (("in its block", place),)
        cell = template.arguments.get(invalid.about or "")
        told = Invalid(invalid.code, invalid.message, hint)
        if cell is None:
            self.origins.tell(told.at(template.place, *within))
            return
        elsewhere = cell.place.source is not template.place.source
        row = _row_of(template, cell) if elsewhere else ()
        with self.origins.tracing(cell, *row, *within):
            raise told

    def hint(self, invalid: Invalid, template: RowTemplate, feeds: tuple[int, ...]) -> str | None:
        """What to do, with what feeds the row, where shapes do not fit and that is several."""
        inputs = [self.outputs[feed] for feed in feeds]
        if invalid.code == "E043" and min(feeds) < len(self.inputs):
            return f"{inputs[feeds.index(min(feeds))].name} has no `height` and no `width`"
        if len(feeds) < 2 or (invalid.hint if invalid.place is None else invalid.code != "E040"):
            return invalid.hint
        if invalid.place is None:
            shapes = [(x.name, x.tensor) for x in inputs if x.tensor is not None]
            return ", ".join(f"{name} is {x} at stride {x.stride}" for name, x in shapes)
        pairs = zip(template.target.inputs, inputs, strict=True)
        said = ", ".join(f"`{name}` is what {x.name} gives" for name, x in pairs)
        return f"{invalid.hint}; {said}" if invalid.hint else said

    def numbered(self, template: RowTemplate) -> str:
        """The row's own name, or its group's and its number there."""
        if template.group is None:
            return template.name
        self.counts[template.group] += 1
        return f"{template.group}.{self.counts[template.group] - 1}"

    def checked_tap(self, call: Call, tap: str) -> str:
        hint = "tap a row above it"
        if not call.body.output.is_map:
            gives = f"`{call.name}` gives a vector of {call.body.output}"
            raise Invalid("E043", f"{gives}, and a tap is of a feature map", hint)
        if self.end is not None:
            message = f"`{call.name}` may be left out, so it cannot be tapped"
            raise Invalid("E024", message, hint)
        return str(tap)

    def in_training_only(self, template: RowTemplate) -> bool:
        """Whether the row's output is said to be there in training only."""
        node = template.training
        if node is None:
            return False
        if not self.taken(TRAINING, node, template):
            return False
        if template.row.output is not None:
            return True
        with self.origins.tracing(node, *_row_of(template, node)):
            message = f"`{template.name}` is no output, so it cannot be one in training only"
            raise Invalid("E011", message, "give it a name, as in `output: aux`")
        raise Unknown

    def arguments(
        self, template: RowTemplate, x: Tensor | None, turns: Mapping[str, Turn]
    ) -> dict[str, Value] | None:
        """The values of the row's arguments; None where one is wrong or cannot be known."""
        steady = self.steadied(template)
        if not template.varying:
            return steady
        scope: dict[str, object] = {**self.scope, **({".x": x} if x is not None else {})}
        scope |= {f".{name}": turn for name, turn in turns.items()}
        varying = self.evaluated(template, template.varying, scope)
        return None if steady is None or varying is None else {**steady, **varying}

    def steadied(self, template: RowTemplate) -> dict[str, Value] | None:
        """The values of those arguments that are alike in all repeats."""
        if template not in self.steady:
            self.steady[template] = self.evaluated(template, template.steady, self.scope)
        return self.steady[template]

    def evaluated(
        self, template: RowTemplate, nodes: Mapping[str, Node], scope: Mapping[str, object]
    ) -> dict[str, Value] | None:
        """The values of some of the row's arguments, beside those that are constant."""
        values, parameter = {**template.constants}, template.target.parameter
        try:
            for name, node in nodes.items():
                values[name] = parameter[name].take(node.evaluate(scope))
            return values
        except Blame:
            pass
        for name, node in nodes.items():  # once more, to tell each at its cause
            with self.origins.tracing(node, *_row_of(template, node)):
                parameter[name].take(node.evaluate(scope))
        return None

    # -------------------------------------------------------------------- kept parameters

    def spelled(
        self, template: RowTemplate, inputs: tuple[Output, ...], turns: Mapping[str, Turn]
    ) -> dict[str, Node]:
        """The arguments that mention a kept parameter, with all else in them folded."""
        if not any(x.channels for x in inputs) and template.mentioned.isdisjoint(self.kept):
            return {}
        if turns:
            template = _told(template, (*turns.items(),))
        others = self.folded(template.mentioned, template.place)
        fixed = _worked_out(self.program, template)
        found = {}
        for name, node in template.arguments.items():
            if name not in fixed and ex.names(node).keys() & self.kept:
                found[name] = computed(ex.substitute(node, others))
                problem = fraction(template.target.parameter[name], found[name], self.kinds)
                if problem is not None:
                    raise SpecError([self.origins.traced(problem, node)])
        self.check_all_known(template, inputs[0])
        for x in inputs:
            if x.channels is not None and (owner := _with_a_let(template.target)):
                check_known(x.channels, self.kept, f"a `let` of `{owner}`", template.place)
        return found

    def folded(self, names: Iterable[str], place: Place) -> dict[str, Node]:
        """The values of those names that are not kept."""
        known = (name for name in names if name not in self.kept)
        return {name: ex.Literal(self.scope[name], place) for name in known}

    def check_undecided(
        self,
        template: RowTemplate,
        body: Body,
        spelled: Mapping[str, Node],
        inputs: tuple[Output, ...],
    ) -> None:
        """Raises `SpecError` (E024) where a kept parameter decides what must hold of the model."""
        for name, node in spelled.items():
            if self.elaborator.limit is not None and shapes_a_window(body, frozenset({name})):
                check_known(node, self.kept, "what `output_stride` may dilate")
            if what := decided(body, frozenset({name}), NONE):
                check_known(node, self.kept, what)
        for label, x in zip(template.target.inputs, inputs, strict=False):
            if x.channels is not None and (what := decided(body, NONE, frozenset({label}))):
                check_known(x.channels, self.kept, what, template.place)

    def check_all_known(self, template: RowTemplate, x: Output) -> None:
        """Raises `SpecError` (E024) where what has to be known depends on a kept parameter."""
        fixed = _worked_out(self.program, template)
        for name, node in template.arguments.items():
            what = _let_of(template) if _decides_a_let(template.target, name) else f"`{name}`"
            if name in fixed:
                check_known(node, self.kept, what)
            if x.channels is not None and ex.asks_tensors(node):
                check_known(x.channels, self.kept, what, node.place)

    def output_channels(
        self,
        template: RowTemplate,
        body: Body,
        spelled: Mapping[str, Node],
        inputs: tuple[Node | None, ...],
    ) -> Node | None:
        """The channels of the row's output, where they depend on a kept parameter."""
        if not spelled and not any(inputs):
            return None
        place = template.place
        arguments = {name: ex.Literal(value, place) for name, value in body.arguments.items()}
        known = [ex.Literal(x.channels, place) for x in body.inputs]
        here = tuple(own or plain for own, plain in zip(inputs, known, strict=True))
        with placed(place, "remove `keep: true` from what decides these channels"):
            channels = called_channels(template.target, {**arguments, **spelled}, here)
        what = f"the size of what `{template.target.name}` gives"
        for node in inputs if channels is None else ():
            check_known(node, self.kept, what, place)
        return channels if channels is not None and ex.names(channels).keys() & self.kept else None


@lru_cache(maxsize=1024)
def _worked_out(program: Program, template: RowTemplate) -> frozenset[str]:
    """The arguments of a row that have to be known at compile time."""
    target, kinds = template.target, program.kept
    # A size that is compared: whoever makes the model may write it in several ways.
    return frozenset(
        name
        for name, node in template.arguments.items()
        if name in pinned(target)
        or target.parameter[name].type.kind == "initializer"
        or any(sizes_tested(node, kinds))
        or _decides_a_let(target, name)
        or not spellable(node)
    )


@lru_cache(maxsize=1024)
def _told(template: RowTemplate, turns: tuple[tuple[str, Turn], ...]) -> RowTemplate:
    """The row with `repeat.index` and the like in its arguments replaced by what they are."""
    nodes = {
        str(node): ex.Literal(getattr(dict(turns)[node.id], node.field), node.place)
        for node in template.turns
    }
    arguments = {k: ex.substitute(node, nodes) for k, node in template.arguments.items()}
    return replace(template, arguments=arguments)


def _not_at_the_end(template: RowTemplate, end: Node) -> SpecError:
    message = f"the rows above may be left out, so `{template.name}` must be left out with them"
    hint = "give it the same `when`"
    related = (("this `when`", end.place),)
    return SpecError([Problem("E024", message, template.place, hint, related)])


def _row_of(template: RowTemplate, cell: Node) -> tuple[tuple[str, Place], ...]:
    """The row of a cell that stands elsewhere: in a table's `set`, or in a variant."""
    elsewhere = cell.place.source is not template.place.source
    return (("for this row", template.place),) if template.table or elsewhere else ()


def _misplaced(source: Value, last: int, inputs: Sequence[str]) -> Invalid:
    """What is wrong with a `from` that leads to none of `last` outputs and the network's inputs."""
    if isinstance(source, str):
        hint = f"where its `when` does not hold, take from another: `{source} if ... else -1`"
        return Invalid("E045", f"the row `{source}` is left out here", hint)
    said = f"`from` is {show(source)}"
    if isinstance(source, bool) or not isinstance(source, int):
        return Invalid("E045", f"{said}; it must be the name of a row, or -1, -2, ...")
    if len(inputs) > 1:
        rows = {0: "no row stands", 1: "only 1 row stands"}.get(last, f"only {last} rows stand")
        hint = f"an input goes by its name, {choices(inputs)}"
        return Invalid("E045", f"{said}, but {rows} above", hint)
    far = f"{said}, but only {last} row{'s' * (last > 1)} and the network's input stand above"
    none = f"{said}, but only the network's input stands above"
    near = f"{said}, but a row can take only from what stands above it"
    hint = f"-1 is the row above, and {-last - 1} the network's input"
    message = near if source >= 0 else far if last else none
    return Invalid("E045", message, hint if last else "-1 is the network's input")


def _decides_a_let(target: Op | Block, name: str) -> bool:
    return isinstance(target, Block) and name in resolved(target)


@lru_cache(maxsize=1024)
def _with_a_let(target: Op | Block) -> str | None:
    """The block that works out a value once, or one in it that does so of the input's channels."""
    if isinstance(target, Block) and target.lets:
        return target.name
    for block, name in reached([(target, CHANNELS)]):
        for _, node in block.lets if isinstance(block, Block) else ():
            if ex.asks_tensors(node) if name == CHANNELS else name in ex.names(node):
                return block.name
    return None


def _let_of(template: RowTemplate) -> str:
    return f"a `let` of `{template.target.name}`"
