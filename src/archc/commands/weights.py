"""`archc weights`."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archc import backends
from archc.api import Net, dims, load_with
from archc.backends.storage import DTYPE, Tensor, WeightsError, first, tensors
from archc.commands import options, streams
from archc.commands.streams import printable
from archc.compiler.ir import analysis

if TYPE_CHECKING:
    from archc.weights.convert import Report
    from archc.weights.finding import Found

T = TypeVar("T")
FILE = click.Path(path_type=Path)

spec_option = click.option(
    "--spec", required=True, type=click.Path(), help="The spec of the network."
)
partial_option = click.option(
    "--partial", is_flag=True, help="Take what fits, and leave the others at fresh values."
)
key_option = click.option("--key", help="Under which key of the file the weights are.")
force_option = click.option("--force", is_flag=True, help="Replace DST if it exists.")


@contextmanager
def installed() -> Iterator[None]:
    """Says what is not installed in a user's words."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"this needs {error.name}, which comes with archc's extra `weights`"
        raise WeightsError(message) from error


@click.group()
def weights() -> None:
    """List, convert, import and fold weights.

    Files are .safetensors (neutral: canonical names and layouts), .pt and .pth (a PyTorch
    state_dict), .weights.h5 and .keras.
    """


@weights.command("list")
@options.spec
@options.backend("All, if none is named.", default=["all"])
@options.as_json
@options.network
@options.inference
def list_(
    spec: str, backend: list[str], as_json: bool, given: options.Given, inference: bool
) -> None:
    """Print every tensor of SPEC.

    Name, role, shape and layout, here and in each backend.
    """
    net = load_with(spec, *given, inference=inference)
    entries = list(_entries(net, backend))
    if as_json:
        said = {"name": net.name, "params": net.params._asdict(), "tensors": entries}
        click.echo(json.dumps(said, indent=2))
    else:
        _print_table(net, backend, entries)


def _entries(net: Net, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every tensor in order of evaluation, as plain data: canonically, and in each backend named.

    A layout has a letter for each axis (O outputs, I inputs, H height, W width, C channels,
    M multiplier).
    """
    storages = {name: tensors(net.network, backends.get(name).storage()) for name in names}
    for path, layer, weight in analysis.weights(net.network):
        yield {
            "path": path,
            "role": weight.role,
            "op": layer.op,
            "shape": weight.shape,
            "dtype": DTYPE,
            "trainable": weight.trainable,
            "backends": {name: _side(next(theirs)) for name, theirs in storages.items()},
        }


def _side(tensor: Tensor) -> dict[str, Any]:
    layout = tensor.layout
    return {"name": tensor.name, "shape": tensor.shape, "layout": layout, "dtype": DTYPE}


def _print_table(net: Net, names: Sequence[str], entries: Sequence[dict[str, Any]]) -> None:
    columns = (column for name in names for column in (name, "layout", ""))
    table = streams.table(("tensor", "role", "shape", *columns))
    for entry in entries:
        sides = (entry["backends"][name] for name in names)
        cells = (
            cell for side in sides for cell in (side["name"], side["layout"], dims(side["shape"]))
        )
        table.add_row(entry["path"], entry["role"], dims(entry["shape"]), *cells)
    console = streams.console(200)
    console.print(table)
    console.print(f"\n{net.name}: {len(entries):,} tensors, {net.params.total:,} numbers, {DTYPE}")


@weights.command()
@click.argument("source", metavar="SRC", type=FILE)
@click.argument("target", metavar="DST", type=FILE)
@spec_option
@options.network
@click.option(
    "--from-spec",
    type=click.Path(),
    help="The spec that SRC is for, if it is another; REV:FILE for one of a revision in git.",
)
@partial_option
@key_option
@force_option
@installed()
def convert(
    source: Path,
    target: Path,
    spec: str,
    given: options.Given,
    from_spec: str | None,
    partial: bool,
    key: str | None,
    force: bool,
) -> None:
    """Write the weights in SRC to DST.

    Each is in the format that its ending names. Every tensor of the spec has to be in SRC, in its
    shape, and no other; with --partial, what does not fit is listed and left at its fresh value.
    DST says which network it was written for; of a SRC that does not, the settings at hand are
    assumed, with a warning.

    With --from-spec, SRC is for another spec, with the settings that SRC says: every tensor whose
    row and shape survive is carried over, and the others are listed and left at fresh values. Rows
    are paired as a diff pairs lines, and not by number.

    \b
    Examples:
      archc weights convert model.pt model.weights.h5 --spec specs/mnv3_large.yaml
      archc weights convert model.keras model.safetensors --spec my_net.yaml --set alpha=0.75
      archc weights convert model.pt ten.pt --spec my_net.yaml --set classes=10 --partial
      archc weights convert old.pt new.pt --spec new.yaml --from-spec old.yaml
    """
    from archc.weights import moving
    from archc.weights.convert import Take, convert

    _refuse_existing(target, force)
    net, take = load_with(spec, *given), Take(partial, key)
    if from_spec:
        old = moving.former(from_spec, source, net, given.include, take)
        done = moving.convert(old, net, source, target, progress, take)
    else:
        old, done = net, convert(net, source, target, progress, take)
    if not done.noted:
        say_assumed(source, old, () if from_spec else given.settings)
    report(source, target, done)


@weights.command()
@click.argument("source", metavar="SRC", type=FILE)
@click.argument("target", metavar="DST", type=FILE)
@spec_option
@options.network
@key_option
@force_option
@installed()
def fold(
    source: Path, target: Path, spec: str, given: options.Given, key: str | None, force: bool
) -> None:
    """Write the weights in SRC to DST, for inference.

    SRC has the weights of the network that was trained, and DST those of the one that archc build
    --inference writes. Each is in the format that its ending names. archc verify --inference proves
    the one against the other.

    \b
    Examples:
      archc weights fold trained.safetensors folded.safetensors --spec specs/mnv3_large.yaml
      archc weights fold trained.pt folded.weights.h5 --spec my_net.yaml --set classes=10
    """
    from archc.weights.convert import Take
    from archc.weights.folding import fold

    _refuse_existing(target, force)
    net = load_with(spec, *given)
    done = fold(net, source, target, progress, Take(key=key))
    if not done.noted:
        say_assumed(source, net, given.settings)
    report(source, target, done)


@weights.command("import")
@click.argument("source")
@click.argument("paths", metavar="[FILE] DST", nargs=-1, required=True, type=FILE)
@spec_option
@options.network
@options.rules
@click.option("--variant", type=FILE, metavar="YAML", help="Write the spec that fits, too.")
@partial_option
@key_option
@force_option
@installed()
def import_(
    source: str,
    paths: Sequence[Path],
    spec: str,
    given: options.Given,
    rules: Sequence[Path],
    variant: Path | None,
    partial: bool,
    key: str | None,
    force: bool,
) -> None:
    """Write a published model's weights to DST.

    SOURCE is keras.applications.NAME, timm:NAME or torchvision:NAME, or one of your own rules
    (--rules, or *.yaml in a folder `weights` beside SPEC), and FILE a file of its weights; without
    FILE its own library downloads them. The parameters of the spec that its
    checkpoints need are set, and printed; a --set that says otherwise is an error. --variant writes
    a spec that extends SPEC and sets them, so that its models are those of the weights.

    \b
    Examples:
      archc weights import timm:mobilenetv3_large_100 model.pth mine.safetensors \\
        --spec specs/mnv3_large.yaml --variant mnv3_timm.yaml
      archc weights import keras.applications.MobileNetV3Large mine.pt \\
        --spec specs/mnv3_large.yaml --set alpha=0.75
    """
    from archc.weights import importing
    from archc.weights.convert import Take
    from archc.weights.rules import find, known
    from archc.weights.settings import flags, settings_of, unusual

    if len(paths) > 2:
        raise click.UsageError("At most a FILE and a DST follow the SOURCE.")
    *file, target = paths
    for written in (target, *([variant] if variant else [])):
        _refuse_existing(written, force)
    model = find(source, known(spec, rules))
    net = importing.network(spec, model, *given)
    needed = unusual(net, given.include)
    path, take = file[0] if file else None, Take(partial, key)
    with _variant(net, needed, source, variant, given) if variant else nullcontext():
        done = importing.import_(net, model, path, target, progress, take)
    report(path or Path(source), target, done, flags(settings_of(net, model.needs)))
    if variant:
        click.echo(printable(f"{variant}: build its models with archc build {variant} -b all"))
    elif not done.checked and needed:
        # A framework would load the weights into a model of other settings.
        said = "these weights give right numbers only in models made with archc build"
        _warn(target, f"{said} {spec}{flags(needed)}")


def _variant(
    net: Net, needed: Mapping[str, str], source: str, path: Path, given: options.Given
) -> AbstractContextManager[None]:
    from archc.weights import variants

    doc = f"{net.name} with the conventions of {source}"
    return variants.writing(net, needed, doc, path, given.include)


@weights.command("match")
@click.argument("source", metavar="CHECKPOINT", type=FILE)
@spec_option
@options.network
@click.option("-o", "--output", type=FILE, metavar="YAML", help="Where to; stdout without it.")
@click.option(
    "--against",
    metavar="MODEL.py:NET",
    help="The model of CHECKPOINT, which is run to solve what is ambiguous.",
)
@key_option
@click.option("--force", is_flag=True, help="Replace YAML if it exists.")
@installed()
def match_(
    source: Path,
    spec: str,
    given: options.Given,
    output: Path | None,
    against: str | None,
    key: str | None,
    force: bool,
) -> None:
    """Write rules for CHECKPOINT, by what its tensors are like.

    Its tensors are paired with those of SPEC by their shapes, their order and their names. What
    none of them tells apart is not guessed: it is listed, in a comment of the rules too, and the
    exit code is 1. With --against, the pairing is taken for which that model and SPEC's give the
    same, of the same random weights. The settings of SPEC have to be those of the checkpoint: no
    tensor tells of padding or of epsilon.

    \b
    Examples:
      archc weights match theirs.pth --spec my_net.yaml -o rules.yaml
      archc weights match theirs.h5 --spec specs/resnet50.yaml --set bias=true --set early=true
      archc weights match theirs.pth --spec my_net.yaml -o rules.yaml --against my_model.py:MyNet
      archc weights import mine:theirs theirs.pth mine.pt --spec my_net.yaml --rules rules.yaml
    """
    from archc.weights.finding import found
    from archc.weights.replacing import replacing

    if output:
        _refuse_existing(output, force)
    rules = found(load_with(spec, *given), spec, source, given.settings, key, against)
    if output:
        with replacing(output) as temporary:
            temporary.write_text(rules.text, encoding="utf-8")
    else:
        click.echo(rules.text, nl=False)
    for remark in rules.remarks:
        click.echo(printable(f"{source}: note: {remark}"), err=True)
    sys.exit(1 if _say_unmatched(source, output, rules) else 0)


def _say_unmatched(source: Path, output: Path | None, rules: Found) -> bool:
    """Says how many tensors were paired and which were not; whether any of the spec's is left."""
    from archc.weights.writing import by_layer

    pairs, ambiguous = rules.matching.pairs, rules.matching.ambiguous
    missing, surplus = rules.matching.missing, rules.matching.surplus
    said = f"{len(pairs):,} of {rules.count:,} tensors are paired"
    click.echo(printable(f"{output}: {said}" if output else f"{source}: {said}"), err=not output)
    for doubt in by_layer(ambiguous):
        what = f"{first([*doubt.ours], 4)}: any of {first([*doubt.theirs], 4)}"
        click.echo(printable(f"{source}: ambiguous: {what}; {doubt.reason}"), err=True)
    for kind, names in (("missing", missing), ("surplus", surplus)):
        if names:
            click.echo(printable(f"{source}: {kind}: {first([*names], 5)}"), err=True)
    return bool(ambiguous or missing)


@weights.command()
@click.argument("source", metavar="FILE", type=FILE)
@click.argument("model", metavar="[MODEL.py]", type=FILE, required=False)
@spec_option
@options.network
@key_option
@installed()
def check(
    source: Path, model: Path | None, spec: str, given: options.Given, key: str | None
) -> None:
    """Check that the weights in FILE are for SPEC.

    Names, shapes and types have to be those of the spec, and what FILE says of its settings and of
    what its numbers mean. With MODEL.py, a file that archc build wrote, its settings are those that
    the model was built with: then a framework may load FILE into it.

    \b
    Examples:
      archc weights check mine.pt generated/mnv3_large_torch.py --spec specs/mnv3_large.yaml
      archc weights check mine.safetensors --spec specs/mnv3_large.yaml --set padding=symmetric
    """
    from archc.weights import generated
    from archc.weights.convert import Take, says
    from archc.weights.settings import flags, unusual

    if model and given.settings:
        raise click.UsageError("MODEL.py says its settings itself; leave --set out.")
    net = generated.network(model, spec, given.include) if model else load_with(spec, *given)
    if not says(net, source, Take(key=key)):
        say_assumed(source, net, given.settings)
    of = f"{model}, which is {spec}" if model else spec
    click.echo(printable(f"{source}: for {of}{flags(unusual(net, given.include))}"))


def say_assumed(source: Path, net: Net, given: Collection[str]) -> None:
    """Warns where neither a file nor the user says what decides the numbers of a network."""
    from archc.weights.settings import assumed, flags

    if taken := assumed(net, given):
        _warn(source, f"it does not say its settings; taken for{flags(taken)}")


def _warn(path: Path, said: str) -> None:
    click.echo(printable(f"{path}: warning: {said}"), err=True)


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise click.UsageError(f"{printable(str(target))} exists already; --force replaces it.")


def report(source: Path, target: Path, done: Report, settings: str = "") -> None:
    """Says on stdout what was written, and on stderr what surprises in it."""
    for remark in done.remarks:
        click.echo(printable(f"{source}: note: {remark}"), err=True)
    if done.unfinite:
        _warn(target, f"infinities, or what is no number, in {first(done.unfinite)}")
    said = f"{target}: {done.tensors:,} tensors, {done.numbers:,} numbers"
    click.echo(printable(f"{said}, for{settings}" if settings else said))
    if any(done.wrong.values()):
        _print_left(source, target, done)


def _print_left(source: Path, target: Path, done: Report) -> None:
    from archc.weights.fit import lines

    for line in lines(done.wrong):
        click.echo(printable(line))
    taken, surplus = done.tensors - done.fresh, len(done.wrong["surplus"])
    said = f"{taken:,} tensors are those of {source}, and {done.fresh:,} are fresh"
    unused = f"; {surplus:,} of {source} are not used" if surplus else ""
    click.echo(printable(f"{target}: {said}{unused}"))


def progress(items: Iterable[T], count: int) -> Iterator[T]:
    """The items; from the first second on with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import Progress

    start = monotonic()
    with ExitStack() as stack:
        bar = Progress(console=streams.console(stderr=True), transient=True)
        task = bar.add_task("tensors", total=count)
        for number, item in enumerate(items):
            yield item
            bar.update(task, completed=number + 1)
            if not bar.live.is_started and monotonic() - start > 1:
                stack.enter_context(bar)
