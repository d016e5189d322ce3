"""Weights of one spec for another: rows are paired as a diff pairs lines, and not by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

from archc.api import Net, load_with
from archc.backends.storage import BYTES
from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Network, Row
from archc.weights import files, meaning
from archc.weights.convert import Progress, Report, Take, filled, fitting, silent, write
from archc.weights.fit import Misfits, show
from archc.weights.settings import SETTINGS, Said, carried


def pairs(old: Network, new: Network) -> dict[str, str]:
    """The old row of each new one that has one, by name.

    Rows of a name of their own are those of that name. Those that their table numbers are paired
    in order, the equal ones first; where as many differ on both sides, they are paired too.
    """
    found: dict[str, str] = {}
    before, after = _tables(old), _tables(new)
    for table in after.keys() & before.keys():
        found.update(_aligned(before[table], after[table]))
    return found


def _tables(network: Network) -> dict[str, list[Row]]:
    """Rows by their table, or by their own name."""
    found: dict[str, list[Row]] = {}
    for row in network.rows:
        head, _, last = row.call.name.rpartition(".")
        found.setdefault(f"{head}." if last.isdecimal() else row.call.name, []).append(row)
    return found


def _aligned(old: Sequence[Row], new: Sequence[Row]) -> Iterator[tuple[str, str]]:
    matcher = SequenceMatcher(None, [*map(_key, old)], [*map(_key, new)], autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        if j - i == m - k:
            yield from ((b.call.name, a.call.name) for a, b in zip(old[i:j], new[k:m], strict=True))


def _key(row: Row) -> str:
    body = row.call.body
    given = {name: str(value) for name, value in body.arguments.items()}
    return f"{body.target.name} {given}"


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
    paths = counterparts(old.network, new.network)
    with fitting(old, source, take) as found:
        readers = found.readers
        kept = {path: readers[name] for path, name in paths.items() if name in readers}
        wrong = _wrong(old.network, new.network, {path: paths[path] for path in kept})
        done = write(new, filled(new, kept), target, carried(new), progress)
        remarks = (*found.match.remarks, *_conventions(old, new))
        noted, fresh = SETTINGS in found.notes, done.tensors - len(kept)
        return replace(done, noted=noted, fresh=fresh, wrong=wrong, remarks=remarks)


def counterparts(old: Network, new: Network) -> dict[str, str]:
    """The old tensors whose rows and shapes survive, by the paths of the new ones."""
    before, rows = _shapes(old), pairs(old, new)
    of_rows = {row.call.name: rows.get(row.call.name) for row in new.rows}
    found = {}
    for path, shape in _shapes(new).items():
        row = max((name for name in of_rows if path.startswith(f"{name}.")), key=len)
        name = f"{of_rows[row]}{path[len(row) :]}"
        if before.get(name) == shape:
            found[path] = name
    return found


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


def former(spec: str, source: Path, new: Net, include: Iterable[Path], take: Take) -> Net:
    """The network of the spec that a file was written for, with the settings that it says.

    Raises `WeightsError` where the file cannot be read, `SpecError` where the spec is wrong.
    """
    _, format = files.find(source)
    with files.opened(source, format, new.params.total * BYTES, take.key) as opened:
        said = Said.of(source, opened.notes).settings
    known = load_with(spec, {}, include).network.settings
    return load_with(spec, {name: text for name, text in said.items() if name in known}, include)


def _conventions(old: Net, new: Net) -> Iterator[str]:
    """What the two networks have in common otherwise."""
    before, after = meaning.conventions(old.network), meaning.conventions(new.network)
    for name in [name for name in before if after.get(name, before[name]) != before[name]]:
        said = meaning.CONVENTIONS[name]
        yield f"its weights were for {said} {before[name]}; in {new.spec} it is {after[name]}"
