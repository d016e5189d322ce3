"""`archc diff`: what an edit does, told once, where it is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

import archc
from archc.cli import cli
from archc.compiler.language.problems import SpecError
from archc.diff.compare import compare
from archc.diff.pairing import pairs
from archc.diff.verdicts import VERDICTS, Effect
from archc.weights.convert import filled, write
from archc.weights.settings import carried

SPEC = """\
archc: 1
name: Net
use: [my_blocks.yaml]
params:
  classes: {type: int, default: 5, min: 1, keep: true}
  width: {type: int, default: 8}
input: {channels: 3, height: 32, width: 32}
network:
  - {block: conv2d, name: stem, filters: width, kernel: 3, stride: 2}
  - columns: [block,  filters, kernel, tap]
    rows:
      - [conv2d,      8,       3,      ~]
      - [gated,       8,       3,      c1]
      - [conv2d,      16,      1,      ~]
      - [conv2d,      16,      5,      c2]
  - {block: concat, name: joined, from: [-1, stem]}
  - {block: batch_norm, name: bn}
  - {block: global_avg_pool2d, name: mean}
  - {block: dense, name: logits, units: classes}
"""
BLOCKS = """\
archc: 1
blocks:
  gated:
    params: {filters: int, kernel: int}
    steps:
      - conv: conv2d(x, filters, kernel=kernel)
      - norm: batch_norm(conv)
      - gate: activation(norm, sigmoid)
      - out: norm * gate
"""
TABLE = "      - [conv2d,      16,      1,      ~]\n"
CASES: dict[str, tuple[list[tuple[str, str]], str, str]] = {
    # What is edited; what is found, with the rows; and what it comes to.
    "nothing": ([], "", "nothing"),
    "words": ([("name: Net\n", "name: Net\ndoc: other words\n")], "", "nothing"),
    "a parameter": ([("width", "depth"), ("depth: 32", "width: 32")], "", "nothing"),
    "a row more": (
        [(TABLE, TABLE + TABLE)],
        "D101 blocks.3, D301, D303",
        "weights lost",
    ),
    "a row more without weights": (
        [(TABLE, TABLE + "      - {block: activation, act: relu}\n")],
        "D101 blocks.3, D301",
        "weights need moving",
    ),
    "a row less": ([(TABLE, "")], "D102 blocks.2, D107 blocks.2, D301, D302, D303", "weights lost"),
    "a cell": ([("16,      5", "16,      3")], "D105 blocks.3, D302, D303", "weights lost"),
    "a stride": (
        [("stride: 2", "stride: 1")],
        "D105 stem, D233 blocks.1, D233 blocks.3",
        "interface broken",
    ),
    "a name": ([("name: bn", "name: norm")], "D104 norm, D301", "weights need moving"),
    "a swap": (
        [
            ("  - {block: batch_norm, name: bn}\n", ""),
            ("  - {block: dense,", "  - {block: batch_norm, name: bn}\n  - {block: dense,"),
        ],
        "D103 mean",
        "weights compatible",
    ),
    "a numbered row elsewhere": (
        [
            ("      - [gated,       8,       3,      c1]\n", ""),
            (
                "      - [conv2d,      8, ",
                "      - [gated,       8,       3,      c1]\n      - [conv2d,      8, ",
            ),
        ],
        "D103 blocks.0, D301",
        "weights need moving",
    ),
    "a tap of another row": (
        [
            ("8,       3,      ~]", "8,       3,      c1]"),
            ("[gated,       8,       3,      c1]", "[gated,       8,       3,      ~]"),
        ],
        "D233 blocks.0",
        "weights compatible",
    ),
    "a source": (
        [("[-1, stem]", "[stem, -1]")],
        "D105 joined",
        "weights compatible",
    ),
    "the model's name": ([("name: Net", "name: Web")], "D201", "interface broken"),
    "an argument more": (
        [
            (
                "min: 1, keep: true}\n",
                "min: 1, keep: true}\n  bias: {type: bool, default: true, keep: true}\n",
            ),
            ("units: classes", "units: classes, bias: bias"),
        ],
        "D105 logits, D202",
        "weights compatible",
    ),
    "an argument less": ([(", keep: true", "")], "D105 logits, D203", "interface broken"),
    "a default": (
        [("default: 5", "default: 6")],
        "D107 logits, D204, D223 logits, D302, D303",
        "interface broken",
    ),
    "a size": ([("height: 32, width: 32", "height: 64, width: 64")], "D212", "cost only"),
    "channels of the input": (
        [("channels: 3", "channels: 1")],
        "D107 stem, D211, D302, D303",
        "interface broken",
    ),
    "a range": ([("width: 32}", 'width: 32, range: "[0, 1]"}')], "D211", "interface broken"),
    "a tap more": ([("name: stem,", "name: stem, tap: c0,")], "D231 stem", "weights compatible"),
    "a tap less": (
        [("1,      ~]", "1,      ~]"), ("c2]", "~]")],
        "D232 blocks.3",
        "interface broken",
    ),
    "an output": (
        [
            ("name: mean}", "name: mean, output: features}"),
            ("units: classes", "units: classes, output: classes"),
        ],
        "D222 logits, D221 mean, D221 logits",
        "interface broken",
    ),
    "defaults": (
        [("network:\n", "defaults: {batch_norm: {epsilon: 0.01}}\nnetwork:\n")],
        "D105 bn, D106 blocks.1",
        "weights compatible",
    ),
}


def written(folder: Path, *changes: tuple[str, str], blocks: str = BLOCKS) -> Path:
    text = SPEC
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "my_blocks.yaml").write_text(blocks)
    (folder / "net.yaml").write_text(text)
    return folder / "net.yaml"


def found(tmp_path: Path, *changes: tuple[str, str], blocks: str = BLOCKS) -> tuple[str, str]:
    old = archc.load(written(tmp_path / "old"))
    diff = compare(old, archc.load(written(tmp_path / "new", *changes, blocks=blocks)))
    said = ", ".join(f"{finding.id} {finding.row}".strip() for finding in diff.findings)
    return said, str(diff.effect)


@pytest.mark.parametrize("case", CASES)
def test_an_edit_comes_to(case: str, tmp_path: Path) -> None:
    changes, findings, effect = CASES[case]
    assert found(tmp_path, *changes) == (findings, effect)


def test_an_edit_of_a_library_is_told_once_for_all_rows(tmp_path: Path) -> None:
    kept = BLOCKS.replace("sigmoid", "relu6")
    assert found(tmp_path, blocks=kept) == ("D106 blocks.1", "weights compatible")
    lost = BLOCKS.replace("kernel=kernel", "kernel=kernel, bias=false")
    assert found(tmp_path, blocks=lost) == ("D106 blocks.1, D302", "weights lost")


def test_every_verdict_is_found_somewhere(tmp_path: Path) -> None:
    said = " ".join(findings for _, findings, _ in CASES.values())
    # Of arguments in another order, of another type, and of what no other finding tells.
    assert {*VERDICTS} - {"D205", "D206", "D401"} == {*re.findall(r"D\d+", said)}


def test_the_page_lists_every_verdict() -> None:
    page = (Path(__file__).parents[1] / "docs" / "diff.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(D\d+)` \| (.*) \|$", page, re.MULTILINE)) == VERDICTS
    assert {*re.findall(r"^\| ([a-z ]+) \|", page, re.MULTILINE)} >= {*map(str, Effect)}


def test_arguments_of_another_order_and_type(tmp_path: Path) -> None:
    text = SPEC.replace(
        "width: {type: int, default: 8}", "width: {type: int, default: 8, keep: true}"
    )
    text = text.replace("filters: width", "filters: 8").replace(
        "units: classes", "units: classes + width"
    )
    two = "  classes: {type: int, default: 5, min: 1, keep: true}\n"
    (tmp_path / "my_blocks.yaml").write_text(BLOCKS)
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text.replace(two, "").replace("input:", f"{two}input:"))
    diff = compare(archc.load(tmp_path / "a.yaml"), archc.load(tmp_path / "b.yaml"))
    assert [finding.id for finding in diff.findings] == ["D205"]
    assert diff.effect is Effect.INTERFACE_BROKEN


def test_a_row_that_could_be_either_of_two_is_neither(tmp_path: Path) -> None:
    old = archc.load(written(tmp_path / "old", (TABLE, TABLE + TABLE))).network
    new = archc.load(written(tmp_path / "new", ("16,      1", "24,      1"))).network
    paired = pairs(old, new)
    assert "blocks.2" not in paired
    assert paired["blocks.3"] == "blocks.4"


# ---- The command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["diff", *arguments])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a spec and its blocks in the first commit, and the folder to be in."""
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    return tmp_path


def test_one_argument_is_the_file_against_its_last_commit(project: Path) -> None:
    clean = run("net.yaml")
    assert (clean.exit_code, clean.output) == (0, "")
    written(project, ("16,      5", "16,      3"), blocks=BLOCKS.replace("sigmoid", "relu6"))
    result = run("net.yaml")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    cells = re.split(r"\s{2,}", lines[1].strip())
    assert cells[:4] == ["~", "blocks.3", "kernel [5, 5] -> [3, 3]", "16x16x16"]
    assert "D106 weights compatible: act sigmoid -> relu6 in `blocks.1.gate`" in result.output
    assert lines[-1] == "net.yaml: weights lost"
    assert "--spec net.yaml --from-spec HEAD:net.yaml" in result.output


def test_a_checkpoint_is_carried_over_by_the_command_that_is_printed(project: Path) -> None:
    net = archc.load("net.yaml")
    write(net, filled(net, {}), Path("old.safetensors"), carried(net))
    written(project, (TABLE, TABLE + "      - {block: activation, act: relu}\n"))
    said = run("net.yaml").output
    command = re.search(r"archc (weights convert .*)", said)
    assert command is not None
    given = command[1].replace("OLD", "old").replace("NEW", "new").split()
    assert CliRunner().invoke(cli, given).exit_code == 0
    old, new = load_file("old.safetensors"), load_file("new.safetensors")
    assert (new["blocks.4.weight"] == old["blocks.3.weight"]).all()
    assert len(new) == len(old)


def test_a_name_that_a_person_gave_has_a_line(project: Path) -> None:
    written(project, ("name: logits", "name: head"))
    lines = run("net.yaml").output.splitlines()
    assert lines[1].split()[:5] == ["~", "head", "was", "logits", "5"]
    assert "| `~` | `head` | was logits |" in run("net.yaml", "-f", "markdown").output


def test_a_path_is_from_here_or_from_the_top(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "sub").mkdir()
    written(project, ("16,      5", "16,      3"))
    monkeypatch.chdir(project / "sub")
    assert run("../net.yaml").exit_code == 1
    assert run("HEAD:net.yaml", "../net.yaml").exit_code == 1
    assert run("../net.yaml").output.splitlines()[1].split()[:2] == ["~", "blocks.3"]


def test_no_command_is_said_where_there_is_no_file_to_name(project: Path) -> None:
    written(project, (TABLE, TABLE + TABLE))
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "x"], check=True
    )
    done = run("HEAD~1:net.yaml", "HEAD:net.yaml")
    assert (done.exit_code, "weights convert" in done.output) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["NOPE:net.yaml", "net.yaml"], "Error: git says: there is no revision NOPE"),
        (["HEAD:no.yaml", "net.yaml"], "Error: HEAD has no no.yaml."),
        (["HEAD:nowhere/no.yaml", "net.yaml"], "Error: HEAD has no nowhere/no.yaml."),
        (["--output=x:net.yaml", "net.yaml"], "No such option"),
        (
            ["net.yaml", "--fail-on", "all"],
            "'all' is not one of nothing, any, weights, lost, interface.",
        ),
    ],
)
def test_what_git_does_not_have(arguments: list[str], said: str, project: Path) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_revision_that_reads_as_an_option(project: Path) -> None:
    result = run("--", "--help:net.yaml", "net.yaml")
    assert result.exit_code == 2
    assert "git says" in result.output


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written(tmp_path / "some").parent)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    result = run("net.yaml")
    assert result.exit_code == 2
    assert "git says: not a git repository" in result.output


def test_problems_of_both_sides_stand_where_the_user_finds_them(project: Path) -> None:
    (project / "net.yaml").write_text(SPEC.replace("conv2d, name: stem", "conv3d, name: stem"))
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "x"], check=True
    )
    (project / "net.yaml").write_text(SPEC.replace("kernel: 3, stride", "kernal: 3, stride"))
    with pytest.raises(SpecError) as caught:
        CliRunner().invoke(cli, ["diff", "net.yaml"], catch_exceptions=False)
    places = [str(problem.place) for problem in caught.value.problems]
    assert places[0].startswith("HEAD:net.yaml:9:")
    assert any(place.startswith("net.yaml:9:") for place in places)


def test_what_to_fail_on(project: Path) -> None:
    written(project, ("height: 32, width: 32", "height: 64, width: 64"))
    assert run("net.yaml").exit_code == 1
    assert run("net.yaml", "--fail-on", "interface,weights").exit_code == 0
    written(project, ("name: Net", "name: Web"))
    assert run("net.yaml", "--fail-on", "interface,weights").exit_code == 1
    assert run("net.yaml", "--fail-on", "nothing").exit_code == 0


def test_settings_are_for_both(project: Path) -> None:
    assert run("net.yaml", "--set", "width=16").exit_code == 0
    written(project, ("16,      5", "16,      3"))
    assert "--set width=16" in run("net.yaml", "--set", "width=16").output


# ---- Formats


def test_markdown_is_short_however_much_differs() -> None:
    result = run("specs/nasnet_a_large.yaml", "specs/efficientnet_b7.yaml", "-f", "markdown")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) <= 60
    assert any("more rows" in line for line in lines)


def test_a_figure_shows_the_changed_rows_and_where_they_stand(project: Path) -> None:
    written(
        project,
        ("16,      5", "16,      3"),
        ("  - {block: batch_norm, name: bn}\n", ""),
        ("  - {block: dense", "  - {block: activation, act: relu}\n  - {block: dense"),
    )
    said = run("net.yaml", "-f", "mermaid")
    assert said.output.splitlines() == [
        "flowchart TD",
        '  n0["stem to blocks.2<br>4 rows, the same"]',
        '  n1["blocks.3<br>changed conv2d<br>kernel #91;5, 5#93; to #91;3, 3#93;'
        '<br>6,416 to 2,320 parameters<br>16x16x16"]',
        '  n2["joined<br>the same"]',
        '  n3["bn<br>removed batch_norm<br>24x16x16"]',
        '  n4["mean<br>the same"]',
        '  n5["activation<br>added activation<br>24"]',
        '  n6["logits<br>the same"]',
        "  n0 --> n1",
        "  n1 --> n2",
        "  n0 --> n2",
        "  n2 --> n4",
        "  n4 --> n5",
        "  n5 --> n6",
        "  n2 -.-> n3",
        "  n3 -.-> n4",
        "  classDef same fill:#ffffff,stroke:#999999,color:#555555,stroke-dasharray: 5 3",
        "  class n0,n2,n4,n6 same",
        "  classDef added fill:#d9f0e3,stroke:#1f7a52,color:#222222",
        "  class n5 added",
        "  classDef removed fill:#fbdcdc,stroke:#a12a2a,color:#222222",
        "  class n3 removed",
        "  classDef changed fill:#fbf3c6,stroke:#857000,color:#222222",
        "  class n1 changed",
    ]
    shown = run("net.yaml", "-f", "markdown").output
    assert f"```mermaid\n{said.output}```\n" in shown
    assert run("net.yaml", "net.yaml", "-f", "mermaid").output == ""


def test_a_figure_has_one_box_for_rows_that_change_alike() -> None:
    said = run("specs/resnet50.yaml", "specs/resnet101.yaml", "-f", "mermaid").output
    assert '"layer3.5 to layer3.21<br>added 17 × bottleneck<br>1024x14x14"' in said
    far = run("specs/nasnet_a_large.yaml", "specs/efficientnet_b7.yaml", "-f", "markdown").output
    assert "mermaid" not in far  # a comment has 60 lines at most


def test_annotations_and_sarif_stand_at_the_lines(project: Path) -> None:
    written(project, ("16,      5", "16,      3"))
    line = 1 + SPEC.splitlines().index("      - [conv2d,      16,      5,      c2]")
    said = run("net.yaml", "-f", "github").output.splitlines()
    place = f"file=net.yaml,line={line},col=10"
    assert said[0] == (
        f"::warning title=D105 weights lost,{place}::`blocks.3`: kernel [5, 5] -> [3, 3]"
    )
    log = json.loads(run("net.yaml", "-f", "sarif").output)
    (driven,) = log["runs"]
    rules = {rule["id"] for rule in driven["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in driven["results"]} <= rules
    where = driven["results"][0]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "net.yaml"
    assert where["region"]["startLine"] == line


def test_json_says_it_all(project: Path) -> None:
    written(project, (TABLE, TABLE + TABLE))
    told = json.loads(run("net.yaml", "-f", "json").output)
    assert told["effect"] == "weights lost"
    assert [row["row"] for row in told["rows"]] == ["blocks.3"]
    added = told["rows"][0]["new"]
    # 16 channels to 16 by a 1x1 kernel, with biases; 3 * 2 + 2 * 2 pixels seen above.
    assert (added["params"], added["macs"]) == (16 * 16 + 16, 16 * 16 * 16 * 16)
    assert told["tensors"] == {"load": 18, "move": 2, "lost": 0, "fresh": 2}


def test_how_much_of_the_input_a_row_sees(project: Path) -> None:
    written(project, ("default: 5", "default: 6"), ("stride: 2", "stride: 2, tap: c0"))
    rows = json.loads(run("net.yaml", "-f", "json").output)["rows"]
    assert {row["row"]: row["new"]["receptive_field"] for row in rows} == {"logits": None}
    written(project, ("16,      5", "16,      3"))
    rows = json.loads(run("net.yaml", "-f", "json").output)["rows"]
    # 3, and then 2 more for each 3x3 and 4 for a 5x5, in pixels of stride 2.
    (row,) = (row for row in rows if row["row"] == "blocks.3")
    assert row["old"]["receptive_field"] == [3 + 2 * (2 + 2 + 0 + 4)] * 2
    assert row["new"]["receptive_field"] == [3 + 2 * (2 + 2 + 0 + 2)] * 2


def test_no_text_of_a_spec_becomes_markup_or_a_command(project: Path) -> None:
    name = "net::warning.yaml"
    (project / name).write_text(SPEC.replace("16,      5", "16,      3"))
    said = run("net.yaml", name, "-f", "github").output
    assert "file=net%3A%3Awarning.yaml," in said
    assert "::warning.yaml" not in said
    (project / "a|b<i>.yaml").write_text(SPEC.replace("Net", "Web"))
    shown = run("net.yaml", "a|b<i>.yaml", "-f", "markdown").output
    assert "<i>" not in shown
