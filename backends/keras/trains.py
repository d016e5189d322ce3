"""Trains live Keras models by a script's own step, in float64, and looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import keras
import numpy as np

from archc.backends import Trained
from archc.backends.keras.live import arrays, variables
from archc.backends.python import layers
from archc.backends.storage import Array


@contextmanager
def double() -> Iterator[None]:
    """Meanwhile models are made in float64."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # which remembers what it was when it was first asked
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


def train(
    script: ModuleType,
    model: Any,
    batches: Sequence[tuple[Array, Array]],
    per_epoch: int,
    before: Callable[[int], None],
) -> Iterator[Trained]:
    """Each step with its loss, the gradients as they are before anything is done to them, and the
    arrays after it, by canonical name and in PyTorch's layout. Nothing is dropped.
    before(step) is called before each."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    training: Any = script.Training(model, per_epoch)
    model.run_eagerly = True
    _in_double(model.optimizer)
    gradients: dict[str, Any] = {}
    _listen(model.optimizer, gradients)
    for step, (images, labels) in enumerate(batches):
        before(step)
        images = np.ascontiguousarray(layers.channels_last(images))
        loss = script.train_step(training, images, labels)
        average = arrays(training.average) if hasattr(training, "average") else None
        yield Trained(float(loss), _canonical(model, gradients), arrays(model), average)


def rates(script: ModuleType, model: Any, per_epoch: int, steps: int) -> Iterator[float]:
    """The learning rate of each of the first steps."""
    if hasattr(script, "learning_rate"):
        yield from (script.learning_rate(step, per_epoch) for step in range(steps))
        return
    optimizer = script.make_optimizer(model, per_epoch)
    _in_double(optimizer)
    rate = optimizer._learning_rate
    if isinstance(rate, keras.Variable):
        yield from [float(rate)] * steps
    else:
        yield from (float(rate(step)) for step in range(steps))


def _in_double(optimizer: Any) -> None:
    """Keras takes Python's numbers for float32, and NumPy's for what they are."""
    for part in (optimizer, optimizer._learning_rate):
        if not isinstance(part, keras.Variable):
            for name, value in vars(part).items():
                if type(value) is float:
                    setattr(part, name, np.float64(value))
                elif isinstance(value, list) and all(type(each) is float for each in value):
                    setattr(part, name, [*map(np.float64, value)])


def _listen(optimizer: Any, gradients: dict[str, Any]) -> None:
    """Has `gradients` hold what an optimizer is given, by the variable's path."""
    apply = optimizer.apply

    def listening(grads: Sequence[Any], trainable_variables: Any = None) -> Any:
        trained = trainable_variables or optimizer._trainable_variables
        for variable, gradient in zip(trained, grads, strict=True):
            gradients[variable.path] = keras.ops.convert_to_numpy(gradient)
        return apply(grads, trainable_variables)

    optimizer.apply = listening


def _canonical(model: Any, gradients: dict[str, Any]) -> dict[str, Array]:
    """Gradients by canonical name, in PyTorch's layout."""
    known = {name: item for name, item in variables(model).items() if item[0].path in gradients}
    return layers.restored(known, lambda variable: np.asarray(gradients[variable.path]))
