"""Makes batch norms cost less at evaluation.

At evaluation a norm is a fixed scale and shift per channel. In bfloat16 its own
arithmetic would lose digits and cost a pass over the activations; folded in float32
before the cast it costs neither. In float32 only the built-in drawing tower is folded
(photoclip.py). Other float32 exports are not, so that they equal the reference to the
digit. But torchvision's FrozenBatchNorm2d makes its scale and shift anew for each
picture, in seven operations of ten; these are made once.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

Norm = nn.BatchNorm2d | FrozenBatchNorm2d


def fold_norms(root: nn.Module, example: Tensor) -> None:
    """Folds, in place, each norm that is registered right after a convolution of its
    width.

    In torchvision's and open_clip's networks the order of registration is the order of
    use. In others folding could make another network. So root(example) is compared before
    and after: ValueError is raised if an output changes by 0.1 % of its largest value or
    more.
    """
    with torch.inference_mode():
        before = outputs(root(example))
    for parent in list(root.modules()):
        children = list(parent.named_children())
        for (_, conv), (name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, Norm) and conv.out_channels == len(norm.running_mean):
                fold(conv, norm)
                setattr(parent, name, nn.Identity())
    with torch.inference_mode():
        after = outputs(root(example))
    for one, other in zip(before, after, strict=True):
        off = ((one - other).abs().max() / one.abs().max().clamp(min=1e-6)).item()
        if not off < 1e-3:
            raise ValueError(
                f"{type(root).__name__}: folding its batch norms changes its output by {off:.1g} of the "
                "largest value; register each norm right after its convolution, or export in float32"
            )


def fold(conv: nn.Conv2d, norm: Norm) -> None:
    """Makes conv compute norm(conv)."""
    scale = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias.detach() - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias.detach() * scale
    conv.weight = nn.Parameter(conv.weight.detach() * scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(shift, requires_grad=False)


class Frozen(nn.Module):
    """FrozenBatchNorm2d in two operations. Equal to it to the digit."""

    def __init__(self, norm: FrozenBatchNorm2d) -> None:
        super().__init__()
        scale = norm.weight.reshape(1, -1, 1, 1) * (norm.running_var.reshape(1, -1, 1, 1) + norm.eps).rsqrt()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", norm.bias.reshape(1, -1, 1, 1) - norm.running_mean.reshape(1, -1, 1, 1) * scale)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def freeze_norms(root: nn.Module) -> None:
    """Replaces each FrozenBatchNorm2d, in place."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FrozenBatchNorm2d):
                setattr(parent, name, Frozen(child))


def outputs(value: Tensor | dict[str, Tensor]) -> list[Tensor]:
    """Returns a tower's one output, or a backbone's feature maps, as a list."""
    return [value] if isinstance(value, Tensor) else list(value.values())
