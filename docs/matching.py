"""Writes the table of docs/weights.md of what `archc weights match` finds:
`python docs/matching.py`, or `--check` to compare.

Each published model that archc has rules for is built, and its weights are saved to a file, as a
user has it. What is paired is held against the rules that come with archc: a pair that is not
theirs is an error, and not a line of the table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from archc.weights import importing, rules
from archc.weights.finding import found
from archc.weights.settings import settings_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "weights.md"
MARKED = re.compile(r"(<!-- matching -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = "| source | tensors | paired | ambiguous | lines of rules |\n| --- | --- | --- | --- | --- |"

sys.path.append(str(ROOT / "tests"))


class Row(NamedTuple):
    source: str
    tensors: int
    paired: int
    ambiguous: int
    lines: int

    def text(self) -> str:
        numbers = (f"{number:,}" for number in self[1:])
        return f"| {' | '.join([f'`{self.source}`', *numbers])} |"


def spec(model: rules.ZooModel) -> Path:
    return ROOT / "specs" / f"{model.source.spec}.yaml"


def sources() -> list[str]:
    """Those whose network is shipped."""
    return [name for name, model in rules.every().items() if spec(model).exists()]


def measured(source: str) -> Row:
    """Builds the published model, saves it, and pairs what was saved."""
    from reference_models import import_torchvision

    if not source.startswith("keras"):
        import_torchvision()
    model = rules.find(source)
    net = importing.network(str(spec(model)), model, {})
    size = net.network.input
    live, _ = importing.build(net, model, size.height or 1, size.width or 1)
    with TemporaryDirectory() as folder:
        path = saved(live, model.rules.framework, Path(folder))
        done = found(net, str(spec(model)), path, settings_of(net, model.needs))
    right = {tensor.path: name for name, tensor in importing.names(net, model).items()}
    wrong = [path for path, name in done.matching.pairs.items() if right[path] != name]
    assert not wrong, f"{source}: {wrong[0]} is not {done.matching.pairs[wrong[0]]}"
    ambiguous = sum(len(doubt.ours) for doubt in done.matching.ambiguous)
    lines = len(done.text.splitlines())
    return Row(source, done.count, len(done.matching.pairs), ambiguous, lines)


def saved(model: Any, framework: str, folder: Path) -> Path:
    """A file of the model's weights as its framework writes it."""
    if framework == "keras":
        path = folder / "theirs.weights.h5"
        model.save_weights(path)
    else:
        import torch

        path = folder / "theirs.pt"
        torch.save(model.state_dict(), path)
    return path


def table(rows: Iterable[Row]) -> str:
    """A sentence on all, and a line for each."""
    every = list(rows)
    full = sum(row.paired == row.tensors for row in every)
    said = (
        f"Of {len(every)} models, {full} are paired in full ({full / len(every):.0%}), and none of "
        f"the {sum(row.paired for row in every):,} pairs is wrong:"
    )
    return "\n".join([said, "", HEAD, *(row.text() for row in every)])


def recorded(page: str) -> str:
    """What the page says now."""
    marked = MARKED.search(page)
    assert marked is not None
    return marked[0]


def main(arguments: list[str]) -> int:
    text = table(map(measured, sources()))
    page = PAGE.read_text(encoding="utf-8")
    written = MARKED.sub(rf"\1\n{text}\n\n\2", page)
    if arguments == ["--check"]:
        print("" if written == page else f"{PAGE}: out of date")
        return int(written != page)
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
