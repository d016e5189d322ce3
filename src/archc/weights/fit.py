"""Whether the arrays of a file are those of a network: every one of either side, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archc.backends.storage import DTYPE, Arrays, Shape, Tensor, WeightsError
from archc.compiler.language.problems import printable

SHOWN = 20
"""Most tensors that a message lists of each kind."""
LONGEST = 120
"""Most characters of a tensor's name that a message shows."""
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Misfits:
    """A line for each tensor that does not fit."""

    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    misshapen: tuple[str, ...]
    mistyped: tuple[str, ...]
    hint: str | None

    def __bool__(self) -> bool:
        return any((self.missing, self.surplus, self.misshapen, self.mistyped))

    def lines(self) -> Iterator[str]:
        """At most `SHOWN` of each kind, and the hint."""
        for kind in ("missing", "surplus", "misshapen", "mistyped"):
            said: tuple[str, ...] = getattr(self, kind)
            yield from (f"  {kind}: {line}" for line in said[:SHOWN])
            if len(said) > SHOWN:
                yield f"  {kind}: and {len(said) - SHOWN:,} more"
        if self.hint:
            yield f"  = help: {self.hint}"


def show(shape: Shape) -> str:
    """`32x3x3x3`."""
    return "x".join(map(str, shape)) or "a single number"


def _safe(name: str) -> str:
    """What a file calls something, on one short line that is safe to print."""
    text = printable(name)
    return f"{text[:LONGEST]}..." if len(text) > LONGEST else text


def fits(tensor: Tensor, shape: Shape) -> bool:
    """Whether an array of `shape` is the tensor's. A 1x1 convolution is a dense layer too."""
    convolutions = ((*tensor.shape, 1, 1), (1, 1, *tensor.shape)) if tensor.op == "dense" else ()
    return shape in (tensor.shape, *convolutions)


def misfits(wanted: Mapping[str, Tensor], found: Arrays) -> Misfits:
    """`wanted` are the network's tensors by the names that they should have in the file."""
    missing = [name for name in wanted if name not in found]
    both = [(wanted[name], found[name], name) for name in wanted if name in found]
    wrong = [
        f"{name} is {show(array.shape)}; the spec says {show(tensor.shape)}"
        for tensor, array, name in both
        if not fits(tensor, array.shape)
    ]
    types = [f"{name} is {_safe(a.dtype)}, not {DTYPE}" for _, a, name in both if a.dtype != DTYPE]
    return Misfits(
        tuple(f"{name} ({show(wanted[name].shape)})" for name in missing),
        tuple(f"{_safe(name)} ({show(found[name].shape)})" for name in found if name not in wanted),
        tuple(wrong),
        tuple(types),
        _hint([wanted[name] for name in missing], bool(types)),
    )


def _hint(missing: list[Tensor], mistyped: bool) -> str | None:
    if missing and all(tensor.weight in STATISTICS for tensor in missing):
        return "the batch norms' running averages are missing; save buffers, not parameters alone"
    if mistyped:
        return f"convert the weights to {DTYPE} in their own framework first"
    return None


def require(what: str, network: str, wanted: Mapping[str, Tensor], found: Arrays) -> None:
    """Raises `WeightsError` unless names, shapes and types of both sides agree."""
    wrong = misfits(wanted, found)
    if not wrong:
        return
    counts = {kind: len(getattr(wrong, kind)) for kind in wrong.__slots__ if kind != "hint"}
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    head = f"{what}: these are no weights of {network}; tensors: {said}"
    raise WeightsError("\n".join([head, *wrong.lines()]))
