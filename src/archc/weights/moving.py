"""Weights of one spec for another: rows are paired as a diff pairs lines, and not by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from archc.api import Net
from archc.backends.storage import BYTES
from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Network
from archc.diff.pairing import pairs
from archc.diff.sides import side
from archc.diff.tensors import counterparts
from archc.weights import files, meaning
from archc.weights.convert import Progress, Report, Take, filled, fitting, silent, write
from archc.weights.fit import Misfits, show
from archc.weights.settings import SETTINGS, Said, carried


def convert(
    old: Net,
    new: Net,
    source: Path,
    target: Path,
    progress: Progress = silent,
    take: Take | None = None,
) -> Report:
    """Writes the weights in `source`, of the old network, to `target`, for the new one: all whose
    rows and shapes survive. The others are fresh. Raises `WeightsError`."""
    files.find(target, writing=True)
    paths = counterparts(old.network, new.network, pairs(old.network, new.network))
    with fitting(old, source, take) as found:
        readers = found.readers
        kept = {path: readers[name] for path, name in paths.items() if name in readers}
        wrong = _wrong(old.network, new.network, {path: paths[path] for path in kept})
        done = write(new, filled(new, kept), target, carried(new), progress)
        remarks = (*found.match.remarks, *_conventions(old, new))
        noted, fresh = SETTINGS in found.notes, done.tensors - len(kept)
        return replace(done, noted=noted, fresh=fresh, wrong=wrong, remarks=remarks)


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {path: weight.shape for path, _, weight in weights(network)}


def _wrong(old: Network, new: Network, kept: Mapping[str, str]) -> Misfits:
    """The tensors of either side that are not carried over."""
    before, after, used = _shapes(old), _shapes(new), {*kept.values()}
    return {
        "fresh": [f"{path} ({show(shape)})" for path, shape in after.items() if path not in kept],
        "surplus": [
            f"{path} ({show(shape)})" for path, shape in before.items() if path not in used
        ],
    }


def former(spec: str, source: Path, new: Net, include: Sequence[Path], take: Take) -> Net:
    """The network of the spec that a file was written for, with the settings that it says.

    Raises `WeightsError` where the file cannot be read, `SpecError` where the spec is wrong.
    """
    _, format = files.find(source)
    with files.opened(source, format, new.params.total * BYTES, take.key) as opened:
        said = Said.of(source, opened.notes).settings
    known = side(spec, {}, include).net.network.settings
    return side(spec, {name: said[name] for name in said if name in known}, include).net


def _conventions(old: Net, new: Net) -> Iterator[str]:
    """What the two networks have in common otherwise."""
    before, after = meaning.conventions(old.network), meaning.conventions(new.network)
    for name in [name for name in before if after.get(name, before[name]) != before[name]]:
        said = meaning.CONVENTIONS[name]
        yield f"its weights were for {said} {before[name]}; in {new.spec} it is {after[name]}"
