"""Curves of activations: of those that are words, and of blocks that stand for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.api import Net, load_with
from archc.compiler.ir.analysis import weights
from archc.compiler.ir.network import Weight
from archc.compiler.language.problems import SpecError, printable
from archc.compiler.spec.given import source_of
from archc.compiler.spec.load import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("relu", "relu6", "leaky_relu", "elu"),
    ("swish", "hard_swish", "mish", "softplus"),
    ("gelu", "gelu_tanh", "quick_gelu"),
    ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh"),
)
"""Which curves stand together."""

STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#555555", ":"))
"""Colours that a colour-blind reader tells apart, and dashes for where curves meet."""

SHIPPED = "blocks/activations.yaml"
"""The library of the activations that own weights."""
AROUND = (-4, 0, 4)
"""What stands around a value."""
SIDE, CHANNELS = 7, 8
"""Of the map that a block sees: it looks at no more of it than it would in a network."""
POINTS = 801
"""Of a curve, from -8 to 8."""


class NoCurves(ValueError):
    """There is nothing to draw; the text says why."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that stand together."""

    title: str
    curves: Mapping[str, Any]
    """What each gives for every x, by name."""


def draw(path: Path, kind: str, libraries: Sequence[str] = (SHIPPED,)) -> None:
    """Draws the curves into `path`, a file of the given kind, "png" or "svg": those of all words,
    and those of each block of the `libraries` that stands wherever an activation does.

    Raises `ModuleNotFoundError` without matplotlib or NumPy, `SpecError` and `NoCurves`.
    """
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = np.linspace(-8, 8, POINTS)
    panels = [*_words(x), *(panel for library in libraries for panel in blocks(library, x))]
    rows = (len(panels) + 1) // 2
    # Nothing in the file says when it was made: the same curves give the same bytes.
    with pyplot.rc_context({"svg.hashsalt": "archc", "font.size": 9, "axes.titlesize": 9}):
        figure, axes = pyplot.subplots(rows, 2, figsize=(9, 3.25 * rows), layout="constrained")
        for panel, place in zip(panels, axes.flat, strict=False):
            _draw(panel, x, place)
        for place in axes.flat[len(panels) :]:
            place.set_axis_off()
        metadata = {"Date": None, "Creator": "archc"} if kind == "svg" else {"Software": "archc"}
        figure.savefig(path, dpi=144, metadata=metadata, format=kind)
        pyplot.close(figure)


def _draw(panel: Panel, x: Any, place: Axes) -> None:
    for (name, y), (colour, dashes) in zip(panel.curves.items(), STYLES, strict=False):
        place.plot(x, y, dashes, color=colour, label=name, linewidth=1.8)
    place.set_title(panel.title, parse_math=False)
    place.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    place.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    place.legend(frameon=False, loc="upper left")
    place.spines[["top", "right"]].set_visible(False)


def _words(x: Any) -> Iterator[Panel]:
    from archc.live.interpreter import ACTIVATIONS

    for names in PANELS:
        yield Panel("", {name: ACTIVATIONS[name](x) for name in names})


# ----------------------------------------------------------------------------------------- blocks


def blocks(library: str, x: Any) -> list[Panel]:
    """Those of a library, shipped or in a file. Raises `SpecError`, and `NoCurves`."""
    found = [*_found(library, x)]
    if not found:
        raise NoCurves(f"{library}: no block of it can stand for an activation.")
    return found


def _found(library: str, x: Any) -> Iterator[Panel]:
    for name in _names(library):
        try:
            net = _alone(library, name)
        except SpecError:
            continue  # it takes several tensors, or arguments that no activation is given
        if net.output_shape == net.input_shape:
            yield Panel(*_curves(net, name, x))


def _names(library: str) -> list[str]:
    from archc.compiler.spec.load import find

    files, problems = load(find(library, Path("here")))
    if problems or files is None or files.spec is None:
        raise SpecError(problems)
    return [*files.spec.blocks]


def _alone(library: str, name: str) -> Net:
    """A network of one block."""
    spec = {
        "archc": 1,
        "name": "Curve",
        "use": [library],
        "input": {"channels": CHANNELS, "height": SIDE, "width": SIDE},
        "network": [{"block": name}],
    }
    return load_with(source_of(spec), {}, [Path(library).parent])


def _curves(net: Net, name: str, x: Any) -> tuple[str, dict[str, Any]]:
    """The title and the curves of a block: one for each value around, or one where none counts."""
    import numpy as np

    found = {n: _curve(net, x, n) for n in AROUND}
    if all(np.array_equal(each, found[0]) for each in found.values()):
        return printable(name), {printable(name): found[0]}
    said = f"{printable(name)}: kernels take means, all else as it starts"
    return said, {f"{n} all around": each for n, each in found.items()}


def _curve(net: Net, x: Any, around: float) -> Any:
    """What a block gives at the middle of a map that is `x` there and `around` elsewhere."""
    import numpy as np

    from archc.live.interpreter import run

    batch = np.full((len(x), CHANNELS, SIDE, SIDE), float(around))
    batch[:, :, SIDE // 2, SIDE // 2] = x[:, None]
    arrays = {path: _stated(path, weight) for path, _, weight in weights(net.network)}
    return run(net.network, arrays, batch)[:, 0, SIDE // 2, SIDE // 2]


def _stated(path: str, weight: Weight) -> Any:
    """A kernel that takes the mean of all that it sees; any other array as it starts."""
    import numpy as np

    from archc.weights.fresh import drawn

    if weight.role.endswith("kernel"):
        return np.full(weight.shape, 1 / max(1, int(np.prod(weight.shape[1:]))))
    return drawn(path, weight)
