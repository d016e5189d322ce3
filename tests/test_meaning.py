"""What expressions mean in generated code is what they mean in the compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import backends
from archc.api import load
from archc.compiler.language.problems import SpecError
from archc.live.check import compare

HEAD = "archc: 1\nname: Net\ninput: {channels: 4, height: 8, width: 8}\n"

SPECS = {
    # Which steps are there says what a condition meant: each has weights of its own.
    "sizes": (
        """\
blocks:
  sized:
    params: {k: size, z: {type: size, default: 0}}
    steps:
      - a: conv2d(x, 4, kernel=k)
      - b: conv2d(a, 4, kernel=1)
        when: k == [3, 3] and 3 == k
      - c: conv2d(b, 4, kernel=1)
        when: k == [3, 5]
      - d: conv2d(c, 4, kernel=1)
        when: z
      - e: conv2d(d, 4, kernel=1)
        when: not (z or k != 3)
network:
  - {block: sized, name: number, k: 3}
  - {block: sized, name: square, k: [3, 3]}
  - {block: sized, name: oblong, k: [3, 5]}
  - {block: sized, name: zeros, k: 3, z: [0, 0]}
  - {block: sized, name: given, k: 1, z: [0, 1]}
""",
        {
            "number": "abe",
            "square": "abe",
            "oblong": "ac",
            "zeros": "abe",
            "given": "ad",
        },
    ),
    "halves": (
        """\
params: {n: {type: int, default: 8}}
let: {half: n / 2, none_whole: n / 16}
blocks:
  halved:
    params: {n: int}
    let: {half: n / 2, quarter: half / 2}
    steps:
      - a: conv2d(x, half, kernel=1)
      - b: conv2d(a, half if n > 6 else quarter, kernel=1)
        when: quarter == 2
network:
  - {block: halved, name: eight, n: n}
  - {block: halved, name: four, n: 4}
  - {block: conv2d, name: own, filters: half, kernel: 1}
  - {block: dropout, rate: none_whole}
""",
        {"eight": "ab", "four": "a"},
    ),
    # What decides the code of a block may come from its calls, where it is the same in all of them.
    "arguments that decide the code": (
        """\
params: {init: {type: initializer, default: lecun_uniform}}
blocks:
  inner:
    params: {out: int, init: initializer, over: axes, pads: {type: pool_padding, default: same}}
    steps:
      - a: conv2d(x, out, kernel=3, init=init)
      - b: max_pool2d(a, kernel=3, stride=2, padding=pads)
      - c: b - mean(b, over)
  outer:
    params: {out: int, init: {type: initializer, default: he_normal}}
    steps:
      - y: inner(x, out, init, space)
        when: out > 2
network:
  - {block: outer, name: first, out: 4, init: init}
  - {block: outer, name: left_out, out: 2, init: init}
  - {block: inner, out: 8, init: init, over: space}
""",
        {"first": "y.ay.by.c_righty.c", "inner": "abc_rightc"},
    ),
    # `/` is Python's: 2.5 rounds to 2, and a half of a kept number is one of the model.
    "fractions, and maps of one cell that are flattened": (
        """\
params: {drop: {type: float, default: 0.4, keep: true}}
blocks:
  head:
    params: {n: int, drop: float}
    steps:
      - p: global_avg_pool2d(x, keepdims=true)
      - q: conv2d(p, round(n / 2), kernel=1)
      - f: flatten(q)
      - d: dropout(f, drop / n)
        when: x.channels / n == 0.8
      - h: dense(d, f.channels * 2)
network:
  - {block: dropout, rate: drop / 2}
  - {block: head, n: 5, drop: drop / 2}
""",
        {"head": "pqfdh"},
    ),
    "kept parameters beside groups": (
        """\
params:
  n: {type: int, default: 8, keep: true}
  bias: {type: bool, default: true, keep: true}
  k: {type: size, default: 3, keep: true}
blocks:
  grouped:
    params: {out: int, groups: {type: int, default: 1}, bias: bool}
    steps:
      - a: conv2d(x, out, kernel=1, bias=bias)
      - b: conv2d(a, 8, kernel=1, groups=groups)
network:
  - {block: grouped, name: open, out: n, bias: true}
  - {block: grouped, name: known, out: 8, groups: 2, bias: bias}
  - {block: conv2d, name: sized, filters: n, kernel: k}
  - {block: conv2d, name: last, filters: 4, kernel: 1}
""",
        {"open": "ab", "known": "ab"},
    ),
}


@pytest.mark.parametrize("what", SPECS)
def test_the_steps_that_are_there_are_the_same_everywhere(what: str, tmp_path: Path) -> None:
    text, expected = SPECS[what]
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + text)
    net = load(path)
    steps = [layer.path.split(".", 1) for layer in net.layers if "." in layer.path]
    found = {row: "".join(step for r, step in steps if r == row) for row in expected}
    assert found == expected
    assert not compare(net, backends.names(), numeric=True).differences


def test_what_is_kept_can_be_given_another_value(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + SPECS["kept parameters beside groups"][0])
    module = load(path).build("torch")
    other = type(module)(n=5, bias=False, k=(1, 3)).eval()
    assert other(torch.zeros(2, 4, 8, 8)).shape == (2, 4, 8, 8)


def test_a_fraction_of_what_is_kept_follows_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + SPECS["fractions, and maps of one cell that are flattened"][0])
    module = load(path).build("torch")
    rates = [m.p for m in type(module)(drop=0.5).modules() if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.25, 0.05]


def test_a_reshape_keeps_the_batch_or_fails(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + "network:\n  - {block: reshape, shape: [2, 8, 16]}\n")
    module = load(path).build("torch")
    assert module(torch.zeros(3, 4, 8, 8)).shape == (3, 2, 8, 16)
    with pytest.raises(RuntimeError, match="shape"):
        module(torch.zeros(3, 4, 16, 16))


LATE = """\
blocks:
  late:
    inputs: [x, other]
    steps:
      - first: activation(x, sigmoid)
      - product: x * other
      - both: concat(first, product)
network:
  - {block: conv2d, name: a, filters: 4, kernel: 1}
  - {block: late, from: [a, -1]}
"""


def test_a_value_is_computed_before_its_input_is_overwritten(tmp_path: Path) -> None:
    """The product once took the place of `x`, and `first` was computed from that."""
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + LATE)
    assert not compare(load(path), backends.names(), numeric=True).differences


OPEN = """\
params: {rate: {type: float, default: 0.2, keep: true}, n: {type: int, default: 4, keep: true}}
blocks:
  unit:
    params: {out: int, act: activation, rate: {type: float, default: 0}}
    steps:
      - inner: filtered(x, out, act=act)
      - dropped: dropout(inner, rate)
  filtered:
    params: {out: int, act: activation}
    steps:
      - conv: conv2d(x, out, kernel=1)
      - act: activation(conv, act)
        when: act
      - residual: act + x
        when: act.channels == x.channels
network:
  - columns: [block, out, act]
    rows:
      - [unit, {first}, relu]
      - [unit, 4, relu]
    set: {rate: rate * (table.index + 1) / (table.count + 2)}
"""


def test_what_a_kept_parameter_does_not_reach_is_pruned(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + OPEN.replace("{first}", "4").replace(", n: {", ", m: {"))
    text = load(path).source("torch")
    assert "act: Callable[..., nn.Module],\n" in text.replace(") ->", ",\n")
    assert "if act" not in text
    assert "x.shape[1]" not in text
    assert "rate=rate * 1 / 4" in text
    assert "rate=rate * 2 / 4" in text


def test_a_condition_on_channels_that_are_kept_stays(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + OPEN.replace("{first}", "n").replace("rate: rate *", "rate: 0.2 *"))
    net = load(path)
    module = net.build("torch")
    other = type(module)(n=5).eval()
    assert other(torch.zeros(2, 4, 8, 8)).shape == (2, 4, 8, 8)
    assert not compare(net, backends.names(), numeric=True).differences


def test_a_norm_of_what_was_a_map_is_for_one_size(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    rows = "network:\n  - {block: flatten}\n  - {block: layer_norm, affine: false}\n"
    path.write_text(HEAD + rows)
    report = compare(load(path), backends.names(), numeric=True)
    assert not report.differences
    assert any("layer_norm is made for depends on the input" in line for line in report.lines())


UNMADE = """\
params: {n: {type: int, default: 4, keep: true}}
blocks:
  outer:
    params: {n: int, k: int}
    steps:
      - a: inner(x)
      - b: inner(a, k=k)
        when: n > 4
      - c: inner(b, rate=0.5)
        when: n > 4
  inner:
    params: {k: {type: int, default: 1}, rate: {type: float, default: 0}}
    steps:
      - conv: conv2d(x, 4, kernel=k)
      - drop: dropout(conv, rate)
network:
  - {block: outer, n: n, k: 3}
"""


def test_calls_that_a_kept_parameter_may_make_are_as_they_are_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + UNMADE)
    other = type(load(path).build("torch"))(n=8)
    kernels = [m.kernel_size for m in other.modules() if isinstance(m, torch.nn.Conv2d)]
    rates = [m.p for m in other.modules() if isinstance(m, torch.nn.Dropout)]
    assert kernels == [(1, 1), (3, 3), (1, 1)]
    assert rates == [0, 0, 0.5]


NESTED = """\
params: {n: {type: int, default: 4, keep: true}}
blocks:
  outer:
    steps:
      - a: inner(x)
  inner:
    let: {c: x.channels, d: c * 2}
    steps:
      - a: conv2d(x, d, kernel=1)
      - more: conv2d(a, d, kernel=1)
        when: d > 8
network:
  - {block: conv2d, filters: n, kernel: 1}
  - {block: outer}
"""


def test_a_let_within_cannot_depend_on_channels_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD + NESTED)
    with pytest.raises(SpecError, match="so a `let` of `inner` cannot depend on it"):
        load(path)


def test_which_layers_there_are_may_depend_on_the_size(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        HEAD
        + """\
blocks:
  sized:
    let: {big: x.channels == 256}
    steps:
      - act: activation(x, relu)
      - drop: dropout(act, 0.5)
        when: big
network:
  - {block: flatten}
  - {block: sized}
"""
    )
    report = compare(load(path), backends.names(), numeric=True)
    assert not report.differences
    assert any("which layers there are depends on the input" in line for line in report.lines())
