"""Which of several pairings is right, by running both models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, permutations, product
from math import factorial, prod

from archc import backends
from archc.api import Net
from archc.backends.storage import Array, Storage, Tensor, WeightsError, tensors
from archc.compiler.language.problems import printable
from archc.live.numeric import deviation, random_weights
from archc.live.theirs import Theirs
from archc.weights.matching import Ambiguous, Matching

MOST = 256
"""So many pairings are tried."""
AGREE = 1e-4
"""By how much outputs may differ at most, as a share of the largest value."""
Pairs = Mapping[str, str]


def solved(
    net: Net, framework: backends.Name, storage: Storage, found: Matching, model: Theirs
) -> tuple[Matching, str]:
    """With the ambiguous pairs for which both models, of the same random weights, give the same,
    and what is to be said of it. `found` itself where that does not tell which they are. Raises
    `WeightsError` where the model does not run."""
    name = printable(model.source.text)
    groups = _groups(found)
    if found.missing or found.surplus or (found.ambiguous and not groups):
        return found, f"{name} is not run: the tensors of both sides are not as many"
    count = prod(factorial(len(group[0].ours)) for group in groups)
    if count > MOST:
        return found, f"{name} is not run: there are {count:,} pairings"
    if (theirs := model.describe(None).framework) != framework:
        raise WeightsError(
            f"{name}: this is a model of {theirs}, and the weights are {framework}'s"
        )
    own = {tensor.path: tensor for tensor in tensors(net.network, storage)}
    pairings = [{**found.pairs, **dict(chosen)} for chosen in _pairings(groups)]
    apart = [*_deviations(net, framework, own, pairings, model)]
    right = [pairs for pairs, each in zip(pairings, apart, strict=True) if each <= AGREE]
    if not found.ambiguous:
        said = f"by these pairs {name} gives something else: one is wrong, or the settings of the"
        return found, "" if right else f"{said} spec are others; archc verify says where it parts"
    if not right:
        said = f"none of {count:,} pairings gives what {name} gives"
        return found, f"{said}; the settings of the spec may be others"
    if len(right) == len(pairings):
        return found, f"all of {count:,} pairings give what {name} gives"
    pairs = {path: right[0][path] for path in own}
    said = f"{len(right):,} of {count:,} pairings {'gives' if len(right) == 1 else 'give'}"
    return Matching(pairs), f"{said} what {name} gives"


def _groups(found: Matching) -> list[list[Ambiguous]]:
    """The arrays of each group of layers; nothing where a group has more on one side."""
    if any(len(doubt.ours) != len(doubt.theirs) for doubt in found.ambiguous):
        return []
    groups: dict[tuple[str, ...], list[Ambiguous]] = {}
    for doubt in found.ambiguous:
        layers = tuple(path.rpartition(".")[0] for path in doubt.ours)
        groups.setdefault(layers, []).append(doubt)
    return [*groups.values()]


def _pairings(groups: Sequence[Sequence[Ambiguous]]) -> Iterator[list[tuple[str, str]]]:
    orders = (permutations(range(len(group[0].ours))) for group in groups)
    for chosen in islice(product(*orders), MOST):
        yield [
            (path, doubt.theirs[place])
            for group, order in zip(groups, chosen, strict=True)
            for doubt in group
            for path, place in zip(doubt.ours, order, strict=True)
        ]


def _deviations(
    net: Net,
    framework: backends.Name,
    own: Mapping[str, Tensor],
    pairings: Sequence[Pairs],
    model: Theirs,
) -> Iterator[float]:
    """How far apart both models' outputs are by each pairing, as a share of their scale."""
    import numpy as np

    random = random_weights(net.network)
    theirs = {name: _stored(own[path], random[path]) for path, name in pairings[0].items()}
    batch = {
        name: np.random.default_rng(0).standard_normal((2, *given.tensor.shape)).astype("float32")
        for name, given in net.network.inputs.items()
    }
    given = [*model.run(theirs, batch, ()).outputs.values()][-1]
    live = net.live(framework)
    ours = net.build(framework)
    for pairs in pairings:
        live.load(ours, {path: _restored(own[path], theirs[n]) for path, n in pairs.items()})
        yield deviation(live.outputs(ours, batch, ())[""], given)


def _stored(tensor: Tensor, array: Array) -> Array:
    return tensor.slot.store(array, tensor.shape)


def _restored(tensor: Tensor, array: Array) -> Array:
    return tensor.slot.restore(array.reshape(tensor.shape))
