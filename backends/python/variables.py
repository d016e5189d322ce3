"""Which variables a block's values are kept in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping

from archc.backends.python.text import Names
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Invoke, Step, Use


def uses(block: Block) -> Counter[str]:
    """How often each value of the block is used as an operand."""
    return Counter(
        operand.name
        for _, invoke in block.invokes()
        for operand in invoke.operands
        if isinstance(operand, Use)
    )


def variables(
    block: Block, inputs: Mapping[str, str], taken: Iterable[str], mentioned: Mentioned
) -> dict[str, str]:
    """A variable for each value: a link of a chain takes its predecessor's, others get their own.

    `mentioned` says which inputs a step's code looks at besides its operands.
    """
    count = uses(block)
    last = {name: i for i, s in enumerate(block.steps) for name in operands(s) | mentioned(s)}
    found = dict(inputs)
    chain = set(inputs.values())
    names = Names({*taken, *chain})
    following: list[Step | None] = [*block.steps[1:], None]
    for index, (step, after) in enumerate(zip(block.steps, following, strict=True)):
        first = step.first
        link = after is None or (count[step.name] == 1 and step.name in operands(after))
        if link and found[first] in chain and last[first] <= index:
            found[step.name] = found[first]
            continue
        found[step.name] = names.new("y" if link and first in inputs else step.name)
        if link and (first in inputs or step.when is not None):
            chain.add(found[step.name])
    return found


Mentioned = Callable[[Step], set[str]]


def no_mentions(step: Step) -> set[str]:
    return set()


def used_operands(call: Invoke) -> list[Use | Invoke]:
    """The operands that the code computes with: a block may look at no more than a stride."""
    used = interface(call.target).used if isinstance(call.target, Block) else None
    return operands_named(call, used)


def operands_named(call: Invoke, names: Container[str] | None) -> list[Use | Invoke]:
    """The operands for the inputs in `names`; all where there are no names."""
    if names is None:
        return list(call.operands)
    pairs = zip(call.target.inputs, call.operands, strict=True)
    return [operand for name, operand in pairs if name in names]


def operands(step: Step) -> set[str]:
    """Names of the values that a step uses."""
    return {o.name for invoke in step.call.walk() for o in invoke.operands if isinstance(o, Use)}
