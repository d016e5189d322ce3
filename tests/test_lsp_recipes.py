"""The language server in recipes of training, as an editor meets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archc.compiler.recipe.load import RECIPES

from .test_lsp import Editor, hover, labels, where

pytest.importorskip("pygls")

HEAD = "archc: 1\nrecipe: mine\n"
RECIPE = """\
archc: 1
recipe: mine
extends: base.yaml
optimizer:
  rmsprop:
    decay: 0.9
    momentum: 0.9
    epsilon: 1e-3
    epsilon_added: inside_root
    learning_rate_in: momentum
learning_rate: 0.045
schedule:
  exponential: {factor: 0.94, every: 2 epochs, staircase: true}
weight_decay: {rate: 4e-5, kind: coupled, skip: [bias, norm]}
loss:
  cross_entropy: {smoothing: 0.1}
batch_size: 64
epochs: 100
set: {dropout: 0.2}
augment:
  - random_resized_crop: {area: [0.08, 1], ratio: [0.75, 1.3333333]}
  - flip: {probability: 0.5}
"""
BASE = "archc: 1\nrecipe: base\nextends: lenet\nepochs: 3\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    editor = Editor(tmp_path_factory.mktemp("started"))
    editor.start()
    yield editor
    editor.answer("shutdown", None)
    editor.send({"method": "exit"})
    assert editor.process.wait(timeout=4) == 0


@pytest.fixture
def editor(shared: Editor, tmp_path: Path) -> Editor:
    shared.folder = tmp_path
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "net.yaml").write_text("archc: 1\nname: Net\n")
    while not shared.said.empty():
        shared.said.get()
    return shared


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        # Keys
        ("", ["optimizer", "schedule", "extends", "augment"], ["recipe", "network", "sgd"]),
        ("opt", ["optimizer"], []),
        ("optimizer:\n  ", ["sgd", "rmsprop", "adam", "adamw"], ["momentum", "optimizer"]),
        ("optimizer: ", [], ["sgd"]),
        ("optimizer:\n  sgd:\n    ", ["momentum", "nesterov"], ["sgd", "decay"]),
        ("optimizer:\n  sgd:\n    momentum: 0.9\n    ", ["nesterov"], ["momentum", "rmsprop"]),
        ("optimizer:\n  sgd: {}\n  ", [], ["sgd", "adam"]),
        ("optimizer:\n  sg", ["sgd", "adam"], []),
        ("optimizer: {", ["sgd", "adam"], ["momentum"]),
        ("optimizer: {rmsprop: {decay: 0.9, ", ["epsilon", "start"], ["decay", "sgd"]),
        ("schedule:\n  cosine: {to: 0}\n  ", ["per"], ["cosine", "step"]),
        ("schedule:\n  per: epoch\n  ", ["cosine", "step"], ["per"]),
        ("warm_up: {over: 5 epochs, ", ["start", "shifts"], ["over"]),
        ("augment:\n  - ", ["flip", "mixup"], ["sgd"]),
        ("augment:\n  - flip: {probability: 0.5}\n  - ", ["flip", "shift"], []),
        ("augment:\n  - flip: {", ["probability"], ["flip"]),
        ("augment: [{", ["flip", "mixup"], ["probability"]),
        # Words
        ("optimizer:\n  rmsprop:\n    epsilon_added: ", ["inside_root", "outside_root"], ["sgd"]),
        ("optimizer: {sgd: {momentum: 0.9, learning_rate_in: ", ["update", "momentum"], []),
        ("optimizer: {sgd: {nesterov: }}", ["true", "false"], []),
        ("weight_decay: {kind: ", ["coupled", "decoupled"], []),
        ("weight_decay: {skip: [", ["bias", "norm", "depthwise"], ["rate"]),
        ("weight_decay: {skip: [bias, ", ["norm"], []),
        ("schedule: {step: {factor: 0.5, every: ", ["2 epochs", "500 steps"], []),
        ("schedule: {multi_step: {factor: 0.5, at: [", ["2 epochs"], []),
        ("ema: {statistics: ", ["true", "false"], ["decay"]),
        ("learning_rate: ", [], ["optimizer", "true"]),
        # Files
        ("extends: ", ["base.yaml", "lenet", "efficientnet"], ["net.yaml", "mine.yaml", "true"]),
    ],
)
def test_completion(editor: Editor, typed: str, wanted: list[str], unwanted: list[str]) -> None:
    text = HEAD + typed
    (editor.folder / "mine.yaml").write_text(text)
    uri = editor.open("mine.yaml", text)
    lines = text.split("\n")
    end = len(lines[-1]) - 2 * typed.endswith("}}")
    found = labels(editor.at("completion", uri, len(lines) - 1, end))
    assert [word for word in wanted if word not in found] == []
    assert [word for word in unwanted if word in found] == []
    editor.close(uri)


def test_a_key_comes_with_its_colon_and_its_meaning(editor: Editor) -> None:
    uri = editor.open("mine.yaml", HEAD + "optimizer:\n  rmsprop:\n    ")
    found = {i["label"]: i for i in editor.at("completion", uri, 4, 4)["items"]}
    assert found["decay"]["insertText"] == "decay: "
    assert found["decay"]["documentation"]["value"] == (
        "`decay`: The share of v that a step keeps: PyTorch's `alpha`, Keras's `rho`.\n\n"
        "_a number, at least 0, below 1; required_"
    )
    ranks = [item["label"] for item in sorted(found.values(), key=lambda i: i["sortText"])]
    assert ranks.index("momentum") < ranks.index("centered")  # what is required comes first
    editor.close(uri)


def test_a_file_that_says_nothing_yet_can_be_either(editor: Editor) -> None:
    uri = editor.open("new.yaml", "archc: 1\n")
    found = labels(editor.at("completion", uri, 1, 0))
    assert {"recipe", "network"} <= {*found}
    editor.edit(uri, "archc: 1\nname: Net\n")
    assert "recipe" not in labels(editor.at("completion", uri, 2, 0))
    editor.close(uri)


@pytest.mark.parametrize(
    ("line", "word", "told"),
    [
        ("optimizer:", "optimizer", "`optimizer`: One of those below, with every constant."),
        ("optimizer:", "optimizer", "_one of `sgd`, `rmsprop`, `adam`, `adamw`_"),
        ("  rmsprop:", "rmsprop", "g over the root of a running mean v of its squares"),
        ("    decay:", "decay", "_a number, at least 0, below 1; required_"),
        ("    decay:", "0.9", "`decay`: The share of v that a step keeps"),
        ("epsilon_added", "inside_root", "`inside_root`: g / sqrt(v + epsilon), as in Keras"),
        ("epsilon_added", "inside_root", "`epsilon_added`: Where epsilon is added."),
        ("_in:", "momentum", "`momentum`: m = momentum m + rate g"),
        ("exponential", "every", "_a number of `epochs` or of `steps`; required_"),
        ("exponential", "2 epochs", "`every`: After how long"),
        ("weight_decay", "norm", "`norm`: what normalization layers learn"),
        ("weight_decay", "norm", "`skip`: Roles of weights that it spares."),
        ("batch_size", "64", "_an integer, at least 1_"),
        ("dropout", "0.2", "`set`: Values of kept parameters"),
        ("random_resized", "0.08", "`area`: The least and the largest share"),
        ("flip", "flip", "Left and right change places"),
        ("extends", "base", "`extends`: A recipe that this one is like"),
    ],
)
def test_hover(editor: Editor, line: str, word: str, told: str) -> None:
    uri = editor.open("mine.yaml", RECIPE)
    assert told in hover(editor, uri, where(RECIPE, line, word))
    editor.close(uri)


def test_what_is_no_key_is_not_told(editor: Editor) -> None:
    text = RECIPE.replace("decay: 0.9", "decays: 0.9")
    uri = editor.open("mine.yaml", text)
    assert hover(editor, uri, where(text, "decays", "decays")) == ""
    assert hover(editor, uri, where(text, "decays", "0.9")) == ""
    editor.close(uri)


def test_a_recipe_that_is_extended_is_found(editor: Editor) -> None:
    uri = editor.open("mine.yaml", RECIPE)
    found = editor.at("definition", uri, *where(RECIPE, "extends", "base"))
    assert found["uri"] == editor.uri("base.yaml")
    editor.edit(uri, RECIPE.replace("base.yaml", "lenet"))
    found = editor.at("definition", uri, *where(RECIPE, "extends", "base"))
    assert found["uri"] == (RECIPES / "lenet.yaml").resolve().as_uri()
    editor.edit(uri, RECIPE.replace("base.yaml", "nothing"))
    assert editor.at("definition", uri, *where(RECIPE, "extends", "base")) is None
    assert editor.at("definition", uri, *where(RECIPE, "epsilon_added", "inside_root")) is None
    editor.close(uri)


def test_problems_and_names_that_stay(editor: Editor) -> None:
    uri = editor.open("mine.yaml", RECIPE)
    assert editor.diagnostics(uri) == []
    editor.edit(uri, RECIPE.replace("inside_root", "in_root"))
    (problem,) = editor.diagnostics(uri)
    number, column = where(RECIPE, "epsilon_added", "inside_root")
    assert problem["range"]["start"] == {"line": number, "character": column - 1}
    assert (problem["code"], problem["source"]) == ("E012", "archc")
    answer = editor.answer(
        "textDocument/rename",
        {
            "textDocument": {"uri": uri},
            "position": {"line": number, "character": column},
            "newName": "x",
        },
    )
    assert "cannot rename this" in answer["error"]["message"]
    assert editor.ask("codeLens", uri) is None
    editor.close(uri)


def test_every_cut_of_a_recipe_is_answered(editor: Editor) -> None:
    """Half a document is what an editor sends most of the time."""
    uri = editor.open("mine.yaml", "")
    for end in range(len(HEAD), len(RECIPE), 7):
        text = RECIPE[:end]
        editor.edit(uri, text)
        lines = text.split("\n")
        for method in ("completion", "hover", "definition"):
            editor.at(method, uri, len(lines) - 1, len(lines[-1]))
    editor.close(uri)
