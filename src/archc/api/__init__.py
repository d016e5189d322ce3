"""The public interface: a spec as a network that counts itself, writes itself and builds itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from archc import backends
from archc.backends import Emitted, Live, Name, SourceFile
from archc.compiler.bind.program import Program
from archc.compiler.ir import analysis
from archc.compiler.ir.analysis import Memory, Totals
from archc.compiler.ir.network import Call, Network, Op
from archc.compiler.ir.ops.parts import pair
from archc.compiler.ir.receptive import Field, of_rows, receptive_fields
from archc.compiler.language.problems import Problem, Source, file_name
from archc.compiler.pipeline import compile_for_inference, compile_program
from archc.compiler.printed import printer
from archc.compiler.spec import given, reader
from archc.compiler.spec.folders import named

if TYPE_CHECKING:
    import keras
    import torch

    from archc.backends.onnx.live import Graph
    from archc.compiler.elaborate.inference import Fold
    from archc.compiler.elaborate.merging import Merge
    from archc.compiler.elaborate.preceding import Lead
    from archc.compiler.elaborate.staying import Stay
    from archc.diff.compare import Diff


class Params(NamedTuple):
    """Numbers of parameters."""

    trainable: int
    """Weights that training changes: PyTorch's `parameters()`."""
    total: int
    """`trainable` and the batch norms' running averages: Keras's `count_params()`."""


class Layer(NamedTuple):
    """One op, or one call of a block, of a network. All figures are for a batch of one."""

    path: str
    """Canonical dotted path: the PyTorch module's, and the Keras layer's name."""
    op: str
    """The op of the catalogue, or the block."""
    output_shape: tuple[int, ...]
    """(channels, height, width), or (features,)."""
    params: Params
    macs: int
    """Multiply-accumulates of convolutions and dense layers."""
    input_shapes: tuple[tuple[int, ...], ...] = ()
    """Of each tensor that it takes."""
    kernel: tuple[int, int] | None = None
    """Rows and columns of its window, where it is an op that has one."""
    receptive_field: Field = None
    """Rows and columns of the input that each of its values sees; None for all of them."""


class Tap(NamedTuple):
    """A feature map that generated models can return."""

    name: str
    path: str
    """The row that gives it."""
    channels: int
    stride: int | tuple[int, int]
    """Pixels of the input for each of its own, along rows and columns where they differ."""
    shape: tuple[int, ...]
    """(channels, height, width) at the declared input."""


class Input(NamedTuple):
    """What generated models take, or one of several things that they take."""

    name: str
    """`input` where it is the only one."""
    shape: tuple[int, ...]
    """(channels, height, width), or (features,), as declared."""


class Output(NamedTuple):
    """What generated models give, or one of the things that they give by name."""

    name: str
    path: str
    """The row that gives it."""
    shape: tuple[int, ...]
    """(channels, height, width), or (features,), at the declared input."""
    stride: int | tuple[int, int] | None
    """Pixels of the input for each of its own, along rows and columns where they differ; None for
    a vector."""
    training_only: bool
    """Whether it is there in training only."""


@dataclass(frozen=True, eq=False)
class Net:
    """A network with every number worked out. Made by `load`."""

    network: Network
    """The IR."""
    spec: Path
    """The file that it was read from; `<text>`, `<mapping>` or `<stdin>` where it is none."""
    program: Program
    """What the file says, before its parameters have values."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What was given for its parameters."""
    trained: Net | None = None
    """Of a network for inference: the one that it is made of."""
    gone: tuple[Fold | Merge | Lead, ...] = ()
    """Of a network for inference: what is gone into which layers, in the order to do it in."""

    def for_inference(self) -> Net:
        """The same network without what training alone needs: batch norms are gone into the
        convolutions and dense layers just before or after them, there is no dropout, and a sum of
        convolutions of one tensor is one convolution."""
        program, network, gone = compile_for_inference(
            self.program, self.network, self.settings, str(self.spec)
        )
        network = replace(network, static=self.network.static)
        return replace(self, network=network, program=program, trained=self, gone=gone)

    def for_one_size(self) -> Net:
        """The same network for its declared height and width alone: in PyTorch and ONNX paddings
        are numbers then. Arrays keep their names and shapes. In Keras they are numbers as soon as a
        model is made, so its source is the same."""
        trained = self.trained and self.trained.for_one_size()
        return replace(self, network=replace(self.network, static=True), trained=trained)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Of a network for inference: the batch norms that are gone into layers before them."""
        from archc.compiler.elaborate.inference import Fold  # what is not for inference needs none

        return tuple(each for each in self.gone if isinstance(each, Fold))

    @property
    def leads(self) -> tuple[Lead, ...]:
        """And the batch norms and rescales that are gone into layers after them."""
        from archc.compiler.elaborate.preceding import Lead

        return tuple(each for each in self.gone if isinstance(each, Lead))

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        """What is legal in the spec and probably a mistake, by file and line."""
        from archc.compiler.elaborate.warn import warnings  # a count waits for nothing

        if self.trained is not None:
            return self.trained.warnings
        return warnings(self.program, self.network)

    @property
    def name(self) -> str:
        """What the spec calls it."""
        return self.network.name

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width) of the declared input; models take other sizes too. Of the
        first, where there are several."""
        return self.network.input.shape

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What generated models take, in order."""
        return tuple(Input(name, own.tensor.shape) for name, own in self.network.inputs.items())

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(channels, height, width), or (features,), at the declared input; of the last output,
        where there are several."""
        return self.network.output.shape

    @cached_property
    def totals(self) -> Totals:
        """Parameters, MACs and other operations of the whole network, batch 1."""
        return analysis.totals(self.network)

    @property
    def params(self) -> Params:
        """Trainable and total numbers of parameters."""
        return Params(self.totals.trainable, self.totals.total)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and dense layers at the declared input, batch 1."""
        return self.totals.macs

    @cached_property
    def memory(self) -> Memory:
        """Bytes of float32 activations at the declared input, batch 1."""
        return analysis.memory(self.network)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every op in order of evaluation."""
        every = zip(analysis.layers(self.network), receptive_fields(self.network), strict=True)
        return tuple(_layer(layer.path, layer.call, layer.totals, seen) for layer, seen in every)

    @cached_property
    def blocks(self) -> tuple[Layer, ...]:
        """Every row of the spec in order."""
        every = zip(self.network.rows, of_rows(self.network), strict=True)
        return tuple(
            _layer(row.call.name, row.call, analysis.body_totals(row.call.body), seen)
            for row, seen in every
        )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The tapped feature maps in order."""
        calls = {name: row.call for name, row in self.network.taps.items()}
        return tuple(
            Tap(name, call.name, output.channels, output.stride, output.shape)
            for name, call in calls.items()
            for output in [call.body.output]
        )

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What generated models give, in order; the last row's is the last. A sole output comes
        without its name."""
        return tuple(
            Output(
                name,
                row.call.name,
                given.shape,
                given.stride if given.is_map else None,
                row.training,
            )
            for name, row in self.network.outputs.items()
            for given in [row.call.body.output]
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the settings could not be taken at their word for, and what a network for inference
        still has of what training needs, with the reason; in sentences."""
        rows: dict[str, list[str]] = {}
        for row in self.network.rows:
            if (block := row.call.body.instead) is not None:
                said = f"`{block.name}` is for feature maps; `{block.on_vectors}` stays in"
                rows.setdefault(said, []).append(row.call.name)
        unasked = (f"{said} {', '.join(names)}" for said, names in rows.items())
        vectors = "it takes vectors alone: there is no size to make it for"
        sizeless = [vectors] if self.network.static and not self.network.size else []
        return (*unasked, *sizeless, *map(str, self.stays))

    @property
    def stays(self) -> tuple[Stay, ...]:
        """Of a network for inference: its batch norms and rescales, by the reason why they stay."""
        if self.trained is None:
            return ()
        from archc.compiler.elaborate.staying import staying  # no other network asks

        return tuple(staying(self.network))

    def source(self, backend: Name) -> str:
        """The generated module's text for a backend: "torch" or "keras"; for "onnx", the textual
        form of its graph. Needs no framework.

        The name of one that does not come with archc is an `archc.OtherBackend` to a type checker.
        Raises `BackendError` where there is no such backend.
        """
        return self.emitted(backend).text

    def source_file(self, backend: Name) -> SourceFile:
        """The generated module for a backend, with its file name."""
        return self._file(backend, self.emitted(backend))

    def emitted(self, backend: str) -> Emitted:
        """The generated module for a backend, and what its model is called there."""
        return backends.get(backend).emit(self.network, file_name(self.spec))

    @property
    def stem(self) -> str:
        """What files that are written for it are called, without their endings."""
        return backends.stem(self.spec.name) + self.suffix()

    def suffix(self, inference: bool = True, static: bool = True) -> str:
        """What such names end with, of what is to be said: `_inference_static`."""
        said = {"_inference": inference and self.network.inference}
        said["_static"] = static and self.network.static
        return "".join(word for word, holds in said.items() if holds)

    def _file(self, backend: str, emitted: Emitted) -> SourceFile:
        return SourceFile(backends.source_name(self.stem, backend), emitted.text)

    @overload
    def build(
        self, backend: Literal["torch"], height: int | None = None, width: int | None = None
    ) -> torch.nn.Module: ...

    @overload
    def build(
        self, backend: Literal["keras"], height: int | None = None, width: int | None = None
    ) -> keras.Model: ...

    @overload
    def build(
        self, backend: Literal["onnx"], height: int | None = None, width: int | None = None
    ) -> Graph: ...

    @overload
    def build(self, backend: Name, height: int | None = None, width: int | None = None) -> Any: ...

    def build(self, backend: Name, height: int | None = None, width: int | None = None) -> Any:
        """A live model with fresh weights, made by running `source(backend)`; for "onnx", what runs
        the graph.

        A PyTorch module is in evaluation mode; `.train()` it before it is trained. A Keras model is
        in the mode of each call, as any is. `height` and `width` in pixels default to the declared
        input's; only Keras asks for them.
        Raises `BackendError` where there is no such backend or its framework is not installed.
        """
        live, size = self.live(backend), self.network.input
        constructor = self._constructor(backend)
        return live.build(constructor, self.network, height or size.height, width or size.width)

    def _constructor(self, backend: str) -> Any:
        """What makes a live model; where it is a graph, what makes its weights."""
        if backends.get(backend).graph is not None:
            from archc.weights.fresh import fresh

            return partial(fresh, self.network)
        from archc.backends.python.execute import execute  # what is not run waits for nothing

        emitted = self.emitted(backend)
        return getattr(execute(self._file(backend, emitted)), emitted.model)

    def live(self, backend: str) -> Live:
        """How to drive live models of a backend; imports its framework."""
        found = backends.get(backend)
        try:
            return found.live()
        except ModuleNotFoundError as error:
            message = f"the backend `{backend}` needs {found.distribution}: {error}"
            raise backends.BackendError(message) from error

    def diff(self, new: Net) -> Diff:
        """What differs in `new`: rows paired as a reader pairs them, and findings of weights, costs
        and callers. What only the words or the order of a spec say is no difference."""
        from archc.diff.compare import compare

        return compare(self, new)

    def __str__(self) -> str:
        """The IR: one line a call, with every number worked out."""
        return printer.text(self.network)

    def __repr__(self) -> str:
        trainable = f"{self.params.trainable:,} trainable parameters"
        return f"<archc.Net {self.name}, input {dims(self.input_shape)}, {trainable}>"


def _layer(path: str, call: Call, totals: Totals, seen: Field) -> Layer:
    body, params = call.body, Params(totals.trainable, totals.total)
    op, inputs = body.target, tuple(x.shape for x in body.inputs)
    kernel = body.arguments.get("kernel") if isinstance(op, Op) else None
    window = pair(kernel) if isinstance(kernel, tuple) else None
    return Layer(path, op.name, body.output.shape, params, totals.macs, inputs, window, seen)


def dims(shape: Iterable[int]) -> str:
    """A shape as it is printed: `3x224x224`."""
    return "x".join(map(str, shape))


Folder = str | os.PathLike[str]


def load(
    spec: Folder | Mapping[str, object],
    /,
    *,
    include: Folder | Iterable[Folder] = (),
    **settings: object,
) -> Net:
    """The network that `spec` describes, with `settings` for its parameters.

    `load("specs/mnv3_large.yaml", alpha=0.75)`. A spec is a file's path; or else the name of a
    shipped spec, as `mnv3_large`; or a text of several lines; or a mapping of the same keys. What
    it uses lies in its folder or project (those of the working directory, for a text or a mapping),
    among the shipped specs, or in a folder to `include`. Raises `SpecError`, which carries every
    problem found with its file, line and column. Needs no framework.
    """
    folders = [include] if isinstance(include, str | os.PathLike) else [*include]
    return load_with(_meant(spec), settings, folders)


def _meant(spec: Folder | Mapping[str, object]) -> Folder | Source:
    """A text or a mapping as the source that it is, and a name as it is."""
    if isinstance(spec, Mapping):
        return given.source_of(spec)
    if isinstance(spec, str) and "\n" in spec and not os.path.lexists(spec):
        return reader.decoded(spec.encode("utf-8", "surrogatepass"), "<text>")
    return spec


def load_with(
    spec: Folder | Source,
    settings: Mapping[str, object],
    include: Iterable[Folder] = (),
    inference: bool = False,
    static: bool = False,
) -> Net:
    """What `load` does, for settings of any name: one may be called `include`. With `inference`,
    what `for_inference` makes of that, and with `static` what `for_one_size` does."""
    file = spec if isinstance(spec, Source) else named(spec)
    program, network = compile_program(file, settings, [Path(folder) for folder in include])
    path = Path(file.name) if isinstance(file, Source) else file
    net = Net(network, path, program, settings)
    net = net.for_inference() if inference else net
    return net.for_one_size() if static else net
