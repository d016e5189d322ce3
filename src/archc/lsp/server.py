"""The protocol: requests in, answers and diagnostics out, over stdin and stdout."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote as escaped

from lsprotocol import types
from pygls import uris
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from archc.api import dims
from archc.compiler.language.problems import Place, Problem, Source
from archc.compiler.spec import reader
from archc.compiler.spec.reader import Scalar
from archc.lsp import completion, hover, names, roles
from archc.lsp.documents import Document, Documents
from archc.lsp.text import Cursor, cursor, span

PAUSE = 0.15
"""Seconds without a key before a text is checked."""
REQUEST_FAILED = -32803

log = logging.getLogger(__name__)


class Server(LanguageServer):
    """What an editor has open, and what was told of it."""

    def __init__(self, include: Iterable[Path] = ()) -> None:
        # Whole texts: line ends that only some count cannot shift a change then.
        super().__init__("archc", version("archc-compiler"), types.TextDocumentSyncKind.Full)
        self.documents = Documents(include)
        self.told: dict[str, dict[str, list[types.Diagnostic]]] = {}
        """Diagnostics by the document that they come from, and by the file that they are of."""
        self.shown: dict[str, list[types.Diagnostic]] = {}
        """What was published last, by file."""
        self.waiting: asyncio.Task[None] | None = None

    def document(self, uri: str) -> Document | None:
        """An open document, checked if it has not been since its last change."""
        found = self.documents.open.get(uri)
        if found is not None and not found.checked:
            self.documents.check(found)
        return found

    def at(self, uri: str, position: types.Position) -> tuple[Document, Cursor] | None:
        found = self.document(uri)
        if found is None:
            return None
        codec = self.workspace.position_codec
        return found, cursor(codec, found.now.source.lines, position)

    def range(self, place: Place) -> types.Range:
        return span(self.workspace.position_codec, place)

    def changed(self, uri: str) -> None:
        """Takes the text of a document, and checks all that are open once nobody types."""
        text = self.workspace.get_text_document(uri).source
        self.documents.put(uri, path_of(uri), text)
        if self.waiting is not None:
            self.waiting.cancel()
        self.waiting = asyncio.ensure_future(self.check_soon())

    async def check_soon(self) -> None:
        await asyncio.sleep(PAUSE)
        self.check()

    def check(self) -> None:
        """Checks every open document, as each may use another, and publishes what is new."""
        for uri, document in [*self.documents.open.items()]:
            try:
                self.documents.check(document)
            except Exception:
                log.exception("cannot check %s", uri)
                continue
            self.publish(uri, self.by_file(document))

    def by_file(self, document: Document) -> dict[str, list[types.Diagnostic]]:
        """What is wrong, by file. An editor may send all its YAML: of what is no spec, nothing."""
        found: dict[str, list[types.Diagnostic]] = defaultdict(list)
        for problem in document.now.problems if reader.is_spec(document.text) else ():
            found[self.uri_of(problem.place.source)].append(self.diagnostic(problem))
        return found

    def publish(self, uri: str, found: dict[str, list[types.Diagnostic]]) -> None:
        """Tells what a document's check found, beside what the others' say of the same files."""
        before = self.told.pop(uri, {})
        if found or uri in self.documents.open:
            self.told[uri] = found
        for file in sorted({*before, *found, uri}):
            every = [one for each in self.told.values() for one in each.get(file, ())]
            unique = {(str(d.range), d.code, d.message): d for d in every}
            if self.shown.get(file) != (now := [*unique.values()]):
                self.shown[file] = now
                said = types.PublishDiagnosticsParams(file, now)
                self.text_document_publish_diagnostics(said)

    def uri_of(self, source: Source) -> str:
        """The document that a source is, or else its file."""
        path = Path(source.name)
        known = {document.path.resolve(): uri for uri, document in self.documents.open.items()}
        return known.get(path.resolve()) or uri_of(path)

    def diagnostic(self, problem: Problem) -> types.Diagnostic:
        error = problem.severity == "error"
        severity = types.DiagnosticSeverity.Error if error else types.DiagnosticSeverity.Warning
        related = [
            types.DiagnosticRelatedInformation(self.location(place), remark)
            for remark, place in problem.related
        ]
        hint = f"\nhelp: {problem.hint}" if problem.hint else ""
        return types.Diagnostic(
            self.range(problem.place),
            problem.message + hint,
            severity=severity,
            code=problem.code,
            source="archc",
            related_information=related or None,
        )

    def location(self, place: Place) -> types.Location:
        return types.Location(self.uri_of(place.source), self.range(place))


def path_of(uri: str) -> Path:
    """The file that a document is; one without a file is as if in the working directory."""
    path = uris.to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path or escaped(uri, safe="").replace("%", "_") or "untitled")


def uri_of(path: Path) -> str:
    return str(uris.from_fs_path(str(path.absolute())))


def server(include: Iterable[Path] = ()) -> Server:
    """A server that answers all of these requests."""
    made = Server(include)
    for method, handler in HANDLERS.items():
        options = OPTIONS.get(method)
        made.feature(method, options)(handler)
    return made


# ------------------------------------------------------------------------------------- documents


def opened(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
    ls.shown.pop(params.text_document.uri, None)
    ls.changed(params.text_document.uri)


def changed(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


def saved(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
    ls.check()


def closed(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    ls.documents.open.pop(uri, None)
    ls.publish(uri, {})
    ls.check()


# --------------------------------------------------------------------------------------- requests


def hovered(ls: Server, params: types.HoverParams) -> types.Hover | None:
    at = ls.at(params.text_document.uri, params.position)
    told = hover.told(*at) if at else None
    if told is None:
        return None
    text, scalar = told
    content = types.MarkupContent(types.MarkupKind.Markdown, text)
    return types.Hover(content, ls.range(scalar.place) if scalar else None)


def completed(ls: Server, params: types.CompletionParams) -> types.CompletionList | None:
    at = ls.at(params.text_document.uri, params.position)
    if at is None:
        return None
    found = [
        types.CompletionItem(
            item.label,
            kind=item.kind,
            documentation=types.MarkupContent(types.MarkupKind.Markdown, item.doc),
            insert_text=item.insert,
            sort_text=f"{item.rank}{item.label}",
        )
        for item in completion.items(*at)
    ]
    return types.CompletionList(is_incomplete=False, items=found)


def defined(ls: Server, params: types.DefinitionParams) -> types.Location | None:
    at = ls.at(params.text_document.uri, params.position)
    found = names.definition(*at) if at else None
    if isinstance(found, Path):
        start = types.Position(0, 0)
        return types.Location(uri_of(found.resolve()), types.Range(start, start))
    return ls.location(found) if found is not None else None


def prepared(ls: Server, params: types.PrepareRenameParams) -> types.Range | None:
    at = ls.at(params.text_document.uri, params.position)
    try:
        return ls.range(names.symbol(*at).at) if at else None
    except names.Refused as error:
        raise _refused(error) from None


def renamed(ls: Server, params: types.RenameParams) -> types.WorkspaceEdit | None:
    uri = params.text_document.uri
    at = ls.at(uri, params.position)
    if at is None:
        return None
    try:
        places = names.renamed(ls.documents, *at, params.new_name)
    except names.Refused as error:
        raise _refused(error) from None
    edits = [types.TextEdit(ls.range(place), params.new_name) for place in places]
    return types.WorkspaceEdit(changes={uri: edits})


def _refused(error: names.Refused) -> JsonRpcException:
    return JsonRpcException(f"archc cannot rename this: {error}", REQUEST_FAILED)


def lenses(ls: Server, params: types.CodeLensParams) -> list[types.CodeLens] | None:
    document = ls.document(params.text_document.uri)
    if document is None or document.known.net is None:
        return None
    root = roles.get({"": document.now.root}, "")
    keys = {str(key): key.place for key in root if isinstance(key, Scalar)}
    place = keys.get("network", keys.get("extends"))
    if place is None:
        return None
    net = document.known.net
    shapes = f"{dims(net.input_shape)} → {dims(net.output_shape)}"
    older = " (before the last edits)" if document.known is not document.now else ""
    title = f"{net.params.trainable:,} trainable parameters, {net.macs:,} MACs, {shapes}{older}"
    return [types.CodeLens(ls.range(place), types.Command(title, ""))]


HANDLERS: Mapping[str, Callable[..., Any]] = {
    types.TEXT_DOCUMENT_DID_OPEN: opened,
    types.TEXT_DOCUMENT_DID_CHANGE: changed,
    types.TEXT_DOCUMENT_DID_SAVE: saved,
    types.TEXT_DOCUMENT_DID_CLOSE: closed,
    types.TEXT_DOCUMENT_HOVER: hovered,
    types.TEXT_DOCUMENT_COMPLETION: completed,
    types.TEXT_DOCUMENT_DEFINITION: defined,
    types.TEXT_DOCUMENT_PREPARE_RENAME: prepared,
    types.TEXT_DOCUMENT_RENAME: renamed,
    types.TEXT_DOCUMENT_CODE_LENS: lenses,
}
OPTIONS = {
    types.TEXT_DOCUMENT_COMPLETION: types.CompletionOptions(
        trigger_characters=[" ", "[", "{", ",", "(", ":"]
    ),
    types.TEXT_DOCUMENT_RENAME: types.RenameOptions(prepare_provider=True),
}
