"""Random networks: what `check` accepts is built, run, resolved, renamed and converted.

Every backend's live model is held against the interpreter of the IR, layer by layer at two sizes;
the interpreter against the shapes of the IR; what `resolve` prints against the spec; the same
network under names that generated code uses itself against the one under plain names; and weights
go through every kind of file and back.
"""

from __future__ import annotations

import random
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from archc import backends
from archc.api import Net, load
from archc.backends import OtherBackend
from archc.compiler.elaborate.sizes import comparable
from archc.compiler.ir import analysis
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Body, Network
from archc.compiler.language.names import check_module_name, taken_by_any
from archc.compiler.language.problems import Invalid, SpecError
from archc.compiler.printed.resolve import resolve
from archc.compiler.spec.rows import check_parameter_name
from archc.live import interpreter
from archc.live.check import compare
from archc.live.numeric import Arrays, deviation, random_inputs, random_weights
from archc.weights.convert import convert, write
from archc.weights.folding import folded

from ._hostile import KEPT, style
from ._specs import BASE, NETWORK, Maker

SUFFIXES = (".pt", ".weights.h5", ".safetensors")

# Names that generated code, Python, NumPy and the frameworks give a meaning; all of them legal.
HOSTILE = """
    act activate activation add and_ args array as_depthwise batch bias bn build cls compute concat
    conv data dense device dict display dropout dtype exec expand F fans features features_only fmt
    format g groups h i id in_channels init input input_shape inputs int isinstance items
    keras kernel kernel_size kwargs lambda_ layer layers len length list map math Model module
    namespace nan nn np object open ops out outputs out_channels pad pad_same padding pads pair
    pi pool prev print property range reduce residual result root rows sequential Sequential set
    shape size slope sorted split stem steps str stride sum super Tensor tensor torch total tuple
    type_ units use_bias value values variance vars weight weights x y y_ zip
    """.split()  # noqa: SIM905


def hostile_names(kind: str) -> Iterator[str]:
    """Names in an order of their own for each kind of thing; each once in a spec."""
    legal = [name for name in HOSTILE if _is_legal(name) and name not in CATALOGUE]
    refused = taken_by_any().code if kind in ("kept", "given") else frozenset()
    kinds = ("block", "row", "step", "input", "param", "kept", "let", "tap", "output", "given")
    yield from (name for name in legal[kinds.index(kind) :: len(kinds)] if name not in refused)
    number = 0
    while True:
        number += 1
        yield f"{kind}_{number}_"


def _is_legal(name: str) -> bool:
    try:
        check_module_name(name)
        check_parameter_name(name)
    except Invalid:
        return False
    return True


def run(count: int, seed: int) -> Iterator[str]:
    with TemporaryDirectory() as emitted:
        for number in range(seed, seed + count):
            yield from _one(number, Path(emitted))
        yield from style(Path(emitted))


def _one(number: int, emitted: Path) -> Iterator[str]:
    """What is wrong with the network of one seed."""
    with TemporaryDirectory() as folder:
        path = Maker(number, Path(folder)).make()
        network = load(path).network
        if not _is_small(network) or _meets_onednn(network) or not _is_tame(network):
            return
        for check in (_warns, _emits, _agrees, _folds, _fixes, _resolves, _renames, _converts):
            try:
                said = list(check(path, number, emitted))
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                said = [f"{type(error).__name__}: {str(error)[:600]} ({where})"]
            for failure in said:
                yield f"{_keep(path, number)}: --seed {number}: {check.__name__[1:]}: {failure}"


def _is_small(network: Network) -> bool:
    """Whether it is a matter of seconds and of few hundred MB."""
    sizes = comparable(network).networks
    values = [layer.output.size for size in sizes for layer in analysis.layers(size)]
    sums = [analysis.totals(size) for size in sizes]
    most = max(values, default=0), max(each.total for each in sums), max(each.macs for each in sums)
    return most[0] < 4e6 and most[1] < 4e6 and most[2] < 2e9


def _meets_onednn(network: Network) -> bool:
    """Whether a convolution of one channel strides along rows alone, to one column. There oneDNN
    gives TensorFlow numbers of other memory: of 13,564 small convolutions 200, which are all of
    this kind, and none with TF_ENABLE_ONEDNN_OPTS=0."""
    layers = (layer for size in comparable(network).networks for layer in analysis.layers(size))
    return any(layer.weights and _leaves_one_column(layer.call.body) for layer in layers)


def _leaves_one_column(body: Body) -> bool:
    down, across = body.arguments.get("stride", (1, 1))  # type: ignore[misc]
    return body.inputs[0].channels == 1 and across > down == 1 == body.output.width


def _is_tame(network: Network) -> bool:
    """Whether its numbers stay where float32 can tell them apart: products of products do not, and
    neither does what is normalised where all is alike, as a learned number for each channel is."""
    largest, alike = 0.0, False

    def look(path: str, value: np.ndarray) -> None:
        nonlocal largest
        largest = max(largest, float(np.abs(value).max()))

    def meet(body: Body, path: str, inputs: Sequence[np.ndarray]) -> None:
        nonlocal alike
        if body.target.name == "group_norm":
            groups = inputs[0].reshape(len(inputs[0]), body.arguments["groups"], -1)
            alike |= bool(groups.var(2).min() < 1e-6 * (groups**2).mean())

    with np.errstate(all="ignore"):
        for size in comparable(network).networks:
            interpreter.run(size, random_weights(network), random_inputs(size), look, before=meet)
    return largest < 1e6 and not alike


def _keep(path: Path, number: int) -> Path:
    """Where a failing spec is kept, with what it extends."""
    folder = KEPT / f"networks-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (NETWORK, BASE):
        if (path.parent / name).exists():
            (folder / name).write_bytes((path.parent / name).read_bytes())
    return folder / NETWORK


def _warns(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """Only what is so: each warning is looked into by other means than its own."""
    net = load(path)
    layers = analysis.layers(net.network)
    windows = [layer.call.body for layer in layers if "kernel" in layer.call.body.arguments]
    windows = [body for body in windows if max(body.arguments["kernel"]) > 1]
    lost = [body for body in windows if body.inputs[0].shape[1:] == (1, 1)]
    every = [layer.output for layer in layers if layer.output.shape[1:] not in ((), (1, 1))]
    slopes = [layer.call.body.arguments["init"] for layer in layers if layer.op == "prelu"]
    rates = [layer.call.body.arguments.get("rate", 0) for layer in layers]
    true = {
        "W001": lambda text, name: (
            any(rate > 0.8 for rate in rates)
            if name == "rate"
            else name == "init" and any(not 0 <= n <= 1 for n in slopes)
        ),
        "W002": lambda text, name: ".1" in "".join(layer.path for layer in layers),
        "W004": lambda text, name: 2 * len(lost) >= len(windows),
        "W005": lambda text, name: max(x.channels for x in every) > 8192,
        "W009": lambda text, name: any(_is_even(body) for body in windows),
        "W010": lambda text, name: any(
            each.path.endswith(name) and each.call.body.arguments.get("bias") for each in layers
        ),
        "W011": lambda text, name: re.search(r"repeat: '?0|when: '?false", text) is not None,
        "W012": lambda text, name: (
            not any(each.path.startswith(f"{name}.") and each.op == "activation" for each in layers)
        ),
        "W007": lambda text, name: not re.search(rf"\b{name}\b(?!:|=[^=])", text),
    }
    for warning in net.warnings:
        name = warning.message.split("`")[1] if "`" in warning.message else ""
        text = _without_what_nothing_reads(path, net)
        if warning.code not in true or not true[warning.code](text, name):
            yield f"{warning.place}: {warning.code} {warning.message}"


def _is_even(body: Body) -> bool:
    """Whether a window pads one side of an axis more than the other, and strides nowhere on it. An
    output stride may have taken a stride from one axis alone."""
    x, y = body.inputs[0].shape[1:], body.output.shape[1:]
    axes = zip(x, y, body.arguments["kernel"], strict=True)
    return any(before == after and side % 2 == 0 for before, after, side in axes)


def _without_what_nothing_reads(path: Path, net: Net) -> str:
    """The spec without the definitions of what is said to be read nowhere, and without columns:
    a name is read where it stands neither as a key nor before a `=`."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    unread = [w.message.split("`")[1] for w in net.warnings if w.code == "W007"]
    for block in (spec, *spec.get("blocks", {}).values()):
        for key in ("params", "let"):
            own = block.get(key, {})
            block[key] = {name: None if name in unread else own[name] for name in own}
    for row in spec.get("network", ()):
        row.pop("columns", None)
    return yaml.safe_dump(spec, width=1000)


def _emits(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """Source that Python compiles; its style is looked at for all networks at once."""
    net = load(path)
    for backend in backends.sources():
        text = net.source(backend)
        compile(text, f"{backend}.py", "exec")
        (emitted / f"n{number}_{backend}.py").write_text(text, encoding="utf-8")
    yield from ()


def _agrees(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """Every backend with the interpreter, the interpreter with the IR, and the counts."""
    net = load(path)
    yield from compare(net, backends.names(), numeric=True).differences
    weights = random_weights(net.network)
    for network in comparable(net.network).networks:
        yield from _shapes(network, weights)
    total = sum(array.size for array in weights.values())
    if total != net.params.total:
        yield f"{net.params.total} parameters, but the arrays have {total} numbers"


def _shapes(network: Network, weights: Arrays) -> Iterator[str]:
    wanted = {layer.path: layer.output.shape for layer in analysis.layers(network)}
    found = interpreter.outputs(network, weights, random_inputs(network))
    for path, shape in wanted.items():
        if found[path].shape[1:] != shape:
            yield f"{path}: archc says {shape}, the definitions give {found[path].shape[1:]}"


def _folds(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """For inference it gives what it gave, in float64; its source compiles."""
    net = load(path)
    left, weights = net.for_inference(), random_weights(net.network)
    wide = folded(net, weights, "float64")
    pairs = zip(comparable(net.network).networks, comparable(left.network).networks, strict=False)
    for before, after in pairs:
        if before.input.shape != after.input.shape:  # without what is gone, it may take others
            continue
        given = random_inputs(before)
        right = interpreter.run(before, weights, given)
        found = interpreter.run(after, wide, given)
        if not deviation(found, right) < 1e-6:
            yield f"off by {deviation(found, right)} for inference: {left.gone}"
    for backend in backends.sources():
        (emitted / f"i{number}_{backend}.py").write_text(left.source(backend), encoding="utf-8")


def _fixes(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """For one size alone, PyTorch's numbers are those of the definitions at that size; and so are
    those of the network for inference."""
    for net in (load(path), load(path).for_inference()):
        for network in comparable(net.network).networks:
            fixed = replace(net, network=network).for_one_size()
            try:
                text = fixed.source("torch")
            except SpecError as error:
                if [problem.code for problem in error.problems] != ["E024"]:
                    raise
                return
            yield from compare(fixed, [OtherBackend("torch")], numeric=True).differences
            name = f"s{number}_{network.size}{fixed.suffix()}_torch.py"
            (emitted / name).write_text(text, encoding="utf-8")


def _resolves(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """A flat spec of the same layers, weights and numbers; and flat is flat."""
    flat = path.with_name("flat.yaml")
    flat.write_text(resolve(path), encoding="utf-8")
    yield from _same(load(path).network, load(flat).network)
    again = resolve(flat).split("\n", 1)[1]
    without_notes = [x.split("  #")[0].rstrip() for x in flat.read_text("utf-8").split("\n")]
    plain = [line for line in without_notes[1:] if not line.startswith("# ")]
    if [line.split("  #")[0].rstrip() for line in again.split("\n")] != plain:
        yield "resolving twice gives another spec"


def _same(left: Network, right: Network, names: bool = True) -> Iterator[str]:
    """Where two networks differ: in layers (their paths only where `names` are the same) and in
    numbers."""
    ours, theirs = analysis.layers(left), analysis.layers(right)
    shapes = [[(layer.op, layer.output) for layer in every] for every in (ours, theirs)]
    if shapes[0] != shapes[1]:
        yield "other layers"
        return
    if names and [layer.path for layer in ours] != [layer.path for layer in theirs]:
        yield "other paths"
    given = [[(n, r.training) for n, r in each.outputs.items()] for each in (left, right)]
    if names and given[0] != given[1]:
        yield "other outputs"
    weights = random_weights(left)
    renamed = dict(zip(random_weights(right), weights.values(), strict=True))
    first = interpreter.run(left, weights, random_inputs(left))
    second = interpreter.run(right, renamed, random_inputs(right))
    if not np.array_equal(first, second, equal_nan=True):
        yield "other numbers"


def _renames(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """The same network under names that generated code uses itself."""
    folder = path.parent / "renamed"
    folder.mkdir()
    other = Maker(number, folder, hostile_names).make()
    net = load(other)
    failures = [*_same(load(path).network, net.network, names=False)]
    if not failures:
        failures = compare(net, backends.names(), numeric=True).differences
    for failure in failures:
        yield f"{_keep(other, number)} (renamed): {failure}"
    for backend in backends.sources():
        (emitted / f"r{number}_{backend}.py").write_text(net.source(backend), encoding="utf-8")


def _converts(path: Path, number: int, emitted: Path) -> Iterator[str]:
    """Weights through every kind of file and back, in an order of chance; and into live models."""
    net = load(path)
    weights = random_weights(net.network)
    files = [path.with_name(f"weights{index}{suffix}") for index, suffix in enumerate(SUFFIXES)]
    random.Random(number).shuffle(files)
    save(net, weights, files[0])
    for source, target in zip(files, [*files[1:], path.with_name("last.safetensors")], strict=True):
        convert(net, source, target)
    yield from _loads(net, weights, path)


def save(net: Net, weights: Arrays, path: Path) -> None:
    """Writes random weights as a file of archc's own, converted if its kind is another."""
    neutral = path.with_name("first.safetensors")
    write(net, weights.values(), neutral, {})
    convert(net, neutral, path)


def _loads(net: Net, weights: Arrays, path: Path) -> Iterator[str]:
    """The converted files in the frameworks' own loaders."""
    import torch

    module, model = net.build("torch"), net.build("keras")
    module.load_state_dict(torch.load(next(path.parent.glob("weights*.pt"))), strict=True)
    if weights:
        model.load_weights(next(path.parent.glob("*.weights.h5")))
    for backend, live in (("torch", module), ("keras", model)):
        found = net.live(backend).arrays(live)
        if not all(np.array_equal(found[name], array) for name, array in weights.items()):
            yield f"{backend} loads other weights"


Check = Callable[[Path, int, Path], Iterator[str]]
