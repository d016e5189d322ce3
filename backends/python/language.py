"""What the walk over a network asks of a framework's Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from archc.backends.python.spelling import Spelling, Use
from archc.backends.python.text import Expression
from archc.compiler.ir.network import Block, Tensor
from archc.compiler.language.initializers import Initializer

if TYPE_CHECKING:
    from archc.backends.python.model import Definition
    from archc.backends.python.names import ModuleNames


class Definable(Protocol):
    """A walk over a block, or over the network."""

    def definition(self) -> Definition: ...


def _nameless(name: str, within: bool) -> Expression:
    raise NotImplementedError("layers of this framework have no names")


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A framework's words. What is decided for all of them alike is decided in the walk."""

    title: str
    """What the framework is called."""
    folder: Path
    """Holds the template, and the helpers that are copied into what is emitted."""
    names: tuple[str, ...]
    """Names that its code uses itself, so that no block or argument may have them. A model that is
    called so, or takes such an argument, is refused."""
    ops: Mapping[str, Spelling]
    block: Callable[[ModuleNames, Block], Definable]
    """How a block is written: as functions or as modules."""
    network: Callable[[ModuleNames], Definable]
    """How the network is."""
    activation: Callable[[str, Use], str]
    """activation(word, use) -> the argument that means it."""
    initializer: Callable[[Initializer, Use], str]
    """initializer(value, use) -> the argument that means it; it has no fans."""
    block_name: Callable[[str], str]
    """`inverted_residual` -> what its class or function is called."""
    channels_last: bool
    """The order of axes of its feature maps."""
    tensor: str
    """The type of a tensor."""
    types: Mapping[str, str]
    """The types of arguments by kind, beside Python's own; `word` is that of an activation which no
    block serves as."""
    open_activation: tuple[str, str]
    """The type of an activation that a user of the model gives, and what it takes in words."""
    numbers: bool = False
    """Whether its code has paddings as numbers, where a network is for one size alone; else it has
    words for them whose numbers are fixed as soon as the size is."""
    momentum: Callable[[float], float] = lambda decay: decay
    """A batch norm's decay in the framework's own unit."""
    size: str = ""
    """What a constructor calls the channels of its only input."""
    identity: str = ""
    """The class of layers that pass their input on; it may be a helper."""
    layer: str = ""
    """The type of a layer, where all have one: layers may be functions, too."""
    sequence: tuple[str, str] | None = None
    """What stands around layers that run one after the other, where that is a layer itself: a class
    of such layers alone is then one, too. Else code calls each of them."""
    several: tuple[str, str] = ("[", "]")
    """What stands around layers that code calls."""
    local: tuple[str, ...] = ()
    """Names that the code of blocks alone uses itself, so that they meet no argument of a model."""
    attributes: frozenset[str] = frozenset()
    """Those of its layers that none within them may hide."""
    handed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What every constructor takes by name, and hands on to those of its blocks: its type, and what
    it is in words. Spellings of ops hand it on themselves."""
    shared: tuple[str, Callable[[Sequence[tuple[str, str]]], str]] | None = None
    """What calls begin with that several layers are given, and how their function is called: see
    `sharing`."""
    layer_name: Callable[[str, bool], Expression] = _nameless
    """layer_name(name, within) -> the argument that names a layer or a block, where the framework
    asks for one; `within` a block, whose own name goes before."""

    def shape(self, tensor: Tensor) -> list[str]:
        """The sides of a shape in the framework's order of axes."""
        return self.ordered(map(str, tensor.shape))

    def ordered(self, axes: Iterable[str]) -> list[str]:
        """Channels, height and width as the framework has them."""
        channels, *sides = axes
        return [*sides, channels] if self.channels_last else [channels, *sides]

    @property
    def handed_on(self) -> dict[str, Expression]:
        """What a call of a block's constructor is given of `handed`, by name."""
        return {name: name for name in self.handed}

    @property
    def helpers(self) -> Path:
        return self.folder / "helpers.py"
