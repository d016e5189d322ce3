"""What Keras has no name for. The emitter copies from here what a network needs, as it stands."""

from keras import layers


def pad(x, padding, kernel, dilation=1, *, name):
    """Zeros for a padding that Keras has no name for: "symmetric", or four numbers."""
    if padding == "symmetric":
        kernel, dilation = ((n, n) if isinstance(n, int) else n for n in (kernel, dilation))
        rows, columns = (k // 2 * d for k, d in zip(kernel, dilation, strict=True))
        padding = (rows, rows, columns, columns)
    if padding in ("same", "valid") or not any(padding):
        return x
    top, bottom, left, right = padding
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(x)
