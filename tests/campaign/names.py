"""Hostile names in every place where a name can stand: refused, or the same network.

One spec has a place for each kind of name. What is accepted of it under other names is written for
every backend, in ruff's style; in PyTorch, and now and then in Keras, it is built and gives what
the network of plain names gives.
"""

from __future__ import annotations

import builtins
import json
import keyword
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from archc import backends
from archc.api import Net, load
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.language.problems import SpecError
from archc.live.numeric import random_weights

from ._hostile import KEPT, in_time, kept_style, start_clock, told, unprintable

GENERATED = Path(__file__).resolve().parents[2] / "generated"
BATCH = 400
"""So many emitted files are looked at by ruff at once."""
KERAS = 25
"""One network in so many is built in Keras too."""

PLAIN = {
    name: name
    for name in (
        *(
            "network",
            "param",
            "kept",
            "flag",
            "let",
            "row",
            "join",
            "end",
            "table",
            "tap",
            "last",
            "given",
        ),
        *("block", "input", "second", "bparam", "bact", "blet", "step", "left", "joined", "act"),
        *("aparam", "inner", "ostep", "outer"),
    )
} | {"network": "Plain", "library": "library.yaml"}
SPEC = """\
archc: 1
name: {network}
use: [{library}]
params:
  {param}: {{type: int, default: 4}}
  {kept}: {{type: int, default: 3, keep: true}}
  {flag}: {{type: bool, default: true, keep: true}}
let: {{{let}: "{param:raw} * 2"}}
input: {{channels: 3, height: 8, width: 8}}
network:
  - {{block: conv2d, name: {row}, filters: "{let:raw}", kernel: 3, tap: {tap}}}
  - {{block: {block}, name: {join}, from: [-1, {row}], {bparam}: "{param:raw}", {bact}: {act},
      output: {given}}}
  - columns: [block, {aparam}]
    name: {table}
    rows:
      - [{outer}, "{param:raw}"]
      - [{outer}, 6]
  - {{block: concat, name: {end}, from: [-1, {row}, {join}], tap: {last}}}
  - {{block: global_avg_pool2d}}
  - {{block: dense, units: "{kept:raw}", when: "{flag:raw}"}}
"""
LIBRARY = """\
archc: 1
blocks:
  {block}:
    inputs: [{input}, {second}]
    params: {{{bparam}: int, {bact}: activation}}
    let: {{{blet}: "{bparam:raw} + 1"}}
    steps:
      - {step}: "conv2d({input:raw}, {blet:raw}, kernel=3)"
      - {left}: "activation({step:raw}, act={bact:raw})"
        when: "{input:raw}.channels != {bparam:raw}"
      - {joined}: "{left:raw} + conv2d({second:raw}, {blet:raw}, kernel=1)"
  {act}:
    steps: [{{{inner}: "depthwise_conv2d(x, kernel=3)"}}]
    returns: "maximum(x, {inner:raw})"
  {outer}:
    params: {{{aparam}: int}}
    steps:
      - {ostep}: "{block:raw}(x, x, {bparam:raw}={aparam:raw}, {bact:raw}=relu)"
"""


class _Name(str):
    """A name that is quoted where it stands alone, and raw within an expression."""

    def __format__(self, form: str) -> str:
        return json.dumps(str(self))[1:-1] if form == "raw" else json.dumps(str(self))


STRANGE = (
    *("__init__", "__class__", "__dict__", "__builtins__", "_", "__", "_x", "x_", "x__", "_0"),
    *("ünï", "\uff21", "ﬁ", "画像", "µ", "K", "a\u0301", "x\u200b", "\u202ex", "🙂", "ǅ"),
    *("../x", "/etc/passwd", "a/b", "a\\b", ".", "..", "a.b", "C:x", "~", "nul", "con", "a b", ""),
    *("%s", "{x}", "{0}", "{{", "}}", "{x!r}", "{{ x }}", "{% raw %}", "$x", "`x`", "f'{x}'"),
    *("x\n", "x\ny", "\0", "\x1b[2J", "'", '"', '"""', "#", "x #", ":", "-", "*x", "&x", "!x", "?"),
    *(
        "1",
        "1x",
        "0x1",
        "1e3",
        "nan",
        "inf",
        "x" * 64,
        "x" * 65,
        "x" * 300,
        "X" * 63 + "_",
        "é" * 200,
    ),
    *(
        "x.yaml",
        "-x.yaml",
        "x" * 250,
        "x" * 251 + ".yaml",
        "__pycache__.yaml",
        "library",
        "con.yaml",
    ),
)


@cache
def stock() -> tuple[tuple[str, ...], ...]:
    """Names by where they come from."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(GENERATED.glob("*.py")))
    emitted = sorted(set(re.findall(r"[A-Za-z_]\w*", re.sub(r'""".*?"""', "", code, flags=re.S))))
    module = torch.nn.Module()
    return (
        (*keyword.kwlist, *keyword.softkwlist, "print", "exec", "self", "cls"),
        tuple(dir(builtins)),
        tuple({*dir(module), *vars(module), *dir(torch.nn.Sequential), *dir(torch.nn.ModuleList)}),
        (*dir(torch.nn), *dir(torch.nn.functional), *dir(torch.Tensor)),
        tuple(emitted),
        (*CATALOGUE, *PLAIN, *(p for op in CATALOGUE.values() for p in op.parameter)),
        (*_keras(), "torch", "nn", "F", "math", "keras", "layers", "name", "numpy", "np", "make"),
        STRANGE,
    )


def _keras() -> tuple[str, ...]:
    import keras

    return (*dir(keras), *dir(keras.Model), *dir(keras.layers), *dir(keras.layers.Layer))


def run(count: int, seed: int) -> Iterator[str]:
    with TemporaryDirectory() as name:
        emitted = Path(name, "emitted")
        emitted.mkdir()
        wanted = _outputs(load(written(PLAIN, Path(name, "plain"))))
        for number in range(count):
            names = _chosen(random.Random(f"{seed} {number}"))
            folder = Path(name, str(number))
            try:
                path = written(names, folder)
            except (OSError, ValueError):
                continue  # a file cannot be called so
            said = _failure(path, emitted / f"n{number}", wanted, number % KERAS == 0)
            if said:
                yield f"{_keep(folder, f'names-{seed}-{number}')}: {_changed(names)}: {said}"
            shutil.rmtree(folder)
            if number % BATCH == BATCH - 1:
                yield from kept_style(emitted, "names", seed)
        yield from kept_style(emitted, "names", seed)


def _chosen(chance: random.Random) -> dict[str, str]:
    """The plain names, but for one or a few."""
    names = dict(PLAIN)
    for place in chance.sample([*PLAIN], chance.choice((1, 1, 2, 4))):
        names[place] = chance.choice(chance.choice(stock()))
        if place == "library" and chance.randrange(2):
            names[place] += ".yaml"
    return names


def _changed(names: Mapping[str, str]) -> str:
    return ", ".join(f"{k} is {v!r}"[:100] for k, v in names.items() if v != PLAIN[k])


def written(names: Mapping[str, str], folder: Path) -> Path:
    """The spec and its library under these names. Raises `OSError`, or `ValueError`."""
    folder.mkdir()
    quoted = {place: _Name(name) for place, name in names.items()}
    library = folder / names["library"]
    if library.resolve().parent == folder.resolve():  # no other place is written to
        library.write_text(LIBRARY.format_map(quoted), encoding="utf-8")
    path = folder / "network.yaml"
    path.write_text(SPEC.format_map(quoted), encoding="utf-8")
    return path


def _failure(path: Path, emitted: Path, wanted: Any, in_keras: bool) -> str | None:
    """What is wrong with how a spec of such names is taken."""
    try:
        with in_time():
            return "; ".join(_wrong(path, emitted, wanted, in_keras))
    except BaseException as error:  # whatever it is, it is a failure to be told
        return told(error)


def _wrong(path: Path, emitted: Path, wanted: Any, in_keras: bool) -> Iterator[str]:
    try:
        net = load(path)
    except SpecError as error:
        yield from unprintable(error)
        return
    for backend in backends.sources():
        text = net.source(backend)
        compile(text, f"{backend}.py", "exec")
        emitted.with_name(f"{emitted.name}_{backend}.py").write_text(text, encoding="utf-8")
    start_clock()
    if not np.allclose(_outputs(net), wanted, atol=1e-5):
        yield "PyTorch's model gives other numbers than under plain names"
    if not np.allclose(_outputs(net, "onnx"), wanted, atol=1e-5):
        yield "the ONNX graph gives other numbers than PyTorch's under plain names"
    if in_keras:
        start_clock()
        if not np.allclose(_outputs(net, "keras"), wanted, atol=1e-4):
            yield "Keras's model gives other numbers than PyTorch's under plain names"


def _outputs(net: Net, backend: str = "torch") -> Any:
    """What the live model gives for a batch, with weights that depend on nobody's names."""
    weights = random_weights(net.network)
    chance = np.random.default_rng(1)
    weights = {
        name: chance.uniform(0.1, 0.3, array.shape).astype("float32")
        for name, array in weights.items()
    }
    live, model = net.live(backend), net.build(backend)
    live.load(model, weights)
    batch = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype="float32").reshape(2, 3, 8, 8)
    return live.outputs(model, batch)[""]


def _keep(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, KEPT / name, dirs_exist_ok=True))
