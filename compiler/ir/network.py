"""The IR: block definitions, and calls of blocks and ops with everything worked out."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Definition, Literal, Node, Value, walk
from archc.compiler.language.initializers import NAMED, Initializer, fans
from archc.compiler.language.problems import Invalid, Place
from archc.compiler.language.values import Type, show


@dataclass(frozen=True, slots=True)
class Tensor:
    """The shape of one value without the batch: a feature map, or a vector (height is None)."""

    channels: int
    height: int | None = None
    width: int | None = None
    strides: tuple[int, int] = (1, 1)
    """Total downsampling of rows and columns since the network's input."""
    dilation: tuple[int, int] | None = None
    """By how much windows on it are dilated, for strides that an output stride took away; None
    where none does."""

    @property
    def stride(self) -> int | tuple[int, int]:
        return self.strides[0] if self.strides[0] == self.strides[1] else self.strides

    @property
    def is_map(self) -> bool:
        return self.height is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width), or (channels,)."""
        if self.height is None or self.width is None:
            return (self.channels,)
        return (self.channels, self.height, self.width)

    @property
    def area(self) -> int:
        return (self.height or 1) * (self.width or 1)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.channels * self.area

    def __str__(self) -> str:
        return "x".join(map(str, self.shape))


@dataclass(frozen=True, slots=True)
class OutputStride:
    """Strides beyond a total one become dilations of what follows."""

    stride: int
    itself: bool = False
    """Whether an op that loses its stride is dilated by it, too."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named argument of an op, a block or a network. `min` and `max` are within bounds."""

    name: str
    type: Type
    default: Node | None = None
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    keep: bool = False
    fixed: bool = False
    """Whether the value must be known when code is generated: a step writes it out."""
    doc: str = ""
    place: Place | None = field(default=None, compare=False, repr=False)
    usual: tuple[float, float] | None = None
    """Values outside of this range are probably slips (W001)."""
    fanless: bool = False
    """Whether what this initializer fills has no fans."""
    varies: bool = False
    """Whether calls of its block may differ in it, though it decides what the code looks like."""
    bounds: tuple[tuple[float, Callable[[float, float], bool], str], ...] = field(
        init=False, compare=False, repr=False
    )
    """Of the four those that there are, each with what must hold, in words too."""

    def __post_init__(self) -> None:
        every = (
            (self.min, operator.ge, "at least"),
            (self.max, operator.le, "at most"),
            (self.above, operator.gt, "above"),
            (self.below, operator.lt, "below"),
        )
        bounds = tuple((bound, *rest) for bound, *rest in every if bound is not None)
        object.__setattr__(self, "bounds", bounds)

    @property
    def required(self) -> bool:
        return self.default is None and not self.type.optional

    def take(self, value: object, what: str | None = None) -> Value:
        """`value` as this parameter's type, within its bounds. Raises `Invalid`."""
        what = what or f"`{self.name}`"
        taken = self.type.take(value, what)
        if self.fanless and isinstance(taken, Initializer) and taken.has_fans:
            message = (
                f"{what} is `{taken}`, which depends on fans; only kernels and biases have them"
            )
            raise Invalid("E034", message, "say numbers, as in `normal(0.01)`")
        if self.bounds:
            for number in taken if isinstance(taken, tuple) else (taken,):
                self.check_bounds(number, what)
        return taken

    def check_bounds(self, number: object, what: str) -> None:
        if isinstance(number, bool) or not isinstance(number, int | float):
            return
        for bound, fits, words in self.bounds:
            if not fits(number, bound):
                raise Invalid("E035", f"{what} is {show(number)}; it must be {words} {show(bound)}")


@dataclass(frozen=True, slots=True)
class Weight:
    """One array that an op owns. `shape` is PyTorch's; so are the names."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    fans: tuple[int, int] = (0, 0)
    """(fan_in, fan_out) of a kernel, or of a bias those of the kernel beside it, as its initializer
    counts them."""
    trainable: bool = True
    role: str = "kernel"
    """What it does in its layer: kernel, bias, scale, ..."""

    @property
    def size(self) -> int:
        return prod(self.shape)


Arguments = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRule:
    """One array that an op owns, for whatever it is called with."""

    name: str
    role: str
    axes: tuple[str, ...]
    """The letters of its axes, in any order; where there are several ways to tell them, each.
    O outputs, I inputs, H height, W width, C channels, M multiplier."""
    shape: Callable[[Arguments, Tensor, Tensor], tuple[int, ...]]
    """shape(arguments, output, input) -> the array's, in PyTorch's layout."""
    outputs: int = 0
    """The axis of a kernel's shape that counts the outputs."""
    groups: Callable[[Arguments, Tensor, Tensor], int] | None = None
    """groups(arguments, output, input) -> those of a kernel; None for all else."""
    kernel: WeightRule | None = None
    """Whose fans a bias has."""
    init: str | None = None
    """The argument that says how it starts, if it is not `init`."""
    initializer: str | None = None
    """The word for how it starts, where no argument says it."""
    switch: str | None = None
    """The argument without which there is no such array."""
    trainable: bool = True

    def weights(self, a: Arguments, y: Tensor, x: Tensor) -> Iterator[Weight]:
        """The array of one call, where there is one."""
        if self.switch is None or a[self.switch]:
            initializer = self.start(a)
            counted = (self.kernel or self).fans(a, y, x, initializer.convention)
            shape = self.shape(a, y, x)
            yield Weight(self.name, shape, initializer, counted, self.trainable, self.role)

    def fans(self, a: Arguments, y: Tensor, x: Tensor, convention: str) -> tuple[int, int]:
        """(fan_in, fan_out) as a `convention` counts them; 0 of what is no kernel."""
        if self.groups is None:
            return 0, 0
        return fans(self.shape(a, y, x), self.groups(a, y, x), self.depthwise, convention)

    def start(self, a: Arguments) -> Initializer:
        """How it starts: a number is what every element starts as."""
        given = a.get(self.init or "init")
        if self.initializer is not None and not (self.init and isinstance(given, Initializer)):
            return NAMED[self.initializer]
        if isinstance(given, Initializer):
            return given
        assert isinstance(given, int | float)
        return Initializer("constant", (float(given),))

    @property
    def depthwise(self) -> bool:
        """Whether it is the kernel of a depthwise convolution."""
        return any("M" in axes for axes in self.axes)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs at batch 1."""

    weights: tuple[Weight, ...] = ()
    macs: int = 0
    """Multiply-accumulates of convolutions and dense layers."""
    other: int = 0
    """Elementwise and pooling operations, which are not MACs."""


def _kept(given: Mapping[str, Node], fed: bool) -> bool:
    return fed


def _none(a: Arguments, y: Tensor, *inputs: Tensor) -> int:
    return 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """A primitive, with all that the compiler knows of it. What a backend adds is a spelling, and
    a place for each of its weights."""

    name: str
    doc: str
    inputs: tuple[str, ...] = ("x",)
    variadic: bool = False
    """Whether it takes any number of tensors, which its one input stands for."""
    parameters: tuple[Parameter, ...] = ()
    shape: Callable[..., Tensor]
    """shape(arguments, *inputs) -> output; raises `Invalid`."""
    channels: str | None
    """The output's channels as an expression. None where they depend on the input's size, so that
    what follows works at the declared size alone."""
    flattens: bool = False
    """Whether its channels are those of its input where that is of one cell."""
    one_cell: Callable[[Mapping[str, Node], bool], bool] = _kept
    """one_cell(arguments, fed) -> whether a step sees that it gives a map of one cell, or a vector;
    `fed` says so of all its inputs. `arguments` are those that the step gives."""
    divisor: str | None = None
    """The parameter that must divide the channels of input and output."""
    cuts: tuple[str, ...] = ()
    """Parameters that must lie within the channels of the input."""
    weights: tuple[WeightRule, ...] = ()
    macs: Callable[..., int] = _none
    """macs(arguments, output, *inputs) -> multiply-accumulates at batch 1."""
    other: Callable[..., int] = _none
    """other(arguments, output, *inputs) -> elementwise and pooling operations at batch 1."""
    window: bool = False
    """Whether a window of its `kernel` slides over its input by its `stride`."""
    sized: tuple[str, ...] = ()
    """Inputs whose channels its code has to be told."""
    fresh: bool = False
    """Whether its result is an array of its own, which neither hands on the input nor is looked at
    again: what follows may write over it."""
    training: bool = False
    """Whether it does something in training only."""
    idle: bool = False
    """Whether it gives its input as it is."""
    joins: bool = False
    """Whether its channels are those of its inputs, one input after another."""
    affine: tuple[str, str] | None = None
    """The arguments that it multiplies each channel by, and adds then."""
    operator: str | None = None
    """How an expression of tensors spells it: `a + b`."""

    @cached_property
    def parameter(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    def __reduce__(self) -> tuple[Callable[[str], Op], tuple[str]]:
        """Pickled by name: what it computes is a function of this process."""
        return _op, (self.name,)

    def cost(self, a: Arguments, y: Tensor, *inputs: Tensor) -> Cost:
        """What a call with these arguments, output and inputs costs."""
        weights = tuple(weight for rule in self.weights for weight in rule.weights(a, y, *inputs))
        return Cost(weights, self.macs(a, y, *inputs), self.other(a, y, *inputs))


def _op(name: str) -> Op:
    from archc.compiler.ir.catalogue import CATALOGUE  # which is made of this

    return CATALOGUE[name]


@dataclass(frozen=True, slots=True)
class Use:
    """A tensor by its name within a block."""

    name: str
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Invoke:
    """One call within a step: an op or a block on tensors, under a name of its own."""

    name: str
    target: Op | Block
    operands: tuple[Use | Invoke, ...]
    arguments: tuple[tuple[str, Node], ...]
    place: Place = field(compare=False, repr=False)

    def walk(self) -> Iterator[Invoke]:
        """The calls this one needs first, then itself."""
        for operand in self.operands:
            if isinstance(operand, Invoke):
                yield from operand.walk()
        yield self


@dataclass(frozen=True, slots=True)
class Step:
    """A named value of a block. Where `when` is false it is another value, passed through."""

    name: str
    call: Invoke
    when: Node | None
    place: Place = field(compare=False, repr=False)
    doc: str = ""
    """What the spec says of it, on one line."""
    otherwise: Use | None = None
    """What is passed through, if it is not the first tensor that the step uses."""

    @property
    def passed(self) -> str:
        """What it passes through where it is left out."""
        call: Invoke | Use = self.otherwise or self.call
        while isinstance(call, Invoke):
            call = call.operands[0]
        return call.name


def uses(steps: Iterable[Step]) -> Counter[str]:
    """How often each value of a block is an operand of its steps, or stands for one that is left
    out."""
    found: Counter[str] = Counter()
    for step in steps:
        calls = step.call.walk()
        found.update(o.name for call in calls for o in call.operands if isinstance(o, Use))
        found.update([step.otherwise.name] if step.otherwise else [])
    return found


@dataclass(frozen=True, eq=False)
class Block(Definition):
    """A block definition: tensors in, one tensor out."""

    name: str
    doc: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    lets: tuple[tuple[str, Node], ...]
    steps: tuple[Step, ...]
    channels: Node | None
    """What the block says of its output's channels."""
    place: Place = field(repr=False)
    on_vectors: str | None = None
    """The activation that stands in for the block where there is no feature map."""

    @cached_property
    def parameter(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def variadic(self) -> bool:
        return False

    def invokes(self) -> Iterator[tuple[Step, Invoke]]:
        """Every call of the block with the step it stands in, in order of evaluation."""
        for step in self.steps:
            for invoke in step.call.walk():
                yield step, invoke

    def called(self) -> list[Block]:
        """Every block that the definition calls, in order of evaluation."""
        targets = (invoke.target for _, invoke in self.invokes())
        return [target for target in targets if isinstance(target, Block)]

    def names(self) -> Iterator[Block]:
        """Every block that the definition calls, or names where an activation belongs."""
        yield from (*self.called(), *self.activations)

    @cached_property
    def activations(self) -> tuple[Block, ...]:
        """Every block that the definition names where an activation belongs."""
        nodes = [p.default for p in self.parameters if p.default is not None]
        nodes += [node for _, node in self.lets]
        return tuple(block for node in (*nodes, *self.expressions()) for block in named(node))

    def expressions(self) -> Iterator[Node]:
        """Every expression of the steps: their conditions, and what they give to calls."""
        yield from (step.when for step in self.steps if step.when is not None)
        yield from (node for _, invoke in self.invokes() for _, node in invoke.arguments)


def named(node: Node) -> Iterator[Block]:
    """The blocks that an expression names."""
    values = (n.value for n in walk(node) if isinstance(n, Literal))
    return (value for value in values if isinstance(value, Block))


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What a call of a target with given arguments and input shapes comes to."""

    target: Op | Block
    arguments: Arguments
    """Values of all parameters, and for a block of its lets."""
    inputs: tuple[Tensor, ...]
    output: Tensor
    cost: Cost
    """An op's own; a block's is that of its calls, added up by the analysis."""
    calls: tuple[Call, ...] = ()
    result: int = -1
    """Which value the block returns: see `Call.feeds`."""
    ops: int = 1
    """How many ops this is once blocks are taken apart."""
    unused: frozenset[int] = frozenset()
    """Inputs that the output does not depend on, by number."""
    written: Arguments | None = None
    """The arguments of an op before an output stride changed its stride or its dilation."""
    instead: Block | None = None
    """The block whose stand-in for vectors this has as its activation."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A body at its place in the network.

    `feeds` says where each input comes from: n >= 0 is the n-th call beside this one, and
    -1, -2, ... are the first, second, ... input of what encloses it.
    """

    name: str
    body: Body
    feeds: tuple[int, ...]

    @property
    def needs(self) -> tuple[int, ...]:
        """The feeds that its value depends on."""
        unused = self.body.unused
        if not unused:
            return self.feeds
        return tuple(feed for i, feed in enumerate(self.feeds) if i not in unused)


def bodies_of(called: Iterable[Body]) -> tuple[Body, ...]:
    """Bodies and those of all calls in them, each once."""
    return tuple(closure(called, lambda body: [call.body for call in body.calls]))


@dataclass(frozen=True, slots=True)
class Turn:
    """Which of how many: of the repeats of a row, or of the rows of a table."""

    index: int
    """Counted from 0."""
    count: int


OUTPUT = "output"
"""What the last row's output is called where the row does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row of the network's tables: a call, and how its arguments are to be spelled."""

    call: Call
    spelled: Mapping[str, Node]
    """Arguments that mention a kept parameter, as expressions in it."""
    channels: tuple[Node | None, ...]
    """Each input's channels, where they depend on a kept parameter."""
    group: str | None
    """The table the row stands in, or None where the row has a name of its own."""
    place: Place = field(repr=False)
    when: Node | None = None
    """The condition on kept parameters without which the model leaves the row out."""
    tap: str | None = None
    """What its feature map is called among those that the model can return."""
    output: str | None = None
    """What its value is called among the outputs of the model, if it is one."""
    training: bool = False
    """Whether it runs in training only: no output that is always there depends on it."""
    doc: str = ""
    """What the spec says of it, on one line; of a repeated row, the first repeat has it."""
    dilate: bool = True
    """Whether the network's output stride is for it, too."""
    turns: Mapping[str, Turn] = field(default_factory=dict, repr=False)
    """What `repeat` and `table` mean in its cells, where these ask for it."""


@dataclass(frozen=True, slots=True)
class Input:
    """One of the things that the model is given."""

    tensor: Tensor
    range: Value = None
    """The smallest and the largest value that it holds, where the spec says so."""
    doc: str = ""
    """What else the spec says of it, on one line."""


@dataclass(frozen=True, eq=False)
class Network:
    """A whole network with every number worked out."""

    name: str
    doc: str
    settings: Mapping[str, Value]
    """Every parameter's value."""
    changed: tuple[str, ...]
    """Parameters that were set, in order of declaration."""
    kept: tuple[Parameter, ...]
    """Parameters that stay arguments of the model, with this network's values as defaults."""
    inputs: Mapping[str, Input]
    """What the model is given, by name. `feeds` of the rows count them as -1, -2, ..."""
    rows: tuple[Row, ...]
    output: Tensor
    defaults: Mapping[str, Mapping[str, Value]]
    """Arguments of ops and blocks where a step gives none, by op or block and argument."""
    output_stride: OutputStride | None = None
    inference: bool = False
    """Whether what training alone needs is gone."""
    static: bool = False
    """Whether it is for the declared height and width alone, so that paddings may be numbers."""

    @property
    def size(self) -> str:
        """`224x224`: the height and width of the first input that is a map; "" where none is."""
        maps = (own.tensor for own in self.inputs.values() if own.tensor.is_map)
        return next((f"{x.height}x{x.width}" for x in maps), "")

    @property
    def input(self) -> Tensor:
        """The first of the inputs."""
        return next(iter(self.inputs.values())).tensor

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs in the order of `feeds` that the rows are added to: the first is the last."""
        return tuple(each.tensor for each in self.inputs.values())[::-1]

    @cached_property
    def bodies(self) -> tuple[Body, ...]:
        """Every body once: calls with equal arguments and inputs share theirs."""
        return bodies_of(row.call.body for row in self.rows)

    @cached_property
    def called(self) -> Mapping[Op | Block, Sequence[Body]]:
        """The bodies of each op and block."""
        found: dict[Op | Block, list[Body]] = {}
        for body in self.bodies:
            found.setdefault(body.target, []).append(body)
        return {**found}

    @property
    def called_blocks(self) -> Mapping[Block, Sequence[Body]]:
        """The bodies of each block."""
        every = self.called.items()
        return {target: bodies for target, bodies in every if isinstance(target, Block)}

    @cached_property
    def taps(self) -> Mapping[str, Row]:
        """The rows whose feature maps the model can return, by the name of the tap."""
        return {row.tap: row for row in self.rows if row.tap is not None}

    @cached_property
    def outputs(self) -> Mapping[str, Row]:
        """The rows whose values the model gives, by the name of the output; the last row's is the
        last."""
        return {row.output: row for row in self.rows if row.output is not None}

    @property
    def always(self) -> tuple[str, ...]:
        """The outputs that are there in evaluation too."""
        return tuple(name for name, row in self.outputs.items() if not row.training)

    @cached_property
    def shown(self) -> Mapping[str, str]:
        """Where there are several outputs: under what a comparison of values by path has each, by
        the path of its row."""
        several = len(self.outputs) > 1
        every = self.outputs.items() if several else ()
        return {row.call.name: f"[{name}]" for name, row in every}
