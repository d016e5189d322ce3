"""What may be a name: of a network, block, step, row, parameter or tap."""

from __future__ import annotations

import keyword

from archc.compiler.language.expressions import FUNCTIONS
from archc.compiler.language.problems import Invalid, quote

MAX_NAME = 64

INPUT = "input"
"""What a sole input is called."""
FEATURES = "forward_features"
"""The method of a generated module that returns its taps."""

# Words of the expression language, and those that generated code gives a meaning of its own.
WORDS = frozenset({"none", "true", "false", "self", *FUNCTIONS})

# Attributes of torch.nn.Sequential. A submodule of such a name would hide a method of PyTorch's; a
# test compares this list with the class itself.
MODULE_ATTRIBUTES = frozenset(
    """
    T_destination add_module append apply bfloat16 buffers call_super_init children compile cpu
    cuda double dump_patches eval extend extra_repr float forward get_buffer get_extra_state
    get_parameter get_submodule half insert ipu load_state_dict modules mtia named_buffers
    named_children named_modules named_parameters parameters pop register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    """.split()  # noqa: SIM905
)

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

GENERATED = frozenset(
    """
    activate activation_for adaptive_avg_pool adaptive_max_pool adaptive_windows as_depthwise
    as_layer as_module as_transposed auxiliary avg_pool_padded AvgPool2dPadded AvgPool2dSame
    axis_cells BatchNorm Callable Conv2dPadded conv_transpose_padded ConvTranspose2dPadded Crop2d
    divided drop_samples DropPath F fans features features_only Flatten for_each gelu_tanh GELUTanh
    GlobalAvgPool2d GlobalMaxPool2d glorot_normal glorot_uniform he_normal he_uniform init_layer
    init_weights input_shape inputs keras kernel_area L2Normalize LayerNorm2d layers leaky_relu
    Learned learned lecun_normal lecun_uniform math max_pool_padded MaxPool2dPadded MaxPool2dSame
    mean_of_channels MeanOver nn outputs own_cells pad pad_same PadSame pair parametric_relu
    pixel_shuffle pixel_unshuffle pool_over_zeros pool_pads quick_gelu QuickGELU
    require_channels_last Rescale RescaleChannels Reshape resize_by resize_like ResizeNearest
    response_norm sample_axis sample_nearest scaled_cells scaled_normal scaled_truncated_normal
    scaled_uniform SeparableConv2d shuffle_channels slice_channels SliceChannels Softmax
    split_channels SplitChannels Sqrt square_root standardized_conv StandardizedConv2d super Tensor
    torch truncated_normal unit_length variance_over VarianceOver with_affine x zero_bias
    """.split()  # noqa: SIM905
)
"""Names that the code of a model, in some backend, uses itself where it also uses those that its
users know: its own and its arguments'. A test compares them with the backends."""


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
    if text in GENERATED:
        message = f"`{text}` cannot name {what}: generated code uses the name itself"
        raise Invalid("E013", message, f"try `{text}_`")
    return text


def check_input_name(text: str) -> str:
    """`text` if one of several inputs may be called so. Raises `Invalid` (E013)."""
    return check_argument_name(check_name(text), "an input")


def check_module_name(text: str) -> str:
    """`text` if a step or a row may be called so. Raises `Invalid` (E013)."""
    check_name(text)
    if text in MODULE_ATTRIBUTES or text == FEATURES:
        message = f"`{text}` cannot name a layer: PyTorch's modules have an attribute of that name"
        raise Invalid("E013", message, f"try `{text}_layer`")
    return text
