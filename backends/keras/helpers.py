"""What Keras has no name for. The emitter copies from here what a network needs, as it stands."""

from collections.abc import Callable

import keras
from keras import layers


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """A height and a width: one number stands for both."""
    return (value, value) if isinstance(value, int) else value


def kernel_area(kernel: int | tuple[int, int]) -> int:
    """Height times width."""
    height, width = pair(kernel)
    return height * width


def scaled_normal(scale: float, fan: float) -> keras.initializers.Initializer:
    """A normal distribution of variance scale / fan."""
    return keras.initializers.RandomNormal(stddev=(scale / fan) ** 0.5)


def scaled_truncated_normal(scale: float, fan: float) -> keras.initializers.Initializer:
    """A normal distribution that is cut at two standard deviations, of variance scale / fan."""
    # The cut makes the deviation 0.8796 of what it was: sqrt(1 - 4 * pdf(2) / (2 * cdf(2) - 1)).
    std = (scale / fan) ** 0.5 / 0.87962566103423978
    return keras.initializers.TruncatedNormal(stddev=std)


def scaled_uniform(scale: float, fan: float) -> keras.initializers.Initializer:
    """A uniform distribution around 0, of variance scale / fan."""
    limit = (3 * scale / fan) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)


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
    if isinstance(padding, str) or not any(padding):
        return x
    top, bottom, left, right = padding
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(x)


def standardized_conv(
    x: keras.KerasTensor,
    filters: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: str = "valid",
    dilation: int | tuple[int, int] = 1,
    epsilon: float = 1e-6,
    gamma: float | None = None,
    initializer: str | keras.initializers.Initializer = "glorot_uniform",
    name: str,
) -> keras.KerasTensor:
    """Convolution by kernels less their mean and by their deviation, filter by filter."""
    height, width = pair(kernel)
    shape = (height, width, x.shape[-1], filters)
    scale = 1.0 if gamma is None else gamma * (height * width * x.shape[-1]) ** -0.5

    def convolve(x: keras.KerasTensor, own: keras.KerasTensor) -> keras.KerasTensor:
        own, axes = own[0], (0, 1, 2)
        variance = keras.ops.var(own, axis=axes, keepdims=True)
        own = (own - keras.ops.mean(own, axis=axes, keepdims=True)) * scale
        own = own * keras.ops.rsqrt(variance + epsilon)
        return keras.ops.conv(x, own, stride, padding, "channels_last", dilation)

    one = as_layer(lambda x: keras.ops.ones_like(x[:1, 0, 0, 0]), x, name=f"{name}-one")
    own = layers.EinsumDense(
        "b,hwio->bhwio",
        shape,
        kernel_initializer=initializer,
        name=name,
    )(one)
    return as_layer(convolve, x, own, name=f"{name}--conv")


def conv_transpose_padded(
    x: keras.KerasTensor,
    filters: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: str | tuple[int, int, int, int],
    *,
    output_padding: int | tuple[int, int] = 0,
    use_bias: bool = True,
    kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
    bias_initializer: str | keras.initializers.Initializer = "zeros",
    name: str,
) -> keras.KerasTensor:
    """Conv2DTranspose cropped as PyTorch does: "symmetric", or by four numbers.

    A row of zeros makes `stride` rows more, where padding of the output goes beyond the kernel.
    """
    crops, zeros = [], []
    sizes = zip(pair(kernel), pair(stride), pair(output_padding), strict=True)
    for axis, (k, s, more) in enumerate(sizes):
        half = (k // 2, k // 2)
        before, after = half if isinstance(padding, str) else padding[2 * axis :][:2]
        after += max(s - k, 0) - more
        zeros.append((0, int(after < 0)))
        crops.append((before, after + s if after < 0 else after))
    if zeros != [(0, 0), (0, 0)]:
        x = layers.ZeroPadding2D(zeros, name=f"{name}-pad")(x)
    x = layers.Conv2DTranspose(
        filters,
        kernel,
        strides=stride,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        bias_initializer=bias_initializer,
        name=name,
    )(x)
    return layers.Cropping2D(crops, name=f"{name}--crop")(x)


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


def pool_pads(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: str | tuple[int, int, int, int],
    ceil_mode: bool,
) -> tuple[list[list[int]], list[list[int]]]:
    """Padding of "symmetric", "valid" or four numbers, and what `ceil_mode` adds beyond it.

    So many cells that one more window, where it starts on the input or before, is a whole one.
    """
    height, width = (k // 2 if padding == "symmetric" else 0 for k in pair(kernel))
    sides = (height, height, width, width) if isinstance(padding, str) else padding
    top, bottom, left, right = sides
    sizes = zip(pair(kernel), pair(stride), (bottom, right), strict=True)
    rows, columns = (max(0, min(s - 1, k - 1 - p)) * ceil_mode for k, s, p in sizes)
    pads = [[0, 0], [top, bottom], [left, right], [0, 0]]
    return pads, [[0, 0], [0, rows], [0, columns], [0, 0]]


def as_layer(
    compute: Callable[..., keras.KerasTensor],
    *inputs: keras.KerasTensor,
    name: str,
) -> keras.KerasTensor:
    """Apply operations, whose names are Keras's own and must not meet those of layers."""
    own = [keras.Input(x.shape[1:], dtype=x.dtype) for x in inputs]
    y = keras.Model(own, compute(*own), name=f"{name}-ops")([*inputs])
    return layers.Identity(name=name)(y)


def max_pool_padded(
    x: keras.KerasTensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: str | tuple[int, int, int, int],
    *,
    ceil_mode: bool = False,
    name: str,
) -> keras.KerasTensor:
    """MaxPooling2D padded with minus infinity, for a padding that Keras has no name for."""
    sides = zip(*pool_pads(kernel, stride, padding, ceil_mode), strict=True)
    pads = [[before, after + more] for (before, after), (_, more) in sides]
    x = as_layer(
        lambda x: keras.ops.pad(x, pads, constant_values=-float("inf")),
        x,
        name=f"{name}-pad",
    )
    return layers.MaxPooling2D(kernel, strides=stride, name=name)(x)


def avg_pool_padded(
    x: keras.KerasTensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: str | tuple[int, int, int, int],
    *,
    ceil_mode: bool = False,
    count_padding: bool = False,
    name: str,
) -> keras.KerasTensor:
    """AveragePooling2D over what counts alone, for a padding that Keras has no name for."""
    pads, beyond = pool_pads(kernel, stride, padding, ceil_mode)

    def mean(x: keras.KerasTensor) -> keras.KerasTensor:
        ones = keras.ops.ones_like(x[..., :1])
        ones = keras.ops.pad(ones, pads, constant_values=float(count_padding))
        x = keras.ops.pad(keras.ops.pad(x, pads), beyond)
        pool = layers.AveragePooling2D(kernel, strides=stride)
        return pool(x) / pool(keras.ops.pad(ones, beyond))

    return as_layer(mean, x, name=name)


def resize_by(
    x: keras.KerasTensor,
    scale: float,
    method: str,
    *,
    align_corners: bool = False,
    name: str,
) -> keras.KerasTensor:
    """A feature map at floor(n * scale) rows and columns."""

    def resize(x: keras.KerasTensor) -> keras.KerasTensor:
        y = sample_axis(x, 1, scaled_cells(x, 1, scale), method, align_corners)
        return sample_axis(y, 2, scaled_cells(x, 2, scale), method, align_corners)

    return as_layer(resize, x, name=name)


def resize_like(
    x: keras.KerasTensor,
    like: keras.KerasTensor,
    method: str,
    *,
    align_corners: bool = False,
    name: str,
) -> keras.KerasTensor:
    """A feature map at the height and width of another."""

    def resize(x: keras.KerasTensor, like: keras.KerasTensor) -> keras.KerasTensor:
        y = sample_axis(x, 1, axis_cells(like, 1), method, align_corners)
        return sample_axis(y, 2, axis_cells(like, 2), method, align_corners)

    return as_layer(resize, x, like, name=name)


def adaptive_avg_pool(
    x: keras.KerasTensor,
    size: int | tuple[int, int],
    *,
    name: str,
) -> keras.KerasTensor:
    """The mean of each of `size` windows, at heights and widths that need not be known."""

    def pool(x: keras.KerasTensor) -> keras.KerasTensor:
        for axis, count in enumerate(pair(size), 1):
            seen = keras.ops.cast(adaptive_windows(x, axis, count), x.dtype)
            seen = seen / keras.ops.sum(seen, axis=1, keepdims=True)
            x = keras.ops.einsum(("bhwc,nh->bnwc", "bhwc,nw->bhnc")[axis - 1], x, seen)
        return x

    return as_layer(pool, x, name=name)


def adaptive_max_pool(
    x: keras.KerasTensor,
    size: int | tuple[int, int],
    *,
    name: str,
) -> keras.KerasTensor:
    """The largest value in each of `size` windows, at heights and widths that need not be known."""

    def pool(x: keras.KerasTensor) -> keras.KerasTensor:
        for axis, count in enumerate(pair(size), 1):
            seen = adaptive_windows(x, axis, count)
            seen = keras.ops.reshape(seen, (count, -1, *[1] * (3 - axis)))
            every = [keras.ops.where(seen[i], x, -float("inf")) for i in range(count)]
            x = keras.ops.stack([keras.ops.max(each, axis) for each in every], axis)
        return x

    return as_layer(pool, x, name=name)


def pixel_shuffle(
    x: keras.KerasTensor,
    factor: int,
    *,
    name: str,
) -> keras.KerasTensor:
    """Channels c * factor**2 + i * factor + j as the cells (i, j) of pixels of channel c."""

    def shuffle(x: keras.KerasTensor) -> keras.KerasTensor:
        height, width, channels = x.shape[1:]
        fewer = channels // factor**2
        if height is None or width is None:
            order = [c * factor**2 + k for k in range(factor**2) for c in range(fewer)]
            return keras.ops.depth_to_space(keras.ops.take(x, order, axis=-1), factor)
        y = keras.ops.reshape(x, (-1, height, width, fewer, factor, factor))
        y = keras.ops.transpose(y, (0, 1, 4, 2, 5, 3))
        return keras.ops.reshape(y, (-1, height * factor, width * factor, fewer))

    return as_layer(shuffle, x, name=name)


def pixel_unshuffle(
    x: keras.KerasTensor,
    factor: int,
    *,
    name: str,
) -> keras.KerasTensor:
    """The cells (i, j) of pixels of channel c as channels c * factor**2 + i * factor + j."""

    def unshuffle(x: keras.KerasTensor) -> keras.KerasTensor:
        height, width, channels = x.shape[1:]
        if height is None or width is None:
            cells = range(factor**2)
            order = [k * channels + c for c in range(channels) for k in cells]
            return keras.ops.take(keras.ops.space_to_depth(x, factor), order, axis=-1)
        rows, columns = height // factor, width // factor
        y = keras.ops.reshape(x, (-1, rows, factor, columns, factor, channels))
        y = keras.ops.transpose(y, (0, 1, 3, 5, 2, 4))
        return keras.ops.reshape(y, (-1, rows, columns, channels * factor**2))

    return as_layer(unshuffle, x, name=name)


def adaptive_windows(x: keras.KerasTensor, axis: int, count: int) -> keras.KerasTensor:
    """Which cells each window sees: from floor(i * n / count) to ceil((i + 1) * n / count)."""
    cells = own_cells(x, axis)
    n, i = cells[-1] + 1, keras.ops.arange(count, dtype="int32")[:, None]
    start, end = i * n // count, (i * n + n + count - 1) // count
    return keras.ops.logical_and(cells >= start, cells < end)


def own_cells(x: keras.KerasTensor, axis: int) -> keras.KerasTensor:
    """0, 1, ... along the rows or columns; a constant where their number is known."""
    n = x.shape[axis]
    return axis_cells(x, axis) if n is None else keras.ops.arange(n, dtype="int32")


def axis_cells(x: keras.KerasTensor, axis: int) -> keras.KerasTensor:
    """0, 1, ... along the rows or columns, whose number need not be known."""
    line = x[0, :, 0, 0] if axis == 1 else x[0, 0, :, 0]
    return keras.ops.cumsum(keras.ops.ones_like(line, dtype="int32")) - 1


def scaled_cells(x: keras.KerasTensor, axis: int, scale: float) -> keras.KerasTensor:
    """0, 1, ... up to floor(n * scale), where n need not be known if the scale is exact."""
    if x.shape[axis] is not None:
        return keras.ops.arange(int(x.shape[axis] * scale), dtype="int32")
    times, over = float(scale).as_integer_ratio()
    if times > 4096 or over > 4096:
        raise ValueError(f"to resize by {scale}, height and width must be known")
    line = keras.ops.repeat(axis_cells(x, axis), times)
    line = keras.ops.cast(keras.ops.reshape(line, (1, -1, 1)), "float32")
    line = keras.ops.max_pool(line, over, over)  # floor(n * times / over) of them
    return keras.ops.cumsum(keras.ops.ones_like(line[0, :, 0], dtype="int32")) - 1


def sample_axis(
    x: keras.KerasTensor,
    axis: int,
    new: keras.KerasTensor,
    method: str,
    align_corners: bool,
) -> keras.KerasTensor:
    """Rows or columns at the places of `new` ones; places are fractions of whole numbers."""
    n = own_cells(x, axis)[-1] + 1
    m = new[-1] + 1
    if align_corners:
        place, unit = new * (n - 1), keras.ops.maximum(m - 1, 1)
    elif method == "nearest":
        place, unit = new * n, m
    else:
        place, unit = (2 * new + 1) * n, 2 * m
    if method != "bilinear":
        return keras.ops.take(x, place // unit, axis)
    place = place if align_corners else keras.ops.maximum(place - m, 0)
    low = place // unit
    high = keras.ops.minimum(low + 1, n - 1)
    share = keras.ops.cast(place % unit, x.dtype) / keras.ops.cast(unit, x.dtype)
    share = keras.ops.reshape(share, (-1, 1) if axis == 2 else (-1, 1, 1))
    near, far = keras.ops.take(x, low, axis), keras.ops.take(x, high, axis)
    return near * (1 - share) + far * share


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


def add_channel(
    x: keras.KerasTensor,
    channel: keras.KerasTensor,
    *,
    name: str,
) -> keras.KerasTensor:
    """x + channel, whose one channel stands for all of x's."""
    # Keras on TensorFlow may add one channel as a bias, where the batch is as large as one is long.
    minus = layers.Rescaling(-1.0, name=f"{name}-minus")(channel)
    return layers.Subtract(name=name)([x, minus])


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


def learned(
    like: keras.KerasTensor,
    initializer: str | keras.initializers.Initializer,
    channels: int | None = None,
    *,
    size: int | tuple[int, int] = 1,
    name: str,
) -> keras.KerasTensor:
    """A learned tensor, the same for each sample: a map, or beside vectors a vector."""
    is_map = len(like.shape) == 4
    shape = (*(pair(size) if is_map else ()), channels or like.shape[-1])
    ones = as_layer(
        lambda x: keras.ops.ones_like(x[:, 0, 0, 0] if is_map else x[:, 0]),
        like,
        name=f"{name}-ones",
    )
    axes = "hwc" if is_map else "c"
    return layers.EinsumDense(
        f"b,{axes}->b{axes}",
        shape,
        kernel_initializer=initializer,
        name=name,
    )(ones)


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
