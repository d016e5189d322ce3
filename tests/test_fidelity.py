"""Both backends give the logits of keras.applications, timm and torchvision from the same weights.

Weights and batch-norm statistics are random, inputs standard normal. A deviation is the largest
difference of any logit, as a share of the largest logit.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import archc
from archc import Net
from archc.backends import WeightsError
from archc.live.numeric import random_batch

from . import reference_models as references

pytest.importorskip("keras")
pytest.importorskip("torch")

SPECS = Path(__file__).parents[1] / "specs"
LIBRARY = "blocks/mobilenet.yaml"

TOLERANCE = 1e-4
NOTICEABLE = 1e-3
"""What a mistake comes to at the least."""

Array = references.Array
Size = tuple[int, int]


class Case(NamedTuple):
    """A reference's weights under archc's names, and its logits for a batch."""

    weights: Mapping[str, Array]
    batch: Array
    logits: Array


SOURCES = {
    spec: f"keras.applications.{name}" for spec, (name, _) in references.APPLICATIONS.items()
}


@cache
def application(spec: str, size: Size, alpha: float = 1.0) -> Case:
    net = archc.load(SPECS / f"{spec}.yaml", alpha=alpha)
    batch = random_batch(net.network, *size)
    model = references.application(spec, batch, alpha=alpha)
    weights = references.imported(net, SOURCES[spec], model)
    return Case(weights, batch, references.keras_logits(model, batch))


def assert_equal(net: Net, case: Case) -> None:
    """Logits that hardly depended on the input would be equal whatever the models do."""
    first, second = case.logits[:2]
    assert np.abs(first - second).max() > 1e-2 * np.abs(case.logits).max()
    found = references.deviations(net, *case)
    print(found)
    assert all(deviation <= TOLERANCE for deviation in found.values()), found


# ---- keras.applications ----

# At 191 the stem's output is even. Keras's MobileNet pads strided depthwise convolutions at the end
# alone, which is `same` for even sizes only; test_mobilenet_at_an_odd_size has the others.
APPLICATIONS = [
    ("mobilenet_v1", 1.0, (224, 224)),
    ("mobilenet_v1", 1.0, (191, 224)),
    ("mobilenet_v1", 0.5, (224, 224)),
    ("mobilenet_v1", 0.5, (191, 224)),
    ("mobilenet_v1", 0.35, (128, 128)),
    ("mnv3_large", 1.0, (224, 224)),
    ("mnv3_large", 1.0, (193, 193)),
    ("mnv3_large", 1.0, (193, 224)),
    ("mnv3_large", 0.75, (224, 224)),
    ("mnv3_large", 0.75, (193, 224)),
    ("mnv3_large", 1.25, (128, 128)),
    ("mnv3_small", 1.0, (224, 224)),
    ("mnv3_small", 1.0, (193, 193)),
    ("mnv3_small", 1.0, (193, 224)),
    ("mnv3_small", 0.75, (224, 224)),
    ("mnv3_small", 0.75, (193, 224)),
    ("mnv3_large_minimalistic", 1.0, (224, 224)),
    ("mnv3_large_minimalistic", 1.0, (193, 224)),
    ("mnv3_large_minimalistic", 0.75, (193, 193)),
    ("mnv3_small_minimalistic", 1.0, (224, 224)),
    ("mnv3_small_minimalistic", 1.0, (193, 224)),
    ("mnv3_small_minimalistic", 1.25, (128, 128)),
]


@pytest.mark.parametrize(("spec", "alpha", "size"), APPLICATIONS)
def test_keras_applications(spec: str, alpha: float, size: Size) -> None:
    net = archc.load(SPECS / f"{spec}.yaml", alpha=alpha)
    assert_equal(net, application(spec, size, alpha))


def test_preprocessing() -> None:
    net = archc.load(SPECS / "mnv3_small.yaml", preprocess=True)
    batch = np.random.default_rng(1).uniform(0, 255, (2, 3, 224, 224)).astype(np.float32)
    model = references.application("mnv3_small", batch, include_preprocessing=True)
    weights = references.imported(net, SOURCES["mnv3_small"], model)
    assert_equal(net, Case(weights, batch, references.keras_logits(model, batch)))


def test_mobilenet_at_an_odd_size(tmp_path: Path) -> None:
    convolution = "depthwise_conv2d(x, kernel=kernel, stride=stride"
    pads = """around: zero_pad2d(x, [1, 1, 1, 1])
        when: stride == 1
      - after: zero_pad2d(around, [0, 1, 0, 1])
        when: stride == 2
      - conv: """
    padded = f"{pads}{convolution}, padding=valid".replace("2d(x, kernel", "2d(after, kernel")
    net = edited("mobilenet_v1", ((f"conv: {convolution}", padded),), tmp_path)
    assert_equal(net, application("mobilenet_v1", (193, 193)))


# ---- timm and torchvision ----

# Rows are even all the way down and columns odd: the conventions differ for even sizes only.
ZOO_SIZE = (160, 193)
TIMM = {"padding": "symmetric", "epsilon": 1e-5}
TORCHVISION = {"padding": "symmetric"}
ZOO: list[tuple[str, str, dict[str, Any]]] = [
    ("timm:tf_mobilenetv3_large_100", "mnv3_large", {}),
    ("timm:tf_mobilenetv3_large_075", "mnv3_large", {"alpha": 0.75}),
    ("timm:tf_mobilenetv3_small_100", "mnv3_small", {}),
    ("timm:tf_mobilenetv3_small_075", "mnv3_small", {"alpha": 0.75}),
    ("timm:mobilenetv3_large_100", "mnv3_large", TIMM),
    ("timm:mobilenetv3_small_100", "mnv3_small", TIMM),
    ("timm:mobilenetv1_100", "mobilenet_v1", TIMM),
    ("torchvision:mobilenet_v3_large", "mnv3_large", TORCHVISION),
    ("torchvision:mobilenet_v3_small", "mnv3_small", TORCHVISION),
]


@pytest.mark.parametrize(("name", "spec", "settings"), ZOO, ids=[name for name, _, _ in ZOO])
def test_zoo(name: str, spec: str, settings: dict[str, Any]) -> None:
    net = archc.load(SPECS / f"{spec}.yaml", **settings)
    batch = random_batch(net.network, *ZOO_SIZE)
    try:
        model = references.zoo(name, batch)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    weights = references.imported(net, name, model)
    assert_equal(net, Case(weights, batch, references.torch_logits(model, batch)))


# ---- Mistakes ----

Edits = tuple[tuple[str, str], ...]
"""Texts of the spec or of its library, each found once, and what takes their place."""

RESIDUAL = "when: stride == 1 and x.channels == out"
DEPTHWISE = "depthwise_bn(expand, kernel=kernel, stride=stride, act=act)"
PROJECT = "- project: conv_bn(excite, out, act=none)"

MISTAKES: Mapping[str, tuple[str, Edits]] = {
    "symmetric padding": ("mnv3_large", (("default: same", "default: symmetric"),)),
    "symmetric padding in V1": ("mobilenet_v1", (("default: same", "default: symmetric"),)),
    "PyTorch's epsilon": ("mnv3_large", (("default: 1e-3", "default: 1e-5"),)),
    "PyTorch's epsilon in V1": ("mobilenet_v1", (("default: 1e-3", "default: 1e-5"),)),
    "relu for relu6": ("mobilenet_v1", (("default: relu6, doc", "default: relu, doc"),)),
    "relu in one row": ("mnv3_large", (("2.5,    80,  ~,    hard_swish", "2.5, 80, ~, relu"),)),
    "relu in the classifier": (
        "mnv3_large",
        (("dropout: dropout\n    act: hard_swish", "dropout: dropout\n    act: relu"),),
    ),
    "hard_swish in a minimalistic one": (
        "mnv3_large_minimalistic",
        (("  - {where: act == hard_swish, set: {act: relu}}\n", ""),),
    ),
    "relu in the rows of a table alone": (
        "mnv3_large_minimalistic",
        (("{where: act == hard_swish", "{at: blocks, where: act == hard_swish"),),
    ),
    "swish for hard_swish": ("mnv3_large", (("* 6), act: hard_swish", "* 6), act: swish"),)),
    "a residual dropped": ("mnv3_large", ((RESIDUAL, f"{RESIDUAL} and out != 112"),)),
    "squeeze-excite's activations swapped": (
        "mnv3_large",
        (
            ("activation(reduce, act)", "activation(reduce, hard_sigmoid)"),
            ("activation(expand, gate)", "activation(expand, relu)"),
        ),
    ),
    "sigmoid for hard_sigmoid": (
        "mnv3_large",
        (("activation(expand, gate)", "activation(expand, sigmoid)"),),
    ),
    "squeeze-excite before the activation": (
        "mnv3_large",
        (
            (DEPTHWISE, DEPTHWISE.replace("act=act", "act=none")),
            (
                PROJECT,
                f"- late: activation(excite, act)\n      {PROJECT}".replace(
                    "(excite, o", "(late, o"
                ),
            ),
        ),
    ),
    "stride in the projection": (
        "mnv3_large",
        (
            (DEPTHWISE, DEPTHWISE.replace(" stride=stride,", "")),
            (PROJECT, PROJECT.replace("out", "out, stride=stride")),
        ),
    ),
    "stride a row late": (
        "mnv3_large",
        (
            ("6,      80,  ~,    hard_swish, 2", "6,      80,  ~,    hard_swish, 1"),
            ("2.5,    80,  ~,    hard_swish, 1", "2.5,    80,  ~,    hard_swish, 2"),
        ),
    ),
    "stride a row late in V1": (
        "mobilenet_v1",
        (
            ("1024, 2,      act, ~]", "1024, 1,      act, ~]"),
            ("1024, 1,      act, c5]\n    set", "1024, 2,      act, c5]\n    set"),
        ),
    ),
}


def edited(spec: str, edits: Edits, folder: Path, **settings: Any) -> Net:
    """The shipped spec with some text of it, or of its library, replaced."""
    shutil.copytree(SPECS, folder, dirs_exist_ok=True)
    paths = (folder / f"{spec}.yaml", folder / LIBRARY)
    texts = [path.read_text(encoding="utf-8") for path in paths]
    for old, _ in edits:
        assert sum(text.count(old) for text in texts) == 1, old
    for path, text in zip(paths, texts, strict=True):
        for old, new in edits:
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return archc.load(paths[0], **settings)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(mistake: str, tmp_path: Path) -> None:
    spec, edits = MISTAKES[mistake]
    net = edited(spec, edits, tmp_path)
    found = references.deviations(net, *application(spec, (224, 224)))
    print(found)
    assert all(deviation > NOTICEABLE for deviation in found.values()), found


def test_turned_kernels_are_noticed() -> None:
    weights, batch, logits = application("mobilenet_v1", (224, 224))
    turned = {name: a.swapaxes(2, 3) if a.ndim == 4 else a for name, a in weights.items()}
    net = archc.load(SPECS / "mobilenet_v1.yaml")
    found = references.deviations(net, turned, batch, logits)
    assert all(deviation > NOTICEABLE for deviation in found.values()), found


MISFITS: Mapping[str, tuple[str, float, Edits]] = {
    "squeeze-excite by the input's channels": (
        "mnv3_large",
        1.0,
        (("round_channels(hidden * se)", "round_channels(x.channels * se)"),),
    ),
    "unrounded channels": (
        "mnv3_large",
        0.75,
        (("round_channels(out * alpha)", "floor(out * alpha)"),),
    ),
    "rounded channels in V1": (
        "mobilenet_v1",
        0.35,
        (("{out: floor(out * alpha)}", "{out: round_channels(out * alpha)}"),),
    ),
    "a narrower classifier": ("mnv3_large", 0.75, ((" if alpha > 1 else 1280", ""),)),
}
"""Mistakes that change the shape of a weight."""


@pytest.mark.parametrize("mistake", MISFITS)
def test_a_misfit_is_refused(mistake: str, tmp_path: Path) -> None:
    spec, alpha, edits = MISFITS[mistake]
    net = edited(spec, edits, tmp_path, alpha=alpha)
    batch = random_batch(net.network, 64, 64)
    model = references.application(spec, batch, alpha=alpha)
    with pytest.raises(WeightsError, match=r"(?s)\d misshapen.*the spec says"):
        references.imported(net, SOURCES[spec], model)
