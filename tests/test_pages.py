"""The tutorial and the cookbook, followed word by word in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pages import Reader, commands, pattern, plain

FOLLOWED = ("tutorial.md", "cookbook.md", "checking.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_is_true(page: str, tmp_path: Path) -> None:
    Reader(tmp_path).follow(page)


def test_a_reader_notices_what_is_not_true(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.compare("echo 'a 6e-07 b'", "a 3.1e-08 b\n")
    reader.compare("printf '1\\n2\\n3\\n'", "...\n3\n")
    with pytest.raises(AssertionError, match="the page has"):
        reader.compare("echo 4 parameters", "5 parameters\n")
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "x.py").write_text("a = 1\nb = 2\n")
    reader.file(tmp_path / "generated" / "x.py", "", "a = 1\n# ...\nb = 2\n")
    with pytest.raises(AssertionError, match="has no"):
        reader.file(tmp_path / "generated" / "x.py", "", "a = 2\n")


def test_commands_of_a_fence() -> None:
    assert [*commands("$ a \\\n  b\nsaid\n$ c\n")] == [("a   b", "said\n"), ("c", "")]
    assert plain("x  \n(act_4 at 32x32)") == "x\n_"
    assert pattern("a...b") == "a.*b"
