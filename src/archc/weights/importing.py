"""Takes the weights of published models in, under archc's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from archc.api import Net, load_with
from archc.backends import Live, References, WeightsError
from archc.backends.storage import BYTES, Opened, Tensor, shown, tensors
from archc.compiler.ir.analysis import layers
from archc.compiler.language.problems import quote
from archc.weights import files
from archc.weights.convert import Fitting, Progress, Report, Take, silent, write
from archc.weights.fit import match
from archc.weights.rules import ZooModel
from archc.weights.settings import carried, spelled

NOTHING = "no rule names "
"""How the name starts of what a reference does not have."""


def network(
    spec: str, model: ZooModel, settings: Mapping[str, object], include: Sequence[Path] = ()
) -> Net:
    """The spec's network with the parameters that the model's checkpoints need.

    Raises `WeightsError` where `settings` say otherwise, `SpecError` where the spec is wrong.
    """
    given = load_with(spec, settings, include)
    strange = [name for name in model.needs if name not in given.network.settings]
    if strange:
        message = f"{spec}: {model.name} needs `{strange[0]}`, which is no parameter of this spec"
        raise WeightsError(f"{message}{_help(model)}")
    net = load_with(spec, {**model.needs, **settings}, include)
    needed = load_with(spec, {**settings, **model.needs}, include).network.settings
    for name in settings:
        if needed[name] != net.network.settings[name]:
            raise WeightsError(
                f"--set {name}={settings[name]}: {model.name} needs"
                f" {name}={spelled(needed[name])}\n"
                "  = help: leave it out; its checkpoints give wrong numbers otherwise"
            )
    return net


def names(net: Net, model: ZooModel, partial: bool = False) -> dict[str, Tensor]:
    """The network's tensors by the reference's names of them: `conv_stem.weight`, `conv/kernel`.

    Raises `WeightsError` where it has one name for two tensors, or no such layer: that of a
    `partial` import has a name that the reference has not.
    """
    found: dict[str, Tensor] = {}
    every = list(tensors(net.network, model.storage))
    for tensor in every:
        name = _name(net, model, tensor)
        if name is None and not partial:
            raise _unnamed(net, model, tensor, every)
        if name is None:
            name = f"{NOTHING}{tensor.path}"
        if name in found:
            raise _doubled(net, model, found[name], tensor, name)
        found[name] = tensor
    return found


def _unnamed(net: Net, model: ZooModel, tensor: Tensor, every: Sequence[Tensor]) -> Exception:
    if model.own:
        paths = [tensor.path for tensor in every]
        return model.unnamed(tensor.path, paths, net.network.settings)
    message = f"{tensor.path}: {model.name} has nothing of the kind"
    return WeightsError(f"{message}{_help(model)}")


def _doubled(net: Net, model: ZooModel, one: Tensor, other: Tensor, name: str) -> Exception:
    if model.own:
        return model.doubled(one.path, other.path, name, net.network.settings)
    return WeightsError(f"{model.name}: {other.path} and {one.path} are both {name}")


def _name(net: Net, model: ZooModel, tensor: Tensor) -> str | None:
    module, _, last = tensor.path.rpartition(".")
    whole = model.tensor(tensor.path, net.network.settings)
    if whole is not None:
        return whole
    layer = model.layer(module, net.network.settings)
    return None if layer is None else model.storage.tensor_name(layer, last, tensor.slot)


def _help(model: ZooModel) -> str:
    spec = model.source.spec
    return f"\n  = help: its network is that of the spec {spec}" if spec else ""


def import_(
    net: Net,
    model: ZooModel,
    source: Path | None,
    target: Path,
    progress: Progress = silent,
    take: Take | None = None,
) -> Report:
    """Writes the reference's weights in `source`, or without it those that it downloads.

    Raises `WeightsError` unless each tensor of either side has its counterpart, or what is to be
    taken is partial.
    """
    files.find(target, writing=True)
    take = take or Take()
    wanted = names(net, model, take.partial)
    with _opened(net, model, source, take.key) as opened:
        what = ", ".join((shown(source) if source else model.name, *opened.remarks))
        origins = _origins(net, model, wanted) if model.own else {}
        found = match(what, net.name, wanted, opened.arrays, "", take.partial, origins)
        remarks = (*opened.remarks, *found.remarks, *_idle(net, model), *_flattened(net, model))
        fitting = Fitting(net, wanted, replace(found, remarks=remarks), {})
        return fitting.reported(write(net, fitting.arrays, target, carried(net), progress))


def _origins(net: Net, model: ZooModel, wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Where the rule stands that gives each name."""
    places = {n: model.origin(t.path, net.network.settings) for n, t in wanted.items()}
    return {name: str(place) for name, place in places.items() if place is not None}


def _flattened(net: Net, model: ZooModel) -> Iterator[str]:
    """What rules of the user's cannot tell of a model whose maps stand channel first."""
    every = layers(net.network) if model.own and model.rules.framework == "torch" else []
    for layer in every:
        x = layer.call.body.inputs[0]
        if layer.op == "flatten" and x.area > 1:
            said = f"{layer.path} flattens {x} by row, column, channel; a model that does so by"
            yield f"{said} channel first has other weights behind it (archc verify --against)"


def _idle(net: Net, model: ZooModel) -> Iterator[str]:
    """Rules of the user's for this source alone that are for none of its layers."""
    paths = [tensor.path for tensor in tensors(net.network, model.storage)]
    alone = model.own and len(model.rules.sources) == 1
    for pattern in model.idle(paths, net.network.settings) if alone else ():
        yield f"{pattern.place}: {quote(pattern)} matches nothing of {net.name}"


@contextmanager
def _opened(net: Net, model: ZooModel, source: Path | None, key: str | None) -> Iterator[Opened]:
    """The reference's arrays by its own names."""
    if source is None:
        size = net.network.input
        live, _ = build(net, model, size.height or 1, size.width or 1, pretrained=True)
        yield Opened(references(net, model).stored(live), {})
        return
    storage, format = files.find(source)
    if storage.slots is not model.storage.slots:
        raise WeightsError(f"{shown(source)}: {model.name} has no such files")
    with files.opened(source, format, net.params.total * BYTES, key) as opened:
        arrays = {model.spelled(name): array for name, array in opened.arrays.items()}
        yield replace(opened, arrays=arrays)


# ---- The published implementations themselves, as live models


def build(
    net: Net, model: ZooModel, height: int, width: int, pretrained: bool = False
) -> tuple[Any, Live]:
    """The reference for a network, in evaluation mode, and how to drive it.

    Gives logits, of inputs with `height` and `width` in pixels. Raises `WeightsError` where the
    library is not installed, or `pretrained` weights cannot be had.
    """
    library = model.name.replace(":", ".").partition(".")[0]
    makers, live = references(net, model).makers, net.live(model.rules.framework)
    if library not in makers:
        raise WeightsError(
            f"{model.name}: archc makes no models of {quote(library)}\n"
            f"  = help: name a FILE of weights; there are {', '.join(sorted(makers))}"
        )
    maker = makers[library]
    options = model.options(net.network.settings)
    try:
        return maker(model.name, options, (height, width), pretrained), live
    except ModuleNotFoundError as error:
        raise WeightsError(f"{model.name} needs {library}: {error}") from error
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not pretrained:
            raise WeightsError(f"{model.name}: {library} cannot make it: {said}") from error
        raise WeightsError(
            f"{model.name}: no pretrained weights can be had: {said}\n"
            "  = help: this needs a network; name a FILE instead"
        ) from error


def references(net: Net, model: ZooModel) -> References:
    """How to drive the reference. Raises `WeightsError` where its backend drives none."""
    found = net.live(model.rules.framework).references
    if found is None:
        raise WeightsError(f"{model.name}: `{model.rules.framework}` drives no published models")
    return found
