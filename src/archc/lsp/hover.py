"""What is told of the thing below the mouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archc.api import Layer, dims
from archc.compiler.ir.network import Op, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language import parser
from archc.compiler.language.problems import Blame
from archc.compiler.language.values import KINDS, show
from archc.compiler.printed.schema import DOCS
from archc.compiler.spec.models import ParameterSpec
from archc.compiler.spec.reader import Scalar
from archc.compiler.spec.rows import ROW_KEYS
from archc.lsp import recipes, roles
from archc.lsp.documents import Document, State
from archc.lsp.roles import Role, Row
from archc.lsp.text import Cursor
from archc.lsp.tree import Spot, spot

OLDER = "_As of the last version that compiled._"


def told(document: Document, cursor: Cursor) -> tuple[str, Scalar | None] | None:
    """Markdown, and what it is about; None where there is nothing to tell."""
    state = document.now
    here = spot(state.root, state.source, cursor)
    role = roles.role(state.root, here)
    if role is None:
        return None
    parts = [*_parts(document, role, here, cursor)]
    return ("\n\n---\n\n".join(parts), here.scalar) if parts else None


def _parts(document: Document, role: Role, here: Spot, cursor: Cursor) -> Iterator[str]:
    known = document.known
    yield from _thing(document, role, here, cursor)
    if role.row is not None and role.row.block:
        found = row_figures(document, role.row)
        if found:
            yield "\n\n".join([found, *([OLDER] if known is not document.now else [])])


def _thing(document: Document, role: Role, here: Spot, cursor: Cursor) -> Iterator[str]:
    known = document.known
    match role.kind:
        case "block" if here.scalar:
            yield from _target(known, str(here.scalar))
        case "argument" if here.scalar:
            yield from _argument(known, role.target, str(here.scalar))
        case "key" if here.scalar:
            said = DOCS.get(role.key, {}).get(str(here.scalar))
            yield from [f"`{here.scalar}`: {said}"] if said else []
        case "recipe" | "base":
            yield from recipes.told(here)
        case "value" | "from" | "expression" | "word":
            yield from _argument(known, role.target, role.key) if role.kind != "expression" else ()
            yield from _named(document, role, here, cursor)


def _named(document: Document, role: Role, here: Spot, cursor: Cursor) -> Iterator[str]:
    """What the word of an expression at the cursor means."""
    known = document.known
    node = node_at(here.scalar, cursor)
    if isinstance(node, ex.Call):
        yield from _target(known, node.function)
    if isinstance(node, ex.Name):
        words = {w: doc for kind in KINDS.values() for w, doc in _meanings(kind.words).items()}
        own = parameter_spec(document, node.id, role.definition)
        if own is not None:
            yield described(node.id, own)
        elif node.id in words and role.kind == "value":
            yield f"`{node.id}`: {words[node.id]}"
        elif role.kind == "value":
            yield from _target(known, node.id) if node.id in known.files.blocks else ()


def _meanings(words: Any) -> dict[str, str]:
    return words if isinstance(words, dict) else {}


def parameter_spec(document: Document, name: str, block: str | None) -> ParameterSpec | None:
    """The parameter of the network, or of a block of this file, that a name means."""
    spec = document.known.files.spec
    if spec is None:
        return None
    if block is None:
        return spec.params.get(name)  # type: ignore[call-overload, no-any-return]
    owner = next((own for key, own in spec.blocks.items() if key == block), None)
    return next((own for key, own in owner.params.items() if key == name), None) if owner else None


def node_at(scalar: Scalar | None, cursor: Cursor) -> ex.Node | None:
    """The innermost part of an expression at the cursor."""
    if not scalar:
        return None
    try:
        nodes = [*ex.walk(parser.parse(scalar, scalar.place))]
    except Blame:
        return None
    around = [n for n in nodes if _covers(n, cursor)]
    return around[-1] if around else None


def _covers(node: ex.Node, cursor: Cursor) -> bool:
    place = node.place
    return place.line == cursor[0] and place.column <= cursor[1] <= place.column + place.length


# ------------------------------------------------------------------------- blocks and parameters


def _target(known: State, name: str) -> Iterator[str]:
    target = known.targets.get(name)
    if target is None:
        return
    what = "op" if isinstance(target, Op) else "block"
    takes = f" of {', '.join(f'`{x}`' for x in target.inputs)}" if len(target.inputs) > 1 else ""
    lines = [f"**{name}** ({what}{takes})", target.doc]
    listed = [f"- {described(key, own)}" for key, own in known.parameters(name).items()]
    yield "\n\n".join(filter(None, [*lines, "\n".join(listed)]))


def _argument(known: State, target: str | None, key: str) -> Iterator[str]:
    own = known.parameters(target).get(key)
    if own is not None:
        yield f"{described(key, own)}\n\nof `{target}`"
    elif key in ROW_KEYS:
        yield f"`{key}`: {DOCS['RowSpec'][key]}"


BOUNDS = {"min": "at least", "max": "at most", "above": "above", "below": "below"}


def described(name: str, own: Parameter | ParameterSpec) -> str:
    """`kernel: int = 1`, its bounds and what it means."""
    default = "" if own.default is None else f" = {ex.text(own.default)}"
    optional = " = none" if not default and own.type.optional else ""
    bounds = [f"{word} {show(value)}" for key, word in BOUNDS.items()
              if (value := getattr(own, key)) is not None]  # fmt: skip
    said = ", ".join(bounds)
    return ": ".join(filter(None, [f"`{name}: {own.type}{default}{optional}`", own.doc])) + (
        f" ({said})" if said else ""
    )


# ------------------------------------------------------------------------------------------- rows


def row_figures(document: Document, row: Row) -> str | None:
    """Shapes and costs of a row, if the last version that compiled has it."""
    known = document.known
    older = next((r for r in roles.rows(known.root) if r.keys == row.keys), None)
    if known.net is None or older is None or older.block != row.block:
        return None
    found = layers_of(known, older)
    return "\n\n".join(map(_figures, _few(found))) + _sum(found) if found else "_left out_"


def layers_of(state: State, row: Row) -> list[Layer]:
    """The rows of the network that a row of the file comes to."""
    assert state.net is not None
    places = {(n.place.line, n.place.column) for n in (row.block, row.node) if n is not None}
    every = zip(state.net.network.rows, state.net.blocks, strict=True)
    return [
        layer
        for written, layer in every
        if written.place.source.text == state.source.text
        and (written.place.line, written.place.column) in places
    ]


MOST = 3
"""Repeats that are shown each."""


def _few(layers: list[Layer]) -> list[Layer]:
    return layers if len(layers) <= MOST else [layers[0], layers[-1]]


def _sum(layers: list[Layer]) -> str:
    if len(layers) < 2:
        return ""
    params, macs = (
        sum(n) for n in zip(*((x.params.trainable, x.macs) for x in layers), strict=True)
    )
    return f"\n\n**{len(layers)} rows**: {params:,} trainable parameters, {macs:,} MACs"


def _figures(layer: Layer) -> str:
    shapes = ", ".join(map(dims, layer.input_shapes))
    costs = f"{layer.params.trainable:,} trainable parameters, {layer.macs:,} MACs"
    seen = "all of the input" if layer.receptive_field is None else (
        f"{dims(layer.receptive_field)} of the input"
    )  # fmt: skip
    window = f"kernel {dims(layer.kernel)}, " if layer.kernel else ""
    head = f"`{layer.path}` ({layer.op}): {shapes} → **{dims(layer.output_shape)}**"
    return "  \n".join([head, costs, f"{window}sees {seen}"])
