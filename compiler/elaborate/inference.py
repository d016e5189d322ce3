"""From a program to the same one for inference, without what training alone needs.

In: a program, bound. Out: one whose batch norms are gone into the convolution or dense layer just
before them, which has a bias then, or into all those that a concatenation before them joins; and
that has neither dropout nor identities. With them go the parameters of blocks that nothing else
asks for. Blocks keep their names, and layers their paths, so weights of the one are those of the
other but for what `folds` lists.

A batch norm stays where something else takes what it normalises, where it is there under another
condition, or where it follows anything else; `preceding` looks at what follows it then. Rows that
are ops are left to `joining`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archc.compiler.bind.program import Program
from archc.compiler.bind.rows import RowTemplate
from archc.compiler.ir.analysis import calls
from archc.compiler.ir.network import (
    Block,
    Body,
    Invoke,
    Network,
    Op,
    Parameter,
    Step,
    Use,
    uses,
)
from archc.compiler.ir.pruning import passed_on
from archc.compiler.language import expressions as ex
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node

FOLDED = "For inference: its batch norms are part of the layers before them."
"""What is said of a block that has batch norms no more."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A batch norm that is gone into the layer before it, by the paths of both."""

    layer: str
    """What gives now what the batch norm gave."""
    norm: str
    parts: tuple[str, ...] = ()
    """The layers that it is gone into, in their order, where `layer` is no layer but joins them."""

    @property
    def into(self) -> tuple[str, ...]:
        """The layers that it is gone into."""
        return self.parts or (self.layer,)

    def within(self, path: str) -> Fold:
        """The same in a block at `path`."""
        parts = tuple(f"{path}.{part}" for part in self.parts)
        return Fold(f"{path}.{self.layer}", f"{path}.{self.norm}", parts)


def for_inference(program: Program) -> tuple[Program, dict[Block, tuple[Fold, ...]]]:
    """The program without what training alone needs; and by each block of `program`, the folds in
    it, with the names of calls for paths."""
    folds: dict[Block, tuple[Fold, ...]] = {}

    def steps(block: Block) -> tuple[Step, ...]:
        left, folds[block] = _folded(without(block.steps, is_idle))
        return left

    def doc(block: Block) -> str:
        return f"{block.doc}\n\n{FOLDED}".strip() if folds[block] else block.doc

    return Rewriter(steps, doc).program(program), folds


def _has(blocks: Mapping[str, Block], target: str, name: str) -> bool:
    """Whether a block still takes an argument; ops do."""
    return target not in blocks or name in blocks[target].parameter


def folds(network: Network, by_block: Mapping[Block, Sequence[Fold]]) -> Iterator[Fold]:
    """The folds in the whole of a network that is not for inference, by path."""

    for path, call in calls(network):
        names = {inner.name for inner in call.body.calls}
        own = by_block.get(call.body.target, ()) if isinstance(call.body.target, Block) else ()
        for fold in own:
            if {*fold.into, fold.layer, fold.norm} <= names:
                yield fold.within(path)


# ------------------------------------------------------------------------------ blocks of others


class Rewriter:
    """A program with other steps in its blocks; each block is made once."""

    def __init__(
        self,
        steps: Callable[[Block], tuple[Step, ...]],
        doc: Callable[[Block], str] = lambda block: block.doc,
    ) -> None:
        self.steps, self.doc = steps, doc
        self.blocks: dict[Block, Block] = {}

    def program(self, program: Program) -> Program:
        blocks = {name: self.block(block) for name, block in program.blocks.items()}
        defaults = {
            name: {k: self.node(node) for k, node in given.items() if _has(blocks, name, k)}
            for name, given in program.defaults.items()
        }
        return replace(
            program,
            parameters=tuple(map(self.parameter, program.parameters)),
            lets=tuple((name, self.node(node)) for name, node in program.lets),
            defaults=defaults,
            blocks=blocks,
            rows=tuple(map(self.row, program.rows)),
        )

    def target(self, target: Op | Block) -> Op | Block:
        return self.block(target) if isinstance(target, Block) else target

    def node(self, node: Node) -> Node:
        """An expression with the blocks in it replaced."""
        if isinstance(node, ex.Literal) and isinstance(node.value, Block):
            return replace(node, value=self.block(node.value))
        return ex.mapped(node, self.node)

    def parameter(self, parameter: Parameter) -> Parameter:
        default = parameter.default
        return replace(parameter, default=None if default is None else self.node(default))

    def row(self, row: RowTemplate) -> RowTemplate:
        target = self.target(row.target)
        given = {k: self.node(v) for k, v in row.arguments.items() if k in target.parameter}
        return replace(row, target=target, arguments=given)

    def block(self, block: Block) -> Block:
        if block not in self.blocks:
            self.blocks[block] = self.made(block)
        return self.blocks[block]

    def made(self, block: Block) -> Block:
        steps = tuple(replace(s, call=self.invoke(s.call)) for s in self.steps(block))
        made = replace(
            block,
            doc=self.doc(block),
            parameters=tuple(map(self.parameter, block.parameters)),
            lets=tuple((name, self.node(node)) for name, node in block.lets),
            steps=tuple(s if s.when is None else replace(s, when=self.node(s.when)) for s in steps),
        )
        return _without_unread(block, made)

    def invoke(self, invoke: Invoke) -> Invoke:
        target = self.target(invoke.target)
        operands = tuple(o if isinstance(o, Use) else self.invoke(o) for o in invoke.operands)
        given = ((k, self.node(v)) for k, v in invoke.arguments if k in target.parameter)
        return replace(invoke, target=target, operands=operands, arguments=tuple(given))


def without(steps: tuple[Step, ...], gone: Callable[[Invoke], bool]) -> tuple[Step, ...]:
    """Steps without the calls that are `gone`, for which their operand stands, unless they are all
    there is."""
    found: list[Step] = []
    instead: dict[str, str] = {}
    for index, step in enumerate(steps):
        step = renamed(step, instead)
        step = replace(step, call=replace(step.call, operands=_left(step.call, gone)))
        operand = step.call.operands[0]
        if not gone(step.call):
            found.append(step)
        elif isinstance(operand, Invoke):
            found.append(replace(step, call=operand))
        elif step.otherwise is not None:
            found.append(step)  # it chooses between two values
        elif index < len(steps) - 1 or (found and found[-1].name == operand.name):
            instead[step.name] = operand.name
        else:
            found.append(step)
    return tuple(found)


def _left(call: Invoke, gone: Callable[[Invoke], bool]) -> tuple[Use | Invoke, ...]:
    """The operands of a call without the calls that are `gone`."""
    found: list[Use | Invoke] = []
    for operand in call.operands:
        if isinstance(operand, Invoke):
            inner = _left(operand, gone)
            operand = inner[0] if gone(operand) else replace(operand, operands=inner)
        found.append(operand)
    return tuple(found)


def is_idle(call: Invoke | Body) -> bool:
    """Whether it does nothing in evaluation."""
    return isinstance(call.target, Op) and (call.target.training or call.target.idle)


def _folded(steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], tuple[Fold, ...]]:
    """Steps without batch norms that are gone into the layers before them; and which are."""
    count = uses(steps)
    found: list[Step] = []
    folds: list[Fold] = []
    instead: dict[str, str] = {}
    for step in steps:
        step = renamed(step, instead)
        operand = step.call.operands[0]
        into = _giving(operand, step, found, count) if is_norm(step.call.target) else ()
        if not into:
            found.append(step)
            continue
        if isinstance(operand, Invoke):
            own, left = operand, replace(step, call=operand)
        else:
            left = next(other for other in found if other.name == operand.name)
            found.remove(left)
            own, instead[step.name] = left.call, left.name
            count[left.name] = count[step.name]
            otherwise = step.otherwise or left.otherwise
            left = replace(left, doc=left.doc or step.doc, otherwise=otherwise)
        found = [replace(other, call=biased(other.call, into)) for other in (*found, left)]
        folds.append(Fold(own.name, step.call.name, () if into == (own.name,) else into))
    return tuple(found), tuple(folds)


def _giving(
    operand: Use | Invoke, step: Step, above: Sequence[Step], count: Mapping[str, int]
) -> tuple[str, ...]:
    """The layers that give an operand, if nothing else does, and nothing but `step` takes them."""
    if isinstance(operand, Use):
        found = next((other for other in above if other.name == operand.name), None)
        if found is None or count[found.name] != 1 or found.when != step.when:
            return ()
        operand = found.call
    if isinstance(operand.target, Op) and operand.target.joins:
        parts = [_giving(each, step, above, count) for each in operand.operands]
        return tuple(name for part in parts for name in part) if all(parts) else ()
    return (operand.name,) if takes_bias(operand) else ()


def is_norm(target: Op | Block) -> bool:
    """Whether it normalises by running averages."""
    rules = target.weights if isinstance(target, Op) else ()
    return any(rule.role == "variance" for rule in rules)


def takes_bias(call: Invoke | Body) -> bool:
    """Whether it multiplies by a kernel, and may add a bias."""
    rules = call.target.weights if isinstance(call.target, Op) else ()
    return any(rule.groups for rule in rules) and any(rule.switch == "bias" for rule in rules)


def biased(call: Invoke, names: Collection[str]) -> Invoke:
    """A call that gives a bias to those in it that are named."""
    if not names:
        return call
    operands = (o if isinstance(o, Use) else biased(o, names) for o in call.operands)
    given = dict(call.arguments)
    if call.name in names:
        given["bias"] = ex.Literal(True, call.place)
    return replace(call, operands=tuple(operands), arguments=tuple(given.items()))


def renamed(step: Step, instead: Mapping[str, str]) -> Step:
    """A step that takes what stands for the steps which are gone."""
    if not instead:
        return step
    values = passed_on(instead)

    def use(value: Use) -> Use:
        return replace(value, name=instead.get(value.name, value.name))

    def invoke(call: Invoke) -> Invoke:
        operands = tuple(use(o) if isinstance(o, Use) else invoke(o) for o in call.operands)
        given = tuple((k, ex.substitute(v, values)) for k, v in call.arguments)
        return replace(call, operands=operands, arguments=given)

    when = None if step.when is None else ex.substitute(step.when, values)
    otherwise = step.otherwise and use(step.otherwise)
    return replace(step, call=invoke(step.call), when=when, otherwise=otherwise)


def _without_unread(before: Block, block: Block) -> Block:
    """The block without parameters and `let`s that only steps asked for which are gone, and without
    `let`s that nothing reads and that speak of them."""
    gone = _read(before).keys() - _read(block).keys()
    for name, node in block.lets:
        gone |= {name} if ex.names(node).keys() & gone else set()
    lets = tuple((name, node) for name, node in block.lets if name not in gone)
    parameters = tuple(p for p in block.parameters if p.name not in gone)
    return replace(block, lets=lets, parameters=parameters)


def _read(block: Block) -> dict[str, None]:
    """The names that steps and promises of a block mention, directly or by its `let`s."""
    lets = dict(block.lets)
    promised = () if block.channels is None else (block.channels,)
    mentioned = (name for node in (*block.expressions(), *promised) for name in ex.names(node))
    return closure(mentioned, lambda name: ex.names(lets[name]) if name in lets else ())
