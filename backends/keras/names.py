"""What Keras calls a layer: its path, with a character that all of Keras's backends take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archc.backends.python.text import Text
from archc.compiler.language.expressions import Value

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


@dataclass(frozen=True, slots=True)
class LayerName(Text):
    """The name of a layer as the text of an argument."""

    name: str
    """The call's within its block, or the row's."""
    within: bool
    """Whether the block's own name, which the function is given, goes before."""
    suffix: str = ""
    label: str | None = None
    """The activation that the layer applies."""
    given: bool = False
    """Whether `label` names the argument that says the activation, and is not the word itself."""

    def labelled(self, arguments: Mapping[str, Value]) -> str:
        """What stands after the path for an op with these arguments."""
        if self.label is None:
            return self.suffix
        return f"{LABEL}{arguments['act'] if self.given else self.label}"

    def __str__(self) -> str:
        word = f"{{{self.label}}}" if self.given else self.label
        label = "" if word is None else f"{LABEL}{word}"
        own = f"{layer_name(self.name)}{self.suffix}{label}"
        text = f"{{name}}{SEPARATOR}{own}" if self.within else own
        return f'f"{text}"' if "{" in text else f'"{text}"'
