"""What `archc check` does with live models."""

from __future__ import annotations

from collections.abc import Callable

from archc.api import Net
from archc.numeric import (
    Arrays,
    check_outputs,
    check_shapes,
    check_weights,
    random_batch,
    random_weights,
    sizes,
)


def compare(
    net: Net, backends: list[str], numeric: bool, step: Callable[[str], None] = lambda text: None
) -> list[str]:
    """Where the backends' live models differ from the IR, or with `numeric` from each other.

    `step` is told what is being done.
    """
    found: list[str] = []
    weights = random_weights(net.network)
    for height, width in sizes(net.network)[: 2 if numeric else 1]:
        batch = random_batch(net.network, height, width)
        outputs: dict[str, Arrays] = {}
        for backend in backends:
            step(f"{backend} at {height}x{width}")
            model = net.build(backend, height, width)
            differences = list(check_weights(net, backend, model))
            if not differences:
                net.live(backend).load(model, weights)
                outputs[backend] = net.live(backend).outputs(model, batch)
                if (height, width) == sizes(net.network)[0]:
                    differences = list(check_shapes(net, backend, outputs[backend]))
            found += map(str, differences)
        if numeric:
            found += _numeric(net, outputs, f"{height}x{width}")
    return list(dict.fromkeys(found))


def _numeric(net: Net, outputs: dict[str, Arrays], size: str) -> list[str]:
    """The first layer at which each backend leaves the first one."""
    found = []
    names = list(outputs)
    for other in names[1:]:
        first = next(check_outputs(net.network, outputs[other], outputs[names[0]]), None)
        if first is not None:
            found.append(f"at {size}, {other} and {names[0]} part at {first}")
    return found
