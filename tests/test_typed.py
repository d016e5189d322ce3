"""The interface as type checkers see it, and what docs/python.md says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import archc

ROOT = Path(__file__).parents[1]
USER = ROOT / "tests/typed/user.py"
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
WRONG = {
    number
    for number, line in enumerate(USER.read_text(encoding="utf-8").splitlines(), 1)
    if line.endswith("# wrong")
}


@pytest.mark.slow
def test_mypy_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    settings = "strict = true\nexplicit_package_bases = true\nfollow_imports = silent\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n{settings}")
    command = [sys.executable, "-m", "mypy", "--cache-dir", "cache", str(USER)]
    source = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=source, capture_output=True, text=True)
    found = {int(n) for n in re.findall(r"user\.py:(\d+): error: ", done.stdout)}
    assert found == WRONG, done.stdout


@pytest.mark.slow
def test_pyright_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(USER, tmp_path)
    settings = {"extraPaths": [str(ROOT / "src")], "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    told = json.loads(done.stdout)["generalDiagnostics"]
    errors = [each for each in told if each["severity"] == "error"]
    assert {each["range"]["start"]["line"] + 1 for each in errors} == WRONG, done.stdout


def _snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_modes_are_as_documented() -> None:
    torch = pytest.importorskip("torch")
    keras = pytest.importorskip("keras")
    names: dict[str, object] = {}
    (modes,) = (text for text in _snippets() if ".train()" in text)
    exec(modes, names)
    assert isinstance(names["module"], torch.nn.Module)
    assert isinstance(names["model"], keras.Model)
    assert names["module"].training
    assert not archc.load("hswish_cifar").build("torch").training
    images = names["images"]
    assert not torch.equal(*(names["module"](torch.tensor(images)) for _ in range(2)))  # dropout


def test_a_grid_of_variants_is_a_frame_in_three_lines() -> None:
    pandas = pytest.importorskip("pandas")
    (grid,) = (text for text in _snippets() if "pandas" in text)
    lines = [line for line in grid.splitlines() if line and not line.startswith("import")]
    assert len(lines) == 3
    names: dict[str, object] = {}
    exec(grid, names)
    frame = names["frame"]
    assert isinstance(frame, pandas.DataFrame)
    assert [*frame.columns] == ["alpha", "classes", "parameters", "MACs"]
    assert len(frame) == 6
    first = frame.query("alpha == 0.75 and classes == 1000").iloc[0]
    net = archc.load("mnv3_large", alpha=0.75)
    assert (first["parameters"], first["MACs"]) == (net.params.trainable, net.macs)
