"""What files of weights say of the network that they are for, held against what it computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.backends import WeightsError
from archc.compiler.printed import printer
from archc.live import interpreter
from archc.live.numeric import random_batch, random_weights
from archc.weights import meaning, variants
from archc.weights.settings import VERSION, unusual

from .running import Run, runner

safetensors = pytest.importorskip("safetensors.numpy")

SPEC = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  rate: {type: float, default: 0.1, keep: true}
  out_act: {type: activation?, keep: true}
  width: {type: int, default: 4}
  padding: {type: padding, default: same}
  epsilon: {type: float, default: 1.0e-3, above: 0}
input: {channels: 3, height: 25, width: 24}
defaults:
  conv2d: {padding: padding}
  batch_norm: {epsilon: epsilon, decay: 0.9}
blocks:
  body:
    params: {out: int}
    steps:
      - conv: conv2d(x, filters=out, kernel=3, stride=2)
      - bn: batch_norm(conv)
      - act: activation(bn, act=relu)
network:
  - {block: body, name: stem, out: width}
  - {block: body, name: left, out: 4}
  - {block: conv2d, name: right, filters: 4, kernel: 3, stride: 2, from: stem}
  - {block: subtract, name: sum, from: [left, right]}
  - {block: max_pool2d, name: pool, kernel: 2}
  - {block: global_avg_pool2d, name: mean}
  - {block: dropout, name: drop, rate: rate}
  - {block: dense, name: logits, units: classes}
  - {block: activation, name: out, act: out_act, when: out_act}
"""
Change = tuple[str, str]

OTHERS: dict[str, tuple[Change, str]] = {
    "padding of all": (
        ("padding, default: same", "padding, default: symmetric"),
        "padding=same; here `padding` is symmetric",
    ),
    "padding of one": (
        ("4, kernel: 3, stride: 2, from", "4, kernel: 3, padding: symmetric, stride: 2, from"),
        "another Tiny: `right` computes something else here, of weights of the same shapes",
    ),
    "epsilon": (
        ("epsilon: epsilon", "epsilon: 1e-1"),
        "batch norms with an epsilon of 0.001; here it is 0.1",
    ),
    "activation": (
        ("act=relu", "act=hard_swish"),
        "another Tiny: `stem` computes something else here, of weights of the same shapes",
    ),
    "stride": (
        ("name: pool, kernel: 2", "name: pool, kernel: 2, stride: 2"),
        "another Tiny: `pool` computes something else here, of weights of the same shapes",
    ),
    "order": (
        ("[left, right]", "[right, left]"),
        "another Tiny: `sum` computes something else here, of weights of the same shapes",
    ),
    "pool": (
        ("max_pool2d, name: pool", "avg_pool2d, name: pool"),
        "another Tiny: `pool` computes something else here, of weights of the same shapes",
    ),
}
"""Changes that give other numbers from the same weights, and what is said of each."""
ALIKE: dict[str, Change] = {
    "comment": ("network:", "network:  # as in the paper"),
    "name of a block": ("body", "unit"),
    "name of a row without weights": ("name: pool", "name: largest"),
    "how fresh weights start": ("filters=out", "filters=out, init=he_normal"),
    "rate of a dropout": ("default: 0.1", "default: 0.2"),
    "declared size": ("height: 25", "height: 29"),
    "a tap": ("name: left, out: 4", "name: left, out: 4, tap: c4"),
}
"""Changes after which the same weights give the same numbers."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc` in a folder that holds tiny.yaml; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPEC)

    return runner(capsys)


def changed(change: Change, name: str = "changed.yaml") -> Net:
    assert change[0] in SPEC
    Path(name).write_text(SPEC.replace(*change))
    return archc.load(name)


def noted(run: Run, name: str, spec: str = "tiny.yaml", **settings: object) -> dict[str, Any]:
    """Writes a file of random weights for the spec as archc does; the weights."""
    net = archc.load(spec, **settings)
    weights = random_weights(net.network)
    plain = {k: np.ascontiguousarray(v) for k, v in weights.items()}
    safetensors.save_file(plain, "plain.safetensors")
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = ("weights", "convert", "plain.safetensors", name, "--spec", spec, "--force", *given)
    assert run(*command)[0] == 0
    return weights


def numbers(net: Net, weights: Any) -> Any:
    batch = random_batch(archc.load("tiny.yaml").network)
    return interpreter.run(net.network, weights, batch)


def test_digests_stay_what_they_are_in_files(run: Run) -> None:
    """Where this fails on purpose, `settings.VERSION` has to be another."""
    assert meaning.digests(archc.load("tiny.yaml").network)["logits"] == "242656ac"
    assert VERSION == "1"


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_a_network_that_gives_other_numbers_are_refused(name: str, run: Run) -> None:
    change, said = OTHERS[name]
    weights = noted(run, "a.safetensors")
    other = changed(change)
    assert not np.allclose(numbers(other, weights), numbers(archc.load("tiny.yaml"), weights))
    code, out, err = run("weights", "check", "a.safetensors", "--spec", "changed.yaml")
    assert (code, out) == (2, "")
    assert err.startswith(f"archc: a.safetensors: these weights are for {said}\n  = help: ")


@pytest.mark.parametrize("name", ALIKE)
def test_weights_of_a_network_that_gives_the_same_numbers_are_taken(name: str, run: Run) -> None:
    weights = noted(run, "a.safetensors")
    other = changed(ALIKE[name])
    assert np.array_equal(numbers(other, weights), numbers(archc.load("tiny.yaml"), weights))
    command = ("weights", "check", "a.safetensors", "--spec", "changed.yaml")
    assert run(*command) == (0, "a.safetensors: for changed.yaml\n", "")


def test_arguments_of_models_are_not_compared(run: Run) -> None:
    noted(run, "a.safetensors")
    command = ("weights", "check", "a.safetensors", "--spec", "tiny.yaml")
    for given in ("rate=0.5", "out_act=softmax"):
        assert run(*command, "--set", given)[0::2] == (0, "")
    noted(run, "b.safetensors", out_act="softmax")
    assert run("weights", "check", "b.safetensors", "--spec", "tiny.yaml")[0::2] == (0, "")


INPUTS = """\
archc: 1
name: Two
inputs:
  one: {channels: 3, height: 8, width: 8}
  other: {channels: 3, height: 8, width: 8}
network:
  - {block: subtract, name: apart, from: [one, other]}
  - {block: conv2d, name: last, filters: 4, kernel: 3}
"""


def test_which_input_goes_where_is_compared(run: Run) -> None:
    Path("two.yaml").write_text(INPUTS)
    Path("turned.yaml").write_text(INPUTS.replace("[one, other]", "[other, one]"))
    noted(run, "a.safetensors", "two.yaml")
    assert run("weights", "check", "a.safetensors", "--spec", "two.yaml")[0] == 0
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "turned.yaml")
    assert "another Two: `apart` computes something else here" in err


def test_the_decay_of_averages_is_compared(run: Run) -> None:
    """Which decides how training goes on, and no number before it."""
    noted(run, "a.safetensors")
    changed(("decay: 0.9", "decay: 0.99"))
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "changed.yaml")
    assert err == (
        "archc: a.safetensors: these weights are for batch norms with a decay of 0.9; here it is"
        " 0.99\n  = help: name the spec of Tiny that they were made for\n"
    )


def test_a_setting_explains_shapes_that_differ(run: Run) -> None:
    noted(run, "a.safetensors", width=6)
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "tiny.yaml")
    assert err.splitlines()[-2] == "  = note: the file says that it is for Tiny with --set width=6"


def test_weights_of_another_spec_say_so(run: Run) -> None:
    noted(run, "a.safetensors")
    changed(("name: Tiny", "name: Large\nsource: none"))
    Path("large.yaml").write_text(Path("changed.yaml").read_text().replace("logits", "scores"))
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "large.yaml")
    head = "archc: a.safetensors: these are no weights of Large; tensors: 2 missing, 2 surplus"
    assert err.splitlines()[0] == head
    assert err.splitlines()[-2] == "  = note: the file says that it is for Tiny"


@pytest.mark.parametrize("ending", ["pt", "safetensors", "weights.h5"])
def test_the_same_weights_make_the_same_file(ending: str, run: Run) -> None:
    noted(run, f"a.{ending}")
    first = Path(f"a.{ending}").read_bytes()
    for _ in range(5):
        noted(run, f"a.{ending}")
        assert Path(f"a.{ending}").read_bytes() == first


def with_notes(**notes: str) -> None:
    arrays = safetensors.load_file("a.safetensors")
    safetensors.save_file(arrays, "a.safetensors", {f"archc.{k}": v for k, v in notes.items()})


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ("2 stem=00000000", True),  # made in a way that this version does not know
        ("1 gone=00000000", True),
        ("1 stem=00000000", False),
        ("1 stem", False),
    ],
)
def test_digests_that_are_foreign_stale_or_damaged(rows: str, taken: bool, run: Run) -> None:
    noted(run, "a.safetensors")
    with_notes(settings="padding=same", rows=rows)
    code, _, err = run("weights", "check", "a.safetensors", "--spec", "tiny.yaml")
    assert code == (0 if taken else 2), err


def test_settings_count_where_there_is_no_digest(run: Run) -> None:
    noted(run, "a.safetensors")
    with_notes(settings="padding=symmetric other=3", rows="2 stem=00000000")
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "tiny.yaml")
    assert err == (
        "archc: a.safetensors: these weights are for padding=symmetric; here `padding` is same\n"
        "  = help: give --set padding=symmetric here, and to `archc build`\n"
    )


def test_a_long_network_keeps_its_last_digest(run: Run) -> None:
    rows = (f"  - {{block: dense, name: r{n}, units: 3, repeat: 1000}}\n" for n in range(3))
    many = "".join(rows)
    Path("long.yaml").write_text(SPEC.replace("  - {block: dense", f"{many}  - {{block: dense"))
    noted(run, "a.safetensors", "long.yaml")
    with safetensors.safe_open("a.safetensors", framework="numpy") as file:
        rows = json.loads(file.metadata()["archc"])["archc.rows"]
    net = archc.load("long.yaml")
    assert len(rows) < 40_000
    assert rows.endswith(f" logits={meaning.digests(net.network)['logits']}")
    last = "{block: activation, act: relu}\n  - {block: dense, name: logits"
    text = Path("long.yaml").read_text().replace("{block: dense, name: logits", last)
    Path("changed.yaml").write_text(text)
    _, _, err = run("weights", "check", "a.safetensors", "--spec", "changed.yaml")
    assert "another Tiny: `logits` computes something else here" in err


# ---- Against generated files


def test_weights_and_a_generated_file(run: Run) -> None:
    noted(run, "a.pt", padding="symmetric", epsilon="1e-05")
    for name, given in (
        ("right", ["--set", "padding=symmetric", "--set", "epsilon=1e-5"]),
        ("wrong", []),
    ):
        assert run("build", "tiny.yaml", "-b", "all", "-o", name, *given)[0] == 0
    for backend in ("keras", "torch"):
        right, wrong = f"right/tiny_{backend}.py", f"wrong/tiny_{backend}.py"
        assert run("weights", "check", "a.pt", right, "--spec", "tiny.yaml") == (
            0,
            f"a.pt: for {right}, which is tiny.yaml --set padding=symmetric --set epsilon=1e-05\n",
            "",
        )
        assert run("weights", "check", "a.pt", wrong, "--spec", "tiny.yaml") == (
            2,
            "",
            "archc: a.pt: these weights are for padding=symmetric; here `padding` is same\n"
            "  = help: give --set padding=symmetric --set epsilon=1e-05 here, and to"
            " `archc build`\n",
        )


def test_a_generated_file_that_was_edited_or_is_another(run: Run) -> None:
    noted(run, "a.pt")
    assert run("build", "tiny.yaml", "-b", "torch", "-o", ".")[0] == 0
    file = Path("tiny_torch.py")
    text = file.read_text()
    check = ("weights", "check", "a.pt", "tiny_torch.py", "--spec", "tiny.yaml")
    file.write_text(text.replace("\n\n\n", "\n# a comment\n\n"))
    assert run(*check)[0] == 0
    assert "eps=0.001" in text
    file.write_text(text.replace("eps=0.001", "eps=0.002"))
    assert run(*check) == (
        2,
        "",
        "archc: tiny_torch.py: its code is not what `archc build tiny.yaml` writes\n"
        "  = help: build it anew, or name the spec that it is from, tiny.yaml\n",
    )
    for other in ("import torch\n", "class", '"""Generated by archc from us."""\n', "\0"):
        file.write_text(other)
        said = "archc: tiny_torch.py: this is no file that `archc build` writes\n"
        assert run(*check) == (2, "", said)
    file.write_bytes(b"\xff")
    assert run(*check) == (2, "", said)
    assert "leave --set out" in run(*check, "--set", "rate=0.2")[2]


def test_a_generated_file_for_inference_has_weights_of_its_own(run: Run) -> None:
    noted(run, "a.pt")
    for given in ((), ("--set", "rate=0.5")):
        assert run("build", "tiny.yaml", "-b", "torch", "-o", ".", "--inference", *given)[0] == 0
        (file,) = (path.name for path in Path().glob("*_torch.py"))
        code, _, err = run("weights", "check", "a.pt", file, "--spec", "tiny.yaml")
        assert code == 2
        assert "a.pt: these are no weights of Tiny; tensors: " in err


# ---- Variants


def test_a_variant_is_the_network_of_the_weights(run: Run) -> None:
    given = {"padding": "[1, 0, 1, 0]", "epsilon": 1e-5, "classes": 7, "out_act": "softmax"}
    net = archc.load("tiny.yaml", **given)
    Path("below").mkdir()
    with (
        pytest.raises(WeightsError) as caught,
        variants.writing(net, unusual(net), "", Path("below/mine.yaml"), []),
    ):
        pass
    assert str(caught.value) == (
        "below/mine.yaml: from there, cannot extend `../tiny.yaml`: it lies outside of the spec's"
        " folder and project\n  = help: name a file beside tiny.yaml"
    )
    assert not [*Path("below").iterdir()]
    Path("archc.toml").touch()
    for name in ("mine.yaml", "below/mine.yaml"):
        with variants.writing(net, unusual(net), "of mine: [all]", Path(name), []):
            pass
        assert printer.text(archc.load(name).network) == printer.text(net.network)
    assert Path("below/mine.yaml").read_text() == (
        "archc: 1\nname: Tiny\ndoc: 'of mine: [all]'\nextends: ../tiny.yaml\nset:\n"
        "  classes: 7\n  out_act: softmax\n  padding: [1,0,1,0]\n  epsilon: 1e-05\n"
    )
