"""The PyTorch backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archc.backends import Backend, Live
from archc.backends.torch.language import emit
from archc.backends.torch.ops import OPS

if TYPE_CHECKING:
    from archc.backends.storage import Storage


def _live() -> Live:
    from archc.backends.torch.live import LIVE

    return LIVE


def _storage() -> Storage:
    from archc.backends.torch.weights import STORAGE

    return STORAGE


BACKEND = Backend("torch", OPS, emit, _live, "torch", _storage)
