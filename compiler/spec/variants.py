"""A spec that extends another: what it says itself, and all else as its base says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from archc.compiler.language.problems import Place, Problem, choices, suggest
from archc.compiler.spec.models import InputSpec, ParameterSpec, Spec
from archc.compiler.spec.reader import Scalar

_ALONE = {
    "set": (
        "`set` is for the parameters of a spec that this one `extends`",
        "give the parameters other defaults under `params`",
    ),
    "change": (
        "`change` is for the rows of a spec that this one `extends`",
        "edit the rows under `network`",
    ),
}
"""Keys of a variant, and what to say of them elsewhere."""
_OWN = ("name", "source", "doc", "output_stride", "dilate_strided")
"""Keys that replace the base's."""


def alone(spec: Spec) -> Iterator[Problem]:
    """What only a variant can say, in a spec that extends no other."""
    for key, (message, hint) in _ALONE.items():
        if getattr(spec, key):
            yield Problem("E011", message, spec.key_place(key), hint)


def extended(base: Spec, spec: Spec) -> tuple[Spec, tuple[Problem, ...]]:
    """`spec` on top of `base`, and what does not fit there."""
    params, problems = _parameters(base, spec)
    defaults = {op: {**base.defaults.get(op, {}), **new} for op, new in spec.defaults.items()}
    own = {key: getattr(spec, key) for key in _OWN}
    if base.source and not spec.source:  # what is said there is not said of this one
        own["source"] = f"a variant of {base.name}: {base.source}"
    update: dict[str, Any] = {key: value for key, value in own.items() if value}
    update |= _inputs(base, spec)
    update |= {
        "params": params,
        "let": {**base.let, **spec.let},
        "require": (*base.require, *spec.require),
        "defaults": {**base.defaults, **defaults},
        "blocks": spec.blocks,
    }
    update["network"], more, doubts = _network(base, spec, {*params, *update["let"]})
    return spec.on(base, doubts, **update), (*problems, *more)


def _inputs(base: Spec, spec: Spec) -> dict[str, Any]:
    """The variant's input, or its inputs, instead of the base's: of another size, but where they
    are called alike of the same kind."""
    if spec.input is None and spec.inputs is None:
        return {}
    before = base.inputs or {}
    own = {name: _of_a_kind(before.get(name), new) for name, new in (spec.inputs or {}).items()}
    return {"input": _of_a_kind(base.input, spec.input), "inputs": own or None}


def _of_a_kind(old: InputSpec | None, new: InputSpec | None) -> InputSpec | None:
    """`new`, which is described as `old` is where it says nothing itself."""
    if old is None or new is None:
        return new
    said = {key: getattr(new, key) or getattr(old, key) for key in ("range", "doc")}
    return new.model_copy(update=said)


def _parameters(base: Spec, spec: Spec) -> tuple[dict[Scalar, ParameterSpec], list[Problem]]:
    """The parameters of both; `set` gives the base's new defaults."""
    params, problems = dict(base.params), []
    for name, value in spec.set.items():
        if name in params:
            params[name] = params[name].model_copy(update={"default": value})
            continue
        hint = suggest(name, params) or (choices(params) if params else "it has none")
        related = (("the spec that it extends", base.key_place("params")),)
        message = f"unknown parameter `{name}`"
        problems.append(Problem("E050", message, name.place, hint, related))
    return {**params, **spec.params}, problems


def _network(
    base: Spec, spec: Spec, known: Iterable[str]
) -> tuple[Any, list[Problem], list[Problem]]:
    """The rows of the variant: its own, or the base's with all changes; and what to warn of."""
    if not spec.change:
        return spec.network or base.network, [], []
    if spec.network is not None:
        message = "`change` is for the rows of the base, but this spec has a `network` of its own"
        return None, [Problem("E012", message, spec.key_place("change"), "remove one of them")], []
    from archc.compiler.spec.changes import changed  # few specs need it, and a start waits for it

    return changed(base.network or (), spec.change, known)


def from_extended(spec: Spec, problems: Iterable[Problem]) -> list[Problem]:
    """The problems; those in a spec that `spec` extends say from where."""
    if spec.extends is None:
        return list(problems)
    here: tuple[str, Place] = ("extended here", spec.extends.place)
    return [p.also(here) if p.place.source in spec.bases else p for p in problems]
