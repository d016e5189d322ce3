"""Edits of specs, and what `archc diff` says of them: nothing of those that mean nothing.

Shipped specs and random networks are edited. What an edit means is not asked of the diff: one that
is made to mean nothing means nothing, and of the others those that change the code of a generated
model, less what is said in it.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from archc.api import Net, load
from archc.compiler.language.problems import SpecError
from archc.compiler.printed.resolve import resolve
from archc.diff.compare import compare

from ._hostile import told
from ._specs import NETWORK, Maker

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("mnv3_small", "mobilenet_v1", "mobilenet_v2", "lenet_cifar", "hswish_cifar", "resnet18")
RANDOM_NETWORKS = 16
Spec = dict[str, Any]
FOLDER = "folder"
"""The key under which an edit finds where the spec lies."""
Edit = Callable[[Spec, random.Random], str | None]
"""Changes a spec, and gives its text if that is not what YAML makes of it."""


class _NoEdit(Exception):
    """There is no such edit, it is refused, or it means nothing where it should."""


def run(count: int, seed: int) -> Iterator[str]:
    """Half of the edits mean nothing, half something; those that come to nothing do not count."""
    chance = random.Random(seed)
    with TemporaryDirectory() as folder:
        originals = list(_originals(Path(folder), seed))
        done = 0
        while done < count:
            path = chance.choice(originals)
            edits = (MEANINGLESS, MEANINGFUL)[done % 2]
            name, edit = chance.choice(edits)
            try:
                wrong = _tried(path, edit, chance, meaningless=edits is MEANINGLESS)
            except _NoEdit:
                continue
            except Exception as error:
                wrong = told(error)
            done += 1
            if wrong:
                yield f"{done}: {name} of {path.name}: {wrong}"


def _originals(folder: Path, seed: int) -> Iterator[Path]:
    for name in SMALL:
        copied = folder / f"{name}.yaml"
        text = (ROOT / "specs" / f"{name}.yaml").read_text(encoding="utf-8")
        copied.write_text(text.replace("type: float?", 'type: "float?"'))
        yield copied
    for number in range(RANDOM_NETWORKS):
        own = folder / f"random_{number}"
        own.mkdir()
        Maker(f"{seed} {number}", own).make()
        yield own / NETWORK


def _tried(path: Path, edit: Edit, chance: random.Random, meaningless: bool) -> str | None:
    """What is wrong with the diff of one edit. Raises `_NoEdit`."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    edited = copy.deepcopy(spec)
    try:
        edited[FOLDER] = str(path.parent)
        text = edit(edited, chance)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _NoEdit from None  # it has no such thing
    edited.pop(FOLDER, None)
    new = path.with_name("edited.yaml")
    new.write_text(_written(edited, chance) if text is None else text, encoding="utf-8")
    try:
        before, after = load(path), load(new)
    except SpecError:
        raise _NoEdit from None
    found = compare(before, after).findings
    said = "; ".join(f"{finding.id} {finding.message}" for finding in found)
    if meaningless:
        return f"{said}\n{new.read_text()}" if found else None
    # What a step that no call makes would do is code, and no part of the network.
    meaning = str if edit is _step else _meaning
    if meaning(before) == meaning(after):
        raise _NoEdit
    if not found:
        return f"nothing said\n{new.read_text()}"
    lines = Counter(finding.id for finding in found)
    more = len(after.network.rows) - len(before.network.rows)
    wrong = lines[ONE_SIDED[edit]] if edit in ONE_SIDED else 0
    if wrong or (edit in ONE_SIDED and lines["D101"] - lines["D102"] != more):
        return f"more said than one edit: {said}\n{new.read_text()}"
    return None


def _meaning(net: Net) -> str:
    """The code of its models, less comments and docstrings."""
    return "".join(ast.dump(_bare(ast.parse(net.source(name)))) for name in ("torch", "keras"))


def _bare(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(ast.Constant()), *rest]:
                node.body = [ast.Pass(), *rest]  # type: ignore[attr-defined]
    return tree


def _written(spec: Spec, chance: random.Random) -> str:
    return yaml.safe_dump(spec, sort_keys=False, width=chance.choice((60, 100, 1000)))


# ---- What is edited


def _cells(spec: Spec) -> list[tuple[Any, Any]]:
    """Every argument of a row, as what holds it and its key or number there."""
    found: list[tuple[Any, Any]] = []
    for entry in spec["network"]:
        if "columns" not in entry:
            found += [(entry, key) for key in entry if key not in TEXTS]
            continue
        for row in entry["rows"]:
            keys = range(len(row)) if isinstance(row, list) else list(row)
            names = entry["columns"] if isinstance(row, list) else {key: key for key in row}
            found += [(row, key) for key in keys if names[key] not in TEXTS]
    return found


TEXTS = (
    "block",
    "name",
    "doc",
    "tap",
    "from",
    "output",
    "repeat",
    "when",
    "training_only",
    "dilate",
)


def _numbers(spec: Spec) -> list[tuple[Any, Any]]:
    return [(held, key) for held, key in _cells(spec) if type(held[key]) in (int, float)]


def _rows(spec: Spec) -> tuple[list[Any], int]:
    """Some list of rows."""
    return spec["network"], len(spec["network"])


# ---- Edits that mean nothing


def _style(spec: Spec, chance: random.Random) -> str:
    del spec[FOLDER]
    width = chance.choice((50, 1000))
    flow = chance.choice((True, False, None))
    told = _shuffled(spec, chance)
    return yaml.safe_dump(told, sort_keys=False, default_flow_style=flow, width=width)


IN_ORDER = ("params", "set", "let", "inputs", "steps", "blocks")
"""Keys below which order means something, or stands for what code is written in."""


def _shuffled(node: Any, chance: random.Random, above: str = "") -> Any:
    if isinstance(node, list):
        return [_shuffled(item, chance, above) for item in node]
    if not isinstance(node, dict):
        return node
    keys = [*node]
    if above not in IN_ORDER:
        chance.shuffle(keys)
    return {key: _shuffled(node[key], chance, key) for key in keys}


def _comments(spec: Spec, chance: random.Random) -> str:
    del spec[FOLDER]
    lines = _written(spec, chance).splitlines()
    for _ in range(chance.randint(1, 5)):
        lines.insert(chance.randrange(len(lines) + 1), "# a comment: {of: no meaning}")
    return "\n\n".join(lines) + "\n\n"


def _arithmetic(spec: Spec, chance: random.Random) -> None:
    held, key = chance.choice(_numbers(spec))
    value = held[key]
    more = chance.randint(1, 9)
    if isinstance(value, int):
        forms = (
            f"{value - more} + {more}",
            f"{value * more} // {more}",
            f"{value} * 1",
            f"({value})",
        )
        held[key] = chance.choice(forms)
    else:
        held[key] = chance.choice((f"{value} * 1", f"({value})", f"{value} + 0"))


def _let(spec: Spec, chance: random.Random) -> None:
    held, key = chance.choice(_numbers(spec))
    spec.setdefault("let", {})["named_once"] = held[key]
    held[key] = "named_once"


def _words(spec: Spec, chance: random.Random) -> None:
    spec["source"] = spec["doc"] = "said otherwise"
    for parameter in spec["params"].values():
        if isinstance(parameter, dict):
            parameter["doc"] = "said otherwise"


def _unused(spec: Spec, chance: random.Random) -> None:
    spec.setdefault("params", {})["unused"] = {"type": "int", "default": 3}


def _columns(spec: Spec, chance: random.Random) -> None:
    tables = [entry for entry in spec["network"] if "columns" in entry]
    table = chance.choice(tables)
    order = [*range(len(table["columns"]))]
    chance.shuffle(order)
    table["columns"] = [table["columns"][i] for i in order]
    table["rows"] = [
        [row[i] for i in order] if isinstance(row, list) else row for row in table["rows"]
    ]


def _mappings(spec: Spec, chance: random.Random) -> None:
    table = chance.choice([entry for entry in spec["network"] if "columns" in entry])
    for i, row in enumerate(table["rows"]):
        if isinstance(row, list) and chance.random() < 0.5:
            pairs = zip(table["columns"], row, strict=True)
            table["rows"][i] = {key: cell for key, cell in pairs if cell is not None}


def _resolved(spec: Spec, chance: random.Random) -> str:
    path = Path(spec.pop(FOLDER)) / "to_resolve.yaml"
    path.write_text(_written(spec, chance), encoding="utf-8")
    return resolve(path, {})


MEANINGLESS: list[tuple[str, Edit]] = [
    ("another style", _style),
    ("comments", _comments),
    ("arithmetic", _arithmetic),
    ("a let", _let),
    ("other words", _words),
    ("an unused parameter", _unused),
    ("columns in another order", _columns),
    ("rows as mappings", _mappings),
    ("a resolved copy", _resolved),
]


# ---- Edits that mean something


def _number(spec: Spec, chance: random.Random) -> None:
    held, key = chance.choice(_numbers(spec))
    held[key] = held[key] + chance.choice((1, 2, 8)) if chance.random() < 0.8 else 1


def _word(spec: Spec, chance: random.Random) -> None:
    words = ("relu", "relu6", "hard_swish", "mish", "sigmoid", "same", "symmetric", "valid", "none")
    cells = [(held, key) for held, key in _cells(spec) if held[key] in words]
    held, key = chance.choice(cells)
    held[key] = chance.choice(words)


def _lists(spec: Spec) -> list[list[Any]]:
    return [spec["network"], *(entry["rows"] for entry in spec["network"] if "columns" in entry)]


def _removed(spec: Spec, chance: random.Random) -> None:
    rows = chance.choice(_lists(spec))
    del rows[chance.randrange(len(rows))]


def _repeated(spec: Spec, chance: random.Random) -> None:
    rows = chance.choice(_lists(spec))
    place = chance.randrange(len(rows))
    new = copy.deepcopy(rows[place])
    if isinstance(new, dict):
        new.pop("tap", None)
        new.pop("name", None)
    rows.insert(place, new)


def _swapped(spec: Spec, chance: random.Random) -> None:
    rows = chance.choice(_lists(spec))
    i, k = chance.randrange(len(rows)), chance.randrange(len(rows))
    rows[i], rows[k] = rows[k], rows[i]


def _renamed(spec: Spec, chance: random.Random) -> None:
    named = [entry for entry in spec["network"] if "name" in entry]
    chance.choice(named)["name"] = "another_name"


def _model(spec: Spec, chance: random.Random) -> None:
    spec["name"] = "AnotherNet"


def _default(spec: Spec, chance: random.Random) -> None:
    numbers = [p for p in spec["params"].values() if isinstance(p, dict) and "default" in p]
    parameter = chance.choice(numbers)
    value = parameter["default"]
    parameter["default"] = (
        not value if isinstance(value, bool) else value + chance.choice((1, 0.125))
    )


def _kept(spec: Spec, chance: random.Random) -> None:
    parameter = chance.choice([p for p in spec["params"].values() if isinstance(p, dict)])
    parameter["keep"] = not parameter.get("keep", False)


def _input(spec: Spec, chance: random.Random) -> None:
    given = spec["input"] if "input" in spec else chance.choice([*spec["inputs"].values()])
    given[chance.choice([*given])] += chance.choice((1, 2, 32))


def _tap(spec: Spec, chance: random.Random) -> None:
    entry = chance.choice([entry for entry in spec["network"] if "columns" not in entry])
    entry["tap"] = "another_tap"


def _step(spec: Spec, chance: random.Random) -> None:
    block = chance.choice([*spec["blocks"].values()])
    step = chance.choice(block["steps"])
    name = chance.choice([key for key in step if key not in ("when", "doc", "else")])
    digits = [i for i, c in enumerate(step[name]) if c.isdigit()]
    place = chance.choice(digits)
    text = step[name]
    step[name] = f"{text[:place]}{chance.randint(1, 9)}{text[place + 1 :]}"


def _general(spec: Spec, chance: random.Random) -> None:
    op, name, value = chance.choice(
        (
            ("batch_norm", "epsilon", 0.017),
            ("batch_norm", "decay", 0.77),
            ("conv2d", "init", "he_normal"),
            ("conv2d", "padding", "symmetric"),
            ("conv2d", "bias", True),
            ("dense", "bias", False),
        )
    )
    spec.setdefault("defaults", {}).setdefault(op, {})[name] = value


def _source(spec: Spec, chance: random.Random) -> None:
    entries = [entry for entry in spec["network"] if "columns" not in entry]
    chance.choice(entries)["from"] = chance.choice((-1, -2, -3, "stem", "row1", "row2"))


MEANINGFUL: list[tuple[str, Edit]] = [
    ("another number", _number),
    ("another word", _word),
    ("a row less", _removed),
    ("a row more", _repeated),
    ("rows swapped", _swapped),
    ("a row renamed", _renamed),
    ("another name", _model),
    ("another default", _default),
    ("kept or not", _kept),
    ("another input", _input),
    ("a tap", _tap),
    ("another step", _step),
    ("other defaults", _general),
    ("another source", _source),
]
ONE_SIDED: dict[Edit, str] = {_removed: "D101", _repeated: "D102"}
"""What a diff must not say of an edit that only removes rows, or only adds some."""
