"""Keras's Python: a block is a function on tensors, the network is one that makes the model.

Keras 3 alone, so that what is emitted runs on each of Keras's own backends.
"""

from __future__ import annotations

from pathlib import Path

from archc.backends.keras.initial import argument, shared_name
from archc.backends.keras.names import LayerName
from archc.backends.keras.ops import ACTIVATIONS, OPS
from archc.backends.python.functions import FunctionBlock, FunctionNetwork
from archc.backends.python.language import Language
from archc.backends.python.spelling import Use


def _activation(word: str, use: Use) -> str:
    """Keras's own by name, others as the function that makes the layer."""
    return f'"{word}"' if word in ACTIVATIONS else use(word)


LANGUAGE = Language(
    title="Keras",
    folder=Path(__file__).parent,
    names=("keras", "layers", "Callable", "require_channels_last"),
    local=("name",),
    ops=OPS,
    block=FunctionBlock,
    network=FunctionNetwork,
    activation=_activation,
    initializer=argument,
    block_name=str,
    channels_last=True,
    tensor="keras.KerasTensor",
    types={
        "activation": "str | Callable[..., keras.KerasTensor]",
        "word": "str",
        "initializer": "str | dict[str, object]",
    },
    open_activation=(
        "str | Callable[..., keras.KerasTensor]",
        "a name, a layer or a function of tensors",
    ),
    shared=("keras.initializers.", shared_name),
    layer_name=LayerName,
)
