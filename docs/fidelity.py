"""Writes two tables of docs/networks.md: `python docs/fidelity.py`, or `--check` to compare;
`--steps` for the second alone.

Each published model that archc has rules for is given random weights and statistics of batch norms,
which both backends' models get through those rules, and the outputs of every block are compared.
A cell is the largest difference of any block, as a share of the largest value of its output.

The second is of a step of training, in the published model's own framework, in float64: see
tests/stepped.py. It names the models that are not equal to the last bit.

Rounding differs from machine to machine: a cell is current if it is within ten times of what is
measured, and right if both are at most 1e-4.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from archc.live.verify import verify
from archc.weights import importing, rules

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "networks.md"
MARKED = re.compile(r"(<!-- fidelity -->\n).*?(<!-- end -->)", re.DOTALL)
STEPS = re.compile(r"(<!-- steps -->\n).*?(<!-- end -->)", re.DOTALL)
TOLERANCE = 1e-4
"""What is right: the most that a cell may say."""
LOOSE, LEAST = 10.0, 1e-6
"""By what factor a cell may differ from another machine's, from what size on."""
PRECISE = 1e-12
"""The most of a step of training, in float64."""

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


class Stepped(NamedTuple):
    """A source, how many arrays of it are compared after a step, and how far they are apart."""

    source: str
    count: int
    apart: float

    def text(self) -> str:
        return f"| `{self.source}` | {self.count} | {self.apart:.0e} |"


def stepped(source: str) -> Stepped:
    """Takes a step of the reference and of archc's model. NASNet Large takes a minute."""
    from reference_models import import_torchvision
    from stepped import step

    if not source.startswith("keras"):
        import_torchvision()
    found = step(source)
    assert not found.still, f"{source}: {found.still[0]} has not moved"
    return Stepped(source, found.count, found.worst)


STEPS_HEAD = "| source | gradients and averages | at most |\n| --- | --- | --- |"


def steps(every: Sequence[Stepped]) -> str:
    """What is said of all: a sentence, and a table of those that are not equal."""
    apart = [each for each in every if each.apart]
    total, equal = sum(each.count for each in every), len(every) - len(apart)
    said = (
        f"Of {len(every)} models, {total:,} gradients and running averages: "
        f"{equal} models are equal to the last bit, and the others within "
        f"{max(each.apart for each in apart):.0e}."
    )
    return "\n".join([said, "", STEPS_HEAD, *(each.text() for each in apart)])


def steps_said(page: str) -> tuple[list[int], dict[str, tuple[int, float]]]:
    """The whole numbers of the page's sentence, and its table by source."""
    found = STEPS.search(page)
    assert found is not None
    first, *lines = (line for line in found[0].splitlines()[1:] if line)
    rows = [line.split("|")[1:4] for line in lines if line.startswith("| `")]
    counts = [int(text.replace(",", "")) for text in re.findall(r"\b[\d,]+(?= [gm])", first)]
    return counts, {name.strip(" `"): (int(n), float(apart)) for name, n, apart in rows}


def strange(step: Stepped, said: dict[str, tuple[int, float]]) -> str | None:
    """What is not right about what the page says of a source, given what is measured."""
    count, apart = said.get(step.source, (step.count, 0.0))
    if step.apart > PRECISE:
        return f"{step.source}: {step.apart:.1e} after a step, where {PRECISE} is the most"
    if count != step.count or bool(apart) != bool(step.apart):
        return f"{step.source}: out of date; now {step.text()}"
    return None


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
        return check(page)
    if arguments != ["--steps"]:
        text = table(map(measured, sources()))
        page = MARKED.sub(rf"\1\n{text}\n\n\2", page)
    text = steps([*map(stepped, sources())])
    PAGE.write_text(STEPS.sub(rf"\1\n{text}\n\n\2", page), encoding="utf-8")
    return 0


def check(page: str) -> int:
    lines, (_, said) = recorded(page), steps_said(page)
    found = [wrong(lines[name], measured(name)) for name in sources() if name in lines]
    found += [f"{name}: not as in the rules" for name in lines.keys() ^ set(sources())]
    found += [strange(stepped(name), said) for name in sources()]
    print("\n".join(text for text in found if text))
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
