"""What a module calls its model and its blocks, and they their inputs and arguments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from archc.backends import BackendError
from archc.backends.python import usage
from archc.backends.python.arguments import value_of
from archc.backends.python.helpers import definitions
from archc.backends.python.language import Language
from archc.backends.python.text import Names
from archc.backends.python.usage import bodies, used_blocks
from archc.compiler.ir import pruning
from archc.compiler.ir.interface import Argument, interface, sized_inputs
from archc.compiler.ir.network import Block, Network, Op
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Literal, Value
from archc.compiler.language.initializers import Initializer
from archc.compiler.language.names import BUILTINS
from archc.compiler.language.values import Type

NETWORK_VARIABLES = (
    *("x", "prev", "layer", "inputs", "input_shape"),
    *("features", "features_only", "outputs", "auxiliary", "taps", "named", "index"),
)
"""Names that the code of a whole network uses itself."""

NOT_SAVED = frozenset(NETWORK_VARIABLES) - {"prev"} | {"dict", "str", "enumerate"}
"""Those, and Python's, that no row's value may be saved under in a method of a network."""


_TYPES = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "numbers": "float | tuple[float, ...]",
    "size": "int | tuple[int, int]",
    "padding": "str | tuple[int, int, int, int]",
    "sides": "tuple[int, int, int, int]",
}
"""The types of arguments by kind, as Python has them."""

_ORDER = ["int", "float", "bool", "str", "tuple"]


def shape_arguments(network: Network) -> dict[str, str]:
    """By each input that is a feature map, what a function that makes a model calls its shape."""
    maps = [name for name, own in network.inputs.items() if own.tensor.is_map]
    names = Names((*(parameter.name for parameter in network.kept), *network.inputs))
    return {name: names.new(f"{name}_shape") for name in maps}


def _layers(network: Network, blocks: Iterable[Block]) -> set[str]:
    """What layers are called where they stand."""
    rows = {row.group or row.call.name for row in network.rows}
    return rows | {invoke.name for block in blocks for _, invoke in block.invokes()}


def _require_free(met: Collection[str], what: str, language: Language) -> None:
    """Raises `BackendError` where names of a spec are a framework's. Those of the shipped backends
    are refused with the spec, by `archc.compiler.language.names`."""
    if met:
        said = f"cannot call {what} `{min(met)}`: {language.title}'s code uses the name itself"
        raise BackendError(said)


class ModuleNames:
    """What a module calls its model and its blocks, and they their inputs and arguments; and which
    of the language's names and helpers it turns out to use."""

    def __init__(self, network: Network, language: Language) -> None:
        self.network, self.language = network, language
        self.model = network.name
        # What people call a model by is theirs: blocks make way.
        self.kept = frozenset(parameter.name for parameter in network.kept)
        met = {*language.names, *language.handed, *definitions(language.helpers)}
        _require_free({self.model, *self.kept} & met, "a model or its argument", language)
        own = {*met, *language.local, language.size}
        names = Names((*own, *NETWORK_VARIABLES, *BUILTINS, self.model, *self.kept))
        self.seen = bodies(network)
        used = used_blocks(network, self.seen)
        _require_free(_layers(network, used) & language.attributes, "a layer", language)
        self.blocks = {block: names.new(language.block_name(block.name)) for block in used}
        self.taken = frozenset({*own, self.model, *self.blocks.values()})
        self.inputs = {b: Names(self.taken).every(b.inputs) for b in self.blocks}
        self.arguments = {b: self._arguments(b) for b in self.blocks}
        self.left_open = usage.left_open(network)
        self.opened = pruning.left_open(network)
        self.told_later = {op.name for op, name in self.opened if name == "channels"}
        """The ops whose channels an argument of the model may decide."""
        self.used: set[str] = set()
        self.bodies = network.called

    def _arguments(self, block: Block) -> dict[str, str]:
        names = [argument.name for argument in interface(block).arguments]
        return Names({*self.taken, *self.inputs[block].values()}).every(names)

    def sources(self, sole: str) -> list[str]:
        """The variables of the model's inputs: `sole`, or their names where they are several."""
        every = [*self.network.inputs]
        return [sole] if len(every) == 1 else every

    def every(self) -> set[str]:
        """All names that the code of the module may use."""
        found = {*self.taken, *self.kept, *self.network.inputs, *NETWORK_VARIABLES, *BUILTINS}
        found |= {row.call.name for row in self.network.rows}
        for block, arguments in self.arguments.items():
            found |= {*arguments.values(), *self.inputs[block].values()}
            found |= {name for s, i in block.invokes() for name in (s.name, i.name)}
        return found

    def use(self, name: str) -> str:
        """`name`, which the module's code uses: it may have to import or define it, or what it is
        an attribute of."""
        self.used.add(name.partition(".")[0])
        return name

    def values(self, block: Block, argument: Argument) -> list[Value]:
        """What the calls of a block give for an argument, over the whole network."""
        nodes = (value_of(body, argument) for body in self.bodies.get(block, ()))
        return [node.value for node in nodes if isinstance(node, Literal)]

    def annotation(
        self, type_: Type, optional: bool, opened: bool, values: Collection[Value] = ()
    ) -> str:
        """The type of an argument; where its kind does not tell, that of its `values`.

        A user of the model decides what is `opened`.
        """
        found = _TYPES.get(type_.kind) or self.language.types.get(type_.kind)
        if type_.kind == "activation":
            found = self.activation_type(opened, values)
        if any(isinstance(value, Initializer) for value in values):
            found = self.language.types["initializer"]
        kinds = {type(ex.compact(value)).__name__ for value in values if value is not None}
        found = found or " | ".join(sorted(kinds, key=_ORDER.index)) or "int"
        self.used |= {*re.findall(r"\w+", found)} & {*self.language.names}
        return f"{found} | None" if optional else found

    def activation_type(self, opened: bool, values: Collection[Value]) -> str:
        if opened:
            return self.language.open_activation[0]
        types = self.language.types
        blocks = not values or any(isinstance(value, ex.Definition) for value in values)
        return types["activation"] if blocks else types.get("word", types["activation"])

    def serving(self) -> tuple[str, ...]:
        """The blocks that serve as activations where a block takes one as an argument, and are told
        their channels."""
        ops = [(b, i.name) for b in self.blocks for _, i in b.invokes() if isinstance(i.target, Op)]
        found = {body.target for at in ops for body in self.seen.get(at, ())}
        return tuple(n for b, n in self.blocks.items() if b in found and sized_inputs(b))

    def activation(self, value: str | Block) -> str:
        """The argument that means an activation, by a word or a block."""
        if isinstance(value, Block):
            return self.blocks[value]
        return self.language.activation(value, self.use)

    def initializer(self, value: Initializer) -> str:
        """The argument that means an initializer."""
        return self.language.initializer(value, self.use)
