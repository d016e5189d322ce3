"""PyTorch's activations that write over their input: only where nothing else reads that again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archc import Net
from archc.api import load
from archc.live import interpreter
from archc.live.numeric import deviation, random_batch, random_weights

torch = pytest.importorskip("torch")

SIZE = (6, 8)
SPEC = """\
archc: 1
name: Places
input: {channels: 4, height: 6, width: 8}
blocks:
  plain:
    params: {act: {type: activation, default: relu}}
    steps:
      - c: conv2d(x, x.channels, kernel=1)
      - y: activation(c, act)
  through:
    steps:
      - y: activation(x, hard_swish)
  unit:
    params: {wide: bool, act: {type: activation, default: relu}}
    steps:
      STEPS
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 1}
  - {block: unit, name: first, wide: false}
  - {block: unit, name: second, wide: true, act: elu}
  - {block: activation, name: act, act: relu}
  - {block: add, name: sum, from: [act, stem]}
  - {block: add, name: more, from: [sum, second]}
"""
CONV, NORM = "conv2d(x, x.channels, kernel=1)", "batch_norm(x)"
STEPS = {
    "after an optional step": [("c", CONV, "wide"), ("a", "activation(c, relu)"), ("y", "a + x")],
    "after an optional norm": [("c", NORM, "wide"), ("a", "activation(c, act)"), ("y", "a + x")],
    "after two optional steps": [
        ("c", CONV, "wide"), ("b", "batch_norm(c)", "wide"), ("a", "activation(b, act)"),
        ("y", "a + x"),
    ],
    "optional itself": [("c", CONV), ("a", "activation(c, act)", "wide"), ("y", "a + c")],
    "in a step with the optional call": [
        ("c", f"activation({CONV}, relu)", "wide"), ("y", "activation(c, act) + x"),
    ],
    "of the input": [("a", "activation(x, act)"), ("y", "a + x")],
    "of what is read again": [("c", CONV), ("a", "activation(c, act)"), ("y", "a * c")],
    "of what is read before": [("c", CONV), ("b", "c * x"), ("a", "activation(c, act)"),
                               ("y", "a + b")],
    "of what two read": [("c", CONV), ("a", "activation(c, relu)"), ("b", "activation(c, tanh)"),
                         ("y", "a + b")],
    "of a sum": [("c", "x + x"), ("a", "activation(c, act)"), ("y", "a + x")],
    "of an identity": [("c", "identity(x)"), ("a", "activation(c, act)"), ("y", "a + x")],
    "of a block": [("c", "through(x)"), ("a", "activation(c, act)"), ("y", "a + x")],
    "of a block that activates": [("c", "plain(x)"), ("a", "activation(c, act)"), ("y", "a * c")],
    "of a pool of one cell": [("c", "max_pool2d(x, kernel=1)"), ("a", "activation(c, act)"),
                              ("y", "a + x")],
    "of no dropout": [("c", "dropout(x, 0)"), ("a", "activation(c, act)"), ("y", "a + x")],
    "of no scaling": [("c", "rescale(x, 1)"), ("a", "activation(c, act)"), ("y", "a + x")],
    "twice": [("a", "activation(activation(x, act), relu6)"), ("y", "a + x")],
    "of what a gate reads": [("c", CONV), ("g", "global_avg_pool2d(c, keepdims=true)"),
                             ("a", "activation(g, hard_sigmoid)"), ("y", "c * a")],
}  # fmt: skip


def network(steps: list[tuple[str, ...]], folder: Path) -> Net:
    lines = [
        f"- {name}: {call}" + "".join(f"\n        when: {condition}" for condition in when)
        for name, call, *when in steps
    ]
    path = folder / "net.yaml"
    path.write_text(SPEC.replace("STEPS", "\n      ".join(lines)), encoding="utf-8")
    return load(path)


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_nothing_that_is_read_again_is_written_over(
    steps: list[tuple[str, ...]], tmp_path: Path
) -> None:
    net = network(steps, tmp_path)
    weights = random_weights(net.network)
    batch = random_batch(net.network, *SIZE)
    model = net.build("torch", *SIZE)
    net.live("torch").load(model, weights)
    given = torch.from_numpy(batch.copy())
    with torch.inference_mode():
        found = model(given).numpy()
    assert deviation(found, interpreter.run(net.network, weights, batch)) < 1e-5
    assert np.array_equal(given.numpy(), batch)


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_gradients_flow_through_what_is_written_over(
    steps: list[tuple[str, ...]], tmp_path: Path
) -> None:
    model = network(steps, tmp_path).build("torch").train()
    model(torch.randn(2, 4, *SIZE)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_may_be_written_over_is(tmp_path: Path) -> None:
    steps = [("c", CONV), ("a", "activation(c, act)"), ("y", "a + x")]
    model = network(steps, tmp_path).build("torch")
    assert model.first.a.inplace
    assert model.second.a.inplace
    assert not model.act.inplace
