"""Weights that an archive holds in fewer bits than it computes with.

Convolutions and linear layers lie there in half precision or in 8 bits, and are float32
when they run: a scripted module with __setstate__ runs it when it is loaded. A
table of tokens has 8 bits, and the rows that are read become float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv2d(nn.Module):
    """A convolution with a bias, stored in half precision or, if eight, in 8 bits with a
    scale for each channel outward: no weight is off by more than a 254th of the greatest
    of its channel. Its weights are attributes and not parameters, which torch.jit would
    store as they are."""

    weight: Tensor
    scale: Tensor
    bias: Tensor
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    eight: bool
    channels_last: bool
    training: bool

    def __init__(self, conv: nn.Conv2d, eight: bool = False) -> None:
        super().__init__()
        self.eight = eight
        self.channels_last = conv.weight.is_contiguous(memory_format=torch.channels_last)
        weight = conv.weight.detach()
        self.scale = steps(weight) if eight else torch.ones(1)
        self.weight = unpacked(packed(weight, self.scale, eight), self.scale)
        bias = conv.bias
        self.bias = torch.zeros(conv.out_channels) if bias is None else bias.detach().clone()
        self.stride, self.padding, self.dilation = list(conv.stride), list(conv.padding), list(conv.dilation)
        self.groups = conv.groups

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, list[int], list[int], list[int], int, bool, bool, bool]:
        return (
            packed(self.weight, self.scale, self.eight).contiguous(),
            self.scale,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.eight,
            self.channels_last,
            self.training,
        )

    @torch.jit.export
    def __setstate__(
        self, state: tuple[Tensor, Tensor, Tensor, list[int], list[int], list[int], int, bool, bool, bool]
    ) -> None:
        self.channels_last = state[8]
        self.scale = state[1]
        weight = unpacked(state[0], self.scale)
        if self.channels_last:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = weight
        self.bias = state[2]
        self.stride, self.padding, self.dilation, self.groups = state[3], state[4], state[5], state[6]
        self.eight = state[7]
        self.training = state[9]


class Linear(nn.Module):
    """A linear layer, likewise, with a scale for each row."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    eight: bool
    training: bool

    def __init__(self, linear: nn.Linear, eight: bool = False) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.eight, self.scale = eight, steps(weight) if eight else torch.ones(1)
        self.weight = unpacked(packed(weight, self.scale, eight), self.scale)
        self.bias = None if linear.bias is None else linear.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor | None, bool, bool]:
        return (packed(self.weight, self.scale, self.eight), self.scale, self.bias, self.eight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor | None, bool, bool]) -> None:
        self.weight = unpacked(state[0], state[1])
        self.scale, self.bias = state[1], state[2]
        self.eight, self.training = state[3], state[4]


class Table(nn.Module):
    """An embedding in 8 bits, with a scale for each row. No number is off by more than a
    254th of the greatest of its row."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        weight = table.weight.detach().float()
        scale = weight.abs().amax(1, keepdim=True) / 127
        self.register_buffer("rows", (weight / scale.clamp(min=1e-12)).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rows[tokens] * self.scale[tokens]


def steps(weight: Tensor) -> Tensor:
    """Returns the scale of each channel outward, in the weight's dimensions, for 8 bits."""
    return weight.abs().amax(list(range(1, weight.dim())), keepdim=True).clamp(min=1e-12) / 127


def packed(weight: Tensor, scale: Tensor, eight: bool) -> Tensor:
    """Returns weights as an archive holds them, in their memory format."""
    return (weight / scale).round().to(torch.int8) if eight else weight.to(torch.float16)


def unpacked(weight: Tensor, scale: Tensor) -> Tensor:
    """Returns float32 weights of what packed returned."""
    return weight.to(torch.float32) * scale


def shrink(root: nn.Module, eight: bool = False) -> None:
    """Replaces, in place, each convolution and linear layer of 4,096 weights or more by one
    that is stored in half precision or, if eight, in 8 bits; and each table by one of 8
    bits. Fewer weights aren't worth the code."""
    for name, child in list(root.named_children()):
        if isinstance(child, nn.Conv2d) and child.weight.numel() >= 4096:
            setattr(root, name, Conv2d(child, eight).train(child.training))
        elif isinstance(child, nn.Linear) and child.weight.numel() >= 4096:
            setattr(root, name, Linear(child, eight).train(child.training))
        elif isinstance(child, nn.Embedding):
            setattr(root, name, Table(child).train(child.training))
        else:
            shrink(child, eight)
