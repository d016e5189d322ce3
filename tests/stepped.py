"""One step of training of a published model and of archc's for the same framework, from the same
weights: what each gives, all gradients, and the running averages.

In float64: where both do the same in another order, float32 would leave 1e-4 of a gradient that has
come through a hundred layers, and could hide as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archc import Net, load
from archc.live.numeric import Array, difference, random_batch, settled_weights
from archc.weights import importing
from archc.weights.rules import ZooModel, find

SPECS = Path(__file__).parents[1] / "specs"
SIZE = (64, 96)
"""Height and width in pixels: small, as a step takes seconds, and large enough for five strides."""
Outputs = dict[str, Any]
Changed = tuple[dict[str, Array], dict[str, Array]]
"""What a model gives, and its arrays with gradients in the place of its weights; by name."""


class Step(NamedTuple):
    """How far two models are apart, as shares of the scale."""

    count: int
    """Arrays that are compared: gradients and running averages."""
    equal: int
    """Those of them that are the same to the last bit."""
    worst: float
    where: str
    """The output, in brackets, or the array that is furthest apart."""
    still: list[str]
    """Running averages that have not moved, and gradients that are zero."""


class Framework(NamedTuple):
    """How a step is taken."""

    step: Callable[[Any, Array], dict[str, Array]]
    """step(model, batch) -> what the model gives; its weights are then their gradients."""
    decay: Callable[[Any], float | None]
    """decay(model) -> that of its first batch norm."""
    precise: Callable[[], AbstractContextManager[None]]
    """What models are made within, so as to compute in float64."""


def step(source: str, mistake: Mapping[str, Any] | None = None) -> Step:
    """Takes a step of both models. Nothing is dropped; the batch is random, of three. `mistake` are
    settings that archc's model is not to have."""
    rule = find(source)
    framework = FRAMEWORKS[rule.rules.framework]
    with framework.precise():
        net, ours, theirs = models(rule, framework, mistake or {})
    batch = random_batch(net.network, *SIZE, count=3)
    weights = settled_weights(net.network, batch)
    names, references = importing.names(net, rule), importing.references(net, rule)
    net.live(rule.rules.framework).load(ours, weights)
    references.fill(theirs, {n: t.slot.store(weights[t.path], t.shape) for n, t in names.items()})
    outputs, their_outputs = (framework.step(model, batch) for model in (ours, theirs))
    changed, there = net.live(rule.rules.framework).arrays(ours), references.stored(theirs)
    their_changed = {
        tensor.path: tensor.slot.restore(np.asarray(there[name].read()).reshape(tensor.shape))
        for name, tensor in names.items()
    }
    return compared(changed, their_changed, outputs, their_outputs, weights)


def models(
    rule: ZooModel, framework: Framework, mistake: Mapping[str, Any]
) -> tuple[Net, Any, Any]:
    """The network with the source's conventions and decay, its model, and the source itself."""
    spec = str(SPECS / f"{rule.source.spec}.yaml")
    theirs, _ = importing.build(importing.network(spec, rule, {}), rule, *SIZE)
    decay = framework.decay(theirs)
    net = importing.network(spec, rule, {} if decay is None else {"decay": decay})
    if mistake:
        net = load(spec, **{**net.network.settings, **mistake})
    return net, net.build(rule.rules.framework, *SIZE), theirs


def compared(
    changed: Mapping[str, Array],
    theirs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    their_outputs: Mapping[str, Array],
    weights: Mapping[str, Array],
) -> Step:
    assert changed.keys() == theirs.keys()
    assert outputs.keys() == their_outputs.keys()
    scales: dict[str, float] = {}
    for path, array in theirs.items():
        scales[kind(path)] = max(scales.get(kind(path), 0.0), float(np.abs(array).max()))
    apart = {
        path: float(np.abs(changed[path] - theirs[path]).max()) / scales[kind(path)]
        for path in changed
    }
    apart |= {f"[{n}]": difference(outputs[n], their_outputs[n]).relative for n in outputs}
    where = max(apart, key=lambda name: apart[name])
    equal = sum(np.array_equal(changed[path], theirs[path]) for path in changed)
    still = [
        path
        for path, array in changed.items()
        if np.array_equal(array, weights[path]) or ("running" not in path and not array.any())
    ]
    return Step(len(changed), equal, apart[where], where, still)


def kind(path: str) -> str:
    """Arrays of one kind have one scale: a layer's gradients, or its averages. By itself the
    gradient of a bias before a batch norm is nothing but rounding, as it comes to zero."""
    layer, _, name = path.rpartition(".")
    return f"{layer}.{name}" if "running" in name else layer


def wanted_of(outputs: Outputs) -> dict[str, Array]:
    """The weights of a sum of all outputs, which stands for a loss."""
    random = np.random.default_rng(1)
    shapes = {name: tuple(outputs[name].shape) for name in sorted(outputs)}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


# ---- PyTorch


def torch_decay(model: Any) -> float | None:
    import torch

    norms = (each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d))
    found = next(norms, None)
    return None if found is None else round(1 - found.momentum, 6)


def without_chance(model: Any) -> Any:
    """The model in training, with nothing dropped."""
    for module in model.modules():
        if (
            hasattr(module, "p")
            and "Drop" in type(module).__name__ + type(module).__base__.__name__
        ):
            module.p = 0.0
        if type(module).__name__ in ("StochasticDepth", "DropPath"):
            module.p = module.drop_prob = 0.0
    return model.train()


def named(given: Any) -> Outputs:
    """Outputs by archc's names of them: torchvision gives GoogLeNet's as a tuple, LR-ASPP's as a
    dictionary of one."""
    if isinstance(given, tuple):
        return dict(zip(("logits", "aux2", "aux1"), given, strict=True))
    if isinstance(given, dict):
        return {"": given["out"]} if "out" in given else given
    return {"": given}


def torch_step(model: Any, batch: Array) -> dict[str, Array]:
    import torch

    outputs = named(without_chance(model.double())(torch.from_numpy(batch).double()))
    wanted = wanted_of(outputs)
    sum((outputs[name] * torch.from_numpy(wanted[name])).sum() for name in wanted).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    return {name: output.detach().numpy() for name, output in outputs.items()}


# ---- Keras


@contextmanager
def keras_float64() -> Iterator[None]:
    import keras

    usual, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # which one made before does not follow
    try:
        yield
    finally:
        keras.config.set_floatx(usual)
        keras.config.set_dtype_policy(policy)


def keras_decay(model: Any) -> float | None:
    kinds = ((type(layer).__name__, layer) for layer in model.layers)
    return next((layer.momentum for name, layer in kinds if name == "BatchNormalization"), None)


def keras_step(model: Any, batch: Array) -> dict[str, Array]:
    """On TensorFlow."""
    import tensorflow as tf

    for layer in model.layers:
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    with tf.GradientTape() as tape:
        outputs = named(model(batch.transpose(0, 2, 3, 1).astype(np.float64), training=True))
        wanted = wanted_of(outputs)
        loss = sum(tf.reduce_sum(outputs[name] * wanted[name]) for name in wanted)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign(gradient)
    return {name: output.numpy() for name, output in outputs.items()}


FRAMEWORKS = {
    "torch": Framework(torch_step, torch_decay, nullcontext),
    "keras": Framework(keras_step, keras_decay, keras_float64),
}
