"""How published models call what archc calls so: the YAML files in specs/weights, and others'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from archc import backends
from archc.backends.storage import Storage, WeightsError
from archc.compiler.language.problems import (
    Place,
    Problem,
    SpecError,
    printable,
    quote,
    suggest,
)
from archc.compiler.spec import reader
from archc.compiler.spec.folders import SHIPPED, Folders
from archc.weights.rulefile import (
    Group,
    Kind,
    Pattern,
    Rules,
    SourceRules,
    Template,
    Words,
    read,
    value,
)

FOLDER = "weights"
"""What the folder of rules is called, beside a spec or at the top of its project."""
Pairs = tuple[tuple[Pattern, Template], ...]


@dataclass(frozen=True)
class ZooModel:
    """A published model and its rules."""

    name: str
    rules: Rules
    source: SourceRules
    own: bool = False
    """Whether the rules are the user's, and not shipped with archc."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All that says something of it: what says more stands later."""
        shared = (self.rules.kinds[self.source.kind],) if self.source.kind else ()
        return (self.rules, *shared, self.source)

    @property
    def storage(self) -> Storage:
        """How the framework that it is of keeps weights."""
        return backends.get(self.rules.framework).storage()

    def known(self, settings: Words) -> dict[str, Any]:
        """What every expression of the rules knows, for a network with these parameters."""
        return {**settings, **{str(name): word for name, word in self.source.words.items()}}

    @property
    def needs(self) -> dict[str, Any]:
        """Parameters of the spec that its checkpoints need."""
        return {str(name): str(text) for kind in self.kinds for name, text in kind.set.items()}

    @property
    def convention(self) -> str:
        """What has to be so for the numbers to be the reference's."""
        return next((kind.convention for kind in reversed(self.kinds) if kind.convention), "")

    def options(self, settings: Words) -> dict[str, Any]:
        """Arguments of the function that makes it, for a network with these parameters."""
        every = {str(name): node for kind in self.kinds for name, node in kind.options.items()}
        return {name: value(node, settings) for name, node in every.items()}

    def tensor(self, path: str, settings: Words) -> str | None:
        """Its whole name of a tensor that it does not name after a layer."""
        return _first(self.rules.tensors, path, self.known(settings))

    def layer(self, path: str, settings: Words) -> str | None:
        """Its name of a layer of archc's, or None where it has no such layer."""
        known = self.known(settings)
        named, group = _first(self.rules.names, path, known), self._group(path, known)
        return _first(self.rules.inside, *group) if named is None and group else named

    def _group(self, path: str, known: Words) -> tuple[str, Words] | None:
        """The group that a path belongs to: the path within it, and what its templates know."""
        for group in self.rules.groups:
            for at, rest in _heads(path):
                parts = group.at.match(at)
                words = {**known, **(parts or {})}
                if parts is not None and (group.when is None or value(group.when, words)):
                    return rest, {**words, **_filled(group, words)}
        return None

    def output(self, path: str, settings: Words) -> list[str]:
        """Where it may have the output of archc's `path`; the first that exists counts."""
        known = self.known(settings)
        named = _first(self.rules.outputs, path, known)
        if named is not None:
            return [named]
        rest, words = self._group(path, known) or (None, known)
        return [] if rest != "" else [template.filled(words) for template in self.rules.output]

    def spelled(self, name: str) -> str:
        """A tensor's name in a file, with its layer's as the rules give it."""
        layer, slash, last = name.rpartition("/")
        return f"{self.rules.spelled(layer)}{slash}{last}"

    # ---- Where rules stand, for problems

    def origin(self, path: str, settings: Words) -> Place | None:
        """Where the template stands that names a tensor."""
        known = self.known(settings)
        layer = path.rpartition(".")[0]
        group = self._group(layer, known)
        tries = [(self.rules.tensors, path), (self.rules.names, layer)]
        tries += [(self.rules.inside, group[0])] if group else []
        found = (new for pairs, at in tries for old, new in pairs if old.match(at) is not None)
        return next((template.place for template in found), None)

    def idle(self, paths: Iterable[str], settings: Words) -> list[Pattern]:
        """The patterns that match none of the tensors."""
        known, every = self.known(settings), list(paths)
        layers = list(dict.fromkeys(path.rpartition(".")[0] for path in every))
        groups = [group for layer in layers if (group := self._group(layer, known))]
        tried = [
            *((pattern, every) for pattern, _ in self.rules.tensors),
            *((pattern, layers) for pattern, _ in self.rules.names),
            *((pattern, [rest for rest, _ in groups]) for pattern, _ in self.rules.inside),
        ]
        return [p for p, against in tried if not any(p.match(x) is not None for x in against)]

    def unnamed(self, path: str, paths: Iterable[str], settings: Words) -> SpecError:
        """What is wrong where no rule names a tensor."""
        layer = path.rpartition(".")[0]
        inside = self._group(layer, self.known(settings)) is not None
        place = self.rules.key_place("inside" if inside else "names")
        message = f"no rule of {self.name} names the layer {quote(layer)}"
        idle = tuple(("this matches nothing", p.place) for p in self.idle(paths, settings)[:3])
        hint = None if idle else "add one, or take a part with --partial"
        return SpecError([Problem("R002", message, place, hint, idle)])

    def doubled(self, one: str, other: str, name: str, settings: Words) -> SpecError:
        """What is wrong where two tensors have one name."""
        first, place = self.origin(one, settings), self.origin(other, settings)
        message = f"{quote(one)} and {quote(other)} are both {quote(name)}"
        problem = Problem("R003", message, place or self.rules.place)
        return SpecError([problem.also(("and here", first)) if first else problem])


def _heads(path: str) -> Iterator[tuple[str, str]]:
    """`a.b.c` as (`a`, `b.c`), (`a.b`, `c`) and (`a.b.c`, ``)."""
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count]), ".".join(parts[count:])


def _filled(group: Group, known: Words) -> dict[str, Any]:
    pairs = ((str(name), word) for name, word in group.words.items())
    return {k: w.filled(known) if isinstance(w, Template) else w for k, w in pairs}


def _first(pairs: Pairs, path: str, known: Words) -> str | None:
    for pattern, template in pairs:
        parts = pattern.match(path)
        if parts is not None:
            return template.filled({**known, **parts})
    return None


@cache
def every() -> dict[str, ZooModel]:
    """Every published model that archc comes with rules for, by name."""
    folder = SHIPPED / "weights"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {name: model for file in files for name, model in _models(read(file), False)}


def models(path: Path) -> dict[str, ZooModel]:
    """The published models that a file has rules for. Raises `SpecError` where they are wrong."""
    return dict(_models(read(path), True))


def _models(rules: Rules, own: bool) -> Iterator[tuple[str, ZooModel]]:
    for name, source in rules.sources.items():
        yield str(name), ZooModel(str(name), rules, source, own)


def known(spec: str | Path | None = None, files: Iterable[Path] = ()) -> dict[str, ZooModel]:
    """Every published model that there are rules for: in archc, in `files`, and in folders called
    `weights` beside the spec and at the top of its project.

    Raises `SpecError` where rules are wrong, or two files have a source of one name.
    """
    found, problems = dict(every()), []
    for path in dict.fromkeys([*files, *(_beside(Path(spec)) if spec else ())]):
        rules = read(path)
        for name, model in _models(rules, True):
            if name in found:
                problems.append(_twice(rules, name, found[name]))
            found.setdefault(name, model)
    if problems:
        raise SpecError(problems)
    return found


def _beside(spec: Path) -> Iterator[Path]:
    """The rules in folders of the spec's."""
    roots = [root for root in Folders(spec).roots() if not root.is_relative_to(SHIPPED)]
    for folder in dict.fromkeys(root / FOLDER for root in roots):
        for path in sorted(folder.glob("*.yaml")):
            if path.is_file() and _is_rules(path) and not _is_a_copy(path):
                yield path


def _is_rules(path: Path) -> bool:
    """Whether a file calls itself one of rules; a spec or what is no spec may lie beside them."""
    node, _ = reader.read(reader.read_source(path))
    return isinstance(node, reader.Mapping) and {"archc", "sources"} <= {*node}


def _is_a_copy(path: Path) -> bool:
    """Whether a file is one of those that come with archc, as in a clone that is not installed."""
    shipped = SHIPPED / FOLDER / path.name
    return shipped.is_file() and shipped.read_bytes() == path.read_bytes()


def _twice(rules: Rules, name: str, other: ZooModel) -> Problem:
    place = next(key.place for key in rules.sources if key == name)
    problem = Problem("E015", f"there are rules for {quote(name)} already", place, "rename it")
    if not other.own:
        return problem
    return problem.also(("here", next(k.place for k in other.rules.sources if k == name)))


def find(name: str, models: Mapping[str, ZooModel] | None = None) -> ZooModel:
    """The model of that name, which may be tagged, among those that are known or archc's own.

    Raises `WeightsError`.
    """
    models = every() if models is None else models
    tagged = (plain for plain, model in models.items() if model.rules.tagged)
    plain = next((plain for plain in tagged if name.startswith(f"{plain}.")), name)
    if plain in models:
        return ZooModel(name, models[plain].rules, models[plain].source, models[plain].own)
    hint = suggest(plain, models) or f"there are rules for {', '.join(sorted(models))}"
    raise WeightsError(f"{name}: archc has no rules for this source\n  = help: {hint}")


def of_ones_own(
    name: str, models: Mapping[str, ZooModel], files: Iterable[Path]
) -> ZooModel | None:
    """The rules for a model of one's own: the source of that name, or else the only one in `files`;
    None where these are none. Raises `WeightsError` where they have several."""
    if name in models:
        return models[name]
    every = [model for model in known(None, files).values() if model.own]
    if len(every) > 1:
        said = ", ".join(quote(model.name) for model in every)
        message = f"{printable(name)}: there are rules for {said}, and not for it"
        raise WeightsError(f"{message}\n  = help: call one of these sources {quote(name)}")
    return replace(every[0], name=name) if every else None
