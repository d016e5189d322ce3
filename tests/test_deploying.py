"""What PyTorch's own tools make of the generated files: folded, quantised, counted.

The snippets of docs/models.md are run as they stand there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import archc
from archc import Net
from archc.live.numeric import deviation, random_batch, settled_weights

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Deploying PyTorch's models")[1].split("\n## ")[0]
SNIPPETS = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)

SMALL: dict[str, dict[str, Any]] = {
    "mobilenet_v1": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "mnv3_large": {},
    "mnv3_small": {},
    "mobilenet_v4_small": {},
    "efficientnet_b0": {},
    "resnet18": {},
    "regnet_y_400mf": {},
    "shufflenet_v2": {},
    "googlenet": {},
    "densenet121": {},
    "repvgg_a0": {},
    "nasnet_a_mobile": {"cells": 1, "penultimate_filters": 96},
}
LEFT = {"densenet121": 62, "repvgg_a0": 17, "nasnet_a_mobile": 4}
"""Batch norms that no convolution stands before: DenseNet's are 121 less the 58 second ones of its
layers and the stem's; of RepVGG's 22 blocks 17 have a branch that is nothing else."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def model_of(net: Net, batch: Any) -> Any:
    """With running averages that suit the batch."""
    model = net.build("torch")
    net.live("torch").load(model, settled_weights(net.network, batch))
    return model


def run(snippet: str, **names: Any) -> dict[str, Any]:
    exec(compile(snippet, "models.md", "exec"), {"torch": torch, **names}, names)
    return names


def test_the_page_has_four_snippets() -> None:
    assert [s for s in SNIPPETS if "fuse(" in s] == SNIPPETS[:1]
    assert len(SNIPPETS) == 4


@pytest.mark.parametrize("name", SMALL)
def test_convolutions_are_plain_and_batch_norms_fold(name: str) -> None:
    net = archc.load(ROOT / "specs" / f"{name}.yaml", **SMALL[name])
    batch = random_batch(net.network, 65, 64, count=1)
    model = model_of(net, batch).double()
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert {type(m) for m in convolutions} == {torch.nn.Conv2d}
    folded = run(SNIPPETS[0], model=model)["folded"]
    norms = [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == LEFT.get(name, 0)
    with torch.inference_mode():
        images = torch.from_numpy(batch).double()
        found, right = (m(images).numpy() for m in (folded, model))
    assert deviation(found, right) < 1e-9


def test_mobilenet_v3_is_quantised() -> None:
    pytest.importorskip("torchao")
    net = archc.load(ROOT / "specs" / "mnv3_large.yaml")
    batch = random_batch(net.network, 96, 96, count=4)
    model, images = model_of(net, batch), torch.from_numpy(batch)
    with torch.no_grad():
        quantized = run(SNIPPETS[1], model=model, images=images)["quantized"]
        found, right = quantized(images), model(images)
    kinds = [str(node.target) for node in quantized.graph.nodes]
    assert not [kind for kind in kinds if "batch_norm" in kind]
    weights = [kind for kind in kinds if "dequantize_per_channel" in kind]
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weights) == len(convolutions)
    pairs = torch.stack([found.flatten(), right.flatten()])
    assert torch.corrcoef(pairs)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["mnv3_small", "mobilenet_v1", "nasnet_a_mobile", "resnet18"])
def test_fvcore_counts_what_archc_counts(name: str) -> None:
    pytest.importorskip("fvcore")
    net = archc.load(ROOT / "specs" / f"{name}.yaml", **SMALL[name])
    images = torch.zeros(1, *net.input_shape)
    snippet = SNIPPETS[3].replace("FlopCountAnalysis(model", "count = FlopCountAnalysis(model")
    count = run(snippet.replace(".total()", ""), model=net.build("torch"), images=images)["count"]
    by_op = count.unsupported_ops_warnings(False).by_operator()
    assert by_op["conv"] + by_op["linear"] == net.macs


@pytest.mark.parametrize("name", ["mnv3_small", "resnet18", "lenet_cifar"])
def test_torchinfo_and_keras_count_what_archc_counts(name: str) -> None:
    """Layer by layer, by path: trainable parameters, all of them, and shapes."""
    torchinfo = pytest.importorskip("torchinfo")
    net = archc.load(ROOT / "specs" / f"{name}.yaml")
    model = net.build("torch").eval()
    counted = torchinfo.summary(model, input_size=(1, *net.input_shape), verbose=0)
    assert counted.trainable_params == net.params.trainable
    paths = {id(module): path for path, module in model.named_modules()}
    known = {layer.path: layer for layer in net.layers}
    compared = [
        (known[path], info)
        for info in counted.summary_list
        if (path := paths.get(id(info.module))) in known
    ]
    for layer, info in compared:
        assert info.trainable_params == layer.params.trainable, layer.path
        assert tuple(info.output_size[1:]) == layer.output_shape, layer.path
    assert sum(layer.params.trainable for layer, _ in compared) == net.params.trainable
    keras_model = net.build("keras")
    assert keras_model.count_params() == net.params.total
    layers = {layer.name: layer for layer in keras_model.layers}
    for path, layer in known.items():
        if layer.params.total:
            assert layers[path.replace(".", "-")].count_params() == layer.params.total


def test_compiled_and_exported() -> None:
    net = archc.load(ROOT / "specs" / "mnv3_small.yaml")
    batch = random_batch(net.network, 65, 64)
    model, images = model_of(net, batch), torch.from_numpy(batch)
    snippet = SNIPPETS[2].replace("eval())", "eval(), backend='eager')", 1)
    made = run(snippet, model=model, images=images)
    with torch.inference_mode():
        right = model(images)
        assert torch.allclose(made["exported"].module()(images), right, atol=1e-5)
        assert torch.allclose(made["compiled"](images), right, atol=1e-5)
