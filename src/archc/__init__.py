"""archc: write a convolutional network once, compile it to PyTorch and to Keras.

>>> import archc
>>> net = archc.load("specs/mnv3_large.yaml", alpha=0.75)
>>> net.params.trainable, net.macs
(3993528, 154560624)
>>> text = net.source("torch")
>>> model = net.build("keras")          # needs Keras; nothing above needs a framework
"""

from archc.api import Layer, Net, Params, load
from archc.backends import BackendError
from archc.compiler.problems import Place, Problem, SpecError

__all__ = [
    "BackendError",
    "Layer",
    "Net",
    "Params",
    "Place",
    "Problem",
    "SpecError",
    "load",
]
