"""What a YAML file may say, as frozen pydantic models. Every node knows its place.

The models check structure alone: keys, kinds of value, names, and that expressions can be read.
What the names mean is the business of `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from archc.compiler.language.names import (
    INPUT,
    check_input_name,
    check_model_name,
    check_name,
)
from archc.compiler.language.problems import Problem, Source, choices, quote, suggest
from archc.compiler.language.values import KINDS
from archc.compiler.language.values import Type as ParameterType
from archc.compiler.spec import kinds, reader
from archc.compiler.spec.nodes import SpecNode, like
from archc.compiler.spec.reader import Scalar
from archc.compiler.spec.rows import ChangeSpec, Doc, Entry, check_parameter_name

FORMAT = 1
"""The version of the spec format, which every file names first."""


def _type(value: object) -> ParameterType:
    text = kinds.scalar(value, "a type")
    kind, optional = text.removesuffix("?"), text.endswith("?")
    if kind not in KINDS:
        hint = suggest(kind, KINDS) or choices(KINDS) + ", with a `?` where it may be none"
        raise kinds.refusal(Problem("E034", f"unknown type {quote(text)}", text.place, hint))
    return ParameterType(kind, optional)


ParameterName = Annotated[
    Scalar, kinds.checked(check_parameter_name, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)
]
TensorName = Annotated[str, kinds.checked(check_name, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)]
ModelName = Annotated[
    str, kinds.checked(check_model_name, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)
]
InputName = Annotated[
    Scalar, kinds.checked(check_input_name, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)
]
TypeName = Annotated[
    ParameterType,
    PlainValidator(_type),
    WithJsonSchema({"enum": [kind + mark for kind in KINDS for mark in ("", "?")]}),
]


class ParameterSpec(SpecNode):
    """A parameter of a network or a block; `kernel: int` is short for `kernel: {type: int}`."""

    example = "write `{type: int, default: 1}`, or the type alone"

    type: TypeName
    default: kinds.Expression = None
    min: kinds.Number | None = None
    max: kinds.Number | None = None
    above: kinds.Number | None = None
    below: kinds.Number | None = None
    usual: kinds.Range | None = None
    keep: kinds.Flag = False
    doc: kinds.Text = ""

    @model_validator(mode="wrap")
    @classmethod
    def _short(cls, value: Any, handler: Callable[[Any], Self]) -> Self:
        if isinstance(value, Scalar):
            return handler(like(value, {Scalar("type", value.place): value}))
        return handler(value)


class InputSpec(SpecNode):
    """The input's shape; other heights and widths work too, this one is counted."""

    example = "write `{channels: 3, height: 224, width: 224}`"

    channels: kinds.Value
    height: kinds.Value
    width: kinds.Value
    range: kinds.Expression = None
    doc: Doc = None


class NamedInputSpec(InputSpec):
    """One of several inputs: a feature map, or a vector where it says its channels alone."""

    example = "write `{channels: 3, height: 224, width: 224}`, or `{channels: 16}` for a vector"

    height: kinds.Expression = None
    width: kinds.Expression = None


class StepSpec(SpecNode):
    """`name: expression`, with `when: condition` beside it if the step is optional, and then
    perhaps `else: tensor`."""

    example = "write `- name: expression`"

    name: kinds.LayerName
    value: kinds.Value
    when: kinds.Expression = None
    otherwise: kinds.Expression = Field(None, alias="else")
    doc: Doc = None

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        names = [key for key in value if key not in STEP_KEYS]
        if len(names) != 1:
            message = f"a step is one `name: expression`, not {len(names)}"
            hints = [hint for hint in (suggest(name, STEP_KEYS) for name in names) if hint]
            hint = hints[0] if hints else cls.example
            raise kinds.refusal(Problem("E012", message, value.place, hint))
        rest = {key: item for key, item in value.items() if key in STEP_KEYS}
        return like(value, {"name": names[0], "value": value[names[0]], **rest})


STEP_KEYS = ("when", "else", "doc")
"""What may stand beside the name of a step."""


class BlockSpec(SpecNode):
    """A block: what it takes, and its steps from input to output."""

    doc: kinds.Text = ""
    inputs: tuple[TensorName, ...] = ("x",)
    params: dict[ParameterName, ParameterSpec] = Field({})
    let: dict[kinds.Name, kinds.Value] = Field({})
    steps: Annotated[tuple[StepSpec, ...], BeforeValidator(lambda v: _few(v)), Field(min_length=1)]
    returns: kinds.Expression = None
    on_vectors: kinds.Name | None = None
    """The activation that stands in for the block, used as one, where there is no feature map."""
    channels: kinds.Expression = None
    """How many channels the block gives, where its steps do not show it plainly. Checked."""
    replace: kinds.Flag = False
    """Whether it takes the place of the block of its name in a file that this one builds on."""


MAX_STEPS = 512


def _few(steps: Any) -> Any:
    if isinstance(steps, reader.Sequence) and len(steps) > MAX_STEPS:
        message, hint = f"a block of more than {MAX_STEPS} steps", "make blocks of parts of it"
        raise kinds.refusal(Problem("E008", message, steps.place, hint))
    return steps


class Spec(SpecNode):
    """A file: a network, a block library, or both."""

    example = f"a spec starts with `archc: {FORMAT}`"

    archc: Annotated[Literal[1], BeforeValidator(lambda value: version(value))]
    name: ModelName | None = None
    source: kinds.Text = ""
    doc: kinds.Text = ""
    use: tuple[kinds.FileName, ...] = ()
    extends: kinds.FileName | None = None
    set: dict[kinds.Name, kinds.Value] = Field({})
    change: Annotated[tuple[ChangeSpec, ...], Field(min_length=1)] = ()
    params: dict[kinds.Name, ParameterSpec] = Field({})
    let: dict[kinds.Name, kinds.Value] = Field({})
    require: tuple[kinds.Value, ...] = ()
    input: InputSpec | None = None
    inputs: Annotated[dict[InputName, NamedInputSpec], Field(min_length=1)] | None = None
    output_stride: kinds.Expression = None
    dilate_strided: kinds.Expression = None
    defaults: dict[kinds.Name, dict[kinds.Name, kinds.Value]] = Field({})
    network: Annotated[tuple[Entry, ...], Field(min_length=1)] | None = None
    blocks: dict[kinds.Name, BlockSpec] = Field({})
    _bases: tuple[Source, ...] = PrivateAttr(())
    _doubts: tuple[Problem, ...] = PrivateAttr(())

    @property
    def given(self) -> Mapping[Any, InputSpec]:
        """What the network is given, by name; nothing is given to a block library."""
        if self.inputs is not None:
            return {**self.inputs}
        return {} if self.input is None else {INPUT: self.input}

    @property
    def bases(self) -> tuple[Source, ...]:
        """The files that this spec extends, the first of the chain first."""
        return self._bases

    @property
    def doubts(self) -> tuple[Problem, ...]:
        """What to warn of in its changes."""
        return self._doubts

    def on(self, base: Spec, doubts: Iterable[Problem], **update: Any) -> Spec:
        """`base` with `update`, as a spec of this file, and what to warn of in it."""
        merged = base.model_copy(update={"extends": self.extends, **update})
        own = base.place if base.extends is None else base.extends.place
        merged._bases = (*base.bases, own.source)
        merged._doubts = tuple(doubts)
        return merged


def version(value: object) -> int:
    """The version of the format, which is this one."""
    given = kinds.scalar(value, "the version of the format")
    if given != str(FORMAT):
        message = f"the version of the format is {quote(given)}"
        hint = f"this archc reads `archc: {FORMAT}`"
        raise kinds.refusal(Problem("E012", message, given.place, hint))
    return FORMAT
