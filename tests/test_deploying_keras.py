"""What LiteRT and TensorFlow make of the generated files for inference.

The snippets of docs/models.md are run as they stand there.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import archc
from archc.compiler.elaborate.sizes import at_size
from archc.live import interpreter
from archc.live.numeric import Array, deviation, random_batch, settled_weights
from archc.weights.folding import folded

tensorflow = pytest.importorskip("tensorflow")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Deploying Keras's models")[1].split("\n## ")[0]
CONVERT, RUN, QUANTIZE, EXPORT = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)

NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "mnv3_small": ({}, (64, 48)),
    "mobilenet_v1": ({"alpha": 0.25, "preprocess": True}, (65, 51)),
    "resnet18": ({}, (65, 97)),
}
"""Networks that pad as `same`, and at an odd size one that pads symmetrically. Its stem's pool pads
by minus infinity, which LiteRT has as another operator."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def litert(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's own copy of the interpreter stands in where the package is not installed."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ModuleNotFoundError:
        stand_in = SimpleNamespace(Interpreter=tensorflow.lite.Interpreter)
        monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace(interpreter=stand_in))
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", stand_in)


def model_of(name: str, count: int) -> tuple[Any, Array, Array]:
    """The model for inference, images, and what the network that was trained gives for them."""
    settings, size = NETWORKS[name]
    net = archc.load(ROOT / "specs" / f"{name}.yaml", **settings)
    left, batch = net.for_inference(), random_batch(net.network, *size, count=max(4, count))
    batch = np.clip(127.5 + 60.0 * batch, 0.0, 255.0).astype("float32") if settings else batch
    weights = settled_weights(net.network, batch)
    model = left.build("keras", *size)
    left.live("keras").load(model, folded(net, weights))
    right = interpreter.run(at_size(net.network, *size), weights, batch[:count])
    return model, np.ascontiguousarray(batch[:count].transpose(0, 2, 3, 1)), right


def run(*snippets: str, **names: Any) -> dict[str, Any]:
    for snippet in snippets:
        exec(compile(snippet, "models.md", "exec"), {"tensorflow": tensorflow, **names}, names)
    return names


@pytest.mark.parametrize("name", NETWORKS)
def test_lite(name: str) -> None:
    model, images, right = model_of(name, 1)
    made = run(CONVERT, RUN, model=model, images=images)
    assert deviation(made["logits"], right) < 1e-5
    ops = Counter(op["op_name"] for op in made["interpreter"]._get_ops_details())
    assert not {"TRANSPOSE", "PAD", "MIRROR_PAD"} & ops.keys()
    assert ops["CONV_2D"] + ops["DEPTHWISE_CONV_2D"] + ops["FULLY_CONNECTED"] == sum(
        "Conv" in type(layer).__name__ or type(layer).__name__ == "Dense" for layer in model.layers
    )


def test_a_strided_symmetric_pad_at_an_even_size_stays() -> None:
    net = archc.load(ROOT / "specs" / "repvgg_a0.yaml").for_inference()
    made = run(CONVERT, model=net.build("keras", 64, 64))
    lite = tensorflow.lite.Interpreter(model_content=made["lite"])
    lite.allocate_tensors()
    ops = Counter(op["op_name"] for op in lite._get_ops_details())
    strided = [row for row in net.network.rows if row.call.body.arguments.get("stride") == 2]
    assert ops["PAD"] == len(strided) == 5


def test_eight_bits() -> None:
    model, images, right = model_of("mnv3_small", 8)
    made = run(QUANTIZE, model=model, images=images)
    lite, one = made["quantized"], images[:1]
    assert len(lite) < 0.35 * 4 * model.count_params()
    found = run(RUN, lite=lite, images=one)["logits"]
    # Of random weights rounding takes more than of trained ones; other weights take all.
    assert np.corrcoef(found.ravel(), right[0].ravel())[0, 1] > 0.8


def test_exported(tmp_path: Path) -> None:
    model, images, right = model_of("mobilenet_v1", 2)
    made = run(EXPORT, model=model, images=images, folder=str(tmp_path / "folded"))
    assert deviation(made["served"].numpy(), right) < 1e-5
