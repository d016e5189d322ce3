"""How Keras spells each op: as the layer that is then called on its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from archc.backends.keras.initial import factor, initializer, scaled
from archc.backends.keras.names import LayerName
from archc.backends.python.spelling import NOWHERE, OpCall, Spelling, constant
from archc.backends.python.text import Apply, Argument, Expression, apply
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.initializers import GLOROT_UNIFORM, ONES, ZEROS, Initializer

ACTIVATIONS = frozenset(
    {
        "relu",
        "relu6",
        "elu",
        "gelu",
        "sigmoid",
        "hard_sigmoid",
        "tanh",
        "hard_tanh",
        "swish",
        "hard_swish",
        "mish",
        "softplus",
        "softmax",
    }
)
"""Those that Keras has under the same name. The others are functions, as blocks are."""


def _layer(call: OpCall, kind: str, *plain: Argument, **named: Expression) -> Apply:
    """`layers.Kind(..., name=...)(x)`."""
    label = named.pop("name", None) or LayerName(call.name, call.within)
    return replace(call.apply(f"layers.{kind}", *plain, **named, name=label), inputs=call.inputs)


def _sides(call: OpCall, name: str) -> str:
    """Four numbers as Keras takes them: ((top, bottom), (left, right))."""
    numbers = call.numbers(name)
    return repr((numbers[:2], numbers[2:]))


def _initial(call: OpCall, kernel: str, kind: str = "") -> dict[str, Expression]:
    """How a kernel starts, where that is not Keras's default; `kind` is whose kernel it is."""
    return _starts(call, GLOROT_UNIFORM, f"{kernel}_initializer", "init", kind)


def _bias(call: OpCall, kind: str) -> dict[str, Expression]:
    """How a bias starts, where that is not Keras's default; `kind` is that of its kernel."""
    if call.is_("bias", False):
        return {}
    node = call.arguments["bias_init"]
    known = node.value if isinstance(node, ex.Literal) else None
    if isinstance(known, Initializer) and known.has_fans:
        return {"bias_initializer": scaled(call, known, kind)}
    return _starts(call, ZEROS, "bias_initializer", "bias_init")


def _starts(
    call: OpCall, usual: Initializer, keyword: str, name: str, kind: str = ""
) -> dict[str, Expression]:
    node = call.arguments[name]
    if call.is_(name, usual):
        return {}
    if not isinstance(node, ex.Literal):
        return {keyword: call[name]}
    assert isinstance(node.value, Initializer)
    return {keyword: initializer(node.value, call.use, *factor(call, node.value, kind))}


def _padded(call: OpCall) -> tuple[OpCall, str]:
    """The call on an input padded where Keras has no name for it, and what padding remains."""
    if call.is_("kernel", 1) and call.is_("padding", "same", "symmetric"):
        return call, '"valid"'
    if call.is_("padding", "same", "valid"):
        return call, call["padding"]
    arguments = [call.inputs[0], call["padding"], call["kernel"]]
    dilated = "dilation" in call.arguments and not call.is_("dilation", 1)
    arguments += [call["dilation"]] if dilated else []
    x = call.apply("pad", *arguments, name=LayerName(call.name, call.within, "-pad"))
    return replace(call, inputs=(x,)), call.spell(_rest(call.arguments["padding"]))


def _rest(padding: Node) -> Node:
    """What a layer has to pad once `pad` has done its part."""
    same, valid = constant("same"), constant("valid")
    if isinstance(padding, ex.Literal | ex.Items):
        return valid
    return ex.Conditional(ex.Compare("==", padding, same, NOWHERE), same, valid, NOWHERE)


def _convolution(
    call: OpCall, class_name: str, kind: str, *plain: str, **named: Expression
) -> Apply:
    padded, padding = _padded(call)
    window = call.given(strides="stride", dilation_rate="dilation")
    window |= {} if padding == '"valid"' else {"padding": padding}
    used, named = call.given(True, use_bias="bias"), {**named, **_bias(call, kind)}
    return _layer(padded, class_name, *plain, **window, **used, **named)


def _conv2d(call: OpCall) -> Apply:
    named = {**call.given(groups="groups"), **_initial(call, "kernel", "groups")}
    return _convolution(call, "Conv2D", "groups", call["filters"], call["kernel"], **named)


def _standardized(call: OpCall) -> Apply:
    padded, padding = _padded(call)
    named: dict[str, Expression] = {} if padding == '"valid"' else {"padding": padding}
    named |= call.given(stride="stride", dilation="dilation") | call.given(1e-6, epsilon="epsilon")
    named |= call.given(None, gamma="gamma")
    named |= _starts(call, GLOROT_UNIFORM, "initializer", "init")
    return _helper(padded, "standardized_conv", call["filters"], call["kernel"], **named)


def _depthwise(call: OpCall) -> Apply:
    named = {
        **call.given(depth_multiplier="multiplier"),
        **_initial(call, "depthwise", "depthwise"),
    }
    return _convolution(call, "DepthwiseConv2D", "depthwise", call["kernel"], **named)


def _separable(call: OpCall) -> Apply:
    named = {
        **call.given(depth_multiplier="multiplier"),
        **_initial(call, "depthwise", "depthwise"),
    }
    named |= _initial(call, "pointwise")
    return _convolution(
        call, "SeparableConv2D", "pointwise", call["filters"], call["kernel"], **named
    )


def _conv_transpose(call: OpCall) -> Apply:
    plain = call["filters"], call["kernel"]
    named = {**call.given(True, use_bias="bias"), **_initial(call, "kernel")}
    named |= _bias(call, "transposed")
    if call.is_("padding", "same", "valid"):
        padding = {} if call.is_("padding", "valid") else {"padding": call["padding"]}
        window = call.given(strides="stride")
        return _layer(call, "Conv2DTranspose", *plain, **window, **padding, **named)
    more = {} if call.is_("output_padding", 0) else {"output_padding": call["output_padding"]}
    arguments = [*plain, call["stride"], call["padding"]]
    return _helper(call, "conv_transpose_padded", *arguments, **more, **named)


def _dense(call: OpCall) -> Apply:
    named = {**call.given(True, use_bias="bias"), **_initial(call, "kernel")}
    named |= _bias(call, "dense")
    return _layer(call, "Dense", call["units"], **named)


def _batch_norm(call: OpCall) -> Apply:
    named: dict[str, Expression] = {"momentum": call["decay"], "epsilon": call["epsilon"]}
    named |= call.given(True, scale="scale", center="offset")
    if not call.is_("scale", False):
        named |= _starts(call, ONES, "gamma_initializer", "scale_init")
    if not call.is_("offset", False):
        named |= _starts(call, ZEROS, "beta_initializer", "offset_init")
    return _layer(call, "BatchNormalization", **named)


def _affine_norm(call: OpCall, class_name: str, *plain: str) -> Apply:
    named = call.given(True, scale="affine", center="affine")
    return _layer(call, class_name, *plain, epsilon=call["epsilon"], **named)


def _helper(call: OpCall, function: str, *plain: Expression, **named: Expression) -> Apply:
    """A function of helpers.py on the operands."""
    name = LayerName(call.name, call.within)
    return call.apply(function, *call.inputs, *plain, **named, name=name)


def _helped(function: str, *names: str) -> Spelling:
    """The same, on these arguments of the op as they are."""
    return lambda call: _helper(call, function, *(call[name] for name in names))


def _prelu(call: OpCall) -> Apply:
    shared = call.given(False, shared="shared")
    return _helper(call, "parametric_relu", call["init"], **shared)


def _learned(call: OpCall) -> Apply:
    start = _starts(call, GLOROT_UNIFORM, "initializer", "init")["initializer"]
    given = call.given(None, channels="channels") | call.given(size="size")
    return _helper(call, "learned", start, **given)


def _pool(class_name: str) -> Spelling:
    def spell(call: OpCall) -> Apply:
        if call.is_("padding", "zeros"):
            size = call["kernel"], call["stride"]
            return _helper(call, "pool_over_zeros", f"layers.{class_name}", *size)
        if not call.is_("padding", "same") and not _stock_pool(call):
            return _pool_padded(call, class_name)
        named = {"strides": call["stride"], "padding": _pool_padding(call)}
        return _layer(call, class_name, call["kernel"], **named)

    return spell


def _stock_pool(call: OpCall) -> bool:
    """Whether Keras has a name for a pool's padding: `same` is symmetric where nothing strides."""
    kernel, steps = call.pair("kernel"), call.pair("stride")
    if call.is_("padding", "valid"):
        return not call.flag("ceil_mode")
    odd = kernel is not None and all(size % 2 for size in kernel) and steps == (1, 1)
    return odd and call.is_("padding", "symmetric") and not call.flag("count_padding")


def _pool_padding(call: OpCall) -> str:
    return '"same"' if call.is_("padding", "symmetric") else call["padding"]


def _pool_padded(call: OpCall, class_name: str) -> Apply:
    ceil = call.flag("ceil_mode")
    if call.flag("count_padding") and not ceil:
        padded, _ = _padded(call)
        return _layer(padded, class_name, call["kernel"], strides=call["stride"], padding='"valid"')
    named: dict[str, Expression] = {"ceil_mode": "True"} if ceil else {}
    named |= {"count_padding": "True"} if call.flag("count_padding") else {}
    helper = "max_pool_padded" if class_name == "MaxPooling2D" else "avg_pool_padded"
    size = call["kernel"], call["stride"]
    return _helper(call, helper, *size, call["padding"], **named)


def _global_pool(class_name: str) -> Spelling:
    return lambda call: _layer(call, class_name, **call.given(False, keepdims="keepdims"))


def _drop_path(call: OpCall) -> Apply:
    if len(call.ranks) > 1:
        return _helper(call, "drop_samples", call["rate"])
    sample = (None, *[1] * max(call.ranks))
    return _layer(call, "Dropout", call["rate"], noise_shape=repr(sample))


def _resize(call: OpCall) -> Apply:
    """A stock layer for a whole factor, unless corners are aligned, which Keras has no name for."""
    scale, aligned = call.arguments["scale"], call.is_("align_corners", True)
    known = scale.value if isinstance(scale, ex.Literal) else None
    if isinstance(known, int | float) and known == int(known) and not aligned:
        linear = {"interpolation": call["method"]} if call.is_("method", "bilinear") else {}
        return _layer(call, "UpSampling2D", str(int(known)), **linear)
    return _helper(call, "resize_by", call["scale"], call["method"], **_aligned(call))


def _resize_like(call: OpCall) -> Apply:
    return _helper(call, "resize_like", call["method"], **_aligned(call))


def _aligned(call: OpCall) -> dict[str, Expression]:
    return call.given(False, align_corners="align_corners")


def _reshape(call: OpCall) -> Apply:
    channels, *sides = call.numbers("shape")
    return _layer(call, "Reshape", repr((*sides, channels)))


def _activation(call: OpCall) -> Apply:
    if call.is_("act", None):
        return _layer(call, "Identity")
    act, name = call.arguments["act"], LayerName(call.name, call.within)
    known = act.value if isinstance(act, ex.Literal) else None
    if known in ACTIVATIONS:
        labelled = name if call.name == known else replace(name, label=str(known))
        return _layer(call, "Activation", call["act"], name=labelled)
    if known is not None:
        return apply(call["act"], *call.inputs, name=name)
    sure = not call.optional or call.when == act
    known_words = call.applied - {None} <= ACTIVATIONS
    if not isinstance(act, ex.Name) or call.left_open or not (sure and known_words):
        return call.apply("activate", *call.inputs, call["act"], name=name)
    labelled = replace(name, label=call["act"], given=True)
    return _layer(call, "Activation", call["act"], name=labelled)


def _add(call: OpCall) -> Apply:
    """With a helper where the right side has one channel for all of the left's at some call."""
    sides = (body.inputs for body in call.bodies)
    if any(right.channels == 1 and left.shape != right.shape for left, right in sides):
        return _helper(call, "add_channel")
    return _layer(call, "Add")


def _mean(call: OpCall) -> Apply:
    if call.is_("over", "space"):
        return _layer(call, "GlobalAveragePooling2D", keepdims="True")
    return _helper(call, "mean_of_channels")


def _variance(call: OpCall) -> Apply:
    return _helper(call, "variance_over", "(1, 2)" if call.is_("over", "space") else "-1")


OPS: Mapping[str, Spelling] = MappingProxyType(
    {
        "conv2d": _conv2d,
        "depthwise_conv2d": _depthwise,
        "separable_conv2d": _separable,
        "standardized_conv2d": _standardized,
        "conv_transpose2d": _conv_transpose,
        "dense": _dense,
        "batch_norm": _batch_norm,
        "layer_norm": lambda call: _affine_norm(call, "LayerNormalization"),
        "group_norm": lambda call: _affine_norm(call, "GroupNormalization", call["groups"]),
        "l2_normalize": _helped("unit_length", "epsilon"),
        "local_response_norm": _helped("response_norm", "size", "alpha", "beta", "k"),
        "prelu": _prelu,
        "learned": _learned,
        "activation": _activation,
        "max_pool2d": _pool("MaxPooling2D"),
        "avg_pool2d": _pool("AveragePooling2D"),
        "global_avg_pool2d": _global_pool("GlobalAveragePooling2D"),
        "global_max_pool2d": _global_pool("GlobalMaxPooling2D"),
        # Keras's own adaptive layers, which only its late versions have, need a known size, and
        # TensorFlow stops the process where one window of `AdaptiveMaxPooling2D` sees all.
        "adaptive_avg_pool2d": _helped("adaptive_avg_pool", "size"),
        "adaptive_max_pool2d": _helped("adaptive_max_pool", "size"),
        "resize": _resize,
        "resize_like": _resize_like,
        "add": _add,
        "multiply": lambda call: _layer(call, "Multiply"),
        "subtract": lambda call: _layer(call, "Subtract"),
        "divide": _helped("divided"),
        "minimum": lambda call: _layer(call, "Minimum"),
        "mean": _mean,
        "variance": _variance,
        "sqrt": _helped("square_root"),
        "maximum": lambda call: _layer(call, "Maximum"),
        "concat": lambda call: _layer(call, "Concatenate" if len(call.inputs) > 1 else "Identity"),
        "zero_pad2d": lambda call: _layer(call, "ZeroPadding2D", _sides(call, "padding")),
        "crop2d": lambda call: _layer(call, "Cropping2D", _sides(call, "cropping")),
        "pixel_shuffle": _helped("pixel_shuffle", "factor"),
        "pixel_unshuffle": _helped("pixel_unshuffle", "factor"),
        "flatten": lambda call: _layer(call, "Flatten"),
        "reshape": _reshape,
        "slice": _helped("slice_channels", "start", "stop"),
        "split": _helped("split_channels", "parts", "index"),
        "channel_shuffle": _helped("shuffle_channels", "groups"),
        "dropout": lambda call: _layer(call, "Dropout", call["rate"]),
        "drop_path": _drop_path,
        "rescale": lambda call: _layer(
            call, "Rescaling", call["scale"], **call.given(0.0, offset="offset")
        ),
        "identity": lambda call: _layer(call, "Identity"),
    }
)
