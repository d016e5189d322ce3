"""The changes that a variant makes to the rows of the spec that it extends.

They come to the same rows as the same edits made by hand. All is done with the rows as they are
written, so every cell keeps the place where it stands, in the variant or in its base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic_core import ValidationError

from archc.compiler.language import expressions as ex
from archc.compiler.language.problems import (
    Blame,
    Enough,
    Place,
    Problem,
    Reporter,
    choices,
    suggest,
)
from archc.compiler.spec.conditions import Condition, row_values, value_of
from archc.compiler.spec.nodes import problems_of
from archc.compiler.spec.reader import Scalar, Sequence
from archc.compiler.spec.rows import CallSpec, ChangeSpec, PatchSpec, TableSpec, is_value, row_of

Entry = TableSpec | CallSpec | Sequence
"""A list of cells is one of another length than its table has columns."""

MAX_WORK = 2**17
"""Changes times rows; more would take long, and is no table that a person edits."""


@dataclass(eq=False)
class _Slot:
    """A row or a table of the base, what has become of it, and what is inserted around it."""

    name: str
    """What changes call it; empty for a table whose rows have names, and for a row whose number is
    not known."""
    entry: Entry
    table: _Slot | None = None
    numbers: range | None = None
    """Of its repeats, where it goes by number."""
    base: Entry | None = None
    """The entry as the base has it."""
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

    def cells(self) -> dict[str, str]:
        """What the row says in the base, as text; nothing of a table."""
        return _written(self.base) if isinstance(self.base, CallSpec) and self.base.is_sound else {}

    @property
    def row(self) -> CallSpec | None:
        """The row; None for a table, and for a broken row, which is told of where it is bound."""
        return self.entry if isinstance(self.entry, CallSpec) and self.entry.is_sound else None


def changed(
    network: Iterable[TableSpec | CallSpec], changes: Iterable[ChangeSpec], known: Iterable[str]
) -> tuple[tuple[TableSpec | CallSpec, ...], list[Problem], list[Problem]]:
    """The rows of `network` with all changes, what is wrong with these, and what to warn of.

    `known` are the names that `from` finds where no row is called so.
    """
    change = _Changes(network)
    for done, each in enumerate(changes, 1):
        if done * change.size > MAX_WORK:
            message = f"changes times rows come to more than {MAX_WORK:,}"
            return (), [Problem("E044", message, each.place, "write the table out")], []
        try:
            change.make(each)
        except Enough:
            return (), change.problems, []
    entries = tuple(e for e in _entries(change.slots) if not isinstance(e, Sequence))
    if not entries:
        change.check_left()
    elif not change.problems:
        change.check_needed(entries, known)
    return entries, change.problems, change.warnings


def _slots(network: Iterable[TableSpec | CallSpec]) -> Iterator[_Slot]:
    for entry in network:
        if isinstance(entry, CallSpec):
            yield _Slot(str(entry.name or entry.block), entry, base=entry)
            continue
        table = _Slot(str(entry.name), entry)
        table.rows = [_Slot("", row, table, base=row) for row in entry.rows]
        names = [str((slot.row and slot.row.name) or "") for slot in table.rows]
        for slot, name, numbers in zip(table.rows, names, _numbers(entry), strict=True):
            slot.numbers = None if any(names) else numbers
            slot.name = f"{table.name}.{slot.numbers[0]}" if slot.numbers else name
        table.name = "" if any(names) else table.name
        yield table


def _numbers(table: TableSpec) -> Iterator[range | None]:
    """What numbers the repeats of each row go by, as in paths. None where that depends on what is
    known only later: which rows above are there, and how often."""
    first: int | None = 0
    always, own = _fixed(table), table.given
    for row in table.rows:
        said = row.given if isinstance(row, CallSpec) else {}
        times = _times(said.get("repeat"), {})
        if "repeat" in always or ("repeat" in own and said.get("repeat") is not None):
            times = _times(own["repeat"], {} if times is None else {"repeat": times})
        if first is None or said.get("when", own.get("when")) is not None:
            first = None
            yield None
        else:
            yield range(first, first + (1 if times is None else times))
            first = None if times is None else first + times


def _times(repeat: ex.Node | None, known: Mapping[str, int]) -> int | None:
    """How often a row stands there, where that is a number once the cell that is `known` is one."""
    if repeat is None:
        return 1
    told = not ex.misuses(repeat) and ex.names(repeat).keys() <= known.keys()
    try:
        value = repeat.evaluate(known) if told else None
    except Blame:
        return None  # what is wrong with it is reported where the row is bound
    return value if isinstance(value, int) and 0 <= value <= MAX_WORK else None


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
        self.warnings: list[Problem] = []
        self.slots = list(_slots(network))
        every = [row for slot in self.slots for row in (slot, *slot.rows)]
        self.size = len(every)
        self.by_name: dict[str, _Slot] = {}
        for slot in every:
            self.by_name.setdefault(slot.name, slot)
        self.by_name.pop("", None)

    def make(self, change: ChangeSpec) -> None:
        before = len(self.problems)
        self.check_known(change)
        if len(self.problems) > before:
            return
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
            return _numbered(table, int(name.partition(".")[2]))
        alone = [known for known in self.by_name if "." not in known]
        return suggest(name, alone) or choices(alone)

    # ------------------------------------------------------------------------------- was

    def check_known(self, change: ChangeSpec) -> None:
        """Reports rows that are not what the change says they were, and warns of rows that it knows
        by their number alone."""
        names = [name for name in change.named if str(name) in self.by_name]
        for name in names:
            slot = self.by_name[str(name)]
            if change.was is not None:
                self.check_was(slot, change.was)
            elif slot.numbers:
                message = f"`{name}` is another row once the base gains or loses one above it"
                hint = f"say what it is now, to be told then: `was: {{{_telling(slot)}}}`"
                warning = Problem("W008", message, name.place, hint, severity="warning")
                self.warnings.append(warning)

    def check_was(self, slot: _Slot, was: PatchSpec) -> None:
        """Reports a row of which the base says otherwise: rows have moved there, or changed."""
        said, absent = _written(was), ex.show(None)
        for row in slot.rows or [slot]:
            now = row.cells()
            for key in (key for key in said if said[key] != now.get(key, absent)):
                value = now.get(key, absent)
                says = f"its `{key}` is `{value}`" if value != absent else f"it says no `{key}`"
                message = f"`{row.name}` is not what it was: {says}"
                here = ("the row by now", row.entry.place)
                self.report("E061", message, was.key_place(key), self.moved(said), here)
                return

    def moved(self, said: Mapping[str, str]) -> str:
        """Where the row is by now, if one alone is as it is said to have been."""
        found = [
            slot.name for slot in self.by_name.values() if said.items() <= slot.cells().items()
        ]
        moved = f"it may be `{found[0]}` now" if len(found) == 1 else "its rows may have moved"
        return f"see what has become of the base: {moved}"

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


def _written(call: CallSpec) -> dict[str, str]:
    """What is said under each key and argument, as text."""
    given = call.given.items()
    return {key: ex.show(value_of(said) if is_value(key) else said) for key, said in given}


def _telling(slot: _Slot) -> str:
    """All that a row of a table says, as `was` would say it; and what it does not say, where the
    rows beside it say the same otherwise."""
    rows = slot.table.rows if slot.table else []
    at, absent = rows.index(slot), ex.show(None)
    beside = [row.cells() for row in (*rows[max(at - 1, 0) : at], *rows[at + 1 : at + 2])]
    cells = slot.cells()
    keys = [key for key, text in cells.items() if key != "block" and text != absent]
    alike = [other for other in beside if all(cells[key] == other.get(key) for key in keys)]
    more = (key for key in cells if any(cells[key] != other.get(key, absent) for other in alike))
    said = {key: cells[key] for key in dict.fromkeys((*keys, *more))}
    return ", ".join(f"{key}: {'~' if text == absent else text}" for key, text in said.items())


def _numbered(table: _Slot, number: int) -> str:
    """Why no row of a table goes by `number`, and what to write."""
    known = [slot for slot in table.rows if slot.numbers] or [table]
    repeated = next((slot.name for slot in known if number in (slot.numbers or ())), None)
    if repeated is not None:
        return f"it is a repeat of `{repeated}`; say that, and all its repeats are meant"
    if any(slot.numbers is None for slot in table.rows):
        why = f"which row is `{table.name}.{number}` depends on a `repeat` or a `when` above it"
        return f"{why}; choose it by `where`, or give the rows names"
    names = [f"`{slot.name}`" for slot in known]
    return f"`{table.name}` has the rows {' to '.join([names[0], *names[1:][-1:]])}"


def _fixed(table: TableSpec) -> set[str]:
    """What the table's `set` gives to all rows, whatever their cells say."""
    given = table.given.items()
    return {name for name, said in given if isinstance(said, str) or name not in ex.names(said)}
