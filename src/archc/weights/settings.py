"""The parameters that weights are for, as files of weights note them: `padding=same act=relu`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from archc.api import Net, load_with
from archc.backends.storage import Notes, WeightsError, checked_notes, shown
from archc.compiler.language.expressions import Definition, show
from archc.compiler.language.problems import printable

SETTINGS = "archc.settings"
"""The note's name."""
CONVENTIONS = (
    "padding",
    "epsilon",
    "act",
    "preprocess",
    "pool_zeros",
    "skip_reduction",
    "stem_reductions",
    "early",
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


def settings_of(net: Net, names: Iterable[str]) -> Settings:
    """What the network has for those of its parameters."""
    settings = net.network.settings
    return {name: spelled(settings[name]) for name in names if name in settings}


def assumed(net: Net, given: Collection[str]) -> Settings:
    """The network's conventions that nobody gave, of a file that notes none."""
    return settings_of(net, (name for name in CONVENTIONS if name not in given))


def unusual(net: Net, include: Iterable[Path] = ()) -> Settings:
    """The network's parameters that are not the spec's defaults."""
    usual = load_with(net.spec, {}, include).network.settings
    settings = net.network.settings
    return settings_of(net, (name for name in settings if settings[name] != usual[name]))


def carried(net: Net, notes: Notes, settings: Settings) -> Notes:
    """`notes` with those settings, and from here on what the network assumes of the others."""
    every = {**settings_of(net, CONVENTIONS), **settings}
    said = " ".join(f"{name}={value}" for name, value in every.items())
    return {**notes, SETTINGS: said} if said else notes


def noted(path: Path, net: Net, notes: Notes) -> Settings:
    """What a file says. Raises `WeightsError` where that is not what the network has."""
    found: dict[str, str] = {}
    for setting in notes.get(SETTINGS, "").split():
        name, equals, value = setting.partition("=")
        if not equals:
            checked_notes(path, None)
        ours = net.network.settings.get(name)
        if ours is not None and spelled(ours) != value:
            raise WeightsError(
                f"{shown(path)}: these weights are for {printable(setting)}; here `{name}` is"
                f" {spelled(ours)}\n"
                f"  = help: --set {printable(setting)}"
            )
        found[name] = value
    return found
