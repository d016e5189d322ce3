"""Recipes that a project names: their scripts are written, checked and watched as networks are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archc.compiler.recipe.load import RECIPES, reached
from archc.project import find

from .running import Run, runner
from .test_project import GONE, PAGE, SPEC, fates

HEAD = 'specs = ["specs/*.yaml"]\nbackends = ["torch"]\n'
FIVE = '[variants.a_five]\nspec = "specs/a.yaml"\nset = {classes = 5}\n'
OURS = "archc: 1\nrecipe: mine\nextends: lenet\nepochs: 3\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a project of one spec, with a recipe."""
    monkeypatch.chdir(tmp_path)
    for folder in ("specs", "recipes"):
        Path(folder).mkdir()
    Path("specs/a.yaml").write_text(SPEC)
    Path("recipes/ours.yaml").write_text(OURS)
    says('recipes = ["recipes/*.yaml"]\n' + FIVE)
    return runner(capsys)


def says(text: str) -> None:
    Path("archc.toml").write_text(HEAD + text)


def written(run: Run, *arguments: str) -> list[str]:
    result = run("build", *arguments)
    assert result.code == 0, result.err
    return [Path(name).name for name in fates(result)]


# --------------------------------------------------------------------------------- which scripts


def test_scripts_are_written_and_checked(run: Run) -> None:
    assert written(run) == [
        "a_torch.py",
        "train_a_mine_torch.py",
        "a_five_torch.py",
        "train_a_five_mine_torch.py",
    ]
    assert run("build", "--check") == (0, "", "")
    Path("recipes/ours.yaml").write_text(OURS.replace("3", "4"))
    stale = run("build", "--check")
    assert stale.code == 1
    assert "generated/train_a_mine_torch.py" in stale.out
    assert stale.err == "archc: 2 files are not as the spec has it: run `archc build`\n"
    assert set(fates(run("build")).values()) == {"unchanged", "changed"}
    assert run("build", "--check") == (0, "", "")


def test_they_are_those_of_the_option(run: Run) -> None:
    written(run)
    ours = Path("generated/train_a_mine_torch.py").read_text()
    says(FIVE)
    run("build", "specs/a.yaml", "--recipe", "recipes/ours.yaml", "-o", "other")
    assert Path("other/train_a_mine_torch.py").read_text() == ours


@pytest.mark.parametrize(
    ("recipes", "wanted"),
    [
        ('recipes = ["lenet"]', ["a_lenet", "a_five_lenet"]),
        ('recipes = ["lenet.yaml"]', ["a_lenet", "a_five_lenet"]),
        ("recipes = []", []),
        ("recipes = {}", []),
        ('recipes = {a = ["lenet"]}', ["a_lenet"]),
        ('recipes = {"a_*" = ["lenet"]}', ["a_five_lenet"]),
        ('recipes = {"*" = ["lenet"], a = ["adam"]}', ["a_lenet", "a_adam", "a_five_lenet"]),
        ('recipes = {"*" = ["lenet"], a = ["lenet"]}', ["a_lenet", "a_five_lenet"]),
        ('recipes = {a = ["recipes/o*.yaml", "recipes/ours.yaml"]}', ["a_mine"]),
    ],
)
def test_which_networks_are_trained(run: Run, recipes: str, wanted: list[str]) -> None:
    says(f"{recipes}\n{FIVE}")
    scripts = [name for name in written(run) if name.startswith("train_")]
    assert scripts == [f"train_{name}_torch.py" for name in wanted]
    project = find()
    assert project is not None
    assert project.scripts() == (None if recipes == "recipes = {}" else {*scripts})


def test_a_file_counts_before_a_shipped_recipe(run: Run) -> None:
    Path("adam").write_text(OURS)
    says('recipes = ["adam"]\n')
    assert "train_a_mine_torch.py" in written(run)


def test_a_recipe_extends_a_file_beside_it_wherever_archc_runs(run: Run) -> None:
    Path("lenet").write_text("archc: 1\n")
    Path("base.yaml").write_text(OURS)
    assert "train_a_mine_torch.py" in written(run)
    Path("recipes/adam.yaml").write_text(OURS.replace("mine", "other"))
    Path("recipes/ours.yaml").write_text(OURS.replace("lenet", "adam.yaml"))
    assert "train_a_mine_torch.py" in written(run)
    assert "momentum" in Path("generated/train_a_mine_torch.py").read_text()
    Path("recipes/ours.yaml").write_text(OURS.replace("lenet", "base.yaml"))
    assert "E001 cannot extend `base.yaml`: no such file" in run("check").err


def test_the_examples_of_the_docs(run: Run) -> None:
    first, several, by_name = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    Path("specs/a.yaml").write_text(SPEC.replace("lenet_cifar", "mnv3_small"))
    Path("archc.toml").write_text(several)
    scripts = [name for name in written(run, "-b", "torch") if name.startswith("train_")]
    assert scripts == ["train_a_mine_torch.py", "train_a_mobilenet_v3_torch.py"]
    variants = first.partition("[tool.archc.")[2]
    Path("archc.toml").write_text(f"{HEAD}{by_name}[{variants}")
    scripts = [name for name in written(run) if name.startswith("train_")]
    assert scripts == [
        "train_a_mine_torch.py",
        "train_mnv3_small_075_mine_torch.py",
        "train_mnv3_small_075_head_only_torch.py",
    ]


def test_what_is_named_on_the_command_line_counts(run: Run) -> None:
    assert written(run, "a_five") == ["a_five_torch.py", "train_a_five_mine_torch.py"]
    assert written(run, "specs/a.yaml", "--recipe", "adam") == [
        "a_torch.py",
        "train_a_adam_torch.py",
    ]
    text = run("build", "a_five", "--stdout").out
    assert text == Path("generated/a_five_torch.py").read_text()
    both = run("build", "a_five", "--stdout", "--recipe", "recipes/ours.yaml").out
    assert both == text + Path("generated/train_a_five_mine_torch.py").read_text()


def test_what_is_not_trained(run: Run) -> None:
    """Networks for inference, and backends without scripts."""
    more = '[variants.small]\nspec = "specs/a.yaml"\ninference = true\n'
    says(f'recipes = ["lenet"]\n{more}')
    assert written(run) == ["a_torch.py", "train_a_lenet_torch.py", "small_torch.py"]
    project = find()
    assert project is not None
    assert project.scripts() == {"train_a_lenet_torch.py"}
    assert written(run, "specs/a.yaml", "--inference") == ["a_inference_torch.py"]
    pytest.importorskip("onnx")
    assert written(run, "specs/a.yaml", "-b", "onnx") == ["a.onnx"]
    asked = run("build", "specs/a.yaml", "-b", "onnx", "--recipe", "lenet")
    assert "the backend `onnx` writes no scripts of training" in asked.err


def test_recipes_among_the_specs(run: Run) -> None:
    """A pattern may match one: it is checked, and nothing is written for it."""
    Path("specs/own.yaml").write_text(OURS)
    assert written(run) == [
        "a_torch.py",
        "train_a_mine_torch.py",
        "a_five_torch.py",
        "train_a_five_mine_torch.py",
    ]
    assert "specs/own.yaml: fine, a recipe\n" in run("check").out


# -------------------------------------------------------------------------------- what is checked


def test_check_holds_recipes_against_networks(run: Run) -> None:
    assert run("check") == (
        0,
        "specs/a.yaml: fine, 62,006 parameters\n"
        "specs/a.yaml with recipes/ours.yaml: fine\n"
        "specs/a.yaml as a_five: fine, 61,581 parameters\n"
        "specs/a.yaml as a_five with recipes/ours.yaml: fine\n",
        "",
    )
    assert "with" not in run("check", "specs/a.yaml", "--inference").out


UNFIT = (
    "recipes/ours.yaml:5:10: T004 no layer of `A` is `stem`\n"
    "    5 | freeze: [stem]\n"
    "      |          ^^^^\n"
    "      = help: its layers are in"
)


def test_a_recipe_that_does_not_fit(run: Run) -> None:
    Path("recipes/ours.yaml").write_text(f"{OURS}freeze: [stem]\n")
    checked = run("check")
    assert (checked.code, checked.out) == (2, "")
    assert checked.err.startswith(UNFIT)
    assert checked.err.count("T004") == 1  # for both networks
    assert '"T004"' in run("check", "--format", "json").out


def test_a_wrong_recipe_leaves_networks_and_other_scripts_written(run: Run) -> None:
    written(run)
    says('recipes = ["recipes/*.yaml", "lenet"]\n')
    Path("recipes/ours.yaml").write_text(f"{OURS}freeze: [stem]\n")
    built = run("build")
    assert built.code == 2
    assert [*fates(built)] == ["generated/a_torch.py", "generated/train_a_lenet_torch.py"]
    assert built.err.startswith(UNFIT)
    left = (
        "archc: specs/a.yaml is not trained as recipes/ours.yaml says, and scripts of that are left"
        " as they were\n"
    )
    assert left in built.err
    assert run("build", "--check").code == 2


def test_a_file_that_is_no_recipe(run: Run) -> None:
    says('recipes = ["specs/a.yaml"]\n')
    result = run("check")
    assert result.code == 2
    assert result.err.startswith("specs/a.yaml:1:1: T001 this is no recipe\n")


def test_two_recipes_of_one_name(run: Run) -> None:
    Path("recipes/more.yaml").write_text(OURS.replace("3", "4"))
    result = run("build")
    assert result.code == 2
    said = "Two files of specs/a.yaml would be called train_a_mine_torch.py"
    assert f"{said}; call one of the recipes otherwise." in result.err


def test_numbers_are_proven(run: Run) -> None:
    pytest.importorskip("torch")
    says('recipes = ["recipes/ours.yaml"]\n')
    result = run("check", "--numeric", "-b", "torch")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == "specs/a.yaml agrees with torch, 62,006 parameters"
    proven = lines.index("specs/a.yaml with recipes/ours.yaml agrees with torch")
    assert any(": 10 steps, at most " in line for line in lines[proven:])
    assert "with recipes/ours.yaml: fine" in run("check", "-b", "torch").out


# ---------------------------------------------------------------------------------- what is missed


def test_a_script_that_nothing_gives_any_more(run: Run) -> None:
    written(run)
    says('recipes = {a = ["recipes/ours.yaml"]}\n' + FIVE)
    gone = f"generated/train_a_five_mine_torch.py: {GONE}"
    assert run("build").err == gone
    assert run("build", "--check") == (1, "", gone)
    # What a wrong recipe would be called nobody knows, and nothing is missed.
    Path("recipes/ours.yaml").write_text("archc: 1\n")
    assert GONE not in run("build").err
    # A project that names no recipes has scripts where somebody asked for them.
    says(FIVE)
    assert run("build").err == ""


def test_what_a_recipe_is_made_of(run: Run) -> None:
    top = Path("recipes/top.yaml")
    top.write_text("archc: 1\nrecipe: top\nextends: ours.yaml\n")
    here = Path.cwd().resolve() / "recipes"
    lenet = (RECIPES / "lenet.yaml").resolve()
    assert reached(top) == {here / "top.yaml", here / "ours.yaml", here / "lenet", lenet}
    top.write_text("archc: 1\nrecipe: top\nextends: gone.yaml\n")
    assert reached(top) == {here / "top.yaml", here / "gone.yaml"}
