"""Pictures for the docs: the activations' curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_normal = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2, otypes=[float])


Formula = Callable[[Array], Array]

_sigmoid: Formula = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
_hard_sigmoid: Formula = lambda x: np.clip(x + 3, 0, 6) / 6  # noqa: E731
_inner: Formula = lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)  # noqa: E731


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "relu": lambda x: np.maximum(x, 0),
        "relu6": lambda x: np.clip(x, 0, 6),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "gelu": lambda x: x * _normal(x),
        "gelu_tanh": lambda x: x * (1 + np.tanh(_inner(x))) / 2,
        "sigmoid": _sigmoid,
        "hard_sigmoid": _hard_sigmoid,
        "tanh": np.tanh,
        "swish": lambda x: x * _sigmoid(x),
        "hard_swish": lambda x: x * _hard_sigmoid(x),
        "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    }
)
"""Every activation of single numbers, for float64 arrays; `softmax` is of whole vectors."""

PANELS = (
    ("relu", "relu6", "leaky_relu", "elu"),
    ("swish", "hard_swish", "mish"),
    ("gelu", "gelu_tanh"),
    ("sigmoid", "hard_sigmoid", "tanh"),
)
"""Which curves stand together."""

STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#555555", ":"))
"""Colours that a colour-blind reader tells apart, and dashes for where curves meet."""


def activations(path: Path, kind: str) -> None:
    """Draws the curves into `path`, a file of the given kind: "png" or "svg".

    Raises `ModuleNotFoundError` without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = np.linspace(-8, 8, 801)
    # Nothing in the file says when it was made: the same curves give the same bytes.
    with pyplot.rc_context({"svg.hashsalt": "archc", "font.size": 9}):
        figure, axes = pyplot.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
        for panel, names in zip(axes.flat, PANELS, strict=True):
            for name, (colour, dashes) in zip(names, STYLES, strict=False):
                panel.plot(x, FORMULAS[name](x), dashes, color=colour, label=name, linewidth=1.8)
            panel.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
            panel.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
            panel.legend(frameon=False, loc="upper left")
            panel.spines[["top", "right"]].set_visible(False)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, dpi=144, metadata=metadata, format=kind)
        pyplot.close(figure)
