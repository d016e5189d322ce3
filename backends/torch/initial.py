"""How PyTorch gives layers their first weights: its own functions, or helpers where it has none.

PyTorch counts fans by a kernel's shape, (outputs, inputs of a group, height, width); those of other
conventions are its own times or by the number of groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from archc.backends.python.model import Filling, Initialize
from archc.backends.python.spelling import Layer, OpCall, Use, number
from archc.backends.python.text import Apply
from archc.compiler.language import expressions as ex
from archc.compiler.language.initializers import ONES, ZEROS, Initializer, powers

WORDS = frozenset(
    f"{family}_{shape}" for family in ("glorot", "he", "lecun") for shape in ("uniform", "normal")
)
"""Helpers that fill a kernel by their name, and a bias with zeros."""


def initialized(layer: Apply, *initial: Initialize) -> Layer:
    """A layer that is initialized so."""
    before = layer.before if isinstance(layer, Layer) else None
    return Layer(layer.callee, layer.arguments, initial=initial, before=before)


def convolution(call: OpCall, depthwise: bool = False) -> Initialize:
    """How a convolution starts."""
    free = not depthwise and call.is_("groups", 1)
    once = depthwise and call.is_("multiplier", 1)
    counts = {*_groups(call, depthwise)}
    single = not counts or any(groups == inputs for groups, inputs in counts)
    if depthwise:
        single = not counts or any(groups == 1 for groups, _ in counts)
    found = _layer(call, "convolution", "nn.Conv2d", _Kernel(depthwise, free, once))
    symmetric = str(found.word).startswith("glorot") and once
    return replace(
        found,
        wrapper="as_depthwise" if depthwise and not symmetric else None,
        groups=call.in_channels if depthwise else call["groups"],
        depthwise=depthwise,
        grouped=not free and not depthwise,
        single=single,
    )


def _groups(call: OpCall, depthwise: bool) -> Iterator[tuple[object, int]]:
    """The groups and the input channels of all that the call comes to."""
    for body in call.bodies:
        channels, given = body.inputs[0].channels, body.arguments
        if depthwise:
            yield channels, channels
        else:
            multiplier = given.get("multiplier", 1)
            assert isinstance(multiplier, int)
            yield given.get("groups", 1), channels * multiplier


def dense(call: OpCall) -> Initialize:
    """How a dense layer starts."""
    return _layer(call, "dense", "nn.Linear", _Kernel(False, True, False))


def transposed(call: OpCall) -> Initialize:
    """How a transposed convolution starts."""
    found = _layer(call, "transposed", "nn.ConvTranspose2d", _Kernel(False, True, False))
    return replace(found, wrapper="as_transposed")


def learned(call: OpCall) -> Initialize:
    """How a learned tensor starts: with zeros, unless it is said."""
    found = {"weight": _usually(ZEROS, _fillings(call, "init"))}
    return Initialize(kind="learned", layer_class="Learned", fillings=found)


def norm(call: OpCall, name: str) -> Initialize:
    """How a batch norm starts: with ones and zeros, unless it is said."""
    found = {}
    for array, part, usual in (("weight", "scale", ONES), ("bias", "offset", ZEROS)):
        if not call.is_(part, False):
            found[array] = _usually(usual, _fillings(call, f"{part}_init"))
    known = name if name.startswith("nn.") else f"nn.{name}2d"
    whole = call.is_("scale", True) and call.is_("offset", True)
    return Initialize(kind="norm", layer_class=known, fillings=found, whole=whole)


def _usually(usual: Initializer, found: tuple[Filling, ...]) -> tuple[Filling, ...]:
    return tuple(replace(each, is_usual=each == _plain(usual)) for each in found)


class _Kernel:
    """What the fans of a kernel depend on."""

    def __init__(self, depthwise: bool, free: bool, once: bool) -> None:
        """`free`: one group alone; `once`: a depthwise convolution with a multiplier of 1."""
        self.depthwise, self.free, self.once = depthwise, free, once

    def powers(self, init: Initializer) -> tuple[int, ...]:
        """By which powers of the groups PyTorch's fan may be multiplied to be the one asked for."""
        fan_in, fan_out = powers(init.convention, self.depthwise)
        if init["fan"] == "fan_avg":
            return (0, 1) if self.free or self.once else (fan_in,)
        power = fan_in if init["fan"] == "fan_in" else fan_out
        return (0, 1, -1) if self.free else (power,)


def _layer(call: OpCall, kind: str, layer_class: str, kernel: _Kernel) -> Initialize:
    found = {"weight": _fillings(call, "init", kernel)}
    init, plain = call.arguments["init"], True
    if not call.is_("bias", False):
        found["bias"] = _fillings(call, "bias_init", kernel)
        plain = call.is_("bias_init", ZEROS)
    word = str(init.value) if isinstance(init, ex.Literal) else ""
    known = word if plain and word in WORDS else None
    return Initialize(kind=kind, layer_class=layer_class, fillings=found, word=known)


def _fillings(call: OpCall, name: str, kernel: _Kernel | None = None) -> tuple[Filling, ...]:
    """The ways to write how an array starts, the best one first."""
    node = call.arguments[name]
    if not isinstance(node, ex.Literal):
        return (Filling("", (call[name],)),)
    assert isinstance(node.value, Initializer)
    if not node.value.has_fans:
        return (_plain(node.value),)
    assert kernel is not None
    stock = _stock(node.value) if name == "init" and 0 in kernel.powers(node.value) else ()
    return (*stock, *_scaled(node.value, kernel))


def _plain(init: Initializer) -> Filling:
    """One that does not depend on fans."""
    if init in (ZEROS, ONES):
        return Filling(f"nn.init.{init}_")
    given = _GIVEN[init.function](init)
    return Filling(f"nn.init.{_FUNCTIONS[init.function]}", ("{weight}", *given))


_FUNCTIONS = {
    "constant": "constant_",
    "normal": "normal_",
    "truncated_normal": "trunc_normal_",
    "uniform": "uniform_",
}
_GIVEN: Mapping[str, Callable[[Initializer], list[str]]] = {
    "constant": lambda init: [repr(init["value"])],
    "normal": lambda init: [*_mean(init), f"std={init['std']}"],
    # PyTorch's bounds are values, not standard deviations.
    "truncated_normal": lambda init: [
        f"std={init['std']}",
        f"a={-2 * init['std']}",
        f"b={2 * init['std']}",
    ],
    "uniform": lambda init: [repr(init["low"]), repr(init["high"])],
}


def _mean(init: Initializer) -> list[str]:
    return [f"mean={init['mean']}"] if init["mean"] else []


def _scaled(init: Initializer, kernel: _Kernel) -> Iterator[Filling]:
    """Those that depend on fans, by a helper: of a kernel or of the bias beside it."""
    for power in kernel.powers(init):
        fan = _FAN[str(init["fan"]), power]
        given = ("{weight}", number(init["scale"]), fan)
        yield Filling(_HELPERS[str(init["distribution"])], given, ("fans",))


_HELPERS = {
    "normal": "scaled_normal",
    "uniform": "scaled_uniform",
    "truncated_normal": "truncated_normal",
}
_FAN = {
    ("fan_in", 0): "fans({kernel})[0]",
    ("fan_in", 1): "fans({kernel})[0] * {groups}",
    ("fan_in", -1): "fans({kernel})[0] / {groups}",
    ("fan_out", 0): "fans({kernel})[1]",
    ("fan_out", 1): "fans({kernel})[1] * {groups}",
    ("fan_out", -1): "fans({kernel})[1] / {groups}",
    ("fan_avg", 0): "sum(fans({kernel})) / 2",
    ("fan_avg", 1): "(fans({kernel})[0] * {groups} + fans({kernel})[1] / {groups}) / 2",
}
_GAINS = {2.0: 'nonlinearity="relu"', 1.0: 'nonlinearity="linear"'}


def _stock(init: Initializer) -> Iterator[Filling]:
    """PyTorch's own function of a kernel, for the scales that it knows."""
    scale, fan, shape = init["scale"], init["fan"], init["distribution"]
    if shape == "truncated_normal":
        return
    if fan == "fan_avg":
        if scale == 1.0:
            yield Filling(f"nn.init.xavier_{shape}_")
        return
    mode = [] if fan == "fan_in" else ['mode="fan_out"']
    if scale in _GAINS:
        yield Filling(f"nn.init.kaiming_{shape}_", ("{weight}", *mode, _GAINS[float(scale)]))
    elif isinstance(scale, float) and math.isclose(scale, 1 / 3, rel_tol=1e-12):
        given = ("{weight}", "a=math.sqrt(5)", *mode)
        yield Filling(f"nn.init.kaiming_{shape}_", given, ("math",))


def function(init: Initializer, use: Use) -> str:
    """An initializer without fans as an argument: a function of an array."""
    use("nn")
    filling = _plain(init)
    if filling.arguments == ("{weight}",):
        return filling.callee
    given = ", ".join(text.format(weight="weight") for text in filling.arguments)
    return f"lambda weight: {filling.callee}({given})"
