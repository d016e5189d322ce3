"""archc: write a convolutional network once, compile it to PyTorch, Keras and ONNX.

>>> import archc
>>> net = archc.load("specs/mnv3_large.yaml", alpha=0.75)
>>> net.params.trainable, net.macs
(3993528, 154560624)
>>> text = net.source("torch")
>>> model = net.build("keras")          # needs Keras; nothing above needs a framework
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archc.api import Input, Layer, Net, Output, Params, Tap, load
    from archc.backends import BackendError, OtherBackend
    from archc.compiler.language.problems import Place, Problem, SpecError

__all__ = [
    "BackendError",
    "Input",
    "Layer",
    "Net",
    "OtherBackend",
    "Output",
    "Params",
    "Place",
    "Problem",
    "SpecError",
    "Tap",
    "load",
]

if not TYPE_CHECKING:  # a checker would take any name for one of the module's

    def __getattr__(name: str) -> Any:
        """Imports the interface when it is first used, so that `archc --help` waits for nothing."""
        if name not in __all__:
            raise AttributeError(f"module 'archc' has no attribute {name!r}")
        from archc import api, backends
        from archc.compiler.language import problems

        return next(vars(m)[name] for m in (api, backends, problems) if name in vars(m))


def __dir__() -> list[str]:
    return __all__
