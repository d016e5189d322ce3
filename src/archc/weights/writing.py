"""Writes the rules that say what was paired, with comments where a person must decide."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from archc.api import Net
from archc.backends.storage import Storage, Tensor, WeightsError, tensors
from archc.compiler.language.problems import SpecError, printable
from archc.weights import importing, rules
from archc.weights.matching import Ambiguous, Matching
from archc.weights.patterns import Line, Patterns, generalised, shortened
from archc.weights.settings import assumed
from archc.weights.units import split

PLAIN = re.compile(r"[A-Za-z_][\w.<>/-]*")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""What YAML takes for something else than a text."""
SHOWN = 12
"""So many names a comment lists."""


@dataclass(frozen=True)
class Written:
    """What a file of rules is about."""

    net: Net
    framework: str
    storage: Storage
    source: str
    """What the file calls the checkpoint."""
    settings: Mapping[str, str]
    """Those that were given for the spec."""
    spec: str
    """As it was given."""
    checkpoint: str


def text(what: Written, found: Matching) -> str:
    """The file. Raises `WeightsError` where no rules can say what was paired."""
    layers, others = _split(what, found.pairs)
    short = generalised(layers, what.net.network.settings), shortened(others)
    plain = Patterns(names=[*layers.items()]), [*others.items()]
    for patterns, singles in (short, plain):
        written = "\n".join([*_head(what, found), *_body(patterns, singles), *_left(found), ""])
        if _says(what, written, found.pairs):
            return written
    raise WeightsError(f"{what.checkpoint}: no rules can say how its tensors are named")


def _split(what: Written, pairs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The checkpoint's names of layers, and of tensors that it does not name after theirs, or that
    are not all of their layer's."""
    names: dict[str, set[str]] = {}
    every = list(tensors(what.net.network, what.storage))
    for tensor in every:
        names.setdefault(_module(tensor), set()).add(_layer(what, tensor, pairs))
    whole = {module: next(iter(own)) for module, own in names.items() if len(own) == 1}
    layers = {module: layer for module, layer in whole.items() if layer}
    paired = (tensor.path for tensor in every if tensor.path in pairs)
    others = {path: pairs[path] for path in paired if path.rpartition(".")[0] not in layers}
    return layers, others


def _module(tensor: Tensor) -> str:
    return tensor.path.rpartition(".")[0]


def _layer(what: Written, tensor: Tensor, pairs: Mapping[str, str]) -> str:
    """The checkpoint's name of a tensor's layer; nothing where it does not name it after that."""
    name = pairs.get(tensor.path, "")
    layer, last = split(name)[0], tensor.path.rpartition(".")[2]
    return layer if what.storage.tensor_name(layer, last, tensor.slot) == name else ""


def _says(what: Written, written: str, pairs: Mapping[str, str]) -> bool:
    """Whether the file, read as any other, gives back exactly what was paired."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "rules.yaml")
        path.write_text(written, encoding="utf-8")
        try:
            model = rules.models(path)[what.source]
            named = importing.names(what.net, model, partial=True)
        except (SpecError, WeightsError):
            return False
    said = {t.path: n for n, t in named.items() if not n.startswith(importing.NOTHING)}
    return said == dict(pairs)


# ---- The pieces of the file


def _head(what: Written, found: Matching) -> Iterator[str]:
    unknown = assumed(what.net, what.settings)
    yield f"# What {printable(what.checkpoint)} calls the layers of {what.net.name}:"
    yield "# paired by shapes, order and names, which is no proof. This is:"
    yield f"#   archc verify {what.spec} --against MODEL.py:NET --rules THIS_FILE"
    if unknown:
        yield "# No checkpoint tells these settings; say under `set` which the model has others of:"
        yield f"#   {', '.join(f'{name}: {value}' for name, value in unknown.items())}"
    yield "archc: 1"
    yield f"framework: {what.framework}"
    given = ", ".join(f"{name}: {_quoted(value)}" for name, value in what.settings.items())
    said = f"{{set: {{{given}}}}}" if given else "{}"
    yield f"sources:\n  {_quoted(what.source)}: {said}"


def _body(patterns: Patterns, others: Sequence[Line]) -> Iterator[str]:
    yield from _pairs("names", patterns.names)
    yield from _pairs("tensors", others)
    if patterns.groups:
        yield "groups:"
        for group in patterns.groups:
            when = "" if group.end is None else f", when: i < {group.end}"
            words = ", ".join(f"{name}: {_quoted(word)}" for name, word in group.words.items())
            said = f", words: {{{words}}}" if words else ""
            yield f"  - {{at: {_quoted(group.at)}{when}{said}}}"
    yield from _pairs("inside", patterns.inside)


def _pairs(key: str, lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        return
    yield f"{key}:"
    width = max(len(_quoted(pattern)) for pattern, _ in lines)
    for pattern, template in lines:
        yield f"  - [{f'{_quoted(pattern)},':{width + 1}} {_quoted(template)}]"


def _quoted(word: str) -> str:
    """As YAML takes it for that text; a number stays one."""
    if (PLAIN.fullmatch(word) and word.lower() not in WORDS) or re.fullmatch(r"0|[1-9]\d*", word):
        return word
    return json.dumps(word, ensure_ascii=False)


def _left(found: Matching) -> Iterator[str]:
    """Comments on what no rule is for."""
    for doubt in by_layer(found.ambiguous):
        yield f"# Add pairs of these to `names`; {doubt.reason}:"
        yield f"#   ours:   {_listed(doubt.ours)}"
        yield f"#   theirs: {_listed(doubt.theirs)}"
    if found.missing:
        yield f"# The checkpoint has nothing for: {_listed(found.missing)}"
    if found.surplus:
        yield f"# The spec has nothing for: {_listed(found.surplus)}"


def by_layer(doubts: Iterable[Ambiguous]) -> Iterator[Ambiguous]:
    """Once for each group of layers, and not for each of their arrays."""
    seen: set[tuple[str, ...]] = set()
    for doubt in doubts:
        ours = tuple(path.rpartition(".")[0] for path in doubt.ours)
        if ours not in seen:
            seen.add(ours)
            theirs = tuple(split(name)[0] or name for name in doubt.theirs)
            yield Ambiguous(ours, theirs, doubt.reason)


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(printable(name) for name in [*names][:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
