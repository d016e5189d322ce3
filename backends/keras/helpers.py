"""What Keras has no name for. The emitter copies from here what a network needs, as it stands."""

from collections.abc import Callable

import keras
from keras import layers


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """A height and a width: one number stands for both."""
    return (value, value) if isinstance(value, int) else value


def pad(
    x: keras.KerasTensor,
    padding: str | tuple[int, int, int, int],
    kernel: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    *,
    name: str,
) -> keras.KerasTensor:
    """Zeros for a padding that Keras has no name for: "symmetric", or four numbers."""
    if padding == "symmetric":
        sizes = zip(pair(kernel), pair(dilation), strict=True)
        rows, columns = (k // 2 * d for k, d in sizes)
        padding = (rows, rows, columns, columns)
    if padding in ("same", "valid") or not any(padding):
        return x
    top, bottom, left, right = padding
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(x)


def pool_over_zeros(
    x: keras.KerasTensor,
    pool: type[layers.Layer],
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    *,
    name: str,
) -> keras.KerasTensor:
    """Pooling padded as "same" with zeros, which count, at sizes that need not be known.

    Whole strides of zeros around the input leave the windows where they are; the outputs that
    they add are cut off.
    """
    sizes = [*zip(pair(kernel), pair(stride), strict=True)]
    margins = [-(-(k - 1) // s) for k, s in sizes]
    zeros = [margin * s for margin, (_, s) in zip(margins, sizes, strict=True)]
    x = layers.ZeroPadding2D(zeros, name=f"{name}-zeros")(x)
    x = pool(kernel, strides=stride, padding="same", name=f"{name}-pool")(x)
    return layers.Cropping2D(margins, name=name)(x)


def drop_samples(x: keras.KerasTensor, rate: float, *, name: str) -> keras.KerasTensor:
    """Dropout of whole samples, be they feature maps or vectors."""
    sample = (None, *[1] * (len(x.shape) - 1))
    return layers.Dropout(rate, noise_shape=sample, name=name)(x)


def parametric_relu(
    x: keras.KerasTensor,
    init: float,
    shared: bool = False,
    *,
    name: str,
) -> keras.KerasTensor:
    """PReLU with a slope for each channel, or one that all share, at all positions."""
    axes = [*range(1, len(x.shape) - (not shared))]
    start = keras.initializers.Constant(init)
    return layers.PReLU(start, shared_axes=axes, name=name)(x)


def unit_length(
    x: keras.KerasTensor,
    epsilon: float,
    *,
    name: str,
) -> keras.KerasTensor:
    """x / max(norm, epsilon), with a gradient where all channels are zero, too."""
    squares = keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True)
    inverse = keras.ops.rsqrt(keras.ops.maximum(squares, epsilon**2))
    return layers.Multiply(name=name)([x, inverse])


def response_norm(
    x: keras.KerasTensor,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    name: str,
) -> keras.KerasTensor:
    """x / (k + alpha * mean) ** beta, with the mean of the squares of `size` channels."""
    sides = (size // 2, (size - 1) // 2)
    y = keras.ops.pad(keras.ops.square(x), ((0, 0), (0, 0), (0, 0), sides))
    y = keras.ops.expand_dims(y, -1)
    y = keras.ops.average_pool(y, (1, 1, size), 1, "valid", "channels_last")
    y = keras.ops.power(keras.ops.squeeze(y, -1) * alpha + k, -beta)
    return layers.Multiply(name=name)([x, y])


def activate(
    x: keras.KerasTensor,
    act: str | Callable[..., keras.KerasTensor] | None,
    *,
    name: str,
) -> keras.KerasTensor:
    """Apply a name that Keras knows, a layer, or a function of tensors, such as a block here."""
    if act is None:
        return layers.Identity(name=name)(x)
    if isinstance(act, layers.Layer):
        return act(x)
    if callable(act) and act.__module__ == __name__:
        return act(x, name=name)
    label = act if isinstance(act, str) else getattr(act, "__name__", "activation")
    return layers.Activation(act, name=f"{name}--{label}")(x)


def as_layer(
    compute: Callable[..., keras.KerasTensor],
    *inputs: keras.KerasTensor,
    name: str,
) -> keras.KerasTensor:
    """Apply operations, whose names are Keras's own and must not meet those of layers."""
    own = [keras.Input(x.shape[1:], dtype=x.dtype) for x in inputs]
    y = keras.Model(own, compute(*own), name=f"{name}-ops")([*inputs])
    return layers.Identity(name=name)(y)


def slice_channels(
    x: keras.KerasTensor,
    start: int,
    stop: int,
    *,
    name: str,
) -> keras.KerasTensor:
    """Channels from `start` on, up to the one before `stop`."""
    return as_layer(lambda x: x[..., start:stop], x, name=name)


def split_channels(
    x: keras.KerasTensor,
    parts: int,
    index: int,
    *,
    name: str,
) -> keras.KerasTensor:
    """One of equal parts along the channels."""
    size = x.shape[-1] // parts
    return slice_channels(x, index * size, (index + 1) * size, name=name)


def shuffle_channels(
    x: keras.KerasTensor,
    groups: int,
    *,
    name: str,
) -> keras.KerasTensor:
    """Channels as (groups, channels of a group), transposed."""
    size = x.shape[-1] // groups
    order = [group * size + i for i in range(size) for group in range(groups)]
    return as_layer(lambda x: keras.ops.take(x, order, axis=-1), x, name=name)


def divided(
    left: keras.KerasTensor,
    right: keras.KerasTensor,
    *,
    name: str,
) -> keras.KerasTensor:
    """left / right."""
    return as_layer(keras.ops.divide, left, right, name=name)


def mean_of_channels(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Mean over the channels, as one channel."""
    return as_layer(lambda x: keras.ops.mean(x, axis=-1, keepdims=True), x, name=name)


def variance_over(
    x: keras.KerasTensor,
    axes: int | tuple[int, int],
    *,
    name: str,
) -> keras.KerasTensor:
    """Mean square of what differs from the mean over some axes, which stay with one element."""
    return as_layer(lambda x: keras.ops.var(x, axis=axes, keepdims=True), x, name=name)


def square_root(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Square root of each element."""
    return as_layer(keras.ops.sqrt, x, name=name)


def leaky_relu(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """x where it is positive, 0.01 * x where it is not."""
    return layers.LeakyReLU(negative_slope=0.01, name=name)(x)


def gelu_tanh(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """GELU by its approximation with a hyperbolic tangent, of layers that Keras has."""
    y = layers.Multiply(name=f"{name}-square")([x, x])
    slope = 0.7978845608028654  # sqrt(2 / pi)
    y = layers.Rescaling(0.044715 * slope, slope, name=f"{name}-slope")(y)
    y = layers.Multiply(name=f"{name}-inner")([x, y])
    y = layers.Activation("tanh", name=f"{name}-tanh")(y)
    y = layers.Rescaling(0.5, 0.5, name=f"{name}-share")(y)
    return layers.Multiply(name=f"{name}--gelu_tanh")([x, y])


def quick_gelu(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """x * sigmoid(1.702 * x), of layers that Keras has."""
    y = layers.Rescaling(1.702, name=f"{name}-slope")(x)
    y = layers.Activation("sigmoid", name=f"{name}-sigmoid")(y)
    return layers.Multiply(name=f"{name}--quick_gelu")([x, y])
