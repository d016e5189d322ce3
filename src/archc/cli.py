"""The command line. Results go to stdout, all else to stderr.

Exit codes: 0 all is well, 1 a check failed, 2 the input or the usage is wrong.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from archc import backends, streams
from archc.api import Net, load_with
from archc.backends import BackendError, SourceFile, WeightsError
from archc.compiler.language.problems import Problem, SpecError, printable, quote, render
from archc.options import BackendChoice, working
from archc.options import include as _include
from archc.options import settings as _settings
from archc.options import specs as _specs
from archc.options import strict as _strict
from archc.streams import colour

if TYPE_CHECKING:
    from archc.live.check import Report


class Commands(click.Group):
    """Commands that stand in modules of their own are imported when they are asked for."""

    elsewhere = MappingProxyType(
        {"verify": "archc.weights.commands", "weights": "archc.weights.commands"}
    )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.elsewhere:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self.elsewhere[cmd_name]), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="archc-compiler", prog_name="archc")
def cli() -> None:
    """Compile a network's YAML block table to PyTorch and to Keras.

    A spec is checked and counted without any framework; `build` writes readable source for each
    framework, and `check` proves the live models equal to the spec and to each other.
    """


@cli.command()
@_specs
@click.option("--backend", "-b", type=BackendChoice(), required=True, help="What to write for.")
@click.option(
    "--out",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("generated"),
    show_default=True,
    help="The folder to write into.",
)
@_settings
@_include
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the source; write no file.")
@click.option("--check", is_flag=True, help="Write nothing; fail with a diff if a file is stale.")
@_strict
def build(
    specs: Sequence[str],
    backend: list[str],
    out: Path,
    settings: Sequence[tuple[str, str]],
    include: Sequence[Path],
    to_stdout: bool,
    check: bool,
    strict: bool,
) -> None:
    """Write each SPEC as <stem>_<backend>.py.

    \b
    Examples:
      archc build specs/mnv3_large.yaml --backend torch
      archc build specs/*.yaml --backend all --check
      archc build specs/mnv3_large.yaml -b keras --set alpha=0.75 --stdout
    """
    if check and to_stdout:
        raise click.UsageError("--check and --stdout cannot be combined.")
    nets = _load(specs, settings, include, strict)
    emitted = [(net, net.source_file(name)) for net in nets for name in backend]
    _refuse_clashes(emitted)
    if to_stdout:
        for _, source in emitted:
            click.echo(source.text.encode("utf-8"), nl=False)
        return
    for _, source in emitted:
        _refuse_place(out, source.name)
    if check:
        stale = [_diff(out, source) for _, source in emitted]
        sys.exit(1 if any(stale) else 0)
    else:
        for net, source in emitted:
            _report(net, out / source.name, _write(out / source.name, source.text))


def _load(
    specs: Sequence[str],
    settings: Sequence[tuple[str, str]],
    include: Sequence[Path],
    strict: bool = False,
) -> list[Net]:
    """All networks, or every problem of all of them and no network. Says what it warns of, which
    is a problem too where it is `strict`."""
    nets: list[Net] = []
    problems: list[Problem] = []
    more = 0
    for spec in specs:
        try:
            nets.append(load_with(spec, dict(settings), include))
        except SpecError as error:
            problems.extend(error.problems)
            more += error.more
    if problems:
        raise SpecError(problems, more)
    warnings = [warning for net in nets for warning in net.warnings]
    if warnings and strict:
        raise SpecError(warnings)
    _complain(SpecError(warnings))
    for net in nets:
        for note in net.notes:
            click.echo(f"{_shown(net.spec)}: note: {note}", err=True)
    return nets


def _refuse_clashes(emitted: Sequence[tuple[Net, SourceFile]]) -> None:
    names: dict[str, Path] = {}
    for net, source in emitted:
        if names.setdefault(source.name, net.spec) != net.spec:
            raise click.UsageError(
                f"{names[source.name]} and {net.spec} would both be written to {source.name}."
            )


LONGEST_NAME = 255
"""Bytes of a file's name, on every system that archc runs on."""


def _refuse_place(out: Path, name: str) -> None:
    """Refuses what cannot be written, and what would show or replace a file elsewhere."""
    length = len(os.fsencode(name))
    if length > LONGEST_NAME:
        raise click.UsageError(
            f"{quote(name)} would be a name of {length} bytes, and a file's has at most"
            f" {LONGEST_NAME}; give the spec's file a shorter name, or print with --stdout."
        )
    if not Path(os.path.realpath(out / name)).is_relative_to(os.path.realpath(out)):
        raise click.UsageError(
            f"{_shown(out / name)} is a link that leads out of {_shown(out)}; archc neither shows"
            " nor replaces what is there."
        )


def _read(path: Path) -> bytes | None:
    """What is in the file, or None where there is none. Raises `OSError`."""
    from archc.replacing import require_regular

    try:
        require_regular(path)
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _diff(out: Path, source: SourceFile) -> bool:
    """Prints how the file differs from what would be written; whether it does."""
    path = out / source.name
    old = _read(path)
    if old == source.text.encode("utf-8"):
        return False
    found = (old or b"").decode("utf-8", errors="replace")
    before, after = (text.splitlines(keepends=True) for text in (found, source.text))
    label = _shown(path) if old is not None else "/dev/null"
    for line in difflib.unified_diff(before, after, label, _shown(path)):
        click.echo(_coloured(_safe(line)), nl=False, color=colour())
    return True


def _shown(path: Path) -> str:
    """A path as it is printed: a file may be called anything."""
    return printable(str(path))


def _safe(text: str) -> str:
    """`text` without what moves a terminal's cursor, but for tabs and line breaks."""
    return "".join(c if c in "\t\n" else printable(c) for c in text)


def _coloured(line: str) -> str:
    foreground = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=foreground) if foreground else line


def _write(path: Path, text: str) -> str:
    """Replaces the file in one step; what became of it."""
    old = _read(path)
    if old == text.encode("utf-8"):
        return "unchanged"
    from archc.replacing import replacing

    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
    return "created" if old is None else "changed"


def _report(net: Net, path: Path, fate: str) -> None:
    counts = f"{net.params.trainable:,} parameters, {net.macs:,} MACs"
    click.echo(f"{_shown(path)}: {fate}, {counts}")


@cli.command()
@_specs
@click.option("--backend", "-b", type=BackendChoice(), help="Also build live models and compare.")
@click.option("--numeric", is_flag=True, help="Compare numbers from random weights too.")
@_settings
@_include
@_strict
def check(
    specs: Sequence[str],
    backend: list[str] | None,
    numeric: bool,
    settings: Sequence[tuple[str, str]],
    include: Sequence[Path],
    strict: bool,
) -> None:
    """Check each SPEC, or its live models against it.

    Without --backend this needs no framework. With it, each model's arrays and output shapes are
    compared with what archc says of them, layer by layer. With --numeric the backends (all of them,
    if none is named) get the same random weights and batch-norm statistics, and what each layer
    gives is compared with what the definitions of the ops give, computed in float64 without any
    framework: at the declared size, and at an odd one. The first layer that differs is named.

    What is legal and probably a mistake is warned of; `# archc: allow W002` at the end of a line
    says that it is meant.
    """
    nets = _load(specs, settings, include, strict)
    wanted = backend or (backends.names() if numeric else [])
    failed = False
    for net in nets:
        report = _report_of(net, wanted, numeric) if wanted else None
        differences = report.differences if report else []
        for difference in differences:
            click.echo(f"{_shown(net.spec)}: {_safe(difference)}", err=True)
        failed = failed or bool(differences)
        if not differences:
            said = f" agrees with {' and '.join(wanted)}" if wanted else ": fine"
            click.echo(f"{_shown(net.spec)}{said}, {net.params.trainable:,} parameters")
        for line in report.lines() if report else ():
            click.echo(f"  {_safe(line)}")
    sys.exit(1 if failed else 0)


def _report_of(net: Net, wanted: list[str], numeric: bool) -> Report:
    for name in wanted:
        net.live(name)  # says what is not installed before anything else asks for it
    from archc.live.check import compare

    with working(f"{net.spec.name}: ") as step:
        return compare(net, wanted, numeric, step)


@cli.command()
@click.argument("spec", type=click.Path())
@_settings
@_include
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--blocks", is_flag=True, help="One line for each row of the spec, not for each op.")
def summary(
    spec: str,
    settings: Sequence[tuple[str, str]],
    include: Sequence[Path],
    as_json: bool,
    blocks: bool,
) -> None:
    """Print the layers of SPEC with their counts.

    Shapes, parameters and MACs are those of one image.
    """
    from archc import summary as report

    (net,) = _load([spec], settings, include)
    if as_json:
        click.echo(json.dumps(report.as_json(net), indent=2))
    else:
        report.print_table(net, blocks)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@_settings
@_include
def resolve(spec: Path, settings: Sequence[tuple[str, str]], include: Sequence[Path]) -> None:
    """Print SPEC as one flat spec, with every number worked out.

    It needs no other file, and comes to the same network. Comments say which channels were
    rounded, and from what.

    \b
    Examples:
      archc resolve specs/mnv3_large_minimalistic.yaml
      archc resolve specs/mnv3_large.yaml --set alpha=0.75
    """
    from archc.compiler.printed.resolve import resolve as resolved

    click.echo(resolved(spec, dict(settings), include).encode("utf-8"), nl=False)


@cli.command()
@click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path(path_type=Path))
@_include
def schema(specs: Sequence[Path], include: Sequence[Path]) -> None:
    """Print the JSON Schema of a spec, for editors.

    It knows the blocks that come with archc, and those of each SPEC or library named.
    """
    from archc.compiler.printed.schema import blocks_of, json_schema, shipped_blocks

    blocks = {**shipped_blocks(), **blocks_of(specs, include)}
    click.echo(json.dumps(json_schema(blocks), indent=2))


@cli.group()
def plot() -> None:
    """Draw pictures. Needs matplotlib."""


@plot.command()
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, a .png or an .svg.",
)
def activations(out: Path) -> None:
    """Draw the curve of every activation.

    \b
    Example:
      archc plot activations -o activations.svg
    """
    if out.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{str(out)!r} ends in neither .png nor .svg.", param_hint="-o")
    from archc.replacing import replacing

    try:
        from archc.plot import activations as draw

        with replacing(out) as temporary:
            draw(temporary, out.suffix[1:])
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; it comes with archc's extra `plot`."
        raise click.ClickException(message) from None
    click.echo(_shown(out))


def _complain(error: SpecError) -> None:
    for problem in error.problems:
        place, _, rest = render(problem).partition(": ")
        first, _, excerpt = rest.partition("\n")
        code, _, message = first.partition(f"{problem.code} ")
        colour_of = {"error": "red", "warning": "yellow"}[problem.severity]
        said = click.style(f"{code}{problem.code}", fg=colour_of, bold=True)
        styled = f"{click.style(place, bold=True)}: {said} {message}"
        click.echo(f"{styled}\n{excerpt}" if excerpt else styled, err=True, color=colour())
    for line in error.rest():
        click.echo(line, err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; no problem of the user's ends in a traceback.

    `arguments` default to the process's own. Always raises `SystemExit`, but where all is well.
    """
    streams.prepare()
    code = 2
    with streams.cleaning_up(), suppress(BrokenPipeError):  # of stderr: nobody reads what it says
        code = _run(arguments)
    if code:
        sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code, after everything is said that is to be."""
    try:
        try:
            cli.main(arguments, prog_name="archc", standalone_mode=False)
        finally:
            sys.stdout.flush()
        return 0
    except SpecError as error:
        _complain(error)
    except (BackendError, WeightsError) as error:
        click.echo(f"archc: {_safe(str(error))}", err=True)
    except click.ClickException as error:
        vars(error).update(message=printable(error.message))
        error.show()
    except (click.Abort, KeyboardInterrupt):
        click.echo("archc: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader has gone, as in `archc summary ... | head`; what is left has nowhere to go.
        streams.abandon()
        return 1
    except OSError as error:
        place = f"{printable(str(error.filename))}: " if error.filename else ""
        click.echo(f"archc: {place}{error.strerror or error}", err=True)
        streams.abandon()
    return 2
