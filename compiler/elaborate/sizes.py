"""A network at another size of its input than the declared one: the same rows, other shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archc.compiler.elaborate.elaborator import elaborator_for
from archc.compiler.ir.analysis import layers, weights
from archc.compiler.ir.network import Input, Network, Op, Row, Tensor
from archc.compiler.language.problems import Invalid


def at_size(network: Network, height: int, width: int) -> Network:
    """`network` for a first input of that many pixels, and others in proportion. Raises `Invalid`
    where a row does not take them, or where its layers would be others."""
    found = elaborated(replace(network, inputs=inputs_at(network, height, width)))
    _check_layers(network, found)
    return found


def elaborated(network: Network) -> Network:
    """`network` with all calls of its rows worked out anew. Raises `Invalid` where one does not
    take what feeds it."""
    elaborator = elaborator_for(network.defaults, network.output_stride)
    outputs, rows = [*network.given], list[Row]()
    for row in network.rows:
        old = row.call.body
        inputs = tuple(outputs[feed + len(network.inputs)] for feed in row.call.feeds)
        inputs = inputs if row.dilate else tuple(replace(x, dilation=None) for x in inputs)
        written = old.written or old.arguments
        arguments = {p.name: written[p.name] for p in old.target.parameters}
        try:
            body = elaborator.call(old.target, arguments, inputs)
        except Invalid as invalid:
            raise Invalid(invalid.code, f"{row.call.name}: {invalid.message}") from None
        outputs.append(body.output)
        rows.append(replace(row, call=replace(row.call, body=body)))
    return replace(network, rows=tuple(rows), output=outputs[-1])


def inputs_at(network: Network, height: int, width: int) -> dict[str, Input]:
    """The inputs where the first one has that many pixels."""
    first = network.input

    def scaled(x: Tensor) -> Tensor:
        if x.height is None or x.width is None:
            return x
        rows = _in_proportion(x.height, first.height or height, height)
        return replace(x, height=rows, width=_in_proportion(x.width, first.width or width, width))

    return {name: replace(own, tensor=scaled(own.tensor)) for name, own in network.inputs.items()}


def _in_proportion(side: int, first: int, other: int) -> int:
    """What a side is where that of the first input is another one. Sides of 19 and 10 are a stride
    of 2 apart, so beside 38 it is 19, as a convolution would give it."""
    stride = max(1, round(first / side))
    if -(-first // stride) == side:
        return -(-other // stride)
    return max(1, other // stride if first // stride == side else other * side // first)


def _check_layers(network: Network, other: Network) -> None:
    """Raises `Invalid` where a layer of `other` has other shapes than the network's own."""
    if [layer.path for layer in layers(network)] != [layer.path for layer in layers(other)]:
        raise Invalid("E040", "which layers there are depends on the input's size")
    for (path, _, ours), (_, _, theirs) in zip(weights(network), weights(other), strict=True):
        if ours.shape != theirs.shape:
            message = f"the shape of {path} depends on the input's size"
            raise Invalid("E040", message)
    for layer, other_layer in zip(layers(network), layers(other), strict=True):
        # A norm that learns nothing is made for so many channels all the same.
        mine, another = layer.call.body, other_layer.call.body
        fixed = isinstance(mine.target, Op) and mine.target.sized and not layer.weights
        if fixed and mine.inputs[0].channels != another.inputs[0].channels:
            message = f"what {layer.path} is made for depends on the input's size"
            raise Invalid("E040", message)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The networks by the sizes at which a comparison is made, and why there is no odd one."""

    networks: tuple[Network, ...]
    skipped: str | None


def comparable(network: Network) -> Sizes:
    """The declared size and an odd one: three quarters of it, or else a larger one."""
    height, width = network.input.height or 1, network.input.width or 1
    if network.static:
        return Sizes((network,), f"an odd size: this network is made for {network.size}")
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
