"""Rows of two networks side by side: what they say, what they do inside, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archc.compiler.ir.analysis import Layer, body_totals, flatten
from archc.compiler.ir.network import Body, Call, Network, Row
from archc.compiler.ir.receptive import Field, of_rows
from archc.compiler.language import expressions as ex
from archc.compiler.language.problems import Place
from archc.compiler.language.values import show
from archc.diff.pairing import Pairs
from archc.diff.pairing import moved as moved_rows

Shape = tuple[int | str | None, ...]
Change = tuple[str, str]
"""What it was and what it is; empty where it is not there."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row gives and costs, at the declared input and batch 1."""

    block: str
    output: Shape
    """(channels, height, width), or (features,)."""
    params: int
    """Trainable ones."""
    macs: int | None = None
    """None where what it was read from does not say."""
    field: Field | tuple[()] = ()
    """Rows and columns of the input that its output sees; None for all, () where what it was read
    from does not say."""
    place: Place | None = None
    feeds: tuple[str, ...] = ()
    """Names of the rows and inputs that it takes."""

    @property
    def costs(self) -> tuple[object, ...]:
        """What its edit changes; how much it sees changes with every edit above it."""
        return self.output, self.params, self.macs


@dataclass(frozen=True, slots=True)
class RowDiff:
    """A row of the new network, of the old one, or of both."""

    name: str
    former: str = ""
    """Its name in the old network; empty where it was not there."""
    old: Figures | None = None
    new: Figures | None = None
    moved: bool = False
    cells: Mapping[str, Change] = field(default_factory=dict)
    """What it says otherwise, by key and argument."""
    inside: Mapping[tuple[str, str], Change] = field(default_factory=dict)
    """What ops of it do otherwise though the row says the same: by path and argument, or by path
    and "" where the op itself is another one."""

    @property
    def mark(self) -> str:
        """`+` for an added row, `-` for a removed one, `>` for a moved one, `~` for another change,
        or nothing."""
        if self.old is None or self.new is None:
            return "+" if self.old is None else "-"
        changed = self.cells or self.costs or self.renamed
        return ">" if self.moved else "~" if changed else ""

    @property
    def renamed(self) -> bool:
        """Whether a name that a person gave differs; a number says only where a row stands."""
        if self.old is None or self.new is None:
            return False
        before, after = self.former.rpartition("."), self.name.rpartition(".")
        numbered = before[2].isdecimal() and after[2].isdecimal()
        return before[0] != after[0] if numbered else self.former != self.name

    @property
    def costs(self) -> bool:
        """Whether it gives or costs something else."""
        a, b = self.old, self.new
        return a is None or b is None or a.costs != b.costs


def row_diffs(old: Network, new: Network, pairs: Pairs) -> list[RowDiff]:
    """Every row of both networks, as a reader of the new one meets them: a removed row stands below
    the one that it followed."""
    before, after = _figures(old), _figures(new)
    olds, news = _by_name(old), _by_name(new)
    moved = moved_rows(pairs, olds, news)
    sources = _Sources(old, new, pairs)
    inside, found = _Inside(), list[RowDiff]()
    for name in news:
        if (former := pairs.get(name)) is None:
            found.append(RowDiff(name, new=after[name]))
            continue
        a, b = olds[former], news[name]
        cells = {**_cells(a, b), **sources.change(name)}
        within = inside.changes(a.call, b.call, cells)
        pair = (before[former], after[name])
        found.append(RowDiff(name, former, *pair, name in moved, cells, within))
    return with_removed(found, before)


def shown(shape: Shape) -> str:
    """`16x112x112`, `3 x height x width`; with `?` for a size that is not known."""
    between = " x " if any(isinstance(side, str) for side in shape) else "x"
    return between.join("?" if side is None else str(side) for side in shape)


def _by_name(network: Network) -> dict[str, Row]:
    return {row.call.name: row for row in network.rows}


def with_removed(found: list[RowDiff], old: Mapping[str, Figures]) -> list[RowDiff]:
    """The rows of both, with those removed of the old ones below those that they followed."""
    there = {row.former for row in found if row.former}
    below: dict[str, list[RowDiff]] = {}
    last = ""
    for name, figures in old.items():
        if name in there:
            last = name
        else:
            below.setdefault(last, []).append(RowDiff(name, name, old=figures))
    every = below.pop("", [])
    for row in found:
        every += [row, *below.pop(row.former, [])] if row.former else [row]
    return every


def _figures(network: Network) -> dict[str, Figures]:
    found, fields, feeds = {}, of_rows(network), _feeds(network)
    for row, seen in zip(network.rows, fields, strict=True):
        body = row.call.body
        cost = body_totals(body)
        name, given = row.call.name, body.output.shape
        figures = (body.target.name, given, cost.trainable, cost.macs, seen, row.place)
        found[name] = Figures(*figures, tuple(source for source, _ in feeds[name]))
    return found


# ----------------------------------------------------------------------------- what a row says


def _cells(old: Row, new: Row) -> dict[str, Change]:
    before, after = _said(old), _said(new)
    keys = [*after] + [key for key in before if key not in after]
    changes = {key: (before.get(key, ""), after.get(key, "")) for key in keys}
    return {key: change for key, change in changes.items() if change[0] != change[1]}


def _said(row: Row) -> dict[str, str]:
    """What a row says of itself, worked out; kept parameters by name."""
    body = row.call.body
    names = [parameter.name for parameter in body.target.parameters]
    said = {name: show(body.arguments[name]) for name in names if name in body.arguments}
    said |= {name: ex.text(node) for name, node in row.spelled.items() if name in said}
    keys = {"block": body.target.name, "when": ex.text(row.when) if row.when else ""}
    return {**keys, **said, "dilate": "" if row.dilate else "false"}


class _Sources:
    """What feeds each row of two networks."""

    def __init__(self, old: Network, new: Network, pairs: Pairs) -> None:
        self.pairs = pairs
        self.old, self.new = _feeds(old), _feeds(new)

    def change(self, name: str) -> dict[str, Change]:
        """How the sources of a row differ. That each takes from the row just above is no
        difference, whichever row that is."""
        before, after = self.old[self.pairs[name]], self.new[name]
        as_before = [self.pairs.get(source, source) for source, _ in after]
        same = len(before) == len(after) and all(
            (was_above and is_above) or was == now
            for (was, was_above), (_, is_above), now in zip(before, after, as_before, strict=True)
        )
        if same:
            return {}
        return {"from": (_listed(before), _listed(after))}


Feeds = list[tuple[str, bool]]
"""Names of rows and inputs, each with whether it is the value just above."""


def _feeds(network: Network) -> dict[str, Feeds]:
    names = [*network.inputs][::-1] + [row.call.name for row in network.rows]
    inputs = len(network.inputs)
    found = {}
    for index, row in enumerate(network.rows):
        at = [feed + inputs for feed in row.call.feeds]
        found[row.call.name] = [(names[i], i == index + inputs - 1) for i in at]
    return found


def _listed(feeds: Feeds) -> str:
    names = [name for name, _ in feeds]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


# --------------------------------------------------------------------------- what a row does


FOLLOWING = ("filters", "units", "multiplier", "groups", "channels", "size", "sizes")
"""Arguments of ops that follow from the channels and the size of what they take."""


class _Inside:
    """What ops within two rows do otherwise, less what follows from the cells and the inputs."""

    def __init__(self) -> None:
        self.ops: dict[Body, Ops] = {}

    def changes(
        self, old: Call, new: Call, cells: Mapping[str, Change]
    ) -> dict[tuple[str, str], Change]:
        a, b = old.body, new.body
        if not a.calls and not b.calls:
            return {}
        before, after = self._ops(old), self._ops(new)
        if before == after:
            return {}
        same = [x.channels for x in a.inputs] == [x.channels for x in b.inputs]
        same = same and [x.strides for x in a.inputs] == [x.strides for x in b.inputs]
        return _changed(before, after, cells, same and not cells)

    def _ops(self, call: Call) -> Ops:
        if call.body not in self.ops:
            self.ops[call.body] = _ops(call)
        return self.ops[call.body]


def _changed(
    before: Ops, after: Ops, cells: Mapping[str, Change], alone: bool
) -> dict[tuple[str, str], Change]:
    """`alone` is whether nothing explains a change but what the ops do."""
    found: dict[tuple[str, str], Change] = {}
    for path in [*after, *(path for path in before if path not in after)]:
        one, other = before.get(path, {}), after.get(path, {})
        if one and other and one[""] == other[""]:
            found |= {(path, key): (one.get(key, ""), other.get(key, "")) for key in one | other}
        elif alone:
            found[path, ""] = (one.get("", ""), other.get("", ""))
    told = {*cells.values()}
    return {
        key: change
        for key, change in found.items()
        if change[0] != change[1] and (alone or (change not in told and _is_own(key[1])))
    }


def _is_own(argument: str) -> bool:
    """Whether an argument of an op follows from nothing else in its row."""
    return argument in ("padding", "epsilon", "decay", "init", "bias_init", "rate")


Ops = dict[str, dict[str, str]]
"""What every op of a row does, by its path in it: its arguments, the op itself under "", and under
"from" what feeds it."""


def _ops(call: Call) -> Ops:
    found: list[Layer] = []
    inputs = tuple(-1 - i for i in range(len(call.feeds)))
    result = flatten(call, "", inputs, found)
    names = [layer.path[1:] for layer in found] + [f"x{-1 - i}" for i in inputs][::-1]
    said = {}
    for layer in found:
        arguments = {name: show(value) for name, value in layer.call.body.arguments.items()}
        feeds = " ".join(names[feed] for feed in layer.feeds)
        said[layer.path[1:]] = {"": layer.op, "from": feeds, **arguments}
    return {**said, "returns": {"": names[result]}}
