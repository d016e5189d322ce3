"""What frameworks and papers call things that have one name here.

A spec says each thing by one name. Whoever writes another that is known is told which.
"""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = {
    # Activations
    "swish": "silu",
    "hard_swish": "hardswish h_swish hswish hard_silu",
    "hard_sigmoid": "hardsigmoid h_sigmoid hsigmoid",
    "hard_tanh": "hardtanh",
    "leaky_relu": "leakyrelu lrelu",
    "gelu_tanh": "gelu_new gelu_approximate approximate_gelu",
    "quick_gelu": "quickgelu gelu_quick",
    "none": "linear identity noop",
    # Initializers
    "glorot_uniform": "xavier_uniform xavier glorot",
    "glorot_normal": "xavier_normal",
    "he_uniform": "kaiming_uniform",
    "he_normal": "kaiming_normal kaiming msra he",
    # Arguments
    "filters": "channels out_channels output_channels out num_filters features",
    "units": "out_features channels features num_classes",
    "kernel": "kernel_size pool_size window_size size k",
    "stride": "strides s",
    "padding": "pad pads",
    "dilation": "dilation_rate dilations rate",
    "groups": "group num_groups",
    "multiplier": "depth_multiplier channel_multiplier",
    "bias": "use_bias",
    "init": "initializer kernel_initializer initialiser",
    "epsilon": "eps",
    "decay": "momentum",
    "rate": "p drop_rate drop_prob drop keep_prob",
    "keepdims": "keepdim keep_dims",
    "x": "input inputs tensor",
    "act": "activation nonlinearity activation_fn act_layer",
    # Ops
    "conv2d": "conv convolution convolution2d conv_2d",
    "depthwise_conv2d": "depthwise depthwise_conv dwconv depthwiseconv2d conv2d_depthwise",
    "separable_conv2d": "separable separable_conv sepconv separableconv2d",
    "dense": "linear fc fully_connected",
    "batch_norm": "batchnorm batchnorm2d bn batch_normalization batchnormalization",
    "activation": "act nonlinearity",
    "max_pool2d": "maxpool maxpool2d max_pool max_pooling2d maxpooling2d",
    "avg_pool2d": "avgpool avgpool2d avg_pool average_pool average_pooling2d averagepooling2d",
    "global_avg_pool2d": "global_avg_pool gap global_average_pooling2d globalaveragepooling2d",
    "global_max_pool2d": "global_max_pool gmp global_max_pooling2d globalmaxpooling2d",
    "add": "sum plus",
    "subtract": "sub minus",
    "multiply": "mul times product",
    "divide": "div quotient",
    "maximum": "max",
    "minimum": "min",
    "concat": "concatenate cat concatenation",
    "zero_pad2d": "zero_pad zeropad2d zero_padding2d zeropadding2d pad",
    "crop2d": "crop cropping2d",
    "rescale": "rescaling scale",
    "resize": "upsample upsample2d upsampling2d up_sampling2d interpolate",
    "slice": "narrow",
    "split": "chunk",
    "channel_shuffle": "shuffle channelshuffle shuffle_channels",
    "mean": "reduce_mean average",
    "variance": "var reduce_variance",
}

UNITS: Mapping[tuple[str, str | None], str] = {
    ("momentum", "decay"): "1 minus PyTorch's momentum, and Keras's as it is",
    ("keep_prob", "rate"): "1 minus the share that is kept",
}
"""What a number becomes under the name that it has here, by both names."""


def plain(word: str) -> str:
    """`word` as the table has it: in small letters."""
    return word.lower()


def _by_other_name() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, others in _NAMES.items():
        for other in others.split():
            found[other] = (*found.get(other, ()), name)
    return found


OTHER_NAMES: Mapping[str, tuple[str, ...]] = _by_other_name()
"""The names here that another name may stand for, in the order of what is likely meant."""
