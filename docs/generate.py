"""Writes the generated parts of the pages of the language and of training: `python
docs/generate.py`, or `--check` to compare.

What stands between `<!-- generated: NAME -->` and `<!-- end -->` comes from the function NAME here,
and that takes it from the compiler. The rest of the pages is written by hand.
"""

from __future__ import annotations

import difflib
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from archc.compiler import pipeline
from archc.compiler.bind import blocks as bind_blocks
from archc.compiler.bind import program
from archc.compiler.bind import rows as bind_rows
from archc.compiler.elaborate import elaborator
from archc.compiler.ir import interface
from archc.compiler.ir.analysis import layers
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import Op, Parameter, Tensor, WeightRule
from archc.compiler.ir.ops import parts
from archc.compiler.language import expressions, names, parser
from archc.compiler.language.codes import CODES
from archc.compiler.language.initializers import INITIALIZER_FUNCTIONS
from archc.compiler.language.problems import SpecError
from archc.compiler.language.values import (
    ACTIVATIONS,
    INITIALIZERS,
    INTERPOLATIONS,
    KINDS,
    PADDINGS,
    POOL_PADDINGS,
    show,
)
from archc.compiler.pipeline import compile_network
from archc.compiler.printed import schema
from archc.compiler.printed.resolve import resolve
from archc.compiler.recipe.described import Described, described
from archc.compiler.spec import changes, kinds, load, models, reader, rows

DOCS = Path(__file__).parent
FIRST = "tiny.yaml"
"""The example that the pages show the layers of, and break."""
_RECIPE = described()


def pages(docs: Path) -> dict[Path, str]:
    """The pages and their texts, in order."""
    own = sorted((docs / "language").glob("*.md"))
    paths = (docs / "language.md", *own, docs / "training.md")
    return {path: path.read_text(encoding="utf-8") for path in paths}


def examples(page: str) -> dict[str, str]:
    """The YAML examples of specs by name: the file name in their first line, or a number."""
    found = {}
    for index, text in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    ):
        named = re.match(r"# (\S+\.yaml)\n", text)
        if "recipe:" in text:
            continue
        found[named[1] if named else f"example{index}.yaml"] = text
    return found


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|---" * columns + "|"]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def words(head: str, meanings: Mapping[str, str]) -> str:
    return table(f"{head} | meaning", ((f"`{word}`", doc) for word, doc in meanings.items()))


# ----------------------------------------------------------------------------------- sections


def keys(page: str) -> str:
    return words("key", schema.DOCS["Spec"])


def parameter_keys(page: str) -> str:
    return words("key", schema.DOCS["ParameterSpec"])


def row_keys(page: str) -> str:
    return words("key", {key: doc for key, doc in schema.DOCS["RowSpec"].items() if key != "block"})


def change_keys(page: str) -> str:
    return words("key", schema.DOCS["ChangeSpec"])


def recipe_keys(page: str) -> str:
    return words("key", {key: each.doc for key, each in _RECIPE.keys.items()})


def recipe_schedules(page: str) -> str:
    kinds = _RECIPE.keys["schedule"]
    docs = {k: kinds.keys[k] for k in kinds.kinds}
    said = ((f"`{k}: {{{', '.join(each.keys)}}}`", each.doc) for k, each in docs.items())
    return table("schedule | the learning rate", said)


def recipe_parts(page: str) -> str:
    """What is below the keys of a recipe."""
    inner = (row for row in _RECIPE.walk() if row[0])
    return table(
        "part | key | what it holds | what it says",
        ((f"`{part}`", f"`{key}`", each.about, _with_words(each)) for part, key, each in inner),
    )


def _with_words(each: Described) -> str:
    meanings = "; ".join(f"`{word}`: {doc}" for word, doc in each.words.items() if doc)
    return f"{each.doc} {meanings and f'{meanings}.'}".strip()


def types(page: str) -> str:
    return words("type", {name: kind.doc for name, kind in KINDS.items()})


def paddings(page: str) -> str:
    return words("padding", PADDINGS)


def pool_paddings(page: str) -> str:
    return words("padding of a pool", POOL_PADDINGS)


def interpolations(page: str) -> str:
    return words("method", INTERPOLATIONS)


def activations(page: str) -> str:
    return words("activation", ACTIVATIONS)


def initializers(page: str) -> str:
    return words("initializer", INITIALIZERS | INITIALIZER_FUNCTIONS)


def reserved(page: str) -> str:
    return ", ".join(f"`{word}`" for word in sorted(names.WORDS)) + "."


def limits(page: str) -> str:
    sides = program.SIDES["height"].max
    return table(
        "limit | value",
        (
            ("size of a file, and of all that it builds on", f"{reader.MAX_BYTES // 2**10} KiB"),
            ("nesting of lists and mappings", f"{reader.MAX_DEPTH} deep"),
            ("length of one text", f"{reader.MAX_TEXT:,} characters"),
            ("length of a name", f"{names.MAX_NAME} characters"),
            ("length of a `doc` of a row or step", f"{rows.MAX_DOC} characters"),
            ("length of an expression", f"{parser.MAX_LENGTH} characters"),
            ("nesting of an expression", f"{parser.MAX_DEPTH} deep"),
            ("terms of a cell once `set` is worked into it", f"{expressions.MAX_TERMS:,}"),
            ("nesting of a cell once `set` is worked into it", f"{expressions.MAX_LEVELS} deep"),
            ("largest number", f"{expressions.LARGEST:,}"),
            ("files that use or extend each other", f"{load.MAX_FILES} in a row"),
            ("changes of rows, times rows", f"{changes.MAX_WORK:,}"),
            ("values of a list, such as the rows that one joins", f"{kinds.MAX_ITEMS:,}"),
            ("steps of a block", f"{models.MAX_STEPS:,}"),
            ("values that a block works out or hands on", f"{interface.MAX_ARGUMENTS:,}"),
            ("terms of the channels of a block's steps", f"{interface.MAX_TERMS:,}"),
            ("terms of the channels of all blocks' steps", f"{pipeline.MAX_TERMS:,}"),
            ("total stride of a feature map", f"{elaborator.MAX_STRIDE:,}"),
            ("blocks within blocks", f"{bind_blocks.MAX_NESTING} deep"),
            ("repeats of a row", f"{bind_rows.REPEAT.max:,.0f}"),
            ("channels, height and width of the input", f"{sides:,}"),
            ("channels of a layer", f"{parts.MAX_CHANNELS:,}"),
            ("kernel and stride of an op", f"{parts.MAX_KERNEL:,}"),
            ("elements of one tensor", f"{elaborator.MAX_ELEMENTS:,}"),
            ("ops of a network", f"{elaborator.MAX_OPS:,}"),
        ),
    )


def paths(page: str) -> str:
    """The layers of the first example."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FIRST)
        path.write_text(examples(page)[FIRST])
        network = compile_network(path)
    rows = (
        (f"`{layer.path}`", layer.op, str(layer.output), f"{layer.totals.total:,}")
        for layer in layers(network)
    )
    return table("path | op | output | parameters", rows)


def broken(page: str) -> str:
    """What is said about the first example with a misspelled activation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FIRST)
        path.write_text(examples(page)[FIRST].replace("0.25, hard_swish", "0.25, hardswish"))
        try:
            compile_network(path)
        except SpecError as error:
            return f"```text\n{str(error).replace(str(path), FIRST)}\n```"
    raise AssertionError("the broken example is not broken")


def resolved(page: str) -> str:
    """The rows of the worked example of a variant."""
    return rows_of(page, "tiny_minimal.yaml")


def rounded(page: str) -> str:
    """The rows of the first example, narrower."""
    return rows_of(page, FIRST, alpha=0.8)


def rows_of(page: str, name: str, **settings: object) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for file, text in examples(page).items():
            Path(folder, file).write_text(text)
        text = resolve(Path(folder, name), settings)
    network = text[text.index("network:\n") : text.index("blocks:\n")]
    return f"```text\n{network}```"


def problems(page: str) -> str:
    return words("code", _codes("E"))


def warnings(page: str) -> str:
    return words("code", _codes("W"))


def _codes(letter: str) -> dict[str, str]:
    return {code: CODES[code] for code in sorted(CODES) if code.startswith(letter)}


def ops(page: str) -> str:
    """Every op, and the traps that the table below tells of it."""
    told = page.partition("\n## Traps\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*) \|", told, re.MULTILINE)
    traps = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    return "\n\n".join("\n\n".join(op_parts(op, op.name in traps)) for op in CATALOGUE.values())


def op_parts(op: Op, traps: bool) -> Iterator[str]:
    tensors = "x1, x2, ..." if op.variadic else ", ".join(op.inputs)
    yield f"## {op.name}"
    yield f"`{', '.join([f'{op.name}({tensors}', *op.parameter])})`"
    yield op.doc
    if op.parameters:
        yield table("argument | type | default | bounds | meaning", map(argument, op.parameters))
    channels = "the sum of all" if op.variadic else f"`{op.channels}`"
    yield f"Channels: {channels if op.channels else 'a step cannot tell'}."
    weights = ", ".join(weight_names(op))
    if weights:
        yield f"Weights: {weights}."
    if traps:
        yield "Frameworks disagree about it: see its [traps](#traps)."


def argument(parameter: Parameter) -> tuple[str, ...]:
    default = "" if parameter.default is None else f"`{show(parameter.default.evaluate({}))}`"
    doc = parameter.doc + " (written out in a step)" * parameter.fixed
    return f"`{parameter.name}`", str(parameter.type), default, bounds(parameter), doc


def bounds(parameter: Parameter) -> str:
    least, most, above, below = parameter.min, parameter.max, parameter.above, parameter.below
    said = (("≥", least), (">", above), ("≤", most), ("<", below))
    told = [f"{sign} {bound:,.10g}" for sign, bound in said if bound is not None]
    if parameter.usual is not None:
        told.append("usually {:.10g} to {:.10g}".format(*parameter.usual))
    return ", ".join(told)


SAMPLE = {"filters": 2, "kernel": (3, 3), "units": 2, "groups": 2}
"""Arguments with which an op that owns weights can be asked for them."""


def weight_names(op: Op) -> Iterator[str]:
    if len(op.inputs) > 1 or any(p.required and p.name not in SAMPLE for p in op.parameters):
        return
    x = Tensor(4) if op.name == "dense" else Tensor(4, 8, 8)
    given = {p.name: SAMPLE.get(p.name, default_of(p)) for p in op.parameters}
    said = {r.name: f"`{r.init or 'init'}`" for r in op.weights if _is_said(op, r)}
    for weight in op.cost(given, op.shape(given, x), x).weights:
        initializer = said.get(weight.name, weight.initializer)
        yield f"`{weight.name}` ({initializer}{'' if weight.trainable else ', not trainable'})"


def _is_said(op: Op, rule: WeightRule) -> bool:
    """Whether an argument says how an array starts."""
    return (rule.init or "init") in op.parameter and not (rule.initializer and not rule.init)


def default_of(parameter: Parameter) -> object:
    return parameter.default and parameter.take(parameter.default.evaluate({}))


# ---------------------------------------------------------------------------------- the page

SECTIONS = {
    function.__name__.replace("_", "-"): function
    for function in (
        keys, parameter_keys, types, row_keys, change_keys, paddings, pool_paddings,
        interpolations, activations, initializers, reserved, limits, paths, resolved, rounded,
        broken, problems, warnings, ops, recipe_keys, recipe_schedules, recipe_parts,
    )
}  # fmt: skip
_MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generated(page: str, whole: str) -> str:
    """A page with its generated parts up to date; examples are those of the `whole`."""

    def section(match: re.Match[str]) -> str:
        return f"{match[1]}\n{SECTIONS[match[2]](whole)}\n\n{match[3]}"

    return _MARKED.sub(section, page)


def main(arguments: list[str]) -> int:
    old = pages(DOCS)
    whole = "\n".join(old.values())
    new = {path: generated(text, whole) for path, text in old.items()}
    for path, text in new.items():
        if arguments == ["--check"]:
            before, after = old[path].splitlines(keepends=True), text.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(before, after, path.name, "generated"))
        elif text != old[path]:
            path.write_text(text, encoding="utf-8")
    return int(arguments == ["--check"] and old != new)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
