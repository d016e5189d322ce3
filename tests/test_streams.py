"""What a command writes to: encodings, closed and full streams, colours, signals, odd outputs."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from archc.commands import streams
from archc.weights.replacing import replacing

from .running import exit_code as run

SPEC = """\
archc: 1
name: Tiny
source: Müller, 日本
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, filters: 4, kernel: 3}
"""
BAD = SPEC.replace("filters: 4", "filters: -4")
ARCHC = [sys.executable, "-m", "archc"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("ünï.yaml").write_text(SPEC, encoding="utf-8")
    Path("bad.yaml").write_text(BAD, encoding="utf-8")
    return tmp_path


def archc(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*ARCHC, *arguments], capture_output=True, env={**os.environ, **environment}
    )


def in_shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`"$@"` in the command stands for archc and the arguments."""
    words = ["sh", "-c", command, "sh", *ARCHC, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


# ---- Encodings

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF8 = {"PYTHONUTF8": "1"}


@pytest.mark.parametrize("command", [("build", "-b", "all", "--stdout"), ("resolve",)])
@pytest.mark.parametrize("other", [{"PYTHONIOENCODING": "latin-1"}, C_LOCALE])
def test_what_is_generated_is_utf8_in_every_locale(
    command: tuple[str, ...], other: dict[str, str]
) -> None:
    first, *options = command
    usual = archc(first, "ünï.yaml", *options, **UTF8)
    there = archc(first, "ünï.yaml", *options, **other)
    assert (there.returncode, there.stderr) == (0, b"")
    assert there.stdout == usual.stdout
    assert "ünï.yaml" in usual.stdout.decode()
    assert "Müller, 日本" in usual.stdout.decode() or first == "resolve"


def test_files_are_the_same_in_every_locale() -> None:
    assert archc("build", "ünï.yaml", "-b", "all", "-o", "a", **UTF8).returncode == 0
    done = archc("build", "ünï.yaml", "-b", "all", "-o", "b", **C_LOCALE)
    assert (done.returncode, done.stderr) == (0, b"")
    files = [{p.name: p.read_bytes() for p in Path(name).iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]
    assert set(files[0]) == {"ünï_keras.py", "ünï_torch.py"}


def test_messages_in_an_encoding_that_lacks_them() -> None:
    done = archc("summary", "nö\x1b日.yaml", PYTHONIOENCODING="latin-1", PYTHONUTF8="1")
    assert done.returncode == 2
    assert done.stderr == b"n\xf6\\x1b\\u65e5.yaml:1:1: E001 no such file\n"


def test_names_of_files_in_an_encoding_that_lacks_them() -> None:
    Path("ü日.yaml").write_text(SPEC, encoding="utf-8")
    done = archc("check", "ü日.yaml", PYTHONIOENCODING="latin-1", PYTHONUTF8="1")
    assert done.stdout == b"\xfc\\u65e5.yaml: fine, 112 parameters\n"


# ---- Closed and full streams


@pytest.mark.parametrize(
    ("streams", "spec", "code"),
    [
        (">&-", "ünï.yaml", 0),
        ("2>&-", "bad.yaml", 2),
        (">&- 2>&- <&-", "ünï.yaml", 0),
        (">&- 2>&- <&-", "bad.yaml", 2),
    ],
)
def test_closed_streams(streams: str, spec: str, code: int) -> None:
    done = in_shell(f'"$@" {streams}', "summary", spec)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_output_does_not_land_in_a_file_that_took_the_number_of_a_closed_stream() -> None:
    done = in_shell('"$@" >&- 2>&- <&-', "build", "ünï.yaml", "-b", "torch")
    assert done.returncode == 0
    assert run("build", "ünï.yaml", "-b", "torch", "--check") == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("summary", "ünï.yaml"), ("check", "ünï.yaml")])
def test_a_full_disk_behind_stdout(arguments: tuple[str, ...]) -> None:
    done = in_shell('"$@" >/dev/full', *arguments)
    assert (done.returncode, done.stderr) == (2, "archc: No space left on device\n")


def test_a_reader_of_stderr_that_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*ARCHC, "check", "bad.yaml"], stderr=writing, capture_output=False)
    os.close(writing)
    assert done.returncode == 2


# ---- Colours and widths


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What archc writes to a terminal; stdout and stderr alike."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*ARCHC, *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    ):
        os.close(theirs)
        said = b""
        while piece := _piece(ours):
            said += piece
    os.close(ours)
    return said.decode()


def _piece(stream: int) -> bytes:
    try:
        return os.read(stream, 4096)
    except OSError:  # how Linux says that the other side is closed
        return b""


@pytest.mark.parametrize("command", [("summary", "ünï.yaml"), ("check", "bad.yaml")])
def test_colours_are_for_terminals_that_want_them(command: tuple[str, ...]) -> None:
    assert "\x1b[" in on_a_terminal(*command, NO_COLOR="")
    assert "\x1b" not in on_a_terminal(*command, NO_COLOR="1")
    piped = archc(*command, FORCE_COLOR="1")
    assert b"\x1b[" in piped.stdout + piped.stderr
    plain = archc(*command, FORCE_COLOR="1", NO_COLOR="1")
    assert b"\x1b" not in plain.stdout + plain.stderr


def test_a_diff_without_colours() -> None:
    run("build", "ünï.yaml", "-b", "torch")
    Path("ünï.yaml").write_text(SPEC.replace("filters: 4", "filters: 5"), encoding="utf-8")
    command = ("build", "ünï.yaml", "-b", "torch", "--check")
    assert "\x1b[32m+" in on_a_terminal(*command, NO_COLOR="")
    assert "\x1b" not in on_a_terminal(*command, NO_COLOR="1")


@pytest.mark.parametrize("columns", ["0", "-3", "many"])
def test_a_terminal_of_no_width(columns: str) -> None:
    assert "112" in on_a_terminal("summary", "ünï.yaml", COLUMNS=columns)


# ---- Signals

INTERRUPTED = """
import os, signal, sys
class Interrupting:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, *rest):
        if name == "archc.compiler.pipeline":
            type("Made", (), {"it": Interrupting()})
sys.meta_path.insert(0, Finder())
from archc.__main__ import main
main()
"""


def test_an_interrupt_during_the_start() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "archc: interrupted\n")


WAITING = """
import sys, time
from pathlib import Path
real = Path.write_bytes
def slow(self, data):
    real(self, data[:10])
    print("writing", flush=True)
    time.sleep(60)
Path.write_bytes = slow
from archc.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_temporary_file(number: signal.Signals) -> None:
    run("build", "ünï.yaml", "-b", "torch")
    old = Path("generated/ünï_torch.py").read_bytes()
    Path("ünï.yaml").write_text(SPEC.replace("filters: 4", "filters: 5"), encoding="utf-8")
    command = [sys.executable, "-c", WAITING, "build", "ünï.yaml", "-b", "torch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert len([*Path("generated").iterdir()]) == 2  # the temporary one stands beside
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert b"Traceback" not in said
    assert [path.name for path in Path("generated").iterdir()] == ["ünï_torch.py"]
    assert Path("generated/ünï_torch.py").read_bytes() == old


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in streams.ENDING]
    run("check", "ünï.yaml")
    assert [signal.getsignal(number) for number in streams.ENDING] == before


def test_who_ignores_hangups_goes_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with streams.cleaning_up():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


# ---- Files


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_any_new_file(mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        run("build", "ünï.yaml", "-b", "torch")
    finally:
        os.umask(before)
    assert Path("generated/ünï_torch.py").stat().st_mode & 0o777 == mode


def test_the_temporary_file_is_no_more_open_than_the_one_it_replaces() -> None:
    Path("private").write_text("old")
    Path("private").chmod(0o600)
    with replacing(Path("private")) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
        assert temporary.parent == Path("private").resolve().parent
        temporary.unlink()  # as a library does that puts a file of its own in its place
        temporary.write_text("new")
    assert (Path("private").read_text(), Path("private").stat().st_mode & 0o777) == ("new", 0o600)


def test_a_link_stays_and_what_it_leads_to_is_replaced() -> None:
    Path("far").mkdir()
    Path("far/file").write_text("old")
    Path("link").symlink_to("far/file")
    with replacing(Path("link")) as temporary:
        assert temporary.parent == Path("far").resolve()
        temporary.write_text("new")
    assert (Path("link").is_symlink(), Path("far/file").read_text()) == (True, "new")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"\n{text}",
        lambda text: f"{text}\n",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("    ", "   ", 1),
        lambda text: f"\ufeff{text}",
    ],
)
def test_a_file_that_differs_in_blanks_alone_is_changed(change: Any, capsys: Any) -> None:
    run("build", "ünï.yaml", "-b", "torch")
    path = Path("generated/ünï_torch.py")
    right = path.read_bytes()
    path.write_bytes(change(right.decode()).encode())
    assert run("build", "ünï.yaml", "-b", "torch", "--check") == 1
    capsys.readouterr()
    assert run("build", "ünï.yaml", "-b", "torch") == 0
    assert "_torch.py: changed," in capsys.readouterr().out
    assert path.read_bytes() == right


@pytest.mark.parametrize("command", [["build"], ["build", "--check"]])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "this is a named pipe; a regular file belongs here"),
        (os.mkdir, "this is a folder; a regular file belongs here"),
    ],
)
def test_an_output_that_is_no_regular_file(
    command: list[str], make: Any, kind: str, capsys: Any
) -> None:
    Path("generated").mkdir()
    make("generated/ünï_torch.py")
    assert run(*command, "ünï.yaml", "-b", "torch") == 2
    assert capsys.readouterr().err == f"archc: generated/ünï_torch.py: {kind}\n"


@pytest.mark.parametrize("command", [["build"], ["build", "--check"]])
def test_an_output_that_leads_out_of_its_folder(command: list[str], capsys: Any) -> None:
    Path("generated").mkdir()
    Path("secret").write_text("a secret")
    Path("generated/ünï_torch.py").symlink_to("../secret")
    assert run(*command, "ünï.yaml", "-b", "torch") == 2
    said = capsys.readouterr()
    assert said.err.endswith(
        "Error: generated/ünï_torch.py is a link that leads out of generated; archc neither shows"
        " nor replaces what is there.\n"
    )
    assert "a secret" not in said.out
    assert Path("secret").read_text() == "a secret"
    shutil.move("generated", "elsewhere")
    Path("generated").symlink_to("elsewhere")  # the folder itself may be anywhere
    Path("elsewhere/ünï_torch.py").unlink()
    assert run("build", "ünï.yaml", "-b", "torch") == 0


def test_names_of_files_as_long_as_can_be(capsys: Any) -> None:
    name = "n" * 246
    Path(f"{name}.yaml").write_text(SPEC, encoding="utf-8")
    assert run("build", f"{name}.yaml", "-b", "torch") == 0
    assert Path(f"generated/{name}_torch.py").exists()
    Path(f"{name}n.yaml").write_text(SPEC, encoding="utf-8")
    capsys.readouterr()
    assert run("build", f"{name}n.yaml", "-b", "torch") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Error: `{'n' * 57}...` would be a name of 256 bytes, and a file's has at most 255; give"
        " the spec's file a shorter name, or print with --stdout."
    )
    assert run("build", f"{name}n.yaml", "-b", "torch", "--stdout") == 0
