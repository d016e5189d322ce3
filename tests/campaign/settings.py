"""Settings of every kind that Python has, for parameters of every type: values or problems.

They are given as the API takes them, and as texts, which is how `--set` gives them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from archc import backends
from archc.api import load
from archc.compiler.language.problems import SpecError
from archc.compiler.language.values import KINDS
from archc.compiler.pipeline import compile_program

from ._hostile import in_time, start_clock, told, unprintable
from ._specs import NETWORK, Maker

SPECS = Path(__file__).resolve().parents[2] / "specs"
RANDOM_NETWORKS = 12
DEFAULTS = {
    "int": "4", "float": "0.5", "bool": "true", "size": "3", "sides": "[1, 1, 1, 1]",
    "numbers": "[1, 2.5, 4]", "shape": "[3, 8, 8]", "padding": "same", "pool_padding": "same",
    "activation": "relu", "initializer": "he_normal", "interpolation": "nearest", "axes": "space",
}  # fmt: skip
USES = """
input: {channels: 3, height: 8, width: 8}
network:
  - {block: rescale, scale: numbers, offset: numbers_kept}
  - {block: zero_pad2d, padding: sides}
  - {block: crop2d, cropping: sides_or_none if sides_or_none else sides}
  - {block: reshape, shape: shape}
  - {block: conv2d, name: a, filters: int, kernel: size, padding: padding, bias: bool, init: initializer}
  - {block: conv2d, name: b, filters: 4, kernel: size_or_none if size_or_none else 1}
  - {block: activation, act: activation}
  - {block: max_pool2d, kernel: 2, padding: pool_padding}
  - {block: resize, scale: 1, method: interpolation}
  - {block: mean, over: axes}
  - {block: activation, name: c, act: activation_kept}
  - {block: dropout, rate: float}
  - {block: global_avg_pool2d}
  - {block: dropout, name: d, rate: float_kept}
  - {block: dense, units: int_kept, bias: bool_kept}
"""  # noqa: E501


class _Number(int):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __index__ = __str__  # type: ignore[assignment]


class _Float(float):
    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    __hash__ = float.__hash__
    __lt__ = __gt__ = __le__ = __ge__ = __eq__  # type: ignore[assignment]


class _Text(str):
    def __str__(self) -> str:
        return "\x1b[2J"

    def __len__(self) -> int:
        return 10**9

    __slots__ = ()


class _List(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield 1


class _Anything:
    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *arguments: Any) -> Any:
        return self

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __str__(self) -> str:
        return "\x1b]0;title\x07" * 10**4

    __repr__ = __str__


class _Raising:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("of no class")

    def item(self) -> Any:
        raise MemoryError


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


WORDS = """
    0 1 -1 2 3 4 8 0.5 1.0 1e3 1e400 1e-400 nan inf -inf true false none null ~ [] [1] [3,3] [1,2,3] [1,2,3,4]
    relu swish frelu softmax same valid symmetric he_normal x x.channels 1/0 2**3 9**9 1//0 5%0 min(1,2) max()
    round(0.5) floor(1,2) round_channels(1,0) round_channels(-1) [[1]] [1,[2]] (1 1) 'a' "a" \\ # {} {x} %s
    9007199254740992 9007199254740993 99999999999999999999999999 1e23 0x10 1_000 ١٢ ½ -0.0 not- --1 1if2else3
    """.split()  # noqa: SIM905, E501
VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda word=word: word for word in WORDS),
    lambda: "", lambda: " ", lambda: "\n", lambda: "\0", lambda: "\x1b[2J", lambda: "\ud800",
    lambda: "9" * 10**5, lambda: "(" * 10**4, lambda: "-" * 10**4, lambda: "1+" * 10**5 + "1",
    lambda: "[" + "1," * 10**5 + "]", lambda: "a" * 10**6, lambda: "画" * 3000,
    lambda: 0, lambda: 1, lambda: -1, lambda: 3, lambda: 8, lambda: 2**53, lambda: 2**53 + 1,
    lambda: 2**63, lambda: 10**5000, lambda: -(10**5000), lambda: 0.5, lambda: 1.0, lambda: -0.0,
    lambda: 1e308, lambda: 5e-324, lambda: float("nan"), lambda: float("inf"),
    lambda: -float("inf"),
    lambda: True, lambda: False, lambda: None, lambda: ..., lambda: NotImplemented,
    lambda: b"", lambda: b"relu", lambda: bytearray(b"1"), lambda: memoryview(b"1"), lambda: 1j,
    lambda: [], lambda: [3, 3], lambda: (1, 2, 3, 4), lambda: [3, 8, 8], lambda: [0] * 10**6,
    lambda: ["relu"], lambda: [None], lambda: [1.5, 2.5], lambda: [True, False],
    lambda: [10**5000] * 2,
    lambda: _nested(3), lambda: _nested(10**4), _circle, lambda: {1, 2}, lambda: {"a": 1},
    lambda: range(3), lambda: iter([1, 2]), lambda: frozenset(), lambda: slice(1), lambda: int,
    lambda: np.int8(3), lambda: np.int64(2**62), lambda: np.uint64(2**64 - 1),
    lambda: np.float16(0.5),
    lambda: np.float32("nan"), lambda: np.float64("inf"), lambda: np.longdouble("1e4000"),
    lambda: np.bool_(True), lambda: np.str_("relu"), lambda: np.bytes_(b"1"),
    lambda: np.complex64(1),
    lambda: np.array(3), lambda: np.array([3]), lambda: np.array([3, 3]), lambda: np.zeros((2, 2)),
    lambda: np.array(["relu"]), lambda: np.array([None, 1], dtype=object), lambda: np.zeros(10**6),
    lambda: np.datetime64("NaT"), lambda: np.ma.masked, lambda: [np.int64(3), np.float32(3)],
    lambda: Decimal("NaN"), lambda: Decimal("1e999999"), lambda: Fraction(1, 3), Path,
    lambda: _Number(3), lambda: _Number(10**5000), lambda: _Float(0.5), lambda: _Float("nan"),
    lambda: _Text("relu"), lambda: _Text("1"), lambda: _List([1, 2]), _Anything, _Raising,
    lambda: [_Anything()], lambda: [_Number(3), _Float(3)], lambda: lambda: 3,
    lambda: Exception("x"),
)  # fmt: skip


def _all_types(folder: Path) -> Path:
    """A network with a parameter of every type: as it is, kept, and one that may be none."""
    lines = ["archc: 1", "name: AllTypes", "params:"]
    for kind in KINDS:
        default = DEFAULTS[kind]
        lines.append(f"  {kind}: {{type: {kind}, default: {default}}}")
        lines.append(f"  {kind}_kept: {{type: {kind}, default: {default}, keep: true}}")
        lines.append(f"  {kind}_or_none: {{type: {kind}?}}")
    path = folder / "all_types.yaml"
    path.write_text("\n".join(lines) + USES, encoding="utf-8")
    return path


def _specs(folder: Path, seed: int) -> list[Path]:
    """Specs that have parameters."""
    found = [_all_types(folder)] * 20 + sorted(SPECS.glob("*.yaml"))
    for number in range(RANDOM_NETWORKS):
        own = folder / str(number)
        own.mkdir()
        Maker(f"{seed} {number}", own).make()
        found.append(own / NETWORK)
    return [path for path in found if compile_program(path)[0].parameters]


def run(count: int, seed: int) -> Iterator[str]:
    with TemporaryDirectory() as name:
        specs = _specs(Path(name), seed)
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            path = chance.choice(specs)
            names = [p.name for p in compile_program(path)[0].parameters]
            chosen = chance.sample(names, min(len(names), chance.choice((1, 1, 1, 2, 3))))
            which = [chance.randrange(len(VALUES)) for _ in chosen]
            said = _failure(path, dict(zip(chosen, which, strict=True)))
            if said:
                given = ", ".join(f"{n}: value {i}" for n, i in zip(chosen, which, strict=True))
                yield f"--seed {seed}, input {number}: {path.name}, {given}: {said}"


def _failure(path: Path, settings: dict[str, int]) -> str | None:
    """What is wrong with how settings, which are numbers of values, are taken."""
    try:
        with in_time():
            return "; ".join(_wrong(path, {name: VALUES[n]() for name, n in settings.items()}))
    except BaseException as error:  # whatever it is, it is a failure to be told
        return told(error)


def _wrong(path: Path, settings: dict[str, Any]) -> Iterator[str]:
    try:
        net = load(path, **settings)
    except SpecError as error:
        yield from unprintable(error)
        return
    for backend in backends.sources():
        start_clock()
        compile(net.source(backend), f"{backend}.py", "exec")
