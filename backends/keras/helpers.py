"""What Keras has no name for. The emitter copies from here what a network needs, as it stands."""

from keras import layers


def pair(value):
    """A height and a width: one number stands for both."""
    return (value, value) if isinstance(value, int) else value


def pad(x, padding, kernel, dilation=1, *, name):
    """Zeros for a padding that Keras has no name for: "symmetric", or four numbers."""
    if padding == "symmetric":
        sizes = zip(pair(kernel), pair(dilation), strict=True)
        rows, columns = (k // 2 * d for k, d in sizes)
        padding = (rows, rows, columns, columns)
    if padding in ("same", "valid") or not any(padding):
        return x
    top, bottom, left, right = padding
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(x)
