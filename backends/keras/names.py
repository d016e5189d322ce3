"""What Keras calls a layer: its path, with a character that all of Keras's backends take."""

from __future__ import annotations

SEPARATOR = "-"
"""Stands for the dots of a path. Keras forbids `/`, its PyTorch backend also `.`; no name of a
spec has a `-`."""


LABEL = "--"
"""Stands before the activation that a layer applies, so that summaries show it; no part of the
path."""


def layer_name(path: str) -> str:
    """`blocks.3.expand.conv` -> `blocks-3-expand-conv`."""
    return path.replace(".", SEPARATOR)


def path(layer_name: str) -> str:
    """`blocks-3-expand-act--relu` -> `blocks.3.expand.act`."""
    return layer_name.split(LABEL)[0].replace(SEPARATOR, ".")
