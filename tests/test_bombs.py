"""Specs made to take long: each is accepted or refused in seconds and a few hundred MB.

Each runs in a process of its own, with every step that a command takes: counted, resolved, listed
and written for each backend. The limits are generous, as machines differ; what they stop took
minutes or gigabytes.
"""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from archc.compiler.language.problems import MOST, SHOWN, SpecError, nearest
from archc.compiler.pipeline import compile_network
from archc.compiler.spec.load import LARGE

with contextlib.suppress(ModuleNotFoundError):
    import resource

SECONDS = 20
MEMORY = 2**30
HEAD = "archc: 1\nname: Net\ninput: {channels: 3, height: 8, width: 8}\n"

STEPS = """
import sys
from archc import backends
from archc.commands import summary
from archc.api import load
from archc.compiler.language.problems import SpecError
from archc.compiler.printed.resolve import resolve

try:
    net = load(sys.argv[1])
    resolve(net.spec)
except SpecError as error:
    print(error.problems[0].code)
    sys.exit()
for backend in backends.names():
    net.source(backend)
summary.print_table(net, False)
print("accepted")
"""


def rows(count: int, row: str) -> str:
    return HEAD + "network:\n" + "".join(f"  - {row.format(i)}\n" for i in range(count))


def nested(count: int, first: str, body: str = "let: {wide: x.channels + 1}") -> str:
    """Blocks that each call the next one twice."""
    blocks = [f"  b0: {{{body}, steps: [{{y: '{first}'}}]}}\n"]
    blocks += [
        f"  b{i}: {{steps: [{{y: b{i - 1}(x)}}, {{z: b{i - 1}(y)}}]}}\n" for i in range(1, count)
    ]
    return f"{HEAD}network: [{{block: b{count - 1}}}]\nblocks:\n{''.join(blocks)}"


def steps(count: int, step: str) -> str:
    """A block whose steps each take from the one above."""
    lines = (
        f"      - s{i}: {step.format(x=f's{i - 1}' if i else 'x', i=i)}\n" for i in range(count)
    )
    return f"{HEAD}network: [{{block: b}}]\nblocks:\n  b:\n    steps:\n{''.join(lines)}"


def optional(blocks: int) -> str:
    """Blocks of steps that are left out under conditions of their own."""
    text = rows(blocks, "{{block: b{0}}}") + "blocks:\n"
    for number in range(blocks):
        text += f"  b{number}:\n    steps:\n"
        for i in range(60):
            x = f"s{i - 1}" if i else "x"
            text += f"      - s{i}: conv2d({x}, {number} + {i + 1}, kernel=1)\n"
            text += f"        when: x.channels > {i}\n"
    return text


def activations(count: int) -> str:
    """Nested blocks that hand on an activation which is never called."""
    text = f"{HEAD}params: {{act: {{type: activation, default: relu, keep: true}}}}\n"
    text += f"network: [{{block: b{count - 1}, act: act}}]\nblocks:\n"
    text += "  b0: {params: {act: activation}, steps: "
    text += "[{y: 'activation(x, act=act)', when: x.channels > 3}]}\n"
    for i in range(1, count):
        calls = f"[{{y: 'b{i - 1}(x, act)'}}, {{z: 'b{i - 1}(y, act)'}}]"
        text += f"  b{i}: {{params: {{act: activation}}, steps: {calls}}}\n"
    return text


def joins(count: int) -> str:
    """Rows that are all kept until joined."""
    text = rows(count, "{{block: activation, act: relu, name: r{0}, from: -1}}")
    for start in range(0, count, 250):
        names = ", ".join(f"r{i}" for i in range(start, min(count, start + 250)))
        text += f"  - {{block: concat, name: j{start}, from: [{names}]}}\n"
    ends = ", ".join(f"j{start}" for start in range(0, count, 250))
    return f"{text}  - {{block: concat, name: end, from: [{ends}]}}\n"


RELU = "activation(x, act=relu)"
ALIKE = "row" * 20
BOMBS: dict[str, tuple[str, Callable[[], str]]] = {
    "lets_of_nested_blocks": ("E044", lambda: nested(32, "conv2d(x, wide, kernel=1)")),
    "nested_blocks": ("E044", lambda: nested(32, RELU, "doc: none")),
    "nested_activation": (
        "E044",
        lambda: nested(31, RELU, "doc: none").replace(
            "{block: b30}", "{block: activation, act: b30}"
        ),
    ),
    "nested_blocks_as_deep_as_may_be": ("accepted", lambda: nested(13, RELU, "doc: none")),
    "nested_steps_left_out": ("E044", lambda: activations(31)),
    "channels_squared": (
        "E022",
        lambda: steps(60, "conv2d({x}, {x}.channels * {x}.channels, kernel=1)"),
    ),
    "many_steps": ("E008", lambda: steps(10_000, "activation({x}, act=relu)")),
    "steps_as_many_as_may_be": ("accepted", lambda: steps(512, "activation({x}, act=relu)")),
    "optional_steps": ("E044", lambda: optional(100)),
    "optional_steps_as_many_as_may_be": ("accepted", lambda: optional(8)),
    "many_rows": ("accepted", lambda: rows(6_000, "{{block: activation, act: relu, name: r{0}}}")),
    "many_repeats": (
        "E044",
        lambda: rows(1_000, "{{block: conv2d, name: r{0}, filters: 3, kernel: 1, repeat: 1000}}"),
    ),
    "many_joins": ("accepted", lambda: joins(3_000)),
    "many_unknown_names": (
        "E045",
        lambda: rows(2_000, f"{{{{block: add, name: {ALIKE}{{0}}, from: [-1, {ALIKE}x{{0}}]}}}}"),
    ),
    "many_unknown_keys": (
        "E010",
        lambda: (
            rows(1, "{{block: flatten}}") + "".join(f"{ALIKE[:40]}{i}: 1\n" for i in range(8_000))
        ),
    ),
    "many_mistakes": ("E020", lambda: rows(12_000, "{{block: activation, act: 1 +}}")),
    "large_file": ("E008", lambda: rows(100_000, "{{block: flatten}}")),
    "large_strides": (
        "E044",
        lambda: rows(
            2, "{{block: conv2d, name: r{0}, filters: 1, kernel: 1, stride: 1000, repeat: 1000}}"
        ),
    ),
}


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such limits")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_goes_off_in_seconds(name: str, tmp_path: Path) -> None:
    wanted, text = BOMBS[name]
    path = tmp_path / "bomb.yaml"
    path.write_text(text())
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=_limited,
        env={"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:] or "it took too long"
    assert done.stdout.splitlines()[-1] == wanted


def _error(text: str, path: Path) -> SpecError:
    path.write_text(text)
    with pytest.raises(SpecError) as raised:
        compile_network(path)
    return raised.value


MISTAKES: dict[str, Callable[[int], str]] = {
    "keys": lambda n: rows(1, "{{block: flatten}}") + "".join(f"key{i}: 1\n" for i in range(n)),
    "texts": lambda n: rows(n, "{{block: activation, name: r{0}, act: 1 +}}"),
    "names": lambda n: rows(n, "{{block: activation, name: r{0}, act: nothing}}"),
    "values": lambda n: rows(n, "{{block: conv2d, name: r{0}, filters: 1 // 0, kernel: 1}}"),
    "twice": lambda n: f"{HEAD}network: [{{block: flatten}}]\nlet:\n" + "  a: 1\n" * (n + 1),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_hundred_mistakes_are_shown_and_the_others_counted(kind: str, tmp_path: Path) -> None:
    few = _error(MISTAKES[kind](SHOWN), tmp_path / "few.yaml")
    assert (len(few.problems), few.more, "more problems" in str(few)) == (SHOWN, 0, False)
    some = _error(MISTAKES[kind](SHOWN + 7), tmp_path / "some.yaml")
    assert (len(some.problems), some.more) == (SHOWN, 7)
    many = _error(MISTAKES[kind](1000), tmp_path / "many.yaml")
    assert (len(many.problems), many.more) == (SHOWN, MOST + 1 - SHOWN)
    assert str(many).endswith(f"\n... and at least {many.more} more problems")


def test_the_command_line_counts_mistakes_of_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(MISTAKES["names"](1000))
    command = [sys.executable, "-m", "archc", "check", "a.yaml", "b.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    more = 2 * (MOST + 1) - SHOWN
    assert done.returncode == 2
    assert done.stderr.count(": E031 ") == SHOWN
    assert done.stderr.endswith(f"\n... and at least {more} more problems\n")


def test_files_are_small_all_together(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"lib{number}.yaml").write_text("archc: 1\nblocks: {}\n" + "# " + "x" * 100_000)
    uses = ", ".join(f"lib{number}.yaml" for number in range(6))
    error = _error(f"{HEAD}use: [{uses}]\nnetwork: [{{block: flatten}}]\n", tmp_path / "net.yaml")
    assert [p.code for p in error.problems] == ["E008"]
    assert error.problems[0].message == (
        "cannot use `lib5.yaml`: all files together are larger than 512 KiB"
    )


def test_words_are_compared_while_it_is_worth_it() -> None:
    assert nearest("conv2", ["conv2d"]) == "conv2d"
    assert nearest("x" * 10**6, ["x" * 60]) == "x" * 60
    assert nearest("row9999", (f"row{i}" for i in range(10**6))) is not None


@pytest.mark.parametrize("size", [1, 2 * LARGE])
def test_what_was_loaded_is_forgotten(size: int, tmp_path: Path) -> None:
    """Specs that differ: small ones, which are remembered for a while, and large ones."""
    path = tmp_path / "net.yaml"
    comment = f"# {'x' * size}\n"

    def load(numbers: Iterable[int]) -> int:
        """The most bytes that were held at once."""
        tracemalloc.reset_peak()
        for number in numbers:
            row = f"{{block: conv2d, filters: {number + 1}, kernel: 1, repeat: 20}}"
            path.write_text(f"{comment}{HEAD}network: [{row}]\n")
            compile_network(path)
        return tracemalloc.get_traced_memory()[1]

    gc.collect()
    gc.freeze()  # else Python seldom looks for what refers to itself, the more others have left
    tracemalloc.start()
    try:
        first = load(range(450))  # more than are remembered
        assert load(range(450, 1350)) < 1.6 * first
    finally:
        tracemalloc.stop()
        gc.unfreeze()
