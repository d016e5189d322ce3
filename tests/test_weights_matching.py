"""Pairs of a network's tensors with a checkpoint's, which nobody has written down."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from pathlib import Path
from string import ascii_lowercase
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archc
from archc import Net, backends
from archc.backends.storage import Shape, tensors
from archc.live.numeric import random_weights
from archc.weights.assignment import assign
from archc.weights.matching import Matching, flow, match
from archc.weights.units import split

from .running import Run, runner

torch = pytest.importorskip("torch")

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
    assert "neither shapes, order nor names" in convs.reason


def test_three_that_are_alike_are_one_doubt(net: Callable[[str], Net]) -> None:
    rows = "".join(f"  - {{block: unit, name: {n}, out: 5, from: stem}}\n" for n in "abc")
    three = net(
        f"network:\n  - {{block: unit, name: stem, out: 4}}\n{rows}"
        "  - {block: concat, name: all, from: [a, b, c]}\n"
    )
    new = {layer: f"{c}{c}" for layer, c in zip(layers(three), "klmnopqr", strict=True)}
    convs, *norms = matched(three, renamed(three, new)).ambiguous
    assert convs.ours == tuple(f"{n}.conv.weight" for n in "abc")
    assert len(convs.theirs) == 3
    assert [len(each.ours) for each in norms] == [3] * 4


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


def test_words_against_the_order_are_a_doubt(net: Callable[[str], Net]) -> None:
    two = net(CHAIN.split("  - columns")[0] + "  - {block: unit, name: early, out: 4}\n"
              "  - {block: unit, name: late, out: 4}\n")  # fmt: skip
    stem, early, late = ([f"{row}.conv", f"{row}.bn"] for row in ("stem", "early", "late"))
    same = {layer: layer for layer in layers(two)}
    found = matched(two, renamed(two, same, [*stem, *late, *early]))
    assert {*found.pairs} == {name for name in shapes(two) if name.startswith("stem.")}
    assert {path for each in found.ambiguous for path in each.ours} == {*shapes(two)} - {
        *found.pairs
    }


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


# ---- Files


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc` in a folder of its own; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    return runner(capsys)


MATCH = ("weights", "match", "theirs.pt", "--spec", "net.yaml")


def saved(network: str, new: Mapping[str, str] | None = None, prefix: str = "") -> dict[str, Any]:
    """A spec in net.yaml, and random numbers for it under other names of its layers."""
    Path("net.yaml").write_text(f"{HEAD}{network}")
    own = random_weights(archc.load("net.yaml").network)
    names = {path: "{}.{}".format(*split(path)) for path in own}
    for old, other in (new or {}).items():
        names = {p: n.replace(f"{old}.", f"{other}.", 1) for p, n in names.items()}
    return {f"{prefix}{names[path]}": torch.from_numpy(array) for path, array in own.items()}


def test_the_rules_that_are_written_lead_weights_to_where_they_belong(run: Run) -> None:
    state = saved(RESIDUAL, SHORTCUT)
    torch.save(state, "theirs.pt")
    assert run(*MATCH, "-o", "rules.yaml") == (0, "rules.yaml: 35 of 35 tensors are paired\n", "")
    imported = ("import", "mine:theirs", "theirs.pt", "ours.pt", "--spec", "net.yaml")
    assert run("weights", *imported, "--rules", "rules.yaml")[0] == 0
    ours = torch.load("ours.pt")
    for path, array in random_weights(archc.load("net.yaml").network).items():
        assert torch.equal(ours[path], torch.from_numpy(array))


def test_rules_are_patterns(run: Run) -> None:
    rows = "      - [unit, 4]\n" * 30
    chain = CHAIN.replace("      - [unit, 4]\n" * 3, rows)
    torch.save(saved(chain, {f"blocks.{i}": f"layers.{i + 1}" for i in range(30)}), "theirs.pt")
    code, out, err = run(*MATCH)
    assert (code, err) == (0, "theirs.pt: 155 of 155 tensors are paired\n")
    assert out == (
        "# What theirs.pt calls the layers of Net:\n"
        "# paired by shapes, order and names, which is no proof. This is:\n"
        "#   archc verify net.yaml --against MODEL.py:NET --rules THIS_FILE\n"
        "archc: 1\n"
        "framework: torch\n"
        "sources:\n"
        '  "mine:theirs": {}\n'
        "names:\n"
        "  - [stem.conv, stem.conv]\n"
        "  - [stem.bn,   stem.bn]\n"
        "groups:\n"
        "  - {at: blocks.<i>}\n"
        "inside:\n"
        '  - [conv, "layers.{i + 1}.conv"]\n'
        '  - [bn,   "layers.{i + 1}.bn"]\n'
    )


def test_what_is_ambiguous_is_told_and_fails(run: Run) -> None:
    new = {"pair.one.conv": "a", "pair.one.bn": "b", "pair.two.conv": "c", "pair.two.bn": "d"}
    torch.save(saved(TWINS, new), "theirs.pt")
    code, out, err = run(*MATCH, "-o", "rules.yaml")
    assert (code, out) == (1, "rules.yaml: 0 of 10 tensors are paired\n")
    why = "neither shapes, order nor names tell which is which"
    assert err == (
        f"theirs.pt: ambiguous: pair.one.conv, pair.two.conv: any of a, c; {why}\n"
        f"theirs.pt: ambiguous: pair.one.bn, pair.two.bn: any of b, d; {why}\n"
    )
    assert (
        f"# Add pairs of these to `names`; {why}:\n#   ours:   pair.one.conv, pair.two.conv\n"
        in (Path("rules.yaml").read_text())
    )


def test_wrappers_keys_and_half_precision(run: Run) -> None:
    state = saved(RESIDUAL, SHORTCUT, "module._orig_mod.")
    ema = {name: array.half() for name, array in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": ema, "epoch": 3}, "theirs.pt")
    code, _, err = run(*MATCH, "-o", "rules.yaml")
    assert code == 2
    assert "--key state_dict, --key state_dict_ema" in err
    code, out, err = run(*MATCH, "-o", "rules.yaml", "--key", "state_dict_ema")
    assert (code, out) == (0, "rules.yaml: 35 of 35 tensors are paired\n")
    assert err == (
        "theirs.pt: note: taken from `state_dict_ema`\n"
        "theirs.pt: note: all names start with `module._orig_mod.`, which is left out\n"
        "theirs.pt: note: it holds float16; `import` takes float32 alone\n"
    )
    imported = ("import", "mine:theirs", "theirs.pt", "ours.pt", "--spec", "net.yaml")
    assert run("weights", *imported, "--rules", "rules.yaml", "--key", "state_dict")[0] == 0


def test_a_model_and_its_copy_in_one_set(run: Run) -> None:
    torch.save(saved(CHAIN, prefix="model.") | saved(CHAIN, prefix="model_ema."), "theirs.pt")
    code, out, err = run(*MATCH)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "archc: theirs.pt: it holds the same tensors twice, under `model.` and `model_ema.`",
        "  = help: save one of the two alone",
    ]


def test_a_checkpoint_of_something_else(run: Run) -> None:
    saved(CHAIN)
    torch.save({"a.weight": torch.zeros(7)}, "theirs.pt")
    code, out, err = run(*MATCH)
    assert (code, out) == (2, "")
    assert err.startswith("archc: theirs.pt: no tensor of it has the shape of any of Net\n")


def test_a_file_that_exists_is_kept(run: Run) -> None:
    torch.save(saved(CHAIN), "theirs.pt")
    Path("rules.yaml").write_text("mine")
    assert run(*MATCH, "-o", "rules.yaml")[0] == 2
    assert Path("rules.yaml").read_text() == "mine"
    assert run(*MATCH, "-o", "rules.yaml", "--force")[0] == 0
    assert Path("rules.yaml").read_text().startswith("# What theirs.pt calls")


def test_files_of_keras(run: Run) -> None:
    pytest.importorskip("h5py")
    torch.save(saved(RESIDUAL), "ours.pt")
    convert = ("weights", "convert", "ours.pt", "theirs.weights.h5", "--spec", "net.yaml")
    assert run(*convert)[0] == 0
    code, out, err = run("weights", "match", "theirs.weights.h5", "--spec", "net.yaml")
    assert (code, err) == (0, "theirs.weights.h5: 35 of 35 tensors are paired\n")
    assert "framework: keras\n" in out


def test_a_dense_layer_may_be_a_convolution_of_its_whole_input(run: Run) -> None:
    spec = "network:\n  - {block: conv2d, name: last, filters: 5, kernel: 8, padding: valid}\n"
    saved(spec)
    matrix = torch.arange(5 * 3 * 64, dtype=torch.float32).reshape(5, -1)
    torch.save({"fc.weight": matrix, "fc.bias": torch.zeros(5)}, "theirs.pt")
    assert run(*MATCH, "-o", "rules.yaml")[0] == 0
    imported = ("import", "mine:theirs", "theirs.pt", "ours.pt", "--spec", "net.yaml")
    assert run("weights", *imported, "--rules", "rules.yaml")[0] == 0
    image = torch.rand(1, 3, 8, 8)
    kernel = torch.load("ours.pt")["last.weight"]
    given = torch.nn.functional.conv2d(image, kernel).flatten(1)
    assert torch.allclose(given, image.flatten(1) @ matrix.T)


# ---- With the model at hand

UNLIKE = TWINS.replace("{block: twins, name: pair, out: 4}", "{block: unlike, name: pair, out: 4}")
"""Branches that differ in what no shape tells."""
MODEL = """\
from torch import nn

class Unit(nn.Sequential):
    def __init__(self, ins):
        super().__init__(nn.Conv2d(ins, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, eps=EPS))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.p, self.q = Unit(3), Unit(3)

    def forward(self, x):
        return self.p(x).relu() + self.q(x)
"""


@pytest.fixture
def unlike(run: Run) -> Callable[[float], None]:
    """Writes net.yaml, model.py with an epsilon of its batch norms, and theirs.pt."""

    def unlike(epsilon: float) -> None:
        block = "  unlike:\n" + HEAD[HEAD.index("  twins:\n") + len("  twins:\n") :]
        block = block.replace(
            "- y: one + two", "- act: activation(two, relu)\n      - y: one + act"
        )
        Path("net.yaml").write_text(f"{HEAD}{block}{UNLIKE}")
        Path("model.py").write_text(MODEL.replace("EPS", str(epsilon)))
        theirs = {}
        for name in "pq":
            theirs[f"{name}.0.weight"] = torch.rand(4, 3, 3, 3)
            for each in ("weight", "bias", "running_mean", "running_var"):
                theirs[f"{name}.1.{each}"] = torch.rand(4) + 0.5
        torch.save(theirs, "theirs.pt")

    return unlike


def test_running_both_models_tells_what_names_do_not(
    run: Run, unlike: Callable[[float], None]
) -> None:
    unlike(1e-3)
    assert run(*MATCH)[0] == 1
    code, out, err = run(*MATCH, "--against", "model.py:Net")
    assert (code, err) == (
        0,
        "theirs.pt: note: 1 of 4 pairings gives what model.py:Net gives\n"
        "theirs.pt: 10 of 10 tensors are paired\n",
    )
    assert "  - [pair.two.conv, p.0]\n" in out
    assert "  - [pair.one.bn,   q.1]\n" in out


def test_a_model_of_other_settings_proves_nothing(
    run: Run, unlike: Callable[[float], None]
) -> None:
    unlike(0.5)
    code, _, err = run(*MATCH, "--against", "model.py:Net")
    assert code == 1
    assert err.startswith(
        "theirs.pt: note: none of 4 pairings gives what model.py:Net gives;"
        " the settings of the spec may be others\n"
        "theirs.pt: 0 of 10 tensors are paired\n"
    )


# ---- Published models


def table() -> ModuleType:
    """docs/matching.py."""
    path = Path(__file__).parents[1] / "docs" / "matching.py"
    spec = importlib.util.spec_from_file_location("matching_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = table()
SMALL = (
    "keras.applications.MobileNetV3Small:minimalistic",
    "timm:mobilenetv3_small_075",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:segmentation.lraspp_mobilenet_v3_large",
)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(name, marks=[] if name in SMALL else pytest.mark.full, id=name)
        for name in TABLE.sources()
    ],
)
def test_a_line_of_the_table_is_what_is_measured(source: str) -> None:
    try:
        row = TABLE.measured(source)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    assert row.text() in TABLE.recorded(TABLE.PAGE.read_text(encoding="utf-8"))


def test_the_table_has_every_source() -> None:
    said = TABLE.recorded(TABLE.PAGE.read_text(encoding="utf-8"))
    lines = [line.split("`")[1] for line in said.splitlines() if line.startswith("| `")]
    assert lines == TABLE.sources(), "run `python docs/matching.py`"
