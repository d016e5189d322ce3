"""The process in which a model that anyone wrote lives: `python -m archc.live.host FOLDER`.

Requests come as lines of JSON on stdin, replies go to stdout, and arrays lie in FOLDER. Both
streams are put out of the reach of the user's code before any of it is imported: it reads nothing,
and what it prints goes to stderr.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from archc import backends
from archc.backends import Foreign, Part
from archc.backends.storage import Array
from archc.compiler.language.problems import printable, quote, suggest
from archc.live.numeric import difference

SAME = 1e-6
"""How far two runs of one model may differ, as a share of scale: threads add up in any order."""


class Failed(Exception):
    """What is to be said of the user's code."""


def main() -> None:
    requests, replies = _private_streams()
    host = Host(Path(sys.argv[1]))
    for line in requests:
        request = json.loads(line)
        try:
            reply = getattr(host, request.pop("what"))(**request)
        except Failed as failed:
            reply = {"failed": str(failed)}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    return requests, replies


class Host:
    """One model, which is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        said = json.loads((folder / "source.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.where, self.attribute = str(said["where"]), str(said["attribute"])
        self.arguments, self.named = (ast.literal_eval(said[k]) for k in ("arguments", "named"))
        self.file = os.path.realpath(self.where) if self.where.endswith(".py") else ""
        self.numbers = 0
        self.made: tuple[str, Foreign, Any, list[str]] | None = None

    @property
    def name(self) -> str:
        return quote(self.attribute)

    # ---- Requests

    def describe(self, inputs: list[list[int]] | None) -> dict[str, Any]:
        framework, foreign, model, remarks = self.model()
        parts: list[Part] = []
        outputs, given = list[tuple[str, list[int]]](), list[list[int]]()
        if inputs is not None:
            given = self.shapes(foreign, model, inputs)
            random = np.random.default_rng(1)
            batch = {
                str(k): random.standard_normal((2, *shape)).astype(np.float32)
                for k, shape in enumerate(given)
            }

            def see(name: str, part: Any, output: Array) -> None:
                parts.append(_part(foreign, name, part, output))

            ran = self.ran(foreign, model, batch, see)
            outputs = [(name, [*array.shape[1:]]) for name, array in ran]
        return {
            "framework": framework,
            "tensors": [asdict(each) for each in foreign.held(model)],
            "parts": [asdict(each) for each in parts],
            "inputs": given,
            "outputs": outputs,
            "remarks": remarks,
        }

    def run(self, parts: list[str]) -> dict[str, Any]:
        _, foreign, model, _ = self.model()
        with self.doing(f"giving {self.name} its weights"):
            foreign.fill(model, self.saved("arrays"))
        batch, wanted = self.saved("batch"), {*parts}
        first = self.outputs(foreign, model, batch, wanted)
        again = self.outputs(foreign, model, batch, wanted)
        for one, other in zip(first, again, strict=True):
            self.require_same(one, other)
        return {
            kind: [(name, self.keep(array)) for name, array in found.items()]
            for kind, found in zip(("parts", "outputs"), first, strict=True)
        }

    # ---- What they are made of

    def shapes(self, foreign: Foreign, model: Any, asked: list[list[int]]) -> list[list[int]]:
        """Of the inputs: those that the model says, and where it takes any those that are asked
        for."""
        said = foreign.sizes(model)
        if said is None:
            return asked
        if len(said) != len(asked):
            raise Failed(
                f"{self.where}: {self.name} takes {len(said)} inputs, and not {len(asked)}"
            )
        if any(len(one) != len(other) for one, other in zip(said, asked, strict=True)):
            raise Failed(f"{self.where}: {self.name} takes inputs of {said}, and not {asked}")
        return [
            [own or other for own, other in zip(one, two, strict=True)]
            for one, two in zip(said, asked, strict=True)
        ]

    def outputs(
        self, foreign: Foreign, model: Any, batch: Mapping[str, Array], wanted: set[str]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        found: dict[str, Array] = {}

        def see(name: str, part: Any, output: Array) -> None:
            if name in wanted:
                found[name] = output.copy()

        given = self.ran(foreign, model, batch, see)
        return found, dict(given)

    def ran(self, foreign: Foreign, model: Any, batch: Mapping[str, Array], see: Any) -> Any:
        sizes = " and ".join("x".join(map(str, array.shape)) for array in batch.values())
        with self.doing(f"running {self.name} on inputs of {sizes}"):
            given = foreign.run(model, batch, see)
        if not given:
            raise Failed(f"{self.where}: {self.name} gives no tensor of numbers")
        return given

    def require_same(self, one: Mapping[str, Array], other: Mapping[str, Array]) -> None:
        for name, array in one.items():
            twice = name in other and difference(other[name], array).relative
            if twice is False or (twice > SAME and np.isfinite(array).all()):
                at = f", first at {quote(name)}" if name else ""
                raise Failed(
                    f"{self.where}: {self.name} gives other numbers from run to run in"
                    f" evaluation{at}\n"
                    "  = help: what is random has to ask whether it trains:"
                    " F.dropout(x, p, self.training)"
                )

    def saved(self, name: str) -> dict[str, Array]:
        names = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        files = (self.folder / f"{name}.{number}.npy" for number in range(len(names)))
        return {key: np.load(path) for key, path in zip(names, files, strict=True)}

    def keep(self, array: Array) -> str:
        self.numbers += 1
        np.save(self.folder / f"result.{self.numbers}.npy", array)
        return f"result.{self.numbers}"

    # ---- The user's model

    def model(self) -> tuple[str, Foreign, Any, list[str]]:
        if self.made is None:
            module = self.module()
            thing = self.found(module)
            for _, foreign in _frameworks():
                foreign.ready()
            made = self.called(thing)
            for name, foreign in _frameworks():  # a model of Keras's may be one of PyTorch's, too
                if foreign.owns(made) and not isinstance(made, type):
                    with self.doing(f"putting {self.name} on the CPU"):
                        self.made = (name, foreign, *foreign.taken(made))
                    return self.made
            self.no_model(thing, made)
        assert self.made is not None
        return self.made

    def no_model(self, thing: object, made: object) -> None:
        gives = "is" if made is thing else "gives"
        kinds = " and no ".join(foreign.kind for _, foreign in _frameworks()) or "model"
        raise Failed(f"{self.where}: {self.name} {gives} a `{type(made).__name__}`, and no {kinds}")

    def module(self) -> ModuleType:
        _start_in_silence(self.where)
        with self.doing("importing it"):
            if not self.file:
                sys.path.insert(0, os.getcwd())
                return importlib.import_module(self.where)
            sys.path.insert(0, os.path.dirname(self.file))
            return _from_file(self.file)

    def found(self, module: ModuleType) -> object:
        thing: object = module
        for part in self.attribute.split("."):
            try:
                thing = getattr(thing, part)
            except AttributeError:
                known = [name for name in vars(module) if not name.startswith("_")]
                help = suggest(part, known)
                more = f"\n  = help: {help}" if help else ""
                raise Failed(f"{self.where}: it has no {quote(part)}{more}") from None
        return thing

    def called(self, thing: object) -> object:
        """A model, of what makes one."""
        is_type = isinstance(thing, type)
        if not is_type and any(foreign.owns(thing) for _, foreign in _frameworks()):
            if self.named is not None:
                said = f"{self.where}: {self.name} is a model already"
                raise Failed(f"{said}\n  = help: leave its arguments out")
            return thing
        if not callable(thing):
            return thing
        with self.doing(f"making {self.name}"):
            return thing(*self.arguments, **(self.named or {}))

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Says where the user's code fails, whatever it raises."""
        (self.folder / "doing").write_text(what, encoding="utf-8")
        try:
            yield
        except BaseException as error:
            raise Failed(self.says(error, what)) from None

    def says(self, error: BaseException, doing: str) -> str:
        at = self.place(error)
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            return f"{at}: {doing} exits with code {code}"
        first = next(iter(str(error).strip().splitlines()), "")
        kind = type(error).__name__
        help = next((f"\n  = help: {help}" for word, help in HELPS if word in str(error)), "")
        return f"{at}: {doing} raises {printable(f'{kind}: {first}' if first else kind)}{help}"

    def place(self, error: BaseException) -> str:
        """The innermost line of the user's file that an exception came through."""
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self.shown(error.filename)}:{error.lineno or 1}"
        frames = [
            (os.path.realpath(frame.filename), frame.lineno)
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        own = [(file, line) for file, line in frames if self.is_own(file)]
        return f"{self.shown(own[-1][0])}:{own[-1][1]}" if own else self.where

    def is_own(self, file: str) -> bool:
        """Whether a file is the one that the user names."""
        below = os.path.join("", *self.where.split("."))
        ends = (f"{os.sep}{below}.py", os.path.join(f"{os.sep}{below}", "__init__.py"))
        return file == self.file if self.file else file.endswith(ends)

    def shown(self, file: str) -> str:
        if os.path.realpath(file) == self.file:
            return self.where
        relative = os.path.relpath(file)
        return file if relative.startswith("..") else relative


HELPS = (
    ("CUDA", "archc compares on the CPU, and hides GPUs: make the model where its input is"),
    ("NVIDIA", "archc compares on the CPU, and hides GPUs: make the model where its input is"),
    ("no known parent package", "name it by its package: `package.module:MyNet`"),
    ("required positional argument", "give arguments: `MyNet(classes=10)`"),
)
"""What helps where a message has such a word."""


def _part(foreign: Foreign, name: str, part: Any, output: Array) -> Part:
    return Part(name, type(part).__name__, tuple(output.shape[1:]), foreign.facts(part))


def _from_file(file: str) -> ModuleType:
    """The module that a file is, under a name that is nobody else's."""
    stem = Path(file).stem
    name = f"_{stem}" if stem in sys.modules or stem in sys.stdlib_module_names else stem
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _words(name: str) -> set[str]:
    """What a backend's framework is imported as."""
    return {*backends.get(name).distribution.split()} - {"and"}


def _frameworks() -> Iterator[tuple[str, Foreign]]:
    """Those that are imported already; no other has a model here."""
    for name in backends.sources():
        if _words(name) & sys.modules.keys():
            try:
                foreign = backends.get(name).live().foreign
            except ImportError:
                continue
            if foreign is not None:
                yield name, foreign


def _start_in_silence(where: str) -> None:
    """Starts the frameworks that a module speaks of, so that they do not greet the user."""
    try:
        text = (
            Path(where).read_text(encoding="utf-8", errors="replace")
            if where.endswith(".py")
            else where
        )
    except OSError:
        return
    for name in backends.sources():
        if any(word in text for word in _words(name)):
            with suppress(ImportError):
                backends.get(name).live()


if __name__ == "__main__":
    main()
