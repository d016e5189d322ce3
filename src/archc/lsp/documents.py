"""The documents that an editor has open, and what the compiler says of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from archc.api import Net, load_with
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Op, Parameter
from archc.compiler.language.problems import Place, Problem, Source, SpecError
from archc.compiler.pipeline import check_library
from archc.compiler.spec import reader
from archc.compiler.spec.load import Files, load
from archc.compiler.spec.models import BlockSpec, ParameterSpec, Spec
from archc.compiler.spec.reader import Node
from archc.lsp.roles import get, is_recipe

Parameters = Mapping[str, Parameter | ParameterSpec]


@dataclass(frozen=True, eq=False)
class State:
    """A text, and what there is to know of it."""

    source: Source
    root: Node | None = None
    """As far as it can be read."""
    problems: tuple[Problem, ...] = ()
    files: Files = field(default_factory=lambda: Files(None))
    net: Net | None = None

    @cached_property
    def targets(self) -> Mapping[str, Op | BlockSpec]:
        """Every op and block by name."""
        return {**CATALOGUE, **self.files.blocks}

    def parameters(self, target: str | None) -> Parameters:
        """Those of a block or op, by name."""
        found = self.targets.get(str(target))
        if isinstance(found, Op):
            return {parameter.name: parameter for parameter in found.parameters}
        return {str(key): own for key, own in found.params.items()} if found else {}

    @property
    def specs(self) -> Iterator[Spec]:
        """The file and those that it uses."""
        yield from (spec for spec in (self.files.spec, *self.files.libraries) if spec is not None)


@dataclass(eq=False)
class Document:
    """An open file: as it is now, and as it was when it last made a network or a library."""

    path: Path
    text: str
    now: State
    good: State | None = None
    checked: bool = False

    @property
    def known(self) -> State:
        """The state to ask what blocks and rows are."""
        return self.good or self.now


class Documents:
    """All open documents, by the name that the editor knows them by."""

    def __init__(self, include: Iterable[Path] = ()) -> None:
        self.include = tuple(include)
        self.open: dict[str, Document] = {}

    def put(self, uri: str, path: Path, text: str) -> Document:
        """Takes note of a text, and says nothing of it yet."""
        before = self.open.get(uri)
        source = source_of(path, text)
        root, _ = reader.read(source)
        state = State(source, root)
        document = Document(path, text, state, before.good if before else None)
        self.open[uri] = document
        return document

    def check(self, document: Document) -> None:
        """Asks the compiler of a document, with all others as they are in the editor."""
        with reader.overlaid(self.texts()):
            state = self.state(document)
        document.now, document.checked = state, True
        if not any(problem.severity == "error" for problem in state.problems):
            document.good = state

    def texts(self) -> dict[Path, str]:
        return {Path(os.path.realpath(each.path)): each.text for each in self.open.values()}

    def state(self, document: Document) -> State:
        """What the compiler says. Raises nothing that is about the text."""
        source, root, path = document.now.source, document.now.root, document.path
        if is_recipe(root):
            return State(source, root, self.of_recipe(path))
        files, problems = load(path, self.include)
        if files is None or files.spec is None:
            return State(source, root, tuple(problems), self.used(document))
        net = None
        try:
            if check_library(path, self.include) is None:
                net = load_with(path, {}, self.include)
                problems = [*net.warnings]
        except SpecError as error:
            problems = [*error.problems]
        return State(source, root, tuple(problems), files, net)

    def of_recipe(self, path: Path) -> tuple[Problem, ...]:
        """What is wrong with a recipe of training."""
        from archc.compiler.recipe.resolve import load as load_recipe  # few documents are recipes

        try:
            load_recipe(path, self.include)
        except SpecError as error:
            return error.problems
        return ()

    def used(self, document: Document) -> Files:
        """What a file that cannot be read as a spec says that it uses, as far as it says so."""
        if document.good is not None:
            return document.good.files
        use = [str(name) for name in get(document.now.root, "use", reader.Sequence)]
        stub = f"archc: 1\nuse: [{', '.join(use)}]\n"
        with reader.overlaid({**self.texts(), Path(os.path.realpath(document.path)): stub}):
            files, _ = load(document.path, self.include)
        return files or Files(None)

    def compiled(self, document: Document, text: str) -> State:
        """What the compiler would say were this the text of the document."""
        other = Document(document.path, text, State(source_of(document.path, text)))
        texts = {**self.texts(), Path(os.path.realpath(document.path)): text}
        with reader.overlaid(texts):
            return self.state(other)


def source_of(path: Path, text: str) -> Source:
    """A text with the lines of the editor: as the compiler reads it."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Source(str(path), plain)


def same_file(place: Place, path: Path) -> bool:
    """Whether a place is in the file at a path."""
    return os.path.realpath(place.source.name) == os.path.realpath(path)
