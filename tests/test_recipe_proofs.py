"""Backends train as recipes say, step for step; and what does not is noticed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests import recipe_cases as cases
from tests.reference_models import import_torchvision
from tests.test_recipes import NETWORK

import archc
from archc import backends
from archc.backends import SourceFile
from archc.compiler.recipe.load import RECIPES
from archc.compiler.recipe.recipe import Recipe
from archc.compiler.recipe.resolve import load
from archc.training import proof
from archc.training.definitions import Average, Update, learning_rate
from archc.training.script import script, training_of, writers

GRID = (
    ("sgd_as_pytorch", "nesterov_as_keras", "rmsprop_as_tensorflow", "adam_as_pytorch", "adamw"),
    ("step", "cosine_after_warm_up", "polynomial", "one_cycle"),
)
"""Five optimizers and four schedules."""
NETWORKS = ("tiny", "lenet_cifar", "mobilenet_v1_cifar")


@pytest.fixture
def tiny(tmp_path: Path) -> archc.Net:
    import keras

    keras.layers.Dense(1)  # from here on Keras has a policy, of float32, for all layers
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    return archc.load(path)


def _parts(optimizer: str, schedule: str) -> list[cases.Part]:
    if optimizer == "adamw":
        adam = cases.OPTIMIZERS["adam_as_keras"]["optimizer"]["adam"]
        parts: list[cases.Part] = [{"optimizer": {"adamw": adam}}, cases.DECAYS["decoupled"]]
    else:
        parts = [cases.OPTIMIZERS[optimizer], cases.DECAYS["coupled_but"]]
    return [*parts, cases.SCHEDULES[schedule]]


def _proven(net: archc.Net, recipe: Path) -> proof.Proof:
    return proof.prove(net, training_of(net, recipe), writers())


@pytest.mark.parametrize(("optimizer", "schedule"), itertools.product(*GRID))
def test_optimizers_and_schedules(
    optimizer: str, schedule: str, tiny: archc.Net, tmp_path: Path
) -> None:
    recipe = cases.written(tmp_path, *_parts(optimizer, schedule), cases.REST["plain"])
    found = _proven(tiny, recipe)
    assert not found.differences
    assert len(found.worst) == 3
    assert found.steps == 10


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS[1:])
@pytest.mark.parametrize(("optimizer", "schedule"), itertools.product(*GRID))
def test_optimizers_and_schedules_of_shipped_networks(
    optimizer: str, schedule: str, name: str, tmp_path: Path
) -> None:
    recipe = cases.written(tmp_path, *_parts(optimizer, schedule), cases.REST["plain"])
    assert not _proven(archc.load(name), recipe).differences


@pytest.mark.parametrize("schedule", cases.SCHEDULES)
def test_schedules(schedule: str, tiny: archc.Net, tmp_path: Path) -> None:
    parts = (cases.OPTIMIZERS["sgd"], cases.SCHEDULES[schedule], cases.REST["plain"])
    assert not _proven(tiny, cases.written(tmp_path, *parts)).differences


@pytest.mark.parametrize(("rest", "decay"), itertools.product(cases.REST, cases.DECAYS))
def test_all_else(rest: str, decay: str, tiny: archc.Net, tmp_path: Path) -> None:
    number = [*cases.REST].index(rest) + [*cases.DECAYS].index(decay)
    parts = (
        [*cases.OPTIMIZERS.values()][(number * 3 + 1) % len(cases.OPTIMIZERS)],
        [*cases.SCHEDULES.values()][number % len(cases.SCHEDULES)],
        cases.DECAYS[decay],
        cases.REST[rest],
        {"freeze": ["stem", "norm"]} if number % 2 else {},
    )
    assert not _proven(tiny, cases.written(tmp_path, *parts)).differences


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"), [("mobilenet_v1_cifar", "mobilenet_v1"), ("mnv3_small", "efficientnet")]
)
def test_shipped_networks_by_shipped_recipes(name: str, recipe: str) -> None:
    net = archc.load(name)
    found = proof.prove(net, training_of(net, recipe), writers())
    assert not found.differences
    assert max(found.worst.values()) < 1e-8


TWO = """\
archc: 1
name: Two
input: {channels: 3, height: 16, width: 16}
network:
  - {block: conv2d, name: stem, filters: 8, kernel: 3, stride: 2}
  - {block: global_avg_pool2d, name: aux_pool}
  - {block: dense, name: aux_logits, units: 5, output: aux, training_only: true}
  - {block: conv2d, name: body, filters: 8, kernel: 3, from: stem}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, name: logits, units: 5, output: main}
"""


def test_auxiliary_outputs_count_what_the_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    parts = (cases.OPTIMIZERS["sgd"], cases.REST["plain"])
    recipe = cases.written(tmp_path, *parts, outputs={"aux": 0.4, "main": 1})
    assert not _proven(archc.load(tmp_path / "two.yaml"), recipe).differences
    alone = cases.written(tmp_path, *parts, name="alone")
    with pytest.raises(archc.SpecError, match=r"(?s)T005.*write `outputs: \{aux: 1, main: 1\}`"):
        training_of(archc.load(tmp_path / "two.yaml"), alone)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_losses_are_those_of_the_formula(smoothing: float, tiny: archc.Net, tmp_path: Path) -> None:
    import torch

    loss = {"loss": {"cross_entropy": {"smoothing": smoothing}}}
    recipe = cases.written(tmp_path, cases.OPTIMIZERS["sgd"], loss)
    text = script(tiny, training_of(tiny, recipe), "torch", tiny.stem).text
    start = text.index("def loss_of")
    scope = {"Tensor": torch.Tensor, "F": torch.nn.functional}
    exec(text[start : text.index("\n\n\n", start)], scope)
    logits, labels = np.random.default_rng(0).standard_normal((4, 5)), np.array([0, 3, 3, 1])
    found = scope["loss_of"](torch.from_numpy(logits), torch.from_numpy(labels))
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    shares = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    assert float(found) == pytest.approx(-(shares * logs).sum(1).mean(), rel=1e-12)


# ---- Mutations: each is a mistake that hand-written copies make

FULL = (
    {"weight_decay": {"rate": 0.01, "kind": "coupled", "skip": ["bias", "norm"]}},
    {"loss": {"cross_entropy": {"smoothing": 0.1}}},
    {"ema": {"decay": 0.9, "statistics": True, "begin": "initial"}},
    {"clip": {"norm": 0.5, "over": "all"}},
)
MUTATIONS = {
    "epsilon outside of the root": (
        "rmsprop_as_tensorflow",
        "step",
        "keras",
        "ops.sqrt(square + 0.001)",
        "(ops.sqrt(square) + 0.001)",
    ),
    "epsilon after the correction": (
        "adam_as_keras",
        "step",
        "torch",
        " / math.sqrt(1 - 0.999 ** group",
        " / math.sqrt(1 - 0.0 ** group",
    ),
    "decoupled for coupled": (
        "sgd_as_pytorch",
        "step",
        "keras",
        "gradient = gradient + WEIGHT_DECAY * ops.convert_to_tensor(variable)",
        "self.assign_sub(variable, rate * WEIGHT_DECAY * ops.convert_to_tensor(variable))",
    ),
    "accumulator from zeros": (
        "rmsprop_as_tensorflow",
        "step",
        "torch",
        "torch.full_like(parameter, 1.0)",
        "torch.zeros_like(parameter)",
    ),
    "schedule off by one": (
        "sgd_as_pytorch",
        "step",
        "torch",
        "step_size=steps_per_epoch",
        "step_size=steps_per_epoch + 1",
    ),
    "a milestone off by one": (
        "sgd_as_pytorch",
        "milestones",
        "keras",
        "steps_per_epoch - 1",
        "steps_per_epoch",
    ),
    "momentum's unit": (
        "rmsprop_as_keras",
        "step",
        "torch",
        "_foreach_mul_(momentum, 0.9)",
        "_foreach_mul_(momentum, 1 - 0.9)",
    ),
    "the learning rate outside of the momentum": (
        "sgd_as_keras",
        "step",
        "torch",
        'alpha=-group["lr"])\n            torch._foreach_add_(parameters, momentum)',
        'alpha=-1)\n            torch._foreach_add_(parameters, momentum, alpha=group["lr"])',
    ),
    "a mean without statistics": (
        "sgd_as_pytorch",
        "step",
        "torch",
        "use_buffers=True",
        "use_buffers=False",
    ),
    "a mean from the first step": (
        "sgd_as_pytorch",
        "step",
        "torch",
        "        self.average.update_parameters(model)\n",
        "",
    ),
    "smoothing over other classes": (
        "sgd_as_pytorch",
        "step",
        "torch",
        "F.cross_entropy(outputs, labels, label_smoothing=0.1)",
        "F.cross_entropy(outputs, labels, label_smoothing=0.1 * 5 / 4)",
    ),
    "decay on biases": (
        "sgd_as_pytorch",
        "step",
        "torch",
        'name != "bias"',
        "True",
    ),
    "decay on batch norms": (
        "sgd_as_pytorch",
        "step",
        "keras",
        "    if isinstance(layer, NORMS):\n        return False\n",
        "",
    ),
    "a norm of each for that of all": (
        "sgd_as_pytorch",
        "step",
        "keras",
        "global_clipnorm",
        "clipnorm",
    ),
}


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_a_mistake_is_noticed(
    mistake: str, tiny: archc.Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer, schedule, backend, old, new = MUTATIONS[mistake]
    parts = (cases.OPTIMIZERS[optimizer], cases.SCHEDULES[schedule], *FULL)
    recipe = cases.written(tmp_path, *parts)

    def mutated(*arguments: object) -> SourceFile:
        file = script(*arguments)  # type: ignore[arg-type]
        if arguments[2] != backend:
            return file
        assert old in file.text, file.text
        return SourceFile(file.name, file.text.replace(old, new))

    assert not _proven(tiny, recipe).differences
    monkeypatch.setattr(proof, "script", mutated)
    differences = _proven(tiny, recipe).differences
    assert differences, mistake
    assert backend in differences[0]
    assert "step" in differences[0]


def test_a_mistake_late_in_training_is_noticed(
    tiny: archc.Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = {"schedule": {"multi_step": {"factor": 0.1, "at": ["15 epochs"]}}}
    recipe = cases.written(
        tmp_path, cases.OPTIMIZERS["sgd"], late, cases.REST["plain"], epochs=20, learning_rate=0.5
    )
    right = _proven(tiny, recipe)
    assert not right.differences
    assert "learning rates: those of the definitions in 60 steps" in [*right.lines()]

    def mutated(*arguments: object) -> SourceFile:
        file = script(*arguments)  # type: ignore[arg-type]
        text = file.text.replace("15 * steps_per_epoch - 1", "15 * steps_per_epoch")
        return SourceFile(file.name, text)

    monkeypatch.setattr(proof, "script", mutated)
    said = "the learning rate of keras is 0.5 at step 46 of 60; the recipe's is 0.05"
    assert _proven(tiny, recipe).differences == [said]


# ---- The definitions beside what others made


def _updated(recipe: Recipe, steps: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Gradients, and the weights after each of them by the definitions."""
    random = np.random.default_rng(0)
    gradients = [random.standard_normal(7) for _ in range(steps)]
    weights, update, found = {"w": np.linspace(-1, 1, 7)}, Update(recipe, {"w"}), list[np.ndarray]()
    for gradient in gradients:
        weights = update(weights, {"w": gradient}, 0.01)
        found.append(weights["w"])
    return gradients, found


def test_rmsprop_is_that_of_timm(tmp_path: Path) -> None:
    import torch

    import_torchvision()
    from timm.optim import RMSpropTF

    decay = {"weight_decay": {"rate": 0.1, "kind": "coupled"}}
    tensorflow = cases.OPTIMIZERS["rmsprop_as_tensorflow"]
    recipe = cases.written(tmp_path, tensorflow, decay, cases.REST["plain"])
    gradients, ours = _updated(load(recipe))
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    theirs = RMSpropTF([weight], lr=0.01, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=0.1)
    for gradient, expected in zip(gradients, ours, strict=True):
        weight.grad = torch.from_numpy(gradient)
        theirs.step()
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)


def test_mean_is_that_of_timm() -> None:
    import torch

    import_torchvision()
    from timm.utils import ModelEmaV3

    from archc.compiler.recipe.recipe import Ema

    model = torch.nn.Linear(3, 2).double()
    theirs = ModelEmaV3(model, decay=0.9)
    state = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    ours = Average(Ema(0.9, statistics=True, begin="initial"), state)
    for step in range(3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * (step + 1))
        theirs.update(model)
        state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        found = ours.after(state)
        assert found is not None
        for name, value in theirs.module.state_dict().items():
            np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-12)


def test_every_backend_that_writes_source_writes_scripts() -> None:
    assert set(writers()) == set(backends.sources())


def test_learning_rates_of_epochs_are_those_of_timm() -> None:
    import torch

    import_torchvision()
    from timm.scheduler import StepLRScheduler

    schedule = load(RECIPES / "timm_rmsprop.yaml").schedule
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.064)
    warm_up = {"warmup_t": 5, "warmup_lr_init": 1e-6, "warmup_prefix": False}  # as its script has
    theirs = StepLRScheduler(optimizer, decay_t=2.4, decay_rate=0.973, **warm_up)
    for epoch in range(40):
        theirs.step(epoch)
        ours = learning_rate(schedule, 600, epoch * 7 + 3, 7)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12), epoch


def test_what_is_not_installed_is_said() -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['numpy', 'torch', 'keras', 'tensorflow'])\n"
        "from archc import cli\n"
        "cli.main(['check', 'lenet_cifar', '--recipe', 'lenet'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("archc: the backend `keras` needs ")
    assert "Traceback" not in done.stderr
