"""How fast archc is, and what it writes: ratios of two things measured together on one machine.

    python benchmarks/run.py [--only NAME]...

The two run in turn, and a ratio is the median of the rounds' own ratios, plus or minus two standard
errors; a target is missed where it lies outside of that. Commands are timed by the clock, and what
runs in this process by the processor time it takes, so that other processes weigh less.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any, NamedTuple

import archc
from archc import backends
from archc.backends import GraphOptions
from archc.compiler import pipeline
from archc.compiler.spec import load
from archc.live.numeric import random_batch
from archc.weights import importing, rules
from archc.weights.folding import folded

ROOT = Path(__file__).resolve().parents[1]
SPECS = ROOT / "specs"
FRAMEWORKS = {"keras", "tensorflow", "torch"}
BATCHES = (1, 8)
ROUNDS = 30

sys.path.append(str(ROOT / "tests"))

Task = Callable[[], object]
Clock = Callable[[], float]


class Row(NamedTuple):
    """A line of the table."""

    what: str
    value: float
    error: float
    target: str
    detail: str

    @property
    def verdict(self) -> str:
        sign, limit = self.target.split()
        excess = self.value - float(limit) if sign == "<=" else float(limit) - self.value
        if excess <= 0:
            return "met"
        return "met within noise" if excess <= self.error else "MISSED"


def ratio(what: str, task: Task, other: Task, target: str, rounds: int, clock: Clock) -> Row:
    """The first task's time as a share of the second's."""
    ours, theirs = [], []
    task(), other()
    for number in range(rounds):
        pair = [(ours, task), (theirs, other)]
        for times, each in pair if number % 2 else reversed(pair):
            times.append(seconds(each, clock))
    value, error = middle([a / b for a, b in zip(ours, theirs, strict=True)])
    detail = f"{1e3 * median(ours):.4g} ms / {1e3 * median(theirs):.4g} ms"
    return Row(what, value, error, target, detail)


def middle(values: list[float]) -> tuple[float, float]:
    """The median, and twice its standard error, as for a normal distribution."""
    low, value, high = quantiles(values)
    return value, 2 * 1.25 * (high - low) / 1.35 / len(values) ** 0.5


def seconds(task: Task, clock: Clock) -> float:
    gc.collect()
    start = clock()
    task()
    return clock() - start


# ---- The command line ----


def command_line() -> Iterator[Row]:
    for command in (
        ["build", "specs/mnv3_large.yaml", "--backend", "torch", "--stdout"],
        ["summary", "specs/mnv3_large.yaml"],
    ):
        ours, theirs = _process("-m", "archc", *command), _process("-c", "import torch")
        yield ratio(f"archc {command[0]} / import torch", ours, theirs, "<= 0.2", 9, perf_counter)
        found = _imported_by(command)
        detail = ", ".join(found) or "none"
        yield Row(f"frameworks archc {command[0]} imports", len(found), 0, "<= 0", detail)


COUNT = "import keras; keras.applications.NASNetLarge(weights=None).count_params()"


def nasnet() -> Iterator[Row]:
    """Counting the largest network, from a cold start, against building it and asking."""
    ours = _process("-m", "archc", "summary", "specs/nasnet_a_large.yaml", "--json")
    ours()
    times = [seconds(ours, perf_counter) for _ in range(15)]
    detail = f"{min(times):.3f} to {max(times):.3f}"
    yield Row("seconds to count NASNet-A Large, cold", *middle(times), "<= 0.5", detail)
    theirs = _process("-c", COUNT)
    yield ratio("counting NASNet-A Large / with Keras", ours, theirs, "<= 0.1", 3, perf_counter)


def _process(*arguments: str) -> Task:
    command = [sys.executable, *arguments]
    # pip leaves the bytecode of what it installs; a checkout's is left by its first start.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    quiet = {"cwd": ROOT, "check": True, "stdout": subprocess.DEVNULL, "env": environment}
    return lambda: subprocess.run(command, **quiet, stderr=subprocess.DEVNULL)


def _imported_by(command: list[str]) -> list[str]:
    code = (
        "import sys, archc.cli; archc.cli.cli.main(sys.argv[1:], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = [sys.executable, "-c", code, *command]
    done = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(FRAMEWORKS.intersection(done.stderr.split()))


def reading() -> Iterator[Row]:
    """Counting a deep network against a shallower one, and comparing against counting: all cold."""
    count_one, deep = (
        _process("-m", "archc", "summary", f"specs/{name}.yaml", "--json")
        for name in ("mnv3_large", "efficientnet_b7")
    )
    yield ratio(
        "summary of EfficientNet-B7 / of MobileNetV3", deep, count_one, "<= 1.3", 15, perf_counter
    )
    large = "specs/nasnet_a_large.yaml"
    compare, summary = (
        _process("-m", "archc", "diff", large, large),
        _process("-m", "archc", "summary", large),
    )
    yield ratio(
        "diff of NASNet-A Large / its summary", compare, summary, "<= 1.3", 15, perf_counter
    )
    start = _process("-m", "archc", "--version")
    edited = _process(
        "-m", "archc", "diff", large, "specs/nasnet_a_mobile.yaml", "--fail-on=nothing"
    )
    for what, task, target in (("the same", compare, "<= 1.5"), ("Mobile", edited, "<= 1.8")):
        said = f"diff of NASNet-A Large and {what} / --version"
        yield ratio(said, task, start, target, 15, perf_counter)
    times = [seconds(compare, perf_counter) for _ in range(15)]
    detail = f"{min(times):.3f} to {max(times):.3f}"
    yield Row("seconds to compare NASNet-A Large, cold", *middle(times), "<= 0.3", detail)


# ---- Compiling in process ----


def variants() -> Iterator[Row]:
    for spec, least in (("mnv3_large", 300), ("mobilenet_v2", 1000)):
        alphas = count(400)

        def task(spec: str = spec, alphas: Iterator[int] = alphas) -> None:
            for _ in range(50):
                net = archc.load(SPECS / f"{spec}.yaml", alpha=next(alphas) / 1000)
                assert min(net.params.total, net.macs) > 0

        task()
        rates = [50 / seconds(task, process_time) for _ in range(20)]
        detail = f"alpha 0.450 to {next(alphas) / 1000:.3f}"
        yield Row(f"variants of {spec} a second", *middle(rates), f">= {least}", detail)


ROW = "      - [inverted_residual, {}, {}, {}, {}, relu, 1]\n"
TABLE = """archc: 1
name: Tall{}
use: [blocks/mobilenet.yaml]
input: {{channels: 3, height: 32, width: 32}}
network:
  - columns: [block, kernel, expand, out, se, act, stride]
    rows:
"""


def rows() -> Iterator[Row]:
    """Each run reads a file that was never read before, and remembers no other."""
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:

        def task(length: int, emit: bool) -> Task:
            return lambda: _compile(Path(folder, f"tall_{next(numbers)}.yaml"), length, emit)

        for what, emit in (("load and count", False), ("load, count and write", True)):
            name = f"500 rows / 50 rows, {what}"
            yield ratio(name, task(500, emit), task(50, emit), "<= 12", 9, process_time)


def _compile(path: Path, length: int, emit: bool) -> None:
    for remembering in (load._parse, pipeline._bound):
        remembering.cache_clear()
    cells = (
        (3 + 2 * (i % 3), 1 + i % 5, 8 + i * 7 % 89, 0.25 if i % 2 else "~") for i in range(length)
    )
    path.write_text(TABLE.format(path.stem[5:]) + "".join(ROW.format(*each) for each in cells))
    net = archc.load(path)
    assert net.params.total > len(net.layers) > length
    if emit:
        net.source("torch")


# ---- Inference ----

SYMMETRIC = {"padding": "symmetric", "epsilon": 1e-5}
TIMM = [
    ("tf_mobilenetv3_large_100", {}, "mnv3_large", {}),
    ("mobilenetv3_large_100", {}, "mnv3_large", SYMMETRIC),
    ("mobilenetv1_100", {"pad_type": "same"}, "mobilenet_v1", {"epsilon": 1e-5}),
    ("mobilenetv1_100", {}, "mobilenet_v1", SYMMETRIC),
]
"""timm's model and its options, and the spec and settings that mean the same."""


def torch() -> Iterator[Row]:
    """Both models have the same weights, one thread, and no gradients."""
    import reference_models as references
    from torch import from_numpy, inference_mode, set_num_threads

    set_num_threads(1)
    for name, options, spec, settings in TIMM:
        net = archc.load(SPECS / f"{spec}.yaml", **settings)
        theirs = references.zoo(f"timm:{name}", random_batch(net.network, 224, 224), **options)
        ours = net.build("torch")
        weights = references.imported(net, f"timm:{name}", theirs)
        net.live("torch").load(ours, weights)
        for size in BATCHES:
            batch = from_numpy(random_batch(net.network, 224, 224, size))
            padding = settings.get("padding", "same")
            what = f"torch {spec}, {padding}, batch {size} / timm"
            with inference_mode():
                yield ratio(
                    what,
                    partial(ours, batch),
                    partial(theirs, batch),
                    "<= 1.0",
                    ROUNDS,
                    process_time,
                )


def keras() -> Iterator[Row]:
    """Both models have the same weights, one thread, and run as a graph."""
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import reference_models as references

    for spec in references.APPLICATIONS:
        net = archc.load(SPECS / f"{spec}.yaml")
        theirs = references.application(spec, random_batch(net.network, 224, 224))
        ours = net.build("keras")
        source = f"keras.applications.{references.APPLICATIONS[spec][0]}"
        net.live("keras").load(ours, references.imported(net, source, theirs))
        for size in BATCHES:
            batch = random_batch(net.network, 224, 224, size).transpose(0, 2, 3, 1)
            what = f"keras {spec}, batch {size} / keras.applications"
            yield ratio(
                what, _graph(ours, batch), _graph(theirs, batch), "<= 1.0", ROUNDS, process_time
            )


def _graph(model: Any, batch: Any) -> Task:
    import tensorflow

    tensor = tensorflow.constant(batch)
    call = tensorflow.function(partial(model, training=False))
    return lambda: call(tensor).numpy()


# ---- For inference ----

TORCHVISION = ("torchvision:mobilenet_v3_large", "mnv3_large")


class Deployed(NamedTuple):
    """A published model, and what archc makes of its weights, for one image."""

    net: archc.Net
    model: Any
    """torchvision's, channels last."""
    weights: Any
    """Of the network for inference."""
    trained: Any
    batch: Any

    def live(self, net: archc.Net, weights: Any) -> Any:
        """A model of archc's, channels last."""
        from torch import channels_last

        model = net.build("torch")
        net.live("torch").load(model, weights)
        return model.to(memory_format=channels_last)

    def eager(self, model: Any) -> Task:
        from torch import channels_last, from_numpy

        return partial(model, from_numpy(self.batch).to(memory_format=channels_last))


def _deployed() -> Deployed:
    import reference_models as references
    from torch import channels_last, set_num_threads

    set_num_threads(1)
    name, spec = TORCHVISION
    net = importing.network(str(SPECS / f"{spec}.yaml"), rules.find(name), {})
    batch = random_batch(net.network, 224, 224, 1)
    references.import_torchvision()
    theirs = references.zoo(name, batch)
    trained = references.imported(net, name, theirs)
    model = theirs.to(memory_format=channels_last)
    return Deployed(net.for_inference(), model, folded(net, trained), trained, batch)


def inference() -> Iterator[Row]:
    """The network for inference in PyTorch, eager: channels last, batch 1, one thread.

    Convolutions run by the same kernels in all of them; what limits the ratio is in docs/models.md.
    With `same` a strided convolution has a copy of its input before it, which torchvision's has
    not; for one size it is of constants.
    """
    from torch import inference_mode

    deployed = _deployed()
    assert deployed.net.trained is not None
    small = deployed.eager(deployed.live(deployed.net, deployed.weights))
    large = deployed.eager(deployed.live(deployed.net.trained, deployed.trained))
    theirs = deployed.eager(deployed.model)
    with inference_mode():
        for what, other, target in (
            ("torch mnv3_large for inference / in training", large, "<= 0.87"),
            ("torch mnv3_large for inference / torchvision", theirs, "<= 0.9"),
        ):
            yield ratio(what, small, other, target, ROUNDS, process_time)
        same = archc.load(SPECS / f"{TORCHVISION[1]}.yaml").for_inference()
        free, fixed = (
            deployed.eager(deployed.live(net, deployed.weights))
            for net in (same, same.for_one_size())
        )
        for what, task, other in (
            ("torch mnv3_large, same, for inference / torchvision", free, theirs),
            ("the same for one size / torchvision", fixed, theirs),
            ("the same for one size / for any", fixed, free),
        ):
            yield ratio(what, task, other, "<= 1.0", ROUNDS, process_time)


# ---- ONNX ----


def onnx() -> Iterator[Row]:
    """ONNX Runtime on archc's file for inference, against torchvision's model and against what
    PyTorch exports of it: the same weights, batch 1, one thread. OpenVINO on the same files, if it
    is installed."""
    from torch import inference_mode

    deployed = _deployed()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{each}.onnx") for each in ("any", "static", "theirs")]
        _write_graph(deployed.net, deployed.weights, files[0], GraphOptions())
        _write_graph(deployed.net.for_one_size(), deployed.weights, files[1], GraphOptions())
        _export(deployed.model, deployed.batch, files[2])
        sessions = [_session(file, deployed.batch) for file in files]
        (ours, _), (static, nodes), (other, count) = sessions
        eager = deployed.eager(deployed.model)
        with inference_mode():
            for what, task in (("of any size", ours), ("static", static)):
                what = f"ONNX Runtime, mnv3_large {what} / torchvision, eager"
                yield ratio(what, task, eager, "<= 0.435", ROUNDS, process_time)
        what = "ONNX Runtime, mnv3_large, static / PyTorch's export"
        yield ratio(what, static, other, "<= 1.0", ROUNDS, process_time)
        yield Row("nodes that it makes of them", nodes / count, 0, "<= 1.0", f"{nodes} / {count}")
        nodes, count = _nodes(files[1]), _nodes(files[2])
        yield Row("nodes of the file", nodes / count, 0, "<= 0.333", f"{nodes} / {count}")
        ours, other = _openvino(files[1], deployed.batch), _openvino(files[2], deployed.batch)
        what = "OpenVINO, mnv3_large, static / PyTorch's export"
        yield ratio(what, ours, other, "<= 1.0", ROUNDS, process_time)


def _nodes(path: Path) -> int:
    from onnx import load as read

    return len(read(path).graph.node)


def _openvino(path: Path, batch: Any) -> Task:
    """For the shape of the batch. OpenVINO takes no functions, so they are inlined first."""
    import openvino
    from onnx import load as read
    from onnx.inliner import inline_local_functions

    hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    plain = inline_local_functions(read(path)).SerializeToString()
    core = openvino.Core()
    model = core.read_model(plain)
    model.reshape(batch.shape)
    compiled = core.compile_model(model, "CPU", hints)
    return lambda: compiled(batch)


def _write_graph(net: archc.Net, weights: Any, path: Path, options: GraphOptions) -> None:
    graph = backends.get("onnx").graph
    assert graph is not None
    files = graph.files(net.network, net.spec.name, path.stem, weights, options)
    ((_, chunks),) = files
    path.write_bytes(b"".join(chunks))


def _export(model: Any, batch: Any, path: Path) -> None:
    """By TorchScript: the newer exporter needs a package of its own."""
    from torch import from_numpy
    from torch.onnx import export

    export(model, (from_numpy(batch),), path, dynamo=False)


def _session(path: Path, batch: Any) -> tuple[Task, int]:
    """What runs a file, and how many nodes ONNX Runtime makes of it."""
    import onnxruntime
    from onnx import load as read

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that what it makes of a file is for this machine alone
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    nodes = len(read(options.optimized_model_filepath).graph.node)
    return lambda: session.run(None, {given.name: batch}), nodes


# ---- Weights

LARGE = "specs/nasnet_a_large.yaml"
LOADING = {
    "pt": "import sys, torch; torch.load(sys.argv[1], weights_only=True)",
    "weights.h5": (
        "import sys, archc; archc.load(sys.argv[2]).build('keras').load_weights(sys.argv[1])"
    ),
}
"""Loading a file once with its own framework; Keras's needs the model."""
CONVERSIONS = (("pt", "weights.h5"), ("pt", "safetensors"), ("weights.h5", "pt"))


def weights() -> Iterator[Row]:
    """Converting, against copying the file and loading it once with its own framework.

    All of them are processes, as on the command line. The first file is PyTorch's.
    """
    from torch import save

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(archc.load(ROOT / LARGE).build("torch").state_dict(), folder / "a.pt")
        for source, target in CONVERSIONS:
            file = folder / f"a.{source}"
            ours = _converting(file, folder / f"a.{target}")
            theirs = partial(_copy_and_load, file, LOADING[source])
            what = f"NASNet-A Large, .{source} to .{target} / copy and load"
            yield ratio(what, ours, theirs, "<= 3", 5, perf_counter)
        file = folder / "a.pt"
        graph = ("build", LARGE, "--backend", "onnx", "--weights", str(file), "--out", name)
        theirs = partial(_copy_and_load, file, LOADING["pt"])
        what = "NASNet-A Large, .pt to .onnx / copy and load"
        yield ratio(what, _process("-m", "archc", *graph), theirs, "<= 3", 5, perf_counter)


def _converting(source: Path, target: Path) -> Task:
    command = ("weights", "convert", str(source), str(target), "--spec", LARGE, "--force")
    return _process("-m", "archc", *command)


def _copy_and_load(source: Path, code: str) -> None:
    copy = source.with_name("copy.weights.h5" if source.suffix == ".h5" else "copy.pt")
    shutil.copyfile(source, copy)
    _process("-c", code, str(copy), LARGE)()


# ---- Training ----


def training() -> Iterator[Row]:
    """A step of an emitted script against the same network and loss with the framework's own
    optimizer, where that is of the same kind, and Keras's own mean of weights: 16 images of 64x64,
    PyTorch in one thread."""
    from torch import set_num_threads
    from torch.optim import SGD, RMSprop

    set_num_threads(1)
    own = {
        "mobilenet_v1": partial(RMSprop, lr=1e-3, momentum=0.9, weight_decay=4e-5, foreach=True),
        "torchvision": partial(SGD, lr=1e-3, momentum=0.9, weight_decay=1e-4, foreach=True),
    }
    for recipe, optimizer in own.items():
        ours, theirs = _torch_steps(recipe, optimizer)
        what = f"a step of {recipe} / by hand with {optimizer.func.__name__}"
        yield ratio(what, ours, theirs, "<= 1.05", ROUNDS, process_time)
    for recipe, ema in {"mobilenet_v1": False, "efficientnet": True}.items():
        ours, theirs = _keras_steps(recipe, use_ema=ema)
        what = f"a step of {recipe} / by hand with Keras's RMSprop"
        yield ratio(what, ours, theirs, "<= 1.05", ROUNDS, process_time)


def _training(recipe: str, name: backends.Name) -> tuple[Any, Any]:
    """What makes the network, and the script's module."""
    from archc.training.proof import modules
    from archc.training.script import training_of

    net = archc.load("mnv3_small")
    generated, script = modules(net, training_of(net, recipe), name)
    return getattr(generated, net.name), script


def _torch_steps(recipe: str, optimizer: Callable[..., Any]) -> tuple[Task, Task]:
    """A step of the script, and one by hand."""
    import torch
    from torch.nn import functional as F

    network, script = _training(recipe, "torch")
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16)
    ours, theirs = script.Training(network(), 100), network()
    stepper = optimizer(theirs.parameters())

    def by_hand() -> None:
        theirs.train()
        stepper.zero_grad()
        F.cross_entropy(theirs(images), labels).backward()
        stepper.step()

    return partial(script.train_step, ours, images, labels), by_hand


def _keras_steps(recipe: str, use_ema: bool) -> tuple[Task, Task]:
    """A step of the script, and one by hand."""
    import keras
    import numpy as np

    network, script = _training(recipe, "keras")
    images = np.random.default_rng(0).standard_normal((16, 64, 64, 3), np.float32)
    labels, shape = np.arange(16), {"input_shape": (64, 64, 3)}
    ours, theirs = script.Training(network(**shape), 100), network(**shape)
    optimizer = keras.optimizers.RMSprop(1e-3, momentum=0.9, use_ema=use_ema)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(optimizer=optimizer, loss=loss)
    by_hand = partial(theirs.train_on_batch, images, labels)
    return partial(script.train_step, ours, images, labels), by_hand


BENCHMARKS = {
    f.__name__: f
    for f in (
        *(command_line, nasnet, reading, variants, rows),
        *(torch, keras, inference, onnx, weights, training),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="can be repeated")
    names = parser.parse_args().only or BENCHMARKS
    missed = False
    print(f"{'':54} {'value':>8} {'noise':>7} {'target':>8}")
    for name in names:
        try:
            for row in BENCHMARKS[name]():
                value = f"{row.value:8.3f} ±{row.error:6.3f} {row.target:>8}"
                print(f"{row.what:54} {value}  {row.verdict} ({row.detail})", flush=True)
                missed = missed or row.verdict == "MISSED"
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
