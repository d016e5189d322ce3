"""The Keras backend: Keras 3 alone, so that what it emits runs on each of Keras's own backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archc.backends import Backend, Live
from archc.backends.keras.language import emit
from archc.backends.keras.ops import OPS

if TYPE_CHECKING:
    from archc.backends.storage import Storage


def _live() -> Live:
    from archc.backends.keras.live import LIVE

    return LIVE


def _storage() -> Storage:
    from archc.backends.keras.files import STORAGE

    return STORAGE


BACKEND = Backend("keras", OPS, emit, _live, "keras and tensorflow", _storage)
