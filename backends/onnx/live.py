"""Drives ONNX models: by ONNX Runtime where it is installed, else by onnx's own evaluator. The only
module of the backend that imports either."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import onnx
from onnx import helper

from archc.backends import GraphOptions, Live, fed, shown
from archc.backends.onnx.flat import Flat
from archc.backends.onnx.model import model
from archc.backends.onnx.written import FLOAT, whole
from archc.backends.storage import Array
from archc.compiler.ir.network import Call, Network

onnxruntime: Any
try:
    onnxruntime = import_module("onnxruntime")
except ModuleNotFoundError:
    onnxruntime = None

Arrays = Mapping[str, Array]
Batch = Array | Arrays
SHOWN = "value at "
"""What the names of outputs begin with that show what is inside; no name of a spec's does."""
Run = Callable[[Batch], dict[str, Array]]
"""run(batch, or batches by input) -> the outputs by name."""


def runtime(made: onnx.ModelProto, plainly: bool = False) -> Run:
    """Runs a model by ONNX Runtime; `plainly` as it is written."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if plainly:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    inputs = _inputs(made)
    return lambda batch: dict(zip(names, session.run(names, inputs(batch)), strict=True))


def _inputs(made: onnx.ModelProto) -> Callable[[Batch], dict[str, Array]]:
    """What gives the inputs of a model their names."""
    names = [each.name for each in made.graph.input]
    return lambda batch: dict(zip(names, fed(batch), strict=True))


def reference(made: onnx.ModelProto, plainly: bool = True) -> Run:
    """Runs a model by the evaluator that defines ONNX, always as it is written."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(made)
    names = [output.name for output in made.graph.output]
    inputs = _inputs(made)
    return lambda batch: dict(zip(names, evaluator.run(None, inputs(batch)), strict=True))


@dataclass(eq=False)
class Graph:
    """A model and its weights. It takes every size that the network does."""

    network: Network
    arrays: dict[str, Array]
    run: Callable[[onnx.ModelProto, bool], Run] = runtime if onnxruntime else reference
    sessions: dict[tuple[bool, bool], Run] = field(default_factory=dict)
    """With these weights."""

    def session(self, auxiliary: bool, inner: bool = False) -> Run:
        """What runs the model; with outputs for its `inner` values too, if these are asked for."""
        key = auxiliary, inner
        if key not in self.sessions:
            graph = model(self.network, "", GraphOptions(), auxiliary)
            made = whole(graph, self.arrays)
            paths = {*_paths(row.call for row in self.network.rows)}
            self.sessions[key] = self.run(exposed(made, paths) if inner else made, inner)
        return self.sessions[key]


def exposed(made: onnx.ModelProto, paths: Container[str]) -> onnx.ModelProto:
    """A model without functions, whose bodies stand where they were called, and with an output for
    each node at one of the paths, which is called after it."""
    flat = Flat({function.name: function for function in made.functions})
    for node in made.graph.node:
        flat.add(node, "", {}, {})
    del made.graph.node[:], made.functions[:]
    made.graph.node.extend(flat.nodes)
    for path, value in flat.values.items():
        if path in paths:
            name = f"{SHOWN}{path}"
            made.graph.node.append(helper.make_node("Identity", [value], [name]))
            made.graph.output.append(helper.make_tensor_value_info(name, FLOAT, None))
    return made


def build(constructor: Callable[[], Arrays], network: Network, height: int, width: int) -> Graph:
    """A model with fresh weights."""
    return Graph(network, dict(constructor()))


def arrays(graph: Graph) -> dict[str, Array]:
    """Every array by canonical name."""
    return graph.arrays


def load(graph: Graph, weights: Arrays) -> None:
    """Takes the arrays. Raises `ValueError` unless names and shapes match."""
    ours, theirs = ({n: a.shape for n, a in w.items()} for w in (graph.arrays, weights))
    if ours != theirs:
        wrong = {name for name, _ in ours.items() ^ theirs.items()}
        raise ValueError(f"these arrays have no counterpart: {wrong}")
    graph.arrays, graph.sessions = dict(weights), {}


def outputs(
    graph: Graph,
    batch: Batch,
    paths: Container[str] | None = None,
    auxiliary: bool = False,
) -> dict[str, Array]:
    """The value of every node, or of those at some paths, and the model's own, which the file gives
    as it is written."""
    given = graph.session(auxiliary)(batch)
    rows = [row.call for row in graph.network.rows if auxiliary or not row.training]
    wanted = [path for path in _paths(rows) if paths is None or path in paths]
    found: dict[str, Array] = {}
    if wanted:
        every = graph.session(auxiliary, inner=True)(batch)
        found = {name.removeprefix(SHOWN): value for name, value in every.items()}
        _hand_on(found, [row.call for row in graph.network.rows], fed(batch))
    sole = len(graph.network.outputs) == 1
    results = shown(next(iter(given.values())) if sole else given)
    return {**{path: found[path] for path in wanted}, **results}


def _paths(calls: Iterable[Call], at: str = "") -> Iterator[str]:
    for call in calls:
        yield f"{at}{call.name}"
        yield from _paths(call.body.calls, f"{at}{call.name}.")


def _hand_on(
    found: dict[str, Array], calls: Sequence[Call], inputs: Sequence[Array], at: str = ""
) -> None:
    """Adds what ops give that are no nodes, as dropout is none: what they are given."""
    values = {-1 - number: value for number, value in enumerate(inputs)}
    for number, call in enumerate(calls):
        path, given = f"{at}{call.name}", [values[f] for f in call.feeds if f in values]
        if path not in found and len(given) == len(call.feeds):
            found[path] = given[0]
        if path in found:
            values[number] = found[path]
            _hand_on(found, call.body.calls, given, f"{path}.")


LIVE = Live(build, arrays, load, outputs)
