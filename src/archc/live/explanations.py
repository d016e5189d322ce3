"""What trying conventions came to, and how that is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archc.live.against import Comparison
from archc.live.check import named
from archc.live.trials import Trial

SECONDS = 60.0
"""How long trying takes at most."""
SHOWN = 4
"""Most explanations that are told."""


@dataclass(frozen=True)
class Explanation:
    """What trying came to."""

    agreeing: Sequence[tuple[Sequence[Trial], float]]
    """Each of these makes the two agree, at their outputs to that share of scale."""
    nearer: Sequence[Trial]
    """What makes them agree further, where nothing makes them agree all the way."""
    parted: Comparison | None
    """Where they part with that."""
    kinds: Sequence[str]
    """What was tried."""
    count: int
    late: bool
    """Whether the time ran out."""
    none: bool = False
    """Whether the definitions of the ops agree with the model as it is: a backend does not."""


def lines(found: Explanation) -> Iterator[str]:
    """What makes the two agree; else what leads further, and that nothing explains the rest."""
    if found.none:
        yield "the definitions of the ops agree with it: a backend is wrong"
        return
    for trials, far in found.agreeing[:SHOWN]:
        yield f"it agrees {_together(trials)}, to {far:.0e} of its scale"
    if found.agreeing:
        more = len(found.agreeing) - SHOWN
        yield from [f"and with {more:,} others"] * (more > 0)
        return
    rest = "it"
    if found.nearer and found.parted and found.parted.parted:
        at = named(found.parted.parted.value)
        yield f"{_together(found.nearer)}, it parts later, at {at}"
        rest = "the rest"
    tried = ", ".join(found.kinds) or "nothing"
    late = f", until {SECONDS:g} seconds were over" if found.late else ""
    yield f"none of the known conventions explains {rest}; {found.count:,} tries{late}: {tried}"


def _together(trials: Sequence[Trial]) -> str:
    settings = " ".join(trial.said for trial in trials if trial.settings)
    others = [trial.said for trial in trials if not trial.settings]
    return " and ".join([*([f"with {settings}"] if settings else []), *others])
