"""`archc init`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import click

from archc import backends
from archc import project as projects
from archc.api import Net, load
from archc.backends import Name
from archc.commands import options
from archc.commands.streams import shown
from archc.compiler.language.names import check_model_name
from archc.compiler.language.problems import Invalid
from archc.compiler.spec.folders import SHIPPED, near, networks
from archc.weights.replacing import replacing

DISTRIBUTION = "archc-compiler"
HOOKS = ".pre-commit-config.yaml"

PROJECT = """\
# What `archc build` and `archc check` are about, wherever below this folder they are run.
specs = ["specs/*.yaml"]
backends = [{backends}]
output = "generated"
strict = true

# How they are trained, besides: `archc list recipes` shows those that there are.
#
# recipes = ["recipes/*.yaml"]

# A spec with other settings, and files of its own:
#
# [variants.{name}_small]
# spec = "specs/{name}.yaml"
# set = {{{setting}}}
"""

SPEC = """\
archc: 1
extends: {base}
name: {model}
doc: {model}, which extends {base}
{settings}
# `archc show {stem}` prints what it extends. What differs in its rows stands under `change`.
"""

WORKFLOW = """\
name: archc

on: [push, pull_request]

jobs:
  generated:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      # The same version writes the same bytes.
      - run: pip install {distribution}
      - run: archc check
      - run: archc build --check
"""

WORKFLOW_OF_ACTION = """\
name: archc

on: [push, pull_request]

permissions:
  contents: read
  pull-requests: write # for the comment

jobs:
  archc:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      # It brings its own archc: only the version that you build with writes the same bytes.
      - uses: {action}
"""

HOOK = """\
repos:
  - repo: local
    hooks:
      - id: archc
        name: archc build --check
        entry: archc build --check
        language: python
        additional_dependencies: [{distribution}]
        files: ^(archc\\.toml|(specs|recipes|generated)/.*)$
        pass_filenames: false
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--extends",
    "base",
    metavar="NAME",
    default="mnv3_small",
    show_default=True,
    help="The shipped spec to start from.",
)
@click.option(
    "--name", default="my_net", show_default=True, help="What the new spec's file is called."
)
@options.backend("What to write for.", every=backends.sources, default=["all"])
@click.option(
    "--action",
    metavar="OWNER/REPO@REF",
    help="Where GitHub finds archc's action: the workflow uses it, and comments pull requests.",
)
def init(folder: Path, base: str, name: str, backend: list[Name], action: str | None) -> None:
    """Begin a project in FOLDER: here, if none is named.

    Written are archc.toml, a spec that extends a shipped one (see archc list), a workflow for CI
    and an entry for pre-commit, which fail where what is generated is not what the specs say. No
    file is replaced.

    \b
    Examples:
      archc init
      archc init my_project --extends resnet50 -b torch
      archc init --action me/archc@v0.1.0
    """
    _refuse_twice(folder)
    _refuse_name(name)
    _refuse_action(action)
    for path, text in _files(_base(base), name, backend, action).items():
        _write(folder / path, text)
    click.echo("next: `archc build` writes the source, for you to commit", err=True)


def _refuse_twice(folder: Path) -> None:
    for name in (projects.OWN, projects.SHARED):
        file = folder / name
        if file.is_file() and (name == projects.OWN or projects.read(file)):
            raise click.UsageError(f"{shown(file)} describes a project already.")


def _refuse_name(name: str) -> None:
    """Refuses what is no name of a file and, in capitals, of a network."""
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        message = f"{name!r} is no name such as my_net: small letters, digits and underscores."
        raise click.BadParameter(message, param_hint="--name")
    try:
        check_model_name(_model(name))
    except Invalid as invalid:
        raise click.BadParameter(f"{invalid.message}.", param_hint="--name") from None


def _refuse_action(action: str | None) -> None:
    """Refuses what GitHub does not take for an action of some repository."""
    if action is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+(/[\w./-]+)?@[\w./-]+", action):
        message = f"{action!r} is not of the form OWNER/REPO@REF."
        raise click.BadParameter(message, param_hint="--action")


def _model(name: str) -> str:
    """`my_net` -> `MyNet`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _base(name: str) -> Net:
    stem = name.removesuffix(".yaml")
    if stem not in networks():
        hint = near(name) or "archc list networks shows those that there are."
        raise click.BadParameter(f"{name!r} is no shipped spec; {hint}", param_hint="--extends")
    return load(SHIPPED / f"{stem}.yaml")


def _files(base: Net, name: str, names: list[Name], action: str | None) -> Mapping[str, str]:
    """What is written, by path from the project's folder."""
    known = {parameter.name for parameter in base.program.parameters}
    settings = "set: {classes: 10}\n" if "classes" in known else ""
    setting = "alpha = 0.5" if "alpha" in known else "classes = 5" if settings else ""
    said = {
        "name": name,
        "model": _model(name),
        "base": base.spec.name,
        "stem": base.stem,
        "settings": settings,
        "setting": setting,
        "backends": ", ".join(f'"{each}"' for each in names),
        "distribution": f"{DISTRIBUTION}=={version(DISTRIBUTION)}",
        "action": action,
    }
    files = {
        projects.OWN: PROJECT,
        f"specs/{name}.yaml": SPEC,
        ".github/workflows/archc.yml": WORKFLOW if action is None else WORKFLOW_OF_ACTION,
        HOOKS: HOOK,
    }
    return {path: text.format(**said) for path, text in files.items()}


def _write(path: Path, text: str) -> None:
    """Writes a new file, and says what became of it; one that is there stays."""
    if path.exists():
        click.echo(f"{shown(path)}: left as it is")
        if path.name == HOOKS:
            click.echo(f"to add there:\n{text.partition(chr(10))[2]}", nl=False, err=True)
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(f"{shown(path)}: created")
