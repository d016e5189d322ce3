"""What the numbers of weights mean in a network, in short: all that no shape of theirs gives away.

Two networks whose weights have the same names and shapes give the same numbers from the same
weights if their digests agree. Names of blocks, comments, the declared size and what only fresh
weights or a training step draw are no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from archc.compiler.ir.analysis import Layer, layers, results
from archc.compiler.ir.network import Network, Op, Row
from archc.compiler.language.expressions import Name, Value, spell, walk
from archc.compiler.language.initializers import Initializer

CONVENTIONS = {
    "padding": "convolutions padded as",
    "epsilon": "batch norms with an epsilon of",
    "decay": "batch norms with a decay of",
}
"""Arguments of ops that most networks give one value alone, and how a message says it."""
_UNCOUNTED = ("filters", "units", "multiplier", "rate", "init")
"""Arguments that shapes of weights give away, or that are for fresh weights and training alone."""
_OWNED = ("bias", "scale", "offset", "affine")
"""Flags of ops that own weights: whether there is such a one."""


def conventions(network: Network) -> dict[str, str]:
    """The value of each of `CONVENTIONS` that is one and the same in the whole network."""
    found: dict[str, set[str]] = {}
    for layer in layers(network):
        arguments = layer.call.body.arguments
        padded = layer.weights and arguments.get("kernel") not in (None, (1, 1))
        for name in ("padding",) * bool(padded) + ("epsilon", "decay") * ("decay" in arguments):
            found.setdefault(name, set()).add(shown(arguments[name]))
    return {name: min(every) for name, every in found.items() if len(every) == 1}


def digests(network: Network) -> dict[str, str]:
    """For each row what its value is computed by, from the input on: eight digits."""
    found: list[bytes] = []
    for layer in layers(network):
        fed = [found[feed] if feed >= 0 else b"input %d" % -feed for feed in layer.feeds]
        target = layer.call.body.target
        if layer.op == "identity" or (isinstance(target, Op) and target.training):
            found.append(fed[0])
            continue
        said = repr((layer.op, _names(layer), *_arguments(layer)))
        found.append(blake2b(b"".join((said.encode(), *fed)), digest_size=16).digest())
    of_rows = zip(network.rows, results(network), strict=True)
    return {row.call.name: found[index].hex()[:8] if index >= 0 else "" for row, index in of_rows}


def _names(layer: Layer) -> str:
    """Which weights it owns, if any."""
    return layer.path if layer.weights else ""


def _arguments(layer: Layer) -> Iterator[tuple[str, str]]:
    for name, value in layer.call.body.arguments.items():
        owned = name in _OWNED and isinstance(value, bool)
        if name not in _UNCOUNTED and not owned and not isinstance(value, Initializer):
            yield name, shown(value)


def shown(value: Value) -> str:
    """A value to its last digit, in one word."""
    return spell(value).replace(" ", "")


def mentions(row: Row) -> set[str]:
    """The kept parameters that the arguments of a row mention."""
    nodes = [*row.spelled.values(), *([row.when] if row.when else [])]
    return {node.id for root in nodes for node in walk(root) if isinstance(node, Name)}
