"""One training step of published PyTorch models and of archc's, from the same weights.

The models have the same operations in the same order, so what comes out, the gradients and the
running averages are the same to the last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archc.live.numeric import Array, difference, random_batch
from archc.weights import importing, rules

from . import reference_models as references
from .shipped import SPECS

torch = pytest.importorskip("torch")

STEPS = {
    "torchvision:mobilenet_v2": {"decay": 0.9, "dropout": 0},
    "torchvision:mobilenet_v3_small": {"decay": 0.99, "dropout": 0},
    "timm:mobilenetv1_100": {"decay": 0.9, "dropout": 0},
}
"""Sources, and settings beside those that their weights need."""
EXACT = 1e-5
"""Of the scale: sums of products may be taken in another order."""


def without_chance(model: Any) -> Any:
    """The model with nothing dropped."""
    for module in model.modules():
        if (
            hasattr(module, "p")
            and "Drop" in type(module).__name__ + type(module).__base__.__name__
        ):
            module.p = 0.0
        if type(module).__name__ in ("StochasticDepth", "DropPath"):
            module.p = module.drop_prob = 0.0
    return model.train()


def stepped(model: Any, batch: Array, wanted: Array) -> tuple[Array, dict[str, Array]]:
    """What a model gives in training, and all gradients and averages after a step backwards."""
    out = model(torch.from_numpy(batch))
    (out * torch.from_numpy(wanted)).sum().backward()
    found = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    averages = {name: b.numpy() for name, b in model.named_buffers() if "running" in name}
    return out.detach().numpy(), found | averages


@pytest.mark.parametrize("source", STEPS)
def test_a_step_is_the_references(source: str) -> None:
    rule = rules.find(source)
    spec = SPECS / f"{rule.source.spec}.yaml"
    net = importing.network(str(spec), rule, STEPS[source])
    batch = random_batch(net.network, 64, 96)
    theirs = references.zoo(source, batch)
    read = references.imported(net, source, theirs)
    weights = {path: array.copy() for path, array in read.items()}  # not what training changes
    ours = net.build("torch", 64, 96)
    net.live("torch").load(ours, weights)
    wanted = np.random.default_rng(1).standard_normal((len(batch), 1000)).astype(np.float32)
    out, changed = stepped(without_chance(ours), batch, wanted)
    their_out, their_changed = stepped(without_chance(theirs), batch, wanted)
    assert difference(out, their_out).relative < EXACT
    named = {tensor.path: name for name, tensor in importing.names(net, rule).items()}
    assert named.keys() == changed.keys()
    for path, array in changed.items():
        there = their_changed[named[path]].reshape(array.shape)
        assert difference(array, there).relative < EXACT, path
    moved = [path for path in changed if "running" in path]
    assert all(np.any(changed[path] != weights[path]) for path in moved)
