"""Pairs of a network's tensors with a checkpoint's, which nobody has written down."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archc
from archc import Net, backends
from archc.backends.storage import Shape, tensors
from archc.weights.assignment import assign
from archc.weights.matching import Matching, flow, match
from archc.weights.units import split

HEAD = """\
archc: 1
name: Net
input: {channels: 3, height: 8, width: 8}
blocks:
  unit:
    params: {out: int, kernel: {type: int, default: 3}}
    steps:
      - conv: conv2d(x, filters=out, kernel=kernel, bias=false)
      - bn: batch_norm(conv)
  residual:
    params: {out: int}
    steps:
      - first: unit(x, out=out)
      - second: unit(activation(first, relu), out=out)
      - shortcut: unit(x, out=out)
      - sum: second + shortcut
      - y: activation(sum, relu)
  twins:
    params: {out: int}
    steps:
      - one: unit(x, out=out)
      - two: unit(x, out=out)
      - y: one + two
"""
CHAIN = """\
network:
  - {block: unit, name: stem, out: 4}
  - columns: [block, out]
    name: blocks
    rows:
      - [unit, 4]
      - [unit, 4]
      - [unit, 4]
"""
RESIDUAL = """\
network:
  - {block: unit, name: stem, out: 4}
  - {block: residual, name: wide, out: 8}
  - {block: residual, name: same, out: 8}
"""
TWINS = """\
network:
  - {block: twins, name: pair, out: 4}
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Net]:
    folder = tmp_path_factory.mktemp("specs")

    def net(network: str) -> Net:
        path: Path = folder / "net.yaml"
        path.write_text(f"{HEAD}{network}")
        return archc.load(path)

    return net


def shapes(net: Net, backend: str = "torch") -> dict[str, Shape]:
    """Of the network's own tensors, by the backend's names."""
    return {t.name: t.shape for t in tensors(net.network, backends.get(backend).storage())}


def layers(net: Net) -> list[str]:
    return list(dict.fromkeys(split(name)[0] for name in shapes(net)))


def matched(net: Net, theirs: Mapping[str, Shape], backend: str = "torch") -> Matching:
    ours = list(tensors(net.network, backends.get(backend).storage()))
    return match(ours, theirs, flow(net.network))


def renamed(net: Net, new: Mapping[str, str], order: Iterable[str] = ()) -> dict[str, Shape]:
    """Their tensors: the network's, in another order of layers and under other names of them."""
    own = shapes(net)
    every = dict.fromkeys([*order, *layers(net)])
    names = [n for layer in every for n in own if split(n)[0] == layer]
    return {f"{new[split(n)[0]]}.{split(n)[1]}": own[n] for n in names}


def right(net: Net, found: Matching, new: Mapping[str, str]) -> None:
    """Fails unless every tensor is paired, with its own."""
    said = {f"{layer}.{last}" for layer, last in map(split, shapes(net))}
    assert not found.ambiguous
    assert {*found.pairs} == said
    for path, name in found.pairs.items():
        layer, last = split(path)
        assert name == f"{new[layer]}.{last}"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_order_alone_tells_what_follows_from_one_another(
    net: Callable[[str], Net], seed: int
) -> None:
    chain = net(CHAIN)
    letters = random.Random(seed)
    new = {layer: "".join(letters.sample(ascii_lowercase, 7)) for layer in layers(chain)}
    right(chain, matched(chain, renamed(chain, new)), new)


def test_what_is_parallel_and_alike_is_listed_and_not_guessed(net: Callable[[str], Net]) -> None:
    twins = net(TWINS)
    new = {"pair.one.conv": "aa", "pair.one.bn": "bb", "pair.two.conv": "cc", "pair.two.bn": "dd"}
    found = matched(twins, renamed(twins, new))
    assert found.pairs == {}
    assert found.missing == found.surplus == ()
    convs, *norms = found.ambiguous
    assert (convs.ours, convs.theirs) == (
        ("pair.one.conv.weight", "pair.two.conv.weight"),
        ("aa.weight", "cc.weight"),
    )
    assert len(norms) == 4
    assert "neither order nor names" in convs.reason


@pytest.mark.parametrize("swapped", [False, True])
def test_words_tell_them_apart_in_any_order(net: Callable[[str], Net], swapped: bool) -> None:
    twins = net(TWINS)
    new = {f"pair.{n}.{part}": f"b.{n}_{part}" for n in ("one", "two") for part in ("conv", "bn")}
    order = ("pair.two.conv", "pair.two.bn") if swapped else ()
    right(twins, matched(twins, renamed(twins, new, order)), new)


SHORTCUT = {
    "stem.conv": "conv1",
    "stem.bn": "bn1",
    **{
        f"{row}.{ours}.{part}": f"layer{n}.{theirs[part]}"
        for n, row in enumerate(("wide", "same"))
        for ours, theirs in (
            ("first", {"conv": "conv1", "bn": "bn1"}),
            ("second", {"conv": "conv2", "bn": "bn2"}),
            ("shortcut", {"conv": "downsample.0", "bn": "downsample.1"}),
        )
        for part in ("conv", "bn")
    },
}


@pytest.mark.parametrize("first", [False, True])
def test_a_shortcut_may_stand_before_the_main_path(net: Callable[[str], Net], first: bool) -> None:
    residual = net(RESIDUAL)
    order = ["stem.conv", "stem.bn"]
    for row in ("wide", "same"):
        order += [f"{row}.shortcut.{part}" for part in ("conv", "bn") if first]
        order += [f"{row}.{n}.{part}" for n in ("first", "second") for part in ("conv", "bn")]
        order += [f"{row}.shortcut.{part}" for part in ("conv", "bn")]
    right(residual, matched(residual, renamed(residual, SHORTCUT, order)), SHORTCUT)


def test_names_against_the_order_are_no_proof_of_either(net: Callable[[str], Net]) -> None:
    chain = net(CHAIN)
    same = {layer: layer for layer in layers(chain)}
    found = matched(chain, renamed(chain, same, reversed(layers(chain))))
    assert all(path == name for path, name in found.pairs.items())


def test_what_is_left_over_on_either_side(net: Callable[[str], Net]) -> None:
    chain = net(CHAIN)
    theirs = {**shapes(chain), "head.weight": (10, 4), "stem.conv.bias": (4,)}
    del theirs["blocks.0.bn.bias"]
    found = matched(chain, theirs)
    assert found.missing == ("blocks.0.bn.bias",)
    assert found.surplus == ("head.weight", "stem.conv.bias")
    assert all(path == name for path, name in found.pairs.items())


def test_of_more_candidates_than_tensors_none_is_guessed(net: Callable[[str], Net]) -> None:
    chain = net(CHAIN)
    new = {layer: f"x{i}y" for i, layer in enumerate(layers(chain))}
    theirs = renamed(chain, new) | {"x9y.weight": (4, 4, 3, 3)}
    found = matched(chain, theirs)
    assert found.ambiguous[0].theirs == ("x2y.weight", "x4y.weight", "x6y.weight", "x9y.weight")
    assert found.ambiguous[0].reason == "there are more of these shapes than layers"


def test_a_keras_model_has_its_own_layouts(net: Callable[[str], Net]) -> None:
    chain = net(CHAIN)
    theirs = {f"my_{name}": shape for name, shape in shapes(chain, "keras").items()}
    found = matched(chain, theirs, "keras")
    ours = list(tensors(chain.network, backends.get("keras").storage()))
    assert found.pairs == {t.path: f"my_{t.name}" for t in ours}
    assert matched(chain, shapes(chain), "keras").pairs.keys() <= {
        t.path for t in ours if len(t.shape) == 1
    }


def test_numbers_go_by_their_size_in_a_file_sorted_by_name(net: Callable[[str], Net]) -> None:
    rows = "      - [unit, 4]\n" * 12
    chain = net(CHAIN.replace("      - [unit, 4]\n" * 3, rows))
    new = {layer: layer.replace("blocks", "layers") for layer in layers(chain)}
    right(chain, matched(chain, dict(sorted(renamed(chain, new).items()))), new)


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=3))
def test_no_assignment_is_better(scores: list[list[int]]) -> None:
    best = max(
        sum(row[c] for row, c in zip(scores, columns, strict=True))
        for columns in permutations(range(3), len(scores))
    )
    assert sum(scores[row][column] for row, column in assign(scores)) == best
