"""Which of the conventions that copies of a network are known to differ in makes one agree with a
model that anyone wrote: each is tried, on top of those that led further."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import monotonic

from archc.api import load_with
from archc.compiler.elaborate.sizes import at_size
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import Invalid, SpecError
from archc.live import explanations, interpreter
from archc.live.against import Comparison, Meeting, comparison, nearest
from archc.live.conventions import Conventions, last
from archc.live.explanations import Explanation
from archc.live.numeric import Array, Arrays, Batch
from archc.live.pairing import Place
from archc.live.trials import Trial, changed, mapped

MOST = 4
"""Of how many conventions an explanation is made up at most."""
ROUNDING = 1e-6
"""What float32 leaves of a difference, as a share of scale."""
LOOKED_AT = 4
"""Places from the one where two part on; a trial that changes none of them leads no further."""


def explained(
    meeting: Meeting, found: Comparison, tolerance: float, include: Iterable[Path] = ()
) -> Explanation:
    """Tries one convention after another, on top of those that led further."""
    return _Search(meeting, tolerance, [*include]).run(found)


class _NoFurther(Exception):
    """A trial parts where the one before did."""


class _Values(dict[str, Array]):
    """Values by path, as they are computed, until some places are seen to differ all alike."""

    def __init__(self, search: _Search, watched: Sequence[Place]) -> None:
        self.search, self.watched = search, watched
        self.wanted = {path for place in search.meeting.places for path in place.values}
        self.ahead = {path for place in watched for path in place.values}

    def see(self, path: str, value: Array) -> None:
        if path in self.wanted:
            self[path] = value
        if path in self.ahead:
            self.ahead.discard(path)
            if not self.ahead and self.search.off(self.watched, self):
                raise _NoFurther


Found = tuple[list[tuple[Sequence[Trial], float]], tuple[Sequence[Trial], Comparison] | None]
"""What makes the two agree, to that share of scale; and what else leads furthest."""


def _further(
    best: tuple[Sequence[Trial], Comparison] | None,
    trials: Sequence[Trial],
    tried: Comparison,
    found: Comparison,
) -> tuple[Sequence[Trial], Comparison] | None:
    return (trials, tried) if tried.reached > (best[1] if best else found).reached else best


class _Search:
    def __init__(self, meeting: Meeting, tolerance: float, include: Sequence[Path]) -> None:
        self.meeting, self.tolerance, self.include = meeting, tolerance, include
        self.end = monotonic() + explanations.SECONDS
        self.first = replace(
            meeting, reference={place: array[:1] for place, array in meeting.reference.items()}
        )
        self.known = Conventions(meeting)
        self.kinds: dict[str, None] = {}
        self.count = 0

    def run(self, found: Comparison) -> Explanation:
        chosen: list[Trial] = []
        plain = self.tried([])
        if plain is not None and plain.parted is None:
            return Explanation([], [], None, [], 0, False, none=True)
        while len(chosen) < MOST and monotonic() < self.end:
            agreeing, further = self.round(chosen, found)
            if not agreeing and further is None:
                agreeing, further = self.pairs(chosen, found)
            if agreeing:
                return self.told([([*chosen, *each], far) for each, far in agreeing], [], None)
            if further is None:
                break
            trials, found = further
            chosen += trials
        return self.told([], chosen, found if chosen else None)

    def told(
        self,
        agreeing: Sequence[tuple[Sequence[Trial], float]],
        nearer: Sequence[Trial],
        at: Comparison | None,
    ) -> Explanation:
        late = monotonic() >= self.end
        return Explanation(agreeing, nearer, at, [*self.kinds], self.count, late)

    def round(self, chosen: Sequence[Trial], found: Comparison) -> Found:
        """The trials of the first group with any that make all agree: those that do so as nearly as
        any of them. Where none does, that which leads furthest of the first group that leads
        further."""
        best: tuple[Sequence[Trial], Comparison] | None = None
        for group in self.groups(chosen, found):
            agreeing: list[tuple[Sequence[Trial], float]] = []
            furthest = best
            for trial in group:
                tried = self.tried([*chosen, trial], found.reached)
                if tried is not None and tried.parted is None:
                    agreeing.append(([trial], tried.ends))
                elif best is None and tried is not None:
                    furthest = _further(furthest, [trial], tried, found)
            best = furthest
            if agreeing:
                near = 3 * min(far for _, far in agreeing) + ROUNDING
                return [(trials, far) for trials, far in agreeing if far <= near], None
        return [], best

    def pairs(self, chosen: Sequence[Trial], found: Comparison) -> Found:
        """The first two together that make all agree, where one alone leads nowhere; or else those
        that lead furthest."""
        groups = [[*group] for group in self.groups(chosen, found)]
        every = [trial for group in groups for trial in group]
        best: tuple[Sequence[Trial], Comparison] | None = None
        for pair in product(groups[0] + groups[1], every):
            if pair[0].kind != pair[1].kind:
                tried = self.tried([*chosen, *pair], found.reached)
                if tried is not None and tried.parted is None:
                    return [(pair, tried.ends)], None
                best = best if tried is None else _further(best, pair, tried, found)
        return [], best

    # ---- Trying

    def tried(self, trials: Sequence[Trial], reached: int | None = None) -> Comparison | None:
        """What the network comes to with these; None where there is no such network, no time, or
        where it parts at the place that was `reached` as before."""
        network = self.network(trials) if monotonic() < self.end else None
        if network is None:
            return None
        self.kinds.update(dict.fromkeys(trial.kind for trial in trials))
        self.count += bool(trials)
        weights, batch = self.meeting.weights, _one(self.meeting.batch)
        for trial in trials:
            weights, batch = trial.weights(weights), mapped(trial.batch, batch)
        watched = self.meeting.places[reached : reached + LOOKED_AT] if reached is not None else []
        values = _Values(self, watched)
        try:
            values[""] = interpreter.run(network, weights, batch, values.see)
        except (ValueError, _NoFurther):  # the former of shapes that no longer fit
            return None
        ends = [path for path in ("", last(network)) if path in values]
        for trial in trials:
            values.update((path, trial.output(values[path])) for path in ends)
        return comparison(self.first, network, {"": values}, self.tolerance)

    def off(self, places: Sequence[Place], values: Arrays) -> bool:
        """Whether all of these differ."""
        every = (nearest(place, self.first.reference[place], {"": values}) for place in places)
        return all(not each.worst <= self.tolerance for each in every)

    def network(self, trials: Sequence[Trial]) -> Network | None:
        """The network with these; None where they leave no such weights."""
        settings = {name: value for trial in trials for name, value in trial.settings.items()}
        network = self.meeting.network
        if settings:
            try:
                network = self.loaded(settings)
            except (SpecError, Invalid):
                return None
        for trial in trials:
            network = changed(network, trial.change)
        return network

    def loaded(self, settings: Mapping[str, str]) -> Network:
        """Raises `SpecError` and `Invalid`."""
        net, here = self.meeting.net, self.meeting.network
        network = load_with(net.spec, {**net.settings, **settings}, self.include).network
        if here.input.shape != net.network.input.shape:
            network = at_size(network, here.input.height or 1, here.input.width or 1)
        if _weights(network) != _weights(here):
            raise Invalid("E040", "other weights")
        return network

    def groups(self, chosen: Sequence[Trial], found: Comparison) -> Iterator[Iterator[Trial]]:
        """What is tried on top of those that are chosen."""
        return self.known.groups(self.network(chosen) or self.meeting.network, chosen, found)


def _weights(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    return [(path, weight.shape) for path, _, weight in analysis.weights(network)]


def _one(batch: Batch) -> Batch:
    """The first of the inputs: in evaluation each stands alone."""
    if isinstance(batch, Mapping):
        return {name: array[:1] for name, array in batch.items()}
    return batch[:1]
