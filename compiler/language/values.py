"""The types of parameters, and which values they take."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from archc.compiler.language.expressions import LARGEST, Definition, Value
from archc.compiler.language.expressions import show as show
from archc.compiler.language.initializers import INITIALIZERS as INITIALIZERS
from archc.compiler.language.initializers import NAMED, Initializer
from archc.compiler.language.problems import Invalid, choices, quote, suggest

PADDINGS = {
    "same": "ceil(n / stride) outputs; an odd cell of padding goes last (TensorFlow's `SAME`)",
    "symmetric": "dilation * (kernel // 2) zeros on every side, as torchvision pads",
    "valid": "no padding",
}

POOL_PADDINGS = {
    "same": "ceil(n / stride) outputs; padded cells never win a maximum or count in a mean",
    "zeros": "as `same`, of zeros that may win a maximum and count in a mean",
    "symmetric": "kernel // 2 cells on every side, as torchvision pads; they never win a maximum",
    "valid": "no padding",
}

AXES = {
    "channels": "the channels, so that one is left",
    "space": "height and width, so that a 1x1 map is left",
}

INTERPOLATIONS = {
    "nearest": "the cell floor(i * n / m), as PyTorch's `nearest`",
    "nearest_exact": "the cell under the centre, floor((i + 1/2) * n / m), as Keras's `nearest`",
    "bilinear": "linear between cells, at (i + 1/2) * n / m - 1/2; with `align_corners`, at "
    "i * (n - 1) / (m - 1)",
}

ACTIVATIONS = {
    "relu": "max(x, 0)",
    "relu6": "min(max(x, 0), 6)",
    "leaky_relu": "x if x > 0 else 0.01 * x",
    "elu": "x if x > 0 else exp(x) - 1",
    "gelu": "x * P(X <= x) of a standard normal X, exact",
    "gelu_tanh": "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2, near `gelu`",
    "quick_gelu": "x * sigmoid(1.702 * x), near `gelu`",
    "sigmoid": "1 / (1 + exp(-x))",
    "hard_sigmoid": "relu6(x + 3) / 6",
    "tanh": "tanh(x)",
    "hard_tanh": "min(max(x, -1), 1)",
    "swish": "x * sigmoid(x), also called SiLU",
    "hard_swish": "x * hard_sigmoid(x)",
    "mish": "x * tanh(log(1 + exp(x)))",
    "softplus": "log(1 + exp(x))",
    "softmax": "exp(x) / sum(exp(x)) over the channels",
}


@dataclass(frozen=True, slots=True)
class Type:
    """What a parameter may hold; with `optional`, also none."""

    kind: str
    optional: bool = False

    def __str__(self) -> str:
        return self.kind + "?" * self.optional

    def take(self, value: object, what: str) -> Value:
        """`value` as this type; `what` names the parameter. Raises `Invalid` (E031, E034)."""
        if value is None:
            if self.optional or self.kind == "activation":
                return None
            raise Invalid("E034", f"{what} is `none`; it must be {KINDS[self.kind].doc}")
        return KINDS[self.kind].take(value, what)


@dataclass(frozen=True, slots=True)
class Kind:
    doc: str
    take: Callable[[object, str], Value]
    words: Collection[str] = ()
    """Words that mean something for this kind where an expression is expected."""


def _wrong(value: object, what: str, wanted: str, hint: str | None = None) -> Invalid:
    return Invalid("E034", f"{what} is {quote(show(value))}; it must be {wanted}", hint)


def _int(value: object, what: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        hint = "use `floor`, `round` or `round_channels`" if isinstance(value, float) else None
        raise _wrong(value, what, "a whole number", hint)
    _check_size(value, what)
    return value


def _float(value: object, what: str) -> float:
    if type(value) is not int and type(value) is not float:
        raise _wrong(value, what, "a number")
    _check_size(value, what)
    return float(value)


def _check_size(value: float, what: str) -> None:
    """Refuses infinity, what is no number, and what would not survive as a float."""
    if not -LARGEST <= value <= LARGEST:
        raise Invalid("E035", f"{what} is not a number between -2**53 and 2**53")


def _bool(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, what, "`true` or `false`")
    return value


def _numbers(wanted: str, *lengths: int) -> Callable[[object, str], tuple[int, ...]]:
    """Takes a list of whole numbers."""

    def take(value: object, what: str) -> tuple[int, ...]:
        if not isinstance(value, tuple) or len(value) not in lengths:
            raise _wrong(value, what, wanted)
        return tuple(_int(item, what) for item in value)

    return take


_PAIR = _numbers("a whole number, or `[height, width]`", 2)
_SIDES = "four numbers, `[top, bottom, left, right]`"
_FOUR = _numbers(_SIDES, 4)


def _size(value: object, what: str) -> tuple[int, ...]:
    """One number for both sides, or a height and a width."""
    return _PAIR(value if isinstance(value, tuple) else (value, value), what)


def _of_channels(value: object, what: str) -> Value:
    """One number, or one for each channel."""
    if not isinstance(value, tuple):
        return _float(value, what)
    if not value:
        raise _wrong(value, what, KINDS["numbers"].doc)
    return tuple(_float(item, what) for item in value)  # type: ignore[misc]


def _around(value: object) -> str | None:
    """How to write pads given as frameworks take them: one number, or one for each axis."""
    sides = value if isinstance(value, tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 0 for side in sides):
        return None
    rows, columns = sides
    return f"write `{show((rows, rows, columns, columns))}`"


def _sides(value: object, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) != 4:
        raise _wrong(value, what, _SIDES, _around(value))
    sides = _FOUR(value, what)
    if not all(0 <= side <= 4096 for side in sides):
        raise Invalid("E035", f"{what} is {quote(show(value))}; each must be between 0 and 4096")
    return sides


def _word(words: dict[str, str], code: str, more: str = "") -> Callable[[object, str], str]:
    """Takes one of the `words`; a message says what `more` it may be."""

    def take(value: object, what: str) -> str:
        if isinstance(value, str) and value in words:
            return value
        hint = suggest(value, words) if isinstance(value, str) else None
        raise Invalid(
            code, f"{what} is {quote(show(value))}; it must be {choices(words)}{more}", hint
        )

    return take


def _padding(words: dict[str, str]) -> Callable[[object, str], Value]:
    wanted = choices(words) + ", or `[top, bottom, left, right]`"
    word = _word(words, "E034", ", or `[top, bottom, left, right]`")

    def take(value: object, what: str) -> Value:
        if isinstance(value, tuple):
            return _sides(value, what)
        around = None if isinstance(value, bool) else _around(value)
        if around is not None:
            hint = f"{around}, or `symmetric` for half of the kernel on every side"
            raise _wrong(value, what, wanted, hint)
        return word(value, what)

    return take


def _initializer(value: object, what: str) -> Initializer:
    return value if isinstance(value, Initializer) else NAMED[_INITIALIZER_WORD(value, what)]


_INITIALIZER_WORD = _word(INITIALIZERS, "E034", ", or a call such as `normal(0.01)`")
_ACTIVATION = _word(ACTIVATIONS, "E031", ", or `none`")
_SHAPE = "`[channels]` or `[channels, height, width]`"

KINDS = {
    "int": Kind("a whole number", _int),
    "float": Kind("a number", _float),
    "bool": Kind("`true` or `false`", _bool),
    "size": Kind("a whole number, or `[height, width]`", _size),
    "numbers": Kind("a number, or a list with one for each channel", _of_channels),
    "sides": Kind("`[top, bottom, left, right]`", _sides),
    "shape": Kind(_SHAPE, _numbers(_SHAPE, 1, 3)),
    "padding": Kind(
        "`same`, `symmetric`, `valid` or `[top, bottom, left, right]`", _padding(PADDINGS), PADDINGS
    ),
    "pool_padding": Kind(
        "`same`, `zeros`, `symmetric`, `valid` or `[top, bottom, left, right]`",
        _padding(POOL_PADDINGS),
        POOL_PADDINGS,
    ),
    "interpolation": Kind(choices(INTERPOLATIONS), _word(INTERPOLATIONS, "E034"), INTERPOLATIONS),
    "axes": Kind("`channels` or `space`", _word(AXES, "E034"), AXES),
    "activation": Kind(
        "an activation, or `none`",
        lambda value, what: value if isinstance(value, Definition) else _ACTIVATION(value, what),
        ACTIVATIONS,
    ),
    "initializer": Kind("an initializer", _initializer, INITIALIZERS),
}
