"""The PyTorch backend."""

from __future__ import annotations

from archc.backends import Backend, Live
from archc.backends.torch.emitter import emit
from archc.backends.torch.ops import OPS


def _live() -> Live:
    from archc.backends.torch.live import LIVE

    return LIVE


BACKEND = Backend("torch", OPS, emit, _live, "torch")
