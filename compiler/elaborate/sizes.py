"""A network at another size of its input than the declared one: the same rows, other shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archc.compiler.elaborate.elaborator import elaborator_for
from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Network, Row
from archc.compiler.language.problems import Invalid


def at_size(network: Network, height: int, width: int) -> Network:
    """`network` for inputs of that many pixels. Raises `Invalid` where a row does not take them,
    or where its weights would have other shapes."""
    elaborator = elaborator_for(network.defaults, network.output_stride)
    source = replace(network.input, height=height, width=width)
    outputs, rows = [source], list[Row]()
    for row in network.rows:
        old, inputs = row.call.body, tuple(outputs[feed + 1] for feed in row.call.feeds)
        inputs = inputs if row.dilate else tuple(replace(x, dilation=None) for x in inputs)
        written = old.written or old.arguments
        arguments = {p.name: written[p.name] for p in old.target.parameters}
        try:
            body = elaborator.call(old.target, arguments, inputs)
        except Invalid as invalid:
            raise Invalid(invalid.code, f"{row.call.name}: {invalid.message}") from None
        outputs.append(body.output)
        rows.append(replace(row, call=replace(row.call, body=body)))
    found = replace(network, input=source, rows=tuple(rows), output=outputs[-1])
    _check_weights(network, found)
    return found


def _check_weights(network: Network, other: Network) -> None:
    """Raises `Invalid` where a weight of `other` has another shape than the network's own."""
    for (path, _, ours), (_, _, theirs) in zip(weights(network), weights(other), strict=True):
        if ours.shape != theirs.shape:
            message = f"the shape of {path} depends on the input's size"
            raise Invalid("E040", message)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The networks by the sizes at which a comparison is made, and why there is no odd one."""

    networks: tuple[Network, ...]
    skipped: str | None


def comparable(network: Network) -> Sizes:
    """The declared size and an odd one: three quarters of it, or else a larger one."""
    height, width = network.input.height or 1, network.input.width or 1
    reason = None
    for share in (0.75, 1.25):
        odd = (int(height * share) | 1, int(width * share) | 1)
        if odd == (height, width):
            odd = (height + 2, width + 2)
        try:
            return Sizes((network, at_size(network, *odd)), None)
        except Invalid as invalid:
            reason = reason or f"{odd[0]}x{odd[1]}, an odd size: {invalid.message}"
    return Sizes((network,), reason)
