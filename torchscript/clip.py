"""The two towers of a CLIP as TorchScript modules: crops or tokens in, unit embeddings
out.

A tower is any module that can be scripted. An image tower maps normalised crops [N,3,S,S]
to [N,D], a text tower maps tokens int64 [N,T] to [N,D]. towers.py makes open_clip's.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

import archive
import eight
from archive import DTYPES, Input, Weights
from fold import fold_norms

CONTEXT = 77
VOCABULARY = 49408

# The largest difference from a known answer. In float32 it covers another processor's
# rounding, in the other types the type's own.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3, "int8": 2e-2}


class ImageEncoder(nn.Module):
    """Crops float32 [N,3,S,S], RGB in [0,1] -> unit embeddings float32 [N,D]."""

    dtype: Final[torch.dtype]
    channels_last: Final[bool]

    def __init__(
        self, tower: nn.Module, size: int, mean: list[float], std: list[float], dtype: str, channels_last: bool
    ) -> None:
        super().__init__()
        self.tower = cast(tower, dtype, torch.zeros(1, 3, size, size))
        if channels_last:
            self.tower.to(memory_format=torch.channels_last)
        self.dtype, self.channels_last = DTYPES[dtype], channels_last
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        x = ((crops - self.mean) / self.std).to(self.dtype)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return functional.normalize(self.tower(x).to(torch.float32), dim=-1)


class TextEncoder(nn.Module):
    """Tokens int64 [N,T], T up to 77 -> unit embeddings float32 [N,D]."""

    def __init__(self, tower: nn.Module, dtype: str) -> None:
        super().__init__()
        self.tower = cast(tower, dtype, torch.zeros(1, CONTEXT, dtype=torch.int64))
        self.eval().requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.normalize(self.tower(tokens).to(torch.float32), dim=-1)


class WideNorm(nn.Module):
    """A layer norm in float32 between layers of half precision, like open_clip's
    LayerNormFp32."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.to(torch.float32)).to(x.dtype)


def cast(tower: nn.Module, dtype: str, example: Tensor) -> nn.Module:
    """Returns a tower of the given precision. In float32 it is the tower itself.
    Otherwise it is a copy with batch norms folded into their convolutions and layer norms
    kept in float32. Integers, and tables that are half precision already, keep their
    type. A tower for int8 is made by eight.shrink and stays as it is."""
    if dtype in ("float32", "int8"):
        return tower
    tower = copy.deepcopy(tower).eval().requires_grad_(False)
    fold_norms(tower, example)
    for parent in list(tower.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(parent, name, WideNorm(child))
    for module in tower.modules():
        if not isinstance(module, nn.LayerNorm):
            for value in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                if value.dtype == torch.float32:
                    value.data = value.data.to(DTYPES[dtype])
    return tower


@dataclass(frozen=True)
class Pair:
    """The towers of one CLIP and its constants. Their features need not be unit
    vectors."""

    image: nn.Module
    text: nn.Module
    architecture: str
    size: int  # of the square crops, pixels
    mean: list[float]
    std: list[float]
    logit_scale: float  # the factor on cosine, 100 in OpenAI's models; not its logarithm
    resize_mode: str = "shortest"  # how pictures became squares in training: this, "longest" or "squash"
    together: int = 1  # crops that the image tower computes at once, even if there is one
    block: int = 0  # crops that a CPU best encodes at once; 0 leaves that to clipdet


def export(
    out: Path,
    pair: Pair,
    weights: Weights,
    dtype: str = "float32",
    channels_last: bool = True,
    may_wait: bool = False,
    crops: Tensor | None = None,
) -> list[Path]:
    """Writes clip-image.pt and clip-text.pt (clip-image.bfloat16.pt and so on) into out
    and returns their paths. For int8 the text tower is in float32: a text's error is in
    all of its scores, and texts take little time.

    It puts both towers in evaluation mode and turns their gradients off. may_wait is
    archive.save's. crops [N,3,S,S] in [0,1] are for int8 (eight.factors); None is without.
    """
    image, text = pair.image.eval().requires_grad_(False), pair.text.eval().requires_grad_(False)
    state = {f"image.{k}": v for k, v in image.state_dict().items()}
    state |= {f"text.{k}": v for k, v in text.state_dict().items()}
    common = {
        "score": "softmax",
        "logit_scale": pair.logit_scale,
        "clip_id": f"{pair.architecture} {archive.digest(state)[:32]}",
    }

    def write(
        kind: str, dtype: str, encoder: nn.Module, twin: nn.Module, example: Input, last: bool, **fields: object
    ) -> Path:
        width = archive.run(twin, archive.generate(1, [example]))[0].shape[-1]
        fields = {**fields, "embedding_width": width, **common}
        described = archive.manifest(kind, pair.architecture, weights, dtype, last, **fields)
        path = out / archive.file_name(kind, dtype)
        # The types whose known answer is that of float32. On CPUs libtorch 2.1 lacks
        # float16, and 2.11 is slow.
        answering = twin if dtype in ("float16", "int8") else None
        archive.save(
            path,
            encoder,
            described,
            [example],
            tolerance=TOLERANCE[dtype],
            twin=answering,
            runs_here=dtype != "float16",
            may_wait=may_wait,
            together=pair.together if kind == "clip-image" else 1,
        )
        return path

    crop, tokens = Input((1, 3, pair.size, pair.size), "float32"), Input((1, CONTEXT), "int64")
    look = {"input_size": pair.size, "mean": pair.mean, "std": pair.std, "resize_mode": pair.resize_mode}
    look |= {"block": pair.block} if pair.block else {}
    words = {"tokenizer": "clip-bpe", "context_length": CONTEXT, "vocabulary": VOCABULARY}
    twin = ImageEncoder(image, pair.size, pair.mean, pair.std, "float32", channels_last)
    text_twin = TextEncoder(text, "float32")
    if dtype == "int8":
        image = eight.shrink(image, None if crops is None else (crops - twin.mean) / twin.std)
    encoder = ImageEncoder(image, pair.size, pair.mean, pair.std, dtype, channels_last)
    of_texts = "float32" if dtype == "int8" else dtype
    return [
        write("clip-image", dtype, encoder, twin, crop, channels_last, **look),
        write("clip-text", of_texts, TextEncoder(text, of_texts), text_twin, tokens, False, **words),
    ]
