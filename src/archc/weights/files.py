"""Files of weights by their ending, the neutral format, and writing in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from archc import backends
from archc.backends.storage import (
    Contents,
    Format,
    Notes,
    Opened,
    Storage,
    Stored,
    WeightsError,
)

COUNTER = "num_batches_tracked"
"""What PyTorch counts in batch norms, and published files hold; no weight."""
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What safetensors calls a type of numbers."""


# ---- The neutral format: safetensors under canonical names, in canonical layouts


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        message = f".safetensors files need {error.name}, which archc's extra `weights` installs"
        raise WeightsError(message) from error
    return safetensors


@contextmanager
def _read(path: Path) -> Iterator[Opened]:
    library = _safetensors()
    with path.open("rb"):  # a missing file, a folder and the like as every other command says it
        pass
    try:
        file = library.safe_open(path, framework="numpy")
    except (library.SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a safetensors file, or truncated or corrupt") from error
    with file as opened:
        names = [name for name in opened.keys() if not name.endswith(COUNTER)]  # noqa: SIM118
        arrays = {name: _stored(opened, name) for name in names}
        yield Opened(arrays, opened.metadata() or {})


def _stored(opened: Any, name: str) -> Stored:
    piece = opened.get_slice(name)
    dtype = str(piece.get_dtype())
    shape = tuple(piece.get_shape())
    return Stored(shape, DTYPES.get(dtype, dtype), lambda: opened.get_tensor(name))


def _write(path: Path, net: Any, contents: Contents, notes: Notes) -> None:
    import numpy as np

    library = _safetensors()
    arrays = {tensor.path: np.ascontiguousarray(array, "<f4") for tensor, array in contents}
    try:
        library.numpy.save_file(arrays, path, dict(notes) or None)
    except library.SafetensorError as error:
        raise OSError(str(error)) from error


NEUTRAL = ".safetensors"


# ---- All formats


def storages() -> list[Storage]:
    """How each kind of file keeps weights; the neutral format comes first."""
    frameworks = [backends.get(name).storage() for name in backends.names()]
    canonical = backends.get("torch").storage()
    return [replace(canonical, formats={NEUTRAL: Format(_read, _write)}), *frameworks]


def find(path: Path, writing: bool = False) -> tuple[Storage, Format]:
    """The storage and the format that a file's ending stands for. Raises `WeightsError`."""
    known = {ending: (s, format) for s in storages() for ending, format in s.formats.items()}
    usable = {ending: pair for ending, pair in known.items() if pair[1].write or not writing}
    fitting = [ending for ending in usable if path.name.endswith(ending)]
    if not fitting:
        what = "written" if writing else "read"
        raise WeightsError(
            f"{path}: its ending says no format that can be {what}\n"
            f"  = help: the endings are {', '.join(usable)}"
        )
    return usable[max(fitting, key=len)]
