"""A short run of every campaign. `python -m tests.campaign` makes long ones."""

from __future__ import annotations

import random
from importlib import import_module

import pytest

from .campaign.__main__ import NAMES

COUNTS: dict[str, int] = {
    "diffs": 200,
    "kills": 12,
    "names": 60,
    "networks": 40,
    "settings": 1000,
    "specs": 800,
    "weights_files": 100,
}
"""How many inputs a campaign gets here, which is a matter of seconds."""


@pytest.mark.parametrize("name", NAMES)
def test_campaign(name: str) -> None:
    seed, count = random.randrange(2**32), COUNTS[name]
    print(f"python -m tests.campaign {name} --count {count} --seed {seed}")
    failures = list(import_module(f".campaign.{name}", __package__).run(count, seed))
    assert not failures, "\n".join(failures)
