"""Backends: how they register, what they import, and what can be done with their live models."""

import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import backends
from archc.api import Net, load
from archc.backends import Backend, BackendError, SourceFile
from archc.backends.python.backend import python_backend
from archc.backends.python.execute import execute
from archc.backends.python.walk import render
from archc.backends.storage import Slot
from archc.backends.torch.language import LANGUAGE
from archc.compiler.ir.catalogue import CATALOGUE
from archc.live import interpreter
from archc.live.check import compare
from archc.live.numeric import TOLERANCE, deviation, random_batch, random_weights

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "specs"
EMITTED = ROOT / "tests" / "emitted"
SIZE, OTHER_SIZE = (64, 48), (49, 65)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


# ------------------------------------------------------------------------------ registration


def test_the_shipped_backends_are_registered() -> None:
    assert {"keras", "onnx", "torch"} <= {*backends.names()}
    assert all(backends.get(name).ops.keys() == CATALOGUE.keys() for name in backends.names())


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(BackendError) as caught:
        backends.get("jax")
    known = ", ".join(backends.names())
    assert str(caught.value) == f"no backend is called `jax`; there are {known}"
    with pytest.raises(BackendError, match="no backend is called `jax`"):
        load(SPECS / "mnv3_small.yaml").source("jax")


def test_a_backend_that_lacks_an_op_is_refused() -> None:
    torch = backends.get("torch")
    ops = {name: spelled for name, spelled in torch.ops.items() if name not in ("add", "dense")}
    with pytest.raises(BackendError) as caught:
        backends.check(replace(torch, name="half", ops=ops))
    assert str(caught.value) == "the backend `half` is incomplete: it lacks add, dense"


def test_a_backend_that_spells_an_unknown_op_is_refused() -> None:
    torch = backends.get("torch")
    with pytest.raises(BackendError) as caught:
        backends.check(replace(torch, ops={**torch.ops, "warp": None}))
    expected = "the backend `torch` is incomplete: it spells warp, unknown ops"
    assert str(caught.value) == expected


def test_a_backend_that_does_not_tell_a_name_of_its_code_is_refused() -> None:
    language = replace(LANGUAGE, names=(*LANGUAGE.names, "np", "nn"))
    torch = python_backend("archc.backends.torch", language, "torch")
    with pytest.raises(BackendError) as caught:
        backends.check(torch)
    expected = "the backend `torch` is incomplete: its names.yaml does not tell np"
    assert str(caught.value) == expected


PIECES = [
    *((op.name, None) for op in CATALOGUE.values()),
    *((op.name, rule.name) for op in CATALOGUE.values() for rule in op.weights),
]


def with_slots(backend: Backend, op: str, slots: dict[str, Slot]) -> Backend:
    """`backend` with other places for the weights of an op."""
    kept = backend.storage()
    other = replace(kept, slots={**kept.slots, op: slots})
    return replace(backend, storage=lambda: other)


@pytest.mark.parametrize("name", backends.names())
@pytest.mark.parametrize(("op", "weight"), PIECES)
def test_registration_names_the_piece_that_is_missing(
    name: str, op: str, weight: str | None
) -> None:
    backend = backends.get(name)
    if weight is None:
        spelled = {key: spelling for key, spelling in backend.ops.items() if key != op}
        less, said = replace(backend, ops=spelled), f"it lacks {op}"
    else:
        slots = {k: slot for k, slot in backend.storage().slots[op].items() if k != weight}
        less, said = with_slots(backend, op, slots), f"it has no place for {op}.{weight}"
    with pytest.raises(BackendError) as caught:
        backends.check(less)
    assert str(caught.value) == f"the backend `{name}` is incomplete: {said}"


def test_registration_names_weights_that_no_op_has_and_wrong_layouts() -> None:
    torch = backends.get("torch")
    slots = torch.storage().slots["dense"]
    with pytest.raises(BackendError, match=r"it has places for dense\.gain, unknown weights$"):
        backends.check(with_slots(torch, "dense", {**slots, "gain": slots["bias"]}))
    wrong = {**slots, "weight": replace(slots["weight"], axes="OIH")}
    with pytest.raises(BackendError) as caught:
        backends.check(with_slots(torch, "dense", wrong))
    said = "its layout OIH of dense.weight is none of the axes OI"
    assert str(caught.value) == f"the backend `torch` is incomplete: {said}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"handed": {"classes": ("int", "as given")}}, "a model or its argument `classes`"),
        ({"names": ("nn", "MobileNetV3Small")}, "a model or its argument `MobileNetV3Small`"),
        ({"attributes": frozenset({"blocks"})}, "a layer `blocks`"),
        ({"attributes": frozenset({"depthwise"})}, "a layer `depthwise`"),
    ],
)
def test_names_that_one_framework_uses_are_refused_there(words: dict[str, Any], said: str) -> None:
    network = load(SPECS / "mnv3_small.yaml").network
    language = replace(LANGUAGE, **words)
    with pytest.raises(BackendError) as caught:
        render(network, language, "mnv3_small.yaml")
    assert str(caught.value) == f"cannot call {said}: PyTorch's code uses the name itself"


@pytest.mark.parametrize(
    ("backend", "missing", "wanted"),
    [("torch", "torch", "torch"), ("keras", "keras", "keras and tensorflow")],
)
def test_a_missing_framework_is_named(
    backend: str, missing: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load(SPECS / "mnv3_small.yaml")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"archc.backends.{backend}.live", raising=False)
    assert net.source(backend)
    with pytest.raises(BackendError, match=f"the backend `{backend}` needs {wanted}"):
        net.build(backend)


EMIT = """
import sys
import archc
for path in sys.argv[1:]:
    net = archc.load(path)
    assert all(map(net.source, archc.backends.sources())) and net.params and net.macs
found = {"torch", "keras", "tensorflow", "numpy", "onnx"} & set(sys.modules)
assert not found, found
"""


def test_emitting_imports_no_framework() -> None:
    specs = [*SPECS.glob("*.yaml"), *EMITTED.glob("*.yaml")]
    subprocess.run([sys.executable, "-c", EMIT, *map(str, specs)], check=True)


# ------------------------------------------------------------------------------- live models

NETS = {
    "mnv3_small": (SPECS / "mnv3_small.yaml", {"classes": 10}),
    "mobilenet_v1": (SPECS / "mobilenet_v1.yaml", {"alpha": 0.25, "padding": "symmetric"}),
    "blocks": (EMITTED / "blocks.yaml", {}),
    "expressions": (EMITTED / "expressions.yaml", {}),
    "rows": (EMITTED / "rows.yaml", {}),
}


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> Net:
    path, settings = NETS[request.param]
    return load(path, **settings)


def built(net: Net, backend: str, size: tuple[int, int] = SIZE) -> Any:
    """A live model with random weights."""
    model = net.build(backend, *size)
    net.live(backend).load(model, random_weights(net.network))
    return model


@pytest.fixture(scope="module")
def module(net: Net) -> Any:
    return built(net, "torch")


def assert_near(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """All values that both sides have, among them the models' own."""
    far = {path: deviation(found[path], expected[path]) for path in found.keys() & expected.keys()}
    assert "" in far
    assert max(far.values()) <= TOLERANCE, far


def result(model: Any, size: tuple[int, int] = SIZE, count: int = 2) -> Any:
    """What a PyTorch model makes of a batch that depends on its size alone."""
    import torch

    channels = next(model.parameters()).shape[1]
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        return model(torch.randn(count, channels, *size, generator=generator))


def test_two_models_have_the_same_names(net: Net) -> None:
    first, second = ([layer.name for layer in net.build("keras").layers] for _ in range(2))
    assert first == second
    first, second = (list(net.build("torch").state_dict()) for _ in range(2))
    assert first == second


def test_arrays_come_back_as_they_were_loaded(net: Net) -> None:
    weights = random_weights(net.network)
    for backend in backends.names():
        arrays = net.live(backend).arrays(built(net, backend))
        assert arrays.keys() == weights.keys()
        assert all(np.array_equal(arrays[name], weights[name]) for name in weights)


def test_source_that_fails_leaves_no_module() -> None:
    source = SourceFile("fails_torch.py", "1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            execute(source)
    assert not any("fails_torch" in name for name in sys.modules)


@pytest.mark.parametrize("backend", backends.names())
def test_arrays_that_do_not_fit_are_refused(backend: str) -> None:
    net = load(EMITTED / "blocks.yaml")
    model = net.build(backend)
    weights = random_weights(net.network)
    live = net.live(backend)
    name = next(iter(weights))
    for wrong in (
        {key: value for key, value in weights.items() if key != name},
        {**weights, "more.weight": weights[name]},
        {**weights, name: weights[name][:1]},
    ):
        with pytest.raises((ValueError, RuntimeError)):
            live.load(model, wrong)


# --------------------------------------------------------------------------------- in PyTorch


def test_a_module_is_copied_and_pickled(module: Any) -> None:
    import torch

    expected = result(module)
    assert torch.equal(result(copy.deepcopy(module)), expected)
    assert torch.equal(result(pickle.loads(pickle.dumps(module))), expected)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    assert torch.equal(result(torch.load(file, weights_only=False)), expected)


def test_a_module_is_traced_by_fx_for_every_size(module: Any) -> None:
    import torch

    graph = torch.fx.symbolic_trace(module)
    for size in (SIZE, OTHER_SIZE):
        assert deviation(result(graph, size).numpy(), result(module, size).numpy()) < 1e-6


def test_a_module_is_exported_for_every_batch(module: Any) -> None:
    import torch

    example = torch.randn(2, next(module.parameters()).shape[1], *SIZE)
    exported = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    graph = exported.module()
    for count in (2, 3):
        found, expected = (result(m, count=count).numpy() for m in (graph, module))
        assert deviation(found, expected) < 1e-6


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_module_is_traced_by_jit(module: Any) -> None:
    import torch

    example = torch.randn(2, next(module.parameters()).shape[1], *SIZE)
    traced = torch.jit.trace(module, example)
    assert deviation(result(traced).numpy(), result(module).numpy()) < 1e-6


def test_a_module_trains(module: Any) -> None:
    import torch

    model = copy.deepcopy(module).train()
    model(torch.randn(2, next(model.parameters()).shape[1], *SIZE)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# ----------------------------------------------------------------------------------- in Keras


def test_a_model_is_saved_and_loaded_without_custom_objects(net: Net, tmp_path: Path) -> None:
    import keras

    model = built(net, "keras")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = random_batch(net.network, *SIZE)
    live = net.live("keras")
    expected, found = (live.outputs(m, batch) for m in (model, loaded))
    assert expected.keys() == found.keys()
    assert deviation(found[""], expected[""]) < 1e-6


def test_a_model_trains(net: Net) -> None:
    import keras

    model = built(net, "keras")
    model.compile("sgd", "mse")
    batch = random_batch(net.network, *SIZE).transpose(0, 2, 3, 1)
    loss = model.train_on_batch(batch, keras.ops.zeros_like(model(batch)))
    assert np.isfinite(float(loss))


def test_a_model_takes_every_size(net: Net) -> None:
    constructor = getattr(execute(net.source_file("keras")), net.emitted("keras").model)
    model = constructor(input_shape=(None, None, net.input_shape[0]))
    net.live("keras").load(model, random_weights(net.network))
    for size in (SIZE, OTHER_SIZE):
        batch = random_batch(net.network, *size)
        found = net.live("keras").outputs(model, batch)
        expected = interpreter.outputs(net.network, random_weights(net.network), batch)
        assert_near(found, expected)


def test_a_live_model_that_fails_is_told_with_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a difference like any other, at each size, and not in a traceback."""
    import keras
    import torch

    def failing(*_: Any, **__: Any) -> Any:
        raise ValueError("no such thing\n\x1b[1mand more")

    monkeypatch.setattr(torch.nn.Hardsigmoid, "forward", failing)
    monkeypatch.setattr(keras.layers.Multiply, "__call__", failing)
    both = ["keras", "torch"]
    found = compare(load(SPECS / "mnv3_small.yaml"), both, numeric=True).differences
    making = 'in `return layers.Multiply(name=f"{name}-scale")([x, y])`'
    assert found == [
        f"{backend} at {size}: ValueError: no such thing, {code}"
        for size in ("224x224", "169x169")
        for backend, code in (
            ("keras fails at blocks.0.excite", making),
            ("torch fails at blocks.0.excite.gate", "in `y = self.gate(y)`"),
        )
    ]


# Keras's PyTorch backend gets a strided average pool with `same` wrong (it repeats the edge, in
# keras/src/backend/torch/nn.py), which is why none of these networks has one.
ON_TORCH = """
import sys
from pathlib import Path
import keras
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_backends as tests
assert keras.backend.backend() == "torch"
for name, (path, settings) in tests.NETS.items():
    net = tests.load(path, **settings)
    model = net.build("keras", *tests.SIZE)
    live = net.live("keras")
    live.load(model, tests.random_weights(net.network))
    found = live.outputs(model, tests.random_batch(net.network, *tests.SIZE))
    np.savez(Path(sys.argv[2]) / f"{name}.npz", **{f"/{key}": v for key, v in found.items()})
"""


@pytest.fixture(scope="module")
def on_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of every network on Keras's PyTorch backend, computed in another process."""
    folder = tmp_path_factory.mktemp("on_torch")
    command = [sys.executable, "-c", ON_TORCH, str(Path(__file__).parent), str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", NETS)
def test_the_keras_file_runs_on_pytorch(name: str, on_torch: Path) -> None:
    path, settings = NETS[name]
    net = archc.load(path, **settings)
    with np.load(on_torch / f"{name}.npz") as arrays:
        found = {key[1:]: array for key, array in arrays.items()}
    expected = net.live("keras").outputs(built(net, "keras"), random_batch(net.network, *SIZE))
    assert found.keys() == expected.keys()
    assert_near(found, expected)


CAPTURE = """
archc: 1
name: Capture
input: {channels: 3, height: 8, width: 9}
blocks:
  ghost:
    params: {out: int}
    let: {half: ceil(out / 2)}
    steps:
      - primary: conv2d(x, half, 3)
      - cheap: depthwise_conv2d(primary, 3)
    returns: concat(primary, cheap)
    channels: out
  pair:
    params: {out: int, hidden: int}
    steps:
      - a: ghost(x, hidden)
      - b: depthwise_conv2d(a, 3)
      - c: ghost(b, out)
network:
  - {block: pair, out: 6, hidden: 10}
"""


def test_promised_channels_are_those_of_the_call(tmp_path: Path) -> None:
    """What a block promises may mention a parameter that its code does not take, as the caller has
    one of that name."""
    path = tmp_path / "net.yaml"
    path.write_text(CAPTURE, encoding="utf-8")
    assert not compare(load(path), backends.names(), numeric=True).differences
