"""The passes that run are the ones that are listed."""

from pathlib import Path

import pytest

from archc.compiler import pipeline
from archc.compiler.bind.program import Program
from archc.compiler.ir.network import Network
from archc.compiler.language.problems import SpecError
from archc.compiler.pipeline import compile_network, passes, run
from archc.compiler.spec.load import SHIPPED, Files

SPEC = SHIPPED / "mnv3_small.yaml"


def test_a_test_can_stop_before_any_pass() -> None:
    every = passes({"alpha": 0.75}, ())
    found = [type(run(SPEC, every[:count])) for count in range(len(every) + 1)]
    assert found == [type(SPEC), Files, Files, Program, Program, Network]


def test_the_passes_come_to_what_compiling_comes_to() -> None:
    settings = {"alpha": "0.75", "classes": 10}
    found = run(SPEC, passes(settings, ()))
    assert str(found.settings) == str(compile_network(SPEC, settings).settings)
    assert found.output.channels == 10


def test_a_file_is_bound_once_and_elaborated_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens to a path on its way to a network is what is listed, and nothing beside it."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "archc: 1\nname: Net\nparams: {n: {type: int, default: 2}}\n"
        "input: {channels: 1, height: 4, width: 4}\n"
        "network: [{block: conv2d, filters: n, kernel: 1}]\n"
    )
    seen: list[str] = []

    def noted(name: str) -> None:
        real = getattr(pipeline, name)

        def step(*given: object, **more: object) -> object:
            seen.append(name)
            return real(*given, **more)

        monkeypatch.setattr(pipeline, name, step)

    for name in ("load", "elaborate_with"):
        noted(name)
    assert compile_network(path).output.channels == 2
    assert compile_network(path, {"n": 3}).output.channels == 3
    assert seen == ["load", "elaborate_with"] * 2


def test_the_first_pass_that_finds_problems_is_the_last() -> None:
    with pytest.raises(SpecError) as raised:
        run(SPEC, passes({"alhpa": 1}, ()))
    assert [problem.code for problem in raised.value.problems] == ["E050"]
