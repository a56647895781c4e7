"""Random models for both sides: torchvision's and open_clip's, and what is exported of them."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import archive
import clip
import detectors
import rpn
import towers
from reference import open_clip


@pytest.fixture(scope="session")
def exports() -> Iterator[Path]:
    """A folder for exported models, 2 GB of them, removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def detector(exports: Path) -> Callable[[str], tuple[nn.Module, Path]]:
    """Gives one of torchvision's detectors, with random weights, and its exported proposal network, float32 in the
    memory format that torchvision has."""

    @functools.cache
    def export(name: str) -> tuple[nn.Module, Path]:
        model, weights = detectors.from_seed(name, 1)
        return model, rpn.export(exports / name, copy.deepcopy(model), name, weights, channels_last=False)

    return export


@torch.no_grad()
def varied(model: nn.Module, examples: Tensor) -> None:
    """Changes an open_clip model so that its embeddings of examples, and of photos, differ, and so that texts lie where
    they do: convolutions with outputs of standard deviation 1; a ResNet's embeddings less most of what they have in
    common; texts turned into the four directions in which the embeddings differ most."""
    detectors.spread(model.visual, examples)
    if hasattr(model.visual, "attnpool"):
        model.visual.attnpool.c_proj.bias -= 0.65 * model.visual(examples).mean(0)
    embeddings = model.encode_image(examples, normalize=True)
    directions = torch.linalg.svd(embeddings - embeddings.mean(0), full_matrices=False)[2][:4]
    model.text_projection.copy_(model.text_projection @ directions.T @ directions)


@pytest.fixture(scope="session")
def clip_model(exports: Path) -> Callable[[str], tuple[nn.Module, Path]]:
    """Gives an open_clip model, with random weights, and the folder with its exported towers, in float32 and bfloat16.

    Left alone, random networks take all crops for much the same. varied() makes their cosines vary as trained ones' do.
    """

    @functools.cache
    def export(name: str) -> tuple[nn.Module, Path]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = open_clip.create_model(name, pretrained_hf=False).eval().requires_grad_(False)
            detectors.randomise_norms(model.visual)
            size, noise = model.visual.image_size, torch.randn(16, 3, 7, 7) + torch.randn(16, 3, 1, 1)
        varied(model, 1.4 * functional.interpolate(noise, size=size, mode="bicubic"))
        weights = archive.Weights("random", archive.digest(model.state_dict()), "none: random", "torch.manual_seed")
        for dtype in ("float32", "bfloat16"):
            clip.export(exports / name, towers.pair(name, model), weights, dtype)
        return model, exports / name

    return export
