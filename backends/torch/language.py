"""PyTorch's Python: a block is a class of modules, the network is one of its tables."""

from __future__ import annotations

from pathlib import Path

from archc.backends.python.language import Language
from archc.backends.python.module_network import ModuleNetwork
from archc.backends.python.modules import ModuleBlock
from archc.backends.python.text import camel_case
from archc.backends.torch.initial import function
from archc.backends.torch.ops import ACTIVATIONS, MAKE, OPS
from archc.compiler.language.names import taken

FOLDER = Path(__file__).parent

LANGUAGE = Language(
    title="PyTorch",
    folder=FOLDER,
    names=("torch", "nn", "F", "math", "Tensor", "Callable", "super", "init_weights", MAKE),
    ops=OPS,
    block=ModuleBlock,
    network=ModuleNetwork,
    activation=lambda word, use: use(ACTIVATIONS[word]),
    initializer=function,
    block_name=camel_case,
    channels_last=False,
    numbers=True,
    momentum=lambda decay: round(1 - decay, 12),
    tensor="Tensor",
    types={
        "activation": "Callable[..., nn.Module]",
        "initializer": "Callable[[Tensor], object]",
    },
    open_activation=("nn.Module | Callable[..., nn.Module]", "a module, or what makes one"),
    size="in_channels",
    identity="nn.Identity",
    layer="nn.Module",
    sequence=("nn.Sequential(", ")"),
    several=("nn.ModuleList([", "])"),
    attributes=frozenset(taken(FOLDER).attributes),
)
