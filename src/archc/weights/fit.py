"""Whether the arrays of a file are those of a network: every one of either side, by name; or, where
that is asked for, which of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from archc.api import dims
from archc.backends.storage import DTYPE, Arrays, Shape, Tensor, WeightsError
from archc.compiler.language.problems import printable, quote
from archc.weights import wrappers

SHOWN = 20
"""Most tensors that a message lists of each kind."""
LONGEST = 120
"""Most characters of a tensor's name that a message shows."""
STATISTICS = {"running_mean", "running_var"}
Misfits = Mapping[str, list[str]]
"""What is said of each tensor that does not fit, by what is wrong with it."""


def show(shape: Shape) -> str:
    """`32x3x3x3`."""
    return dims(shape) or "a single number"


def _safe(name: str) -> str:
    """What a file calls something, on one short line that is safe to print."""
    text = printable(name)
    return f"{text[:LONGEST]}..." if len(text) > LONGEST else text


def fits(tensor: Tensor, shape: Shape) -> bool:
    """Whether an array of `shape` is the tensor's. A convolution over all of its input is a dense
    layer too, and one of 1x1."""
    convolutions = ((*tensor.shape, 1, 1), (1, 1, *tensor.shape)) if tensor.op == "dense" else ()
    return shape in (tensor.shape, *convolutions, *as_matrix(tensor))


def as_matrix(tensor: Tensor) -> tuple[Shape, ...]:
    """The shape of the matrix that has a convolution's numbers in the same order, if it is one."""
    shape = tensor.shape
    if tensor.op != "conv2d" or len(shape) != 4:
        return ()
    first = tensor.layout[0] == "O"
    return ((shape[0], prod(shape[1:])) if first else (prod(shape[:3]), shape[3]),)


@dataclass(frozen=True, slots=True)
class Match:
    """What of a file is a network's."""

    arrays: Arrays
    """By the names that the network's tensors should have in the file."""
    wrong: Misfits
    remarks: tuple[str, ...]
    """What was read in another way than the file says it."""

    def left(self, wanted: Mapping[str, Tensor]) -> list[str]:
        """The paths of the network's tensors that the file does not have."""
        return [tensor.path for name, tensor in wanted.items() if name not in self.arrays]


def match(
    what: str,
    network: str,
    wanted: Mapping[str, Tensor],
    found: Arrays,
    said: str = "",
    partial: bool = False,
    origins: Mapping[str, str] | None = None,
) -> Match:
    """The arrays of a file that are the network's.

    `wanted` are its tensors by the names that they should have in the file, `said` is which other
    network the file says that it is of, and `origins` says where names come from. Raises
    `WeightsError` unless names, shapes and types of both sides agree: of a `partial` match only
    where nothing does, or types do not.
    """
    prefix = wrappers.before_any(wanted, found)
    found = {name.removeprefix(prefix): array for name, array in found.items()}
    wrong = misfits(wanted, found)
    fitting = {n: found[n] for n, t in wanted.items() if n in found and fits(t, found[n].shape)}
    if counted(wrong) and not (partial and fitting and not wrong["mistyped"]):
        head = f"{what}: these are no weights of {network}; tensors: {counted(wrong)}"
        notes = [f"  = note: the file says that it is for {said}"] if said else []
        notes += _origin(wanted, found, origins or {})
        help = _help(wanted, found, bool(fitting) and not partial)
        raise WeightsError("\n".join([head, *lines(wrong), *notes, *help]))
    return Match(fitting, wrong, left_out(prefix))


def left_out(prefix: str) -> tuple[str, ...]:
    """What to say of what stands before all names."""
    return (f"all names start with {quote(prefix)}, which is left out",) if prefix else ()


def _origin(wanted: Iterable[str], found: Arrays, origins: Mapping[str, str]) -> list[str]:
    """Where the name of the first tensor comes from that the file does not have."""
    missing = [name for name in wanted if name not in found and name in origins]
    return [f"  = note: {origins[name]} says {quote(name)}" for name in missing[:1]]


def counted(wrong: Misfits) -> str:
    """`3 missing, 1 surplus`."""
    return ", ".join(f"{len(names):,} {kind}" for kind, names in wrong.items() if names)


def misfits(wanted: Mapping[str, Tensor], found: Arrays) -> Misfits:
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


def lines(wrong: Misfits) -> Iterator[str]:
    """At most `SHOWN` of each kind."""
    for kind, said in wrong.items():
        yield from (f"  {kind}: {line}" for line in said[:SHOWN])
        if len(said) > SHOWN:
            yield f"  {kind}: and {len(said) - SHOWN:,} more"


def _help(wanted: Mapping[str, Tensor], found: Arrays, some: bool) -> Iterator[str]:
    missing = {tensor.weight for name, tensor in wanted.items() if name not in found}
    present = {tensor.weight for name, tensor in wanted.items() if name in found}
    if some and missing > STATISTICS and not present & STATISTICS:
        said = "its batch norms seem to be folded already; name the file that was trained"
        yield f"  = help: {said}"
    elif missing and missing <= STATISTICS:
        said = "the batch norms' running averages are missing; save buffers, not parameters alone"
        yield f"  = help: {said}"
    elif any(found[name].dtype != DTYPE for name in wanted.keys() & found.keys()):
        yield f"  = help: convert the weights to {DTYPE} in their own framework first"
    elif some:
        yield "  = help: `convert` and `import` take what fits with --partial; the rest stays fresh"
