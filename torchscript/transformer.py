"""CLIP's transformers arranged for speed: the results of open_clip's, in fewer operators.

- The scale and shift of a layer norm are folded into the matrix after it, a layer scale
  into the matrix before it.
- Queries, keys and values stay where one matrix product put them. Attention reads them by
  their strides, without a copy.
- QuickGELU(x) = x sigmoid(1.702 x) is SiLU(1.702 x) / 1.702: one operator, with the
  factors in the matrices around it.
- The last block computes only the one row that is read.

Shapes: N crops or texts, L tokens of each, D the width.
"""

from typing import Final

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

QUICK = 1.702  # openai/CLIP, clip/model.py, QuickGELU


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Returns a layer with the given weights [out,in] and bias [out]."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def after(norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Returns a layer for norm's output without its scale and shift, which are folded
    into it."""
    shifted = weight @ norm.bias
    return linear(weight * norm.weight, shifted if bias is None else bias + shifted)


def attend(q: Tensor, k: Tensor, v: Tensor, unseen: Tensor | None = None) -> Tensor:
    """Returns the attention of one row q [N,H,1,d] to k and v [N,H,L,d], without those that
    are unseen [N,L]: [N,H,1,d].

    On a CPU the products are written out: as a matrix product of one row MKL adds them up, on
    processors of AMD, in an order that depends on the place in the batch, and so would the
    last digits of an embedding.
    """
    if q.is_cuda:
        seen = None if unseen is None else ~unseen[:, None, None]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    weights = (q.float() * k.float()).sum(3) * q.shape[3] ** -0.5
    if unseen is not None:
        weights = weights.masked_fill(unseen[:, None], -float("inf"))
    return (weights.softmax(2)[..., None] * v.float()).sum(2, keepdim=True).to(v.dtype)


class Block(nn.Module):
    """A residual attention block."""

    heads: Final[int]
    causal: Final[bool]
    quick: Final[bool]
    eps: Final[tuple[float, float]]

    def __init__(self, block: ResidualAttentionBlock, causal: bool) -> None:
        super().__init__()
        if not is_plain(block):
            raise ValueError("a block of its transformer is not CLIP's")
        attention, mlp = block.attn, block.mlp
        one, two = (getattr(scale, "gamma", torch.ones(1))[:, None] for scale in (block.ls_1, block.ls_2))
        self.heads, self.causal, self.quick = attention.num_heads, causal, isinstance(mlp.gelu, QuickGELU)
        self.eps = block.ln_1.eps, block.ln_2.eps
        self.qkv = after(block.ln_1, attention.in_proj_weight, attention.in_proj_bias)
        self.out = linear(attention.out_proj.weight * one, attention.out_proj.bias * one[:, 0])
        factor = QUICK if self.quick else 1.0
        up = after(block.ln_2, mlp.c_fc.weight, mlp.c_fc.bias)
        self.up = linear(up.weight * factor, up.bias * factor)
        self.down = linear(mlp.c_proj.weight * two / factor, mlp.c_proj.bias * two[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        """[N,L,D] -> [N,L,D]."""
        n, length, width = x.shape
        normal = functional.layer_norm(x, [width], None, None, self.eps[0])
        qkv = self.qkv(normal).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=self.causal)
        return self.feed(x + self.out(mixed.transpose(1, 2).reshape(n, length, width)))

    def row(self, x: Tensor, at: Tensor) -> Tensor:
        """Returns row at [N] of what forward would return: [N,L,D] -> [N,D]."""
        n, length, width = x.shape
        chosen = x[torch.arange(n, device=x.device), at]
        normal = functional.layer_norm(x, [width], None, None, self.eps[0])
        weight, bias = self.qkv.weight, self.qkv.bias
        kv = functional.linear(normal, weight[width:], bias[width:])
        kv = kv.view(n, length, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q = functional.linear(normal[torch.arange(n, device=x.device), at], weight[:width], bias[:width])
        q = q.view(n, self.heads, 1, width // self.heads)
        unseen = torch.arange(length, device=x.device)[None] > at[:, None] if self.causal else None
        mixed = attend(q, kv[0], kv[1], unseen)
        return self.feed(chosen + self.out(mixed.reshape(n, width)))

    def feed(self, x: Tensor) -> Tensor:
        """The second half of the block: [...,D] -> [...,D]."""
        hidden = self.up(functional.layer_norm(x, [x.shape[-1]], None, None, self.eps[1]))
        hidden = functional.silu(hidden) if self.quick else functional.gelu(hidden)
        return x + self.down(hidden)


def is_plain(block: nn.Module) -> bool:
    """Returns whether a block has what CLIP's has and no more."""
    return (
        isinstance(block, ResidualAttentionBlock)
        and isinstance(block.mlp.gelu, QuickGELU | nn.GELU)
        and getattr(block.mlp.gelu, "approximate", "none") == "none"
        and block.attn.in_proj_bias is not None
        and not hasattr(block, "ln_1_kv")
    )


class ImageTransformer(nn.Module):
    """The image tower of a ViT: normalised crops [N,3,S,S] -> features [N,E]."""

    eps: Final[float]

    def __init__(self, tower: VisionTransformer) -> None:
        super().__init__()
        *blocks, last = (Block(block, causal=False) for block in tower.transformer.resblocks)
        self.conv1, self.ln_pre = tower.conv1, tower.ln_pre
        self.class_embedding, self.positional_embedding = tower.class_embedding, tower.positional_embedding
        self.blocks, self.last = nn.ModuleList(blocks), last
        self.eps, self.proj = tower.ln_post.eps, after(tower.ln_post, tower.proj.T, None)

    def forward(self, crops: Tensor) -> Tensor:
        patches = self.conv1(crops).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(crops.shape[0], 1, -1), patches], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x)
        x = self.last.row(x, torch.zeros([x.shape[0]], dtype=torch.int64, device=x.device))
        return self.proj(functional.layer_norm(x, [x.shape[-1]], None, None, self.eps))


def fits(tower: nn.Module) -> bool:
    """Returns whether ImageTransformer can take an image tower's place."""
    return (
        isinstance(tower, VisionTransformer)
        and tower.attn_pool is None
        and tower.pool_type == "tok"
        and tower.proj is not None
        and isinstance(tower.patch_dropout, nn.Identity)
        and all(is_plain(block) for block in tower.transformer.resblocks)
    )


class TextTransformer(nn.Module):
    """The text tower: tokens int64 [N,L] -> features [N,E], read at the end of each text.

    Columns after the last end of text may be cut off: causal attention never reads them.
    """

    eps: Final[float]

    def __init__(self, half: nn.Module) -> None:
        super().__init__()
        *blocks, last = (Block(block, causal=True) for block in half.transformer.resblocks)
        self.token_embedding, self.positional_embedding = half.token_embedding, half.positional_embedding
        self.blocks, self.last = nn.ModuleList(blocks), last
        self.eps, self.proj = half.ln_final.eps, after(half.ln_final, half.text_projection.T, None)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = self.last.row(x, tokens.argmax(1))
        return self.proj(functional.layer_norm(x, [x.shape[-1]], None, None, self.eps))
