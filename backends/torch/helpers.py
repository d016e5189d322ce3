"""What PyTorch has no name for. The emitter copies from here what a network needs, as it stands."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.fx.wrap
def pad_same(x: Tensor, kernel, stride, dilation=(1, 1), value: float = 0.0) -> Tensor:
    """Pad as TensorFlow's "same": ceil(n / stride) outputs, an odd cell of padding last."""
    pads = []
    for n, k, s, d in zip(x.shape[-2:], kernel, stride, dilation, strict=True):
        total = max((k - 1) * d - (n - 1) % s, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads, value=value)


class Conv2dSame(nn.Conv2d):
    """Conv2d with TensorFlow's "same" padding, at any stride."""

    def __init__(self, *args, stride=1, **kwargs) -> None:
        native = "same" if stride in (1, (1, 1)) else "valid"
        super().__init__(*args, stride=stride, padding=native, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding == "valid":
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        return super().forward(x)


class Conv2dPadded(nn.Conv2d):
    """Conv2d padded "same", "symmetric", "valid" or by (top, bottom, left, right)."""

    def __init__(self, *args, padding, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pads = padding

    def forward(self, x: Tensor) -> Tensor:
        if self.pads == "same":
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        elif self.pads == "symmetric":
            sizes = zip(self.kernel_size, self.dilation, strict=True)
            rows, columns = (k // 2 * d for k, d in sizes)
            x = F.pad(x, (columns, columns, rows, rows))
        elif self.pads != "valid":
            top, bottom, left, right = self.pads
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)


class SeparableConv2d(nn.Sequential):
    """A depthwise convolution without a bias, then a 1x1 convolution."""

    def __init__(self, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.pointwise = pointwise


def pair(value):
    """A height and a width: one number stands for both."""
    return (value, value) if isinstance(value, int) else value


class MaxPool2dSame(nn.MaxPool2d):
    """MaxPool2d with TensorFlow's "same" padding, of minus infinity."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, pair(self.kernel_size), pair(self.stride), value=-math.inf)
        return super().forward(x)


class AvgPool2dSame(nn.AvgPool2d):
    """AvgPool2d with TensorFlow's "same" padding, which does not count in the mean."""

    def forward(self, x: Tensor) -> Tensor:
        window = pair(self.kernel_size), pair(self.stride)
        total = super().forward(pad_same(x, *window))
        share = super().forward(pad_same(torch.ones_like(x[:1, :1]), *window))
        return total / share


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that takes vectors, too."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept every rank."""


class Softmax(nn.Softmax):
    """Softmax over the channels."""

    def __init__(self) -> None:
        super().__init__(dim=1)


class GELUTanh(nn.GELU):
    """GELU by its approximation with a hyperbolic tangent."""

    def __init__(self) -> None:
        super().__init__("tanh")


class GlobalAvgPool2d(nn.Module):
    """Mean over height and width, as a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class GlobalMaxPool2d(nn.Module):
    """Largest value over height and width, as a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


class Flatten(nn.Module):
    """A feature map as a vector, ordered by row, column, channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).flatten(1)


class Reshape(nn.Module):
    """The same elements, ordered by row, column, channel, as (channels, height, width)."""

    def __init__(self, channels: int, height: int = 0, width: int = 0) -> None:
        super().__init__()
        self.shape = (height, width, channels) if height else (channels,)

    def forward(self, x: Tensor) -> Tensor:
        y = x.movedim(1, -1).reshape(x.shape[0], *self.shape)
        return y.movedim(-1, 1)


class Crop2d(nn.Module):
    """A feature map without its outer rows and columns."""

    def __init__(self, top: int, bottom: int, left: int, right: int) -> None:
        super().__init__()
        self.pads = (-left, -right, -top, -bottom)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pads)


class Rescale(nn.Module):
    """x * scale + offset."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


def glorot_uniform(layer):
    """`layer` with a Glorot-uniform kernel and a zero bias."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def glorot_normal(layer):
    """`layer` with a truncated Glorot-normal kernel and a zero bias."""
    truncated_normal_(layer.weight, 2.0, sum(fans(layer.weight)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def he_uniform(layer):
    """`layer` with a He-uniform kernel and a zero bias."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def he_normal(layer):
    """`layer` with a truncated He-normal kernel and a zero bias."""
    truncated_normal_(layer.weight, 2.0, fans(layer.weight)[0])
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def lecun_uniform(layer):
    """`layer` with a LeCun-uniform kernel and a zero bias."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def lecun_normal(layer):
    """`layer` with a truncated LeCun-normal kernel and a zero bias."""
    truncated_normal_(layer.weight, 1.0, fans(layer.weight)[0])
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def truncated_normal_(weight: Tensor, scale: float, fan: float) -> None:
    """Draw from a normal cut at two deviations, of variance scale / fan once it is cut."""
    std = math.sqrt(scale / fan) / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def fans(weight: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel."""
    area = weight[0, 0].numel()
    return weight.shape[1] * area, weight.shape[0] * area


def as_depthwise(initialize, layer):
    """`initialize` with the fans of Keras, whose depthwise kernels are (..., in, multiplier)."""
    weight = layer.weight
    transposed = weight.detach().view(-1, layer.in_channels, *layer.kernel_size)
    layer.weight = nn.Parameter(transposed)
    initialize(layer).weight = weight
    return layer
