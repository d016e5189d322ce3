"""What a block looks like from outside once its numbers are left open.

A generated block has one class or function for all its calls, so its code is written in terms of
its arguments. This module says which arguments those are: the parameters and worked-out `let`s that
its steps mention, and the `let`s of the blocks it calls, which it hands through. It also says how
many channels each value has, as an expression in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

from archc.compiler.ir.network import Block, Invoke, Op, Step, Use
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.ir.whole import fraction, let_type
from archc.compiler.language import expressions as ex
from archc.compiler.language import parser
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Place, Problem, Source, SpecError
from archc.compiler.language.values import KINDS, Type

MAX_ARGUMENTS = 256
"""Values that a block takes in generated code; those of the blocks that it calls are among them."""
MAX_TERMS = 2**14
"""Of the channels of a block's steps, each written in terms of the block's inputs."""

_NOWHERE = Place(Source("generated", ""), 1, 1)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a generated block. `origin` leads to its value from a call of the block:
    the names of the calls to go down, then the parameter or `let`."""

    name: str
    type: Type
    default: Node | None
    origin: tuple[str, ...]

    @property
    def required(self) -> bool:
        return self.default is None and not self.type.optional


@dataclass(frozen=True, eq=False)
class Interface:
    """The signature of a generated block, and its values' channels as expressions."""

    block: Block
    arguments: tuple[Argument, ...]
    channels: Mapping[str, Node]
    """Channels of each input, step and call; without those that depend on the input's size."""
    passed: Mapping[str, tuple[tuple[str, Node], ...]]
    """Arguments of each call by the call's name: given ones, then handed-through ones."""
    sized: tuple[str, ...]
    """Inputs whose channels the code mentions."""
    used: tuple[str, ...]
    """Inputs that the code computes with."""
    cells: frozenset[str]
    """Calls and steps that are seen to give a map of one cell, or a vector."""
    terms: int
    """Of the channels of all steps."""

    @property
    def output(self) -> Node | None:
        """Channels of the output: what the block says of them, or else what its steps show."""
        last = self.block.steps[-1:]  # none, of a block whose steps are all wrong
        return self.block.channels or next((self.channels.get(step.name) for step in last), None)


def interface(block: Block) -> Interface:
    """The interface of `block`. Raises `SpecError` (E023) for what code cannot spell."""
    # Kept with the block, so that it lives as long.
    kept = vars(block)
    if "interface" not in kept:
        kept["interface"] = _Analysis(block).interface()
    return kept["interface"]  # type: ignore[no-any-return]


def called_channels(
    target: Op | Block, arguments: Mapping[str, Node], inputs: tuple[Node | None, ...]
) -> Node | None:
    """Channels of what a call gives, from its arguments and its inputs' channels."""
    if isinstance(target, Block):
        output = interface(target).output
        names = target.inputs
    else:
        output = _op_channels(target, len(inputs))
        names = tuple(str(i) for i in range(len(inputs))) if target.variadic else target.inputs
    if output is None:
        return None
    by_name = dict(zip(names, inputs, strict=True))
    if any(
        by_name.get(node.id) is None for node in ex.walk(output) if isinstance(node, ex.Attribute)
    ):
        return None
    # All at once: `x` may be an input of the target, and a tensor of the caller in an argument.
    known = {f"{name}.channels": node for name, node in by_name.items() if node is not None}
    return simplify(ex.substitute(output, {**arguments, **known}))


def output_channels(target: Op | Block) -> Node:
    """Channels of what a call gives, in the target's own names; 0 where they are not known."""
    found = interface(target).output if isinstance(target, Block) else _op_channels(target, 1)
    return found or ex.Literal(0, _NOWHERE)


@lru_cache(maxsize=256)
def _op_channels(op: Op, count: int) -> Node | None:
    if op.channels is None:
        return None
    if not op.variadic:
        words = (w for p in op.parameters for w in KINDS[p.type.kind].words)
        known: dict[str, Node] = {word: ex.Literal(word, _NOWHERE) for word in words}
        return ex.substitute(parser.parse(op.channels, _NOWHERE), known)
    total: Node = ex.Attribute("0", "channels", _NOWHERE)
    for index in range(1, count):
        total = ex.Binary("+", total, ex.Attribute(str(index), "channels", _NOWHERE), _NOWHERE)
    return total


def with_channels(node: Node, channels: Mapping[str, Node]) -> Node:
    """`node` with `x.channels` replaced by what is known of it. Raises `SpecError` (E022) where
    that is too long."""
    return ex.substitute(node, {f"{name}.channels": known for name, known in channels.items()})


def simplify(node: Node) -> Node:
    """The few simplifications without which channels read badly."""
    match node:
        case ex.Binary(operator="*" | "//", right=ex.Literal(value=1)):
            return node.left
        case ex.Binary(operator="-", right=ex.Literal(value=0)):
            return node.left
        case ex.Binary(operator="+", left=left, right=right) if left == right:
            return ex.Binary("*", ex.Literal(2, node.place), left, node.place)
        case ex.Binary(
            operator="+", left=ex.Binary(operator="*", left=ex.Literal(value=int(n)), right=one)
        ) if one == node.right:
            return ex.Binary("*", ex.Literal(n + 1, node.place), one, node.place)
        case ex.Binary(left=ex.Literal(value=int()), right=ex.Literal(value=int())):
            return ex.Literal(node.evaluate({}), node.place)
        case ex.Conditional(then=then, otherwise=otherwise) if then == otherwise:
            return then
        case ex.Conditional(condition=ex.Compare(left=ex.Literal(), right=ex.Literal()) as told):
            return node.then if told.evaluate({}) else node.otherwise
        case ex.Conditional(condition=ex.Literal(value=holds)):
            return node.then if holds else node.otherwise
        # `a if a != b else b` is `a`, whichever way round the comparison stands.
        case ex.Conditional(condition=ex.Compare(operator="!=", left=left, right=right)):
            if {left, right} == {node.then, node.otherwise}:
                return node.then
    return node


@contextmanager
def placed(place: Place, hint: str | None = None) -> Iterator[None]:
    """Problems of expressions that stand nowhere, as they are made of others, stand at `place`."""
    try:
        yield
    except SpecError as error:
        raise SpecError(
            replace(p, place=place, hint=hint or p.hint) if p.place is _NOWHERE else p
            for p in error.problems
        ) from None


class _Analysis:
    def __init__(self, block: Block) -> None:
        self.block = block
        self.channels: dict[str, Node] = {
            name: ex.Attribute(name, "channels", _NOWHERE) for name in block.inputs
        }
        self.passed: dict[str, tuple[tuple[str, Node], ...]] = {}
        self.handed: list[Argument] = []
        self.cells: set[str] = set()
        self.terms = 0

    def interface(self) -> Interface:
        for step in self.block.steps:
            with placed(step.place):
                for invoke in step.call.walk():
                    self.invoke(invoke, optional=step.when is not None)
                first = self.channels.get(step.passed)
                self.step_channels(step.name, step.call.name, step.when, first)
            if step.call.name in self.cells and (step.when is None or step.passed in self.cells):
                self.cells.add(step.name)
            else:
                self.cells.discard(step.name)
            self.check_size(step)
        mentioned = list(self.mentioned())
        self.check_whole()
        names = {node.id for node in mentioned if isinstance(node, ex.Name)}
        sized = {node.id for node in mentioned if isinstance(node, ex.Attribute)}
        arguments = tuple(a for a in self.own_arguments() if a.name in names)
        inputs, used = self.block.inputs, self.operands()
        return Interface(
            self.block, arguments, self.channels, self.passed,
            tuple(x for x in inputs if x in sized), tuple(x for x in inputs if x in used),
            frozenset(self.cells),
            self.terms,
        )  # fmt: skip

    def check_size(self, step: Step) -> None:
        """Raises `SpecError` (E044) where the generated code would be endless."""
        known = self.channels.get(step.name)
        self.terms += 0 if known is None else sum(1 for _ in ex.walk(known))
        if len(self.handed) > MAX_ARGUMENTS:
            message = f"the blocks in it work out more than {MAX_ARGUMENTS} values for each call"
            hint = "give them as parameters, which calls can share"
        elif self.terms > MAX_TERMS:
            message = f"the channels of these steps come to more than {MAX_TERMS:,} terms"
            hint = "work them out under `let`"
        else:
            return
        raise SpecError([Problem("E044", message, step.place, hint)])

    def invoke(self, invoke: Invoke, optional: bool) -> None:
        passed = list(invoke.arguments)
        for name, node in passed:
            handed = isinstance(node, ex.Name) and node.id in self.block.parameter
            decides = name in pinned(invoke.target) or is_initializer(invoke.target, name)
            if decides and not (handed or isinstance(node, ex.Literal)):
                message = f"`{name}` of `{invoke.target.name}` cannot be worked out in a block"
                hint = "write it out, or name a parameter of the block, the same in all its calls"
                raise SpecError([Problem("E023", message, node.place, hint)])
        if isinstance(invoke.target, Block):
            callee = interface(invoke.target)
            given = dict(passed)
            known = {a.name for a in callee.arguments}
            passed = [(name, node) for name, node in given.items() if name in known]
            passed += self.hand_through(invoke, callee, optional)
        self.passed[invoke.name] = tuple(passed)
        inputs = tuple(self.channels.get(operand.name) for operand in invoke.operands)
        # An argument may speak of another step's channels: what is known of these is put in its
        # place, so that channels are always told in terms of the block's inputs.
        none = ex.Literal(None, _NOWHERE)
        arguments = {p.name: p.default or none for p in invoke.target.parameters if not p.required}
        # What a block promises may mention a parameter that its code does not.
        given = {**dict(invoke.arguments), **dict(passed)}
        arguments |= {name: with_channels(node, self.channels) for name, node in given.items()}
        output = called_channels(invoke.target, arguments, inputs)
        fed = all(operand.name in self.cells for operand in invoke.operands)
        if isinstance(invoke.target, Op) and invoke.target.flattens and fed:
            output = inputs[0]
        if self.gives_one_cell(invoke, fed):
            self.cells.add(invoke.name)
        if output is not None:
            self.channels[invoke.name] = output

    def gives_one_cell(self, invoke: Invoke, fed: bool) -> bool:
        if isinstance(invoke.target, Block):
            return invoke.target.steps[-1].name in interface(invoke.target).cells
        return invoke.target.one_cell(dict(invoke.arguments), fed)

    def check_whole(self) -> None:
        """Raises `SpecError` (E023) where steps may give a fraction for a whole number."""
        kinds = {p.name: p.type for p in self.block.parameters}
        for name, node in self.block.lets:
            kinds[name] = let_type(node, kinds)
        found = [
            fraction(invoke.target.parameter[name], node, kinds)
            for _, invoke in self.block.invokes()
            for name, node in invoke.arguments
        ]
        if any(found):
            raise SpecError(filter(None, found))

    def hand_through(
        self, invoke: Invoke, callee: Interface, optional: bool
    ) -> Iterator[tuple[str, Node]]:
        """The callee's worked-out values, which this block takes as arguments of its own."""
        for argument in callee.arguments:
            if argument.name in callee.block.parameter:
                continue
            name = f"{invoke.name}_{argument.name}"
            kind = replace(argument.type, optional=argument.type.optional or optional)
            origin = (invoke.name, *argument.origin)
            self.handed.append(Argument(name, kind, argument.default, origin))
            yield argument.name, ex.Name(name, _NOWHERE)

    def step_channels(self, step: str, call: str, when: Node | None, first: Node | None) -> None:
        called = self.channels.get(call)
        if when is not None and called is not None and first is not None:
            condition = with_channels(when, self.channels)
            called = simplify(ex.Conditional(condition, called, first, _NOWHERE))
        if called is None or (when is not None and first is None):
            self.channels.pop(step, None)
        else:
            self.channels[step] = called

    def own_arguments(self) -> Iterator[Argument]:
        parameters = [Argument(p.name, p.type, p.default, (p.name,)) for p in self.block.parameters]
        yield from parameters[:1]
        for name, node in self.block.lets:
            yield Argument(name, *_let_type(node), (name,))
        yield from self.handed
        yield from parameters[1:]

    def mentioned(self) -> Iterator[Node]:
        """Every node that the generated code spells."""
        for step in self.block.steps:
            if step.when is not None:
                yield from self.spelled(step.when, step)
            for invoke in step.call.walk():
                for _, node in self.passed[invoke.name]:
                    yield from self.spelled(node, step)
                for channels in self.needed_channels(invoke):
                    yield from ex.walk(channels)

    def spelled(self, node: Node, step: Step) -> Iterator[Node]:
        with placed(step.place):
            with_channels(node, self.channels)  # as code says it, so it must not be too long
        yield from _spelled(node, step.name, self.channels)

    def needed_channels(self, invoke: Invoke) -> Iterator[Node]:
        """Channels of the operands that a constructor has to be told."""
        if _may_be_a_block(invoke) and (x := self.channels.get(invoke.operands[0].name)):
            yield x
        wanted = sized_inputs(invoke.target)
        for name, operand in zip(invoke.target.inputs, invoke.operands, strict=False):
            if name in wanted:
                channels = self.channels.get(operand.name)
                if channels is None:
                    message = f"the features of `{operand.name}` depend on the input's size"
                    raise SpecError([Problem("E023", message, invoke.place, TWO_ROWS)])
                yield channels

    def operands(self) -> set[str]:
        """Names that the code computes with."""
        found = set()
        for _, invoke in self.block.invokes():
            used = interface(invoke.target).used if isinstance(invoke.target, Block) else None
            for name, operand in zip(invoke.target.inputs, invoke.operands, strict=False):
                if isinstance(operand, Use) and (used is None or name in used):
                    found.add(operand.name)
            if invoke.target.variadic:
                found |= {o.name for o in invoke.operands if isinstance(o, Use)}
        return found | {step.otherwise.name for step in self.block.steps if step.otherwise}


def resolved(block: Block) -> frozenset[str]:
    """Parameters that some `let` depends on, here or in a block that this one calls."""
    kept = vars(block)
    if "resolved" not in kept:
        kept["resolved"] = _resolved(block)
    return kept["resolved"]  # type: ignore[no-any-return]


def _resolved(block: Block) -> frozenset[str]:
    lets = dict(block.lets)
    nodes = [*lets.values()]
    for _, invoke in block.invokes():
        if isinstance(invoke.target, Block):
            inner = resolved(invoke.target)
            nodes += [node for name, node in invoke.arguments if name in inner]
    mentioned = (name for node in nodes for name in ex.names(node))
    names = closure(mentioned, lambda name: ex.names(lets[name]) if name in lets else ())
    return frozenset(names.keys() & block.parameter.keys())


def pinned(target: Op | Block) -> frozenset[str]:
    """Parameters that decide what the code looks like, and so are the same in all calls."""
    if not isinstance(target, Block):
        every = (p.name for p in target.parameters if p.fixed)
        return frozenset(name for name in every if not is_initializer(target, name))
    kept = vars(target)
    if "pinned" not in kept:
        handed = (
            node.id
            for _, invoke in target.invokes()
            for name, node in invoke.arguments
            if isinstance(node, ex.Name) and name in pinned(invoke.target)
        )
        own = {p.name for p in target.parameters if not p.varies}
        kept["pinned"] = frozenset(handed) & own
    return kept["pinned"]  # type: ignore[no-any-return]


def is_initializer(target: Op | Block, name: str) -> bool:
    """Whether a parameter is one. Code may take it as an argument, but works none out."""
    return target.parameter[name].type.kind == "initializer"


def _may_be_a_block(invoke: Invoke) -> bool:
    """Whether it is an activation that a block may serve as, which needs to know the channels."""
    act = dict(invoke.arguments).get("act") if invoke.target is ACTIVATION else None
    words = isinstance(act, ex.Literal) and not isinstance(act.value, Block)
    return act is not None and not words


def sized_inputs(target: Op | Block) -> tuple[str, ...]:
    """Inputs whose number of channels the target's constructor needs."""
    if isinstance(target, Block):
        return interface(target).sized
    return target.sized


def _let_type(node: Node) -> tuple[Type, Node | None]:
    """The type of a worked-out value, and its default: a flag is off unless it is said to be on."""
    if isinstance(node, ex.Compare) or (isinstance(node, ex.Unary) and node.operator == "not"):
        return Type("bool"), ex.Literal(False, _NOWHERE)
    return Type("any", any(n == ex.Literal(None, _NOWHERE) for n in ex.walk(node))), None


TWO_ROWS = "make what flattens and what follows two rows of the network"
PYTHON_FUNCTIONS = ("min", "max", "round")


def spellable(node: Node) -> bool:
    """Whether generated code can spell an expression of names and numbers."""
    try:
        return all(True for _ in _spelled(node, "", {}))
    except SpecError:
        return False


def _spelled(node: Node, step: str, channels: Mapping[str, Node]) -> Iterator[Node]:
    """The nodes of an expression that code spells. Raises `SpecError` (E023)."""
    hint = "work it out under `let` and use its name here"
    for child in ex.walk(node):
        message = None
        if isinstance(child, ex.Attribute) and child.field != "channels":
            message = f"generated code does not know `{child.id}.{child.field}`"
            hint = "work it out under `let`, from the block's inputs, and use its name here"
        elif isinstance(child, ex.Attribute) and child.id not in channels:
            message, hint = f"`{child.id}.channels` depends on the input's size", TWO_ROWS
        elif isinstance(child, ex.Call) and child.function not in PYTHON_FUNCTIONS:
            message = f"generated code has no `{child.function}`"
        if message is not None:
            raise SpecError([Problem("E023", message, child.place, hint)])
        yield from ex.walk(channels[child.id]) if isinstance(child, ex.Attribute) else (child,)
