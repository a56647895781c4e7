"""open_clip's models, OpenAI's among them, as the two towers of clip.py, with weights
from a file or a seed."""

import logging
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from torch import nn

import archive
import checkpoint
from archive import Weights
from clip import CONTEXT, VOCABULARY, Pair
from published import OPENAI
from transformer import ImageTransformer, TextTransformer, fits

# Keys that OpenAI's checkpoints have and open_clip's lack.
OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")


def tells_news(record: logging.LogRecord) -> bool:
    """Returns whether open_clip logs something else than that a model was built without
    weights, which is intended."""
    return not record.getMessage().startswith("No pretrained weights loaded for model")


def text_tower(model: nn.Module) -> TextTransformer:
    """Returns the text half of an open_clip model. Its CLIP class keeps that half among
    its own members.

    Raises ValueError if CLIP's tokens can't be fed to it.
    """
    half = getattr(model, "text", model)
    pool = getattr(half, "text_pool_type", getattr(half, "pool_type", "none"))
    mask = half.attn_mask
    causal = mask is not None and torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))
    if pool != "argmax" or not causal or getattr(half, "cls_emb", None) is not None:
        raise ValueError("its text tower is not CLIP's: that one is causal and read at the end of the text")
    taken = half.context_length, half.vocab_size
    if taken != (CONTEXT, VOCABULARY):
        raise ValueError(f"its text tower takes (length, vocabulary) {taken}, not CLIP's {CONTEXT, VOCABULARY}")
    if isinstance(half.text_projection, nn.Linear):
        raise ValueError("its text projection is a layer with a bias; CLIP's is a matrix")
    return TextTransformer(half)


def pair(name: str, model: nn.Module) -> Pair:
    """Returns the towers of an open_clip model. Raises ValueError, which names it, if it
    is no CLIP that clipdet can feed."""
    try:
        text = text_tower(model)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from error
    if getattr(model, "logit_bias", None) is not None:
        raise ValueError(f"{name}: it has a logit bias (SigLIP); its cosines need a sigmoid, not CLIP's softmax")
    if getattr(model.visual, "output_tokens", False):
        raise ValueError(f"{name}: its image tower gives tokens beside the embedding (CoCa)")
    sizes = set(open_clip.model.to_2tuple(model.visual.image_size))
    if len(sizes) != 1:
        raise ValueError(f"{name}: its pictures are not square but {model.visual.image_size}")
    described = model.visual.preprocess_cfg
    return Pair(
        image=ImageTransformer(model.visual) if fits(model.visual) else model.visual,
        text=text,
        architecture=name,
        size=sizes.pop(),
        mean=list(described["mean"]),
        std=list(described["std"]),
        logit_scale=model.logit_scale.exp().item(),
        resize_mode=described["resize_mode"],
    )


@dataclass(frozen=True)
class Model:
    """A CLIP by its name and the tag of its weights. The tag settles two things that a
    name leaves open.

    The activation: OpenAI trained with QuickGELU, open_clip mostly with GELU. Names and
    shapes are the same, results differ. OpenAI's names ("ViT-B/32", "RN50") mean its
    models, unless a tag says otherwise. Without a tag, open_clip's ("ViT-B-32",
    "ViT-B-32-quickgelu") are as open_clip configures them.

    The pictures: some weights were trained on pictures that were normalised or resized in
    another way.
    """

    name: str
    tag: str | None = None

    @property
    def openai(self) -> bool:
        return self.tag == "openai" or (self.tag is None and self.name in OPENAI)

    @property
    def own(self) -> str:
        """open_clip's own name of the model."""
        return OPENAI.get(self.name, self.name.replace("/", "-"))

    @property
    def quick_gelu(self) -> bool:
        """Reports whether the weights ask for QuickGELU, whatever open_clip configures for
        the name."""
        return self.openai or self.listed().get("quick_gelu", False)

    def listed(self) -> dict:
        """Returns what open_clip lists of the tag's weights: their activation, and the
        pictures that they were trained on."""
        return open_clip.pretrained.get_pretrained_cfg(self.own, self.tag or "")

    def advice(self) -> list[str]:
        """Returns what to mind when detecting with these weights."""
        listed, lines = self.listed(), []
        if listed.get("interpolation", "bicubic") != "bicubic":
            lines.append(f"{self.tag} was trained on {listed['interpolation']} pictures; clipdet resizes bicubic")
        return lines

    def check(self) -> None:
        """Raises ValueError, which lists names, if open_clip has no model of that name."""
        if open_clip.get_model_config(self.own) is None:
            known = ", ".join([*OPENAI, *(n for n in open_clip.list_models() if n.startswith(("ViT-", "RN")))])
            raise ValueError(f"unknown model {self.name!r}; there are, among others: {known}")

    def build(self, quick_gelu: bool = False) -> nn.Module:
        """Returns the model in evaluation mode, its weights not yet set. It downloads
        nothing."""
        self.check()
        look = {key: value for key, value in self.listed().items() if key in ("mean", "std", "resize_mode")}
        options = {"force_quick_gelu": quick_gelu or self.quick_gelu, "force_preprocess_cfg": look}
        logging.getLogger().addFilter(tells_news)
        try:
            model = open_clip.create_model(self.own, pretrained_text=False, **options)
        except (RuntimeError, OSError, ImportError) as error:
            raise ValueError(f"{self.name}: open_clip can't build it: {checkpoint.first_line(error)}") from error
        finally:
            logging.getLogger().removeFilter(tells_news)
        return model.eval().requires_grad_(False)

    def from_file(self, path: Path, licence: str, source: str) -> tuple[Pair, Weights]:
        """Returns the model with the weights of a file that checkpoint.py reads. It
        recognises OpenAI's own files by their keys.

        Raises ValueError if the file holds no weights, or not this model's.
        """
        state = checkpoint.read(path)
        model = self.build(quick_gelu=any(key in state for key in OPENAI_KEYS))
        state = {
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()
            if key not in OPENAI_KEYS
        }
        if hasattr(model, "text"):
            state = open_clip.model.convert_to_custom_text_state_dict(state)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{path}: not weights of {self.name}: {checkpoint.misfit(error)}") from error
        return pair(self.name, model), Weights(path.name, archive.file_digest(path), licence, source)

    def from_seed(self, seed: int) -> tuple[Pair, Weights]:
        """Returns the model with random weights, for tests and trials: it recognises
        nothing."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.build()
        digest = archive.digest(model.state_dict())
        return pair(self.name, model), Weights(f"random, seed {seed}", digest, "none: random", "torch.manual_seed")
