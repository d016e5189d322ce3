"""A model that anyone wrote, in a process of its own: what it holds, and what it computes.

Its code is the user's, and may print, hang, exit or crash: nothing of it runs in this process, and
what it prints goes to stderr.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from archc.backends import Held, Name, Part
from archc.backends.storage import Array, WeightsError
from archc.compiler.language.problems import printable

SECONDS = 120.0
"""How long making such a model, and running it, may take each, unless the user says otherwise."""
_SOURCE = re.compile(r"(?P<where>.+\.py|[A-Za-z_][\w.]*):(?P<rest>[A-Za-z_].*)", re.DOTALL)
_HELP = "write `my_model.py:MyNet` or `package.module:make(classes=10)`"
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # numbers of a GPU are others
    "TORCHDYNAMO_DISABLE": "1",  # compiling takes minutes, and changes nothing
    "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    "PYTHONUNBUFFERED": "1",
}


# ---- What the user says


@dataclass(frozen=True, slots=True)
class Source:
    """A thing to import, and what it is called with."""

    where: str
    """`my_model.py`, or `package.module`."""
    attribute: str
    """`MyNet`, or `zoo.MyNet`."""
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] | None = None
    """Arguments by name; None where it is called with none at all."""
    text: str = ""
    """All of it, as the user says it."""

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")


def is_meant(text: str, known: Collection[str]) -> bool:
    """Whether a text names a thing to import, and none of the `known` sources, nor one of their
    libraries."""
    found = _SOURCE.fullmatch(text)
    if found is None or found["where"].endswith(".py"):
        return found is not None
    libraries = {name.partition(":")[0] for name in known if ":" in name}
    return text not in known and found["where"] not in libraries


def parse(text: str) -> Source:
    """`FILE.py:ATTRIBUTE` or `package.module:ATTRIBUTE`, with arguments as literals where it is
    called with some: `my_model.py:MyNet(classes=10, width=1.0)`. Raises `WeightsError`."""
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise WeightsError(f"{printable(text)}: this names no model\n  = help: {_HELP}")
    try:
        called = ast.parse(found["rest"], mode="eval").body
        inner = called.func if isinstance(called, ast.Call) else called
        attribute = ast.unparse(inner)
        if not all(part.isidentifier() for part in attribute.split(".")):
            raise ValueError(attribute)
        if not isinstance(called, ast.Call):
            return Source(found["where"], attribute, text=text)
        arguments = tuple(ast.literal_eval(each) for each in called.args)
        if any(each.arg is None for each in called.keywords):
            raise ValueError("**")
        named = {str(each.arg): ast.literal_eval(each.value) for each in called.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        message = "an attribute belongs after the colon, and its arguments are literals"
        raise WeightsError(f"{printable(text)}: {message}\n  = help: {_HELP}") from None
    return Source(found["where"], attribute, arguments, named, text)


# ---- What is known of a model


@dataclass(frozen=True, slots=True)
class Output:
    """One array that a model gives."""

    name: str
    """The keys that lead to it; "" where it gives nothing else."""
    shape: tuple[int, ...]
    """Without the batch: (channels, height, width), or (features,)."""


@dataclass(frozen=True, slots=True)
class Description:
    """A model, as far as it can be known without reading its code."""

    framework: Name
    """The backend whose framework it is of: "torch"."""
    tensors: tuple[Held, ...]
    """Its weights and buffers in order, without counters of training steps."""
    parts: tuple[Part, ...]
    """Every call of a part that gives one array, in order of their ends; from one run in
    evaluation."""
    inputs: tuple[tuple[int, ...], ...]
    """The shapes that it was run with, without the batch."""
    outputs: tuple[Output, ...]
    remarks: tuple[str, ...]
    """What had to be done to run it."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a model gives for a batch."""

    parts: Mapping[str, Array]
    """By name, of those that were asked for."""
    outputs: Mapping[str, Array]
    """By their names."""


# ---- The process that it lives in


class Theirs:
    """A model that anyone wrote. Made by `opened`."""

    def __init__(
        self, source: Source, process: subprocess.Popen[bytes], folder: Path, limit: float
    ):
        self.source = source
        self._process, self._folder, self._limit = process, folder, limit

    def describe(self, inputs: Sequence[tuple[int, ...]] | None) -> Description:
        """Makes the model, and runs it once in evaluation for a batch of two random inputs of these
        shapes, (channels, height, width) or (features,); or of those that it says itself.

        None runs nothing: `parts`, `inputs` and `outputs` are empty then. Raises `WeightsError`
        where the user's code does not do what it should.
        """
        said = self._ask("describe", inputs=None if inputs is None else [*inputs])
        return Description(
            said["framework"],
            tuple(Held(**{**each, "shape": tuple(each["shape"])}) for each in said["tensors"]),
            tuple(Part(**{**each, "shape": tuple(each["shape"])}) for each in said["parts"]),
            tuple(map(tuple, said["inputs"])),
            tuple(Output(name, tuple(shape)) for name, shape in said["outputs"]),
            tuple(said["remarks"]),
        )

    def run(
        self, arrays: Mapping[str, Array], batch: Mapping[str, Array], parts: Sequence[str]
    ) -> Results:
        """What the model gives in evaluation with `arrays` by its own names, for one array for each
        input; and what the `parts` give. Raises `WeightsError`, also where two runs differ."""
        self._save("arrays", arrays)
        self._save("batch", batch)
        said = self._ask("run", parts=[*parts])
        return Results(
            {n: self._loaded(key) for n, key in said["parts"]},
            {n: self._loaded(key) for n, key in said["outputs"]},
        )

    def _save(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Under numbers: names are the user's, and may be any text."""
        for number, array in enumerate(arrays.values()):
            np.save(self._folder / f"{name}.{number}.npy", np.ascontiguousarray(array))
        (self._folder / f"{name}.json").write_text(json.dumps([*arrays]), encoding="utf-8")

    def _loaded(self, key: str) -> Array:
        array: Array = np.load(self._folder / f"{key}.npy", allow_pickle=False)
        return array

    def _ask(self, what: str, **more: Any) -> dict[str, Any]:
        """What the process replies. Raises `WeightsError` where it says that the user's code fails,
        or says nothing in time."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            _kill(process)

        timer = Timer(self._limit, end)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(json.dumps({"what": what, **more}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if line and not late:
            said: dict[str, Any] = json.loads(line)
            if "failed" in said:
                raise WeightsError(said["failed"])
            return said
        raise WeightsError(self._silent(bool(late)))

    def _silent(self, late: bool) -> str:
        where = printable(self.source.text)
        doing = self._folder / "doing"
        at = doing.read_text(encoding="utf-8") if doing.exists() else "starting it"
        if late:
            said = f"{where}: {at} took more than {self._limit:g} seconds, and was ended"
            return f"{said}\n  = help: --timeout SECONDS allows more"
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            code = 0
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{where}: {at} ended the process with {ended}"


@contextmanager
def opened(source: Source, seconds: float = SECONDS) -> Iterator[Theirs]:
    """The model in a process that ends with the block, whatever it is doing, and all that it has
    started with it."""
    if source.is_file and not Path(source.where).is_file():
        raise WeightsError(f"{printable(source.where)}: no such file")
    with tempfile.TemporaryDirectory(prefix="archc.", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "source.json").write_text(_spelled(source), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "archc.live.host", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=os.name != "nt",
        )
        try:
            yield Theirs(source, process, Path(folder), seconds)
        finally:
            _kill(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)


def _close(pipe: Any) -> None:
    with suppress(BrokenPipeError):  # of a request that nobody read
        pipe.close()


def _spelled(source: Source) -> str:
    """Literals as Python writes them: JSON has no tuples."""
    return json.dumps(
        {
            "where": source.where,
            "attribute": source.attribute,
            "arguments": repr(source.arguments),
            "named": repr(None if source.named is None else dict(source.named)),
        }
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it has started."""
    if os.name == "nt":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)
    else:
        with suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
