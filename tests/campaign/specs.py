"""Mutated specs: refused with problems that stand in their files, or right to the last step.

What is shipped, the fixtures of `tests/problems`, the examples of the documentation and random
networks are taken apart and put together wrongly, as trees and as bytes. What is accepted anyway is
resolved and written for every backend, in ruff's style.
"""

from __future__ import annotations

import random
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from archc import backends
from archc.api import load
from archc.compiler.language.problems import Place, Problem, SpecError
from archc.compiler.printed.resolve import resolve

from ._hostile import KEPT, in_time, kept_style, start_clock, told, unprintable
from ._specs import BASE, NETWORK, Maker

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 500 * 2**10
"""KiB beyond what the process has taken already."""
RANDOM_NETWORKS = 24
BATCH = 500
"""So many emitted files are looked at by ruff at once."""

Chance = random.Random
RESOLVER = yaml.SafeLoader("")


# ---- What is mutated


@dataclass(frozen=True)
class Original:
    """A spec in a folder, and the file that is mutated: itself, or one that it builds on."""

    path: Path
    mutated: Path
    data: bytes
    tree: Tree | None


@dataclass
class Tree:
    """A node of YAML: a scalar, a list, or a mapping, whose items may be called alike."""

    text: str = ""
    style: str | None = None
    items: list[Tree] | None = None
    keys: list[Tree] | None = None

    @property
    def nodes(self) -> list[Tree]:
        return [*(self.keys or ()), *(self.items or ())]

    def copy(self) -> Tree:
        items, keys = (
            None if x is None else [t.copy() for t in x] for x in (self.items, self.keys)
        )
        return Tree(self.text, self.style, items, keys)

    def walk(self) -> Iterator[Tree]:
        yield self
        for node in self.nodes:
            yield from node.walk()


def originals(folder: Path, seed: int) -> list[Original]:
    """The specs to start from, in files of `folder`."""
    shutil.copytree(ROOT / "tests" / "problems", folder, dirs_exist_ok=True)
    for path in (ROOT / "specs").glob("*.yaml"):
        shutil.copy(path, folder / f"shipped_{path.name}")
    for number, text in enumerate(_examples()):
        (folder / f"example_{number}.yaml").write_text(text, encoding="utf-8")
    found = [(path, path) for path in sorted(folder.glob("*.yaml"))]
    found += [pair for pair in found if pair[0].stem.startswith(("shipped", "example"))] * 9
    for number in range(RANDOM_NETWORKS):
        own = folder / f"random_{number}"
        own.mkdir()
        path = Maker(f"{seed} {number}", own).make()
        found += [(path, own / name) for name in (NETWORK, BASE) if (own / name).exists()] * 6
    return [Original(path, file, data := file.read_bytes(), _tree(data)) for path, file in found]


def _examples() -> Iterator[str]:
    for page in (ROOT / "docs").glob("*.md"):
        for text in re.findall("```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if text.startswith("archc:"):
                yield text


def _tree(data: bytes) -> Tree | None:
    if re.search(rb"[&*]\w", data):
        return None  # aliases make a tree of any size
    try:
        node = yaml.compose(data, Loader=yaml.CSafeLoader)
        return None if node is None else _taken(node)
    except (yaml.YAMLError, UnicodeError, RecursionError):
        return None


def _taken(node: Any) -> Tree:
    if isinstance(node, yaml.ScalarNode):
        return Tree(node.value, node.style)
    if isinstance(node, yaml.SequenceNode):
        return Tree(items=[_taken(item) for item in node.value])
    keys, items = ([_taken(pair[i]) for pair in node.value] for i in (0, 1))
    return Tree(keys=keys, items=items)


def written(tree: Tree) -> str:
    return yaml.serialize(_node(tree), Dumper=yaml.CSafeDumper, allow_unicode=True, width=10**6)  # type: ignore[no-any-return]


def _node(tree: Tree) -> Any:
    if tree.items is None:
        plain = tree.style is None and tree.text and re.fullmatch(r"[^\W\d_][\w ]*", tree.text)
        tag = "tag:yaml.org,2002:str"
        if tree.style is None and not plain:  # its own tag, so that it stays without quotes
            tag = RESOLVER.resolve(yaml.ScalarNode, tree.text, (True, False))
        return yaml.ScalarNode(tag, tree.text, style=tree.style)
    flow = all(node.items is None for node in tree.items)
    if tree.keys is None:
        return yaml.SequenceNode(
            "tag:yaml.org,2002:seq", [*map(_node, tree.items)], flow_style=flow
        )
    pairs = [*zip(map(_node, tree.keys), map(_node, tree.items), strict=True)]
    return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=flow)


# ---- Mutations of trees

WORDS = """
    0 1 2 3 4 7 8 16 0.5 1.0 1e-3 -1 -2 64 1024 1048576 9007199254740992 1e300 1e308 99999999999999
    none true false ~ relu swish softmax frelu same valid symmetric x prev kernel filters stride out
    conv2d depthwise_conv2d batch_norm activation add concat multiply dense flatten reshape crop pad
    max_pool2d global_avg_pool2d dropout identity resize squeeze_excite conv_bn x.channels x.stride
    block name when from repeat tap output training_only set at where remove insert before after
    columns rows params let steps returns channels inputs keep type default min max above below doc
    replace on_vectors int float bool size sides shape padding pool_padding activation initializer
    int? size?
    init bias_init scale_init offset_init zeros normal(0.1) variance_scaling(2,fan_in,normal,torch)
    """.split()  # noqa: SIM905
OPERATORS = """
    + - * / // % == != < <= > >= and or not if else ( ) [ ] , . = round_channels( min( max(
    floor( ceil( round( -( , ) x.channels .stride""".split()  # noqa: SIM905
STRANGE = (
    *("", " ", "~", "null", "[]", "{}", "#", ":", "-", "'", '"', "\\", "\t", "\n", "\0", "\x1b[2J"),
    *(
        "\u202e",
        "ü",
        "画",
        "🙂",
        "a b",
        "a.b",
        "../x",
        "/etc/passwd",
        "%s",
        "{x}",
        "x" * 65,
        "x" * 600,
    ),
    *("9" * 23, "1" + "0" * 400, "1_000", "0x10", ".5", "5.", "1e", "+1", "--1", "[1, 2]", "[[1]]"),
)
TOKENS = re.compile(r"\w+|\W")


def _scalars(tree: Tree) -> list[Tree]:
    return [node for node in tree.walk() if node.items is None]


def _groups(tree: Tree) -> list[Tree]:
    return [node for node in tree.walk() if node.items]


def _replace_word(tree: Tree, other: Tree, chance: Chance) -> None:
    node = chance.choice(_scalars(tree))
    stock = [scalar.text for scalar in _scalars(chance.choice((tree, other)))]
    node.text = chance.choice((chance.choice(WORDS), chance.choice(stock), chance.choice(STRANGE)))
    node.style = chance.choice((None, None, None, "'", '"'))


def _replace_token(tree: Tree, other: Tree, chance: Chance) -> None:
    """In an expression: a word, a number or an operator goes, comes twice, or becomes another."""
    node = chance.choice(_scalars(tree))
    tokens = TOKENS.findall(node.text) or [""]
    at = chance.randrange(len(tokens))
    new = chance.choice((*chance.sample(WORDS, 3), *chance.sample(OPERATORS, 3)))
    stock = TOKENS.findall(chance.choice(_scalars(other)).text) or [""]
    tokens[at] = chance.choice(
        (
            new,
            f"{tokens[at]} {new}",
            f"{new} {tokens[at]}",
            "",
            tokens[at] * 2,
            chance.choice(stock),
        )
    )
    node.text = "".join(tokens)


def _wrap(tree: Tree, other: Tree, chance: Chance) -> None:
    """An expression within another."""
    node, text = chance.choice(_scalars(tree)), chance.choice(_scalars(other)).text
    form = chance.choice(
        ("{} + {}", "{} * {}", "{} // {}", "{} / 2", "-({})", "not {}", "max({}, {})", "floor({})",
         "{} if {} else {}", "{} == {}", "({}) and ({})", "[{}, {}]", "{}({})", "{} - {}",
         "{} % {}",
         "round_channels({}, {})", "{}.channels", "{}.stride", "{} < {}", "max({})", "add({}, {})")
    )  # fmt: skip
    parts = [chance.choice((node.text, node.text, text)) for _ in range(3)]
    node.text = form.format(*parts)


def _cell(tree: Tree, other: Tree, chance: Chance) -> None:
    """A cell or an argument becomes what another one of its column, or of its name, is."""
    lists = [g for g in _groups(tree) if g.keys is None and g.items and g.items[0].items]
    rows = [row.items for row in chance.choice(lists).items or ()] if lists else []
    if rows and chance.randrange(2):
        at = chance.randrange(min(len(row or ()) for row in rows) or 1)
        cells = [row[at] for row in rows if row and len(row) > at]
    else:
        groups = [g for t in (tree, other) for g in _groups(t) if g.keys is not None]
        pairs = [p for g in groups for p in zip(g.keys or (), g.items or (), strict=True)]
        name = chance.choice([key.text for key, _ in pairs])
        cells = [value for key, value in pairs if key.text == name]
    if cells:
        old, new = chance.choice(cells), chance.choice(cells).copy()
        old.text, old.style, old.items, old.keys = new.text, new.style, new.items, new.keys


def _number(tree: Tree, other: Tree, chance: Chance) -> None:
    numbers = [n for n in _scalars(tree) if re.fullmatch(r"-?[\d.]+", n.text)]
    if numbers:
        node = chance.choice(numbers)
        factor = chance.choice((0, -1, 2, 2, 3, 0.5, 0.5, 1.5, 1000, 10**6, 10**12))
        node.text = (
            f"{float(node.text.strip('.') or 0) * factor:g}" if "." not in node.text[1:-1] else "0"
        )


def _delete(tree: Tree, other: Tree, chance: Chance) -> None:
    group = chance.choice(_groups(tree))
    assert group.items
    at = chance.randrange(len(group.items))
    del group.items[at]
    if group.keys is not None:
        del group.keys[at]


def _duplicate(tree: Tree, other: Tree, chance: Chance) -> None:
    """An entry once more, in its place or elsewhere; often only once more, sometimes very often."""
    group = chance.choice(_groups(tree))
    assert group.items
    at, to = chance.randrange(len(group.items)), chance.randrange(len(group.items))
    for _ in range(chance.choice((1, 1, 1, 2, 30))):
        group.items.insert(to, group.items[at].copy())
        if group.keys is not None:
            key = group.keys[at].copy()
            key.text += chance.choice(("", "_", "2", str(chance.randrange(100))))
            group.keys.insert(to, key)


def _swap(tree: Tree, other: Tree, chance: Chance) -> None:
    """Two keys or two values of one mapping, or two nodes of the tree."""
    group = chance.choice(_groups(tree))
    nodes = chance.choice((group.keys, group.items, group.items)) or group.items
    assert nodes
    left, right = chance.randrange(len(nodes)), chance.randrange(len(nodes))
    nodes[left], nodes[right] = nodes[right], nodes[left]


def _graft(tree: Tree, other: Tree, chance: Chance) -> None:
    """A node of another spec, or of this one, in the place of one."""
    group = chance.choice(_groups(tree))
    assert group.items
    stock = [*chance.choice((tree, other)).walk()]
    group.items[chance.randrange(len(group.items))] = chance.choice(stock).copy()


def _insert(tree: Tree, other: Tree, chance: Chance) -> None:
    """An entry of another mapping or list with it: a key that may not belong."""
    group = chance.choice(_groups(tree))
    donors = [
        g for g in _groups(chance.choice((tree, other))) if (g.keys is None) == (group.keys is None)
    ]
    if not donors:
        return
    donor = chance.choice(donors)
    assert group.items
    assert donor.items
    at, to = chance.randrange(len(donor.items)), chance.randrange(len(group.items) + 1)
    group.items.insert(to, donor.items[at].copy())
    if group.keys is not None and donor.keys is not None:
        group.keys.insert(to, donor.keys[at].copy())


def _rename(tree: Tree, other: Tree, chance: Chance) -> None:
    """A name everywhere, as a person renames one: to another of the spec, or to a strange one."""
    scalars = _scalars(tree)
    names = re.findall(r"[a-z_]\w*", " ".join(node.text for node in scalars))
    if names:
        old, new = (
            chance.choice(names),
            chance.choice((*WORDS, chance.choice(names), "class", "self")),
        )
        for node in scalars:
            node.text = re.sub(rf"\b{re.escape(old)}\b", lambda _: new, node.text)


TREES: tuple[Callable[[Tree, Tree, Chance], None], ...] = (
    _replace_word, _replace_token, _replace_token, _wrap, _delete, _duplicate, _swap, _graft,
    _insert, _rename, *(_cell,) * 6, *(_number,) * 4,
)  # fmt: skip


# ---- Mutations of bytes


def _flip(data: bytes, other: bytes, chance: Chance) -> bytes:
    changed = bytearray(data or b"0")
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _write_in(data: bytes, other: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(data) + 1)
    new = chance.choice((chance.choice(STRANGE), chance.choice(WORDS), chance.choice(OPERATORS)))
    return data[:at] + new.encode() + data[at:]


def _cut(data: bytes, other: bytes, chance: Chance) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _drop(data: bytes, other: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.choice((1, 1, 2, 8, 64)) :]


def _splice(data: bytes, other: bytes, chance: Chance) -> bytes:
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _lines(data: bytes, other: bytes, chance: Chance) -> bytes:
    """A line goes, or stands elsewhere, with the indentation of there or of here."""
    lines = data.split(b"\n")
    line = lines[chance.randrange(len(lines))]
    if chance.randrange(2):
        lines.remove(line)
    lines.insert(chance.randrange(len(lines) + 1), line if chance.randrange(2) else line.strip())
    return b"\n".join(lines)


BYTES: tuple[Callable[[bytes, bytes, Chance], bytes], ...] = (
    _flip, _write_in, _cut, _drop, _splice, _lines, _lines,
)  # fmt: skip


def mutated(original: Original, other: Original, chance: Chance) -> bytes:
    if original.tree is None or other.tree is None or not chance.randrange(4):
        data = original.data
        for _ in range(chance.choice((1, 1, 2, 3))):
            data = chance.choice(BYTES)(data, other.data, chance)
        return data
    tree = original.tree.copy()
    for _ in range(chance.choice((1, 1, 1, 1, 2, 4))):
        if _groups(tree):
            chance.choice(TREES)(tree, other.tree, chance)
    return written(tree).encode("utf-8", "surrogatepass")


# ---- The campaign


def run(count: int, seed: int) -> Iterator[str]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        emitted = folder / "emitted"
        emitted.mkdir()
        stock = originals(folder, seed)
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            original, other = chance.choice(stock), chance.choice(stock)
            data = mutated(original, other, chance)
            original.mutated.write_bytes(data)
            said = _failure(original.path, emitted / f"n{number}")
            if said:
                yield f"{_keep(original, f'specs-{seed}-{number}')}: {said}"
            original.mutated.write_bytes(original.data)
            if number % BATCH == BATCH - 1:
                yield from kept_style(emitted, "specs", seed)
        yield from kept_style(emitted, "specs", seed)


def _failure(path: Path, emitted: Path) -> str | None:
    """What is wrong with how a spec is taken."""
    before = _memory()
    try:
        with in_time():
            said = "; ".join(_wrong(path, emitted))
    except BaseException as error:  # whatever it is, it is a failure to be told
        return told(error)
    if _memory() - before > MEMORY:
        return f"it takes {(_memory() - before) / 2**10:.0f} MiB"
    return said or None


def _wrong(path: Path, emitted: Path) -> Iterator[str]:
    try:
        net = load(path)
    except SpecError as error:
        yield from _problems(error)
        return
    start_clock()
    flat = None
    try:
        flat = resolve(path)
    except SpecError as error:
        yield from _problems(error)
    if flat is not None:
        start_clock()
        other = path.with_name("flat.yaml")
        other.write_text(flat, encoding="utf-8")
        if load(other).params != net.params:
            yield "`resolve` gives another network"
    for name in backends.sources():
        start_clock()
        text = net.source(name)
        compile(text, f"{emitted.name}_{name}.py", "exec")
        emitted.with_name(f"{emitted.name}_{name}.py").write_text(text, encoding="utf-8")


def _problems(error: SpecError) -> Iterator[str]:
    """What is wrong with the problems themselves."""
    yield from unprintable(error)
    for problem in error.problems:
        for place in (problem.place, *(place for _, place in problem.related)):
            yield from _misplaced(problem, place)


def _misplaced(problem: Problem, place: Place) -> Iterator[str]:
    lines = place.source.lines
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    inside = 0 < place.line <= len(lines) and 0 < place.column <= len(line) + 1
    if not inside or place.column + place.length - 1 > max(len(line), place.column):
        yield f"{problem.code} at {place}+{place.length} is outside of its file"
    if not Path(place.source.name).exists():
        yield f"{problem.code} is in {place.source.name}, which is no file"


def _keep(original: Original, name: str) -> Path:
    """Where a failing spec is kept, with all that is beside it."""
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in {original.path, original.mutated}:
        shutil.copy(path, folder / path.name)
    return folder / original.path.name


def _memory() -> int:
    """KiB at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
