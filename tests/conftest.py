"""What the tests share: golden files, and the expectations of the shipped networks."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "specs"
EXPECTED = ROOT / "tests" / "expected"
QUICK = frozenset(
    """
    catalogue docs elaborate expressions interpreter links meaning messages networks numeric padding
    pipeline printer problems reader rows schema variants warnings
    """.split()  # noqa: SIM905
)
"""What `pytest -m quick` runs, by file: the language, and what it means in generated code."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = (
        [] if config.getoption("--full") else [i for i in items if i.get_closest_marker("full")]
    )
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.path.stem.removeprefix("test_") in QUICK:
            item.add_marker(pytest.mark.quick)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")
    parser.addoption("--full", action="store_true", help="also every larger network of a family")


@pytest.fixture(autouse=True)
def one_large_network_at_a_time(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Workers take turns with what needs gigabytes."""
    if request.node.get_closest_marker("large") is None:
        yield
        return
    from filelock import FileLock

    with FileLock(tmp_path_factory.getbasetemp().parent / "large.lock"):
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Asserts that a file holds a text; rewrites the file under `--update-golden`."""

    def check(path: Path, text: str) -> None:
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        if request.config.getoption("--update-golden"):
            if text != known:
                path.write_text(text, encoding="utf-8")
        elif text != known:
            lines = (part.splitlines() for part in (known, text))
            diff = difflib.unified_diff(*lines, path.name, "now", lineterm="")
            pytest.fail("\n".join([*diff, "", "if that is right: pytest --update-golden"]), False)

    return check


@dataclass(frozen=True)
class Expectation:
    """What is known of one network at one choice of its parameters, and from where."""

    spec: Path
    settings: Mapping[str, object]
    source: str
    output: tuple[int, ...]
    trainable: int
    total: int
    macs: int | None
    rows: Mapping[str, tuple[int, ...]]
    """Output shapes by the name of the row; only some rows are given."""

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        return "-".join([self.spec.stem, *settings])


def expectations() -> Iterator[Expectation]:
    """Every case of every file in tests/expected."""
    for path in sorted(EXPECTED.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]:
            yield Expectation(
                SPECS / path.name,
                case.get("set", {}),
                case["source"],
                tuple(case["output"]),
                case["params"]["trainable"],
                case["params"]["total"],
                case.get("macs"),
                {name: tuple(shape) for name, shape in case.get("rows", {}).items()},
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes an `expectation` runs once for each of them."""
    if "expectation" in metafunc.fixturenames:
        metafunc.parametrize("expectation", list(expectations()), ids=str)
