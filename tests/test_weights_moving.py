"""Weights of one spec for another: what rows are the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import archc
from archc.live.numeric import random_weights
from archc.weights import convert, moving

from .running import Run, runner

torch = pytest.importorskip("torch")

SPEC = """\
archc: 1
name: Old
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  padding: {type: padding, default: same}
input: {channels: 3, height: 8, width: 8}
defaults:
  conv2d: {padding: padding}
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 3}
  - columns: [block, filters, kernel]
    name: rows
    rows:
      - [conv2d, 4, 3]
      - [conv2d, 4, 1]
      - [conv2d, 4, 5]
      - [conv2d, 6, 3]
  - {block: batch_norm, name: bn}
  - {block: global_avg_pool2d, name: mean}
  - {block: dense, name: logits, units: classes}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc weights convert` in a folder that holds old.yaml and weights for it, old.pt."""
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(SPEC)
    state = random_weights(archc.load("old.yaml").network)
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, "plain.pt")

    run = runner(capsys, "weights", "convert")
    assert run("plain.pt", "old.pt", "--spec", "old.yaml")[0] == 0
    return run


MOVE = ("old.pt", "new.pt", "--spec", "new.yaml", "--from-spec", "old.yaml")


def paired(*changes: tuple[str, str]) -> dict[str, str]:
    """The old row of each new one, once the spec has been changed."""
    text = SPEC.replace("name: Old", "name: New")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("new.yaml").write_text(text)
    return moving.pairs(archc.load("old.yaml").network, archc.load("new.yaml").network)


def numbered(*pairs: tuple[int, int]) -> dict[str, str]:
    rest = ("stem", "bn", "mean", "logits")
    return {f"rows.{a}": f"rows.{b}" for a, b in pairs} | dict(zip(rest, rest, strict=True))


FIRST, ONE = "      - [conv2d, 4, 3]\n", "      - [conv2d, 4, 1]\n"


@pytest.mark.parametrize(
    ("changes", "pairs"),
    [
        ([], [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ([(ONE, f"      - [conv2d, 4, 7]\n{ONE}")], [(0, 0), (2, 1), (3, 2), (4, 3)]),
        ([(FIRST, f"{ONE}{FIRST}")], [(1, 0), (2, 1), (3, 2), (4, 3)]),
        ([(ONE, "")], [(0, 0), (1, 2), (2, 3)]),
        ([("4, 5]", "4, 7]")], [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ([(ONE, ""), ("4, 5]", "4, 7]")], [(0, 0), (2, 3)]),
        ([("units: classes", "units: 7")], [(0, 0), (1, 1), (2, 2), (3, 3)]),
    ],
)
def test_rows_are_paired_as_lines_are(
    changes: list[tuple[str, str]], pairs: list[tuple[int, int]], run: Run
) -> None:
    assert paired(*changes) == numbered(*pairs)


def test_weights_go_with_their_rows(run: Run) -> None:
    paired((ONE, f"      - [conv2d, 4, 7]\n{ONE}"), ("default: 5", "default: 6"))
    code, out, err = run(*MOVE)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "new.pt: 18 tensors, 1,760 numbers",
        "  fresh: rows.1.weight (4x4x7x7)",
        "  fresh: rows.1.bias (4)",
        "  fresh: logits.weight (6x6)",
        "  fresh: logits.bias (6)",
        "  surplus: logits.weight (5x6)",
        "  surplus: logits.bias (5)",
        "new.pt: 14 tensors are those of old.pt, and 4 are fresh; 2 of old.pt are not used",
    ]
    old = random_weights(archc.load("old.yaml").network)
    new = convert.load(archc.load("new.yaml"), Path("new.pt"))
    for ours, theirs in (("rows.0", "rows.0"), ("rows.2", "rows.1"), ("rows.4", "rows.3")):
        assert np.array_equal(new[f"{ours}.weight"], old[f"{theirs}.weight"])
    assert np.array_equal(new["bn.running_var"], old["bn.running_var"])
    assert not new["rows.1.bias"].any()


def test_other_shapes_of_a_row_that_survives(run: Run) -> None:
    paired(("4, 5]", "4, 7]"))
    out = run(*MOVE)[1]
    assert "  fresh: rows.2.weight (4x4x7x7)\n  surplus: rows.2.weight (4x4x5x5)\n" in out
    assert "rows.2.bias" not in out


def test_the_settings_of_the_old_spec_are_those_of_its_file(run: Run) -> None:
    paired()
    given = ("--set", "padding=symmetric", "--set", "classes=9")
    net = archc.load("old.yaml", padding="symmetric", classes=9)
    state = {k: torch.from_numpy(v) for k, v in random_weights(net.network).items()}
    torch.save(state, "plain.pt")
    assert run("plain.pt", "old.pt", "--spec", "old.yaml", "--force", *given)[0] == 0
    assert run(*MOVE, *given)[0::2] == (0, "")
    code, out, err = run(*MOVE, "--force")
    assert (code, out.splitlines()[-1]) == (
        0,
        "new.pt: 14 tensors are those of old.pt, and 2 are fresh; 2 of old.pt are not used",
    )
    assert err == (
        "old.pt: note: its weights were for convolutions padded as symmetric;"
        " in new.yaml it is same\n"
    )


def test_a_file_that_is_not_of_the_old_spec(run: Run) -> None:
    paired((ONE, ""))
    state = {"other.weight": torch.zeros(3)}
    torch.save(state, "old.pt")
    assert "these are no weights of Old; tensors: 16 missing, 1 surplus" in run(*MOVE)[2]
    assert not Path("new.pt").exists()
    paired((ONE, ""))
    _, _, err = run("plain.pt", *MOVE[1:])
    assert err == "plain.pt: warning: it does not say its settings; taken for --set padding=same\n"
    assert "no.yaml:1:1: E001" in run(*MOVE[:-1], "no.yaml", "--force")[2]
