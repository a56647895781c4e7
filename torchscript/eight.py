"""An image tower's blocks that multiply 8-bit integers, for CPUs that have instructions
for it (VNNI).

The weights of a linear layer are int8 with a scale for each output channel. Its input
becomes 8 bits in the graph, with a scale for each row (token): the scale never depends on
other rows, so an embedding never depends on its batch. The integers' sums are exact. Layer
norms, attention, residuals and everything outside the blocks stay in float32.

The class token becomes the embedding, so its rounding errors weigh more than those of all
other tokens together. Its row gets what rounding left as a second row of integers, of
finer scale. That takes a third off the error of an embedding, for 1 row more in 50.

Crops of pictures, if there are some, say which channels have outliers, and these move
into the weights: SmoothQuant (Xiao et al., arXiv:2211.10438).

Shapes: N crops, L tokens of each, T rows (N times L), D the width.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

import transformer

TINY = 1e-12  # a row or a channel of zeros gets this, and not a division by zero


def product(x: Tensor, zero: int, weight: Tensor, scale: Tensor) -> Tensor:
    """Returns (x - zero) @ weight.T * scale, float32 [T,M], by oneDNN: x uint8 [T,K],
    weight [M,K] in the order of qlinear_prepack, scale [M]."""
    none = torch.zeros([scale.shape[0]], dtype=torch.int32, device=x.device)
    return torch.ops.onednn.qlinear_pointwise(
        x, 1.0, zero, weight, scale, none, None, 1.0, 0, torch.float32, "none", [], ""
    )


def saturates(like: Tensor) -> bool:
    """Returns whether this processor's 8-bit products are wrong for large numbers.
    Without VNNI, oneDNN adds two products of 8 bits each in 16 bits, which are too few
    (vpmaddubsw saturates)."""
    x = torch.full([64, 256], 255, dtype=torch.uint8, device=like.device)
    weight = torch.full([256, 256], 127, dtype=torch.int8, device=like.device)
    scale = torch.ones([256], device=like.device)
    got = product(x, 0, torch.ops.onednn.qlinear_prepack(weight, None), scale)
    return bool((got != 256.0 * 255.0 * 127.0).any())


class Linear(nn.Module):
    """A linear layer in 8 bits. The file holds int8 [M,K]; oneDNN's order of it is made
    when the archive is loaded, since it depends on the processor. So does most: 255, or
    127 if products of 8 bits saturate.

    signed says whether inputs may be as large below zero as above. If not, they come from
    GELU or SiLU, which are never below -0.28.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor
    packed: Tensor
    offset: Tensor
    signed: bool
    most: int
    zero: int
    training: bool

    def __init__(self, linear: nn.Linear, signed: bool = True) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(1).clamp(min=TINY) / 127
        self.weight = (weight / self.scale[:, None]).round().to(torch.int8)
        self.bias = linear.bias.detach().clone()
        self.signed = signed
        self.packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        self.most = 127 if saturates(self.weight) else 255
        self.zero = (self.most + 1) // (2 if signed else 8)
        self.offset = torch.full([1, weight.shape[1]], self.zero + 0.5)

    def forward(self, x: Tensor, base: Tensor, every: int) -> Tensor:
        """Returns base + x @ weight.T: x [T,K], base [T,M] or [1,M]. The first
        row of each group of every rows is the class token's. It overwrites x, which saves
        memory traffic."""
        above = float(self.most - self.zero)
        if self.signed:
            largest = torch.maximum(x.amax(1, keepdim=True), x.amin(1, keepdim=True).neg_()).clamp_(min=1e-12)
        else:
            largest = x.amax(1, keepdim=True).clamp_(min=0.28 * above / self.zero)
        # The conversion cuts off, so with the half it rounds.
        torch.addcmul(self.offset, x, above / largest, out=x)
        rows, span = x.shape[0], 2.0 * (self.zero - 1)
        rounded = torch.empty([rows + rows // every, x.shape[1]], dtype=torch.uint8, device=x.device)
        rounded[:rows] = x
        # What was cut off, from 0 to 1, becomes 1 to span + 1: a half, which is no error,
        # becomes the zero.
        rounded[rows:] = (x[::every] - rounded[:rows:every]).mul_(span).add_(1.5)
        y = product(rounded, self.zero, self.packed, self.scale)
        y[:rows:every].add_(y[rows:], alpha=1.0 / span)
        return torch.addcmul(base, y[:rows], largest.mul_(1.0 / above), out=y[:rows])

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, bool, bool]:
        return (self.weight, self.scale, self.bias, self.signed, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor, bool, bool]) -> None:
        self.packed = torch.ops.onednn.qlinear_prepack(state[0], None)
        self.weight = state[0][:0]  # the packed one is enough
        self.scale, self.bias, self.signed, self.training = state[1], state[2], state[3], state[4]
        self.most = 127 if saturates(state[0]) else 255
        self.zero = (self.most + 1) // (2 if self.signed else 8)
        self.offset = torch.full([1, state[0].shape[1]], self.zero + 0.5, device=state[1].device)


class Block(nn.Module):
    """A transformer.Block in 8 bits."""

    heads: Final[int]
    quick: Final[bool]
    eps: Final[tuple[float, float]]

    def __init__(self, block: transformer.Block, one: Tensor, two: Tensor) -> None:
        """Makes a block whose layer norms' outputs are divided by one and two [D], and the
        weights after them multiplied."""
        super().__init__()
        self.heads, self.quick, self.eps = block.heads, block.quick, block.eps
        self.register_buffer("one", 1 / one)
        self.register_buffer("two", 1 / two)
        self.qkv = Linear(transformer.linear(block.qkv.weight * one, block.qkv.bias))
        self.out = Linear(block.out)
        self.up = Linear(transformer.linear(block.up.weight * two, block.up.bias))
        self.down = Linear(block.down, signed=False)

    def heads_of(self, x: Tensor) -> Tensor:
        """Returns queries, keys and values [3,N,H,L,D/H] of [N,L,D]."""
        n, length, width = x.shape
        normal = functional.layer_norm(x, [width], self.one, None, self.eps[0]).view(n * length, width)
        qkv = self.qkv(normal, self.qkv.bias[None], length)
        return qkv.view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """[N,L,D] -> [N,L,D]."""
        n, length, width = x.shape
        qkv = self.heads_of(x)
        mixed = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        mixed = mixed.transpose(1, 2).reshape(n * length, width)
        x = self.out(mixed, x.reshape(n * length, width) + self.out.bias, length)
        return self.feed(x, length).view(n, length, width)

    def row(self, x: Tensor, at: Tensor) -> Tensor:
        """Returns row at [N] of what forward would return: [N,L,D] -> [N,D]."""
        n, width = x.shape[0], x.shape[2]
        each = torch.arange(n, device=x.device)
        qkv = self.heads_of(x)
        query = qkv[0][each, :, at][:, :, None]
        mixed = transformer.attend(query, qkv[1], qkv[2])
        return self.feed(self.out(mixed.reshape(n, width), x[each, at] + self.out.bias, 1), 1)

    def feed(self, x: Tensor, every: int) -> Tensor:
        """The second half of the block: [T,D] -> [T,D]. every is Linear.forward's."""
        hidden = self.up(functional.layer_norm(x, [x.shape[1]], self.two, None, self.eps[1]), self.up.bias[None], every)
        hidden = functional.silu(hidden, inplace=True) if self.quick else torch.ops.aten.gelu_(hidden)
        return self.down(hidden, x + self.down.bias, every)


def check(tower: nn.Module) -> None:
    """Raises ValueError if shrink can't take an image tower."""
    if not isinstance(tower, transformer.ImageTransformer):
        raise ValueError("int8 is for transformers of CLIP's form, and the image tower is none: leave int8 out")


def shrink(tower: nn.Module, crops: Tensor | None = None) -> nn.Module:
    """Returns a copy of an image tower with its blocks in 8 bits. crops [N,3,S,S],
    normalised, are for the factors. Raises ValueError if the tower has other blocks."""
    check(tower)
    *blocks, last = (
        Block(block, *each) for block, each in zip([*tower.blocks, tower.last], factors(tower, crops), strict=True)
    )
    shrunk = copy.copy(tower)
    shrunk._modules = {**tower._modules, "blocks": nn.ModuleList(blocks), "last": last}
    return shrunk.eval().requires_grad_(False)


def factors(tower: nn.Module, crops: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """Returns what each block's layer norms are divided by [D]: by SmoothQuant's equation
    4 with its exponent of 0.5, the root of a channel's largest activation over its
    largest weight. Without crops it is 1."""
    blocks = [*tower.blocks, tower.last]
    if crops is None:
        one = torch.ones(tower.last.out.in_features)
        return [(one, one)] * len(blocks)
    with torch.inference_mode(), largest_inputs(tower) as largest:
        for batch in crops.split(16):
            tower(batch)
    return [
        tuple(
            (largest[layer] / layer.weight.abs().amax(0).clamp(min=TINY)).sqrt().clamp(min=1e-4)
            for layer in (block.qkv, block.up)
        )
        for block in blocks
    ]


@contextmanager
def largest_inputs(tower: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """Notes the largest input of each channel [D] of the layers after the layer norms."""
    largest: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        found = inputs[0].abs().flatten(0, -2).amax(0)
        largest[layer] = torch.maximum(largest.get(layer, found), found)

    last = tower.last
    layers = [layer for block in [*tower.blocks, last] for layer in (block.qkv, block.up)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    # Its row() reads the weights and doesn't call the layer.
    last.row = lambda x, at: last.forward(x)[torch.arange(len(x)), at]
    try:
        yield largest
    finally:
        del last.row
        for hook in hooks:
            hook.remove()
