"""Where values come from, so that a problem stands at its cause and not where it comes to light.

A spec that extends another, or a setting, changes a value that rows far away use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from archc.compiler.bind.program import Program
from archc.compiler.bind.settings import Settings
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.problems import Blame, Catching, Place, Problem, Reporter


class Origins(Reporter):
    """Reports problems where values come from: they have places unless the spec that everything
    extends gives them."""

    def __init__(self, program: Program, settings: Settings) -> None:
        super().__init__()
        self.base = program.spec.place.source
        self.program, self.settings = program, settings

    @cached_property
    def places(self) -> dict[str, Place]:
        """Of parameters and `let`s that are not as the spec that everything extends has them."""
        found = {name: place for name, (_, place) in self.settings.items()}
        parameters = self.program.parameters
        defaults = [(p.name, p.default) for p in parameters if p.default is not None]
        for name, node in (*defaults, *self.program.lets):
            place = self.of(node, found)
            if place is not None:
                found.setdefault(name, place)
        return found

    def of(self, node: Node, places: Mapping[str, Place] | None = None) -> Place | None:
        """The place of `node` in a spec that extends another, or that of a value in it."""
        if node.place.source is not self.base:
            return node.place
        places = self.places if places is None else places
        return next((places[name] for name in ex.names(node) if name in places), None)

    def tracing(self, node: Node, *related: tuple[str, Place]) -> Catching:
        """Reports what goes wrong with `node` at its cause."""

        def tell(blame: Blame) -> None:
            self.tell(self.traced(problem, node) for problem in blame.at(node.place, *related))

        return Catching(tell)

    def traced(self, problem: Problem, node: Node) -> Problem:
        """`problem` at the value to which `node`, where it came to light, owes it."""
        place = self.of(node)
        if place is None or place.source is problem.place.source:
            return problem
        related = (("used here", problem.place), *problem.related)
        return replace(problem, place=place, related=related)
