"""What is legal and probably a mistake is warned of, and nothing else is."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import archc
from archc.cli import cli, main
from archc.compiler.elaborate.warn import MANY_CHANNELS
from archc.compiler.language.codes import CODES
from archc.compiler.language.problems import render
from archc.compiler.spec.load import SHIPPED

FOLDER = Path(__file__).parent / "warnings"
FIXTURES = sorted(FOLDER.glob("*.yaml"))
NETWORK = """\
archc: 1
name: Net
use: [blocks/mobilenet.yaml]
input: {channels: 16, height: 32, width: 32}
network:
"""


def told(path: Path) -> list[str]:
    return [render(warning) for warning in archc.load(path).warnings]


def expected() -> dict[str, str]:
    lines = (FOLDER / "expected.tsv").read_text().splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(
    path: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    golden(path.with_suffix(".txt"), "\n".join(told(Path(path.name))) + "\n")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_codes_and_places_are_those_that_a_person_expects(path: Path) -> None:
    found = [(w.code, w.place.line, w.place.column) for w in archc.load(path).warnings]
    assert (
        ", ".join(f"{code} {line}:{column}" for code, line, column in found)
        == (expected()[path.stem])
    )


def test_every_code_has_a_fixture() -> None:
    codes = {code for code in CODES if code.startswith("W")}
    assert codes == set(re.findall(r"W\d+", " ".join(expected().values())))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_that_comes_with_archc_is_warned_of(path: Path) -> None:
    assert told(path) == []


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_comment_on_its_line_allows_a_warning_and_no_other(path: Path, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "lib", tmp_path / "lib")
    copy = tmp_path / path.name
    found = archc.load(path).warnings
    for index, warning in enumerate(found):
        lines = path.read_text().splitlines()
        number = warning.place.line - 1
        lines[number] += f"  # archc: allow W999, {warning.code}"
        copy.write_text("\n".join(lines) + "\n")
        rest = [w for w in found[:index] + found[index + 1 :] if w.place.line != number + 1]
        left = archc.load(copy).warnings
        assert [(w.code, w.message) for w in left] == [(w.code, w.message) for w in rest]
        lines[number] = lines[number].replace(warning.code, "W998")
        copy.write_text("\n".join(lines) + "\n")
        assert len(archc.load(copy).warnings) == len(found)


# Next to each mistake stands what somebody may have meant.
MEANT = {
    "a stride of one in every repeat": "{block: conv_bn, out: 16, kernel: 3, stride: 1, repeat: 3}",
    "a stride of the last repeat": (
        "{block: conv_bn, out: 16, kernel: 3, repeat: 3, stride: 2 if repeat.index == 2 else 1}"
    ),
    "a stride without a repeat": "{block: conv_bn, out: 16, kernel: 3, stride: 2, repeat: 1}",
    "the bounds of what is usual": (
        "{block: inverted_residual, kernel: 3, out: 16, act: relu, expand: 12, se: 1}"
    ),
    "very many classes": (
        "{block: global_avg_pool2d, keepdims: true}\n  - {block: conv2d, filters: 21843, kernel: 1}"
    ),
    "as many channels as any has": f"{{block: conv2d, filters: {MANY_CHANNELS}, kernel: 1}}",
}


@pytest.mark.parametrize("what", MEANT)
def test_what_may_be_meant_is_not_warned_of(what: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"{NETWORK}  - {MEANT[what]}\n")
    assert told(path) == []


def test_a_variant_is_told_of_what_it_says_itself(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        NETWORK.replace("input:", "params: {of_base: {type: int, default: 1}}\ninput:")
        + "  - {block: conv_bn, name: row, out: 16}\n"
    )
    path = tmp_path / "net.yaml"
    path.write_text(
        "archc: 1\nextends: base.yaml\nparams: {own: {type: int, default: 1}}\n"
        "change:\n  - {at: row, set: {repeat: 2, stride: 2}}\n"
    )
    found = [(w.code, w.place.line, w.place.source.name) for w in archc.load(path).warnings]
    assert found == [("W007", 3, str(path)), ("W002", 5, str(path))]


# --------------------------------------------------------------------------------- command line


@pytest.mark.parametrize("command", [["check"], ["build", "-b", "torch", "--stdout"]])
def test_warnings_are_told_and_strict_makes_them_errors(command: list[str]) -> None:
    path = FOLDER / "residuals_lost.yaml"
    done = CliRunner().invoke(cli, [*command, str(path)])
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{path}:10:29: warning: W003 neither `blocks.1` nor")
    assert "W003" not in done.stdout
    done = CliRunner().invoke(cli, [*command, str(path), "--strict"])
    assert isinstance(done.exception, archc.SpecError)
    assert done.stdout == ""
    quiet = CliRunner().invoke(cli, [*command, str(SHIPPED / "mnv3_large.yaml"), "--strict"])
    assert quiet.exit_code == 0
    assert quiet.stderr == ""


def test_strict_exits_like_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", str(FOLDER / "many_channels.yaml"), "--strict"])
    assert left.value.code == 2
    assert "6:39: W005 a feature map of 16,000 channels\n" in capsys.readouterr().err


def test_colour_tells_a_warning_from_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(SystemExit):
        main(["check", str(FOLDER / "many_channels.yaml")])
    assert "\x1b[33m\x1b[1mwarning: W005\x1b[0m a feature map" in capsys.readouterr().err
