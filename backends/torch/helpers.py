"""What PyTorch has no name for. The emitter copies from here what a network needs, as it stands."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.fx.wrap
def pad_same(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    value: float = 0.0,
) -> Tensor:
    """Pad as TensorFlow's "same": ceil(n / stride) outputs, an odd cell of padding last."""
    pads: list[int] = []
    for n, k, s, d in zip(x.shape[-2:], kernel, stride, dilation):
        total = max((k - 1) * d - (n - 1) % s, 0)
        pads = [total // 2, total - total // 2] + pads
    return F.pad(x, pads, value=value)


class PadSame(nn.Module):
    """Pad for a window at a stride as TensorFlow's "same", whatever the size."""

    def __init__(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = list(pair(kernel)), list(pair(stride))
        self.dilation = list(pair(dilation))

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, self.kernel, self.stride, self.dilation)
        return x


class Conv2dPadded(nn.Conv2d):
    """Conv2d padded "same", "symmetric", "valid" or by (top, bottom, left, right)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        padding: str | tuple[int, int, int, int],
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.same = padding == "same"
        top, bottom, left, right = (0, 0, 0, 0) if isinstance(padding, str) else padding
        if padding == "symmetric":
            sizes = zip(self.kernel_size, self.dilation)
            rows, columns = (k // 2 * d for k, d in sizes)
            top, bottom, left, right = rows, rows, columns, columns
        self.pads = [left, right, top, bottom]

    def padded(self, x: Tensor) -> Tensor:
        """What the kernel slides over."""
        if self.same:
            kernel, stride = list(self.kernel_size), list(self.stride)
            return pad_same(x, kernel, stride, list(self.dilation))
        return F.pad(x, self.pads)

    def forward(self, x: Tensor) -> Tensor:
        x = self._conv_forward(self.padded(x), self.weight, self.bias)
        return x


class StandardizedConv2d(Conv2dPadded):
    """Convolution by kernels less their mean and by their deviation, filter by filter."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        padding: str | tuple[int, int, int, int],
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        eps: float = 1e-6,
        gamma: float | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=padding,
            stride=stride,
            dilation=dilation,
            bias=False,
        )
        self.eps = eps
        self.factor = 1.0 if gamma is None else gamma * self.weight[0].numel() ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        variance = self.weight.var([1, 2, 3], unbiased=False, keepdim=True)
        weight = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        weight = weight * (self.factor * torch.rsqrt(variance + self.eps))
        return F.conv2d(self.padded(x), weight, None, self.stride, 0, self.dilation)


class ConvTranspose2dPadded(nn.ConvTranspose2d):
    """ConvTranspose2d cropped as "same", "valid", "symmetric" or by (top, bottom, left, right)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        padding: str | tuple[int, int, int, int],
        stride: int | tuple[int, int] = 1,
        output_padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ) -> None:
        crops: list[tuple[int, int]] = []
        sizes = zip(pair(kernel_size), pair(stride), pair(output_padding))
        for axis, (k, s, more) in enumerate(sizes):
            before, after = k // 2, k // 2 - more
            if padding == "same":
                before = max(k - s, 0) // 2
                after = k - s - before
            elif padding == "valid":
                before, after = 0, min(k - s, 0)
            elif not isinstance(padding, str):
                before, after = padding[2 * axis], padding[2 * axis + 1] - more
            crops.append((before, after))
        (top, bottom), (left, right) = crops
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            output_padding=(max(0, -bottom), max(0, -right)),
            bias=bias,
        )
        self.crops = [-left, -max(0, right), -top, -max(0, bottom)]

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        kernel, stride = self.weight, self.stride
        y = F.conv_transpose2d(x, kernel, self.bias, stride, 0, self.output_padding)
        return F.pad(y, self.crops)


class SeparableConv2d(nn.Sequential):
    """A depthwise convolution without a bias, then a 1x1 convolution."""

    def __init__(self, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.pointwise = pointwise


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """A height and a width: one number stands for both."""
    return (value, value) if isinstance(value, int) else value


class MaxPool2dSame(nn.MaxPool2d):
    """MaxPool2d with TensorFlow's "same" padding: of minus infinity, or of zeros that may win."""

    def __init__(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        zeros: bool = False,
    ) -> None:
        super().__init__(pair(kernel), pair(stride))
        self.window = pair(kernel), pair(stride)
        self.outside = 0.0 if zeros else -math.inf

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.window
        x = pad_same(x, list(kernel), list(stride), [1, 1], self.outside)
        x = F.max_pool2d(x, kernel, stride)
        return x


class AvgPool2dSame(nn.AvgPool2d):
    """AvgPool2d with TensorFlow's "same" padding, which does not count; zeros do."""

    def __init__(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        zeros: bool = False,
    ) -> None:
        super().__init__(pair(kernel), pair(stride))
        self.window = pair(kernel), pair(stride)
        self.zeros = zeros

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.window
        total = pad_same(x, list(kernel), list(stride), [1, 1])
        mean = F.avg_pool2d(total, kernel, stride)
        if self.zeros:
            return mean
        ones = torch.ones_like(x[:1, :1])
        share = pad_same(ones, list(kernel), list(stride), [1, 1])
        return mean / F.avg_pool2d(share, kernel, stride)


def pool_pads(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: str | tuple[int, int, int, int],
    ceil_mode: bool,
) -> tuple[list[int], list[int]]:
    """Cells (left, right, top, bottom) of padding, and those that `ceil_mode` adds beyond it.

    So many that one more window, where it starts on the input or before, is a whole one.
    """
    height, width = (k // 2 for k in pair(kernel))
    sides = (height, height, width, width) if isinstance(padding, str) else padding
    top, bottom, left, right = sides
    sizes = zip(pair(kernel), pair(stride), (bottom, right))
    rows, columns = (max(0, min(s - 1, k - 1 - p)) * ceil_mode for k, s, p in sizes)
    return [left, right, top, bottom], [0, columns, 0, rows]


class MaxPool2dPadded(nn.MaxPool2d):
    """MaxPool2d padded "symmetric" or by (top, bottom, left, right), with minus infinity."""

    def __init__(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        padding: str | tuple[int, int, int, int],
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(pair(kernel), pair(stride))
        pads, beyond = pool_pads(kernel, stride, padding, ceil_mode)
        self.window = pair(kernel), pair(stride)
        self.pads = [p + more for p, more in zip(pads, beyond)]

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.window
        return F.max_pool2d(F.pad(x, self.pads, value=-math.inf), kernel, stride)


class AvgPool2dPadded(nn.AvgPool2d):
    """AvgPool2d padded "symmetric" or by (top, bottom, left, right), with what may count."""

    def __init__(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        padding: str | tuple[int, int, int, int],
        *,
        ceil_mode: bool = False,
        count_padding: bool = False,
    ) -> None:
        super().__init__(pair(kernel), pair(stride))
        self.pads, self.beyond = pool_pads(kernel, stride, padding, ceil_mode)
        self.window = pair(kernel), pair(stride)
        self.counted = 1.0 if count_padding else 0.0

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.window
        total = F.pad(F.pad(x, self.pads), self.beyond)
        ones = F.pad(torch.ones_like(x[:1, :1]), self.pads, value=self.counted)
        share = F.pad(ones, self.beyond)
        mean = F.avg_pool2d(total, kernel, stride)
        return mean / F.avg_pool2d(share, kernel, stride)


def sample_nearest(x: Tensor, height: int, width: int, exact: bool) -> Tensor:
    """Cells floor(i * n / m), or those under the centres, floor((i + 1/2) * n / m), exactly."""
    step, start = (2, 1) if exact else (1, 0)
    rows = torch.arange(start, step * height, step, device=x.device) * x.shape[2]
    columns = torch.arange(start, step * width, step, device=x.device) * x.shape[3]
    rows = torch.div(rows, step * height, rounding_mode="floor")
    columns = torch.div(columns, step * width, rounding_mode="floor")
    return x.index_select(2, rows).index_select(3, columns)


class ResizeNearest(nn.Module):
    """A feature map at floor(n * scale) rows and columns, each value the nearest."""

    def __init__(self, scale: float, *, exact: bool = False) -> None:
        super().__init__()
        self.scale = float(scale)
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        height, width = int(x.shape[2] * self.scale), int(x.shape[3] * self.scale)
        return sample_nearest(x, height, width, self.exact)


@torch.fx.wrap
def resize_like(
    x: Tensor,
    like: Tensor,
    method: str,
    align_corners: bool = False,
) -> Tensor:
    """A feature map at the height and width of another."""
    height, width = like.shape[2], like.shape[3]
    if method == "bilinear":
        size = [height, width]
        return F.interpolate(x, size, mode=method, align_corners=align_corners)
    return sample_nearest(x, height, width, method == "nearest_exact")


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that takes vectors, too."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept every rank."""


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each position, or of a vector."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(1, -1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.movedim(-1, 1)


class L2Normalize(nn.Module):
    """x / max(norm, epsilon), with the norm of the channels of each position."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1, eps=self.epsilon)


def with_affine(
    norm: nn.BatchNorm1d | nn.BatchNorm2d,
    scale: bool = True,
    offset: bool = True,
) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """`norm` with a scale, an offset, both or neither."""
    if not scale:
        norm.register_parameter("weight", None)
    if not offset:
        norm.register_parameter("bias", None)
    norm.affine = scale and offset
    return norm


@torch.fx.wrap
def for_each(values: Tensor, like: Tensor) -> Tensor:
    """A map for each sample of `like`; where these are vectors, a vector."""
    y = values.expand(like.shape[0], -1, -1, -1)
    return y if like.dim() == 4 else y.flatten(1)


class Learned(nn.Module):
    """A learned tensor, the same for each sample: a map, or beside vectors a vector."""

    def __init__(self, channels: int, size: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, *pair(size)))

    def forward(self, like: Tensor) -> Tensor:
        return for_each(self.weight, like)


class Softmax(nn.Softmax):
    """Softmax over the channels."""

    def __init__(self) -> None:
        super().__init__(dim=1)


class GELUTanh(nn.GELU):
    """GELU by its approximation with a hyperbolic tangent."""

    def __init__(self) -> None:
        super().__init__("tanh")


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 * x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def as_module(act: nn.Module | Callable[..., nn.Module]) -> nn.Module:
    """`act` itself, or the module that it makes; a softmax is one over the channels."""
    if isinstance(act, nn.Module):
        return act
    return act(dim=1) if act in (nn.Softmax, nn.LogSoftmax) else act()


class GlobalAvgPool2d(nn.Module):
    """Mean over height and width, as a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class GlobalMaxPool2d(nn.Module):
    """Largest value over height and width, as a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


class MeanOver(nn.Module):
    """Mean over some axes, which stay with one element."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(list(self.axes), keepdim=True)


class VarianceOver(nn.Module):
    """Mean square of what differs from the mean over some axes, which stay with one element."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.var(list(self.axes), unbiased=False, keepdim=True)


class Sqrt(nn.Module):
    """Square root of each element."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


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
        y = x.movedim(1, -1).reshape([x.shape[0]] + list(self.shape))
        return y.movedim(-1, 1)


class Crop2d(nn.Module):
    """A feature map without its outer rows and columns."""

    def __init__(self, top: int, bottom: int, left: int, right: int) -> None:
        super().__init__()
        self.pads = (-left, -right, -top, -bottom)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, list(self.pads))


class SliceChannels(nn.Module):
    """Channels from `start` on, up to the one before `stop`."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = start
        self.stop = stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]


class SplitChannels(nn.Module):
    """One of equal parts along the channels."""

    def __init__(self, parts: int, index: int) -> None:
        super().__init__()
        self.parts = parts
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(self.parts, 1)[self.index]


class DropPath(nn.Dropout):
    """While training, drops whole samples of a batch, and scales the others by 1 / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        ones = x.new_ones([x.shape[0]] + [1] * (x.dim() - 1))
        return x * F.dropout(ones, self.p)


class Rescale(nn.Module):
    """x * scale + offset."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


class RescaleChannels(nn.Module):
    """x * scale + offset, with numbers for all channels or one for each."""

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        scale: float | tuple[float, ...],
        offset: float | tuple[float, ...] = 0.0,
    ) -> None:
        super().__init__()
        for name, numbers in (("scale", scale), ("offset", offset)):
            buffer = torch.tensor(numbers, dtype=torch.get_default_dtype())
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        shape = [-1] + [1] * (x.dim() - 2)
        return x * self.scale.view(shape) + self.offset.view(shape)


def glorot_uniform(layer: nn.Module) -> None:
    """A Glorot-uniform kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        zero_bias(layer)


def glorot_normal(layer: nn.Module) -> None:
    """A truncated Glorot-normal kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        truncated_normal(layer.weight, 2.0, sum(fans(layer.weight)))
        zero_bias(layer)


def he_uniform(layer: nn.Module) -> None:
    """A He-uniform kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        zero_bias(layer)


def he_normal(layer: nn.Module) -> None:
    """A truncated He-normal kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        truncated_normal(layer.weight, 2.0, fans(layer.weight)[0])
        zero_bias(layer)


def lecun_uniform(layer: nn.Module) -> None:
    """A LeCun-uniform kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
        zero_bias(layer)


def lecun_normal(layer: nn.Module) -> None:
    """A truncated LeCun-normal kernel and a zero bias, for a layer that has them."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        truncated_normal(layer.weight, 1.0, fans(layer.weight)[0])
        zero_bias(layer)


def zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    """A bias of zeros, where there is one."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_layer(
    layer: nn.Module,
    weight: Callable[[Tensor], object] | None = None,
    bias: Callable[[Tensor], object] | None = None,
) -> None:
    """Give the weight and the bias of a layer, if it has them, their first values."""
    for name, fill in (("weight", weight), ("bias", bias)):
        values = getattr(layer, name, None)
        if fill is not None and isinstance(values, Tensor):
            fill(values)


def scaled_uniform(weight: Tensor, scale: float, fan: float) -> None:
    """Draw from a uniform distribution around 0, of variance scale / fan."""
    bound = math.sqrt(3 * scale / fan)
    nn.init.uniform_(weight, -bound, bound)


def scaled_normal(weight: Tensor, scale: float, fan: float) -> None:
    """Draw from a normal distribution of variance scale / fan."""
    nn.init.normal_(weight, std=math.sqrt(scale / fan))


def truncated_normal(weight: Tensor, scale: float, fan: float) -> None:
    """Draw from a normal that is cut at two standard deviations, of variance scale / fan."""
    # The cut makes the deviation 0.8796 of what it was: sqrt(1 - 4 * pdf(2) / (2 * cdf(2) - 1)).
    std = math.sqrt(scale / fan) / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def fans(weight: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel."""
    area = weight[0, 0].numel()
    return weight.shape[1] * area, weight.shape[0] * area


def as_transposed(
    initialize: Callable[[nn.Module], None],
    layer: nn.ConvTranspose2d,
) -> None:
    """`initialize` as the convolution that `layer` is the transpose of."""
    kernel = layer.kernel_size[0], layer.kernel_size[1]
    whole = nn.Conv2d(layer.out_channels, layer.in_channels, kernel, bias=False)
    whole.weight = layer.weight
    initialize(whole)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def as_depthwise(initialize: Callable[[nn.Module], None], layer: nn.Conv2d) -> None:
    """`initialize` with the fans of Keras, whose depthwise kernels are (..., in, multiplier)."""
    weight = layer.weight
    transposed = weight.detach().view(-1, layer.in_channels, *layer.kernel_size)
    layer.weight = nn.Parameter(transposed)
    initialize(layer)
    layer.weight = weight
