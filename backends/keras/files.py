"""Keras's files of weights, read and written without Keras: h5py alone.

Only the configuration in a `.keras` file is Keras's own business, and asks for it.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from archc.backends.keras.graph import snake_case, stored_layers
from archc.backends.keras.language import LANGUAGE
from archc.backends.keras.names import layer_name
from archc.backends.keras.weights import SLOTS, SLOTS_OF, tensor_name
from archc.backends.python.walk import render
from archc.backends.storage import (
    DTYPE,
    Arrays,
    Contents,
    Format,
    Notes,
    Opened,
    Storage,
    Stored,
    Tensor,
    WeightsError,
    parsed_notes,
    require_size,
    shown,
)
from archc.compiler.language.problems import quote

MEMBER, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
"""What a `.keras` file holds."""
NOTES = "archc.json"
"""Where archc keeps its notes: a member of a `.keras` file, or an attribute of HDF5's root."""
KINDS = {snake_case(kind): [slot.name for slot in slots.values()] for kind, slots in SLOTS.items()}
"""The arrays of a layer in order, by its class's name in a file."""
KIND = "file of Keras's weights"
LARGEST_NOTES = 2**16
"""Bytes."""


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        message = f"Keras's files need {error.name}, which archc's extra `weights` installs"
        raise WeightsError(message) from error
    return h5py


# ---- Reading


@contextmanager
def _read_h5(path: Path, need: int) -> Iterator[Opened]:
    with path.open("rb") as file, _h5py().File(file, "r") as opened:
        said = opened.attrs.get(NOTES)
        yield Opened(_arrays(path, opened), {} if said is None else parsed_notes(path, said))


@contextmanager
def _read_keras(path: Path, need: int) -> Iterator[Opened]:
    with TemporaryFile() as plain:  # within a zip file, seeking is slow
        with zipfile.ZipFile(path) as archive:
            require_size(path, archive.getinfo(MEMBER).file_size, need)
            with archive.open(MEMBER) as member:  # no more than that size is ever unpacked
                shutil.copyfileobj(member, plain)
            notes = _notes_of(path, archive)
        with _h5py().File(plain, "r") as opened:
            yield Opened(_arrays(path, opened), notes)


def _notes_of(path: Path, archive: zipfile.ZipFile) -> Notes:
    if NOTES not in archive.namelist():
        return {}
    small = archive.getinfo(NOTES).file_size <= LARGEST_NOTES
    return parsed_notes(path, archive.read(NOTES) if small else None)


def _arrays(path: Path, file: Any) -> dict[str, Stored]:
    """Arrays by layer and name: `stem-conv/kernel`."""
    file = _local(path, file, "model_weights") if "model_weights" in file else file
    legacy = "layer_names" in file.attrs or "layer_names0" in file.attrs
    pairs = _legacy_datasets(path, file) if legacy else _datasets(path, file)
    return {name: _stored(path, name, dataset) for name, dataset in pairs}


def _stored(path: Path, name: str, dataset: Any) -> Stored:
    if dataset.external or dataset.is_virtual:
        raise _elsewhere(path, name)
    kept, said = dataset.dtype.name, dataset.attrs.get("dtype")
    # Keras keeps what HDF5 does not know as bytes, and says so beside it.
    dtype = kept if said is None or said == DTYPE else str(said)
    intricate = dataset.chunks is not None
    return Stored(tuple(dataset.shape), dtype, lambda: dataset[()], intricate)


def _elsewhere(path: Path, name: str) -> WeightsError:
    return WeightsError(f"{shown(path)}: refused, as {quote(name)} is kept in another file")


def _local(path: Path, group: Any, name: str) -> Any:
    """What a group calls so, if it is in this very file."""
    for part in name.strip("/").split("/"):
        if isinstance(group.get(part, getlink=True), _h5py().ExternalLink):
            raise _elsewhere(path, name)
        group = group[part]
    return group


def _datasets(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Of a file that Keras 3 wrote: `layers/conv2d_3/vars/0`, with the layer's name beside it."""
    h5py = _h5py()
    found: dict[str, Any] = {}
    file.visititems(found.__setitem__)  # follows no links
    layers: dict[str, tuple[str, int]] = {}
    for key, item in sorted(found.items(), key=lambda pair: _counted(pair[0])):
        folder, parts = key.rpartition("/")[0], key.split("/")
        if isinstance(item, h5py.Dataset) and parts[0] == "layers" and "vars" in parts:
            if folder not in layers:
                layers[folder] = _layer(path, found[folder]), len(found[folder])
            layer, count = layers[folder]
            yield f"{layer}/{_array_name(parts, count)}", item


def _counted(key: str) -> list[tuple[str, int]]:
    """What puts `conv2d_10` after `conv2d_9`: Keras counts the layers of a class in their order."""
    pieces = re.findall(r"(\D*)(\d*)", key)
    return [(text, int(number or 0)) for text, number in pieces]


def _layer(path: Path, group: Any) -> str:
    name = group.attrs.get("name")
    if name is None:
        raise WeightsError(
            f"{shown(path)}: an old version of Keras wrote this, without the names of layers\n"
            "  = help: load it into its model with a current Keras, and save it again"
        )
    return str(name)


def _array_name(parts: list[str], count: int) -> str:
    """Of one of a layer's `count` arrays."""
    kind, number = parts[-3].rstrip("0123456789").rstrip("_"), int(parts[-1])
    kind = parts[-3] if parts[-3] in KINDS else kind
    names = KINDS.get(kind, [])
    complete = kind != "batch_normalization" or count == len(names)
    return names[number] if complete and number < len(names) else f"vars/{number}"


def _named(wanted: Collection[Tensor], arrays: Arrays) -> Arrays:
    """A batch norm without a scale or an offset is saved under numbers that others have, too: they
    are told apart where a layer has as many arrays as the network says."""
    counts = Counter(name.partition("/")[0] for name in arrays)
    names: dict[str, str] = {}
    for path, tensors in groupby(wanted, lambda tensor: tensor.layer):
        layer, own = layer_name(path), [tensor.name for tensor in tensors]
        if counts[layer] == len(own):
            names |= {f"{layer}/vars/{number}": name for number, name in enumerate(own)}
    return {names.get(name, name): array for name, array in arrays.items()}


def _legacy_datasets(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Of a file that Keras 2 wrote, as keras.applications offers them for download."""
    for layer in _attribute(file, "layer_names"):
        group = _local(path, file, layer)
        names = _attribute(group, "weight_names")
        plain = {name: name.rpartition("/")[2].partition(":")[0] for name in names}
        separable = "pointwise_kernel" in plain.values()
        for name, short in plain.items():
            known = "kernel" if short == "depthwise_kernel" and not separable else short
            yield f"{layer}/{known}", _local(path, group, name)


def _attribute(group: Any, name: str) -> list[str]:
    """A list of texts; a long one is kept in parts."""
    parts = [name] if name in group.attrs else sorted(
        (key for key in group.attrs if key.startswith(name)), key=lambda key: int(key[len(name) :])
    )  # fmt: skip
    texts = [text for part in parts for text in group.attrs[part]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


# ---- Writing


def _write_h5(path: Path, net: Any, contents: Contents, notes: Notes) -> None:
    places = stored_layers(render(net.network, LANGUAGE, net.name), net.network)
    # Through Python: where HDF5 itself meets a full disk, the process crashes.
    with path.open("w+b") as plain, _h5py().File(plain, "w") as file:
        file.create_group("vars").attrs["name"] = net.name
        for name, place in places.items():
            file.create_group(f"layers/{place}/vars").attrs["name"] = name
        if notes:
            file.attrs[NOTES] = json.dumps(dict(notes))
        _write_arrays(file, places, contents)


def _write_arrays(file: Any, places: Mapping[str, str], contents: Contents) -> None:
    for tensor, array in contents:  # a layer's come in Keras's order, as do those in `_named`
        group = file[f"layers/{places[layer_name(tensor.layer)]}/vars"]
        group.create_dataset(str(len(group)), data=array, dtype=DTYPE)


def _write_keras(path: Path, net: Any, contents: Contents, notes: Notes) -> None:
    config, metadata = _configuration(net)
    with TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        weights = Path(folder, MEMBER)
        _write_h5(weights, net, contents, {})
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(METADATA, metadata)
            archive.writestr(CONFIG, config)
            archive.write(weights, MEMBER)
            if notes:
                archive.writestr(NOTES, json.dumps(dict(notes)))


def _configuration(net: Any) -> tuple[str, str]:
    """What Keras says of the model, and of itself. Builds the model."""
    model = net.build("keras")
    import keras

    config = keras.saving.serialize_keras_object(model)
    return json.dumps(config), json.dumps({"keras_version": keras.__version__})


STORAGE = Storage(
    SLOTS_OF,
    tensor_name,
    {
        ".weights.h5": Format(KIND, _h5py, _read_h5, _write_h5),
        ".keras": Format(KIND, _h5py, _read_keras, _write_keras, checked=True),
        ".h5": Format(KIND, _h5py, _read_h5, None),
    },
    named=_named,
)
