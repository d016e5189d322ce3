"""Writes the table of docs/networks.md: `python docs/fidelity.py`, or `--check` to compare.

Each published model that archc has rules for is given random weights and statistics of batch norms,
which both backends' models get through those rules, and the outputs of every block are compared.
A cell is the largest difference of any block, as a share of the largest value of its output.

Rounding differs from machine to machine: a cell is current if it is within ten times of what is
measured, and right if both are at most 1e-4.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from archc.live.verify import verify
from archc.weights import importing, rules

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "networks.md"
MARKED = re.compile(r"(<!-- fidelity -->\n).*?(<!-- end -->)", re.DOTALL)
TOLERANCE = 1e-4
"""What is right: the most that a cell may say."""
LOOSE, LEAST = 10.0, 1e-6
"""By what factor a cell may differ from another machine's, from what size on."""

sys.path.append(str(ROOT / "tests"))


class Row(NamedTuple):
    """A line of the table. `numbers` are one for each backend, by name."""

    source: str
    network: str
    convention: str
    numbers: tuple[float, ...]

    def text(self) -> str:
        numbers = (f"{number:.0e}" if number else "0" for number in self.numbers)
        return f"| {' | '.join([f'`{self.source}`', self.network, self.convention, *numbers])} |"


HEAD = "| source | spec | with | Keras | PyTorch |\n| --- | --- | --- | --- | --- |"


def sources() -> list[str]:
    """Those whose network is shipped."""
    return [n for n, m in rules.every().items() if spec(m).exists()]


def spec(model: rules.ZooModel) -> Path:
    return ROOT / "specs" / f"{model.source.spec}.yaml"


def measured(source: str) -> Row:
    """Builds the reference and both backends' models. NASNet Large takes a minute."""
    from reference_models import import_torchvision

    if not source.startswith("keras"):
        import_torchvision()
    model = rules.find(source)
    net = importing.network(str(spec(model)), model, {})
    differences = [verdict.differences for verdict in verify(net, model, None)]
    assert all(differences), f"{source}: a block is compared with nothing"
    numbers = (max(d[side].relative for d in differences) for side in ("keras", "torch"))
    link = f"[{model.source.spec}](../specs/{model.source.spec}.yaml)"
    return Row(source, link, model.convention, tuple(numbers))


def table(rows: Iterable[Row]) -> str:
    return "\n".join([HEAD, *(row.text() for row in rows)])


def recorded(page: str) -> dict[str, str]:
    """The lines of the page's table by source."""
    found = MARKED.search(page)
    assert found is not None
    lines = found[0].splitlines()
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def wrong(line: str, row: Row) -> str | None:
    """What is not right about a line, given what is measured."""
    said = [float(cell) for cell in re.findall(r"\| (\d\S*) (?=\|)", line)]
    if row._replace(numbers=tuple(said)).text() != line:
        return f"{row.source}: out of date; now {row.text()}"
    for cell, number in zip(said, row.numbers, strict=True):
        if not (cell <= TOLERANCE and number <= TOLERANCE):  # nor what is no number
            return f"{row.source}: {number:.1e}, where {TOLERANCE} is the most"
        low, high = sorted(max(value, LEAST) for value in (cell, number))
        if high > LOOSE * low:
            return f"{row.source}: the table says {cell}, measured is {number:.1e}"
    return None


def main(arguments: list[str]) -> int:
    page = PAGE.read_text(encoding="utf-8")
    if arguments == ["--check"]:
        lines = recorded(page)
        found = [wrong(lines[name], measured(name)) for name in sources() if name in lines]
        found += [f"{name}: not as in the rules" for name in lines.keys() ^ set(sources())]
        print("\n".join(text for text in found if text))
        return int(any(found))
    text = table(map(measured, sources()))
    PAGE.write_text(MARKED.sub(rf"\1\n{text}\n\n\2", page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
