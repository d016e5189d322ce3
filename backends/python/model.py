"""The render model: all that a generated module says, decided, and nothing of how it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archc.backends.python.text import Apply, Expression, apply


@dataclass(frozen=True, slots=True)
class Assign:
    """`target: annotation = value  # comment`."""

    target: str
    value: Expression
    comment: str = ""
    annotation: str | None = None
    doc: str = ""
    """What stands above it as a comment."""

    @property
    def before(self) -> str:
        annotation = "" if self.annotation is None else f": {self.annotation}"
        return f"{self.target}{annotation} = "


@dataclass(frozen=True, slots=True)
class Initialize:
    """`function(layer)`, which gives the layer's kernel its first values."""

    layer: str
    function: str
    wrapper: str | None = None
    """The function that calls it, where the kernel's axes are not what it expects."""

    @property
    def call(self) -> Apply:
        given = [self.function, self.layer]
        return apply(self.wrapper, *given) if self.wrapper else apply(*given)


@dataclass(frozen=True, slots=True)
class Return:
    value: Expression
    doc: str = ""


@dataclass(frozen=True, slots=True)
class If:
    condition: str
    body: Code

    @property
    def opening(self) -> str:
        return f"if {self.condition}:"


@dataclass(frozen=True, slots=True)
class For:
    """`for variable in values:`."""

    variable: str
    values: str
    body: Code

    @property
    def opening(self) -> str:
        return f"for {self.variable} in {self.values}:"


@dataclass(frozen=True, slots=True)
class Table:
    """`target = opening rows closing`, a row a line however long, each with its comment."""

    target: str
    opening: str
    rows: tuple[Assign, ...]
    """Each for its value and what is said of it; it is assigned to nothing."""
    closing: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Statements of a line each, however long."""

    body: Code


Statement = Assign | Initialize | Return | If | For | Table | Rows
Code = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    annotation: str
    default: str | None = None

    def __str__(self) -> str:
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}: {self.annotation}{default}"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of tensors."""

    inputs: tuple[Parameter, ...]
    body: Code
    doc: str = ""
    returns: str = ""
    """The type of what it gives, where that is no tensor."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or a function: of a block, or of the whole network."""

    name: str
    doc: str
    plain: tuple[Parameter, ...]
    """Parameters that calls give by position."""
    named: tuple[Parameter, ...]
    body: Code
    """Of the function, or of the class's constructor."""
    forward: Method | None = None
    """What the class computes; None where that is its sequence."""
    features: Method | None = None
    """What computes the tapped feature maps, into `features`."""
    rest: Code = ()
    """What the function of a network computes after the last tapped feature map."""
    result: str = "x"
    """What the function of a network makes the outputs of the model."""
    sequence: bool = False
    """Whether the class's layers run one after the other, in their order."""
    calls: Mapping[str, Expression] = field(default_factory=dict)
    """How each call in it is spelled, by the call's name."""

    @property
    def parameters(self) -> list[str]:
        """All of them as a signature has them."""
        return [*map(str, self.plain), *(["*"] if self.named else []), *map(str, self.named)]


@dataclass(frozen=True, slots=True)
class Module:
    """A whole module. Its last definition is the network's."""

    doc: str
    used: frozenset[str]
    """The names of `Language.names`, and of helpers, that its code mentions."""
    helpers: tuple[str, ...]
    blocks: Mapping[str, Definition]
    """By the block's name in the spec, in the order in which they are written."""
    network: Definition
    initializer: str | None
    """The function that gives every kernel its first values, where it is one for all of them: then
    no `Initialize` is left in the code."""
    serving: tuple[str, ...]
    """The definitions that serve as activations, and are told their channels."""
    input: str
    """What an input layer is called, as no row is."""
    taps: tuple[str, ...]
    """The names of the feature maps that the model can return."""
