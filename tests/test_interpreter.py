"""The interpreter of the IR, against numbers worked out by hand and against the frameworks.

`test_ops` holds every op of it against a second set of definitions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archc import backends
from archc.api import Net, load
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.language.values import ACTIVATIONS
from archc.live import interpreter
from archc.live.check import compare
from archc.live.interpreter import Training
from archc.live.numeric import random_batch, random_weights

HEAD = "archc: 1\nname: Net\ninput: {{channels: {0}, height: {1}, width: {2}}}\nnetwork:\n"


@pytest.fixture
def net(tmp_path: Path):
    """The network of some rows, each as it is written."""

    def make(rows: str, size: tuple[int, int, int] = (1, 3, 3), blocks: str = "") -> Net:
        path = tmp_path / "net.yaml"
        body = "".join(f"  - {row.strip()}\n" for row in rows.strip().splitlines())
        path.write_text(HEAD.format(*size) + body + blocks, encoding="utf-8")
        return load(path)

    return make


def column(*numbers: float) -> np.ndarray:
    """One image of one channel and one column."""
    return np.array(numbers, np.float64).reshape(1, 1, -1, 1)


def test_it_knows_every_op_and_activation() -> None:
    assert interpreter.OPS.keys() == CATALOGUE.keys()
    assert interpreter.ACTIVATIONS.keys() == ACTIVATIONS.keys()


ROWS = {
    # An even size and stride 2: the only cell of padding stands last (TensorFlow's SAME).
    "same": (
        "{block: conv2d, filters: 1, kernel: [3, 1], stride: [2, 1], bias: false}",
        (1, 2, 3, 4),
        (1 + 20 + 300, 3 + 40),
    ),
    # torchvision's: a zero on either side.
    "symmetric": (
        "{block: conv2d, filters: 1, kernel: [3, 1], stride: [2, 1], padding: symmetric,"
        " bias: false}",
        (1, 2, 3, 4),
        (10 + 200, 2 + 30 + 400),
    ),
    "four sides": (
        "{block: conv2d, filters: 1, kernel: [3, 1], padding: [2, 0, 0, 0], bias: false}",
        (1, 2, 3),
        (100, 10 + 200, 1 + 20 + 300),
    ),
    "dilation": (
        "{block: conv2d, filters: 1, kernel: [3, 1], dilation: [2, 1], padding: valid,"
        " bias: false}",
        (1, 2, 3, 4, 5),
        (1 + 30 + 500,),
    ),
    "mean of real cells": (
        "{block: avg_pool2d, kernel: [3, 1], stride: [2, 1]}",
        (1, 2, 6, 4),
        (3, 5),
    ),
    "what is padded never wins": (
        "{block: max_pool2d, kernel: [3, 1], stride: [2, 1]}",
        (-1, -2, -3, -4),
        (-1, -3),
    ),
    "mean over zeros": (
        "{block: avg_pool2d, kernel: [3, 1], stride: [2, 1], padding: zeros}",
        (1, 2, 6, 4),
        (3, 10 / 3),
    ),
    "zeros may win": (
        "{block: max_pool2d, kernel: [3, 1], stride: [2, 1], padding: zeros}",
        (-1, -2, -3, -4),
        (-1, 0),
    ),
    "crop": ("{block: crop2d, cropping: [2, 1, 0, 0]}", (1, 2, 3, 4, 5), (3, 4)),
    "zeros": ("{block: zero_pad2d, padding: [2, 1, 0, 0]}", (7,), (0, 0, 7, 0)),
    "rescale": ("{block: rescale, scale: 2, offset: -1}", (1, 2), (1, 3)),
    "hard swish": ("{block: activation, act: hard_swish}", (-4, -1, 1, 4), (0, -1 / 3, 2 / 3, 4)),
}


@pytest.mark.parametrize("case", ROWS)
def test_what_can_be_worked_out_by_hand(case: str, net) -> None:
    row, given, expected = ROWS[case]
    found = net(row, (1, len(given), 1))
    kernel = np.array([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1)
    weights = dict.fromkeys(random_weights(found.network), kernel)
    output = interpreter.run(found.network, weights, column(*given))
    assert output.ravel() == pytest.approx(expected)


def test_order_of_what_is_flattened_and_reshaped(net) -> None:
    """By row, column, channel: the features of one pixel stand together."""
    batch = np.arange(8.0).reshape(1, 2, 2, 2)  # two channels: 0 to 3, and 4 to 7
    flat = interpreter.run(net("{block: flatten}", (2, 2, 2)).network, {}, batch)
    assert flat.tolist() == [[0, 4, 1, 5, 2, 6, 3, 7]]
    shaped = net("{block: reshape, shape: [4, 2, 1]}", (2, 2, 2))
    assert interpreter.run(shaped.network, {}, batch)[0, :, :, 0].T.tolist() == [
        [0, 4, 1, 5],
        [2, 6, 3, 7],
    ]


SUM = """
{block: conv2d, name: stem, filters: 4, kernel: 1, bias: false}
{columns: [block, filters, kernel, bias], rows: [[conv2d, 4, 1, false], [conv2d, 4, 1, false]]}
{block: add, name: sum, from: [-1, stem]}
"""


def test_rows_by_name_and_the_backends_with_them(net) -> None:
    """Both backends once took `blocks.0` for `stem` here, and agreed with each other."""
    found = net(SUM)
    weights, batch = random_weights(found.network), random_batch(found.network, 3, 3)
    stem, first, second = (array[:, :, 0, 0].astype(float) for array in weights.values())
    x = np.einsum("oc,ncyx->noyx", stem, batch.astype(float))
    expected = np.einsum("po,no...->np...", second @ first, x) + x
    assert interpreter.run(found.network, weights, batch) == pytest.approx(expected)
    assert not compare(found, backends.names(), numeric=True).differences


NOTHING = """
{block: activation, name: x, act: tanh}
{block: rescale, name: far, scale: 1, offset: 1000}
{block: rescale, name: back, scale: 1, offset: -1000}
{block: rescale, name: minus, scale: -1, from: x}
{block: add, name: nothing, from: [back, minus]}
"""


def test_where_rounding_decides_is_said_and_is_no_difference(net) -> None:
    """`x + 1000 - 1000 - x` is 0, and in float32 whatever the rounding of 1000 leaves."""
    report = compare(net(NOTHING), backends.names(), numeric=True)
    assert report.differences == []
    skipped = [line for line in report.skipped if "where rounding decides" in line]
    assert skipped
    assert all("nothing" in line or "back" in line for line in skipped)


def test_a_mistake_is_told_where_rounding_decides_further_down(net, monkeypatch) -> None:
    wrong = interpreter.ACTIVATIONS | {"tanh": lambda x: np.tanh(x) * 1.001}
    monkeypatch.setattr(interpreter, "ACTIVATIONS", wrong)
    differences = compare(net(NOTHING), backends.names(), numeric=True).differences
    assert {line.rsplit(" at ", 1)[1].split(",")[0] for line in differences} == {"x"}


LATER = """
{block: conv2d, name: stem, filters: 4, kernel: 1}
{block: conv2d, name: side, filters: 4, kernel: 1}
{columns: [block], rows: [[add_two], [add_two]], name: cells}
{block: add, name: sum, from: [-1, side]}
"""
TWO = """\
blocks:
  add_two:
    inputs: [left, right]
    steps:
      - both: left + right
      - y: conv2d(both, both.channels, kernel=1)
"""


def test_no_row_of_a_table_writes_over_what_a_later_row_takes(net) -> None:
    """The last cell is computed from `x, prev` like the first, but `prev` is needed below it."""
    found = net(LATER, blocks=TWO)
    assert not compare(found, backends.names(), numeric=True).differences


BLOCKS = """\
blocks:
  outer:
    inputs: [x, skip]
    params: {scale: {type: float, default: 1.0}}
    steps:
      - twice: inner(skip)
        when: scale != 1
      - y: rescale(x, scale=scale) + twice
  inner:
    steps:
      - y: rescale(x, scale=2.0)
"""


def test_steps_by_their_wiring_under_their_paths(net) -> None:
    """A step that is left out hands on its first input; every call is seen once, in order."""
    rows = """
    {block: rescale, name: a, scale: 3}
    {block: outer, name: b, scale: 5.0, from: [-2, a]}
    {block: outer, name: c, from: [b, a]}
    """
    found: dict[str, float] = {}
    output = interpreter.run(
        net(rows, (1, 1, 1), BLOCKS).network,
        {},
        column(1.0),
        lambda path, value: found.__setitem__(path, value.item()),
    )
    assert found == {
        "a": 3,
        "b.twice.y": 6,
        "b.twice": 6,
        "b.y_left": 5,
        "b.y": 11,
        "b": 11,
        "c.y_left": 11,
        "c.y": 14,
        "c": 14,
    }
    assert output.item() == 14


def test_a_missing_weight_is_named(net) -> None:
    with pytest.raises(KeyError, match=r"conv2d\.weight"):
        interpreter.run(net("{block: conv2d, filters: 1, kernel: 1}").network, {}, column(1))


# ------------------------------------------------------------------------------------- training

TRAINED = """
{block: conv2d, filters: 4, kernel: 3, bias: false}
{block: batch_norm, decay: 0.9, epsilon: 0.01}
{block: batch_norm, name: again, decay: 0.6}
"""


def test_a_training_step_by_hand(net) -> None:
    found = net("{block: batch_norm, decay: 0.75, epsilon: 1}", (1, 2, 1))
    weights = dict(zip(random_weights(found.network), np.array([[2], [1], [8], [4]]), strict=True))
    training = Training()
    batch = np.array([1.0, 3.0, 5.0, 7.0]).reshape(2, 1, 2, 1)  # mean 4, variance 5
    output = interpreter.run(found.network, weights, batch, training=training)
    assert output.ravel() == pytest.approx(2 * np.array([-3, -1, 1, 3]) / 6**0.5 + 1)
    assert training.averages == {
        "batch_norm.running_mean": pytest.approx([0.75 * 8 + 0.25 * 4]),
        "batch_norm.running_var": pytest.approx([0.75 * 4 + 0.25 * 5]),
    }


def test_a_training_step_in_pytorch(net) -> None:
    torch = pytest.importorskip("torch")
    found = net(TRAINED, (3, 6, 5))
    weights, batch = random_weights(found.network), random_batch(found.network, 6, 5)
    training = Training(ddof=1)
    expected = interpreter.run(found.network, weights, batch, training=training)
    live, model = found.live("torch"), found.build("torch")
    live.load(model, weights)
    output = model.train()(torch.from_numpy(batch)).detach().numpy()
    assert output == pytest.approx(expected, abs=1e-5)
    for name, array in training.averages.items():
        assert live.arrays(model)[name] == pytest.approx(array, abs=1e-5), name


def test_a_training_step_in_keras(net) -> None:
    pytest.importorskip("keras")
    found = net(TRAINED, (3, 6, 5))
    weights, batch = random_weights(found.network), random_batch(found.network, 6, 5)
    training = Training()
    expected = interpreter.run(found.network, weights, batch, training=training)
    live, model = found.live("keras"), found.build("keras")
    live.load(model, weights)
    output = np.asarray(model(batch.transpose(0, 2, 3, 1), training=True))
    assert output.transpose(0, 3, 1, 2) == pytest.approx(expected, abs=1e-5)
    for name, array in training.averages.items():
        assert live.arrays(model)[name] == pytest.approx(array, abs=1e-5), name


def test_dropout_with_a_mask(net) -> None:
    found = net("{block: dropout, rate: 0.75}", (1, 4, 1)).network
    kept = np.array([True, False, False, True]).reshape(1, 1, 4, 1)
    batch = column(1, 2, 3, 4)
    training = Training({"dropout": kept})
    assert interpreter.run(found, {}, batch, training=training).ravel().tolist() == [4, 0, 0, 16]
    assert interpreter.run(found, {}, batch) is not None
    assert interpreter.run(found, {}, batch).ravel().tolist() == [1, 2, 3, 4]
    with pytest.raises(KeyError, match="dropout"):
        interpreter.run(found, {}, batch, training=Training())
