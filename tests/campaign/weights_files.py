"""Damaged and hostile files of weights, of every kind: read or refused, and nothing of them is run.

Bytes change anywhere in a file, and parts of its structure do: members of zip files, opcodes of
pickles, headers of safetensors, and groups, attributes and arrays of HDF5.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import resource
import shutil
import struct
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from archc import Net
from archc import load as load_spec
from archc.backends import WeightsError
from archc.backends.storage import tensors
from archc.weights import files
from archc.weights.convert import load, write

SPEC = """\
archc: 1
name: Tiny
params: {padding: {type: padding, default: same}}
input: {channels: 3, height: 8, width: 8}
defaults: {conv2d: {padding: padding}}
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 3}
  - {block: depthwise_conv2d, name: depthwise, kernel: 3, multiplier: 2}
  - {block: batch_norm, name: bn}
  - {block: separable_conv2d, name: separable, filters: 6, kernel: 3}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, name: logits, units: 5}
"""
SECONDS, MEMORY = 6.0, 500 * 2**10
"""Processor time, and KiB of memory beyond what the libraries take, for one file."""
NASTY = (0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, 2**64 - 1)
TEXTS = ("", "\x1b[2J", "a\nb", "../../x", "\x00", "ü" * 3000, "{}", "archc.settings", "padding=x")
Chance = random.Random
Bytes = bytes


# ---- The files that are damaged


def originals(net: Net, folder: Path) -> dict[str, bytes]:
    """A good file of each kind, by its name."""
    arrays = {t.path: _array(t.shape) for t in tensors(net.network, files.storages()[0])}
    state = OrderedDict((name, torch.from_numpy(array)) for name, array in arrays.items())
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("noted.pt", "noted.safetensors", "noted.weights.h5"):
        notes = {"archc.settings": "padding=same"}
        write(net, arrays.values(), folder / name, notes)
    _legacy(arrays, folder / "legacy.h5")
    _keras(folder / "noted.weights.h5", folder / "zip.keras", zipfile.ZIP_STORED)
    _keras(folder / "noted.weights.h5", folder / "deflated.keras", zipfile.ZIP_DEFLATED)
    shutil.copy(folder / "noted.weights.h5", folder / "packed.weights.h5")
    with h5py.File(folder / "packed.weights.h5", "a") as file:
        _pack(file)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _array(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


def _keras(source: Path, target: Path, how: int) -> None:
    with zipfile.ZipFile(target, "w", how) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.write(source, "model.weights.h5")
        archive.writestr("archc.json", json.dumps({"archc.settings": "padding=same"}))


def _legacy(arrays: dict[str, Any], path: Path) -> None:
    """As Keras 2 wrote files; what matters is that they can be opened."""
    with h5py.File(path, "w") as file:
        layers = sorted({name.split(".")[0] for name in arrays})
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays if name.split(".")[0] == layer]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[name] = np.zeros(4, "f4")


def _pack(file: Any) -> None:
    """The same arrays in compressed pieces."""
    found: list[str] = []
    file.visititems(lambda k, item: found.append(k) if isinstance(item, h5py.Dataset) else None)
    for name in found:
        array = file[name][()]
        del file[name]
        file.create_dataset(name, data=array, compression="gzip", chunks=array.shape)


# ---- Damage to bytes


def _flip(data: Bytes, chance: Chance) -> Bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _number(data: Bytes, chance: Chance) -> Bytes:
    """A number of some size, at a place where one may be."""
    form = chance.choice("<BHIQ"[1:])
    value = chance.choice(NASTY) % 2 ** (8 * struct.calcsize(form))
    at = chance.randrange(len(data)) & ~(struct.calcsize(form) - 1)
    return data[:at] + struct.pack(f"<{form}", value) + data[at + struct.calcsize(form) :]


def _cut(data: Bytes, chance: Chance) -> Bytes:
    return data[: chance.randrange(len(data))]


def _drop(data: Bytes, chance: Chance) -> Bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 2, 8, 64, 512)) :]


def _copy(data: Bytes, chance: Chance) -> Bytes:
    """A piece of it at another place, as pointers that lead elsewhere, and into circles."""
    size = chance.choice((8, 16, 24, 64, 256))
    source, target = chance.randrange(len(data)) & ~7, chance.randrange(len(data)) & ~7
    return data[:target] + data[source : source + size] + data[target + size :]


BYTES: tuple[Callable[[Bytes, Chance], Bytes], ...] = (_flip, _number, _cut, _drop, _copy)


def _any(data: Bytes, chance: Chance) -> Bytes:
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = chance.choice(BYTES)(data or b"\0", chance)
    return data


# ---- Damage to structure


def _archive(data: Bytes, chance: Chance) -> Bytes:
    """A zip file with right sums, one of whose members is damaged, gone, doubled or huge."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        members = old.infolist()
        chosen = chance.choice([m for m in members if m.file_size])
        for member in members:
            inside = old.read(member)
            if member is chosen:
                inside = chance.choice((_any, _pickle, _hdf5, _text, _bomb))(inside, chance)
            how = chance.choice((0, 0, 0, zipfile.ZIP_DEFLATED))
            new.writestr(member.filename, inside, how if len(inside) < 2**20 else 8)
            if member is chosen and not chance.randrange(8):
                new.writestr(member.filename, b"twice")
    return target.getvalue()


def _text(data: Bytes, chance: Chance) -> Bytes:
    said = ("", "[]", "null", '{"archc.settings": 1}', '{"archc.settings": "padding"}', "[" * 10**5)
    return chance.choice(said).encode()


def _bomb(data: Bytes, chance: Chance) -> Bytes:
    return data + bytes(chance.choice((0, 2**20, 2**26 if not chance.randrange(9) else 2**16)))


HOSTILE = (
    b"cos\nsystem\n(V" + b"touch bombed" + b"\ntR.",
    b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.",
    b"cbuiltins\nbytearray\n(\x8a\x0600000\x00tR.",
    b"(lp0\n" + b"(h\x00h\x00lp0\n" * 40 + b".",
    b"ctorch._utils\n_rebuild_parameter\n(tR.",
    b"(dVstem.weight\ncbuiltins\nset\n(tRs.",
    b"ctorch\nSize\n((J\xff\xff\xff\x7ftR.",
)


def _pickle(data: Bytes, chance: Chance) -> Bytes:
    """A pickle whose opcodes are swapped, doubled, left out or followed by others."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:
        return _any(data, chance)
    pieces = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    at = chance.randrange(len(pieces))
    kind = chance.randrange(6)
    if kind == 0:
        pieces[at] = chance.choice(pieces)
    elif kind == 1:
        pieces.insert(at, chance.choice(pieces))
    elif kind == 2:
        del pieces[at]
    elif kind == 3:
        pieces[at] = pickle.dumps(chance.choice((*NASTY, *TEXTS, None, [], ())), 2)[2:-1]
    elif kind == 4:
        pieces[at:] = [chance.choice(HOSTILE)]
    else:
        pieces[at] = _any(pieces[at], chance)
    return b"".join(pieces)


def _state(data: Bytes, chance: Chance) -> Bytes:
    """A state_dict of odd tensors, keys and notes, as PyTorch itself saves it."""
    state = torch.load(io.BytesIO(data), weights_only=True)
    name = chance.choice([name for name in state if state[name].is_floating_point()])
    plain = state[name]
    odd: tuple[Callable[[], Any], ...] = (
        lambda: plain.to_sparse(),
        lambda: plain.to("meta"),
        lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        lambda: torch._neg_view(plain),
        lambda: torch.complex(plain, plain).conj(),
        lambda: torch.complex(plain, plain).conj().imag,
        lambda: torch.zeros(1).expand(plain.shape),
        lambda: torch.zeros(1).expand(2**40),
        lambda: plain.to(chance.choice((torch.bool, torch.bfloat16, torch.float8_e4m3fn))),
        lambda: plain.mT.contiguous().mT if plain.ndim > 1 else plain[::2],
        lambda: torch.nn.Parameter(plain),
        lambda: torch.nested.nested_tensor([plain, plain]),
        lambda: plain.to_sparse_csr() if plain.ndim == 2 else plain.double(),
        lambda: chance.choice((None, 3, "x", [plain], {"a": plain}, plain.storage())),
    )
    if chance.randrange(3):
        state[name] = chance.choice(odd)()
    else:
        key: Any = chance.choice((*NASTY, *TEXTS, None, (1, 2), b"x", 1.5, ("a", ("b",))))
        state[key] = state.pop(name) if chance.randrange(2) else plain
    if not chance.randrange(4):
        notes = ({"archc.settings": 1}, [], "x", {1: "x"}, {"archc.settings": "\x1b[2J=1 padding"})
        said = chance.choice(({"": {"archc": chance.choice(notes)}}, [], 1, {"": 1}))
        state._metadata = said
    out = io.BytesIO()
    torch.save(state, out, _use_new_zipfile_serialization=bool(chance.randrange(3)))
    return out.getvalue()


def _header(data: Bytes, chance: Chance) -> Bytes:
    """Another header of a safetensors file, of a right length mostly."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    _disturb(header, chance)
    text = json.dumps(header).encode()
    said = chance.choice((len(text),) * 8 + NASTY) % 2**64
    return struct.pack("<Q", said) + text + data[8 + length :]


def _disturb(tree: Any, chance: Chance) -> None:
    """Some value in plain data becomes another; or some key does."""
    while isinstance(tree, dict | list) and tree:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = chance.choice(keys)
        if not isinstance(tree[key], dict | list) or not chance.randrange(3):
            others = [*NASTY, *TEXTS, None, True, [], {}, 1.5, "F64", "F16", *map(tree.get, keys)] \
                if isinstance(tree, dict) else [*NASTY, "x"]  # fmt: skip
            if isinstance(tree, dict) and not chance.randrange(3):
                tree[chance.choice(TEXTS)] = tree.pop(key)
            else:
                tree[key] = chance.choice(others)
            return
        tree = tree[key]


def _hdf5(data: Bytes, chance: Chance) -> Bytes:
    """An HDF5 file of odd attributes, links and arrays, as the library itself writes it."""
    with tempfile.NamedTemporaryFile(suffix=".h5") as copy:
        copy.write(data)
        copy.flush()
        try:
            with h5py.File(copy.name, "a") as file:
                _tamper(file, chance)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError):
            return _any(data, chance)
        return Path(copy.name).read_bytes()


ATTRIBUTES: tuple[Any, ...] = (
    b"x", "\x1b[2J", 1, [1, 2], np.zeros((2, 2)), h5py.Empty("f"), np.bytes_(b"\xff\xfe"), "[]",
    "bfloat16", "float32", '{"archc.settings": []}', np.zeros(7000), "x" * 60000, np.array([b"a"]),
)  # fmt: skip


def _tamper(file: Any, chance: Chance) -> None:
    names: list[str] = []
    file.visit(names.append)
    name = chance.choice(names)
    parent, last = file[name].parent, name.rpartition("/")[2]
    array = file[name] if isinstance(file[name], h5py.Dataset) else None
    kind = chance.randrange(8)
    if kind == 0:
        keys = ["name", "dtype", "archc.json", "layer_names", "layer_names0", "weight_names"]
        chance.choice((file, file[name])).attrs[chance.choice(keys)] = chance.choice(ATTRIBUTES)
    elif kind == 1:
        file["model_weights"] = chance.choice((np.zeros(3), file[name], h5py.SoftLink("/nowhere")))
    elif kind == 2:
        del parent[last]
        outside = h5py.ExternalLink("secret.h5", "/")
        parent[last] = chance.choice((file["/"], h5py.SoftLink("/"), outside, h5py.SoftLink(name)))
    elif kind == 3:
        parent[chance.choice(TEXTS[1:3])] = file[name]
    elif array is not None:
        shape, kinds = array.shape, ("f2", ">f4", "i4", "c8", h5py.string_dtype(), "f8", "bool")
        del parent[last]
        if kind == 4:
            parent.create_dataset(
                last, chance.choice((shape, (2**40,), (0,), ())), "f4", chunks=None
            )
        elif kind == 5:
            parent.create_dataset(last, shape, chance.choice(kinds)).attrs["dtype"] = "float32"
        elif kind == 6:
            parent.create_dataset(last, (2**40,), "f4", chunks=(2**16,), compression="gzip")
        else:
            parent.create_dataset(last, shape, "f4", external=[("secret", 0, 10**6)])


STRUCTURES: tuple[tuple[str, Callable[[Bytes, Chance], Bytes]], ...] = (
    (".keras", _archive),
    ("zip.pt", _archive),
    ("noted.pt", _archive),
    (".pt", _state),
    (".pth", _pickle),
    (".safetensors", _header),
    (".h5", _hdf5),
)


def damaged(name: str, data: Bytes, chance: Chance) -> Bytes:
    fitting = [damage for ending, damage in STRUCTURES if name.endswith(ending)]
    return chance.choice((_any, *fitting, *fitting))(data, chance)


# ---- The campaign


def run(count: int, seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(SPEC)
        net = load_spec(folder / "tiny.yaml")
        (folder / "good").mkdir()
        good = originals(net, folder / "good")
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            which = chance.choice(list(good))
            path = folder / which
            with warnings.catch_warnings(action="ignore"):  # of what is odd on purpose
                path.write_bytes(damaged(which, good[which], chance))
            failure = _failure(net, path)
            if failure:
                kept = Path(f"campaign-{seed}-{number}-{which}")
                shutil.copy(path, kept)
                yield f"{kept}: {failure}"


def _failure(net: Net, path: Path) -> str | None:
    """What is wrong with how a file is read."""
    before = _used()
    said = _said(net, path)
    seconds, memory = (after - old for after, old in zip(_used(), before, strict=True))
    if Path("bombed").exists():
        return "it ran code"
    if seconds > SECONDS:
        return f"it took {seconds:.1f} seconds"
    if memory > MEMORY:
        return f"it took {memory / 2**10:.0f} MiB"
    return said


def _said(net: Net, path: Path) -> str | None:
    try:
        found = load(net, path)
    except WeightsError as error:
        text = str(error)
        strange = [c for c in text if not c.isprintable() and c != "\n"]
        return f"a message of {strange!r}" if strange or len(text) > 20000 else None
    except BaseException as error:  # whatever it is, it is a failure to be told
        return f"{type(error).__name__}: {error}"
    wanted = {t.path: t.shape for t in tensors(net.network, files.storages()[0])}
    return None if {k: v.shape for k, v in found.items()} == wanted else "other arrays"


def _used() -> tuple[float, int]:
    """Seconds of the processor, and KiB at the most, of this process and those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
    return seconds, max(usage.ru_maxrss for usage in used)
