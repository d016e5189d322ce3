"""What weights are for, as files of weights note it: the spec's name, its settings, and digests of
what its numbers mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from archc.api import Net, load_with
from archc.backends.storage import Notes, WeightsError, checked_notes, shown
from archc.compiler.ir.network import Row
from archc.compiler.language.expressions import Definition, show
from archc.compiler.language.problems import printable
from archc.weights import meaning

SETTINGS = "archc.settings"
"""The note of every parameter and its value: `padding=same alpha=1.0`."""
SPEC = "archc.spec"
"""The note of the network's name."""
RULES = "archc.conventions"
"""The note of what the whole network has in common: `epsilon=0.001`."""
ROWS = "archc.rows"
"""The note of the digest of each row, after the version of how they are made."""
VERSION = "1"
LONGEST = 30_000
"""Characters of the digests; HDF5 keeps no attribute of more than 64 KiB."""
CONVENTIONS = (
    "padding",
    "epsilon",
    "act",
    "preprocess",
    "pool_zeros",
    "skip_reduction",
    "stem_reductions",
    "early",
    "late",
    "output_stride",
)
"""Parameters that published checkpoints of one network differ in, and that no shape gives away."""

Settings = Mapping[str, str]
"""Values by parameter, each as on the command line, in one word."""


def spelled(value: object) -> str:
    """A parameter's value as on the command line, in one word."""
    if isinstance(value, Definition):
        return value.name
    return str(value) if isinstance(value, float) else show(value).replace(" ", "")


def settings_of(net: Net, names: Iterable[str] | None = None) -> Settings:
    """What the network has for its parameters, or for those of them."""
    settings = net.network.settings
    names = settings if names is None else names
    return {name: spelled(settings[name]) for name in names if name in settings}


def assumed(net: Net, given: Collection[str]) -> Settings:
    """The network's conventions that nobody gave, of a file that notes none."""
    return settings_of(net, (name for name in CONVENTIONS if name not in given))


def unusual(net: Net, include: Iterable[Path] = ()) -> Settings:
    """The network's parameters that are not the spec's defaults."""
    usual = load_with(net.spec, {}, include).network.settings
    settings = net.network.settings
    return settings_of(net, (name for name in settings if settings[name] != usual[name]))


def flags(settings: Settings) -> str:
    """Settings as a command line takes them, with a space before each."""
    return "".join(f" --set {name}={value}" for name, value in settings.items())


# ---- What a file says


@dataclass(frozen=True)
class Said:
    """What a file notes of the network that its weights were made for."""

    spec: str
    settings: Settings
    conventions: Settings
    rows: Settings
    """The digest of each row; none of a file that has none, or such as are made in another way."""

    @classmethod
    def of(cls, path: Path, notes: Notes) -> Said:
        """Raises `WeightsError` where notes are damaged."""
        version, _, rows = notes.get(ROWS, "").partition(" ")
        said = (notes.get(SETTINGS, ""), notes.get(RULES, ""), rows if version == VERSION else "")
        return cls(notes.get(SPEC, ""), *(_pairs(path, text) for text in said))

    def others(self, net: Net) -> Settings:
        """The settings that are others in a network."""
        ours = settings_of(net)
        return {n: value for n, value in self.settings.items() if ours.get(n, value) != value}

    def other(self, net: Net) -> str:
        """What the file says that it is for, on one line, if that is not the network; else ""."""
        if self.spec not in ("", net.name):
            return printable(self.spec)
        others = self.others(net)
        return printable(f"{net.name} with{flags(others)}") if others else ""


def _pairs(path: Path, text: str) -> Settings:
    pairs = [word.partition("=") for word in text.split()]
    if not all(equals for _, equals, _ in pairs):
        checked_notes(path, None)
    return {name: value for name, _, value in pairs}


def _joined(pairs: Settings) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def carried(net: Net, path: Path | None = None, notes: Notes | None = None) -> Notes:
    """The notes of weights for `net`, with what the file at `path` noted and says nothing of it."""
    notes = notes or {}
    before = Said.of(path, notes).settings if path else {}
    return {
        **notes,
        SPEC: net.name,
        SETTINGS: _joined({**before, **settings_of(net)}),
        RULES: _joined(meaning.conventions(net.network)),
        ROWS: f"{VERSION} {_joined(_short(meaning.digests(net.network)))}",
    }


def _short(rows: Settings) -> Settings:
    """As many rows as there is room for, and the last, which depends on the others."""
    *names, last = rows
    room = LONGEST // max(len(name) + 10 for name in rows)
    return {name: rows[name] for name in (*names[: room - 1], last)}


# ---- Whether that is so here


def noted(path: Path, net: Net, notes: Notes, left: Collection[str] = ()) -> None:
    """Raises `WeightsError` where a file says that its weights mean other numbers than the
    network's, and names what differs. Rows from the first on that has tensors which are `left` at
    fresh values are not compared."""
    said = Said.of(path, notes)
    row = _another(net, said, left)
    if said.rows and row is None:
        return
    for what, help in _differences(net, said, row):
        raise WeightsError(
            f"{shown(path)}: these weights are for {printable(what)}\n  = help: {help}"
        )


def _another(net: Net, said: Said, left: Collection[str]) -> str | None:
    """The first row that the file says another digest of.

    Rows from the first on that depends on a kept parameter of another value are not compared:
    that is an argument of the model.
    """
    others = {*_kept(net)} & {*said.others(net)}
    fresh = {path.rpartition(".")[0] for path in left}

    def comparable(row: Row) -> bool:
        name = row.call.name
        partly = any(layer == name or layer.startswith(f"{name}.") for layer in fresh)
        return not partly and not meaning.mentions(row) & others

    same = takewhile(comparable, net.network.rows)
    ours = meaning.digests(net.network)
    names = (row.call.name for row in same)
    return next((name for name in names if said.rows.get(name, ours[name]) != ours[name]), None)


def _kept(net: Net) -> Iterator[str]:
    return (p.name for p in net.program.parameters if p.keep and p.name not in CONVENTIONS)


def _differences(net: Net, said: Said, row: str | None) -> Iterator[tuple[str, str]]:
    """What weights are for and is not so here, and what to do about it; the best comes first."""
    kept, ours = {*_kept(net)}, settings_of(net)
    others = {name: value for name, value in said.others(net).items() if name not in kept}
    for name, value in others.items():
        help = f"give{printable(flags(others))} here, and to `archc build`"
        yield f"{name}={value}; here `{name}` is {ours[name]}", help
    here = meaning.conventions(net.network)
    spec = said.spec or net.name
    for name, value in said.conventions.items() if row else ():
        if name in meaning.CONVENTIONS and here.get(name, value) != value:
            what = f"{meaning.CONVENTIONS[name]} {value}; here it is {here[name]}"
            yield what, f"name the spec of {spec} that they were made for"
    if row is not None:
        what = (
            f"another {spec}: `{row}` computes something else here, of weights of the same shapes"
        )
        yield what, f"name the spec of {printable(spec)} that they were made for"
