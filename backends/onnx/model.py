"""A network as a graph of calls of functions, without ONNX's own types."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from archc.backends import BackendError, GraphOptions
from archc.backends.onnx.drafts import Draft, Function, Node, Plan, Values
from archc.backends.onnx.functions import Functions
from archc.backends.onnx.ops import OPS
from archc.compiler.elaborate.sizes import at_size, comparable
from archc.compiler.ir import analysis
from archc.compiler.ir.analysis import Totals
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Block, Body, Call, Network, Tensor
from archc.compiler.language.problems import Invalid
from archc.compiler.language.values import show
from archc.compiler.printed import printer

OPSETS = (17, 18)
LAYOUTS = ("nchw", "nhwc")
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor: names are for sizes that a user chooses."""

    name: str
    shape: tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a file holds besides the numbers of weights."""

    name: str
    doc: str
    opset: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    values: tuple[Value, ...]
    """What rows give that is no output."""
    weights: Mapping[str, tuple[int, ...]]
    """Shapes by canonical name."""
    nodes: tuple[Node, ...]
    functions: tuple[Function, ...]
    """Each stands after those that it calls."""
    notes: Mapping[str, str]


def model(network: Network, spec: str, options: GraphOptions, auxiliary: bool = False) -> Model:
    """The graph of a network in evaluation; `auxiliary` is for rows that run in training only.

    Raises `BackendError` for options that there are not.
    """
    plan = _planned(network, options)
    rows = [i for i, row in enumerate(network.rows) if auxiliary or not row.training]
    return _Graph(network, rows, plan).model(_notes(network, rows, spec, options))


def _planned(network: Network, options: GraphOptions) -> Plan:
    opset = options.opset or OPSETS[0]
    if opset not in OPSETS:
        raise BackendError(f"archc writes ONNX of the opsets 17 and 18, and not of {opset}")
    if options.layout not in LAYOUTS:
        raise BackendError(f"`{options.layout}` is no layout; there are {' and '.join(LAYOUTS)}")
    fixed = network.static or comparable(network).skipped is not None
    return Plan(opset, options.layout, fixed)


def _sized(network: Network) -> Iterator[int]:
    """Rows that give vectors whose length depends on the size of the input: those that are longer
    where it is larger by so much that no stride hides it."""
    if not any(CATALOGUE[layer.op].flattens for layer in analysis.layers(network)):
        return
    outputs = [row.call.body.output for row in network.rows]
    times = 2 * max(max(output.strides) for output in outputs)
    height, width = network.input.height or 1, network.input.width or 1
    others = [*comparable(network).networks[1:]]
    with suppress(Invalid):
        others.append(at_size(network, times * height, times * width))
    for number, output in enumerate(outputs):
        found = (other.rows[number].call.body.output for other in others)
        if any(each.channels != output.channels for each in found):
            yield number


def _notes(
    network: Network, rows: Sequence[int], spec: str, options: GraphOptions
) -> dict[str, str]:
    """What the file says of itself; counts are those of its rows."""
    bodies = (network.rows[i].call.body for i in rows)
    totals = sum(map(analysis.body_totals, bodies), Totals())
    settings = (f"{name}={show(value)}" for name, value in network.settings.items())
    return {
        "spec": spec,
        "sha256": hashlib.sha256(printer.text(network).encode()).hexdigest(),
        "settings": ", ".join(settings),
        "parameters": str(totals.trainable),
        "macs": str(totals.macs),
        "layout": options.layout,
    }


def _operands(body: Body) -> tuple[str, ...]:
    """What a body calls the tensors that it takes."""
    if body.target.variadic:
        return tuple(f"x{number}" for number in range(len(body.inputs)))
    return body.target.inputs


def _weights(body: Body) -> Iterator[str]:
    """The weights of a body by their names within it, in order of evaluation."""
    yield from (weight.name for weight in body.cost.weights)
    for call in body.calls:
        yield from (f"{call.name}.{name}" for name in _weights(call.body))


def _base(body: Body) -> str:
    """What a function of a body is called, if it needs no other name."""
    act = body.arguments["act"] if body.target.name == "activation" else None
    return str(act or body.target.name)


def _find_depth(body: Body, known: dict[Body, int]) -> int:
    """How many blocks are in one another below a body."""
    if body not in known:
        inner = (_find_depth(call.body, known) for call in body.calls)
        known[body] = max(inner, default=0) + isinstance(body.target, Block)
    return known[body]


def _called(nodes: Sequence[Node]) -> tuple[Function, ...]:
    """Every function that nodes lead to, each after those that it calls."""
    found: dict[Function, None] = {}

    def visit(nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node.target, Function) and node.target not in found:
                visit(node.target.nodes)
                found[node.target] = None

    visit(nodes)
    return tuple(found)


def _perm(order: tuple[int, ...]) -> dict[str, Values]:
    return {"perm": order}


class _Graph:
    """Makes the model of some rows of a network."""

    def __init__(self, network: Network, rows: Sequence[int], plan: Plan) -> None:
        self.network, self.rows, self.plan = network, rows, plan
        self.functions = Functions()
        self.sized = set[int]() if plan.static else {*_sized(network)}
        self.drafts: dict[Body, Draft] = {}
        depths: dict[Body, int] = {}
        for number in rows:
            _find_depth(network.rows[number].call.body, depths)
        for depth in range(max(depths.values()) + 1):
            self._draft_all([body for body, found in depths.items() if found == depth])
        self.functions.name_all()

    # ------------------------------------------------------------------------------ functions

    def _draft_all(self, bodies: Sequence[Body]) -> None:
        """Drafts bodies that call only what is drafted already, and makes functions of them. Those
        of another depth call other functions, and so are others themselves."""
        families: dict[str, list[Draft]] = {}
        for body in bodies:
            draft = self.drafts[body] = self._draft(body)
            if draft.is_function:
                families.setdefault(_base(body), []).append(draft)
        for base, drafts in families.items():
            self.functions.add(base, drafts)

    def _draft(self, body: Body) -> Draft:
        operands = _operands(body)
        draft = Draft(body, self.plan, (*operands, *_weights(body)))
        if isinstance(body.target, Block):
            values = {-1 - number: name for number, name in enumerate(operands)}
            for number, call in enumerate(body.calls):
                values[number] = self._call(draft.nodes, call, values, call.name)
            draft.result = values[body.result]
        else:
            draft.result = OPS[body.target.name](draft, *operands)
        if draft.is_function and draft.result in draft.inputs:
            draft.result = draft.add("Identity", draft.result)
        return draft

    def _call(self, nodes: list[Node], call: Call, values: Mapping[int, str], output: str) -> str:
        """Appends the node of a call, if it is one; the name of what it gives."""
        draft = self.drafts[call.body]
        weights = (f"{call.name}.{name}" for name in _weights(call.body))
        fed = (*(values[feed] for feed in call.feeds), *weights)
        names = dict(zip(draft.inputs, fed, strict=True))
        if draft.is_function:
            function, given = self.functions.made[draft]
            nodes.append(Node(function, call.name, fed, output, given))
        elif draft.nodes:
            inputs = tuple(names.get(name, name) for name in draft.nodes[0].inputs)
            nodes.append(replace(draft.nodes[0], name=call.name, inputs=inputs, output=output))
        else:
            return names[draft.result]
        return output

    # ---------------------------------------------------------------------------------- graph

    def model(self, notes: Mapping[str, str]) -> Model:
        """The graph of the rows, with all functions that it calls."""
        nodes: list[Node] = []
        values = {-1 - number: name for number, name in enumerate(self._inputs(nodes))}
        for number in self.rows:
            self._row(nodes, values, number)
        inputs = self.network.inputs.items()
        return Model(
            self.network.name,
            self.network.doc,
            self.plan.opset,
            tuple(self._value(name, own.tensor) for name, own in inputs),
            tuple(self._output(i) for i in self.rows if self.network.rows[i].output),
            tuple(self._between(values)),
            self._arrays(),
            tuple(nodes),
            _called(nodes),
            notes,
        )

    def _inputs(self, nodes: list[Node]) -> Iterator[str]:
        """Appends what turns the inputs; what rows call them."""
        for name, own in self.network.inputs.items():
            if self.plan.layout == "nhwc" and own.tensor.is_map:
                turned, given = f"{name}_nchw", (name,)
                nodes.append(Node("Transpose", f"{name}.to_nchw", given, turned, _perm(TO_FIRST)))
                yield turned
            else:
                yield name

    def _row(self, nodes: list[Node], values: dict[int, str], number: int) -> None:
        """Appends a row; where it is an output, under the output's name."""
        row = self.network.rows[number]
        path, output = row.call.name, row.output
        if output is None:
            values[number] = self._call(nodes, row.call, values, self._free(path))
            return
        turned = self.plan.layout == "nhwc" and row.call.body.output.is_map
        name = f"{output}_nchw" if turned else output
        values[number] = self._call(nodes, row.call, values, name)
        if values[number] != name:
            self._rename(nodes, values, number, name)
        if turned:
            nodes.append(Node("Transpose", f"{output}.to_nhwc", (name,), output, _perm(TO_LAST)))

    def _rename(self, nodes: list[Node], values: dict[int, str], number: int, name: str) -> None:
        """Gives what a row hands on another name. Only what has a name that its user knows is
        copied: ONNX Runtime loses values that a copy shows and a pad takes, too."""
        old = values[number]
        if old in self._known():
            path = self.network.rows[number].call.name
            nodes.append(Node("Identity", path, (old,), name))
            values[number] = name
            return
        called = {old: name}
        nodes[:] = [
            replace(
                node,
                inputs=tuple(called.get(each, each) for each in node.inputs),
                output=called.get(node.output, node.output),
            )
            for node in nodes
        ]
        values.update({i: name for i, value in values.items() if value == old})

    def _known(self) -> set[str]:
        """Names of inputs and outputs."""
        names = (*self.network.inputs, *self.network.outputs)
        return {f"{name}{end}" for name in names for end in ("", "_nchw")}

    def _free(self, path: str) -> str:
        """What a row's value is called: as the row, unless an input or an output is."""
        taken = self._known()
        if path not in taken:
            return path
        taken |= {row.call.name for row in self.network.rows}
        while path in taken:
            path += "_"
        return path

    def _between(self, values: Mapping[int, str]) -> Iterator[Value]:
        """What rows give that is no output."""
        for number in self.rows:
            row, name = self.network.rows[number], values[number]
            if row.output is None and name == self._free(row.call.name):
                channels, *sides = row.call.body.output.shape
                known = None if number in self.sized else channels
                yield Value(
                    name,
                    ("batch", known, *(side if self.plan.static else None for side in sides)),
                )

    def _output(self, number: int) -> Value:
        """An output of the file: what a row gives."""
        row = self.network.rows[number]
        value = self._value(str(row.output), row.call.body.output)
        longer = ("batch", f"{row.output}_features")
        return replace(value, shape=longer) if number in self.sized else value

    def _value(self, name: str, x: Tensor) -> Value:
        """An input or an output as its user has it. A first map is of any `height` and `width`."""
        shape: list[str | int | None] = [*x.shape]
        if not self.plan.static and x.is_map:
            of = "" if name == next(iter(self.network.inputs)) else f"{name}_"
            shape[1:] = f"{of}height", f"{of}width"
        if self.plan.layout == "nhwc" and x.is_map:
            shape = [*shape[1:], shape[0]]
        return Value(name, ("batch", *shape))

    def _arrays(self) -> dict[str, tuple[int, ...]]:
        """Shapes of weights by canonical name, in order of evaluation."""
        rows = {self.network.rows[number].call.name for number in self.rows}
        return {
            path: weight.shape
            for path, layer, weight in analysis.weights(self.network)
            if any(layer.path == row or layer.path.startswith(f"{row}.") for row in rows)
        }
