"""Rules of one's own: what is wrong with them, and that they lead weights to where they belong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archc
from archc import Net
from archc.compiler.language.codes import CODES
from archc.compiler.language.problems import SpecError, render
from archc.compiler.spec.folders import SHIPPED
from archc.live.numeric import random_weights
from archc.weights import rulefile, rules

from .running import Run, runner

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parent / "rules"
FIXTURES = sorted(FOLDER.glob("*.yaml"))
SPEC = """\
archc: 1
name: Net
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  epsilon: {type: float, default: 1.0e-3, above: 0}
input: {channels: 3, height: 8, width: 8}
defaults:
  batch_norm: {epsilon: epsilon}
blocks:
  unit:
    params: {out: int}
    steps:
      - conv: conv2d(x, filters=out, kernel=3)
      - bn: batch_norm(conv)
network:
  - {block: unit, name: stem, out: 4}
  - columns: [block, out]
    name: blocks
    rows:
      - [unit, 4]
      - [unit, 4]
  - {block: global_avg_pool2d, name: mean}
  - {block: dense, name: logits, units: classes}
"""
RULES = """\
archc: 1
framework: torch
sources:
  mine:net: {set: {epsilon: 1e-5}, words: {first: 1}}
names:
  - [stem.conv, conv1]
  - [stem.bn, bn1]
  - [logits, fc]
groups:
  - {at: blocks.<i>, words: {unit: "layer{i + first}"}}
inside:
  - [conv, "{unit}.0"]
  - [bn, "{unit}.1"]
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archc` in a folder that holds net.yaml and mine.yaml; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC)
    Path("mine.yaml").write_text(RULES)

    return runner(capsys)


def named(path: str) -> str:
    """A tensor's name in the checkpoint, written down once more."""
    for old, new in (("blocks.0.", "layer1."), ("blocks.1.", "layer2."), ("logits", "fc")):
        path = path.replace(old, new)
    if path.startswith("stem"):
        return path.replace("stem.conv", "conv1").replace("stem.bn", "bn1")
    return path.replace(".conv.", ".0.").replace(".bn.", ".1.")


@pytest.fixture
def net(run: Run) -> Net:
    """The network, whose weights are in theirs.pth under their names."""
    net = archc.load("net.yaml")
    state = {named(k): torch.from_numpy(v) for k, v in random_weights(net.network).items()}
    torch.save(state, "theirs.pth")
    return net


IMPORT = ("weights", "import", "mine:net", "theirs.pth", "mine.pt", "--spec", "net.yaml")
OWN = ("--rules", "mine.yaml")


def changed(old: str, new: str) -> None:
    assert old in RULES
    Path("mine.yaml").write_text(RULES.replace(old, new))


# ---- What is wrong with a file


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(
    path: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(SpecError) as raised:
        rulefile.read(Path(path.name))
    golden(path.with_suffix(".txt"), "\n".join(map(render, raised.value.problems)) + "\n")


def test_every_message_has_a_fixture() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in FIXTURES}


def test_a_file_that_is_not_there(run: Run, net: Net) -> None:
    assert run(*IMPORT, "--rules", "no.yaml") == (2, "", "no.yaml:1:1: E001 no such file\n")


# ---- What they do


def test_an_import_by_rules_of_ones_own(run: Run, net: Net) -> None:
    code, out, err = run(*IMPORT, *OWN, "--variant", "fit.yaml")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith(", for --set epsilon=1e-05")
    ours = torch.load("mine.pt")
    assert all(
        torch.equal(ours[k], torch.from_numpy(v)) for k, v in random_weights(net.network).items()
    )
    assert run("weights", "check", "mine.pt", "--spec", "fit.yaml")[0] == 0
    assert run("weights", "check", "mine.pt", "--spec", "net.yaml")[0] == 2


@pytest.mark.parametrize("top", [".", ".."])
def test_a_folder_of_rules(top: str, run: Run, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the spec, and at the top of the project; other files in it are no matter."""
    if top == "..":
        Path("archc.toml").touch()
        Path("specs").mkdir()
        monkeypatch.chdir("specs")
        for name in ("net.yaml", "theirs.pth", "mine.yaml"):
            Path("..", name).rename(name)
    folder = Path(top, "weights")
    folder.mkdir()
    Path("mine.yaml").rename(folder / "mine.yaml")
    (folder / "net.yaml").write_text(SPEC)
    (folder / "other.yaml").write_text("- not ours\n")
    assert run(*IMPORT)[0] == 0
    (folder / "mine.yaml").write_text(RULES.replace("names:", "nmaes:"))
    assert "E010 unknown key `nmaes`" in run(*IMPORT, "--force")[2]


def test_a_clone_has_the_rules_that_are_installed(run: Run, net: Net) -> None:
    """Copies of those that come with archc are those; one that is edited is another's."""
    shutil.copytree(SHIPPED / "weights", "weights")
    assert run(*IMPORT, *OWN)[0] == 0
    path = Path("weights/timm_nasnet.yaml")
    path.write_text(path.read_text() + "# mine\n")
    said = "E015 there are rules for `timm:nasnetalarge` already"
    assert said in run(*IMPORT, *OWN, "--force")[2]


def test_names_that_are_exchanged(run: Run, net: Net) -> None:
    """Rules are no replacements, one after another: two layers may have each other's names."""
    state = torch.load("theirs.pth")
    other = {"layer1.0": "layer2.0", "layer2.0": "layer1.0"}
    swapped = {"".join((other.get(k[:8], k[:8]), k[8:])): tensor for k, tensor in state.items()}
    torch.save(swapped, "theirs.pth")
    changed("names:\n", "names:\n  - [blocks.0.conv, layer2.0]\n  - [blocks.1.conv, layer1.0]\n")
    assert run(*IMPORT, *OWN)[0] == 0
    assert torch.equal(torch.load("mine.pt")["blocks.0.conv.weight"], state["layer1.0.weight"])


def test_an_unknown_source_is_looked_for_among_ones_own(run: Run, net: Net) -> None:
    command = (*IMPORT[:2], "mine:nett", *IMPORT[3:])
    _, _, err = run(*command, *OWN)
    assert err.endswith("archc has no rules for this source\n  = help: did you mean `mine:net`?\n")


def test_the_example_of_the_docs(run: Run) -> None:
    page = (Path(__file__).parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
    assert f"```yaml\n{RULES}```" in page
    codes = {code: said for code, said in CODES.items() if code.startswith("R")}
    assert all(f"| `{code}` | {said} |" in page for code, said in codes.items())
    assert all(f"`{key}`" in page for key in rulefile.Rules.model_fields)


# ---- What they do not


def test_a_layer_that_no_rule_names(run: Run, net: Net) -> None:
    changed("[stem.bn, bn1]", "[stem.bm, bn1]")
    assert run(*IMPORT, *OWN) == (
        2,
        "",
        "mine.yaml:5:1: R002 no rule of mine:net names the layer `stem.bn`\n"
        "    5 | names:\n"
        "      | ^^^^^\n"
        "      = this matches nothing: mine.yaml:7:6\n"
        "    7 |   - [stem.bm, bn1]\n"
        "      |      ^^^^^^^\n",
    )
    assert not Path("mine.pt").exists()
    changed("  - [bn, ", "  - [conv.bn, ")
    assert run(*IMPORT, *OWN)[2].startswith(
        "mine.yaml:11:1: R002 no rule of mine:net names the layer `blocks.0.bn`\n"
    )
    changed("  - [logits, fc]\n", "")
    assert run(*IMPORT, *OWN)[2].endswith("      = help: add one, or take a part with --partial\n")
    code, out, _ = run(*IMPORT, *OWN, "--partial")
    assert code == 0
    assert out.splitlines()[1:] == [
        "  missing: no rule names logits.weight (5x4)",
        "  missing: no rule names logits.bias (5)",
        "  surplus: fc.weight (5x4)",
        "  surplus: fc.bias (5)",
        "mine.pt: 18 tensors are those of theirs.pth, and 2 are fresh;"
        " 2 of theirs.pth are not used",
    ]


def test_two_layers_of_one_name(run: Run, net: Net) -> None:
    changed("layer{i + first}", "layer{first}")
    assert run(*IMPORT, *OWN) == (
        2,
        "",
        "mine.yaml:12:12: R003 `blocks.0.conv.weight` and `blocks.1.conv.weight` are both"
        " `layer1.0.weight`\n"
        '   12 |   - [conv, "{unit}.0"]\n'
        "      |            ^^^^^^^^^^\n",
    )
    changed("[stem.bn, bn1]", "[stem.bn, conv1]")
    assert run(*IMPORT, *OWN)[2] == (
        "mine.yaml:7:15: R003 `stem.conv.weight` and `stem.bn.weight` are both `conv1.weight`\n"
        "    7 |   - [stem.bn, conv1]\n"
        "      |               ^^^^^\n"
        "      = and here: mine.yaml:6:17\n"
        "    6 |   - [stem.conv, conv1]\n"
        "      |                 ^^^^^\n"
    )


def test_a_name_that_the_file_does_not_have(run: Run, net: Net) -> None:
    changed("[stem.conv, conv1]", "[stem.conv, conv_1]")
    assert run(*IMPORT, *OWN)[2] == (
        "archc: theirs.pth: these are no weights of Net; tensors: 2 missing, 2 surplus\n"
        "  missing: conv_1.weight (4x3x3x3)\n"
        "  missing: conv_1.bias (4)\n"
        "  surplus: conv1.weight (4x3x3x3)\n"
        "  surplus: conv1.bias (4)\n"
        "  = note: mine.yaml:6:17 says `conv_1.weight`\n"
        "  = help: `convert` and `import` take what fits with --partial; the rest stays fresh\n"
    )


def test_a_rule_that_matches_nothing(run: Run, net: Net) -> None:
    changed("inside:", '  - {at: other.<i>}\ninside:\n  - [conv_2, "{unit}.2"]')
    code, _, err = run(*IMPORT, *OWN)
    assert code == 0
    said = "theirs.pth: note: mine.yaml:13:6: `conv_2` matches nothing of Net\n"
    assert err.startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "layer{i + first}",
            "layer{i + frist}",
            "mine.yaml:10:47: E021 unknown name `frist`\n"
            '   10 |   - {at: blocks.<i>, words: {unit: "layer{i + frist}"}}\n'
            "      |                                               ^^^^^\n"
            "      = help: did you mean `first`?\n",
        ),
        (
            "layer{i + first}",
            "layer{first // i}",
            "mine.yaml:10:43: E022 a division by zero",
        ),
        (
            "at: blocks.<i>, ",
            "at: blocks.<i>, when: j < 3, ",
            "mine.yaml:10:28: E021 unknown name `j`",
        ),
    ],
)
def test_what_cannot_be_worked_out(old: str, new: str, said: str, run: Run, net: Net) -> None:
    changed(old, new)
    code, _, err = run(*IMPORT, *OWN)
    assert code == 2
    assert err.startswith(said), err


def test_a_source_that_is_known_already(run: Run, net: Net) -> None:
    Path("more.yaml").write_text(RULES)
    assert run(*IMPORT, *OWN, "--rules", "more.yaml") == (
        2,
        "",
        "more.yaml:4:3: E015 there are rules for `mine:net` already\n"
        "    4 |   mine:net: {set: {epsilon: 1e-5}, words: {first: 1}}\n"
        "      |   ^^^^^^^^\n"
        "      = here: mine.yaml:4:3\n"
        "    4 |   mine:net: {set: {epsilon: 1e-5}, words: {first: 1}}\n"
        "      |   ^^^^^^^^\n"
        "      = help: rename it\n",
    )
    shipped = sorted(rules.every())[0]
    changed("mine:net", shipped)
    assert f"E015 there are rules for `{shipped}` already" in run(*IMPORT, *OWN)[2]


def test_a_source_of_a_library_that_archc_does_not_know(run: Run, net: Net) -> None:
    said = (
        "archc: mine:net: archc makes no models of `mine`\n"
        "  = help: name a FILE of weights; there are timm, torchvision\n"
    )
    assert run(*IMPORT[:3], *IMPORT[4:], *OWN) == (2, "", said)
    assert run("verify", "net.yaml", "--against", "mine:net", *OWN) == (2, "", said)


def test_a_setting_that_the_spec_does_not_have(run: Run, net: Net) -> None:
    changed("epsilon: 1e-5", "eps: 1e-5")
    said = "archc: net.yaml: mine:net needs `eps`, which is no parameter of this spec\n"
    assert run(*IMPORT, *OWN) == (2, "", said)
    changed("epsilon: 1e-5", "epsilon: small")
    assert "E0" in run(*IMPORT, *OWN)[2]


def test_a_wrapped_checkpoint_by_rules_of_ones_own(run: Run, net: Net) -> None:
    state: dict[str, Any] = {f"module.{k}": v for k, v in torch.load("theirs.pth").items()}
    ema = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": ema, "epoch": 1}, "theirs.pth")
    assert "name one: --key state_dict, --key state_dict_ema" in run(*IMPORT, *OWN)[2]
    code, _, err = run(*IMPORT, *OWN, "--key", "state_dict_ema")
    assert code == 0
    assert "theirs.pth: note: all names start with `module.`, which is left out\n" in err
    assert torch.equal(torch.load("mine.pt")["stem.conv.bias"], ema["module.conv1.bias"])
    torch.save({k: v.half() for k, v in state.items()}, "theirs.pth")
    assert "20 mistyped" in run(*IMPORT, *OWN, "--force")[2]
