"""One step of training, by the formulas: running averages of batch norms, and what dropout does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archc import Net, backends
from archc.api import load
from archc.compiler.ir.analysis import layers
from archc.live import interpreter
from archc.live.numeric import Array, deviation, random_batch, random_weights, settled_weights

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

SIZE, COUNT = (6, 5), 4
DDOF = {"torch": 1, "keras": 0}
"""What is taken from n in the variance that the running average gets: PyTorch's is unbiased."""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NORMS = """\
archc: 1
name: Norms
params:
  usual: {type: float, default: 0.6}
  late: {type: float, default: 0.7, keep: true}
input: {channels: 3, height: 6, width: 5}
defaults:
  batch_norm: {decay: usual, epsilon: 0.02}
blocks:
  unit:
    params: {decay: float, share: {type: float, default: 0.8}}
    steps:
      - conv: conv2d(x, 4, kernel=3)
      - bn: batch_norm(conv, decay=decay)
      - act: activation(bn, relu)
      - again: batch_norm(act, epsilon=0.3, decay=share)
      - last: batch_norm(again)
network:
  - {block: batch_norm, name: row, decay: 0.9}
  - {block: unit, name: first, decay: 0.75}
  - {block: unit, name: second, decay: 0.3, share: 0.55}
  - {block: batch_norm, name: plain}
  - {block: batch_norm, name: never, decay: 1}
  - {block: batch_norm, name: always, decay: 0}
  - {block: global_avg_pool2d}
  - {block: batch_norm, name: vector, decay: 0.65}
"""
DECAYS = {
    "row": 0.9,
    "first.bn": 0.75,
    "first.again": 0.8,
    "first.last": 0.6,
    "second.bn": 0.3,
    "second.again": 0.55,
    "second.last": 0.6,
    "plain": 0.6,
    "never": 1.0,
    "always": 0.0,
    "vector": 0.65,
}
"""What the spec says, by the path of the batch norm."""


def network(text: str, folder: Path) -> Net:
    path = folder / "net.yaml"
    path.write_text(text.replace(", keep: true", ""), encoding="utf-8")
    return load(path)


def step(backend: str, model: Any, batch: Array) -> Array:
    """What a model gives of a batch in training mode, in PyTorch's order of axes."""
    if backend == "torch":
        with torch.no_grad():
            return np.asarray(model.train()(torch.from_numpy(batch)))
    found = np.asarray(model(batch.transpose(0, 2, 3, 1), training=True))
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found


def test_the_paths_are_those_of_the_spec(tmp_path: Path) -> None:
    norms = [x.path for x in layers(network(NORMS, tmp_path).network) if x.op == "batch_norm"]
    assert norms == list(DECAYS)


@pytest.mark.parametrize("backend", backends.sources())
def test_a_step_moves_the_running_averages_by_one_minus_the_decay(
    backend: str, tmp_path: Path
) -> None:
    net = network(NORMS, tmp_path)
    weights = random_weights(net.network)
    batch = 3.0 * random_batch(net.network, *SIZE, count=COUNT) + 1.0
    values: dict[str, Array] = {"input": batch}
    training = interpreter.Training(ddof=DDOF[backend])
    expected = interpreter.run(net.network, weights, batch, values.__setitem__, training)
    model = net.build(backend, *SIZE)
    net.live(backend).load(model, weights)
    assert deviation(step(backend, model, batch), expected) < 1e-5
    found = net.live(backend).arrays(model)
    before = dict(zip(list(values)[1:], values.values(), strict=False))
    for path, decay in DECAYS.items():
        x = before[path]  # no block starts with its batch norm, so this is its input
        axes = (0, 2, 3)[: x.ndim - 1]
        fresh = {"running_mean": x.mean(axes), "running_var": x.var(axes, ddof=DDOF[backend])}
        for name, value in fresh.items():
            right = decay * weights[f"{path}.{name}"] + (1.0 - decay) * value
            assert deviation(found[f"{path}.{name}"], right) < 1e-5, (path, name)
            assert deviation(training.averages[f"{path}.{name}"], right) < 1e-6, (path, name)


@pytest.mark.parametrize("backend", backends.sources())
def test_weights_that_are_trained_stay_where_they_are_in_a_forward_pass(
    backend: str, tmp_path: Path
) -> None:
    net = network(NORMS, tmp_path)
    weights = random_weights(net.network)
    model = net.build(backend, *SIZE)
    net.live(backend).load(model, weights)
    step(backend, model, random_batch(net.network, *SIZE, count=COUNT))
    found = net.live(backend).arrays(model)
    moved = {name for name in weights if not np.array_equal(found[name], weights[name])}
    averages = {name for name in weights if ".running_" in name}
    assert moved == averages - {"never.running_mean", "never.running_var"}


def test_settling_gives_averages_near_the_batchs_and_changes_nothing_else(tmp_path: Path) -> None:
    """Near those of what each batch norm is fed when all others have theirs."""
    network_ = network(NORMS, tmp_path).network
    batch = random_batch(network_, *SIZE, count=COUNT)
    usual, settled = random_weights(network_), settled_weights(network_, batch)
    kept = {name for name in usual if np.array_equal(usual[name], settled[name])}
    assert kept == {name for name in usual if ".running_" not in name}
    fed: dict[str, Array] = {}
    interpreter.run(network_, settled, batch, before=lambda _, path, xs: fed.update({path: xs[0]}))
    for path in DECAYS:
        mean, variance = interpreter.statistics(fed[path]).values()
        running = settled[f"{path}.running_var"]
        assert (0.35 * running <= variance).all(), path
        assert (variance <= 3.3 * running).all(), path
        shift = (mean - settled[f"{path}.running_mean"]) / running**0.5
        assert 0.0 < shift.mean() < 1.0, path
        assert np.ptp(shift) > 0.1, path


# ------------------------------------------------------------------------------------- dropout

DROPOUT = """\
archc: 1
name: Drops
params:
  rate: {type: float, default: 0.2, keep: true}
input: {channels: 8, height: 48, width: 40}
blocks:
  unit:
    params: {rate: float}
    steps:
      - drop: dropout(x, rate)
network:
  - {block: WHICH}
"""
RATES = {
    "dropout, rate: 0.2": 0.2,
    "dropout, rate: rate": 0.2,
    "dropout, rate: 0.75": 0.75,
    "dropout, rate: 0": 0.0,
    "unit, rate: 0.35": 0.35,
    "unit, rate: 1 - rate": 0.8,
}


@pytest.mark.parametrize(("which", "rate"), RATES.items())
@pytest.mark.parametrize("backend", backends.sources())
def test_dropout_drops_its_rate_and_scales_the_rest(
    backend: str, which: str, rate: float, tmp_path: Path
) -> None:
    text = DROPOUT.replace("WHICH", which)
    kept = text if which == "dropout, rate: rate" else text.replace(", keep: true", "")
    path = tmp_path / "net.yaml"
    path.write_text(kept, encoding="utf-8")
    net = load(path)
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    batch = 1.0 + np.abs(random_batch(net.network, 48, 40))
    model = net.build(backend, 48, 40)
    found = step(backend, model, batch)
    dropped = found == 0.0
    assert abs(dropped.mean() - rate) < 0.02  # seven standard deviations and more
    assert np.allclose(found[~dropped], batch[~dropped] / (1.0 - rate), rtol=1e-5)
    if rate:
        masks = {"drop" if "unit" not in which else "unit.drop": ~dropped}
        masks |= {"dropout": ~dropped}
        training = interpreter.Training(masks)
        assert deviation(found, interpreter.run(net.network, {}, batch, training=training)) < 1e-6
    again = net.live(backend).outputs(net.build(backend, 48, 40), batch)[""]
    assert np.array_equal(again, batch)


# ------------------------------------------------------------------------------------- drop path

PATHS = """\
archc: 1
name: Paths
params:
  rate: {type: float, default: 0.2, keep: true}
input: {channels: 3, height: 5, width: 4}
blocks:
  unit:
    params: {rate: float}
    steps:
      - drop: drop_path(x, rate)
network:
BEFORE  - {block: drop_path, name: first, rate: rate}
  - {block: unit, rate: 0.25}
  - {block: unit, name: never, rate: 0}
  - {block: unit, name: last, rate: 1 - rate}
"""
BEFORE = {
    "maps": "",
    "vectors": "  - {block: global_avg_pool2d}\n",
    "both": "  - {block: unit, name: early, rate: 0}\n  - {block: global_avg_pool2d}\n",
}
DRAWN = 8000


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("backend", backends.sources())
def test_drop_path_drops_whole_samples(backend: str, before: str, tmp_path: Path) -> None:
    """And its expectation is the input: each sample is dropped with the rate, whatever others are,
    and scaled by 1 / (1 - rate) if it is not."""
    path = tmp_path / "net.yaml"
    path.write_text(PATHS.replace("BEFORE", BEFORE[before]), encoding="utf-8")
    net = load(path)
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    batch = 1.0 + np.abs(random_batch(net.network, 5, 4, count=DRAWN))
    model = net.build(backend, 5, 4)
    plain = net.live(backend).outputs(model, batch)[""]
    expected = interpreter.run(net.network, {}, batch)
    assert deviation(plain, expected) < 1e-6
    found = step(backend, model, batch)
    share = (found / plain).reshape(DRAWN, -1)
    assert np.allclose(share, share[:, :1], rtol=1e-5)
    kept = share[:, 0] != 0.0
    product = 0.8 * 0.75 * 0.2
    assert np.allclose(share[kept], 1.0 / product, rtol=1e-5)
    assert abs(kept.mean() - product) < 5 * (product * (1 - product) / DRAWN) ** 0.5
    follows = kept[1:][kept[:-1]]  # one sample says nothing of the next
    assert abs(follows.mean() - product) < 5 * (product / len(follows)) ** 0.5


@pytest.mark.parametrize("backend", backends.sources())
def test_drop_path_by_its_mask(backend: str, tmp_path: Path) -> None:
    text = PATHS.replace("BEFORE", "").split("  - {block: unit")[0]
    path = tmp_path / "net.yaml"
    path.write_text(text.replace("rate: rate", "rate: 0.6"), encoding="utf-8")
    net = load(path)
    batch = random_batch(net.network, 5, 4, count=50)
    found = step(backend, net.build(backend, 5, 4), batch)
    kept = (found != 0.0).any((1, 2, 3), keepdims=True)
    training = interpreter.Training({"first": kept})
    assert 0 < kept.sum() < 50
    assert deviation(found, interpreter.run(net.network, {}, batch, training=training)) < 1e-6


# ------------------------------------------------------------------------------ learned tensors

SCALED = """\
archc: 1
name: Scaled
input: {channels: 3, height: 6, width: 5}
blocks:
  unit:
    params:
      init: {type: initializer, default: constant(1e-6)}
      width: {type: int?, doc: channels of the scale}
    steps:
      - conv: conv2d(x, x.channels, kernel=3)
      - gamma: learned(conv, init, channels=width)
      - sum: x + conv * gamma
network:
  - {block: unit, name: small}
  - {block: unit, name: larger, init: constant(0.5)}
  - {block: unit, name: single, init: zeros, width: 1}
  - {block: learned, name: position, init: ones, size: [6, 5]}
  - {block: add, name: placed, from: [single, position]}
  - {block: global_avg_pool2d, name: pool}
  - {block: learned, name: vector, init: constant(2)}
  - {block: multiply, name: last, from: [pool, vector]}
"""
STARTS: Mapping[str, tuple[tuple[int, ...], float]] = {
    "small.gamma.weight": ((3, 1, 1), 1e-6),
    "larger.gamma.weight": ((3, 1, 1), 0.5),
    "single.gamma.weight": ((1, 1, 1), 0.0),
    "position.weight": ((3, 6, 5), 1.0),
    "vector.weight": ((3, 1, 1), 2.0),
}


@pytest.mark.parametrize("backend", backends.sources())
def test_learned_tensors_start_as_the_spec_says(backend: str, tmp_path: Path) -> None:
    net = network(SCALED, tmp_path)
    fresh = net.live(backend).arrays(net.build(backend, *SIZE))
    for name, (shape, value) in STARTS.items():
        assert np.array_equal(fresh[name], np.full(shape, value, np.float32)), name


def gradients(backend: str, net: Net, weights: Any, batch: Array) -> dict[str, Array]:
    """Of the sum of what a model gives, by each of its arrays."""
    model = net.build(backend, *SIZE)
    net.live(backend).load(model, weights)
    if backend == "torch":
        model.train()(torch.from_numpy(batch)).sum().backward()
        return {name: each.grad.numpy() for name, each in model.named_parameters()}
    tensorflow = pytest.importorskip("tensorflow")
    with tensorflow.GradientTape() as tape:
        total = tensorflow.reduce_sum(model(batch.transpose(0, 2, 3, 1), training=True))
    variables = model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        variable.assign(gradient)
    return net.live(backend).arrays(model)


@pytest.mark.parametrize("backend", backends.sources())
def test_gradients_reach_learned_tensors(backend: str, tmp_path: Path) -> None:
    """The network is linear in each of their numbers, so a step of 1 gives the gradient."""
    net = network(SCALED, tmp_path)
    weights = random_weights(net.network)
    batch = random_batch(net.network, *SIZE, count=COUNT)
    found = gradients(backend, net, weights, batch)
    at = interpreter.run(net.network, weights, batch).sum()
    for name in STARTS:
        for cell in np.ndindex(STARTS[name][0]):
            moved = {**weights, name: weights[name].copy()}
            moved[name][cell] += 1
            right = interpreter.run(net.network, moved, batch).sum() - at
            assert found[name][cell] == pytest.approx(right, rel=1e-4, abs=1e-5), name
