"""From a program to the same one for inference, without what training alone needs.

In: a program, bound. Out: one whose batch norms are gone into the convolution or dense layer just
before them, which has a bias then, and that has no dropout. With them go the parameters of blocks
that nothing else asks for. Blocks keep their names, and layers their paths, so weights of the one
are those of the other but for what `folds` lists.

A batch norm stays where something else takes what it normalises, where it is there under another
condition, or where it follows what is no single convolution. Rows that are ops stay as they are:
other rows count them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archc.compiler.bind.program import Program
from archc.compiler.bind.rows import RowTemplate
from archc.compiler.ir.analysis import calls
from archc.compiler.ir.network import Block, Invoke, Network, Op, Parameter, Step, Use, uses
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
    norm: str


def for_inference(program: Program) -> tuple[Program, dict[Block, tuple[Fold, ...]]]:
    """The program without what training alone needs; and by each block of `program`, the folds in
    it, with the names of calls for paths."""
    folds: dict[Block, tuple[Fold, ...]] = {}

    def steps(block: Block) -> tuple[Step, ...]:
        evaluated = _without_training(block.steps)
        left = _without_folded(evaluated)
        folds[block] = tuple(_folds(evaluated, left))
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
            if {fold.layer, fold.norm} <= names:
                yield Fold(f"{path}.{fold.layer}", f"{path}.{fold.norm}")


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


def _without_training(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Steps without those that do something in training only, unless they are all there is."""
    found: list[Step] = []
    instead: dict[str, str] = {}
    for index, step in enumerate(steps):
        step = renamed(step, instead)
        step = replace(step, call=replace(step.call, operands=_evaluated(step.call)))
        operand = step.call.operands[0]
        if not _is_training(step.call):
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


def _evaluated(call: Invoke) -> tuple[Use | Invoke, ...]:
    """The operands of a call without those that do something in training only."""
    found: list[Use | Invoke] = []
    for operand in call.operands:
        if isinstance(operand, Invoke):
            inner = _evaluated(operand)
            operand = inner[0] if _is_training(operand) else replace(operand, operands=inner)
        found.append(operand)
    return tuple(found)


def _is_training(call: Invoke) -> bool:
    return isinstance(call.target, Op) and call.target.training


def _without_folded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Steps without batch norms that are gone into the layer before them."""
    count = uses(steps)
    found: list[Step] = []
    instead: dict[str, str] = {}
    for step in steps:
        step = renamed(step, instead)
        before = _before(step, found, count)
        if before is None:
            found.append(step)
        elif isinstance(before, Step):
            found.remove(before)
            otherwise = step.otherwise or before.otherwise
            call, doc = _biased(before.call), before.doc or step.doc
            found.append(replace(before, call=call, doc=doc, otherwise=otherwise))
            instead[step.name] = before.name
        else:
            found.append(replace(step, call=_biased(before)))
    return tuple(found)


def _before(step: Step, above: Sequence[Step], count: Mapping[str, int]) -> Step | Invoke | None:
    """What a step that is a batch norm can go into: a step above, or a call within it."""
    if not is_norm(step.call.target):
        return None
    operand = step.call.operands[0]
    if isinstance(operand, Invoke):
        return operand if _takes_bias(operand) else None
    found = next((other for other in above if other.name == operand.name), None)
    alone = found is not None and count[found.name] == 1 and found.when == step.when
    return found if alone and found is not None and _takes_bias(found.call) else None


def is_norm(target: Op | Block) -> bool:
    """Whether it normalises by running averages."""
    rules = target.weights if isinstance(target, Op) else ()
    return any(rule.role == "variance" for rule in rules)


def _takes_bias(call: Invoke) -> bool:
    """Whether it multiplies by a kernel, and may add a bias."""
    rules = call.target.weights if isinstance(call.target, Op) else ()
    return any(rule.groups for rule in rules) and any(rule.switch == "bias" for rule in rules)


def _biased(call: Invoke) -> Invoke:
    given = {**dict(call.arguments), "bias": ex.Literal(True, call.place)}
    return replace(call, arguments=tuple(given.items()))


def _folds(before: Sequence[Step], after: Sequence[Step]) -> Iterator[Fold]:
    """The batch norms that are gone, each with the layer that it is gone into."""
    left = {invoke.name for step in after for invoke in step.call.walk()}
    layers = {step.name: step.call.name for step in before}
    for step in before:
        operand = step.call.operands[0]
        if is_norm(step.call.target) and step.call.name not in left:
            own = operand.name if isinstance(operand, Invoke) else layers[operand.name]
            yield Fold(own, step.call.name)


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
    """The block without parameters and `let`s that only steps asked for which are gone."""
    gone = _read(before).keys() - _read(block).keys()
    lets = tuple((name, node) for name, node in block.lets if name not in gone)
    parameters = tuple(p for p in block.parameters if p.name not in gone)
    return replace(block, lets=lets, parameters=parameters)


def _read(block: Block) -> dict[str, None]:
    """The names that steps and promises of a block mention, directly or by its `let`s."""
    lets = dict(block.lets)
    promised = () if block.channels is None else (block.channels,)
    mentioned = (name for node in (*block.expressions(), *promised) for name in ex.names(node))
    return closure(mentioned, lambda name: ex.names(lets[name]) if name in lets else ())
