"""What records of several ops are made of: parameters, checks of shapes, common rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archc.compiler.ir.network import Arguments, Parameter, Tensor, WeightRule
from archc.compiler.ir.padding import output_size
from archc.compiler.language.expressions import Literal, Node, Value, compact
from archc.compiler.language.initializers import GLOROT_UNIFORM, ZEROS, Initializer
from archc.compiler.language.problems import Invalid, Place, Source
from archc.compiler.language.values import Type

_HERE = Place(Source("the catalogue", ""), 1, 1)
MAX_CHANNELS = 2**20
MAX_KERNEL = 1024


def parameter(name: str, kind: str, doc: str, default: Value = None, **more: Any) -> Parameter:
    """A parameter of an op; it is required where there is no default, and no `?` after its type."""
    literal = None if default is None else Literal(default, _HERE)
    optional = kind.endswith("?")
    return Parameter(name, Type(kind.removesuffix("?"), optional), literal, doc=doc, **more)


KERNEL = parameter("kernel", "size", "height and width of the window", min=1, max=MAX_KERNEL)
STRIDE = parameter("stride", "size", "step of the window", 1, min=1, max=MAX_KERNEL)
BIAS = parameter("bias", "bool", "whether a bias is added", True)


def initial(
    name: str, doc: str, usual: Initializer | None = None, fanless: bool = True
) -> Parameter:
    """A parameter that says how an array starts."""
    return parameter(name, "initializer", doc, usual, fixed=True, fanless=fanless)


INIT = initial("init", "distribution of a fresh kernel", GLOROT_UNIFORM, fanless=False)
BIAS_INIT = initial("bias_init", "values of a fresh bias", ZEROS, fanless=False)


def bias(kernel: WeightRule | None = None, name: str = "bias", role: str = "bias") -> WeightRule:
    """A bias for each output of a `kernel`, where the argument `bias` asks for it."""
    return WeightRule(
        name=name,
        role=role,
        axes=("O",),
        shape=lambda a, y, x: (y.channels,),
        init="bias_init",
        initializer="zeros",
        switch="bias",
        kernel=kernel,
    )


def integer(value: Value) -> int:
    assert isinstance(value, int)
    return value


def pair(value: Value) -> tuple[int, int]:
    assert isinstance(value, tuple)
    return value[0], value[1]


def four(value: Value) -> tuple[int, int, int, int]:
    assert isinstance(value, tuple)
    return value[0], value[1], value[2], value[3]


def need_map(x: Tensor, what: str) -> tuple[int, int]:
    """Height and width of a feature map. Raises `Invalid` for a vector."""
    if x.height is None or x.width is None:
        hint = "put it before the pooling or flattening that made the vector"
        raise Invalid("E043", f"`{what}` needs a feature map, but gets a vector of {x}", hint)
    return x.height, x.width


def need_divisible(channels: int, count: int, what: str, parts: str = "groups") -> None:
    if channels % count:
        raise Invalid("E042", f"{channels} {what} do not divide into {count} {parts}")


def window(a: Arguments, x: Tensor, channels: int, what: str) -> Tensor:
    """Shape rule of everything that slides a window over a feature map."""
    sides = need_map(x, what)
    kernel, stride = pair(a["kernel"]), pair(a["stride"])
    dilation = pair(a.get("dilation", (1, 1)))
    padding = a["padding"]
    ceil = a.get("ceil_mode") is True
    height, width = (
        output_size(padding, sides[i], kernel[i], stride[i], dilation[i], i, ceil) for i in (0, 1)
    )
    strides = (x.strides[0] * stride[0], x.strides[1] * stride[1])
    return Tensor(channels, height, width, strides)


def of_kernel(given: Mapping[str, Node], fed: bool) -> bool:
    """Whether a window is seen to leave one cell where there is one: it is no larger itself."""
    kernel = given.get("kernel")
    return fed and isinstance(kernel, Literal) and compact(kernel.value) == 1


def never(given: Mapping[str, Node], fed: bool) -> bool:
    return False


def always(given: Mapping[str, Node], fed: bool) -> bool:
    return True


def strides(x: Tensor, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """Total downsampling where the rows and columns of `x` become so many; a vector counts as one.

    It is that of the declared size, like the shape itself, and 1 at least.
    """
    rows, columns = x.strides[0] * (x.height or 1), x.strides[1] * (x.width or 1)
    return max(1, rows // (height or 1)), max(1, columns // (width or 1))


def unchanged(a: Arguments, x: Tensor) -> Tensor:
    return x


def elements(a: Arguments, y: Tensor, *inputs: Tensor) -> int:
    """An operation for each element of the output and each input after the first."""
    return y.size * max(1, len(inputs) - 1)
