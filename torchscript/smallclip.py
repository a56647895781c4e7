"""A CLIP small enough to train on a CPU, with the inputs and outputs of OpenAI's.

The image tower is a ResNet at 64 pixels: normalised crops [N,3,64,64] -> [N,D]. The text
tower is a transformer over CLIP's BPE tokens: int64 [N,77] -> [N,D]. Its feature is read
at the end-of-text token (the highest id). A learned logit scale joins the two. Neither
tower normalises its features; the caller does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import checkpoint

VOCABULARY = 49408
CONTEXT = 77
MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's own
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Config:
    """Sizes of the two towers."""

    size: int = 64
    channels: tuple[int, ...] = (32, 64, 128, 224)
    blocks: tuple[int, ...] = (2, 2, 2)
    embedding: int = 256
    token_width: int = 32
    text_width: int = 192
    text_heads: int = 4
    text_layers: int = 2


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, like ResNet-18's (He et al. 2015)."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inward, outward, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outward)
        self.second = nn.Conv2d(outward, outward, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outward)
        nn.init.zeros_(self.second_norm.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inward != outward:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inward, outward, 1, bias=False),
                nn.BatchNorm2d(outward),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class ImageTower(nn.Module):
    """Maps normalised crops [N,3,S,S] to features [N,D]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        stem, first = config.channels[0], config.channels[1]
        layers: list[nn.Module] = [
            nn.Conv2d(3, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.Conv2d(stem, first, 3, 2, 1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        ]
        inward = first
        for i, (outward, count) in enumerate(zip(config.channels[1:], config.blocks, strict=True)):
            for k in range(count):
                layers.append(Block(inward, outward, 2 if k == 0 and i > 0 else 1))
                inward = outward
        self.layers = nn.Sequential(*layers)
        # The mean shows what is there, the maximum shows a small mark: both distinguish
        # pictograms.
        self.project = nn.Linear(2 * inward, config.embedding)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.layers(crops)
        # On a CPU libtorch 2.1, on which archives run too, takes thirty times as long for
        # a mean in bfloat16.
        mean = x.mean((2, 3), dtype=torch.float32).to(x.dtype)
        return self.project(torch.cat([mean, x.amax((2, 3))], 1))


class Attention(nn.Module):
    """Causal self-attention, written out. In bfloat16 on CPUs torch 2.11's fused one is
    slower, and torch 2.1's corrupts the heap in its backward pass."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.inward(x).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).masked_fill(later, float("-inf")).softmax(3)
        y = weights.to(v.dtype) @ v
        return self.outward(y.transpose(1, 2).reshape(n, length, width))


class TextLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class TextTower(nn.Module):
    """Maps tokens int64 [N,77] to features [N,D].

    The token table is factorised (49408 x token_width, then a linear map): whole, it
    would be most of the file. A causal transformer never reads the columns after the
    longest text's end. Training cuts them off here. In an archive that would wait for the
    device, so the caller cuts them off.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.text_width
        self.tokens = nn.Embedding(VOCABULARY, config.token_width)
        self.widen = nn.Linear(config.token_width, width, bias=False)
        self.positions = nn.Parameter(torch.randn(CONTEXT, width) * 0.01)
        self.layers = nn.Sequential(*[TextLayer(width, config.text_heads) for _ in range(config.text_layers)])
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.embedding, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.widen.weight, std=1 / math.sqrt(config.token_width))

    def forward(self, tokens: Tensor) -> Tensor:
        end = tokens.argmax(1)
        if not torch.jit.is_scripting():
            tokens = tokens[:, : int(end.max()) + 1]
        x = self.widen(self.tokens(tokens).to(self.widen.weight.dtype)) + self.positions[: tokens.shape[1]]
        x = self.norm(self.layers(x))
        return self.project(x[torch.arange(x.shape[0], device=x.device), end])


class SmallCLIP(nn.Module):
    """Both towers and the logit scale, which is kept as its logarithm, as in CLIP."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.image = ImageTower(self.config)
        self.text = TextTower(self.config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def scale(self) -> float:
        """Returns the factor of cosine similarity in a logit."""
        return float(self.log_scale.detach().exp())


def load(path: Path) -> tuple[SmallCLIP, dict]:
    """Returns the model of a checkpoint, in evaluation mode, and its notes.

    The token table, most of the text tower, is read in half precision, which is finer
    than training settles it.
    """
    saved = checkpoint.load(path)
    model = SmallCLIP(Config(**saved["config"]))
    model.load_state_dict(saved["state"])
    model.text.tokens.half()
    return model.eval(), saved["notes"]
