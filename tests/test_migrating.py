"""docs/migrating.md, step by step: two copies that differ, one spec, the weights of both."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

from archc.cli import cli

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^(?:\$ )?archc (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of the page, and a checkpoint of each copy."""
    patch = pytest.MonkeyPatch()
    found = tmp_path_factory.mktemp("migrating")
    patch.chdir(found)
    patch.syspath_prepend(str(found))
    for name, text in FILES:
        (found / name).write_text(text, encoding="utf-8")
    import my_keras  # type: ignore[import-not-found]
    import my_torch  # type: ignore[import-not-found]
    import torch

    torch.manual_seed(0)
    torch.save(my_torch.MyNet().state_dict(), "theirs.pt")
    my_keras.MyNet().save_weights("theirs.weights.h5")
    paired = [run(command) for command in COMMANDS if command.startswith("weights match")]
    assert [done.output.split(": ")[1] for done in paired] == ["17 of 17 tensors are paired\n"] * 2
    yield found
    patch.undo()
    for name in ("my_keras", "my_torch"):
        del sys.modules[name]


def run(command: str) -> Result:
    assert command in COMMANDS, "the page says something else"
    return CliRunner().invoke(cli, shlex.split(command))


def test_the_page_holds_its_files() -> None:
    assert [name for name, _ in FILES] == ["my_torch.py", "my_keras.py", "net.yaml"]


def test_rules_are_found() -> None:
    assert "- [middle.bn,   layer1.1]" in Path("torch_rules.yaml").read_text()
    assert "- [middle.bn,   bn_1]" in Path("keras_rules.yaml").read_text()


def test_the_spec_is_one_of_the_copies() -> None:
    done = run("verify net.yaml --against my_torch.py:MyNet --rules torch_rules.yaml")
    assert (done.exit_code, done.stderr) == (0, "")


def test_where_the_other_copy_differs_is_found() -> None:
    done = run("verify net.yaml --against my_keras.py:MyNet --rules keras_rules.yaml")
    assert done.exit_code == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("net.yaml: ")]
    shown = [line for line in PAGE.splitlines() if line.startswith("net.yaml: ")]
    digits = r"[-+.\d]+e[-+]\d+"
    assert [re.sub(digits, "", line) for line in said] == [
        re.sub(digits, "", line) for line in shown
    ]


def test_the_weights_of_both() -> None:
    first, second = (command for command in COMMANDS if command.startswith("weights import mine"))
    assert run(first).exit_code == 0
    rules = Path("keras_rules.yaml")
    rules.write_text(rules.read_text().replace("{}", "{set: {padding: same, epsilon: 0.001}}", 1))
    done = run(second)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0,
        "from_keras.safetensors: 17 tensors, 24,245 numbers,"
        " for --set padding=same --set epsilon=0.001",
    )
    assert CliRunner().invoke(cli, ["check", "net_keras.yaml"]).exit_code == 0
    done = run("weights check from_keras.safetensors --spec net.yaml")
    assert "these weights are for padding=same" in str(done.exception)
    # What they are, and what they are called, by a reader that is not archc's.
    import torch

    ours, theirs = load_file("mine.safetensors"), torch.load("theirs.pt")
    assert np.array_equal(ours["middle.conv.weight"], theirs["layer1.0.weight"].numpy())
    assert np.array_equal(ours["classifier.bias"], theirs["head.bias"].numpy())
