"""Scripts of training as somebody runs them: from a terminal, on images of their own."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import recipe_cases as cases
from tests.running import exit_code
from tests.test_recipes import NETWORK

import archc
from archc.backends import Name
from archc.training.script import writers

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
ENDS = {"torch": "weights.pt", "keras": "model.weights.h5"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts of both backends for a network with dropout, and a mean of its weights."""
    (tmp_path / "tiny.yaml").write_text(NETWORK)
    parts = (cases.OPTIMIZERS["rmsprop_as_tensorflow"], cases.SCHEDULES["cosine"])
    rest = {**cases.REST["mixed"], "ema": cases.REST["clipped"]["ema"]}
    cases.written(tmp_path, *parts, rest, epochs=3, batch_size=4)
    monkeypatch.chdir(tmp_path)
    assert exit_code("build", "tiny.yaml", "-b", "all", "--recipe", "case.yaml", "-o", ".") == 0
    random = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path


def _run(folder: Path, backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"train_tiny_case_{backend}.py", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("backend", writers())
def test_a_run_that_is_cut_short_goes_on_to_the_very_same_weights(
    backend: str, folder: Path
) -> None:
    whole = _run(folder, backend, "--data", "images", "--validation", "images", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    with (folder / "whole" / "log.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    script = folder / f"train_tiny_case_{backend}.py"
    text = script.read_text()
    total = "            training.total +="
    stop = "            if training.step == 4:\n                stops.append(2)\n"
    cut = text.replace(total, f"{stop}                stopped = True\n{total}")
    assert cut != text
    script.write_text(cut)
    first = _run(folder, backend, "--data", "images", "--validation", "images", "--out", "cut")
    assert first.returncode == 1
    assert "stopped at step 4; go on with --resume" in first.stderr
    script.write_text(text)
    rest = ("--validation", "images", "--out", "cut", "--resume")
    second = _run(folder, backend, "--data", "images", *rest)
    assert second.returncode == 0, second.stderr
    logs = [(folder / name / "log.csv").read_text() for name in ("cut", "whole")]
    assert logs[0] == logs[1]
    ours, theirs = (_arrays(folder / name / ENDS[backend]) for name in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert np.array_equal(array, theirs[name]), name


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".pt":
        import torch

        return {name: value.numpy() for name, value in torch.load(path).items()}
    import h5py

    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and "seed" not in name:
                found[name] = item[()]

        file.visititems(visit)
    return found


def test_ctrl_c_saves(folder: Path) -> None:
    script = folder / "train_tiny_case_torch.py"
    script.write_text(script.read_text().replace("EPOCHS = 3", "EPOCHS = 100000"))
    command = [sys.executable, script.name, "--data", "images", "--out", "run"]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 120
        while not (folder / "run" / "log.csv").exists() and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "go on with --resume" in said
    assert "Traceback" not in said
    assert (folder / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize("backend", writers())
def test_what_cannot_be_trained_on_is_said(backend: str, folder: Path) -> None:
    (folder / "one" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "one" / "cat" / "1.png")
    broken = folder / "broken"
    for name in ("a", "b"):
        (broken / name).mkdir(parents=True)
        for number in range(2):
            (broken / name / f"{number}.png").write_bytes(b"no image")
    for name in ("cat", "dog"):
        (folder / "some" / name).mkdir(parents=True)
        (folder / "more" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "more" / name / "1.png")
    Image.new("RGB", (8, 8)).save(folder / "some" / "cat" / "1.png")
    (folder / "text" / "cat").mkdir(parents=True)
    (folder / "text" / "cat" / "notes.txt").write_text("no image")
    (folder / "more" / "ant").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "more" / "ant" / "1.png")
    (folder / "empty").mkdir()
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (8, 12, 12), dtype=np.uint8)
    np.savez(folder / "floats.npz", images=grey / 255, labels=np.arange(8) % 2)
    np.savez(folder / "fewer.npz", images=grey, labels=np.arange(7) % 2)
    np.savez(folder / "halves.npz", images=grey, labels=np.arange(8) / 2)
    np.savez(folder / "below.npz", images=grey, labels=np.arange(8) % 2 - 1)
    (folder / "cut.npz").write_bytes((folder / "below.npz").read_bytes()[:50])
    (folder / "nothing.npz").write_bytes(b"")
    np.savez(folder / "from_one.npz", images=grey, labels=np.arange(8) % 2 + 1)
    images = ("--data", "images")
    ours = {
        ("--data", "one"): "fewer than two classes: nothing to tell apart",
        ("--data", "nowhere"): "nowhere cannot be read",
        ("--data", "broken"): "0.png is no image",
        ("--data", "some"): "no image is of the class dog",
        ("--data", "text"): "notes.txt is no image",
        ("--data", "empty"): "empty holds no images",
        ("--data", "floats.npz"): "`images` are not (n, height, width[, 3]) of 0 to 255",
        ("--data", "fewer.npz"): "`labels` are not one integer for each image",
        ("--data", "halves.npz"): "`labels` are not one integer for each image",
        ("--data", "below.npz"): "a label is below 0",
        ("--data", "cut.npz"): "cut.npz cannot be read",
        ("--data", "nothing.npz"): "nothing.npz cannot be read",
        ("--data", "from_one.npz"): "no image is of the class 0",
        (*images, "--batch-size", "99"): "12 images do not fill a batch",
        (*images, "--resume", "--out", "new"): "No such file or directory",
        (*images, "--validation", "more"): "--validation has a class that --data has not: ant",
        (*images, "--validation", "empty"): "empty holds no images",
        (*images, "--out", "tiny.yaml"): "--out is a folder, and tiny.yaml is a file",
        (*images, "--weights", "nowhere.pt"): "nowhere.pt cannot be",
        (*images, "--weights", "fewer.npz"): "fewer.npz cannot be",
    }
    for arguments, expected in ours.items():
        run = _run(folder, backend, *arguments)
        assert run.returncode == 1, run.stderr
        assert expected in run.stderr
        assert "Traceback" not in run.stderr


def test_labels_of_validation_go_by_the_names_of_classes(folder: Path) -> None:
    """Here `read` and `relabelled` are called as a script does."""
    sys.path.insert(0, str(folder))
    try:
        script = import_module("train_tiny_case_torch")
    finally:
        sys.path.remove(str(folder))
    shutil.rmtree(folder / "images" / "cat")
    (folder / "images" / ".hidden").mkdir()
    (folder / "images" / "dog" / ".DS_Store").write_text("hidden")
    found = script.relabelled(script.read(str(folder / "images")), ["cat", "dog", "owl"])
    assert found.labels.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert found.classes == ["cat", "dog", "owl"]
    many = script.numbered(np.zeros((2, 4, 4), np.uint8), np.array([0, 255], np.uint8))
    assert len(many.classes) == 256
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(folder / "deep.png")
    ramp = np.asarray(script.opened(folder / "deep.png"))[..., 0]
    assert np.array_equal(ramp, deep // 256)


def test_a_number_of_classes_that_a_recipe_sets(folder: Path) -> None:
    """There may be fewer of them in the images, and not more."""
    parts = (cases.OPTIMIZERS["sgd"], cases.REST["mixed"], {"set": {"classes": 4}})
    cases.written(folder, *parts, epochs=1, batch_size=4)
    assert exit_code("build", "tiny.yaml", "-b", "torch", "--recipe", "case.yaml", "-o", ".") == 0
    run = _run(folder, "torch", "--data", "images", "--validation", "images", "--out", "run")
    assert run.returncode == 0, run.stderr
    assert "warning: --validation is what is trained on" in run.stderr
    assert _arrays(folder / "run" / "weights.pt")["logits.bias"].shape == (4,)
    for name in ("eft", "gnu"):
        shutil.copytree(folder / "images" / "cat", folder / "images" / name)
    more = _run(folder, "torch", "--data", "images", "--out", "more")
    assert "5 classes, and the network tells 4 apart" in more.stderr


def test_what_a_killed_process_left_is_written_anew(folder: Path) -> None:
    """Weights of a step that no checkpoint knows of, half written."""
    text = (folder / "train_tiny_case_keras.py").read_text()
    left = folder / "run" / "checkpoint" / "9.weights.h5"  # of the last step
    kill = "        latest.write_text(json.dumps(state))"
    dying = f"        if self.step == 9:\n            os.kill(os.getpid(), signal.SIGKILL)\n{kill}"
    (folder / "train_tiny_case_keras.py").write_text(text.replace(kill, dying))
    killed = _run(folder, "keras", "--data", "images", "--out", "run")
    assert killed.returncode == -signal.SIGKILL
    left.write_bytes(left.read_bytes()[:100])
    (folder / "train_tiny_case_keras.py").write_text(text)
    run = _run(folder, "keras", "--data", "images", "--out", "run", "--resume")
    assert run.returncode == 0, run.stderr
    again = _run(folder, "keras", "--data", "images", "--out", "run", "--resume")
    assert again.returncode == 0, again.stderr
    assert left.exists()


def test_another_run_is_not_lost(folder: Path) -> None:
    assert _run(folder, "torch", "--data", "images", "--out", "run").returncode == 0
    again = _run(folder, "torch", "--data", "images", "--out", "run")
    assert "run holds a run: go on with --resume, or name another --out" in again.stderr
    for option, said in {
        "--batch-size 6": "batch size 4, not 6",
        "--seed 7": "seed 1, not 7",
    }.items():
        other = _run(
            folder, "torch", "--data", "images", "--out", "run", "--resume", *option.split()
        )
        assert other.returncode == 1
        assert f"checkpoint.pt is of a run with {said}" in other.stderr
    shutil.copytree(folder / "images", folder / "others")
    (folder / "others" / "cat").rename(folder / "others" / "lynx")
    others = _run(folder, "torch", "--data", "others", "--out", "run", "--resume")
    assert "is of a run with classes" in others.stderr
    (folder / "run" / "checkpoint.pt").write_bytes(b"PK")
    broken = _run(folder, "torch", "--data", "images", "--out", "run", "--resume")
    assert "checkpoint.pt cannot be read" in broken.stderr
    assert (folder / "run" / "classes.txt").read_text() == "cat\ndog\nowl\n"


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(folder: Path) -> None:
    assert _run(folder, "torch", "--data", "images", "--out", "run").returncode == 0
    before = (folder / "run" / "checkpoint.pt").read_bytes()
    script = folder / "train_tiny_case_torch.py"
    text = script.read_text()
    script.write_text(
        text.replace("EPOCHS = 3", "EPOCHS = 9").replace(
            "label_smoothing=0.1)", "label_smoothing=0.1) * math.nan"
        )
    )
    run = _run(folder, "torch", "--data", "images", "--out", "run", "--resume")
    assert run.returncode == 1
    assert "the loss is nan in epoch 4, step 1" in run.stderr
    assert (folder / "run" / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_of_another_recipe_is_refused(folder: Path) -> None:
    assert _run(folder, "torch", "--data", "images", "--out", "run").returncode == 0
    parts = (cases.OPTIMIZERS["sgd"], cases.REST["plain"])
    cases.written(folder, *parts, epochs=3)
    assert exit_code("build", "tiny.yaml", "-b", "all", "--recipe", "case.yaml", "-o", ".") == 0
    run = _run(folder, "torch", "--data", "images", "--out", "run", "--resume")
    assert run.returncode == 1
    assert "is of a run with recipe case" in run.stderr


def test_two_processes_train_one_model(folder: Path) -> None:
    parts = (cases.OPTIMIZERS["sgd"], cases.REST["plain"], {"set": {"dropout": 0}})
    cases.written(folder, *parts, epochs=1, freeze=["norm", "norm_2"])
    assert exit_code("build", "tiny.yaml", "-b", "torch", "--recipe", "case.yaml", "-o", ".") == 0
    alone = _run(folder, "torch", "--data", "images", "--out", "alone")
    assert alone.returncode == 0, alone.stderr
    together = _two_processes(folder, "--data", "images", "--out", "both")
    assert together.returncode == 0, together.stderr
    ours, theirs = (_arrays(folder / name / "weights.pt") for name in ("both", "alone"))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-6, err_msg=name)
    losses = [_losses(folder / name / "log.csv") for name in ("both", "alone")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    odd = _two_processes(folder, "--data", "images", "--batch-size", "3")
    assert "2 processes cannot share 3 images" in odd.stderr


def _two_processes(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Of the script for PyTorch."""
    module = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*module, "train_tiny_case_torch.py", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def _losses(path: Path) -> list[float]:
    with path.open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("backend", writers())
def test_what_is_frozen_stays_as_it_is_bit_for_bit(backend: Name, folder: Path) -> None:
    net = archc.load(folder / "tiny.yaml", classes=3)
    start = folder / {"torch": "start.pt", "keras": "start.weights.h5"}[backend]
    model = net.build(backend)
    if backend == "torch":
        import torch

        torch.save(model.state_dict(), start)
    else:
        model.save_weights(start)
    parts = (cases.OPTIMIZERS["sgd_as_keras"], cases.DECAYS["coupled"], cases.REST["plain"])
    cases.written(folder, *parts, freeze=["stem", "norm*", "depthwise"], epochs=1)
    assert exit_code("build", "tiny.yaml", "-b", "all", "--recipe", "case.yaml", "-o", ".") == 0
    run = _run(folder, backend, "--data", "images", "--weights", start.name, "--out", "run")
    assert run.returncode == 0, run.stderr
    before, after = _arrays(start), _arrays(folder / "run" / ENDS[backend])
    frozen = ("stem", "norm", "depthwise.")  # and Keras's names of these layers
    kinds = ("conv2d/", "batch_normalization", "depthwise_conv2d")
    for name, array in before.items():
        stays = name.startswith(frozen) or name.startswith(tuple(f"layers/{k}" for k in kinds))
        counts = name.endswith("num_batches_tracked")
        assert np.array_equal(array, after[name]) == (stays or counts), name


def test_files_of_cifar(folder: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (40, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(40) % 10
    (folder / "cifar").mkdir()
    rows.tofile(folder / "cifar" / "data_batch_1.bin")
    (folder / "tests").mkdir()
    rows[:7].tofile(folder / "tests" / "test_batch.bin")
    parts = (cases.OPTIMIZERS["sgd"], cases.REST["plain"])
    cases.written(folder, *parts, epochs=1, batch_size=8)
    arguments = ("build", "lenet_cifar", "-b", "torch", "--recipe", "case.yaml", "-o", ".")
    assert exit_code(*arguments) == 0
    command = [sys.executable, "train_lenet_cifar_case_torch.py", "--data", "cifar"]
    command += ["--validation", "tests"]
    run = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_two_processes_of_keras_train_one_model(folder: Path) -> None:
    parts = (cases.OPTIMIZERS["rmsprop_as_tensorflow"], cases.REST["plain"])
    cases.written(folder, *parts, epochs=1, set={"dropout": 0})
    assert exit_code("build", "tiny.yaml", "-b", "keras", "--recipe", "case.yaml", "-o", ".") == 0
    jax = {**ENVIRONMENT, "KERAS_BACKEND": "jax", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    several = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    command = [sys.executable, "train_tiny_case_keras.py", "--data", "images", "--out"]

    def start(out: str, **more: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*command, out], cwd=folder, env={**jax, **more}, stderr=pipe, text=True
        )

    runs = [
        start("alone"),
        *(start("both", **several, KERAS_DISTRIBUTION_PROCESS_ID=i) for i in "01"),
    ]
    for run in runs:
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said
    ours, theirs = (_arrays(folder / name / ENDS["keras"]) for name in ("both", "alone"))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["rmsprop_as_tensorflow", "adam_as_pytorch"])
def test_keras_trains_on_pytorch_too(optimizer: str, folder: Path) -> None:
    """What is of archc is written in Keras's own operations."""
    parts = (cases.OPTIMIZERS[optimizer], cases.DECAYS["coupled_but"], cases.REST["clipped"])
    cases.written(folder, *parts, cases.SCHEDULES["each_epoch"], epochs=2)
    assert exit_code("build", "tiny.yaml", "-b", "keras", "--recipe", "case.yaml", "-o", ".") == 0
    command = [sys.executable, "train_tiny_case_keras.py", "--data", "images"]
    environment = {**ENVIRONMENT, "KERAS_BACKEND": "torch"}
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
