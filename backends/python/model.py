"""The render model: all that a generated module says, decided, and nothing of how it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archc.backends.python.text import Expression


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
class Do:
    """A call for its effect."""

    call: Expression


@dataclass(frozen=True, slots=True)
class Filling:
    """A call that gives an array its first values: `callee(arguments)`."""

    callee: str
    """"" where the argument is a function of the array, which an argument of the block names."""
    arguments: tuple[str, ...] = ("{weight}",)
    """They may mention `{weight}`, the array, `{kernel}`, that of the layer, and `{groups}`, how
    many it has."""
    uses: tuple[str, ...] = ()
    """Names that the arguments mention."""
    is_usual: bool = False
    """Whether the framework does so by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialize:
    """Stands behind a layer that owns arrays, until it is known which function fills them."""

    layer: str = ""
    kind: str
    """convolution, transposed, dense, norm or learned."""
    layer_class: str
    """The class by which code knows such layers."""
    fillings: Mapping[str, tuple[Filling, ...]]
    """For each of its arrays the ways to write the same, the best one first."""
    word: str | None = None
    """The helper that fills all of them, if there is one."""
    wrapper: str | None = None
    """The helper that calls it, where the kernel's axes are not what it expects."""
    whole: bool = False
    """Whether it certainly has each array that such a layer may have."""
    groups: str | None = None
    """Of a convolution."""
    depthwise: bool = False
    grouped: bool = False
    """Whether there may be several groups, of a convolution that is not depthwise."""
    single: bool = False
    """Whether there may be one channel for each group; where it is depthwise, one at all."""

    @property
    def is_usual(self) -> bool:
        return all(filling.is_usual for each in self.fillings.values() for filling in each)


@dataclass(frozen=True, slots=True)
class Return:
    value: Expression
    doc: str = ""


@dataclass(frozen=True, slots=True)
class If:
    condition: str
    body: Code
    otherwise: Code = ()

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


Statement = Assign | Do | Initialize | Return | If | For | Table | Rows
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
class Entry:
    """An input of a model that a function makes."""

    variable: str
    shape: str
    layer: str
    """What the input layer is called, as no row is."""


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
    entries: tuple[Entry, ...] = ()
    """The inputs of the model that the function of a network makes."""
    calls: Mapping[str, Expression] = field(default_factory=dict)
    """How each call in it is spelled, by the call's name."""

    @property
    def given(self) -> Expression:
        """The inputs of the model: a variable, or a mapping by name where they are several."""
        if len(self.entries) == 1:
            return self.entries[0].variable
        pairs = (f'"{entry.layer}": {entry.variable}' for entry in self.entries)
        return f"{{{', '.join(pairs)}}}"

    @property
    def parameters(self) -> list[str]:
        """All of them as a signature has them."""
        return [*map(str, self.plain), *(["*"] if self.named else []), *map(str, self.named)]


@dataclass(frozen=True, slots=True)
class Initial:
    """What the model as a whole applies to its layers."""

    function: str | None = None
    body: Code = ()
    """Of that function, if it is the module's own."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A function of no arguments that makes what several layers are given."""

    name: str
    value: Expression

    @property
    def body(self) -> Code:
        return (Return(self.value),)


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
    initial: Initial
    """What the model applies to its layers, to give them their first weights. No `Initialize` is
    left in the code."""
    shared: tuple[Shared, ...]
    serving: tuple[str, ...]
    """The definitions that serve as activations, and are told their channels."""
    taps: tuple[str, ...]
    """The names of the feature maps that the model can return."""
