"""The op zoo: every op of the catalogue at many settings, as small specs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.interface import output_channels
from archc.compiler.language import expressions as ex
from archc.compiler.language.values import ACTIVATIONS, INITIALIZERS

CHANNELS = 6
SIX = "1, 1 / 0.229, 0.5, -2, 0, 1e-3"
KERNELS = ("1", "2", "3", "5", "[1, 7]", "[3, 1]")
STRIDES = ("1", "2", "3", "[2, 1]")
PADDINGS = ("same", "symmetric", "valid")
PADS = ("[0, 1, 0, 1]", "[2, 0, 1, 3]")


@dataclass(frozen=True)
class Case:
    """One op with its arguments as a spec writes them, on operands made from the input `x`."""

    op: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    operands: tuple[str, ...] = ("x",)

    def __str__(self) -> str:
        arguments = [f"{name}={value}" for name, value in self.arguments.items()]
        return f"{self.op}({', '.join([*self.operands, *arguments])})"

    @property
    def any_size(self) -> bool:
        """Whether it takes inputs other than the declared one."""
        return self.op not in ("flatten", "reshape") and "flatten(x)" not in self.operands


def _windows(op: str, kernels, strides, paddings, **more: str) -> Iterator[Case]:
    for kernel, stride, padding in product(kernels, strides, paddings):
        yield Case(op, {**more, "kernel": kernel, "stride": stride, "padding": padding})


def _convolutions(op: str, **more: str) -> Iterator[Case]:
    """What the three kinds of convolution have in common."""
    yield from _windows(op, ("3", "2", "[1, 7]"), ("1", "2", "[2, 1]"), PADS, **more)
    for case in _windows(op, ("2", "3", "5", "[3, 1]"), ("1",), (*PADDINGS, PADS[1]), **more):
        yield Case(op, {**case.arguments, "dilation": "2"})
    for stride in "12":
        yield Case(op, {**more, "kernel": "1", "stride": stride, "padding": PADS[1]})
    yield Case(op, {**more, "kernel": "1", "padding": "[1, 1, 2, 2]"})
    yield Case(op, {**more, "kernel": "3", "dilation": "[2, 1]"})
    yield Case(op, {**more, "kernel": "3", "bias": "false"})
    for init in INITIALIZERS:
        yield Case(op, {**more, "kernel": "3", "init": init})


def _conv2d() -> Iterator[Case]:
    yield from _windows("conv2d", KERNELS, STRIDES, PADDINGS, filters="4")
    yield from _convolutions("conv2d", filters="4")
    for groups in ("2", "3", "6"):
        yield Case("conv2d", {"filters": "12", "kernel": "3", "groups": groups})
    more = {"filters": "4", "kernel": "2", "groups": "2", "stride": "2"}
    yield Case("conv2d", {**more, "padding": "symmetric", "bias": "false"})


def _standardized() -> Iterator[Case]:
    op, more = "standardized_conv2d", {"filters": "4"}
    yield from _windows(op, ("1", "2", "3", "[1, 7]"), ("1", "2"), (*PADDINGS, PADS[1]), **more)
    for padding in (*PADDINGS, PADS[1]):
        yield Case(op, {**more, "kernel": "3", "dilation": "2", "padding": padding})
    for epsilon, gamma in product(("1e-10", "0.5"), ("none", "1", "1.7")):
        yield Case(op, {**more, "kernel": "3", "epsilon": epsilon, "gamma": gamma})
    for init in INITIALIZERS:
        if init not in ("zeros", "ones"):
            yield Case(op, {**more, "kernel": "3", "init": init})


def _depthwise() -> Iterator[Case]:
    op = "depthwise_conv2d"
    yield from _windows(op, KERNELS, STRIDES, PADDINGS)
    yield from _convolutions(op)
    for kernel, padding in product(("2", "3"), PADDINGS):
        arguments = {"kernel": kernel, "stride": "2", "dilation": "2", "padding": padding}
        yield Case(op, arguments)
    for multiplier, bias, init in product("123", ("true", "false"), INITIALIZERS):
        more = {"multiplier": multiplier, "bias": bias, "init": init}
        yield Case(op, {"kernel": "3", "stride": "2", **more})


def _transposed() -> Iterator[Case]:
    op = "conv_transpose2d"
    yield from _windows(op, KERNELS, STRIDES, ("same", "valid"), filters="4")
    paddings = ("symmetric", "[1, 1, 1, 1]", "[0, 1, 2, 0]", "[0, 0, 0, 0]")
    yield from _windows(op, ("2", "3", "4"), ("1", "2", "3"), paddings, filters="4")
    for kernel, padding in product(("1", "2", "3", "5", "[1, 3]"), paddings):
        more = {"kernel": kernel, "stride": "3", "padding": padding, "output_padding": "[1, 2]"}
        yield Case(op, {"filters": "4", **more, "bias": "true" if kernel == "3" else "false"})
    yield Case(op, {"filters": "4", "kernel": "3", "bias": "false"})
    for init in INITIALIZERS:
        yield Case(op, {"filters": "4", "kernel": "3", "stride": "2", "init": init})


def _separable() -> Iterator[Case]:
    op = "separable_conv2d"
    yield from _windows(op, ("1", "3", "5"), ("1", "2"), PADDINGS, filters="4")
    yield from _convolutions(op, filters="4")
    for multiplier in "23":
        yield Case(op, {"filters": "4", "kernel": "3", "multiplier": multiplier})


def _pools(op: str) -> Iterator[Case]:
    yield from _windows(op, KERNELS, STRIDES, ("same", "zeros", "valid"))
    yield from _windows(op, ("1", "2", "3", "5", "[3, 1]"), ("1", "2", "[2, 1]"), ("symmetric",))
    yield from _windows(op, ("2", "3", "[2, 5]"), ("1", "2"), ("[1, 1, 1, 1]", PADS[0]))
    yield Case(op, {"kernel": "4", "padding": "[3, 3, 3, 3]", "stride": "2"})
    for padding in ("valid", "symmetric", "[1, 0, 0, 1]"):
        yield from _windows(op, ("2", "3", "5"), ("2", "3"), (padding,), ceil_mode="true")
    yield from _windows(op, ("3",), ("2",), ("same", "zeros"), ceil_mode="true")
    yield Case(op, {"kernel": "[1, 2]", "stride": "5", "padding": "valid", "ceil_mode": "true"})


def _counting_pools() -> Iterator[Case]:
    counted = {"count_padding": "true"}
    paddings = ("symmetric", "[2, 0, 1, 3]", "[1, 1, 1, 1]")
    yield from _windows("avg_pool2d", ("2", "3", "[3, 1]"), ("1", "2"), paddings, **counted)
    for padding in ("valid", "symmetric", "[1, 0, 0, 1]"):
        more = {"ceil_mode": "true", **counted}
        yield from _windows("avg_pool2d", ("2", "3", "5"), ("2", "3"), (padding,), **more)


def _resizing() -> Iterator[Case]:
    methods = ("nearest", "nearest_exact", "bilinear")
    for method, scale in product(methods, ("1", "2", "3", "1.5", "0.5", "0.75", "20")):
        yield Case("resize", {"scale": scale, "method": method})
    for method in methods:
        for like in ("avg_pool2d(x, 3, stride=2)", "zero_pad2d(x, [1, 2, 3, 10])", "x"):
            yield Case("resize_like", {"method": method}, ("x", like))
        yield Case("resize_like", {"method": method}, ("max_pool2d(x, 2, stride=5)", "x"))
    aligned = {"method": "bilinear", "align_corners": "true"}
    for scale in ("1", "2", "2.5", "0.5", "1/8"):
        yield Case("resize", {"scale": scale, **aligned})
    for like in ("max_pool2d(x, 2, stride=2)", "zero_pad2d(x, [1, 2, 3, 10])"):
        yield Case("resize_like", aligned, ("x", like))
    yield Case("resize_like", aligned, ("max_pool2d(x, 3, stride=5)", "x"))
    yield Case("resize_like", aligned, ("x", "global_avg_pool2d(x, keepdims=true)"))


def _pixels() -> Iterator[Case]:
    for factor, operand in (("2", "concat(x, x)"), ("3", "concat(x, x, x)")):
        yield Case("pixel_shuffle", {"factor": factor}, (operand,))
        yield Case("pixel_unshuffle", {"factor": factor}, (f"resize(x, {factor}, nearest)",))
    both = f"pixel_unshuffle(resize({operand}, 2, nearest), 2)"
    yield Case("pixel_shuffle", {"factor": "3"}, (both,))


def _adaptive() -> Iterator[Case]:
    for op in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        for size in ("1", "3", "[5, 4]", "[7, 2]", "[12, 9]", "[14, 20]"):
            yield Case(op, {"size": size})


def _of_many() -> Iterator[Case]:
    branch, vector = "activation(x, act=tanh)", "global_avg_pool2d(x)"
    gate = "global_max_pool2d(x, keepdims=true)"
    for op in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "concat"):
        yield Case(op, operands=("x", branch))
        yield Case(op, operands=(branch, f"maximum({branch}, x)"))
        yield Case(op, operands=(vector, "global_max_pool2d(x)"))
    yield Case("multiply", operands=("x", gate))
    yield Case("multiply", operands=(gate, "x"))
    yield Case("multiply", operands=(f"x + {branch}", f"x * {gate}"))
    single, cell = "mean(x, over=channels)", "mean(mean(x, over=space), over=channels)"
    for op in ("add", "multiply", "subtract", "divide"):
        for right in (gate, single, cell):
            yield Case(op, operands=("x", right))
        yield Case(op, operands=(gate, "x"))
        yield Case(op, operands=(vector, f"mean({vector}, over=channels)"))
    yield Case("subtract", operands=(f"x - {branch}", f"x - {branch} / {single}"))
    sure = "activation(x, act=sigmoid)"
    yield Case("divide", operands=(f"x / {sure} * {branch}", f"{sure} * ({sure} + {sure})"))
    for op, channels in product(("add", "multiply"), ("", ", channels=1")):
        yield Case(op, operands=("x", f"learned(x, normal(0.5){channels})"))
        yield Case(op, operands=(vector, f"learned({vector}, normal(0.5){channels})"))
    yield Case("concat", operands=("x", branch, "x"))
    yield Case("concat", operands=("x",))
    yield Case("concat", operands=(vector, "dense(global_max_pool2d(x), units=3)", vector))


def _of_one() -> Iterator[Case]:
    """Ops that take a feature map or a vector, and those that reorder elements."""
    for operand in ("x", "global_avg_pool2d(x)"):
        for act in (*ACTIVATIONS, "none"):
            yield Case("activation", {"act": act}, (operand,))
        yield Case("batch_norm", {}, (operand,))
        yield Case("batch_norm", {"epsilon": "0.01", "decay": "0.9"}, (operand,))
        yield Case("batch_norm", {"epsilon": "1", "decay": "0"}, (operand,))
        for scale, offset in product(("true", "false"), repeat=2):
            yield Case("batch_norm", {"scale": scale, "offset": offset}, (operand,))
        yield Case("batch_norm", {"scale": "false"}, (operand,))
        for affine, epsilon in product(("true", "false"), ("1e-6", "0.1")):
            norm = {"epsilon": epsilon, "affine": affine}
            yield Case("layer_norm", norm, (operand,))
            yield Case("group_norm", {"groups": "3", **norm}, (operand,))
        yield Case("group_norm", {"groups": "1"}, (operand,))
        for init, channels in product(("ones", "normal(0.5)"), ("none", "1", "9")):
            yield Case("learned", {"init": init, "channels": channels}, (operand,))
        yield Case("dropout", {"rate": "0.25"}, (operand,))
        yield Case("dropout", {"rate": "0"}, (operand,))
        for shared, init in product(("true", "false"), ("0", "0.25")):
            yield Case("prelu", {"shared": shared, "init": init}, (operand,))
        yield Case("prelu", {}, (operand,))
        for epsilon in ("1e-12", "0.5"):
            yield Case("l2_normalize", {"epsilon": epsilon}, (operand,))
        yield Case("drop_path", {"rate": "0.25"}, (operand,))
        yield Case("drop_path", {"rate": "0"}, (operand,))
        yield Case("rescale", {"scale": "1 / 127.5", "offset": "-1"}, (operand,))
        yield Case("rescale", {"scale": "-2"}, (operand,))
        for scale, offset in product(("2", f"[{SIX}]"), ("-1.5", f"[{SIX}]")):
            yield Case("rescale", {"scale": scale, "offset": offset}, (operand,))
        yield Case("identity", {}, (operand,))
        for op in ("mean", "variance"):
            yield Case(op, {"over": "channels"}, (operand,))
        yield Case("flatten", {}, (operand,))
    yield Case("group_norm", {"groups": str(CHANNELS)})  # as an instance norm
    for size in ("2", "[12, 9]"):
        yield Case("learned", {"init": "zeros", "size": size})
        yield Case("learned", {"init": "zeros", "channels": "x.channels - 1", "size": size})
    for size in ("1", "2", "3", "5", "16"):
        yield Case("local_response_norm", {"size": size, "alpha": "2", "k": "0.5"})
    yield Case("local_response_norm", {"size": "4", "beta": "0.5"})
    for keepdims, op in product(("true", "false"), ("global_avg_pool2d", "global_max_pool2d")):
        yield Case(op, {"keepdims": keepdims})
    for op in ("mean", "variance"):
        yield Case(op, {"over": "space"})
    for operand in ("x * x", "variance(x, over=space)", "activation(x, act=softplus)"):
        yield Case("sqrt", operands=(operand,))
    for sides in ("[1, 2, 3, 4]", "[0, 1, 0, 1]", "[0, 0, 0, 0]"):
        yield Case("zero_pad2d", {"padding": sides})
        yield Case("crop2d", {"cropping": sides})
    for shape in ("[12, 6, 9]", "[2, 9, 36]", "[648]"):
        yield Case("reshape", {"shape": shape})
        yield Case("reshape", {"shape": shape}, ("flatten(x)",))


def _of_channels() -> Iterator[Case]:
    """Ops that take some channels, or put them into another order."""
    for start, stop in (("0", "6"), ("0", "2"), ("3", "6"), ("2", "3")):
        yield Case("slice", {"start": start, "stop": stop})
        yield Case("slice", {"start": start, "stop": stop}, ("global_avg_pool2d(x)",))
    yield Case("slice", {"start": "x.channels // 3", "stop": "x.channels - 1"})
    for parts, index in (("1", "0"), ("2", "1"), ("3", "1"), ("6", "5")):
        yield Case("split", {"parts": parts, "index": index})
        yield Case("split", {"parts": parts, "index": index}, ("global_avg_pool2d(x)",))
    for groups in ("1", "2", "3", "6"):
        yield Case("channel_shuffle", {"groups": groups})


def _dense() -> Iterator[Case]:
    for bias, init in product(("true", "false"), INITIALIZERS):
        arguments = {"units": "5", "bias": bias, "init": init}
        yield Case("dense", arguments, ("global_avg_pool2d(x)",))
    yield Case("dense", {"units": "1"}, ("flatten(x)",))


CASES = (
    *_conv2d(),
    *_standardized(),
    *_depthwise(),
    *_separable(),
    *_transposed(),
    *_pools("max_pool2d"),
    *_pools("avg_pool2d"),
    *_counting_pools(),
    *_resizing(),
    *_adaptive(),
    *_pixels(),
    *_of_many(),
    *_of_one(),
    *_of_channels(),
    *_dense(),
)

# ----------------------------------------------------------------------------------- as specs


def _flow(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def _network(row: Mapping[str, str], params: Mapping[str, str], case: Case, **given: str) -> str:
    """A block of one step, `y`, and the one row that calls it."""
    arguments = [f"{name}={value}" for name, value in given.items()]
    call = f"{case.op}({', '.join([*case.operands, *arguments])})"
    return (
        f"blocks:\n  case:\n    params: {{{_flow(params)}}}\n    steps:\n      - y: {call}\n"
        f"network:\n  - {{{_flow({'block': 'case', **row})}}}\n"
    )


def _open(case: Case) -> dict[str, str]:
    """The arguments that may be parameters of a block."""
    return dict(case.arguments)


def _types(case: Case) -> dict[str, str]:
    return {p.name: str(p.type) for p in CATALOGUE[case.op].parameters if p.name in _open(case)}


def row(case: Case) -> str:
    """Rows that name ops: one that makes a vector if need be, then the case's own."""
    before = case.operands[0].removesuffix("(x)")
    rows = [{"block": before}] if before != "x" else []
    rows += [{"block": case.op, "name": "y", **case.arguments}]
    return "network:\n" + "".join(f"  - {{{_flow(each)}}}\n" for each in rows)


def literal(case: Case) -> str:
    """A step that writes every argument out."""
    return _network({}, {}, case, **case.arguments)


def free(case: Case) -> str:
    """A block whose parameters are the op's arguments, given by the row."""
    values = {name: name if name in _open(case) else v for name, v in case.arguments.items()}
    params = {name: kind for name, kind in _types(case).items() if name in values}
    return _network(_open(case), params, case, **values)


def preset(case: Case) -> str:
    """A block whose parameters are the op's arguments, with the values as defaults."""
    values = {name: name if name in _open(case) else v for name, v in case.arguments.items()}
    params = {
        name: f"{{type: {kind}, default: {case.arguments[name]}}}"
        for name, kind in _types(case).items()
    }
    return _network({}, params, case, **values)


def spec_wide(case: Case) -> str:
    """A step that says only how many channels it gives: the rest stands under `defaults`."""
    sizes = ex.names(output_channels(CATALOGUE[case.op]))
    given = {name: value for name, value in case.arguments.items() if name in sizes}
    rest = {name: value for name, value in case.arguments.items() if name not in sizes}
    return f"defaults: {{{case.op}: {{{_flow(rest)}}}}}\n" + _network({}, {}, case, **given)


FORMS = {form.__name__: form for form in (row, literal, free, preset, spec_wide)}
"""Ways to write a case down."""


def fits(case: Case, form: str) -> bool:
    """Whether the case can be written so: rows take one tensor, and flatten for `dense`."""
    if form == "row":
        plain = re.fullmatch(r"x|\w+\(x\)", case.operands[0])
        return bool(plain) and len(case.operands) == 1 and not CATALOGUE[case.op].variadic
    if form == "preset" and any("x." in value for value in case.arguments.values()):
        return False  # a default mentions no tensor
    return case.op != "dense" or "flatten(x)" not in case.operands


def spec(case: Case, form: str, height: int, width: int) -> str:
    size = {"channels": str(CHANNELS), "height": str(height), "width": str(width)}
    return f"archc: 1\nname: Zoo\ninput: {{{_flow(size)}}}\n{FORMS[form](case)}"
