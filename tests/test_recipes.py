"""Recipes of training: what they may say, and the scripts that they become."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import recipe_cases as cases
from tests.conftest import ROOT

import archc
from archc.compiler.language.problems import SpecError, render
from archc.compiler.recipe.load import RECIPES, shipped
from archc.compiler.recipe.recipe import Cosine, Duration, Exponential, Schedule, WarmUp
from archc.compiler.recipe.resolve import load
from archc.training.definitions import learning_rate
from archc.training.script import script, training_of, writers

FOLDER = Path(__file__).parent / "recipes"
FIXTURES = sorted(FOLDER.glob("*.yaml"))
NETWORK = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  dropout: {type: float, default: 0.5, min: 0, below: 1, keep: true}
  act: {type: activation, default: relu}
  classifier_activation: {type: activation, default: none, keep: true}
input: {channels: 3, height: 16, width: 16, range: [-1, 1]}
network:
  - {block: conv2d, name: stem, filters: 8, kernel: 3, stride: 2, bias: false}
  - {block: batch_norm, name: norm}
  - {block: activation, name: act, act: act}
  - {block: depthwise_conv2d, name: depthwise, kernel: 3, stride: 2}
  - {block: batch_norm, name: norm_2, decay: 0.9}
  - {block: separable_conv2d, name: separable, filters: 12, kernel: 3}
  - {block: global_avg_pool2d, name: pool}
  - {block: dropout, name: drop, rate: dropout}
  - {block: dense, name: logits, units: classes}
  - {block: activation, name: scores, act: classifier_activation}
"""
EXPECTED = {
    "adamw_coupled": "6:3 T002",
    "augment_kind": "13:5 E010",
    "base_typo": "3:10 E001",
    "batch_size_fraction": "9:13 E012",
    "classifier_softmax": "7:1 T006",
    "crop_backwards": "14:28 T002",
    "cycle": "3:10 E009",
    "cycle_2": "3:10 E009",
    "decay_role": "10:49 E012",
    "duration_unit": "7:39 E012",
    "epochs_zero": "9:9 E035",
    "factor_above_one": "7:27 E035",
    "freeze_all": "10:1 T004",
    "freeze_typo": "10:10 T004",
    "key_typo": "5:1 E010",
    "lists": "9:1 T001",
    "milestones_backwards": "7:53 T002",
    "milestones_long": "7:53 T003",
    "milestones_units": "7:53 T002",
    "missing_base": "3:10 E001",
    "missing_keys": "1:1 E011",
    "momentum_one": "5:29 E035",
    "momentum_where": "5:19 T002",
    "nesterov_alone": "5:19 T002",
    "normalize_channels": "8:1 T006",
    "normalize_lengths": "10:12 T002",
    "not_a_recipe": "1:1 T001",
    "one_cycle_and_warm_up": "9:10 T002",
    "optimizer_kind": "6:3 E010",
    "optimizers_two": "5:3 E012",
    "outputs_unknown": "10:11 T005",
    "rate_in_alone": "5:19 T002",
    "schedule_long": "7:39 T003",
    "set_activation": "10:7 T005",
    "set_unkept": "10:7 T005",
    "set_value": "10:16 E035",
    "std_above_one": "8:42 E035",
    "to_above": "7:21 T002",
    "warm_up_long": "8:17 T003",
}
"""Where each fixture is wrong first, and with which code."""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    return path


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(
    path: Path, tiny: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = archc.load(tiny)
    monkeypatch.chdir(FOLDER)
    with pytest.raises(SpecError) as raised:
        training_of(net, path.name)
    said = "\n".join(map(render, raised.value.problems)) + "\n"
    where, code = EXPECTED[path.stem].split()
    assert re.match(rf"\w+\.yaml:{where}: {code} ", said), said
    golden(path.with_suffix(".txt"), said)


def test_every_fixture_is_expected() -> None:
    assert {path.stem for path in FIXTURES} == EXPECTED.keys()


def test_a_recipe_says_in_place_of_what_it_extends(tmp_path: Path) -> None:
    base = cases.written(tmp_path, cases.OPTIMIZERS["sgd"], cases.REST["clipped"], name="base")
    variant = tmp_path / "variant.yaml"
    variant.write_text(f"archc: 1\nrecipe: variant\nextends: {base.name}\nema: ~\nepochs: 9\n")
    found, of = load(variant), load(base)
    assert (found.epochs, found.ema, found.name) == (9, None, "variant")
    assert of.ema is not None
    assert (found.clip, found.optimizer) == (of.clip, of.optimizer)


def test_what_is_too_long_in_a_base_is_mended_in_the_file_that_extends_it(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("archc: 1\nrecipe: short\nextends: torchvision\nepochs: 5\n")
    with pytest.raises(SpecError, match="`every` is 30 epochs") as raised:
        load(path)
    hint = raised.value.problems[0].hint
    assert hint == f"train longer, or say another `schedule` in {path}, or `schedule: ~`"
    path.write_text(path.read_text() + "schedule: ~\n")
    assert load(path).epochs == 5


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_are_right(name: str) -> None:
    recipe = load(RECIPES / f"{name}.yaml")
    assert recipe.name == name
    assert recipe.source
    assert recipe.doc


def test_learning_rates_by_hand() -> None:
    step = Schedule(0.045, Exponential(0.94, Duration(2, "epochs"), staircase=True))
    assert [learning_rate(step, 9, n, 10) for n in (0, 19, 20, 40)] == pytest.approx(
        [0.045, 0.045, 0.045 * 0.94, 0.045 * 0.94**2]
    )
    cosine = Schedule(1.0, Cosine(0.0), warm_up=WarmUp(Duration(10, "steps"), 0.1, shifts=True))
    assert [learning_rate(cosine, 11, n, 10) for n in (0, 5, 10, 60, 110)] == pytest.approx(
        [0.1, 0.55, 1.0, 0.5, 0.0]
    )
    through = Schedule(1.0, Cosine(0.0), warm_up=WarmUp(Duration(10, "steps"), 0.1, shifts=False))
    share = (1 + math.cos(math.pi / 11)) / 2
    assert learning_rate(through, 11, 10, 10) == pytest.approx(share)


# ---- Scripts


def _scripts(tiny: Path, folder: Path) -> list[Path]:
    """Of many recipes, so that each part stands beside some of all others."""
    net, found = archc.load(tiny), list[Path]()
    (folder / "ruff.toml").write_text("")
    rows = zip(
        itertools.cycle(cases.OPTIMIZERS),
        itertools.cycle(cases.SCHEDULES),
        itertools.cycle(cases.DECAYS),
        itertools.islice(itertools.cycle(cases.REST), 20),
        strict=False,
    )
    every = [(o, s, d, r) for o, s, d, r in rows]
    every += [(o, s, "coupled", "plain") for o, s in zip(cases.OPTIMIZERS, cases.SCHEDULES)]  # noqa: B905
    for number, (optimizer, schedule, decay, rest) in enumerate(every):
        parts = (
            cases.OPTIMIZERS[optimizer],
            cases.SCHEDULES[schedule],
            cases.DECAYS[decay],
            cases.REST[rest],
            {"freeze": ["stem", "norm"]} if number % 3 == 0 else {},
            {"set": {"dropout": 0.25}} if number % 4 == 0 else {},
        )
        recipe = cases.written(folder, *parts, name=f"r{number}")
        for backend in writers():
            file = script(net, training_of(net, recipe), backend, "tiny")
            (folder / file.name).write_text(file.text)
            found.append(folder / file.name)
    for backend in writers():
        source = net.source_file(backend)
        (folder / source.name).write_text(source.text)
    return found


def test_scripts_are_as_ruff_and_mypy_have_them(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    scripts = [str(path) for path in _scripts(tiny, folder)]
    rules = ("check", "--no-cache", "--select", "E,F,I,UP,D417")
    for command in (rules, ("format", "--check", "--no-cache")):
        ruff = [sys.executable, "-m", "ruff", *command, *scripts]
        run = subprocess.run(ruff, capture_output=True, text=True, cwd=folder)
        assert run.returncode == 0, run.stdout
    typed = [sys.executable, "-m", "mypy", "--ignore-missing-imports", *scripts[::3]]
    run = subprocess.run(typed, capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stdout


def test_text_of_a_recipe_never_becomes_code(tiny: Path, tmp_path: Path) -> None:
    hostile = '"""\nimport os; os.abort()\n"""'
    recipe = cases.written(
        tmp_path,
        cases.OPTIMIZERS["sgd"],
        cases.REST["plain"],
        source=hostile,
        doc=hostile,
        freeze=['st"em*', "stem"][1:],
    )
    net = archc.load(tiny)
    for backend in writers():
        text = script(net, training_of(net, recipe), backend, "tiny").text
        assert not re.search(r"^import os; ", text, re.MULTILINE)
        compile(text, "script", "exec")


def test_what_the_docs_show_is_right(tmp_path: Path) -> None:
    said = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.DOTALL)
    recipe, spec, last_layer = said
    (tmp_path / "mine.yaml").write_text(recipe)
    (tmp_path / "last_layer.yaml").write_text(last_layer)
    (tmp_path / "lenet_frelu.yaml").write_text(spec)
    assert training_of(archc.load("mobilenet_v1"), tmp_path / "mine.yaml").recipe.epochs == 100
    assert training_of(archc.load(tmp_path / "lenet_frelu.yaml"), "lenet").recipe.epochs == 5
    assert training_of(archc.load("lenet_cifar"), tmp_path / "last_layer.yaml").recipe.freeze


@pytest.mark.parametrize("backend", writers())
def test_committed_scripts_are_current(backend: str, golden: Callable[[Path, str], None]) -> None:
    net = archc.load("mnv3_small")
    file = script(net, training_of(net, "efficientnet"), backend, net.stem)
    golden(ROOT / "generated" / file.name, file.text)


WORDS = st.sampled_from(
    """
    1 -1 1e999 ~ none [ { } update inside_root 2_epochs 1e-7_steps 0.9 true momentum sgd:_{} * " '
    \u00e9 : - # &a !!x
    """.split()  # noqa: SIM905
)
"""What a file may say by mistake; `_` is a space."""


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(shipped()), data=st.data())
def test_whatever_a_file_says_is_a_recipe_or_a_problem_in_it(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    parts = re.split(r"(\s+|[{}\[\],:])", (RECIPES / f"{name}.yaml").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        parts[data.draw(st.integers(0, len(parts) - 1))] = data.draw(WORDS).replace("_", " ")
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text("".join(parts))
    net = archc.load("mobilenet_v2")
    try:
        training = training_of(net, path)
    except SpecError as error:
        problems = error.problems
    else:
        problems = ()
    assert all(0 < each.place.line <= len(each.place.source.lines) for each in problems)
    for backend in () if problems else writers():
        compile(script(net, training, backend, "net").text, "script", "exec")


@pytest.mark.parametrize("spec", ["efficientnet_b0", "efficientnet_v2_s", "convnext_tiny"])
def test_rates_of_what_is_dropped_are_set(spec: str, tmp_path: Path) -> None:
    rates = {"set": {"drop_path_rate": 0.3}}
    recipe = cases.written(tmp_path, cases.OPTIMIZERS["sgd"], cases.REST["plain"], rates)
    net = archc.load(spec)
    for backend in writers():
        text = script(net, training_of(net, recipe), backend, spec).text
        assert "drop_path_rate=0.3" in text


def test_a_constant_of_zero_is_written(tiny: Path, tmp_path: Path) -> None:
    """It is not what the framework takes where nothing is said."""
    zeros = {"decay": 0, "momentum": 0, "epsilon": 0}
    outside = {"optimizer": {"rmsprop": {**zeros, "epsilon_added": "outside_root"}}}
    inside = {"optimizer": {"rmsprop": {**zeros, "epsilon_added": "inside_root"}}}
    net = archc.load(tiny)
    for backend, optimizer, said in (
        ("torch", outside, "torch.optim.RMSprop(parameters, lr=0.01, alpha=0.0, eps=0.0)"),
        ("keras", inside, "keras.optimizers.RMSprop(learning_rate=0.01, rho=0.0, epsilon=0.0)"),
    ):
        recipe = cases.written(tmp_path, optimizer, cases.REST["plain"], learning_rate=0.01)
        assert said in script(net, training_of(net, recipe), backend, "tiny").text
