"""What `archc check` does with live models.

Each backend's model is held against the IR (arrays and shapes) and, where numbers are asked for,
against the interpreter of the IR: layer by layer, from the same random weights, at the declared
size and at an odd one. So a mistake that all backends share is found too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from archc.api import Net, dims
from archc.backends import Name
from archc.backends.python.execute import statement
from archc.backends.storage import first
from archc.compiler.elaborate.sizes import comparable
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.live import interpreter
from archc.live.numeric import (
    TOLERANCE,
    Array,
    Arrays,
    carried,
    deviation,
    random_inputs,
    random_weights,
    with_blocks,
)

Step = Callable[[str], None]
"""Is told what is being done."""


@dataclass(slots=True)
class Agreement:
    """How well one backend's numbers agree with the definitions."""

    layers: int = 0
    worst: float = 0.0
    """As a share of the scale of the layer's output."""
    where: str = ""

    def see(self, path: str, size: str, found: float) -> None:
        """Takes note of how far a layer's output is from what the definitions give."""
        if found >= self.worst:
            self.worst, self.where = found, f"{path} at {size}"


@dataclass(slots=True)
class Report:
    """What was compared, what differs, and what was not looked at."""

    differences: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    """Up to the one that is looked at."""
    agreements: dict[str, Agreement] = field(default_factory=dict)
    """By backend; empty where no numbers were asked for."""
    skipped: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """What a person wants to know of the numbers."""
        sizes = " and ".join(self.sizes)
        for backend, found in self.agreements.items():
            yield (
                f"{backend}: {found.layers:,} layers at {sizes}, at most {found.worst:.0e} of scale"
                f" from the ops' definitions ({found.where})"
            )
        yield from (f"skipped: {what}" for what in self.skipped)


def compare(
    net: Net, backends: Sequence[Name], numeric: bool, step: Step = lambda text: None
) -> Report:
    """Where the backends' live models differ from the IR, and with `numeric` from what its
    definitions compute, at the declared size and at an odd one."""
    report, weights, sizes = Report(), random_weights(net.network), comparable(net.network)
    for network in sizes.networks if numeric else sizes.networks[:1]:
        size = f"{network.input.height}x{network.input.width}"
        report.sizes.append(size)
        if numeric:
            step(f"the definitions at {size}")
        defined = _Definitions(network, weights) if numeric else None
        for backend in backends:
            step(f"{backend} at {size}")
            _look(report, net, backend, network, weights, defined)
    if numeric and sizes.skipped:
        report.skipped.append(sizes.skipped)
    report.differences = list(dict.fromkeys(report.differences))
    return report


class _Definitions:
    """What the ops' definitions give at one size, value by value, in float32."""

    def __init__(self, network: Network, weights: Arrays) -> None:
        self.network, self._weights, self._batch = network, weights, random_inputs(network)
        self.values: dict[str, Array] = {}
        self._last: tuple[Array, Array] | None = None
        self._keep("", interpreter.run(network, weights, self._batch, self._keep))

    def _keep(self, path: str, value: Array) -> None:
        """A block's value is that of the op it ends with, and is kept once."""
        if self._last is None or self._last[0] is not value:
            with np.errstate(over="ignore"):  # so would a backend's be
                self._last = value, value.astype(np.float32)
        self.values[path] = self._last[1]

    @cached_property
    def moved(self) -> Mapping[str, float]:
        """How far rounding alone moves each value."""
        return carried(self.network, self._weights, self._batch)


def _look(
    report: Report,
    net: Net,
    backend: Name,
    network: Network,
    weights: Arrays,
    defined: _Definitions | None,
) -> None:
    """Looks at a fresh live model of one backend, and forgets its outputs: those of a large network
    take gigabytes."""
    try:
        outputs = _outputs(report, net, backend, network, weights)
    except Exception as error:
        report.differences.append(_failed(backend, report.sizes[-1], error))
        return
    if defined:
        _hold(report, defined, backend, outputs)


def _outputs(report: Report, net: Net, backend: Name, network: Network, weights: Arrays) -> Arrays:
    """What a fresh live model gives, layer by layer, at the size of `network`; nothing where its
    arrays are others."""
    size = network.input
    live, model = net.live(backend), net.build(backend, size.height, size.width)
    differences = list(check_weights(net, backend, model))
    outputs: Arrays = {}
    if not differences:
        live.load(model, weights)
        outputs = live.outputs(model, random_inputs(network), **asked(network))
        differences = list(check_shapes(network, backend, outputs))
    report.differences += differences
    return outputs


def asked(network: Network) -> dict[str, bool]:
    """What a live model is asked for besides its outputs in evaluation."""
    return {"auxiliary": True} if any(row.training for row in network.rows) else {}


def named(path: str) -> str:
    """What a person calls a value: its path, `the output`, or ``the output `aux` ``."""
    return f"the output `{path[1:-1]}`" if path.startswith("[") else path or "the output"


def check_weights(net: Net, backend: str, model: Any) -> Iterator[str]:
    """Where the model's arrays differ by name or shape from what the IR says, layer by layer."""
    expected = {name: weight.shape for name, _, weight in analysis.weights(net.network)}
    found = {name: array.shape for name, array in net.live(backend).arrays(model).items()}
    for name in expected | found:
        said, real = expected.get(name), found.get(name)
        if said != real:
            yield f"{name}: archc says {_shape(said)}, {backend} has {_shape(real)}"


def _shape(shape: Sequence[int] | None) -> str:
    return "nothing" if shape is None else dims(shape)


def check_shapes(network: Network, backend: str, outputs: Arrays) -> Iterator[str]:
    """Where a layer's output has another shape than the IR says."""
    for layer in analysis.layers(network):
        found = outputs.get(layer.path)
        if found is not None and found.shape[1:] != layer.output.shape:
            shape = dims(found.shape[1:])
            yield f"{layer.path}: archc says {layer.output}, {backend} gives {shape}"


def _unseen(network: Network, backend: str, outputs: Arrays) -> Iterator[str]:
    """Values that a backend computes without a layer that shows them, such as a sum in PyTorch."""
    paths = [layer.path for layer in analysis.layers(network)][:-1]
    shown = with_blocks(network, outputs)
    unseen = [path for path in paths if path not in shown] if outputs else []
    if unseen:
        said = f"{backend} has no layer for {len(unseen):,} values ({first(unseen)})"
        yield f"{said}; what takes them is compared"


def _failed(backend: str, size: str, error: Exception) -> str:
    """A live model that cannot be built or run, with the line of generated code that says what, and
    where the backend notes it, the layer."""
    code, where = statement(error), "".join(getattr(error, "__notes__", [])[-1:])
    first = next(iter(str(error).strip().splitlines()), "")
    at = f"{where} at {size}" if where else size
    said = f"{backend} fails at {at}: {type(error).__name__}: {first}"
    return f"{said}, in `{code}`" if code else said


def _hold(report: Report, defined: _Definitions, backend: str, outputs: Arrays) -> None:
    """Holds a backend's outputs against the definitions; names the first that is off."""
    first_size, off = len(report.sizes) == 1, dict[str, float]()
    for path in (path for path in defined.values if path in outputs):
        far = deviation(outputs[path], defined.values[path])
        agreement = report.agreements.setdefault(backend, Agreement())
        agreement.layers += first_size
        if far <= TOLERANCE:
            agreement.see(named(path), report.sizes[-1], far)
        else:
            off[path] = far
    if off:
        _tell(report, backend, off, defined.moved)
    if first_size:
        report.skipped += _unseen(defined.network, backend, outputs)


def _tell(
    report: Report, backend: str, off: Mapping[str, float], moved: Mapping[str, float]
) -> None:
    """Reports the first value that is off, or those of which rounding may be the reason, which
    alone has `moved` them so far."""
    size = report.sizes[-1]
    real = [path for path, far in off.items() if not far <= 3 * moved[path]]
    if real:
        where = named(real[0])
        report.agreements[backend].see(where, size, off[real[0]])
        far = f"by {off[real[0]]:.1e} of its scale"
        report.differences.append(f"at {size}, {backend} leaves the definitions at {where}, {far}")
    else:
        values = f"{len(off):,} value{'s' * (len(off) > 1)}"
        said = f"{values} of {backend} at {size}, where rounding decides"
        report.skipped.append(f"{said} ({first([*map(named, off)])})")
