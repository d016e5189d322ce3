"""What may be a name: of a network, block, step, row, parameter or tap."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from archc.compiler.language.expressions import FUNCTIONS
from archc.compiler.language.problems import Invalid, quote

MAX_NAME = 64
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

INPUT = "input"
"""What a sole input is called."""

# Words of the expression language, and those that generated code gives a meaning of its own.
WORDS = frozenset({"none", "true", "false", "self", *FUNCTIONS})

# A fixed list, since the running Python may have more of them, and a debugger adds its own: names
# that are generated hang on it. A test compares it with Python's.
BUILTINS = frozenset(
    """
    abs aiter all anext any ArithmeticError ascii AssertionError AttributeError BaseException
    BaseExceptionGroup bin BlockingIOError bool breakpoint BrokenPipeError BufferError bytearray
    bytes BytesWarning callable ChildProcessError chr classmethod compile complex
    ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError copyright
    credits delattr DeprecationWarning dict dir divmod Ellipsis EncodingWarning enumerate
    EnvironmentError EOFError eval Exception ExceptionGroup exec exit FileExistsError
    FileNotFoundError filter float FloatingPointError format frozenset FutureWarning
    GeneratorExit getattr globals hasattr hash help hex id ImportError ImportWarning
    IndentationError IndexError input int InterruptedError IOError IsADirectoryError isinstance
    issubclass iter KeyboardInterrupt KeyError len license list locals LookupError map max
    MemoryError memoryview min ModuleNotFoundError NameError next NotADirectoryError
    NotImplemented NotImplementedError object oct open ord OSError OverflowError
    PendingDeprecationWarning PermissionError pow print ProcessLookupError property
    PythonFinalizationError quit range RecursionError ReferenceError repr ResourceWarning
    reversed round RuntimeError RuntimeWarning set setattr slice sorted staticmethod
    StopAsyncIteration StopIteration str sum super SyntaxError SyntaxWarning SystemError
    SystemExit TabError TimeoutError tuple type TypeError UnboundLocalError UnicodeDecodeError
    UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError
    vars Warning WindowsError ZeroDivisionError zip
    """.split()  # noqa: SIM905
)

BACKENDS = Path(__file__).resolve().parents[2] / "backends"
"""The folders of the backends that come with archc. Names that others take are refused where their
code is written: a spec means the same wherever it is read."""


class Taken(NamedTuple):
    """Names that generated code takes, so that nothing in a spec may have them."""

    code: frozenset[str]
    """No model, kept parameter or input: code uses them where it uses these, too."""
    attributes: Mapping[str, str]
    """No layer, as it would hide an attribute; with what has it."""


@cache
def taken(folder: Path) -> Taken:
    """What the code of a backend takes, as `names.yaml` in its folder says."""
    path = folder / "names.yaml"
    if not path.exists():
        return Taken(frozenset(), {})
    said = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    code = said["code"].split()
    if "helpers" in said:
        helpers = (folder / said["helpers"]).read_text(encoding="utf-8")
        code += re.findall(r"^(?:class|def) (\w+)", helpers, re.MULTILINE)
    attributes = said.get("attributes", {"names": "", "of": ""})
    owner = str(attributes["of"])
    return Taken(frozenset(code), dict.fromkeys(attributes["names"].split(), owner))


@cache
def taken_by_any() -> Taken:
    """What the code of some backend takes."""
    every = [taken(path.parent) for path in sorted(BACKENDS.glob("*/names.yaml"))]
    code = frozenset[str]().union(*(each.code for each in every))
    return Taken(code, {name: of for each in every for name, of in each.attributes.items()})


def check_name(text: str) -> str:
    """`text` if it may be a name. Raises `Invalid` (E013)."""
    if not text:
        raise Invalid("E013", "an empty text where a name belongs")
    if not text.isidentifier() or not text.isascii():
        hint = "use letters, digits and underscores, and no digit first"
        raise Invalid("E013", f"{quote(text)} is not a name", hint)
    if keyword.iskeyword(text) or text in WORDS:
        raise Invalid("E013", f"`{text}` is a reserved word", f"try `{text}_`")
    if text.startswith("_"):
        raise Invalid("E013", f"`{text}` starts with an underscore", "start it with a letter")
    if len(text) > MAX_NAME:
        raise Invalid("E013", f"{quote(text)} is longer than {MAX_NAME} characters")
    return text


def check_model_name(text: str) -> str:
    """`text` if a network may be called so. Raises `Invalid` (E013)."""
    check_name(text)
    if text in BUILTINS:
        message = f"`{text}` cannot name a network: it is a word of Python's"
        raise Invalid("E013", message, f"try `{text}_`")
    return check_argument_name(text, "a network")


def check_argument_name(text: str, what: str = "a kept parameter") -> str:
    """`text` if `what` may be called so beside the names of generated code. Raises `Invalid`
    (E013)."""
    if text in taken_by_any().code:
        message = f"`{text}` cannot name {what}: generated code uses the name itself"
        raise Invalid("E013", message, f"try `{text}_`")
    return text


def check_input_name(text: str) -> str:
    """`text` if one of several inputs may be called so. Raises `Invalid` (E013)."""
    return check_argument_name(check_name(text), "an input")


def check_module_name(text: str) -> str:
    """`text` if a step or a row may be called so. Raises `Invalid` (E013)."""
    check_name(text)
    if (owner := taken_by_any().attributes.get(text)) is not None:
        message = f"`{text}` cannot name a layer: {owner} have an attribute of that name"
        raise Invalid("E013", message, f"try `{text}_layer`")
    return text
