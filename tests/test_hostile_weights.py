"""Files of weights that are damaged on purpose, and files that say which settings they are for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archc
from archc import Net
from archc.backends.storage import Format, Opened, WeightsError
from archc.live.numeric import random_weights
from archc.weights import convert, files, guard, rules
from archc.weights.meaning import digests
from archc.weights.settings import CONVENTIONS

from .running import Run, runner

torch = pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")
safetensors = pytest.importorskip("safetensors.numpy")

SPEC = """\
archc: 1
name: Tiny
params:
  padding: {type: padding, default: same}
  epsilon: {type: float, default: 1.0e-3, above: 0}
input: {channels: 3, height: 8, width: 8}
defaults:
  conv2d: {padding: padding}
  batch_norm: {epsilon: epsilon}
network:
  - {block: conv2d, name: stem, filters: 4, kernel: 3}
  - {block: batch_norm, name: bn}
"""
GIVEN = ("--set", "padding=same", "--set", "epsilon=0.001")
limits = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such limits")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPEC)

    return runner(capsys)


@pytest.fixture
def tiny(run: Run) -> Net:
    return archc.load("tiny.yaml")


def state(net: Net) -> dict[str, Any]:
    return {k: torch.from_numpy(v.copy()) for k, v in random_weights(net.network).items()}


def written(net: Net, name: str, **settings: str) -> Path:
    """A file that archc wrote, for the settings."""
    torch.save(state(net), "first.pt")
    convert.convert(archc.load("tiny.yaml", **settings), Path("first.pt"), Path(name))
    return Path(name)


def refused(run: Run, source: str, *more: str) -> str:
    code, out, err = run("weights", "convert", source, "out.pt", "--spec", "tiny.yaml", *more)
    assert (code, out) == (2, "")
    assert not Path("out.pt").exists()
    return err


# ---- Which settings a file is for


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors", "weights.h5"])
def test_what_archc_writes_says_its_settings(ending: str, run: Run, tiny: Net) -> None:
    written(tiny, f"a.{ending}", padding="symmetric")
    said = refused(run, f"a.{ending}")
    assert said == (
        f"archc: a.{ending}: these weights are for padding=symmetric; here `padding` is same\n"
        "  = help: give --set padding=symmetric here, and to `archc build`\n"
    )
    right = ("--spec", "tiny.yaml", "--set", "padding=symmetric")
    assert run("weights", "convert", f"a.{ending}", "b.pt", *right)[0::2] == (0, "")
    assert "padding=symmetric" in refused(run, "b.pt")
    assert run("verify", "tiny.yaml", "--weights", f"a.{ending}")[0] == 2


def test_pytorch_takes_a_file_with_notes(run: Run, tiny: Net) -> None:
    path = written(tiny, "a.pt")
    theirs = torch.load(path, weights_only=True)
    rows = " ".join(f"{name}={digest}" for name, digest in digests(tiny.network).items())
    assert theirs._metadata[""]["archc"] == {
        "archc.spec": "Tiny",
        "archc.settings": "padding=same epsilon=0.001",
        "archc.conventions": "padding=same epsilon=0.001 decay=0.99",
        "archc.rows": f"1 {rows}",
    }
    model = tiny.build("torch")
    model.load_state_dict(theirs, strict=True)
    assert torch.equal(model.state_dict()["stem.weight"], state(tiny)["stem.weight"])
    torch.save(theirs, "old.pt", _use_new_zipfile_serialization=False)
    again = torch.load("old.pt", weights_only=True)
    assert again._metadata == theirs._metadata


def test_what_is_assumed_of_a_file_that_does_not_say(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    command = ("weights", "convert", "a.pt", "b.pt", "--spec", "tiny.yaml", "--force")
    said = "a.pt: warning: it does not say its settings; taken for --set padding=same"
    assert run(*command)[2] == f"{said} --set epsilon=0.001\n"
    assert run(*command, "--set", "epsilon=1e-3")[2] == f"{said}\n"
    assert run(*command, *GIVEN)[2] == ""
    verify = ("verify", "tiny.yaml", "--weights")
    assert run(*verify, "a.pt")[2].splitlines()[0] == f"{said} --set epsilon=0.001"
    assert run(*verify, "b.pt")[2] == ""


def test_settings_of_several_numbers_are_one_word(run: Run, tiny: Net) -> None:
    written(tiny, "a.pt", padding="[1, 1, 0, 0]")
    assert "for padding=[1,1,0,0]; here" in refused(run, "a.pt")
    flags = ("--spec", "tiny.yaml", "--set", "padding=[1,1,0,0]")
    assert run("weights", "convert", "a.pt", "b.pt", *flags)[0] == 0


def test_the_conventions_are_those_of_the_published_models() -> None:
    every = {name for model in rules.every().values() for name in model.needs}
    shaped = {"alpha", "width", "last", "large", "bias", "se"}  # which the tensors give away
    assert set(CONVENTIONS) == every - shaped


# ---- Notes that are none

NOTES = ["[]", "{", "3", '{"archc.settings": 1}', '{"archc.settings": "padding"}', "[" * 10**5]


def with_notes(net: Net, ending: str, text: str) -> str:
    path = written(net, f"a.{ending}")
    if ending == "keras":
        written(net, "a.weights.h5")
        with zipfile.ZipFile(path, "w") as archive:
            archive.write("a.weights.h5", "model.weights.h5")
            archive.writestr("archc.json", text)
    elif ending == "weights.h5":
        with h5py.File(path, "a") as file:
            file.attrs["archc.json"] = text[:50000]
    else:
        noted = torch.load(path, weights_only=True)
        noted._metadata[""]["archc"] = json.loads(text) if text[-1] in "}]3" else text
        torch.save(noted, path)
    return path.name


@pytest.mark.parametrize("text", NOTES)
@pytest.mark.parametrize("ending", ["pt", "weights.h5"])
def test_damaged_notes(ending: str, text: str, run: Run, tiny: Net) -> None:
    name = with_notes(tiny, ending, text)
    assert refused(run, name) == (
        f"archc: {name}: what archc noted in it is damaged\n"
        "  = help: write it anew from the weights that it was made of\n"
    )


@pytest.mark.parametrize("value", [b"\xff\xfe", [1, 2], np.zeros(3), h5py.Empty("f")])
def test_notes_that_are_no_text(value: Any, run: Run, tiny: Net) -> None:
    path = written(tiny, "a.weights.h5")
    with h5py.File(path, "a") as file:
        file.attrs["archc.json"] = value
    assert "what archc noted in it is damaged" in refused(run, path.name)


@pytest.mark.parametrize("text", [NOTES[0], NOTES[3], f'{{"a": "{"b" * 70000}"}}'])
def test_damaged_notes_of_a_keras_file(text: str, run: Run, tiny: Net) -> None:
    written(tiny, "a.weights.h5")
    with zipfile.ZipFile("a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("a.weights.h5", "model.weights.h5")
        archive.writestr("archc.json", text)
    assert "what archc noted in it is damaged" in refused(run, "a.keras")


def test_a_setting_that_a_file_forges_is_printed_in_one_line(run: Run, tiny: Net) -> None:
    arrays = random_weights(tiny.network)
    notes = {"archc.settings": "padding=\x1b[2J"}
    safetensors.save_file(arrays, "a.safetensors", notes)
    assert "padding=\\x1b[2J; here" in refused(run, "a.safetensors")


# ---- Tensors that are none


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda t: t.to_sparse(), "sparse or nested"),
        (lambda t: t.reshape(4, -1).to_sparse_csr(), "sparse or nested"),
        (lambda t: torch.nested.nested_tensor([t, t]), "sparse or nested"),
        (lambda t: t.to("meta"), "without numbers (on the device `meta`)"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "quantized"),
        (lambda t: torch._neg_view(t), "a negated view"),
        (lambda t: torch.complex(t, t).conj().imag, "a negated view"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_plain(make: Any, kind: str, run: Run, tiny: Net) -> None:
    arrays = state(tiny)
    arrays["stem.weight"] = make(arrays["stem.weight"])
    torch.save(arrays, "a.pt")
    assert refused(run, "a.pt") == (
        f"archc: a.pt: `stem.weight` is {kind}; a plain tensor belongs here\n"
        "  = help: make it dense, in memory and float32 before it is saved\n"
    )


def test_tensors_that_share_their_numbers_are_read(run: Run, tiny: Net) -> None:
    arrays = state(tiny)
    arrays["bn.weight"] = torch.full((1,), 3.0).expand(4)
    arrays["bn.bias"] = torch.arange(8.0)[::2]
    arrays["stem.weight"] = torch.nn.Parameter(arrays["stem.weight"].mT.contiguous().mT)
    torch.save(arrays, "a.pt")
    found = convert.load(tiny, Path("a.pt"))
    assert found["bn.weight"].tolist() == [3.0] * 4
    assert found["bn.bias"].tolist() == [0.0, 2.0, 4.0, 6.0]
    assert np.array_equal(found["stem.weight"], arrays["stem.weight"].detach())


def test_a_complex_tensor_is_mistyped(run: Run, tiny: Net) -> None:
    arrays = state(tiny)
    arrays["bn.bias"] = torch.complex(arrays["bn.bias"], arrays["bn.bias"]).conj()
    torch.save(arrays, "a.pt")
    assert "bn.bias is complex64, not float32" in refused(run, "a.pt")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (3, "`3`"),
        (None, "`None`"),
        ((1, 2), "a tuple"),
        (b"stem", "a bytes"),
    ],
)
def test_names_that_are_no_text(key: Any, said: str, run: Run, tiny: Net) -> None:
    torch.save({**state(tiny), key: torch.zeros(3)}, "a.pt")
    assert f"names with tensors; this holds {said} for a name\n" in refused(run, "a.pt")


@pytest.mark.parametrize("name", ["\x1b[2Jstem", "a\nb", "\u202ex", "n" * 5000])
@pytest.mark.parametrize("ending", ["pt", "safetensors", "weights.h5"])
def test_names_reach_the_terminal_printable(ending: str, name: str, run: Run, tiny: Net) -> None:
    arrays = state(tiny)
    arrays[name] = torch.zeros(3)
    if ending == "pt":
        torch.save(arrays, "a.pt")
    elif ending == "safetensors":
        safetensors.save_file({k: v.numpy() for k, v in arrays.items()}, "a.safetensors")
    else:
        with h5py.File(written(tiny, "a.weights.h5"), "a") as file:
            group = file.create_group("layers/conv2d_7/vars")
            group.attrs["name"] = name
            group["0"] = np.zeros(3, "f4")
    said = refused(run, f"a.{ending}")
    assert all(c.isprintable() for c in said.replace("\n", ""))
    assert len(said.splitlines()) == 3
    assert len(said) < 400


# ---- HDF5


def damaged(net: Net, change: Callable[[Any], None]) -> str:
    path = written(net, "a.weights.h5")
    with h5py.File(path, "a") as file:
        change(file)
    return path.name


def stem(file: Any) -> Any:
    groups = (group["vars"] for group in file["layers"].values())
    return next(group for group in groups if group.attrs["name"] == "stem")


def test_weights_that_are_one_array(run: Run, tiny: Net) -> None:
    name = damaged(tiny, lambda file: file.create_dataset("model_weights", data=np.zeros(3)))
    assert "truncated or corrupt" in refused(run, name)


def test_an_array_that_lies_about_its_type(run: Run, tiny: Net) -> None:
    def lie(file: Any) -> None:
        group = stem(file)
        del group["1"]
        group.create_dataset("1", data=np.arange(4, dtype="i4")).attrs["dtype"] = "float32"

    assert "stem/bias is int32, not float32" in refused(run, damaged(tiny, lie))


def test_numbers_in_the_other_order_of_bytes_are_read(run: Run, tiny: Net) -> None:
    def turn(file: Any) -> None:
        group = stem(file)
        del group["1"]
        group.create_dataset("1", data=np.arange(4, dtype=">f4"))

    path = Path(damaged(tiny, turn))
    assert convert.load(tiny, path)["stem.bias"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_compressed_array_is_read(run: Run, tiny: Net) -> None:
    def pack(file: Any) -> None:
        group = stem(file)
        del group["1"]
        group.create_dataset("1", data=np.arange(4, dtype="f4"), compression="gzip")

    path = Path(damaged(tiny, pack))
    assert convert.load(tiny, path)["stem.bias"].tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("place", ["model_weights", "stem", "stem/kernel:0"])
def test_links_to_other_files_are_not_followed(place: str, run: Run, tiny: Net) -> None:
    with h5py.File("secret.h5", "w") as secret:
        secret["x"] = np.zeros(3, "f4")
    with h5py.File("a.h5", "w") as file:
        file.attrs["layer_names"] = [b"stem"]
        if place != "stem":
            file.create_group("stem").attrs["weight_names"] = [b"stem/kernel:0"]
        top, _, last = place.rpartition("/")
        parent = file["stem"].create_group("stem") if top else file
        parent[last] = h5py.ExternalLink("secret.h5", "/x")
    assert refused(run, "a.h5") == (f"archc: a.h5: refused, as `{place}` is kept in another file\n")


# ---- Size, time, memory, and what is no file


def test_a_keras_file_that_unpacks_to_very_much(run: Run, tiny: Net, tmp_path: Path) -> None:
    with (
        zipfile.ZipFile("a.keras", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("model.weights.h5", "w", force_zip64=True) as member,
    ):
        for _ in range(400):
            member.write(bytes(2**20))
    assert Path("a.keras").stat().st_size < 2**20
    said = "archc: a.keras: refused: it holds 400.0 MiB, and the network's weights take 0.0 MiB\n"
    assert refused(run, "a.keras") == said


@pytest.mark.parametrize("ending", ["pt", "safetensors", "weights.h5", "keras"])
def test_a_file_far_too_large_is_not_read(ending: str, run: Run) -> None:
    with open(f"a.{ending}", "wb") as file:
        file.truncate(2**40)
    assert "refused: it holds 1,048,576.0 MiB" in refused(run, f"a.{ending}")


@contextmanager
def looping(path: Path, need: int) -> Iterator[Opened]:
    while True:
        pass
    yield Opened({}, {})


@contextmanager
def greedy(path: Path, need: int) -> Iterator[Opened]:
    kept = [bytearray(2**26) for _ in range(100)]
    yield Opened({}, {str(len(kept)): ""})


@contextmanager
def crashing(path: Path, need: int) -> Iterator[Opened]:
    os.kill(os.getpid(), signal.SIGSEGV)
    yield Opened({}, {})


@limits
@pytest.mark.parametrize(
    ("read", "seconds", "why"),
    [
        (looping, 1, "reading it takes too long"),
        (greedy, 20, "reading it takes far more memory than 1.0 MiB of weights"),
        (crashing, 20, "reading it crashes"),
    ],
)
def test_reading_is_limited(
    read: Any, seconds: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SECONDS", seconds)
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")
    format = Format("file", lambda: None, read, None)
    with pytest.raises(WeightsError) as caught, files.opened(path, format, 2**20):
        pass
    assert str(caught.value) == f"{path}: refused, as {why}: it is corrupt"


LOADING = """
import sys
from archc.backends import WeightsError
from archc.weights.convert import load
import archc
try:
    load(archc.load("tiny.yaml"), __import__("pathlib").Path(sys.argv[1]))
except WeightsError as error:
    print(error)
"""


@limits
def test_a_pickle_that_asks_for_much_memory(run: Run) -> None:
    size = (2 * 10**9).to_bytes(4, "little")
    Path("a.pt").write_bytes(b"\x80\x02cbuiltins\nbytearray\nJ" + size + b"\x85R.")
    done = subprocess.run([sys.executable, "-c", LOADING, "a.pt"], capture_output=True, text=True)
    assert done.stderr == ""
    assert "far more memory than 0.0 MiB" in done.stdout or "corrupt" in done.stdout


@limits
def test_who_starts_archc_may_ignore_its_children(run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    arguments = ["weights", "convert", "a.pt", "b.pt", "--spec", "tiny.yaml", *GIVEN]
    done = subprocess.run(
        [sys.executable, "-m", "archc", *arguments],
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("ending", ["pt", "safetensors", "weights.h5", "keras"])
def test_what_is_no_file_is_not_opened(ending: str, run: Run) -> None:
    name = f"a.{ending}"
    os.mkfifo(name)
    kind = "this is a named pipe; a regular file belongs here"
    assert refused(run, name) == f"archc: {name}: {kind}\n"
    os.unlink(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        assert refused(run, name) == f"archc: {name}: {kind.replace('named pipe', 'socket')}\n"


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_a_destination_that_is_no_file(make: Any, kind: str, run: Run, tiny: Net) -> None:
    torch.save(state(tiny), "a.pt")
    make("b.pt")
    command = ("weights", "convert", "a.pt", "b.pt", "--spec", "tiny.yaml", *GIVEN, "--force")
    said = f"archc: b.pt: cannot be written: this is {kind}; a regular file belongs here\n"
    assert run(*command) == (2, "", said)
