"""Whether the arrays of a file are those of a network: every one of either side, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archc.api import dims
from archc.backends.storage import DTYPE, Arrays, Shape, Tensor, WeightsError
from archc.compiler.language.problems import printable

SHOWN = 20
"""Most tensors that a message lists of each kind."""
LONGEST = 120
"""Most characters of a tensor's name that a message shows."""
STATISTICS = {"running_mean", "running_var"}


def show(shape: Shape) -> str:
    """`32x3x3x3`."""
    return dims(shape) or "a single number"


def _safe(name: str) -> str:
    """What a file calls something, on one short line that is safe to print."""
    text = printable(name)
    return f"{text[:LONGEST]}..." if len(text) > LONGEST else text


def fits(tensor: Tensor, shape: Shape) -> bool:
    """Whether an array of `shape` is the tensor's. A 1x1 convolution is a dense layer too."""
    convolutions = ((*tensor.shape, 1, 1), (1, 1, *tensor.shape)) if tensor.op == "dense" else ()
    return shape in (tensor.shape, *convolutions)


def require(
    what: str, network: str, wanted: Mapping[str, Tensor], found: Arrays, said: str = ""
) -> None:
    """Raises `WeightsError` unless names, shapes and types of both sides agree.

    `wanted` are the network's tensors by the names that they should have in the file, and `said` is
    which network the file says that it is of.
    """
    wrong = _misfits(wanted, found)
    counts = ", ".join(f"{len(names):,} {kind}" for kind, names in wrong.items() if names)
    if counts:
        head = f"{what}: these are no weights of {network}; tensors: {counts}"
        notes = [f"  = note: the file says that it is for {said}"] if said else []
        raise WeightsError("\n".join([head, *_lines(wrong), *notes, *_help(wanted, found)]))


def _misfits(wanted: Mapping[str, Tensor], found: Arrays) -> dict[str, list[str]]:
    """What to say of each tensor that does not fit, by what is wrong with it."""
    both = [(name, tensor, found[name]) for name, tensor in wanted.items() if name in found]
    return {
        "missing": [f"{n} ({show(t.shape)})" for n, t in wanted.items() if n not in found],
        "surplus": [f"{_safe(n)} ({show(a.shape)})" for n, a in found.items() if n not in wanted],
        "misshapen": [
            f"{name} is {show(array.shape)}; the spec says {show(tensor.shape)}"
            for name, tensor, array in both
            if not fits(tensor, array.shape)
        ],
        "mistyped": [
            f"{name} is {_safe(array.dtype)}, not {DTYPE}"
            for name, _, array in both
            if array.dtype != DTYPE
        ],
    }


def _lines(wrong: Mapping[str, list[str]]) -> Iterator[str]:
    """At most `SHOWN` of each kind."""
    for kind, said in wrong.items():
        yield from (f"  {kind}: {line}" for line in said[:SHOWN])
        if len(said) > SHOWN:
            yield f"  {kind}: and {len(said) - SHOWN:,} more"


def _help(wanted: Mapping[str, Tensor], found: Arrays) -> Iterator[str]:
    missing = {tensor.weight for name, tensor in wanted.items() if name not in found}
    if missing and missing <= STATISTICS:
        said = "the batch norms' running averages are missing; save buffers, not parameters alone"
        yield f"  = help: {said}"
    elif any(found[name].dtype != DTYPE for name in wanted.keys() & found.keys()):
        yield f"  = help: convert the weights to {DTYPE} in their own framework first"
