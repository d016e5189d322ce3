"""A built wheel holds the folders' modules, templates and specs: all of them, and nothing else."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "src/archc": "archc",
    "compiler": "archc/compiler",
    "backends": "archc/backends",
    "specs": "archc/specs",
}


def shipped(path: Path) -> bool:
    return path.is_file() and (path.suffix in {".py", ".jinja", ".yaml"} or path.name == "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist's wheel. Built from a copy, as building leaves files in the source folder."""
    copy = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((copy / "dist").glob("*.whl"))


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))
        return archive.read(member).decode()


def test_the_wheel_holds_exactly_the_source_folders(wheel: Path) -> None:
    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if shipped(path)
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {n for n in names if ".dist-info/" not in n} == expected


def test_every_backend_folder_is_an_entry_point(wheel: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(metadata(wheel, "entry_points.txt"))
    modules = (ROOT / "backends").glob("*/__init__.py")
    backends = [path.parent.name for path in modules if "BACKEND" in path.read_text()]
    assert dict(parser["archc.backends"]) == {n: f"archc.backends.{n}:BACKEND" for n in backends}
    assert parser["console_scripts"]["archc"] == "archc.__main__:main"


def test_the_unpacked_wheel_runs_on_its_own(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import archc.__main__, archc.backends, archc.compiler, archc.specs\n"
        "for module in archc, archc.backends, archc.compiler, archc.specs: print(module.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(tmp_path) for line in done.stdout.splitlines())
