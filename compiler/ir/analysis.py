"""What a network costs, counted from the IR alone."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from archc.compiler.ir.network import Block, Body, Call, Cost, Network, Tensor, Weight

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls, at batch 1."""

    trainable: int = 0
    total: int = 0
    """`trainable` and the batch norms' running averages."""
    macs: int = 0
    """Multiply-accumulates of convolutions and dense layers."""
    other: int = 0
    """Elementwise and pooling operations."""

    def __add__(self, more: Totals) -> Totals:
        return Totals(
            self.trainable + more.trainable,
            self.total + more.total,
            self.macs + more.macs,
            self.other + more.other,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One op of the network. `feeds` are indices of layers; -1, -2, ... the network's inputs."""

    path: str
    call: Call
    feeds: tuple[int, ...]

    @property
    def op(self) -> str:
        return self.call.body.target.name

    @property
    def output(self) -> Tensor:
        return self.call.body.output

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.call.body.cost.weights

    @property
    def totals(self) -> Totals:
        return own_totals(self.call.body.cost)


@lru_cache(maxsize=2**14)
def own_totals(cost: Cost) -> Totals:
    trainable = sum(weight.size for weight in cost.weights if weight.trainable)
    total = sum(weight.size for weight in cost.weights)
    return Totals(trainable, total, cost.macs, cost.other)


def totals(network: Network) -> Totals:
    """The sums over the whole network."""
    return sum((body_totals(row.call.body) for row in network.rows), Totals())


@lru_cache(maxsize=2**14)
def body_totals(body: Body) -> Totals:
    """The sums over one call. Bodies are shared, by networks too, so each is added up once."""
    return sum((body_totals(call.body) for call in body.calls), own_totals(body.cost))


def calls(network: Network) -> Iterator[tuple[str, Call]]:
    """Every call of a block or an op with its path, each before those within it."""

    def within(call: Call, path: str) -> Iterator[tuple[str, Call]]:
        yield path, call
        for inner in call.body.calls:
            yield from within(inner, f"{path}.{inner.name}")

    for row in network.rows:
        yield from within(row.call, row.call.name)


def row_of(path: str, rows: Container[str]) -> str:
    """The row into which a path leads: by its own name, or by its table's and a number."""
    head = path.partition(".")[0]
    return head if head in rows else ".".join(path.split(".", 2)[:2])


def layers(network: Network) -> list[Layer]:
    """Every op of the network in order of evaluation."""
    return [*_layers(network)[0]]


def results(network: Network) -> list[int]:
    """For each row the index of the layer that gives its output; below 0 are the inputs."""
    return [*_layers(network)[1]]


_known: WeakKeyDictionary[Network, tuple[list[Layer], list[int]]] = WeakKeyDictionary()
"""Of networks that are in use: one is asked for its layers by each count of them."""


def _layers(network: Network) -> tuple[list[Layer], list[int]]:
    """Every op, and for each row the number of the one that gives its output."""
    if network not in _known:
        _known[network] = _found(network)
    return _known[network]


def _found(network: Network) -> tuple[list[Layer], list[int]]:
    found: list[Layer] = []
    outputs: list[int] = []
    for row in network.rows:
        feeds = tuple(outputs[feed] if feed >= 0 else feed for feed in row.call.feeds)
        outputs.append(flatten(row.call, row.call.name, feeds, found))
    return found, outputs


def flatten(call: Call, path: str, feeds: tuple[int, ...], found: list[Layer]) -> int:
    """Appends the ops of `call` to `found`; the index of the one that gives its output. `feeds` are
    those of its inputs."""
    if not isinstance(call.body.target, Block):
        found.append(Layer(path, call, feeds))
        return len(found) - 1
    outputs: list[int] = []

    def source(feed: int) -> int:
        return outputs[feed] if feed >= 0 else feeds[-1 - feed]

    for inner in call.body.calls:
        inner_feeds = tuple(source(feed) for feed in inner.feeds)
        outputs.append(flatten(inner, f"{path}.{inner.name}", inner_feeds, found))
    return source(call.body.result)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of float32 activations at batch 1."""

    sum: int
    """Of every op's output: what training keeps, about."""
    peak: int
    """The most that is alive at once when each value but the outputs is dropped after its last
    use."""


def memory(network: Network) -> Memory:
    """Activation memory, with no operation fused or done in place."""
    every, results = _layers(network)
    sizes = {-1 - i: own.tensor.size for i, own in enumerate(network.inputs.values())}
    alive = peak = sum(sizes.values())
    last_use = dict.fromkeys(sizes, 0)
    for index, layer in enumerate(every):
        last_use[index] = index
        last_use.update(dict.fromkeys(layer.feeds, index))
    given = [i for i, row in zip(results, network.rows, strict=True) if row.output is not None]
    last_use.update(dict.fromkeys(given, len(every) - 1))
    sizes |= {i: layer.output.size for i, layer in enumerate(every)}
    freed = dict.fromkeys(range(len(every)), 0)
    for value, index in last_use.items():
        freed[index] = freed.get(index, 0) + sizes[value]
    for index in range(len(every)):
        alive += sizes[index]
        peak = max(peak, alive)
        alive -= freed[index]
    total = sum(layer.output.size for layer in every)
    return Memory(total * FLOAT_BYTES, peak * FLOAT_BYTES)


def weights(network: Network) -> Iterator[tuple[str, Layer, Weight]]:
    """Every array by its full name, in order of evaluation."""
    for layer in layers(network):
        for weight in layer.weights:
            yield f"{layer.path}.{weight.name}", layer, weight
