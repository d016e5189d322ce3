"""The changes that a variant makes to the rows of the spec that it extends.

They come to the same rows as the same edits made by hand. All is done with the rows as they are
written, so every cell keeps the place where it stands, in the variant or in its base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic_core import ValidationError

from archc.compiler.language import expressions as ex
from archc.compiler.language.problems import Enough, Place, Problem, Reporter, choices, suggest
from archc.compiler.spec.conditions import Condition, row_values
from archc.compiler.spec.nodes import problems_of
from archc.compiler.spec.reader import Scalar, Sequence
from archc.compiler.spec.rows import CallSpec, ChangeSpec, PatchSpec, TableSpec, row_of

Entry = TableSpec | CallSpec | Sequence
"""A list of cells is one of another length than its table has columns."""

MAX_WORK = 2**17
"""Changes times rows; more would take long, and is no table that a person edits."""


@dataclass(eq=False)
class _Slot:
    """A row or a table of the base, what has become of it, and what is inserted around it."""

    name: str
    """What changes call it; empty for a table whose rows have names."""
    entry: Entry
    table: _Slot | None = None
    rows: list[_Slot] = field(default_factory=list)
    before: list[Entry] = field(default_factory=list)
    after: list[Entry] = field(default_factory=list)
    removed: Place | None = None
    renamed: Place | None = None

    @property
    def gone(self) -> Place | None:
        """Where the row, or the table that it stands in, is removed."""
        return self.removed or (self.table.removed if self.table else None)

    def leaves(self) -> list[_Slot]:
        """The rows of a table that are still there; of a row, itself."""
        rows = self.rows if isinstance(self.entry, TableSpec) else [self]
        return [row for row in rows if row.removed is None]

    @property
    def row(self) -> CallSpec | None:
        """The row; None for a table, and for a broken row, which is told of where it is bound."""
        return self.entry if isinstance(self.entry, CallSpec) and self.entry.is_sound else None


def changed(
    network: Iterable[TableSpec | CallSpec], changes: Iterable[ChangeSpec], known: Iterable[str]
) -> tuple[tuple[TableSpec | CallSpec, ...], list[Problem]]:
    """The rows of `network` with all changes, and what is wrong with these.

    `known` are the names that `from` finds where no row is called so.
    """
    change = _Changes(network)
    for done, each in enumerate(changes, 1):
        if done * change.size > MAX_WORK:
            message = f"changes times rows come to more than {MAX_WORK:,}"
            return (), [Problem("E044", message, each.place, "write the table out")]
        try:
            change.make(each)
        except Enough:
            return (), change.problems
    entries = tuple(e for e in _entries(change.slots) if not isinstance(e, Sequence))
    if not entries:
        change.check_left()
    elif not change.problems:
        change.check_needed(entries, known)
    return entries, change.problems


def _slots(network: Iterable[TableSpec | CallSpec]) -> Iterator[_Slot]:
    for entry in network:
        if isinstance(entry, CallSpec):
            yield _Slot(str(entry.name or entry.block), entry)
            continue
        table = _Slot(str(entry.name), entry)
        table.rows = [_Slot("", row, table) for row in entry.rows]
        names = [str((slot.row and slot.row.name) or "") for slot in table.rows]
        for number, (slot, name) in enumerate(zip(table.rows, names, strict=True)):
            slot.name = name if any(names) else f"{table.name}.{number}"
        table.name = "" if any(names) else table.name
        yield table


def _entries(slots: Iterable[_Slot]) -> Iterator[Entry]:
    """What has become of the rows and tables; a table without rows is gone."""
    for slot in slots:
        yield from slot.before
        if slot.removed is None:
            entry, rows = slot.entry, tuple(_entries(slot.rows))
            if not isinstance(entry, TableSpec):
                yield entry
            elif rows:
                yield entry.model_copy(update={"rows": rows})
        yield from slot.after


class _Changes(Reporter):
    """Makes changes one after another. Rows go by what the base calls them all the while."""

    def __init__(self, network: Iterable[TableSpec | CallSpec]) -> None:
        super().__init__()
        self.slots = list(_slots(network))
        every = [row for slot in self.slots for row in (slot, *slot.rows)]
        self.size = len(every)
        self.by_name: dict[str, _Slot] = {}
        for slot in every:
            self.by_name.setdefault(slot.name, slot)
        self.by_name.pop("", None)

    def make(self, change: ChangeSpec) -> None:
        if change.set is not None:
            self.set(change, change.set)
        elif change.insert is not None:
            self.insert(change, change.insert)
        for name in change.remove:
            slot = self.find(name)
            if slot is not None:
                slot.removed = name.place

    def find(self, name: Scalar) -> _Slot | None:
        """The row or table of that name. Reports one that is not there, or not any more."""
        slot = self.by_name.get(str(name))
        if slot is None:
            message = f"no row of the spec that this one extends is called `{name}`"
            self.report("E060", message, name.place, self.near(name), self.base())
            return None
        gone = slot.gone
        if gone is not None:
            related = ("removed here", gone)
            self.report("E060", f"`{name}` is removed already", name.place, None, related)
            return None
        return slot

    def base(self) -> tuple[str, Place]:
        return "its rows start here", self.slots[0].entry.place

    def near(self, name: str) -> str:
        table = self.by_name.get(name.partition(".")[0])
        if table is not None and table.rows:
            return f"`{table.name}` has the rows `{table.name}.0` to `{table.rows[-1].name}`"
        alone = [known for known in self.by_name if "." not in known]
        return suggest(name, alone) or choices(alone)

    # ------------------------------------------------------------------------------- set

    def set(self, change: ChangeSpec, patch: PatchSpec) -> None:
        before = len(self.problems)
        slots = [slot for name in change.at if (slot := self.find(name)) is not None]
        if len(self.problems) > before:
            return
        slots = slots if change.at else [s for s in self.slots if s.removed is None]
        rows = [row for slot in slots for row in slot.leaves()]
        if change.where is not None:
            rows = self.matching(change, rows)
        else:
            self.set_of_tables(slots, patch)
        for row in rows:
            self.patch(row, patch)

    def matching(self, change: ChangeSpec, rows: list[_Slot]) -> list[_Slot]:
        written = [(slot, slot.row) for slot in rows]
        sound = [(slot, row_values(row), row.place) for slot, row in written if row is not None]
        condition = Condition(change.where, [cells for _, cells, _ in sound])
        self.tell(condition.problems)
        if condition.problems:
            return []
        with self.blaming(change.where.place):
            found = [row for row, cells, place in sound if condition.holds(cells, place)]
            if not found:
                message = "no row of the spec that this one extends meets this condition"
                self.report("E060", message, change.where.place, condition.near(), self.base())
            return found
        return []

    def set_of_tables(self, slots: Iterable[_Slot], patch: PatchSpec) -> None:
        """Changes what whole tables give to all their rows under `set`."""
        for slot in slots:
            if not isinstance(slot.entry, TableSpec):
                continue
            fixed = _fixed(slot.entry) & patch.given.keys()
            given = {k: v for k, v in slot.entry.given.items() if k not in fixed}
            given |= {k: v for k, v in patch.given.items() if k in fixed and v is not None}
            if slot.entry.set is not None:
                changed = slot.entry.set.saying(given)
                slot.entry = slot.entry.model_copy(update={"set": changed})

    def patch(self, slot: _Slot, patch: PatchSpec) -> None:
        """Gives a row the keys and arguments of `patch`."""
        row, table = slot.row, slot.table and slot.table.entry
        if row is None:
            return
        if isinstance(table, TableSpec):
            self.check_heard(table, slot, patch)
        slot.entry = row.patched(patch)
        name = patch.name or (None if row.name else patch.block)
        slot.renamed = name.place if name else slot.renamed

    def check_heard(self, table: TableSpec, slot: _Slot, patch: PatchSpec) -> None:
        """Reports what the table's `set` gives to every row, whatever the row says."""
        fixed, given = _fixed(table), table.given
        for name, said in patch.given.items():
            if name in fixed and given[name] != said:
                message = f"the `set` of its table gives `{name}` to every row"
                hint = f"set it for the whole table: `at: {table.name}`"
                related = ("given here", given[name].place)
                self.report("E061", message, patch.key_place(name), hint, related)

    # ---------------------------------------------------------------------------- insert

    def insert(self, change: ChangeSpec, entries: tuple[Entry, ...]) -> None:
        name = change.before or change.after
        assert name is not None
        slot = self.by_name.get(str(name))
        if slot is None or (slot.table and slot.table.removed):
            slot = self.find(name)
        fits = [slot is not None and self.fits(slot, entry) for entry in entries]
        if slot is not None and all(fits):
            entries = tuple(self.placed(slot, entry) for entry in entries)
            (slot.before if change.before else slot.after).extend(entries)

    def placed(self, slot: _Slot, entry: Entry) -> Entry:
        """An entry beside a row, whose table says what cells are. Reports those that are wrong."""
        table = slot.table and slot.table.entry
        if isinstance(entry, Sequence) and isinstance(table, TableSpec):
            try:
                return row_of(table.columns, entry)
            except ValidationError as error:
                self.tell(problems_of(error))
        return entry

    def fits(self, slot: _Slot, entry: Entry) -> bool:
        """Whether an entry may stand beside a row: cells need a table, and tables do not nest."""
        place = ("beside this row", slot.entry.place)
        if isinstance(entry, Sequence) and slot.table is None:
            message = f"cells outside a table: `{slot.name}` stands in none"
            self.report("E061", message, entry.place, "write `{block: ...}`", place)
        elif isinstance(entry, TableSpec) and slot.table is not None:
            message, hint = "a table within a table", "insert rows here, or insert beside the table"
            self.report("E061", message, entry.place, hint, place)
        else:
            return True
        return False

    # -------------------------------------------------------------------------- what is left

    def check_left(self) -> None:
        """Reports the removal of the last row."""
        gone = [row.gone for slot in self.slots for row in (slot, *slot.rows)]
        place = [place for place in gone if place is not None][-1]
        self.report("E061", "no row is left", place, "insert one, or keep one", self.base())

    def check_needed(self, entries: Iterable[TableSpec | CallSpec], known: Iterable[str]) -> None:
        """Reports rows that are gone, or called otherwise, though `from` names them."""
        every = [row for e in entries for row in (e.rows if isinstance(e, TableSpec) else [e])]
        rows = [row for row in every if isinstance(row, CallSpec) and row.is_sound]
        names = {str(row.name or row.block) for row in rows} | {*known}
        names |= {str(e.name) for e in entries if isinstance(e, TableSpec)}
        gone = {name: slot for name, slot in self.by_name.items() if name not in names}
        taken = (n for row in rows if row.source for n in ex.walk(row.source))
        for node in (n for n in taken if isinstance(n, ex.Name) and n.id in gone):
            slot = gone[node.id]
            place = slot.removed or slot.renamed
            if place is not None:
                verb = "removed" if slot.removed else "renamed"
                message = f"the row `{node.id}` cannot be {verb}: another takes from it"
                hint = "change the `from` of that row too"
                self.report("E061", message, place, hint, ("taken here", node.place))


def _fixed(table: TableSpec) -> set[str]:
    """What the table's `set` gives to all rows, whatever their cells say."""
    given = table.given.items()
    return {name for name, said in given if isinstance(said, str) or name not in ex.names(said)}
