"""Random specs that `check` accepts: rows, tables, blocks, expressions and variants.

A spec grows by proposals: a block, a row, a table. What the compiler refuses is dropped, so nothing
here knows about shapes, and much of what is proposed is there to be nearly right. Names come from a
stock of their own: the same seed with another stock gives the same network under other names.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from archc.compiler.language.problems import SpecError
from archc.compiler.language.values import ACTIVATIONS, INITIALIZERS, INTERPOLATIONS
from archc.compiler.pipeline import compile_network

Rows = list[dict[str, Any]]
DOCS = ("as in the paper", "x + 1", "~", "12", 'It\'s "so" # [p. 4], {x}', '""" ends in \\')
"""What may be said of a row or a step."""
NETWORK = "net.yaml"
BASE = "base.yaml"


def plain_names(kind: str) -> Iterator[str]:
    """`row1`, `row2`, ..."""
    number = 0
    while True:
        number += 1
        yield f"{kind}{number}"


Stock = Callable[[str], Iterator[str]]
"""Names for each kind of thing: blocks, rows, steps, inputs, params, kept parameters and lets."""


STARTS = (
    "zeros",
    "ones",
    "constant(0.5)",
    "normal(0.1)",
    "normal(0.1, 0.5)",
    "truncated_normal(0.2)",
    "uniform(-1, 2)",
)
"""Initializers of any array."""
SCALED = (
    "variance_scaling(2, fan_out, normal, torch)",
    "variance_scaling(2, fan_out, truncated_normal, per_group)",
    "variance_scaling(1 / 3, fan_in, uniform, torch)",
    "variance_scaling(1.5, fan_avg, uniform)",
)
"""Initializers of kernels, and of the biases beside them."""


@dataclass
class Scope:
    """What an expression may mention."""

    ints: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    floats: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)


class Maker:
    """Makes one spec in a folder."""

    def __init__(self, seed: object, folder: Path, stock: Stock = plain_names) -> None:
        self.random = random.Random(str(seed))
        self.folder = folder
        self.stock = stock
        self.stocks: dict[str, Iterator[str]] = {}
        self.blocks: dict[str, dict[str, Any]] = {}
        self.acts: list[str] = []
        """Blocks that serve as activations."""
        self.spec: dict[str, Any] = {"archc": 1, "name": "Net"}
        self.rows: Rows = []

    def name(self, kind: str) -> str:
        return next(self.stocks.setdefault(kind, self.stock(kind)))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    # ---------------------------------------------------------------------------- whole specs

    def make(self) -> Path:
        """The file of a spec that is accepted, with what it uses beside it."""
        size = {"channels": self.pick(1, 2, 3, 4, 8), **self.sides()}
        self.spec |= {"params": {}, "let": {}}
        self.parameters()
        if self.chance(0.2):
            self.several_inputs(size)
        else:
            self.spec["input"] = size
        for _ in range(self.pick(0, 1, 2, 3)):
            self.propose_block()
        for _ in range(self.pick(3, 5, 8)):
            for _ in range(4):
                if self.propose_rows(self.entry()):
                    break
        if not self.rows:
            self.propose_rows([{"block": "conv2d", "filters": 4, "kernel": 1}])
        for propose in (
            self.propose_defaults,
            self.propose_output_stride,
            self.propose_end,
            self.propose_variant,
        ):
            if self.chance(0.5):
                propose()
        return self.folder / NETWORK

    def several_inputs(self, size: dict[str, int]) -> None:
        """Two maps and perhaps a vector, and rows that take from them."""
        left, right, side = (self.name("given") for _ in range(3))
        self.spec["inputs"] = {left: size, right: {**size, "channels": self.pick(1, 2, 5)}}
        filters, names = self.pick(2, 4), [self.name("row"), self.name("row")]
        pairs = zip(names, (left, right), strict=True)
        self.rows = [
            {"block": "conv2d", "name": name, "filters": filters, "kernel": 3, "from": source}
            for name, source in pairs
        ]
        if self.chance(0.5):
            self.spec["inputs"][side] = {"channels": 3}
            dense = {"block": "dense", "name": self.name("row"), "units": 4, "from": side}
            self.rows.append({**dense, "output": self.name("output")})
        join = {"block": self.pick("add", "concat", "subtract"), "name": self.name("row")}
        self.rows.append({**join, "from": self.pick(names, names[::-1])})

    def sides(self) -> dict[str, int]:
        return {key: self.pick(7, 8, 9, 12, 16, 17) for key in ("height", "width")}

    def written(self, rows: Rows | None = None, **more: Any) -> dict[str, Any]:
        spec = {**self.spec, **more}
        spec["network"] = self.rows if rows is None else rows
        spec["blocks"] = more.get("blocks", self.blocks)
        return {key: value for key, value in spec.items() if value != {}}

    def accepted(self, spec: dict[str, Any]) -> bool:
        """Writes the spec; whether it comes to a network. Leaves the file as it was if not."""
        path = self.folder / NETWORK
        before = path.read_text(encoding="utf-8") if path.exists() else None
        path.write_text(text(spec), encoding="utf-8")
        try:
            compile_network(path)
        except SpecError:
            if before is not None:
                path.write_text(before, encoding="utf-8")
            return False
        return True

    def propose_rows(self, rows: Rows) -> bool:
        if self.accepted(self.written([*self.rows, *rows])):
            self.rows = [*self.rows, *rows]
            return True
        return False

    # ------------------------------------------------------------------------------ parameters

    def parameters(self) -> None:
        kinds = {
            "int": lambda: {"type": "int", "default": self.pick(1, 2, 3, 4, 6)},
            "float": lambda: {"type": "float", "default": self.pick(0.5, 1.0, 1.5, 2)},
            "bool": lambda: {"type": "bool", "default": self.pick("true", "false")},
            "activation": lambda: {"type": "activation", "default": self.word(ACTIVATIONS)},
            "padding": lambda: {"type": "padding", "default": self.pick("same", "symmetric")},
            "size": lambda: {"type": "size", "default": self.pick(1, 3, [1, 3], [3, 3])},
        }
        for _ in range(self.pick(0, 1, 3, 4)):
            kind = self.pick(*kinds)
            given = kinds[kind]()
            keep = self.chance(0.3)
            name = self.name("kept" if keep else "param")
            self.spec["params"][name] = given | ({"keep": "true"} if keep else {})
        scope = self.network_scope()
        for _ in range(self.pick(0, 0, 1, 2)):
            self.spec["let"][self.name("let")] = self.let(scope)

    def of_type(self, kind: str, kept: bool = True) -> list[str]:
        params = self.spec["params"].items()
        return [n for n, p in params if p["type"] == kind and (kept or "keep" not in p)]

    def network_scope(self, kept: bool = False) -> Scope:
        return Scope(
            [*self.of_type("int", kept), *self.spec["let"]],
            self.of_type("bool", kept),
            self.of_type("float", kept),
            self.of_type("size", kept),
        )

    # ----------------------------------------------------------------------------- expressions

    def word(self, words: Iterable[str]) -> str:
        return str(self.random.choice(sorted(words)))

    def int(self, scope: Scope, depth: int = 1) -> Any:
        """A small positive number, mostly."""
        if depth == 0 or self.chance(0.4):
            return self.pick(1, 2, 3, 4, 6, 8)
        x = self.pick(*scope.tensors, None) if scope.tensors else None
        a = self.int(scope, depth - 1)
        if x is not None and self.chance(0.7):
            a = f"{x}.channels"
        elif scope.ints and self.chance(0.6):
            a = self.random.choice(scope.ints)
        b, flag = self.int(scope, depth - 1), self.flag(scope, depth - 1)
        forms = [a, f"({a}) * 2", f"max(({a}) // 2, 1)", f"({a}) + ({b})", f"max({a}, {b})"]
        forms += [f"({a}) if {flag} else ({b})", f"min({a}, {b})", f"({a}) * ({b})"]
        forms += [f"max(({a}) - ({b}), 1)", f"({a}) % 5 + 1"]
        if scope.floats:
            forms.append(f"round_channels(({a}) * {self.random.choice(scope.floats)}, 2)")
            forms.append(f"ceil(({a}) / 3)")
        return self.random.choice(forms)

    def let(self, scope: Scope) -> Any:
        """A number that is worked out; one in five may be a fraction."""
        value = self.int(scope, 2)
        return f"({value}) / 2" if self.chance(0.2) else value

    def flag(self, scope: Scope, depth: int = 1) -> str:
        if scope.sizes and self.chance(0.3):
            size = self.random.choice(scope.sizes)
            other = self.pick(1, 3, "[3, 3]", "[1, 3]", "[3, 1]", *scope.sizes)
            return str(self.pick(f"{size} == {other}", f"{other} != {size}", f"not {size}", size))
        if scope.flags and self.chance(0.5):
            return str(self.random.choice(scope.flags))
        if depth <= 0 or self.chance(0.1):
            return str(self.pick("true", "false"))
        a, b = self.int(scope, depth - 1), self.int(scope, depth - 1)
        plain = f"({a}) {self.pick('==', '!=', '<', '<=', '>', '>=')} ({b})"
        other = self.flag(scope, depth - 1)
        return str(self.pick(plain, plain, f"not {plain}", f"({plain}) and {other}"))

    def fractions(self, scope: Scope) -> list[str]:
        return [f"{name} / {self.pick(2, 3, 8)}" for name in (*scope.floats, *scope.ints)]

    def optional_int(self, scope: Scope) -> Any:
        return self.int(scope) if self.chance(0.8) else 2

    # ------------------------------------------------------------------------------------- ops

    def window(self, scope: Scope, pool: bool = False) -> dict[str, Any]:
        given = {"kernel": self.pick(1, 1, 2, 3, 3, 5, [1, 3], [3, 2], [5, 1], *scope.sizes)}
        if self.chance(0.25):
            given["stride"] = self.pick(1, 2, 2, 3, [1, 2], [2, 1])
        if self.chance(0.5):
            words: list[Any] = ["same", "same", "symmetric", "valid"]
            sides = [[0, 1, 0, 1], [1, 1, 1, 1], [1, 0, 2, 1], [1, 1, 2, 2], [0, 0, 0, 0]]
            words += [*sides, *(["zeros"] if pool else self.of_type("padding"))]
            given["padding"] = self.random.choice(words)
        if not pool and self.chance(0.15):
            given["dilation"] = self.pick(1, 2, [2, 1], [1, 3])
        return given

    def common(self, given: dict[str, Any], scope: Scope) -> dict[str, Any]:
        if self.chance(0.4):
            given["bias"] = self.pick("true", "false", *scope.flags)
        if self.chance(0.1):
            given["init"] = self.pick(self.word(INITIALIZERS), *STARTS, *SCALED)
        if self.chance(0.1):
            given["bias_init"] = self.pick(*STARTS, *SCALED)
        return given

    def act(self) -> str:
        every = [*self.of_type("activation"), *self.acts]
        return str(self.random.choice(every)) if every and self.chance(0.5) else self.plain_act()

    def plain_act(self) -> str:
        return self.word(ACTIVATIONS) if self.chance(0.85) else "none"

    def op(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        """An op of one tensor with arguments."""
        op = self.pick(
            *("conv2d",) * 5, *("depthwise_conv2d",) * 2, "separable_conv2d",
            "standardized_conv2d", *("batch_norm",) * 3, "layer_norm", "group_norm",
            *("activation",) * 4,
            "max_pool2d", "avg_pool2d", "global_avg_pool2d", "global_max_pool2d", "zero_pad2d",
            "crop2d", "flatten", "reshape", "prelu", "dropout", "drop_path", "rescale",
            "identity", "dense", "slice", "split", "channel_shuffle", "mean", "variance",
            "l2_normalize", "local_response_norm", "learned",
            "conv_transpose2d", "resize", "adaptive_avg_pool2d", "adaptive_max_pool2d",
            "pixel_shuffle", "pixel_unshuffle",
        )  # fmt: skip
        given: dict[str, Any] = {}
        if op in ("conv2d", "separable_conv2d", "depthwise_conv2d"):
            given = self.common(self.window(scope), scope)
        if op in ("conv2d", "separable_conv2d"):
            given["filters"] = self.int(scope, 2)
        if op == "conv_transpose2d":
            given = self.common({"filters": self.int(scope, 2), **self.transposed(scope)}, scope)
        if op == "standardized_conv2d":
            given = {**self.window(scope), "filters": self.int(scope, 2)}
            given["gamma"] = self.pick("none", 1, 1.7, *scope.floats)
        if op == "conv2d" and self.chance(0.2):
            given["groups"] = self.pick(2, 2, 3, 4, self.int(scope))
        if op in ("depthwise_conv2d", "separable_conv2d") and self.chance(0.3):
            given["multiplier"] = self.pick(1, 2, 3)
        if op in ("max_pool2d", "avg_pool2d"):
            given = self.window(scope, pool=True)
            given |= {"ceil_mode": self.pick("true", "false")} if self.chance(0.3) else {}
        if op == "avg_pool2d" and self.chance(0.3):
            given["count_padding"] = self.pick("true", "false")
        if op == "batch_norm" and self.chance(0.3):
            given = {"epsilon": self.pick(1e-5, 1e-3, 0.01), "decay": self.pick(0.9, 0.99)}
        if op == "batch_norm":
            parts = [part for part in ("scale", "offset") if self.chance(0.25)]
            given |= {part: self.pick("true", "false", *scope.flags) for part in parts}
        if op in ("layer_norm", "group_norm"):
            given = {"epsilon": self.pick(1e-5, 0.1)} if self.chance(0.5) else {}
            given |= (
                {"affine": self.pick("true", "false", *scope.flags)} if self.chance(0.3) else {}
            )
        if op == "group_norm":
            given["groups"] = self.pick(1, 2, 2, 3, 4, self.int(scope))
        if op == "l2_normalize" and self.chance(0.3):
            given = {"epsilon": self.pick(1e-6, 0.1)}
        if op == "local_response_norm":
            given = {"size": self.pick(1, 2, 3, 5, self.int(scope))}
            given |= {"alpha": 2, "k": self.pick(1, 2)} if self.chance(0.5) else {}
            given |= {"beta": self.pick(0.5, 1, *scope.floats)} if self.chance(0.3) else {}
        if op == "prelu":
            given = {"shared": self.pick("true", "false", *scope.flags)} if self.chance(0.5) else {}
            given |= {"init": self.pick(0, 0.25, *scope.floats)} if self.chance(0.5) else {}
        if op == "learned":
            given = {"init": self.pick("ones", "normal(0.5)", "uniform(-1, 1)")}
            if self.chance(0.5):
                given["channels"] = self.pick(1, 1, "none", self.int(scope))
            if self.chance(0.2):
                given["size"] = self.pick(2, [3, 2], [8, 8], *scope.sizes)
        if op == "activation":
            given = {"act": self.act()}
        if op.startswith("global") and self.chance(0.4):
            given = {"keepdims": self.pick("true", "false")}
        if op in ("zero_pad2d", "crop2d"):
            key = {"zero_pad2d": "padding", "crop2d": "cropping"}[op]
            given = {key: self.pick([1, 0, 0, 2], [1, 1, 1, 1], [0, 1, 2, 0], [0, 0, 0, 0])}
        if op in ("mean", "variance"):
            given = {"over": self.pick("channels", "space")}
        if op == "slice":
            ends = [f"{x}.channels" for x in scope.tensors]
            given = {"start": self.pick(0, 0, 1, 2), "stop": self.pick(1, 2, 4, *ends)}
        if op == "split":
            given = {"parts": self.pick(1, 2, 2, 3, self.int(scope)), "index": self.pick(0, 1)}
        if op == "channel_shuffle":
            given = {"groups": self.pick(1, 2, 2, 3, 4, self.int(scope))}
        if op == "resize":
            given = {"scale": self.pick(0.5, 1, 1.5, 2, 2), **self.method()}
        if op.startswith("pixel"):
            given = {"factor": self.pick(2, 2, 3)}
        if op.startswith("adaptive"):
            given = {"size": self.pick(1, 2, [3, 2], 7, *scope.sizes)}
        if op in ("dropout", "drop_path"):
            given = {"rate": self.pick(0, 0.2, 0.5, *scope.floats, *self.fractions(scope))}
        if op == "rescale":
            given = {"scale": self.pick(2, 0.5, -1, *scope.floats, *self.fractions(scope))}
            given |= {"offset": self.pick(-1, 0.25)} if self.chance(0.5) else {}
            if self.chance(0.3):
                given["scale"] = [self.pick(2, 0.5, -1) for _ in range(self.pick(2, 3, 4, 6))]
        if op == "dense":
            given = self.common({"units": self.int(scope, 2)}, scope)
        if op == "reshape":
            given = {"shape": self.pick([4], [2, 2, 2], [8, 4, 4], [16, 6, 6], [64], [1, 8, 8])}
        return op, given

    def transposed(self, scope: Scope) -> dict[str, Any]:
        given: dict[str, Any] = {"kernel": self.pick(1, 2, 3, 4, [3, 2], *scope.sizes)}
        given["stride"] = self.pick(1, 2, 2, [1, 2])
        padding = self.pick("same", "valid", "symmetric", [1, 1, 1, 1], [0, 0, 1, 0])
        if given["stride"] == 2 and padding not in ("same", "valid"):
            given["output_padding"] = self.pick(0, 1, [0, 1])
        return {**given, "padding": padding}

    def method(self) -> dict[str, Any]:
        given = {"method": self.word(INTERPOLATIONS)}
        aligned = given["method"] == "bilinear" and self.chance(0.5)
        return {**given, "align_corners": "true"} if aligned else given

    # ---------------------------------------------------------------------------------- blocks

    def propose_block(self) -> None:
        """A block that at least one call of it accepts."""
        for _ in range(25):
            name, block = self.name("block"), self.block()
            blocks = {**self.blocks, name: block}
            row = {"block": name, **self.arguments(block, self.network_scope())}
            if len(block.get("inputs", ["x"])) > 1:
                row["from"] = [-1] * len(block["inputs"])
            first = {"block": "conv2d", "filters": self.pick(4, 6), "kernel": 1}
            if self.accepted(self.written([first, row], blocks=blocks)):
                self.blocks = blocks
                self.serve(name, block)
                return

    def serve(self, name: str, block: dict[str, Any]) -> None:
        """Notes a block that may serve as an activation."""
        if "on_vectors" in block:
            self.acts.append(name)

    def block(self) -> dict[str, Any]:
        serving = self.chance(0.25)
        inputs = [self.name("input") for _ in range(1 if serving else self.pick(1, 1, 1, 2, 3))]
        block: dict[str, Any] = {} if inputs == ["x"] else {"inputs": inputs}
        scope = Scope(tensors=list(inputs))
        kinds = {} if serving and self.chance(0.6) else self.block_params(block, scope, serving)
        if self.chance(0.4):
            block["let"] = {}
            for _ in range(self.pick(1, 1, 2)):
                let = self.name("let")
                block["let"][let] = self.let(scope)
                scope.ints.append(let)
        block["steps"] = self.steps(scope, kinds, serving)
        if serving:
            block["on_vectors"] = self.word(ACTIVATIONS)
        if self.chance(0.15):
            last = block["steps"].pop()
            block["returns"] = next(
                v for key, v in last.items() if key not in ("when", "else", "doc")
            )
        return block

    def block_params(
        self, block: dict[str, Any], scope: Scope, constant: bool
    ) -> dict[str, list[str]]:
        """Parameters of a block, by kind."""
        found: dict[str, list[str]] = {}
        block["params"] = {}
        defaults = {
            **{"int": 2, "size": 3, "bool": "false", "activation": "relu", "float": 0.5},
            **{"initializer": "lecun_normal", "pool_padding": "zeros", "axes": "space"},
        }
        for _ in range(self.pick(1, 2, 3, 4)):
            plain = ("int", "int", "bool", "activation", "size", "float") * 2
            kind = self.pick(*plain, *(() if constant else ("initializer", "pool_padding", "axes")))
            name = self.name("param")
            given = {"type": kind, "default": defaults[kind]}
            block["params"][name] = given if constant or self.chance(0.6) else kind
            if kind == "initializer" and self.chance(0.3):
                block["params"][name] = {"type": "initializer?"}
            found.setdefault(kind, []).append(name)
            into = {
                "int": scope.ints, "bool": scope.flags, "float": scope.floats, "size": scope.sizes,
            }.get(kind)  # fmt: skip
            if into is not None:
                into.append(name)
        return found

    def steps(self, scope: Scope, kinds: dict[str, list[str]], serving: bool) -> Rows:
        steps: Rows = []
        unused = list(scope.tensors)
        when = None
        for _ in range(self.pick(1, 2, 3, 4, 6)):
            name = self.name("step")
            value, used = self.tensor(scope, kinds, unused, 2)
            step = {name: value}
            # Neighbours often share a condition.
            when = when if when and self.chance(0.5) else None
            if when is None and self.chance(0.3):
                when = self.flag(scope, 2)
            doc = {"doc": self.pick(*DOCS)} if self.chance(0.15) else {}
            other = {"else": self.pick(*scope.tensors)} if when and self.chance(0.3) else {}
            steps.append(step | ({"when": when} if when else {}) | other | doc)
            unused = [t for t in unused if t not in used] + [name]
            scope.tensors.append(name)
        if len(unused) > 1:
            joined = self.pick(" + ".join(unused), f"concat({', '.join(unused)})")
            steps.append({self.name("step"): joined})
        return steps

    def tensor(
        self, scope: Scope, kinds: dict[str, list[str]], unused: list[str], depth: int
    ) -> tuple[str, set[str]]:
        """A call or a sum of calls, and the tensors that it uses."""
        if depth < 2 and self.chance(0.6):
            leaf = self.random.choice([*unused[-2:], self.random.choice(scope.tensors)])
            return leaf, {leaf}
        if self.chance(0.25) and depth > 0:
            left, used = self.tensor(scope, kinds, unused, depth - 1)
            right, more = self.tensor(scope, kinds, unused, depth - 1)
            form = self.pick(
                *("{} + {}", "({}) * ({})", "maximum({}, {})", "concat({}, {})"),
                *("{} - ({})", "minimum({}, {})", "({}) / activation({}, sigmoid)"),
            )
            if self.chance(0.1):
                given = ", ".join(f"{k}={v}" for k, v in self.method().items())
                form = f"resize_like({{}}, {{}}, {given})"
            return form.format(left, right), used | more
        inner, used = self.tensor(scope, kinds, unused, depth - 1) if depth else ("", set())
        if not inner or self.chance(0.5):
            inner = unused[-1] if self.chance(0.8) else self.random.choice(scope.tensors)
            used = {inner}
        called = self.pick(*self.blocks, None) if self.blocks and self.chance(0.3) else None
        if called is not None:
            block = self.blocks[called]
            operands = [inner]
            for _ in block.get("inputs", ["x"])[1:]:
                operands.append(self.random.choice(scope.tensors))
            return call(called, operands, self.arguments(block, scope)), used | {*operands}
        op, given = self.op(scope)
        return call(op, [inner], self.with_params(op, given, kinds)), used

    def with_params(
        self, op: str, given: dict[str, Any], kinds: dict[str, list[str]]
    ) -> dict[str, Any]:
        """The arguments, with some left to the block's parameters."""
        pads = "pool_padding" if op in ("max_pool2d", "avg_pool2d") else "padding"
        for key, kind in (
            *(("kernel", "size"), ("act", "activation"), ("bias", "bool")),
            *(("padding", pads), ("over", "axes")),
        ):
            if key in given and kinds.get(kind) and self.chance(0.6):
                given[key] = self.random.choice(kinds[kind])
        if kinds.get("initializer") and op in ("conv2d", "dense", "batch_norm"):
            key = "offset_init" if op == "batch_norm" else self.pick("init", "bias_init")
            given[key] = self.random.choice(kinds["initializer"])
        if op == "activation" and kinds.get("activation") and self.chance(0.2):
            name = self.random.choice(kinds["activation"])
            given["act"] = self.pick(name, f"{name} if {self.flag(Scope())} else none")
        return given

    def arguments(self, block: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """Arguments of a block's call: required ones, and some of the others."""
        found = {}
        for name, param in block.get("params", {}).items():
            kind = param if isinstance(param, str) else param["type"]
            if isinstance(param, str) or self.chance(0.5):
                found[name] = self.value(kind, scope)
        return found

    def value(self, kind: str, scope: Scope) -> Any:
        values: dict[str, Callable[[], Any]] = {
            "int": lambda: self.int(scope, 2),
            "size": lambda: self.pick(1, 3, [3, 1], 5),
            "bool": lambda: self.flag(scope),
            "activation": self.act,
            "pool_padding": lambda: self.pick("zeros", "zeros", "valid"),
            "axes": lambda: "space",
            "float": lambda: self.pick(0.25, 1, 2.5, *scope.floats),
            "initializer": lambda: self.pick("zeros", *STARTS, *SCALED[:1]),
        }
        return values[kind.removesuffix("?")]()

    # ------------------------------------------------------------------------------------ rows

    def row(self) -> dict[str, Any]:
        scope = self.network_scope(kept=self.chance(0.3))
        if self.chance(0.3):
            scope.tensors = ["x"]
        single = [n for n, b in self.blocks.items() if len(b.get("inputs", ["x"])) == 1]
        if single and self.chance(0.5):
            name = self.random.choice(single)
            return {"block": name, **self.arguments(self.blocks[name], scope)}
        op, given = self.op(scope)
        return {"block": op, **given}

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"block": row["block"], "name": self.name("row"), **row}

    def entry(self) -> Rows:
        form = self.pick(
            *("row",) * 3, "table", "table", "branch", "join", "repeat", "repeat", "reshape", "head"
        )
        entry: Rows = getattr(self, f"a_{form}")()
        if self.chance(0.15):
            entry[-1]["tap"] = self.name("tap")
        if self.chance(0.08):
            entry[-1]["output"] = self.name("output")
        if self.chance(0.15):
            entry[-1]["doc"] = self.pick(*DOCS)
        return entry

    def a_row(self) -> Rows:
        row = self.named(self.row())
        if self.chance(0.15):
            row["when"] = self.flag(self.network_scope(), 2)
        return [row]

    def a_reshape(self) -> Rows:
        """The elements of what the last row gives, in some other shape."""
        rows = self.rows or [{"block": "identity", "name": self.name("row")}]
        self.accepted(self.written(rows))
        channels, *area = compile_network(self.folder / NETWORK).output.shape
        height, width = area or (1, 1)
        size = channels * height * width
        shapes = [[size], [channels * width, height, 1], [width, channels, height]]
        shapes += [[size // 4, 2, 2]] if size % 4 == 0 else []
        row = {"block": "reshape", "name": self.name("row"), "shape": self.random.choice(shapes)}
        return [row] if self.rows else [*rows, row]

    def a_repeat(self) -> Rows:
        row = self.named(self.row())
        return [row | {"repeat": self.pick(1, 2, 3, *self.of_type("int", kept=False))}]

    def a_branch(self) -> Rows:
        """Rows beside each other on one value, and the row that joins them."""
        start = {"block": "identity", "name": self.name("row")}
        rows, ends = [start], []
        for index in range(self.pick(1, 2, 3)):
            rows += [self.named(self.row()) for _ in range(self.pick(1, 1, 2))]
            first = rows[-1] if index == 0 else None
            if first is None:
                rows[-1]["from"] = start["name"]
            ends.append(rows[-1]["name"])
        if self.chance(0.5):
            ends.append(start["name"])
        return [*rows, self.joined(ends)]

    def a_head(self) -> Rows:
        """Rows beside the others whose output is there in training only, or always; the row below
        takes what is above them."""
        start = {"block": "identity", "name": self.name("row")}
        head = [self.named(self.row()) for _ in range(self.pick(1, 2, 3))]
        head[-1] |= {"output": self.name("output")}
        head[-1] |= {"training_only": "true"} if self.chance(0.7) else {}
        return [start, *head, self.named(self.row()) | {"from": start["name"]}]

    def joined(self, ends: list[str]) -> dict[str, Any]:
        several = [
            n for n, b in self.blocks.items() if len(b.get("inputs", ["x"])) == len(ends) > 1
        ]
        pairs = ("add", "subtract", "multiply", "maximum", "minimum")
        row: dict[str, Any] = {"block": self.pick(*("concat",) * 3, *pairs)}
        if several and self.chance(0.5):
            name = self.random.choice(several)
            row = {"block": name, **self.arguments(self.blocks[name], self.network_scope())}
        if len(ends) != 2 and row["block"] in pairs:
            row["block"] = "concat"
        return {"name": self.name("row"), **row, "from": ends}

    def a_join(self) -> Rows:
        """A row that takes what stands above, by name or by number."""
        names = [row["name"] for row in self.rows if "name" in row and "columns" not in row]
        names += [row["name"] for row in self.rows if "columns" in row and "name" in row]
        others: list[Any] = [-1, -2, -3, *names]
        return [self.joined([self.random.choice(others), self.pick(-1, -1, -2)])]

    def a_table(self) -> Rows:
        """Rows of one op or block under a header, some arguments of which all share."""
        row = self.row()
        name = row.pop("block")
        columns = [key for key in row if self.chance(0.8)]
        rest = {key: value for key, value in row.items() if key not in columns}
        rows = []
        for _ in range(self.pick(1, 2, 3, 4)):
            other = self.row() if self.chance(0.3) else {**row, "block": name}
            other = other if other["block"] == name else {**row, "block": name}
            rows.append([name, *(other.get(key, row[key]) for key in columns)])
        table: dict[str, Any] = {"columns": ["block", *columns], "rows": rows}
        if self.chance(0.8):
            table = {"name": self.name("row"), **table}
        if rest:
            table["set"] = {k: "none" if v is None else v for k, v in rest.items()}
        self.decorate(table)
        return [table]

    def decorate(self, table: dict[str, Any]) -> None:
        """Keys of rows as columns: repeat, tap, output, doc."""
        if self.chance(0.25):
            table["columns"].append("repeat")
            for row in table["rows"]:
                row.append(self.pick(None, 1, 2))
            if self.chance(0.5):
                often = self.pick("repeat + 1", "max(repeat * 2 - 1, 1)", "ceil(repeat * 1.2)")
                table.setdefault("set", {})["repeat"] = often
        if self.chance(0.15):
            table["columns"].append("tap")
            for row in table["rows"][:-1]:
                row.append(None)
            table["rows"][-1].append(self.name("tap"))
        if self.chance(0.1):
            table["columns"].append("output")
            for row in table["rows"]:
                row.append(self.name("output") if self.chance(0.4) else None)
        if self.chance(0.15):
            table["columns"].append("doc")
            for row in table["rows"]:
                row.append(self.pick(None, *DOCS))

    # ------------------------------------------------------------------------------ the rest

    def propose_defaults(self) -> None:
        given: dict[str, Any] = {}
        if self.chance(0.6):
            given["batch_norm"] = {"epsilon": self.pick(1e-5, 0.01), "decay": 0.9}
        if self.chance(0.4):
            given["conv2d"] = {"padding": self.pick("symmetric", "same")}
        if self.chance(0.4):
            init = self.pick("he_normal", *STARTS, *SCALED)
            given["depthwise_conv2d"] = {"bias": "false", "init": init}
        if self.chance(0.2):
            given["dense"] = {"init": self.pick(*STARTS), "bias_init": self.pick(*STARTS, *SCALED)}
        for name, block in self.blocks.items():
            if self.chance(0.3):
                values = self.arguments(block, Scope())
                given |= {name: values} if values else {}
        if self.accepted(self.written(defaults=given)):
            self.spec["defaults"] = given

    def propose_output_stride(self) -> None:
        """Strides that become dilations."""
        limit: dict[str, Any] = {"output_stride": self.pick(1, 1, 2, 2, 4, 8)}
        if self.chance(0.5):
            limit["dilate_strided"] = self.pick("true", "false")
        if self.accepted({**self.written(), **limit}):
            self.spec |= limit

    def propose_end(self) -> None:
        """Rows that a kept parameter may leave out."""
        name = self.name("kept")
        params = {
            **self.spec["params"],
            name: {"type": "bool", "default": "true", "keep": "true"},
        }
        rows: Rows = [
            {"block": "global_avg_pool2d", "name": self.name("row")},
            {"block": "dense", "name": self.name("row"), "units": self.pick(3, 5)},
            {"block": "activation", "name": self.name("row"), "act": self.act()},
        ]
        rows = rows[: self.pick(1, 2, 3)]
        whens = [row | {"when": name} for row in rows]
        if self.accepted(self.written([*self.rows, *whens], params=params)):
            self.spec["params"] = params
            self.rows = [*self.rows, *whens]

    def propose_variant(self) -> None:
        """Moves the spec to a base, and puts a variant of it in its place."""
        base = self.written()
        (self.folder / BASE).write_text(text(base), encoding="utf-8")
        variant: dict[str, Any] = {"archc": 1, "name": "Variant", "extends": BASE}
        numbers = {n: self.pick(1, 2, 3, 5) for n in self.of_type("int") if self.chance(0.5)}
        variant |= {"set": numbers} if numbers else {}
        changes = [self.change() for _ in range(self.pick(1, 1, 2))]
        for own in (changes, changes[:1], []):
            if self.accepted({**variant, **({"change": own} if own else {})}):
                return

    def change(self) -> dict[str, Any]:
        row = self.random.choice(self.rows)
        at = row.get("name", "blocks")
        was = (
            {"was": {"block": row["block"]}}
            if {"name", "block"} <= {*row} and self.chance(0.5)
            else {}
        )
        new = self.named(self.row())
        key = self.pick("kernel", "filters", "act")
        value = {"kernel": self.pick(1, 3), "filters": self.pick(2, 4), "act": self.act()}[key]
        return dict(
            self.pick(
                {"at": at, **was, "set": {key: value}},
                {"where": f"{key} == {self.pick(1, 3, 4)}", "set": {key: value}},
                {"remove": [at]},
                {self.pick("before", "after"): at, "insert": [new]},
            )
        )


def call(target: str, operands: Iterable[str], given: dict[str, Any]) -> str:
    """A call as a step writes it."""
    named = (f"{name}={_spelled(value)}" for name, value in given.items())
    return f"{target}({', '.join([*operands, *named])})"


def _spelled(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def text(spec: dict[str, Any]) -> str:
    return yaml.safe_dump(spec, sort_keys=False, width=1000)
