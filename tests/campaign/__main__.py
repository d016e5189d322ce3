"""`python -m tests.campaign NAME`: throws random input at archc until something breaks.

A campaign is a module beside this one with

    run(count, seed) -> an iterator of failures, each told in a few lines

that makes `count` inputs from `seed`, the same ones for the same seed, says nothing of those that
went well, and keeps what failed in a file that the failure names. CI runs a few of each with a seed
of its own (`tests/test_campaign.py`).
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path

import click

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--count", default=100, show_default=True, help="How many inputs.")
@click.option("--seed", type=int, help="Which ones; by default others each time.")
def main(name: str, count: int, seed: int | None) -> None:
    """Run a campaign. Fails if one of its inputs does."""
    seed = random.randrange(2**32) if seed is None else seed
    click.echo(f"{name}: {count} inputs, --seed {seed}")
    failures = 0
    for failure in import_module(f"tests.campaign.{name}").run(count, seed):
        failures += 1
        click.echo(failure)
    click.echo(f"{name}: {failures} of {count} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
