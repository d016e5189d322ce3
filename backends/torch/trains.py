"""Trains live PyTorch models by a script's own step, in float64, and looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from archc.backends import Trained
from archc.backends.storage import Array


@contextmanager
def double() -> Iterator[None]:
    """Meanwhile models are made in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def train(
    script: ModuleType,
    model: nn.Module,
    batches: Sequence[tuple[Array, Array]],
    per_epoch: int,
    before: Callable[[int], None],
) -> Iterator[Trained]:
    """Each step with its loss, the gradients as they are before anything is done to them, and the
    arrays after it, by name. Nothing is dropped. before(step) is called before each."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    training: Any = script.Training(model, per_epoch)
    gradients: dict[str, Array] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_remember(gradients, name))
    for step, (images, labels) in enumerate(batches):
        before(step)
        loss = script.train_step(training, torch.from_numpy(images), torch.from_numpy(labels))
        average = _arrays(training.average.module) if hasattr(training, "average") else None
        yield Trained(float(loss), dict(gradients), _arrays(model), average)


def rates(script: ModuleType, model: nn.Module, per_epoch: int, steps: int) -> Iterator[float]:
    """The learning rate of each of the first steps."""
    optimizer = script.make_optimizer(model)
    made = getattr(script, "make_schedule", None)
    schedule = made(optimizer, per_epoch) if made else None
    for _ in range(steps):
        yield optimizer.param_groups[0]["lr"]
        if schedule:
            optimizer._opt_called = True  # else it warns that the optimizer takes no steps
            schedule.step()


def _remember(gradients: dict[str, Array], name: str) -> Any:
    def hook(parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        gradients[name] = parameter.grad.detach().clone().numpy()

    return hook


def _arrays(model: nn.Module) -> dict[str, Array]:
    return {name: value.detach().clone().numpy() for name, value in model.state_dict().items()}
