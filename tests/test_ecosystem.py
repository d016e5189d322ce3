"""Generated files with what their frameworks' users do next: compile, export, convert, distribute.

What a module or a model must do for any network at all is in test_backends.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.live.numeric import deviation, random_batch, random_weights

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
SIZE = (64, 96)
CASES = {
    "mnv3_small": {},
    "mobilenet_v1": {"alpha": 0.25, "act": "frelu"},
    "nasnet_a_mobile": {"cells": 1, "penultimate_filters": 96},
}


@pytest.fixture(scope="module", params=CASES)
def net(request: pytest.FixtureRequest) -> Net:
    return archc.load(SPECS / f"{request.param}.yaml", **CASES[request.param], classes=10)


@pytest.fixture(scope="module")
def module(net: Net) -> Any:
    model = net.build("torch")
    net.live("torch").load(model, random_weights(net.network))
    return model


@pytest.fixture(scope="module")
def model(net: Net) -> Any:
    model = net.build("keras", *SIZE)
    net.live("keras").load(model, random_weights(net.network))
    return model


@pytest.fixture(scope="module")
def batch(net: Net) -> Any:
    return random_batch(net.network, *SIZE)


@pytest.fixture(scope="module")
def expected(module: Any, batch: Any) -> Any:
    with torch.inference_mode():
        return module(torch.from_numpy(batch)).numpy()


# ----------------------------------------------------------------------------------- PyTorch


def test_compile_in_one_graph(module: Any, batch: Any) -> None:
    # Capturing the graph is where a model can fail; what a compiler makes of it takes minutes.
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    with torch.no_grad():
        for images in (batch, batch[..., 3:, 5:]):
            found = compiled(torch.from_numpy(np.ascontiguousarray(images)))
            plain = module(torch.from_numpy(np.ascontiguousarray(images)))
            torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_torchscript(module: Any, batch: Any) -> None:
    scripted = torch.jit.script(module)
    for images in (batch, batch[..., 3:, 5:]):
        images = torch.from_numpy(np.ascontiguousarray(images))
        with torch.inference_mode():
            assert deviation(scripted(images).numpy(), module(images).numpy()) < 1e-6


PARTS = """\
archc: 1
name: Parts
input: {channels: 3, height: 8, width: 7}
blocks:
  unit:
    params: {scale: bool, offset: bool}
    steps:
      - conv: conv2d(x, 4, kernel=3, bias=false)
      - norm: batch_norm(conv, scale=scale, offset=offset)
network:
  - {block: unit, name: both, scale: true, offset: true}
  - {block: unit, name: unscaled, scale: false, offset: true}
  - {block: unit, name: unshifted, scale: true, offset: false}
  - {block: unit, name: neither, scale: false, offset: false}
  - {block: batch_norm, scale: false}
"""


def test_batch_norms_with_parts_of_their_weights_fuse(tmp_path: Path) -> None:
    from torch.fx.experimental import optimization

    path = tmp_path / "parts.yaml"
    path.write_text(PARTS)
    net = archc.load(path)
    model = net.build("torch")
    net.live("torch").load(model, random_weights(net.network))
    fused = optimization.fuse(model)
    assert not any("BatchNorm" in type(module).__name__ for module in fused.modules())
    batch = torch.from_numpy(random_batch(net.network))
    assert deviation(fused(batch).detach().numpy(), model(batch).detach().numpy()) < 1e-6
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()


def test_channels_last(module: Any, batch: Any, expected: Any) -> None:
    import copy

    last = copy.deepcopy(module).to(memory_format=torch.channels_last)
    images = torch.from_numpy(batch).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert deviation(last(images).numpy(), expected) < 1e-5


def test_bfloat16_autocast(module: Any, batch: Any, expected: Any) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = module(torch.from_numpy(batch))
    assert found.dtype == torch.bfloat16
    assert deviation(found.float().numpy(), expected) < 0.1


DISTRIBUTED = """
import sys
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
sys.path.insert(0, sys.argv[1])
import {module} as generated

rank = int(sys.argv[2])
dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
torch.manual_seed(0)
model = DistributedDataParallel(generated.{name}())
images = torch.randn(4, 3, 64, 96, generator=torch.Generator().manual_seed(rank))
model(images).square().mean().backward()
sums = torch.stack([p.grad.double().sum() for p in model.parameters()])
every = [torch.empty_like(sums) for _ in range(2)]
dist.all_gather(every, sums)
assert torch.equal(*every) and sums.abs().sum() > 0, "the processes have other gradients"
dist.destroy_process_group()
"""


def test_two_processes_share_gradients(net: Net, tmp_path: Path) -> None:
    source = net.source_file("torch")
    (tmp_path / source.name).write_text(source.text)
    script = tmp_path / "train.py"
    name = source.name.removesuffix(".py")
    script.write_text(DISTRIBUTED.format(module=name, name=net.emitted("torch").model))
    commands = [
        [sys.executable, str(script), str(tmp_path), str(rank), str(tmp_path / "meet")]
        for rank in range(2)
    ]
    started = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors[-2000:]


# ------------------------------------------------------------------------------------- Keras


def logits(model: Any, batch: Any) -> Any:
    return np.asarray(model.predict_on_batch(batch.transpose(0, 2, 3, 1)))


def test_saved_model(model: Any, batch: Any, tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tensorflow.saved_model.load(str(tmp_path / "saved"))
    found = loaded.serve(tensorflow.constant(batch.transpose(0, 2, 3, 1))).numpy()
    assert deviation(found, logits(model, batch)) < 1e-5


def test_lite(model: Any, batch: Any) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    images = batch[:1].transpose(0, 2, 3, 1)
    converted = tensorflow.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = tensorflow.lite.Interpreter(model_content=converted)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert deviation(found, logits(model, batch[:1])) < 1e-4


def test_a_drawing_has_every_layer(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydot")
    if shutil.which("dot"):
        keras.utils.plot_model(model, str(tmp_path / "model.png"), show_shapes=True)
        assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    else:  # pydot makes the graph, and leaves the drawing to Graphviz
        from keras.src.utils import model_visualization

        monkeypatch.setattr(model_visualization, "check_graphviz", lambda: True)
    graph = keras.utils.model_to_dot(model, show_layer_names=True).to_string()
    assert all(layer.name in graph for layer in model.layers)


def test_mixed_precision(net: Net, model: Any, batch: Any) -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = net.build("keras", *SIZE)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    net.live("keras").load(mixed, random_weights(net.network))
    convolution = next(layer for layer in mixed.layers if "Conv" in type(layer).__name__)
    assert convolution.compute_dtype == "bfloat16"
    assert convolution.variable_dtype == "float32"
    found = logits(mixed, batch).astype(np.float32)
    assert deviation(found, logits(model, batch)) < 0.1


def test_one_file_loads_in_another_process(model: Any, batch: Any, tmp_path: Path) -> None:
    """Nothing of the generated file is needed to load what it saved."""
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "batch.npy", batch.transpose(0, 2, 3, 1))
    script = (
        "import keras, numpy as np, sys\n"
        "model = keras.models.load_model(sys.argv[1] + '/model.keras')\n"
        "found = model.predict_on_batch(np.load(sys.argv[1] + '/batch.npy'))\n"
        "np.save(sys.argv[1] + '/found.npy', np.asarray(found))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert deviation(np.load(tmp_path / "found.npy"), logits(model, batch)) < 1e-6
