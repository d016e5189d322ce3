"""Initializers: the distributions that fresh weights are drawn from, as values of the language.

The fans of a kernel are named after who counts them so. They differ where channels come in groups,
and a depthwise convolution is one of as many groups as channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archc.compiler.language.expressions import Call, Composite, Name, Node, Value, fraction, show
from archc.compiler.language.problems import Invalid, Place, choices, quote, suggest

FANS = {
    "fan_in": "what each output is computed from",
    "fan_out": "what each input goes into",
    "fan_avg": "the mean of the two",
}
DISTRIBUTIONS = {
    "normal": "a normal distribution",
    "truncated_normal": "a normal distribution, cut at two standard deviations",
    "uniform": "a uniform distribution around 0",
}
CONVENTIONS = {
    "keras": "as Keras counts them",
    "torch": "as PyTorch counts them",
    "per_group": "those of one group by itself, as timm counts them",
}
_POWERS = {
    "keras": ((0, 0), (1, -1)),
    "torch": ((0, 0), (0, 0)),
    "per_group": ((0, -1), (0, -1)),
}
"""By which powers of the groups PyTorch's (fan_in, fan_out) are multiplied, for a convolution and
for a depthwise one."""


def powers(convention: str, depthwise: bool) -> tuple[int, int]:
    """By which powers of the number of groups (-1, 0 or 1) PyTorch's (fan_in, fan_out) of a kernel
    are multiplied to count them by a `convention`."""
    return _POWERS[convention][depthwise]


def fans(
    shape: Sequence[int], groups: int = 1, depthwise: bool = False, convention: str = "keras"
) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel of PyTorch's layout, (outputs, inputs of a group, ...)."""
    area = 1
    for side in shape[2:]:
        area *= side
    ours = powers(convention, depthwise)
    of_torch = (area * shape[1], area * shape[0])
    fan_in, fan_out = (int(n * groups**p) for n, p in zip(of_torch, ours, strict=True))
    return fan_in, fan_out


@dataclass(frozen=True, slots=True)
class Initializer(Composite):
    """A function of the language with its arguments, all of them, in order."""

    function: str
    arguments: tuple[float | str, ...]

    def __str__(self) -> str:
        """As a spec writes it: by its word, if it has one."""
        if self in _WORDS:
            return _WORDS[self]
        given = [*self.arguments]
        for parameter in reversed(FUNCTIONS[self.function]):
            if parameter.default is None or given[-1] != parameter.default:
                break
            given.pop()
        shown = (each if isinstance(each, str) else fraction(each) for each in given)
        return f"{self.function}({', '.join(shown)})"

    def __getitem__(self, name: str) -> float | str:
        names = [parameter.name for parameter in FUNCTIONS[self.function]]
        return self.arguments[names.index(name)]

    @property
    def has_fans(self) -> bool:
        """Whether it depends on the shape of what it is drawn for."""
        return self.function == "variance_scaling"

    @property
    def convention(self) -> str:
        """Who counts the fans so; Keras where there are none."""
        return str(self["fans"]) if self.has_fans else "keras"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One argument of a function of initializers: a number, or one of the `words`."""

    name: str
    words: Mapping[str, str] | None = None
    positive: bool = False
    default: str | float | None = None


FUNCTIONS: Mapping[str, tuple[_Parameter, ...]] = {
    "constant": (_Parameter("value"),),
    "normal": (_Parameter("std", positive=True), _Parameter("mean", default=0.0)),
    "truncated_normal": (_Parameter("std", positive=True),),
    "uniform": (_Parameter("low"), _Parameter("high")),
    "variance_scaling": (
        _Parameter("scale", positive=True),
        _Parameter("fan", FANS),
        _Parameter("distribution", DISTRIBUTIONS),
        _Parameter("fans", CONVENTIONS, default="keras"),
    ),
}

INITIALIZER_FUNCTIONS = {
    "constant(value)": "`value` everywhere",
    "normal(std)": "normal of mean 0 and this standard deviation",
    "normal(std, mean)": "the same around another mean",
    "truncated_normal(std)": (
        "normal of mean 0 and this standard deviation, cut at twice that: "
        "what is left deviates by 0.8796 `std`"
    ),
    "uniform(low, high)": "uniform between two numbers",
    "variance_scaling(scale, fan, distribution)": (
        "of mean 0 and variance `scale / fan`, whatever the distribution: "
        "`normal`, `truncated_normal` or `uniform`"
    ),
    "variance_scaling(scale, fan, distribution, fans)": (
        "the same, with the fans counted as `keras` (the default), `torch` or `per_group`"
    ),
}


def _scaled(scale: float, fan: str, distribution: str) -> Initializer:
    return Initializer("variance_scaling", (scale, fan, distribution, "keras"))


ZEROS = Initializer("constant", (0.0,))
ONES = Initializer("constant", (1.0,))
GLOROT_UNIFORM = _scaled(1.0, "fan_avg", "uniform")

NAMED: Mapping[str, Initializer] = {
    "glorot_uniform": GLOROT_UNIFORM,
    "glorot_normal": _scaled(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": _scaled(2.0, "fan_in", "uniform"),
    "he_normal": _scaled(2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": _scaled(1.0, "fan_in", "uniform"),
    "lecun_normal": _scaled(1.0, "fan_in", "truncated_normal"),
    "zeros": ZEROS,
    "ones": ONES,
}
_WORDS = {initializer: word for word, initializer in NAMED.items()}

INITIALIZERS = {
    "glorot_uniform": "uniform of variance 2 / (fan_in + fan_out)",
    "glorot_normal": "normal of variance 2 / (fan_in + fan_out), cut at two standard deviations",
    "he_uniform": "uniform of variance 2 / fan_in",
    "he_normal": "normal of variance 2 / fan_in, cut at two standard deviations",
    "lecun_uniform": "uniform of variance 1 / fan_in",
    "lecun_normal": "normal of variance 1 / fan_in, cut at two standard deviations",
    "zeros": "0 everywhere",
    "ones": "1 everywhere",
}


def made(function: str, places: Sequence[Place], values: Sequence[Value]) -> Initializer:
    """The initializer that a call comes to; `values` are all of its arguments, words among them,
    and `places` where they stand.

    Raises `Invalid` (E035, E034) for numbers that it cannot have, and for fans that are not told.
    """
    given: list[float | str] = []
    for parameter, place, value in zip(FUNCTIONS[function], places, values, strict=True):
        assert isinstance(value, int | float | str)
        if parameter.positive and isinstance(value, int | float) and value <= 0:
            message = f"`{parameter.name}` of `{function}` is {show(value)}; it must be above 0"
            hint = "write `zeros` for none at all" if value == 0 else None
            raise Invalid("E035", message, hint, place=place)
        given.append(value if isinstance(value, str) else float(value))
    found = Initializer(function, tuple(given))
    _check(found, places)
    return found


def _check(found: Initializer, places: Sequence[Place]) -> None:
    if found.function == "uniform" and not found["low"] < found["high"]:  # type: ignore[operator]
        low, high = map(show, found.arguments)
        message = f"`uniform` goes from {low} to {high}; `low` must be below `high`"
        raise Invalid("E035", message, place=places[0])
    if found.has_fans and found["fan"] == "fan_avg" and found["fans"] != "keras":
        message = "`fans` is for `fan_in` and `fan_out`, and this is `fan_avg`"
        raise Invalid("E034", message, "leave it out: the mean is that of Keras", place=places[-1])


def signature(function: str) -> str:
    """`normal(std, mean=0)`: how a function is called."""
    every = FUNCTIONS[function]
    given = (p.name if p.default is None else f"{p.name}={show(p.default)}" for p in every)
    return f"{function}({', '.join(given)})"


def ordered(node: Call) -> list[Node | str | float]:
    """The arguments of a call of a function of initializers, all of them in order; what is no node
    is a default. Raises `Invalid` (E032, E033) where they do not fit."""
    parameters = {parameter.name: parameter for parameter in FUNCTIONS[node.function]}
    call = f"`{signature(node.function)}`"
    for name, _ in node.keywords:
        if name not in parameters:
            hint = suggest(name, parameters) or choices(parameters)
            message = f"`{node.function}` has no argument `{name}`"
            raise Invalid("E032", message, hint, place=getattr(name, "place", None))
    given = dict(zip(parameters, node.arguments, strict=False))
    twice = [name for name, _ in node.keywords if name in given]
    if len(node.arguments) > len(parameters) or twice:
        raise Invalid("E033", f"the arguments do not fit {call}")
    given |= dict(node.keywords)
    found: list[Node | str | float] = []
    for name, parameter in parameters.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise Invalid("E033", f"{call} needs the argument `{name}`")
        found.append(value)
    return found


def word(function: str, index: int, node: Node) -> str | None:
    """The word that an argument is, where its function asks for one; None where it asks for a
    number. Raises `Invalid` (E034, E021) for what is no such word."""
    parameter = FUNCTIONS[function][index]
    if parameter.words is None:
        return None
    what = f"`{parameter.name}` of `{function}`"
    if not isinstance(node, Name):
        raise Invalid("E034", f"{what} must be {choices(parameter.words)}", place=node.place)
    if node.id not in parameter.words:
        hint = suggest(node.id, parameter.words) or choices(parameter.words)
        message = f"{what} is {quote(node.id)}, which it does not know"
        raise Invalid("E021", message, hint, place=node.place)
    return node.id
