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
    for tensor in tensors(net.network, model.storage):
        name = _name(net, model, tensor)
        if name is None and not partial:
            message = f"{tensor.path}: {model.name} has nothing of the kind"
            raise WeightsError(f"{message}{_help(model)}")
        if name is None:
            name = f"{NOTHING}{tensor.path}"
        if name in found:
            message = f"{tensor.path} and {found[name].path} are both {name}"
            raise WeightsError(f"{model.name}: {message}")
        found[name] = tensor
    return found


def _name(net: Net, model: ZooModel, tensor: Tensor) -> str | None:
    module, _, last = tensor.path.rpartition(".")
    whole = model.tensor(tensor.path, net.network.settings)
    if whole is not None:
        return whole
    layer = model.layer(module, net.network.settings)
    return None if layer is None else model.storage.tensor_name(layer, last, tensor.slot)


def _help(model: ZooModel) -> str:
    return f"\n  = help: its network is that of the spec {model.source.spec}"


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
        found = match(what, net.name, wanted, opened.arrays, "", take.partial)
        remarks = (*opened.remarks, *found.remarks)
        fitting = Fitting(net, wanted, replace(found, remarks=remarks), {})
        return fitting.reported(write(net, fitting.arrays, target, carried(net), progress))


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
    maker, live = references(net, model).makers[library], net.live(model.rules.framework)
    options = model.options(net.network.settings)
    try:
        return maker(model.name, options, (height, width), pretrained), live
    except ModuleNotFoundError as error:
        raise WeightsError(f"{model.name} needs {library}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
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
