"""Builds and conversions that are killed, race or meet a full disk at some moment.

Whatever happens, what was there is whole, old or new; and but after SIGKILL nothing else is left.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from archc import load
from archc.live.numeric import random_weights
from archc.weights.convert import convert

SPEC = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 9, min: 1, max: 99}
  wide: {type: int, default: 64, min: 1}
input: {channels: 3, height: 8, width: 8}
network:
  - {block: conv2d, name: stem, filters: wide, kernel: 3}
  - {block: conv2d, name: wider, filters: 8 * wide, kernel: 3}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, name: logits, units: classes}
"""
NEW = ("--set", "classes=7")
TARGETS = ("b.pt", "b.safetensors", "b.weights.h5")
LONGEST = 60
"""Seconds that a command may go on after its signal."""
Command = Sequence[str]


class Place:
    """A folder with old outputs in it, and what they would be anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tiny.yaml").write_text(SPEC)
        self.old = self._outputs({})
        self.new = self._outputs({"classes": 7})
        self.names: set[str] = set()

    def _outputs(self, settings: dict[str, int]) -> dict[str, bytes]:
        """Both generated files, and a file of weights of each kind; the source of these too."""
        net = load(self.folder / "tiny.yaml", **settings)
        found = {
            f"generated/tiny_{backend}.py": net.source(backend).encode()
            for backend in ("torch", "keras")
        }
        source = self.folder / f"a{net.output_shape[0]}.safetensors"
        arrays = {k: np.ascontiguousarray(v) for k, v in random_weights(net.network).items()}
        safetensors.numpy.save_file(arrays, source)
        for target in TARGETS:
            convert(net, source, self.folder / target)
            found[target] = (self.folder / target).read_bytes()
        return found

    def reset(self, outputs: Sequence[str]) -> None:
        for name in outputs:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.old[name])
        self.names = self.found()

    def found(self) -> set[str]:
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}

    def wrong(self, outputs: Sequence[str], litter: bool) -> Iterator[str]:
        """What is neither old nor new, and what else is left."""
        for name in outputs:
            path = self.folder / name
            if not path.exists():
                yield f"{name} is gone"
            elif path.read_bytes() not in (self.old[name], self.new[name]):
                yield f"{name} is neither what it was nor what it was to be"
        for name in sorted(self.found() - self.names):
            if not litter:
                yield f"{name} is left"
            (self.folder / name).unlink()


def commands(chance: random.Random) -> tuple[Command, list[str]]:
    """A command that writes, and the files that it replaces."""
    if chance.randrange(2):
        files = [f"generated/tiny_{backend}.py" for backend in ("torch", "keras")]
        return ["build", "tiny.yaml", "-b", "all", *NEW], files
    target = chance.choice(TARGETS)
    source = ["a7.safetensors", target]
    return ["weights", "convert", *source, "--force", "--spec", "tiny.yaml", *NEW], [target]


def start(place: Place, command: Command, limit: int | None = None) -> subprocess.Popen[bytes]:
    def full() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "archc", *command],
        cwd=place.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=full,
    )


def _ended(process: subprocess.Popen[bytes], *codes: int) -> Iterator[str]:
    """Waits; says what is wrong with how the command ended."""
    try:
        _, said = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        yield "it goes on"
        return
    if process.returncode not in codes or b"Traceback" in said:
        yield f"it ended with {process.returncode}: {said.decode(errors='replace')[-4000:]}"


# ---- What befalls a command


def _wait(place: Place, process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Until some time, or until the command has begun to write."""
    if chance.randrange(2):
        time.sleep(chance.uniform(0, 1.2))
        return
    while process.poll() is None and place.found() <= place.names:
        pass
    time.sleep(chance.choice((0, 0, chance.uniform(0, 0.02))))


def _signalled(place: Place, chance: random.Random) -> Iterator[str]:
    number = chance.choice((signal.SIGTERM, signal.SIGTERM, signal.SIGKILL, signal.SIGINT))
    command, outputs = commands(chance)
    place.reset(outputs)
    process = start(place, command)
    _wait(place, process, chance)
    process.send_signal(number)
    # Before Python has come to archc's command line, a signal does what it does to Python.
    failures = [f for f in _ended(process, 0, 128 + number, -number) if not _is_early(f)]
    what = f"{number.name} to {' '.join(command)}"
    for failure in [*failures, *place.wrong(outputs, number == signal.SIGKILL)]:
        yield f"{what}: {failure}"


def _is_early(failure: str) -> bool:
    return "KeyboardInterrupt" in failure and "cli.py" not in failure


def _racing(place: Place, chance: random.Random) -> Iterator[str]:
    """Two at once, with other settings; each writes the whole of its own."""
    command, outputs = commands(chance)
    place.reset(outputs)
    other = [word.replace("a7.", "a9.").replace("classes=7", "classes=9") for word in command]
    processes = [start(place, command), start(place, other)]
    for process in processes:
        for failure in _ended(process, 0):
            yield f"a race of {' '.join(command)}: {failure}"
    for failure in place.wrong(outputs, False):
        yield f"a race of {' '.join(command)}: {failure}"


def _full(place: Place, chance: random.Random) -> Iterator[str]:
    """A disk that is full after so many bytes of a file."""
    command, outputs = commands(chance)
    place.reset(outputs)
    size = max(len(place.new[name]) for name in outputs)
    limit = chance.choice((0, 1, chance.randrange(size), size - 1, size))
    process = start(place, command, limit)
    code = 0 if limit >= size else 2
    for failure in [*_ended(process, code), *place.wrong(outputs, False)]:
        yield f"a disk full after {limit} bytes, {' '.join(command)}: {failure}"


BEFALLS: tuple[Callable[[Place, random.Random], Iterator[str]], ...] = (
    _signalled,
    _signalled,
    _racing,
    _full,
)


# ---- The campaign


def run(count: int, seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            for failure in chance.choice(BEFALLS)(place, chance):
                kept = Path(f"campaign-{seed}-{number}-kills")
                shutil.copytree(place.folder, kept, dirs_exist_ok=True)
                yield f"{kept}: {failure}"
