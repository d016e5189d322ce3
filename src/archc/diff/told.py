"""What a diff comes to, in the words and numbers that every format shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from archc.diff.compare import Difference, changes
from archc.diff.rows import Figures, RowDiff, shown
from archc.diff.sides import Named, Side
from archc.diff.verdicts import Finding
from archc.findings import At


@dataclass(frozen=True, slots=True)
class Told:
    """A diff, and what its two sides are called."""

    old: Named
    new: Named
    diff: Difference
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> list[RowDiff]:
        """The rows of which there is something to say."""
        return [row for row in self.diff.rows if row.mark]

    @property
    def rest(self) -> list[Finding]:
        """What no line of a row says: the findings of callers, of checkpoints and of many rows."""
        return [finding for finding in self.diff.findings if finding.id not in OF_ROWS]

    def figures(self) -> Iterator[tuple[str, int, int]]:
        """What the two networks come to."""
        after = dict(self.new.figures())
        yield from ((name, was, after[name]) for name, was in self.old.figures() if name in after)

    @property
    def columns(self) -> list[str]:
        """What is known of rows."""
        return [name for name in LOOKS if any(_both(row, LOOKS[name]) for row in self.changed)]

    def costs(self, row: RowDiff) -> list[str]:
        """What is known of one, before and after."""
        return [_both(row, LOOKS[name]) for name in self.columns]

    def command(self) -> str | None:
        """What carries a checkpoint over to a file of the new spec, where that is of use."""
        tensors = self.diff.tensors
        from_spec = isinstance(self.old, Side) and self.new.is_file
        differ = tensors.move + tensors.lost + tensors.fresh
        if not (from_spec and tensors.kept and differ) or self.old.name == self.new.name:
            return None
        settings = "".join(f" --set {name}={text}" for name, text in self.settings.items())
        specs = f"--spec {self.new.name} --from-spec {self.old.name}{settings}"
        return f"archc weights convert OLD.safetensors NEW.safetensors {specs}"

    def weights(self) -> str:
        """What becomes of the tensors of a checkpoint, in a line."""
        t = self.diff.tensors
        counts = ((t.load, "load"), (t.move, "move"), (t.lost, "lost"), (t.fresh, "new"))
        return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "none"

    def at(self, finding: Finding) -> At | None:
        """Where it is, with the file as the user names it."""
        place = finding.place
        if place is None:
            return None
        side = self.old if finding.id in REMOVED else self.new
        return At(side.file(place), place.line, place.column)


OF_ROWS = ("D101", "D102", "D103", "D104", "D105", "D107")
REMOVED = ("D102", "D203", "D222", "D232")
"""Findings of what the old spec alone has."""


def what(row: RowDiff) -> str:
    """What has become of a row, in words."""
    figures = row.new or row.old
    assert figures is not None
    if row.old is None or row.new is None:
        return figures.block
    said = [f"was {row.former}"] if row.former != row.name else []
    said += [changes(row.cells)] if row.cells else []
    said += ["inside"] if row.inside and not row.cells else []
    follows = not (row.cells or row.inside) and row.old.params != row.new.params
    said += ["takes other channels"] if follows else []
    return ", ".join(said)


LOOKS: Mapping[str, Callable[[Figures], str]] = {
    "output": lambda figures: shown(figures.output),
    "parameters": lambda figures: f"{figures.params:,}",
    "MACs": lambda figures: "" if figures.macs is None else f"{figures.macs:,}",
    "sees": lambda figures: "all" if figures.field is None else shown(figures.field),
}
"""What a row gives, its trainable parameters, its MACs and how much of the input it sees."""


def _both(row: RowDiff, look: Callable[[Figures], str]) -> str:
    was, now = (look(side) if side else "" for side in (row.old, row.new))
    return f"{was} -> {now}" if was and now and was != now else now or was


def share(was: int, now: int) -> str:
    """`+1.5 %`; nothing where there is no change, or no whole to have a share of."""
    return f"{100 * (now - was) / was:+.1f} %" if was and now != was else ""
