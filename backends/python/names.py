"""What a module calls its model and its blocks, and they their inputs and arguments."""

from __future__ import annotations

from archc.backends.python.helpers import definitions
from archc.backends.python.language import Language
from archc.backends.python.text import Names
from archc.backends.python.usage import bodies, left_open, used_blocks
from archc.compiler.ir.interface import interface, sized_inputs
from archc.compiler.ir.network import Block, Network, Op
from archc.compiler.language.names import BUILTINS

NETWORK_VARIABLES = (
    *("x", "prev", "layer", "inputs", "input_shape"),
    *("features", "features_only", "outputs"),
)
"""Names that the code of a whole network uses itself."""


class ModuleNames:
    """What a module calls its model and its blocks, and they their inputs and arguments; and which
    of the language's names and helpers it turns out to use."""

    def __init__(self, network: Network, language: Language) -> None:
        self.network, self.language = network, language
        self.model = network.name
        # What people call a model by is theirs: blocks make way.
        self.kept = frozenset(parameter.name for parameter in network.kept)
        own = (*language.names, *definitions(language.helpers))
        names = Names((*own, *NETWORK_VARIABLES, *BUILTINS, self.model, *self.kept))
        self.seen = bodies(network)
        used = used_blocks(network, self.seen)
        self.blocks = {block: names.new(language.block_name(block.name)) for block in used}
        self.taken = frozenset({*own, self.model, *self.blocks.values()})
        self.inputs = {b: Names(self.taken).every(b.inputs) for b in self.blocks}
        self.arguments = {b: self._arguments(b) for b in self.blocks}
        self.left_open = left_open(network)
        self.used: set[str] = set()

    def _arguments(self, block: Block) -> dict[str, str]:
        names = [argument.name for argument in interface(block).arguments]
        return Names({*self.taken, *self.inputs[block].values()}).every(names)

    def use(self, name: str) -> str:
        """`name`, which the module's code uses."""
        self.used.add(name)
        return name

    def serving(self) -> set[Block]:
        """The blocks that serve as activations where a block takes one as an argument, and are told
        their channels."""
        called: dict[tuple[Op | Block, str], Op | Block] = {
            (b, i.name): i.target for b in self.blocks for _, i in b.invokes()
        }
        return {
            body.target
            for at, bodies in self.seen.items()
            for body in bodies
            if isinstance(called[at], Op)
            and isinstance(body.target, Block)
            and sized_inputs(body.target)
        }

    def activation(self, value: str | Block) -> str:
        """The argument that means an activation, by a word or a block."""
        if isinstance(value, Block):
            return self.blocks[value]
        return self.language.activation(value, self.use)
