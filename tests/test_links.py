"""Files that a spec may link to. The spec may come from anyone; what is on the disk may not."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import archc
from archc.compiler.language.problems import SpecError, quote
from archc.compiler.spec.load import SHIPPED

SECRET = "swordfish"
LIBRARY = """\
archc: 1
blocks:
  own:
    steps:
      - y: conv2d(x, 4, kernel=1)
"""
OUTSIDE = "it lies outside of the spec's folder and project"
OUT_OF_REACH = (OUTSIDE, "copy it there, or allow the folder that it lies in with `--include`")


def network(folder: Path, use: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "net.yaml"
    path.write_text(
        f"archc: 1\nname: Net\nuse: ['{use}']\ninput: {{channels: 3, height: 8, width: 8}}\n"
        "network: [{block: own}]\n"
    )
    return path


def said(path: Path, **given: object) -> str:
    with pytest.raises(SpecError) as raised:
        archc.load(path, **given)  # type: ignore[arg-type]
    return str(raised.value)


def message(use: str, code: str, why: str, hint: str) -> str:
    return (
        f"{code} cannot use {quote(use)}: {why}\n    3 | use: ['{use}']\n"
        f"      |       {'^' * (len(use) + 2)}\n      = help: {hint}"
    )


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside that of the spec, with a library, a secret, and a secret that looks like a
    spec."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "blocks.yaml").write_text(LIBRARY)
    (folder / "env").write_text(f"TOKEN={SECRET}\n")
    (folder / "settings.yaml").write_text(f"token: {SECRET}\nhosts: [a, b\n")
    return folder


def test_a_file_outside_is_out_of_reach(tmp_path: Path, outside: Path) -> None:
    for use in (
        "../outside/env",
        str(outside / "env"),
        "../outside/none",
        "../outside/blocks.yaml",
    ):
        path = network(tmp_path / "nets", use)
        assert said(path) == f"{path}:3:7: " + message(use, "E018", *OUT_OF_REACH)


def test_a_link_of_the_file_system_leads_nowhere_else(tmp_path: Path, outside: Path) -> None:
    path = network(tmp_path / "nets", "link.yaml")
    os.symlink(outside / "blocks.yaml", path.parent / "link.yaml")
    assert said(path) == f"{path}:3:7: " + message("link.yaml", "E018", *OUT_OF_REACH)
    os.symlink(outside, path.parent / "folder")
    path = network(tmp_path / "nets", "folder/blocks.yaml")
    assert OUTSIDE in said(path)


def test_what_a_library_uses_is_out_of_reach_too(tmp_path: Path, outside: Path) -> None:
    path = network(tmp_path / "nets", "mine.yaml")
    (path.parent / "mine.yaml").write_text("archc: 1\nuse: [../outside/env]\n")
    assert said(path).startswith(f"{path.parent / 'mine.yaml'}:2:7: E018 cannot use")
    assert SECRET not in said(path)


def test_a_base_is_out_of_reach_too(tmp_path: Path, outside: Path) -> None:
    path = tmp_path / "nets" / "net.yaml"
    path.parent.mkdir()
    path.write_text("archc: 1\nextends: ../outside/env\n")
    assert f"E018 cannot extend `../outside/env`: {OUTSIDE}" in said(path)


@pytest.mark.parametrize("marker", ["pyproject.toml", "archc.toml", ".git"])
def test_a_project_is_within_reach(marker: str, tmp_path: Path, outside: Path) -> None:
    path = network(tmp_path / "nets" / "mine", "../../outside/blocks.yaml")
    (tmp_path / marker).touch()
    assert archc.load(path).output_shape == (4, 8, 8)


def test_the_nearest_project_counts(tmp_path: Path, outside: Path) -> None:
    path = network(tmp_path / "nets" / "mine", "../../outside/blocks.yaml")
    (tmp_path / ".git").mkdir()
    (tmp_path / "nets" / "pyproject.toml").touch()
    assert OUTSIDE in said(path)


def test_all_of_a_persons_files_are_no_project(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network(tmp_path / "nets", "../outside/blocks.yaml")
    (tmp_path / ".git").mkdir()
    assert archc.load(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert OUTSIDE in said(path)


def test_an_included_folder_is_within_reach(tmp_path: Path, outside: Path) -> None:
    path = network(tmp_path / "nets", "../outside/blocks.yaml")
    for include in (outside, [outside], str(outside), [tmp_path / "none", str(outside)]):
        assert archc.load(path, include=include).output_shape == (4, 8, 8)  # type: ignore[arg-type]
    assert OUTSIDE in said(path, include=tmp_path / "out")  # a name that begins like it
    assert OUTSIDE in said(path)


def test_shipped_specs_are_within_reach_by_their_paths(tmp_path: Path) -> None:
    path = network(tmp_path / "nets", str(SHIPPED / "blocks" / "mobilenet.yaml"))
    assert "unknown block or op `own`" in said(path)


def test_a_file_beside_a_spec_wins_over_a_shipped_one_of_its_name(tmp_path: Path) -> None:
    path = network(tmp_path, "blocks/mobilenet.yaml")
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "mobilenet.yaml").write_text(LIBRARY)
    assert archc.load(path).output_shape == (4, 8, 8)


def test_what_is_no_spec_is_not_quoted(tmp_path: Path, outside: Path) -> None:
    for use in ("env", "settings.yaml"):
        path = network(outside, use)
        expected = message(use, "E018", "it is no spec", "a spec starts with `archc: 1`")
        assert said(path) == f"{path}:3:7: {expected}"


def test_a_spec_that_is_a_link_shows_nothing_from_elsewhere(tmp_path: Path, outside: Path) -> None:
    """Whoever checks all specs of a folder names links that others put there."""
    path = network(tmp_path / "nets", "mine.yaml").with_name("link.yaml")
    (outside / "environ").write_text(f"PATH=/bin\0TOKEN={SECRET}\0")
    for target in ("env", "settings.yaml", "environ"):
        path.unlink(missing_ok=True)
        path.symlink_to(outside / target)
        expected = "this is a link out of its folder and project, and to no spec"
        assert said(path) == (
            f"{path}:1:1: E018 {expected}\n      = help: a spec starts with `archc: 1`"
        )
    path.unlink()
    path.symlink_to(outside / "blocks.yaml")
    assert said(path) == f"{path}:1:1: E016 this is a block library, not a network\n" + (
        "    1 | archc: 1\n      | ^\n      = help: name a file that has a `network`"
    )
    path = tmp_path / "outside" / "mine.yaml"  # a person's own file is quoted
    path.write_text("name: Net\n")
    assert "E011 the key `archc` is missing\n    1 | name: Net" in said(path)


@pytest.mark.parametrize(
    "text", ["archc: 1\nblocks: [\n", "{archc: 1, blocks: 3}", "archc: 2\n", "archc: 1\n\0\n"]
)
def test_a_broken_library_is_quoted(text: str, tmp_path: Path) -> None:
    path = network(tmp_path, "mine.yaml")
    (tmp_path / "mine.yaml").write_text(text)
    assert said(path).startswith(f"{tmp_path / 'mine.yaml'}:")


def test_bytes_of_no_text_are_not_told(tmp_path: Path) -> None:
    path = network(tmp_path, "key.bin")
    (tmp_path / "key.bin").write_bytes(b"\xf6\xf7")
    expected = message("key.bin", "E002", "it is not UTF-8 text", "save the file as UTF-8")
    assert said(path) == f"{path}:3:7: {expected}"


def _socket(path: Path) -> Iterator[None]:
    folder = os.getcwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # the name of a socket is short
        made.bind(path.name)
        os.chdir(folder)
        yield


def _pipe(path: Path) -> Iterator[None]:
    os.mkfifo(path)
    yield


def _device(path: Path) -> Iterator[None]:
    os.symlink("/dev/zero", path)
    yield


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files here")
@pytest.mark.parametrize("make", [_socket, _pipe, _device])
def test_what_is_no_file_is_not_opened(
    make: Callable[[Path], Iterator[None]], tmp_path: Path
) -> None:
    """A pipe that nothing writes to would wait for ever; where the device is, is out of reach."""
    path = network(tmp_path, "strange")
    for _ in make(tmp_path / "strange"):
        said_ = said(path, include="/dev")
        expected = message("strange", "E018", "it is no regular file", "name a spec file")
        assert said_ == f"{path}:3:7: {expected}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_that_a_person_names_is_read(tmp_path: Path) -> None:
    text = network(tmp_path, "blocks.yaml").read_text()
    (tmp_path / "blocks.yaml").write_text(LIBRARY)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=[text])
    writer.start()
    assert archc.load(tmp_path / "pipe").output_shape == (4, 8, 8)
    writer.join()
