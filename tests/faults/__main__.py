"""`python -m tests.faults`: plants faults, one at a time, and says which of them the tests notice.

Each fault of `list.yaml` is put into a copy of the tree. The tests that stand near it run first,
then the others, until one fails. The text of `generated/` and `tests/emitted/` does not count: any
change of an emitter changes it, and whoever made that would take the new text for granted.

It takes about half an hour, and only contributors run it: where tests are rewritten, and where a
mistake slipped through. It forks, so it needs a system that can.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

ROOT = Path(__file__).parents[2]
SKIPPED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
TEXTS = ("test_generated_files_are_up_to_date", "test_how_blocks_read")
"""Tests that compare text with `generated/` and `tests/emitted/`."""
LONG = ("fidelity", "fidelity_nasnet", "fidelity_table", "packaging", "ecosystem")
"""Tests that take minutes, and see little that the others do not."""
LIMIT = 900
"""Seconds after which tests that a fault keeps from ending are given up: they noticed it."""

COMPILER = (
    *("rows", "elaborate", "problems", "messages", "expressions", "variants", "resolve"),
    "meaning",
)
MODELS = (
    *("in_place", "training", "activations", "heads", "rows", "emitted", "backends", "ops"),
    "interpreter",
)
NEAR = {
    "compiler/ir/padding.py": ("padding", "catalogue", "ops"),
    "compiler/ir/ops": ("catalogue", "elaborate", "ops"),
    "src/archc/diff/graphs.py": ("diff_graphs",),
    "src/archc/diff": ("diff", "weights_moving"),
    "src/archc/report": ("report",),
    "src/archc/lsp/recipes.py": ("lsp_recipes",),
    "src/archc/lsp": ("lsp",),
    "src/archc/figures/curves.py": ("activations",),
    "compiler/ir/receptive.py": ("diff",),
    "compiler/ir/analysis.py": ("elaborate", "catalogue", "networks", "api"),
    "compiler/language/expressions.py": ("expressions", *COMPILER),
    "compiler/language/parser.py": ("expressions", *COMPILER),
    "compiler/language/values.py": ("problems", "messages", "catalogue", *COMPILER),
    "compiler/language/initializers.py": ("initializers", "messages"),
    "compiler/elaborate/initial.py": ("messages",),
    "compiler/elaborate/inference.py": ("inference",),
    "compiler/elaborate/preceding.py": ("inference",),
    "compiler/elaborate/joining.py": ("inference",),
    "compiler/elaborate/merging.py": ("inference",),
    "backends/python/initial.py": ("initializers", "emitted"),
    "backends/torch/initial.py": ("initializers", "emitted"),
    "backends/keras/initial.py": ("initializers", "emitted"),
    "compiler/language/problems.py": ("problems", "messages"),
    "compiler/bind/values.py": ("problems", "messages"),
    "compiler/spec/changes.py": ("variants", "problems", "messages"),
    "compiler/spec/conditions.py": ("variants", "problems", "messages"),
    "compiler/spec/libraries.py": ("variants", "problems", "messages"),
    "compiler/ir/activations.py": ("problems", "activations"),
    "compiler/bind/rows.py": ("rows", "problems", "variants"),
    "compiler/elaborate/outputs.py": ("outputs", "problems"),
    "compiler/elaborate/warn.py": ("warnings",),
    "compiler/elaborate/doubts.py": ("warnings", "mistakes"),
    "compiler/elaborate/dilating.py": ("output_stride", "problems"),
    "compiler/elaborate/static.py": ("static",),
    "compiler/elaborate/kept.py": ("static", *COMPILER),
    "compiler/elaborate/sizes.py": ("output_stride", "interpreter"),
    "compiler/ir/applied.py": ("output_stride", "static"),
    "compiler/printed/resolve.py": ("resolve", "output_stride"),
    "compiler/spec/load.py": ("watch", "links", "problems", "variants"),
    "compiler/spec/folders.py": ("named", "links"),
    "compiler/recipe": ("recipe_schema", "project_recipes", "recipes"),
    "compiler": COMPILER,
    "backends/keras/graph.py": ("outputs", "weights"),
    "backends/keras/weights.py": ("ops", "weights"),
    "backends/python/module_network.py": ("outputs", *MODELS),
    "backends/python/walk.py": ("outputs", *MODELS),
    "backends/torch/foreign.py": ("theirs",),
    "backends/keras/foreign.py": ("theirs", "against"),
    "backends/onnx": ("onnx",),
    "backends/torch/ops.py": ("static", *MODELS),
    "backends": MODELS,
    "src/archc/api": ("static", "api"),
    "src/archc/commands/graphs.py": ("onnx",),
    "src/archc/weights/fresh.py": ("initializers",),
    "src/archc/weights/matching.py": ("weights_matching",),
    "src/archc/live/check.py": ("interpreter", "cli"),
    "src/archc/project/recipes.py": ("project_recipes", "project"),
    "src/archc/commands/build.py": ("cli", "project", "project_recipes"),
    "src/archc/commands/streams.py": ("streams", "watch"),
    "src/archc/commands/watch.py": ("watch",),
    "src/archc/watching.py": ("watch",),
    "src/archc/findings.py": ("diff", "listed"),
    "src/archc/commands/ours.py": ("project", "project_recipes"),
    "src/archc/commands/options.py": ("cli", "warnings", "project", "project_recipes"),
    "src/archc/project": ("project",),
    "src/archc/live/numeric.py": ("numeric", "check", "backends", "cli", "ops"),
    "src/archc/weights/replacing.py": ("cli", "weights"),
    "src/archc/live/interpreter.py": ("interpreter", "training", "ops", "outputs"),
    "src/archc/live/against.py": ("against",),
    "src/archc/live/conventions.py": ("against",),
    "src/archc/live/explaining.py": ("against",),
    "src/archc/live/explanations.py": ("against",),
    "src/archc/live/trials.py": ("against",),
    "src/archc/live/pairing.py": ("against",),
    "src/archc/live/theirs.py": ("theirs",),
    "src/archc/live/host.py": ("theirs",),
    "src/archc/weights/unwrapping.py": ("against",),
    "src/archc/live": ("interpreter", "numeric", "zoo", "weights"),
    "src/archc/weights": (
        "weights_meaning",
        "weights_moving",
        "weights_rules",
        "weights_matching",
        "weights_partial",
        "numeric",
        "zoo",
        "weights",
    ),
}
"""Which tests to run first, by the file or folder of the fault."""


@dataclass(frozen=True)
class Fault:
    file: str
    old: str
    new: str
    breaks: str

    def near(self) -> list[str]:
        parts = [str(part) for part in (Path(self.file), *Path(self.file).parents)]
        return [*next((NEAR[part] for part in parts if part in NEAR), ())]


def faults() -> list[Fault]:
    text = Path(__file__).with_name("list.yaml").read_text(encoding="utf-8")
    return [Fault(**each) for each in yaml.safe_load(text)]


def stale(fault: Fault, root: Path = ROOT) -> bool:
    """Whether the text that the fault changes is not there, or not once."""
    path = root / fault.file
    return not path.exists() or path.read_text(encoding="utf-8").count(fault.old) != 1


def copied(folder: Path) -> Path:
    """A copy of the tree, whose `src` holds the whole package."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=SKIPPED)
    (tree / "src" / "archc" / "specs").symlink_to("../../specs")
    return tree


def failing(tree: Path, names: Sequence[str]) -> str | None:
    """The first test that fails of those in the files called so; none if all pass."""
    there = [f"tests/test_{name}.py" for name in names if (tree / f"tests/test_{name}.py").exists()]
    if not there:
        return None
    log = tree.parent / "log"
    child = os.fork()
    if child == 0:
        _test(tree, there, log)
    code = _wait(child)
    if code == 0:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return said[0].split(" - ")[0].split()[1] if said else f"exit code {code}"


def _test(tree: Path, files: Sequence[str], log: Path) -> None:
    """Runs the tests and ends the process. Compiled files could outlive the fault, so none are."""
    os.setsid()
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(tree / "src"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    import pytest

    options = ["-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
    chosen = ["-m", "not slow", "-k", " and ".join(f"not {name}" for name in TEXTS)]
    code = pytest.main([*options, *chosen, *files])
    sys.stdout.flush()
    os._exit(int(code))


def _wait(child: int) -> int:
    """The exit code of a process; it is ended after a time."""
    for _ in range(LIMIT * 10):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def caught(fault: Fault, tree: Path, others: Sequence[str]) -> str | None:
    """The test that notices a fault; none if it survives."""
    path = tree / fault.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    near = fault.near()
    try:
        found = failing(tree, near)
        return found or failing(tree, [name for name in others if name not in near])
    finally:
        path.write_text(text, encoding="utf-8")


def test_files() -> list[str]:
    names = [path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")]
    order = [*COMPILER, *MODELS]
    known = [name for name in dict.fromkeys(order) if name in names]
    return [*known, *sorted(name for name in names if name not in known and name not in LONG)]


@click.command()
@click.option("--only", default="", help="Faults whose file or effect has this text in it.")
@click.option("--start", default=1, help="The number of the first fault.")
@click.option("--quick", is_flag=True, help="Only the tests near a fault.")
@click.option("--sound/--no-sound", default=True, help="See first that all tests pass without.")
def main(only: str, start: int, quick: bool, sound: bool) -> None:
    """Plant faults and see whether the tests notice. Fails unless 95 of 100 are noticed."""
    import keras  # noqa: F401  what takes long to import is there before anything forks
    import torch  # noqa: F401

    chosen = [fault for fault in faults() if only in f"{fault.file} {fault.breaks}"][start - 1 :]
    others = [] if quick else test_files()
    survived = old = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        every = others or sorted({name for fault in chosen for name in fault.near()})
        wrong = failing(tree, every) if sound else None
        if wrong:
            raise click.ClickException(f"without a fault: {wrong}")
        for number, fault in enumerate(chosen, start):
            gone = stale(fault, tree)
            found = None if gone else caught(fault, tree, others)
            verdict = "stale" if gone else "caught" if found else "SURVIVED"
            old, survived = old + gone, survived + (verdict == "SURVIVED")
            said = f" by {found}" if found else ""
            click.echo(f"{number}: {verdict}: {fault.file}: {fault.breaks}{said}")
    planted = len(chosen) - old
    click.echo(f"{planted - survived} of {planted} caught, {old} stale")
    sys.exit(1 if old or survived > 0.05 * planted else 0)


if __name__ == "__main__":
    main()
