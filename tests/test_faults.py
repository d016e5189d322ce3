"""The list of faults to plant is sound. `python -m tests.faults` plants them."""

import ast

from .faults.__main__ import NEAR, ROOT, faults, stale, test_files

FAULTS = faults()
test_files.__test__ = False


def test_there_are_a_hundred_faults_and_most_can_be_planted() -> None:
    """What is stale is named by the command. One or another may be, while the product changes."""
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS) >= 100
    gone = [f"{fault.file}: {fault.breaks}" for fault in FAULTS if stale(fault)]
    assert len(gone) < 0.1 * len(FAULTS), "\n".join(gone)


def test_a_fault_is_code_that_does_something_else() -> None:
    for fault in FAULTS:
        if not stale(fault):
            text = (ROOT / fault.file).read_text(encoding="utf-8")
            planted = ast.parse(text.replace(fault.old, fault.new))
            assert ast.dump(planted) != ast.dump(ast.parse(text)), fault


def test_every_fault_has_tests_near_it() -> None:
    files = set(test_files())
    assert all(files & set(fault.near()) for fault in FAULTS)
    assert all((ROOT / place).exists() for place in NEAR)
