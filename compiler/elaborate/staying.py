"""Why a network for inference still has batch norms and rescales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archc.compiler.elaborate.inference import takes_bias
from archc.compiler.elaborate.preceding import is_affine, padded, shifting, takes
from archc.compiler.ir.analysis import Layer, layers
from archc.compiler.ir.network import Network

_NONE = "is no layer of a kernel and a bias"
_PADS = "pads, and beyond the edge there is no offset"


@dataclass(frozen=True, slots=True)
class Stay:
    """Steps that stay for the same reason."""

    op: str
    paths: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        first, *others = self.paths
        more = f" and {len(others)} more" if len(others) > 1 else "".join(f", {o}" for o in others)
        return f"{self.op} stays at {first}{more}: {self.reason}"


def staying(network: Network) -> Iterator[Stay]:
    """What stays, by reason, in order of evaluation."""
    every, found = layers(network), dict[tuple[str, str], list[str]]()
    for index, layer in enumerate(every):
        if is_affine(layer.call.body.target):
            said = "; ".join(filter(None, (_before(every, layer), _after(every, index))))
            said = said or "the network gives what it gives"
            found.setdefault((layer.op, said), []).append(layer.path)
    return (Stay(op, tuple(paths), said) for (op, said), paths in found.items())


def _before(every: Sequence[Layer], layer: Layer) -> str:
    """Why what is before it does not take it in; a rescale goes into what is after it alone."""
    (feed,) = layer.feeds
    if layer.weights == () or feed < 0:
        return ""
    before = every[feed]
    if not takes_bias(before.call.body):
        return f"`{before.op}` before it {_NONE}"
    if sum(feed in other.feeds for other in every) > 1:
        return f"others take what the `{before.op}` before it gives, too"
    return f"the `{before.op}` before it has no bias in its block, or is not there in all calls"


def _after(every: Sequence[Layer], index: int) -> str:
    """Why what is after it does not."""
    affine = every[index].call.body
    after = [other for other in every if index in other.feeds]
    for other in after:
        body = other.call.body
        if not takes(affine, [("", body)], [""]):
            pads = shifting(affine) and takes_bias(body) and padded(body)
            return f"`{other.op}` after it {_PADS if pads else _NONE}"
    said = "has no bias in its block, is not there in all calls, or not alone in taking it"
    return f"the `{after[0].op}` after it {said}" if after else ""
