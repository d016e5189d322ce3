"""What docs/editors.md says to put into settings works: in Neovim, where one is new enough."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "editors.md").read_text(encoding="utf-8")
SPEC = """\
archc: 1
name: Net
use: [blocks/mobilenet.yaml]
input: {channels: 3, height: 32, width: 32}
network:
  - {block: conv_bn, name: stem, out: 16, kernel: 3, act: hard_swich, stride: 2}
  - {block: global_avg_pool2d, name: pool}
"""
ASK = """\
local client
vim.wait(60000, function()
  client = vim.lsp.get_clients({ bufnr = 0, name = "archc" })[1]
  return client and #vim.diagnostic.get(0) > 0
end, 50)
local said = vim.diagnostic.get(0)[1]
vim.api.nvim_win_set_cursor(0, { 6, 14 })
local where = vim.lsp.util.make_position_params(0, client.offset_encoding)
local hover = client:request_sync("textDocument/hover", where, 60000, 0)
local found = { line = said.lnum, code = said.code, message = said.message }
found.hover = hover.result.contents.value
io.stdout:write(vim.json.encode(found))
"""


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def neovim() -> bool:
    if shutil.which("nvim") is None:
        return False
    said = subprocess.run(["nvim", "--version"], capture_output=True, text=True).stdout
    found = re.match(r"NVIM v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 11)


@pytest.mark.skipif(not neovim(), reason="no Neovim of 0.11 or newer")
def test_neovim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "archc").write_text(f'#!/bin/sh\nexec {sys.executable} -m archc "$@"\n')
    (folder / "archc").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (tmp_path / "init.lua").write_text("".join(fences("lua")))
    (tmp_path / "ask.lua").write_text(ASK)
    (tmp_path / "net.yaml").write_text(SPEC)
    command = [
        "nvim",
        "--headless",
        "--clean",
        "-u",
        "init.lua",
        "net.yaml",
        "-c",
        "luafile ask.lua",
        "-c",
        "qa!",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout)
    assert (found["line"], found["code"]) == (5, "E031")
    assert "unknown activation `hard_swich`" in found["message"]
    assert "conv_bn" in found["hover"]


def test_settings_of_visual_studio_code() -> None:
    client, schema = map(json.loads, fences("json"))
    assert client == {
        "glspc.server.command": "archc",
        "glspc.server.commandArguments": ["lsp"],
        "glspc.server.languageId": ["yaml"],
    }
    assert set(schema) == {"yaml.schemas"}
    assert schema["yaml.schemas"]["./archc.schema.json"] == [
        "specs/**/*.yaml",
        "recipes/**/*.yaml",
    ]
